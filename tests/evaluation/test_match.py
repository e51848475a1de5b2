"""What an evaluation says of photographs whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kiosk.errors import ConfigError
from kiosk.evaluation.acquire import Acquired
from kiosk.evaluation.match import Gates, evaluate_match
from kiosk.evaluation.pairs import edges
from kiosk.evaluation.photographs import Photograph, read_groups, read_people
from kiosk.evaluation.report import match_as_html, match_as_text
from kiosk.evaluation.scale import measured_scale
from kiosk.evaluation.search import evaluate_search
from kiosk.recognition.match import ScoreScale
from tests.evaluation.test_pairs import crowd

SCALE = ScoreScale((-0.5, 0.2, 0.5, 0.7, 0.9), (0.0, 1.0, 2.0, 4.0, 6.0))
GATES = Gates(verify_threshold=70.0, age_low=15.0)


def acquired(people: int, each: int, *, age: float = 30.0, fit: bool = True, depth: int = 8) -> list[Acquired]:
    """Return what photographs of some people gave."""
    vectors, owners = crowd(people, each, depth=depth)
    return [
        Acquired(Photograph(f"p{owner}", Path(f"p{owner}/{at}.jpg")), vector, age, 10.0, fit, fit)
        for at, (vector, owner) in enumerate(zip(vectors, owners, strict=True))
    ]


def test_the_report_counts_people_photographs_and_failures_to_acquire() -> None:
    faceless = Acquired(Photograph("p0", Path("p0/wall.jpg")), None, why_not="no face")

    said = evaluate_match([*acquired(6, 3), faceless], SCALE, GATES).as_dict()

    assert (said["people"], said["photographs"], said["not_acquired"]) == (6, 19, 1)
    assert (said["mated"], said["non_mated"]) == (6 * 3, 18 * 17 // 2 - 18)
    assert set(said["scores"]) == {"30", "50", "70", "80", "90"}
    assert said["not_acquired_files"] == [{"file": "p0/wall.jpg", "why": "no face"}]


def test_a_score_counts_the_pairs_that_show_it_or_more() -> None:
    whole = acquired(8, 3)

    said = evaluate_match(whole, SCALE, GATES).as_dict()["scores"]["50"]

    shown = [
        SCALE.score(float(one.vector.astype(np.float64) @ other.vector.astype(np.float64)))
        for at, one in enumerate(whole)
        for other in whole[at + 1 :]
        if one.photograph.person != other.photograph.person and one.vector is not None and other.vector is not None
    ]
    assert said["false_matches"] == sum(score >= 50 for score in shown)
    assert said["fmr"] == said["false_matches"] / len(shown)


def test_groups_count_pairs_within_themselves_and_may_have_none() -> None:
    groups = {"p0": "one", "p1": "one", "p2": "one", "p3": "two"}

    said = evaluate_match(acquired(5, 2), SCALE, GATES, groups=groups).as_dict()["groups"]

    assert (said["one"]["non_mated"], said["one"]["mated"]) == (12, 3)
    assert (said["two"]["non_mated"], said["two"]["scores"]["70"]["fmr"]) == (0, None)
    assert said["two"]["granted"] == {"false": 0, "rate": None}


@pytest.mark.parametrize(
    ("change", "is_let_in"),
    [
        pytest.param({}, True, id="adults in good light"),
        pytest.param({"age": 14.9}, False, id="too young"),
        pytest.param({"fit": False}, False, id="too poor"),
    ],
)
def test_the_door_lets_in_whom_its_gates_let_pass(change: dict[str, Any], *, is_let_in: bool) -> None:
    twins = [
        Acquired(
            Photograph(name, Path(name)), np.eye(1, 8, dtype=np.float32)[0], one.age, 9.0, *(one.serves_as_probe,) * 2
        )
        for name, one in zip(("a", "b"), acquired(2, 1, **change), strict=True)
    ]

    said = evaluate_match(twins, SCALE, GATES)

    assert said.scores[70].false_matches == 1
    assert said.granted.false == int(is_let_in)


def test_text_and_page_hold_the_figures() -> None:
    report = evaluate_match(acquired(20, 3), SCALE, GATES, groups={"p0": "<b>", "p1": "<b>"})

    page = match_as_html(report, SCALE, "standard")

    assert "20 people in 60 photographs" in match_as_text(report)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("<svg") == 3


def test_a_scale_never_states_less_than_was_counted() -> None:
    report = evaluate_match(acquired(150, 2, depth=64), SCALE, GATES)

    found = measured_scale(report.spread)

    total, above = report.spread.non_mated.sum(), np.cumsum(report.spread.non_mated[::-1])[::-1]
    stated = 10.0 ** -np.interp(edges()[:-1], found.cosines, found.rarities)
    counted = [
        (cosine, rarity)
        for cosine, rarity in zip(found.cosines, found.rarities, strict=True)
        if rarity <= found.measured_rarity
    ]
    for cosine, rarity in counted:
        at = int(np.searchsorted(edges(), cosine))
        assert above[at] / total <= 10.0**-rarity * (1 + 1e-9)
        assert stated[at] == pytest.approx(10.0**-rarity, rel=1e-2)
    ScoreScale(tuple(found.cosines), tuple(found.rarities))


def test_too_few_strangers_make_no_scale() -> None:
    with pytest.raises(ConfigError, match="too few for a scale"):
        measured_scale(evaluate_match(acquired(5, 2), SCALE, GATES).spread)


def test_a_search_counts_strangers_listed_and_people_missed() -> None:
    said = evaluate_search(acquired(40, 3), SCALE).as_dict()

    assert (said["gallery"], said["mated_searches"], said["non_mated_searches"]) == (20, 40, 60)
    loose, strict = said["scores"]["50"], said["scores"]["90"]
    assert loose["fpir"] > strict["fpir"]
    assert loose["fnir"] < strict["fnir"]
    assert loose["fpir"] == loose["false_positives"] / 60


def test_a_search_needs_somebody_with_two_photographs() -> None:
    with pytest.raises(ConfigError, match="two photographs"):
        evaluate_search(acquired(5, 1), SCALE)


def test_loose_files_and_empty_folders_are_no_person(tmp_path: Path) -> None:
    for name in ("anna/1.jpg", "anna/deep/2.PNG", "ben/note.txt", "loose.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()

    found = read_people(tmp_path)

    assert [(one.person, one.path.name) for one in found] == [("anna", "1.jpg"), ("anna", "2.PNG")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("who,group\na,b\n", "want the columns person, group", id="a column is missing"),
        pytest.param("person,group\nanna,x\nanna,y\n", "in two groups", id="two groups for one"),
        pytest.param("person,group\nanna,\n", "line 2: want a person and a group", id="no group"),
        pytest.param("person,group\nzoe,x\n", "names none of the people", id="nobody of the folder"),
    ],
)
def test_a_csv_of_groups_that_cannot_be_right_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(content)

    with pytest.raises(ConfigError, match=sentence):
        read_groups(path, {"anna"})

"""Photographs are analysed once, also where a run was stopped."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Generator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from kiosk.cli.main import main
from kiosk.errors import ConfigError, ImageError
from kiosk.evaluation.acquire import Acquired, acquire
from kiosk.evaluation.photographs import read_people, read_picture
from kiosk.networks.inference import load_recogniser, read_pack
from kiosk.recognition.pipeline import Recogniser
from kiosk.rules.limits import Limits

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    """Give the real networks."""
    return load_recogniser(read_pack(ROOT / "models"))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Give a folder of two people and a picture without a face."""
    for name, person in (("person_a_1", "anna"), ("person_a_2", "anna"), ("person_b_1", "ben")):
        folder = tmp_path / "people" / person
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(GOLDEN / f"{name}.jpg", folder)
    (tmp_path / "people" / "ben" / "torn.jpg").write_bytes((GOLDEN / "person_b_1.jpg").read_bytes()[:2000])
    return tmp_path / "people"


def run(
    recogniser: Recogniser, people: Path, notes: Path, made_by: str = "these models"
) -> Generator[Acquired, None, None]:
    return acquire(recogniser, read_people(people), Limits(), notes=notes, made_by=made_by, workers=2)


def counted(recogniser: Recogniser, calls: list[int]) -> Recogniser:
    """Return the recogniser with each of its templates counted."""

    def extract(*given):
        calls.append(1)
        return recogniser.extract(*given)

    return replace(recogniser, extract=extract)


def test_what_was_analysed_before_a_stop_is_not_analysed_again(
    recogniser: Recogniser, people: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.jsonl"
    calls: list[int] = []
    stopped = run(recogniser, people, notes)
    first = list(islice(stopped, 2))
    stopped.close()

    whole = list(run(counted(recogniser, calls), people, notes))

    assert [one.photograph.path.name for one in whole] == [
        "person_a_1.jpg",
        "person_a_2.jpg",
        "person_b_1.jpg",
        "torn.jpg",
    ]
    assert whole[0].vector is not None
    assert first[0].vector is not None
    assert (whole[0].vector == first[0].vector).all()
    assert len(calls) == 1


def test_a_torn_picture_is_a_failure_to_acquire_with_its_reason(
    recogniser: Recogniser, people: Path, tmp_path: Path
) -> None:
    *_, torn = run(recogniser, people, tmp_path / "notes.jsonl")

    assert torn.vector is None
    assert "Invalid image" in torn.why_not


def test_notes_cut_off_in_a_line_lose_that_line_only(recogniser: Recogniser, people: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    calls: list[int] = []
    list(run(recogniser, people, notes))
    whole = notes.read_bytes().rstrip(b"\n")
    notes.write_bytes(whole[: whole.rindex(b"\n") - 20])  # the torn picture's line gone, the one before it cut

    again = list(run(counted(recogniser, calls), people, notes))
    calls_of_a_third: list[int] = []
    list(run(counted(recogniser, calls_of_a_third), people, notes))

    assert len(again) == 4
    assert len(calls) == 1
    assert calls_of_a_third == []


def test_notes_of_other_models_count_for_nothing(recogniser: Recogniser, people: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    calls: list[int] = []
    list(run(recogniser, people, notes))

    list(run(counted(recogniser, calls), people, notes, made_by="others"))

    assert len(calls) == 3


def test_templates_are_readable_by_their_owner_only(recogniser: Recogniser, people: Path, tmp_path: Path) -> None:
    notes = tmp_path / "kept" / "notes.jsonl"
    list(run(recogniser, people, notes))

    assert stat.S_IMODE(notes.stat().st_mode) == 0o600
    assert stat.S_IMODE(notes.parent.stat().st_mode) == 0o700


def test_a_file_that_is_something_else_is_not_overwritten(recogniser: Recogniser, people: Path, tmp_path: Path) -> None:
    notes = tmp_path / "diary.txt"
    notes.write_text("dear diary")

    with pytest.raises(ConfigError, match="something else"):
        list(run(recogniser, people, notes))
    assert notes.read_text() == "dear diary"


def test_the_command_answers_in_json_writes_its_page_and_leaves_no_template(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, page, groups = tmp_path / "state", tmp_path / "page.html", tmp_path / "groups.csv"
    groups.write_text("person,group\nanna,x\nben,x\n")

    code = main(
        [
            "--state",
            str(state),
            "evaluate",
            "match",
            str(people),
            "--groups",
            str(groups),
            "--html",
            str(page),
            "--json",
        ]
    )

    said = capsys.readouterr().out
    assert code == 0
    assert '"people": 2' in said
    assert '"not_acquired": 1' in said
    assert "data:image/jpeg;base64," in page.read_text()
    assert list(state.rglob("*.jsonl")) == []
    assert not (state / "kiosk.db").exists()


def test_the_scale_of_the_standard_pack_is_not_overwritten(people: Path, tmp_path: Path) -> None:
    before = (ROOT / "models" / "manifest.toml").read_bytes()

    assert main(["--state", str(tmp_path), "evaluate", "match", str(people), "--write-scale"]) == 1
    assert (ROOT / "models" / "manifest.toml").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_page_that_cannot_be_written_is_told_before_the_work(people: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)

    assert main(["--state", str(tmp_path), "evaluate", "match", str(people), "--html", str(locked / "page.html")]) == 1


def test_the_pictures_of_research_sets_are_read_too(tmp_path: Path) -> None:
    grey = tmp_path / "anna" / "1.pgm"
    grey.parent.mkdir()
    grey.write_bytes(b"P5 3 2 255\n" + bytes(range(6)))
    torn = tmp_path / "anna" / "2.pgm"
    torn.write_bytes(b"P5 300 200 255\n" + bytes(6))

    assert [one.path.name for one in read_people(tmp_path)] == ["1.pgm", "2.pgm"]
    assert read_picture(grey)[1, 2].tolist() == [5, 5, 5]
    with pytest.raises(ImageError, match="Invalid image"):
        read_picture(torn)

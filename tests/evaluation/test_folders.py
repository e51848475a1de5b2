"""Folders and tables as people have them: what an evaluation takes, passes over, and says of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.errors import ConfigError
from kiosk.evaluation.acquire import Acquired
from kiosk.evaluation.match import Gates, evaluate_match
from kiosk.evaluation.photographs import Photograph, read_groups, read_people
from kiosk.evaluation.report import match_as_html, match_as_text, search_as_text
from kiosk.evaluation.search import evaluate_search
from tests.cli.commanded import command
from tests.evaluation.test_match import GATES, SCALE, acquired

GOLDEN = Path(__file__).parent.parent / "golden"
JPEG = (GOLDEN / "person_b_1.jpg").read_bytes()


def put(root: Path, *names: str, content: bytes = JPEG) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@pytest.fixture
def wide_umask() -> Iterator[None]:
    """Give files to a group as well, as Debian does."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_folders_of_thumbnails_and_of_systems_are_no_people(tmp_path: Path) -> None:
    put(tmp_path, "anna/1.jpg", "anna/.thumbnails/1.jpg", "anna/@eaDir/1.jpg", "anna/._1.jpg")
    put(tmp_path, *(f"{name}/1.jpg" for name in (".thumbnails", "@eaDir", "__MACOSX", "#recycle", "lost+found")))

    found = read_people(tmp_path)

    assert [(one.person, one.path.relative_to(tmp_path).as_posix()) for one in found] == [("anna", "anna/1.jpg")]


@pytest.mark.parametrize("name", ["1.jfif", "1.JPE", "1", "1.dat"])
def test_the_bytes_say_what_a_photograph_is(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"anna/{name}")

    assert [one.path.name for one in read_people(tmp_path)] == [name]


def test_photographs_that_cannot_be_taken_are_failures_to_acquire_with_their_reason(tmp_path: Path) -> None:
    put(tmp_path, "anna/1.heic", content=b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "anna" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")

    answer = command("--state", str(tmp_path / "state"), "evaluate", "match", str(tmp_path), "--json")

    said = json.loads(answer.stdout)
    why = {Path(one["file"]).name: one["why"] for one in said["not_acquired_files"]}
    assert (said["people"], said["photographs"], said["not_acquired"]) == (1, 2, 2)
    assert "HEIC" in why["1.heic"]
    assert "No such file" in why["gone.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_cannot_be_read_is_told_and_nobody_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "anna/1.jpg", "ben/1.jpg")
    (tmp_path / "ben").chmod(0)

    with pytest.raises(ConfigError, match=r"ben: Permission denied"):
        read_people(tmp_path)
    (tmp_path / "ben").chmod(0o700)


def test_a_name_is_one_in_either_form_of_unicode(tmp_path: Path) -> None:
    put(tmp_path, "e\u0301milie/1.jpg")
    (tmp_path / "groups.csv").write_text("person,group\n\u00e9milie,x\n", encoding="utf-8")

    groups = read_groups(tmp_path / "groups.csv", {one.person for one in read_people(tmp_path)})

    assert list(groups.values()) == ["x"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbfperson;group\r\nanna;x\r\n", id="semicolons and a mark"),
        pytest.param(b"Person\tGroup\nanna\tx\n", id="tabs and capitals"),
        pytest.param("person,group\nanna,x\n".encode("utf-16"), id="UTF-16"),
        pytest.param(b"sep=;\r\nperson;group\r\nanna;x\r\n;;\r\n\r\n", id="as Excel writes it"),
        pytest.param(b"person,group,\nanna,x,\n,,\n", id="empty columns"),
    ],
)
def test_a_table_of_groups_is_taken_as_spreadsheets_write_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "groups.csv").write_bytes(content)

    assert read_groups(tmp_path / "groups.csv", {"anna"}) == {"anna": "x"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b'person,group\n"anna,x\nben,y\n', "line 2: a quotation mark there is never closed", id="a quote"),
        pytest.param(b"PK\x03\x04" + bytes(60), "is a workbook", id="a workbook"),
        pytest.param(None, "No such file or directory", id="nothing"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "groups.csv").write_bytes(content)

    with pytest.raises(ConfigError, match=sentence):
        read_groups(tmp_path / "groups.csv", {"anna"})


def test_names_in_no_encoding_or_with_escapes_reach_every_report(tmp_path: Path) -> None:
    names = ("caf\udce9", "red\x1b[31m", "a\nb")
    found = [
        Acquired(Photograph(name, tmp_path / name / "1.jpg"), one.vector, 30.0, 9.0, serves_as_probe=True)
        for name, one in zip(names, acquired(3, 1), strict=True)
    ]

    report = evaluate_match(found, SCALE, GATES, groups=dict.fromkeys(names, "g\x1b[31m"))

    text, page = match_as_text(report), match_as_html(report, SCALE, "standard")
    said = json.dumps(report.as_dict(), ensure_ascii=False)
    assert all(part.encode("utf-8") for part in (text, page, said))
    assert "\x1b" not in text
    assert "\x1b" not in page
    assert "caf\\xe9" in text
    assert r"a\nb" in text


def test_no_error_seen_in_few_pairs_is_no_rate_of_nothing() -> None:
    apart = acquired(6, 2, depth=512)

    said = evaluate_match(apart, SCALE, Gates(verify_threshold=70.0)).as_dict()["scores"]["30"]
    searched = evaluate_search(apart, SCALE).as_dict()["scores"]["90"]

    assert (said["false_non_matches"], said["fnmr"]) == (0, 0.0)
    assert said["fnmr_interval"] == pytest.approx([0.0, 3.0 / 6], rel=0.01)  # the rule of three
    assert searched["false_positives"] == 0
    assert searched["fpir_interval"] == pytest.approx([0.0, 3.0 / 6], rel=0.01)


def test_one_person_and_one_photograph_are_counted_in_the_singular() -> None:
    said = match_as_text(evaluate_match(acquired(1, 1), SCALE, GATES))
    searched = search_as_text(evaluate_search([*acquired(1, 2), *acquired(2, 1)[1:]], SCALE))

    assert said.startswith("1 person in 1 photograph, ")
    assert searched.startswith("1 person enrolled, 1 search of them")


def test_columns_stand_below_one_another_whatever_a_group_is_called() -> None:
    groups = {"p0": "women of some far away origin", "p1": "women of some far away origin", "p2": "x", "p3": "x"}

    lines = match_as_text(evaluate_match(acquired(4, 2), SCALE, GATES, groups=groups)).splitlines()

    below = lines[lines.index("Within each group") + 1 :][:3]
    assert len({len(line) for line in below}) == 1
    assert below[0].startswith("group ")


@pytest.mark.usefixtures("wide_umask")
def test_the_state_directory_that_an_evaluation_makes_is_its_owners_alone(tmp_path: Path) -> None:
    put(tmp_path, "people/anna/1.jpg")

    assert command("--state", str(tmp_path / "state"), "evaluate", "match", str(tmp_path / "people")).returncode == 0
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_no_template_stays_where_nothing_can_be_told(tmp_path: Path) -> None:
    put(tmp_path, "people/anna/1.jpg")

    answer = command("--state", str(tmp_path / "state"), "evaluate", "search", str(tmp_path / "people"))

    assert answer.returncode == 1
    assert list((tmp_path / "state").rglob("*.jsonl")) == []


def test_a_page_that_is_a_folder_is_told_before_the_work(tmp_path: Path) -> None:
    put(tmp_path, "people/anna/1.jpg")

    answer = command(
        "--state", str(tmp_path / "s"), "evaluate", "match", str(tmp_path / "people"), "--html", str(tmp_path)
    )

    assert answer.returncode == 1
    assert answer.stderr == f"Error: {tmp_path}: Is a directory\n"

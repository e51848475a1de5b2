"""Facts about looking after people from the command line: what is changed, and what a table of them says."""

from __future__ import annotations

import csv
import io
import json
import time

import pytest

from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from tests.conftest import GOLDEN


@pytest.fixture(autouse=True)
def people(state):
    """Make a store with two people."""
    with initialise(state, now=lambda: 1_800_000_000.0) as store:
        for name in ("Person A", "=Person B"):
            store.people.enrol(Enrolment(templates=(), details=Details(name=name, vendor_data=name, plan="day")))


def shown(kiosk, number):
    return json.loads(kiosk("gallery", "show", number)[1])


def test_only_what_is_given_is_changed(kiosk):
    code, out, _ = kiosk("gallery", "edit", "1", "--name", "Person A the Second", "--valid-until", "2031-01-31")

    assert code == 0
    assert "Person A the Second" in out
    after = shown(kiosk, 1)
    assert (after["name"], after["vendor_data"]) == ("Person A the Second", "Person A")
    assert after["valid_until"].startswith("2031-01-31")
    kiosk("gallery", "edit", "1", "--valid-until", "", "--vendor-data", "")
    assert (shown(kiosk, 1)["valid_until"], shown(kiosk, 1)["vendor_data"]) == (None, None)


def test_groups_are_given_and_taken(kiosk):
    assert kiosk("gallery", "edit", "1", "--groups", "staff, it,staff")[0] == 0
    assert shown(kiosk, 1)["groups"] == ["it", "staff"]
    assert '"it, staff"' in kiosk("gallery", "export")[1]
    kiosk("gallery", "edit", "1", "--groups", "")
    assert shown(kiosk, 1)["groups"] == []


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="nothing"),
        pytest.param(["--groups", "*"], id="a group of everybody"),
        pytest.param(["--name", "a\nb"], id="a line end"),
        pytest.param(["--valid-from", "2031-01-31", "--valid-until", "2031-01-30"], id="dates in the wrong order"),
        pytest.param(["--retain-until", "2001-01-31"], id="a day that is over"),
        pytest.param(["--retain-until", ""], id="no day at all"),
        pytest.param(["--vendor-data", "=Person B"], id="somebody else's code"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(kiosk, options):
    before = shown(kiosk, 1)

    assert kiosk("gallery", "edit", "1", *options)[0] == 1
    assert shown(kiosk, 1) == before


def test_the_table_holds_everybody_and_runs_no_formula(kiosk, tmp_path):
    rows = list(csv.DictReader(io.StringIO(kiosk("gallery", "export")[1])))
    assert [row["name"] for row in rows] == ["Person A", "'=Person B"]

    code, out, _ = kiosk("gallery", "export", "--json", "--find", "person b", "--to", tmp_path / "people.json")
    assert (code, out) == (0, "")
    assert [one["name"] for one in json.loads((tmp_path / "people.json").read_text())] == ["=Person B"]
    assert (tmp_path / "people.json").stat().st_mode & 0o777 == 0o600
    assert kiosk("gallery", "export", "--to", tmp_path / "people.json")[0] == 1  # never over another file


def test_a_sealed_file_opens_with_its_passphrase_and_gives_table_and_photographs(kiosk, state, tmp_path, monkeypatch):
    with open_store(state, read_keys(state), now=time.time) as store:
        store.people.enrol(Enrolment(templates=(), details=Details(name="Person C"), images=(b"\xff\xd8\xff\xd9",)))
    target, opened = tmp_path / "people.kiosk", tmp_path / "opened"

    def typed(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))

    typed("short")
    short = kiosk("gallery", "export", "--sealed", "--to", target)
    typed("a stick may be lost")
    sealed = kiosk("gallery", "export", "--sealed", "--to", target)
    typed("not the passphrase")
    wrong = kiosk("gallery", "unseal", target, "--to", tmp_path / "wrong")
    typed("a stick may be lost")
    right = kiosk("gallery", "unseal", target, "--to", opened)

    assert [one[0] for one in (short, sealed, wrong, right)] == [1, 0, 1, 0]
    assert not (tmp_path / "wrong").exists()
    assert target.stat().st_mode & 0o777 == 0o600
    assert b"Person" not in target.read_bytes()
    rows = list(csv.DictReader(io.StringIO((opened / "people.csv").read_text())))
    assert [row["name"] for row in rows] == ["Person A", "'=Person B", "Person C"]
    assert (opened / "3-1.jpg").read_bytes() == b"\xff\xd8\xff\xd9"
    code, _, said = kiosk("gallery", "import", opened)  # nobody is called 3-1
    assert (code, "called by numbers" in said) == (1, True)


def test_a_photograph_is_added_to_its_person_and_refused_for_another(kiosk):
    kiosk("enrol", GOLDEN / "person_a_1.jpg", "--name", "Person A the Third")

    code, out, _ = kiosk("gallery", "add-photo", "3", GOLDEN / "person_a_2.jpg")
    assert code == 0
    assert "2 references" in out
    code, _, err = kiosk("gallery", "add-photo", "3", GOLDEN / "person_b_1.jpg")
    assert code == 3
    assert "somebody else" in err
    assert shown(kiosk, 3)["references"] == 2

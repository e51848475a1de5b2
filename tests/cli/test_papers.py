"""Facts about the papers from the command line: what is written where, and for whom."""

from __future__ import annotations

import json

import pytest

from kiosk.store.directory import initialise
from kiosk.store.subjects import Details, Enrolment


@pytest.fixture(autouse=True)
def people(state, tmp_path, monkeypatch):
    """Make a store with two people, and stand in an empty folder."""
    with initialise(state, now=lambda: 1_800_000_000.0) as store:
        for name in ("Person A", "Person B"):
            store.people.enrol(
                Enrolment(templates=(), details=Details(name=name), images=[b"\xff\xd8 " + name.encode()])
            )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_the_report_is_for_people_for_programs_and_to_print(kiosk, tmp_path):
    assert "Photographs of the enrolment are not kept" in kiosk("privacy", "report")[1]
    told = json.loads(kiosk("privacy", "report", "--json", "--language", "de")[1])
    assert (told["language"], told["sections"][0]["id"]) == ("de", "purpose")
    assert kiosk("privacy", "report", "--html", tmp_path / "report.html")[0] == 0
    assert "Art. 35" in (tmp_path / "report.html").read_text()


def test_a_person_is_given_both_forms_and_nobody_else_may_read_them(kiosk, tmp_path):
    code, out, err = kiosk("privacy", "export", "1")

    assert (code, out.split()) == (0, ["person-1.json", "person-1.html"])
    assert "not encrypted" in err
    for name in out.split():
        path = tmp_path / "here" / name
        assert path.stat().st_mode & 0o777 == 0o600
        assert ("Person A" in path.read_text(), "Person B" in path.read_text()) == (True, False)
    assert 'src="data:image/jpeg;base64,' in (tmp_path / "here" / "person-1.html").read_text()
    assert kiosk("privacy", "export", "1")[0] == 1  # never over another file


def test_the_acceptance_notes_of_the_person_are_given_too(kiosk, state):
    notes = [
        {"what": "present", "step": "people", "who": "1"},
        {"what": "present", "step": "people", "who": "2"},
        {"what": "seen", "seen": [{"session_number": 1, "score": 90}, {"session_number": 2, "score": 80}]},
        {"what": "present", "step": "strangers", "who": "1"},
    ]
    (state / "acceptance.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in notes) + '{"cut')

    told = json.loads(kiosk("privacy", "export", "1", "--json")[1])

    assert [one.get("who") for one in told["files"]["acceptance"]] == ["1", None]
    assert [one["session_number"] for one in told["files"]["acceptance"][1]["seen"]] == [1]


def test_somebody_erased_has_a_receipt_and_nothing_else(kiosk):
    kiosk("forget", "2", "--yes")

    code, _, err = kiosk("privacy", "export", "2")

    assert code == 1
    assert "kiosk receipt 2" in err

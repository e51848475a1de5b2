"""`kiosk passage`: who is inside, and hours that nobody guessed."""

import csv
import io
import json

import pytest

from kiosk.cli.main import main
from kiosk.rules.passage import Direction
from kiosk.store.passages.passages import Passage
from kiosk.store.subjects import Details, Enrolment

MORNING = 1_767_340_800.0  # 2026-01-02 08:00 UTC


@pytest.fixture
def ask(store, capsys):
    for name in ("=Person A", "Person B"):
        store.people.enrol(Enrolment((), Details(name=name, vendor_data=name[-1])))
    for number, direction, hours in ((1, "in", 0.0), (1, "out", 8.5), (2, "in", 1.0), (2, "in", 2.0)):
        store.passages.note(Passage(number, Direction(direction), MORNING + hours * 3600.0, "r"))

    def run(*words):
        status = main(["--state", str(store.directory), "passage", *words])
        return status, capsys.readouterr().out

    return run


def test_working_hours_pair_in_and_out_and_guess_nothing(ask, monkeypatch):
    monkeypatch.setenv("KIOSK_SCHEDULE_TIME_ZONE", "Europe/Berlin")

    _, said = ask("export", "--since", "2026-01-01", "--until", "2026-01-05")

    rows = list(csv.DictReader(io.StringIO(said)))
    assert [(one["session_number"], one["hours"]) for one in rows] == [("1", "8.50"), ("2", ""), ("2", "")]
    assert rows[0]["entered"] == "2026-01-02 09:00:00+01:00"
    assert not rows[0]["name"].startswith("=")  # a spreadsheet would run it


def test_who_is_inside_is_by_name_and_a_correction_is_marked(ask, monkeypatch):
    monkeypatch.setenv("KIOSK_PASSAGE_FORGET_H", "0")

    assert [one["name"] for one in json.loads(ask("inside", "--json")[1])] == ["Person B"]
    ask("correct", "B", "out")

    assert ask("inside")[1] == "0 inside\n"
    assert "corrected by cli" in ask("list")[1]

"""Facts about decisions, their log and their outbox."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest

from kiosk.errors import StoreError
from kiosk.store import chain
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import Message, OutboxState
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.subjects import Enrolment
from kiosk.types import ClockState
from tests.store.stored import ANN, MODEL, NOW, Clock, enrolment, raw, template

# ---- decisions


def test_a_decision_is_found_again_by_every_filter(store: Store, clock: Clock) -> None:
    wanted = NewDecision(
        Kind.FACE_SEARCH,
        "In Review",
        score=81.2,
        session_number=1,
        warnings=("MULTIPLE_FACES_DETECTED",),
        thresholds={"similarity": 70.0},
        model=MODEL,
        gallery_size=12,
        vendor_data="vendor-ann",
        answer={"matches": [1]},
        details={"decided_by": "device", "reasons": ["several"]},
    )
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", score=80))
    clock.advance(10)
    entry = store.record_decision(wanted)
    clock.advance(10)
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Declined", score=3, vendor_data="else"))

    for narrow in (
        DecisionFilter(kinds=(Kind.FACE_SEARCH,)),
        DecisionFilter(status="In Review"),
        DecisionFilter(vendor_data="vendor-ann"),
        DecisionFilter(session_number=1),
        DecisionFilter(request_id=entry.request_id),
        DecisionFilter(date_from=NOW + 10, date_to=NOW + 20),
        DecisionFilter(why="MULTIPLE_FACES_DETECTED"),
        DecisionFilter(why="several"),
    ):
        page = store.decisions(narrow)
        assert page.total == 1
        assert page.decisions[0].entry == entry
        assert page.decisions[0].vendor_data == "vendor-ann"
        assert page.decisions[0].answer == {"matches": [1]}
    assert (entry.score, entry.gallery_size, entry.at) == (81.2, 12, NOW + 10)


def test_decisions_come_newest_first_and_in_pages(store: Store) -> None:
    seqs = [store.record_decision(NewDecision(Kind.VERIFY, "Approved")).seq for _ in range(5)]

    page = store.decisions(limit=2, offset=1)

    assert page.total == 5
    assert [row.entry.seq for row in page.decisions] == [seqs[3], seqs[2]]


def test_acts_are_no_decisions_unless_asked_for(store: Store) -> None:
    store.people.enrol(enrolment(1))

    assert store.decisions().total == 0
    assert store.decisions(DecisionFilter(kinds=())).total == 2


def test_a_record_tells_how_far_its_time_is_to_be_trusted(directory: Path, clock: Clock) -> None:
    with open_store(directory, read_keys(directory), now=clock, clock_state=lambda: ClockState.HOLDOVER) as store:
        assert store.record_act(Kind.SETTINGS).clock is ClockState.HOLDOVER


def test_a_decision_and_its_outbox_row_are_one_transaction(store: Store) -> None:
    message = Message("replay", {"image": "…", "vendor_data": "vendor-ann"})
    entry = store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", outbox=(message,)))

    (row,) = store.outbox.rows()

    assert (row.seq, row.request_id, row.state) == (entry.seq, entry.request_id, OutboxState.WAITING)
    assert row.payload == message.payload


def test_an_outbox_row_that_cannot_be_written_takes_its_decision_with_it(store: Store) -> None:
    before = store.verify_log().records
    message = Message("replay", {"picture": object()})

    with pytest.raises(TypeError):
        store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", outbox=(message,)))

    assert store.verify_log().records == before


def test_the_outbox_moves_from_waiting_to_sent(store: Store) -> None:
    for _ in range(3):
        store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", outbox=(Message("replay"),)))

    first = store.outbox.claim(NOW)
    assert first is not None
    store.outbox.postpone(first.id, NOW + 60, "HTTP 500")
    second = store.outbox.claim(NOW)
    assert second is not None
    store.outbox.settle(second.id, "remote-1")
    third = store.outbox.claim(NOW)
    assert third is not None
    store.outbox.reject(third.id, "HTTP 400")

    assert store.outbox.claim(NOW) is None
    again = store.outbox.claim(NOW + 60)
    assert again is not None
    assert (again.id, again.attempts, again.last_error) == (first.id, 2, "HTTP 500")
    sent = store.outbox.rows(OutboxState.SENT)[0]
    assert (sent.remote_request_id, sent.payload) == ("remote-1", None)
    assert store.outbox.counts() == {
        OutboxState.WAITING: 0,
        OutboxState.SENDING: 1,
        OutboxState.SENT: 1,
        OutboxState.REJECTED: 1,
        OutboxState.SUPERSEDED: 0,
    }


def test_a_row_that_was_sent_stays_sent(store: Store) -> None:
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", outbox=(Message("replay"),)))
    row = store.outbox.claim(NOW)
    assert row is not None
    store.outbox.settle(row.id, "remote-1")

    with pytest.raises(StoreError, match="was sent or dropped already"):
        store.outbox.postpone(row.id, NOW, "late answer")


# ---- the log


def test_the_log_of_a_working_store_is_intact(store: Store) -> None:
    store.people.enrol(enrolment(1))
    store.people.block(1)
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", vendor_data="x"))
    store.people.forget(1)

    verdict = store.verify_log()

    assert verdict.is_intact
    assert verdict.records == 5


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE log SET record = replace(record, 'Declined', 'Approved') WHERE seq = 3",
        "DELETE FROM log WHERE seq = 3",
        "INSERT OR REPLACE INTO log (seq, record, hash, signature) SELECT 3, record, hash, signature FROM log",
    ],
)
def test_the_database_itself_refuses_to_change_the_log(store: Store, directory: Path, sql: str) -> None:
    for _ in range(4):
        store.record_decision(NewDecision(Kind.FACE_MATCH, "Declined"))

    with raw(directory) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        pytest.param(
            "UPDATE log SET record = replace(record, 'Declined', 'Approved') WHERE seq = 3",
            "record 3 was edited",
            id="edit",
        ),
        pytest.param("DELETE FROM log WHERE seq = 3", "records 3 to 3 are missing", id="gap"),
        pytest.param("DELETE FROM log WHERE seq > 3", "records 4 to 5 are missing at the end", id="cut off"),
        pytest.param(
            "UPDATE log SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4);"
            "UPDATE log SET seq = -seq WHERE seq < 0",
            "record 4 stands in the place of record 3",
            id="reorder",
        ),
    ],
)
def test_an_attacker_past_the_triggers_is_found(store: Store, directory: Path, sql: str, fault: str) -> None:
    for _ in range(4):
        store.record_decision(NewDecision(Kind.FACE_MATCH, "Declined"))
    with raw(directory) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for trigger in ("log_is_never_changed", "log_is_never_cut", "log_only_grows"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in sql.split(";"):
            connection.execute(statement)

    assert fault in store.verify_log().faults


def test_a_cut_off_log_is_noticed_at_the_start_and_stays_on_record(directory: Path, clock: Clock) -> None:
    keys = read_keys(directory)
    with open_store(directory, keys, now=clock) as store:
        store.people.enrol_many([enrolment(seed) for seed in range(3)])
    with raw(directory) as connection:
        connection.execute("DROP TRIGGER log_is_never_cut")
        connection.execute("DELETE FROM log WHERE seq > 2")
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'subject'")

    with open_store(directory, keys, now=clock) as store:
        assert store.notices == ("log records 3 to 4 are lost",)
        assert "records 3 to 4 are missing" in store.verify_log().faults
        assert store.record_act(Kind.SETTINGS).seq == 6
        assert store.people.enrol(enrolment(9)).session_number == 4


def test_a_lost_head_file_is_noticed_once_and_stays_a_fault_of_the_log(directory: Path, clock: Clock) -> None:
    keys = read_keys(directory)
    with open_store(directory, keys, now=clock) as store:
        store.people.enrol(enrolment(1))
    (directory / HEAD_NAME).unlink()

    with open_store(directory, keys, now=clock) as store:
        assert len(store.notices) == 1
    with open_store(directory, keys, now=clock) as store:
        assert store.notices == ()
        assert [fault.split(" at ")[0] for fault in store.verify_log().faults] == ["the head file was missing"]


def test_an_exported_log_can_be_verified_elsewhere(store: Store) -> None:
    store.people.enrol(Enrolment([template(1)], ANN))
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", score=80, vendor_data="secret"))

    text = "".join(store.export_log("json"))

    rows = [json.loads(line) for line in text.splitlines()]
    log = [
        chain.Signed(row["seq"], row["record"], bytes.fromhex(row["hash"]), bytes.fromhex(row["signature"]))
        for row in rows
    ]
    assert chain.verify(log, public_key=store.vault.public_key).is_intact
    assert "secret" not in text
    assert "Ann" not in text


def test_the_log_exports_as_a_table(store: Store) -> None:
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", score=80, warnings=("A", "B"), vendor_data="secret"))

    rows = list(csv.DictReader(io.StringIO("".join(store.export_log("csv")), newline="")))

    assert [row["kind"] for row in rows] == ["INIT", "FACE_MATCH"]
    assert rows[1]["at"] == "2027-01-15T08:00:00.000Z"
    assert (rows[1]["score"], rows[1]["warnings"]) == ("80", "A B")


def test_an_older_head_never_replaces_a_newer_one(store: Store) -> None:
    old = store.head.read()
    store.record_act(Kind.SETTINGS)
    new = store.head.read()
    assert old is not None

    store.head.advance(old)  # as a slower process would

    assert store.head.read() == new
    slots = (store.directory / HEAD_NAME).read_bytes()
    assert len(slots) == chain.SLOTS * chain.SLOT_BYTES


def test_what_is_counted_over_time_is_read_from_one_index(store: Store, clock: Clock) -> None:
    """The pages count over a log of years: where each record is fetched and parsed, it takes four times as long."""
    for score in (79.4, 79.6, 101.0, None):
        clock.advance(3600)
        store.record_decision(NewDecision(Kind.IDENTIFY, "Approved", score=score))
    asked: list[str] = []
    with store.database.read() as connection:
        connection.set_trace_callback(asked.append)
    counted, spans = store.log.scores(NOW), store.log.tally(NOW, 7200.0)
    with store.database.read() as connection:
        connection.set_trace_callback(None)
        questions = [one for one in asked if one.startswith("SELECT")]
        plans = [connection.execute(f"EXPLAIN QUERY PLAN {one}").fetchall()[0][3] for one in questions]

    assert (counted, spans) == (
        [("IDENTIFY", 79, 2), ("IDENTIFY", 101, 1)],
        [(0, "Approved", 1), (1, "Approved", 2), (2, "Approved", 1)],
    )
    assert plans == ["SEARCH log USING INDEX log_counted (at>?)"] * 2

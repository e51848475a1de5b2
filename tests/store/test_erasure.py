"""Facts about forgetting: what is gone, and what is left."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.store import chain
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import open_store
from kiosk.store.erasure import SAMPLE_BYTES, SCAN_BYTES, holds_any
from kiosk.store.keys import read_keys
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.store.outbox import Message, OutboxState
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import ClockState
from tests.store.stored import ANN, DAY, NOW, Clock, enrolment, files_with, needles, raw, template

# ---- forgetting


def test_neither_vector_nor_name_is_ever_in_a_file(store: Store, directory: Path) -> None:
    store.people.enrol(Enrolment([template(1)], ANN, images=[b"JFIF-photograph-of-ann"]))
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", vendor_data="vendor-ann", subjects=(1,)))

    for needle in needles():
        assert files_with(directory, needle) == []


def test_after_forget_not_even_the_ciphertext_is_left(store: Store, directory: Path) -> None:
    store.people.enrol_many([enrolment(seed) for seed in range(40)])
    ann = store.people.enrol(Enrolment([template(1)] * 3, ANN, images=[b"jpeg" * 3000]))
    store.record_decision(
        NewDecision(
            Kind.FACE_MATCH,
            "Approved",
            score=88,
            session_number=ann.session_number,
            vendor_data="vendor-ann",
            answer={"name": "Ann"},
            outbox=(Message("replay", {"image": "x" * 9000}),),
        )
    )
    with raw(directory) as connection:
        sealed = [
            row[0]
            for sql in (
                "SELECT details FROM subject WHERE session_number = 41",
                "SELECT template FROM reference WHERE subject = 41",
                "SELECT jpeg FROM image",
                "SELECT sealed FROM log_private",
                "SELECT payload FROM outbox",
            )
            for row in connection.execute(sql)
        ]
    assert len(sealed) == 7

    receipt = store.people.forget(ann.session_number)

    assert receipt.is_complete
    for content in sealed:
        for start in range(0, len(content) - 16, max(len(content) // 7, 1)):
            assert files_with(directory, content[start : start + 16]) == []
    for needle in needles():
        assert files_with(directory, needle) == []


def test_forgetting_at_random_leaves_no_ciphertext(store: Store, directory: Path) -> None:
    rng = np.random.default_rng(5)
    store.people.enrol_many([enrolment(seed, Details(name="n" * int(rng.integers(400)))) for seed in range(300)])
    with raw(directory) as connection:
        rows = connection.execute(
            "SELECT subject, template, details FROM reference JOIN subject ON session_number = subject"
        ).fetchall()

    gone = [rows[place] for place in rng.permutation(300)[:40]]
    for number, _, _ in gone:
        store.people.forget(number)

    content = b"".join(path.read_bytes() for path in directory.iterdir())
    for _, sealed_template, details in gone:
        assert sealed_template[:16] not in content
        assert details[-16:] not in content


def test_after_forget_the_log_keeps_status_and_score_only(store: Store) -> None:
    store.people.enrol(Enrolment([template(1)], ANN))
    store.people.enrol(enrolment(2))
    kept = store.record_decision(
        NewDecision(Kind.FACE_SEARCH, "In Review", score=88.5, subjects=(1, 2), answer={"name": "Ann"})
    )
    by_vendor = store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", score=70, vendor_data="vendor-ann"))
    other = store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", vendor_data="v2", answer={"name": "Bob"}))

    store.people.forget(1)

    rows = {row.entry.request_id: row for row in store.decisions().decisions}
    for entry in (kept, by_vendor):
        row = rows[entry.request_id]
        assert (row.entry.status, row.entry.score) == (entry.status, entry.score)
        assert (row.vendor_data, row.answer) == (None, None)
    assert rows[other.request_id].answer == {"name": "Bob"}
    assert store.decisions(DecisionFilter(vendor_data="vendor-ann")).total == 0
    assert store.verify_log().is_intact
    assert store.people.find("vendor-ann") == ()


def test_of_two_people_with_one_vendor_data_only_the_forgotten_ones_answers_go(store: Store, directory: Path) -> None:
    for seed in (1, 2):
        store.people.enrol(enrolment(seed, Details(name=f"Person {seed}", vendor_data="flat-7")))

    def answered(number: int | None, *, subjects: tuple[int, ...] = ()) -> str:
        made = NewDecision(
            Kind.FACE_SEARCH,
            "Approved",
            session_number=number,
            subjects=subjects,
            vendor_data="flat-7",
            answer={"of": number},
            outbox=(Message("replay", {"of": number}),),
        )
        return store.record_decision(made).request_id

    first, second = answered(1), answered(2)
    listed, both, nobodys = answered(None, subjects=(2,)), answered(2, subjects=(1, 2)), answered(None)

    assert store.people.forget(1).is_complete

    kept = {row.entry.request_id: row.answer for row in store.decisions().decisions}
    assert (kept[second], kept[listed]) == ({"of": 2}, {"of": None})
    assert [kept[one] for one in (first, both, nobodys)] == [None, None, None]  # the last may be about the first
    waiting = {row.request_id for row in store.outbox.rows() if row.payload is not None}
    assert waiting == {second, listed}

    store.people.forget(2)
    assert all(row.answer is None for row in store.decisions().decisions)
    assert files_with(directory, b"flat-7") == []


def test_of_two_people_with_one_vendor_data_the_session_that_found_the_other_stays(store: Store) -> None:
    for seed in (1, 2):
        store.people.enrol(enrolment(seed, Details(vendor_data="flat-7")))
    for session_id, number in (("of the first", 1), ("of the second", 2), ("of nobody", None)):
        session = OpenSession(session_id, NOW + DAY, {"vendor_data": "flat-7"})
        made = NewDecision(Kind.FACE_MATCH, "Approved", session_number=number, request_id=session_id)
        store.record_decision(made, change=store.sessions.inserting(session, f"token {session_id}"))

    store.people.forget(1)

    found = {one: store.sessions.by_id(f"of {one}") is not None for one in ("the first", "the second", "nobody")}
    assert found == {"the first": False, "the second": True, "nobody": False}


def test_forgetting_takes_the_person_out_of_the_outbox(store: Store) -> None:
    store.people.enrol(Enrolment([template(1)], ANN))
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", session_number=1, outbox=(Message("replay"),)))

    store.people.forget(1)

    (row,) = store.outbox.rows()
    assert (row.state, row.payload) == (OutboxState.SUPERSEDED, None)


def test_an_erased_call_leaves_status_and_score_and_no_ciphertext(store: Store, directory: Path) -> None:
    sent = Message("replay", {"fields": {}}, photographs={"user_image": b"JFIF of the call"})
    call = store.record_decision(
        NewDecision(Kind.FACE_MATCH, "Declined", score=12, answer={"name": "Bob"}, vendor_data="v", outbox=(sent,))
    )
    review = NewDecision(Kind.REVIEW, "Approved", answer={"reason": "It is Bob"}, details={"of": call.request_id})
    store.record_decision(review)
    other = store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", answer={"name": "Ann"}))
    with raw(directory) as connection:
        sealed = [row for (row,) in connection.execute("SELECT sealed FROM outbox_image")]
        sealed += [row for (row,) in connection.execute("SELECT sealed FROM log_private WHERE seq < ?", (other.seq,))]

    assert store.erase_call(call.request_id, actor="anna")
    assert not store.erase_call(call.request_id)

    rows = {row.entry.request_id: row for row in store.decisions().decisions}
    assert (rows[call.request_id].entry.status, rows[call.request_id].entry.score) == ("Declined", 12)
    assert rows[call.request_id].answer is None
    assert rows[other.request_id].answer == {"name": "Ann"}
    assert store.decisions(DecisionFilter(is_kept=True)).total == 1
    reviewed = store.log.review_of(call.request_id)
    assert reviewed is not None
    assert reviewed.answer is None
    (waiting,) = store.outbox.rows()
    assert (waiting.state, waiting.payload) == (OutboxState.SUPERSEDED, None)
    assert len(sealed) == 3
    assert not any(files_with(directory, one[:SAMPLE_BYTES]) for one in sealed)
    assert store.verify_log().is_intact


def test_the_receipt_is_signed_and_names_nobody(store: Store) -> None:
    ann = store.people.enrol(Enrolment([template(1)], ANN))

    receipt = store.people.forget(ann.session_number)

    assert chain.receipt_holds(receipt.text, store.vault.public_key)
    body = json.loads(receipt.text)["receipt"]
    assert body["erased"] == {"reference": 1, "subject": 1}
    assert "Ann" not in receipt.text


def test_what_a_reader_held_up_is_erased_at_the_next_start(directory: Path, clock: Clock) -> None:
    keys = read_keys(directory)
    with open_store(directory, keys, now=clock, busy_s=0.0) as store:
        number = store.people.enrol(Enrolment([template(1)], ANN)).session_number
        with raw(directory) as reader:
            reader.execute("BEGIN")
            sealed = reader.execute("SELECT template FROM reference").fetchone()[0]
            receipt = store.people.forget(number)

        assert not receipt.is_complete
        assert store.people.subject(number) is None

    open_store(directory, keys, now=clock).close()
    assert files_with(directory, sealed[:16]) == []
    assert (directory / "erasures.jsonl").read_text().count("session_id") == 1


def test_an_erasure_cut_short_is_finished_at_the_next_start(directory: Path, clock: Clock) -> None:
    keys = read_keys(directory)
    with open_store(directory, keys, now=clock) as store:
        store.people.enrol(Enrolment([template(1)], ANN))
        store.people.forget(1)
    (directory / "erasures.jsonl").unlink()  # as if killed just before it was written
    with raw(directory) as connection:
        connection.execute("INSERT INTO kiosk VALUES ('unclean', '1')")

    open_store(directory, keys, now=clock).close()

    assert (directory / "erasures.jsonl").read_text().count("session_id") == 1


def test_the_sweep_forgets_whose_time_is_over(store: Store, clock: Clock) -> None:
    store.people.enrol(replace(enrolment(1), retention_until=NOW + DAY))
    store.people.enrol(replace(enrolment(2), retention_until=NOW + 2 * DAY))
    store.people.enrol(enrolment(3))

    clock.advance(DAY)
    assert store.people.sweep() == ()  # exactly at the date they are kept
    clock.advance(1)
    receipts = store.people.sweep()

    assert [receipt.session_number for receipt in receipts] == [1]
    assert [one.session_number for one in store.people.subjects().subjects] == [2, 3]
    row = store.decisions(DecisionFilter(kinds=(Kind.FORGET,))).decisions[0]
    assert row.entry.actor == "sweep"


def test_whoever_was_enrolled_in_1970_is_kept_as_long_as_everybody_once_the_clock_is_set(directory: Path) -> None:
    keys, clock = read_keys(directory), Clock()
    states = [ClockState.UNTRUSTED]
    clock.now = 40.0  # a start without a battery
    with open_store(directory, keys, now=clock, clock_state=lambda: states[0], retention_s=100 * DAY) as store:
        store.people.enrol(enrolment(1))
        store.people.enrol(replace(enrolment(2), retention_until=NOW - DAY))  # a date that somebody named
        clock.now, states[0] = NOW, ClockState.SYNCED

        assert [one.session_number for one in store.people.sweep()] == [2]

        store.people.block(1)  # the first record whose time is good
        clock.advance(99 * DAY)
        assert store.people.sweep() == ()
        clock.advance(2 * DAY)
        assert [one.session_number for one in store.people.sweep()] == [1]


def test_where_no_clock_was_ever_good_the_date_counts_as_it_is(directory: Path) -> None:
    clock = Clock()
    with open_store(directory, read_keys(directory), now=clock, retention_s=100 * DAY) as store:
        store.people.enrol(enrolment(1))
        clock.advance(101 * DAY)

        assert [one.session_number for one in store.people.sweep()] == [1]


@pytest.mark.parametrize(
    "start", [0, 1, 2, 4095, *range(SCAN_BYTES - 17, SCAN_BYTES + 2), 2 * SCAN_BYTES - SAMPLE_BYTES]
)
def test_the_search_for_residues_finds_a_sample_at_any_place(start: int) -> None:
    rng = np.random.default_rng(1)
    samples = [rng.bytes(SAMPLE_BYTES) for _ in range(300)]
    content = bytearray(rng.bytes(2 * SCAN_BYTES))
    assert not holds_any(io.BytesIO(content), frozenset(samples))

    content[start : start + SAMPLE_BYTES] = samples[17]

    assert holds_any(io.BytesIO(content), frozenset(samples))
    assert not holds_any(io.BytesIO(content), frozenset(samples[20:]))


@pytest.mark.parametrize("content", [b"", b"x", b"xy", b"x" * 15])
def test_a_file_shorter_than_a_sample_holds_none(content: bytes) -> None:
    assert not holds_any(io.BytesIO(content), frozenset([b"x" * SAMPLE_BYTES]))

"""Facts about what one person is given of the store: all that is held about them, and nothing of anybody else."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from types import MappingProxyType

import pytest

from kiosk.didit import contract
from kiosk.errors import StoreError
from kiosk.rules.cards import read_card
from kiosk.rules.passage import Direction
from kiosk.rules.passes import VisitorPass
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.factors.pins import Entered, make_pins
from kiosk.store.fleet.shared import Parked, Shared
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.store.outbox import Message
from kiosk.store.passages.passages import Passage
from kiosk.store.passes.passes import KeptPass
from kiosk.store.remote_lists import Lists
from kiosk.store.subjects import Details, Enrolment, ImportedFile
from kiosk.store.upkeep.holdings import NOT_ABOUT_A_PERSON, READERS, holdings
from tests.store.stored import DAY, NOW, raw, template

UNNAMED = {"_sqlite_migrations", "sqlite_sequence", "sqlite_stat1"}
A, B = "alpha", "beta"
PINS = make_pins("4711", "8299", MappingProxyType({"n": 2, "r": 1, "p": 1}))
STEPS = ("group", "matched", "searched", "expected", "reviewed", "sent", "blocked", "found", "pass")
"""What a person's marks are in: each is a text that nothing else holds."""

COLUMNS = {
    "subject": "session_number session_id verification_date status is_blocklisted is_allowlisted source "
    "external_id valid_from valid_until retention_until vendor_lookup document_lookup details row_check",
    "reference": "id subject model template quality created_at",
    "image": "id subject jpeg created_at",
    "factor": "id subject card_lookup sealed",
    "passage": "id subject direction at request_id corrected_by row_check",
    "secret": "id name sealed",
    "log": "seq record hash signature request_id kind status at session_number of_id points",
    "log_private": "seq vendor_lookup sealed",
    "log_subject": "subject seq",
    "factor_note": "id seq sealed",
    "review_image": "id seq name kept_at sealed",
    "session": "id session_id token_hash opened_seq expires_at version is_over vendor_lookup sealed",
    "outbox": "id seq policy state attempts next_attempt_at "
    "remote_request_id last_error payload person created_at doubt_from looks",
    "outbox_image": "id outbox name sealed",
    "import_file": "run file modified_ns outcome subject",
    "list_entry": "list entry subject",
    "list_staged": "id list entry sealed",
    "erasure": "session_id session_number seq forgotten_at receipt",
    "change": "version subject origin",
    "fleet_document": "id person origin version sealed is_whole",
    "fleet_envelope": "person origin envelope",
    "fleet_parked": "person origin envelope why",
    "fleet_wanted": "person",
    "fleet_duplicate": "first second score found_at",
}
"""The columns that were looked at as the readers were written; lookups, checks and positions tell nothing more."""


def mark(who, what):
    return f"{who}-{what}-{who}"


def card_of(seed):
    return read_card(f"12-{5000 + seed}")


def row_of(who, subject):
    return {
        "session_number": subject.session_number,
        "session_id": subject.session_id,
        "vendor_data": mark(who, "code"),
    }


def live(store, who, seed):
    """Let everything happen to a person that leaves something in a table."""
    run = store.imports.begin(f"people of {who}")
    entry = str(uuid.UUID(int=seed))
    Lists(store).stage("list", entry, template(seed), outcome="new")
    subject = store.people.enrol(
        Enrolment(
            [template(seed), template(seed + 1)],
            Details(
                name=mark(who, "name"),
                document_number=mark(who, "document"),
                vendor_data=mark(who, "code"),
                groups=(mark(who, "group"),),
                consent_version=mark(who, "consent"),
                consent_at=NOW,
            ),
            images=[mark(who, "photograph").encode()],
            external_id=entry,
        ),
        imported=ImportedFile(run, f"{who}.jpg", 1, "enrolled"),
    )
    number = subject.session_number
    shown = VisitorPass(
        bytes(10), seed.to_bytes(8, "big"), int(NOW), int(NOW), int(NOW) + 60, person=subject.session_id
    )
    store.passes.issue(KeptPass(shown, shown.text(bytes(64)), mark(who, "pass")), actor="cli")
    with store.database.write() as connection:
        connection.execute("INSERT INTO list_entry (list, entry, subject) VALUES ('list', ?, ?)", (entry, number))
    matched = store.record_decision(
        NewDecision(
            Kind.FACE_MATCH,
            "In Review",
            score=71.0,
            vendor_data=mark(who, "code"),
            answer={"face_match": {"status": "In Review", "note": mark(who, "matched")}},
            images={"probe": mark(who, "probe").encode()},
            outbox=(Message("replay", {"note": mark(who, "sent")}, {"user_image": b"jpeg"}, person=who),),
        )
    )
    store.record_decision(
        NewDecision(
            Kind.REVIEW,
            "Approved",
            details={"of": matched.request_id, "decision": "approve"},
            answer={"reason": mark(who, "reviewed")},
            actor="0123-operator",
        )
    )
    store.factors.give(number, card=card_of(seed), pins=PINS)
    store.factors.suspend(number, NOW + DAY)
    store.passages.note(Passage(number, Direction.IN, NOW, matched.request_id))
    store.passages.note(Passage(number, Direction.OUT, NOW + 60, "", "0123-operator"))
    store.people.block(number, reason=mark(who, "blocked"))
    session = OpenSession(
        str(uuid.UUID(int=seed + 1000)),
        NOW + DAY,
        {"vendor_data": mark(who, "code"), "actor": "0123-operator", "asked": {"metadata": mark(who, "expected")}},
    )
    store.record_decision(
        NewDecision(Kind.SESSION_STATUS, "Not Started", details={"of": session.session_id}),
        change=store.sessions.inserting(session, f"token of {who}"),
    )
    erased = store.record_decision(NewDecision(Kind.FACE_MATCH, "Declined", vendor_data=mark(who, "code"), answer={}))
    with store.database.write() as connection:
        connection.execute(
            "INSERT INTO erasure (session_id, session_number, seq, forgotten_at) VALUES (?, 0, ?, ?)",
            (erased.request_id, erased.seq, NOW),
        )
    return subject


@pytest.fixture
def people(store):
    """Two people who meet in two searches: in each the other is listed below."""
    shared = Shared(store)
    shared.begin("kiosk-one")
    one, two = live(store, A, 10), live(store, B, 20)
    for who, mine, other, its in ((A, one, B, two), (B, two, A, one)):
        answer = {"face_search": {"total_matches": 2, "matches": [row_of(who, mine), row_of(other, its)]}}
        store.record_decision(
            NewDecision(
                Kind.FACE_SEARCH,
                "Approved",
                score=91.0,
                session_number=mine.session_number,
                subjects=(mine.session_number, its.session_number),
                vendor_data=mark(who, "code"),
                answer={**answer, "metadata": {"note": mark(who, "searched")}},
            )
        )
        shared.apply([], parked=[Parked(mine.session_id, "kiosk-two", b"sealed", "key")], source="hub", seq=9)
        waiting = NewDecision(
            Kind.IDENTIFY,
            "In Review",
            session_number=mine.session_number,
            images={"probe": mark(who, "face").encode()},
            answer={"face_search": {"matches": [row_of(who, mine)], "note": mark(who, "found")}},
            subjects=(mine.session_number,),
            entered=Entered.DURESS,
        )
        store.record_decision(waiting)
        with store.database.write() as connection:
            connection.execute(
                "INSERT INTO fleet_envelope (person, origin, envelope) VALUES (?, 'kiosk-two', x'00')",
                (mine.session_id,),
            )
            connection.execute("INSERT INTO fleet_wanted (person) VALUES (?)", (mine.session_id,))
    with store.database.write() as connection:
        connection.execute(
            "INSERT INTO fleet_duplicate (first, second, score, found_at) VALUES (?, ?, 88.0, ?)",
            (*sorted((one.session_id, two.session_id)), NOW),
        )
    return one, two


def told(store, subject):
    return holdings(store.database, store.vault, subject.session_number)


def test_every_table_is_either_read_or_has_its_reason(store):
    with raw(store.directory) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    assert READERS.keys() | NOT_ABOUT_A_PERSON.keys() == tables - UNNAMED
    assert READERS.keys().isdisjoint(NOT_ABOUT_A_PERSON)


def test_everything_held_about_a_person_is_told_from_every_table(store, people):
    found = told(store, people[0])

    assert set(found) == set(READERS)
    text = json.dumps(found)
    assert [what for what in ("name", "document", "code", "consent", *STEPS) if mark(A, what) not in text] == []
    assert [len(found[table]) for table in ("reference", "image", "session", "fleet_document")] == [2, 1, 1, 1]


def test_nothing_of_anybody_else_is_told(store, people):
    for mine, others in ((people[0], B), (people[1], A)):
        text = json.dumps(told(store, mine))
        other = people[1] if mine is people[0] else people[0]

        assert f"{others}-" not in text
        assert other.session_id not in text
        assert f'"session_number": {other.session_number}' not in text
        assert "0123-operator" not in text  # who works here is no part of it


def test_no_template_and_no_undecided_face_is_handed_out(store, people):
    found = told(store, people[0])

    assert {"vector", "template"}.isdisjoint(found["reference"][0])
    assert found["reference"][0]["numbers"] == template(10).vector.size
    assert "jpeg" not in found["review_image"][0]
    assert list(found["fleet_document"][0]["says"]["references"][0]) == ["model", "numbers", "quality", "created_at"]


def test_card_suspension_and_passages_are_told_and_of_pins_and_entries_only_that_they_are(store, people):
    found = told(store, people[0])

    assert found["factor"] == [
        {"card": card_of(10).text, "has_pin": True, "suspended_until": contract.timestamp(NOW + DAY)}
    ]
    ways = [(row["direction"], row["at"], row["told_by"]) for row in found["passage"]]
    assert ways == [
        ("in", contract.timestamp(NOW), None),
        ("out", contract.timestamp(NOW + 60), "an operator, or a program with a key"),
    ]
    assert [set(row) for row in found["factor_note"]] == [{"seq"}]
    assert found["fleet_duplicate"] == [{"score": 88.0, "found_at": contract.timestamp(NOW)}]
    text = json.dumps(found)
    assert "duress" not in text
    assert card_of(20).text not in text


def test_in_a_search_about_somebody_else_they_are_told_no_more_than_that_they_were_compared(store, people):
    found = told(store, people[0])
    (elsewhere,) = [row for row in found["log"] if "role" in row]
    (answer,) = [row for row in found["log_private"] if row["seq"] == elsewhere["seq"]]

    assert {"status", "score", "details"}.isdisjoint(elsewhere)
    assert [row["session_number"] for row in answer["answer"]["matches"]] == [people[0].session_number]


def test_the_review_of_a_call_for_anothers_code_stays_the_others(store, people):
    about = store.record_decision(
        NewDecision(
            Kind.FACE_SEARCH,
            "In Review",
            score=75.0,
            session_number=people[0].session_number,
            subjects=(people[0].session_number,),
            vendor_data="the code of somebody who is not enrolled",
            answer={"face_search": {"matches": [row_of(A, people[0])], "note": "about the caller"}},
        )
    )
    store.record_decision(
        NewDecision(Kind.REVIEW, "Declined", details={"of": about.request_id}, answer={"reason": "a stranger's reason"})
    )

    text = json.dumps(told(store, people[0]))

    assert "not enrolled" not in text
    assert "about the caller" not in text
    assert "a stranger's reason" not in text


def at_the_door(store, subject, what):
    return store.record_decision(
        NewDecision(
            Kind.IDENTIFY,
            "Approved",
            score=93.0,
            session_number=subject.session_number,
            subjects=(subject.session_number,),
            vendor_data=subject.details.vendor_data,
            answer={"note": what},
        )
    )


def test_of_two_people_with_one_code_neither_is_told_what_is_the_others(store):
    one, two = (
        store.people.enrol(Enrolment([template(seed)], Details(name=who, vendor_data="one code for both")))
        for who, seed in ((A, 10), (B, 20))
    )
    at_the_door(store, one, "alpha at the door")
    first = at_the_door(store, two, "beta at the door")
    store.record_decision(
        NewDecision(Kind.REVIEW, "Declined", details={"of": first.request_id}, answer={"reason": "about beta"})
    )
    session = OpenSession(str(uuid.UUID(int=7)), NOW + DAY, {"vendor_data": "one code for both", "found": "beta's"})
    store.record_decision(
        NewDecision(Kind.SESSION_STATUS, "Not Started", details={"of": session.session_id}),
        change=store.sessions.inserting(session, "token"),
    )
    store.record_decision(
        NewDecision(Kind.FACE_MATCH, "Approved", vendor_data="one code for both", answer={"note": "of beta perhaps"})
    )

    found = told(store, one)
    text = json.dumps(found)

    assert "alpha at the door" in text
    assert "beta" not in text
    assert "session" not in found
    assert {row.get("score") for row in found["log"] if row["kind"] == "IDENTIFY"} == {93.0}
    assert len([row for row in found["log"] if row["kind"] == "IDENTIFY"]) == 1
    assert found["subject"][0]["others_have_this_vendor_data"] is True


def test_a_code_that_was_somebody_elses_tells_nothing_of_their_days_at_the_door(store):
    one, two = (
        store.people.enrol(Enrolment([template(seed)], Details(name=who, vendor_data=code)))
        for who, seed, code in ((A, 10, "alpha's"), (B, 20, "handed on"))
    )
    at_the_door(store, two, "beta at the door")
    store.people.patch(
        two.session_number, lambda known: replace(known, details=replace(known.details, vendor_data=None))
    )
    store.people.patch(
        one.session_number, lambda known: replace(known, details=replace(known.details, vendor_data="handed on"))
    )

    found = told(store, one)

    assert "beta" not in json.dumps(found)
    assert [row for row in found["log"] if row["kind"] == "IDENTIFY"] == []


def test_no_column_came_that_nobody_looked_at(store):
    with raw(store.directory) as connection:
        columns = {table: {row[1] for row in connection.execute(f"PRAGMA table_xinfo({table})")} for table in READERS}

    assert {table: sorted(found ^ set(COLUMNS[table].split())) for table, found in columns.items()} == {
        table: [] for table in READERS
    }, "say in holdings.py what the new column tells about a person, then name it here"


def test_nobody_has_no_holdings(store):
    with pytest.raises(StoreError, match="nobody"):
        holdings(store.database, store.vault, 7)

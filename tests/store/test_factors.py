"""Cards and PINs: sealed, found, forgotten, and the same to look at whether there was duress or not."""

import pytest

from kiosk.errors import RefusedError, StoreError
from kiosk.rules.cards import read_card
from kiosk.rules.passage import Direction
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.factors.factors import Factors
from kiosk.store.factors.pins import Entered, make_pins
from kiosk.store.keys import read_keys
from kiosk.store.passages.passages import Passage, drop_older
from kiosk.store.subjects import Details, Enrolment
from kiosk.store.upkeep.check import inspect
from kiosk.store.upkeep.rekey import rekey

CHEAP = {"n": 4, "r": 1, "p": 1}
CARD = read_card("12-3456")


def person(store, name="Person A"):
    return store.people.enrol(Enrolment((), Details(name=name))).session_number


def test_a_card_finds_its_person_and_nobody_elses(store):
    ann, ben = person(store), person(store, "Person B")

    store.factors.give(ann, card=CARD)

    assert store.factors.whose(CARD) == ann
    assert store.factors.whose(read_card("12-3457")) is None
    with pytest.raises(RefusedError, match="somebody else"):
        store.factors.give(ben, card=CARD)
    store.factors.take(ann, card=True)
    assert store.factors.whose(CARD) is None
    assert store.factors.read(ann) == Factors()


def test_card_and_pin_are_given_apart_and_named_in_the_log_without_their_digits(store):
    ann = person(store)
    pins = make_pins("4711", "4829", CHEAP)

    store.factors.give(ann, pins=pins)
    store.factors.give(ann, card=CARD)

    assert store.factors.read(ann) == Factors(CARD, pins)
    text = "".join(store.export_log("json"))
    changes = store.decisions(DecisionFilter(kinds=(Kind.PATCH,))).decisions
    assert [one.entry.details["changed"] for one in changes] == [["card"], ["pin"]]
    assert "12-3456" not in text
    assert "4711" not in (store.directory / "kiosk.db").read_bytes().decode("latin-1")


def test_what_was_entered_is_kept_in_one_size_and_told_of_duress_alone(store):
    ann = person(store)
    for entered in (Entered.PIN, Entered.DURESS, None):
        store.record_decision(
            NewDecision(Kind.IDENTIFY, "Approved", session_number=ann, subjects=(ann,), entered=entered)
        )

    (note,) = store.factors.notes()

    assert (note.session_number, note.entered) == (ann, Entered.DURESS)
    assert store.factors.notes(since=note.at) == (note,)
    assert store.factors.notes(since=note.at + 1.0) == ()
    with store.database.read() as connection:
        sizes = {size for (size,) in connection.execute("SELECT length(sealed) FROM factor_note")}
    assert len(sizes) == 1
    assert "duress" not in "".join(store.export_log("json"))


def test_whoever_is_forgotten_leaves_no_card_no_pin_and_no_note(store):
    ann = person(store)
    store.factors.give(ann, card=CARD, pins=make_pins("4711", None, CHEAP))
    store.record_decision(NewDecision(Kind.IDENTIFY, "Approved", session_number=ann, entered=Entered.DURESS))

    store.people.forget(ann)

    assert store.factors.whose(CARD) is None
    assert store.factors.notes() == ()


def test_an_erased_decision_leaves_no_note_of_what_was_entered(store):
    decided = store.record_decision(
        NewDecision(Kind.IDENTIFY, "Approved", session_number=person(store), answer={}, entered=Entered.DURESS)
    )

    assert store.erase_call(decided.request_id)
    assert store.factors.notes() == ()
    with store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM factor_note").fetchone() == (0,)


def test_another_key_seals_and_finds_them_anew(store):
    ann = person(store)
    store.factors.give(ann, card=CARD)
    store.record_decision(NewDecision(Kind.IDENTIFY, "Approved", session_number=ann, entered=Entered.DURESS))
    directory = store.directory
    store.close()

    rekey(directory, read_keys(directory), now=lambda: 1_800_000_000.0)
    from kiosk.store.directory import open_store

    with open_store(directory, read_keys(directory), now=lambda: 1_800_000_000.0) as again:
        assert again.factors.whose(CARD) == ann
        assert len(again.factors.notes()) == 1
        assert inspect(again.database, directory / "head", read_keys(directory)).damage == ()


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        ("UPDATE factor SET subject = 3 - subject + 90; UPDATE factor SET subject = subject - 90", "changed"),
        ("UPDATE factor SET card_lookup = NULL WHERE subject = 1", "another card"),
        ("DELETE FROM factor WHERE subject = 2", "never taken"),
    ],
)
def test_a_row_that_is_edited_without_the_key_is_found_and_gives_nobody_anything(store, edit, fault):
    ann, ben = person(store), person(store, "Person B")
    store.factors.give(ann, card=CARD, pins=make_pins("4711", None, CHEAP))
    store.factors.suspend(ben, 1_900_000_000.0)
    assert inspect(store.database, store.directory / "head", read_keys(store.directory)).rows == ()

    with store.database.alone() as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in edit.split(";"):
            connection.execute(statement)

    found = inspect(store.database, store.directory / "head", read_keys(store.directory)).rows
    assert any(fault in one for one in found)
    if fault == "changed":
        for number in (ann, ben):
            with pytest.raises(StoreError, match="changed"):
                store.factors.read(number)
        with pytest.raises(StoreError, match="changed"):
            store.factors.whose(CARD)


def test_a_note_that_was_put_beside_another_decision_accuses_nobody(store):
    ann = person(store)
    for entered in (Entered.DURESS, Entered.PIN):
        store.record_decision(NewDecision(Kind.IDENTIFY, "Approved", session_number=ann, entered=entered))

    with store.database.alone() as connection:
        connection.execute("UPDATE factor_note SET seq = (SELECT sum(seq) FROM factor_note) - seq")

    with pytest.raises(StoreError, match="changed"):
        store.factors.notes()
    found = inspect(store.database, store.directory / "head", read_keys(store.directory)).rows
    assert [one for one in found if "factor_note" in one]


def test_a_card_that_was_put_beside_another_row_reads_as_nobodys(store):
    ann, ben = person(store), person(store, "Person B")
    store.factors.give(ann, card=CARD)
    store.factors.give(ben, pins=make_pins("4711", None, CHEAP))

    with store.database.alone() as connection:
        lookup = connection.execute("SELECT card_lookup FROM factor WHERE subject = ?", (ann,)).fetchone()[0]
        connection.execute("UPDATE factor SET card_lookup = NULL WHERE subject = ?", (ann,))
        connection.execute("UPDATE factor SET card_lookup = ? WHERE subject = ?", (lookup, ben))

    assert store.factors.whose(CARD) is None


def test_an_edited_passage_is_found_and_another_key_does_not_sign_it(store):
    ann, directory = person(store), store.directory
    store.passages.note(Passage(ann, Direction.IN, 1_800_000_000.0, "r1"))
    assert inspect(store.database, directory / "head", read_keys(directory)).rows == ()

    with store.database.alone() as connection:
        connection.execute("UPDATE passage SET direction = 'out'")

    assert inspect(store.database, directory / "head", read_keys(directory)).rows == (
        "passage 1 was changed or damaged",
    )
    store.close()
    with pytest.raises(StoreError, match="passage 1 was changed"):
        rekey(directory, read_keys(directory), now=lambda: 1_800_000_000.0)


def test_a_passage_by_a_wrong_clock_stays_as_long_as_its_record(store):
    ann = person(store)
    decided = store.record_decision(NewDecision(Kind.IDENTIFY, "Approved", session_number=ann))
    for request_id, corrected_by in ((decided.request_id, ""), ("", "cli"), ("long gone", "")):
        store.passages.note(Passage(ann, Direction.IN, 5.0, request_id, corrected_by))

    with store.database.write() as connection:
        assert drop_older(connection, 1_700_000_000.0) == 2

    assert [one.request_id for one in store.passages.inside()] == [decided.request_id]


@pytest.mark.parametrize(
    ("digits", "entered"),
    [("4711", Entered.PIN), ("4829", Entered.DURESS), ("4712", Entered.WRONG), ("", Entered.WRONG)],
)
def test_an_entry_is_one_of_three(digits, entered):
    assert make_pins("4711", "4829", CHEAP).check(digits, CHEAP) is entered


def test_who_has_no_duress_pin_cannot_enter_one():
    pins = make_pins("4711", None, CHEAP)

    assert {pins.check(f"{number:04}", CHEAP) for number in range(10_000)} == {Entered.PIN, Entered.WRONG}
    assert len(pins.as_dict()["duress"]) == len(make_pins("4711", "4829", CHEAP).as_dict()["duress"])


@pytest.mark.parametrize(
    "pair",
    [
        ("123", None),
        ("1234", None),
        ("9876", None),
        ("7777", None),
        ("47a1", None),
        ("4711", "4712"),
        ("4711", "48291"),
    ],
)
def test_simple_and_alike_pins_are_refused(pair):
    with pytest.raises(ValueError, match="PIN"):
        make_pins(pair[0], pair[1], CHEAP)

"""Two enrolments of one face at two kiosks: every kiosk shows the pair, one decision closes it everywhere."""

from dataclasses import replace

import pytest

from kiosk.errors import RefusedError
from kiosk.rules.cards import read_card
from kiosk.rules.passage import Direction
from kiosk.store.fleet.duplicates import Duplicates
from kiosk.store.keys import read_keys
from kiosk.store.passages.passages import Passage
from kiosk.store.subjects import SESSION, Details, Enrolment
from kiosk.store.upkeep import check
from kiosk.types import Status
from tests.store.stored import template
from tests.store.test_fleet_shared import hub, kiosks, settle  # noqa: F401  fixtures


def alike(kiosks, one, other, score=95.0):  # noqa: F811
    """Have every kiosk find that two people look alike; return how many pairs are new."""
    new = 0
    for kiosk in kiosks:
        numbers = [kiosk.of(person).session_number for person in (one.session_id, other.session_id)]
        new += Duplicates(kiosk.store).note([(*numbers, score)], upto=1, now=kiosk.clock())
    return new


def pairs(kiosks):  # noqa: F811
    return [[(one.first, one.second) for one in Duplicates(kiosk.store).open()] for kiosk in kiosks]


@pytest.fixture
def twice(hub, kiosks):  # noqa: F811
    """Give the older and the newer enrolment of one face."""
    a, b, _ = kiosks
    old = a.people.enrol(Enrolment([template(1)], Details(name="Person A", vendor_data="one")))
    a.clock.advance(60.0)
    new = b.people.enrol(Enrolment([template(2)], Details(name="Person A.", vendor_data="two", plan="nights")))
    settle(hub, kiosks)
    alike(kiosks, new, old)
    return old, new


def test_every_kiosk_shows_the_pair_with_the_older_enrolment_first_and_keeps_it_once(twice, kiosks):  # noqa: F811
    old, new = twice

    assert pairs(kiosks) == [[(old.session_id, new.session_id)]] * 3
    assert alike(kiosks, new, old) == 0


def test_two_people_are_asked_about_at_no_kiosk_again(twice, hub, kiosks):  # noqa: F811
    old, new = twice
    c = kiosks[2]
    Duplicates(c.store).different(old.session_id, new.session_id, actor="operator")
    settle(hub, kiosks)

    assert pairs(kiosks) == [[]] * 3
    assert alike(kiosks, new, old) == 0
    assert [kiosk.people.subjects().total for kiosk in kiosks] == [2] * 3
    assert c.store.verify_log().is_intact
    with pytest.raises(RefusedError):
        Duplicates(kiosks[0].store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")


@pytest.mark.parametrize("which", [0, 1], ids=["the older's", "the newer's"])
def test_one_person_has_both_faces_and_the_particulars_that_were_chosen(twice, hub, kiosks, which):  # noqa: F811
    old, new = twice
    chosen = twice[which]
    c = kiosks[2]
    c.people.block(c.of(new.session_id).session_number, reason="lost badge")
    c.people.patch(c.of(old.session_id).session_number, lambda one: replace(one, status=Status.IN_REVIEW))
    Duplicates(c.store).same(old.session_id, new.session_id, details_of=chosen.session_id, actor="operator")
    settle(hub, kiosks)

    for kiosk in kiosks:
        person = kiosk.of(old.session_id)
        assert kiosk.of(new.session_id) is None
        assert replace(person.details, block_reason=None) == chosen.details
        assert (person.references, person.status) == (2, Status.IN_REVIEW)
        assert (person.is_blocklisted, person.details.block_reason) == (True, "lost badge")
    assert pairs(kiosks) == [[]] * 3
    assert kiosks[0].shared.receipts(new.session_id) == {"a", "b", "c"}


def test_a_card_of_whoever_goes_is_kept_where_it_was_given(twice, kiosks):  # noqa: F811
    old, new = twice
    a = kiosks[0]
    card = read_card("12-3456")
    a.store.factors.give(a.of(new.session_id).session_number, card=card)
    Duplicates(a.store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")

    assert a.store.factors.whose(card) == a.of(old.session_id).session_number
    assert a.store.factors.read(a.of(old.session_id).session_number).card == card


@pytest.mark.parametrize("at", [0, 1], ids=["where it is decided", "elsewhere"])
@pytest.mark.parametrize("own_s", [None, 60.0, 7200.0], ids=["with a card alone", "shorter", "longer"])
def test_of_two_suspensions_the_longer_holds_and_a_card_stays(twice, hub, kiosks, at, own_s):  # noqa: F811
    old, new = twice
    kiosk, now = kiosks[at], kiosks[at].clock()
    factors = kiosk.store.factors
    own, other = read_card("12-3456"), read_card("12-9999")
    factors.give(kiosk.of(old.session_id).session_number, card=own)
    factors.give(kiosk.of(new.session_id).session_number, card=other)
    factors.suspend(kiosk.of(new.session_id).session_number, now + 3600.0)
    if own_s is not None:
        factors.suspend(kiosk.of(old.session_id).session_number, now + own_s)
    Duplicates(kiosks[0].store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")
    settle(hub, kiosks)

    kept = factors.read(kiosk.of(old.session_id).session_number)
    assert (kept.card, kept.suspended_until) == (own, now + max(3600.0, own_s or 0.0))
    assert factors.whose(other) is None
    assert check.inspect(kiosk.store.database, kiosk.directory / "ledger.head", read_keys(kiosk.directory)).is_sound


def test_a_card_of_whoever_goes_is_kept_where_another_kiosk_decided(twice, hub, kiosks):  # noqa: F811
    old, new = twice
    b = kiosks[1]
    card = read_card("12-3456")
    b.store.factors.give(b.of(new.session_id).session_number, card=card)
    Duplicates(kiosks[0].store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")
    settle(hub, kiosks)

    assert b.store.factors.whose(card) == b.of(old.session_id).session_number


@pytest.mark.parametrize("at", [0, 1], ids=["where it is decided", "elsewhere"])
def test_whoever_is_inside_as_the_one_is_inside_as_the_other(twice, hub, kiosks, at):  # noqa: F811
    old, new = twice
    kiosk = kiosks[at]
    passages = kiosk.store.passages
    passages.note(Passage(kiosk.of(old.session_id).session_number, Direction.OUT, 5.0, "r-1"))
    passages.note(Passage(kiosk.of(new.session_id).session_number, Direction.IN, 6.0, "r-2"))
    Duplicates(kiosks[0].store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")
    settle(hub, kiosks)

    number = kiosk.of(old.session_id).session_number
    assert [(one.number, one.request_id) for one in passages.inside()] == [(number, "r-2")]
    assert [one.request_id for one in passages.between(0.0, 10.0)] == ["r-1", "r-2"]
    assert check.inspect(kiosk.store.database, kiosk.directory / "ledger.head", read_keys(kiosk.directory)).is_sound


def test_a_damaged_row_of_whoever_goes_holds_up_nothing_that_came_with_it(twice, hub, kiosks):  # noqa: F811
    old, new = twice
    a, b, _ = kiosks
    b.store.factors.give(b.of(new.session_id).session_number, card=read_card("12-3456"))
    with b.store.database.write() as connection:
        connection.execute("UPDATE factor SET sealed = zeroblob(length(sealed))")
    Duplicates(a.store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")
    a.people.block(a.of(old.session_id).session_number, reason="lost badge")
    settle(hub, kiosks)

    assert b.of(new.session_id) is None
    assert b.of(old.session_id).is_blocklisted


def test_operators_who_decide_apart_from_each_other_lose_nobody(twice, hub, kiosks):  # noqa: F811
    old, new = twice
    a, b, c = kiosks
    Duplicates(a.store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")
    Duplicates(b.store).same(old.session_id, new.session_id, details_of=new.session_id, actor="y")
    Duplicates(c.store).different(old.session_id, new.session_id, actor="z")
    settle(hub, kiosks)

    names = {kiosk.of(old.session_id).details.name for kiosk in kiosks}
    assert len(names) == 1
    assert names < {"Person A", "Person A."}
    assert [kiosk.of(old.session_id).references for kiosk in kiosks] == [2] * 3
    assert [kiosk.of(new.session_id) for kiosk in kiosks] == [None] * 3


@pytest.mark.parametrize("order", ["abc", "bac", "cba"])
def test_a_block_that_another_kiosk_puts_on_the_record_that_goes_holds_for_the_one_that_stays(
    twice,
    hub,  # noqa: F811
    kiosks,  # noqa: F811
    order,
):
    old, new = twice
    a, b, c = kiosks
    Duplicates(a.store).same(old.session_id, new.session_id, details_of=old.session_id, actor="x")
    b.people.block(b.of(new.session_id).session_number, reason="lost badge")
    settle(hub, sorted(kiosks, key=lambda kiosk: order.index(kiosk.shared.me())))

    for kiosk in kiosks:
        person = kiosk.of(old.session_id)
        assert (person.is_blocklisted, person.details.block_reason, person.references) == (True, "lost badge", 2)
        assert kiosk.of(new.session_id) is None
    c.people.unblock(c.of(old.session_id).session_number)
    settle(hub, kiosks)
    a.read(hub, since=0)  # what was said is said again
    settle(hub, kiosks)
    assert [kiosk.of(old.session_id).is_blocklisted for kiosk in kiosks] == [False] * 3
    assert all(kiosk.store.verify_log().is_intact for kiosk in kiosks)


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_block_follows_from_one_duplicate_to_the_next(twice, hub, kiosks, is_forgotten):  # noqa: F811
    first, second = twice
    a, b, c = kiosks
    c.clock.advance(60.0)
    third = c.people.enrol(Enrolment([template(3)], Details(name="Person A")))
    settle(hub, kiosks)
    alike(kiosks, second, third)
    c.people.block(c.of(third.session_id).session_number, reason="theft")
    settle(hub, kiosks)
    Duplicates(a.store).same(first.session_id, second.session_id, details_of=first.session_id, actor="x")
    Duplicates(b.store).same(second.session_id, third.session_id, details_of=second.session_id, actor="y")
    if is_forgotten:
        c.people.forget(c.of(first.session_id).session_number)
    settle(hub, kiosks)

    for kiosk in kiosks:
        assert [kiosk.of(one.session_id) for one in (second, third)] == [None, None]
        person = kiosk.of(first.session_id)
        assert person is None if is_forgotten else person.details.block_reason == "theft"


def test_a_pair_of_one_kiosk_a_session_or_somebody_gone_is_not_asked_about(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    one, other = (a.people.enrol(Enrolment([template(seed)], Details())) for seed in (1, 2))
    call = b.people.enrol(Enrolment([template(3)], Details(), source=SESSION))
    gone = b.people.enrol(Enrolment([template(4)], Details()))
    settle(hub, kiosks)

    assert alike(kiosks, one, other) == 0  # whoever enrolled the second was told of the first
    assert alike(kiosks, one, call) == 0
    assert alike(kiosks, one, gone) == 3
    a.people.forget(a.of(gone.session_id).session_number)
    settle(hub, kiosks)
    assert pairs(kiosks) == [[]] * 3


def test_only_one_of_the_two_has_particulars_to_keep(twice, kiosks):  # noqa: F811
    old, new = twice
    with pytest.raises(RefusedError, match="one of the two"):
        Duplicates(kiosks[0].store).same(old.session_id, new.session_id, details_of="somebody", actor="x")

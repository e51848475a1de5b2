"""A kiosk of a fleet with a policy holds whom it lets in, whom it enrolled, and who is blocked; of others no face."""

from dataclasses import replace

import pytest

from kiosk.errors import StoreError
from kiosk.rules.cards import read_card
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.fleet.document import fingerprint
from kiosk.store.fleet.shared import SORTED
from kiosk.store.outbox import FLEET, Message, OutboxState, of_fleet
from kiosk.store.subjects import Details, Enrolment
from tests.store.stored import ANN, MODEL, files_with, needles, refusing, template
from tests.store.test_fleet_shared import hub, kiosks  # noqa: F401  fixtures


def exchange(hub, kiosks):  # noqa: F811
    """Have everybody hear everything, those who want more of somebody reading it again."""
    while sum(kiosk.read(hub) + kiosk.send(hub) for kiosk in kiosks):
        pass
    for kiosk in kiosks:
        wanted = set(kiosk.shared.wanted())
        kiosk.shared.apply([one for _, one in hub.values() if one.person in wanted])


def enrolled(kiosk, seed, *groups):
    return kiosk.people.enrol(Enrolment([template(seed)], Details(name=f"Person {seed}", groups=groups)))


def grouped(kiosk, person, *groups):
    number = kiosk.of(person.session_id).session_number
    kiosk.people.patch(number, lambda one: replace(one, details=replace(one.details, groups=groups)))


def door(kiosk, *groups, revision=1):
    kiosk.shared.take_door(groups, revision=revision)
    kiosk.shared.sort_people()


def held(kiosk):
    return {one.details.name for one in kiosk.people.subjects().subjects}


def test_groups_travel_with_the_person(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    ann = enrolled(a, 1, "staff")
    exchange(hub, kiosks)
    grouped(b, ann, "it", "staff")
    exchange(hub, kiosks)
    assert [kiosk.of(ann.session_id).details.groups for kiosk in kiosks] == [("it", "staff")] * 3
    grouped(a, ann)
    exchange(hub, kiosks)
    assert [kiosk.of(ann.session_id).details.groups for kiosk in kiosks] == [()] * 3


def test_whoever_does_not_go_through_a_door_is_not_held_there(hub, kiosks):  # noqa: F811
    a, b, c = kiosks
    door(b, "staff")
    door(c, "*")
    for seed, group in enumerate(("staff", "guests"), 1):
        enrolled(a, seed, group)
    exchange(hub, kiosks)

    assert held(b) == {"Person 1"}
    assert held(a) == held(c) == {"Person 1", "Person 2"}
    assert [len(chunk.ids) for chunk in b.store.references.chunks(MODEL)] == [1]
    assert b.shared.wanted() == ()


def test_a_policy_that_comes_later_takes_faces_names_and_sealed_copies_away(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    ann = a.people.enrol(Enrolment([template(1)], ANN))
    exchange(hub, kiosks)
    envelopes = [one.envelope for _, one in hub.values() if one.person == ann.session_id]
    door(b, "staff")

    assert b.of(ann.session_id) is None
    assert b.shared.envelopes() == ()
    b.store.database.clear_wal()
    assert [files_with(b.directory, needle) for needle in (*needles(), *envelopes)] == [[]] * (len(needles()) + 1)
    assert b.store.verify_log().is_intact
    assert a.of(ann.session_id) is not None


def test_whoever_is_to_be_held_from_now_on_is_read_again_as_a_whole(hub, kiosks):  # noqa: F811
    a, b, c = kiosks
    door(b, "staff")
    ann = enrolled(a, 1, "guests")
    exchange(hub, kiosks)
    c.people.add_reference(c.of(ann.session_id).session_number, template(2))
    grouped(c, ann, "staff")
    while sum(kiosk.read(hub) + kiosk.send(hub) for kiosk in kiosks):
        pass
    assert b.shared.wanted() == (ann.session_id,)  # what the first kiosk said was left out
    assert b.of(ann.session_id) is None
    exchange(hub, kiosks)

    assert b.shared.wanted() == ()
    assert (b.of(ann.session_id).references, b.of(ann.session_id).details.name) == (2, "Person 1")
    assert a.shared.digests() == b.shared.digests()


def test_a_wider_policy_brings_people_back_and_a_narrower_one_lets_them_go(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    for seed in range(1, 8):
        enrolled(a, seed, "staff" if seed % 2 else "guests")
    door(b, "staff")
    exchange(hub, kiosks)
    assert len(held(b)) == 4
    door(b, "*", revision=2)
    exchange(hub, kiosks)
    assert len(held(b)) == 7
    door(b, revision=3)
    assert held(b) == set()


def test_somebody_blocked_is_held_everywhere_until_the_block_is_lifted(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    door(b, "staff")
    ann = enrolled(a, 1, "guests")
    exchange(hub, kiosks)
    a.people.block(ann.session_number, reason="lost badge")
    exchange(hub, kiosks)
    assert b.of(ann.session_id).is_blocklisted
    a.people.unblock(ann.session_number)
    exchange(hub, kiosks)
    assert b.of(ann.session_id) is None


def test_whom_a_kiosk_enrolled_or_changed_stays_with_it(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    own, changed = enrolled(b, 1), enrolled(a, 2)
    exchange(hub, kiosks)
    b.people.allow(b.of(changed.session_id).session_number)
    exchange(hub, kiosks)
    door(b, "staff")

    assert held(b) == {"Person 1", "Person 2"}
    assert b.of(own.session_id).references == 1


def decided(kiosk, person):
    message = Message(FLEET, {"person": person.session_id}, person=of_fleet(person.session_id))
    decision = NewDecision(
        Kind.IDENTIFY, "Approved", session_number=kiosk.of(person.session_id).session_number, outbox=(message,)
    )
    kiosk.store.record_decision(decision)


def told(kiosk):
    """Return the people of the decisions that wait for the owner."""
    return [row.payload["person"] for row in kiosk.store.fleet_outbox.rows(OutboxState.WAITING)]


def test_whoever_was_given_a_card_here_stays(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    ann = enrolled(a, 1, "staff")
    exchange(hub, kiosks)
    card = read_card("12-3456")
    b.store.factors.give(b.of(ann.session_id).session_number, card=card)
    door(b, "stafff")
    door(b, "staff", revision=2)
    exchange(hub, kiosks)

    assert b.store.factors.whose(card) == b.of(ann.session_id).session_number


def test_decisions_about_somebody_let_go_are_sent_unless_they_are_forgotten(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    ann, ben = enrolled(a, 1, "guests"), enrolled(a, 2, "guests")
    exchange(hub, kiosks)
    decided(b, ann)
    decided(b, ben)
    door(b, "staff")
    assert held(b) == set()
    assert told(b) == [ann.session_id, ben.session_id]
    a.people.forget(ben.session_number)
    exchange(hub, kiosks)
    assert told(b) == [ann.session_id]
    door(b, "*", revision=2)
    exchange(hub, kiosks)
    b.people.forget(b.of(ann.session_id).session_number)
    assert told(b) == []


def test_somebody_who_is_not_held_is_forgotten_with_a_receipt_all_the_same(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    door(b, "staff")
    ann = enrolled(a, 1, "guests")
    exchange(hub, kiosks)
    a.people.forget(ann.session_number)
    exchange(hub, kiosks)
    assert a.shared.receipts(ann.session_id) == {"a", "b", "c"}


def test_a_kiosk_that_ended_in_the_middle_goes_on_where_it_was(hub, kiosks):  # noqa: F811
    a, b, _ = kiosks
    for seed in range(SORTED + 3):
        enrolled(a, seed, "guests")
    exchange(hub, kiosks)
    b.shared.take_door(["staff"], revision=1)
    last = "DELETE ON subject WHEN (SELECT count(*) FROM subject) <= 2"
    with refusing(b.directory, last), pytest.raises(StoreError, match="full"):
        b.shared.sort_people()
    b.store.close()
    b.open()
    assert len(held(b)) == 3

    assert b.shared.sort_people() == 3
    assert held(b) == set()
    assert b.shared.sort_people() == 0


def test_what_a_former_kiosk_said_of_somebody_not_held_is_read_again_before_it_is_believed(hub, kiosks):  # noqa: F811
    a, b, c = kiosks
    ann = enrolled(c, 1, "guests")
    door(b, "staff")
    exchange(hub, kiosks)
    accepted = [
        fingerprint(b"key", one.person, one.version, one.document) for _, one in hub.values() if one.origin == "c"
    ]
    b.shared.take_roster(2, b"", {"c": accepted}, since=1, key=b"key")
    assert b.shared.wanted() == (ann.session_id,)
    exchange(hub, [a, b])
    assert b.of(ann.session_id) is None
    door(b, "*", revision=2)
    exchange(hub, [a, b])
    assert b.of(ann.session_id).references == 1


def test_groups_that_a_former_kiosk_gave_without_being_believed_let_nobody_in(hub, kiosks):  # noqa: F811
    a, b, c = kiosks
    ann = enrolled(a, 1, "guests")
    exchange(hub, kiosks)
    door(b, "staff")
    grouped(c, ann, "staff")
    exchange(hub, kiosks)
    assert held(b) == {"Person 1"}
    b.shared.take_roster(2, b"", {"c": []}, since=1, key=b"key")

    assert held(b) == set()
    assert b.shared.envelopes() == ()


@pytest.mark.parametrize("groups", ["staff", {"a": 1}, [1]])
def test_groups_that_are_none_are_refused(kiosks, groups):  # noqa: F811
    from kiosk.store.fleet.document import Document, Register
    from kiosk.store.fleet.taking import Arrived

    a, *_ = kiosks
    document = Document({"groups": Register(1, "z", groups)})
    assert len(a.shared.apply([Arrived("p", "z", 1, document, b"")]).refused) == 1


def test_a_kiosk_that_leaves_has_no_policy(kiosks):  # noqa: F811
    a, *_ = kiosks
    assert a.store.door_groups() is None
    door(a, "staff")
    assert a.store.door_groups() == {"staff"}
    a.shared.end()
    assert a.store.door_groups() is None

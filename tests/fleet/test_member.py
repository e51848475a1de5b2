"""Who belongs reads and is believed; who was taken off reads nothing new and is believed nothing new."""

import json

import pytest

from kiosk.errors import RefusedError
from kiosk.fleet.admin import Admin, new_admin, read_admin, read_invitation
from kiosk.fleet.envelope import Message, Not, open_envelope, seal, word_key
from kiosk.fleet.identity import new_identity, read_code, text_of
from kiosk.fleet.member import Member, NoFleetError, ask_to_join, leave
from kiosk.fleet.roster import read_roster
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.document import HIGHEST, fingerprint
from tests.store.stored import ANN, enrolment, needles

HUB = "hub"


def said_by(*kiosks):
    return [message for kiosk in kiosks for message in kiosk.member.everything()]


def tell(fleet, *kiosks):
    for kiosk in kiosks:
        kiosk.member.hear_roster(fleet.signed)


def test_a_member_reads_what_another_wrote(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    tell(fleet, a, b)
    ann = a.store.people.enrol(enrolment(1, ANN))
    b.member.hear(said_by(a))

    assert b.of(ann.session_id).details == ANN
    assert [needle for needle in needles() for one in said_by(a) if needle in one.envelope] == []


def test_a_kiosk_that_was_not_let_in_says_nothing_and_reads_nothing(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a)
    tell(fleet, a, b)
    a.store.people.enrol(enrolment(1))
    b.store.people.enrol(enrolment(2))
    b.member.hear(said_by(a))

    assert said_by(b) == []
    assert b.member.outgoing(HUB) == ()
    assert b.store.people.subjects().total == 1
    assert len(b.member.shared.parked()) == 1


def test_a_newcomer_that_hears_the_people_first_refuses_nobody(fleet, make):
    """Trap 1: whatever the order, the roster opens what waited for it. The carrier asks for it first all the same."""
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    tell(fleet, a)
    a.store.people.enrol_many([enrolment(seed) for seed in range(5)])
    b.member.hear(said_by(a), source=HUB, seq=5)
    assert b.store.people.subjects().total == 0
    tell(fleet, b)

    assert b.store.people.subjects().total == 5
    assert b.member.shared.parked() == ()
    assert b.member.shared.hubs.position(HUB).seq == 5


def test_what_is_sealed_with_a_key_that_has_not_arrived_waits_for_it(fleet, make):
    """Trap 2."""
    a, b, c = make("a"), make("b"), make("c")
    fleet.let_in(a, b, c)
    tell(fleet, a, b, c)
    fleet.take_off(c)
    tell(fleet, a)
    ann = a.store.people.enrol(enrolment(1))
    b.member.hear(said_by(a), source=HUB, seq=7)
    assert b.member.shared.hubs.position(HUB).seq == 7
    tell(fleet, b)

    assert b.of(ann.session_id) is not None


def test_an_older_document_that_comes_later_takes_no_newer_one_that_waits_away(fleet, make):
    a, b, c, d = (make(name) for name in "abcd")
    fleet.let_in(a, b, c)
    tell(fleet, a, b, c)
    ann = a.store.people.enrol(enrolment(1))
    older = said_by(a)
    b.member.hear(older)
    fleet.take_off(c)
    fleet.let_in(d)
    tell(fleet, a)
    a.store.people.block(ann.session_number)
    for kiosk in (b, d):  # one reads the older, to the other both say nothing yet
        kiosk.member.hear(said_by(a))
        kiosk.member.hear(older)
        assert len(kiosk.member.shared.parked()) == 1
    tell(fleet, b, d)

    assert [kiosk.of(ann.session_id).is_blocklisted for kiosk in (b, d)] == [True, True]
    assert [kiosk.member.shared.parked() for kiosk in (b, d)] == [(), ()]


def test_a_kiosk_that_was_taken_off_reads_nothing_new_and_is_believed_nothing_new(fleet, make):
    a, b, c = make("a"), make("b"), make("c")
    fleet.let_in(a, b, c)
    tell(fleet, a, b, c)
    old = c.store.people.enrol(enrolment(1))
    for kiosk in (a, b):
        kiosk.member.hear(said_by(c))
    fleet.take_off(c)
    tell(fleet, a, b)  # the thief keeps c from hearing of it
    new = a.store.people.enrol(enrolment(2))
    c.member.hear(said_by(a))
    forged = c.store.people.enrol(enrolment(3))
    b.member.hear(said_by(c))

    assert c.of(new.session_id) is None
    assert b.of(forged.session_id) is None
    assert b.of(old.session_id) is not None
    tell(fleet, c)
    assert c.member.is_taken_off
    assert c.member.outgoing(HUB) == ()
    assert c.of(new.session_id) is None
    fleet.roster = fleet.admin.accept(fleet.roster, {c.member.id: words_of(a, fleet, c.member.id)})
    tell(fleet, a, b)
    assert b.of(old.session_id) is not None
    assert b.of(forged.session_id) is None
    assert b.member.shared.parked() == ()


def words_of(kiosk, fleet, origin):
    """Give the fingerprints of what a kiosk has of another, as the owner takes them from the hub."""
    key = word_key(fleet.roster.keys_for(kiosk.member.id, kiosk.member.identity.seal))
    with kiosk.store.database.read() as connection:
        people = [row[0] for row in connection.execute("SELECT person FROM fleet_document WHERE origin = ?", (origin,))]
        rows = {person: document_rows.read(connection, kiosk.store.vault, person)[origin] for person in people}
    return frozenset(fingerprint(key, person, row.version, row.document) for person, row in rows.items())


def test_a_newcomer_believes_what_a_former_kiosk_said_while_it_belonged(fleet, make):
    """Trap 3."""
    a, c = make("a"), make("c")
    fleet.let_in(a, c)
    tell(fleet, a, c)
    old = c.store.people.enrol(enrolment(1))
    a.member.hear(said_by(c))
    kept = [one for one in a.member.everything() if one.origin == c.member.id]
    fleet.take_off(c)
    fleet.roster = fleet.admin.accept(fleet.roster, {c.member.id: words_of(a, fleet, c.member.id)})
    late = make("late")
    fleet.let_in(late)
    tell(fleet, a, late)
    late.member.hear(kept)

    assert late.of(old.session_id) is not None


def test_nobody_waits_for_what_a_former_kiosk_said_without_being_believed(fleet, make):
    b, c = make("b"), make("c")
    fleet.let_in(b, c)
    tell(fleet, b, c)
    b.member.shared.take_door(["staff"], revision=1)
    ann = c.store.people.enrol(enrolment(1, ANN))
    said = said_by(c)
    b.member.hear(said)
    fleet.take_off(c)
    fleet.roster = fleet.admin.accept(fleet.roster, {c.member.id: frozenset()})
    tell(fleet, b)
    assert b.member.shared.wanted() == (ann.session_id,)
    b.member.hear_again([])  # of a hub that has nothing of them
    assert b.member.shared.wanted() == (ann.session_id,)
    b.member.hear_again(said)

    assert b.member.shared.wanted() == ()
    assert b.of(ann.session_id) is None


def test_a_newcomer_reads_what_was_sealed_before_it_came(fleet, make):
    """Trap 6."""
    a, b, c, d = make("a"), make("b"), make("c"), make("d")
    fleet.let_in(a, c, d)
    tell(fleet, a)
    a.store.people.enrol(enrolment(1))
    messages = list(said_by(a))  # sealed with the key of epoch 1
    for gone in (c, d):
        fleet.take_off(gone)
    fleet.let_in(b)
    tell(fleet, b)
    b.member.hear(messages)

    assert fleet.roster.epoch == 3
    assert b.store.people.subjects().total == 1


def test_a_document_opens_in_its_own_place_only(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    tell(fleet, a, b)
    a.store.people.enrol(enrolment(1))
    (one,) = said_by(a)
    keys = fleet.roster.keys_for(b.member.id, b.member.identity.seal)

    def opened(envelope, person=one.person, origin=one.origin):
        return open_envelope(envelope, person, origin, fleet.roster, keys)

    assert opened(one.envelope).person == one.person
    assert opened(one.envelope, person="other") is Not.EVER
    assert opened(one.envelope, origin=b.member.id) is Not.EVER
    assert opened(one.envelope, origin="stranger") is Not.YET_SIGNER
    assert opened(b"") is Not.EVER
    for place in range(0, len(one.envelope), 97):
        spoilt = bytearray(one.envelope)
        spoilt[place] ^= 1
        assert opened(bytes(spoilt)) is Not.EVER


@pytest.mark.parametrize("version", [HIGHEST, (1 << 64) - 1])
def test_a_version_that_no_store_counts_to_holds_nothing_else_up(fleet, make, version):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    tell(fleet, a, b)
    ann, bob = a.store.people.enrol(enrolment(1, ANN)), a.store.people.enrol(enrolment(2))
    epoch, key = a.member.epoch_key()
    said = {one.person: one for one in said_by(a)}
    own = {one.person: one for one in a.member.shared.hubs.own()}
    forged = seal(
        own[ann.session_id].document,
        fleet=fleet.invitation.fleet,
        person=ann.session_id,
        origin=a.member.id,
        epoch=epoch,
        version=version,
        key=key,
        signer=a.member.identity.sign,
    )
    b.member.hear([Message(ann.session_id, a.member.id, forged), said[bob.session_id]], source=HUB, seq=2)

    assert b.of(ann.session_id) is None
    assert b.of(bob.session_id) is not None
    b.member.hear([said[ann.session_id]])
    assert b.of(ann.session_id) is not None


def test_only_the_owner_makes_a_roster(fleet, make):
    a = make("a")
    fleet.let_in(a)
    stranger = new_admin()

    for signed in (stranger.sign(stranger.first()), fleet.signed[:-1], b"", stranger.sign(fleet.roster)):
        with pytest.raises(RefusedError, match="owner"):
            a.member.hear_roster(signed)
    assert a.member.roster is None


def test_an_older_roster_is_not_taken_again(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    before = fleet.signed
    fleet.take_off(b)
    tell(fleet, a)

    assert not a.member.hear_roster(before)
    kept = Member(a.store).roster
    assert kept is not None
    assert b.member.id in kept.former


def test_a_hub_learns_no_key_from_the_roster(fleet, make):
    a = make("a")
    fleet.let_in(a)
    keys = fleet.roster.keys_for(a.member.id, a.member.identity.seal)

    assert set(keys) == {1}
    assert fleet.roster.keys_for(a.member.id, new_identity("x").seal) == {}
    assert keys[1] not in fleet.signed
    assert text_of(keys[1]).encode() not in fleet.signed


def test_the_code_of_a_newcomer_cannot_be_changed_on_its_way(make):
    a = make("a")
    assert read_code(f"  {a.code[:40]}\n{a.code[40:]} ").check == a.member.identity.card.check
    for spoilt in (a.code[:-4], a.code.replace(a.code[60], "A" if a.code[60] != "A" else "B", 1), "", "kioskjoin1:"):
        with pytest.raises(RefusedError, match="code"):
            read_code(spoilt)


def test_asking_twice_gives_the_same_code_and_another_fleet_is_refused(fleet, make):
    a = make("a")
    assert ask_to_join(a.store, fleet.invitation, "a").code.startswith("kioskjoin1:")
    assert ask_to_join(a.store, fleet.invitation, "a").card == a.member.identity.card
    with pytest.raises(RefusedError, match="another fleet"):
        ask_to_join(a.store, new_admin().invitation("X", ()), "a")


@pytest.mark.parametrize("name", ["Haupt\u00adeingang", "\u202eroD", "a\nb", "\ud83d"])
def test_a_kiosk_whose_name_cannot_be_seen_is_not_let_in(fleet, make, name):
    a = make("a")
    leave(a.store)
    with pytest.raises(RefusedError, match="--name"):
        ask_to_join(a.store, fleet.invitation, name)
    with pytest.raises(RefusedError, match="--name"):
        fleet.admin.add(fleet.roster, new_identity(name).card)


def test_who_leaves_keeps_the_people_and_nothing_of_the_fleet(fleet, make):
    a = make("a")
    fleet.let_in(a)
    tell(fleet, a)
    a.store.people.enrol(enrolment(1))
    leave(a.store)

    assert a.store.people.subjects().total == 1
    with pytest.raises(NoFleetError):
        Member(a.store)
    with a.store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM fleet_document").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM kiosk WHERE name LIKE 'fleet%'").fetchone() == (0,)


def test_the_owners_key_opens_with_its_passphrase_only(tmp_path, fleet):
    path = tmp_path / "owner.key"
    fleet.admin.write(path, "a passphrase", cost=1 << 12)

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_admin(path, "a passphrase").fleet == fleet.admin.fleet
    with pytest.raises(RefusedError, match="passphrase"):
        read_admin(path, "another")
    assert fleet.admin.identity.dump()["sign"] not in path.read_text()


def test_an_invitation_survives_the_way(fleet):
    assert read_invitation(fleet.invitation.dump()) == fleet.invitation
    assert Admin(bytes(range(32))).invitation("Test", ()).certificate == fleet.invitation.certificate
    with pytest.raises(RefusedError):
        read_invitation("{}")


def test_health_is_taken_from_its_own_kiosk_only(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    tell(fleet, a, b)
    said = b.member.sign_health({"at": 5.0, "version": "1"})

    assert a.member.hear_health(b.member.id, said)
    assert not a.member.hear_health(a.member.id, said)
    assert not a.member.hear_health("stranger", said)
    assert json.loads(a.member.shared.hubs.health()[b.member.id][1])["version"] == "1"


def test_keys_show_in_no_repr(fleet, make):
    a = make("a")
    fleet.let_in(a)
    shown = f"{a.member.identity!r} {fleet.admin!r} {fleet.roster!r} {a.member.identity.card!r}"

    assert text_of(a.member.identity.sign.private_bytes_raw()) not in shown
    assert "wrapped" not in shown


def test_read_roster_gives_back_what_was_signed(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    fleet.take_off(b)

    assert read_roster(fleet.signed, fleet.invitation.admin) == fleet.roster

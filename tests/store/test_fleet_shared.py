"""Stores that share people: what is done at one is so at the others, whatever is lost, repeated, late or restored."""

import os
from dataclasses import replace

import numpy as np
import pytest

from kiosk.errors import StoreError
from kiosk.store.directory import initialise, open_store
from kiosk.store.fleet.document import Document, Register, SharedReference
from kiosk.store.fleet.hubs import Position
from kiosk.store.fleet.shared import Parked, Shared
from kiosk.store.fleet.taking import Arrived
from kiosk.store.keys import read_keys
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.store.upkeep import backup, check, rekey, restore
from kiosk.types import Status
from tests.store.stored import ANN, MODEL, OTHER_MODEL, enrolment, files_with, needles, refusing, template

HUB = "hub"


class Hub(dict[tuple[str, str], tuple[int, Arrived]]):
    """The last message of each subject, numbered, as a stream keeps them."""

    def __init__(self):
        super().__init__()
        self.last = 0

    def put(self, person, origin, version, document):
        self.last += 1
        self.pop((person, origin), None)
        self[person, origin] = (self.last, Arrived(person, origin, version, document, os.urandom(64)))


class Kiosk:
    """A store and its fleet's side."""

    def __init__(self, directory, name, clock):
        self.directory, self.clock = directory, clock
        initialise(directory, now=clock).close()
        self.open()
        self.shared.begin(name)

    def open(self):
        self.store: Store = open_store(self.directory, read_keys(self.directory), now=self.clock)
        self.shared = Shared(self.store)
        self.people = self.store.people

    def read(self, hub, *, since=None):
        after = self.shared.hubs.position(HUB).seq if since is None else since
        new = sorted((seq, one) for seq, one in hub.values() if seq > after)
        done = self.shared.apply([one for _, one in new], source=HUB, seq=max([after, *(seq for seq, _ in new)]))
        return done.people

    def send(self, hub):
        sent = self.shared.hubs.pending(HUB)
        for one in sent:
            hub.put(one.person, self.shared.me(), one.version, one.document)
            self.shared.hubs.mark_sent(HUB, one.version)
        return len(sent)

    def of(self, session_id):
        found = self.people.find(session_id)
        return found[0] if found else None


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def kiosks(tmp_path, clock):
    made = [Kiosk(tmp_path / name, name, clock) for name in ("a", "b", "c")]
    yield made
    for kiosk in made:
        kiosk.store.close()


def settle(hub, kiosks):
    while sum(kiosk.read(hub) + kiosk.send(hub) for kiosk in kiosks):
        pass
    digests = [kiosk.shared.digests() for kiosk in kiosks]
    assert all(one == digests[0] for one in digests)


def test_a_person_of_one_kiosk_is_known_at_the_others(hub, kiosks):
    a, b, _ = kiosks
    ann = a.people.enrol(replace(enrolment(1, ANN), valid_until=2e9))
    settle(hub, kiosks)

    there = b.of(ann.session_id)
    assert replace(there, session_number=ann.session_number) == ann
    assert np.allclose(next(b.store.references.chunks(MODEL)).vectors, template(1).vector)
    assert b.store.verify_log().is_intact
    assert check.inspect(b.store.database, b.directory / "ledger.head", read_keys(b.directory)).is_sound


def test_every_act_on_a_person_travels(hub, kiosks):
    a, b, c = kiosks
    ann = a.people.enrol(enrolment(1, ANN))
    settle(hub, kiosks)
    at_b = b.of(ann.session_id).session_number
    b.people.block(at_b, reason="lost badge")
    b.people.allow(at_b)
    b.people.patch(at_b, lambda one: replace(one, details=replace(one.details, name="Other"), status=Status.IN_REVIEW))
    b.people.add_reference(at_b, template(2), quality=50.0)
    settle(hub, kiosks)

    for kiosk in (a, c):
        seen = kiosk.of(ann.session_id)
        assert (seen.is_blocklisted, seen.is_allowlisted, seen.references) == (True, True, 2)
        assert (seen.details.name, seen.details.block_reason, seen.status) == ("Other", "lost badge", Status.IN_REVIEW)
    c.people.unblock(c.of(ann.session_id).session_number)
    settle(hub, kiosks)
    assert not a.of(ann.session_id).is_blocklisted


def test_a_block_made_while_another_unblocks_holds(hub, kiosks):
    a, b, c = kiosks
    ann = a.people.enrol(enrolment(1))
    a.people.block(ann.session_number)
    settle(hub, kiosks)
    b.people.unblock(b.of(ann.session_id).session_number)  # neither sees the other
    c.people.unblock(c.of(ann.session_id).session_number)
    c.people.block(c.of(ann.session_id).session_number)
    settle(hub, kiosks)

    assert [kiosk.of(ann.session_id).is_blocklisted for kiosk in kiosks] == [True] * 3


def test_a_forgotten_person_is_gone_everywhere_and_each_kiosk_says_so(hub, kiosks):
    a, b, c = kiosks
    ann = a.people.enrol(enrolment(1, ANN))
    settle(hub, kiosks)
    b.people.forget(b.of(ann.session_id).session_number)
    c.people.patch(c.of(ann.session_id).session_number, lambda one: replace(one, valid_until=2e9))  # not knowing
    settle(hub, kiosks)

    assert [kiosk.of(ann.session_id) for kiosk in kiosks] == [None] * 3
    assert a.shared.receipts(ann.session_id) == {"a", "b", "c"}
    for kiosk in kiosks:
        kiosk.store.database.clear_wal()
        assert [files_with(kiosk.directory, needle) for needle in needles()] == [[]] * len(needles())
    assert all(one.document.forgotten is not None for _, one in hub.values())
    assert a.store.people.erasures.receipt(ann.session_id).is_complete


def test_a_newcomer_gives_no_receipt_for_what_was_forgotten_before_it_came(hub, kiosks):
    a, b, c = kiosks
    ann = a.people.enrol(enrolment(1))
    settle(hub, [a, b])
    a.people.forget(ann.session_number)
    settle(hub, [a, b])
    c.shared.take_roster(5, b"", {}, since=5)
    settle(hub, kiosks)

    assert a.shared.receipts(ann.session_id) == {"a", "b"}


def test_what_is_read_is_not_said_again(hub, kiosks):
    """Trap 4."""
    a, _b, _c = kiosks
    a.people.enrol_many([enrolment(seed) for seed in range(20)])
    settle(hub, kiosks)
    last = hub.last
    before = [kiosk.store.log.tail().seq for kiosk in kiosks]

    assert [kiosk.read(hub, since=0) for kiosk in kiosks] == [0, 0, 0]
    assert [kiosk.send(hub) for kiosk in kiosks] == [0, 0, 0]
    assert hub.last == last
    assert [kiosk.store.log.tail().seq for kiosk in kiosks] == before


def test_one_fetch_is_one_transaction(hub, kiosks):
    """Trap 5."""
    a, b, _ = kiosks
    a.people.enrol_many([enrolment(seed) for seed in range(30)])
    a.send(hub)
    done: list[str] = []
    with b.store.database.alone() as connection:  # which every transaction of this process takes
        connection.set_trace_callback(done.append)

    assert b.read(hub) == 30
    assert [one for one in done if one.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]


def test_a_fetch_that_is_cut_short_is_read_again_as_a_whole(hub, kiosks):
    a, b, _ = kiosks
    a.people.enrol_many([enrolment(seed) for seed in range(5)])
    a.send(hub)
    fourth = "INSERT ON subject WHEN (SELECT count(*) FROM subject) = 3"
    with refusing(b.directory, fourth), pytest.raises(StoreError, match="disk full"):
        b.read(hub)
    assert b.shared.hubs.position(HUB) == Position()
    assert b.shared.digests() == {}
    settle(hub, kiosks)
    assert b.people.subjects().total == 5


def test_what_cannot_be_opened_yet_waits_and_the_position_goes_on(kiosks):
    """Trap 2, the store's half."""
    a, *_ = kiosks
    a.shared.apply([], parked=[Parked("p", "z", b"sealed", "key")], source=HUB, seq=9)

    assert a.shared.hubs.position(HUB).seq == 9
    assert [one.envelope for one in a.shared.parked()] == [b"sealed"]
    made = Document(
        {
            "made": Register(1, "z", [0.0, "enrolment", None]),
            "status": Register(1, "z", "Approved"),
            "dates": Register(1, "z", [None, None, 2e9]),
        }
    )
    a.shared.apply([Arrived("p", "z", 1, made, b"sealed")])
    assert a.shared.parked() == ()
    assert a.of("p") is not None


def test_templates_of_a_model_that_is_not_here_are_kept_and_not_searched(hub, kiosks):
    """Trap 7."""
    a, b, _ = kiosks
    ann = a.people.enrol(Enrolment([template(1), template(2, OTHER_MODEL, 16)], ANN))
    settle(hub, kiosks)

    assert b.of(ann.session_id).references == 2
    assert [len(chunk.ids) for chunk in b.store.references.chunks(MODEL)] == [1]
    assert [len(chunk.ids) for chunk in b.store.references.chunks(OTHER_MODEL)] == [1]


def test_the_change_table_says_what_came_from_elsewhere(hub, kiosks):
    """Trap 8; that it is pruned is held by test_retention."""
    a, b, _ = kiosks
    a.people.enrol(enrolment(1))
    settle(hub, kiosks)

    with b.store.database.read() as connection:
        assert connection.execute("SELECT origin FROM change").fetchall() == [("fleet",)]
    with a.store.database.read() as connection:
        assert connection.execute("SELECT origin FROM change").fetchall() == [(None,)]


def test_a_restored_backup_takes_nothing_back(hub, kiosks):
    """Trap 9."""
    a, _b, _c = kiosks
    ann, bob, eve = (a.people.enrol(enrolment(seed)) for seed in (1, 2, 3))
    settle(hub, kiosks)
    path = backup.write(a.store.database, a.store.vault, a.directory / "backups", now=a.clock()).path
    a.people.block(ann.session_number)
    a.people.forget(bob.session_number)
    late = a.people.enrol(enrolment(4))
    settle(hub, kiosks)
    a.store.close()
    restore.restore(a.directory, path, read_keys(a.directory), now=a.clock, overwrite=True)
    a.open()
    a.people.patch(eve.session_number, lambda one: replace(one, valid_until=2e9))  # before it has read anything
    settle(hub, kiosks)

    for kiosk in kiosks:
        assert kiosk.of(ann.session_id).is_blocklisted
        assert kiosk.of(bob.session_id) is None
        assert kiosk.of(late.session_id) is not None
        assert kiosk.of(eve.session_id).valid_until == 2e9
    newcomer_reads = {one.person: one for _, one in hub.values() if one.origin == "a"}
    assert newcomer_reads[ann.session_id].document.is_blocked


def test_a_former_kiosk_is_believed_only_what_was_accepted(hub, kiosks):
    """Trap 3, the store's half."""
    from kiosk.store.fleet.document import fingerprint

    a, b, c = kiosks
    good = c.people.enrol(enrolment(1))
    ann = a.people.enrol(enrolment(2))
    settle(hub, kiosks)
    accepted = [
        fingerprint(b"key", one.person, one.version, one.document) for _, one in hub.values() if one.origin == "c"
    ]
    bad = c.people.enrol(enrolment(3))
    c.people.add_reference(c.of(ann.session_id).session_number, template(9))
    settle(hub, kiosks)
    assert a.of(bad.session_id) is not None
    assert a.of(ann.session_id).references == 2
    for kiosk in (a, b):
        kiosk.shared.take_roster(2, b"", {"c": accepted}, since=1, key=b"key")

    for kiosk in (a, b):
        assert kiosk.of(good.session_id) is not None
        assert kiosk.of(bad.session_id) is None
        assert kiosk.of(ann.session_id).references == 1
    assert a.shared.digests() == b.shared.digests()


def test_a_roster_that_is_no_newer_is_not_taken(kiosks):
    a, *_ = kiosks
    assert a.shared.take_roster(2, b"two", {}, since=1)
    assert not a.shared.take_roster(2, b"other", {}, since=1)
    assert not a.shared.take_roster(1, b"one", {}, since=1)
    assert a.shared.roster() == b"two"


@pytest.mark.parametrize(
    "document",
    [
        Document({"status": Register(1, "z", "King")}),
        Document({"made": Register(1, "z", "never")}),
        Document({"details": Register(1, "z", [1, 2, 3, 4, 5, 6])}),
        Document({"made": Register(1, "z", ["nan", "", None])}),
        Document({"made": Register(1, "z", [10**400, "", None])}),
        Document({"made": Register(1, "z", [1.0, "x" * 70000, None])}),
        Document({"made": Register(1, "z", [1.0, "", "x" * 70000])}),
        Document({"dates": Register(1, "z", [None, None, "nan"])}),
        Document({"dates": Register(1, "z", [None, "inf", 1.0])}),
        Document({"details": Register(1, "z", [None, None, None, None, None, {}])}),
        Document(references={"x": SharedReference(MODEL, b"\0" * 128, None, 0.0)}),
        Document(references={"x": SharedReference(MODEL, template(1, size=8).vector.tobytes(), None, 0.0)}),
    ],
    ids=[
        *("status", "made", "details", "no date", "a date beyond all", "a long source", "a long origin"),
        *("no day", "an endless day", "no time of consent", "no template", "another length"),
    ],
)
def test_what_no_store_can_hold_is_refused_and_holds_nothing_up(kiosks, document):
    a, b, _ = kiosks
    a.people.enrol(enrolment(1))
    (good,) = a.shared.hubs.pending(HUB)
    b.people.enrol(enrolment(2))

    done = b.shared.apply(
        [Arrived("p", "z", 1, document, b""), Arrived(good.person, "a", good.version, good.document, b"")],
        source=HUB,
        seq=2,
    )

    assert len(done.refused) == 1
    assert b.of(good.person) is not None


def test_a_store_with_a_new_key_still_knows_what_the_fleet_said(hub, kiosks):
    a, b, _ = kiosks
    a.people.enrol(enrolment(1))
    settle(hub, kiosks)
    before = b.shared.digests()
    b.store.close()
    rekey.rekey(b.directory, read_keys(b.directory), now=b.clock)
    b.open()

    assert b.shared.digests() == before
    assert b.send(hub) == 0


def test_a_kiosk_without_a_fleet_writes_no_document(store):
    store.people.enrol(enrolment(1))

    assert Shared(store).me() is None
    assert Shared(store).hubs.own() == ()


def test_people_who_were_there_before_the_fleet_are_said_to_it(hub, tmp_path, clock, kiosks):
    a, *_ = kiosks
    lone = Kiosk(tmp_path / "d", "d", clock)
    lone.shared.end()
    person = lone.people.enrol(Enrolment([template(1)], Details(name="Early")))
    lone.shared.begin("d")
    settle(hub, [a, lone])

    assert a.of(person.session_id).details.name == "Early"
    lone.store.close()

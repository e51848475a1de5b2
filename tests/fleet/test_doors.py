"""Two doors over a real hub: passages, an interlock, lockdowns; and what is left when one of them falls silent."""

import math
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from kiosk.device.passes.issue import issue_pass
from kiosk.fleet.doors import exchange
from kiosk.fleet.doors.doors import Doors
from kiosk.fleet.doors.ended_passes import EndedPasses
from kiosk.fleet.doors.pass_keys import FleetPassKeys
from kiosk.fleet.sync import FleetSync
from kiosk.rules.interlock import Leaf
from kiosk.rules.lockdown import Lockdown, Lockdowns
from kiosk.rules.passage import Direction, PassageRule
from kiosk.rules.passes import PassRule
from kiosk.store.passages.passages import Passage
from tests.fleet.keys import Kiosk, joined
from tests.fleet.test_hub import two
from tests.patience import LIMIT_S, until
from tests.store.stored import ANN, Clock, enrolment, needles

pytest.importorskip("nats", reason="nats-py of the extra fleet is not installed")


class Door(Kiosk):
    """A kiosk at a door, with a rule that a test changes."""

    def __init__(self, directory, fleet):
        super().__init__(directory, fleet, Clock())
        self.rule, self.leaf, self.lockdowns = PassageRule(), Leaf.SHUT, Lockdowns()
        self.names, self.told_names = {}, {}  # of accounts: its own, and others' as they were told
        self.changing = threading.Lock()  # the fleet's thread joins what it hears, a test lifts
        self.start()

    def start(self):
        self.sync = FleetSync(self.store, doors=self.make)
        self.sync.start()

    def make(self, member):
        return Doors(
            member,
            self.store,
            rule=lambda: self.rule,
            leaf=lambda: self.leaf,
            lockdowns=lambda: self.lockdowns,
            hear_lockdowns=self.hear,
            account_name=self.names.get,
        )

    def hear(self, told, _name, names):
        with self.changing:
            self.told_names |= names
            self.lockdowns = self.lockdowns.join(told)  # the last of all, as tests wait for it

    def lift(self, name):
        with self.changing:
            self.lockdowns = self.lockdowns.lift([name])

    @property
    def doors(self):
        return self.sync.doors

    def asked(self):
        try:
            return self.doors.ask()
        finally:
            self.doors.settle()

    def passes(self, person, direction, request_id):
        number = self.of(person.session_id).session_number
        self.store.passages.note(Passage(number, direction, time.time(), request_id))

    def last(self, person):
        found = self.of(person.session_id)
        return found and self.store.passages.last(found.session_number)


@pytest.fixture(scope="module")
def site(tmp_path_factory, port):
    with two(tmp_path_factory.mktemp("doors"), port, Door, ("inward", "outward")) as site:
        yield site


@pytest.fixture
def doors(site):
    """The two as one area: in by the one, out by the other, each heard by the other."""
    hub, a, b = site
    a.rule = PassageRule(direction="in", antipassback="hard", doors=("outward",))
    b.rule = PassageRule(direction="out", doors=("inward",))
    a.leaf = b.leaf = Leaf.SHUT
    until(lambda: a.asked().are_heard)
    return hub, a, b


def test_who_left_by_one_door_may_enter_by_the_other(doors):
    _, a, b = doors
    ann = a.store.people.enrol(enrolment(1, ANN))
    until(lambda: b.of(ann.session_id))

    a.passes(ann, Direction.IN, "first")
    until(lambda: b.last(ann))
    assert b.last(ann).corrected_by == "fleet:inward"
    b.passes(ann, Direction.OUT, "second")
    until(lambda: a.last(ann).direction is Direction.OUT)

    until(lambda: a.asked().are_heard)
    assert a.last(ann).request_id == "second"


def test_an_answer_waits_for_the_passages_that_it_tells_of(doors):
    _, a, b = doors
    ben = b.store.people.enrol(enrolment(2))
    until(lambda: a.of(ben.session_id))
    for turn in range(10):
        b.passes(ben, Direction.OUT, f"turn {turn}")
        until(lambda: a.asked().are_heard)

        assert a.last(ben).request_id == f"turn {turn}"


def test_what_comes_late_says_nothing_of_where_somebody_is_now(doors):
    _, a, b = doors
    late = a.store.people.enrol(enrolment(3))
    until(lambda: b.of(late.session_id))
    b.passes(late, Direction.OUT, "newer")
    until(lambda: a.last(late))
    at = a.store.passages.last(a.of(late.session_id).session_number).at - 3600.0
    number = a.of(late.session_id).session_number
    a.store.passages.note(Passage(number, Direction.IN, at, "older"))  # told of only now
    until(lambda: [one for one in b.store.passages.between(0.0, 1e11) if one.request_id == "older"])

    assert b.last(late).request_id == "newer"


def test_each_passage_is_kept_once_however_often_it_is_read(doors):
    _, a, b = doors
    eve = a.store.people.enrol(enrolment(4))
    until(lambda: b.of(eve.session_id))
    a.passes(eve, Direction.IN, "once")
    until(lambda: b.last(eve))
    b.sync.close()
    b.start()  # reads everything again
    until(lambda: a.asked().are_heard)
    until(lambda: b.doors._read_to)

    assert [one.request_id for one in b.store.passages.between(0.0, 1e11)].count("once") == 1


def test_the_other_door_of_an_airlock_stays_shut_while_one_asks(doors):
    _, a, b = doors
    a.rule = PassageRule(direction="in", interlock="outward")
    b.rule = PassageRule(direction="in", interlock="inward")
    until(lambda: a.asked().other is Leaf.SHUT)

    until(lambda: a.doors.ask().other is Leaf.SHUT or a.doors.settle())
    assert b.doors.ask().other is Leaf.UNKNOWN  # as long as that one is at it
    b.doors.settle()
    a.leaf = Leaf.OPEN
    a.doors.settle()
    until(lambda: b.asked().other is Leaf.OPEN)
    a.leaf = Leaf.UNKNOWN
    until(lambda: b.asked().other is Leaf.UNKNOWN)


def test_two_that_ask_at_once_never_both_open(doors):
    _, a, b = doors
    a.rule = PassageRule(direction="in", interlock="outward")
    b.rule = PassageRule(direction="in", interlock="inward")
    until(lambda: a.asked().other is Leaf.SHUT and b.asked().other is Leaf.SHUT)
    inside, both, granted = list[Door](), list[Any](), list[Door]()

    def come(kiosk):
        until_s = time.monotonic() + LIMIT_S
        while granted.count(kiosk) < 5 and time.monotonic() < until_s:
            asked = kiosk.doors.ask()
            if asked.other is Leaf.SHUT:
                inside.append(kiosk)
                kiosk.leaf = Leaf.OPEN
                if len(inside) > 1 or a.leaf is b.leaf:
                    both.append(tuple(inside))
                granted.append(kiosk)
                time.sleep(0.01)  # somebody walks through
                kiosk.leaf = Leaf.SHUT
                inside.remove(kiosk)
            kiosk.doors.settle()

    threads = [threading.Thread(target=come, args=(one,)) for one in (a, b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert both == []
    assert {granted.count(one) for one in (a, b)} == {5}


def test_a_kiosk_that_does_not_go_by_this_door_is_no_other_door_of_an_airlock(doors):
    _, a, b = doors
    a.rule = PassageRule(direction="in", interlock="outward")
    b.rule = PassageRule(direction="out", doors=("inward",))
    until(lambda: a.doors.lost() == ())

    assert a.asked().other is Leaf.UNKNOWN


def test_a_lockdown_of_the_fleet_holds_everywhere_and_is_lifted_anywhere(doors):
    _, a, b = doors
    a.names |= {"guard": "Person C", "cook": "Person D"}
    with a.changing:
        a.lockdowns = a.lockdowns.with_act(Lockdown("here", "guard", 1.0))
        a.lockdowns = a.lockdowns.with_act(Lockdown("everywhere", "guard", 2.0, is_fleet_wide=True))
    until(lambda: b.lockdowns.is_locked)
    assert [one.id for one in b.lockdowns.in_force] == ["everywhere"]
    assert b.told_names == {"guard": "Person C"}

    b.lift("everywhere")
    until(lambda: [one.id for one in a.lockdowns.in_force] == ["here"])


def test_a_lockdown_holds_also_where_the_names_beside_it_cannot_be_read(doors):
    _, a, b = doors
    begun = Lockdowns().with_act(Lockdown("by whom it may", "guard", 3.0, is_fleet_wide=True)).as_dict()

    class Sent:
        """A message as nats-py gives it."""

        subject = f"fleet.lockdown.{a.member.id}"
        data = exchange.DoorExchange(a.doors)._sealed("lockdown", {**begun, "names": {"guard": "\u202eA"}}, 0)

    sent: Any = Sent
    reading = exchange.DoorExchange(b.doors)
    reading._heard("lockdown", sent, reading._take_lockdowns)

    assert "by whom it may" in [one.id for one in b.lockdowns.in_force]
    b.lift("by whom it may")


@pytest.mark.parametrize("spoilt", [{"after": math.inf}, {"passages": [{"at": 10**400}]}, {"passages": [7]}, {}, []])
def test_a_word_of_passages_that_is_none_is_refused_and_ends_nothing(doors, spoilt):
    _, a, b = doors
    said = {"after": 0, "row": 1, "key": "k", "passages": []}
    told = {"key": "k", "person": "p", "direction": "in", "at": 1.0}
    if isinstance(spoilt, dict):
        rows = [told | one if isinstance(one, dict) else one for one in spoilt.get("passages", [])]
        spoilt = (said if spoilt else {}) | spoilt | {"passages": rows}
    sent: Any = SimpleNamespace(  # as nats-py gives it
        subject=f"fleet.passages.{b.member.id}",
        data=exchange.DoorExchange(b.doors)._sealed("passages", spoilt, 1),
        metadata=SimpleNamespace(sequence=SimpleNamespace(stream=1 << 40)),
    )
    before = dict(a.doors._read_to)
    exchange.DoorExchange(a.doors)._hear_passages(sent)

    assert a.doors._read_to == before


def test_a_neighbour_that_is_silent_and_a_hub_that_is_gone_keep_shut(doors):
    hub, a, b = doors
    b.sync.close()
    assert not a.asked().are_heard
    until(lambda: a.doors.lost() == ("outward",))
    b.start()
    until(lambda: a.asked().are_heard and a.doors.lost() == ())
    hub.kill()
    assert not a.asked().are_heard
    hub.start()
    until(lambda: a.asked().are_heard)


def test_a_name_that_no_kiosk_has_keeps_shut(doors):
    _, a, _ = doors
    a.rule = PassageRule(direction="in", antipassback="hard", doors=("outward", "cellar"))

    assert not a.asked().are_heard
    assert "cellar" in a.doors.lost()


def test_people_whom_a_kiosk_does_not_hold_count_as_inside(doors):
    _, a, b = doors
    a.rule = PassageRule(direction="in", occupancy=5, doors=("outward",))
    b.rule = PassageRule(direction="in", occupancy=5, doors=("inward",))
    until(lambda: a.asked().are_heard)
    before = a.doors._count_unknown(a.rule)
    told = {"after": 0, "row": 0, "key": "", "passages": []}
    told["passages"] = [{"key": "k", "person": "nobody-here", "direction": "in", "at": time.time()}]

    class Sent:
        """A message as nats-py gives it."""

        subject = f"fleet.passages.{b.member.id}"
        metadata = type("M", (), {"sequence": type("S", (), {"stream": 0})})
        data = exchange.DoorExchange(b.doors)._sealed("passages", told, 0)

    sent: Any = Sent
    exchange.DoorExchange(a.doors)._hear_passages(sent)

    until(lambda: a.asked().unknown_inside == before + 1)


def test_the_hub_holds_neither_names_nor_ids_of_who_went_through(doors):
    hub, a, b = doors
    ann = a.store.people.enrol(enrolment(5, ANN))
    until(lambda: b.of(ann.session_id))
    a.passes(ann, Direction.IN, "seen by nobody")
    until(lambda: b.last(ann))
    stream = b"".join(one.read_bytes() for one in (hub.directory / "jetstream").rglob("*PASSAGES/**/*.blk"))

    assert stream
    assert [one for one in (*needles(), ann.session_id.encode(), b"seen by nobody") if one in stream] == []


def issued(kiosk):
    now = time.time()
    return issue_pass(
        kiosk.store,
        FleetPassKeys(kiosk.store),
        PassRule(ask="nothing"),
        label="",
        valid_from=now,
        valid_until=now + 3600.0,
        uses=0,
        visitor=None,
        doors=("*",),
        now=now,
        actor="test",
    )


def is_ended(kiosk, kept):
    found = kiosk.store.passes.find(kept.shown)
    return found is not None and found.revoked_at is not None


def test_a_pass_that_one_kiosk_ended_ends_at_all_of_them(doors):
    hub, a, b = doors
    of_a, of_a_too, lasting = issued(a), issued(a), issued(a)
    a.store.passes.revoke(of_a.shown.name, now=time.time(), actor="desk")
    b.store.passes.revoke_shown(of_a_too.shown, of_a_too.text, now=time.time(), actor="guard")  # at another door

    until(lambda: is_ended(b, of_a) and is_ended(a, of_a_too))
    assert b.store.passes.find(of_a.shown).revoked_by == "inward"
    assert not is_ended(b, lasting)
    assert not is_ended(a, lasting)
    assert a.store.passes.find(lasting.shown).is_issued_here
    assert a.store.passes.revoked_here() == (of_a.text,)  # each tells of its own
    stream = b"".join(one.read_bytes() for one in (hub.directory / "jetstream").rglob("*LOCKDOWN/**/*.blk"))
    assert stream
    assert of_a.text.encode() not in stream


def test_a_kiosk_that_was_away_or_put_back_hears_what_was_ended_before(doors):
    _, a, b = doors
    missed, forgotten = issued(a), issued(a)
    a.store.passes.revoke(forgotten.shown.name, now=time.time(), actor="desk")
    until(lambda: is_ended(b, forgotten))
    for kiosk in (a, b):
        kiosk.sync.close()
    a.store.passes.revoke(missed.shown.name, now=time.time(), actor="desk")
    with a.store.transaction() as transaction:  # as a backup of before has it
        a.store.passes._write(transaction.connection, forgotten)
    for kiosk in (a, b):
        kiosk.start()

    until(lambda: is_ended(b, missed) and is_ended(a, forgotten))
    assert set(a.store.passes.revoked_here()) >= {missed.text, forgotten.text}  # and it tells of both again


def test_a_word_of_passes_that_says_nothing_is_refused_and_a_store_that_took_none_keeps_them_later(fleet, tmp_path):
    with joined(tmp_path, fleet) as (a, b):
        kept = issued(a)
        ended = EndedPasses(b.store, clock=lambda: float(len(asked)))
        asked = []
        for words in (["FKP1:NONE"], [7], "FKP1:", [kept.text] * 3000, {"a": 1}):
            with pytest.raises(ValueError, match="pass"):
                ended.hear(words, "a")
        act(b, "CREATE TRIGGER full BEFORE INSERT ON secret BEGIN SELECT RAISE(ABORT, 'full'); END")
        ended.hear([kept.text], "a")
        was_kept = is_ended(b, kept)
        act(b, "DROP TRIGGER full")
        asked.append("a second later")
        ended.own()

        assert not was_kept
        assert is_ended(b, kept)


def act(kiosk, sql):
    with kiosk.store.transaction() as transaction:
        transaction.connection.execute(sql)

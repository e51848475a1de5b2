"""A wall clock that jumps by days, either way, changes neither who is inside, nor who is silent, nor what is told."""

import time

import pytest

from kiosk.fleet.doors.doors import DAY_S, KEPT_DAYS, Doors
from kiosk.fleet.seen import Seen
from kiosk.fleet.sync import FleetSync
from kiosk.fleet.view import View
from kiosk.rules.passage import Direction, PassageRule
from kiosk.store.passages.passages import Passage
from kiosk.testing.fakes import ManualClock
from tests.fleet.keys import Kiosk
from tests.fleet.test_hub import two
from tests.patience import LIMIT_S, until
from tests.store.stored import NOW, Clock, enrolment

HOUR_S = 3600.0
JUMPS = [pytest.param(9.0, id="9 days ahead"), pytest.param(-9.0, id="9 days back"), pytest.param(4000.0, id="years")]
RULE = PassageRule(direction="in", occupancy=5, forget_h=16.0, doors=("elsewhere",))


class Watched:
    """The doors of a kiosk, with clocks that a test moves."""

    def __init__(self, kiosk):
        self.clock, self.wall, self.is_trusted = ManualClock(), ManualClock(NOW), True
        self.doors = Doors(
            kiosk.member,
            kiosk.store,
            rule=lambda: RULE,
            clock=self.clock,
            now=self.wall,
            is_clock_trusted=lambda: self.is_trusted,
        )

    def reads(self, **passed):
        self.doors.note_read("hub", "elsewhere", 1, {name: (Direction.IN, at) for name, at in passed.items()})

    @property
    def inside(self):
        return self.doors._count_unknown(RULE)


@pytest.fixture
def watched(kiosks):
    return Watched(kiosks[0])


@pytest.mark.parametrize("days", JUMPS)
def test_whoever_is_not_held_here_stays_inside_for_as_long_as_the_rule_says(watched, days):
    watched.reads(lately=NOW - 15 * HOUR_S, undated=None, ahead=NOW + 300.0, long_ago=NOW - 17 * HOUR_S)
    assert watched.inside == 3

    watched.wall.advance(days * DAY_S)
    assert watched.inside == 3
    watched.clock.advance(HOUR_S)
    assert watched.inside == 2
    watched.clock.advance(15 * HOUR_S)
    assert watched.inside == 0


@pytest.mark.parametrize("days", JUMPS)
def test_what_is_read_by_a_clock_that_is_not_trusted_counts_until_one_is(watched, days):
    watched.is_trusted = False
    watched.wall.advance(days * DAY_S)
    watched.reads(lately=NOW - 15 * HOUR_S, long_ago=NOW - 17 * HOUR_S)
    assert watched.inside == 2

    watched.wall.now, watched.is_trusted = NOW, True
    assert watched.inside == 1


def test_whoever_left_meanwhile_has_no_age_left_to_take(watched):
    watched.is_trusted = False
    watched.reads(ann=NOW)
    watched.doors.note_read("hub", "elsewhere", 2, {"ann": (Direction.OUT, None)})
    watched.is_trusted = True

    assert watched.inside == 0


def test_a_clock_that_is_not_trusted_leaves_out_no_passage(watched):
    assert watched.doors.told_from() == NOW - KEPT_DAYS * DAY_S
    watched.is_trusted = False

    assert watched.doors.told_from() == 0.0


@pytest.mark.parametrize("days", [-9.0, 9.0])
def test_a_hub_whose_clock_jumps_makes_nobody_silent_for_longer_than_a_word(days):
    passed = Seen()
    passed.hear("me", NOW, 100.0, is_me=True)
    passed.hear("other", NOW + 1.0, 101.0, is_me=False)
    jumped = NOW + days * DAY_S
    passed.hear("me", jumped + 15.0, 115.0, is_me=True)
    if days < 0:
        assert passed.heard_s("other", 116.0) == pytest.approx(1.0)
    passed.hear("other", jumped + 16.0, 116.0, is_me=False)

    assert passed.heard_s("other", 120.0) == pytest.approx(4.0)
    assert passed.ahead_s(120.0, NOW) == pytest.approx(days * DAY_S + 20.0)


class Jumping(Kiosk):
    """A kiosk in touch with a hub, whose wall clock jumps."""

    def __init__(self, directory, fleet):
        super().__init__(directory, fleet, Clock())
        self.ahead_s, self.rule = 0.0, PassageRule()
        self.sync = FleetSync(self.store, doors=self.make, now=self.wall)
        self.sync.start()

    def wall(self):
        return time.time() + self.ahead_s

    def make(self, member):
        # The machine's clock is believed here whatever it says: an operator may have confirmed a wrong one.
        return Doors(member, self.store, rule=lambda: self.rule, now=self.wall)


@pytest.fixture(scope="module")
def site(tmp_path_factory, port):
    with two(tmp_path_factory.mktemp("clocks"), port, Jumping, ("a", "b")) as (_, a, b):
        a.rule = PassageRule(direction="out", doors=("b",))
        b.rule = PassageRule(direction="in", antipassback="hard", doors=("a",))
        until(lambda: b.sync.doors.ask().are_heard)
        yield a, b


@pytest.mark.parametrize("days", [9.0, -9.0])
def test_a_kiosk_whose_clock_jumps_sees_the_others_as_before_and_its_own_clock_off(site, days):
    a, _ = site
    view = View(a.sync, a.store, now=a.wall)
    until(lambda: all(row["heard_s"] is not None for row in view.overview()["kiosks"]))
    a.ahead_s = days * DAY_S
    try:
        mine, other = view.overview()["kiosks"]
    finally:
        a.ahead_s = 0.0

    assert "silent" not in other["alarms"]
    assert 0 <= other["heard_s"] <= LIMIT_S
    assert mine["clock_off_s"] == pytest.approx(days * DAY_S, abs=LIMIT_S)
    assert "clock" in mine["alarms"]


@pytest.mark.parametrize("days", [30.0, -30.0])
def test_a_passage_is_told_whatever_the_clock_says_meanwhile(site, days):
    a, b = site
    person = a.store.people.enrol(enrolment(int(100 + days)))
    until(lambda: b.of(person.session_id))
    number = a.of(person.session_id).session_number
    first, second = f"before {days}", f"after {days}"
    a.store.passages.note(Passage(number, Direction.OUT, time.time(), first))

    def last():
        found = b.store.passages.last(b.of(person.session_id).session_number)
        return found and found.request_id

    until(lambda: last() == first)
    a.ahead_s = days * DAY_S
    try:
        a.store.passages.note(Passage(number, Direction.OUT, time.time(), second))
        until(lambda: last() == second)
    finally:
        a.ahead_s = 0.0

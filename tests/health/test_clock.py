"""Facts about how far the wall clock is believed."""

import os

import pytest

from kiosk.health.clock import EARLIEST_S, TIME_ERROR, Clock, is_synced, kernels_state
from kiosk.testing.fakes import ManualClock
from kiosk.types import ClockState

NOON = EARLIEST_S + 1e7


class World:
    def __init__(self, wall=NOON, holdover_s=100.0):
        self.wall, self.monotonic, self.is_synced = ManualClock(wall), ManualClock(50.0), True
        self.clock = Clock(holdover_s, wall=self.wall, monotonic=self.monotonic, is_synced=lambda: self.is_synced)

    def pass_by(self, seconds):
        self.wall.advance(seconds)
        self.monotonic.advance(seconds)
        return self.clock.state()


def test_a_clock_that_was_synced_runs_on_by_itself_for_a_time():
    world = World()

    assert world.clock.state() is ClockState.SYNCED
    world.is_synced = False
    assert world.pass_by(99.0) is ClockState.HOLDOVER
    assert world.pass_by(2.0) is ClockState.UNTRUSTED
    world.is_synced = True
    assert world.pass_by(1.0) is ClockState.SYNCED


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0, 6.0, -6.0])
def test_a_clock_that_somebody_set_vouches_for_nothing_until_it_is_synced_again(jump_s):
    world = World()
    world.clock.state()
    world.is_synced = False

    world.wall.advance(jump_s)

    assert world.clock.state() is ClockState.UNTRUSTED
    world.wall.advance(-jump_s)
    assert world.clock.state() is ClockState.UNTRUSTED
    world.is_synced = True
    assert world.clock.state() is ClockState.SYNCED


def test_a_little_drift_is_no_jump():
    world = World()
    world.clock.state()
    world.is_synced = False
    world.wall.advance(1.0)

    assert world.pass_by(50.0) is ClockState.HOLDOVER


def test_a_clock_before_this_program_was_written_was_never_set():
    world = World(wall=EARLIEST_S - 1)

    assert world.clock.state() is ClockState.UNTRUSTED
    assert world.clock() == EARLIEST_S - 1


def test_one_that_was_never_synced_is_untrusted():
    world = World()
    world.is_synced = False

    assert world.clock.state() is ClockState.UNTRUSTED


def test_the_kernel_answers_and_where_that_is_forbidden_timesyncds_file_does(tmp_path):
    def forbidden():
        return -1

    stamp = tmp_path / "synchronized"
    missing = is_synced(stamp, forbidden)
    stamp.touch()
    fresh = is_synced(stamp, forbidden)
    os.utime(stamp, (1.0, 1.0))

    assert (missing, fresh, is_synced(stamp, forbidden)) == (False, True, False)
    assert -1 <= kernels_state() <= TIME_ERROR
    assert [is_synced(stamp, lambda state=state: state) for state in (0, TIME_ERROR - 1, TIME_ERROR)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("jump_s", [-86400.0, 10 * 86400.0, 120.0, -120.0])
def test_a_synced_clock_that_jumps_vouches_for_nothing_until_an_operator_confirms(jump_s):
    world = World()
    world.clock.state()

    world.wall.advance(jump_s)

    assert world.pass_by(1.0) is ClockState.UNTRUSTED
    assert world.pass_by(3600.0) is ClockState.UNTRUSTED
    assert "kiosk clock confirm" in world.clock.trouble()
    world.clock.confirm()
    assert world.pass_by(1.0) is ClockState.SYNCED
    assert world.clock.trouble() is None


@pytest.mark.parametrize("jump_s", [-86400.0, 10 * 86400.0])
def test_a_clock_that_is_set_back_again_is_believed(jump_s):
    world = World()
    world.clock.state()
    world.wall.advance(jump_s)
    world.clock.state()

    world.wall.advance(-jump_s)

    assert world.pass_by(1.0) is ClockState.SYNCED


def test_a_jump_that_stopped_being_synced_is_not_forgotten():
    world = World(holdover_s=1e6)
    world.clock.state()
    world.wall.advance(10 * 86400.0)
    world.clock.state()
    world.is_synced = False

    assert world.pass_by(1.0) is ClockState.UNTRUSTED


def test_a_time_before_the_newest_record_is_not_believed():
    world = World()
    world.clock.hold(NOON + 86400.0)

    assert world.clock.state() is ClockState.UNTRUSTED
    assert world.clock() == NOON + 86400.0, "what has expired stays expired"
    assert "before the newest record" in world.clock.trouble()
    world.clock.confirm()
    assert world.clock.state() is ClockState.SYNCED
    assert world.clock() == NOON


def test_the_first_time_from_the_network_after_a_boot_is_no_jump():
    world = World(wall=EARLIEST_S - 1e8)
    world.is_synced = False
    world.clock.state()
    world.wall.advance(1.1e8)
    world.is_synced = True

    assert world.clock.state() is ClockState.SYNCED


def test_a_clock_is_set_after_a_long_time_alone_without_an_alarm():
    world = World(holdover_s=1e7)
    world.clock.state()
    world.is_synced = False
    world.pass_by(30 * 86400.0)
    world.is_synced = True
    world.wall.advance(200.0)  # what a poor crystal makes of thirty days

    assert world.clock.state() is ClockState.SYNCED

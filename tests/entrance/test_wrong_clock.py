"""Facts about a clock that is kept in time and wrong: what is over stays over, what is to come does not begin."""

from __future__ import annotations

from argparse import Namespace

import pytest

from kiosk import assembly
from kiosk.device.device import Device
from kiosk.entrance.decide import Entrance
from kiosk.health.clock import Clock
from kiosk.settings.config import Config
from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.types import ClockState
from tests.entrance.staged import NOW, Stage, ready, template

DAY_S = 86400.0
A = template(1)


class Machine:
    """A machine's clock, which a time server keeps; what it says is the test's."""

    def __init__(self, now):
        self.wall, self.monotonic = now, 1000.0
        self.clock = self.started()

    def started(self):
        """Return the clock of a process that has just started."""
        self.clock = Clock(
            72 * 3600.0, wall=lambda: self.wall, monotonic=lambda: self.monotonic, is_synced=lambda: True
        )
        return self.clock


@pytest.fixture
def directory(tmp_path):
    """A store of a real kiosk, opened by a clock that was right at NOW."""
    Stage(tmp_path).close()
    return tmp_path / "state"


def opened(directory, clock):
    return assembly.open_store(Namespace(state=str(directory), config=None), Config(), create=False, clock=clock)


def decided(store, clock, tmp_path):
    """What a door decides about Person A by a clock."""
    stage = Stage(tmp_path / "other")
    device = Device(stage.device.recogniser, store, Config(), now=clock)
    entrance = Entrance(
        device,
        Config().entrance,
        stage.schedule(Config()),
        now=clock,
        is_clock_trusted=lambda: clock.state() is not ClockState.UNTRUSTED,
    )
    verdict = entrance.identify(ready(A))
    stage.close()
    return verdict.status.value, verdict.reasons[0]


def enrol(store, **dates):
    from kiosk.store.subjects import Details, Enrolment

    return store.people.enrol(Enrolment([A], Details(name="Person A"), **dates)).session_number


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_day_back_no_expired_key_and_no_expired_person_comes_in(directory, tmp_path, is_restarted):
    machine = Machine(NOW)
    with opened(directory, machine.clock) as store:
        _, key = Accounts(store, now=machine.clock).create_key("short", Role.OPERATOR, expires_at=NOW + 3600.0)
        enrol(store, valid_until=NOW + 3600.0)
        machine.wall += 7200.0
        machine.monotonic += 7200.0
        machine.clock.state()
        store.record_act(Kind.SETTINGS)  # the newest signed record: two hours later
        assert Accounts(store, now=machine.clock).by_key(key) is None

    machine.wall -= DAY_S
    clock = machine.started() if is_restarted else machine.clock
    with opened(directory, clock) as store:
        assert Accounts(store, now=clock).by_key(key) is None
        assert decided(store, clock, tmp_path) == ("Declined", "not_valid")
        assert clock.state() is ClockState.UNTRUSTED
        assert "before the newest record" in clock.trouble()


def test_ten_days_ahead_nobody_comes_in_whose_days_begin_later(directory, tmp_path):
    machine = Machine(NOW)
    with opened(directory, machine.clock) as store:
        enrol(store, valid_from=NOW + 5 * DAY_S)
        machine.clock.state()
        machine.wall += 10 * DAY_S
        machine.monotonic += 1.0
        assert decided(store, machine.clock, tmp_path) == ("Declined", "clock_untrusted")
        assert "jumped 10 days ahead" in machine.clock.trouble()


def test_once_an_operator_has_confirmed_the_time_it_holds_also_after_a_restart(directory):
    machine = Machine(NOW + 10 * DAY_S)  # somebody had set it ten days ahead, and records were made by that
    with opened(directory, machine.clock) as store:
        machine.clock.state()
        store.record_act(Kind.SETTINGS)

    machine.wall = NOW
    clock = machine.started()
    with opened(directory, clock) as store:
        assert clock.state() is ClockState.UNTRUSTED
        assert assembly.confirm_clock(store, clock, actor="operator-1") == NOW
        assert clock.state() is ClockState.SYNCED
    clock = machine.started()
    with opened(directory, clock) as store:
        assert clock.state() is ClockState.SYNCED
        assert clock() == NOW
        assert store.verify_log().is_intact


def test_a_record_made_by_a_clock_that_nobody_believed_holds_nothing(directory):
    untrusted = Clock(0.0, wall=lambda: NOW + 100 * DAY_S, is_synced=lambda: False)
    with opened(directory, untrusted) as store:
        assert untrusted.state() is ClockState.UNTRUSTED
        store.record_act(Kind.SETTINGS)

    clock = Machine(NOW).clock
    with opened(directory, clock):
        assert clock.state() is ClockState.SYNCED
        assert clock() == NOW


def test_serve_goes_by_the_same_clock(directory):
    machine = Machine(NOW)
    with opened(directory, machine.clock) as store:
        machine.wall = NOW + DAY_S
        machine.monotonic += DAY_S
        machine.clock.state()
        store.record_act(Kind.SETTINGS)
    machine.wall = NOW
    chosen = Namespace(state=str(directory), config=None)
    with assembly.open_device(chosen, threads=1, clock=machine.started()) as device:
        assert device.now() >= NOW + DAY_S - 1.0

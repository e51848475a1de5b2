"""A lockdown at the relay, the wired switch, a door that stays free, and a release beside unreadable inputs."""

from dataclasses import replace
from typing import Any

import pytest

from kiosk.door.door import TICK_S, Door
from kiosk.door.inputs import Happened
from kiosk.door.lines import Input, Output
from kiosk.errors import DoorError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.settings.door import DoorSettings
from kiosk.testing.fakes import ManualClock, RecordedLines

SETTINGS = DoorSettings()
LOCKDOWN = Condition.LOCKDOWN.value
KEPT = Refusal(RefusalReason.LOG_ONLY, (LOCKDOWN,))


class Site:
    def __init__(self, lines=None):
        self.lines: Any = lines or RecordedLines()
        self.clock, self.states = ManualClock(), frozenset[str]()
        self.door = Door(self.lines, replace(SETTINGS), clock=self.clock, states=lambda: self.states)
        self.wait(0.2)

    def wait(self, seconds):
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            self.door.tick()

    def come(self, *exempt):
        return self.door.open(Grant(f"{self.clock.now}", self.clock.now, frozenset(exempt)))

    @property
    def is_unlocked(self):
        return Output.RELAY in self.lines.lit


def test_a_lockdown_refuses_at_the_relay_all_but_whom_it_does_not_bind():
    site = Site()
    site.states = frozenset({LOCKDOWN})

    assert site.come() == KEPT
    assert site.come(LOCKDOWN) is None
    assert site.is_unlocked


def test_no_exemption_lifts_another_state():
    site = Site()
    site.states = frozenset({LOCKDOWN, Condition.DISK_FULL.value})

    assert site.come(LOCKDOWN) == Refusal(RefusalReason.CLOSED, (Condition.DISK_FULL.value,))


@pytest.mark.parametrize("way", ["exit", "release", "fire"])
def test_a_lockdown_locks_nobody_in(way):
    site = Site()
    site.states = frozenset({LOCKDOWN})

    if way == "release":
        assert site.door.release("act") is None
    else:
        site.lines.turn(Input(way), on=True)
        site.wait(0.2)

    assert site.is_unlocked


def test_the_switch_locks_down_before_anybody_has_heard_of_it_and_until_somebody_has():
    site = Site()
    site.lines.turn(Input.LOCKDOWN, on=True)
    site.wait(0.2)
    site.lines.turn(Input.LOCKDOWN, on=False)
    site.wait(0.2)

    assert site.come() == KEPT
    assert [one.what for one in site.door.events()] == [Happened.LOCKDOWN_SWITCHED]
    site.door.obey_switch()  # from here on the lockdown that it became holds
    assert site.come() is None


def test_a_switch_that_is_on_locks_down_however_often_it_was_heard():
    site = Site()
    site.lines.turn(Input.LOCKDOWN, on=True)
    site.wait(0.2)
    site.door.obey_switch()

    assert site.door.is_switched
    assert site.come() == KEPT


def test_a_free_door_stays_open_without_a_hard_maximum_until_its_lease_ends():
    site = Site()
    site.door.keep_free(site.clock.now + 60.0)
    site.wait(59.0)
    assert site.is_unlocked
    assert site.lines.pulses == 1  # on once, and not by turns
    site.wait(1.0 + SETTINGS.pulse_s + 0.1)

    assert not site.is_unlocked
    told = [one.what for one in site.door.events()]
    assert [one for one in told if one in {Happened.FREE, Happened.FREE_OVER}] == [Happened.FREE, Happened.FREE_OVER]


@pytest.mark.parametrize("state", [LOCKDOWN, Condition.ALARM_ARMED.value, Condition.CAMERA_LOST.value, "on_fire"])
def test_a_free_door_locks_at_once_when_a_state_speaks_against_it(state):
    site = Site()
    site.door.keep_free(site.clock.now + 600.0)
    site.wait(1.0)
    site.states = frozenset({state})
    site.wait(2 * TICK_S)
    assert not site.is_unlocked
    site.states = frozenset()
    site.wait(2 * TICK_S)

    assert site.is_unlocked


def test_who_is_let_out_of_a_free_door_is_let_out_still_when_it_locks():
    site = Site()
    site.door.keep_free(site.clock.now + 600.0)
    site.wait(1.0)
    site.lines.turn(Input.EXIT, on=True)
    site.wait(0.2)
    site.states = frozenset({LOCKDOWN})
    site.wait(SETTINGS.pulse_s / 2)

    assert site.is_unlocked
    site.wait(SETTINGS.pulse_s)
    assert not site.is_unlocked


def test_an_exit_long_ago_keeps_no_free_door_open():
    site = Site()
    site.door.keep_free(site.clock.now + 600.0)
    site.lines.turn(Input.EXIT, on=True)
    site.wait(2 * SETTINGS.pulse_s)
    site.states = frozenset({LOCKDOWN})
    site.wait(2 * TICK_S)

    assert not site.is_unlocked


class Deaf(RecordedLines):
    """Lines whose inputs cannot be read, while the outputs work."""

    is_deaf = True

    def read(self):
        if self.is_deaf:
            raise DoorError("chip: cannot read")
        return super().read()


def test_a_release_lasts_though_the_inputs_cannot_be_read():
    site = Site(Deaf())
    assert site.door.is_faulty

    assert site.door.release("act") is None
    site.wait(SETTINGS.pulse_s - 0.1)
    assert site.is_unlocked
    site.wait(0.2)

    assert not site.is_unlocked


def test_a_decision_opens_nothing_while_the_inputs_cannot_be_read():
    site = Site(Deaf())

    assert site.come() == Refusal(RefusalReason.LOG_ONLY, (Condition.DOOR_FAULT.value,))
    assert not site.is_unlocked


def test_a_pulse_of_a_decision_ends_when_the_inputs_cannot_be_read_any_more():
    site = Site(Deaf())
    site.lines.is_deaf = False
    site.wait(0.1)
    assert site.come() is None
    site.lines.is_deaf = True
    site.wait(2 * TICK_S)

    assert not site.is_unlocked

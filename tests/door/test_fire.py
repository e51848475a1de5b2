"""The fire alarm's contact: it unlocks above everything, for as long as it is on, and a cut wire counts as one."""

from dataclasses import replace

import pytest

from kiosk.door.door import TICK_S, Door
from kiosk.door.inputs import Happened
from kiosk.door.lines import Input, Output
from kiosk.errors import DoorError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant
from kiosk.settings.door import DoorSettings
from kiosk.testing.fakes import ManualClock, RecordedLines

SETTINGS = DoorSettings()


class Site:
    def __init__(self, *, is_on=False, states=(), lines=None):
        self.clock, self.lines, self.states = ManualClock(), lines or RecordedLines(), frozenset(states)
        self.lines.turn(Input.FIRE, on=is_on)
        self.door = Door(self.lines, replace(SETTINGS), clock=self.clock, states=lambda: self.states)

    def wait(self, seconds):
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            self.door.tick()

    @property
    def is_unlocked(self):
        return Output.RELAY in self.lines.lit


@pytest.mark.parametrize("states", [(), *((one.value,) for one in Condition)], ids=str)
def test_it_unlocks_in_every_state(states):
    site = Site(states=states)
    site.wait(0.5)
    assert not site.is_unlocked

    site.lines.turn(Input.FIRE, on=True)
    site.wait(0.2)

    assert site.is_unlocked


def test_it_has_no_hard_maximum_and_ends_with_a_last_pulse():
    site = Site()
    site.lines.turn(Input.FIRE, on=True)
    site.wait(10 * SETTINGS.longest_pulse_s)
    assert site.is_unlocked
    assert site.door.let_out_until == site.clock.now + SETTINGS.pulse_s  # for a strike beside the relay
    assert site.lines.pulses == 1  # on once, and not by turns

    site.lines.turn(Input.FIRE, on=False)
    site.wait(SETTINGS.pulse_s / 2)
    assert site.is_unlocked
    site.wait(SETTINGS.pulse_s)

    assert not site.is_unlocked
    happened = [one.what for one in site.door.events()]
    assert happened == [Happened.FIRE_RELEASE, Happened.RELAY_ON, Happened.FIRE_OVER, Happened.RELAY_OFF]


class Deaf(RecordedLines):
    """Lines whose inputs cannot be read, while the outputs work."""

    is_deaf = False

    def read(self):
        if self.is_deaf:
            raise DoorError("the inputs are broken")
        return super().read()


@pytest.mark.parametrize("is_broken", [False, True])
def test_inputs_that_cannot_be_read_lock_nobody_into_a_fire(is_broken):
    lines = Deaf()
    site = Site(lines=lines)
    site.lines.turn(Input.FIRE, on=True)
    site.wait(0.5)

    lines.is_deaf = True
    if is_broken:  # the outputs too, for a while, and off when they come back
        site.lines.break_down()
        site.wait(1.0)
        site.lines.recover(afresh=True)
    site.wait(2 * SETTINGS.longest_pulse_s)
    assert site.is_unlocked
    assert site.door.is_faulty
    assert site.lines.pulses == 1 + is_broken

    lines.is_deaf = False
    site.lines.turn(Input.FIRE, on=False)
    site.wait(2 * SETTINGS.pulse_s)
    assert not site.is_unlocked
    assert not site.door.is_faulty


def test_a_wire_that_is_cut_at_the_start_unlocks():
    site = Site(is_on=True)
    site.wait(0.5)

    assert site.is_unlocked


def test_a_flicker_is_no_fire():
    site = Site()
    site.wait(0.2)
    site.lines.turn(Input.FIRE, on=True)
    site.wait(SETTINGS.debounce_s / 2)
    site.lines.turn(Input.FIRE, on=False)
    site.wait(0.5)

    assert site.lines.pulses == 0


def test_nobody_forces_a_door_that_burns():
    site = Site()
    site.wait(0.5)
    site.lines.turn(Input.FIRE, on=True)
    site.wait(0.5)
    site.lines.turn(Input.CONTACT, on=True)
    site.wait(1.0)

    assert Happened.FORCED_OPEN not in [one.what for one in site.door.events()]


def test_a_grant_before_ends_no_sooner_because_of_it():
    site = Site()
    site.wait(0.5)
    assert site.door.open(Grant("r1", site.clock.now)) is None
    site.lines.turn(Input.FIRE, on=True)
    site.wait(2 * SETTINGS.pulse_s)

    assert site.is_unlocked

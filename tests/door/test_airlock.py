"""An airlock of one kiosk: the inner door opens once the outer one is shut again; nobody is held who goes out."""

from dataclasses import replace

import pytest

from kiosk.door.door import TICK_S, Door
from kiosk.door.inputs import Happened
from kiosk.door.lines import Input, Output
from kiosk.errors import ConfigError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.rules.interlock import Leaf
from kiosk.settings.door import DoorSettings
from kiosk.testing.fakes import ManualClock, RecordedLines

SETTINGS = DoorSettings("chip", relay=1, second_relay=2, contact=3, second_contact=4, exit=5, fire=6)
OUTER, INNER = Output.RELAY, Output.SECOND_RELAY
LOCKED = Refusal(RefusalReason.INTERLOCK)


class Airlock:
    def __init__(self, lines=None, **changes):
        self.clock, self.lines, self.states = ManualClock(), lines or RecordedLines(), frozenset[str]()
        settings = replace(SETTINGS, **changes)
        self.door = Door(self.lines, settings, clock=self.clock, states=lambda: self.states)
        self.number = 0
        self.wait(0.2)

    def wait(self, seconds):
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            self.door.tick()

    def come(self):
        self.number += 1
        return self.door.open(Grant(str(self.number), self.clock.now))

    def walk(self, contact):
        """Go through a door whose relay is on: it opens, and shuts again once its relay is off."""
        self.lines.turn(contact, on=True)
        self.wait(1.0)
        self.lines.turn(contact, on=False)
        self.wait(0.2)

    @property
    def lit(self):
        return {one.value for one in self.lines.lit & {OUTER, INNER}}

    def happened(self):
        return [one.what for one in self.door.events()]


def test_the_inner_door_opens_once_the_outer_one_is_shut_again():
    site = Airlock()

    assert site.come() is None
    assert site.lit == {"relay"}
    site.walk(Input.CONTACT)
    assert site.lit == {"relay"}  # shut, and not locked yet
    site.wait(SETTINGS.pulse_s)
    assert site.lit == {"second_relay"}
    site.walk(Input.SECOND_CONTACT)
    site.wait(SETTINGS.pulse_s)

    assert site.lit == set()
    assert site.happened() == [
        Happened.RELAY_ON,
        Happened.OPENED,
        Happened.CLOSED,
        Happened.RELAY_OFF,
        Happened.INNER_RELAY_ON,
        Happened.INNER_OPENED,
        Happened.INNER_CLOSED,
        Happened.INNER_RELAY_OFF,
    ]
    assert site.come() is None  # the next one


def test_never_are_both_open_to_who_comes_in():
    site = Airlock()
    site.come()
    site.lines.turn(Input.CONTACT, on=True)  # and it stays open

    for _ in range(40):
        site.wait(1.0)
        assert INNER not in site.lines.lit

    assert Happened.INNER_KEPT_SHUT in site.happened()


def test_nobody_is_let_in_while_the_airlock_is_in_use():
    site = Airlock()
    site.come()
    assert site.come() == LOCKED
    site.walk(Input.CONTACT)
    assert site.come() == LOCKED
    site.wait(SETTINGS.pulse_s)
    assert site.come() == LOCKED  # the inner relay is on


@pytest.mark.parametrize("contact", [Input.CONTACT, Input.SECOND_CONTACT])
def test_an_open_door_keeps_the_other_shut_and_a_cut_wire_reads_as_one(contact):
    site = Airlock()
    site.lines.turn(contact, on=True)
    site.wait(0.2)

    assert site.come() == LOCKED
    assert site.lit == set()


class Unwired(RecordedLines):
    """Lines whose inner contact says nothing."""

    def read(self):
        return {name: on for name, on in super().read().items() if name is not Input.SECOND_CONTACT}


def test_a_contact_that_says_nothing_keeps_shut_inward_and_lets_out_at_once():
    site = Airlock(Unwired())
    assert site.come() == LOCKED

    site.lines.turn(Input.EXIT, on=True)
    site.wait(0.2)

    assert site.lit == {"relay", "second_relay"}


def test_whoever_goes_out_is_let_through_the_inner_door_and_then_the_outer():
    site = Airlock()
    site.lines.turn(Input.EXIT, on=True)
    site.wait(0.2)
    assert site.lit == {"second_relay"}
    site.walk(Input.SECOND_CONTACT)
    site.wait(SETTINGS.pulse_s)

    assert site.lit == {"relay"}


def test_whoever_stands_between_the_doors_gets_out_though_the_inner_one_stays_open():
    site = Airlock()
    site.lines.turn(Input.EXIT, on=True)
    site.lines.turn(Input.SECOND_CONTACT, on=True)
    site.wait(SETTINGS.airlock_s - 1.0)
    assert OUTER not in site.lines.lit
    site.wait(1.5)

    assert OUTER in site.lines.lit


def test_fire_opens_both_in_every_state():
    site = Airlock()
    site.states = frozenset({one.value for one in Condition})
    site.lines.turn(Input.FIRE, on=True)
    site.wait(60.0)

    assert site.lit == {"relay", "second_relay"}


def test_a_release_opens_both():
    site = Airlock()
    site.states = frozenset({Condition.LOCKDOWN.value})

    assert site.door.release("act") is None
    assert site.lit == {"relay", "second_relay"}


@pytest.mark.parametrize(
    ("exempt", "lit"), [((), set()), ((Condition.LOCKDOWN.value,), {"second_relay"})], ids=["anybody", "staff"]
)
def test_a_lockdown_between_the_doors_keeps_the_inner_one_shut_to_all_but_the_staff(exempt, lit):
    site = Airlock()
    assert site.door.open(Grant("a", site.clock.now, frozenset(exempt))) is None
    site.states = frozenset({Condition.LOCKDOWN.value})
    site.walk(Input.CONTACT)
    site.wait(SETTINGS.pulse_s)

    assert site.lit == lit
    site.lines.turn(Input.EXIT, on=True)  # and whoever stands there gets out
    site.wait(SETTINGS.pulse_s + 0.5)
    assert "relay" in site.lit


def test_the_leaf_tells_another_door_what_this_one_is():
    site = Airlock()
    before = site.door.leaf
    site.come()

    assert (before, site.door.leaf) == (Leaf.SHUT, Leaf.OPEN)  # unlocked, so it may be open any moment


@pytest.mark.parametrize("changes", [{"second_contact": -1}, {"contact": -1}, {"second_relay": -1}, {"relay": -1}])
def test_an_airlock_without_its_contacts_is_refused(changes):
    with pytest.raises(ConfigError, match=r"airlock|second_relay"):
        replace(SETTINGS, **changes)

"""The inputs of a door, and what their changes mean: contact, exit button, fire alarm, lockdown switch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from kiosk.door.lines import Input
from kiosk.rules.interlock import Leaf
from kiosk.settings.door import DoorSettings


class DoorState(str, Enum):
    """Where the door is, in BACnet's words where it has them."""

    UNKNOWN = "unknown"  # no contact is wired, or it has not settled yet
    CLOSED = "closed"
    OPEN = "open"
    DOOR_OPEN_TOO_LONG = "door_open_too_long"
    FORCED_OPEN = "forced_open"


class Happened(str, Enum):
    """One fact about the door."""

    RELAY_ON = "relay_on"
    RELAY_OFF = "relay_off"
    PULSE_CUT = "pulse_cut"  # it reached the hard maximum
    OPENED = "opened"
    CLOSED = "closed"
    DOOR_OPEN_TOO_LONG = "door_open_too_long"
    FORCED_OPEN = "forced_open"
    EXIT_PRESSED = "exit_pressed"
    FIRE_RELEASE = "fire_release"  # the fire alarm unlocks the door
    FIRE_OVER = "fire_over"
    FREE = "free"  # held open from the first person who came in, by [passage] first_in
    FREE_OVER = "free_over"
    LOCKDOWN_SWITCHED = "lockdown_switched"  # by the wired switch
    DOOR_FAULT = "door_fault"
    FAULT_OVER = "fault_over"
    INNER_RELAY_ON = "inner_relay_on"  # the second door of an airlock
    INNER_RELAY_OFF = "inner_relay_off"
    INNER_OPENED = "inner_opened"
    INNER_CLOSED = "inner_closed"
    INNER_OPEN_TOO_LONG = "inner_open_too_long"
    INNER_FORCED_OPEN = "inner_forced_open"
    INNER_KEPT_SHUT = "inner_kept_shut"  # nobody was let on from the outer door in time


INNER: Mapping[Happened, Happened] = {
    Happened.RELAY_ON: Happened.INNER_RELAY_ON,
    Happened.RELAY_OFF: Happened.INNER_RELAY_OFF,
    Happened.PULSE_CUT: Happened.PULSE_CUT,
    Happened.OPENED: Happened.INNER_OPENED,
    Happened.CLOSED: Happened.INNER_CLOSED,
    Happened.DOOR_OPEN_TOO_LONG: Happened.INNER_OPEN_TOO_LONG,
    Happened.FORCED_OPEN: Happened.INNER_FORCED_OPEN,
}
"""The word for the inner door of an airlock."""


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """What happened, when, and by which decision."""

    what: Happened
    at: float  # monotonic s
    decision: str = ""  # of the grant that the pulse belongs to


class Debounce:
    """A contact's state once it has kept still for some time."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._raw: bool | None = None
        self.since = -math.inf  # when the raw state changed last
        self.state: bool | None = None  # None until it has settled once

    def feed(self, raw: bool, now: float) -> bool:  # noqa: FBT001  a reading
        """Take a reading; say whether the settled state changed."""
        if raw is not self._raw or not self.since <= now:  # the second: a clock that went back
            self._raw, self.since = raw, now
        if raw is self.state or now - self.since < self._settle_s:
            return False
        self.state = raw
        return True


class ExitButton(Debounce):
    """The button beside the door."""

    def is_pressed(self, raw: bool, now: float) -> bool:  # noqa: FBT001  a reading
        """Take a reading; say whether somebody just pressed it."""
        is_first = self.state is None  # a wire that is shorted at the start is nobody's press
        return self.feed(raw, now) and self.state is True and not is_first


class Contact:
    """The door's contact, and what its changes mean."""

    def __init__(self, settings: DoorSettings) -> None:
        """Take section [door]."""
        self._settings = settings
        self._settled = Debounce(settings.debounce_s)
        self.state = DoorState.UNKNOWN

    @property
    def since(self) -> float:
        """When the contact changed last, monotonic s."""
        return self._settled.since

    @property
    def leaf(self) -> Leaf:
        """What it says to the other door of an airlock."""
        if self.state is DoorState.UNKNOWN:
            return Leaf.UNKNOWN
        return Leaf.SHUT if self.state is DoorState.CLOSED else Leaf.OPEN

    @property
    def is_alarm(self) -> bool:
        """Whether the door stands open as it should not."""
        return self.state in {DoorState.FORCED_OPEN, DoorState.DOOR_OPEN_TOO_LONG}

    @property
    def alarm_since(self) -> float | None:
        """Since when it does, monotonic s; None while it does not."""
        return self.since if self.is_alarm else None

    def watch(self, is_open: bool | None, now: float, excused_until: float) -> Happened | None:  # noqa: FBT001  a reading
        """Take a reading, if there is one; say what it means. An opening up to `excused_until` is nobody's force."""
        if is_open is None:
            return None
        is_first = self._settled.state is None
        changed = self._settled.feed(is_open, now)
        if changed and not is_open:
            self.state = DoorState.CLOSED
            return None if is_first else Happened.CLOSED
        if changed:
            is_excused = is_first or self.since <= excused_until
            self.state = DoorState.OPEN if is_excused else DoorState.FORCED_OPEN
            if not is_first:  # a kiosk that starts beside an open door saw nobody open it
                return Happened.OPENED if is_excused else Happened.FORCED_OPEN
        if self.state is DoorState.OPEN and now - self.since >= self._settings.held_open_s:
            self.state = DoorState.DOOR_OPEN_TOO_LONG
            return Happened.DOOR_OPEN_TOO_LONG
        return None


class FireInput:
    """The fire alarm's contact: while it is on, or its wire is cut, the door is unlocked."""

    def __init__(self, settings: DoorSettings) -> None:
        """Take section [door]."""
        self._settled = Debounce(settings.debounce_s)

    @property
    def is_on(self) -> bool:
        """Whether the door is to be unlocked; at the start too, where a cut wire is nobody's mistake."""
        return self._settled.state is True

    def watch(self, inputs: Mapping[Input, bool], now: float) -> Happened | None:
        """Take the readings; say whether the alarm began or ended."""
        was_on = self.is_on
        if Input.FIRE not in inputs or not self._settled.feed(inputs[Input.FIRE], now) or self.is_on is was_on:
            return None
        return Happened.FIRE_RELEASE if self.is_on else Happened.FIRE_OVER


class LockdownSwitch:
    """A wired switch that locks the door down; to let go of it lifts nothing."""

    def __init__(self, settings: DoorSettings) -> None:
        """Take section [door]."""
        self._settled = Debounce(settings.debounce_s)
        self.is_asked = False
        """Whether it was switched on, and nobody has made a lockdown of that yet."""

    @property
    def is_on(self) -> bool:
        """Whether it is switched on, or its wire cut; at the start too."""
        return self._settled.state is True

    def watch(self, inputs: Mapping[Input, bool], now: float) -> Happened | None:
        """Take the readings; say whether it was switched on."""
        if Input.LOCKDOWN not in inputs or not self._settled.feed(inputs[Input.LOCKDOWN], now) or not self.is_on:
            return None
        self.is_asked = True
        return Happened.LOCKDOWN_SWITCHED

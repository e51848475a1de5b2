"""The degraded states of a kiosk, and what each of them leaves: the table that guard, screen and health read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Condition(str, Enum):
    """A degraded state of the kiosk."""

    CAMERA_LOST = "camera_lost"
    FRAMES_LATE = "frames_late"  # the camera is live, and no picture of it is about now
    STORE_UNREADABLE = "store_unreadable"
    SELF_TEST_FAILED = "self_test_failed"
    CLOCK_UNTRUSTED = "clock_untrusted"
    DISK_FULL = "disk_full"
    GALLERY_STALE = "gallery_stale"
    PAD_FAILED = "pad_failed"  # presentation-attack detection is wanted and does not run
    PAD_OFF = "pad_off"  # nobody wanted it
    PAD_PASSIVE = "pad_passive"  # it asks for nothing: a deterrent
    PAD_UNCALIBRATED = "pad_uncalibrated"  # its limits were not set on this site
    PAD_TOO_BRIGHT = "pad_too_bright"  # the screen's colours do not show on faces here
    THROTTLED = "throttled"  # the processor slows itself down: heat or a weak supply
    DOOR_FAULT = "door_fault"
    ALARM_ARMED = "alarm_armed"  # an alarm system asked for no more decisions
    LOCKDOWN = "lockdown"  # an operator, or the fleet, closed the door for all but those the settings name
    STARTING = "starting"  # nothing was tested yet
    LIST_HELD = "list_held"  # a list of the cloud lost most of its entries, and nobody confirmed it
    PANEL_LOST = "panel_lost"  # the access control panel that opens the door does not ask this reader
    NEIGHBOUR_LOST = "neighbour_lost"  # a kiosk of the fleet that a rule of passage goes by is not heard
    READER_LOST = "reader_lost"  # a reader or keypad of this kiosk does not answer
    LOG_ROLLED_BACK = "log_rolled_back"  # others hold a newer record of this kiosk's log than it has
    FACE_STAYS = "face_stays"  # a face that does not move, or several without a pause: nobody is judged beside them


class Allowed(str, Enum):
    """What a degraded state leaves of the kiosk, from most to least."""

    OPEN = "open"  # everything; health and each decision name the state
    LOG_ONLY = "log_only"  # people are judged and recorded, nothing opens
    CLOSED = "closed"  # nobody is judged


@dataclass(frozen=True, slots=True)
class Degradation:
    """A degraded state that holds now."""

    condition: str  # of Condition
    sentence: str  # what is wrong, and how to mend it
    leaves: str  # of Allowed: what is still allowed
    since: float  # seconds UTC


STRICTNESS = (Allowed.OPEN, Allowed.LOG_ONLY, Allowed.CLOSED)

POLICY: Mapping[str, Allowed] = MappingProxyType(
    {
        Condition.CAMERA_LOST.value: Allowed.CLOSED,
        Condition.FRAMES_LATE.value: Allowed.CLOSED,
        Condition.STORE_UNREADABLE.value: Allowed.CLOSED,
        Condition.SELF_TEST_FAILED.value: Allowed.CLOSED,  # its scores mean nothing, so they are not logged either
        Condition.CLOCK_UNTRUSTED.value: Allowed.LOG_ONLY,  # nobody knows who is still valid, nor whose hour it is
        Condition.DISK_FULL.value: Allowed.CLOSED,  # an entry that cannot be recorded does not happen
        Condition.GALLERY_STALE.value: Allowed.LOG_ONLY,  # whoever was blocked since then would still be let in
        Condition.PAD_FAILED.value: Allowed.CLOSED,  # a photograph would be judged, and enrolled, as its person
        # Off is what the installer chose, not something that broke: closing would make the choice unusable.
        Condition.PAD_OFF.value: Allowed.OPEN,
        Condition.PAD_PASSIVE.value: Allowed.OPEN,  # as chosen, and better than off
        Condition.PAD_UNCALIBRATED.value: Allowed.OPEN,  # its limits are those measured elsewhere
        Condition.PAD_TOO_BRIGHT.value: Allowed.OPEN,  # who must answer colours is let in by nothing else
        # Slow is not wrong: the decisions are the same, and one that comes too late is refused by its frame's age.
        Condition.THROTTLED.value: Allowed.OPEN,
        Condition.DOOR_FAULT.value: Allowed.LOG_ONLY,
        Condition.ALARM_ARMED.value: Allowed.CLOSED,
        Condition.LOCKDOWN.value: Allowed.LOG_ONLY,  # people are still judged and recorded; see rules/lockdown.py
        Condition.STARTING.value: Allowed.CLOSED,
        # Whoever was blocked stays so: the held list is the stricter one.
        Condition.LIST_HELD.value: Allowed.OPEN,
        Condition.PANEL_LOST.value: Allowed.LOG_ONLY,  # nobody hears of the card, so nothing may seem to open
        Condition.NEIGHBOUR_LOST.value: Allowed.OPEN,  # the rules that go by it refuse by themselves, inward
        Condition.READER_LOST.value: Allowed.OPEN,  # who must hold a card to it is refused without one
        Condition.LOG_ROLLED_BACK.value: Allowed.LOG_ONLY,  # whoever was revoked or blocked since may be let in again
        Condition.FACE_STAYS.value: Allowed.LOG_ONLY,  # two faces open nothing, and health is not to say otherwise
    }
)
"""What each state leaves when nothing is set. A state that is not in the table closes."""

FIXED = frozenset(
    {
        Condition.CAMERA_LOST,
        Condition.FRAMES_LATE,
        Condition.STORE_UNREADABLE,
        Condition.SELF_TEST_FAILED,
        Condition.PAD_FAILED,
        Condition.DOOR_FAULT,
        Condition.ALARM_ARMED,
        Condition.LOCKDOWN,
        Condition.STARTING,
    }
)
"""States that no setting can loosen: there is nothing left to decide with, or nothing to open."""


def policy(chosen: Mapping[str, str]) -> Mapping[str, Allowed]:
    """Return the table with an installer's choices in it.

    Args:
        chosen: condition to "open", "log_only" or "closed".

    Raises:
        ValueError: no such condition, no such choice, or one that cannot be loosened.
    """
    table = dict(POLICY)
    for condition, allowed in chosen.items():
        if Condition(condition) in FIXED and Allowed(allowed) is not Allowed.CLOSED:
            raise ValueError(f"{condition} cannot be set to {allowed}: there would be nothing to decide with")
        table[Condition(condition).value] = Allowed(allowed)
    return MappingProxyType(table)


def allowed(states: Collection[str], table: Mapping[str, Allowed] = POLICY) -> Allowed:
    """Return what the states leave together: the strictest counts, one that the table does not know closes.

    >>> allowed([]).value, allowed(["throttled", "gallery_stale"]).value, allowed(["on_fire"]).value
    ('open', 'log_only', 'closed')
    """
    return max((table.get(state, Allowed.CLOSED) for state in states), key=STRICTNESS.index, default=Allowed.OPEN)

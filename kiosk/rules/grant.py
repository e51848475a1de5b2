"""May this decision open the door, here and now?

Three parts: the guard at the relay, the table of degraded states, and the patience with repeated declines.
All times are seconds of one monotonic clock, as in presentation.py: a wall clock that is set must open nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

FRAME_AGE_LIMIT_S = 0.5
"""Oldest frame that may still open: a later answer is about somebody who has walked on. No setting lifts it."""


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
    THROTTLED = "throttled"  # the processor slows itself down: heat or a weak supply
    DOOR_FAULT = "door_fault"
    ALARM_ARMED = "alarm_armed"  # an alarm system asked for no more decisions
    STARTING = "starting"  # nothing was tested yet


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
        Condition.PAD_FAILED.value: Allowed.LOG_ONLY,
        # Off is what the installer chose, not something that broke: closing would make the choice unusable.
        Condition.PAD_OFF.value: Allowed.OPEN,
        # Slow is not wrong: the decisions are the same, and one that comes too late is refused by its frame's age.
        Condition.THROTTLED.value: Allowed.OPEN,
        Condition.DOOR_FAULT.value: Allowed.LOG_ONLY,
        Condition.ALARM_ARMED.value: Allowed.CLOSED,
        Condition.STARTING.value: Allowed.CLOSED,
    }
)
"""What each state leaves when nothing is set. A state that is not in the table closes."""

FIXED = frozenset(
    {
        Condition.CAMERA_LOST,
        Condition.FRAMES_LATE,
        Condition.STORE_UNREADABLE,
        Condition.SELF_TEST_FAILED,
        Condition.DOOR_FAULT,
        Condition.ALARM_ARMED,
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


class RefusalReason(str, Enum):
    """Why a decision opens nothing."""

    FRAME_TOO_OLD = "frame_too_old"
    CLOCK_JUMPED = "clock_jumped"  # the frame seems to come from the future, or a time is no number
    LOG_ONLY = "log_only"
    CLOSED = "closed"
    ALREADY_USED = "already_used"  # one decision, one pulse
    WITHDRAWN = "withdrawn"  # its person may not come in any more: blocked, declined, forgotten, out of date since
    NO_SUPERVISOR = "no_supervisor"  # nobody would end the pulse


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision that opens nothing, and why. Expected, so never an exception."""

    reason: RefusalReason
    states: tuple[str, ...] = ()  # the degraded states that caused it


@dataclass(frozen=True, slots=True)
class Grant:
    """A decision to open: all that a door takes. It is held against the guard again at the relay."""

    decision: str  # the decision's request_id; opens once
    captured_at: float  # monotonic s, of the newest frame the decision rests on


def may_grant(
    decision_captured_at: float,
    now: float,
    limit_s: float = FRAME_AGE_LIMIT_S,
    states: Collection[str] = (),
    table: Mapping[str, Allowed] = POLICY,
) -> Refusal | None:
    """Say why a decision may not open, or nothing if it may.

    Args:
        decision_captured_at: monotonic s, of the newest frame the decision rests on.
        now: the same clock, read when the relay is about to close.
        limit_s: oldest frame; more than FRAME_AGE_LIMIT_S counts as that.
        states: degraded states of the kiosk, see `Condition`.
        table: what each state leaves.

    >>> may_grant(100.0, 100.5) is None
    True
    >>> may_grant(100.0, 100.51).reason.value
    'frame_too_old'
    """
    left = allowed(states, table)
    if left is not Allowed.OPEN:
        guilty = sorted(str(getattr(s, "value", s)) for s in states if table.get(s, Allowed.CLOSED) is not Allowed.OPEN)
        return Refusal(RefusalReason.LOG_ONLY if left is Allowed.LOG_ONLY else RefusalReason.CLOSED, tuple(guilty))
    age_s = now - decision_captured_at
    if not (math.isfinite(age_s) and age_s >= 0.0):
        return Refusal(RefusalReason.CLOCK_JUMPED)
    if not age_s <= min(limit_s, FRAME_AGE_LIMIT_S):
        return Refusal(RefusalReason.FRAME_TOO_OLD)
    return None


# ---- repeated declines


@dataclass(frozen=True, slots=True)
class Tries:
    """How often the kiosk declined in a row, and until when it waits."""

    declines: int = 0
    held_until: float = -math.inf  # monotonic s; nobody is judged before
    forgotten_at: float = math.inf  # monotonic s; the declines no longer count from then on

    def is_held(self, now: float) -> bool:
        """Whether the kiosk waits before it judges anybody."""
        return now < self.held_until


@dataclass(frozen=True, slots=True)
class Patience:
    """How declines slow the kiosk down and then lock it.

    It counts for the kiosk, as a search does not know whom it declined. Only presentations in which a face was
    judged count: nobody is punished for the dark. Another way in (PIN, card, a person) must be there meanwhile.
    """

    free_tries: int = 3  # declines without any wait
    wait_s: float = 2.0  # after the next one
    wait_growth: float = 2.0  # times longer with each further one
    lockout_tries: int = 8  # declines at which the kiosk locks, and with each further one again
    lockout_s: float = 300.0
    forget_s: float = 900.0  # quiet time after which the declines no longer count

    def __post_init__(self) -> None:
        """Refuse numbers that would never wait, or for ever."""
        if not (0 <= self.free_tries < self.lockout_tries and self.wait_growth >= 1.0):
            raise ValueError(
                f"want 0 <= free_tries < lockout_tries and wait_growth >= 1, "
                f"got {self.free_tries}, {self.lockout_tries} and {self.wait_growth}"
            )
        if not (0.0 <= self.wait_s <= self.lockout_s < math.inf and 0.0 < self.forget_s < math.inf):
            raise ValueError(
                f"want 0 <= wait_s <= lockout_s and 0 < forget_s, got {self.wait_s}, {self.lockout_s}, {self.forget_s}"
            )

    def hold_s(self, declines: int) -> float:
        """Return how long the kiosk waits after so many declines in a row.

        >>> [Patience().hold_s(declines) for declines in (0, 3, 4, 5, 7, 8, 1000)]
        [0.0, 0.0, 2.0, 4.0, 16.0, 300.0, 300.0]
        """
        if declines <= self.free_tries:
            return 0.0
        if declines >= self.lockout_tries:
            return self.lockout_s
        return float(min(self.lockout_s, self.wait_s * self.wait_growth ** (declines - self.free_tries - 1)))

    def after(self, tries: Tries, *, is_granted: bool, now: float) -> Tries:
        """Return the count after a presentation in which a face was judged.

        The end of a lock-out gives no new free tries: the next decline locks again. Only a grant or quiet time does.
        """
        if is_granted:
            return Tries()
        declines = 1 if now >= tries.forgotten_at else tries.declines + 1
        held_until = max(tries.held_until, now + self.hold_s(declines))
        return Tries(declines, held_until, held_until + self.forget_s)

    def save(self, tries: Tries, now: float) -> dict[str, float]:
        """Return the count as plain numbers; times as what remains of them, as the clock starts anew with the device.

        Time without power does not count, so that pulling the plug shortens nothing.
        """
        return {
            "declines": tries.declines,
            "held_s": max(0.0, tries.held_until - now) if tries.declines else 0.0,
            "forgotten_s": max(0.0, tries.forgotten_at - now) if tries.declines else 0.0,
        }

    def restore(self, saved: Mapping[str, object] | None, now: float) -> Tries:
        """Return the count that was saved; None for a kiosk that never saved one.

        Numbers that cannot be lock the kiosk once, for no longer than a lock-out: a spoilt file gives no free tries
        and no kiosk that stays shut.
        """
        if saved is None:
            return Tries()
        numbers = [saved.get(name) for name in ("declines", "held_s", "forgotten_s")]
        longest = (math.inf, self.lockout_s, self.lockout_s + self.forget_s)
        if not all(
            isinstance(number, (int, float)) and math.isfinite(number) and 0.0 <= number <= high
            for number, high in zip(numbers, longest, strict=True)
        ):
            return Tries(self.lockout_tries, now + self.lockout_s, now + self.lockout_s + self.forget_s)
        declines, held_s, forgotten_s = (float(number) for number in numbers if isinstance(number, (int, float)))
        return Tries(int(declines), now + held_s, now + forgotten_s) if declines else Tries()

"""May this decision open the door, here and now? The guard at the relay.

All times are seconds of one monotonic clock, as in presentation.py: a wall clock that is set must open nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from kiosk.rules.conditions import POLICY, Allowed, allowed

FRAME_AGE_LIMIT_S = 0.5
"""Oldest frame that may still open: a later answer is about somebody who has walked on. No setting lifts it."""


class RefusalReason(str, Enum):
    """Why a decision opens nothing."""

    FRAME_TOO_OLD = "frame_too_old"
    CLOCK_JUMPED = "clock_jumped"  # the frame seems to come from the future, or a time is no number
    LOG_ONLY = "log_only"
    CLOSED = "closed"
    ALREADY_USED = "already_used"  # one decision, one pulse
    WITHDRAWN = "withdrawn"  # its person may not come in any more: blocked, declined, forgotten, out of date since
    NO_SUPERVISOR = "no_supervisor"  # nobody would end the pulse
    PASSBACK = "passback"  # the person is inside already
    FULL = "full"  # as many are inside as may be
    SUSPENDED = "suspended"  # the person stays outside until a time
    SECOND_PERSON = "second_person"  # another person is to follow
    LOCKDOWN = "lockdown"  # the door is locked down, and the person is none of those who enter all the same
    INTERLOCK = "interlock"  # the other door of the airlock is not known to be shut
    NEIGHBOUR_LOST = "neighbour_lost"  # a door whose passages count is not heard now
    PASSAGES_UNKNOWN = "passages_unknown"  # who is inside cannot be read
    NO_CARD = "no_card"  # the panel opens for cards, and the person has none


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision that opens nothing, and why. Expected, so never an exception."""

    reason: RefusalReason
    states: tuple[str, ...] = ()  # the degraded states that caused it


@dataclass(frozen=True, slots=True)
class Grant:
    """A decision to open: all that a door takes. It is checked against the guard again at the relay."""

    decision: str  # the decision's request_id; opens once
    captured_at: float  # monotonic s, of the newest frame the decision rests on
    exempt: frozenset[str] = frozenset()  # degraded states that do not bind it: a lockdown, for the staff it lets in

    def bound_by(self, states: Collection[str]) -> frozenset[str]:
        """Return the states that bind it.

        >>> sorted(Grant("a", 1.0, frozenset({"lockdown"})).bound_by({"lockdown", "disk_full"}))
        ['disk_full']
        """
        return frozenset(states) - self.exempt


def may_grant(
    decision_captured_at: float,
    now: float,
    states: Collection[str] = (),
    table: Mapping[str, Allowed] = POLICY,
) -> Refusal | None:
    """Say why a decision may not open, or nothing if it may.

    Args:
        decision_captured_at: monotonic s, of the newest frame the decision rests on.
        now: the same clock, read when the relay is about to close.
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
    if not age_s <= FRAME_AGE_LIMIT_S:
        return Refusal(RefusalReason.FRAME_TOO_OLD)
    return None

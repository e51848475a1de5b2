"""Two doors of which one opens only while the other is shut: an airlock. Pure.

Fails closed inward and free outward: a contact that says nothing, or a neighbour that is not heard, keeps the door shut
to whoever comes in, and holds nobody who goes out. A fire alarm opens both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Leaf(str, Enum):
    """What is known of the other door."""

    SHUT = "shut"
    OPEN = "open"  # or unlocked, so that it may be any moment
    UNKNOWN = "unknown"  # no contact, one that has not settled, or nobody who says


def keeps_shut(other: Leaf, *, is_outward: bool) -> bool:
    """Say whether the other door keeps this one shut.

    >>> [keeps_shut(one, is_outward=False) for one in Leaf], any(keeps_shut(one, is_outward=True) for one in Leaf)
    ([False, True, True], False)
    """
    return not is_outward and other is not Leaf.SHUT


@dataclass(frozen=True, slots=True)
class Follow:
    """The door that is to open after another one: by the same decision, or on the way out."""

    decision: str
    until: float  # monotonic s: from then on nobody comes in by it, and whoever goes out waits no longer
    is_outward: bool
    exempt: frozenset[str] = frozenset()  # degraded states that do not bind the decision
    has_opened: bool = False  # whether the first door was seen open since


class Step(Enum):
    """What is to be done about it now."""

    WAIT = "wait"
    OPEN = "open"
    GIVE_UP = "give up"


def step(follow: Follow, first: Leaf, now: float, *, is_first_on: bool) -> Step:
    """Say what becomes of a door that is to open after the first one.

    Inward the first door must have been open, as somebody went through it, and be shut again. Outward it is enough that
    it is shut, and after the time nothing is asked any more; a contact that says nothing is not waited for.

    >>> came = Follow("a", 10.0, is_outward=False, has_opened=True)
    >>> [step(came, leaf, 5.0, is_first_on=False).value for leaf in Leaf]
    ['open', 'wait', 'wait']
    >>> step(came, Leaf.SHUT, 10.0, is_first_on=False).value, step(came, Leaf.SHUT, 5.0, is_first_on=True).value
    ('give up', 'wait')
    >>> left = Follow("", 10.0, is_outward=True)
    >>> [step(left, leaf, 5.0, is_first_on=False).value for leaf in Leaf], step(left, Leaf.OPEN, 10.0, is_first_on=True)
    (['open', 'wait', 'open'], <Step.OPEN: 'open'>)
    """
    if not follow.is_outward:
        if now >= follow.until:
            return Step.GIVE_UP
        return Step.OPEN if follow.has_opened and first is Leaf.SHUT and not is_first_on else Step.WAIT
    if now >= follow.until or first is Leaf.UNKNOWN:
        return Step.OPEN
    return Step.OPEN if first is Leaf.SHUT and not is_first_on else Step.WAIT

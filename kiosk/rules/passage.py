"""What may keep a person outside who is known: who is inside, how many, and who comes with them. Pure.

These rules stand behind the decision: the record says who it was, and an act beside it why nothing opened. None of them
holds anybody in: a kiosk at the way out opens whatever they say, and so does the exit button.

    anti-passback  nobody enters twice without leaving (hard), or within some time (timed); soft lets in and says so
    occupancy      not more than so many are inside
    two persons    two different people, one after the other
    suspension     a person stays outside until a time
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kiosk.rules.grant import RefusalReason
from kiosk.setting import setting


class Direction(str, Enum):
    """Which way a person goes."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class PassageRule:
    """[passage]: rules of who may go through, beside who they are; by default none, and no passage is kept."""

    direction: str = setting(
        "none",
        "Which way this kiosk lets people: in, out, or none, which keeps no passages and knows nobody inside.",
        choices=("none", "in", "out"),
    )
    antipassback: str = setting(
        "off",
        "Whoever is inside is let in again (off), so with a record (soft), not within antipassback_s (timed), or not "
        "before they left (hard).",
        choices=("off", "soft", "timed", "hard"),
    )
    antipassback_s: float = setting(
        300.0, "Time after an entry in which timed anti-passback refuses the next.", low=1.0, high=86400.0, unit="s"
    )
    forget_h: float = setting(
        16.0, "Time after which somebody who never left counts as gone; 0 for never.", low=0.0, high=168.0, unit="h"
    )
    occupancy: int = setting(0, "How many people may be inside; 0 for any number.", low=0, high=100000)
    two_persons: bool = setting(False, "Open only for two different people, one after the other.")
    second_s: float = setting(
        20.0, "How long the first of two people waits for the second.", low=2.0, high=300.0, unit="s"
    )

    def __post_init__(self) -> None:
        """Refuse rules that nothing would feed."""
        if self.direction == "none" and (self.antipassback != "off" or self.occupancy):
            raise ValueError('antipassback and occupancy want direction = "in" or "out"')


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known as somebody would go through."""

    now: float  # s UTC
    is_clock_trusted: bool
    last: tuple[Direction, float] | None = None  # the person's last passage, and when, s UTC
    inside: int = 0  # people, without this one
    suspended_until: float | None = None  # s UTC
    first: bool = False  # whether another person who may enter waits for this one
    is_readable: bool = True  # whether all this could be read


def refuses(rule: PassageRule, seen: Seen) -> RefusalReason | None:
    """Return why a person who may enter stays outside; None where nothing keeps them.

    Degraded: closed inward, free outward. What cannot be read refuses; times that cannot be believed refuse too, where
    the rule goes by time.
    """
    if rule.direction == Direction.OUT.value:
        return None
    if not seen.is_readable:
        return RefusalReason.PASSAGES_UNKNOWN
    if seen.suspended_until is not None and not (seen.is_clock_trusted and seen.now >= seen.suspended_until):
        return RefusalReason.SUSPENDED
    if _is_passed_back(rule, seen):
        return RefusalReason.PASSBACK
    if rule.occupancy and not (is_inside(rule, seen) or seen.inside < rule.occupancy):
        return RefusalReason.FULL
    return RefusalReason.SECOND_PERSON if rule.two_persons and not seen.first else None


def is_inside(rule: PassageRule, seen: Seen) -> bool:
    """Say whether a person counts as inside: entered last, and not so long ago that they must have left unseen."""
    if seen.last is None or seen.last[0] is not Direction.IN:
        return False
    since_s = seen.now - seen.last[1]
    return not (rule.forget_h and seen.is_clock_trusted and since_s >= rule.forget_h * 3600.0)


def _is_passed_back(rule: PassageRule, seen: Seen) -> bool:
    if rule.antipassback == "hard":
        return is_inside(rule, seen)
    if rule.antipassback != "timed" or not is_inside(rule, seen) or seen.last is None:
        return False
    since_s = seen.now - seen.last[1]
    return not seen.is_clock_trusted or not since_s >= rule.antipassback_s  # a clock that went back has not waited

"""What may keep a person outside who is known: who is inside, how many, and who comes with them. Pure.

These rules stand behind the decision: the record says who it was, and an act beside it why nothing opened. None of them
holds anybody in: a kiosk at the way out opens whatever they say, and so does the exit button.

    anti-passback  nobody enters twice without leaving (hard), or within some time (timed); soft lets in and says so
    occupancy      not more than so many are inside
    two persons    two different people, one after the other
    suspension     a person stays outside until a time
    interlock      the other door of an airlock, another kiosk's, is shut and stays so
    lockdown       nobody but the groups that are named, see lockdown.py
    first-in       the door is free in some hours, from the first person who came in, see `stays_free`

Where other kiosks' passages count (`doors`), a rule that goes by them refuses inward while one of them is not heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kiosk.rules.doors import read_groups
from kiosk.rules.grant import RefusalReason
from kiosk.rules.interlock import Leaf, keeps_shut
from kiosk.rules.schedule import EVERYBODY, Schedule, read_schedule
from kiosk.setting import setting

DAY_SIGNS = 10  # of YYYY-MM-DD


class Direction(str, Enum):
    """Which way a person goes."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class PassageRule:
    """[passage]: further rules of who may go through; by default none, and no passage is kept."""

    direction: str = setting(
        "none",
        "Which way people go through here: in, out, or none, which keeps no passages and knows nobody inside.",
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

    doors: tuple[str, ...] = setting(
        (),
        "Kiosks of the fleet, by name, whose passages count here as one area; while one does not answer, timed and "
        "hard anti-passback and the limit of people let nobody in.",
        may_be_empty=True,
    )
    interlock: str = setting(
        "",
        "Kiosk of the fleet, by name, at the other door of an airlock: inward this door opens only while that one is "
        "shut, by its contact.",
    )
    first_in: tuple[str, ...] = setting(
        (),
        "Hours in which the door stays open for everybody once somebody who may enter has come in, as [schedule] week "
        "has them.",
        may_be_empty=True,
    )
    lockdown_groups: tuple[str, ...] = setting(
        (), "Groups of people who are let in during a lockdown.", may_be_empty=True
    )

    @property
    def neighbours(self) -> frozenset[str]:
        """The kiosks of the fleet that a rule goes by."""
        return frozenset({*self.doors, *([self.interlock] if self.interlock else ())})

    @property
    def is_by_others(self) -> bool:
        """Whether what refuses goes by passages at other kiosks."""
        return bool(self.doors) and (self.antipassback in {"timed", "hard"} or self.occupancy > 0)

    def __post_init__(self) -> None:
        """Refuse rules that nothing would feed."""
        read_first_in("UTC", self.first_in)
        if read_groups(self.lockdown_groups) != tuple(sorted(set(self.lockdown_groups))):
            raise ValueError("lockdown_groups: want names of groups, each once, without blanks around them")
        if self.doors and self.direction == "none":
            raise ValueError('doors wants direction = "in" or "out"')
        if self.first_in and (self.two_persons or self.antipassback != "off" or self.occupancy or self.interlock):
            raise ValueError("first_in leaves the door open, so anti-passback, occupancy and the like mean nothing")
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
    are_others_heard: bool = True  # whether every kiosk is, and up to now, whose passages count
    other: Leaf = Leaf.UNKNOWN  # the other door of an airlock
    is_locked_down: bool = False
    is_exempt: bool = False  # whether the lockdown lets the person in all the same


def refuses(rule: PassageRule, seen: Seen) -> RefusalReason | None:
    """Return why a person who may enter stays outside; None where nothing keeps them.

    Degraded: closed inward, free outward. What cannot be read refuses; times that cannot be believed refuse too, where
    the rule goes by time.
    """
    if rule.direction == Direction.OUT.value:
        return None
    kept = {
        RefusalReason.LOCKDOWN: seen.is_locked_down and not seen.is_exempt,
        RefusalReason.PASSAGES_UNKNOWN: not seen.is_readable,
        RefusalReason.SUSPENDED: seen.suspended_until is not None
        and not (seen.is_clock_trusted and seen.now >= seen.suspended_until),
        RefusalReason.NEIGHBOUR_LOST: rule.is_by_others and not seen.are_others_heard,
        RefusalReason.PASSBACK: _is_passed_back(rule, seen),
        RefusalReason.FULL: rule.occupancy > 0 and not (is_inside(rule, seen) or seen.inside < rule.occupancy),
        RefusalReason.SECOND_PERSON: rule.two_persons and not seen.first,
        # last, as it is asked of the other door, which stays shut for it
        RefusalReason.INTERLOCK: bool(rule.interlock) and keeps_shut(seen.other, is_outward=False),
    }
    return next((reason for reason, holds in kept.items() if holds), None)


def is_inside(rule: PassageRule, seen: Seen) -> bool:
    """Say whether a person counts as inside: entered last, and not so long ago that they must have left unseen."""
    if seen.last is None or seen.last[0] is not Direction.IN:
        return False
    since_s = seen.now - seen.last[1]
    return not (rule.forget_h and seen.is_clock_trusted and since_s >= rule.forget_h * 3600.0)


def read_first_in(time_zone: str, lines: Sequence[str], holidays: Sequence[str] = ()) -> Schedule | None:
    """Read [passage] first_in; None where the door is never free.

    A day that [schedule] has as a holiday is free at no hour, whatever hours people have on it.

    Raises:
        ValueError: a line cannot be read.
    """
    days = {one.strip()[:DAY_SIGNS] for one in holidays if one.strip()[:1].isdigit()}
    return read_schedule(time_zone, lines, sorted(days)) if lines else None


def stays_free(
    hours: Schedule | None, came_at: float | None, now_utc: float, *, is_clock_trusted: bool, is_open: bool
) -> bool:
    """Say whether the door is free to everybody: somebody came in in these hours, and nothing speaks against it.

    Args:
        hours: as `read_first_in` gave them.
        came_at: when somebody who may enter came in, s UTC; None: nobody since the hours began, or since a restart.
        now_utc: s UTC.
        is_clock_trusted: whether that can be believed.
        is_open: whether the degraded states, a lockdown among them, leave everything.
    """
    if hours is None or came_at is None or not is_open or not is_clock_trusted or came_at > now_utc:
        return False
    # Both times lie in the hours; whoever calls forgets `came_at` as soon as they end, so they are the same ones.
    return all(hours.closure(at, EVERYBODY, is_clock_trusted=True) is None for at in (came_at, now_utc))


def _is_passed_back(rule: PassageRule, seen: Seen) -> bool:
    if rule.antipassback == "hard":
        return is_inside(rule, seen)
    if rule.antipassback != "timed" or not is_inside(rule, seen) or seen.last is None:
        return False
    since_s = seen.now - seen.last[1]
    return not seen.is_clock_trusted or not since_s >= rule.antipassback_s  # a clock that went back has not waited

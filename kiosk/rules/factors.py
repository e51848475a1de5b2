"""What is asked in addition to the face: a card, a PIN, or both; by hours and by a person's plan. Pure.

Fails closed: where the time is not known, everything that is asked at any hour is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from kiosk.rules.schedule import EVERYBODY, Closure, Schedule, read_schedule

LOCKING_TRIES = 10  # wrong PINs for one person, however many days they took
LONGEST_LOCK_S = 86400.0


class Factor(str, Enum):
    """What a person has or knows."""

    PIN = "pin"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class FactorRule:
    """When which factor is asked for."""

    hours: Mapping[Factor, Schedule]  # none: never

    def wanted(self, now_utc: float, plan: str | None, *, is_clock_trusted: bool) -> frozenset[Factor]:
        """Return what a person of a plan is asked for now.

        A line without a plan's name is for everybody, also for whoever has a plan of their own.

        >>> rule = read_factors("UTC", pin=["mon-fri 18:00-06:00", "cleaners: mon-sun 00:00-24:00"], card=[])
        >>> noon, night = 1_800_014_400.0, 1_800_050_400.0  # Friday 2027-01-15, 12:00 and 22:00
        >>> [sorted(rule.wanted(at, plan, is_clock_trusted=True)) for at, plan in ((noon, None), (night, None))]
        [[], [<Factor.PIN: 'pin'>]]
        >>> len(rule.wanted(noon, "cleaners", is_clock_trusted=True))
        1
        >>> len(rule.wanted(noon, None, is_clock_trusted=False))
        1
        """
        return frozenset(
            factor
            for factor, schedule in self.hours.items()
            if any(
                schedule.closure(now_utc, one, is_clock_trusted=is_clock_trusted) in {None, Closure.CLOCK_UNTRUSTED}
                for one in {EVERYBODY, plan or EVERYBODY}
            )
        )


def pin_lock_s(wrong: int, lockout_s: float) -> float:
    """Return for how long no PIN of a person counts after so many wrong ones in all; doubled by each further one.

    >>> [pin_lock_s(wrong, 300.0) for wrong in (0, 9, 10, 11, 12, 10**6)]
    [0.0, 0.0, 300.0, 600.0, 1200.0, 86400.0]
    """
    if wrong < LOCKING_TRIES:
        return 0.0
    return float(min(LONGEST_LOCK_S, lockout_s * 2.0 ** min(wrong - LOCKING_TRIES, 30)))


def read_factors(time_zone: str, *, pin: Sequence[str], card: Sequence[str]) -> FactorRule:
    """Read the rule from lines as [schedule] week has them.

    Raises:
        ValueError: a line or the zone cannot be read.
    """
    lines = {Factor.PIN: pin, Factor.CARD: card}
    return FactorRule({factor: read_schedule(time_zone, week) for factor, week in lines.items() if week})

"""Who may enter when: weekly plans, holidays, and the local time they are meant in.

Pure. Plans are written as texts, in kiosk.toml:

    week = ["mon-fri 07:00-19:00", "cleaners: mon-fri 18:00-22:00", "guards: mon-sun 00:00-24:00"]
    holidays = ["2026-12-25", "2026-12-24 07:00-12:00", "guards: 2026-12-25 00:00-24:00"]

Without a name a line is for everybody who has no plan of his own. Hours are local wall time, from the first minute
to before the last; 22:00-06:00 goes on into the next day. A holiday's hours replace the week's on its date, none
close it, and it ends what the evening before began. When the clocks go forward the hour that does not exist opens
nothing; when they go back the hour that comes twice opens twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from enum import Enum
from types import MappingProxyType
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERYBODY = ""  # the plan of those who have none of their own
DAY_MIN = 24 * 60

_PLAN = r"(?:(?P<plan>[a-z][a-z0-9_-]*): *)?"
_HOURS = r"(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d)"
_WEEK = re.compile(rf"{_PLAN}(?P<first>[a-z]{{3}})(?:-(?P<last>[a-z]{{3}}))? +{_HOURS}", re.ASCII)
_HOLIDAY = re.compile(rf"{_PLAN}(?P<date>\d{{4}}-\d\d-\d\d)(?: +{_HOURS})?", re.ASCII)


class Closure(str, Enum):
    """Why nobody of a plan may enter now."""

    CLOCK_UNTRUSTED = "clock_untrusted"
    OUTSIDE_HOURS = "outside_hours"
    HOLIDAY = "holiday"
    UNKNOWN_PLAN = "unknown_plan"


@dataclass(frozen=True, slots=True)
class Hours:
    """From one minute of a day to before another; 1440 is the day's end, more lies in the next day."""

    start: int
    end: int

    def today(self, minute: int) -> bool:
        """Whether a minute of the day it begins on lies in it."""
        return self.start <= minute < self.end

    def since_yesterday(self, minute: int) -> bool:
        """Whether a minute of the day after lies in it."""
        return minute < self.end - DAY_MIN


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every plan of a door."""

    zone: tzinfo
    week: Mapping[str, Sequence[Sequence[Hours]]]  # plan to the hours of Monday … Sunday
    holidays: Mapping[str, Mapping[date, Sequence[Hours]]]  # plan to date to hours; no hours: closed

    @property
    def needs_clock(self) -> bool:
        """Whether the time decides anything: not where everybody may always enter."""
        always = all(hours == [Hours(0, DAY_MIN)] for week in self.week.values() for hours in week)
        return not always or any(self.holidays.values())

    def closure(self, now_utc: float, plan: str = EVERYBODY, *, is_clock_trusted: bool) -> Closure | None:
        """Say why somebody may not enter now, or nothing if he may.

        Args:
            now_utc: seconds since 1970 UTC.
            plan: the person's plan; EVERYBODY for those without.
            is_clock_trusted: whether `now_utc` can be believed; if not, every door with hours is closed.
        """
        if plan not in self.week:
            return Closure.UNKNOWN_PLAN
        if not self.needs_clock:
            return None
        local = self._local(now_utc) if is_clock_trusted else None
        if local is None:
            return Closure.CLOCK_UNTRUSTED
        minute, today = local.hour * 60 + local.minute, local.date()
        holiday = self._holiday(plan, today)
        hours = holiday if holiday is not None else self.week[plan][today.weekday()]
        if any(one.today(minute) for one in hours) or (holiday is None and self._goes_on(plan, today, minute)):
            return None
        return Closure.OUTSIDE_HOURS if holiday is None else Closure.HOLIDAY

    def _local(self, now_utc: float) -> datetime | None:
        try:
            return datetime.fromtimestamp(now_utc, timezone.utc).astimezone(self.zone)
        except (ValueError, OverflowError, OSError):  # no time that a calendar knows
            return None

    def _goes_on(self, plan: str, today: date, minute: int) -> bool:
        if today == date.min:
            return False
        before = today - timedelta(days=1)
        holiday = self._holiday(plan, before)
        hours = holiday if holiday is not None else self.week[plan][before.weekday()]
        return any(one.since_yesterday(minute) for one in hours)

    def _holiday(self, plan: str, day: date) -> Sequence[Hours] | None:
        """Return a holiday's hours for a plan: its own line before everybody's; None where it is no holiday."""
        own = self.holidays.get(plan, {}).get(day)
        return own if own is not None else self.holidays.get(EVERYBODY, {}).get(day)


def read_schedule(time_zone: str, week: Collection[str], holidays: Collection[str] = ()) -> Schedule:
    """Read plans from their texts.

    Args:
        time_zone: an IANA name, such as Europe/Berlin, or UTC.
        week: "[plan: ]day[-day] HH:MM-HH:MM"; several lines of a day add up.
        holidays: "[plan: ]YYYY-MM-DD[ HH:MM-HH:MM]".

    Raises:
        ValueError: a line or the zone cannot be read, or a holiday is for a plan without a week.
    """
    weeks: dict[str, list[list[Hours]]] = {EVERYBODY: [[] for _ in DAYS]}
    for line in week:
        found = _WEEK.fullmatch(line.strip())
        if found is None or found["first"] not in DAYS or (found["last"] or "mon") not in DAYS:
            raise ValueError(f'want "mon-fri 07:00-19:00" or "plan: sat 08:00-13:00", got {line!r}')
        first, last = DAYS.index(found["first"]), DAYS.index(found["last"] or found["first"])
        if last < first:
            raise ValueError(f"want days in the order mon … sun, got {line!r}; write two lines")
        days = weeks.setdefault(found["plan"] or EVERYBODY, [[] for _ in DAYS])
        for day in range(first, last + 1):
            days[day].append(_hours(found["from"], found["to"], line))
    off: dict[str, dict[date, list[Hours]]] = {}
    for line in holidays:
        found = _HOLIDAY.fullmatch(line.strip())
        if found is None:
            raise ValueError(f'want "2026-12-25" or "2026-12-24 07:00-12:00", got {line!r}')
        plan = found["plan"] or EVERYBODY
        if plan not in weeks:
            raise ValueError(f"{line!r} is for plan {plan}, which has no line in the week")
        hours = off.setdefault(plan, {}).setdefault(_date(found["date"], line), [])
        if found["from"]:
            hours.append(_hours(found["from"], found["to"], line))
    return Schedule(_zone(time_zone), MappingProxyType(weeks), MappingProxyType(off))


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc  # known even where no time zone database is
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:  # unknown, a path, or a directory of the database
        raise ValueError(
            f"no time zone {name!r} here; want a name such as Europe/Berlin (apt install tzdata)"
        ) from error


def _date(text: str, line: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{line!r} is on no day of the calendar") from None


def _hours(start: str, end: str, line: str) -> Hours:
    first, last = _minute(start, line), _minute(end, line)
    if first in {last, DAY_MIN}:
        raise ValueError(f"{line!r} is never open; want for instance 07:00-19:00, or 00:00-24:00 for the whole day")
    return Hours(first, last if last > first else last + DAY_MIN)


def _minute(text: str, line: str) -> int:
    hour, minute = int(text[:2]), int(text[3:])
    if minute >= 60 or hour * 60 + minute > DAY_MIN:  # noqa: PLR2004  minutes of an hour
        raise ValueError(f"{text} in {line!r} is no time of day; want 00:00 to 24:00")
    return hour * 60 + minute

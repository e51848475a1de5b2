from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.errors import ConfigError
from kiosk.rules.schedule import Closure, read_schedule
from kiosk.settings.config import load_config
from kiosk.settings.sections import ScheduleSettings

BERLIN = "Europe/Berlin"
OFFICE = ["mon-fri 07:00-19:00", "sat 08:00-12:00", "sat 14:00-16:00"]
OFFICE += ["night: fri 22:00-06:00", "guards: mon-sun 00:00-24:00"]
HOLIDAYS = ["2026-12-25", "2026-12-24 07:00-12:00", "guards: 2026-12-25 10:00-11:00", "night: 2026-11-06 23:00-01:00"]
OUTSIDE, HOLIDAY = Closure.OUTSIDE_HOURS, Closure.HOLIDAY


def at(text, zone=BERLIN):
    """Seconds UTC of a local time, or of a time with its offset written."""
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone))).timestamp()


@pytest.mark.parametrize(
    ("when", "plan", "closure"),
    [
        pytest.param("2026-11-02T07:00:00", "", None, id="Monday at seven"),
        pytest.param("2026-11-02T06:59:59", "", OUTSIDE, id="a second before"),
        pytest.param("2026-11-02T18:59:59", "", None, id="the last second"),
        pytest.param("2026-11-02T19:00:00", "", OUTSIDE, id="to is not in it"),
        pytest.param("2026-11-07T13:00:00", "", OUTSIDE, id="between two hours of a day"),
        pytest.param("2026-11-07T14:00:00", "", None, id="the second of two"),
        pytest.param("2026-11-08T10:00:00", "", OUTSIDE, id="Sunday"),
        pytest.param("2026-11-08T23:59:59", "guards", None, id="always"),
        pytest.param("2026-11-13T22:00:00", "night", None, id="a night begins"),
        pytest.param("2026-11-14T05:59:00", "night", None, id="and goes on"),
        pytest.param("2026-11-14T06:00:00", "night", OUTSIDE, id="and ends"),
        pytest.param("2026-11-13T21:59:00", "night", OUTSIDE, id="before the night"),
        pytest.param("2026-11-13T10:00:00", "night", OUTSIDE, id="others' hours are not this plan's"),
        pytest.param("2026-11-02T10:00:00", "cooks", Closure.UNKNOWN_PLAN, id="a plan that is not there"),
        pytest.param("2026-12-25T10:00:00", "", HOLIDAY, id="a holiday is closed"),
        pytest.param("2026-12-25T10:00:00", "guards", None, id="but for those with hours of their own"),
        pytest.param("2026-12-25T11:00:00", "guards", HOLIDAY, id="which are all they have"),
        pytest.param("2026-12-24T11:59:00", "", None, id="a short day"),
        pytest.param("2026-12-24T12:00:00", "", HOLIDAY, id="is over"),
        pytest.param("2026-12-25T22:30:00", "night", HOLIDAY, id="everybody's holiday is the plan's"),
        pytest.param("2026-12-26T01:00:00", "night", OUTSIDE, id="a closed night does not go on"),
        pytest.param("2026-11-06T22:30:00", "night", HOLIDAY, id="a plan's holiday begins later"),
        pytest.param("2026-11-07T00:59:00", "night", None, id="and goes on to its own end"),
        pytest.param("2026-11-07T01:00:00", "night", OUTSIDE, id="not to the week's"),
    ],
)
def test_who_may_enter_when(when, plan, closure):
    schedule = read_schedule(BERLIN, OFFICE, HOLIDAYS)

    assert schedule.closure(at(when), plan, is_clock_trusted=True) == closure
    assert schedule.closure(at(when), plan, is_clock_trusted=False) in {Closure.CLOCK_UNTRUSTED, Closure.UNKNOWN_PLAN}


def test_a_holiday_ends_the_night_before_it():
    schedule = read_schedule(BERLIN, ["mon-sun 22:00-06:00"], ["2026-12-25"])

    assert schedule.closure(at("2026-12-24T23:59:59"), is_clock_trusted=True) is None
    assert schedule.closure(at("2026-12-25T00:00:00"), is_clock_trusted=True) is HOLIDAY


@pytest.mark.parametrize(
    ("when", "closure"),
    [
        # 2026-03-29: at 02:00 CET it is 03:00 CEST
        pytest.param("2026-03-29T01:59:59+01:00", OUTSIDE, id="before the clocks go forward"),
        pytest.param("2026-03-29T02:00:00+01:00", OUTSIDE, id="the hour that does not exist"),
        pytest.param("2026-03-29T03:00:00+02:00", OUTSIDE, id="is the same moment"),
        pytest.param("2026-03-28T02:30:00+01:00", None, id="the day before"),
        pytest.param("2026-03-30T02:30:00+02:00", None, id="the day after, in summer time"),
        pytest.param("2026-03-30T02:30:00+01:00", OUTSIDE, id="the day after, by winter time"),
        # 2026-10-25: at 03:00 CEST it is 02:00 CET
        pytest.param("2026-10-25T02:30:00+02:00", None, id="the hour that comes twice"),
        pytest.param("2026-10-25T02:30:00+01:00", None, id="comes twice"),
        pytest.param("2026-10-25T03:00:00+01:00", OUTSIDE, id="and is over"),
        pytest.param("2026-10-25T01:59:59+02:00", OUTSIDE, id="and had not begun"),
    ],
)
def test_hours_are_local_when_the_clocks_change(when, closure):
    schedule = read_schedule(BERLIN, ["mon-sun 02:00-03:00"])

    assert schedule.closure(at(when), is_clock_trusted=True) == closure


@pytest.mark.parametrize(
    ("zone", "when"),
    [
        pytest.param("Asia/Kathmandu", "2026-11-02T07:00:00", id="45 minutes"),
        pytest.param("Pacific/Kiritimati", "2026-11-02T07:00:00", id="14 hours ahead"),
        pytest.param("Australia/Lord_Howe", "2026-10-04T07:00:00", id="a change of half an hour"),
        pytest.param("UTC", "2026-11-02T07:00:00", id="UTC"),
    ],
)
def test_the_zone_is_the_doors(zone, when):
    schedule = read_schedule(zone, ["mon-sun 07:00-08:00"])

    assert schedule.closure(at(when, zone), is_clock_trusted=True) is None
    assert schedule.closure(at(when, zone) - 1, is_clock_trusted=True) is OUTSIDE


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_time_opens_by_accident(now):
    schedule = read_schedule(BERLIN, ["mon 07:00-07:01"])

    closure = schedule.closure(now, is_clock_trusted=True)

    if closure is None:
        assert datetime.fromtimestamp(now, timezone.utc).minute == 0


@given(st.integers(1_577_836_800, 2_051_222_400))
def test_a_week_of_whole_days_is_always_open(when):
    whole = read_schedule(BERLIN, ["mon-sun 00:00-24:00", "x: mon 00:00-01:00"])
    halves = read_schedule(BERLIN, ["mon-sun 06:00-18:00", "mon-sun 18:00-06:00"])

    assert whole.closure(when, is_clock_trusted=True) is None
    assert halves.closure(when, is_clock_trusted=True) is None


def test_a_door_without_hours_does_not_ask_the_clock():
    assert read_schedule("UTC", ["mon-sun 00:00-24:00"]).closure(0.0, is_clock_trusted=False) is None
    closed = read_schedule("UTC", ["mon-sun 00:00-24:00"], ["2026-12-25"])
    assert closed.closure(0.0, is_clock_trusted=False) is Closure.CLOCK_UNTRUSTED


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"week": ("mon-fri 7-19",)}, "mon-fri 07:00-19:00", id="hours"),
        pytest.param({"week": ("mo-fr 07:00-19:00",)}, "mon-fri 07:00-19:00", id="day"),
        pytest.param({"week": ("foo 07:00-19:00",)}, "mon-fri 07:00-19:00", id="no day"),
        pytest.param({"week": ("fri-mon 07:00-19:00",)}, "write two lines", id="order of days"),
        pytest.param({"week": ("mon 07:60-19:00",)}, "no time of day", id="minute"),
        pytest.param({"week": ("mon 07:00-24:01",)}, "no time of day", id="after the day's end"),
        pytest.param({"week": ("mon 07:00-07:00",)}, "never open", id="no time at all"),
        pytest.param({"week": ("mon 24:00-07:00",)}, "never open", id="begins at the end"),
        pytest.param({"holidays": ("25.12.2026",)}, "2026-12-25", id="date"),
        pytest.param({"holidays": ("2026-02-29",)}, "no day of the calendar", id="no such day"),
        pytest.param({"holidays": ("cooks: 2026-12-25",)}, "no line in the week", id="nobody's holiday"),
        pytest.param({"time_zone": "Europe/Atlantis"}, "no time zone", id="zone"),
        pytest.param({"time_zone": "../etc/passwd"}, "no time zone", id="a path"),
        pytest.param({"time_zone": ""}, "no time zone", id="no zone"),
    ],
)
def test_a_wrong_line_refuses_the_start_and_says_what_would_be_right(settings, said):
    with pytest.raises(ConfigError, match=said):
        ScheduleSettings(**settings)


def test_a_schedule_is_read_from_the_settings(tmp_path):
    path = tmp_path / "kiosk.toml"
    path.write_text('[schedule]\ntime_zone = "Europe/Berlin"\nweek = ["mon-fri 07:00-19:00"]\nholidays = []\n')

    settings = load_config(path).schedule

    schedule = read_schedule(settings.time_zone, settings.week, settings.holidays)
    assert schedule.closure(at("2026-11-02T07:00:00"), is_clock_trusted=True) is None

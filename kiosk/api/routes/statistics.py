"""What was decided, counted: over time, by score, and by hour of the week."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Parameter, answer
from kiosk.api.schema import ANSWER_400, INTEGER, NUMBER, STRING, TEXT, TIME, array, closed, named
from kiosk.didit import contract
from kiosk.store.accounts import Role

HOUR_S = 3600.0
DAY_S = 86400.0
MOST_HOURS = 24 * 366
MOST_DAYS = 366
FINE_HOURS, MIDDLE_HOURS = 48, 24 * 14  # up to these a bucket is an hour, or six; beyond, a day
FULL = 100  # points
QUARTER_S = 900.0  # every time zone begins its hours at one
EMPTY = {"approved": 0, "in_review": 0, "declined": 0}


async def count_decisions(call: Call) -> Response:
    """Count decisions over time."""
    hours = call.whole("hours", default=24, low=1, high=MOST_HOURS)
    width_s = HOUR_S * (1 if hours <= FINE_HOURS else 6 if hours <= MIDDLE_HOURS else 24)
    count = -(-hours * HOUR_S // width_s)
    since = (call.context.now() // width_s + 1) * width_s - count * width_s
    counted = await call.run(lambda: call.context.device.store.log.tally(since, width_s))
    buckets: list[dict[str, Any]] = [
        {"from": contract.timestamp(since + place * width_s), "approved": 0, "in_review": 0, "declined": 0}
        for place in range(int(count))
    ]
    sums = {"approved": 0, "in_review": 0, "declined": 0}
    for place, status, many in counted:
        name = (status or "").lower().replace(" ", "_")
        if name in sums and 0 <= place < len(buckets):  # a clock set back may have put some into the future
            buckets[place][name] += many
            sums[name] += many
    return answer({"buckets": buckets, **sums})


async def count_scores(call: Call) -> Response:
    """Count decisions by whole score, beside what the scale says of each."""
    since = call.context.now() - call.whole("days", default=30, low=1, high=MOST_DAYS) * DAY_S
    device = call.context.device

    def read() -> dict[str, Any]:
        kinds: dict[str, list[int]] = {}
        for kind, points, many in device.store.log.scores(since):
            kinds.setdefault(kind, [0] * (FULL + 1))[min(FULL, max(0, points))] += many
        scale = device.scale
        return {
            "from": contract.timestamp(since),
            "references": device.gallery.references,
            "fmr": [scale.fmr(scale.cosine(score)) for score in range(FULL + 1)],
            "kinds": kinds,
        }

    return answer(await call.run(read))


async def count_week(call: Call) -> Response:
    """Count decisions by weekday and hour, at the device's place."""
    days = call.whole("days", default=28, low=1, high=MOST_DAYS)
    zone = ZoneInfo(call.context.config.schedule.time_zone)  # as it was checked when the settings were read
    since = (call.context.now() // QUARTER_S + 1) * QUARTER_S - days * DAY_S
    counted = await call.run(lambda: call.context.device.store.log.tally(since, QUARTER_S))
    cells: dict[tuple[int, int], dict[str, int]] = {}
    for place, status, many in counted:
        name = (status or "").lower().replace(" ", "_")
        if name not in EMPTY:
            continue
        local = datetime.fromtimestamp(since + place * QUARTER_S, zone)
        cells.setdefault((local.weekday(), local.hour), dict(EMPTY))[name] += many
    told = [{"weekday": day, "hour": hour, **counts} for (day, hour), counts in sorted(cells.items())]
    return answer({"from": contract.timestamp(since), "time_zone": str(zone), "hours": told})


_BUCKET = {
    "title": "DecisionCount",
    "type": "object",
    "properties": {"from": TIME, "approved": INTEGER, "in_review": INTEGER, "declined": INTEGER},
    "required": ["from", "approved", "in_review", "declined"],
    "additionalProperties": False,
}
_SCORES = {
    "title": "ScoreCounts",
    "type": "object",
    "properties": {
        "from": TIME,
        "references": INTEGER,
        "fmr": array(NUMBER),
        "kinds": {"type": "object", "additionalProperties": array(INTEGER)},
    },
    "required": ["from", "references", "fmr", "kinds"],
    "additionalProperties": False,
}
_HOUR = named(
    "HourOfWeek", closed(weekday=INTEGER, hour=INTEGER, approved=INTEGER, in_review=INTEGER, declined=INTEGER)
)
_WEEK = {
    "title": "WeekCounts",
    "type": "object",
    "properties": {"from": TIME, "time_zone": STRING, "hours": array(_HOUR)},
    "required": ["from", "time_zone", "hours"],
    "additionalProperties": False,
}

OPERATIONS = (
    Operation(
        "GET",
        "/device/statistics",
        count_decisions,
        "Count decisions over time, for a chart.",
        {
            200: named(
                "DecisionCounts", closed(buckets=array(_BUCKET), approved=INTEGER, in_review=INTEGER, declined=INTEGER)
            ),
            400: ANSWER_400,
            503: TEXT,
        },
        role=Role.OPERATOR,
        query=(Parameter("hours", "How far back.", {"type": "integer", "minimum": 1, "maximum": MOST_HOURS}),),
    ),
    Operation(
        "GET",
        "/device/statistics/week",
        count_week,
        "Count decisions by weekday (0 is Monday) and hour of the place; hours without any are left out.",
        {200: _WEEK, 400: ANSWER_400, 503: TEXT},
        role=Role.OPERATOR,
        query=(Parameter("days", "How far back.", {"type": "integer", "minimum": 1, "maximum": MOST_DAYS}),),
    ),
    Operation(
        "GET",
        "/device/statistics/scores",
        count_scores,
        "Count decisions by whole score and kind, with the scale's false-match rate at each score from 0 to 100.",
        {200: _SCORES, 400: ANSWER_400, 503: TEXT},
        role=Role.OPERATOR,
        query=(Parameter("days", "How far back.", {"type": "integer", "minimum": 1, "maximum": MOST_DAYS}),),
    ),
)

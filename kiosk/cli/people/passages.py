"""`kiosk passage`: who is inside, who went through, working hours as CSV, and a correction where nobody was seen."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from datetime import datetime
from zoneinfo import ZoneInfo

from kiosk import assembly
from kiosk.cli import faces
from kiosk.device.attendance import inside, stays
from kiosk.rules.passage import Direction
from kiosk.rules.text import cell, shown
from kiosk.settings.config import Config
from kiosk.store.passages.passages import Passage
from kiosk.types import ClockState

DAY_S = 86400.0
COLUMNS = ("session_number", "name", "entered", "left", "hours", "corrected_by")


def passage_inside(chosen: argparse.Namespace) -> None:
    """Print who is inside."""
    config = assembly.load_settings(chosen)
    clock = assembly.make_clock(config)
    with assembly.open_store(chosen, config, create=False) as store:
        is_trusted = clock.state() is not ClockState.UNTRUSTED
        people = inside(store, config.passage, now=clock(), is_clock_trusted=is_trusted)
    if chosen.json:
        rows = [{"session_number": one.number, "name": one.name, "since": _moment(one.since, config)} for one in people]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for one in people:
        print(f"{one.number:>8}  {shown(one.name or '')}  since {_moment(one.since, config)}")
    print(f"{len(people)} inside")


def passage_list(chosen: argparse.Namespace) -> None:
    """Print who went through."""
    config = assembly.load_settings(chosen)
    start, end = _span(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        found = sorted(store.passages.between(start, end), key=lambda one: one.at)
    if not found:
        why = "" if config.passage.direction != "none" else "; [passage] direction is none, which keeps no passages"
        assembly.note(f"nobody went through in this time{why}")
    for one in found:
        word = f" corrected by {shown(one.corrected_by)}" if one.corrected_by else ""
        print(f"{_moment(one.at, config)}  {one.number:>8}  {one.direction.value}{word}")


def passage_export(chosen: argparse.Namespace) -> None:
    """Write working hours as CSV."""
    config = assembly.load_settings(chosen)
    start, end = _span(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        found = list(stays(store.passages.between(start, end)))
        names = dict(store.people.details(sorted({one.number for one in found}))) if found else {}
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    for one in found:
        known = names.get(one.number)
        ends = [end for end in (one.entered, one.left) if end is not None]
        writer.writerow(
            [
                one.number,
                cell(known.name if known is not None else None),
                "" if one.entered is None else _moment(one.entered.at, config),
                "" if one.left is None else _moment(one.left.at, config),
                "" if one.seconds is None else f"{one.seconds / 3600.0:.2f}",
                cell(", ".join(sorted({end.corrected_by for end in ends if end.corrected_by}))),
            ]
        )


def passage_correct(chosen: argparse.Namespace) -> None:
    """Keep that somebody went in or out where nobody was seen; it is marked as a correction."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        number = faces.find_one(store, chosen.subject).session_number
        store.passages.note(Passage(number, Direction(chosen.direction), time.time(), "", "cli"))
    print(f"{number}: {chosen.direction}, as a correction")


def _span(chosen: argparse.Namespace) -> tuple[float, float]:
    end = faces.read_day(chosen.until, "--until")
    start = faces.read_day(chosen.since, "--since")
    last = time.time() + DAY_S if end is None else end
    return last - 31 * DAY_S if start is None else start, last


def _moment(at: float, config: Config) -> str:
    """Return a time as the door's clock showed it."""
    name = config.schedule.time_zone
    return datetime.fromtimestamp(at, ZoneInfo(name)).isoformat(sep=" ", timespec="seconds")

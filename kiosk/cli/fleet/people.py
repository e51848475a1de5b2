"""What an operator says of people that several kiosks know: duplicates, same, different."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from kiosk import assembly
from kiosk.cli.faces import find_one
from kiosk.cli.main import REFUSED
from kiosk.cli.terminal import can_ask, confirmed
from kiosk.didit.contract import timestamp
from kiosk.errors import RefusedError
from kiosk.fleet.member import Member
from kiosk.rules.text import shown
from kiosk.store.fleet.duplicates import Duplicate, Duplicates
from kiosk.store.store import Store
from kiosk.store.subjects import Subject

ACTOR = "cli"


def fleet_duplicates(chosen: argparse.Namespace) -> None:
    """List the pairs to be decided about."""
    with _store(chosen) as store:
        Member(store)  # a kiosk of no fleet says how to join one
        pairs = [(one, *_both(store, one)) for one in Duplicates(store).open()]
    if chosen.json:
        rows = [
            {
                "first": _about(first),
                "second": _about(second),
                "score": one.score,
                "found_at": timestamp(one.found_at),
            }
            for one, first, second in pairs
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for one, first, second in pairs:
        print(f"{one.score:5.1f}  {_line(first)}  and  {_line(second)}")
    if not pairs:
        print("Nobody was enrolled twice, as far as this kiosk knows.")


def fleet_same(chosen: argparse.Namespace) -> int:
    """Make one person of two."""
    with _store(chosen) as store:
        duplicates = Duplicates(store)
        pair = _pair(store, duplicates, chosen)
        first, second = _both(store, pair)
        keep = find_one(store, chosen.details_of).session_id
        if not chosen.yes and can_ask():
            asked = f"Make {_line(first)} and {_line(second)} one person, and forget the second record everywhere?"
            if not confirmed(asked):
                print("Nothing was changed.", file=sys.stderr)
                return REFUSED
        person = duplicates.same(pair.first, pair.second, details_of=keep, actor=ACTOR)
        assembly.scrub_backups(store)
    if chosen.json:
        print(json.dumps(_about(person), ensure_ascii=False))
    else:
        print(f"One person now: {_line(person)}, with {person.references} faces")
    return 0


def fleet_different(chosen: argparse.Namespace) -> None:
    """Say that two people are two."""
    with _store(chosen) as store:
        duplicates = Duplicates(store)
        pair = _pair(store, duplicates, chosen)
        duplicates.different(pair.first, pair.second, actor=ACTOR)
    if chosen.json:
        print(json.dumps({"different": [pair.first, pair.second]}))
    else:
        print("Two people; no kiosk asks about them again.")


def _pair(store: Store, duplicates: Duplicates, chosen: argparse.Namespace) -> Duplicate:
    Member(store)
    wanted = {find_one(store, text).session_id for text in (chosen.one, chosen.other)}
    found = next((one for one in duplicates.open() if {one.first, one.second} == wanted), None)
    if found is None:
        raise RefusedError("nobody is asked about these two; `kiosk fleet duplicates` lists the pairs")
    return found


def _both(store: Store, pair: Duplicate) -> tuple[Subject, Subject]:
    return find_one(store, pair.first), find_one(store, pair.second)


def _about(subject: Subject) -> dict[str, Any]:
    return {
        "session_number": subject.session_number,
        "session_id": subject.session_id,
        "name": subject.details.name,
        "vendor_data": subject.details.vendor_data,
        "status": subject.status.value,
        "is_blocklisted": subject.is_blocklisted,
        "verification_date": timestamp(subject.verification_date),
    }


def _line(subject: Subject) -> str:
    return f"{shown(subject.details.name or '(no name)')} (number {subject.session_number})"


def _store(chosen: argparse.Namespace) -> Store:
    return assembly.open_store(chosen, assembly.load_settings(chosen), create=False)

"""`kiosk fleet log`: what the kiosks decided, as the owner reads it."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timedelta, timezone

from kiosk.cli.fleet.owner import named, owner_of
from kiosk.cli.main import REFUSED
from kiosk.didit.contract import timestamp
from kiosk.fleet.decisions import Told
from kiosk.rules.text import shown


def fleet_log(chosen: argparse.Namespace) -> int:
    """Print decisions."""
    owner = owner_of(chosen.owner)
    roster = owner.roster()
    kiosk = None if chosen.kiosk is None else named(roster, chosen.kiosk)
    since = datetime.now(timezone.utc) - timedelta(days=chosen.days)
    names = {name: one.card.name for name, one in roster.members.items()}
    names |= {name: one.card.name for name, one in roster.former.items()}
    told = owner.decisions(kiosk, since=since)
    for one in told:
        name = names.get(one.kiosk, one.kiosk)
        if chosen.json:
            about = {"kiosk": one.kiosk, "name": name, **one.body, "fault": one.fault}
            print(json.dumps(about, ensure_ascii=False))
        else:
            print(_line(name, one))
    return REFUSED if any(one.fault is not None for one in told) else 0


def _line(name: str, one: Told) -> str:
    body = one.body
    if not body:
        return f"{shown(name):<24} {one.fault}"
    why = ", ".join(map(str, (*body["reasons"], *body["warnings"])))
    parts = (timestamp(float(body["at"])), shown(name), body["kind"], body["status"], body["person"] or "nobody", why)
    line = "  ".join(map(str, filter(None, parts)))
    return line if one.fault is None else f"{line}  ({one.fault})"

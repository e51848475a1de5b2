"""`kiosk gallery factors`: the card and the PINs of a person; a PIN is asked for or piped in, never shown."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import datetime, timezone

from kiosk import assembly
from kiosk.cli import faces
from kiosk.errors import ConfigError
from kiosk.rules.cards import read_card
from kiosk.store.factors.factors import Factors
from kiosk.store.factors.pins import make_pins


def gallery_factors(chosen: argparse.Namespace) -> None:
    """Give a person a card or PINs, take them, suspend the person, or say what they have."""
    if (chosen.card and chosen.no_card) or (chosen.pin and chosen.no_pin):
        raise ConfigError("give something or take it, not both")
    try:
        card = read_card(chosen.card) if chosen.card else None
        pins = make_pins(*_asked()) if chosen.pin else None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        number = faces.find_one(store, chosen.subject).session_number
        found = store.factors.read(number)
        if card is not None or pins is not None:
            found = store.factors.give(number, card=card, pins=pins, actor="cli")
        if chosen.suspend_until is not None:
            day = chosen.suspend_until
            found = store.factors.suspend(number, faces.read_day(day, "--suspend-until") if day else None, actor="cli")
        if chosen.no_card or chosen.no_pin:
            found = store.factors.take(number, card=chosen.no_card, pins=chosen.no_pin, actor="cli")
    _say(chosen, number, found)


def _say(chosen: argparse.Namespace, number: int, found: Factors) -> None:
    card = found.card.text if found.card is not None else None
    until = found.suspended_until
    day = None if until is None else datetime.fromtimestamp(until, timezone.utc).date().isoformat()
    if chosen.json:
        has_pin = found.pins is not None
        print(json.dumps({"session_number": number, "card": card, "has_pin": has_pin, "suspended_until": day}))
    else:
        suspended = f", suspended until {day}" if day else ""
        print(f"{number}: card {card or 'none'}, {'a PIN' if found.pins is not None else 'no PIN'}{suspended}")


def _asked() -> tuple[str, str | None]:
    """Read a PIN and a duress PIN: two lines of a pipe, or asked for twice each."""
    if not sys.stdin.isatty():
        pin, duress = (sys.stdin.readline(100).strip() for _ in range(2))
        return pin, duress or None
    given = []
    for label in ("PIN", "PIN to enter under duress (empty for none)"):
        given.append(getpass.getpass(f"{label}: ").strip())
        if given[-1] and getpass.getpass("Once more: ").strip() != given[-1]:
            raise ConfigError("the two entries differ; nothing was stored")
    return given[0], given[1] or None

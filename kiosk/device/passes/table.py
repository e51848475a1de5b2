"""Visitor passes as lists show them: whose, until when, how often used, and what has become of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiosk.device.passes.issue import EVERY, door_names
from kiosk.device.passes.keys import PassKeys
from kiosk.didit.contract import timestamp
from kiosk.store.passes.passes import KeptPass
from kiosk.store.store import Store

STATES = ("valid", "not_yet", "ended", "used_up", "revoked")


def state_of(kept: KeptPass, now: float) -> str:
    """Return what has become of a pass, one of `STATES`."""
    shown = kept.shown
    if kept.revoked_at is not None:
        return "revoked"
    if now >= shown.valid_until:
        return "ended"
    if shown.uses and kept.used >= shown.uses:
        return "used_up"
    return "not_yet" if now < shown.valid_from else "valid"


def row_of(store: Store, keys: PassKeys, kept: KeptPass, now: float) -> Mapping[str, Any]:
    """Return a pass without its code: JSON."""
    shown = kept.shown
    people = store.people.find(shown.person) if shown.person is not None else []
    visitor = next((one for one in people if one.session_id == shown.person), None)
    return {
        "pass": shown.name,
        "label": kept.label or None,
        "state": state_of(kept, now),
        "valid_from": timestamp(shown.valid_from),
        "valid_until": timestamp(shown.valid_until),
        "uses": shown.uses or None,
        "used": kept.used,
        "last_used_at": None if kept.last_used_at is None else timestamp(kept.last_used_at),
        "session_number": None if visitor is None else visitor.session_number,
        "visitor": None if visitor is None else visitor.details.name,
        "doors": door_names(keys, shown) or [EVERY],
        "is_issued_here": kept.is_issued_here,
    }

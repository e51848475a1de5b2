"""A person's card, PINs and suspension, for operators. PINs go in and never come out; nobody learns of a duress PIN."""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, answer, field_errors, read_moment
from kiosk.api.routes.people import MOMENT, known
from kiosk.api.schema import ANSWER_400, BOOLEAN, INTEGER, STRING, TEXT, closed, named, opened, or_null
from kiosk.didit.contract import timestamp
from kiosk.rules.cards import Card, read_card
from kiosk.rules.factors import pin_lock_s
from kiosk.store.accounts import Role
from kiosk.store.factors.factors import Factors
from kiosk.store.factors.pins import Pins, make_pins
from kiosk.types import SubjectId

FIELDS = ("card", "pin", "duress_pin", "suspended_until")


def about(found: Factors, locked_s: float) -> dict[str, Any]:
    """Return what an operator may know of a person's card and PIN; `locked_s`: for how long yet no PIN counts."""
    until = found.suspended_until
    return {
        "wrong_pins": found.wrong,
        "pin_locked_s": math.ceil(locked_s),
        "card": found.card.text if found.card is not None else None,
        "has_pin": found.pins is not None,
        "suspended_until": timestamp(until) if until is not None else None,
    }


async def show_factors(call: Call) -> Response:
    """Show what a person has beside their face."""

    def work() -> dict[str, Any]:
        number = known(call).session_number
        return _told(call, number, call.context.device.store.factors.read(number))

    return answer(await call.run(work))


def _told(call: Call, number: SubjectId, found: Factors) -> dict[str, Any]:
    kiosk = call.context.kiosk
    if kiosk is not None:
        return about(found, kiosk.pin_lock_s(number, found.wrong))
    return about(found, pin_lock_s(found.wrong, call.context.config.attempts.lockout_s))  # of the start that comes


async def change_factors(call: Call) -> Response:
    """Give a person a card or PINs, take them with null, suspend the person or end that with null."""
    body = await call.json()
    errors: dict[str, list[str]] = {name[:100]: ["There is no such field."] for name in set(body) - set(FIELDS)}
    if body.get("duress_pin") is not None and body.get("pin") is None:
        errors["duress_pin"] = ["Want the PIN beside it: both are kept together."]
    if errors:
        raise field_errors(errors)

    def work() -> dict[str, Any]:
        number, store, actor = known(call).session_number, call.context.device.store.factors, call.actor
        card, pins = _card(body.get("card")), _pins(body.get("pin"), body.get("duress_pin"))
        until = _until(body.get("suspended_until"))  # read before anything is changed
        if card is not None or pins is not None:
            store.give(number, card=card, pins=pins, actor=actor)
        takes = [name in body and body[name] is None for name in ("card", "pin")]
        if any(takes):
            store.take(number, card=takes[0], pins=takes[1], actor=actor)
        if "suspended_until" in body:
            store.suspend(number, until, actor=actor)
        return _told(call, number, store.read(number))

    return answer(await call.run(work))


def _card(text: object) -> Card | None:
    try:
        return None if text is None else read_card(str(text))
    except ValueError as error:
        raise field_errors({"card": [str(error)]}) from None


def _pins(pin: object, duress: object) -> Pins | None:
    try:
        return None if pin is None else make_pins(str(pin), None if duress is None else str(duress))
    except ValueError as error:
        raise field_errors({"pin": [str(error)]}) from None


def _until(text: object) -> float | None:
    try:
        return None if text is None else read_moment(str(text))
    except ValueError as error:
        raise field_errors({"suspended_until": [str(error)]}) from None


_PATH = "/device/subjects/{session_number}/factors"
_FIELDS = closed(
    card=or_null(STRING),
    has_pin=BOOLEAN,
    suspended_until=or_null(STRING),
    wrong_pins=INTEGER,
    pin_locked_s=INTEGER,
)
_FACTORS = named("PersonFactors", _FIELDS)
_TEXT = or_null({"type": "string", "maxLength": 60})

OPERATIONS = (
    Operation(
        "GET",
        _PATH,
        show_factors,
        "Show a person's card, whether they have a PIN, and until when they are suspended.",
        {200: _FACTORS, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "PATCH",
        _PATH,
        change_factors,
        "Give a person a card or a PIN (with duress_pin, one to enter under duress), suspend them; null takes it back.",
        {200: _FACTORS, 400: ANSWER_400, 404: TEXT, 409: TEXT, 413: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        json=opened({}, card=_TEXT, pin=_TEXT, duress_pin=_TEXT, suspended_until=or_null(MOMENT)),
    ),
)

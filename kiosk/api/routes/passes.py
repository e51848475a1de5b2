"""Visitor passes, for operators: issued, listed, shown again to be printed, and revoked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, answer, field_errors, not_found, read_moment
from kiosk.api.routes.people import MOMENT
from kiosk.api.schema import ANSWER_400, BOOLEAN, INTEGER, STRING, TEXT, array, closed, named, opened, or_null
from kiosk.device.passes.issue import issue_pass
from kiosk.device.passes.picture import as_svg
from kiosk.device.passes.table import STATES, row_of
from kiosk.errors import RefusedError
from kiosk.rules.passes import MOST_DOORS, MOST_USES
from kiosk.rules.text import as_sentence
from kiosk.store.accounts import Role
from kiosk.store.passes.passes import LONGEST_LABEL, KeptPass

FIELDS = ("label", "valid_from", "valid_until", "uses", "session_number", "doors")


async def list_passes(call: Call) -> Response:
    """Return the passes without their codes, and what a new one may contain."""
    context = call.context
    store, keys, now = context.device.store, context.pass_keys, context.now()

    def work() -> dict[str, Any]:
        rows = [row_of(store, keys, one, now) for one in store.passes.every()]
        return {"passes": rows, "doors": sorted(set(keys.doors().values()))}

    rule = context.config.passes
    found = await call.run(work)
    return answer({"is_enabled": rule.enabled, "ask": rule.ask, "longest_days": rule.longest_days, **found})


async def issue(call: Call) -> Response:
    """Issue a pass; its code is in the answer."""
    context, now = call.context, call.context.now()
    wanted = _wanted(await call.json(), now)

    def work() -> dict[str, Any]:
        try:
            kept = issue_pass(
                context.device.store, context.pass_keys, context.config.passes, now=now, actor=call.actor, **wanted
            )
        except RefusedError as error:
            raise field_errors({"pass": [as_sentence(str(error))]}) from None
        return _whole(call, kept)

    return answer(await call.run(work), 201)


def _wanted(body: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return what a pass is to say, as `issue_pass` takes it; raises with everything that is wrong."""
    errors: dict[str, list[str]] = {name[:100]: ["There is no such field."] for name in set(body) - set(FIELDS)}
    moments = {"valid_from": now, "valid_until": 0.0}
    for name in ("valid_from", "valid_until"):
        try:
            moments[name] = moments[name] if body.get(name) is None else read_moment(str(body[name]))
        except ValueError as error:
            errors[name] = [str(error)]
    uses, visitor, label, doors = (body.get(name) for name in ("uses", "session_number", "label", "doors"))
    wrong = {
        "valid_until": (body.get("valid_until") is None, "Want a time to come."),
        "uses": (not _is_number(uses, 0, MOST_USES), f"Want a number from 0 to {MOST_USES}; 0 for any number."),
        "session_number": (not _is_number(visitor, 1, 1 << 62), "Want a person's number."),
        "label": (not isinstance(label, str | None), f"Want a text of at most {LONGEST_LABEL} characters."),
        "doors": (not _are_names(doors), "Want names of doors."),
    }
    errors |= {name: [sentence] for name, (is_wrong, sentence) in wrong.items() if is_wrong and name not in errors}
    if errors:
        raise field_errors(errors)
    return {
        **moments,
        "label": (label or "").strip(),
        "uses": 1 if uses is None else uses,
        "visitor": visitor,
        "doors": tuple(doors or ()),
    }


async def show(call: Call) -> Response:
    """Return a pass with its code."""
    return answer(await call.run(lambda: _whole(call, _named(call))))


async def revoke(call: Call) -> Response:
    """End a pass, here and, by the fleet, at its other kiosks; again does nothing."""
    context = call.context
    store, name = context.device.store, str(call.request.path_params["pass"])

    def work() -> Any:
        _named(call)
        kept = store.passes.revoke(name, now=context.now(), actor=call.actor)
        return row_of(store, context.pass_keys, kept, context.now())

    return answer(await call.run(work))


def _is_number(value: object, low: int, high: int) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high)


def _are_names(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _named(call: Call) -> KeptPass:
    found = call.context.device.store.passes.named(str(call.request.path_params["pass"]))
    if found is None:
        raise not_found()
    return found


def _whole(call: Call, kept: KeptPass) -> dict[str, Any]:
    context = call.context
    row = row_of(context.device.store, context.pass_keys, kept, context.now())
    return {**row, "code": kept.text, "svg": as_svg(kept)}


_ROW: dict[str, Any] = {
    "pass": STRING,
    "label": or_null(STRING),
    "state": {"type": "string", "enum": list(STATES)},
    "valid_from": STRING,
    "valid_until": STRING,
    "uses": or_null(INTEGER),
    "used": INTEGER,
    "last_used_at": or_null(STRING),
    "session_number": or_null(INTEGER),
    "visitor": or_null(STRING),
    "doors": array(STRING),
    "is_issued_here": BOOLEAN,
}
_PASS = named("VisitorPass", closed(**_ROW))
_WHOLE = named("VisitorPassWithCode", closed(**_ROW, code=STRING, svg=STRING))

OPERATIONS = (
    Operation(
        "GET",
        "/device/passes",
        list_passes,
        "List the visitor passes, without their codes, and what a new one may contain.",
        {
            200: named(
                "VisitorPasses",
                closed(
                    is_enabled=BOOLEAN,
                    ask=STRING,
                    longest_days={"type": "number"},
                    passes=array(_PASS),
                    doors=array(STRING),
                ),
            ),
            503: TEXT,
        },
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        "/device/passes",
        issue,
        "Issue a visitor pass; whoever has its code, or a photograph of it, has the pass.",
        {201: _WHOLE, 400: ANSWER_400, 413: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        json=opened(
            {"valid_until": MOMENT},
            label=or_null({"type": "string", "maxLength": LONGEST_LABEL}),
            valid_from=or_null(MOMENT),
            uses=or_null({"type": "integer", "minimum": 0, "maximum": MOST_USES}),
            session_number=or_null({"type": "integer", "minimum": 1}),
            doors=or_null({**array(STRING), "maxItems": MOST_DOORS}),
        ),
    ),
    Operation(
        "GET",
        "/device/passes/{pass}",
        show,
        "Show a visitor pass with its code, as text and as SVG to print.",
        {200: _WHOLE, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        "/device/passes/{pass}/revoke",
        revoke,
        "End a visitor pass, at this kiosk and at the others of its fleet.",
        {200: _PASS, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
)

"""Who went through the door and who is inside, for operators; and passages that another door tells of."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Parameter, answer, field_errors, read_moment
from kiosk.api.routes.people import MOMENT
from kiosk.api.schema import ANSWER_400, INTEGER, PAGING, STRING, TEXT, array, closed, named, or_null
from kiosk.device.attendance import inside
from kiosk.didit.contract import timestamp
from kiosk.rules.passage import Direction
from kiosk.store.accounts import Role
from kiosk.store.passages.passages import Passage

SPAN_S = 31 * 86400.0  # that a list reaches back where nobody says since when


async def list_inside(call: Call) -> Response:
    """Return who counts as inside, by name."""
    context = call.context
    rule, now = context.config.passage, context.now()
    is_trusted = "clock_untrusted" not in {one.condition for one in context.running().health().states}
    found = await call.run(lambda: inside(context.device.store, rule, now=now, is_clock_trusted=is_trusted))
    people = [{"session_number": one.number, "name": one.name, "since": timestamp(one.since)} for one in found]
    return answer({"at": timestamp(now), "people": people})


async def list_passages(call: Call) -> Response:
    """Return a page of who went through, by person and time."""
    now = call.context.now()
    limit, offset = call.page()
    span = []
    for name, default in (("since", now - SPAN_S), ("until", now + 1.0)):
        text = call.word(name)
        try:
            span.append(default if text is None else read_moment(text))
        except ValueError as error:
            raise field_errors({name: [str(error)]}) from None
    passages = call.context.device.store.passages
    total, found = await call.run(lambda: passages.page(*span, limit=limit, offset=offset))
    rows = [
        {
            "session_number": one.number,
            "direction": one.direction.value,
            "at": timestamp(one.at),
            "request_id": one.request_id or None,
            "corrected_by": one.corrected_by or None,
        }
        for one in found
    ]
    return answer({"total": total, "limit": limit, "offset": offset, "passages": rows})


async def tell_passage(call: Call) -> Response:
    """Keep a passage that another door saw, or a correction; it is marked with who says so."""
    body = await call.json()
    number: Any = body.get("session_number")
    direction = body.get("direction")
    errors: dict[str, list[str]] = {}
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        errors["session_number"] = ["Want a person's number."]
    if direction not in [one.value for one in Direction]:  # a list, as JSON has what no set takes
        errors["direction"] = ["Want in or out."]
    if errors:
        raise field_errors(errors)
    assert isinstance(number, int)
    store = call.context.device.store
    if await call.run(lambda: store.people.subject(number)) is None:
        raise field_errors({"session_number": ["Nobody has this number."]})
    passage = Passage(number, Direction(direction), call.context.now(), "", call.actor)
    await call.run(lambda: store.passages.note(passage))
    return answer({"at": timestamp(passage.at)}, 201)


_PASSAGE = closed(
    session_number=INTEGER,
    direction=STRING,
    at=STRING,
    request_id=or_null(STRING),
    corrected_by=or_null(STRING),
)

OPERATIONS = (
    Operation(
        "GET",
        "/device/passages/inside",
        list_inside,
        "List who counts as inside, by name: a roll-call.",
        {
            200: named(
                "RollCall",
                closed(
                    at=STRING,
                    people=array(
                        named("PersonInside", closed(session_number=INTEGER, name=or_null(STRING), since=STRING))
                    ),
                ),
            ),
            409: TEXT,
            503: TEXT,
        },
        role=Role.OPERATOR,
    ),
    Operation(
        "GET",
        "/device/passages",
        list_passages,
        "List who went through, by person and time; the last 31 days where nothing else is asked for.",
        {
            200: named(
                "Passages",
                closed(total=INTEGER, limit=INTEGER, offset=INTEGER, passages=array(named("Passage", _PASSAGE))),
            ),
            400: ANSWER_400,
            503: TEXT,
        },
        role=Role.OPERATOR,
        query=(
            Parameter("since", "From this time on.", MOMENT),
            Parameter("until", "To before this time.", MOMENT),
            *PAGING,
        ),
    ),
    Operation(
        "POST",
        "/device/passages",
        tell_passage,
        "Record a passage that no kiosk saw, or correct one; it counts from now, and the record says who told it.",
        {201: named("ToldPassage", closed(at=STRING)), 400: ANSWER_400, 413: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        json=closed(
            session_number={"type": "integer", "minimum": 1}, direction={"type": "string", "enum": ["in", "out"]}
        ),
    ),
)

"""The owner's other kiosks: how each of them is, and which of them know of a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from kiosk.api.context import Fleet
from kiosk.api.operation import Call, Operation, answer, field_errors, refusal
from kiosk.api.routes.media import link
from kiosk.api.schema import (
    ANSWER_400,
    ANY_OBJECT,
    BOOLEAN,
    INTEGER,
    NUMBER,
    PAGING,
    STRING,
    TEXT,
    TIME,
    array,
    closed,
    named,
    opened,
    or_null,
)
from kiosk.errors import RefusedError
from kiosk.store.accounts import Role

SAME, DIFFERENT = "same", "different"
DECISIONS = {"type": "string", "enum": [SAME, DIFFERENT]}
NO_FLEET = "This kiosk belongs to no fleet; `kiosk fleet join` lets it ask to."


def _fleet(call: Call) -> Fleet:
    found = call.context.fleet
    if found is None:
        raise refusal(404, NO_FLEET)
    return found


async def show_fleet(call: Call) -> Response:
    """Return the fleet at a glance."""
    fleet = _fleet(call)
    return answer(await call.run(fleet.overview))


async def show_fleet_person(call: Call) -> Response:
    """Return which kiosks know of a person. Whoever was forgotten here is still asked about, so nobody is a 404."""
    fleet, person = _fleet(call), str(call.request.path_params["session_id"])
    return answer(await call.run(lambda: fleet.person(person)))


async def list_duplicates(call: Call) -> Response:
    """Return who may be one person."""
    fleet, store, now = _fleet(call), call.context.device.store, call.context.now()
    limit, offset = call.page()

    def person(about: Mapping[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in about.items() if name != "has_photograph"}
        photograph = link(store, about["session_number"], now) if about["has_photograph"] else None
        return {**shown, "photograph": photograph}

    def read() -> dict[str, Any]:
        found = fleet.duplicates()
        rows = [
            {**one, "first": person(one["first"]), "second": person(one["second"])}
            for one in found[offset : offset + limit]
        ]
        return {"total": len(found), "duplicates": rows}

    return answer(await call.run(read))


async def decide_duplicate(call: Call) -> Response:
    """Say that two people are one, or two."""
    fleet, body = _fleet(call), await call.json()
    texts = {name: body.get(name) for name in ("first", "second", "decision")}
    faults = {name: ["Want a text."] for name, value in texts.items() if not isinstance(value, str)}
    first, second, decision = texts.values()
    if not faults and decision not in {SAME, DIFFERENT}:
        faults["decision"] = [f'Want "{SAME}" or "{DIFFERENT}".']
    details_of = body.get("details_of")
    if not faults and decision == SAME and details_of not in {first, second}:
        faults["details_of"] = ["Want first or second: whose name, codes, dates and groups stay."]
    if faults:
        raise field_errors(faults)

    def decide() -> dict[str, Any]:
        with call.context.reviewing:  # of two operators the second is told
            try:
                chosen = details_of if decision == SAME else None
                stays = fleet.decide(str(first), str(second), details_of=chosen, actor=call.actor)
            except RefusedError as refused:
                raise refusal(409, str(refused)) from refused
        if stays is not None:
            call.context.device.finder.follow()
            call.context.forgotten()  # the other record leaves the backups too
        return {"decision": decision, "session_number": None if stays is None else stays["session_number"]}

    return answer(await call.run(decide))


_KIOSK = named(
    "FleetKiosk",
    closed(
        kiosk=STRING,
        name=STRING,
        is_me=BOOLEAN,
        since_roster=INTEGER,
        heard_s=or_null(INTEGER),
        said_at=or_null(TIME),
        version=or_null(STRING),
        roster=or_null(INTEGER),
        behind=or_null(INTEGER),
        waiting=or_null(INTEGER),
        parked=or_null(INTEGER),
        clock_off_s=or_null(INTEGER),
        is_armed=or_null(BOOLEAN),
        states=array(STRING),
        duplicates=or_null(INTEGER),
        doors=or_null(array(STRING)),
        update=or_null(
            named(
                "FleetUpdateStage",
                closed(
                    stage=STRING,
                    why=STRING,
                    culprit=or_null(STRING),
                    done=or_null(INTEGER),
                    of=or_null(INTEGER),
                ),
            )
        ),
        alarms=array(STRING),
    ),
)
_FLEET = named(
    "FleetOverview",
    closed(
        fleet=STRING,
        kiosk=STRING,
        name=STRING,
        is_let_in=BOOLEAN,
        is_taken_off=BOOLEAN,
        roster=INTEGER,
        people=INTEGER,
        fault=or_null(STRING),
        hubs=array(ANY_OBJECT),
        kiosks=array(_KIOSK),
        update=or_null(
            named("FleetUpdate", closed(revision=INTEGER, version=STRING, first=STRING, is_stopped=BOOLEAN))
        ),
        former=array(named("FormerKiosk", closed(kiosk=STRING, name=STRING, until_roster=INTEGER))),
    ),
)
_PERSON = named(
    "FleetPerson",
    closed(
        session_id=STRING,
        of=INTEGER,
        known_by=INTEGER,
        is_forgotten=BOOLEAN,
        forgotten_on=INTEGER,
        kiosks=array(
            named(
                "FleetKnower",
                closed(
                    kiosk=STRING,
                    name=STRING,
                    is_me=BOOLEAN,
                    knows=BOOLEAN,
                    has_forgotten=BOOLEAN,
                    goes_in=or_null(BOOLEAN),
                ),
            )
        ),
    ),
)

_ONE = named(
    "FleetDuplicatePerson",
    closed(
        session_id=STRING,
        session_number=INTEGER,
        name=or_null(STRING),
        vendor_data=or_null(STRING),
        status=STRING,
        is_blocklisted=BOOLEAN,
        verification_date=TIME,
        references=INTEGER,
        kiosk=or_null(STRING),
        photograph=or_null(STRING),
    ),
)
_PAIR = named("FleetDuplicate", closed(score=NUMBER, found_at=TIME, first=_ONE, second=_ONE))

OPERATIONS = (
    Operation(
        "GET",
        "/device/fleet",
        show_fleet,
        "Return the owner's kiosks as this one sees them; 404 where it belongs to no fleet.",
        {200: _FLEET, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "GET",
        "/device/fleet/people/{session_id}",
        show_fleet_person,
        "Return which kiosks know what is known here of a person, and which have forgotten them.",
        {200: _PERSON, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "GET",
        "/device/fleet/duplicates",
        list_duplicates,
        "Return people who look alike and were enrolled at two kiosks apart from each other, most alike first.",
        {
            200: named("FleetDuplicates", closed(total=INTEGER, duplicates=array(_PAIR))),
            400: ANSWER_400,
            404: TEXT,
            503: TEXT,
        },
        role=Role.OPERATOR,
        query=PAGING,
    ),
    Operation(
        "POST",
        "/device/fleet/duplicates",
        decide_duplicate,
        "Decide for every kiosk whether such a pair is the same person or two people.",
        {
            200: named("FleetDuplicateDecided", closed(decision=DECISIONS, session_number=or_null(INTEGER))),
            400: ANSWER_400,
            **dict.fromkeys((404, 408, 409, 413, 503), TEXT),
        },
        role=Role.OPERATOR,
        json=opened({"first": STRING, "second": STRING, "decision": DECISIONS}, details_of=or_null(STRING)),
    ),
)

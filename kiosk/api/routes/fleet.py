"""The owner's other kiosks: how each of them is, and which of them know of a person."""

from __future__ import annotations

from starlette.responses import Response

from kiosk.api.context import Fleet
from kiosk.api.operation import Call, Operation, answer, refusal
from kiosk.api.schema import ANY_OBJECT, BOOLEAN, INTEGER, STRING, TEXT, TIME, array, closed, named, or_null
from kiosk.store.accounts import Role

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
)

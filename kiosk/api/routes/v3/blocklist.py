"""Didit's blocklist over the people enrolled here, and the cloud account's balance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Parameter, answer, field_errors, not_found, refusal
from kiosk.api.saved_sessions import find_call, find_person, link_to
from kiosk.api.schema import (
    ANSWER_400,
    BOOLEAN,
    INTEGER,
    PAGING,
    STRING,
    TEXT,
    TIME,
    UUID,
    array,
    closed,
    named,
    or_null,
)
from kiosk.device.reviews import block_person
from kiosk.didit import contract
from kiosk.store.accounts import Role
from kiosk.store.subjects import Subject, SubjectFilter, SubjectPage

FACE = "face"  # Didit lists documents, telephones and more; here there are faces
NO_FACE = "This call kept no face to block; give the session_id of an enrolled person, as a search's row has it."


async def _changed(call: Call, flag: str, act: Callable[..., Subject]) -> Response:
    body = await call.json()
    session_id, is_wanted = body.get("session_id"), body.get(flag)
    errors: dict[str, list[str]] = {}
    if not isinstance(session_id, str) or not session_id:
        errors["session_id"] = ["This field is required."]
    if is_wanted is not True:
        errors[flag] = ["This field is required." if is_wanted is None else "Want true: here a list has faces alone."]
    if errors:
        raise field_errors(errors)
    store = call.context.device.store

    def work() -> None:
        person = find_person(store, str(session_id))
        if person is None and find_call(store, str(session_id)) is not None:
            raise field_errors({"session_id": [NO_FACE]})
        if person is None:
            raise not_found()
        act(person.session_number, actor=call.actor)

    await call.run(work)
    return answer({"message": "Successfully updated blocklist."})


async def add_to_blocklist(call: Call) -> Response:
    """Put an enrolled person on the blocklist."""
    device = call.context.device
    return await _changed(call, "blocklist_face", partial(block_person, device.store, device.outgoing))


async def remove_from_blocklist(call: Call) -> Response:
    """Take an enrolled person off the blocklist."""
    return await _changed(call, "unblock_face", call.context.device.store.people.unblock)


async def list_blocklist(call: Call) -> Response:
    """List who is on the blocklist, in the order of enrolment."""
    limit, offset = call.page()
    is_served = call.word("item_type") in {None, FACE}
    people = call.context.device.store.people

    def read() -> SubjectPage:
        return people.subjects(SubjectFilter(is_blocklisted=True), limit=limit, offset=offset)

    page = await call.run(read) if is_served else SubjectPage(0, ())
    return answer(
        {
            "count": page.total,
            "next": link_to(call, limit, offset + limit) if offset + limit < page.total else None,
            "previous": link_to(call, limit, max(0, offset - limit)) if offset > 0 else None,
            "results": [_item(one) for one in page.subjects],
        }
    )


def _item(one: Subject) -> dict[str, Any]:
    return {
        "session_id": one.session_id,
        "session_number": one.session_number,
        "item_type": FACE,
        "vendor_data": one.details.vendor_data,
        "name": one.details.name,
        "reason": one.details.block_reason,
        "source": one.source,
        "created_at": contract.timestamp(one.verification_date),
    }


async def show_balance(call: Call) -> Response:
    """Return the cloud account's credits, asked now."""
    cloud = call.context.cloud
    if cloud is None:
        raise refusal(404, "No cloud is set up on this kiosk; see [cloud] in its settings.")
    return answer({"balance": await call.run(cloud.balance)})


_CHANGED = named("BlocklistChanged", closed(message=STRING))
_ITEM = named(
    "BlocklistItem",
    closed(
        session_id=UUID,
        session_number=INTEGER,
        item_type=STRING,
        vendor_data=or_null(STRING),
        name=or_null(STRING),
        reason=or_null(STRING),
        source=STRING,
        created_at=TIME,
    ),
)
_WRITTEN = {200: _CHANGED, 400: ANSWER_400, 404: TEXT, 408: TEXT, 413: TEXT, 503: TEXT}

OPERATIONS = (
    Operation(
        "POST",
        "/v3/blocklist/add/",
        add_to_blocklist,
        "Put an enrolled person on the blocklist. An operator's or admin's key; 403 with a device's.",
        _WRITTEN,
        role=Role.OPERATOR,
        json=closed(session_id=STRING, blocklist_face=BOOLEAN),
    ),
    Operation(
        "POST",
        "/v3/blocklist/remove/",
        remove_from_blocklist,
        "Take an enrolled person off the blocklist. An operator's or admin's key; 403 with a device's.",
        _WRITTEN,
        role=Role.OPERATOR,
        json=closed(session_id=STRING, unblock_face=BOOLEAN),
    ),
    Operation(
        "GET",
        "/v3/blocklist/",
        list_blocklist,
        "List who is on the blocklist. An operator's or admin's key; 403 with a device's.",
        {
            200: named(
                "Blocklist", closed(count=INTEGER, next=or_null(STRING), previous=or_null(STRING), results=array(_ITEM))
            ),
            400: ANSWER_400,
            503: TEXT,
        },
        role=Role.OPERATOR,
        query=(
            Parameter("item_type", "face, the only kind here; another matches nothing.", STRING),
            *PAGING,
        ),
    ),
    Operation(
        "GET",
        "/v3/billing/balance/",
        show_balance,
        "Return the credits of the cloud account; 404 where no cloud is set up.",
        {200: named("Balance", closed(balance=STRING)), 404: TEXT, 503: TEXT},
        role=Role.DEVICE,
    ),
)

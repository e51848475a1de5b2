"""Didit's calls that change what is saved: another status for a session, and a session deleted. For operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, answer, field_errors, not_found
from kiosk.api.saved_sessions import find_call, find_person, status_of
from kiosk.api.schema import ANSWER_400, ANY_OBJECT, STRING, TEXT, array, closed, named, opened, or_null
from kiosk.device.reviews import RESUBMITTED, WORDS, review_call, review_person
from kiosk.errors import RefusedError
from kiosk.store.accounts import Role
from kiosk.store.subjects import Subject
from kiosk.types import Status

LONGEST_COMMENT = 1000
SAME = ["The new status is the same as the current status."]  # the contract's words
NOT_OVER = "The session is not over yet: its person has the next step."
FOR_CALLS = "An enrolment is Approved or Declined; only calls are resubmitted."


def _asked(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the new status and the comment, None where it is blank."""
    status, comment = body.get("new_status"), body.get("comment")
    errors: dict[str, list[str]] = {}
    if not isinstance(status, str) or not status:
        errors["new_status"] = ["This field is required."]
    elif status not in WORDS:
        errors["new_status"] = [f'"{status[:100]}" is not a valid choice.']
    if comment is not None and (not isinstance(comment, str) or len(comment) > LONGEST_COMMENT):
        errors["comment"] = [f"Want a text of at most {LONGEST_COMMENT} characters."]
    if errors:
        raise field_errors(errors)
    return str(status), (comment or "").strip() or None


def _follow(call: Call, session_id: str, status: str) -> None:
    """Give whom a call made known the call's status; sent back is none of theirs, so they are in review."""
    people = call.context.device.store.people
    person = find_person(call.context.device.store, session_id)
    new = Status.IN_REVIEW if status == RESUBMITTED else Status(status)
    if person is not None:
        people.patch(person.session_number, lambda known: replace(known, status=new), actor=call.actor)


async def update_session_status(call: Call) -> Response:
    """Give a session another status, with the caller's comment; the first decision stays in the log."""
    status, reason = _asked(await call.json())
    device, session_id = call.context.device, str(call.request.path_params["session_id"])

    def work() -> bool:
        with call.context.reviewing:  # of two operators the second is told
            found = find_call(device.store, session_id) or find_person(device.store, session_id)
            if found is None and device.store.sessions.by_id(session_id) is not None:
                raise RefusedError(NOT_OVER)
            if found is None:
                raise not_found()
            if status == status_of(device.store, found):
                return False
            if not isinstance(found, Subject):
                review_call(device, found, status, reason=reason, actor=call.actor)
                _follow(call, session_id, status)
            elif status == RESUBMITTED:
                raise field_errors({"new_status": [FOR_CALLS]})
            else:
                review_person(device, found, Status(status), reason=reason, actor=call.actor)
        return True

    return answer({"session_id": session_id}) if await call.run(work) else answer(SAME, 400)


async def delete_session(call: Call) -> Response:
    """Erase what a call kept; of an enrolment's id, forget the person and answer the signed receipt."""
    store = call.context.device.store
    session_id = str(call.request.path_params["session_id"])

    def work() -> str | None:
        person, saved = find_person(store, session_id), find_call(store, session_id)
        is_open = store.sessions.by_id(session_id) is not None
        if person is None and saved is None and not is_open:
            raise not_found()
        receipt = None if person is None else store.people.forget(person.session_number, actor=call.actor).text
        if saved is not None or is_open:
            store.erase_call(session_id, actor=call.actor)
        call.context.forgotten()
        return receipt

    receipt = await call.run(work)
    return Response(status_code=204) if receipt is None else Response(receipt, media_type="application/json")


OPERATIONS = (
    Operation(
        "PATCH",
        "/v3/session/{session_id}/update-status/",
        update_session_status,
        "Give a saved call or an enrolment another status. An operator's or admin's key; 403 with a device's. Didit's "
        "nodes_to_resubmit and e-mails are not served here: they are ignored.",
        {
            200: named("UpdatedSession", closed(session_id=STRING)),
            400: {"anyOf": [*ANSWER_400["anyOf"], array(STRING)]},
            409: TEXT,
            404: TEXT,
            408: TEXT,
            413: TEXT,
            503: TEXT,
        },
        role=Role.OPERATOR,
        json=opened(
            {"new_status": {"type": "string", "enum": list(WORDS)}},
            comment=or_null({"type": "string", "maxLength": LONGEST_COMMENT}),
        ),
    ),
    Operation(
        "DELETE",
        "/v3/session/{session_id}/delete/",
        delete_session,
        "Erase what a saved call or a session kept: 204. Of an enrolment's id, forget the person: 200 with the signed "
        "receipt. An operator's or admin's key; 403 with a device's.",
        {200: named("ErasureReceipt", closed(receipt=ANY_OBJECT, signature=STRING)), 204: None, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
)

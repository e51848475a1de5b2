"""People over the API: list, find, show, change, block, allow, forget. Photographs come in by enrol.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Parameter, answer, field_errors, not_found, read_moment
from kiosk.api.schema import (
    ANSWER_400,
    ANY_OBJECT,
    BOOLEAN,
    FLAG,
    INTEGER,
    PAGING,
    STATUS,
    STRING,
    TEXT,
    TIME,
    UUID,
    array,
    closed,
    named,
    opened,
    or_null,
)
from kiosk.device.reviews import block_person as blocking
from kiosk.didit import contract
from kiosk.rules.doors import LONGEST_GROUP, read_groups
from kiosk.rules.text import as_sentence, objection
from kiosk.store.accounts import Role
from kiosk.store.subjects import Subject, SubjectFilter, SubjectPage
from kiosk.types import Status

LONGEST_TEXT = contract.LONGEST_VENDOR_DATA  # a vendor_data has the same limit in a call
UNSEEN = "Ensure this field has no characters that cannot be seen, such as line ends."
TEXTS = ("name", "vendor_data", "document_type", "document_number", "plan")
MOMENTS = ("valid_from", "valid_until", "retain_until")
GROUPS = ("groups", "add_groups", "remove_groups")
DAY_S = 86400.0
MOST_DAYS = 3660
STATUSES = tuple(status.value for status in Status)
WRONG_ORDER = "Want a time after valid_from."
PASSED = "Want a time to come; the next sweep would forget the person."


def about(subject: Subject, *, whole: bool = False) -> dict[str, Any]:
    """Return a person for JSON; the document number is masked unless `whole`."""
    details = subject.details
    number = details.document_number
    return {
        "session_number": subject.session_number,
        "session_id": subject.session_id,
        "name": details.name,
        "vendor_data": details.vendor_data,
        "document_type": details.document_type,
        "document_number": number if whole else contract.mask(number),
        "plan": details.plan,
        "groups": list(details.groups),
        "status": subject.status.value,
        "is_blocklisted": subject.is_blocklisted,
        "is_allowlisted": subject.is_allowlisted,
        "block_reason": details.block_reason,
        "source": subject.source,
        "verification_date": contract.timestamp(subject.verification_date),
        "valid_from": _time(subject.valid_from),
        "valid_until": _time(subject.valid_until),
        "retention_until": _time(subject.retention_until),
        "consent_version": details.consent_version,
        "consent_at": _time(details.consent_at),
        "consent_language": details.consent_language,
        "references": subject.references,
        "images": subject.images,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else contract.timestamp(seconds)


def known(call: Call) -> Subject:
    """Return whom the path names, or refuse."""
    subject = call.context.device.store.people.subject(call.number())
    if subject is None:
        raise not_found()
    return subject


async def list_people(call: Call) -> Response:
    """List people, newest first, or find one."""
    limit, offset = call.page()
    wanted = filter_of(call)

    def read() -> dict[str, Any]:
        page = _page(call, wanted, limit, offset)
        seen = call.context.device.store.log.last_seen([one.session_number for one in page.subjects])
        rows = [{**about(one), "last_seen_at": _time(seen.get(one.session_number))} for one in page.subjects]
        return {"total": page.total, "limit": limit, "offset": offset, "subjects": rows}

    return answer(await call.run(read))


def filter_of(call: Call) -> SubjectFilter:
    """Return which people a query is about, beside its words."""
    status, days = call.choice("status", STATUSES), call.word("ends_within_days")
    within = None if days is None else call.whole("ends_within_days", default=0, low=0, high=MOST_DAYS)
    return SubjectFilter(
        is_blocklisted=call.flag("is_blocklisted"),
        status=Status(status) if status else None,
        ends_by=None if within is None else call.context.now() + within * DAY_S,
    )


def _page(call: Call, wanted: SubjectFilter, limit: int, offset: int) -> SubjectPage:
    device, asked, group = call.context.device, call.word("q"), call.word("group")
    if asked is None and group is None:
        return device.store.people.subjects(wanted, limit=limit, offset=offset)
    return device.finder.find(asked, wanted, limit=limit, offset=offset, group=group)


async def list_groups(call: Call) -> Response:
    """List the groups that anybody is in."""
    found = await call.run(call.context.device.finder.groups)
    return answer({"groups": [{"name": name, "people": count} for name, count in found.items()]})


async def show_person(call: Call) -> Response:
    """Show a person."""

    def read() -> dict[str, Any]:
        subject = known(call)
        seen = call.context.device.store.log.last_seen([subject.session_number])
        return {**about(subject, whole=True), "last_seen_at": _time(seen.get(subject.session_number))}

    return answer(await call.run(read))


def misfits(begin: float | None, end: float | None, kept: float | None, now: float) -> list[tuple[str, str]]:
    """Return which dates contradict each other or the time of now, with a sentence each."""
    wrong = []
    if begin is not None and end is not None and end <= begin:
        wrong.append(("valid_until", WRONG_ORDER))
    if kept is not None and kept <= now:
        wrong.append(("retain_until", PASSED))
    return wrong


async def change_person(call: Call) -> Response:
    """Change the details of a person; null empties a field."""
    body = await call.json()
    errors: dict[str, list[str]] = {}
    for name in sorted(set(body) - {*TEXTS, *MOMENTS, "status", *GROUPS}):
        errors[name[:100]] = ["There is no such field to change."]
    texts: dict[str, Any] = {name: _changed_text(name, body[name], errors) for name in TEXTS if name in body}
    groups = {name: _changed_groups(name, body[name], errors) for name in GROUPS if name in body}
    if "groups" in groups and len(groups) > 1:
        errors["groups"] = ["Give all groups, or some to add and to remove."]
    moments = {name: _changed_moment(name, body[name], errors) for name in MOMENTS if name in body}
    status = body.get("status")
    if "status" in body and status not in STATUSES:
        errors["status"] = [f"Want one of {', '.join(STATUSES)}."]
    if "retain_until" in moments and moments["retain_until"] is None and "retain_until" not in errors:
        errors["retain_until"] = ["This field may not be null."]
    if errors:
        raise field_errors(errors)

    dates = {"retention_until" if name == "retain_until" else name: value for name, value in moments.items()}

    def changed(before: Subject) -> Subject:
        details = replace(before.details, **texts, groups=_regrouped(before.details.groups, groups))
        new = replace(before, details=details, **dates)  # type: ignore[arg-type]  # checked
        new = replace(new, status=Status(status)) if status else new
        kept = moments.get("retain_until")
        wrong = misfits(new.valid_from, new.valid_until, kept, call.context.now())
        if wrong:
            raise field_errors({name: [sentence] for name, sentence in wrong})
        return new

    def work() -> Subject:
        return call.context.device.store.people.patch(known(call).session_number, changed, actor=call.actor)

    return answer(about(await call.run(work), whole=True))


def _changed_text(name: str, value: Any, errors: dict[str, list[str]]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        errors[name] = [f"Want a text of at most {LONGEST_TEXT} characters, or null."]
        return None
    if objection(value.strip()):
        errors[name] = [UNSEEN]
        return None
    return value.strip() or None


def _changed_groups(name: str, value: Any, errors: dict[str, list[str]]) -> tuple[str, ...]:
    if not isinstance(value or [], list) or not all(isinstance(one, str) for one in value or ()):
        errors[name] = ["Want a list of names, or null."]
        return ()
    try:
        return read_groups(value or ())
    except ValueError as error:
        errors[name] = [as_sentence(str(error))]
        return ()


def _regrouped(before: tuple[str, ...], changes: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the groups of a person after a change; what else is in `before` by now stays where some are added."""
    kept = set(changes.get("groups", before)) - set(changes.get("remove_groups", ()))
    try:
        return read_groups(kept | set(changes.get("add_groups", ())))
    except ValueError as error:  # too many with those that are there
        raise field_errors({"add_groups": [as_sentence(str(error))]}) from None


def _changed_moment(name: str, value: Any, errors: dict[str, list[str]]) -> float | None:
    if value is None:
        return None
    try:
        return read_moment(value if isinstance(value, str) else "")
    except ValueError as error:
        errors[name] = [str(error)]
        return None


async def _listed(call: Call, act: Callable[..., Subject]) -> Response:
    def work() -> Subject:
        known(call)
        return act(call.number(), actor=call.actor)

    return answer(about(await call.run(work), whole=True))


async def block_person(call: Call) -> Response:
    """Put a person on the blocklist."""
    reason = (await call.json()).get("reason") if int(call.request.headers.get("content-length") or 0) else None
    if reason is not None and (not isinstance(reason, str) or len(reason) > LONGEST_TEXT):
        raise field_errors({"reason": [f"Want a text of at most {LONGEST_TEXT} characters."]})
    device, why = call.context.device, (reason or "").strip() or None
    return await _listed(call, partial(blocking, device.store, device.outgoing, reason=why))


async def unblock_person(call: Call) -> Response:
    """Take a person off the blocklist."""
    return await _listed(call, call.context.device.store.people.unblock)


async def allow_person(call: Call) -> Response:
    """Put a person on the allowlist."""
    return await _listed(call, call.context.device.store.people.allow)


async def disallow_person(call: Call) -> Response:
    """Take a person off the allowlist."""
    return await _listed(call, call.context.device.store.people.disallow)


async def forget_person(call: Call) -> Response:
    """Erase a person; the answer is the signed receipt, byte for byte what was signed.

    With wait=false it comes once the rows are gone, and the receipt is asked for later.
    """
    is_waiting = call.flag("wait") is not False

    def work() -> tuple[str | None, str]:
        known(call)
        people, number = call.context.device.store.people, call.number()
        if not is_waiting:
            session_id = people.erasures.erase(number, actor=call.actor)
            call.context.device.finder.follow()
            return None, session_id
        receipt = people.forget(number, actor=call.actor)
        call.context.device.finder.follow()
        call.context.forgotten()
        return receipt.text, receipt.session_id

    text, session_id = await call.run(work)
    if text is not None:
        return Response(text, media_type="application/json")
    call.context.proofs.want()
    return answer(_unproven(call.number(), session_id), 202)


async def show_receipt(call: Call) -> Response:
    """Return the receipt of somebody forgotten; 202 while the proof is under way."""

    def work() -> str | tuple[int, str] | None:
        people, number = call.context.device.store.people, call.number()
        receipt = people.erasures.receipt(str(number))
        if receipt is not None:
            return receipt.text
        session_id = people.erasures.awaits_proof(number)
        return None if session_id is None else (number, session_id)

    found = await call.run(work)
    if found is None:
        raise not_found()
    if isinstance(found, tuple):
        return answer(_unproven(*found), 202)
    return Response(found, media_type="application/json")


def _unproven(number: int, session_id: str) -> dict[str, Any]:
    return {
        "session_number": number,
        "session_id": session_id,
        "receipt": f"/device/subjects/{number}/receipt",
    }


SHORT = {"type": "string", "maxLength": LONGEST_TEXT}
MOMENT = {"type": "string", "format": "date-time"}
SUBJECT = named(
    "Person",
    closed(
        session_number=INTEGER,
        session_id=UUID,
        name=or_null(STRING),
        vendor_data=or_null(STRING),
        document_type=or_null(STRING),
        document_number=or_null(STRING),
        plan=or_null(STRING),
        groups=array(STRING),
        status=STATUS,
        is_blocklisted=BOOLEAN,
        is_allowlisted=BOOLEAN,
        block_reason=or_null(STRING),
        source=STRING,
        verification_date=TIME,
        valid_from=or_null(TIME),
        valid_until=or_null(TIME),
        retention_until=or_null(TIME),
        consent_version=or_null(STRING),
        consent_at=or_null(TIME),
        consent_language=or_null(STRING),
        references=INTEGER,
        images=INTEGER,
    ),
)
LISTED = named("ListedPerson", closed(**{**SUBJECT["properties"], "last_seen_at": or_null(TIME)}))
_ONE = {404: TEXT, 503: TEXT}
_PATH = "/device/subjects/{session_number}"
_RECEIPT = named("ErasureReceipt", closed(receipt=ANY_OBJECT, signature=STRING))
_LATER = named("ErasureUnderWay", closed(session_number=INTEGER, session_id=UUID, receipt=STRING))
_CHANGES = opened(
    {},
    **{name: or_null(SHORT) for name in TEXTS},
    **{name: or_null(array({"type": "string", "maxLength": LONGEST_GROUP})) for name in GROUPS},
    valid_from=or_null(MOMENT),
    valid_until=or_null(MOMENT),
    retain_until=MOMENT,
    status=STATUS,
)

NARROWED = (
    Parameter("is_blocklisted", "Only blocked people, or only others.", FLAG),
    Parameter("status", "Only people of this status.", STATUS),
    Parameter(
        "ends_within_days",
        "Only whose validity or retention ends by then, or has ended.",
        {"type": "integer", "minimum": 0, "maximum": MOST_DAYS},
    ),
    Parameter("group", "Only people of this group.", {"type": "string", "maxLength": LONGEST_GROUP}),
)

OPERATIONS = (
    Operation(
        "GET",
        "/device/subjects",
        list_people,
        "List people in the order of enrolment, or find them.",
        {
            200: named("People", closed(total=INTEGER, limit=INTEGER, offset=INTEGER, subjects=array(LISTED))),
            400: ANSWER_400,
            503: TEXT,
        },
        role=Role.OPERATOR,
        query=(
            Parameter(
                "q",
                "A part of the name, vendor_data or document number, or the whole session_number or session_id.",
                SHORT,
            ),
            *NARROWED,
            *PAGING,
        ),
    ),
    Operation(
        "GET",
        "/device/groups",
        list_groups,
        "List the groups that anybody is in, and how many people each has.",
        {200: named("Groups", closed(groups=array(named("Group", closed(name=STRING, people=INTEGER))))), 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation("GET", _PATH, show_person, "Show a person.", {200: LISTED, **_ONE}, role=Role.OPERATOR),
    Operation(
        "PATCH",
        _PATH,
        change_person,
        "Change the details of a person; null empties a field. Groups are replaced, or some added and removed.",
        {200: SUBJECT, 400: ANSWER_400, 408: TEXT, 413: TEXT, **_ONE},
        role=Role.OPERATOR,
        json=_CHANGES,
    ),
    Operation(
        "DELETE",
        _PATH,
        forget_person,
        "Erase a person; answers the signed receipt.",
        {200: _RECEIPT, 202: _LATER, 400: ANSWER_400, **_ONE},
        role=Role.OPERATOR,
        query=(Parameter("wait", "False: answer once the person is erased; the proof and the receipt follow.", FLAG),),
    ),
    Operation(
        "GET",
        _PATH + "/receipt",
        show_receipt,
        "Show the receipt of a person who was erased; 202 while it is being made.",
        {200: _RECEIPT, 202: _LATER, **_ONE},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        _PATH + "/block",
        block_person,
        "Put a person on the blocklist.",
        {200: SUBJECT, 400: ANSWER_400, 408: TEXT, 413: TEXT, **_ONE},
        role=Role.OPERATOR,
        json=opened({}, reason=SHORT),
    ),
    Operation(
        "DELETE",
        _PATH + "/block",
        unblock_person,
        "Take a person off the blocklist.",
        {200: SUBJECT, **_ONE},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        _PATH + "/allow",
        allow_person,
        "Put a person on the allowlist.",
        {200: SUBJECT, **_ONE},
        role=Role.OPERATOR,
    ),
    Operation(
        "DELETE",
        _PATH + "/allow",
        disallow_person,
        "Take a person off the allowlist.",
        {200: SUBJECT, **_ONE},
        role=Role.OPERATOR,
    ),
)

"""What was decided: lists, details with the record's check, the queue of reviews, the audit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from starlette.responses import Response, StreamingResponse

from kiosk.api.jobs import Job
from kiosk.api.operation import Call, Operation, Parameter, answer, field_errors, not_found, refusal
from kiosk.api.routes.considered import CONSIDERED, considered
from kiosk.api.routes.media import with_links
from kiosk.api.routes.people import SHORT
from kiosk.api.schema import (
    ANSWER_400,
    ANY_OBJECT,
    BOOLEAN,
    INTEGER,
    NUMBER,
    PAGING,
    STATUS,
    STRING,
    TEXT,
    TIME,
    Schema,
    array,
    closed,
    named,
    or_null,
)
from kiosk.device.lookalikes import audit as compare_everyone
from kiosk.device.reviews import review_call
from kiosk.device.site import as_dict as site_as_dict
from kiosk.didit import contract
from kiosk.errors import StoreError
from kiosk.rules.text import cell
from kiosk.store.accounts import Role, name_of
from kiosk.store.chain import DECISION_KINDS, Entry, Kind
from kiosk.store.decision_log import DecisionFilter, LoggedDecision
from kiosk.types import Status, SubjectId

LONGEST_REASON = 1000
AUDIT_ROWS = 100
KINDS = tuple(kind.value for kind in Kind)
STATUSES = tuple(status.value for status in Status)
VERDICTS: Mapping[str, Status] = {"approve": Status.APPROVED, "decline": Status.DECLINED}
COLUMNS = (
    "seq",
    "at",
    "kind",
    "status",
    "score",
    "request_id",
    "session_number",
    "warnings",
    "vendor_data",
    "clock",
    "actor",
)


class _Names:
    """Names of people and accounts as the store has them now, each looked up once for a call.

    One damaged row must not take a whole list away: whoever it names has no name then.
    """

    def __init__(self, call: Call) -> None:
        self._people, self._accounts = call.context.device.store.people, call.context.access.accounts
        self.person, self.actor = cache(self._person), cache(self._actor)

    def _person(self, number: SubjectId | None) -> str | None:
        """Return a person's name; None for a forgotten one."""
        try:
            subject = None if number is None else self._people.subject(number)
        except StoreError:
            return None
        return None if subject is None else subject.details.name

    def _actor(self, actor: str) -> str | None:
        """Return the name of whoever did something, an operator or a key, ended or not; None for the device itself."""
        return name_of(self._accounts, actor)


def _row(call: Call, one: LoggedDecision, names: _Names) -> dict[str, Any]:
    """Return a record for JSON; the name is the store's of now, so a forgotten person has none."""
    entry, store = one.entry, call.context.device.store
    return {
        "seq": entry.seq,
        "at": contract.timestamp(entry.at),
        "kind": entry.kind.value,
        "status": entry.status,
        "score": entry.score,
        "request_id": entry.request_id,
        "session_number": entry.session_number,
        "name": names.person(entry.session_number),
        "warnings": list(entry.warnings),
        "thresholds": dict(entry.thresholds),
        "model": entry.model,
        "gallery_size": entry.gallery_size,
        "clock": entry.clock.value,
        "actor": entry.actor or None,
        "actor_name": names.actor(entry.actor),
        "details": dict(entry.details),
        "vendor_data": one.vendor_data,
        "review": _review(store.log.review_of(entry.request_id), names),
        "unopened": _unopened(store.unopened(entry.request_id)),
    }


def _unopened(one: Entry | None) -> dict[str, Any] | None:
    """Return why an approval opened nothing."""
    if one is None:
        return None
    return {
        "why": one.details.get("why"),
        "states": list(one.details.get("states", ())),
        "at": contract.timestamp(one.at),
        "request_id": one.request_id,
    }


def _review(one: LoggedDecision | None, names: _Names) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "decision": one.entry.details.get("decision"),
        "at": contract.timestamp(one.entry.at),
        "actor": one.entry.actor or None,
        "actor_name": names.actor(one.entry.actor),
        "reason": (one.answer or {}).get("reason"),
    }


def _wanted(call: Call) -> DecisionFilter:
    kind = call.choice("kind", KINDS)
    return DecisionFilter(
        kinds=(Kind(kind),) if kind else tuple(sorted(DECISION_KINDS)),
        status=call.choice("status", STATUSES),
        vendor_data=call.word("vendor_data"),
        session_number=call.whole("session_number", default=-1, low=1, high=2**53)
        if call.word("session_number")
        else None,
        request_id=call.word("request_id"),
        date_from=call.moment("date_from"),
        date_to=call.moment("date_to"),
        why=call.word("why"),
    )


async def list_decisions(call: Call) -> Response:
    """List records of the log, newest first, as JSON or as CSV."""
    wanted = _wanted(call)
    store = call.context.device.store
    if call.choice("format", ("json", "csv")) == "csv":
        headers = {"Content-Disposition": 'attachment; filename="decisions.csv"'}
        return StreamingResponse(_csv(store.log.walk(wanted)), media_type="text/csv", headers=headers)
    limit, offset = call.page()

    def read() -> dict[str, Any]:
        page = store.log.page(wanted, limit=limit, offset=offset)
        names = _Names(call)
        rows = [_row(call, one, names) for one in page.decisions]
        return {"total": page.total, "limit": limit, "offset": offset, "decisions": rows}

    return answer(await call.run(read))


def _csv(found: Iterator[LoggedDecision]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    for one in found:
        entry = one.entry
        told = {
            "at": contract.timestamp(entry.at),
            "kind": entry.kind.value,
            "clock": entry.clock.value,
            "warnings": " ".join(entry.warnings),
            "vendor_data": one.vendor_data,
        }
        writer.writerow([cell(told.get(name, getattr(entry, name, None))) for name in COLUMNS])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()  # the headings, where nothing was found


async def show_decision(call: Call) -> Response:
    """Return one record with its answer and whether it still holds."""
    request_id = str(call.request.path_params["request_id"])
    store = call.context.device.store

    def read() -> dict[str, Any] | None:
        page = store.log.page(DecisionFilter(kinds=(), request_id=request_id), limit=1, offset=0)
        signed = store.log.signed(request_id)
        if not page.decisions or signed is None:
            return None
        one = page.decisions[0]
        row = _row(call, one, _Names(call))
        given = None if one.answer is None else with_links(store, dict(one.answer), call.base_url, call.context.now())
        receipt = {
            "seq": signed.seq,
            "hash": signed.hash.hex(),
            "signature": signed.signature.hex(),
            "holds": store.log.holds(signed),
        }
        about = {"record": row, "answer": given, "receipt": receipt, "review": row["review"]}
        return about | {"considered": considered(call, one)}

    found = await call.run(read)
    if found is None:
        raise not_found()
    return answer(found)


# ---- reviews


async def list_reviews(call: Call) -> Response:
    """List decisions that wait for an operator, the longest waiting first."""
    limit, offset = call.page()
    why, kind = call.word("why"), call.choice("kind", KINDS)

    def read() -> dict[str, Any]:
        page = call.context.device.store.log.waiting(
            limit=limit, offset=offset, why=why, kind=Kind(kind) if kind else None
        )
        names = _Names(call)
        rows = [_row(call, one, names) | {"considered": considered(call, one)} for one in page.decisions]
        return {"total": page.total, "reviews": rows}

    return answer(await call.run(read))


async def review_decision(call: Call) -> Response:
    """Approve or decline a decision; signed into the log, where the first decision stays as it was."""
    body = await call.json()
    verdict, reason = body.get("decision"), body.get("reason")
    if not isinstance(verdict, str) or verdict not in VERDICTS:
        raise field_errors({"decision": ['Want "approve" or "decline".']})
    if not isinstance(reason, str) or not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise field_errors({"reason": [f"Want a reason of 1 to {LONGEST_REASON} characters."]})
    request_id = str(call.request.path_params["request_id"])
    store = call.context.device.store

    def decide() -> dict[str, Any]:
        with call.context.reviewing:  # of two operators the second is told
            page = store.log.page(DecisionFilter(request_id=request_id), limit=1, offset=0)
            if not page.decisions:
                raise not_found()
            entry = page.decisions[0].entry
            if entry.status != Status.IN_REVIEW.value:
                raise refusal(409, f"This decision is {entry.status}; only a decision in review can be reviewed.")
            if store.log.review_of(request_id) is not None:
                raise refusal(409, "This decision was reviewed already.")
            first, status = page.decisions[0], VERDICTS[verdict].value
            review_call(call.context.device, first, status, reason=reason.strip(), actor=call.actor)
            return _row(call, page.decisions[0], _Names(call))

    return answer(await call.run(decide))


# ---- what a score means, and the audit


async def show_scale(call: Call) -> Response:
    """Return what scores stand for: by the shipped scale, within each group it was measured on, and at this site."""
    device, measured = call.context.device, call.context.scale_measured
    site = device.site_curve
    return answer(
        {
            "holds_from_age": measured.get("holds_from_age"),
            "groups": [{name: group.get(name) for name in SCALE_GROUP} for group in measured.get("group", ())],
            "missed": [{name: group.get(name) for name in MISSED_GROUP} for group in measured.get("missed", ())],
            "site": None if site is None else site_as_dict(device.scale, site),
        }
    )


async def begin_audit(call: Call) -> Response:
    """Begin to compare all people with each other."""
    device = call.context.device

    def work(job: Job) -> None:
        job.total = device.gallery.references
        job.outcome = {"report": compare_everyone(device, AUDIT_ROWS).as_dict()}
        job.done = job.total

    return answer({"id": call.context.jobs.start("audit", work).id}, 202)


async def show_audit(call: Call) -> Response:
    """Return how far an audit is, and what it found."""
    job = call.context.jobs.get("audit", str(call.request.path_params["id"]))
    if job is None:
        raise not_found()
    return answer({"report": None, **job.as_dict()})


SCALE_GROUP: dict[str, Schema] = {
    "name": STRING,
    "origin": or_null(STRING),
    "people": or_null(INTEGER),
    "non_mated": or_null(INTEGER),
    **dict.fromkeys(("fmr_50", "fmr_70", "bound_70", "fmr_90"), or_null(NUMBER)),
}
MISSED_GROUP: dict[str, Schema] = {
    "name": STRING,
    "origin": or_null(STRING),
    "people": or_null(INTEGER),
    "mated": or_null(INTEGER),
    **dict.fromkeys(("fnmr_70", "low_70", "high_70"), or_null(NUMBER)),
}
GROUP = named("ScaleGroup", closed(**SCALE_GROUP))
MISSED = named("MissedGroup", closed(**MISSED_GROUP))
SCALE = named(
    "Scale",
    closed(holds_from_age=or_null(NUMBER), groups=array(GROUP), missed=array(MISSED), site=or_null(ANY_OBJECT)),
)
REVIEW = named(
    "Review",
    closed(decision=STRING, at=TIME, actor=or_null(STRING), actor_name=or_null(STRING), reason=or_null(STRING)),
)
UNOPENED = named("Unopened", closed(why=STRING, states=array(STRING), at=TIME, request_id=STRING))
ROW = named(
    "Decision",
    closed(
        seq=INTEGER,
        at=TIME,
        kind={"type": "string", "enum": list(KINDS)},
        status=or_null(STRING),
        score=or_null(NUMBER),
        request_id=STRING,
        session_number=or_null(INTEGER),
        name=or_null(STRING),
        warnings=array(STRING),
        thresholds=ANY_OBJECT,
        model=or_null(STRING),
        gallery_size=or_null(INTEGER),
        clock=STRING,
        actor=or_null(STRING),
        actor_name=or_null(STRING),
        details=ANY_OBJECT,
        vendor_data=or_null(STRING),
        review=or_null(REVIEW),
        unopened=or_null(UNOPENED),
    ),
)
_CONSIDERED = named("Considered", closed(**CONSIDERED))
_WAITING = named(
    "WaitingDecision",
    closed(**{**ROW["properties"], "considered": _CONSIDERED}),
)
_RECEIPT = named("DecisionReceipt", closed(seq=INTEGER, hash=STRING, signature=STRING, holds=BOOLEAN))
JOB_STATE = {"title": "JobState", "type": "string", "enum": ["running", "done", "failed"]}
STARTED = named("StartedJob", closed(id=STRING))

OPERATIONS = (
    Operation(
        "GET",
        "/device/decisions",
        list_decisions,
        "List records of the log, newest first; with format=csv all that pass the filter, as a table.",
        {
            200: named("Decisions", closed(total=INTEGER, limit=INTEGER, offset=INTEGER, decisions=array(ROW))),
            400: ANSWER_400,
            503: TEXT,
        },
        role=Role.OPERATOR,
        query=(
            Parameter(
                "kind", "Only records of this kind; decisions when left out.", {"type": "string", "enum": list(KINDS)}
            ),
            Parameter("status", "Only decisions of this status.", STATUS),
            Parameter("date_from", "Only from this time on.", TIME),
            Parameter("date_to", "Only before this time.", TIME),
            Parameter("vendor_data", "Only with this identifier.", SHORT),
            Parameter("session_number", "Only about this person.", {"type": "integer", "minimum": 1, "maximum": 2**53}),
            Parameter("request_id", "Only this one.", SHORT),
            Parameter("why", "Only with this reason or warning, such as FACE_IN_BLOCKLIST.", SHORT),
            Parameter("format", "json or csv.", {"type": "string", "enum": ["json", "csv"]}),
            *PAGING,
        ),
        more_types=("text/csv",),
    ),
    Operation(
        "GET",
        "/device/decisions/{request_id}",
        show_decision,
        "Return one record with its answer, and whether it is signed and in its place.",
        {
            200: named(
                "DecisionWithReceipt",
                closed(
                    record=ROW,
                    answer=or_null(ANY_OBJECT),
                    receipt=_RECEIPT,
                    review=or_null(REVIEW),
                    considered=_CONSIDERED,
                ),
            ),
            404: TEXT,
            503: TEXT,
        },
        role=Role.OPERATOR,
    ),
    Operation(
        "GET",
        "/device/reviews",
        list_reviews,
        "List decisions that wait for an operator, the longest waiting first.",
        {200: named("Reviews", closed(total=INTEGER, reviews=array(_WAITING))), 400: ANSWER_400, 503: TEXT},
        role=Role.OPERATOR,
        query=(
            Parameter("why", "Only with this reason or warning, such as borderline.", SHORT),
            Parameter("kind", "Only of this kind.", {"type": "string", "enum": list(KINDS)}),
            *PAGING,
        ),
    ),
    Operation(
        "POST",
        "/device/reviews/{request_id}",
        review_decision,
        "Approve or decline a decision with a reason; signed into the log.",
        {200: ROW, 400: ANSWER_400, 404: TEXT, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        json=closed(
            decision={"type": "string", "enum": list(VERDICTS)},
            reason={"type": "string", "minLength": 1, "maxLength": LONGEST_REASON},
        ),
    ),
    Operation(
        "GET",
        "/device/scale",
        show_scale,
        "Return what scores stand for: within each group the shipped scale was measured on, and at this site.",
        {200: SCALE},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        "/device/audit",
        begin_audit,
        "Begin to compare all people with each other.",
        {202: STARTED, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "GET",
        "/device/audit/{id}",
        show_audit,
        "Return how far an audit is, and what it found.",
        {
            200: named(
                "Audit",
                closed(
                    id=STRING,
                    state=JOB_STATE,
                    done=INTEGER,
                    total=INTEGER,
                    sentence=or_null(STRING),
                    report=or_null(ANY_OBJECT),
                ),
            ),
            404: TEXT,
        },
        role=Role.OPERATOR,
    ),
)

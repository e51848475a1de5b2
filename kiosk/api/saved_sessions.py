"""Saved calls and enrolments as Didit's sessions: each id opens one of them, and each number means one.

A saved call is a session under its request_id, an enrolled person one under the session_id that a search's row names.
A person keeps the session_number of the enrolment; calls have numbers of their own, far above those of people. A call
by which somebody was enrolled is that person's session, and has its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from kiosk.api.operation import Call
from kiosk.api.routes.media import with_links
from kiosk.device.sessions.content import unpacked
from kiosk.device.sessions.report import decision
from kiosk.didit import contract
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, LoggedDecision
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.store.store import Store
from kiosk.store.subjects import Subject

KIND_BY_SERVICE: Mapping[str, Kind] = MappingProxyType(
    {
        kind.value: kind
        for kind in (
            *(Kind.FACE_MATCH, Kind.FACE_SEARCH, Kind.PASSIVE_LIVENESS, Kind.AGE_ESTIMATION),
            Kind.ID_VERIFICATION,
        )
    }
)
CALL_KINDS = (*KIND_BY_SERVICE.values(), Kind.SESSION)
PATH_BY_KIND = {
    Kind.FACE_MATCH: "face_match",
    Kind.FACE_SEARCH: "face_search",
    Kind.PASSIVE_LIVENESS: "liveness",
    Kind.AGE_ESTIMATION: "age_estimation",
    Kind.ID_VERIFICATION: "id_verification",
}
PLURALS = {
    "face_match": "face_matches",
    "face_search": "face_searches",
    "liveness": "liveness_checks",
    "age_estimation": "liveness_checks",  # Didit's own sessions have ages there
    "id_verification": "id_verifications",
}
FEATURES = {
    **{kind: kind.value for kind in KIND_BY_SERVICE.values()},
    Kind.PASSIVE_LIVENESS: "LIVENESS",
}  # Didit's words
LISTED = (
    *("session_id", "session_kind", "features", "status", "vendor_data", "created_at"),
    *("workflow_id", "callback", "expires_at"),
)
FIRST_CALL = 1_000_000_000
"""What is added to a call's place in the log: no device enrols so many people, and the sum fits 32 bits."""


def link_to(call: Call, limit: int, offset: int) -> str:
    """Return the address of another page of the list that is asked for."""
    query = [(name, text) for name, text in call.request.query_params.multi_items() if name not in {"limit", "offset"}]
    return f"{call.base_url}{call.operation.path}?{urlencode([*query, ('limit', limit), ('offset', offset)])}"


def find_call(store: Store, session_id: str) -> LoggedDecision | None:
    """Return a saved call; None where there is none of this id, or what it kept was erased."""
    found = store.log.page(DecisionFilter(kinds=CALL_KINDS, request_id=session_id, is_kept=True), limit=1, offset=0)
    return found.decisions[0] if found.decisions else None


def find_person(store: Store, session_id: str) -> Subject | None:
    """Return who was enrolled under this id; a number or a vendor_data is none."""
    return next((one for one in store.people.find(session_id) if one.session_id == session_id), None)


def status_of(store: Store, found: LoggedDecision | Subject) -> str | None:
    """Return the status that is shown: of a call the last reviewer's, where there was one."""
    if isinstance(found, Subject):
        return found.status.value
    reviewed = store.log.review_of(found.entry.request_id)
    return (reviewed or found).entry.status


def row_of(store: Store, one: LoggedDecision) -> dict[str, Any]:
    """Return what a list says of a saved call."""
    entry = one.entry
    person = find_person(store, entry.request_id)
    if entry.kind is Kind.SESSION:
        number = FIRST_CALL + int(entry.details["opened"]) if person is None else person.session_number
        of_answer = _listed(one.answer or {}, number)
        return {**of_answer, "status": status_of(store, one), **_reviews(store, entry.request_id)}
    return {
        "session_id": entry.request_id,
        "session_number": FIRST_CALL + entry.seq if person is None else person.session_number,
        "session_kind": "api",
        "api_service": entry.kind.value,
        "features": [FEATURES[entry.kind]],
        "status": status_of(store, one),
        "vendor_data": one.vendor_data,
        "created_at": (one.answer or {}).get("created_at") or contract.timestamp(entry.at),
        **_reviews(store, entry.request_id),
    }


def number_of(session: OpenSession) -> int:
    """Return the session_number of a session that is open; it keeps it, unless its person becomes known by it."""
    return FIRST_CALL + session.opened_seq


def open_rows(store: Store, wanted: DecisionFilter) -> list[dict[str, Any]]:
    """Return what a list says of the sessions that did not end, newest first."""
    rows = []
    for session in store.sessions.waiting():
        content = unpacked(session)
        is_wanted = (
            (not wanted.shown or content.status.value in wanted.shown)
            and wanted.vendor_data in {None, content.asked.vendor_data}
            and (wanted.date_from is None or content.created_at >= wanted.date_from)
            and (wanted.date_to is None or content.created_at < wanted.date_to)
        )
        if is_wanted:
            rows.append(_listed(decision(session, content, content.status), number_of(session)))
    return rows


def _listed(told: Mapping[str, Any], number: int) -> dict[str, Any]:
    row = {name: told[name] for name in LISTED if name in told}
    return {**row, "session_number": number, "api_service": None}


def decision_of(store: Store, session_id: str, *, base_url: str, now: float) -> dict[str, Any] | None:
    """Return a session as `GET /v3/session/{id}/decision/` does; None where there is none.

    Args:
        store: of the kiosk.
        session_id: of a call, or of an enrolled person.
        base_url: of the links to photographs.
        now: seconds UTC, from which the links live.
    """
    one = find_call(store, session_id)
    if one is not None and one.entry.kind is Kind.SESSION:
        return {**(one.answer or {}), **row_of(store, one)}
    if one is not None:
        saved = with_links(store, dict(one.answer or {}), base_url, now)
        name = PATH_BY_KIND[one.entry.kind]
        blocks = {PLURALS[name]: [saved[name]]}
        if one.entry.kind is Kind.FACE_SEARCH:  # where Didit's own sessions have whom a face was found among
            blocks["liveness_checks"] = [{part: saved[name][part] for part in ("status", "matches", "warnings")}]
        return {**saved, **row_of(store, one), **blocks}
    subject = find_person(store, session_id)
    if subject is not None:
        return _person(store, subject)
    session = store.sessions.by_id(session_id)
    if session is None or session.is_over:
        return None
    content = unpacked(session)
    told = decision(session, content, content.status)
    return {**told, **_listed(told, number_of(session))}


def _person(store: Store, subject: Subject) -> dict[str, Any]:
    """Return an enrolment: no more of it than a search's row shows."""
    details = subject.details
    return {
        "request_id": subject.session_id,
        "session_id": subject.session_id,
        "session_number": subject.session_number,
        "session_kind": "user",
        "api_service": None,
        "features": [],
        "status": subject.status.value,
        "vendor_data": details.vendor_data,
        "created_at": contract.timestamp(subject.verification_date),
        "user_details": {
            "name": details.name,
            "document_type": details.document_type,
            "document_number": contract.mask(details.document_number),
        },
        "is_blocklisted": subject.is_blocklisted,
        "is_allowlisted": subject.is_allowlisted,
        "source": subject.source,
        **_reviews(store, subject.session_id),
    }


def _reviews(store: Store, session_id: str) -> dict[str, Any]:
    reviewed = store.log.review_of(session_id)
    if reviewed is None:
        return {}
    return {
        "reviews": [
            {
                "user": reviewed.entry.actor,
                "new_status": reviewed.entry.status,
                "comment": (reviewed.answer or {}).get("reason"),
                "created_at": contract.timestamp(reviewed.entry.at),
            }
        ]
    }

"""What a reviewer is shown beside a decision: who it may be, and the crops that are kept until they have decided."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, not_found
from kiosk.api.routes.media import link
from kiosk.api.schema import BOOLEAN, INTEGER, NUMBER, STRING, TEXT, array, closed, named, or_null
from kiosk.errors import StoreError
from kiosk.store.accounts import Role
from kiosk.store.decision_log import DecisionFilter, LoggedDecision


def considered(call: Call, one: LoggedDecision) -> dict[str, Any]:
    """Return the people whom a decision may be about, best first, and which crops of faces are kept of it."""
    device = call.context.device
    request_id = one.entry.request_id
    candidates = [_candidate(call, row) for row in _rows(one)]
    return {
        "candidates": [row for row in candidates if row is not None],
        "images": {
            name: f"/device/reviews/{request_id}/images/{name}"
            for name in device.store.review_images.names(one.entry.seq)
        },
        "keeps_probe": device.config.review.keep_probe,
    }


def _rows(one: LoggedDecision) -> list[dict[str, Any]]:
    answer = dict(one.answer or {})
    door = answer.get("identify") or answer.get("verify")
    if isinstance(door, dict):
        return [row for row in (door.get("match"), *door.get("others", ())) if isinstance(row, dict)]
    found = answer.get("face_search")
    return [row for row in found["matches"] if isinstance(row, dict)] if isinstance(found, dict) else []


def _candidate(call: Call, row: dict[str, Any]) -> dict[str, Any] | None:
    """Return a person of an answer as the store has them now; None for whoever is not of this device, or damaged."""
    store, number = call.context.device.store, row.get("session_number")
    try:
        subject = store.people.subject(number) if isinstance(number, int) else None
    except StoreError:  # one row must not take the list of all reviews away
        return None
    if subject is None or subject.session_id != row.get("session_id"):
        return None
    return {
        "session_number": subject.session_number,
        "name": subject.details.name,
        "score": row.get("similarity_percentage"),
        "is_blocklisted": subject.is_blocklisted,
        "photograph": link(store, subject.session_number, call.context.now()) if subject.images else None,
    }


async def show_image(call: Call) -> Response:
    """Return a crop as JPEG."""
    request_id, name = (str(call.request.path_params[part]) for part in ("request_id", "name"))
    store = call.context.device.store

    def read() -> bytes | None:
        page = store.log.page(DecisionFilter(request_id=request_id), limit=1, offset=0)
        return store.review_images.read(page.decisions[0].entry.seq, name) if page.decisions else None

    jpeg = await call.run(read)
    if jpeg is None:
        raise not_found()
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


CONSIDERED = {
    "candidates": array(
        named(
            "ReviewCandidate",
            closed(
                session_number=INTEGER,
                name=or_null(STRING),
                score=or_null(NUMBER),
                is_blocklisted=BOOLEAN,
                photograph=or_null(STRING),
            ),
        )
    ),
    "images": {"type": "object", "additionalProperties": STRING},
    "keeps_probe": BOOLEAN,
}

OPERATIONS = (
    Operation(
        "GET",
        "/device/reviews/{request_id}/images/{name}",
        show_image,
        "Return the crop of a face that is kept until its decision is reviewed: probe, or reference.",
        {200: None, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        media_type="image/jpeg",
    ),
)

"""How a session is told: to whoever made it as Didit words a decision, to its person as little as the page needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kiosk.device.sessions.content import Content
from kiosk.didit import contract
from kiosk.rules.workflow import SessionStatus, Step
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.store.subjects import Details

MISMATCH: Mapping[str, str] = {
    "risk": "EXPECTED_DETAILS_MISMATCH",
    "log_type": "warning",
    "short_description": "Expected details mismatch",
    "long_description": "The document says otherwise than the details that were expected.",
}
LIVENESS_STEPS = (Step.LIVENESS, Step.AGE_ESTIMATION)
_EXPECTED = {"identification_number": "document_number"}  # the other fields have the document's own names


def decision(session: OpenSession, content: Content, status: SessionStatus) -> dict[str, Any]:
    """Return a session as `GET /v3/session/{id}/decision/` has it, without its number.

    Blocks of steps that were not taken are empty; those that the workflow does not have are left out.
    """
    asked, results = content.asked, content.results
    body: dict[str, Any] = {
        "request_id": session.session_id,
        "session_id": session.session_id,
        "session_kind": "user",
        "workflow_id": asked.workflow_id,
        "features": [step.feature for step in asked.steps],
        "status": status.value,
        "vendor_data": asked.vendor_data,
        "metadata": asked.metadata,
        "callback": asked.callback,
        "created_at": contract.timestamp(content.created_at),
        "expires_at": contract.timestamp(session.expires_at),
    }
    checks = [_node(step, results[step]) for step in LIVENESS_STEPS if step in results]
    search = results.get(Step.FACE_SEARCH)
    if search is not None and checks:  # where Didit's own sessions have whom a face was found among
        checks[0] = {**checks[0], "matches": search["matches"]}
    blocks: dict[str, Sequence[Any]] = {}
    if any(step in asked.steps for step in LIVENESS_STEPS):
        blocks["liveness_checks"] = checks
    for step, name in (
        (Step.FACE_SEARCH, "face_searches"),
        (Step.ID_VERIFICATION, "id_verifications"),
        (Step.FACE_MATCH, "face_matches"),
    ):
        if step in asked.steps:
            blocks[name] = [_node(step, results[step])] if step in results else []
    warnings = [dict(MISMATCH)] if differs(content) else []
    return {**body, **blocks, "warnings": warnings}


def _node(step: Step, block: Mapping[str, Any]) -> dict[str, Any]:
    return {"node_id": f"feature_{step.value}", **block}


def differs(content: Content) -> bool:
    """Say whether the document says otherwise than the caller expects; a field that it does not have differs."""
    document = content.results.get(Step.ID_VERIFICATION)
    if document is None:
        return False
    return any(
        _plain(document.get(_EXPECTED.get(name, name))) != _plain(text)
        for name, text in content.asked.expected_details.items()
    )


def _plain(text: Any) -> str:
    return "".join(sign for sign in str(text or "").casefold() if sign.isalnum())


def details(content: Content) -> Details:
    """Return what a session's document says of its person, for a session that later searches find."""
    document = content.results.get(Step.ID_VERIFICATION) or {}
    name = document.get("full_name") or " ".join(
        str(document[part]) for part in ("first_name", "last_name") if document.get(part)
    )
    return Details(
        name=name or None,
        vendor_data=content.asked.vendor_data,
        document_type=document.get("document_type"),
        document_number=document.get("document_number"),
    )


def risks(blocks: Mapping[Step, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the risks of all steps, each once."""
    return tuple(dict.fromkeys(one["risk"] for block in blocks.values() for one in block.get("warnings", ())))

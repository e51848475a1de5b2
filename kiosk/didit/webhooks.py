"""Webhooks worded and signed as Didit's own: `X-Signature-V2`, HMAC-SHA256 over canonical JSON, and `X-Timestamp`.

`X-Signature`, over the bytes as sent, and `X-Signature-Simple`, over time, session and status, are sent beside it for
receivers that check those; the kiosk itself believes the first alone.

Canonical: keys sorted to the depth, no blanks, text as UTF-8, and a float without a fraction written as an integer.
The time that is signed stands in the body as `timestamp`; the header repeats it, and both must be of now.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from kiosk.errors import RefusedError

MOST_AGE_S = 300
HEX_DIGITS = 64
STATUS_UPDATED = "status.updated"
SIMPLE = ("session_id", "status", "webhook_type")  # what X-Signature-Simple signs after the time


def canonical(value: Any) -> bytes:
    """Return the bytes that are signed.

    >>> canonical({"b": 2.0, "a": "é", "c": [0.5, True]}).decode()
    '{"a":"é","b":2,"c":[0.5,true]}'
    """
    text = json.dumps(_shortened(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _shortened(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _shortened(one) for key, one in value.items()}
    return [_shortened(one) for one in value] if isinstance(value, list) else value


def envelope(
    *,
    event_id: str,
    session_id: str,
    status: str,
    created_at: float,
    application_id: str,
    vendor_data: str | None,
    metadata: Mapping[str, Any] | None,
    decision: Mapping[str, Any],
    workflow_id: str | None = None,
) -> dict[str, Any]:
    """Return what Didit's webhooks say of a session that has a new status; `signed` adds the time of sending.

    Args:
        event_id: the same each time the webhook is sent, so that its receiver knows it again.
        session_id: of the call; for a review of the call that it is about.
        status: the new one.
        created_at: of the event, s UTC.
        application_id: the kiosk's own id.
        vendor_data: the caller's.
        metadata: the caller's.
        workflow_id: of a session of several steps.
        decision: what is known of it, as `GET /v3/session/{id}/decision/` has it, or a part of that.
    """
    return {
        "event_id": event_id,
        "webhook_type": STATUS_UPDATED,
        "created_at": int(created_at),
        "application_id": application_id,
        "environment": "live",
        "session_id": session_id,
        "status": status,
        "workflow_id": workflow_id,
        "vendor_data": vendor_data,
        "metadata": None if metadata is None else dict(metadata),
        "decision": {"session_id": session_id, "status": status, "vendor_data": vendor_data, **decision},
    }


def signed(payload: Mapping[str, Any], secret: str, *, at: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a webhook, signed at a time (s UTC) in each of Didit's three ways."""
    body = canonical({**payload, "timestamp": at})
    simple = ":".join(str(one) for one in (at, *(payload.get(name, "") for name in SIMPLE)))
    return body, {
        "content-type": "application/json",
        "x-signature-v2": _hmac(secret, body),  # of the canonical JSON, however it is written on its way
        "x-signature": _hmac(secret, body),  # of the bytes as they are sent, which here are the canonical ones
        "x-signature-simple": _hmac(secret, simple.encode()),
        "x-timestamp": str(at),
    }


def _hmac(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def verified(body: bytes, headers: Mapping[str, str], secret: str, *, now: float) -> dict[str, Any]:
    """Return what a webhook says, if whoever knows the secret signed it within the last minutes.

    Args:
        body: as it came.
        headers: with names in any case.
        secret: shared with the sender.
        now: s UTC.

    Raises:
        RefusedError: it is not signed, changed, or of another time.
    """
    small = {name.lower(): text for name, text in headers.items()}
    try:
        said = json.loads(body.decode("utf-8"), parse_constant=_refuse)
        expected = _hmac(secret, canonical(said))
    except (ValueError, RecursionError):
        raise RefusedError("the webhook's body is not JSON") from None
    given = small.get("x-signature-v2", "").lower()
    if not isinstance(said, dict) or len(given) != HEX_DIGITS or not given.isascii():
        raise RefusedError("the webhook is not signed (X-Signature-V2)")
    if not hmac.compare_digest(expected, given):
        raise RefusedError("the webhook's signature is wrong")
    at = said.get("timestamp", said.get("created_at"))
    if type(at) is not int or small.get("x-timestamp") != str(at):
        raise RefusedError("the webhook's X-Timestamp is missing, or not the one that was signed")
    if not now - MOST_AGE_S <= at <= now + MOST_AGE_S:  # no subtraction: it may have any number of digits
        raise RefusedError("the webhook is of another time; is the clock right?")
    return said


def _refuse(constant: str) -> None:
    raise ValueError(constant)

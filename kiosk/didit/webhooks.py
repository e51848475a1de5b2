"""Webhooks signed as Didit signs its own: `X-Signature-V2`, HMAC-SHA256 over canonical JSON, and `X-Timestamp`.

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


def signed(payload: Mapping[str, Any], secret: str, *, at: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a webhook, signed at a time (s UTC)."""
    body = canonical({**payload, "timestamp": at})
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {"content-type": "application/json", "x-signature-v2": signature, "x-timestamp": str(at)}


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
        expected = hmac.new(secret.encode(), canonical(said), hashlib.sha256).hexdigest()
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

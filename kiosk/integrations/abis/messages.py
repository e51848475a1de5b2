"""The requests that MOSIP sends to an ABIS, and the answers it takes: JSON, every value a string.

Source: MOSIP documentation, "ABIS API", version 0.9 (request and answer structures, return codes, failure reasons).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kiosk.didit.contract import timestamp
from kiosk.rules.text import objection

LARGEST_BYTES = 4 << 20  # a request with a gallery of 65,000 ids; biometrics come by their URL
LONGEST_ID = 256
SUCCESS, FAILED = "1", "2"
VERSION = "1.1"
FACE = "FID"  # MOSIP's word for the modality
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


class Operation(Enum):
    """What MOSIP may ask for."""

    INSERT = "mosip.abis.insert"
    IDENTIFY = "mosip.abis.identify"
    DELETE = "mosip.abis.delete"
    PING = "mosip.abis.ping"
    PENDING_JOBS = "mosip.abis.pendingJobs"
    REFERENCE_COUNT = "mosip.abis.referenceCount"


class Failure(Enum):
    """MOSIP's failure reasons."""

    INTERNAL_ERROR = "1"
    ABORTED = "2"
    UNEXPECTED_ERROR = "3"
    INVALID_STRUCTURE = "4"
    NO_REFERENCE_ID = "5"
    NO_REQUEST_ID = "6"
    NOT_FETCHED = "7"
    NO_REFERENCE_URL = "8"
    NO_REQUEST_TIME = "9"
    EXISTS_ALREADY = "10"
    NO_DATA = "11"
    NOT_FOUND = "12"
    INVALID_VERSION = "13"
    INVALID_ID = "14"
    INVALID_REQUEST_TIME = "15"
    INVALID_CBEFF = "16"
    EXPIRED = "17"
    POOR_QUALITY = "18"


class AbisError(Exception):
    """A request that is answered with a failure reason."""

    def __init__(self, reason: Failure) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """What MOSIP asks for, checked."""

    operation: Operation
    request_id: str
    reference_id: str = ""
    reference_url: str = ""
    gallery: tuple[str, ...] | None = None  # None: everybody
    most: int | None = None
    target_fpir: float | None = None  # share of searches for strangers that may list anybody


@dataclass(frozen=True, slots=True)
class Match:
    """Somebody who was found."""

    reference_id: str
    score: float  # 0..100
    cosine: float


def read_envelope(raw: bytes) -> dict[str, Any]:
    """Return the fields of a message; whatever is wrong inside is `read_request`'s to tell.

    Raises:
        AbisError: it is no JSON object, so that nobody can be answered.
    """
    if len(raw) > LARGEST_BYTES:
        raise AbisError(Failure.INVALID_STRUCTURE)
    try:
        plain = json.loads(raw)
    except (ValueError, RecursionError):
        raise AbisError(Failure.INVALID_STRUCTURE) from None
    if not isinstance(plain, dict):
        raise AbisError(Failure.INVALID_STRUCTURE)
    return plain


def read_request(plain: Mapping[str, Any]) -> Request:
    """Check a message's fields.

    Raises:
        AbisError: with the first reason that holds.
    """
    try:
        operation = Operation(plain.get("id"))
    except ValueError:
        raise AbisError(Failure.INVALID_ID) from None
    if plain.get("version") != VERSION:
        raise AbisError(Failure.INVALID_VERSION)
    request_id = _text(plain, "requestId", Failure.NO_REQUEST_ID)
    if not _TIME.fullmatch(_text(plain, "requesttime", Failure.NO_REQUEST_TIME)):
        raise AbisError(Failure.INVALID_REQUEST_TIME)
    match operation:
        case Operation.INSERT:
            reference_id = _text(plain, "referenceId", Failure.NO_REFERENCE_ID)
            return Request(operation, request_id, reference_id, _text(plain, "referenceURL", Failure.NO_REFERENCE_URL))
        case Operation.DELETE:
            return Request(operation, request_id, _text(plain, "referenceId", Failure.NO_REFERENCE_ID))
        case Operation.IDENTIFY:
            return _identify(plain, request_id)
        case _:
            return Request(operation, request_id)


def _identify(plain: Mapping[str, Any], request_id: str) -> Request:
    reference_id, url = (_optional(plain, name) for name in ("referenceId", "referenceURL"))
    url = url or _optional(plain, "referenceUrl")  # the specification's older spelling
    if not reference_id and not url:
        raise AbisError(Failure.NO_REFERENCE_ID)
    flags = plain.get("flags") or {}
    gallery = plain.get("gallery")
    if not isinstance(flags, dict) or not isinstance(gallery, dict | None):
        raise AbisError(Failure.INVALID_STRUCTURE)
    listed = None
    if gallery is not None and gallery.get("referenceIds") is not None:
        rows = gallery["referenceIds"]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise AbisError(Failure.INVALID_STRUCTURE)
        listed = tuple(_text(row, "referenceId", Failure.INVALID_STRUCTURE) for row in rows)
    most, decibel = _number(flags, "maxResults"), _number(flags, "targetFPIR")
    return Request(
        Operation.IDENTIFY,
        request_id,
        reference_id,
        url,
        listed,
        None if most is None else max(1, int(most)),
        None if decibel is None else fpir_of(decibel),
    )


def fpir_of(decibel: float) -> float:
    """Return the rate that MOSIP writes as -10 log10 of it.

    >>> fpir_of(30)
    0.001
    """
    return float(10 ** (-decibel / 10))


def _text(plain: Mapping[str, Any], name: str, missing: Failure) -> str:
    found = plain.get(name)
    if found is None or (isinstance(found, str) and not found.strip()):  # the store knows nobody by blanks
        raise AbisError(missing)
    if not isinstance(found, str) or objection(found) or (name != "referenceURL" and len(found) > LONGEST_ID):
        raise AbisError(Failure.INVALID_STRUCTURE)
    return found


def _optional(plain: Mapping[str, Any], name: str) -> str:
    found = plain.get(name)
    return "" if found is None or found == "" else _text(plain, name, Failure.INVALID_STRUCTURE)


def _number(flags: Mapping[str, Any], name: str) -> float | None:
    """Return a flag; MOSIP writes numbers as text, and an empty one is none."""
    found = flags.get(name)
    if found is None or found == "":
        return None
    try:
        value = float(found) if isinstance(found, (str, int, float)) and not isinstance(found, bool) else -1.0
    except (ValueError, OverflowError):
        value = -1.0
    if not 0.0 <= value <= 1e6:  # noqa: PLR2004  more people than any answer lists
        raise AbisError(Failure.INVALID_STRUCTURE)
    return value


# ---- answers


def answer(operation: str, request_id: str, at: float, **more: object) -> dict[str, object]:
    """Return an answer that says success."""
    return {
        "id": operation,
        "requestId": request_id,
        "responsetime": timestamp(at)[:-4] + "Z",  # milliseconds
        "returnValue": SUCCESS,
        **more,
    }


def failure(plain: Mapping[str, Any], at: float, reason: Failure) -> dict[str, object]:
    """Return an answer that says why not, to whatever message came."""
    operation, request_id = (plain[name] if isinstance(plain.get(name), str) else "" for name in ("id", "requestId"))
    return {**answer(operation, request_id, at), "returnValue": FAILED, "failureReason": reason.value}


def candidates(found: Sequence[Match], *, threshold: float, fpir: float) -> dict[str, object]:
    """Return the list of candidates as MOSIP takes it, best first.

    Args:
        found: who.
        threshold: the score from which on somebody is listed.
        fpir: how often a stranger's search lists anybody at this threshold, as the model's curve has it.
    """
    rows = []
    for one in found:
        analytics = {"confidence": f"{one.score:g}", "internalScore": f"{one.cosine:.4f}"}
        modality = {"biometricType": FACE, "analytics": dict(analytics)}
        rows.append({"referenceId": one.reference_id, "analytics": analytics, "modalities": [modality]})
    about = {"threshold": f"{threshold:g}", "statedFPIR": f"{fpir:.2g}"}
    return {"candidateList": {"count": str(len(rows)), "candidates": rows, "analytics": about}}

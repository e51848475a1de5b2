"""Didit's wire shapes: what a decision looks like as JSON, and what a request may say.

The seeds' shape, field for field; what the newer contract adds (`vendor_data`, `metadata`, `source`,
`is_allowlisted`) is added, nothing is renamed or dropped. Keys prefixed by nothing of ours: what only this
device knows stands under `device`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from kiosk.recognition.match import MatchDecision, SearchDecision
from kiosk.types import Entity, LogType, Risk, Sample, Status, Warned

MASK = "***"
UNMASKED = 3  # characters of a document number that an answer shows
LONGEST_VENDOR_DATA = 1000  # characters; in UTF-8 and percent-encoded it still fits into a request line
FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+")

SENTENCES: Mapping[Risk, tuple[str, str]] = {
    Risk.NO_REFERENCE_IMAGE: (
        "No reference image",
        (
            "A reference image or face image for facial comparison is missing, preventing the system from completing "
            "the face matching process."
        ),
    ),
    Risk.NO_FACE_DETECTED: ("No face detected", "No face could be detected in the provided image."),
    Risk.LOW_FACE_MATCH_SIMILARITY: (
        "Low face match similarity",
        (
            "The facial features of the provided image don't closely match the reference image, suggesting a potential "
            "identity mismatch."
        ),
    ),
    Risk.FACE_IN_BLOCKLIST: (
        "Face in blocklist",
        "The system identified a face in the blocklist, which means the face is not allowed to be verified.",
    ),
    Risk.MULTIPLE_FACES_DETECTED: (
        "Multiple faces detected",
        "Multiple faces were detected in the provided image, making it unclear which face to use.",
    ),
    Risk.LOW_LIVENESS_SCORE: (
        "Low liveness score",
        (
            "The liveness check resulted in a low score, indicating potential use of non-live facial representations "
            "or poor-quality biometric data."
        ),
    ),
    Risk.LIVENESS_FACE_ATTACK: (
        "Liveness Face Attack",
        "The system detected a potential attempt to bypass the liveness check.",
    ),
    Risk.DUPLICATED_FACE: (
        "Duplicated face",
        "The system identified the face of another approved session, which has another identifier.",
    ),
    Risk.AGE_BELOW_MINIMUM: (
        "Age below minimum",
        "The age of the face is below the minimum age threshold for the application.",
    ),
    Risk.AGE_NOT_DETECTED: ("Age not detected", "The age of the face could not be estimated."),
    Risk.AGE_BELOW_SCALE: (
        "Age below scale",
        (
            "A face is estimated to be younger than the people the score scale was measured on. Children resemble one "
            "another more, so the score stands for more false matches than it says."
        ),
    ),
    Risk.DOCUMENT_EXPIRED: ("Document expired", "The expiration date of the document has passed."),
    Risk.NAME_NOT_DETECTED: ("Name not detected", "The holder's name could not be read from the document for certain."),
    Risk.DATE_OF_BIRTH_NOT_DETECTED: (
        "Date of birth not detected",
        "The date of birth could not be read from the document for certain.",
    ),
    Risk.DOCUMENT_NUMBER_NOT_DETECTED: (
        "Document number not detected",
        "The document number could not be read from the document for certain.",
    ),
    Risk.EXPIRATION_DATE_NOT_DETECTED: (
        "Expiration date not detected",
        "The expiration date could not be read from the document for certain.",
    ),
    Risk.MRZ_VALIDATION_FAILED: (
        "MRZ validation failed",
        "The check digits of the machine-readable zone do not hold, or the zone could not be read.",
    ),
    Risk.DATA_INCONSISTENT: (
        "Data inconsistent",
        "The machine-readable zone and the barcode of the document do not say the same.",
    ),
    Risk.PORTRAIT_IMAGE_NOT_DETECTED: (
        "Portrait image not detected",
        "No portrait of the holder could be found on the document.",
    ),
    Risk.DOCUMENT_NOT_AUTHENTICATED: (
        "Document not authenticated",
        (
            "This device reads the machine-readable zone and the barcode and checks what they say. It does not check "
            "whether the document is authentic."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class MatchRow:
    """One person of a search's answer."""

    session_id: str
    session_number: int
    similarity_percentage: float
    verification_date: float  # seconds UTC
    status: str
    is_blocklisted: bool
    is_allowlisted: bool
    source: str
    vendor_data: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    document_type: str | None = field(default=None, repr=False)
    document_number: str | None = field(default=None, repr=False)  # whole; the answer masks it
    match_image_url: str | None = field(default=None, repr=False)


def timestamp(seconds: float) -> str:
    """Return a time as the contract writes it.

    >>> timestamp(1746105191.977806)
    '2025-05-01T13:13:11.977806Z'
    """
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def mask(document_number: str | None) -> str | None:
    """Hide a document number but for its end, and all of one so short that its end would tell it.

    >>> mask("AB123456"), mask("123"), mask(None)
    ('***456', '***', None)
    """
    if document_number is None:
        return None
    shown = document_number[-UNMASKED:] if len(document_number) > 2 * UNMASKED - 1 else ""
    return MASK + shown


def match_answer(
    decision: MatchDecision, user: Sample, reference: Sample, *, request_id: str, created_at: float, **echoed: Any
) -> dict[str, Any]:
    """Return the body of a face match's 200.

    Args:
        echoed: `vendor_data`, `metadata`: added where not None.
    """
    body = {
        "status": decision.status.value,
        "score": decision.score,
        "user_image": _image(user, age_as_text=False),
        "ref_image": _image(reference, age_as_text=False),
        "warnings": [_warning(warned) for warned in decision.warnings],
    }
    return _answer("face_match", body, request_id, created_at, echoed)


def search_answer(
    decision: SearchDecision,
    user: Sample,
    rows: Sequence[MatchRow],
    *,
    request_id: str,
    created_at: float,
    **echoed: Any,
) -> dict[str, Any]:
    """Return the body of a face search's 200."""
    body = {
        "status": decision.status.value,
        "total_matches": len(rows),
        "matches": [match_row(row) for row in rows],
        "user_image": _image(user, age_as_text=True),
        "warnings": [_warning(warned) for warned in decision.warnings],
    }
    return _answer("face_search", body, request_id, created_at, echoed)


def liveness_answer(
    status: Status,
    score: float,
    user: Sample,
    warnings: Sequence[Warned],
    *,
    quality: float | None,
    luminance: float | None,
    request_id: str,
    created_at: float,
    **echoed: Any,
) -> dict[str, Any]:
    """Return the body of a passive liveness' 200; quality and luminance are 0..100, null without a face."""
    body = {
        **_passive(status, score, user, warnings),
        "face_quality": quality,
        "face_luminance": luminance,
    }
    return _answer("liveness", body, request_id, created_at, echoed)


def age_answer(
    status: Status,
    score: float,
    user: Sample,
    warnings: Sequence[Warned],
    *,
    age: float | None,
    request_id: str,
    created_at: float,
    **echoed: Any,
) -> dict[str, Any]:
    """Return the body of an age estimation's 200; the score is of liveness, the age in years or null."""
    body = {
        **_passive(status, score, user, warnings),
        "age_estimation": age,
    }
    return _answer("age_estimation", body, request_id, created_at, echoed)


def _passive(status: Status, score: float, user: Sample, warnings: Sequence[Warned]) -> dict[str, Any]:
    return {
        "status": status.value,
        "method": "PASSIVE",
        "score": score,
        "user_image": _image(user, age_as_text=False),
        "warnings": [_warning(warned) for warned in warnings],
    }


def id_verification_answer(
    status: Status,
    body: Mapping[str, Any],
    warnings: Sequence[Warned],
    *,
    request_id: str,
    created_at: float,
    **echoed: Any,
) -> dict[str, Any]:
    """Return the body of an ID verification's 200.

    Args:
        body: what the document says, field by field.
    """
    told = {"status": status.value, **body, "warnings": [_warning(warned) for warned in warnings]}
    return _answer("id_verification", told, request_id, created_at, echoed)


def _answer(
    kind: str, body: Mapping[str, Any], request_id: str, created_at: float, echoed: Mapping[str, Any]
) -> dict[str, Any]:
    extra = {name: value for name, value in echoed.items() if value is not None}
    return {"request_id": request_id, kind: dict(body), "created_at": timestamp(created_at), **extra}


def _image(sample: Sample, *, age_as_text: bool) -> dict[str, Any]:
    return {
        "entities": [_entity(entity, age_as_text=age_as_text) for entity in sample.entities],
        "best_angle": sample.best_angle,
    }


def _entity(entity: Entity, *, age_as_text: bool) -> dict[str, Any]:
    return {
        # A number in a match, a text in a search: so the seeds have it, and clients parse it so.
        "age": f"{entity.age:.1f}" if age_as_text else round(entity.age, 2),
        "bbox": list(entity.bbox),
        "confidence": round(entity.confidence, 3),
        "gender": entity.gender,
    }


def match_row(row: MatchRow) -> dict[str, Any]:
    """Return one person of an answer, the document number masked."""
    return {
        "session_id": row.session_id,
        "session_number": row.session_number,
        "similarity_percentage": row.similarity_percentage,
        "vendor_data": row.vendor_data,
        "verification_date": timestamp(row.verification_date),
        "user_details": {
            "name": row.name,
            "document_type": row.document_type,
            "document_number": mask(row.document_number),
        },
        "match_image_url": row.match_image_url,
        "status": row.status,
        "is_blocklisted": row.is_blocklisted,
        "is_allowlisted": row.is_allowlisted,
        "source": row.source,
    }


def _warning(warned: Warned) -> dict[str, Any]:
    short, long = SENTENCES[warned.risk]
    more = {} if warned.additional is None else {"additional_data": dict(warned.additional)}
    return {
        "risk": warned.risk.value,
        "log_type": LogType(warned.log_type).value,
        "short_description": short,
        "long_description": long,
        **more,
    }


def parse_threshold(text: str) -> float:
    """Read a threshold: a number 0..100, such as `50`, `50.0` or `30.5`; a whole one is an int.

    Only digits and a point: what a program writes by mistake, such as `1e1`, `1_0` or digits of another script, is no
    number.

    Raises:
        ValueError: with the contract's sentence.

    >>> parse_threshold("50.0"), parse_threshold("30.5")
    (50, 30.5)
    """
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError("A valid number is required.")
    value = float(text)
    if not 0.0 <= value <= 100.0:  # noqa: PLR2004  the contract's range
        raise ValueError("Ensure this value is between 0 and 100.")
    return int(value) if value.is_integer() else value


def parse_boolean(text: str) -> bool:
    """Read a flag: true, false, 1, 0, yes, no, on or off in any case.

    Raises:
        ValueError: with the contract's sentence.

    >>> parse_boolean("TRUE"), parse_boolean("off")
    (True, False)
    """
    known = FLAGS.get(text.strip().lower())
    if known is None:
        raise ValueError("Must be a valid boolean.")
    return known


def parse_vendor_data(text: str) -> str:
    """Read the caller's identifier, which is the same text wherever it is given.

    Raises:
        ValueError: with a sentence for the sender.
    """
    if len(text) > LONGEST_VENDOR_DATA:
        raise ValueError(f"Ensure this field has no more than {LONGEST_VENDOR_DATA} characters.")
    if "\0" in text:
        raise ValueError("Null characters are not allowed.")
    return text


def parse_metadata(text: str) -> dict[str, Any]:
    """Read `metadata`: a JSON object in a text field.

    Raises:
        ValueError: with a sentence for the sender.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("Value must be valid JSON.") from None
    if not isinstance(value, dict):
        raise ValueError("Value must be a JSON object.")  # noqa: TRY004  the sender's mistake, not a programmer's
    return value

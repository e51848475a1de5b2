"""What speaks against a document: the checks that a device can make, each with its risk.

Approved means that these checks passed, and nothing more. Whether a document is authentic is not checked: that stands
in every answer as information.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from kiosk.documents.facts import DocumentFacts
from kiosk.types import LogType, Risk, Warned

DECLINE, NO_ACTION = "DECLINE", "NO_ACTION"
NOT_CHECKED = "authenticity, security features, tampering, printed fields outside the zone and the barcode"
UNPROTECTED = "names, nationality, issuing state and sex have no check digit of their own"


@dataclass(frozen=True, slots=True)
class Actions:
    """What follows from a finding that a caller may weigh: DECLINE or NO_ACTION."""

    invalid_mrz: str = DECLINE
    inconsistent_data: str = DECLINE
    expiration_date_not_detected: str = NO_ACTION


@dataclass(frozen=True, slots=True)
class Findings:
    """What was seen of a document beside its details."""

    failed: Sequence[str] = ()  # check digits that do not hold
    is_zone_unclear: bool = False  # a zone was seen and could not be read
    inconsistent: Sequence[str] = ()  # what zone and barcode say differently
    has_portrait: bool = True


def judge(facts: DocumentFacts, findings: Findings, actions: Actions, today: date) -> tuple[Warned, ...]:
    """Return what speaks against a document; it is declined exactly where one of these is an error."""
    found: list[Warned] = []

    def warn(risk: Risk, *, is_error: bool = True, **more: str) -> None:
        found.append(Warned(risk, LogType.ERROR if is_error else LogType.INFORMATION, _mapping(more)))

    if facts.expiration_date is not None and facts.expiration_date < today:
        warn(Risk.DOCUMENT_EXPIRED)
    if facts.full_name is None:
        warn(Risk.NAME_NOT_DETECTED)
    if facts.date_of_birth is None:
        warn(Risk.DATE_OF_BIRTH_NOT_DETECTED)
    if facts.document_number is None:
        warn(Risk.DOCUMENT_NUMBER_NOT_DETECTED)
    if facts.expiration_date is None:
        warn(Risk.EXPIRATION_DATE_NOT_DETECTED, is_error=actions.expiration_date_not_detected == DECLINE)
    if findings.failed or findings.is_zone_unclear:
        warn(
            Risk.MRZ_VALIDATION_FAILED,
            is_error=actions.invalid_mrz == DECLINE,
            failed=", ".join(findings.failed) or "not read for certain",
        )
    if findings.inconsistent:
        warn(
            Risk.DATA_INCONSISTENT,
            is_error=actions.inconsistent_data == DECLINE,
            fields=", ".join(findings.inconsistent),
        )
    if not findings.has_portrait:
        warn(Risk.PORTRAIT_IMAGE_NOT_DETECTED, is_error=False)
    warn(Risk.DOCUMENT_NOT_AUTHENTICATED, is_error=False, not_checked=NOT_CHECKED, unprotected=UNPROTECTED)
    return tuple(found)


def _mapping(more: Mapping[str, str]) -> Mapping[str, str] | None:
    return dict(more) if more else None

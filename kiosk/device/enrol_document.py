"""An enrolment filled from a document: who the person is, until when, and whether the portrait is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kiosk.device.device import Device
from kiosk.device.documents import DocumentReading
from kiosk.recognition.match import compare
from kiosk.store.subjects import Enrolment
from kiosk.types import LogType, Template


@dataclass(frozen=True, slots=True)
class FilledEnrolment:
    """An enrolment as its document fills it, for an operator to confirm; or why it is refused."""

    enrolment: Enrolment = field(repr=False)
    portrait_score: int | None  # 0..100 of the document's portrait and the person; None: there is no portrait
    refusal: str | None = None


def fill_enrolment(
    device: Device, enrolment: Enrolment, reading: DocumentReading | None, live: Sequence[Template]
) -> FilledEnrolment:
    """Return an enrolment with what its document says, where it does not say so itself.

    Args:
        device: whose scale and decline threshold.
        enrolment: as asked for; what it holds goes before the document.
        reading: of `read_document`; None where no document was recognised.
        live: of the person's own photographs.
    """
    if reading is None:
        return FilledEnrolment(enrolment, None, "no document was recognised: neither a zone nor a barcode was read")
    facts, details = reading.facts, enrolment.details
    filled = replace(
        enrolment,
        details=replace(
            details,
            name=details.name or facts.full_name,
            document_type=details.document_type or facts.document_type,
            document_number=details.document_number or facts.document_number,
        ),
        valid_until=enrolment.valid_until if enrolment.valid_until is not None else reading.valid_until,
    )
    score = None
    if reading.portrait is not None and live:
        score = max(device.scale.score(compare(reading.portrait.template, one)) for one in live)
    faults = [one.risk.value for one in reading.warnings if one.log_type is LogType.ERROR]
    if faults:
        return FilledEnrolment(filled, score, f"the document is declined: {', '.join(faults)}")
    decline = device.config.match.decline_threshold
    if score is not None and score < decline:
        return FilledEnrolment(filled, score, f"the portrait is somebody else's: score {score}, below {decline:g}")
    return FilledEnrolment(filled, score)

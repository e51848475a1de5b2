"""An enrolment filled from a document: who the person is, until when, and whether the portrait is theirs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kiosk.device.device import Device
from kiosk.device.documents import DocumentReading
from kiosk.recognition.match import compare
from kiosk.store.subjects import Enrolment
from kiosk.types import Template

SHOWN_S = 600.0  # the screen gives its visitor up after 90 s without a touch; nobody types for longer than this


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
    score = None if reading.portrait is None else score_portrait(device, reading.portrait.template, live)
    if reading.errors:
        return FilledEnrolment(filled, score, f"the document is declined: {', '.join(reading.errors)}")
    return FilledEnrolment(filled, score, objection_to_portrait(device, score))


def score_portrait(device: Device, portrait: Template, live: Sequence[Template]) -> int | None:
    """Return the best score, 0..100, of a document's portrait with a person's own pictures; None: there are none."""
    return max((device.scale.score(compare(portrait, one)) for one in live), default=None)


def objection_to_portrait(device: Device, score: int | None) -> str | None:
    """Say that a portrait is somebody else's, where its score says so; None: it may be theirs, or there is none."""
    decline = device.config.match.decline_threshold
    if score is None or score >= decline:
        return None
    return f"the portrait is somebody else's: score {score}, below {decline:g}"


class ShownPortrait:
    """The portrait of the document shown last at the kiosk, until its person is enrolled. Safe in several threads.

    It is held in memory alone, and only the newest one: who shows a document next takes the place of the one before.
    """

    def __init__(self) -> None:
        """Hold none yet."""
        self._lock = threading.Lock()
        self._held: tuple[str, Template, float] | None = None

    def hold(self, portrait: Template, now: float) -> str:
        """Hold a portrait, and return the name by which an enrolment asks for it; `now` is s, as in `find`."""
        name = str(uuid.uuid4())
        with self._lock:
            self._held = (name, portrait, now + SHOWN_S)
        return name

    def find(self, name: str, now: float) -> Template | None:
        """Return the portrait of this name; None where another was shown since, or its time is over."""
        with self._lock:
            if self._held is not None and now >= self._held[2]:
                self._held = None
            return self._held[1] if self._held is not None and self._held[0] == name else None

    def drop(self) -> None:
        """Hold none."""
        with self._lock:
            self._held = None

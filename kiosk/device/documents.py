"""A document read and judged: `/v3/id-verification/`, an enrolment by document, and the step of a session.

`read_document` is the one way in. It reads the machine-readable zone and the barcode, finds the portrait with the
kiosk's own detector, and says what speaks against the document. It never says that a document is genuine: that is not
checked.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any

import numpy as np

from kiosk.decoding.codes import Barcode, can_read_codes
from kiosk.device.device import Device
from kiosk.device.sessions.documents import DocumentReader, ReadDocument
from kiosk.didit import contract
from kiosk.documents import aamva
from kiosk.documents.facts import DocumentFacts, differing, facts_of_licence, facts_of_zone, merged
from kiosk.documents.judge import Actions, Findings, judge
from kiosk.documents.mrz import Mrz, MrzType, parse
from kiosk.documents.reading import ZoneReading, read_zone, vote
from kiosk.documents.resolve import ResolvedZone, resolve
from kiosk.errors import ModelFileError
from kiosk.recognition.image import crop, grey, laplacian, shrink
from kiosk.recognition.photo import DOCUMENT_BYTES, as_jpeg
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.types import Face, LogType, RgbImage, Status, Template, Warned

NOT_RECOGNISED = "COULD_NOT_RECOGNIZE_DOCUMENT"  # Didit's word
NO_READER = "This kiosk has no network that reads documents. `kiosk models check` on the device says what to mend."
PORTRAIT_MARGIN = 0.45  # of the face's longer edge, on each side
CODES_EDGE = 5000  # px; a larger picture is searched for barcodes at this size: of 48 million px it took 3 s
QUALITY_EDGE = 800  # px; at this size the figures are taken
SHARP = 300.0  # variance of the second derivative of a sharp picture of a document
TALL_ENOUGH = 1080  # px of the shorter edge, from which nothing more is gained


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One photograph of a document."""

    picture: RgbImage = field(repr=False)
    barcodes: tuple[Barcode, ...] = field(repr=False)  # none where nothing is installed that reads them


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """The holder's picture on a document."""

    jpeg: bytes = field(repr=False)
    template: Template = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class DocumentReading:
    """What a document says, and what speaks against it."""

    status: Status  # APPROVED or DECLINED
    facts: DocumentFacts
    warnings: tuple[Warned, ...]
    zone: Mrz | None
    resolved: ResolvedZone | None
    barcodes: tuple[Barcode, ...] = field(repr=False)
    portrait: Portrait | None
    quality: Mapping[str, float]  # 0..100 each, of the front

    @property
    def errors(self) -> list[str]:
        """Return the risks that it is declined for; none where it is approved."""
        return [one.risk.value for one in self.warnings if one.log_type is LogType.ERROR]

    @property
    def valid_until(self) -> float | None:
        """Return when the document expires: the end of its last day, s UTC."""
        last = self.facts.expiration_date
        return (
            None if last is None else datetime(last.year, last.month, last.day, tzinfo=timezone.utc).timestamp() + 86400
        )


def read_document(
    device: Device,
    front: bytes,
    back: bytes | None = None,
    *,
    actions: Actions = Actions(),  # noqa: B008  frozen
) -> DocumentReading | None:
    """Read and judge a document from photographs of it; keep nothing.

    Args:
        device: whose decoder, networks and clock.
        front: JPEG, PNG, WebP or TIFF, at most 10 MB, turned in any way.
        back: the same, of the other side.
        actions: what a finding that may be weighed leads to.

    Returns:
        None where no document was recognised: neither a zone nor a licence's barcode could be read.

    Raises:
        ImageError: a photograph is no picture we take.
        ModelFileError: the network that reads documents is not there, or failed.
    """
    return read_sides(
        device, [read_side(device, front)], [] if back is None else [read_side(device, back)], actions=actions
    )


def read_side(device: Device, photograph: bytes) -> Side:
    """Decode a photograph of a document and read its barcodes: all that is done to a sender's bytes, behind walls.

    Args:
        device: whose decoder.
        photograph: JPEG, PNG, WebP or TIFF, at most 10 MB.

    Raises:
        ImageError: it is no picture we take, or one that a decoder or a reader of codes crashed on or had no end with.
    """
    picture = device.decoder(photograph, most_bytes=DOCUMENT_BYTES)
    if not can_read_codes():
        return Side(picture, ())
    searched = shrink(picture, CODES_EDGE)[0] if max(picture.shape[:2]) > CODES_EDGE else picture
    return Side(picture, device.decoder.barcodes(grey(searched)))


def read_sides(
    device: Device,
    fronts: Sequence[Side],
    backs: Sequence[Side] = (),
    *,
    actions: Actions = Actions(),  # noqa: B008  frozen
) -> DocumentReading | None:
    """Do what `read_document` does with sides that were read; several pictures of one vote together.

    Args:
        device: see there.
        fronts: one or more.
        backs: as many as there are.
        actions: see there.
    """
    if device.zones is None:
        raise ModelFileError(NO_READER)
    today = datetime.fromtimestamp(device.now(), timezone.utc).date()
    found = [_zone_of(device, [side.picture for side in sides], today) for sides in (fronts, backs)]
    zone, resolved = max(
        (one for one in found if one is not None), key=lambda one: one[0].is_valid, default=(None, None)
    )
    barcodes = tuple(one for side in (*backs, *fronts) for one in side.barcodes)
    licence = next((one for one in map(aamva.parse, (code.text for code in barcodes)) if one is not None), None)
    if zone is None and licence is None:
        return None
    facts = DocumentFacts()
    inconsistent: tuple[str, ...] = ()
    if zone is not None and resolved is not None:
        facts = facts_of_zone(zone, resolved)
    if licence is not None:
        said = facts_of_licence(licence)
        inconsistent = differing(facts, said)
        facts = merged(facts, said)
    first = [sides[0].picture for sides in (fronts, backs) if sides]
    portrait = next((one for one in (find_portrait(device, picture) for picture in first) if one), None)
    findings = Findings(
        failed=() if zone is None else zone.failed,
        is_zone_unclear=resolved is not None and resolved.is_ambiguous,
        inconsistent=inconsistent,
        has_portrait=portrait is not None,
    )
    warnings = judge(facts, findings, actions, today)
    is_declined = any(one.log_type is LogType.ERROR for one in warnings)
    status = Status.DECLINED if is_declined else Status.APPROVED
    return DocumentReading(status, facts, warnings, zone, resolved, barcodes, portrait, _quality(fronts[0].picture))


def _zone_of(device: Device, pictures: Sequence[RgbImage], today: date) -> tuple[Mrz, ResolvedZone] | None:
    assert device.zones is not None
    readings: list[ZoneReading] = []
    for picture in pictures:
        reading = read_zone(picture, device.zones)
        if reading is not None:
            readings.append(reading)
    together = vote(readings)
    if together is None:
        return None
    resolved = resolve(together)
    zone = parse(resolved.lines, today)
    return None if zone is None else (zone, resolved)


def find_portrait(device: Device, image: RgbImage) -> Portrait | None:
    """Return the largest face of a document, upright; None where there is none."""
    faces, angle = device.recogniser.find_upright(image)
    if not faces:
        return None
    upright = device.recogniser.turn(image, angle)
    face: Face = device.recogniser.sharpen(upright, faces[0])
    jpeg = as_jpeg(np.ascontiguousarray(crop(upright, face.box, PORTRAIT_MARGIN)))
    return Portrait(jpeg, device.recogniser.extract(upright, face))


def _quality(image: RgbImage) -> dict[str, float]:
    small = shrink(image, QUALITY_EDGE)[0] if max(image.shape[:2]) > QUALITY_EDGE else image
    luma = grey(small).astype(np.float32)
    scores = {
        "focus_score": min(100.0, 100.0 * float(laplacian(luma).var()) / SHARP),
        "brightness_score": 100.0 - min(100.0, abs(float(luma.mean()) - 140.0) / 1.4),
        "glare_score": 100.0 * (1.0 - float((luma >= 250).mean())),  # noqa: PLR2004  saturated
        "resolution_score": min(100.0, 100.0 * min(image.shape[:2]) / TALL_ENOUGH),
    }
    return {name: round(score, 1) for name, score in scores.items()}


def answer_document(
    device: Device,
    reading: DocumentReading,
    *,
    save: bool = True,
    vendor_data: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    actor: str = "",
) -> dict[str, Any]:
    """Return the answer of Didit's ID Verification, once its decision is saved where it is to be.

    What is kept has no picture, no zone, and the document's numbers masked; the answer has all of it, once.

    Args:
        device: whose log.
        reading: of `read_document`.
        save: keep decision and answer.
        vendor_data: the caller's identifier.
        metadata: given back.
        actor: who asks, for the log.
    """
    request_id = str(uuid.uuid4())
    told: dict[str, Any] = {
        "request_id": request_id,
        "created_at": device.now(),
        "vendor_data": vendor_data,
        "metadata": metadata,
    }
    body = document_body(reading, datetime.fromtimestamp(device.now(), timezone.utc).date())
    answer = contract.id_verification_answer(reading.status, body, reading.warnings, **told)
    if save:
        decision = NewDecision(
            kind=Kind.ID_VERIFICATION,
            status=reading.status.value,
            warnings=tuple(one.risk.value for one in reading.warnings),
            vendor_data=vendor_data,
            answer=contract.id_verification_answer(reading.status, kept_of(body), reading.warnings, **told),
            request_id=request_id,
            actor=actor,
        )
        device.save(decision)
    return answer


def document_body(reading: DocumentReading, today: date) -> dict[str, Any]:
    """Return what Didit's answer says of a document, but status and warnings."""
    facts, portrait = reading.facts, reading.portrait
    return {
        "document_type": facts.document_type,
        "document_number": facts.document_number,
        "personal_number": facts.personal_number,
        "portrait_image": None if portrait is None else base64.b64encode(portrait.jpeg).decode(),
        "front_image": None,  # no picture is kept, and the caller has it
        "back_image": None,
        "front_image_quality_score": dict(reading.quality),
        "date_of_birth": _day(facts.date_of_birth),
        "age": facts.age_on(today),
        "expiration_date": _day(facts.expiration_date),
        "issuing_state": facts.issuing_state,
        "issuing_state_name": facts.issuing_state_name,
        "first_name": facts.first_name,
        "last_name": facts.last_name,
        "full_name": facts.full_name,
        "gender": facts.gender,
        "nationality": facts.nationality,
        "mrz": None if reading.zone is None else _zone_body(reading.zone, reading.resolved),
        "barcodes": [{"type": code.kind, "data": code.text} for code in reading.barcodes],
    }


def reader_of(device: Device) -> DocumentReader | None:
    """Return what reads documents for the sessions of a device; None where it has no network for it."""
    if device.zones is None:
        return None

    def read(front: bytes, back: bytes | None) -> ReadDocument | None:
        reading = read_document(device, front, back)
        if reading is None:
            return None
        body = document_body(reading, datetime.fromtimestamp(device.now(), timezone.utc).date())
        told = contract.id_verification_answer(reading.status, body, reading.warnings, request_id="", created_at=0.0)
        portrait = None if reading.portrait is None else reading.portrait.jpeg
        return ReadDocument(told["id_verification"], portrait)

    return read


def kept_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an answer is kept: no picture, no zone, no barcode, and the numbers masked."""
    masked = {name: contract.mask(body[name]) for name in ("document_number", "personal_number")}
    return {**body, **masked, "portrait_image": None, "mrz": None, "barcodes": []}


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _zone_body(zone: Mrz, resolved: ResolvedZone | None) -> dict[str, Any]:
    hashes = {f"{name}_hash": zone.hashes.get(name) for name in ("document_number", "birth_date", "expiry_date")}
    unread = sorted(resolved.doubtful) if resolved is not None else []
    return {
        "surname": zone.surname,
        "name": zone.given_names,
        "country": zone.country,
        "nationality": zone.nationality,
        "birth_date": zone.layout_text("birth_date"),
        "expiry_date": zone.layout_text("expiry_date"),
        "sex": zone.sex,
        "document_type": zone.document_type,
        "document_number": zone.document_number,
        "optional_data": zone.optional_data,
        "optional_data_2": zone.optional_data_2,
        **hashes,
        "optional_data_hash": zone.hashes.get("optional_data"),
        "final_hash": zone.hashes.get("final"),
        "personal_number": zone.optional_data if zone.kind is MrzType.TD3 else None,
        "warnings": [f"{name}: not read for certain" for name in unread],
        "errors": [f"{name}: the check digit does not hold" for name in zone.failed],
        "mrz_type": zone.kind.value,
        "mrz_string": zone.text,
    }

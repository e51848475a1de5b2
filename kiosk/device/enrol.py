"""A person enrolled: photographs are assessed, and their references stored unless something speaks against it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from kiosk.device.device import Device, Found, is_large_halved
from kiosk.errors import StoreError
from kiosk.recognition import quality
from kiosk.recognition.embed import fuse
from kiosk.recognition.formats.kinds import is_heic, is_jpeg_2000
from kiosk.recognition.match import compare
from kiosk.recognition.photo import as_jpeg
from kiosk.recognition.quality import Quality
from kiosk.store.durable import open_private
from kiosk.store.subjects import Enrolment, ImportedFile, Subject
from kiosk.types import Face, Status, Template

SAME_PERSON_SCORE = 50.0
"""Least score between the photographs of one enrolment; at 1 stranger in 100 it finds a swapped file, no more."""

ENROLLING_NAME = ".enrolling"  # locked while a process enrols


@dataclass(frozen=True, slots=True)
class Reference:
    """What one photograph gives to an enrolment."""

    template: Template
    quality: float  # sharpness of the face, see quality.py
    photograph: bytes | None = field(default=None, repr=False)  # where a setting keeps them


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a photograph gives no reference."""

    kind: str  # "no_face", "several_faces", "poor"
    sentence: str


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What became of an enrolment."""

    kind: str  # "added", "duplicate", "blocklisted", "no_face", "several_faces", "poor", "mixed", "document"
    sentence: str = field(repr=False)
    subject: Subject | None = None
    of: Found | None = None  # whom it duplicates, or also is
    portrait_score: int | None = None  # 0..100 of the person with their document's portrait, where one was shown

    @property
    def is_stored(self) -> bool:
        """Whether somebody was enrolled."""
        return self.kind == "added"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one photograph shows, and what it gives to an enrolment: either a reference or an objection."""

    faces: tuple[Face, ...]  # largest first; boxes in px of the upright picture
    quality: Quality | None = None  # of the largest; None where there is no face
    template: Template | None = field(default=None, repr=False)  # of the largest, also of one that is refused
    objection: Objection | None = None
    reference: Reference | None = None

    @property
    def outcome(self) -> Reference | EnrolmentResult:
        """The reference, or the refusal as it is told to whoever enrols: of several faces it names the boxes."""
        if self.objection is None:
            assert self.reference is not None  # the one or the other
            return self.reference
        sentence = self.objection.sentence
        if self.objection.kind == "several_faces":
            boxes = "; ".join(",".join(str(round(float(side))) for side in face.box) for face in self.faces)
            sentence = f"{len(self.faces)} faces (boxes {boxes}); give a photograph of one person"
        return EnrolmentResult(self.objection.kind, sentence)


def enrol_person(
    device: Device,
    photographs: Sequence[bytes],
    enrolment: Enrolment,
    *,
    rotate: bool = False,
    take_largest: bool = False,
    allow_duplicate: bool = False,
    actor: str = "",
) -> EnrolmentResult:
    """Enrol a person from one photograph or several, unless something speaks against it.

    Args:
        device: whose networks and store.
        photographs: JPEG, PNG, WebP or TIFF; each of this person alone.
        enrolment: who it is; its templates, qualities and images are filled here.
        rotate: try quarter turns.
        take_largest: of several faces in a photograph take the largest, instead of refusing it.
        allow_duplicate: enrol although somebody who looks the same is enrolled.
        actor: who asks, for the log.

    Raises:
        ImageError: a photograph is no picture we take.
    """
    references = []
    for number, photograph in enumerate(photographs, 1):
        assessed = assess(device, photograph, rotate=rotate, take_largest=take_largest, with_heic=True)
        outcome = assessed.outcome
        if isinstance(outcome, EnrolmentResult):
            which = f"photograph {number}: " if len(photographs) > 1 else ""
            return EnrolmentResult(outcome.kind, which + outcome.sentence)
        references.append(outcome)
    return admit(device, references, enrolment, allow_duplicate=allow_duplicate, actor=actor)


def _enlarged(face: Face, scale: int, size: tuple[int, int]) -> Face:
    """Return a face as it lies in a picture whose edges are `scale` times as long as this width and height."""
    longest = np.array([*size, *size], np.float32) * np.float32(scale) - np.float32(scale - 1)  # see device.scaled
    return Face(np.minimum(face.box * np.float32(scale), longest), face.landmarks * np.float32(scale), face.confidence)


def assess(
    device: Device, photograph: bytes, *, rotate: bool = False, take_largest: bool = False, with_heic: bool = False
) -> Assessment:
    """Return what a photograph shows, and the reference it gives or why it gives none.

    A large JPEG is looked at as `Device.analyse` does: at half its edges, where the face is large all the same.
    The largest face is measured and its template made also where it is refused: a preview says whom it looks like.

    Args:
        device: whose networks and decoder; its settings say whether the photograph is kept.
        photograph: of this person alone.
        rotate: try quarter turns.
        take_largest: of several faces take the largest, instead of refusing the photograph.
        with_heic: also take HEIC and JPEG 2000; they are kept as JPEG.

    Raises:
        ImageError: it is no picture we take.
    """
    find = device.recogniser.find_upright if rotate else lambda image: (device.recogniser.detect(image), 0)
    image, scale = device.decoder.halved(photograph, with_heic=with_heic)
    faces, angle = find(image)
    if scale > 1 and not (faces and is_large_halved(faces[0])):
        image, scale = device.decoder(photograph, with_heic=with_heic), 1
        faces, angle = find(image)
    if not faces:
        return Assessment((), objection=Objection("no_face", "no face could be found"))
    upright = device.recogniser.turn(image, angle)
    face = device.recogniser.sharpen(upright, faces[0])
    measured = quality.measure(upright, face)
    measured = replace(measured, eye_distance_px=measured.eye_distance_px * scale)
    template = device.recogniser.extract(upright, face)
    size = upright.shape[1], upright.shape[0]
    shown = Assessment(tuple(_enlarged(one, scale, size) for one in faces), measured, template)
    if len(faces) > 1 and not take_largest:
        several = f"{len(faces)} faces; give a photograph of one person"
        return replace(shown, objection=Objection("several_faces", several))
    if poor := quality.objection(measured) or quality.objection_to(template):
        return replace(shown, objection=Objection("poor", poor))
    kept = None
    if device.config.store.keep_images:
        kept = as_jpeg(image) if is_heic(photograph) or is_jpeg_2000(photograph) else photograph
    averaged = device.recogniser.extract_with_mirror if device.config.enrolment.mirrored else None
    stored = template if averaged is None else averaged(upright, face)
    return replace(shown, reference=Reference(stored, measured.sharpness, kept))


def admit(
    device: Device,
    references: Sequence[Reference],
    enrolment: Enrolment,
    *,
    allow_duplicate: bool = False,
    is_code_unique: bool = False,
    imported: ImportedFile | None = None,
    actor: str = "",
) -> EnrolmentResult:
    """Store a person with references from `assess`, unless they are blocklisted, enrolled already, or not one.

    Args:
        device: whose store.
        references: of one person.
        enrolment: who it is; its templates, qualities and images are filled here.
        allow_duplicate: enrol although somebody who looks the same is enrolled.
        is_code_unique: refuse a vendor_data, document number or external id that somebody has.
        imported: the item of an import run, marked done in the same transaction.
        actor: who asks, for the log.
    """
    templates = [reference.template for reference in references]
    for number, template in enumerate(templates[1:], 2):
        score = device.scale.similarity_percentage(compare(templates[0], template))
        if score < SAME_PERSON_SCORE:
            return EnrolmentResult(
                "mixed",
                f"photographs 1 and {number} seem to show two people (similarity {score}); enrol them apart",
            )
    with one_at_a_time(device):  # two enrolments of one face at once would not see each other
        objection = _objection_to(device, fuse(templates), allow_duplicate=allow_duplicate)
        if objection is not None and not enrolment.is_blocklisted:
            return objection
        if is_code_unique and (taken := device.store.people.taken(enrolment)):
            return EnrolmentResult("duplicate", f"this {taken} belongs to somebody else already")
        subject = device.store.people.enrol(
            replace(
                enrolment,
                templates=templates,
                qualities=[reference.quality for reference in references],
                images=tuple(reference.photograph for reference in references if reference.photograph is not None),
            ),
            imported=imported,
            actor=actor,
        )
    of = objection.of if objection is not None else None  # a blocked face may be somebody enrolled
    waits = "; an operator approves it" if subject.status is Status.IN_REVIEW else ""
    return EnrolmentResult("added", f"enrolled as number {subject.session_number}{waits}", subject, of)


@contextmanager
def one_at_a_time(device: Device) -> Iterator[None]:
    """Keep other threads and other processes from enrolling meanwhile."""
    path = device.store.directory / ENROLLING_NAME
    try:
        file = open_private(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; make the state directory writable") from error
    with device.enrolling, file:
        fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file, and with the process
        yield


def _objection_to(device: Device, template: Template, *, allow_duplicate: bool) -> EnrolmentResult | None:
    found = device.find(template, whatever_dates=True)  # who is known from tomorrow on is known
    block_at, _ = device.thresholds(device.gallery.references)
    for one in found:
        if one.is_blocklisted and one.similarity >= block_at:
            return EnrolmentResult(
                "blocklisted", f"the face is on the blocklist (number {one.subject}, {one.similarity} %)", of=one
            )
    if found and not allow_duplicate:
        one = found[0]
        return EnrolmentResult(
            "duplicate",
            f"already enrolled as number {one.subject} ({one.similarity} %); --allow-duplicate enrols all the same",
            of=one,
        )
    return None

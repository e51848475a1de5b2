"""Photographs that make people known: enrolling, more references, the blocklist; and how good one would be.

Every photograph goes through the queue before the recogniser. What speaks against an enrolment is an answer, 409, with
a sentence and whom it would duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Part, answer, busy, field_errors, read_moment
from kiosk.api.routes.people import LONGEST_TEXT, MOMENT, MOMENTS, SHORT, SUBJECT, TEXTS, UNSEEN, about, known, misfits
from kiosk.api.routes.v3.didit import NO_DETECTOR
from kiosk.api.schema import ANSWER_400, BOOLEAN, FLAG, INTEGER, NUMBER, STRING, TEXT, array, closed, named, or_null
from kiosk.api.uploads import Form
from kiosk.device import enrol as enrolling
from kiosk.device.device import Found
from kiosk.device.enrol import EnrolmentResult, assess
from kiosk.device.more_photographs import add_photograph
from kiosk.errors import ImageError
from kiosk.networks.liveness import liveness_limits
from kiosk.recognition.judgement import Verdict
from kiosk.recognition.liveness_photo import judge_photograph
from kiosk.recognition.pad_levels import Level
from kiosk.recognition.photo import MAX_BYTES
from kiosk.rules.text import objection
from kiosk.store.accounts import Role
from kiosk.store.subjects import Details, Enrolment, Subject

MOST_PHOTOGRAPHS = 5
NOT_LIVE = {
    Verdict.ATTACK: "the camera seems to see a picture of somebody and no person; upload it where that is meant",
    Verdict.UNDETERMINED: "the face fills the picture, so nobody can tell a person from a photograph: step back",
}
MOST_BYTES = (MOST_PHOTOGRAPHS + 1) * MAX_BYTES


def _texts(form: Form) -> dict[str, Any]:
    """Return what a form says of a person; wrong fields are noted in it."""
    said: dict[str, Any] = {}
    for name in TEXTS:
        text = (form.text(name) or "").strip()
        if len(text) > LONGEST_TEXT:
            form.fail(name, f"Ensure this field has no more than {LONGEST_TEXT} characters.")
        elif objection(text):
            form.fail(name, UNSEEN)
        elif text:
            said[name] = text
    return said


def _moments(form: Form, now: float) -> dict[str, float | None]:
    said: dict[str, float | None] = {}
    for name in MOMENTS:
        text = form.text(name)
        try:
            said[name] = read_moment(text) if text else None
        except ValueError as error:
            form.fail(name, str(error))
            said[name] = None
    for name, sentence in misfits(said["valid_from"], said["valid_until"], said["retain_until"], now):
        form.fail(name, sentence)
    return said


async def _enrol(call: Call, form: Form, enrolment: Enrolment) -> Response:
    """Enrol from a form whose fields are all right so far."""
    photographs = form.files.get("image", [])
    if not photographs:
        form.file("image")  # notes that it is missing
    rotate = form.flag("rotate", default=False)
    largest = form.flag("largest", default=False)
    double = form.flag("allow_duplicate", default=False)
    is_of_now = form.flag("from_camera", default=False)
    if form.errors:
        raise field_errors(form.errors)

    def work() -> EnrolmentResult:
        if is_of_now and (doubt := _doubt(call, photographs, rotate=rotate)) is not None:
            return doubt
        return enrolling.enrol_person(
            call.context.device,
            photographs,
            enrolment,
            rotate=rotate,
            take_largest=largest,
            allow_duplicate=double,
            actor=call.actor,
        )

    try:
        outcome = await call.recognise(work)
    except ImageError as error:
        raise field_errors({"image": [str(error)]}) from None
    if outcome.subject is None:
        return answer(_refused(outcome), 409)
    return answer({"outcome": outcome.kind, "subject": about(outcome.subject, whole=True)}, 201)


def _doubt(call: Call, photographs: Sequence[bytes], *, rotate: bool) -> EnrolmentResult | None:
    """Return why photographs that a camera took just now may show a picture of somebody; None where they do not."""
    config, detector = call.context.config, call.context.detector
    if config.pad.chosen_level == Level.OFF.value:
        return None
    if detector is None:
        raise busy(NO_DETECTOR)
    network, limits = detector.tested(), liveness_limits(config.pad).cues
    recogniser = call.context.device.recogniser
    for photograph in photographs:
        image = call.context.device.decoder(photograph, with_heic=True)
        faces, angle = recogniser.find_upright(image) if rotate else (recogniser.detect(image), 0)
        if not faces:
            continue  # the enrolment says so itself
        verdict = judge_photograph(recogniser.turn(image, angle), faces[0], network, limits).verdict
        if verdict is not Verdict.BONA_FIDE:
            return EnrolmentResult("not_live", NOT_LIVE[verdict])
    return None


def _refused(outcome: EnrolmentResult) -> dict[str, Any]:
    of = outcome.of
    return {
        "outcome": outcome.kind,
        "sentence": outcome.sentence.partition("; --")[0],  # what a command line's user would do
        "of": None if of is None else {"session_number": of.subject, "similarity_percentage": of.similarity},
    }


async def enrol_person(call: Call) -> Response:
    """Make a person known."""
    form = await call.form("image", most_files=MOST_PHOTOGRAPHS, most_bytes=MOST_BYTES)
    now = call.context.now()
    moments = _moments(form, now)
    consent = (form.text("consent_version") or "").strip() or None
    enrolment = Enrolment(
        templates=(),
        details=replace(Details(**_texts(form)), consent_version=consent, consent_at=now if consent else None),
        is_allowlisted=form.flag("allowlist", default=False),
        valid_from=moments["valid_from"],
        valid_until=moments["valid_until"],
        retention_until=moments["retain_until"],
    )
    return await _enrol(call, form, enrolment)


async def block_face(call: Call) -> Response:
    """Put a face onto the blocklist."""
    form = await call.form("image", most_files=MOST_PHOTOGRAPHS, most_bytes=MOST_BYTES)
    texts = _texts(form)
    reason = (form.text("reason") or "").strip()[:LONGEST_TEXT] or None
    enrolment = Enrolment(templates=(), details=Details(**texts, block_reason=reason), is_blocklisted=True)
    return await _enrol(call, form, enrolment)


async def assess_photograph(call: Call) -> Response:
    """Say how good a photograph is for enrolling, and whom it looks like."""
    form = await call.form("image")
    photograph = form.file("image")
    rotate = form.flag("rotate", default=False)
    if form.errors:
        raise field_errors(form.errors)
    try:
        return answer(await call.recognise(lambda: _preview(call, photograph, rotate=rotate)))
    except ImageError as error:
        raise field_errors({"image": [str(error)]}) from None


def _preview(call: Call, photograph: bytes, *, rotate: bool) -> dict[str, Any]:
    device = call.context.device
    assessed = assess(device, photograph, rotate=rotate, with_heic=True)
    objection, measured, template = assessed.objection, assessed.quality, assessed.template
    alike = device.find(template, whatever_dates=True) if template is not None else []
    return {
        "faces": len(assessed.faces),
        "ok": objection is None,
        "sentence": "good enough" if objection is None else objection.sentence,
        "quality": None if measured is None else {name: round(value, 2) for name, value in asdict(measured).items()},
        "looks_like": [_alike(call, one) for one in alike],
    }


def _alike(call: Call, one: Found) -> dict[str, Any]:
    subject = call.context.device.store.people.subject(one.subject)
    return {
        "session_number": one.subject,
        "name": subject.details.name if subject is not None else None,
        "similarity_percentage": one.similarity,
        "is_blocklisted": one.is_blocklisted,
    }


async def add_reference(call: Call) -> Response:
    """Add a photograph to an enrolled person."""
    form = await call.form("image")
    photograph = form.file("image")
    rotate = form.flag("rotate", default=False)
    largest = form.flag("largest", default=False)
    is_of_now = form.flag("from_camera", default=False)
    if form.errors:
        raise field_errors(form.errors)
    subject = await call.run(lambda: known(call))

    def work() -> EnrolmentResult | Subject:
        device = call.context.device
        if is_of_now and (doubt := _doubt(call, [photograph], rotate=rotate)) is not None:
            return doubt
        return add_photograph(device, subject, photograph, rotate=rotate, take_largest=largest, actor=call.actor)

    try:
        done = await call.recognise(work)
    except ImageError as error:
        raise field_errors({"image": [str(error)]}) from None
    if isinstance(done, EnrolmentResult):
        return answer(_refused(done), 409)
    return answer(about(done, whole=True), 201)


_IMAGE = {"type": "string", "format": "binary"}
_IMAGES: Mapping[str, Part] = {
    "image": Part(
        "One to five photographs of this person alone.",
        {"type": "array", "items": _IMAGE, "minItems": 1, "maxItems": MOST_PHOTOGRAPHS},
        is_required=True,
    ),
    "rotate": Part("Try quarter turns to find an upright face.", FLAG),
    "from_camera": Part("A camera took them just now, so they must show the person and no picture of one.", FLAG),
    "largest": Part("Of several faces in a photograph take the largest.", FLAG),
}
REFUSED = named(
    "EnrolmentRefusal",
    closed(
        outcome={
            "type": "string",
            "enum": ["duplicate", "blocklisted", "no_face", "several_faces", "poor", "mixed", "not_live"],
        },
        sentence=STRING,
        of=or_null(named("SimilarPerson", closed(session_number=INTEGER, similarity_percentage=NUMBER))),
    ),
)
_ADDED = named("EnrolledPerson", closed(outcome={"type": "string", "enum": ["added"]}, subject=SUBJECT))
_UPLOAD = {400: ANSWER_400, 408: TEXT, 409: REFUSED, 413: TEXT, 503: TEXT}
QUALITY = named(
    "PhotographQuality",
    closed(
        faces=INTEGER,
        ok=BOOLEAN,
        sentence=STRING,
        quality=or_null(
            named(
                "QualityFigures",
                closed(eye_distance_px=NUMBER, luminance=NUMBER, contrast=NUMBER, sharpness=NUMBER, frontality=NUMBER),
            )
        ),
        looks_like=array(
            named(
                "LookAlike",
                closed(
                    session_number=INTEGER, name=or_null(STRING), similarity_percentage=NUMBER, is_blocklisted=BOOLEAN
                ),
            )
        ),
    ),
)

OPERATIONS = (
    Operation(
        "POST",
        "/device/subjects",
        enrol_person,
        "Enrol a person from one to five photographs.",
        {201: _ADDED, **_UPLOAD},
        role=Role.OPERATOR,
        form={
            **_IMAGES,
            **{name: Part(f"The person's {name.replace('_', ' ')}.", SHORT) for name in TEXTS},
            "valid_from": Part("From when on the person may enter.", MOMENT),
            "valid_until": Part("Until when.", MOMENT),
            "retain_until": Part("When the person is forgotten.", MOMENT),
            "allowlist": Part("Also onto the allowlist.", FLAG),
            "allow_duplicate": Part("Enrol even if a person who looks the same is enrolled.", FLAG),
            "consent_version": Part("Name of the consent text the person agreed to.", SHORT),
        },
    ),
    Operation(
        "POST",
        "/device/subjects/{session_number}/references",
        add_reference,
        "Add a photograph to an enrolled person.",
        {201: SUBJECT, **_UPLOAD, 404: TEXT},
        role=Role.OPERATOR,
        form={
            "image": Part("A photograph of this person alone.", _IMAGE, is_required=True),
            "rotate": _IMAGES["rotate"],
            "from_camera": _IMAGES["from_camera"],
            "largest": _IMAGES["largest"],
        },
    ),
    Operation(
        "POST",
        "/device/blocklist",
        block_face,
        "Put a face that is not enrolled onto the blocklist.",
        {201: _ADDED, **_UPLOAD},
        role=Role.OPERATOR,
        form={
            **_IMAGES,
            "reason": Part("Why; sealed.", SHORT),
            **{name: Part(f"The person's {name.replace('_', ' ')}.", SHORT) for name in TEXTS},
        },
    ),
    Operation(
        "POST",
        "/device/quality",
        assess_photograph,
        "Say how good a photograph is for an enrolment, and whom it resembles; stores nothing.",
        {200: QUALITY, 400: ANSWER_400, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        form={
            "image": Part("A photograph.", _IMAGE, is_required=True),
            "rotate": _IMAGES["rotate"],
        },
    ),
)

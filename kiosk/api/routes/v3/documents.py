"""Didit's ID Verification, as far as a device can go: the machine-readable zone, the barcode and the portrait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Part, answer, busy, field_errors, refusal
from kiosk.api.routes.v3.didit import COMMON, publish_judged
from kiosk.api.schema import (
    ANSWER_400,
    ANSWER_400_IMAGE,
    BOOLEAN,
    ID_VERIFICATION,
    INTEGER,
    STRING,
    TEXT,
    TIME,
    array,
    closed,
    named,
    or_null,
)
from kiosk.api.uploads import Form
from kiosk.device.documents import NOT_RECOGNISED, DocumentReading, answer_document, read_side, read_sides
from kiosk.device.enrol import assess
from kiosk.device.enrol_document import FilledEnrolment, fill_enrolment
from kiosk.didit import contract
from kiosk.documents.judge import DECLINE, NO_ACTION, Actions
from kiosk.errors import ImageError, ModelFileError
from kiosk.recognition.photo import DOCUMENT_BYTES
from kiosk.store.accounts import Role
from kiosk.store.chain import Kind
from kiosk.store.subjects import Enrolment

MOST_BYTES = 2 * DOCUMENT_BYTES + (1 << 20)
ACTIONS = (NO_ACTION, DECLINE)
FRONT, BACK, LIVE = "front_image", "back_image", "user_image"


def _read(call: Call, photographs: Mapping[str, bytes], actions: Actions) -> DocumentReading | None:
    """Read the photographs of a form; what is wrong with any of them is told together."""
    device, sides, errors = call.context.device, {}, {}
    for name, content in photographs.items():
        try:
            sides[name] = read_side(device, content)
        except ImageError as error:
            errors[name] = [str(error)]
    if errors:
        raise field_errors(errors)
    return read_sides(device, [sides[FRONT]], [sides[BACK]] if BACK in sides else [], actions=actions)


def _photographs(form: Form) -> dict[str, bytes]:
    found = {FRONT: form.file(FRONT)}
    if form.files.get(BACK, [b""])[-1]:  # an empty part is none
        found[BACK] = form.file(BACK)
    return found


async def verify_document(call: Call) -> Response:
    """Read a document and say what speaks against it."""
    form = await call.form(FRONT, BACK, most_file_bytes=DOCUMENT_BYTES, most_bytes=MOST_BYTES)
    photographs = _photographs(form)
    actions = Actions(
        form.choice("invalid_mrz_action", ACTIONS, default=DECLINE),
        form.choice("inconsistent_data_action", ACTIONS, default=DECLINE),
        form.choice("expiration_date_not_detected_action", ACTIONS, default=NO_ACTION),
    )
    save = form.flag("save_api_request", default=True)
    vendor_data, metadata = form.vendor_data(), form.metadata("metadata")
    if form.errors:
        raise field_errors(form.errors)

    def work() -> dict[str, Any] | None:
        reading = _read(call, photographs, actions)
        if reading is None:
            return None
        return answer_document(
            call.context.device, reading, save=save, vendor_data=vendor_data, metadata=metadata, actor=call.actor
        )

    try:
        found = await call.recognise(work)
    except ModelFileError as error:  # it will not be there in a moment either
        raise refusal(501, str(error)) from None
    if found is None:
        return answer({"error": NOT_RECOGNISED}, 400)
    if save:
        publish_judged(call, Kind.ID_VERIFICATION, found)
    return answer(found)


def _preview(
    reading: DocumentReading | None, filled: FilledEnrolment, portrait_id: str | None = None
) -> dict[str, Any]:
    """Return what a document would fill into an enrolment, for a person to confirm."""
    details, until = filled.enrolment.details, filled.enrolment.valid_until
    return {
        "is_recognised": reading is not None,
        "is_accepted": filled.refusal is None,
        "sentence": filled.refusal or "read; whether the document is authentic was not checked",
        "risks": [] if reading is None else [one.risk.value for one in reading.warnings],
        "declined_by": [] if reading is None else reading.errors,
        "has_portrait": reading is not None and reading.portrait is not None,
        "portrait_score": filled.portrait_score,
        "portrait_id": portrait_id,
        "name": details.name,
        "document_type": details.document_type,
        "document_number": details.document_number,
        "valid_until": None if until is None else contract.timestamp(until),
    }


async def preview_document(call: Call) -> Response:
    """Say what a document would fill into an enrolment, and whether its portrait is the person's; store nothing."""
    form = await call.form(FRONT, BACK, LIVE, most_file_bytes=DOCUMENT_BYTES, most_bytes=MOST_BYTES)
    photographs = _photographs(form)
    live = form.files.get(LIVE, [])
    if form.errors:
        raise field_errors(form.errors)
    device = call.context.device

    def work() -> dict[str, Any]:
        reading = _read(call, photographs, Actions())
        faces = [assess(device, one, rotate=True, take_largest=True, with_heic=True).template for one in live]
        templates = [one for one in faces if one is not None]
        return _preview(reading, fill_enrolment(device, Enrolment(()), reading, templates))

    try:
        return answer(await call.recognise(work))
    except ModelFileError as error:
        raise refusal(501, str(error)) from None
    except ImageError as error:
        raise field_errors({LIVE: [str(error)]}) from None


async def preview_shown_document(call: Call) -> Response:
    """Say what the document fills in that is held in front of the kiosk's camera, in mode enrol; keep no picture.

    Its portrait is held for the enrolment that names it, which compares it with the face of whoever steps up.
    """
    if call.context.config.entrance.mode != "enrol":
        raise refusal(409, "Documents are read in mode enrol.")
    still = await call.run(call.context.running().still)
    if still is None:
        raise busy("The camera gives no picture now.")
    device = call.context.device

    def work() -> dict[str, Any]:
        reading = read_sides(device, [read_side(device, still.jpeg)])
        filled = fill_enrolment(device, Enrolment(()), reading, [])
        held = None
        if reading is not None and reading.portrait is not None and filled.refusal is None:
            held = call.context.shown_portrait.hold(reading.portrait.template, call.context.now())
        return _preview(reading, filled, held)

    try:
        return answer(await call.recognise(work))
    except ModelFileError as error:
        raise refusal(501, str(error)) from None
    except ImageError as error:  # what is held up made the reader of codes fail
        raise refusal(409, f"The document cannot be read. {error}") from None


_IMAGE = {"type": "string", "format": "binary"}
_ACTION = {"type": "string", "enum": list(ACTIONS)}

_PREVIEW = named(
    "DocumentPreview",
    closed(
        is_recognised=BOOLEAN,
        is_accepted=BOOLEAN,
        sentence=STRING,
        risks=array(STRING),
        declined_by=array(STRING),
        has_portrait=BOOLEAN,
        portrait_score=or_null(INTEGER),
        portrait_id=or_null(STRING),
        name=or_null(STRING),
        document_type=or_null(STRING),
        document_number=or_null(STRING),
        valid_until=or_null(TIME),
    ),
)

OPERATIONS = (
    Operation(
        "POST",
        "/device/documents",
        preview_document,
        "Say what a document would fill into an enrolment, and how its portrait scores with a photograph of the "
        "person; stores nothing.",
        {200: _PREVIEW, 400: ANSWER_400, 408: TEXT, 413: TEXT, 501: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        form={
            FRONT: Part("A photograph of the document, at most 10 MB.", _IMAGE, is_required=True),
            BACK: Part("Its other side.", _IMAGE),
            LIVE: Part("A photograph of the person, or several: the best score counts.", _IMAGE),
        },
    ),
    Operation(
        "POST",
        "/device/documents/shown",
        preview_shown_document,
        "Read the document in front of the kiosk's camera, in mode enrol; stores nothing. Its portrait is held for ten "
        "minutes: an enrolment that sends portrait_id has it compared. The kiosk's own screen needs no key.",
        {200: _PREVIEW, 408: TEXT, 409: TEXT, 501: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        is_for_screen=True,
    ),
    Operation(
        "POST",
        "/v3/id-verification/",
        verify_document,
        "Read a document's machine-readable zone and barcode and check what they say, as Didit's ID Verification does. "
        "Approved means that these checks passed; whether the document is authentic is not checked, and a warning "
        "says so.",
        {200: ID_VERIFICATION, 400: ANSWER_400_IMAGE, 408: TEXT, 413: TEXT, 501: TEXT, 503: TEXT},
        role=Role.DEVICE,
        form={
            "front_image": Part("JPEG, PNG, WebP or TIFF, at most 10 MB.", _IMAGE, is_required=True),
            "back_image": Part("The other side; a card's machine-readable zone stands there.", _IMAGE),
            "invalid_mrz_action": Part("Whether a wrong check digit declines; DECLINE when left out.", _ACTION),
            "inconsistent_data_action": Part(
                "Whether a zone and a barcode that say different things decline; DECLINE when left out.", _ACTION
            ),
            "expiration_date_not_detected_action": Part(
                "Whether a missing expiry date declines; NO_ACTION when left out.", _ACTION
            ),
            **{name: COMMON[name] for name in ("save_api_request", "vendor_data", "metadata")},
        },
    ),
)

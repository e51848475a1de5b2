"""Didit's ID Verification, as far as a device can go: the machine-readable zone, the barcode and the portrait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Part, answer, field_errors, refusal
from kiosk.api.routes.didit import COMMON, publish_judged
from kiosk.api.schema import ANSWER_400_IMAGE, ID_VERIFICATION, TEXT
from kiosk.api.uploads import Form
from kiosk.device.documents import NOT_RECOGNISED, DocumentReading, answer_document, read_pictures
from kiosk.documents.judge import DECLINE, NO_ACTION, Actions
from kiosk.errors import ImageError, ModelFileError
from kiosk.recognition.photo import DOCUMENT_BYTES
from kiosk.store.accounts import Role
from kiosk.store.chain import Kind

MOST_BYTES = 2 * DOCUMENT_BYTES + (1 << 20)
ACTIONS = (NO_ACTION, DECLINE)
FRONT, BACK = "front_image", "back_image"


def _read(call: Call, photographs: Mapping[str, bytes], actions: Actions) -> DocumentReading | None:
    """Read the photographs of a form; what is wrong with any of them is told together."""
    device, pictures, errors = call.context.device, {}, {}
    for name, content in photographs.items():
        try:
            pictures[name] = device.decoder(content, most_bytes=DOCUMENT_BYTES)
        except ImageError as error:
            errors[name] = [str(error)]
    if errors:
        raise field_errors(errors)
    backs = [pictures[BACK]] if BACK in pictures else []
    return read_pictures(device, [pictures[FRONT]], backs, actions=actions)


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


_IMAGE = {"type": "string", "format": "binary"}
_ACTION = {"type": "string", "enum": list(ACTIONS)}

OPERATIONS = (
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

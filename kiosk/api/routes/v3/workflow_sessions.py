"""Sessions of several steps, for whoever makes them: `POST /v3/session/` as Didit has it, and the workflows there are.

What a field asks for that nothing here does, such as an e-mail, is passed over; what would decide by it is not.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, answer, field_errors, not_found
from kiosk.api.routes.v3.didit import read_session
from kiosk.api.saved_sessions import number_of
from kiosk.api.schema import (
    ANSWER_400,
    ANY_OBJECT,
    BOOLEAN,
    DECISION,
    INTEGER,
    SESSION_STATUS,
    STRING,
    TEXT,
    UUID,
    VENDOR_DATA,
    array,
    closed,
    named,
    opened,
    or_null,
)
from kiosk.api.uploads import parse_object
from kiosk.device.sessions.content import Asked
from kiosk.didit import contract
from kiosk.errors import ImageError
from kiosk.rules.workflow import SessionStatus, Step, Workflow
from kiosk.store.accounts import Role
from kiosk.types import Sample

MOST_BYTES = 1_500_000  # of the body: a portrait of 1 MB in base64, and the other fields
LONGEST_CALLBACK = 2000
LONGEST_DETAIL = 200
BLANK = (None, "")  # no set: a list, which JSON may have anywhere, is in none
METHODS = ("initiator", "completer", "both")
SCRIPTED = {"javascript", "data", "vbscript", "file", "blob", "about", "view-source"}  # schemes that are no other page
EXPECTED = ("first_name", "last_name", "date_of_birth", "gender", "nationality", "identification_number")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):\S+")
_DATA_URL = re.compile(r"data:image/[a-z+.-]+;base64,")


class _Fields:
    """The fields of a body; what is wrong with them is gathered and told together."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.errors: dict[str, list[str]] = {}

    def text(self, name: str, most: int) -> str | None:
        """Return a text; a blank one is none."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            self.errors[name] = [f"Want a text of at most {most} characters."]
            return None
        return value.strip() and value

    def callback(self) -> str | None:
        """Return where the person's browser goes at the end: another page, or an app; never a script."""
        value = self.text("callback", LONGEST_CALLBACK)
        if not value:
            return None
        scheme = _SCHEME.fullmatch(value)
        if scheme is None or scheme[1].lower() in SCRIPTED:
            self.errors["callback"] = ["Enter a valid URL."]
        return value

    def metadata(self) -> dict[str, Any] | None:
        """Return the metadata: an object, or one as text."""
        value = self._body.get("metadata")
        if isinstance(value, str) and value.strip():
            try:
                value = parse_object(value)
            except ValueError as error:
                self.errors["metadata"] = [str(error)]
        if value is not None and not isinstance(value, (dict, str)):
            self.errors["metadata"] = ["Value must be a JSON object."]
        return value if isinstance(value, dict) else None

    def expected(self) -> dict[str, str]:
        """Return what the document is expected to say, as far as documents are read for it."""
        value = self._body.get("expected_details")
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.errors["expected_details"] = ["Value must be a JSON object."]
            return {}
        found = {name: value[name] for name in EXPECTED if value.get(name) not in BLANK}
        if not all(isinstance(one, str) and len(one) <= LONGEST_DETAIL for one in found.values()):
            self.errors["expected_details"] = [f"Want texts of at most {LONGEST_DETAIL} characters."]
            return {}
        return found

    def portrait(self) -> bytes | None:
        """Return the picture to compare with; base64, never an address that the kiosk would call."""
        value = self._body.get("portrait_image")
        if value in BLANK:
            return None
        try:
            return base64.b64decode(_DATA_URL.sub("", str(value), count=1), validate=True)
        except (binascii.Error, ValueError):
            self.errors["portrait_image"] = ["Want a picture in base64."]
            return None


def _asked(call: Call, fields: _Fields) -> Asked:
    workflow_id = fields.text("workflow_id", 100)
    vendor_data = fields.text("vendor_data", contract.LONGEST_VENDOR_DATA) or None
    language = fields.text("language", 10)
    method = (fields.text("callback_method", 20) or "").strip().lower() or None
    if method not in {None, *METHODS}:
        fields.errors["callback_method"] = [f'"{method}" is not a valid choice.']
    steps: tuple[Step, ...] = ()
    if not workflow_id:
        fields.errors.setdefault("workflow_id", ["This field is required."])
    else:
        obstacle = call.context.sessions.obstacle(workflow_id)
        if obstacle is not None:
            fields.errors["workflow_id"] = [obstacle]
        else:
            steps = call.context.config.sessions.by_id[workflow_id].steps
    return Asked(
        workflow_id or "",
        steps,
        vendor_data=vendor_data,
        metadata=fields.metadata(),
        callback=fields.callback(),
        callback_method=method,
        language=(language or "")[:2].lower() or None,
        expected_details=fields.expected(),
    )


async def create_session(call: Call) -> Response:
    """Make a session; its url is for the person, and holds the token that opens it."""
    fields = _Fields(await call.json(MOST_BYTES))
    asked = _asked(call, fields)
    picture = fields.portrait()
    known = call.context.config.sessions.by_id.get(asked.workflow_id)
    if known is not None and known.needs_portrait and picture is None:
        fields.errors.setdefault("portrait_image", ["This workflow compares with a portrait: give one in base64."])
    if fields.errors:
        raise field_errors(fields.errors)
    portrait: Sample | None = None
    if picture is not None:
        content = picture
        try:
            portrait = await call.recognise(lambda: call.context.device.analyse(content, rotate=True))
        except ImageError as error:
            raise field_errors({"portrait_image": [str(error)]}) from None
        if portrait.template is None:
            raise field_errors({"portrait_image": ["No face could be detected in the provided image."]})
    session, token = await call.run(lambda: call.context.sessions.create(asked, portrait, actor=call.actor))
    return answer(
        {
            "session_id": session.session_id,
            "session_number": number_of(session),
            "session_token": token,
            "url": f"{public_base(call)}/session/{token}",
            "vendor_data": asked.vendor_data,
            "metadata": asked.metadata,
            "status": SessionStatus.NOT_STARTED.value,
            "workflow_id": asked.workflow_id,
            "callback": asked.callback,
            "callback_method": asked.callback_method,
        },
        201,
    )


def public_base(call: Call) -> str:
    """Return the address by which a person's browser reaches the kiosk."""
    return call.context.config.sessions.public_url or call.base_url


async def read_session_status(call: Call) -> Response:
    """Return what `GET /v3/session/{session_id}/decision/` does; older clients ask here."""
    return await read_session(call)


async def list_workflows(call: Call) -> Response:
    """List the workflows of the settings."""
    return answer([_row(call, workflow) for workflow in call.context.config.sessions.by_id.values()])


async def read_workflow(call: Call) -> Response:
    """Return one workflow."""
    workflow = call.context.config.sessions.by_id.get(str(call.request.path_params["workflow_id"]))
    if workflow is None:
        raise not_found()
    return answer(_row(call, workflow))


def _row(call: Call, workflow: Workflow) -> dict[str, Any]:
    obstacle = call.context.sessions.obstacle(workflow.id)
    features = [step.feature for step in workflow.steps]
    row = {"uuid": workflow.id, "workflow_label": workflow.id, "features": features}
    return {**row, "is_available": obstacle is None, "obstacle": obstacle}


_WORKFLOW = named(
    "Workflow",
    closed(
        uuid=STRING,
        workflow_label=STRING,
        features=array(STRING),
        is_available=BOOLEAN,
        obstacle=or_null(STRING),
    ),
)
_CREATED = named(
    "CreatedSession",
    closed(
        session_id=UUID,
        session_number=INTEGER,
        session_token=STRING,
        url=STRING,
        vendor_data=or_null(STRING),
        metadata=or_null(ANY_OBJECT),
        status=SESSION_STATUS,
        workflow_id=STRING,
        callback=or_null(STRING),
        callback_method=or_null(STRING),
    ),
)
OPERATIONS = (
    Operation(
        "POST",
        "/v3/session/",
        create_session,
        "Make a session of a workflow of the settings; its person takes the steps at the url. Didit's contact_details "
        "and sandbox_scenario are not served here: they are ignored.",
        {201: _CREATED, 400: ANSWER_400, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT},
        role=Role.DEVICE,
        json={
            **opened(
                {"workflow_id": STRING},
                vendor_data=or_null(VENDOR_DATA),
                callback=or_null({"type": "string", "maxLength": LONGEST_CALLBACK}),
                callback_method=or_null({"type": "string", "enum": list(METHODS)}),
                metadata=or_null(ANY_OBJECT),
                language=or_null({"type": "string", "maxLength": 10}),
                expected_details=or_null(ANY_OBJECT),
                portrait_image=or_null(STRING),
            ),
            "additionalProperties": True,
        },
    ),
    Operation(
        "GET",
        "/v3/session/{session_id}/",
        read_session_status,
        "Return what the session's decision is so far; the same as /decision/.",
        {200: DECISION, 404: TEXT, 503: TEXT},
        role=Role.DEVICE,
    ),
    Operation(
        "GET",
        "/v3/workflows/",
        list_workflows,
        "List the workflows that sessions can be made of; the settings name them.",
        {200: array(_WORKFLOW), 503: TEXT},
        role=Role.DEVICE,
    ),
    Operation(
        "GET",
        "/v3/workflows/{workflow_id}/",
        read_workflow,
        "Return one workflow.",
        {200: _WORKFLOW, 404: TEXT, 503: TEXT},
        role=Role.DEVICE,
    ),
)

"""The shapes of the API's answers as JSON Schema 2020-12, for the OpenAPI document.

Closed where the shape is ours to the last field, so that a test that holds answers against them finds a slip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiosk.api.operation import LARGEST_OFFSET, MOST_ROWS, Parameter
from kiosk.device.reviews import RESUBMITTED
from kiosk.didit import contract
from kiosk.documents.mrz import MrzType
from kiosk.rules.workflow import SessionStatus
from kiosk.types import Risk, Status

Schema = dict[str, Any]


def closed(**properties: Mapping[str, Any]) -> Schema:
    """Return an object of exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def opened(required: Mapping[str, Any], /, **optional: Mapping[str, Any]) -> Schema:
    """Return an object with required and optional properties, and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def named(title: str, schema: Mapping[str, Any]) -> Schema:
    """Return a schema under a name of its own, which generated clients give to their class.

    `openapi.py` puts each under components/schemas once, so a name means one shape.
    """
    return {"title": title, **schema}


def array(of: Mapping[str, Any]) -> Schema:
    """Return a list."""
    return {"type": "array", "items": dict(of)}


def or_null(schema: Mapping[str, Any]) -> Schema:
    """Return a schema that null fits as well."""
    return {"anyOf": [dict(schema), {"type": "null"}]}


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
VENDOR_DATA: Schema = {"type": "string", "maxLength": contract.LONGEST_VENDOR_DATA}
TIME: Schema = {"type": "string", "format": "date-time"}
UUID: Schema = {"type": "string", "format": "uuid"}
ANY_OBJECT: Schema = {"type": "object"}
STATUS = named("Status", {"type": "string", "enum": [status.value for status in Status]})
TEXT = named("Refusal", opened({"detail": STRING}, request_id=STRING))
FIELDS = named("FieldErrors", {"type": "object", "additionalProperties": array(STRING)})
ANSWER_400: Schema = {"anyOf": [TEXT, FIELDS]}
FLAG = named("Flag", {"type": "string", "enum": list(contract.FLAGS)})
PAGING = (
    Parameter("limit", f"Most rows; less than 1 counts as 1, more than {MOST_ROWS} as {MOST_ROWS}.", INTEGER),
    Parameter("offset", "Rows to leave out.", {"type": "integer", "minimum": 0, "maximum": LARGEST_OFFSET}),
)

WARNING = named(
    "Warning",
    opened(
        {
            "risk": named("Risk", {"type": "string", "enum": [risk.value for risk in Risk]}),
            "log_type": named("LogType", {"type": "string", "enum": ["error", "warning", "information"]}),
            "short_description": STRING,
            "long_description": STRING,
        },
        additional_data={"type": "object", "additionalProperties": STRING},
    ),
)


_QUARTER_TURN = named("QuarterTurn", {"type": "integer", "enum": [0, 90, 180, 270]})


def _image(age: Mapping[str, Any], of: str) -> Schema:
    entity = closed(
        age=age,
        bbox={"type": "array", "items": INTEGER, "minItems": 4, "maxItems": 4},
        confidence={"type": "number", "minimum": 0, "maximum": 1},
        gender=named("Gender", {"type": "string", "enum": ["male", "female"]}),
    )
    shape = closed(entities=array(named(f"{of}Face", entity)), best_angle=_QUARTER_TURN)
    return named(f"{of}Photograph", shape)


_MATCH = named(
    "FaceMatch",
    closed(
        status=STATUS,
        score=or_null({"type": "integer", "minimum": 0, "maximum": 100}),
        user_image=_image(NUMBER, "Match"),
        ref_image=_image(NUMBER, "Match"),
        warnings=array(WARNING),
    ),
)
_USER_DETAILS = named(
    "UserDetails", closed(name=or_null(STRING), document_type=or_null(STRING), document_number=or_null(STRING))
)
_ROW = named(
    "SearchMatch",
    closed(
        session_id=UUID,
        session_number=INTEGER,
        similarity_percentage=NUMBER,
        vendor_data=or_null(STRING),
        verification_date=TIME,
        user_details=_USER_DETAILS,
        match_image_url=or_null(STRING),
        status=STATUS,
        is_blocklisted=BOOLEAN,
        is_allowlisted=BOOLEAN,
        source=STRING,
    ),
)
_SEARCH = named(
    "FaceSearch",
    closed(
        status=STATUS,
        total_matches=INTEGER,
        matches=array(_ROW),
        user_image=_image(STRING, "Search"),
        warnings=array(WARNING),
    ),
)
_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_LIVENESS = closed(
    status={"type": "string", "enum": [Status.APPROVED.value, Status.DECLINED.value]},
    method={"type": "string", "enum": ["PASSIVE"]},
    score=_PERCENT,
    user_image=_image(NUMBER, "Liveness"),
    warnings=array(WARNING),
    face_quality=or_null(_PERCENT),
    face_luminance=or_null(_PERCENT),
)
_AGE = named(
    "AgeEstimation",
    closed(
        **{name: shape for name, shape in _LIVENESS["properties"].items() if not name.startswith("face_")},
        age_estimation=or_null({"type": "number", "minimum": 0}),
    ),
)
_ECHOED = {"vendor_data": STRING, "metadata": ANY_OBJECT, "device": ANY_OBJECT}
FACE_MATCH = named("FaceMatchAnswer", opened({"request_id": UUID, "face_match": _MATCH, "created_at": TIME}, **_ECHOED))
FACE_SEARCH = named(
    "FaceSearchAnswer", opened({"request_id": UUID, "face_search": _SEARCH, "created_at": TIME}, **_ECHOED)
)
LIVENESS = named(
    "PassiveLivenessAnswer", opened({"request_id": UUID, "liveness": _LIVENESS, "created_at": TIME}, **_ECHOED)
)
AGE = named("AgeEstimationAnswer", opened({"request_id": UUID, "age_estimation": _AGE, "created_at": TIME}, **_ECHOED))
_OR_TEXT = or_null(STRING)
_DAY = or_null({"type": "string", "format": "date"})
_HASHES = ("document_number_hash", "birth_date_hash", "expiry_date_hash", "optional_data_hash", "final_hash")
_MRZ = named(
    "MachineReadableZone",
    closed(
        surname=_OR_TEXT,
        name=_OR_TEXT,
        country=STRING,
        nationality=STRING,
        birth_date=STRING,
        expiry_date=STRING,
        sex=_OR_TEXT,
        document_type=STRING,
        document_number=_OR_TEXT,
        optional_data=_OR_TEXT,
        optional_data_2=_OR_TEXT,
        **dict.fromkeys(_HASHES, _OR_TEXT),
        personal_number=_OR_TEXT,
        warnings=array(STRING),
        errors=array(STRING),
        mrz_type={"type": "string", "enum": [kind.value for kind in MrzType]},
        mrz_string=STRING,
    ),
)
_DOCUMENT = named(
    "IdVerification",
    closed(
        status={"type": "string", "enum": [Status.APPROVED.value, Status.DECLINED.value]},
        document_type=_OR_TEXT,
        document_number=_OR_TEXT,
        personal_number=_OR_TEXT,
        portrait_image=_OR_TEXT,
        front_image=_OR_TEXT,
        back_image=_OR_TEXT,
        front_image_quality_score=named(
            "DocumentPhotographQuality",
            closed(focus_score=_PERCENT, brightness_score=_PERCENT, glare_score=_PERCENT, resolution_score=_PERCENT),
        ),
        date_of_birth=_DAY,
        age=or_null(INTEGER),
        expiration_date=_DAY,
        issuing_state=_OR_TEXT,
        issuing_state_name=_OR_TEXT,
        first_name=_OR_TEXT,
        last_name=_OR_TEXT,
        full_name=_OR_TEXT,
        gender=_OR_TEXT,
        nationality=_OR_TEXT,
        mrz=or_null(_MRZ),
        barcodes=array(named("Barcode", closed(type=STRING, data=STRING))),
        warnings=array(WARNING),
    ),
)
ID_VERIFICATION = named(
    "IdVerificationAnswer",
    opened({"request_id": UUID, "id_verification": _DOCUMENT, "created_at": TIME}, **_ECHOED),
)
ANSWER_400_IMAGE: Schema = {"anyOf": [TEXT, FIELDS, closed(error=STRING)]}
SESSION_STATUS = named(
    "SessionStatus",
    {"type": "string", "enum": [*dict.fromkeys(one.value for one in (*Status, *SessionStatus)), RESUBMITTED]},
)
_REVIEW = named(
    "SessionReview", closed(user=STRING, new_status=SESSION_STATUS, comment=or_null(STRING), created_at=TIME)
)
API_SERVICE = named(
    "ApiService",
    {"type": "string", "enum": ["FACE_MATCH", "FACE_SEARCH", "PASSIVE_LIVENESS", "AGE_ESTIMATION", "ID_VERIFICATION"]},
)
_CHECK = named(
    "LivenessCheck",
    opened(
        {name: shape for name, shape in _LIVENESS["properties"].items() if name in {"status", "warnings"}}
        | {"status": STATUS},
        **{name: shape for name, shape in _LIVENESS["properties"].items() if name not in {"status", "warnings"}},
        matches=array(_ROW),
        age_estimation=or_null({"type": "number", "minimum": 0}),
        node_id=STRING,
    ),
)


def _step(title: str, schema: Mapping[str, Any]) -> Schema:
    """Return a block as a session has it, which also says of which step it is."""
    return named(title, opened(schema["properties"], node_id=STRING))


_SESSION = {
    "session_id": STRING,
    "session_number": INTEGER,
    "session_kind": STRING,
    "api_service": or_null(API_SERVICE),
    "features": array(STRING),
    "status": SESSION_STATUS,
    "vendor_data": or_null(STRING),
    "created_at": TIME,
}
_OF_WORKFLOW = {"workflow_id": STRING, "callback": or_null(STRING), "expires_at": TIME}
DECISION = named(
    "SessionDecision",
    opened(
        {**_SESSION, "request_id": STRING},
        face_match=_MATCH,
        face_matches=array(_step("SessionFaceMatch", _MATCH)),
        face_search=_SEARCH,
        face_searches=array(_step("SessionFaceSearch", _SEARCH)),
        warnings=array(
            named(
                "SessionWarning",
                closed(risk=STRING, log_type=STRING, short_description=STRING, long_description=STRING),
            )
        ),
        **_OF_WORKFLOW,
        liveness=_LIVENESS,
        age_estimation=_AGE,
        liveness_checks=array(_CHECK),
        id_verification=_DOCUMENT,
        id_verifications=array(_DOCUMENT),
        user_details=_USER_DETAILS,
        is_blocklisted=BOOLEAN,
        is_allowlisted=BOOLEAN,
        source=STRING,
        metadata=or_null(ANY_OBJECT),
        device=ANY_OBJECT,
        reviews=array(_REVIEW),
    ),
)
SESSIONS = named(
    "Sessions",
    closed(
        count=INTEGER,
        next=or_null(STRING),
        previous=or_null(STRING),
        results=array(named("Session", opened(_SESSION, reviews=array(_REVIEW), **_OF_WORKFLOW))),
    ),
)
HEALTHCHECK = named("Healthcheck", closed(status={"type": "string", "enum": ["ok"]}, timestamp=TIME))

"""Didit's routes: face match, face search, what was saved of them, and the health check.

The wire is didit/contract.py's, the decisions are device/calls.py's; here a form becomes their arguments. What is
wrong with a call is said field by field, all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Parameter, Part, answer, busy, field_errors, not_found
from kiosk.api.routes.media import with_links
from kiosk.api.saved_sessions import CALL_KINDS, KIND_BY_SERVICE, PATH_BY_KIND, decision_of, link_to, open_rows, row_of
from kiosk.api.schema import (
    AGE,
    ANSWER_400,
    ANSWER_400_IMAGE,
    API_SERVICE,
    DECISION,
    FACE_MATCH,
    FACE_SEARCH,
    FLAG,
    HEALTHCHECK,
    LIVENESS,
    PAGING,
    SESSIONS,
    STRING,
    TEXT,
    VENDOR_DATA,
)
from kiosk.api.uploads import Form
from kiosk.device.age import answer_age
from kiosk.device.calls import answer_match, answer_search
from kiosk.device.deferral import defer
from kiosk.device.liveness import answer_liveness
from kiosk.didit import contract
from kiosk.entrance.news import PublishedDecision
from kiosk.errors import ImageError, ModelFileError, StoreError
from kiosk.networks.liveness import liveness_limits
from kiosk.store.accounts import Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.types import Risk, Sample

NO_DETECTOR = "This kiosk has no network for liveness loaded. `kiosk doctor` on the device says what to mend."
SEARCH_TYPES = ("most_similar", "blocklisted_or_approved")


@dataclass(frozen=True, slots=True)
class _Options:
    """What each of Didit's calls may say besides its photographs."""

    rotate: bool
    save: bool
    vendor_data: str | None
    metadata: dict[str, Any] | None = field(repr=False)


def _options(form: Form) -> _Options:
    """Read the options, which a call's other fields come before; refuse the call where any field is wrong."""
    options = _Options(
        rotate=form.flag("rotate_image", default=False),
        save=form.flag("save_api_request", default=True),
        vendor_data=form.vendor_data(),
        metadata=form.metadata("metadata"),
    )
    if form.errors:
        raise field_errors(form.errors)
    return options


def _analysed(call: Call, form: Form, names: tuple[str, ...], *, rotate: bool) -> dict[str, Sample]:
    """Analyse the photographs of a form; what is wrong with any of them is told together."""
    samples, errors = {}, {}
    for name in names:
        try:
            samples[name] = call.context.device.analyse(form.file(name), rotate=rotate)
        except ImageError as error:
            errors[name] = [str(error)]
    if errors:
        raise field_errors(errors)
    return samples


def _deferred(
    call: Call,
    form: Form,
    kind: Kind,
    photographs: Mapping[str, bytes],
    *,
    error: ModelFileError,
    thresholds: Mapping[str, float] = MappingProxyType({}),
    fields: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Answer a call while the networks here fail: by the cloud where settings and consent allow; else raise."""
    rotate = str(form.flag("rotate_image", default=False)).lower()
    found = None
    if form.flag("save_api_request", default=True):  # what may not be kept here is not handed on either
        found = defer(
            call.context.device,
            kind,
            photographs,
            thresholds=thresholds,
            fields={"rotate_image": rotate, **fields},
            vendor_data=form.vendor_data(),
            metadata=form.metadata("metadata"),
            actor=call.actor,
            now=call.context.now(),
        )
    if found is None:
        raise error
    return found


async def _judged(call: Call, kind: Kind, work: Callable[[], dict[str, Any]], *, save: bool) -> Response:
    """Answer with a decision; one that was saved is told to whoever watches the running kiosk, as one at its door."""
    found = await call.recognise(work)
    if save:
        publish_judged(call, kind, found)
    return answer(found)


def publish_judged(call: Call, kind: Kind, found: Mapping[str, Any]) -> None:
    """Tell a call's saved decision to whoever watches the running kiosk."""
    kiosk = call.context.kiosk
    if kiosk is None:
        return
    judged = found[PATH_BY_KIND[kind]]
    risks = tuple(warning["risk"] for warning in judged["warnings"])
    kiosk.news.publish_decision(
        PublishedDecision(
            found["request_id"],
            kind.value,
            judged["status"],
            judged.get("score"),
            risks,
            is_alarm=Risk.FACE_IN_BLOCKLIST.value in risks,
            at=call.context.now(),
        )
    )


async def match_faces(call: Call) -> Response:
    """Compare two photographs, 1:1."""
    names = ("user_image", "ref_image")
    form = await call.form(*names)
    photographs = {name: form.file(name) for name in names}
    threshold = form.threshold("face_match_score_decline_threshold")
    options = _options(form)

    def work() -> dict[str, Any]:
        try:
            samples = _analysed(call, form, names, rotate=options.rotate)
        except ModelFileError as error:
            decline = call.context.config.match.decline_threshold if threshold is None else threshold
            return _deferred(call, form, Kind.FACE_MATCH, photographs, error=error, thresholds={"decline": decline})
        return answer_match(
            call.context.device,
            samples["user_image"],
            samples["ref_image"],
            threshold=threshold,
            save=options.save,
            vendor_data=options.vendor_data,
            metadata=options.metadata,
            photographs=photographs,
            actor=call.actor,
            may_become_session=True,
        )

    return await _judged(call, Kind.FACE_MATCH, work, save=options.save)


async def search_faces(call: Call) -> Response:
    """Search everyone enrolled, 1:N."""
    form = await call.form("user_image")
    photographs = {"user_image": form.file("user_image")}
    search_type = form.choice("search_type", SEARCH_TYPES, default=SEARCH_TYPES[0])
    options = _options(form)

    def work() -> dict[str, Any]:
        try:
            samples = _analysed(call, form, ("user_image",), rotate=options.rotate)
        except ModelFileError as error:
            return _deferred(
                call, form, Kind.FACE_SEARCH, photographs, error=error, fields={"search_type": search_type}
            )
        found = answer_search(
            call.context.device,
            samples["user_image"],
            search_type=search_type,
            save=options.save,
            vendor_data=options.vendor_data,
            metadata=options.metadata,
            photographs=photographs,
            actor=call.actor,
            may_become_session=True,
        )
        return with_links(call.context.device.store, found, call.base_url, call.context.now())

    return await _judged(call, Kind.FACE_SEARCH, work, save=options.save)


async def passive_liveness(call: Call) -> Response:
    """Judge a photograph: a person, or a picture of one?"""
    return await _looked_at(call, Kind.PASSIVE_LIVENESS, answer_liveness)


async def estimate_age(call: Call) -> Response:
    """Estimate the age of a face, and judge whether it is a person's or a picture's."""
    return await _looked_at(call, Kind.AGE_ESTIMATION, answer_age, least_age="age_estimation_decline_threshold")


async def _looked_at(call: Call, kind: Kind, judge: Callable[..., dict[str, Any]], **more: str) -> Response:
    """Judge one photograph by what tells pictures of faces from faces.

    Args:
        call: with a form.
        kind: of the decision.
        judge: `answer_liveness`, or one that takes as much; told the thresholds in `more` too.
        more: which field of the form a further threshold stands in.
    """
    form = await call.form("user_image")
    photograph = form.file("user_image")
    thresholds = {
        name: form.threshold(field)
        for name, field in {"threshold": "face_liveness_score_decline_threshold", **more}.items()
    }
    options = _options(form)
    detector = call.context.detector
    if detector is None:
        raise busy(NO_DETECTOR)

    def work() -> dict[str, Any]:
        return judge(
            call.context.device,
            detector.tested(),
            liveness_limits(call.context.config.pad).cues,
            photograph,
            **thresholds,
            rotate=options.rotate,
            save=options.save,
            vendor_data=options.vendor_data,
            metadata=options.metadata,
            photographs={"user_image": photograph},
            actor=call.actor,
        )

    try:
        return await _judged(call, kind, work, save=options.save)
    except ImageError:
        return answer({"error": "Invalid user image format."}, 400)


async def read_session(call: Call) -> Response:
    """Return a saved call's answer, or the enrolment that a search's row names."""
    store, now = call.context.device.store, call.context.now()
    session_id = str(call.request.path_params["session_id"])
    found = await call.run(partial(decision_of, store, session_id, base_url=call.base_url, now=now))
    if found is None:
        raise not_found()
    return answer(found)


async def list_sessions(call: Call) -> Response:
    """List saved calls, newest first."""
    limit, offset = call.page()
    service = call.choice("api_service", KIND_BY_SERVICE)
    wanted = DecisionFilter(
        kinds=CALL_KINDS if service is None else (KIND_BY_SERVICE[service],),
        shown=call.words("status"),
        vendor_data=call.word("vendor_data"),
        date_from=call.moment("date_from"),
        date_to=call.moment("date_to"),
        is_kept=True,
    )
    store = call.context.device.store

    def read() -> tuple[int, list[dict[str, Any]]]:
        waiting = open_rows(store, wanted) if service is None else []
        shown = waiting[offset : offset + limit]
        page = store.log.page(wanted, limit=limit - len(shown), offset=max(0, offset - len(waiting)))
        return len(waiting) + page.total, shown + [row_of(store, one) for one in page.decisions]

    total, rows = await call.run(read)
    link = partial(link_to, call, limit)
    return answer(
        {
            "count": total,
            "next": link(offset + limit) if offset + limit < total else None,
            "previous": link(max(0, offset - limit)) if offset > 0 else None,
            "results": rows,
        }
    )


async def check_health(call: Call) -> Response:
    """Say whether calls can be answered."""
    check: Callable[[], int] = call.context.device.store.references.version
    try:
        await call.run(check)
    except StoreError:
        raise busy("The store cannot be read.") from None
    return answer({"status": "ok", "timestamp": contract.timestamp(call.context.now())})


_IMAGE = {"type": "string", "format": "binary"}
COMMON = {
    "rotate_image": Part("Try quarter turns to find an upright face; false when left out.", FLAG),
    "save_api_request": Part("Keep decision and answer; true when left out.", FLAG),
    "vendor_data": Part("Your identifier; stored, and given back.", VENDOR_DATA),
    "metadata": Part("A JSON object as text; stored, and given back.", {"type": "string", "maxLength": 4096}),
}

OPERATIONS = (
    Operation(
        "POST",
        "/v3/face-match/",
        match_faces,
        "Compare two photographs, 1:1, as Didit's Face Match does.",
        {200: FACE_MATCH, 400: ANSWER_400, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.DEVICE,
        form={
            "user_image": Part("JPEG, PNG, WebP or TIFF, at most 5 MB.", _IMAGE, is_required=True),
            "ref_image": Part("The same, to compare with.", _IMAGE, is_required=True),
            "face_match_score_decline_threshold": Part(
                "Score below which the answer is Declined.", {"type": "number", "minimum": 0, "maximum": 100}
            ),
            **COMMON,
        },
    ),
    Operation(
        "POST",
        "/v3/face-search/",
        search_faces,
        "Search the enrolled people for a face, 1:N, as Didit's Face Search does.",
        {200: FACE_SEARCH, 400: ANSWER_400, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.DEVICE,
        form={
            "user_image": Part("JPEG, PNG, WebP or TIFF, at most 5 MB.", _IMAGE, is_required=True),
            "search_type": Part("Whom to list first.", {"type": "string", "enum": list(SEARCH_TYPES)}),
            **COMMON,
        },
    ),
    Operation(
        "POST",
        "/v3/passive-liveness/",
        passive_liveness,
        "Say whether a photograph shows a person or a picture of one, as Didit's Passive Liveness does. One photograph "
        "says little: a good copy passes; the door asks for a movement.",
        {200: LIVENESS, 400: ANSWER_400_IMAGE, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.DEVICE,
        form={
            "user_image": Part("JPEG, PNG, WebP or TIFF, at most 5 MB.", _IMAGE, is_required=True),
            "face_liveness_score_decline_threshold": Part(
                "Score up to which the answer is Declined; 30 when left out.",
                {"type": "number", "minimum": 0, "maximum": 100},
            ),
            **COMMON,
        },
    ),
    Operation(
        "POST",
        "/v3/age-estimation/",
        estimate_age,
        "Estimate the age of a face, and say whether a person or a picture was photographed, as Didit's Age Estimation "
        "does. Any warning declines. It is a guess, and no proof of age.",
        {200: AGE, 400: ANSWER_400_IMAGE, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.DEVICE,
        form={
            "user_image": Part("JPEG, PNG, WebP or TIFF, at most 5 MB.", _IMAGE, is_required=True),
            "face_liveness_score_decline_threshold": Part(
                "Liveness score up to which the answer is Declined; 30 when left out.",
                {"type": "number", "minimum": 0, "maximum": 100},
            ),
            "age_estimation_decline_threshold": Part(
                "Age below which the answer is Declined, in years; 18 when left out, 0 for no age.",
                {"type": "number", "minimum": 0, "maximum": 100},
            ),
            **COMMON,
        },
    ),
    Operation(
        "GET",
        "/v3/session/{session_id}/decision/",
        read_session,
        "Return a session, a saved call's answer, or the enrolment that a search's row names; status is the reviewer's "
        "where there is a review.",
        {200: DECISION, 404: TEXT, 503: TEXT},
        role=Role.DEVICE,
    ),
    Operation(
        "GET",
        "/v3/sessions/",
        list_sessions,
        "List saved calls and sessions, newest first, sessions under way before all others. Didit's session_kind, "
        "country, workflow_id and search are not served here: they are ignored.",
        {200: SESSIONS, 400: ANSWER_400, 503: TEXT},
        role=Role.DEVICE,
        query=(
            Parameter("vendor_data", "Only those with this identifier.", VENDOR_DATA),
            Parameter("api_service", "Only one kind.", API_SERVICE),
            Parameter(
                "status",
                "Only those shown with one of these statuses, with commas between them; one that does not exist "
                "matches nothing.",
                STRING,
            ),
            Parameter("date_from", "Only from this time on.", {"type": "string", "format": "date-time"}),
            Parameter("date_to", "Only before this time.", {"type": "string", "format": "date-time"}),
            *PAGING,
        ),
    ),
    Operation(
        "GET",
        "/system/healthcheck/",
        check_health,
        "Say whether calls can be answered.",
        {200: HEALTHCHECK, 503: TEXT},
        is_limited=False,
    ),
)

"""A session's page and what it asks: for the person whose link it is, known by nothing but the token in its address.

The answers hold no name and no finding: what the person does next, why, and how it ended.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import segno
from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Part, answer, field_errors, not_found
from kiosk.api.routes.pages import page_file
from kiosk.api.routes.v3.workflow_sessions import public_base
from kiosk.api.schema import (
    ANSWER_400,
    BOOLEAN,
    INTEGER,
    SESSION_STATUS,
    STRING,
    TEXT,
    array,
    closed,
    named,
    or_null,
)
from kiosk.device.sessions.content import unpacked
from kiosk.entrance.news import PublishedDecision
from kiosk.errors import ImageError
from kiosk.rules.workflow import Workflow
from kiosk.store.chain import Kind
from kiosk.store.open_sessions.sessions import OpenSession

LONGEST_TOKEN = 200


def _find(call: Call) -> OpenSession:
    """Return the session of the address, or refuse as if there were none."""
    token = str(call.request.path_params["token"])
    found = call.context.sessions.find(token) if len(token) <= LONGEST_TOKEN else None
    if found is None:
        raise not_found()
    return found


def _told(call: Call, session: OpenSession) -> dict[str, Any]:
    content = unpacked(session)
    asked, picture = content.asked, None if session.is_over else content.next_picture
    most = call.context.config.sessions.attempts
    callback = None
    if session.is_over and asked.callback:
        said = urlencode({"verificationSessionId": session.session_id, "status": content.status.value})
        callback = f"{asked.callback}{'&' if '?' in asked.callback else '?'}{said}"
    return {
        "status": content.status.value,
        "pictures": [one.value for one in Workflow(asked.workflow_id, asked.steps).pictures],
        "next": None if picture is None else picture.value,
        "attempts_left": 0 if picture is None else max(0, most - content.attempts.get(picture, 0)),
        "reason": content.reason,
        "keeps_face": call.context.config.store.keep_calls,
        "language": asked.language,
        "callback": callback,
        "callback_method": asked.callback_method or "initiator",
        "url": f"{public_base(call)}/session/{call.request.path_params['token']}",
    }


async def _changed(call: Call, work: Callable[[], OpenSession], *, recognises: bool) -> Response:
    session = await (call.recognise(work) if recognises else call.run(work))
    kiosk = call.context.kiosk
    if session.is_over and kiosk is not None:
        status = unpacked(session).status.value
        kiosk.news.publish_decision(
            PublishedDecision(
                session.session_id, Kind.SESSION.value, status, None, (), is_alarm=False, at=call.context.now()
            )
        )
    return answer(_told(call, session))


async def show_session_page(call: Call) -> Response:
    """Return the page; whether its link is good is asked by the page."""
    return await call.run(lambda: page_file(call, "session/index.html"))


async def read_session_state(call: Call) -> Response:
    """Say what is next, or how the session ended."""
    session = await call.run(lambda: _find(call))
    return answer(_told(call, session))


async def begin_session(call: Call) -> Response:
    """Note that the person agreed."""
    return await _changed(call, lambda: call.context.sessions.begin(_find(call)), recognises=False)


async def send_selfie(call: Call) -> Response:
    """Take the person's photograph of themselves."""
    form = await call.form("user_image")
    photograph = form.file("user_image")
    if form.errors:
        raise field_errors(form.errors)

    def work() -> OpenSession:
        return call.context.sessions.take_selfie(_find(call), photograph)

    try:
        return await _changed(call, work, recognises=True)
    except ImageError as error:
        raise field_errors({"user_image": [str(error)]}) from None


async def send_document(call: Call) -> Response:
    """Take the photographs of the person's document."""
    form = await call.form("front_image", "back_image")
    front = form.file("front_image")
    back = form.file("back_image") if form.files.get("back_image") else None
    if form.errors:
        raise field_errors(form.errors)

    def work() -> OpenSession:
        return call.context.sessions.take_document(_find(call), front, back)

    try:
        return await _changed(call, work, recognises=True)
    except ImageError as error:
        raise field_errors({"front_image": [str(error)]}) from None


async def show_session_code(call: Call) -> Response:
    """Return the session's address as a QR code, by which a telephone goes on."""
    session = await call.run(lambda: _find(call))
    drawn = io.BytesIO()
    segno.make(f"{_told(call, session)['url']}?continued", micro=False).save(
        drawn, kind="svg", border=4, scale=6, dark="#000", light="#fff"
    )
    return Response(drawn.getvalue(), media_type="image/svg+xml")


_STATE = named(
    "SessionState",
    closed(
        status=SESSION_STATUS,
        pictures=array(STRING),
        next=or_null(STRING),
        attempts_left=INTEGER,
        reason=or_null(named("SessionReason", {"type": "string", "description": "A risk, as in Warning."})),
        keeps_face=BOOLEAN,
        language=or_null(STRING),
        callback=or_null(STRING),
        callback_method=STRING,
        url=STRING,
    ),
)
_IMAGE = {"type": "string", "format": "binary"}
_TAKEN = {200: _STATE, 400: ANSWER_400, 404: TEXT, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT}
OPERATIONS = (
    Operation(
        "GET",
        "/session/{token}",
        show_session_page,
        "The page of a session, for its person; the address is the url that POST /v3/session/ answers.",
        {200: None, 304: None, 404: TEXT},
        media_type="text/html",
    ),
    Operation(
        "GET",
        "/session/{token}/state/",
        read_session_state,
        "Say what the person of a session does next, or how it ended.",
        {200: _STATE, 404: TEXT, 503: TEXT},
    ),
    Operation(
        "GET",
        "/session/{token}/code.svg",
        show_session_code,
        "The session's address as a QR code.",
        {200: None, 404: TEXT, 503: TEXT},
        media_type="image/svg+xml",
    ),
    Operation(
        "POST",
        "/session/{token}/begin/",
        begin_session,
        "Note that the person agreed to begin; again changes nothing.",
        {200: _STATE, 404: TEXT, 409: TEXT, 503: TEXT},
    ),
    Operation(
        "POST",
        "/session/{token}/selfie/",
        send_selfie,
        "Take the person's photograph of themselves; it is judged and not kept.",
        _TAKEN,
        form={"user_image": Part("JPEG, PNG, WebP or TIFF, at most 5 MB.", _IMAGE, is_required=True)},
    ),
    Operation(
        "POST",
        "/session/{token}/document/",
        send_document,
        "Take the photographs of the person's document; they are read and not kept.",
        _TAKEN,
        form={
            "front_image": Part("JPEG, PNG, WebP or TIFF, at most 5 MB.", _IMAGE, is_required=True),
            "back_image": Part("The same, of the back where there is one.", _IMAGE),
        },
    ),
)

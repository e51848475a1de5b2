"""Signing in and out: a name and password or a key become a cookie that scripts cannot read."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from kiosk.api.access import Caller
from kiosk.api.gate import COOKIE, NO_KEY, refuse_locked
from kiosk.api.operation import Call, Operation, answer, field_errors, refusal
from kiosk.api.schema import ANSWER_400, BOOLEAN, STRING, TEXT, TIME, closed, named, or_null
from kiosk.didit import contract
from kiosk.store.accounts import Role

SESSION = named(
    "SignedIn",
    closed(
        name=STRING,
        role={"title": "Role", "type": "string", "enum": [role.word for role in Role]},
        csrf=or_null(STRING),
        expires_at=or_null(TIME),
        language=STRING,
        time_zone=STRING,
        has_cloud=BOOLEAN,
    ),
)


def _about(call: Call, caller: Caller) -> dict[str, Any]:
    return {
        "name": caller.account.name,
        "role": caller.role.word,
        "csrf": caller.csrf,
        "expires_at": None if caller.expires_at is None else contract.timestamp(caller.expires_at),
        "language": call.context.config.api.language,
        "time_zone": call.context.config.schedule.time_zone,
        "has_cloud": call.context.cloud is not None,
    }


async def sign_in(call: Call) -> Response:
    """Open a session."""
    access = call.context.access
    body = await call.json()
    name, password, key = (body.get(field) for field in ("name", "password", "key"))
    if isinstance(key, str) and name is None and password is None:
        caller = await call.run(lambda: access.by_key(key, call.sender))
        if caller is None:  # a right key is let in from an address that others guess from
            refuse_locked(access.locked_s(call.sender))
    elif isinstance(name, str) and isinstance(password, str) and key is None:
        refuse_locked(access.locked_s(call.sender))

        def check() -> Caller | None:
            refuse_locked(access.locked_s(call.sender))  # others of this sender may have been wrong meanwhile
            return access.by_password(name, password, call.sender)

        caller = await call.check_password(check)
    else:
        raise field_errors({"name": ["Give name and password, or a key."]})
    if caller is None:
        raise refusal(401, NO_KEY if key is not None else "Wrong name or password.")
    token, session = await call.run(lambda: access.open_session(caller))
    response = answer(_about(call, session))
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(call.context.config.api.session_h * 3600),
        path="/",
        httponly=True,
        samesite="strict",
        secure=call.context.is_secure,
    )
    return response


async def show_signed_in(call: Call) -> Response:
    """Return whose session or key this is."""
    assert call.caller is not None  # the gate let the caller in
    return answer(_about(call, call.caller))


async def sign_out(call: Call) -> Response:
    """Close the session."""
    call.context.access.close_session(call.request.cookies.get(COOKIE, ""))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=call.context.is_secure)
    return response


OPERATIONS = (
    Operation(
        "POST",
        "/device/session",
        sign_in,
        "Sign in with a name and password, or with a key; the answer sets the cookie kiosk_session.",
        {200: SESSION, 400: ANSWER_400, 401: TEXT, 403: TEXT, 408: TEXT, 413: TEXT, 503: TEXT},
        json={
            "type": "object",
            "properties": {"name": STRING, "password": STRING, "key": STRING},
            "additionalProperties": False,
        },
    ),
    Operation(
        "GET",
        "/device/session",
        show_signed_in,
        "Return who is signed in, and the token that changes by cookie must carry in X-Kiosk-CSRF.",
        {200: SESSION, 503: TEXT},
        role=Role.DEVICE,
    ),
    Operation("DELETE", "/device/session", sign_out, "Sign out.", {204: None, 503: TEXT}, role=Role.DEVICE),
)

"""Signing in and out: a name and password or a key become a cookie that scripts cannot read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from starlette.responses import Response

from kiosk.api.access import Caller
from kiosk.api.gate import COOKIE, NO_KEY, refuse_locked
from kiosk.api.operation import Call, Operation, Refusal, answer, field_errors, refusal
from kiosk.api.routes.proven import check_code
from kiosk.api.schema import ANSWER_400, BOOLEAN, STRING, TEXT, TIME, closed, named, or_null
from kiosk.didit import contract
from kiosk.errors import StoreError
from kiosk.store.accounts import Role

SESSION = named(
    "SignedIn",
    closed(
        name=STRING,
        id=STRING,
        is_operator=BOOLEAN,  # who has a password; else a key signed in
        has_second_factor=BOOLEAN,
        role={"title": "Role", "type": "string", "enum": [role.word for role in Role]},
        csrf=or_null(STRING),
        expires_at=or_null(TIME),
        language=STRING,
        time_zone=STRING,
        has_fleet=BOOLEAN,
        has_cloud=BOOLEAN,
        has_door=BOOLEAN,  # whether camera and door run here; else only the API is served
    ),
)


def _about(call: Call, caller: Caller) -> dict[str, Any]:
    return {
        "id": caller.id,
        "is_operator": caller.account.kind == "operator",
        "name": caller.account.name,
        "has_second_factor": caller.account.totp is not None,
        "role": caller.role.word,
        "csrf": caller.csrf,
        "expires_at": None if caller.expires_at is None else contract.timestamp(caller.expires_at),
        "language": call.context.config.api.language,
        "time_zone": call.context.config.schedule.time_zone,
        "has_fleet": call.context.fleet is not None,
        "has_cloud": call.context.cloud is not None,
        "has_door": call.context.kiosk is not None,
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
    if key is None and caller.account.totp is not None:
        await _check_code(call, caller, body.get("code"))
    return await signed_in(call, caller)


async def _check_code(call: Call, caller: Caller, code: object) -> None:
    """Ask for the code of the second factor; the password alone opens nothing."""
    if code is None or code == "":
        raise Refusal(401, {"detail": "The code of your telephone is wanted too.", "wants_code": True})
    if not isinstance(code, str):
        raise field_errors({"code": ["Want a text."]})
    check_code(call, caller.account, code, lambda sentence: Refusal(401, {"detail": sentence, "wants_code": True}))


async def signed_in(call: Call, caller: Caller) -> Response:
    """Open a session for somebody who proved who they are, and answer with its cookie."""
    access = call.context.access

    def work() -> tuple[str, Caller]:
        with suppress(StoreError):  # a full disk must keep nobody from opening the door
            access.accounts.note_signed_in(caller.id, actor=caller.id)
        return access.open_session(caller, call.sender.address)

    token, session = await call.run(work)
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
        "Sign in with name, password and the code of a second factor, or with a key; sets the cookie kiosk_session.",
        {200: SESSION, 400: ANSWER_400, 401: TEXT, 403: TEXT, 408: TEXT, 413: TEXT, 503: TEXT},
        json={
            "type": "object",
            "properties": {"name": STRING, "password": STRING, "code": STRING, "key": STRING},
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

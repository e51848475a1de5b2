"""Operators in the page: who they are, what they may, where they are signed in; and each one's own second factor."""

from __future__ import annotations

import io
import socket
from typing import Any

import segno
from starlette.responses import Response

from kiosk.api.access import OpenSession
from kiosk.api.gate import COOKIE, refuse_locked
from kiosk.api.operation import Call, Operation, answer, field_errors, not_found, refusal
from kiosk.api.routes.keys import ROLES
from kiosk.api.routes.proven import LONGEST_CODE, OWN_FIELDS, own_account, own_account_with_code, prove
from kiosk.api.schema import ANSWER_400, BOOLEAN, STRING, TEXT, TIME, array, closed, named, opened, or_null
from kiosk.api.totp import address_of, counter_of, new_secret
from kiosk.didit.contract import timestamp
from kiosk.errors import RefusedError
from kiosk.store.accounts import LONGEST_NAME, LONGEST_PASSWORD, SHORTEST_PASSWORD, Account, Role

OPERATOR_ROLES = ("operator", "admin")
TITLE = "Face kiosk"


def _about(account: Account, used: float | None, sessions: list[OpenSession]) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "role": account.role.word,
        "has_second_factor": account.totp is not None,
        "created_at": timestamp(account.created_at),
        "last_used_at": None if used is None else timestamp(used),
        "sessions": [
            {
                "id": one.id,
                "address": one.address,
                "opened_at": timestamp(one.opened_at),
                "used_at": timestamp(one.used_at),
                "expires_at": timestamp(one.expires_at),
            }
            for one in sessions
        ],
    }


async def list_operators(call: Call) -> Response:
    """List operators who may sign in, oldest first."""
    access, now = call.context.access, call.context.now()

    def read() -> list[dict[str, Any]]:
        open_now, used = access.sessions(), access.accounts.last_signed_in()
        told = []
        for account in access.accounts.all("operator"):
            theirs = [one for one in open_now if (one.account, one.mark) == (account.id, account.mark)]
            times = [*([used[account.id]] if account.id in used else []), *(one.used_at for one in theirs)]
            if account.is_good(now):
                told.append(_about(account, max(times, default=None), theirs))
        return told

    return answer({"operators": await call.run(read)})


async def create_operator(call: Call) -> Response:
    """Make an operator's account."""
    body = await call.json()
    name, role, password = body.get("name"), body.get("role"), body.get("password")
    errors: dict[str, list[str]] = {}
    if not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME or not name.strip().isprintable():
        errors["name"] = [f"Want a name of 1 to {LONGEST_NAME} printable characters."]
    if role not in OPERATOR_ROLES:
        errors["role"] = [f"Want one of {', '.join(OPERATOR_ROLES)}."]
    if fault := _password_fault(password):
        errors["password"] = [fault]
    if errors:
        raise field_errors(errors)
    accounts = call.context.access.accounts
    await prove(call, body)

    def work() -> Account:
        try:
            return accounts.create_operator(str(name), ROLES[str(role)], str(password), actor=call.actor)
        except RefusedError as error:
            raise field_errors({"name": [f"{error}."]}) from None

    return answer(_about(await call.check_password(work), None, []), 201)


async def change_operator(call: Call) -> Response:
    """Change the role or the password of an operator; another password, not one's own, ends their sessions."""
    body = await call.json()
    access, accounts = call.context.access, call.context.access.accounts
    errors: dict[str, list[str]] = {}
    for name in sorted(set(body) - {"role", "password", *OWN_FIELDS}):
        errors[name[:100]] = ["There is no such field to change."]
    if "role" in body and body["role"] not in OPERATOR_ROLES:
        errors["role"] = [f"Want one of {', '.join(OPERATOR_ROLES)}."]
    if "password" in body and (fault := _password_fault(body["password"])):
        errors["password"] = [fault]
    if errors:
        raise field_errors(errors)
    if "password" in body:
        _refuse_own(call, await call.run(lambda: _known(call)), "POST /device/session/password")
    await prove(call, body)

    def work() -> Account:
        account = _known(call)
        if "role" in body and ROLES[body["role"]] is not account.role:
            account = accounts.set_role(account.id, ROLES[body["role"]], actor=call.actor)
        if "password" in body:
            account = accounts.set_password(account.name, body["password"], actor=call.actor)
            access.close_sessions(account.id)
        return account

    return answer(_about(await call.check_password(work), None, []))


async def remove_operator(call: Call) -> Response:
    """End an operator's account."""
    body = await call.json_if_any()
    await call.run(lambda: _known(call))
    await prove(call, body)

    def work() -> None:
        account = _known(call)
        call.context.access.accounts.remove(account.id, actor=call.actor)
        call.context.access.close_sessions(account.id)

    await call.run(work)
    return Response(status_code=204)


async def end_sessions(call: Call) -> Response:
    """Sign an operator out everywhere; oneself everywhere else."""
    own = call.request.cookies.get(COOKIE, "")
    await call.run(lambda: call.context.access.close_sessions(_known(call).id, but=own))
    return Response(status_code=204)


async def remove_second_factor(call: Call) -> Response:
    """Take another operator's second factor away: their telephone is lost."""
    body = await call.json_if_any()
    account = await call.run(lambda: _known(call))
    _refuse_own(call, account, "POST /device/session/second-factor/remove")
    await prove(call, body)
    await call.run(lambda: call.context.access.accounts.set_totp(_known(call).id, None, actor=call.actor))
    return Response(status_code=204)


def _refuse_own(call: Call, account: Account, route: str) -> None:
    """Refuse to change one's own password or second factor by a session alone: a page left open is not enough."""
    if call.caller is not None and call.caller.id == account.id:
        raise refusal(403, f"This is your own account: {route} asks for your password first.")


def _known(call: Call) -> Account:
    account = call.context.access.accounts.get(str(call.request.path_params["id"])[:LONGEST_NAME])
    if account is None or account.kind != "operator" or not account.is_good(call.context.now()):
        raise not_found()
    return account


def _password_fault(password: object) -> str | None:
    if not isinstance(password, str) or not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"Want a password of {SHORTEST_PASSWORD} characters or more."
    return None


# ---- one's own account


async def change_own_password(call: Call) -> Response:
    """Give oneself another password; every session ends, this one too."""
    body = await call.json()
    account = await own_account(call, body.get("password"))
    new = body.get("new_password")
    if fault := _password_fault(new):
        raise field_errors({"new_password": [fault]})
    access = call.context.access

    def work() -> None:
        access.accounts.set_password(account.name, str(new), actor=call.actor)
        access.close_sessions(account.id)

    await call.check_password(work)
    return Response(status_code=204)


async def begin_second_factor(call: Call) -> Response:
    """Make the secret of a second factor; it counts once a code of it is given."""
    account = await own_account_with_code(call, await call.json())
    secret = new_secret()
    call.context.access.offer_totp(account.id, secret)
    address = address_of(secret, account.name, f"{TITLE} {socket.gethostname()}")
    drawn = io.BytesIO()
    segno.make(address, micro=False).save(
        drawn, kind="svg", scale=5, border=3, dark="#000", light="#fff", xmldecl=False
    )
    return answer({"secret": secret, "address": address, "qr": drawn.getvalue().decode()})


async def confirm_second_factor(call: Call) -> Response:
    """Take a code of the telephone: from now on a sign-in wants one, and who signed in without is signed out."""
    access, caller = call.context.access, call.caller
    if caller is None or caller.csrf is None:
        raise refusal(403, "Sign in with name and password: a key has neither.")
    code = (await call.json()).get("code")
    secret = access.offered_totp(caller.id)
    if secret is None:
        raise refusal(409, "Start over: the secret was shown too long ago.")
    refuse_locked(access.locked_s(call.sender))
    counter = counter_of(secret, code[:LONGEST_CODE], call.context.now()) if isinstance(code, str) else None
    if counter is None:
        access.count_wrong(call.sender)
        raise field_errors({"code": ["This is not the telephone's code of now; look at its clock."]})
    access.note_code(caller.id, counter)
    await call.run(lambda: access.accounts.set_totp(caller.id, secret, actor=call.actor))
    access.offer_totp(caller.id, None)
    access.close_sessions(caller.id, but=call.request.cookies.get(COOKIE, ""))
    return Response(status_code=204)


async def remove_own_second_factor(call: Call) -> Response:
    """Take one's own second factor away."""
    account = await own_account_with_code(call, await call.json())
    await call.run(lambda: call.context.access.accounts.set_totp(account.id, None, actor=call.actor))
    return Response(status_code=204)


_SESSION = named("OpenSession", closed(id=STRING, address=STRING, opened_at=TIME, used_at=TIME, expires_at=TIME))
OPERATOR = named(
    "Operator",
    closed(
        id=STRING,
        name=STRING,
        role={"type": "string", "enum": list(OPERATOR_ROLES)},
        has_second_factor=BOOLEAN,
        created_at=TIME,
        last_used_at=or_null(TIME),
        sessions=array(_SESSION),
    ),
)
_ROLE = {"type": "string", "enum": list(OPERATOR_ROLES)}
_NEW = {"type": "string", "minLength": SHORTEST_PASSWORD, "maxLength": LONGEST_PASSWORD}
_SENT = {400: ANSWER_400, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT}
_OWN = {403: TEXT, **_SENT}
_PATH = "/device/operators/{id}"

OPERATIONS = (
    Operation(
        "GET",
        "/device/operators",
        list_operators,
        "List operators, when each used the kiosk last, and where they are signed in.",
        {200: named("Operators", closed(operators=array(OPERATOR))), 503: TEXT},
        role=Role.ADMIN,
    ),
    Operation(
        "POST",
        "/device/operators",
        create_operator,
        "Make an operator's account; a session gives its own password and code.",
        {201: OPERATOR, **_SENT},
        role=Role.ADMIN,
        json=opened(
            {"name": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}, "role": _ROLE, "password": _NEW},
            **OWN_FIELDS,
        ),
    ),
    Operation(
        "PATCH",
        _PATH,
        change_operator,
        "Change an operator's role or password, not one's own password; a session gives its own password and code.",
        {200: OPERATOR, 403: TEXT, 404: TEXT, **_SENT},
        role=Role.ADMIN,
        json=opened({}, role=_ROLE, password=_NEW, **OWN_FIELDS),
    ),
    Operation(
        "DELETE",
        _PATH,
        remove_operator,
        "End an account and its sessions, not the last administrator's; a session gives its own password and code.",
        {204: None, 404: TEXT, **_SENT},
        role=Role.ADMIN,
        json=opened({}, **OWN_FIELDS),
    ),
    Operation(
        "DELETE",
        _PATH + "/sessions",
        end_sessions,
        "Sign an operator out everywhere; oneself everywhere else.",
        {204: None, 404: TEXT, 503: TEXT},
        role=Role.ADMIN,
    ),
    Operation(
        "DELETE",
        _PATH + "/second-factor",
        remove_second_factor,
        "Remove the second factor of an operator whose telephone is lost; a session gives its own password and code.",
        {204: None, 403: TEXT, 404: TEXT, **_SENT},
        role=Role.ADMIN,
        json=opened({}, **OWN_FIELDS),
    ),
    Operation(
        "POST",
        "/device/session/password",
        change_own_password,
        "Give oneself another password; ends all one's sessions.",
        {204: None, **_OWN},
        role=Role.OPERATOR,
        json=closed(password=STRING, new_password=_NEW),
    ),
    Operation(
        "POST",
        "/device/session/second-factor",
        begin_second_factor,
        "Make a secret for one's own second factor; replacing one needs a code of it. It counts once a "
        "code confirms it.",
        {200: named("SecondFactor", closed(secret=STRING, address=STRING, qr=STRING)), **_OWN},
        role=Role.OPERATOR,
        json=opened({"password": STRING}, code=STRING),
    ),
    Operation(
        "PUT",
        "/device/session/second-factor",
        confirm_second_factor,
        "Confirm one's second factor by a code of it; each sign-in needs one from then on, and other sessions end.",
        {204: None, **_OWN},
        role=Role.OPERATOR,
        json=closed(code=STRING),
    ),
    Operation(
        "POST",
        "/device/session/second-factor/remove",
        remove_own_second_factor,
        "Remove one's own second factor; needs a code of it.",
        {204: None, **_OWN},
        role=Role.OPERATOR,
        json=opened({"password": STRING}, code=STRING),
    ),
)

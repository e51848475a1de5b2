"""Keys over the API, and what waits to leave the device."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from kiosk.api.access import about_account
from kiosk.api.operation import (
    DEFAULT_ROWS,
    MOST_ROWS,
    Call,
    Operation,
    Parameter,
    answer,
    field_errors,
    not_found,
    refusal,
)
from kiosk.api.routes.proven import OWN_FIELDS, prove
from kiosk.api.schema import (
    ANSWER_400,
    ANY_OBJECT,
    BOOLEAN,
    INTEGER,
    PAGING,
    STRING,
    TEXT,
    TIME,
    array,
    closed,
    named,
    opened,
    or_null,
)
from kiosk.errors import ConfigError, RefusedError
from kiosk.store.accounts import LONGEST_NAME, SCOPES, Account, Role
from kiosk.store.outbox import OutboxState
from kiosk.store.remote_lists import Lists

DAY_S = 86400.0
MOST_DAYS = 3650
MOST_WEBHOOK_BYTES = 1 << 20
STATES = tuple(state.value for state in OutboxState)
ROLES = {role.word: role for role in Role}


def _about(account: Account) -> dict[str, Any]:
    return {**about_account(account), "is_revoked": account.revoked_at is not None}


async def list_keys(call: Call) -> Response:
    """List keys, oldest first."""
    found = await call.run(lambda: call.context.access.accounts.all("key"))
    return answer({"keys": [_about(account) for account in found]})


async def create_key(call: Call) -> Response:
    """Make a key; this answer is the only place that ever shows it."""
    body = await call.json()
    errors: dict[str, list[str]] = {}
    name, role, days = body.get("name"), body.get("role"), body.get("expires_days")
    scopes = body.get("scopes", [])
    if not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME or not name.strip().isprintable():
        errors["name"] = [f"Want a name of 1 to {LONGEST_NAME} printable characters."]
    if not isinstance(role, str) or role not in ROLES:
        errors["role"] = [f"Want one of {', '.join(ROLES)}."]
    if not isinstance(scopes, list) or not all(scope in SCOPES for scope in scopes):
        errors["scopes"] = [f"Want a list of {', '.join(SCOPES)}."]
    if days is not None and (isinstance(days, bool) or not isinstance(days, (int, float)) or not 0 < days <= MOST_DAYS):
        errors["expires_days"] = [f"Ensure this value is between 1 and {MOST_DAYS}."]
    if errors:
        raise field_errors(errors)
    await prove(call, body)
    expires = None if days is None else call.context.now() + days * DAY_S
    accounts = call.context.access.accounts
    try:
        account, text = await call.run(
            lambda: accounts.create_key(
                str(name), ROLES[str(role)], scopes=scopes, expires_at=expires, actor=call.actor
            )
        )
    except ConfigError as error:
        raise refusal(400, str(error)) from None
    return answer({**_about(account), "key": text}, 201)


async def revoke_key(call: Call) -> Response:
    """Revoke a key at once."""
    name = str(call.request.path_params["id"])
    await prove(call, await call.json_if_any())
    try:
        await call.run(lambda: call.context.access.accounts.revoke(name, kind="key", actor=call.actor))
    except RefusedError:
        raise not_found() from None
    return Response(status_code=204)


async def show_cloud(call: Call) -> Response:
    """Return what waits to leave the device, and how the way there is."""
    outside = call.context.cloud
    if outside is None:
        raise not_found()
    state = call.choice("state", STATES)
    limit = call.whole("limit", default=DEFAULT_ROWS, low=1, high=MOST_ROWS)
    offset = call.page()[1]

    def read() -> dict[str, Any]:
        counts = {found.value: many for found, many in call.context.device.store.outbox.counts().items()}
        rows = outside.rows(state, limit, offset)
        return {**outside.status(), "counts": counts, "rows": [dict(row) for row in rows]}

    return answer(await call.run(read))


async def receive_webhook(call: Call) -> Response:
    """Receive a webhook of Didit's that the owner relays; its signature is checked instead of a key."""
    outside = call.context.cloud
    if outside is None:
        raise not_found()
    content = b"".join([chunk async for chunk in call.chunks(MOST_WEBHOOK_BYTES)])
    headers = dict(call.request.headers)
    try:
        is_new = await call.run(lambda: outside.receive_webhook(content, headers))
    except RefusedError as error:
        raise refusal(403, str(error)) from None
    return answer({"is_new": is_new})


KEY = {
    "id": STRING,
    "name": STRING,
    "role": {"type": "string", "enum": list(ROLES)},
    "scopes": array({"type": "string", "enum": list(SCOPES)}),
    "created_at": TIME,
    "expires_at": or_null(TIME),
    "is_revoked": BOOLEAN,
}


async def confirm_list(call: Call) -> Response:
    """Take an operator's word that a list shrank."""
    name = str(call.request.path_params["list"])
    held = await call.run(lambda: Lists(call.context.device.store).confirm(name, actor=call.actor))
    return answer({"list": held.list, "vanished": held.vanished})


OPERATIONS = (
    Operation(
        "GET",
        "/device/keys",
        list_keys,
        "List keys, without their secret text.",
        {200: named("Keys", closed(keys=array(named("Key", closed(**KEY))))), 503: TEXT},
        role=Role.ADMIN,
    ),
    Operation(
        "POST",
        "/device/keys",
        create_key,
        "Make a key; only this answer shows it. A session gives its own password and code.",
        {201: named("NewKey", closed(**KEY, key=STRING)), 400: ANSWER_400, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.ADMIN,
        json=opened(
            {
                "name": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME},
                "role": {"type": "string", "enum": list(ROLES)},
            },
            scopes=array({"type": "string", "enum": list(SCOPES)}),
            expires_days=or_null({"type": "number", "exclusiveMinimum": 0, "maximum": MOST_DAYS}),
            **OWN_FIELDS,
        ),
    ),
    Operation(
        "DELETE",
        "/device/keys/{id}",
        revoke_key,
        "Revoke a key at once; a session gives its own password and code.",
        {204: None, 400: ANSWER_400, 404: TEXT, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.ADMIN,
        json=opened({}, **OWN_FIELDS),
    ),
    Operation(
        "GET",
        "/device/cloud",
        show_cloud,
        "Return what waits to be sent, and whether sending works; 404 where there is no cloud.",
        {200: named("CloudState", ANY_OBJECT), 400: ANSWER_400, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        query=(Parameter("state", "Only rows in this state.", {"type": "string", "enum": list(STATES)}), *PAGING),
    ),
    Operation(
        "POST",
        "/device/cloud/lists/{list}/confirm",
        confirm_list,
        "Confirm that a list of the cloud lost most of its entries: the next reading unblocks them.",
        {200: named("ListConfirmation", closed(list=STRING, vanished=INTEGER)), 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        "/device/cloud/webhook",
        receive_webhook,
        "Receive a webhook of Didit's that the owner relays; its signature is checked instead of a key.",
        {200: named("ReceivedWebhook", closed(is_new=BOOLEAN)), 403: TEXT, 404: TEXT, 408: TEXT, 413: TEXT, 503: TEXT},
    ),
)

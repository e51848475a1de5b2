"""The first run: a kiosk that nobody owns gets its first operator by a one-time code, who then goes through the steps.

The operator comes first, before camera and door are shown: to whoever finds the page there is nothing to see. The code
is made on the device alone, see setup_code.py. It is taken from the device itself, or under TLS: never in clear text
over a network.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.responses import Response

from kiosk.api.access import Caller
from kiosk.api.gate import PROXIED, refuse_locked
from kiosk.api.operation import Call, Operation, answer, field_errors, refusal
from kiosk.api.routes.session import SESSION, signed_in
from kiosk.api.schema import ANSWER_400, BOOLEAN, STRING, TEXT, TIME, closed, named, or_null
from kiosk.api.setup_code import drop, is_pending, is_right, write_private
from kiosk.didit.contract import timestamp
from kiosk.errors import ConfigError, StoreError
from kiosk.rules.addresses import is_loopback
from kiosk.store.accounts import LONGEST_NAME, LONGEST_PASSWORD, SHORTEST_PASSWORD, Role

NAME = "setup.json"
STEPS = ("language", "clock", "camera", "door", "person")
STATES = ("open", "done", "skipped")
LONGEST_CODE = 40
WRONG = "This code is wrong, has been used, or is older than an hour. `kiosk setup` on the device makes another."


def _steps(directory: Path) -> dict[str, str] | None:
    """Return how far the steps are; None where this kiosk was not set up by the page."""
    try:
        kept = json.loads((directory / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict):
        return None
    return {step: kept[step] if kept.get(step) in STATES else "open" for step in STEPS}


async def show_setup(call: Call) -> Response:
    """Say whether somebody owns this kiosk yet; how far the steps are is for administrators."""
    accounts, directory = call.context.access.accounts, call.context.device.store.directory
    is_admin = call.caller is not None and call.caller.role is Role.ADMIN

    def read() -> dict[str, Any]:
        is_unclaimed = accounts.is_unclaimed()
        return {
            "is_unclaimed": is_unclaimed,
            "has_code": is_unclaimed and is_pending(directory, call.context.now()),
            "steps": _steps(directory) if is_admin else None,
            "now": timestamp(call.context.now()) if is_admin else None,
        }

    return answer(await call.run(read))


async def claim(call: Call) -> Response:
    """Make the first operator, an administrator, and sign them in."""
    context, access = call.context, call.context.access
    directory = context.device.store.directory
    is_proxied = call.sender.proxy is not None or any(name in call.request.headers for name in PROXIED)
    is_of_device = is_loopback(call.sender.address) and not is_proxied
    if not (is_of_device or context.is_secure):
        raise refusal(403, "The first operator is made on the device itself, or over https.")
    body = await call.json()
    code, name, password = (body.get(field) for field in ("code", "name", "password"))
    if not isinstance(code, str) or not 0 < len(code) <= LONGEST_CODE:
        raise field_errors({"code": ["Want the code that `kiosk setup` printed on the device."]})
    if not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME or not name.strip().isprintable():
        raise field_errors({"name": [f"Want a name of 1 to {LONGEST_NAME} printable characters."]})
    if not isinstance(password, str) or not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise field_errors({"password": [f"Want a password of {SHORTEST_PASSWORD} characters or more."]})
    refuse_locked(access.locked_s(call.sender))

    def work() -> Caller:
        with context.claiming:  # of two phones the second finds it taken
            refuse_locked(access.locked_s(call.sender))
            if not access.accounts.is_unclaimed():
                raise refusal(409, "This kiosk has its operators already; sign in.")
            if not is_right(directory, code, context.now()):
                access.count_wrong(call.sender)
                raise field_errors({"code": [WRONG]})
            try:
                account = access.accounts.create_operator(name, Role.ADMIN, password, actor="setup", is_first=True)
            except ConfigError as error:
                raise refusal(400, str(error)) from None
            with suppress(StoreError):  # the account is made; a code that stays opens nothing more
                drop(directory)
                write_private(directory / NAME, dict.fromkeys(STEPS, "open"))
            return Caller(access.accounts.get(account.id) or account)  # as it was stored: with the mark of its password

    return await signed_in(call, await call.check_password(work))


async def note_step(call: Call) -> Response:
    """Note that a step was done, skipped, or is to be done again."""
    body = await call.json()
    step, state = body.get("step"), body.get("state")
    if step not in STEPS:
        raise field_errors({"step": [f"Want one of {', '.join(STEPS)}."]})
    if state not in STATES:
        raise field_errors({"state": [f"Want one of {', '.join(STATES)}."]})
    directory = call.context.device.store.directory

    def work() -> dict[str, str]:
        with call.context.claiming:
            steps = _steps(directory) or dict.fromkeys(STEPS, "open")
            steps[str(step)] = str(state)
            write_private(directory / NAME, steps)
            return steps

    return answer({"steps": await call.run(work)})


_STEPS = named("SetupSteps", closed(**{step: {"type": "string", "enum": list(STATES)} for step in STEPS}))

OPERATIONS = (
    Operation(
        "GET",
        "/device/setup",
        show_setup,
        "Say whether this kiosk has an operator yet; to an administrator its time, and how far the first run is.",
        {
            200: named(
                "Setup", closed(is_unclaimed=BOOLEAN, has_code=BOOLEAN, steps=or_null(_STEPS), now=or_null(TIME))
            ),
            503: TEXT,
        },
    ),
    Operation(
        "POST",
        "/device/setup/claim",
        claim,
        "Make the first operator by the code of `kiosk setup`, from the device itself or over TLS, and sign in.",
        {200: SESSION, 400: ANSWER_400, 403: TEXT, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT},
        json=closed(code=STRING, name=STRING, password=STRING),
    ),
    Operation(
        "POST",
        "/device/setup/steps",
        note_step,
        "Note that a step of the first run was done or skipped.",
        {200: named("SetupProgress", closed(steps=_STEPS)), 400: ANSWER_400, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.ADMIN,
        json=closed(step={"type": "string", "enum": list(STEPS)}, state={"type": "string", "enum": list(STATES)}),
    ),
)

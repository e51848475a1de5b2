"""Whoever is signed in proves once more who they are, where a page that was left open must not be enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from kiosk.api.access import Caller
from kiosk.api.gate import refuse_locked
from kiosk.api.operation import Call, Refusal, field_errors, refusal
from kiosk.api.schema import STRING
from kiosk.store.accounts import Account

LONGEST_CODE = 20
OWN_PASSWORD, OWN_CODE = "own_password", "own_code"
OWN_FIELDS = {OWN_PASSWORD: STRING, OWN_CODE: STRING}
"""What a session sends besides, for an act that a page left open must not be enough for.

These are all changes of who may operate or call the kiosk (accounts, keys, roles, passwords, second factors), and
people who are taken away. Ending sessions is none: it only takes rights, and has to be quick. See DECISIONS.md, 19.
"""


async def own_account(call: Call, password: object, field: str = "password") -> Account:
    """Return the operator whose session this is, who gives the password once more."""
    access, caller = call.context.access, call.caller
    if caller is None or caller.csrf is None or caller.account.kind != "operator":
        raise refusal(403, "Sign in with name and password: a key has neither.")
    if not isinstance(password, str):
        raise field_errors({field: ["Want your password."]})
    refuse_locked(access.locked_s(call.sender))
    found = await call.check_password(lambda: access.by_password(caller.account.name, password, call.sender))
    if found is None or found.id != caller.id:
        raise field_errors({field: ["This is not your password."]})
    return found.account


async def own_account_with_code(
    call: Call,
    body: Mapping[str, Any],
    fields: tuple[str, str] = ("password", "code"),
) -> Account:
    """Return whose session this is, who gives password and, with a second factor, its code: else it were none."""
    password, code = fields
    account = await own_account(call, body.get(password), password)
    if account.totp is None:
        return account
    said = body.get(code)
    if not isinstance(said, str) or not said:
        raise field_errors({code: ["Want the code of your telephone too."]})
    check_code(call, account, said, lambda sentence: field_errors({code: [sentence]}))
    return account


async def prove(call: Call, body: Mapping[str, Any]) -> None:
    """Ask the owner of a session for their own password and code before an act of those above `OWN_FIELDS`.

    A call with a key proves who it is by itself. A session that was opened with a key wants the key once more.
    """
    caller = call.caller
    if caller is None or caller.csrf is None:
        return
    if caller.account.kind == "operator":
        await own_account_with_code(call, body, (OWN_PASSWORD, OWN_CODE))
        return
    said = body.get(OWN_PASSWORD)
    if not isinstance(said, str) or not said:
        raise field_errors({OWN_PASSWORD: ["Want the key that you signed in with."]})
    refuse_locked(call.context.access.locked_s(call.sender))
    found: Caller | None = await call.run(lambda: call.context.access.by_key(said, call.sender))
    if found is None or found.id != caller.id:
        raise field_errors({OWN_PASSWORD: ["This is not the key that you signed in with."]})


def check_code(call: Call, account: Account, code: str, refused: Callable[[str], Refusal]) -> None:
    """Take a code of an account's second factor, or raise what `refused` makes of the sentence that says why not."""
    access = call.context.access
    refuse_locked(max(access.locked_s(call.sender), access.code_locked_s(account)))
    checked = access.by_code(account, code[:LONGEST_CODE], call.sender)
    if checked.is_right:
        return
    if checked.wait_s > 0:
        found = refused(TOO_SOON.format(seconds=math.ceil(checked.wait_s)))
        found.headers["Retry-After"] = str(math.ceil(checked.wait_s))
        raise found
    raise refused("This code is wrong, or was used already.")


TOO_SOON = (
    "The kiosk has only just started and cannot know whether this code was used before; give the telephone's code of "
    "{seconds} seconds from now. This one does not count as wrong."
)

"""The API of a kiosk that has not started: an operator's release of the door, and why there is nothing else.

Who asks is known by the copy of the accounts, as the database may be the very thing that is damaged. A key in X-API-Key
or as a bearer, or name and password of an operator as HTTP Basic; wrong ones lock their sender out as everywhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from kiosk.api.access import Access, Caller, sender_of
from kiosk.api.gate import NO_KEY
from kiosk.api.operation import Refusal, answer, busy, refusal
from kiosk.api.queue import be_nice
from kiosk.api.server import Server, check_exposure
from kiosk.errors import KioskError, RefusedError, StoreError
from kiosk.rules.addresses import is_loopback
from kiosk.settings.network import ApiSettings
from kiosk.store.accounts import CopiedAccounts, Role
from kiosk.store.accounts_copy import AccountsCopy
from kiosk.store.keys import Key, read_keys

NOT_STARTED = "The kiosk has not started; its log says why. Only the door can be released."
LONGEST_HEADER = 2048

log = logging.getLogger("kiosk.api")


class Emergency:
    """The application."""

    def __init__(
        self,
        access: Access,
        settings: ApiSettings,
        *,
        release: Callable[[str], None],
        health: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Take who may ask, [api], what opens the door in somebody's name, and how the kiosk is."""
        self._access, self._settings, self._release, self._health = access, settings, release, health
        # scrypt takes 32 MB and 300 ms: keys and the door do not wait behind it.
        self._passwords = ThreadPoolExecutor(1, "password", initializer=be_nice)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        if scope["type"] == "http":
            request = Request(scope, receive)
            is_by_password = request.headers.get("authorization", "")[:6].lower() == "basic "
            threads = self._passwords if is_by_password and not request.headers.get("x-api-key") else None
            response = await asyncio.get_running_loop().run_in_executor(threads, self._answer, request)
            await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        path = request.url.path.rstrip("/")
        if path == "/healthz":
            return PlainTextResponse("ok\n")
        if path == "/readyz":
            return answer({"is_ready": False, "reasons": ["starting"]}, 503)
        work = _WORK.get((request.method, path))
        if work is None:
            return answer({"detail": NOT_STARTED}, 503, {"Retry-After": "10"})
        try:
            return work(self, self._operator(request))
        except Refusal as refused:
            return answer(refused.body, refused.status, refused.headers)
        except RefusedError as error:
            return answer({"detail": str(error)}, 409)

    def _operator(self, request: Request) -> Caller:
        """Return the operator who asks, or refuse."""
        address = request.client.host if request.client else ""
        if is_loopback(address) and not is_loopback((request.url.hostname or "").strip("[]")):
            raise refusal(400, "Call this machine 127.0.0.1 or localhost in the address.")
        try:
            caller = self._caller(request, address)
        except StoreError:  # no copy, or no key that opens it: nobody can be recognised
            raise busy(
                "Nobody can be recognised now: `sudo kiosk door release` on the device opens the door."
            ) from None
        if caller is None:
            raise refusal(401, NO_KEY)
        if caller.account.totp is not None:
            raise refusal(403, "This account has a second factor, which is not asked for now: use an operator's key.")
        if caller.role < Role.OPERATOR:
            raise refusal(403, "You do not have permission to perform this action.")
        return caller

    def _open(self, caller: Caller) -> Response:
        self._release(caller.id)
        return answer({"is_released": True})

    def _tell(self, _caller: Caller) -> Response:
        return answer(dict(self._health()))

    def _caller(self, request: Request, address: str) -> Caller | None:
        """Return who asks; None for nobody, also for whoever guessed too often."""
        headers = request.headers
        forwarded = ",".join(headers.getlist("x-forwarded-for"))
        sender = sender_of(address, forwarded, self._settings.trusted_proxies)
        kind, _, given = headers.get("authorization", "")[:LONGEST_HEADER].partition(" ")
        key = headers.get("x-api-key", "")[:LONGEST_HEADER] or (given.strip() if kind.lower() == "bearer" else "")
        if key:
            return self._access.by_key(key, sender)
        if kind.lower() != "basic" or self._access.locked_s(sender) > 0.0:
            return None
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self._access.by_password(name, password, sender)


_WORK: Mapping[tuple[str, str], Callable[[Emergency, Caller], Response]] = {
    ("POST", "/device/door/release"): Emergency._open,  # noqa: SLF001  its own table, below it
    ("GET", "/device/health"): Emergency._tell,  # noqa: SLF001  as above
}


def serve_emergency(
    state: Path, settings: ApiSettings, *, release: Callable[[str], None], health: Callable[[], Mapping[str, Any]]
) -> Callable[[], None]:
    """Serve it at the API's own address; return what ends that.

    Args:
        state: the state directory, with the copy of the accounts.
        settings: section [api].
        release: opens the door in somebody's name.
        health: how the kiosk is: JSON.

    Raises:
        ConfigError: the address cannot be had, or is not to be served so.
    """
    accounts = CopiedAccounts(AccountsCopy(state, _keys(state)), now=time.time)
    check_exposure(settings, accounts)
    access = Access(accounts, settings, now=time.time, monotonic=time.monotonic)
    server = Server(Emergency(access, settings, release=release, health=health), settings)
    server.start()
    return server.close


def _keys(state: Path) -> tuple[Key, ...]:
    named = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        return read_keys(state, Path(named) if named else None)
    except KioskError as error:  # then the socket on the device is what is left
        log.warning("emergency keys=none reason=%r", str(error))
        return ()

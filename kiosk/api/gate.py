"""The gate every call passes: its path and host, who asks, how often, what an error becomes, and one line of the log.

The log says method, route, status, time and request id. No path, no query, no key and no name: they may name a person.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
import uuid
from collections.abc import Collection, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiosk.api.access import Allowance, Caller, is_csrf_right, network, sender_of
from kiosk.api.context import Context
from kiosk.api.operation import Call, Operation, Refusal, answer, busy, not_found, refusal, refusal_of
from kiosk.api.origins import cors_headers, is_allowed, is_of_other_page, other_site, preflight
from kiosk.api.queue import FullError
from kiosk.api.screen_token import COOKIE as SCREEN_COOKIE
from kiosk.api.screen_token import is_screen
from kiosk.api.uploads import MemoryFullError
from kiosk.errors import KioskError
from kiosk.rules.addresses import is_loopback

LOG = logging.getLogger("kiosk.api")
COOKIE = "kiosk_session"
CSRF_HEADER = "x-kiosk-csrf"
SEND_S = 30.0  # a reader who takes nothing for so long is gone
LONGEST_TOKEN = 512
NO_KEY = "Invalid API Key."  # the contract's words
SAFE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # a proxy stands between: not from this machine
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    }
)


class Endpoint:
    """One path and its methods."""

    def __init__(self, context: Context, path: str, operations: Mapping[str, Operation]) -> None:
        """Take what may be done at a path, by method."""
        self.path, self.operations = path, operations
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        request = Request(scope, receive, send)
        scope["kiosk.route"] = self.path
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operations.get(method)
        if operation is None:
            asked = preflight(request.headers, self.operations, self._context.config.api.allowed_origins)
            if request.method == "OPTIONS" and asked is not None:
                await asked(scope, receive, send)
                return
            allowed = ", ".join(sorted(self.operations))
            raise refusal(405, f'Method "{request.method[:20]}" not allowed.', Allow=allowed)
        call, allowance = await self._admit(request, operation)
        try:
            response = await operation.answer(call)
            if allowance is not None:
                response.headers.update(allowance.headers)
            await response(scope, receive, send)
        except Refusal as refused:
            if allowance is not None:
                refused.headers = {**allowance.headers, **refused.headers}
            raise
        finally:
            call.close()

    async def _admit(self, request: Request, operation: Operation) -> tuple[Call, Allowance | None]:
        context = self._context
        address = request.client.host if request.client else ""
        is_of_other_site = is_of_other_page(request.headers)
        is_here = is_loopback(address) and not is_of_other_site and not any(name in request.headers for name in PROXIED)
        is_own_screen = is_here and is_screen(context.screen_token, request.cookies.get(SCREEN_COOKIE, ""))
        deadline = asyncio.get_running_loop().time() + context.config.api.body_timeout_s
        forwarded_for = ",".join(request.headers.getlist("x-forwarded-for"))
        sender = sender_of(address, forwarded_for, context.config.api.trusted_proxies)
        call = Call(request, context, operation, None, sender, deadline, is_screen=is_own_screen)
        if operation.is_write:
            _refuse_other_sites(request, context.config.api.allowed_origins)
        call.caller = await self._caller(call)
        allowance = self._count(call)
        is_free = (operation.is_free_here and is_here) or (operation.is_for_screen and is_own_screen)
        if operation.role is not None and not is_free:
            if call.caller is None:
                raise refusal(401, NO_KEY)
            if not call.caller.may(operation.role, operation.scope):
                raise refusal(403, "You do not have permission to perform this action.")
        return call, allowance

    async def _caller(self, call: Call) -> Caller | None:
        """Return who asks by key or by cookie; None for nobody."""
        headers, access = call.request.headers, self._context.access
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        key = headers.get("x-api-key") or (bearer.strip() if kind.lower() == "bearer" else None)
        if key is not None:
            caller = await call.run(lambda: access.by_key(key[:LONGEST_TOKEN], call.sender))
            if caller is None:  # a right key is let in from an address that others guess from
                refuse_locked(access.locked_s(call.sender))
            if caller is None and call.operation.role is not None:
                raise refusal(401, NO_KEY)
            return caller
        token = call.request.cookies.get(COOKIE)
        if not token or is_of_other_page(headers):
            return None
        caller = await call.run(lambda: access.by_session(token[:LONGEST_TOKEN]))
        is_changing = caller is not None and call.operation.is_write and call.operation.role is not None
        if is_changing and not is_csrf_right(caller, headers.get(CSRF_HEADER, "")):
            raise refusal(403, "CSRF token missing or incorrect.")
        return caller

    def _count(self, call: Call) -> Allowance | None:
        if not call.operation.is_limited:
            return None
        access = self._context.access
        who = f"account {call.caller.id}" if call.caller is not None else f"address {network(call.sender.address)}"
        allowance = (access.writes if call.operation.is_write else access.reads).take(who)
        if allowance.wait_s > 0:
            raise Refusal(429, {"detail": "Request was throttled."}, allowance.headers)
        return allowance


def refuse_locked(locked_s: float) -> None:
    """Refuse a sender from whom too many wrong keys or passwords came."""
    if locked_s > 0:
        wait = str(int(locked_s) + 1)
        raise refusal(429, "Too many wrong keys or passwords came from this address.", Retry_After=wait)


def _refuse_other_sites(request: Request, allowed: Collection[str]) -> None:
    """Refuse what a page of another site made a browser send, unless it is one of those allowed, with a key."""
    origin = other_site(request.headers)
    is_keyed = "x-api-key" in request.headers or "authorization" in request.headers
    if origin is not None and not (is_keyed and is_allowed(origin, allowed)):
        raise refusal(
            403, "Calls from pages of other sites are refused; use the kiosk's own page, or [api] allowed_origins."
        )


class Gate:
    """The outermost layer: ids, headers, log, and no exception beyond it."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        """Take the routes and what they share."""
        self._app, self._context = app, context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, whatever happens."""
        if scope["type"] != "http":  # there are no WebSockets and nothing to start
            return
        request_id = str(uuid.uuid4())
        began = time.perf_counter()
        status = 0
        path = scope["path"]
        scope["path"] = path.rstrip("/") or "/"

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                cors = cors_headers(Headers(scope=scope), self._context.config.api.allowed_origins)
                message["headers"] = _with_ours(message["headers"], request_id, cors)
            await asyncio.wait_for(send(message), SEND_S)

        try:
            try:
                _check_host(scope)
                await self._app(scope, receive, tell)
            except (Refusal, FullError, MemoryFullError, KioskError) as error:
                if status:
                    raise
                refused = self._refused(error, request_id)
                await answer(refused.body, refused.status, refused.headers)(scope, receive, tell)
        except (ClientDisconnect, asyncio.TimeoutError):
            status = status or 499  # nginx's number for a caller who hung up
        except Exception as error:  # noqa: BLE001  the last place that can keep the server up; it says all it may
            frames = "".join(traceback.format_tb(error.__traceback__))  # without the message: it may quote a person
            LOG.error("failed id=%s error=%s\n%s", request_id, type(error).__name__, frames)  # noqa: TRY400
            if not status:
                body = {"detail": "The kiosk failed; its log says why.", "request_id": request_id}
                await answer(body, 500)(scope, receive, tell)
        finally:
            took = time.perf_counter() - began
            route = scope.get("kiosk.route", "unknown")
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._context.counts.add(route, method, status, took)
            LOG.info(
                "call method=%s route=%s status=%d ms=%.1f id=%s", method, route, status, took * 1000.0, request_id
            )

    def _refused(self, error: Exception, request_id: str) -> Refusal:
        if isinstance(error, Refusal):
            return error
        if isinstance(error, FullError):
            return busy("The recogniser is busy.", error.wait_s)
        if isinstance(error, MemoryFullError):
            return busy("Too many photographs are being received at once.")
        assert isinstance(error, KioskError)
        refused = refusal_of(error)
        if refused.status >= 500:  # noqa: PLR2004  the caller's own mistakes are no news
            LOG.error("refused id=%s error=%s: %s", request_id, type(error).__name__, error)
        return refused


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


async def lost(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Answer a path that is none."""
    raise not_found()


def _with_ours(
    headers: list[tuple[bytes, bytes]], request_id: str, cors: Mapping[str, str]
) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in headers}
    ours = {**HEADERS, "X-Request-Id": request_id, "Content-Security-Policy": SAFE, "Cache-Control": "no-store", **cors}
    more = [(name.encode(), text.encode()) for name, text in ours.items() if name.lower().encode() not in there]
    return [*headers, *more]


def _check_host(scope: Scope) -> None:
    """Refuse a name that is not this machine's on a connection from this machine.

    A page of some site whose name was made to point at 127.0.0.1 runs in the kiosk's own browser; what it cannot
    hide is the name it calls by.
    """
    client = scope.get("client")
    if not client or not is_loopback(client[0]):
        return
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise refusal(400, "Call this machine 127.0.0.1 or localhost in the address.")

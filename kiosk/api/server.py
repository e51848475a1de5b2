"""The server: one thread with an event loop, and connections that cannot be held open by doing little.

uvicorn waits indefinitely for a request's head and for a body that no route reads; the protocol below does not. Beyond
this machine's own addresses nothing is served without TLS and an account to let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h11
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from kiosk.api.access import network
from kiosk.errors import ConfigError
from kiosk.rules.addresses import is_loopback
from kiosk.settings.network import ApiSettings
from kiosk.store.accounts import Accounts, CopiedAccounts

HEAD_S = 10.0
MOST_HEAD_BYTES = 16_384
FREE_CHUNKS, LEAST_CHUNK_BYTES = 1000, 64  # of one body: so many of any size, then a mean of so much
STOPPING = "The kiosk is stopping."
IN_CRUMBS = "Send the body in larger chunks."
MOST_CONNECTIONS = 256
MOST_OF_ONE = 64  # connections of one address
IDLE_S = 5  # a connection without a call is kept so long
RESET_S = 0.1  # between looks whether a caller that closed its half is there
GRACE_S = 0.4  # what a stop leaves to calls under way: the whole kiosk ends within two seconds
START_S = 10.0
BACKLOG = 128


class _Connection(socket.socket):
    """A connection that tells when it is closed."""

    ended: Callable[[], None] | None = None

    def close(self) -> None:
        """Close it."""
        super().close()
        ended, self.ended = self.ended, None
        if ended is not None:
            ended()


class _Listening(socket.socket):
    """A listening socket that closes at once what is too many.

    A bound in the protocol would come too late: under TLS it hears of a connection after the handshake, and whoever
    sends none would hold descriptors that the door needs for its store and camera. Only the event loop's thread
    accepts and closes.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self._by_network: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """Take the next connection.

        Raises:
            ConnectionAbortedError: there are too many; asyncio goes on with the next.
        """
        taken, address = super().accept()
        sender = network(str(address[0]))
        if self._by_network.total() >= MOST_CONNECTIONS or self._by_network[sender] >= MOST_OF_ONE:
            taken.close()
            raise ConnectionAbortedError
        connection = _Connection(fileno=taken.detach())
        self._by_network[sender] += 1
        connection.ended = lambda: self._forget(sender)
        return connection, address

    def _forget(self, sender: str) -> None:
        self._by_network[sender] -= 1
        if not self._by_network[sender]:
            del self._by_network[sender]


class _Strict(h11.Connection):
    """The reader of HTTP, which takes no call that two readers may read as two, and no body in crumbs.

    Where a call has both a length and chunks, a proxy in front may end it elsewhere than this reader, and what is
    behind becomes a call of somebody else's (RFC 9112, 6.1 and 11.2). Each chunk costs the event loop 50 us, whatever
    is in it.
    """

    is_in_crumbs = False
    _chunks = _bytes = 0

    def next_event(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        """Return what comes next."""
        if self.is_in_crumbs:
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
            names = {name for name, _ in event.headers}
            if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
                raise h11.RemoteProtocolError("a length and chunks, or chunks in HTTP/1.0")
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > FREE_CHUNKS and self._bytes < self._chunks * LEAST_CHUNK_BYTES:
                self.is_in_crumbs = True
                return h11.NEED_DATA
        return event


class _Protocol(H11Protocol):
    """uvicorn's protocol with a time for heads."""

    head_s = HEAD_S
    _timer: asyncio.TimerHandle | None = None
    _is_half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection."""
        self.conn = _Strict(h11.SERVER, MOST_HEAD_BYTES)
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; once a call is being answered, its own limits hold."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if isinstance(self.conn, _Strict) and self.conn.is_in_crumbs:
            if self.conn.our_state is h11.SEND_RESPONSE:
                self.send_400_response(IN_CRUMBS)
            self.transport.abort() if self.conn.our_state is h11.SEND_BODY else self.transport.close()
        if self._is_answering():
            self._disarm()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio has it
        """Answer a caller that has closed its half of the connection behind a whole call; say whether ours stays open.

        One that is gone looks the same until something is sent to it. So each gets a 100 (Continue), which a client
        that waits passes over: one that is gone answers it with a reset, and loses its place in the queue. Under TLS
        asyncio closes both halves whatever is said here.
        """
        cycle = self.cycle
        is_whole = self._is_answering() and not cycle.more_body and not cycle.response_started
        if not is_whole or self.scheme == "https":
            return None
        self._is_half_closed = True
        if cycle.scope["http_version"] == "1.1":  # which has answers before the answer
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._look_for_reset()
        return True

    def _look_for_reset(self) -> None:
        """Drop a call whose caller turned out to be gone: asyncio reads no more, and would not notice."""
        if self.transport.is_closing() or not self._is_answering():
            return
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(RESET_S, self._look_for_reset)

    def on_response_complete(self) -> None:
        """Give the next call's head its time; what is left of a refused body falls under it too."""
        super().on_response_complete()
        if self._is_answering():
            return
        if self._is_half_closed:
            self.transport.close()
        else:
            self._arm()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _arm(self) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(self.head_s, self.transport.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _cut_short(app: ASGIApp) -> ASGIApp:
    """Return an application whose calls are answered 503 when a stop cuts them off; uvicorn takes that for a fault."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def tell(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await app(scope, receive, tell)
        except asyncio.CancelledError:
            if not has_begun:
                await JSONResponse({"detail": STOPPING}, 503, {"Retry-After": "10"})(scope, receive, send)

    return answer


def check_exposure(settings: ApiSettings, accounts: Accounts | CopiedAccounts, *, is_claimable: bool = False) -> None:
    """Refuse to be reached from elsewhere in clear text, or with nobody to let in.

    `is_claimable`: nobody owns this kiosk yet. It starts without a one-time code too (see setup_code.py): whoever has
    none gets nothing, and a code that ran out during a power cut must not keep the kiosk from starting.

    Raises:
        ConfigError: says what is missing.
    """
    check_encryption(settings)
    if not is_loopback(settings.bind) and not is_claimable and not accounts.has_any():
        raise ConfigError(
            f"[api]: {settings.bind} can be reached from elsewhere, and there is nobody to let in; "
            "make an operator with `kiosk operator add`, or a key: kiosk key create --role admin"
        )


def check_encryption(settings: ApiSettings) -> None:
    """Refuse to be reached from elsewhere in clear text.

    Raises:
        ConfigError: says what is missing.
    """
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise ConfigError("[api]: want both tls_certificate and tls_key, or neither")
    for path in filter(None, (settings.tls_certificate, settings.tls_key)):
        if not Path(path).is_file():
            raise ConfigError(f"[api]: there is no file {path}")
    if is_loopback(settings.bind):
        return
    if not settings.tls_certificate:
        raise ConfigError(
            f"[api]: {settings.bind} can be reached from elsewhere, so it needs tls_certificate and tls_key; "
            "or bind to 127.0.0.1"
        )


class _Told(uvicorn.Server):
    """uvicorn's server, which would look ten times a second whether it is to end; this one is told, and tells."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()  # or has ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `end`."""
        try:
            super().run(sockets)
        finally:
            self.is_up.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take calls from now on."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.is_up.set()

    async def main_loop(self) -> None:
        """Wait for the end; the second's date, for the heads of answers, is made meanwhile."""
        while not await self.on_tick(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1.0)

    def end(self) -> None:
        """Have it end, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended, and its loop with it
                self._loop.call_soon_threadsafe(self._ending.set)


class Server:
    """Serves an application from a thread of its own."""

    def __init__(
        self, app: ASGIApp, settings: ApiSettings, *, head_s: float = HEAD_S, grace_s: float = GRACE_S + 1.0
    ) -> None:
        """Put the parts together; nothing is opened yet.

        Args:
            app: the application.
            settings: [api] of the settings.
            head_s: from one answer, or the connection's start, to the next call's whole head.
            grace_s: how long `close` waits for the thread.
        """
        self._app, self._settings = app, settings
        self._protocol = type("_Timed", (_Protocol,), {"head_s": head_s})
        self._grace_s = grace_s
        self._socket: socket.socket | None = None
        self._server: _Told | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen and answer; return once calls are taken.

        Raises:
            ConfigError: the address is taken or not ours, or the certificate cannot be used.
        """
        settings = self._settings
        try:
            family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
            made = socket.create_server((settings.bind, settings.port), family=family, backlog=BACKLOG)
            self._socket = _Listening(made.detach())
            # asyncio does it only for sockets that say TCP by number, and an answer's second packet would wait 40 ms.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            words = os.strerror(error.errno) if error.errno else str(error)  # its own repeat the address
            raise ConfigError(
                f"[api]: cannot listen at {settings.bind} port {settings.port}: {words}; "
                "choose another with bind and port"
            ) from error
        more: dict[str, Any] = {"timeout_graceful_shutdown": GRACE_S}  # annotated as int; asyncio takes either
        if settings.tls_certificate:
            more |= {"ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key}
        config = uvicorn.Config(
            _cut_short(self._app),
            http=self._protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            timeout_keep_alive=IDLE_S,
            **more,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:
            self._socket.close()
            raise ConfigError(f"[api]: the certificate and its key cannot be used: {error}") from error
        self._server = _Told(config)
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._thread.start()
        self._server.is_up.wait(START_S)
        if not self._server.started:
            self.close()
            raise ConfigError("[api]: the server did not start")

    def _run(self) -> None:
        assert self._server is not None
        assert self._socket is not None
        self._server.run(sockets=[self._socket])

    @property
    def address(self) -> str:
        """The address of the pages, with the port that was given where the setting is 0."""
        assert self._socket is not None  # started
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if self._settings.tls_certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Take no more calls, let those under way end within a second, and stop."""
        if self._server is not None:
            self._server.end()
        if self._thread is not None:
            self._thread.join(self._grace_s)
        if self._socket is not None and not self.is_alive:  # a thread that is late closes it, and needs it until then
            self._socket.close()

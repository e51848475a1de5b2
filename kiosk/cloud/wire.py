"""HTTP to another party's server: whole deadlines, limited answers, and whether a request can have arrived.

A thread with an event loop makes the calls, so that one that hangs, in whatever way, can be given up at its deadline
and at the end of the program. Nothing is implicit: no proxy from the environment, no redirect, no cookie, no
compression. The thread and the connections begin with the first call.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as OutOfTime  # the builtin one only from Python 3.11 on
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from kiosk import __version__
from kiosk.errors import CloudError, ConfigError
from kiosk.rules.addresses import address_of

CONNECT_S = 5.0  # three SYNs and a TLS handshake over a slow link
CLOSE_S = 1.0
GRACE_S = 0.5  # by which the loop may be late with a deadline it keeps itself
MOST_BYTES = 2_000_000  # of an answer; a page of sessions has some 50 kB
CONNECTIONS = 4


class NoAnswerError(CloudError):
    """There is no answer, or none that can be one."""

    def __init__(self, sentence: str, *, may_have_arrived: bool) -> None:
        """Say why, and whether the request can have arrived all the same."""
        super().__init__(sentence)
        self.may_have_arrived = may_have_arrived
        self.retry_after_s = 0.0
        """For how long the server wants to be left alone."""


class NotPublicError(NoAnswerError):
    """The address lies on this machine or its local network."""

    def __init__(self) -> None:
        super().__init__("the address is not one of the public network", may_have_arrived=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever it is."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # names in small letters
    body: bytes = field(repr=False)

    @property
    def date(self) -> float | None:
        """The server's clock, s UTC, to the second."""
        return http_date(self.headers.get("date", ""))


def http_date(text: str) -> float | None:
    """Read a date of HTTP; None where it is none.

    >>> http_date("Thu, 01 Jan 1970 00:01:40 GMT")
    100.0
    """
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def is_public(address: str) -> bool:
    """Say whether an address is one of the public network; a name may be, and is found out when it is looked up.

    >>> is_public("192.168.1.1"), is_public("::ffff:127.0.0.1"), is_public("1.1.1.1"), is_public("cloud.example")
    (False, False, True, True)
    """
    parsed = address_of(address)
    return parsed is None or parsed.is_global


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""  # httpx says what is wrong with it


class _Flight:
    """One request on its way."""

    def __init__(self) -> None:
        self.has_begun = self.is_private = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        request = info.get("request")
        if event.endswith("send_request_headers.started") and request is not None and request.method != b"CONNECT":
            self.has_begun = True  # CONNECT goes to a proxy, and says nothing to the server


_elsewhere: ContextVar[_Flight | None] = ContextVar("elsewhere", default=None)  # a request for public addresses alone


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  the standard library's name
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Look a name up in a thread that nobody waits for: a resolver without a network takes half a minute."""
        found = self.create_future()
        flight = _elsewhere.get()

        def settle(result: Any, error: OSError | None) -> None:
            if not found.done():
                found.set_exception(error) if error else found.set_result(result)

        def look() -> None:
            result: Any = None
            failed: OSError | None = None
            try:
                result = socket.getaddrinfo(host, port, family, type, proto, flags)
                if flight is not None:
                    result = [row for row in result if is_public(str(row[4][0]))]
                    flight.is_private = not result
                    failed = None if result else socket.gaierror(socket.EAI_NONAME, "no public address")
            except OSError as error:
                failed = error
            except UnicodeError:
                failed = socket.gaierror(socket.EAI_NONAME, "no name of a host")
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self.call_soon_threadsafe(settle, result, failed)

        threading.Thread(target=look, name="resolver", daemon=True).start()
        return await found


class Wire:
    """Makes calls. Safe in several threads; `close` may be called while others wait."""

    def __init__(self, *, proxy: str = "", ca_file: str = "") -> None:
        """Open nothing yet.

        Args:
            proxy: URL; empty for none. http:// goes past it: that is only ever this machine, and would reach
                the proxy in clear.
            ca_file: PEM file of the certificates to trust; empty for the system's.

        Raises:
            ConfigError: the certificates cannot be read.
        """
        self._proxy = proxy
        try:
            self._trusted = ssl.create_default_context(cafile=ca_file or None)
        except OSError as error:
            said = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigError(f"[cloud] ca_file {ca_file}: {said}") from error
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None
        self._is_closed = False

    def ask(
        self,
        method: str,
        url: str,
        *,
        within_s: float,
        most_bytes: int = MOST_BYTES,
        only_public: bool = False,
        **request: Any,
    ) -> Reply:
        """Make a call and return what came back, whatever its status.

        Args:
            method: GET or POST.
            url: where.
            within_s: for all of it, from the name's look-up to the last byte.
            most_bytes: of the answer; a longer one is none.
            only_public: not to this machine or its local network; where a proxy looks names up, it keeps its own rules.
            request: as httpx takes it: headers, params, json, data, files, content.

        Raises:
            NotPublicError: the address is not one of the public network.
            NoAnswerError: nothing came in time, or not whole.
        """
        if only_public and not is_public(_host_of(url)):
            raise NotPublicError
        flight = _Flight()
        call = self._ask(
            flight, method, url, within_s=within_s, most_bytes=most_bytes, only_public=only_public, request=request
        )
        running = self._submit(call, within_s)
        try:
            return running.result(within_s + GRACE_S)
        except (TimeoutError, asyncio.TimeoutError, OutOfTime):
            running.cancel()
            raise NoAnswerError(f"no answer within {within_s:g} s", may_have_arrived=flight.has_begun) from None
        except CancelledError:
            raise NoAnswerError("the call was given up", may_have_arrived=flight.has_begun) from None

    def close(self) -> None:
        """Give up every call and close the connections, within some `CLOSE_S`."""
        with self._lock:
            self._is_closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)

    def _submit(self, call: Coroutine[Any, Any, Reply], within_s: float) -> Future[Reply]:
        with self._lock:
            if self._is_closed:
                call.close()
                raise NoAnswerError("the connection is closed", may_have_arrived=False)
            if self._loop is None:
                self._loop = _Loop()
                self._thread = threading.Thread(target=self._serve, args=(self._loop,), name="wire", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(asyncio.wait_for(call, within_s), self._loop)

    def _serve(self, loop: _Loop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            pending = asyncio.all_tasks(loop)
            for task in pending:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            if self._client is not None:
                loop.run_until_complete(self._client.aclose())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    async def _ask(
        self,
        flight: _Flight,
        method: str,
        url: str,
        *,
        within_s: float,
        most_bytes: int,
        only_public: bool,
        request: Mapping[str, Any],
    ) -> Reply:
        import httpx  # 150 ms, and only where something is sent  # noqa: PLC0415

        if only_public and not self._proxy:
            _elsewhere.set(flight)  # of this task alone
        try:
            if self._client is None:
                self._client = self._connected()
            async with self._client.stream(
                method,
                url,
                timeout=httpx.Timeout(within_s, connect=min(CONNECT_S, within_s)),
                extensions={"trace": flight.trace},
                **request,
            ) as response:
                body = bytearray()
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) > most_bytes:
                        raise NoAnswerError(f"the answer has over {most_bytes} bytes", may_have_arrived=True)
                if "content-encoding" in response.headers:
                    raise NoAnswerError("the answer is compressed, unasked", may_have_arrived=True)
                return Reply(response.status_code, dict(response.headers), bytes(body))
        except httpx.InvalidURL as error:
            raise NoAnswerError(f"no address of a server: {error}", may_have_arrived=False) from None
        except httpx.HTTPError as error:
            if flight.is_private:
                raise NotPublicError from None
            # Its text may hold the address, never a header or the body.
            raise NoAnswerError(
                _sentence(error, has_proxy=bool(self._proxy) and not url.startswith("http://")),
                may_have_arrived=flight.has_begun,
            ) from None
        finally:
            if self._client is not None:
                self._client.cookies.clear()

    def _connected(self) -> Any:
        import httpx  # as above  # noqa: PLC0415

        proxy = None
        if self._proxy:  # which shows its own certificate where it is https://
            own = self._trusted if self._proxy.lower().startswith("https://") else None
            proxy = httpx.Proxy(self._proxy, ssl_context=own)
        return httpx.AsyncClient(
            verify=self._trusted,
            proxy=proxy,
            mounts={"http://": None},
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=1, keepalive_expiry=15.0),
            headers={"user-agent": f"face-kiosk/{__version__}", "accept-encoding": "identity"},
        )


def _sentence(error: Exception, *, has_proxy: bool) -> str:
    who = "the proxy or the server behind it" if has_proxy else "the server"
    words = {
        "ConnectTimeout": "cannot be reached in time",
        "ReadTimeout": "did not answer in time",
        "WriteTimeout": "did not take the request in time",
        "RemoteProtocolError": "broke off its answer",
        "ReadError": "cut the connection",
        "WriteError": "cut the connection",
    }
    name = type(error).__name__
    detail = str(error)
    if name == "ProxyError":  # its text begins with the status
        status = detail.partition(" ")[0]
        if status == str(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED.value):
            return "the proxy refuses the name and password (HTTP 407); give another credential cloud_proxy"
        return f"the proxy does not let the call through (HTTP {status})"
    if "CERTIFICATE_VERIFY_FAILED" in detail:
        return f"the certificate of {who} {_fault(detail)}"
    return f"{who} {words[name]}" if name in words else f"{who} cannot be reached ({detail or name})"


def _fault(detail: str) -> str:
    """Say what OpenSSL finds wrong with a certificate."""
    if "mismatch" in detail:
        return "is for another name than its address has"
    if "expired" in detail or "not yet valid" in detail:
        return "is not valid today; is the clock right?"
    return "is not trusted; [cloud] ca_file names others"

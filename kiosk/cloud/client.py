"""Didit's API as calls in our types: each either an answer, or an error that says what may be done about it.

NoAnswerError     nothing came, or nothing that can be Didit's: later, and if `may_have_arrived`, look first
BusyError         told to come back: later, and nothing was done
KeyRefusedError   the key: nothing can be sent until there is another key
NoCreditsError    the balance: nothing can be sent until credits are bought
CallRefusedError  this one call, for good
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from kiosk.cloud.wire import NoAnswerError, NotPublicError, Reply, Wire, http_date
from kiosk.didit import answers
from kiosk.didit.answers import CloudSession, ListPage, Opinion, Service, SessionPage
from kiosk.errors import CloudError
from kiosk.recognition.photo import MAX_BYTES
from kiosk.settings.network import CloudSettings

POST_S = 60.0  # two photographs of 5 MB over 1.5 Mbit/s, and Didit's own time
READ_S = 20.0
PROBE_S = 10.0
READS_PER_MINUTE = 300  # half of what Didit allows a key
WINDOW_S = 60.0
LONGEST_RETRY_AFTER_S = 86400.0  # a server that says a year means no such thing
SESSION_ROWS = 50
ENTRY_ROWS = 25
REFUSED_FOR_GOOD = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


Found = TypeVar("Found")


class NotThereError(NoAnswerError):
    """The server knows no such thing."""


class BusyError(CloudError):
    """The server wants to be asked later."""

    def __init__(self, sentence: str, retry_after_s: float) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class KeyRefusedError(CloudError):
    """The key is missing, wrong, or may not do this."""


class NoCreditsError(CloudError):
    """The account has no credits."""


class CallRefusedError(CloudError):
    """The server will never take this call."""


class Cloud:
    """Didit's API. Safe in several threads."""

    def __init__(
        self,
        wire: Wire,
        settings: CloudSettings,
        api_key: Callable[[], str | None],
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """Put the parts together.

        Args:
            wire: makes the calls.
            settings: of [cloud].
            api_key: reads the key, anew for each call: another one counts at once.
            now: s UTC.
            monotonic: s.
        """
        self._wire, self._settings, self._api_key = wire, settings, api_key
        self._now, self._monotonic = now, monotonic
        self._reads: deque[float] = deque()
        self._lock = threading.Lock()
        self.skew_s: float | None = None
        """The server's clock minus ours at its last answer, to the second."""

    @property
    def server_now(self) -> float:
        """The server's time, as far as it is known; ours until it answered for the first time."""
        return self._now() + (self.skew_s or 0.0)

    # ---- the two calls that are billed

    def judge(
        self,
        service: Service,
        photographs: Mapping[str, bytes],
        fields: Mapping[str, str],
        *,
        within_s: float = POST_S,
    ) -> Opinion:
        """Make a face match or a face search. Not idempotent, and billed: never twice without looking first."""
        files = {name: ("image", content, "application/octet-stream") for name, content in photographs.items()}
        body = self._call(
            "POST", service.path, within_s=within_s, data=dict(fields), files=files, hidden=(fields.get("vendor_data"),)
        )
        return self._read(lambda: answers.read_opinion(service, body), may_have_arrived=True)

    # ---- what is free

    def probe(self) -> None:
        """Find out whether Didit answers, and not a captive portal in its place; take its clock."""
        body = self._call("GET", "/system/healthcheck/", within_s=PROBE_S, with_key=False)
        if not isinstance(body, Mapping) or body.get("status") != "ok":
            raise NoAnswerError("the server says that it is not well", may_have_arrived=False)

    def sessions(self, vendor_data: str, service: Service, *, since: float, offset: int = 0) -> SessionPage:
        """Return saved calls of a vendor_data, newest first, from the day before `since` (s UTC) on."""
        day = datetime.fromtimestamp(max(0.0, since - 86400.0), timezone.utc).strftime("%Y-%m-%d")
        query = {
            "vendor_data": vendor_data,
            "api_service": service.value,
            "date_from": day,
            "limit": str(SESSION_ROWS),
            "offset": str(offset),
        }
        body = self._get("/v3/sessions/", query, hidden=(vendor_data,))
        return self._read(lambda: answers.read_sessions(body))

    def session(self, session: str) -> CloudSession:
        """Return one saved call, with its metadata.

        Raises:
            NotThereError: it was deleted.
        """
        body = self._get(f"/v3/session/{quote(session, safe='')}/decision/")
        return self._read(lambda: answers.read_session(body))

    def entries(self, face_list: str, offset: int) -> ListPage:
        """Return a page of a face list."""
        body = self._get(f"/v3/lists/{face_list}/entries/", {"limit": str(ENTRY_ROWS), "offset": str(offset)})
        return self._read(lambda: answers.read_entries(body))

    def write(self, method: str, path: str, content: Mapping[str, Any], *, hidden: str | None = None) -> Any:
        """Make a call that changes something and is not billed; `acts.py` has these."""
        return self._call(method, path, within_s=POST_S, hidden=(hidden,), json=dict(content))

    def image(self, url: str) -> bytes:
        """Fetch a picture of a list's entry, from wherever it lies; without the key.

        Raises:
            CallRefusedError: it is not there, too large, on the local network, or would be fetched in clear.
        """
        is_fake = self._settings.base_url.startswith("http://")  # of this machine: see settings
        if not url.startswith("https://") and not (is_fake and url.startswith(self._settings.base_url)):
            raise CallRefusedError("the picture's address is not https://")
        # A list may name any address: none of this network's is called for it, but the cloud's own, wherever that is.
        try:
            only_public = urlsplit(url).hostname != urlsplit(self._settings.base_url).hostname
            reply = self._wire.ask("GET", url, within_s=READ_S, most_bytes=MAX_BYTES, only_public=only_public)
        except NotPublicError as error:
            raise CallRefusedError(str(error)) from None
        except ValueError:
            raise CallRefusedError("the picture's address is none") from None
        if reply.status != HTTPStatus.OK:
            if HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise CallRefusedError(f"the picture is not there (HTTP {reply.status})")
            raise NoAnswerError(f"the picture's server says {reply.status}", may_have_arrived=False)
        return reply.body

    def balance(self) -> Decimal:
        """Return the account's credits, in dollars."""
        body = self._get("/v3/billing/balance/")
        return self._read(lambda: answers.read_balance(body))

    def top_up(self, dollars: int) -> str:
        """Return the address at which a person can pay that much."""
        body = self._call("POST", "/v3/billing/top-up/", within_s=READ_S, json={"amount_in_dollars": dollars})
        return self._read(lambda: answers.read_checkout(body))

    # ---- accounts

    def register(self, email: str, password: str) -> None:
        """Open an account; Didit sends a code to the address."""
        self._account("programmatic/register/", email, {"email": email, "password": password}, hidden=(password,))

    def verify(self, email: str, code: str) -> str:
        """Confirm the address with the code; return the API key."""
        body = self._account("programmatic/verify-email/", email, {"email": email, "code": code})
        try:
            return answers.text_of(body, "api_key")
        except CloudError:
            return answers.text_of(body, "application", "api_key")

    def log_in(self, email: str, password: str) -> str:
        """Return the API key of an account that is there already: of its first organisation's first application."""
        credentials = {"email": email, "password": password}
        body = self._account("programmatic/login/", email, credentials, hidden=(password,))
        token = answers.text_of(body, "access_token")
        path = "organizations/me/"
        for name in ("applications/", ""):
            row = answers.first_of(self._account(path, email, token=token))
            path = f"{path}{answers.text_of(row, 'uuid')}/{name}"
        return answers.text_of(self._account(path, email, token=token), "api_key")

    def _account(
        self,
        path: str,
        email: str,
        json: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        hidden: tuple[str, ...] = (),
    ) -> Any:
        url = f"{self._settings.account_url.rstrip('/')}/auth/v2/{path}"
        headers = {"authorization": f"Bearer {token}"} if token else {}
        more: dict[str, Any] = {} if json is None else {"json": dict(json)}
        reply = self._wire.ask("GET" if json is None else "POST", url, within_s=READ_S, headers=headers, **more)
        return self.accepted(reply, (*hidden, email, token))

    # ---- one call

    def _get(self, path: str, query: Mapping[str, str] | None = None, *, hidden: tuple[str | None, ...] = ()) -> Any:
        self._pace()
        return self._call("GET", path, within_s=READ_S, hidden=hidden, params=query)

    def _pace(self) -> None:
        """Keep to a minute's reads; who is over the limit comes back later, as if the server had said so."""
        with self._lock:
            now = self._monotonic()
            while self._reads and self._reads[0] <= now - WINDOW_S:
                self._reads.popleft()
            if len(self._reads) >= READS_PER_MINUTE:
                raise BusyError("a minute's reads are used up", self._reads[0] + WINDOW_S - now)
            self._reads.append(now)

    def _call(
        self,
        method: str,
        path: str,
        *,
        within_s: float,
        with_key: bool = True,
        hidden: tuple[str | None, ...] = (),
        **request: Any,
    ) -> Any:
        key = self._api_key() if with_key else None
        if with_key and key is None:
            raise KeyRefusedError("there is no API key; give it with `kiosk cloud login` or `kiosk cloud key`")
        headers = {"x-api-key": key} if key else {}
        url = self._settings.base_url.rstrip("/") + path
        began = self._now()
        reply = self._wire.ask(method, url, within_s=within_s, headers=headers, **request)
        body = self.accepted(reply, (key, *hidden))
        if reply.date is not None:
            self.skew_s = round(reply.date - (began + self._now()) / 2)
        return body

    def accepted(self, reply: Reply, hidden: tuple[str | None, ...]) -> Any:
        """Return the JSON of a good answer; raise what a bad one means."""
        status = reply.status
        if status in {HTTPStatus.OK, HTTPStatus.CREATED}:
            return self._read(lambda: answers.parse(reply.body), may_have_arrived=True)
        said = answers.sentence(reply.body, *hidden)
        about = f"HTTP {status}" + (f": {said}" if said else "")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise BusyError(about, self.retry_after_s(reply) or 1.0)
        if reply.body.lstrip()[:1] == b"<":  # a proxy's or portal's page says nothing about the key or the call
            raise NoAnswerError(
                f"{about}, a web page (a captive portal?)", may_have_arrived=status >= HTTPStatus.INTERNAL_SERVER_ERROR
            )
        if status == HTTPStatus.FORBIDDEN and _is_about_credits(reply.body, said):
            raise NoCreditsError(about)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise KeyRefusedError(about)
        if status in REFUSED_FOR_GOOD:
            raise CallRefusedError(about)
        kind = NotThereError if status == HTTPStatus.NOT_FOUND else NoAnswerError
        may_have_arrived = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT
        error = kind(about, may_have_arrived=may_have_arrived)
        error.retry_after_s = self.retry_after_s(reply)
        raise error

    def retry_after_s(self, reply: Reply) -> float:
        """Return for how long a server wants to be left alone: its Retry-After, in seconds or as a date; else 0."""
        text = reply.headers.get("retry-after", "").strip()
        if text.isdecimal():
            seconds = float(text)
        else:
            until = http_date(text)
            seconds = 0.0 if until is None else until - (reply.date or self._now())
        return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)

    @staticmethod
    def _read(read: Callable[[], Found], *, may_have_arrived: bool = False) -> Found:
        try:
            return read()
        except NoAnswerError:
            raise
        except CloudError as error:
            raise NoAnswerError(str(error), may_have_arrived=may_have_arrived) from None


def _is_about_credits(body: bytes, said: str) -> bool:
    """Say whether a 403 is about money: by its words, else by its shape, which the key's has not."""
    if any(word in said.lower() for word in ("credit", "balance", "top up", "top-up", "payment")):
        return True
    is_about_key = any(word in said.lower() for word in ("key", "permission", "credential", "auth"))
    return body.lstrip()[:1] == b"{" and b'"error"' in body and not is_about_key

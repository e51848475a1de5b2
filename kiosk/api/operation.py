"""What every route of the API has: who may call it, how its parts are read, how it is refused, what it promises.

One `Operation` says it all: the server routes and guards by it, and `openapi.py` writes the document from it, so
that the document cannot promise what is not held.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kiosk.api.access import Caller, Sender
from kiosk.api.uploads import (
    MOST_FORM_BYTES,
    Form,
    MalformedError,
    MemoryFullError,
    TooLargeError,
    boundary_of,
    parse_object,
    read_form,
    release,
)
from kiosk.didit import contract
from kiosk.errors import ImageError, KioskError, RefusedError, StoppingError, StoreError
from kiosk.recognition.photo import MAX_BYTES, survey
from kiosk.store.accounts import Role

if TYPE_CHECKING:
    from kiosk.api.context import Context

MOST_JSON_BYTES = 65_536
MOST_ROWS = 500
DEFAULT_ROWS = 50
LARGEST_OFFSET = 10**9
_WHOLE = re.compile("-?[0-9]+")
NUMBER_DIGITS = 18  # a decimal number that surely fits 64 bits
BUSY_S = 2  # what a caller is told to wait when something fails that may be over soon

Schema = Mapping[str, Any]
Value = TypeVar("Value")


class Refusal(Exception):  # noqa: N818  not an error of ours: an answer
    """An answer other than the one asked for."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, dict(headers or {})


def refusal(status: int, detail: str, **headers: str) -> Refusal:
    """Return a refusal in the contract's body."""
    return Refusal(status, {"detail": detail}, {name.replace("_", "-"): value for name, value in headers.items()})


def not_found() -> Refusal:
    """Return the contract's 404."""
    return refusal(404, "Not found.")


def field_errors(errors: Mapping[str, list[str]]) -> Refusal:
    """Return a 400 that says which field is wrong."""
    return Refusal(400, errors)


def busy(detail: str, wait_s: float = BUSY_S) -> Refusal:
    """Return a 503 that says when to come back."""
    return refusal(503, detail, Retry_After=str(max(1, math.ceil(wait_s))))


def refusal_of(error: KioskError) -> Refusal:
    """Turn an error of the kiosk into an answer; the store's sentence names files, so it stays in the log."""
    if isinstance(error, RefusedError):
        return refusal(409, str(error))
    if isinstance(error, StoppingError):
        return busy(str(error))
    if isinstance(error, StoreError):
        return busy("The store cannot answer now; the device's log says why.")
    return busy("The device cannot answer now; its log says why.")


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer. ASCII only: any text that was taken can be given back."""
    content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
    return Response(content, status, headers, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter, for the document."""

    name: str
    sentence: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form, for the document."""

    sentence: str
    schema: Schema
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str  # {name} for a part of it; a slash at its end is shown, and may be left out by the caller
    answer: Callable[[Call], Awaitable[Response]]
    sentence: str
    answers: Mapping[int, Schema | None]  # by status; None for a body that is not JSON
    role: Role | None = None  # the least; None: anybody
    scope: str | None = None  # a key with this scope may call it too, whatever its role
    is_free_here: bool = False  # a caller on this machine needs no key
    is_for_screen: bool = False  # the kiosk's own screen needs no key
    query: tuple[Parameter, ...] = ()
    form: Mapping[str, Part] | None = None
    json: Schema | None = None
    media_type: str = "application/json"  # of the 200
    more_types: tuple[str, ...] = ()  # other than JSON that a 200 may have
    is_limited: bool = True  # counts against the calls of a minute

    @property
    def is_write(self) -> bool:
        """Whether it changes or decides something."""
        return self.method not in {"GET", "HEAD"}


@dataclass(slots=True)
class Call:
    """One request under way."""

    request: Request
    context: Context
    operation: Operation
    caller: Caller | None
    sender: Sender
    deadline: float  # of the event loop, by when the body must be in
    is_screen: bool = False  # the kiosk's own screen: from this machine, with its token
    _forms: list[Form] = field(default_factory=list)

    @property
    def actor(self) -> str:
        """Who asks, for the log."""
        return self.caller.id if self.caller is not None else "screen"

    @property
    def base_url(self) -> str:
        """The address by which the caller reached the kiosk."""
        return f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"

    # ---- work in other threads

    async def run(self, work: Callable[[], Value]) -> Value:
        """Do something short with the store or the running kiosk, away from the event loop."""
        return await self._run_in(self.context.workers, work)

    async def check_password(self, work: Callable[[], Value]) -> Value:
        """Do something that takes a processor for long, where nothing else waits for it."""
        return await self._run_in(self.context.passwords, work)

    @staticmethod
    async def _run_in(threads: ThreadPoolExecutor, work: Callable[[], Value]) -> Value:
        try:
            future = asyncio.get_running_loop().run_in_executor(threads, work)
        except RuntimeError:  # the threads take nothing more
            raise busy("The kiosk is stopping.") from None
        return await future

    async def recognise(self, work: Callable[[], Value]) -> Value:
        """Wait in the queue before the recogniser; a caller who hangs up meanwhile loses the place."""
        try:
            future = asyncio.wrap_future(self.context.queue.submit(work))
        except RuntimeError:
            raise busy("The kiosk is stopping.") from None
        gone = asyncio.ensure_future(self._gone())
        waiting: set[asyncio.Future[Any]] = {future, gone}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if future not in done:
                future.cancel()  # takes it out of the queue, unless a worker has begun
                raise ClientDisconnect
            return await future
        finally:
            gone.cancel()

    async def _gone(self) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass

    # ---- parts of the request

    def number(self, name: str = "session_number") -> int:
        """Return a number of the path."""
        text = str(self.request.path_params[name])
        if not (text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS):
            raise not_found()
        return int(text)

    def word(self, name: str) -> str | None:
        """Return a query parameter as text; a blank one is none."""
        value = self.request.query_params.get(name)
        if value is None or not value.strip():
            return None
        try:
            return contract.parse_vendor_data(value)  # whatever it is, it is no longer than the longest
        except ValueError as error:
            raise field_errors({name: [str(error)]}) from None

    def words(self, name: str) -> tuple[str, ...]:
        """Return a query parameter that is a list of words with commas between them."""
        return tuple(filter(None, map(str.strip, (self.word(name) or "").split(","))))

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """Return a query parameter that is one of several words."""
        value = self.word(name)
        if value is not None and value not in choices:
            raise field_errors({name: [f'"{value[:100]}" is not a valid choice.']})
        return value

    def flag(self, name: str) -> bool | None:
        """Return a query parameter that is true or false."""
        value = self.word(name)
        try:
            return None if value is None else contract.parse_boolean(value)
        except ValueError as error:
            raise field_errors({name: [str(error)]}) from None

    def whole(self, name: str, *, default: int, low: int, high: int) -> int:
        """Return a query parameter that is a whole number in a range."""
        value = self.word(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdecimal() and len(value) <= NUMBER_DIGITS and low <= int(value) <= high):
            raise field_errors({name: [f"Ensure this value is between {low} and {high}."]})
        return int(value)

    def moment(self, name: str) -> float | None:
        """Return a query parameter that is a date or a time, in seconds UTC."""
        value = self.word(name)
        if value is None:
            return None
        try:
            return read_moment(value)
        except ValueError as error:
            raise field_errors({name: [str(error)]}) from None

    def page(self) -> tuple[int, int]:
        """Return limit and offset; a limit out of range is the nearest within, as other servers of the contract do."""
        text = self.word("limit")
        if text is not None and not _WHOLE.fullmatch(text):
            raise field_errors({"limit": ["A valid integer is required."]})
        limit = DEFAULT_ROWS if text is None else min(max(int(text), 1), MOST_ROWS)
        return limit, self.whole("offset", default=0, low=0, high=LARGEST_OFFSET)

    # ---- bodies

    async def chunks(self, most_bytes: int) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, within its time and length."""
        encoding = self.request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise refusal(415, "A body with a Content-Encoding is not taken; send it as it is.")
        length = 0
        more = True
        while more:
            left = self.deadline - asyncio.get_running_loop().time()
            try:
                message = await asyncio.wait_for(self.request.receive(), max(left, 0.0))
            except asyncio.TimeoutError:
                raise refusal(408, "The body did not arrive in time.") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            length += len(chunk)
            if length > most_bytes:
                raise self._too_large(most_bytes)
            more = message.get("more_body", False)
            if chunk:
                yield chunk

    def _too_large(self, most_bytes: int) -> Refusal:
        return refusal(413, f"The body is longer than the {most_bytes} bytes taken here.")

    def _refuse_long(self, most_bytes: int) -> None:
        told = self.request.headers.get("content-length", "")
        if told.isdecimal() and int(told[:NUMBER_DIGITS]) > most_bytes:
            raise self._too_large(most_bytes)

    async def json(self, most_bytes: int = MOST_JSON_BYTES) -> dict[str, Any]:
        """Return the body, a JSON object.

        A form that another site's page sends has another Content-Type; asking for this one makes a browser ask first.
        """
        self._refuse_long(most_bytes)
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise refusal(400, "Want a JSON object, sent as application/json.")
        content = b"".join([chunk async for chunk in self.chunks(most_bytes)])
        try:
            return parse_object(content.decode())
        except ValueError:
            raise refusal(400, "Want a JSON object.") from None

    async def json_if_any(self) -> dict[str, Any]:
        """Return the body, a JSON object; empty where the caller sent no body at all."""
        has_none = self.request.headers.get("content-length", "0") == "0"
        return {} if has_none and "transfer-encoding" not in self.request.headers else await self.json()

    async def form(self, *file_names: str, most_files: int = 1, most_file_bytes: int = 0, most_bytes: int = 0) -> Form:
        """Return the body, a multipart form; its memory is given back when the call ends."""
        boundary = boundary_of(self.request.headers.get("content-type", ""))
        if boundary is None:
            return Form()  # whose fields are all missing
        limit = most_bytes or MOST_FORM_BYTES
        self._refuse_long(limit)
        try:
            form = await read_form(
                self.chunks(limit),
                boundary,
                file_names,
                room=self.context.memory,
                text_names=self.operation.form,
                most_files=most_files,
                most_file_bytes=most_file_bytes or MAX_BYTES,
                most_bytes=limit,
            )
        except TooLargeError:
            raise self._too_large(limit) from None
        except MemoryFullError:
            raise busy("Too many photographs are being received at once.") from None
        except MalformedError as error:
            raise refusal(400, f"Multipart form parse error: {error}") from None
        self._forms.append(form)
        await self.run(lambda: _survey(form))  # what is refused takes no place in the recogniser's queue
        return form

    def close(self) -> None:
        """Give back what the call held."""
        for form in self._forms:
            release(form, self.context.memory)
        self._forms.clear()


def _survey(form: Form) -> None:
    for name, contents in form.files.items():
        for content in contents:
            try:
                survey(content)
            except ImageError as error:
                form.fail(name, str(error))


def read_moment(text: str) -> float:
    """Return a date or a time as seconds UTC; without a zone it is UTC.

    Raises:
        ValueError: with a sentence for the sender.

    >>> read_moment("2026-01-01"), read_moment("2026-01-01T01:00:00+01:00"), read_moment("2026-01-01T00:00:00Z")
    (1767225600.0, 1767225600.0, 1767225600.0)
    """
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("Want a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z.") from None

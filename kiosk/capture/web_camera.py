"""A network camera over HTTP: motion JPEG, or one picture a call that is asked for again and again.

Read here and not by FFmpeg, which would not check an https camera's certificate. What an answer declares about itself
is a hint only; jpegs.py finds the pictures.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, parse_headers
from typing import Any

from kiosk.capture.jpegs import Jpeg, Splitter
from kiosk.capture.passwords import Challenge, answer, in_order, read_challenges
from kiosk.errors import CameraLostError
from kiosk.types import RgbImage

OPEN_TIMEOUT_S = 5.0
ASK_EVERY_S = 0.1  # a camera that gives one picture a call
CHUNK_BYTES = 1 << 16
MOST_DAMAGED = 50  # pictures in a row
STREAMS = ("multipart/", "application/octet-stream", "binary/octet-stream")
PICTURES = ("image/jpeg", "image/jpg", "image/pjpeg")
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*[ \t]*:")


def frames(address: str, name: str, hide: Callable[[str], str]) -> Generator[tuple[RgbImage, float], None, None]:
    """Yield what a camera sees, and when it came: s, monotonic.

    Args:
        address: URL, with name and password where it wants them.
        name: what the camera is called in a sentence.
        hide: takes the address's secrets out of a library's sentence.

    Raises:
        CameraLostError: it cannot be opened, it stopped, or what it gives is no picture.
    """
    camera = _Camera(address, name, hide)
    newest = _Newest(camera, camera.open())
    threading.Thread(target=newest.follow, name="mjpeg", daemon=True).start()
    damaged = 0
    try:
        while True:
            jpeg = newest.wait()
            image = jpeg.decode()
            if image is not None:
                damaged = 0
                yield image, jpeg.came_at
                continue
            damaged += 1  # one is skipped
            if damaged >= MOST_DAMAGED:
                raise CameraLostError(
                    f"{name} gives nothing but pictures that are cut off or damaged; lower its resolution or quality"
                )
    finally:
        newest.is_wanted = False


class _Camera:
    """Where the pictures are asked for."""

    def __init__(self, address: str, name: str, hide: Callable[[str], str]) -> None:
        url = urllib.parse.urlsplit(address)
        user, _, password = (urllib.parse.unquote(part) for part in url.netloc.rpartition("@")[0].partition(":"))
        self._url = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
        self.name, self.hide = name, hide
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # a camera is in the building
            _Plain(),
            _Encrypted(),
            _Password(urllib.parse.urlsplit(self._url).netloc, user, password),
        )

    def open(self) -> HTTPResponse:
        """Ask; return the answer at its first byte.

        Raises:
            CameraLostError: nobody answers, or with something else than pictures.
        """
        try:
            response: HTTPResponse = self._opener.open(self._url, timeout=OPEN_TIMEOUT_S)
        except (OSError, HTTPException, ValueError) as error:  # urllib's errors are OSErrors
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise CameraLostError(f"{self.name} cannot be opened: {self.hide(_sentence(error))}") from None
        kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
        if kind and not kind.startswith((*STREAMS, *PICTURES)):
            response.close()
            raise CameraLostError(
                f"{self.name} answers with {kind}, want motion JPEG (multipart/x-mixed-replace) or a JPEG (image/jpeg)"
            )
        return response


def _sentence(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError) and error.code == 401:  # noqa: PLR2004
        return f"{error}; want its name and password: http://name:password@host/…"
    return str(error)


class _Newest:
    """The newest picture of an answer: a slow decoder must not make the stream queue up behind it."""

    def __init__(self, camera: _Camera, response: HTTPResponse) -> None:
        self.is_wanted = True
        self._camera, self._response = camera, response
        self._came = threading.Condition()
        self._jpeg: Jpeg | None = None
        self._last = b""  # of a camera that is asked for each picture
        self._trouble = ""

    def wait(self) -> Jpeg:
        with self._came:
            self._came.wait_for(lambda: self._jpeg or self._trouble)
            jpeg, self._jpeg = self._jpeg, None
            if jpeg is None:
                raise CameraLostError(self._trouble)
            return jpeg

    def follow(self) -> None:
        trouble = "the camera's stream ended"
        try:
            while self.is_wanted and self._read():
                time.sleep(ASK_EVERY_S)  # in the child only
                self._response = self._camera.open()
        except CameraLostError as error:
            trouble = str(error)
        except (OSError, HTTPException, ValueError) as error:
            trouble = f"the camera's stream broke: {self._camera.hide(str(error))}"
        with self._came:
            self._trouble = trouble
            self._came.notify()

    def _read(self) -> bool:
        """Read one answer; say whether the camera is to be asked for another."""
        is_asked = self._response.headers.get_content_type() in PICTURES
        splitter, count = Splitter(), 0
        with self._response:
            while self.is_wanted:
                data = self._response.read1(CHUNK_BYTES)
                found = splitter.take(data, time.monotonic()) if data else splitter.finish()
                for jpeg in found:
                    count += 1
                    self._give(jpeg, is_asked=is_asked)
                if not data:
                    break
        if is_asked and not count:
            raise ValueError("its answer holds no JPEG")
        return is_asked

    def _give(self, jpeg: Jpeg, *, is_asked: bool) -> None:
        if is_asked and jpeg.data == self._last:  # asked for before there was a new one
            return
        self._last = jpeg.data if is_asked else b""
        with self._came:
            self._jpeg = jpeg
            self._came.notify()


class _Answer(HTTPResponse):
    """An answer whose status line may be missing, as in HTTP/0.9, or be SHOUTcast's."""

    def begin(self) -> None:
        """Read status line and headers, as far as they are there."""
        first = self.fp.peek(16)[:16]
        if not first or first.startswith(b"HTTP/") or b"HTTP/".startswith(first):
            super().begin()
            return
        if first.startswith(b"ICY "):
            self.fp.readline(1000)
            first = b"ICY:"
        self.version, self.status, self.reason, self.code = 9, 200, "", 200
        self.headers = self.msg = parse_headers(self.fp) if _HEADER.match(first) else _no_headers()
        self.length, self.chunked, self.will_close = None, False, True


def _no_headers() -> Any:
    return Message()


class _PlainConnection(HTTPConnection):
    response_class = _Answer


class _EncryptedConnection(HTTPSConnection):
    response_class = _Answer


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_PlainConnection, req)


class _Encrypted(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_EncryptedConnection, req, context=ssl.create_default_context())


class _Password(urllib.request.BaseHandler):
    """Answers a camera that asks for a password, and only that camera, not where it points to.

    The connection that asked is ended: urllib leaves it open beside the next, and cameras take few.
    """

    handler_order = 100

    def __init__(self, place: str, user: str, password: str) -> None:
        self._place, self._user, self._password = place, user, password
        self._known: Challenge | None = None  # the one that was answered last
        self._uses = 0

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        """Answer at once where the camera asked before."""
        if self._known is not None and self._is_asked_for(request):
            self._sign(request, self._known)
        return request

    https_request = http_request

    def http_error_401(
        self, request: urllib.request.Request, response: HTTPResponse, _code: int, _message: str, headers: Message
    ) -> Any:
        """Answer with the next challenge that was not tried."""
        response.close()
        tried: list[str] = request.__dict__.setdefault("tried", [])
        if not self._user or not self._is_asked_for(request):
            return None
        is_stale = False
        for challenge in in_order(read_challenges(headers.get_all("WWW-Authenticate", []))):
            way = f"{challenge.scheme} {challenge.values.get('algorithm', '')}"
            is_stale = challenge.values.get("stale", "").lower() == "true" and tried.count(way) == 1
            if way not in tried or is_stale:
                tried.append(way)
                self._known, self._uses = challenge, 0
                return self.parent.open(request, timeout=request.timeout)
        self._known = None
        return None

    def _is_asked_for(self, request: urllib.request.Request) -> bool:
        return bool(request.host == self._place)

    def _sign(self, request: urllib.request.Request, challenge: Challenge) -> None:
        self._uses += 1
        header = answer(challenge, self._user, self._password, path=request.selector, count=self._uses)
        request.add_unredirected_header("Authorization", header)

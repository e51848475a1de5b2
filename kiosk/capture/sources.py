"""Cameras by name: `[camera] source` → frames with their time.

Each kind is a generator that yields (image, captured_at) until it is closed or raises; process.py runs it
in a process of its own, because picamera2 and RTSP are known to block for ever. An address may hold a
password, so it is shown by `str(source)` alone, and what a library says goes through `Source.hide`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import cv2
import numpy as np

from kiosk.capture.demo import Cues, Demo
from kiosk.capture.slot import Attention
from kiosk.errors import CameraLostError, ConfigError
from kiosk.types import RgbImage

Shot: TypeAlias = tuple[RgbImage, float]
"""(H, W, 3) uint8 RGB as the camera gave it, and when it was taken: s, monotonic."""
Shots: TypeAlias = Generator[Shot, None, None]

KINDS = "picamera2:0, v4l2:/dev/video0, rtsp://…, http(s)://…, file:video.mp4, dir:frames/ or demo:"
NETWORK = ("rtsp", "rtsps", "http", "https")
RECORDED = ("file", "dir", "demo")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
OPTIONS: Mapping[str, Mapping[str, tuple[float, float, float]]] = MappingProxyType(
    {  # default, lowest, highest; 0 where the camera chooses
        "picamera2": {"width": (1280, 64, 8192), "height": (720, 64, 8192), "fps": (30, 1, 240)},
        "v4l2": {"width": (640, 64, 8192), "height": (480, 64, 8192), "fps": (30, 1, 240)},
        "file": {"fps": (0, 0, 1000), "loop": (0, 0, 1)},
        "dir": {"fps": (10, 0.1, 1000), "loop": (0, 0, 1)},
        "demo": {
            "width": (640, 64, 4096),
            "height": (480, 64, 4096),
            "fps": (15, 1, 240),
            "loop": (0, 0, 1),
            "wait": (0, 0, 1),
        },
    }
)
OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 5000, 2000  # FFmpeg's; the reading one was seen to fire three times in a row
FILE_FPS = 25.0  # of a recording that does not say
DRIVER_TIME_S = 1.0  # a driver's time older than that is of another clock
MAX_LINE_BYTES = 1000
MAX_PART_BYTES = 16 << 20  # a JPEG of 8 megapixels stays well below it
JPEG_END = b"\xff\xd9"  # marker EOI; ITU-T T.81, table B.1
PICAMERA2_WAIT_S = 2.0
BUFFERS = 4
ABI_CURE = (
    "picamera2 was built for another NumPy. Use Raspberry Pi OS 13, or in the kiosk's environment run: "
    "pip install --force-reinstall --no-deps simplejpeg"
)


class RecordingEndedError(Exception):
    """A recording that does not loop is over: no fault, and nothing to reopen."""


@dataclass(frozen=True, slots=True)
class Source:
    """A camera's name, checked."""

    kind: str
    address: str = field(repr=False)  # what follows the scheme, or the whole URL; may hold a password
    options: Mapping[str, float] = field(default_factory=dict)
    portraits: tuple[Path, ...] = ()  # of a demo

    @property
    def is_recorded(self) -> bool:
        """Whether frames wait for us, so that none needs to be dropped at the start."""
        return self.kind in RECORDED

    def __str__(self) -> str:
        """Return the name without user, password, path and query of a network camera."""
        if self.kind not in NETWORK:
            return f"{self.kind}:{self.address}"
        return f"{self.kind}://{_place(self.address)}/…"

    def hide(self, text: str) -> str:
        """Take out of a library's sentence whatever of the address could be secret."""
        if self.kind not in NETWORK:
            return text
        url = urllib.parse.urlsplit(self.address)
        user, _, password = url.netloc.rpartition("@")[0].partition(":")
        resource = self.address.partition(url.netloc)[2] if url.netloc else ""
        pieces = {self.address, f"{user}:{password}", password, user, resource, url.path, url.query}
        pieces |= {urllib.parse.unquote(piece) for piece in pieces}
        for piece in sorted(pieces, key=len, reverse=True):
            if len(piece) > 1 and piece != ":":  # "/" alone is no secret
                text = text.replace(piece, "…")
        return text


def parse_source(text: str, portraits: Sequence[Path] = ()) -> Source:
    """Read a camera's name.

    Args:
        text: as in `[camera] source`. The query of a network camera is the camera's own; the others
            take options there.
        portraits: whom a demo shows, in order.

    Raises:
        ConfigError: the kind or an option is unknown, or a value is out of range. It never quotes an address.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in (*NETWORK, *OPTIONS):
        shown = f"{kind}:" if colon and kind.isidentifier() else "that"
        raise ConfigError(f"[camera] source: {shown} is no camera; want {KINDS}")
    if kind in NETWORK:
        if not _place(text):
            raise ConfigError(f"[camera] source: want {kind}://host[:port]/path")
        return Source(kind, text)
    address, _, query = rest.partition("?")
    options = _options(kind, query)
    if kind == "demo" and (address or not portraits):
        raise ConfigError("[camera] source: demo: takes no path, and portraits of the people who walk up")
    if kind == "picamera2" and not address.isdecimal():
        raise ConfigError(f"[camera] source: want a camera's number, such as picamera2:0, got picamera2:{address}")
    if kind in ("v4l2", "file", "dir"):
        if not address:
            raise ConfigError(f"[camera] source: {kind}: wants a path; want {KINDS}")
        address = str(Path(address).absolute())  # the capturing process may live elsewhere
    return Source(kind, address, options, tuple(Path(one).absolute() for one in portraits))


def _place(url: str) -> str:
    """Return host and port of a URL; empty when there is none.

    >>> _place("rtsp://user:secret@192.168.1.9:554/ch1?token=x")
    '192.168.1.9:554'
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if host and port else host


def _options(kind: str, query: str) -> Mapping[str, float]:
    known = OPTIONS[kind]
    chosen = {name: default for name, (default, _, _) in known.items()}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise ConfigError(f"[camera] source: {kind}: has no option {name}; it knows {', '.join(known)}")
        _, low, high = known[name]
        try:
            chosen[name] = float(value)
        except ValueError:
            chosen[name] = float("nan")
        if not low <= chosen[name] <= high:  # a NaN fails this too
            raise ConfigError(f"[camera] source: {kind}: option {name}: want {low:g} to {high:g}, got {value}")
    return MappingProxyType(chosen)


def shots(source: Source, attention: Callable[[], Attention] = Attention) -> Shots:
    """Open a camera and yield what it sees.

    Args:
        source: the camera.
        attention: what the kiosk made of the frames; the people of a demo with wait=1 go by it.

    Raises:
        CameraLostError: it cannot be opened, stopped, or gives what is no picture.
        RecordingEndedError: a recording is over.
    """
    openers: Mapping[str, Callable[[Source], Shots]] = {
        "picamera2": _picamera2,
        "v4l2": _v4l2,
        "rtsp": _rtsp,
        "rtsps": _rtsp,
        "http": _mjpeg,
        "https": _mjpeg,
        "file": _file,
        "dir": _directory,
        "demo": lambda demo: _demo(demo, attention),
    }
    return openers[source.kind](source)


def driver_time(told_s: float, now: float, boot_ahead_s: float = 0.0) -> float:
    """Return a driver's time on the monotonic clock, or `now` where it cannot be of that clock.

    Args:
        told_s: by the driver; of the monotonic clock, or of the one that counts sleep too.
        now: monotonic, s.
        boot_ahead_s: by how much the clock that counts sleep is ahead.

    >>> driver_time(99.9, 100.0), driver_time(1.7e9, 100.0), driver_time(149.9, 100.0, 50.0)
    (99.9, 100.0, 99.9)
    """
    for told in (told_s, told_s - boot_ahead_s):
        if now - DRIVER_TIME_S <= told <= now:
            return told
    return now


def _rgb(bgr: Any) -> RgbImage:
    """Return cv2's (H, W, 3) BGR as RGB."""
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _paced(fps: float) -> Generator[None, None, None]:
    """Come back `fps` times a second, without a burst after a pause."""
    due = time.monotonic()
    while True:
        yield
        due = max(due + 1.0 / fps, time.monotonic() - 1.0 / fps)
        time.sleep(max(0.0, due - time.monotonic()))  # a recording has no camera to wait for; in the child only


def _v4l2(source: Source) -> Shots:
    with _video(source.address, cv2.CAP_V4L2) as capture:
        if not capture.isOpened():
            raise CameraLostError(f"{source} cannot be opened: is it plugged in, and may the kiosk's user read it?")
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # raw YUYV of a full frame chokes USB 2
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, source.options["width"])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, source.options["height"])
        capture.set(cv2.CAP_PROP_FPS, source.options["fps"])
        while capture.grab():
            taken = driver_time(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0, time.monotonic())
            is_whole, bgr = capture.retrieve()
            if is_whole:
                yield _rgb(bgr), taken
        raise CameraLostError(f"{source} stopped giving frames: was it unplugged?")


def _rtsp(source: Source) -> Shots:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    with _video(source.address, cv2.CAP_FFMPEG, limits) as capture:
        if not capture.isOpened():
            raise CameraLostError(f"{source} cannot be opened: is it on, and are path, user and password right?")
        while capture.grab():
            taken = time.monotonic()
            is_whole, bgr = capture.retrieve()
            if is_whole:
                yield _rgb(bgr), taken
        raise CameraLostError(f"{source} stopped giving frames")


def _file(source: Source) -> Shots:
    while True:
        with _video(source.address, cv2.CAP_FFMPEG) as capture:
            if not capture.isOpened():
                raise CameraLostError(f"{source} cannot be opened: is it a video?")
            frames = 0
            for _ in _paced(source.options["fps"] or capture.get(cv2.CAP_PROP_FPS) or FILE_FPS):
                is_whole, bgr = capture.read()
                if not is_whole:
                    break
                frames += 1
                yield _rgb(bgr), time.monotonic()
        if not frames:
            raise CameraLostError(f"{source} holds no frame")
        if not source.options["loop"]:
            raise RecordingEndedError


def _directory(source: Source) -> Shots:
    folder = Path(source.address)
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise CameraLostError(f"{source} holds no pictures; want {', '.join(PICTURES)}")
    for path, _ in zip(
        _repeated(paths, loop=bool(source.options["loop"])), _paced(source.options["fps"]), strict=False
    ):
        yield _read(path), time.monotonic()
    raise RecordingEndedError


def _demo(source: Source, attention: Callable[[], Attention]) -> Shots:
    options = source.options
    portraits = [_read(path) for path in source.portraits]
    demo = Demo(portraits, (int(options["width"]), int(options["height"])), options["fps"])
    cues = Cues(demo)
    moment = 0
    for number, _ in zip(itertools.count(), _paced(options["fps"]), strict=False):
        if moment >= demo.frames and not options["loop"]:
            raise RecordingEndedError
        yield demo.frame(moment, number), time.monotonic()
        moment += not options["wait"] or cues.let_go_on(moment, attention())


def _repeated(paths: list[Path], *, loop: bool) -> Generator[Path, None, None]:
    yield from paths
    while loop:
        yield from paths


def _read(path: Path) -> RgbImage:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise CameraLostError(f"{path} is no picture")
    return _rgb(bgr)


@contextlib.contextmanager
def _video(*how: Any) -> Iterator[Any]:
    capture = cv2.VideoCapture(*how)
    try:
        yield capture
    finally:
        capture.release()


def _mjpeg(source: Source) -> Shots:
    """Read motion JPEG ourselves: FFmpeg would not check an https camera's certificate."""
    newest = _Newest(_http(source))
    threading.Thread(target=newest.follow, name="mjpeg", daemon=True).start()
    try:
        while True:
            jpeg, taken = newest.wait()
            bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            if bgr is not None:  # a damaged one is skipped; nothing but damaged ones is noticed as a lost camera
                yield _rgb(bgr), taken
    finally:
        newest.is_wanted = False


def _http(source: Source) -> HTTPResponse:
    url = urllib.parse.urlsplit(source.address)
    user, _, password = (urllib.parse.unquote(part) for part in url.netloc.rpartition("@")[0].partition(":"))
    bare = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, bare, user, password)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),  # a camera is in the building
        _Hangup(),
        urllib.request.HTTPDigestAuthHandler(passwords),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    try:
        response: HTTPResponse = opener.open(bare, timeout=OPEN_TIMEOUT_MS / 1000.0)
    except (OSError, HTTPException, ValueError) as error:  # urllib's errors are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise CameraLostError(f"{source} cannot be opened: {source.hide(str(error))}") from None
    kind = response.headers.get_content_type()
    if kind != "multipart/x-mixed-replace":
        response.close()
        raise CameraLostError(f"{source} answers with {kind}, want motion JPEG (multipart/x-mixed-replace)")
    return response


class _Hangup(urllib.request.BaseHandler):
    """Ends a connection that asked for a password: urllib leaves it open beside the next, and cameras take few."""

    handler_order = 100  # before those that answer with the password

    def http_error_401(self, _request: Any, response: HTTPResponse, *_: Any) -> None:
        response.close()


class _Newest:
    """The newest part of a multipart answer: a slow decoder must not make the stream queue up behind it."""

    def __init__(self, response: HTTPResponse) -> None:
        self.is_wanted = True
        self._response = response
        self._came = threading.Condition()
        self._part: tuple[bytes, float] | None = None
        self._trouble = ""

    def wait(self) -> tuple[bytes, float]:
        with self._came:
            self._came.wait_for(lambda: self._part or self._trouble)
            part, self._part = self._part, None
            if part is None:
                raise CameraLostError(self._trouble)
            return part

    def follow(self) -> None:
        trouble = "the camera's stream ended"
        try:
            with self._response:
                for part in _parts(self._response):
                    if not self.is_wanted:
                        return
                    with self._came:
                        self._part = part, time.monotonic()
                        self._came.notify()
        except (OSError, HTTPException, ValueError) as error:
            trouble = f"the camera's stream broke: {error}"
        with self._came:
            self._trouble = trouble
            self._came.notify()


def _parts(response: HTTPResponse) -> Generator[bytes, None, None]:
    """Yield the parts of a multipart answer until it ends.

    Raises:
        ValueError: one is longer than any picture.
    """
    mark = b"--" + str(response.headers.get_param("boundary") or "").lstrip("-").encode()
    line = b"-"
    while line:
        while line and not line.startswith(mark):
            line = response.readline(MAX_LINE_BYTES)
        length = -1
        while line := response.readline(MAX_LINE_BYTES).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length > MAX_PART_BYTES:
            raise ValueError(f"a picture of {length} bytes, more than {MAX_PART_BYTES}")
        if length >= 0:
            part, line = response.read(length), b"-"
        else:
            part, line = _until(response, mark)
        if part:
            yield part


def _until(response: HTTPResponse, mark: bytes) -> tuple[bytes, bytes]:
    """Read a part of unknown length and the line after it; both are empty at the end.

    A JPEG tells its end itself, so that nobody waits for the mark, which comes with the next picture.
    """
    part = b""
    while (line := response.readline(MAX_PART_BYTES)) and not line.startswith(mark):
        part += line
        if len(part) > MAX_PART_BYTES:
            raise ValueError(f"a picture of more than {MAX_PART_BYTES} bytes")
        if line.rstrip(b"\r\n").endswith(JPEG_END):
            return part, b"-"
    return part, line


def _picamera2(source: Source) -> Shots:
    """Read a Raspberry Pi's camera; every wait has an end, and a camera that stopped is closed, never stopped.

    Stopping waits for frames that no longer come, for ever; closing does not (measured with picamera2 0.3.38).
    A second, small stream for the detector is not asked for: making 1280 x 720 px small takes a millisecond.
    """
    camera = _open_picamera2(source)
    try:
        limits = (round(1e6 / source.options["fps"]),) * 2
        size = int(source.options["width"]), int(source.options["height"])
        camera.configure(
            camera.create_video_configuration(
                main={"size": size, "format": "BGR888"},  # libcamera's name for what NumPy sees as RGB
                raw=None,
                buffer_count=BUFFERS,
                queue=False,
                controls={"FrameDurationLimits": limits},
            )
        )
        main = camera.camera_configuration()["main"]  # as libcamera adjusted it
        camera.start()
        boot_ahead_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        while True:
            request = camera.capture_request(wait=PICAMERA2_WAIT_S)
            try:
                pixels, told = request.make_array("main"), request.get_metadata().get("SensorTimestamp", 0)
            finally:
                request.release()
            yield _from_libcamera(pixels, main), driver_time(told / 1e9, time.monotonic(), boot_ahead_s)
    except concurrent.futures.TimeoutError:  # no TimeoutError before Python 3.11
        camera.cancel_all_and_flush()
        raise CameraLostError(f"{source} gave no frame for {PICAMERA2_WAIT_S:g} s: is its cable in place?") from None
    finally:
        camera.close()


def _open_picamera2(source: Source) -> Any:
    try:
        # Exists on a Raspberry Pi only, and takes a second.
        from picamera2 import Picamera2  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        return Picamera2(int(source.address))
    except ImportError as error:
        raise CameraLostError(
            f"picamera2 cannot be imported ({error}); on Raspberry Pi OS: apt install python3-picamera2, and an "
            "environment made with --system-site-packages"
        ) from None
    except ValueError as error:
        if "dtype size changed" in str(error):
            raise CameraLostError(ABI_CURE) from None
        raise
    except (RuntimeError, IndexError) as error:
        raise CameraLostError(f"{source} cannot be opened ({error}): is its cable in place?") from None


def _from_libcamera(pixels: Any, stream: Mapping[str, Any]) -> RgbImage:
    """Return what `make_array` gave as (H, W, 3) RGB; libcamera may have chosen another format than ours."""
    width, height = stream["size"]
    name = stream["format"]
    if name in ("BGR888", "XBGR8888"):
        return np.ascontiguousarray(pixels[:height, :width, :3])
    if name in ("RGB888", "XRGB8888"):
        return _rgb(np.ascontiguousarray(pixels[:height, :width, :3]))
    codes = {"YUV420": cv2.COLOR_YUV2RGB_I420, "NV12": cv2.COLOR_YUV2RGB_NV12}
    if name not in codes:
        raise CameraLostError(f"picamera2 gives {name}; want BGR888, RGB888, XBGR8888, XRGB8888, YUV420 or NV12")
    return np.ascontiguousarray(cv2.cvtColor(pixels, codes[name])[:height, :width])

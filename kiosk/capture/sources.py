"""Cameras by name: `[camera] source` → frames with their time.

Each kind is a generator that yields (image, captured_at) until it is closed or raises; process.py runs it
in a process of its own, because picamera2 and RTSP are known to block indefinitely. An address may hold a
password, so it is shown by `str(source)` alone, and what a library says goes through `Source.hide`.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import cv2
import numpy as np

from kiosk.capture.exposure import Controls, ExposureHold, Picamera2Controls, V4l2Controls
from kiosk.capture.slot import Attention, Exposure
from kiosk.errors import CameraLostError, ConfigError
from kiosk.types import RgbImage

Shot: TypeAlias = tuple[RgbImage, float]
"""(H, W, 3) uint8 RGB as the camera gave it, and when it was taken: s, monotonic."""
Shots: TypeAlias = Generator[Shot, None, None]
Holding: TypeAlias = Callable[[Controls | None], ExposureHold]

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
        raise ConfigError(f"[camera] source: {shown} is no camera; want {KINDS}{_meant(text, kind)}")
    if kind in NETWORK:
        if not _place(text):
            escapes = "; in a name or password write # as %23, / as %2F, ? as %3F, @ as %40, : as %3A, % as %25"
            raise ConfigError(f"[camera] source: want {kind}://host[:port]/path{escapes if '@' in text else ''}")
        return Source(kind, text)
    address, _, query = rest.partition("?")
    options = _options(kind, query)
    if kind == "demo" and (address or not portraits):
        raise ConfigError("[camera] source: demo: takes no path, and portraits of the people who walk up")
    if kind == "picamera2" and not address.isdecimal():
        raise ConfigError(f"[camera] source: want a camera's number, such as picamera2:0, got picamera2:{address}")
    if kind in ("v4l2", "file", "dir"):
        if not address:
            raise ConfigError(f"[camera] source: {kind}: needs a path; want {KINDS}")
        address = str(Path(address).absolute())  # the capturing process may live elsewhere
    return Source(kind, address, options, tuple(Path(one).absolute() for one in portraits))


def _meant(text: str, kind: str) -> str:
    """Return which camera was probably meant, for the end of a sentence; an address is never quoted."""
    if text.isdecimal() or text.startswith("video"):
        return f"; did you mean v4l2:/dev/video{text.removeprefix('video')}?"
    if text.startswith("/dev/"):
        return f"; did you mean v4l2:{text}?"
    if text.startswith(("/", "./", "../")):
        return "; for a recording write file: or dir: before the path"
    import difflib  # noqa: PLC0415  nobody who captures asks

    alike = {"libcamera": "picamera2", "csi": "picamera2", "usb": "v4l2", "webcam": "v4l2", "mjpeg": "http"}
    close = difflib.get_close_matches(kind.lower(), (*NETWORK, *OPTIONS), 1)
    meant = alike.get(kind.lower()) or (close[0] if close else "")
    return f"; did you mean {meant}:?" if meant else ""


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


def load(source: Source) -> None:
    """Import what this kind of camera needs and others do not: some megabytes, in a process that stays.

    To be called before the walls go up, which let no more modules be read.
    """
    if source.kind in ("http", "https"):
        import kiosk.capture.web_camera  # noqa: PLC0415
    if source.kind == "demo":
        import kiosk.capture.demo  # noqa: F401, PLC0415


def shots(
    source: Source,
    attention: Callable[[], Attention] = Attention,
    tell_exposure: Callable[[Exposure], None] = lambda _: None,
) -> Shots:
    """Open a camera and yield what it sees.

    Args:
        source: the camera.
        attention: what the kiosk made of the frames; the people of a demo with wait=1 go by it, and so does a
            camera whose exposure is to be held.
        tell_exposure: hears whether it is held.

    Raises:
        CameraLostError: it cannot be opened, stopped, or gives what is no picture.
        RecordingEndedError: a recording is over.
    """

    def held(controls: Controls | None = None) -> ExposureHold:
        return ExposureHold(lambda: attention().holds_exposure, tell_exposure, controls)

    driven: Mapping[str, Callable[[Source, Holding], Shots]] = {"picamera2": _picamera2, "v4l2": _v4l2}
    if source.kind in driven:
        return driven[source.kind](source, held)
    openers: Mapping[str, Callable[[Source], Shots]] = {
        "rtsp": _rtsp,
        "rtsps": _rtsp,
        "http": _web,
        "https": _web,
        "file": _file,
        "dir": _directory,
        "demo": lambda demo: _demo(demo, attention),
    }
    return _followed(openers[source.kind](source), held())


def _followed(frames: Shots, hold: ExposureHold) -> Shots:
    with contextlib.closing(frames):
        for image, taken in frames:
            hold.follow(image)
            yield image, taken


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


def _v4l2(source: Source, held: Holding) -> Shots:
    with _video(source.address, cv2.CAP_V4L2) as capture:
        if not capture.isOpened():
            raise CameraLostError(f"{source} cannot be opened: is it plugged in, and may the kiosk's user read it?")
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # raw YUYV of a full frame chokes USB 2
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, source.options["width"])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, source.options["height"])
        capture.set(cv2.CAP_PROP_FPS, source.options["fps"])
        hold = held(V4l2Controls(capture))
        while capture.grab():
            taken = driver_time(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0, time.monotonic())
            is_whole, bgr = capture.retrieve()
            if is_whole:
                image = _rgb(bgr)
                hold.follow(image)
                yield image, taken
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


def _web(source: Source) -> Shots:
    from kiosk.capture import web_camera  # noqa: PLC0415  see load

    return web_camera.frames(source.address, str(source), source.hide)


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
    from kiosk.capture.demo import Cues, Demo  # noqa: PLC0415  see load

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
        raise CameraLostError(f"{path} is not a picture that can be read; take it out of the folder")
    return _rgb(bgr)


@contextlib.contextmanager
def _video(*how: Any) -> Iterator[Any]:
    capture = cv2.VideoCapture(*how)
    try:
        yield capture
    finally:
        capture.release()


def _picamera2(source: Source, held: Holding) -> Shots:
    """Read a Raspberry Pi's camera; every wait has an end, and a camera that stopped is closed, never stopped.

    Stopping waits for frames that no longer come, indefinitely; closing does not (measured with picamera2 0.3.38).
    A second, small stream for the detector is not asked for: making 1280 x 720 px small takes a millisecond.
    """
    import concurrent.futures  # noqa: PLC0415  picamera2 has imported it

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
        adjusted = camera.camera_configuration()  # by libcamera
        main, is_full = adjusted["main"], _is_full_range(adjusted.get("colour_space"))
        camera.start()
        hold = held(Picamera2Controls(camera))
        boot_ahead_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        while True:
            request = camera.capture_request(wait=PICAMERA2_WAIT_S)
            try:
                pixels, told = request.make_array("main"), request.get_metadata().get("SensorTimestamp", 0)
            finally:
                request.release()
            taken = driver_time(told / 1e9, time.monotonic(), boot_ahead_s)
            image = _from_libcamera(pixels, main, is_full=is_full)
            hold.follow(image)
            yield image, taken
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


def _is_full_range(colour_space: Any) -> bool:
    """Say whether luma goes from 0 to 255, by libcamera's ColorSpace; without one it goes from 16 to 235.

    >>> _is_full_range("sYCC"), _is_full_range("Rec709"), _is_full_range("Rec709/Rec709/Rec709/Full")
    (True, False, True)
    """
    told = f"{colour_space} {getattr(colour_space, 'range', '')}".lower()
    return any(word in told for word in ("sycc", "jpeg", "full"))


def _from_libcamera(pixels: Any, stream: Mapping[str, Any], *, is_full: bool = False) -> RgbImage:
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
    if is_full:
        return _from_full_range(pixels, name, width, height)
    return np.ascontiguousarray(cv2.cvtColor(pixels, codes[name])[:height, :width])


def _from_full_range(pixels: Any, name: str, width: int, height: int) -> RgbImage:
    """Return YUV 4:2:0 whose luma uses 0 to 255 as RGB; cv2's own codes stretch 16 to 235, by a seventh."""
    rows = pixels.shape[0] * 2 // 3
    chroma = np.ascontiguousarray(pixels[rows:])
    if name == "NV12":
        blue, red = (chroma.reshape(rows // 2, -1, 2)[..., one] for one in range(2))
    else:
        blue, red = chroma.reshape(2, rows // 2, -1)
    whole = pixels.shape[1], rows
    parts = [pixels[:rows], *(cv2.resize(np.ascontiguousarray(one), whole) for one in (red, blue))]
    ycrcb = np.dstack([part[:height, :width] for part in parts])
    return np.asarray(cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB), np.uint8)

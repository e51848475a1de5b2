"""Facts about cameras by name; frames come from real files and real sockets."""

import contextlib
import itertools
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from kiosk.capture import sources
from kiosk.capture.demo import MOST_LOOKS, VISIT_S, Cues, Demo
from kiosk.capture.slot import Attention
from kiosk.capture.sources import RecordingEndedError, driver_time, parse_source, shots
from kiosk.errors import CameraLostError, ConfigError
from tests.patience import BUSY_S, LIMIT_S

SECRET = "rtsp://user:pa%24s@192.168.1.9:8554/ch1?password=geheim"


def picture(number, height=48, width=64):
    """A picture of one's own, which survives JPEG."""
    image = np.random.default_rng(number).integers(60, 200, (6, 8, 3), np.uint8)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def jpeg(number, **size):
    return cv2.imencode(".jpg", picture(number, **size))[1].tobytes()


def taken(source, count):
    with contextlib.closing(shots(source)) as frames:
        return [image for image, _ in itertools.islice(frames, count)]


# Names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "that is no camera; want picamera2:0, v4l2:", id="empty"),
        pytest.param("webcam", "that is no camera", id="no kind"),
        pytest.param("usb:0", "usb: is no camera", id="unknown kind"),
        pytest.param("picamera2:front", "want a camera's number, such as picamera2:0", id="number"),
        pytest.param("v4l2:", "v4l2: needs a path", id="no path"),
        pytest.param("rtsp:///ch1", r"want rtsp://host\[:port\]/path", id="no host"),
        pytest.param("http://host:port/", r"want http://host\[:port\]/path", id="no port"),
        pytest.param("dir:a?speed=3", "has no option speed; it knows fps, loop", id="unknown option"),
        pytest.param("dir:a?fps=0", "option fps: want 0.1 to 1000, got 0", id="under the range"),
        pytest.param("dir:a?fps=fast", "option fps: want 0.1 to 1000, got fast", id="no number"),
        pytest.param("file:a?loop=2", "option loop: want 0 to 1, got 2", id="no flag"),
        pytest.param("demo:", "portraits of the people", id="demo without people"),
    ],
)
def test_a_wrong_name_is_refused_and_says_what_would_be_right(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_source(text)


def test_options_have_defaults_and_are_read():
    source = parse_source("v4l2:/dev/video2?width=1280&height=720")

    assert (source.kind, source.address) == ("v4l2", "/dev/video2")
    assert dict(source.options) == {"width": 1280, "height": 720, "fps": 30}


def test_the_query_of_a_network_camera_is_its_own():
    assert parse_source(SECRET).address == SECRET


@pytest.mark.parametrize("wrong", ["rstp://user:geheim@host/", "rtsp://user:geheim@", "http://user:geheim@host:x/"])
def test_an_address_with_a_password_is_never_shown(wrong):
    source = parse_source(SECRET)
    said = [repr(source), str(source), source.hide(f"{SECRET}: 401 user:pa%24s, pa$s, /ch1?password=geheim")]
    with contextlib.suppress(ConfigError):
        said.append(repr(parse_source(wrong)))
    with pytest.raises(ConfigError) as refused:
        parse_source("dir://user:geheim@host?fps=x")
    said.append(str(refused.value))

    assert str(source) == "rtsp://192.168.1.9:8554/…"
    for text in said:
        assert not any(secret in text for secret in ("geheim", "pa%24s", "pa$s", "ch1"))


# Time


def test_a_drivers_time_is_taken_when_it_is_of_our_clock():
    assert driver_time(99.5, 100.0) == 99.5
    assert driver_time(100.1, 100.0) == 100.0
    assert driver_time(98.0, 100.0) == 100.0
    assert driver_time(0.0, 100.0) == 100.0
    assert driver_time(129.5, 100.0, 30.0) == 99.5


# Recordings


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_is_replayed_in_order_in_rgb_and_ends(folder):
    frames = shots(parse_source(f"dir:{folder}?fps=1000"))
    for number in range(3):
        np.testing.assert_array_equal(next(frames)[0], picture(number)[:, :, ::-1])

    with pytest.raises(RecordingEndedError):
        next(frames)


def test_a_folder_is_replayed_at_the_rate_set_and_repeated(folder):
    with contextlib.closing(shots(parse_source(f"dir:{folder}?fps=100&loop=1"))) as frames:
        began = time.monotonic()
        times = [moment for _, moment in itertools.islice(frames, 11)]

    assert 0.099 <= times[-1] - began < BUSY_S


def test_a_folder_without_pictures_is_no_camera(tmp_path):
    with pytest.raises(CameraLostError, match="holds no pictures"):
        next(shots(parse_source(f"dir:{tmp_path}")))


def test_a_damaged_picture_is_named(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")

    with pytest.raises(CameraLostError, match=r"bad\.jpg is not a picture"):
        next(shots(parse_source(f"dir:{tmp_path}")))


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for number in range(5):
        writer.write(picture(number))
    writer.release()
    return path


def test_a_video_is_replayed_at_its_own_rate_and_ends(video):
    frames = shots(parse_source(f"file:{video}"))
    began = time.monotonic()
    for number in range(5):
        image, moment = next(frames)
        assert np.abs(image.astype(int) - picture(number)[:, :, ::-1]).mean() < 10

    with pytest.raises(RecordingEndedError):
        next(frames)
    assert 0.199 <= moment - began < BUSY_S


def test_a_video_repeats_when_asked(video):
    images = taken(parse_source(f"file:{video}?loop=1&fps=1000"), 12)

    np.testing.assert_array_equal(images[1], images[11])


def test_a_file_that_is_no_video_is_no_camera(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")

    with pytest.raises(CameraLostError, match="is it a video"):
        next(shots(parse_source(f"file:{tmp_path}/bad.mp4")))


# The demo


def test_a_demo_shows_everybody_walking_up_and_pauses_the_same_each_time(person_a, person_b):
    demos = [Demo([person_a, person_b], (320, 240), 10.0) for _ in range(2)]

    numbers = range(0, demos[0].frames, 5)
    for number in numbers:
        np.testing.assert_array_equal(demos[0].frame(number), demos[1].frame(number))
    empty, near, other = demos[0].frame(0), demos[0].frame(45), demos[0].frame(45 + round(VISIT_S * 10))
    assert demos[0].frames == 130
    assert np.abs(near.astype(int) - empty).mean() > 10
    assert np.abs(near.astype(int) - other).mean() > 10


def test_no_two_frames_of_a_demo_are_equal_even_when_nobody_is_there(person_a):
    demo = Demo([person_a], (64, 64), 10.0)

    frames = [demo.frame(number).tobytes() for number in range(14)]

    assert len(set(frames)) == 14


def test_a_demo_takes_portraits_of_any_shape():
    demo = Demo([picture(1, height=20, width=300), picture(2, height=300, width=2)], (64, 64), 10.0)

    assert {demo.frame(number).shape for number in range(demo.frames)} == {(64, 64, 3)}


def test_a_demo_is_a_camera_that_reads_the_portraits_it_is_given(folder):
    images = taken(parse_source("demo:?width=64&height=64&fps=240", [folder / "0.png"]), 3)

    np.testing.assert_array_equal(images[2], Demo([picture(0)[:, :, ::-1]], (64, 64), 240.0).frame(2))


def run_until_held(cues, demo, moment, **seen):
    while moment < demo.frames and cues.let_go_on(moment, Attention(**seen)):
        moment += 1
    return moment


def test_nobody_leaves_a_demo_undecided_or_comes_before_the_last_was_seen_to_go():
    demo = Demo([picture(1), picture(2)], (64, 64), 10.0)
    cues = Cues(demo)

    comes = run_until_held(cues, demo, 0, looks=9)
    leaves = run_until_held(cues, demo, comes, looks=9, is_idle=True)
    next_comes = run_until_held(cues, demo, leaves, looks=20, decisions=1)
    too_soon = run_until_held(cues, demo, next_comes, looks=22, decisions=1, is_idle=True)
    next_leaves = run_until_held(cues, demo, next_comes, looks=23, decisions=1, is_idle=True)
    end = run_until_held(cues, demo, next_leaves, looks=24, decisions=2)

    assert (comes, leaves, next_comes, too_soon, next_leaves, end) == (14, 59, 79, 79, 124, 130)


def test_whoever_cannot_be_judged_leaves_a_demo_after_many_looks_and_the_next_has_a_turn():
    demo = Demo([picture(1), picture(2)], (64, 64), 10.0)
    cues = Cues(demo)

    comes = run_until_held(cues, demo, 0, looks=MOST_LOOKS - 1)
    leaves = run_until_held(cues, demo, comes, looks=MOST_LOOKS)
    held = run_until_held(cues, demo, leaves, looks=2 * MOST_LOOKS - 1)
    next_comes = run_until_held(cues, demo, leaves, looks=2 * MOST_LOOKS)

    assert (comes, leaves, held, next_comes) == (14, 59, 59, 79)


# Motion JPEG


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self):
        self.server.serve(self)

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    """A server whose one answer the test gives as a function of the request."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/stream"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def begin(request, kind="multipart/x-mixed-replace; boundary=frame"):
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.end_headers()


def send(request, data, *, tell_length=True):
    length = f"Content-Length: {len(data)}\r\n" if tell_length else ""
    request.wfile.write(f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + data + b"\r\n")


@pytest.mark.parametrize("tell_length", [True, False])
@pytest.mark.parametrize("kind", ["frame", '"frame"', "--frame"])
def test_motion_jpeg_is_read_frame_by_frame(web, tell_length, kind):
    wanted = threading.Semaphore(1)

    def serve(request):
        begin(request, f"multipart/x-mixed-replace; boundary={kind}")
        for number in range(3):
            assert wanted.acquire(timeout=LIMIT_S)
            send(request, jpeg(number), tell_length=tell_length)
        request.wfile.write(b"--frame--\r\n")

    web.serve = serve
    for number, (image, moment) in enumerate(itertools.islice(shots(parse_source(web.url)), 3)):
        assert np.abs(image.astype(int) - picture(number)[:, :, ::-1]).mean() < 10
        assert 0.0 <= time.monotonic() - moment < BUSY_S
        wanted.release()


def test_a_reader_slower_than_the_stream_gets_the_newest_and_a_damaged_frame_is_skipped(web):
    may_go_on = threading.Event()

    def serve(request):
        begin(request)
        send(request, b"no picture")
        send(request, jpeg(0))
        may_go_on.wait(LIMIT_S)
        for number in range(1, 30):
            send(request, jpeg(number))

    web.serve, before = serve, set(threading.enumerate())
    frames = shots(parse_source(web.url))
    next(frames)
    (following,) = [one for one in threading.enumerate() if one.name == "mjpeg" and one not in before]
    may_go_on.set()
    following.join(LIMIT_S)  # it has read the stream to its end

    image, _ = next(frames)

    assert np.abs(image.astype(int) - picture(29)[:, :, ::-1]).mean() < 10


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        pytest.param(lambda request: request.send_error(404), "cannot be opened: HTTP Error 404", id="not there"),
        pytest.param(lambda request: begin(request, "text/html"), "answers with text/html, want motion", id="a page"),
        pytest.param(begin, "stream ended", id="nothing"),
        pytest.param(
            lambda request: (begin(request), request.wfile.write(b"--frame\r\nContent-Length: 99999999\r\n\r\n")),
            "a picture of 99999999 bytes, more than",
            id="too long",
        ),
        pytest.param(
            lambda request: (begin(request), request.wfile.write(b"--frame\r\nContent-Length: x\r\n\r\n")),
            "stream ended",
            id="a length that is no number",
        ),
    ],
)
def test_a_server_that_is_no_camera_is_told_as_what_it_is(web, serve, said):
    web.serve = serve

    with pytest.raises(CameraLostError, match=said):
        next(shots(parse_source(web.url)))


def test_user_and_password_are_given_when_asked_for_and_not_shown_when_wrong(web):
    def serve(request):
        if request.headers.get("Authorization") != "Basic dXNlcjpwYSRz":  # user:pa$s
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="camera"')
            request.end_headers()
            return
        begin(request)
        send(request, jpeg(0))

    web.serve = serve
    assert len(taken(parse_source(web.url.replace("//", "//user:pa%24s@")), 1)) == 1
    with pytest.raises(CameraLostError, match="401") as refused:
        next(shots(parse_source(web.url.replace("//", "//user:geheim@"))))
    assert "geheim" not in str(refused.value)


# Devices, as far as they can be had here


def test_a_device_that_is_not_there_is_no_camera(tmp_path):
    with pytest.raises(CameraLostError, match="is it plugged in"):
        next(shots(parse_source(f"v4l2:{tmp_path}/video0")))


def test_nobody_at_an_address_is_no_camera():
    with pytest.raises(CameraLostError, match="cannot be opened"):
        next(shots(parse_source("rtsp://user:geheim@127.0.0.1:1/ch1")))


class PicameraDouble:
    """Answers as picamera2 0.3.38 does, in one of its formats, until its cable is pulled."""

    frames = 2
    format = "BGR888"
    calls: ClassVar[list[Any]] = []

    def __init__(self, number):
        type(self).calls = [("open", number)]

    def create_video_configuration(self, **how):
        self.calls.append(("main", how["main"]["format"]))

    def configure(self, _):
        pass

    def camera_configuration(self):
        return {"main": {"size": (64, 48), "format": self.format}}

    def start(self):
        pass

    def capture_request(self, *, wait):
        assert wait > 0
        type(self).frames -= 1
        if self.frames < 0:
            raise futures.TimeoutError
        pixels = np.full((48, 64, 4), (10, 20, 30, 255), np.uint8)
        told = {"SensorTimestamp": int((time.monotonic() - 0.01) * 1e9)}
        return SimpleNamespace(
            make_array=lambda _: pixels, get_metadata=lambda: told, release=lambda: self.calls.append("release")
        )

    def cancel_all_and_flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")


@pytest.mark.parametrize(("name", "first"), [("BGR888", 10), ("XRGB8888", 30)])
def test_a_picamera_that_stops_is_flushed_and_closed_and_never_stopped(monkeypatch, name, first):
    double = type("Picamera2", (PicameraDouble,), {"format": name})
    monkeypatch.setitem(__import__("sys").modules, "picamera2", SimpleNamespace(Picamera2=double))
    frames = shots(parse_source("picamera2:1"))

    for image, moment in itertools.islice(frames, 2):
        assert image[0, 0, 0] == first
        assert 0.005 < time.monotonic() - moment < BUSY_S
    with pytest.raises(CameraLostError, match="is its cable in place"):
        next(frames)

    assert vars(double)["calls"] == [("open", 1), ("main", "BGR888"), "release", "release", "flush", "close"]


def test_a_picamera_built_for_another_numpy_says_the_cure(monkeypatch, tmp_path):
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed, may indicate')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(CameraLostError, match="pip install --force-reinstall --no-deps simplejpeg"):
        next(shots(parse_source("picamera2:0")))


def test_without_picamera2_it_says_what_to_install():
    if "picamera2" in __import__("sys").modules:
        pytest.skip("picamera2 is here")
    with pytest.raises(CameraLostError, match="apt install python3-picamera2"):
        next(shots(parse_source("picamera2:0")))


@pytest.mark.parametrize(("name", "rows"), [("YUV420", 72), ("NV12", 72)])
def test_what_libcamera_pads_is_cut_off(name, rows):
    padded = np.full((rows, 96), 128, np.uint8)

    image = sources._from_libcamera(padded, {"size": (64, 48), "format": name})

    assert image.shape == (48, 64, 3)
    assert np.ptp(image) <= 2


@pytest.mark.parametrize("name", ["YUV420", "NV12"])
def test_what_libcamera_gives_in_full_range_is_not_stretched(name):
    wanted = picture(3)
    i420 = full_range_i420(wanted)
    pixels = i420 if name == "YUV420" else interleaved(i420)

    image = sources._from_libcamera(pixels, {"size": (64, 48), "format": name}, is_full=True)
    stretched = sources._from_libcamera(pixels, {"size": (64, 48), "format": name})

    assert np.abs(image.astype(int) - wanted).mean() < 3
    assert image.std() == pytest.approx(wanted.std(), rel=0.03)
    assert stretched.std() > 1.1 * wanted.std()


def full_range_i420(rgb):
    y, red, blue = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
    half = [
        cv2.resize(one, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA) for one in (blue, red)
    ]
    return np.vstack([y, *(one.reshape(-1, rgb.shape[1]) for one in half)])


def interleaved(i420):
    rows, width = i420.shape[0] * 2 // 3, i420.shape[1]
    blue, red = i420[rows:].reshape(2, rows // 2, width // 2)
    return np.vstack([i420[:rows], np.dstack([blue, red]).reshape(rows // 2, width)])


class FullRange(PicameraDouble):
    format = "NV12"

    def camera_configuration(self):
        return {**super().camera_configuration(), "colour_space": "sYCC"}

    def capture_request(self, *, wait):
        request = super().capture_request(wait=wait)
        request.make_array = lambda _: interleaved(full_range_i420(picture(3)))
        return request


def test_a_picamera_that_tells_full_range_is_read_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "picamera2", SimpleNamespace(Picamera2=FullRange))

    ((image, _),) = itertools.islice(shots(parse_source("picamera2:0")), 1)

    assert np.abs(image.astype(int) - picture(3)).mean() < 3

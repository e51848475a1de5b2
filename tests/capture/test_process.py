"""Facts about a camera that may hang, lie or vanish: real processes, real sockets, real signals."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from kiosk.capture.child import look
from kiosk.capture.process import Camera, Child
from kiosk.capture.watch import Report, State
from kiosk.errors import ConfigError
from kiosk.settings.sections import CameraSettings
from tests.capture.frames import picture
from tests.patience import BUSY_S, LIMIT_S, PROCESS_S, reserved_port, until

PATIENT: dict[str, Any] = {"open_within_s": 60.0, "lost_after_s": 60.0, "frozen_after_s": 0.0}
"""Where nothing but a death may count."""
QUICK = {
    "reopen_first_s": 0.05,
    "reopen_longest_s": 0.1,
    "lost_after_s": 0.5,
    "frozen_after_s": 0.4,
    "open_within_s": 60.0,
}


class Told(Camera):
    """A camera, and every report it gave: one that comes back at once is lost for less than a glance takes."""

    def __init__(self, settings, portraits=()):
        self.told: list[Report] = []
        self.given: list[Any] = []
        super().__init__(settings, portraits, chance=lambda: 0.0, tell=self.hear)

    def hear(self, report):
        if report.state is not State.LIVE:
            self.given.append(self.latest(0, 0.0))  # what whoever asks at that moment gets
        self.told.append(report)


@contextlib.contextmanager
def opened(source, portraits=(), **settings):
    with Told(CameraSettings(source=str(source), **{**QUICK, **settings}), portraits) as camera:
        yield camera


def is_in(camera, state):
    return lambda: camera.report.state is state


def was(camera, state):
    return lambda: said(camera, state)


def said(camera, state):
    return [report.sentence for report in camera.told if report.state is state]


OTHERS: set[int] = set()


@pytest.fixture(scope="module", autouse=True)
def others():
    """Leave out what other modules keep for the whole run: the process that decodes their pictures."""
    OTHERS.update(children())


def children():
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()} - OTHERS


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# What a camera gives


def test_frames_come_from_another_process_upright_and_mirrored_with_rising_numbers(folder):
    with opened(f"dir:{folder}?fps=20&loop=1", rotation=90, mirror=True, **PATIENT) as camera:
        frames = [camera.latest(0, PROCESS_S)]
        for _ in range(5):
            frames.append(camera.latest(frames[-1].number, LIMIT_S))

    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers))
    for frame in frames:
        rgb = picture((frame.number - 1) % 10)[:, :, ::-1]
        np.testing.assert_array_equal(frame.image, np.rot90(rgb, -1)[:, ::-1])
        assert 0.0 <= time.monotonic() - frame.captured_at < LIMIT_S


@pytest.mark.parametrize(
    ("long_edge", "shape"),
    [
        pytest.param(1920, (1080, 1920, 3), id="scaled to the edge set"),
        pytest.param(0, (2160, 3840, 3), id="kept as it is"),
    ],
)
def test_a_frame_of_4k_is_scaled_on_the_way(tmp_path, long_edge, shape):
    for number in range(2):
        rng = np.random.default_rng(number)
        cells = rng.integers(0, 255, (27, 48, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.kron(cells, np.ones((80, 80, 1), np.uint8)))
    with opened(f"dir:{tmp_path}?fps=4&loop=1", long_edge=long_edge, **PATIENT) as camera:
        frame = camera.latest(0, PROCESS_S)

    assert frame.image.shape == shape
    assert frame.image.std() > 40.0


def test_a_slow_reader_gets_the_newest_frame_and_sees_the_gap(folder):
    with opened(f"dir:{folder}?fps=100&loop=1", **PATIENT) as camera:
        first = camera.latest(0, PROCESS_S)
        until(lambda: camera._number > first.number + 10)  # the reader is busy
        late = camera.latest(first.number, LIMIT_S)

    assert late.number - first.number > 10
    np.testing.assert_array_equal(late.image, picture((late.number - 1) % 10)[:, :, ::-1])


def test_only_a_newer_frame_will_do_and_waiting_for_it_has_an_end(folder):
    with opened(f"dir:{folder}?fps=20&loop=1") as camera:
        frame = camera.latest(0, PROCESS_S)
        began = time.monotonic()

        assert camera.latest(frame.number + 1_000_000, 0.05) is None
        assert 0.05 <= time.monotonic() - began < BUSY_S


def test_a_recording_ends_and_is_no_fault(folder):
    with opened(f"dir:{folder}?fps=100", **PATIENT) as camera:
        until(is_in(camera, State.ENDED))

        assert camera.latest(0, 0.0) is None
        assert camera.report.sentence == "The recording has ended."


def test_the_demo_runs_on_the_portraits_handed_in(folder):
    with opened("demo:?width=320&height=240", [folder / "0.png"]) as camera:
        assert camera.latest(0, PROCESS_S).image.shape == (240, 320, 3)


def test_a_wrong_source_is_refused_before_anything_starts():
    with pytest.raises(ConfigError, match="want picamera2:0"):
        Camera(CameraSettings(source="usb:0"))


# What is not to be trusted


def test_a_child_killed_is_replaced_and_numbers_go_on_rising(folder):
    with opened(f"dir:{folder}?fps=50&loop=1", **PATIENT) as camera:
        frame = camera.latest(0, PROCESS_S)
        (before,) = children()
        os.kill(before, signal.SIGKILL)
        until(was(camera, State.LOST))
        again = camera.latest(frame.number, LIMIT_S)

        assert said(camera, State.LOST) == ["The process that captures ended by signal 9."]
        assert again.number > frame.number
        assert children() != {before}


def test_what_became_of_a_demos_people_is_told_to_every_child(folder):
    with opened("demo:?width=64&height=64&wait=1", [folder / "0.png"], **PATIENT) as camera:
        number = camera.latest(0, PROCESS_S).number
        camera.cue(3, is_idle=True)
        first = camera._child.slot.attention()
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        until(was(camera, State.LOST))
        camera.latest(number, LIMIT_S)
        second = camera._child.slot.attention()

    assert (first.decisions, first.is_idle) == (second.decisions, second.is_idle) == (3, True)


def test_a_dead_child_is_lost_to_all_who_ask_and_told_of_before_the_wait_for_the_next(folder):
    asked = []

    class Asked(Camera):
        def __init__(self):
            source = f"dir:{folder}?fps=50&loop=1"
            settings = CameraSettings(source=source, **PATIENT, reopen_first_s=600.0, reopen_longest_s=600.0)
            super().__init__(settings, tell=lambda report: asked.append((report.state, self.report.state)))

    with Asked() as camera:
        camera.latest(0, PROCESS_S)
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        until(lambda: asked[1:])

        assert asked == [(State.LIVE, State.LIVE), (State.LOST, State.LOST)]
        assert camera.latest(0, 0.0) is None


def test_a_child_that_hangs_is_noticed_in_time_and_replaced(folder):
    with opened(f"dir:{folder}?fps=50&loop=1", lost_after_s=1.0) as camera:
        camera.latest(0, PROCESS_S)
        before = children()
        for pid in before:
            with contextlib.suppress(ProcessLookupError):  # replaced already, where this test itself stood still
                os.kill(pid, signal.SIGSTOP)
        noticed_s = until(was(camera, State.LOST))
        until(lambda: not any(map(is_running, before)))
        until(is_in(camera, State.LIVE))

        assert noticed_s < BUSY_S
        assert set(camera.given) == {None}


@pytest.mark.parametrize(
    ("image", "state", "sentence"),
    [
        pytest.param(picture(1), State.FROZEN, "not changed for 0.4 s", id="frozen"),
        pytest.param(np.zeros((48, 64, 3), np.uint8), State.BLACK, "is black", id="black"),
        pytest.param(np.full((48, 64, 3), 255, np.uint8), State.BLACK, "is white", id="saturated"),
        pytest.param(np.full((48, 64, 3), 90, np.uint8), State.BLACK, "is covered", id="covered"),
    ],
)
def test_a_picture_that_shows_nothing_new_or_nothing_at_all_is_not_handed_out(tmp_path, image, state, sentence):
    cv2.imwrite(str(tmp_path / "only.png"), image)
    blind = {"blind_after_s": 0.1, "frozen_after_s": 0.0} if state is State.BLACK else {}

    with opened(f"dir:{tmp_path}?fps=50&loop=1", lost_after_s=60.0, **blind) as camera:
        until(was(camera, state))

        assert sentence in said(camera, state)[0]
        assert set(camera.given) == {None}


def test_a_frame_larger_than_allowed_is_refused_with_both_sizes(tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), picture(1, 100, 100))

    with opened(f"dir:{tmp_path}?loop=1", max_pixels=4096) as camera:
        until(was(camera, State.LOST))

    assert {one.sentence for one in camera.told} == {
        "frames of 100 x 100 px are more than the 4096 pixels of [camera] max_pixels."
    }


def test_a_camera_that_changes_its_size_goes_on(folder):
    cv2.imwrite(str(folder / "5.png"), picture(5, 120, 90))

    with opened(f"dir:{folder}?fps=50&loop=1") as camera:
        shapes: set[tuple[int, ...]] = set()
        number = 0
        while len(shapes) < 2:
            frame = camera.latest(number, LIMIT_S)
            number = frame.number
            shapes.add(frame.image.shape)

    assert shapes == {(48, 64, 3), (120, 90, 3)}


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        self.server.opened += 1
        with contextlib.suppress(OSError):
            for number in range(10_000):
                data = cv2.imencode(".jpg", picture(number))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                time.sleep(0.02)  # the frame rate
                self.server.flows.wait()

    def log_message(self, *_):
        pass


@pytest.fixture
def web_camera():
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.opened, server.flows = 0, threading.Event()
    server.flows.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.flows.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_network_camera_that_falls_silent_is_lost_and_reopened_until_it_speaks(web_camera, caplog):
    caplog.set_level("INFO")
    url = f"http://user:geheim@127.0.0.1:{web_camera.server_port}/ch?token=geheim"

    with opened(url, warmup_frames=3) as camera:
        frame = camera.latest(0, PROCESS_S)
        web_camera.flows.clear()
        noticed_s = until(was(camera, State.LOST))
        until(lambda: web_camera.opened > 1)
        web_camera.flows.set()
        again = camera.latest(frame.number, LIMIT_S)

    assert frame.number >= 1
    assert noticed_s < BUSY_S
    assert again.number > frame.number
    assert "state=lost reason='No frame came for 0.5 s.'" in caplog.text
    assert "geheim" not in caplog.text


def test_frames_of_the_warm_up_are_dropped(web_camera):
    with opened(f"http://127.0.0.1:{web_camera.server_port}/", warmup_frames=5, **PATIENT) as camera:
        frame = camera.latest(0, PROCESS_S)

    # JPEG changes a picture by less than 20, other pictures are 40 away. A busy machine skips some, never goes back.
    unlike = [np.abs(frame.image.astype(int) - picture(number)[:, :, ::-1]).mean() for number in range(1000)]
    assert min(unlike) < 20
    assert int(np.argmin(unlike)) >= frame.number - 1 + 5


def test_nobody_there_is_told_without_the_password_and_tried_again():
    with socket.socket() as deaf, contextlib.ExitStack() as opening:
        deaf.bind(("127.0.0.1", 0))  # and never listens: nobody else gets the port meanwhile
        port = deaf.getsockname()[1]
        camera = opening.enter_context(opened(f"http://user:geheim@127.0.0.1:{port}/geheim"))
        until(was(camera, State.LOST))
        tried, commands = set(), set()

        def look_around():
            for pid in children():
                tried.add(pid)
                with contextlib.suppress(OSError):  # it has ended since
                    commands.add(Path(f"/proc/{pid}/cmdline").read_bytes())
            return len(tried) > 1 and any(commands)

        until(look_around)

    assert camera.told[0].sentence.startswith(f"http://127.0.0.1:{port}/… cannot be opened: ")
    assert "geheim" not in f"{camera.told} {camera.report} {commands}"


RTSP = """
import gi, sys
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
if not Gst.ElementFactory.find("x264enc"):
    sys.exit("no x264enc")
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_shared(True)
if len(sys.argv) > 2:
    gi.require_version("GstRtsp", "1.0")
    from gi.repository import GstRtsp
    factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, sys.argv[2]))
factory.set_launch(
    "( videotestsrc is-live=true pattern=smpte ! video/x-raw,width=320,height=240,framerate=15/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96 )"
)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""


@pytest.fixture
def rtsp_server():
    """Give what starts a server; those of one test are on one port, which no one else takes meanwhile."""
    python = shutil.which("python3", path="/usr/bin")  # gi comes from the distribution
    if python is None:
        pytest.skip("no system Python for gst-rtsp-server")
    with reserved_port() as port, contextlib.ExitStack() as servers:

        def start(*transport):
            command = [python, "-c", RTSP, str(port), *transport]
            process: Any = servers.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            )
            servers.callback(process.kill)
            bound = process.stdout.readline().strip()
            if not bound:
                pytest.skip("no gst-rtsp-server: apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly")
            process.port = int(bound)
            return process

        yield start


def test_an_rtsp_camera_that_stops_answering_is_lost_in_time_and_comes_back(rtsp_server):
    server = rtsp_server()
    with opened(f"rtsp://127.0.0.1:{server.port}/cam", warmup_frames=2) as camera:
        frame = camera.latest(0, PROCESS_S)
        server.send_signal(signal.SIGSTOP)
        noticed_s = until(was(camera, State.LOST))
        server.send_signal(signal.SIGCONT)
        again = camera.latest(frame.number, LIMIT_S)

    assert frame.image.shape == (240, 320, 3)
    assert noticed_s < BUSY_S
    assert again.number > frame.number


@pytest.mark.parametrize("transport", ["TCP", "UDP"])
def test_an_rtsp_camera_that_knows_one_transport_alone_gives_pictures(rtsp_server, transport):
    server = rtsp_server(transport)
    with opened(f"rtsp://127.0.0.1:{server.port}/cam", warmup_frames=2) as camera:
        frame = camera.latest(0, PROCESS_S)
        later = camera.latest(frame.number, LIMIT_S)

    assert frame.image.shape == (240, 320, 3)
    assert later.captured_at > frame.captured_at


def test_a_camera_that_is_not_there_is_told_as_one_sentence(tmp_path):
    with opened(f"v4l2:{tmp_path / 'video9'}") as camera:
        until(lambda: any("is it plugged in" in sentence for sentence in said(camera, State.LOST)))

        (sentence,) = {one for one in said(camera, State.LOST) if "is it plugged in" in one}
        assert sentence.endswith("read it?")


def test_an_rtsp_camera_that_restarts_is_lost_in_time_and_comes_back_and_no_log_has_its_password(rtsp_server, caplog):
    caplog.set_level("DEBUG")
    server = rtsp_server()
    # The server's test pattern begins anew with it: its frames come again, as no sensor's do.
    with opened(f"rtsp://user:geheim@127.0.0.1:{server.port}/cam", warmup_frames=2, frozen_after_s=0.0) as camera:
        frame = camera.latest(0, PROCESS_S)
        server.kill()
        server.wait()
        noticed_s = until(was(camera, State.LOST))
        until(lambda: any("cannot be opened" in sentence for sentence in said(camera, State.LOST)))
        rtsp_server()
        again = camera.latest(frame.number, LIMIT_S)

    assert noticed_s < BUSY_S
    assert again.number > frame.number
    assert f"rtsp://127.0.0.1:{server.port}/…" in caplog.text
    assert "geheim" not in f"{caplog.text} {camera.told}"


@pytest.fixture
def ffmpeg_camera():
    """Give what starts an ffmpeg that serves motion JPEG to one reader."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg: apt install ffmpeg")
    with reserved_port() as port, contextlib.ExitStack() as servers:

        def start():
            given = ["-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=15", "-c:v", "mjpeg", "-f", "mpjpeg"]
            served = ["-content_type", "multipart/x-mixed-replace;boundary=ffmpeg", "-listen", "1"]
            command = ["ffmpeg", "-loglevel", "quiet", *given, *served, f"http://127.0.0.1:{port}/cam"]
            process: Any = servers.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            servers.callback(process.kill)
            process.port = port
            return process

        yield start


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_an_ffmpeg_camera_that_hangs_or_dies_is_lost_in_time_and_comes_back(ffmpeg_camera, how):
    server = ffmpeg_camera()
    with opened(f"http://127.0.0.1:{server.port}/cam", warmup_frames=2) as camera:
        frame = camera.latest(0, PROCESS_S)
        server.send_signal(how)
        noticed_s = until(was(camera, State.LOST))
        server.kill()
        server.wait()
        ffmpeg_camera()
        again = camera.latest(frame.number, LIMIT_S)

    assert frame.image.shape == (240, 320, 3)
    assert noticed_s < BUSY_S
    assert again.number > frame.number


# What is left behind


def test_nothing_is_left_after_closing_however_often_it_was_opened(folder):
    with opened(f"dir:{folder}?fps=50&loop=1") as camera:
        camera.latest(0, PROCESS_S)
    before, threads = descriptors(), set(threading.enumerate())  # what other tests left may end meanwhile

    for _ in range(2):
        with opened(f"dir:{folder}?fps=50&loop=1") as camera:
            camera.latest(0, PROCESS_S)
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            until(was(camera, State.LOST))
        began = time.monotonic()
        camera.close()
        assert time.monotonic() - began < BUSY_S

    assert descriptors() <= before
    assert set(threading.enumerate()) <= threads
    assert children() == set()
    assert camera.latest(0, 1.0) is None


def test_a_camera_that_was_never_started_can_be_closed():
    Camera(CameraSettings(source="dir:nowhere")).close()


def test_a_camera_can_be_closed_twice(folder):
    with opened(f"dir:{folder}?fps=50&loop=1") as camera:
        camera.latest(0, PROCESS_S)
        camera.close()

    assert children() == set()


def test_the_child_ends_with_its_parent_even_when_that_is_killed(folder):
    code = f"""
import sys, time
sys.path[:] = {sys.path!r}
from kiosk.capture.process import Camera
from kiosk.settings.sections import CameraSettings
with Camera(CameraSettings(source="dir:{folder}?fps=50&loop=1")) as camera:
    camera.latest(0, {LIMIT_S})
    print(camera._child.pid, flush=True)
    time.sleep(60)  # the parent stays until it is killed, with its camera open
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()

    until(lambda: not is_running(pid))


class Immortal:
    """A process that hangs in the kernel: it takes SIGKILL and stays."""

    pid, signals = 1, 0

    def wait(self, timeout):
        raise subprocess.TimeoutExpired("child", timeout)

    def poll(self):
        return None

    def kill(self):
        self.signals += 1


def test_a_process_that_outlives_sigkill_is_given_up_and_its_memory_let_go():
    camera = Camera(CameraSettings(source="dir:nowhere"))
    before = descriptors()
    child = Child(camera.source, CameraSettings(source="dir:nowhere"), 1)
    child._process.kill()
    child._process.wait()
    child._process = immortal = cast("Any", Immortal())

    assert child.end(0.0) is False
    assert immortal.signals == 2
    assert descriptors() <= before


# What is measured of a frame


def test_the_digest_tells_any_change_of_a_pixel_apart():
    image = picture(1, 480, 640)
    moved = np.roll(image, 8, axis=1)
    changed = image.copy()
    changed[3, 5, 1] ^= 1

    digests = {look(one, 1, 0.0).digest for one in (image, moved, changed, np.roll(image, 8, axis=0))}

    assert len(digests) == 4
    assert look(image.copy(), 2, 0.5).digest == look(image, 1, 0.0).digest


def test_brightness_and_contrast_are_those_of_the_luma():
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 32:] = 200

    about = look(half, 1, 0.0)

    assert (about.luma, about.contrast) == (100.0, 100.0)

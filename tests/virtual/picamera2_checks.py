"""Facts about the kiosk's own capture through picamera2 and libcamera's virtual camera; see picamera2.sh."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from kiosk.capture.demo import Demo
from kiosk.capture.process import Camera
from kiosk.capture.sources import driver_time
from kiosk.capture.watch import State
from kiosk.settings.sections import CameraSettings

FRAMES = Path("/srv/frames")  # as virtual_camera.yaml says
UNPLUGGED = Path(os.environ["KIOSK_VIRTUAL_UNPLUGGED"])
SIZES = [(640, 480), (1280, 720)]
TIMES = """
import json, os, time
from picamera2 import Picamera2
camera = Picamera2(0)
camera.configure(camera.create_video_configuration(main={"size": (640, 480)}, raw=None, buffer_count=4, queue=False))
camera.start()
times = []
for _ in range(5):
    request = camera.capture_request(wait=5)
    times.append((request.get_metadata()["SensorTimestamp"], time.monotonic()))
    request.release()
print(json.dumps(times), flush=True)
os._exit(0)
"""
STREAMS = """
import os, time
import cv2
import numpy as np
from picamera2 import Picamera2
cv2.setNumThreads(1)

def median_ms(act, runs=60):
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return sorted(times)[runs // 2] * 1000

camera = Picamera2(0)
streams = {"main": {"size": (1280, 720), "format": "BGR888"}, "lores": {"size": (640, 480), "format": "YUV420"}}
for wanted in (["main", "lores"], ["main"]):
    try:
        camera.configure(camera.create_video_configuration(
            **{name: streams[name] for name in wanted}, raw=None, buffer_count=4, queue=False))
        break
    except Exception as error:
        print(f"{wanted}: {error!r}")
told = camera.camera_configuration()
camera.start()
request = camera.capture_request(wait=5)
for name in wanted:
    width, height = told[name]["size"]
    spent = median_ms(lambda: request.make_array(name))
    print(f"make_array {name} {width}x{height} {told[name]['format']}: {spent:.2f} ms")
    pixels = request.make_array(name)
    print(f"  to RGB: {median_ms(lambda: cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_NV12)):.2f} ms")
rgb = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
for side in (128, 192, 256, 320):
    for name, how in (("linear", cv2.INTER_LINEAR), ("area", cv2.INTER_AREA)):
        spent = median_ms(lambda: cv2.resize(rgb, (side, side * 9 // 16), interpolation=how))
        print(f"1280x720 made {side} px wide, {name}: {spent:.2f} ms")
print(end="", flush=True)
os._exit(0)
"""
LIMIT_S = 20.0  # libcamera and picamera2 take seconds to load
CORNERS = {"red": (220, 30, 40), "green": (30, 190, 60), "blue": (40, 60, 210), "yellow": (210, 200, 50)}


def show(frames):
    """Let the virtual camera show pictures, each after the other, over and over."""
    FRAMES.mkdir(exist_ok=True)
    for old in FRAMES.iterdir():
        old.unlink()
    for number, rgb in enumerate(frames):
        cv2.imwrite(str(FRAMES / f"{number:04}.jpg"), rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def corners(width=1280, height=720):
    """Four colours, red at the top left, going round with the clock; the middle differs each time."""
    for number in range(15):
        rgb = np.empty((height, width, 3), np.uint8)
        rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = CORNERS["red"], CORNERS["green"]
        rgb[height // 2 :, width // 2 :], rgb[height // 2 :, : width // 2] = CORNERS["blue"], CORNERS["yellow"]
        cv2.circle(rgb, (width // 2, height // 2), 20 + 3 * number, (128, 128, 128), -1)
        yield rgb


def seen(image):
    """Names of the colours in the corners, clockwise from the top left."""
    height, width = image.shape[:2]
    found = []
    for y, x in [(0, 0), (0, 1), (1, 1), (1, 0)]:
        row, column = int(height * (0.1 + 0.8 * y)), int(width * (0.1 + 0.8 * x))
        colour = image[row - 5 : row + 5, column - 5 : column + 5].reshape(-1, 3).mean(axis=0)
        distance = {name: np.abs(colour - want).max() for name, want in CORNERS.items()}
        name = min(distance, key=distance.__getitem__)
        # The virtual camera's JPEGs are full-range YUV, which is stretched here as if it were a sensor's limited range.
        assert distance[name] < 25, f"{colour} is none of {CORNERS}"
        found.append(name)
    return found


@contextlib.contextmanager
def opened(size=SIZES[0], **settings):
    source = "picamera2:0?width={}&height={}&fps=30".format(*size)
    UNPLUGGED.unlink(missing_ok=True)
    try:
        with Camera(CameraSettings(source=source, reopen_first_s=0.1, reopen_longest_s=0.5, **settings)) as camera:
            yield camera
    finally:
        UNPLUGGED.unlink(missing_ok=True)


def aside(code):
    """What a program prints that drives picamera2 itself."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


def until(fact, limit_s=LIMIT_S):
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < limit_s, "it did not come true"
        time.sleep(0.005)  # a real process is on its way
    return time.monotonic() - began


def children():
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def descriptors(pid="self"):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture(scope="module", autouse=True)
def coloured():
    show(corners())


@pytest.mark.parametrize("size", SIZES)
def test_frames_have_the_size_asked_for_their_colours_and_the_sensors_time(size):
    with opened(size) as camera:
        began = time.monotonic()
        frame = camera.latest(0, LIMIT_S)
        first_s = time.monotonic() - began
        first, ages = frame, []
        for _ in range(60):
            frame = camera.latest(frame.number, LIMIT_S)
            ages.append(time.monotonic() - frame.captured_at)

    rate = (frame.number - first.number) / (frame.captured_at - first.captured_at)
    p50, p95 = np.percentile(ages, [50, 95]) * 1000
    print(
        f"{size}: first frame {first_s:.2f} s; age when handed out p50 {p50:.1f} p95 {p95:.1f} ms; {rate:.1f} frames/s"
    )
    assert frame.image.shape == (size[1], size[0], 3)
    assert seen(frame.image) == ["red", "green", "blue", "yellow"]
    assert min(ages) >= 0.0
    assert p95 < 250
    assert 10 < rate < 20


def test_the_sensors_time_is_of_a_clock_that_is_understood():
    times = json.loads(aside(TIMES))

    ages_ms = [(now - driver_time(told / 1e9, now)) * 1000 for told, now in times]
    print("a frame's age by the sensor's time when picamera2 gives it:", [f"{age:.1f} ms" for age in ages_ms])
    assert all(0 < age < 100 for age in ages_ms)  # 0 exactly is our own time, taken instead


def test_a_second_smaller_stream_would_save_the_detector_less_than_it_costs():
    told = aside(STREAMS)

    print(told)
    assert "make_array main 1280x720" in told


@pytest.mark.parametrize(
    ("turned", "want"),
    [
        pytest.param({"rotation": 90}, ["yellow", "red", "green", "blue"], id="90"),
        pytest.param({"rotation": 180}, ["blue", "yellow", "red", "green"], id="180"),
        pytest.param({"rotation": 270}, ["green", "blue", "yellow", "red"], id="270"),
        pytest.param({"mirror": True}, ["green", "red", "yellow", "blue"], id="mirror"),
    ],
)
def test_a_camera_mounted_otherwise_shows_upright(turned, want):
    with opened(**turned) as camera:
        assert seen(camera.latest(0, LIMIT_S).image) == want


def test_a_pulled_cable_is_noticed_within_two_seconds_and_the_camera_comes_back():
    with opened() as camera:
        frame = camera.latest(0, LIMIT_S)
        before = descriptors()
        for _ in range(3):
            UNPLUGGED.touch()
            noticed_s = until(lambda: camera.report.state is State.LOST)
            assert camera.latest(frame.number, 0.1) is None
            print(f"pulled: noticed after {noticed_s:.2f} s: {camera.report.sentence}")
            assert noticed_s < 2.0
            UNPLUGGED.unlink()
            back_s = until(lambda: camera.report.state is State.LIVE)
            frame = camera.latest(frame.number, LIMIT_S)
            print(f"plugged in: live after {back_s:.2f} s")
        assert descriptors() <= before
        assert len(children()) == 1


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGKILL", "SIGSEGV"])
def test_a_capture_that_hangs_or_crashes_is_replaced(name):
    with opened() as camera:
        frame = camera.latest(0, LIMIT_S)
        (old,) = children()
        os.kill(old, getattr(signal, name))
        noticed_s = until(lambda: camera.report.state is State.LOST)
        again = camera.latest(frame.number, LIMIT_S)

        assert old not in children()
    print(f"{name}: noticed after {noticed_s:.2f} s: {again.number - frame.number} numbers on")
    assert noticed_s < 2.0


def test_a_picture_that_does_not_change_is_frozen():
    show([next(corners())])
    try:
        with opened() as camera:
            taken_s = until(lambda: camera.report.state is State.FROZEN)
        print(f"frozen after {taken_s:.2f} s of opening and looking")
    finally:
        show(corners())


def test_capturing_for_long_needs_no_more_descriptors_or_memory():
    with opened() as camera:
        frame = camera.latest(0, LIMIT_S)
        (child,) = children()

        def lowest():
            """Descriptors between two frames: while one is copied, the shim's mapping holds another; a leak stays."""
            readings = []
            for _ in range(100):
                readings.append(descriptors(child))
                time.sleep(0.003)  # frames go on coming meanwhile
            return min(readings)

        def resident_mb():
            return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * 4096 / 1e6

        until(lambda: camera.latest(frame.number + 60, LIMIT_S) is not None)
        before, memory_mb = (descriptors(), lowest()), resident_mb()
        until(lambda: camera.latest(frame.number + 600, LIMIT_S) is not None, 60)
        after, grown_mb = (descriptors(), lowest()), resident_mb() - memory_mb
    print(f"540 frames: descriptors {before} -> {after}; the child's {memory_mb:.0f} MB grew by {grown_mb:.2f}")
    assert after == before
    assert grown_mb < 5


def test_a_camera_that_is_not_there_is_told():
    with Camera(CameraSettings(source="picamera2:7", reopen_first_s=0.1)) as camera:
        until(lambda: camera.report.state is State.LOST)
        sentence = camera.report.sentence

    print(sentence)
    assert "picamera2:7 cannot be opened" in sentence
    assert "is its cable in place" in sentence


def decided(log):
    return set(re.findall(r" status=(\w+)", log.read_text()))


def test_the_kiosk_itself_decides_about_who_steps_before_it(tmp_path):
    golden = Path(__file__).parent.parent / "golden"
    portraits = [golden / "person_a_2.jpg", golden / "person_c_1.jpg"]
    demo = Demo(
        [np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)) for path in portraits], (640, 480), 4 * 15
    )  # four a frame, as shim/ says
    show(demo.frame(number) for number in range(demo.frames))
    environment = {
        **os.environ,
        "KIOSK_STATE": str(tmp_path / "state"),
        "KIOSK_CAMERA_SOURCE": "picamera2:0?width=640&height=480&fps=30",
        "KIOSK_CAMERA_OPEN_WITHIN_S": "60",  # libcamera reads all the pictures when it opens
        "KIOSK_API_PORT": "18080",
        "RUNTIME_DIRECTORY": str(tmp_path),
    }

    def kiosk(*words):
        command = [sys.executable, "-m", "kiosk", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout

    kiosk("init")
    kiosk("enrol", str(golden / "person_a_1.jpg"), "--name", "Person A")
    log = tmp_path / "log"
    started = time.monotonic()
    with (
        log.open("w") as file,
        subprocess.Popen([sys.executable, "-m", "kiosk", "run"], env=environment, stdout=file, stderr=file) as process,
    ):
        for _ in range(150):
            time.sleep(1)  # a minute at least, and until both were there
            assert process.poll() is None, log.read_text()
            if time.monotonic() - started >= 60 and {"Approved", "Declined"} <= decided(log):
                break
        began = time.monotonic()
        process.terminate()
        process.wait(10)
        ended_s = time.monotonic() - began
    text = log.read_text()
    print(text[-6000:], f"\nended {ended_s:.2f} s after SIGTERM with {process.returncode}", sep="")
    assert process.returncode == 0
    assert {"Approved", "Declined"} <= decided(log)
    assert "Person A" not in text

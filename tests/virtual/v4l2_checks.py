"""Facts about the kiosk's own capture from V4L2 devices of a real kernel; see v4l2.sh."""

import contextlib
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from kiosk.capture.process import Camera
from kiosk.capture.watch import State
from kiosk.settings.sections import CameraSettings

VIVID, LOOPBACK = "/dev/video0", "/dev/video10"
DRIVER = Path("/sys/bus/platform/drivers/vivid")
LIMIT_S = 150.0  # a process on an emulated processor, with its modules over 9p
# The emulated processor gives few frames a second: "lost" is still noticed within two seconds of the last one.
PATIENT = {
    "open_within_s": 110.0,
    "frozen_after_s": 0.0,
    "warmup_frames": 2,
    "reopen_first_s": 0.2,
    "reopen_longest_s": 1,
}


@contextlib.contextmanager
def opened(device, **settings):
    source = f"v4l2:{device}?width=640&height=360&fps=15"
    with Camera(CameraSettings(source=source, **{**PATIENT, **settings})) as camera:
        yield camera


def until(fact, limit_s=LIMIT_S):
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < limit_s, "it did not come true"
        time.sleep(0.005)  # a real process is on its way
    return time.monotonic() - began


def children():
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def negotiated(device):
    """The format that the device was left with."""
    told = subprocess.run(["v4l2-ctl", "-d", device, "--get-fmt-video"], capture_output=True, text=True, check=True)
    found = dict(line.strip().split(":", 1) for line in told.stdout.splitlines() if ":" in line)
    keys = {key.strip(): value.strip() for key, value in found.items()}
    return f"{keys['Width/Height']} {keys['Pixel Format']}"


def test_vivid_gives_frames_in_colour_with_the_drivers_time():
    began = time.monotonic()
    with opened(VIVID) as camera:
        frame = first = camera.latest(0, LIMIT_S)
        first_s = time.monotonic() - began
        ages = []
        for _ in range(10):
            frame = camera.latest(frame.number, LIMIT_S)
            ages.append(time.monotonic() - frame.captured_at)
    rate = (frame.number - first.number) / (frame.captured_at - first.captured_at)

    bars = [tuple(int(one) for one in frame.image[200, int(640 * (bar + 0.5) / 8)]) for bar in range(8)]
    print(
        f"vivid: {negotiated(VIVID)}; first frame {first_s:.1f} s; {rate:.1f} frames/s; oldest {max(ages):.2f} s {bars}"
    )
    assert frame.image.shape == (360, 640, 3)
    # The test picture is the EBU's 100 % bars: white, yellow, cyan, green, magenta, red, blue, black.
    want = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]
    assert [tuple(int(one > 100) for one in bar) for bar in bars] == want
    assert 0 <= min(ages) <= max(ages) < 5.0  # emulated; what is too old for a grant is told by its time


def test_a_camera_pulled_out_is_noticed_within_two_seconds_and_comes_back():
    with opened(VIVID) as camera:
        frame = camera.latest(0, LIMIT_S)
        assert frame is not None, [Path(f"/proc/{pid}/stack").read_text() for pid in children()]
        before = descriptors()
        for _ in range(2):
            (DRIVER / "unbind").write_text("vivid.0")
            noticed_s = until(lambda: camera.report.state is State.LOST)
            print(f"unbound: noticed after {noticed_s:.2f} s: {camera.report.sentence}")
            assert noticed_s < 2.0
            assert camera.latest(frame.number, 0.1) is None
            time.sleep(1)  # it is tried again meanwhile, in vain
            (DRIVER / "bind").write_text("vivid.0")
            back_s = until(lambda: camera.report.state is State.LIVE)
            frame = camera.latest(frame.number, LIMIT_S)
            print(f"bound again: live after {back_s:.2f} s")
        assert descriptors() <= before
        assert len(children()) == 1


def test_a_drivers_time_is_of_the_monotonic_clock():
    capture = cv2.VideoCapture(VIVID, cv2.CAP_V4L2)
    ages = []
    for _ in range(5):
        assert capture.grab()
        ages.append(time.monotonic() - capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()

    print("age by the driver's time when cv2 has it:", [f"{age * 1000:.1f} ms" for age in ages])
    assert all(-0.1 < age < 5.0 for age in ages)  # vivid tells when a frame will have ended: up to a frame ahead


@pytest.fixture
def webcam():
    """A camera that offers motion JPEG, as most webcams do: ffmpeg feeds a loopback device."""
    pictures = Path("/tmp/webcam")
    pictures.mkdir(exist_ok=True)
    for number in range(15):
        bgr = np.full((360, 640, 3), (40, 60, 210), np.uint8)
        cv2.circle(bgr, (320, 180), 30 + 5 * number, (255, 255, 255), -1)
        cv2.imwrite(str(pictures / f"{number:02}.jpg"), bgr)
    command = ["ffmpeg", "-loglevel", "error", "-re", "-f", "image2", "-loop", "1", "-framerate", "10"]
    command += ["-i", f"{pictures}/%02d.jpg", "-c:v", "copy", "-f", "v4l2", LOOPBACK]
    with contextlib.ExitStack() as all_of_them:

        def plug_in():
            process = all_of_them.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            all_of_them.callback(process.kill)
            return process

        yield plug_in


def test_motion_jpeg_is_taken_where_it_is_offered_and_a_loss_noticed(webcam):
    process = webcam()
    with opened(LOOPBACK) as camera:
        frame = camera.latest(0, LIMIT_S)
        print(f"loopback: {negotiated(LOOPBACK)}; {frame.image.shape}; {frame.image[20, 20]}")
        assert "MJPG" in negotiated(LOOPBACK)
        assert np.abs(frame.image[20, 20].astype(int) - (210, 60, 40)).max() < 12
        process.kill()
        noticed_s = until(lambda: camera.report.state is State.LOST)
        print(f"producer killed: noticed after {noticed_s:.2f} s: {camera.report.sentence}")
        assert noticed_s < 2.5
        webcam()
        back_s = until(lambda: camera.report.state is State.LIVE)
        assert camera.latest(frame.number, LIMIT_S).number > frame.number
        print(f"fed again: live after {back_s:.2f} s")

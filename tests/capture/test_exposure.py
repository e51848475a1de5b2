"""Facts about exposure held still: through the real capturing process, and by a driver that records what it is told."""

import contextlib

import cv2
import numpy as np
import pytest

from kiosk.capture.exposure import SETTLED_FRAMES, ExposureHold, V4l2Controls
from kiosk.capture.process import Camera
from kiosk.capture.slot import Exposure
from kiosk.settings.sections import CameraSettings
from kiosk.testing.fake_picamera2 import AE_ROW, AWB_ROW, COUNT_ROW, ON
from tests.patience import LIMIT_S, PROCESS_S, until


@pytest.fixture
def picamera2(tmp_path, monkeypatch):
    """Let the capturing process find the stand-in where it may read: in a folder of packages."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "picamera2.py").write_text("from kiosk.testing.fake_picamera2 import Picamera2\n")
    monkeypatch.syspath_prepend(folder)


@contextlib.contextmanager
def opened(source):
    with Camera(CameraSettings(source=source, warmup_frames=0)) as camera:
        first = camera.latest(0, PROCESS_S)
        assert first is not None, camera.report.sentence
        yield camera


def newest(camera):
    """Return what gives, of each newer picture, what it says: exposure's and white balance's automatics, calls."""
    numbers = [0]

    def look():
        frame = camera.latest(numbers[0], LIMIT_S)
        numbers[0] = frame.number
        return tuple(int(frame.image[row, 0, 0]) for row in (AE_ROW, AWB_ROW, COUNT_ROW))

    return look


@pytest.mark.usefixtures("picamera2")
def test_a_pis_camera_holds_exposure_and_white_balance_while_it_is_wanted_and_lets_go_after():
    with opened("picamera2:0") as camera:
        look = newest(camera)
        before, state_before = look(), camera.exposure

        camera.hold_exposure(is_wanted=True)
        camera.hold_exposure(is_wanted=True)  # said with each frame
        until(lambda: look() == (0, 0, 1))
        held = camera.exposure
        camera.hold_exposure(is_wanted=False)
        until(lambda: look() == (ON, ON, 2))

        assert before == (ON, ON, 0)
        assert (state_before, held) == (Exposure.AUTOMATIC, Exposure.HELD)
        until(lambda: camera.exposure is Exposure.AUTOMATIC)


def test_a_camera_that_cannot_be_told_says_so_and_goes_on(tmp_path):
    for number in range(3):
        picture = np.random.default_rng(number).integers(60, 200, (48, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    with opened(f"dir:{tmp_path}?fps=50&loop=1") as camera:
        camera.hold_exposure(is_wanted=True)
        until(lambda: camera.exposure is Exposure.CANNOT)
        number = camera.latest(0, PROCESS_S).number

        assert camera.latest(number, LIMIT_S) is not None
        camera.hold_exposure(is_wanted=False)
        until(lambda: camera.exposure is Exposure.AUTOMATIC)


class RecordedDriver:
    """A USB camera's driver that remembers what it was told; takes no control that it has not."""

    def __init__(self, **controls):
        self.controls = {getattr(cv2, f"CAP_PROP_{name}"): value for name, value in controls.items()}
        self.told = []

    def get(self, control):
        return self.controls.get(control, -1.0)

    def set(self, control, value):
        if control not in self.controls:
            return False
        self.controls[control] = value
        self.told.append((control, value))
        return True


def usb_camera(**controls):
    return RecordedDriver(**{"AUTO_EXPOSURE": 3.0, "AUTO_WB": 1.0, "EXPOSURE": 157.0, **controls})


def test_a_usb_camera_is_held_at_the_exposure_it_has_and_set_back_to_what_it_was():
    driver = usb_camera()
    controls = V4l2Controls(driver)

    is_held = controls.hold()
    held = dict(driver.controls)
    controls.release()

    assert is_held
    assert [held[one] for one in (cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_EXPOSURE, cv2.CAP_PROP_AUTO_WB)] == [
        1.0,
        157.0,
        0.0,
    ]
    assert (driver.controls[cv2.CAP_PROP_AUTO_EXPOSURE], driver.controls[cv2.CAP_PROP_AUTO_WB]) == (3.0, 1.0)


@pytest.mark.parametrize("lacking", ["AUTO_EXPOSURE", "AUTO_WB"])
def test_a_usb_camera_without_one_of_the_controls_is_left_as_it_was(lacking):
    driver = usb_camera()
    del driver.controls[getattr(cv2, f"CAP_PROP_{lacking}")]
    before = {one: value for one, value in driver.controls.items() if one != cv2.CAP_PROP_EXPOSURE}

    assert not V4l2Controls(driver).hold()
    assert {one: driver.controls[one] for one in before} == before


class Recorded:
    """Controls that remember."""

    def __init__(self):
        self.calls = []

    def hold(self):
        self.calls.append("hold")
        return True

    def release(self):
        self.calls.append("release")


def grey(level):
    return np.full((48, 64, 3), level, np.uint8)


@pytest.mark.parametrize(("level", "state"), [(30, Exposure.CANNOT), (220, Exposure.CANNOT), (110, Exposure.HELD)])
def test_a_camera_that_jumps_to_an_exposure_of_its_own_is_let_go_and_said_to_be_one_that_cannot(level, state):
    controls, told = Recorded(), list[Exposure]()
    hold = ExposureHold(lambda: True, told.append, controls)

    hold.follow(grey(120))
    for _ in range(SETTLED_FRAMES + 3):
        hold.follow(grey(level))

    assert told[-1] is state
    assert controls.calls == (["hold"] if state is Exposure.HELD else ["hold", "release"])

"""Exposure and white balance held still while the screen shows colours: a camera that evens them out hides them.

Only the cameras that are driven from here can be told so; a network camera's own automatics go on, and colours that
do not show on a face then end undetermined, as in bright light. The capturing process's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np

from kiosk.capture.slot import Exposure
from kiosk.types import RgbImage

SETTLED_FRAMES = 5  # after which a camera has taken new controls
JUMP = 1.4  # times brighter or darker: the camera went to an exposure of its own instead of staying at the one it had
SAMPLE_STEP = 16  # every so many-th row and column tells the brightness
V4L2_EXPOSURE_MANUAL = 1.0  # Linux, include/uapi/linux/v4l2-controls.h
LIBCAMERA_AUTOMATICS = ("AeEnable", "AwbEnable")


class Controls(Protocol):
    """What can be told a camera."""

    def hold(self) -> bool:
        """Keep exposure and white balance as they are; return whether the camera can."""

    def release(self) -> None:
        """Let the camera choose them again."""


class ExposureHold:
    """Does what the reader of the frames wants, and says what came of it. Call `follow` with each frame."""

    def __init__(
        self, wants: Callable[[], bool], tell: Callable[[Exposure], None], controls: Controls | None = None
    ) -> None:
        """Begin with the camera's own automatics.

        Args:
            wants: whether the exposure is to be held now.
            tell: hears of each change.
            controls: None for a camera that cannot be told.
        """
        self._wants, self._tell, self._controls = wants, tell, controls
        self._state = Exposure.AUTOMATIC
        self._frames = 0  # since it is held
        self._brightness = 0.0  # before it was held

    def follow(self, image: RgbImage) -> None:
        """Take note of a frame, (H, W, 3) uint8."""
        is_wanted = self._wants()
        if is_wanted and self._state is Exposure.AUTOMATIC:
            self._hold(image)
        elif not is_wanted and self._state is not Exposure.AUTOMATIC:
            self._release(Exposure.AUTOMATIC)
        elif self._state is Exposure.HELD:
            self._frames += 1
            if self._frames == SETTLED_FRAMES and self._has_jumped(image):
                self._release(Exposure.CANNOT)

    def _hold(self, image: RgbImage) -> None:
        self._frames, self._brightness = 0, _brightness(image)
        is_held = self._controls is not None and self._controls.hold()
        self._say(Exposure.HELD if is_held else Exposure.CANNOT)

    def _release(self, state: Exposure) -> None:
        if self._state is Exposure.HELD and self._controls is not None:
            self._controls.release()
        self._say(state)

    def _has_jumped(self, image: RgbImage) -> bool:
        """Whether the picture is much brighter or darker than before: some web cameras keep an exposure of long ago."""
        now = _brightness(image)
        return not (self._brightness / JUMP <= now <= self._brightness * JUMP)

    def _say(self, state: Exposure) -> None:
        if state is not self._state:
            self._state = state
            self._tell(state)


def _brightness(image: RgbImage) -> float:
    return float(np.mean(image[::SAMPLE_STEP, ::SAMPLE_STEP])) + 1.0  # of a black picture too it is no zero


class V4l2Controls:
    """A USB camera's, by its driver."""

    def __init__(self, capture: Any) -> None:
        """Take an open `cv2.VideoCapture`."""
        self._capture = capture
        self._before: tuple[float, float] | None = None

    def hold(self) -> bool:
        """Switch to manual at the exposure that the camera says it has; return whether the driver took it."""
        capture = self._capture
        before = capture.get(cv2.CAP_PROP_AUTO_EXPOSURE), capture.get(cv2.CAP_PROP_AUTO_WB)
        exposure = capture.get(cv2.CAP_PROP_EXPOSURE)
        self._before = before
        is_held = bool(capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, V4L2_EXPOSURE_MANUAL))
        if is_held and exposure > 0.0:
            capture.set(cv2.CAP_PROP_EXPOSURE, exposure)
        is_held = bool(capture.set(cv2.CAP_PROP_AUTO_WB, 0.0)) and is_held
        if not is_held:
            self.release()  # one of the two alone helps nobody
        return is_held

    def release(self) -> None:
        """Set what it was before."""
        if self._before is None:
            return
        exposure, balance = self._before
        for control, value in ((cv2.CAP_PROP_AUTO_EXPOSURE, exposure), (cv2.CAP_PROP_AUTO_WB, balance)):
            if value >= 0.0:  # less for a control the camera has not
                self._capture.set(control, value)
        self._before = None


class Picamera2Controls:
    """A Raspberry Pi's camera's, by libcamera: an automatic that is switched off stays at what it chose last."""

    def __init__(self, camera: Any) -> None:
        """Take a started `Picamera2`."""
        self._camera = camera

    def hold(self) -> bool:
        """Switch the automatics off; return whether the camera has both."""
        if not all(name in self._camera.camera_controls for name in LIBCAMERA_AUTOMATICS):
            return False
        self._camera.set_controls(dict.fromkeys(LIBCAMERA_AUTOMATICS, False))
        return True

    def release(self) -> None:
        """Switch the automatics on."""
        self._camera.set_controls(dict.fromkeys(LIBCAMERA_AUTOMATICS, True))

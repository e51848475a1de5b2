"""A stand-in for the module picamera2, for the process that captures: it shows in its pictures what it was told.

Put a file `picamera2.py` that imports Picamera2 from here into a folder that the process finds; the walls around that
process let nothing else out of it but pictures.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

FPS = 60.0
SIZE_HW = 48, 64
AE_ROW, AWB_ROW, COUNT_ROW = 0, 1, 2  # of the picture's first column: 255 for on; how often it was told anything
ON = 255


class Request:
    """One picture."""

    def __init__(self, pixels: Any) -> None:
        self._pixels = pixels

    def make_array(self, _: str) -> Any:
        """Return (H, W, 3) uint8."""
        return self._pixels

    def get_metadata(self) -> dict[str, int]:
        """Tell when it was taken."""
        return {"SensorTimestamp": time.monotonic_ns()}

    def release(self) -> None:
        """Give it back."""


class Picamera2:
    """A camera with both automatics, which are on."""

    camera_controls: dict[str, Any] = {"AeEnable": (False, True, None), "AwbEnable": (False, True, None)}  # noqa: RUF012  as picamera2's

    def __init__(self, _number: int) -> None:
        self._controls = {"AeEnable": True, "AwbEnable": True}
        self._told = self._taken = 0

    def create_video_configuration(self, **how: Any) -> dict[str, Any]:
        """Return what was asked for."""
        return how

    def configure(self, _: dict[str, Any]) -> None:
        """Take it; the size is the stand-in's own."""

    def camera_configuration(self) -> dict[str, Any]:
        """Say what came of it."""
        return {"main": {"size": (SIZE_HW[1], SIZE_HW[0]), "format": "BGR888"}}

    def start(self) -> None:
        """Begin."""

    def set_controls(self, controls: dict[str, Any]) -> None:
        """Take controls."""
        self._controls.update(controls)
        self._told += 1

    def capture_request(self, *, wait: float) -> Request:
        """Return the next picture: noise, and what it was told."""
        time.sleep(min(wait, 1.0 / FPS))  # a sensor's pace
        self._taken += 1
        pixels = np.random.default_rng(self._taken).integers(60, 200, (*SIZE_HW, 3), np.uint8)
        pixels[AE_ROW, 0] = ON * self._controls["AeEnable"]
        pixels[AWB_ROW, 0] = ON * self._controls["AwbEnable"]
        pixels[COUNT_ROW, 0] = min(self._told, ON)
        return Request(pixels)

    def close(self) -> None:
        """End."""

"""What the judgement of liveness sees of a scripted face: its mesh, and a network that says what it is told."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ModelFileError
from kiosk.recognition.challenges import (
    LEFT_CHEEK,
    LEFT_EYE,
    LOWER_LIP,
    NOSE_TIP,
    RIGHT_CHEEK,
    RIGHT_EYE,
    UPPER_LIP,
)
from kiosk.recognition.cues import SpoofNetwork
from kiosk.types import Face, Floats

POINTS = 468


def mesh_of(face: Face, *, yaw_deg: float = 0.0, mouth: float = 0.02) -> Floats:
    """Return (468, 2) px of a mesh that `read_mesh` reads this pose from.

    Args:
        face: whose box it fills.
        yaw_deg: positive towards the subject's left.
        mouth: gap between the lips per distance of the eyes.
    """
    x1, y1, x2, y2 = face.box.tolist()
    width, height = x2 - x1, y2 - y1
    middle, sine = np.array([(x1 + x2) / 2, (y1 + y2) / 2]), math.sin(math.radians(yaw_deg))
    places = {
        NOSE_TIP: (0.0, 0.0),
        RIGHT_CHEEK: (-width * 0.4 * (1 + sine), 0.0),
        LEFT_CHEEK: (width * 0.4 * (1 - sine), 0.0),
        **dict.fromkeys(RIGHT_EYE, (-width * 0.2, -height * 0.15)),
        **dict.fromkeys(LEFT_EYE, (width * 0.2, -height * 0.15)),
        UPPER_LIP: (0.0, height * 0.2),
        LOWER_LIP: (0.0, height * 0.2 + mouth * width * 0.4),
    }
    mesh = np.tile(middle, (POINTS, 1))
    for index, place in places.items():
        mesh[index] += place
    return mesh.astype(np.float32)


class ScriptedDetector:
    """A detector of photographs whose network sees a person, a picture, or fails, as it is told."""

    def __init__(self) -> None:
        """See a person: `share` is what the network says of every frame, `fault` fails it and its test."""
        self.share = 0.9
        self.fault: str | None = None
        self.before: Callable[[], None] = lambda: None  # called before each run
        self.tests = 0

    def network(self) -> SpoofNetwork:
        """Return the network."""
        if self.fault is not None:
            raise ModelFileError(self.fault)
        return SpoofNetwork(network=self, model="scripted")

    def tested(self) -> SpoofNetwork:
        """Return the network."""
        return self.network()

    def test(self) -> str:
        """Pass, unless it is to fail."""
        self.tests += 1
        self.network()
        return "scripted"

    def run(self, tensor: NDArray[np.generic]) -> list[Floats]:  # noqa: ARG002  whatever the frame shows
        """Return the shares, as the session of the network."""
        self.before()
        if self.fault is not None:
            raise ModelFileError(self.fault)
        return [np.array([[self.share, 1.0 - self.share, 0.0]], np.float32)]

"""People from portraits who walk up, stand, leave, and a pause: a camera's pictures without a camera.

Every frame follows from its number alone, noise included, so a demo shows the same to everybody.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kiosk.types import RgbImage

PAUSE_S, APPROACH_S, STAY_S, LEAVE_S = 1.5, 2.0, 2.5, 0.5
VISIT_S = PAUSE_S + APPROACH_S + STAY_S + LEAVE_S
FAR, NEAR = 0.15, 0.95  # height of the portrait as a share of the frame's
NOISE = 4  # grey levels; a sensor never gives the same pixels twice, and a camera that does counts as frozen
SHIFTS = 64  # the noise is one picture that moves, by that many px in either direction
WALL_TOP, WALL_BOTTOM = (176, 182, 188), (84, 88, 96)
SWAY = 0.01  # of the frame's width: nobody stands perfectly still
SWAY_S = 1.7


class Demo:
    """The scene in front of the camera."""

    def __init__(self, portraits: Sequence[RgbImage], size_wh: tuple[int, int], fps: float) -> None:
        """Set up the scene.

        Args:
            portraits: (H, W, 3) uint8, one a visit, in order; at least one.
            size_wh: of the frames, px.
            fps: frames of one second of the scene.
        """
        self._width, self._height = size_wh
        self._fps = fps
        self._portraits = list(portraits)
        fade = np.linspace(0.0, 1.0, self._height)[:, np.newaxis, np.newaxis]
        wall = np.array(WALL_TOP) * (1 - fade) + np.array(WALL_BOTTOM) * fade
        self._wall = np.broadcast_to(wall, (self._height, self._width, 3)).astype(np.uint8)
        shape = self._height + SHIFTS, self._width + SHIFTS, 3
        self._noise = np.random.default_rng(0).integers(0, NOISE, shape, np.uint8)

    @property
    def frames(self) -> int:
        """How many frames the visits of all people take."""
        return round(len(self._portraits) * VISIT_S * self._fps)

    def frame(self, number: int) -> RgbImage:
        """Draw a frame.

        Args:
            number: from 0; after the last visit the first person comes again.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        visit, time_s = divmod(number / self._fps, VISIT_S)
        image = self._wall.copy()
        if share := standing(time_s):
            sway = SWAY * self._width * float(np.sin(2 * np.pi * time_s / SWAY_S))
            self._stand(image, self._portraits[int(visit) % len(self._portraits)], share, round(sway))
        down, right = (number * 7) % SHIFTS, (number * 13) % SHIFTS
        noise = np.ascontiguousarray(self._noise[down : down + self._height, right : right + self._width])
        return np.asarray(cv2.add(image, noise), np.uint8)

    def _stand(self, image: RgbImage, portrait: RgbImage, share: float, sway: int) -> None:
        """Put a portrait into the middle, its lower edge on the frame's."""
        height = max(2, round(self._height * share))
        width = max(2, round(portrait.shape[1] * height / portrait.shape[0]))
        drawn = cv2.resize(portrait, (width, height), interpolation=cv2.INTER_AREA)
        left = (self._width - width) // 2 + sway
        cut = max(0, -left)
        room = min(width - cut, self._width - max(0, left))
        if room > 0:
            image[self._height - height :, max(0, left) : max(0, left) + room] = drawn[:, cut : cut + room]


def standing(time_s: float) -> float:
    """Return how large the person appears, as a share of the frame's height; 0 when nobody is there.

    Args:
        time_s: since the visit began, 0 to VISIT_S.

    >>> [standing(t) for t in (0.0, 1.5, 3.5, 5.9, 6.5)]
    [0.0, 0.15, 0.95, 0.95, 0.0]
    """
    since = time_s - PAUSE_S
    if since < 0 or since >= APPROACH_S + STAY_S + LEAVE_S:
        return 0.0
    if since < APPROACH_S:
        return FAR + (NEAR - FAR) * since / APPROACH_S
    gone = max(0.0, since - APPROACH_S - STAY_S) / LEAVE_S
    return NEAR - (NEAR - FAR) * gone

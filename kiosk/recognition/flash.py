"""Does a face follow the screen's colours? Skin and paper reflect them; another screen shines by itself.

It tells a face from a lit screen and not from paper, which reflects as skin does; daylight drowns the screen's light.
Measured (benchmarks/pad.py, relit frames): the correlation of a face is 0.98 at 50 lx, 0.92 at 150, 0.69 at 300.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from kiosk.recognition.challenges import Answer
from kiosk.types import Face, Floats, RgbImage

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
}
"""Whole channels on or off: of all colours these move the chroma of what they light furthest."""

EACH_S = 0.4
"""How long each colour stays: 2.5 changes a second, so at most 1.25 flashes a second of any kind, bright red included.
WCAG 2.2, success criterion 2.3.1, allows three."""

LINEAR = (np.arange(256, dtype=np.float32) / np.float32(255.0)) ** np.float32(2.2)  # sRGB's curve, near enough
LEAST_LIGHT = 1e-3  # of full light: keeps the logarithm of a black channel finite
LAGS_S = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)  # from the screen's order to the picture: display, exposure, camera
STEP_PX = 2  # every second pixel tells a mean
INNER_SHARE = 0.15  # of the mesh's box that is left out on each side: hair, background
AROUND_FROM, AROUND_TO = 2.2, 6.0  # of the face's box: what surrounds it, and also most of a phone that shows it


@dataclass(frozen=True, slots=True)
class Shown:
    """One colour on the screen."""

    at_s: float  # when it appeared; seconds of the frames' clock, or of a clip
    colour: tuple[int, int, int]  # RGB, 0..255


@dataclass(frozen=True, slots=True)
class FlashLimits:
    """When colours count as followed."""

    follows: float = 0.6  # least correlation of the face; 0.69 at 300 lx
    strength: float = 0.06  # least change of log-chroma for a whole channel; 0.12 at 300 lx, by a screen of 36 lx
    ignores: float = 0.35  # largest strength of a face that shines by itself, of that of its surroundings
    frames: int = 12  # least frames, over at least five of the colours


@dataclass(frozen=True, slots=True)
class FlashResult:
    """What the colours did to the face."""

    answer: Answer  # MET, WRONG for a face that shines by itself, UNDETERMINED
    face: float  # correlation of the face's log-chroma with the colours, -1..1
    around: float  # of its surroundings
    strength: float = 0.0  # change of the face's log-chroma for a whole channel of the screen
    around_strength: float = 0.0


def draw_colours(rng: Random, start_s: float) -> tuple[Shown, ...]:
    """Draw six colours in random order, each other than the one before.

    >>> len({one.colour for one in draw_colours(Random(1), 0.0)})
    6
    """
    order = sorted(COLOURS.values())
    rng.shuffle(order)
    return tuple(Shown(start_s + index * EACH_S, colour) for index, colour in enumerate(order))


def end_of(shown: Sequence[Shown]) -> float:
    """Return when the last colour goes, s: it stays as long as those before it."""
    if not shown:
        return 0.0
    stays = (shown[-1].at_s - shown[0].at_s) / (len(shown) - 1) if len(shown) > 1 else EACH_S
    return shown[-1].at_s + stays


class Flash:
    """Follows one face through the colours."""

    def __init__(self, shown: Sequence[Shown], limits: FlashLimits) -> None:
        """Begin.

        Args:
            shown: the colours, rising in time; `correct` brings better times.
            limits: when they count as followed.
        """
        self._shown, self._limits = tuple(shown), limits
        self._rows: list[tuple[float, NDArray[np.float64], NDArray[np.float64]]] = []

    def correct(self, shown: Sequence[Shown]) -> None:
        """Take the times at which the screen says it showed the colours."""
        if shown:
            self._shown = tuple(shown)

    def see(self, image: RgbImage, face: Face, mesh: Floats, captured_at: float) -> None:
        """Take note of the next frame.

        Args:
            image: (H, W, 3) uint8.
            face: in it.
            mesh: (468, 2) px.
            captured_at: when it was taken, s of the colours' clock.
        """
        self._rows.append((captured_at, chroma_of(image, inner_box(mesh)), chroma_around(image, face.box)))

    def progress(self, now: float) -> float:
        """Return how much of the colours has been shown, 0..1."""
        start, end = self._shown[0].at_s, end_of(self._shown)
        return min(1.0, max(0.0, (now - start) / (end - start)))

    def result(self) -> FlashResult:
        """Say whether the face followed."""
        limits = self._limits
        times = np.array([row[0] for row in self._rows])
        seen = {index for index in _colour_at(self._shown, times) if index >= 0} if len(times) else set()
        if len(times) < limits.frames or len(seen) < len(self._shown) - 1:
            return FlashResult(Answer.UNDETERMINED, 0.0, 0.0)
        face, strength = follow(times, np.stack([row[1] for row in self._rows]), self._shown)
        around, around_strength = follow(times, np.stack([row[2] for row in self._rows]), self._shown)
        surroundings_follow = around >= limits.follows and around_strength >= limits.strength
        shines = surroundings_follow and strength <= limits.ignores * around_strength
        answer = Answer.UNDETERMINED
        if shines:
            answer = Answer.WRONG
        elif face >= limits.follows and strength >= limits.strength:
            answer = Answer.MET
        return FlashResult(answer, face, around, strength, around_strength)


def follow(times: NDArray[np.float64], chromas: NDArray[np.float64], shown: Sequence[Shown]) -> tuple[float, float]:
    """Return how well and how strongly a series of log-chromas follows the colours shown, at the best lag.

    Args:
        times: (N,) s.
        chromas: (N, 2), log(R/G) and log(B/G).
        shown: the colours.

    Returns:
        The correlation over both channels together, 0..1, and the change of log-chroma for a whole channel of the
        screen; zeros where nothing follows.
    """
    best = strength = 0.0
    light = np.array([one.colour for one in shown], np.float64) / 255.0
    wanted = np.stack([light[:, 0] - light[:, 1], light[:, 2] - light[:, 1]], axis=1)
    for lag_s in LAGS_S:
        index = _colour_at(shown, times - lag_s)
        inside = index >= 0
        if inside.sum() <= 3:  # noqa: PLR2004  a line through three points always fits
            continue
        expected, seen = wanted[index[inside]], chromas[inside]
        # A drift of the light or of the camera's white balance is no answer to the colours.
        trend = np.stack([np.ones(int(inside.sum())), times[inside] - times[inside].mean()], axis=1)
        expected, seen = (x - trend @ np.linalg.lstsq(trend, x, rcond=None)[0] for x in (expected, seen))
        scale = float(np.linalg.norm(expected) * np.linalg.norm(seen))
        if scale > 0.0 and (correlation := float(np.sum(expected * seen)) / scale) > best:
            best, strength = correlation, float(np.sum(expected * seen) / np.sum(expected * expected))
    return best, strength


def _colour_at(shown: Sequence[Shown], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which colour was on the screen at each time, -1 for none."""
    starts = np.array([one.at_s for one in shown])
    index = np.searchsorted(starts, times, side="right") - 1
    return np.where(times < end_of(shown), index, -1).astype(np.int64)


def inner_box(mesh: Floats) -> Floats:
    """Return (4,) xyxy px of the inner part of a face."""
    low, high = mesh.min(axis=0), mesh.max(axis=0)
    margin = (high - low) * np.float32(INNER_SHARE)
    return np.concatenate([low + margin, high - margin]).astype(np.float32)


def chroma_of(image: RgbImage, box: Floats) -> NDArray[np.float64]:
    """Return (2,) log(R/G) and log(B/G) of the mean light in a box; zeros where it has no pixels."""
    part = _part(image, box)
    return _chroma(_sum(part), max(part.shape[0] * part.shape[1], 1))


def chroma_around(image: RgbImage, box: Floats) -> NDArray[np.float64]:
    """Return (2,) log(R/G) and log(B/G) of the ring around a face's box; zeros where it has no pixels."""
    outer, inner = _part(image, _grown(box, AROUND_TO)), _part(image, _grown(box, AROUND_FROM))
    count = outer.shape[0] * outer.shape[1] - inner.shape[0] * inner.shape[1]
    return _chroma(np.maximum(_sum(outer) - _sum(inner), 0.0), max(count, 1)) if count > 0 else np.zeros(2)


def _grown(box: Floats, share: float) -> Floats:
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * np.float32(share)
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def _part(image: RgbImage, box: Floats) -> RgbImage:
    height, width = image.shape[:2]
    left, right = (int(np.clip(x, 0, width)) // STEP_PX * STEP_PX for x in (box[0], box[2]))
    top, bottom = (int(np.clip(y, 0, height)) // STEP_PX * STEP_PX for y in (box[1], box[3]))
    return image[top:bottom:STEP_PX, left:right:STEP_PX]


def _sum(part: RgbImage) -> NDArray[np.float64]:
    """Return the (3,) sum of light; by counting levels, which is far quicker than a power for each pixel."""
    return np.array([np.bincount(part[..., c].ravel(), minlength=256) @ LINEAR.astype(np.float64) for c in range(3)])


def _chroma(total: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    red, green, blue = np.log(total / count + LEAST_LIGHT)
    return np.array([red - green, blue - green])

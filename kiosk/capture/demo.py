"""People from portraits in front of a wall: a camera's pictures without a camera.

Every frame follows from its time and number alone, noise included, so a scene shows the same to everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import cv2
import numpy as np

from kiosk.capture.slot import Attention
from kiosk.types import RgbImage

PAUSE_S, APPROACH_S, STAY_S, LEAVE_S = 1.5, 2.0, 2.5, 0.5
VISIT_S = PAUSE_S + APPROACH_S + STAY_S + LEAVE_S
FAR, NEAR = 0.15, 0.95  # height of the portrait as a share of the frame's
NOISE = 4  # grey levels; a sensor never gives the same pixels twice, and a camera that does counts as frozen
SHIFTS = 64  # the noise is one picture that moves, by that many px in either direction
WALL_TOP, WALL_BOTTOM = (176, 182, 188), (84, 88, 96)
SWAY = 0.01  # of the frame's width: nobody stands perfectly still
SWAY_S = 1.7
FEW_LOOKS = 3  # the first may be at an older frame, and the third comes once the second was judged
MOST_LOOKS = 60  # at somebody who stands there: whoever cannot be judged goes as well, and those after them have a turn
LEAST_BLUR_PX = 0.1  # less changes no pixel


@dataclass(frozen=True, slots=True)
class Pose:
    """Where somebody is at one moment, and how well they can be seen."""

    at_s: float  # since the scene began
    height: float  # of the portrait, as a share of the frame's; more than 1 is cut off at the bottom
    x: float = 0.5  # of the portrait's middle, as a share of the frame's width
    light: float = 1.0  # on the portrait: 1 as it was taken, 0 black
    blur_px: float = 0.0  # standard deviation, in the frame

    def towards(self, other: Pose, at_s: float) -> Pose:
        """Return the pose on the way to another one, at a time between both."""
        share = (at_s - self.at_s) / (other.at_s - self.at_s)

        def between(one: float, two: float) -> float:
            return one + (two - one) * share

        return Pose(
            at_s,
            between(self.height, other.height),
            between(self.x, other.x),
            between(self.light, other.light),
            between(self.blur_px, other.blur_px),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Visitor:
    """Somebody who comes, does something and goes."""

    portrait: RgbImage = field(repr=False)  # (H, W, 3) uint8
    way: tuple[Pose, ...]  # rising in time, at least two; nobody is there before the first and after the last

    def pose(self, at_s: float) -> Pose | None:
        """Return where they are; None while they are not there.

        >>> walk = Visitor(np.zeros((2, 2, 3), np.uint8), (Pose(1.0, 0.2), Pose(3.0, 0.8)))
        >>> [walk.pose(at) and walk.pose(at).height for at in (0.9, 1.0, 2.0, 3.0)]
        [None, 0.2, 0.5, None]
        """
        for one, two in pairwise(self.way):
            if one.at_s <= at_s < two.at_s:
                return one.towards(two, at_s)
        return None


class Scene:
    """A wall, and whoever stands before it."""

    def __init__(self, visitors: Sequence[Visitor], size_wh: tuple[int, int]) -> None:
        """Set up the scene.

        Args:
            visitors: in any order; who is larger stands in front.
            size_wh: of the frames, px.
        """
        self._width, self._height = size_wh
        self._visitors = tuple(visitors)
        fade = np.linspace(0.0, 1.0, self._height)[:, np.newaxis, np.newaxis]
        wall = np.array(WALL_TOP) * (1 - fade) + np.array(WALL_BOTTOM) * fade
        self._wall = np.broadcast_to(wall, (self._height, self._width, 3)).astype(np.uint8)
        shape = self._height + SHIFTS, self._width + SHIFTS, 3
        self._noise = np.random.default_rng(0).integers(0, NOISE, shape, np.uint8)

    def draw(self, at_s: float, number: int) -> RgbImage:
        """Draw a frame.

        Args:
            at_s: since the scene began.
            number: of the frame; chooses the noise.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        image = self._wall.copy()
        there = [(pose, visitor) for visitor in self._visitors if (pose := visitor.pose(at_s)) is not None]
        for pose, visitor in sorted(there, key=lambda one: one[0].height):
            since_s = at_s - visitor.way[0].at_s
            sway = SWAY * self._width * float(np.sin(2 * np.pi * since_s / SWAY_S))
            self._stand(image, visitor.portrait, pose, round(sway))
        down, right = (number * 7) % SHIFTS, (number * 13) % SHIFTS
        noise = np.ascontiguousarray(self._noise[down : down + self._height, right : right + self._width])
        return np.asarray(cv2.add(image, noise), np.uint8)

    def _stand(self, image: RgbImage, portrait: RgbImage, pose: Pose, sway: int) -> None:
        """Put a portrait into its place, its lower edge on the frame's or below."""
        height = max(2, round(self._height * pose.height))
        width = max(2, round(portrait.shape[1] * height / portrait.shape[0]))
        shrinks = height < portrait.shape[0]
        drawn = cv2.resize(portrait, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        if pose.light != 1.0:
            drawn = cv2.convertScaleAbs(drawn, alpha=pose.light)
        if pose.blur_px > LEAST_BLUR_PX:
            drawn = cv2.GaussianBlur(drawn, (0, 0), pose.blur_px)
        left = round(self._width * pose.x) - width // 2 + sway
        cut = max(0, -left)
        room = min(width - cut, self._width - max(0, left))
        if room > 0:
            top = max(0, self._height - height)
            image[top:, max(0, left) : max(0, left) + room] = drawn[: self._height - top, cut : cut + room]


class Phase(Enum):
    """Of a visit."""

    PAUSE = "pause"
    THERE = "there"
    LEAVING = "leaving"


class Demo:
    """People who walk up one after the other, stand, and leave, with a pause before each."""

    def __init__(self, portraits: Sequence[RgbImage], size_wh: tuple[int, int], fps: float) -> None:
        """Set up the scene.

        Args:
            portraits: (H, W, 3) uint8, one a visit, in order; at least one.
            size_wh: of the frames, px.
            fps: frames of one second of the scene.
        """
        self._fps = fps
        self._whole_s = len(portraits) * VISIT_S
        self._scene = Scene(
            [Visitor(portrait, walk_up(visit * VISIT_S + PAUSE_S)) for visit, portrait in enumerate(portraits)], size_wh
        )

    @property
    def frames(self) -> int:
        """How many frames the visits of all people take."""
        return round(self._whole_s * self._fps)

    def frame(self, moment: int, number: int | None = None) -> RgbImage:
        """Draw a frame.

        Args:
            moment: of the scene, in frames from 0; after the last visit the first person comes again.
            number: chooses the noise; another one while the scene stands still.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        return self._scene.draw(moment / self._fps % self._whole_s, moment if number is None else number)

    def phase(self, moment: int) -> Phase:
        """Return how far the visit of a moment is."""
        at_s = moment / self._fps % VISIT_S
        if at_s < PAUSE_S:
            return Phase.PAUSE
        return Phase.THERE if at_s < VISIT_S - LEAVE_S else Phase.LEAVING


class Cues:
    """Holds a demo until the kiosk is done with its people, however slow the machine is.

    Nobody leaves before there was a decision, and nobody comes before the kiosk saw the last one gone.
    """

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._came = self._went = Attention()

    def let_go_on(self, moment: int, seen: Attention) -> bool:
        """Say whether the scene may go on to the next moment.

        Args:
            moment: of the scene now, in frames; the next call is about the same one or the next.
            seen: what the kiosk made of the frames so far.
        """
        here, there = self._demo.phase(moment), self._demo.phase(moment + 1)
        if here is there:
            return True
        is_undecided = seen.decisions == self._came.decisions and seen.looks - self._came.looks < MOST_LOOKS
        if here is Phase.THERE and is_undecided:
            return False
        if there is Phase.THERE:
            looks = seen.looks - self._went.looks
            if looks < FEW_LOOKS or (not seen.is_idle and looks < MOST_LOOKS):
                return False
            self._came = seen
        if there is Phase.PAUSE:
            self._went = seen
        return True


def walk_up(at_s: float, stay_s: float = STAY_S, near: float = NEAR, x: float = 0.5) -> tuple[Pose, ...]:
    """Return the way of somebody who comes near, stays, and leaves.

    >>> [pose.at_s for pose in walk_up(1.5)]
    [1.5, 3.5, 6.0, 6.5]
    """
    there_s = at_s + APPROACH_S
    gone_s = there_s + stay_s + LEAVE_S
    return Pose(at_s, FAR, x), Pose(there_s, near, x), Pose(there_s + stay_s, near, x), Pose(gone_s, FAR, x)

"""What a person is asked to do, and whether the face did it: turn the head, open the mouth.

A flat picture can do neither: its mesh keeps the pose it was taken in. Measured (benchmarks/pad.py): a print turned by
60 degrees shows 8 degrees of mesh yaw at most, one rolled on a cylinder 22.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

import numpy as np

from kiosk.types import Floats

NOSE_TIP, RIGHT_CHEEK, LEFT_CHEEK = 1, 234, 454  # of the mesh; right and left are the capture subject's
UPPER_LIP, LOWER_LIP = 13, 14  # their inner rims
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)  # corners
"""Source: canonical_face_model_uv_visualization.png of MediaPipe, modules/face_geometry/data/."""


class Kind(str, Enum):
    """What is asked."""

    TURN = "turn"  # the head, to a side
    MOUTH = "mouth"  # open it
    FLASH = "flash"  # nothing: the screen shows colours


class Side(str, Enum):
    """The capture subject's own side, which is also the screen's as they see it."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One thing that is asked."""

    kind: Kind
    side: Side | None = None  # of a turn

    def __post_init__(self) -> None:
        """Refuse a turn without a side, and a side where there is nothing to turn."""
        if (self.kind is Kind.TURN) != (self.side is not None):
            raise ValueError(f"want a side for a turn and for nothing else, got {self.kind.value} {self.side}")


class Answer(str, Enum):
    """What became of a challenge."""

    OPEN = "open"  # not answered yet
    MET = "met"
    WRONG = "wrong"  # something else was done first
    LATE = "late"  # the time ran out
    UNDETERMINED = "undetermined"  # the answer cannot be told, as with colours in bright light


@dataclass(frozen=True, slots=True)
class Reading:
    """What one frame's mesh says of the head."""

    yaw_deg: float  # positive towards the subject's left
    mouth: float  # gap between the lips per distance of the eyes


@dataclass(frozen=True, slots=True)
class ChallengeLimits:
    """When a challenge counts as answered. The defaults are measured, see the module's head."""

    turn_deg: float = 25.0  # least yaw; at 15 a curved sheet would pass
    turned_by_deg: float = 20.0  # least change of it: a print of a head that is turned a little shows yaw by itself
    other_side_deg: float = 15.0  # yaw to the other side, and change of it, that count as the wrong answer
    frontal_deg: float = 20.0  # largest yaw of a frame that counts as looking ahead
    mouth_open: float = 0.25  # least gap; prints reach 0.16
    opened_by: float = 0.2  # least change of it: a smile that shows teeth has a gap of 0.3
    rest_mouth_high: float = 0.12  # largest gap at which a mouth is asked to open: the mesh tells no more than 0.35
    mouth_held_s: float = 0.5  # how long it stays open: speech opens it as wide, for 0.3 s
    frames: int = 2  # in a row that must show it: one may be the mesh's mistake
    answer_s: float = 6.0  # time for an answer
    earliest_s: float = 0.25  # nobody reacts and moves sooner; a recording might


def read_mesh(points: Floats, *, is_mirrored: bool = False) -> Reading:
    """Measure the head.

    Args:
        points: (468, 2) px, of `Detector.trace`.
        is_mirrored: the camera shows a mirror image, so that its right is the subject's.

    Returns:
        Yaw = asin((a - b) / (a + b)), a and b the distances from the tip of the nose to the right and left cheek; and
        the mouth's opening. NaN where the points are no face.
    """
    nose = points[NOSE_TIP].astype(np.float64)
    to_right, to_left = (float(np.linalg.norm(points[cheek] - nose)) for cheek in (RIGHT_CHEEK, LEFT_CHEEK))
    eyes = points[list(LEFT_EYE)].mean(axis=0) - points[list(RIGHT_EYE)].mean(axis=0)
    apart = float(np.linalg.norm(eyes))
    lips = float(np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP]))
    if not (to_right + to_left > 0.0 and apart > 0.0):
        return Reading(math.nan, math.nan)
    yaw = math.degrees(math.asin((to_right - to_left) / (to_right + to_left)))
    return Reading(-yaw if is_mirrored else yaw, lips / apart)


def is_frontal(reading: Reading, limits: ChallengeLimits) -> bool:
    """Whether the head looks ahead; a NaN does not."""
    return abs(reading.yaw_deg) <= limits.frontal_deg


class Movement:
    """Follows a head that was asked to turn or to open its mouth; frames come in the order of their times."""

    def __init__(self, challenge: Challenge, limits: ChallengeLimits, asked_at: float, rest: Reading) -> None:
        """Begin to wait for the answer.

        Args:
            challenge: a turn or a mouth.
            limits: when it counts as answered.
            asked_at: when the screen began to ask, s.
            rest: the head before it was asked.
        """
        self.challenge = challenge
        self.progress = 0.0
        """How far the head is, 0..1: what a live bar shows."""
        self.is_wrong_way = False
        """Whether the head goes the other way, so that the screen can say so before the try is lost."""
        self._limits, self._asked_at = limits, asked_at
        self._sign = -1.0 if challenge.side is Side.RIGHT else 1.0
        rest_yaw = 0.0 if math.isnan(rest.yaw_deg) else self._sign * rest.yaw_deg
        rest_mouth = 0.0 if math.isnan(rest.mouth) else rest.mouth
        self._rest_yaw = rest_yaw
        self._turned = max(limits.turn_deg, rest_yaw + limits.turned_by_deg)
        self._against_deg = min(-limits.other_side_deg, rest_yaw - limits.other_side_deg)
        self._opened = max(limits.mouth_open, rest_mouth + limits.opened_by)
        self._shown = self._against = 0
        self._open_since: float | None = None

    def _hold(self, mouth: float, now: float) -> float:
        """Return how long the mouth has been open without a break, s."""
        if not mouth >= self._opened:
            self._open_since = None
            return 0.0
        self._open_since = now if self._open_since is None else self._open_since
        return now - self._open_since

    def see(self, reading: Reading, now: float) -> Answer:
        """Take note of the next frame; say what became of the challenge."""
        limits = self._limits
        towards, held = self._sign * reading.yaw_deg, self._hold(reading.mouth, now)
        if math.isnan(towards) or math.isnan(reading.mouth):
            done, against = 0.0, False
        elif self.challenge.kind is Kind.TURN:
            done = 1.0 if towards >= self._turned else (towards - self._rest_yaw) / (self._turned - self._rest_yaw)
            against = towards <= self._against_deg or held >= limits.mouth_held_s
            self.is_wrong_way = towards <= (self._against_deg + self._rest_yaw) / 2
        else:
            done = min(reading.mouth / self._opened, OPENING_SHARE)
            if held > 0.0:
                done = OPENING_SHARE + (1.0 - OPENING_SHARE) * held / limits.mouth_held_s
            against = abs(reading.yaw_deg) >= limits.turn_deg
            self.is_wrong_way = abs(reading.yaw_deg) >= limits.frontal_deg
        self.progress = min(1.0, max(0.0, done))
        self._shown = self._shown + 1 if done >= 1.0 and not against else 0
        self._against = self._against + 1 if against else 0
        if self._against >= limits.frames:
            return Answer.WRONG
        if self._shown >= limits.frames:
            return Answer.MET if now - self._asked_at >= limits.earliest_s else Answer.WRONG
        return Answer.LATE if now - self._asked_at > limits.answer_s else Answer.OPEN


OPENING_SHARE = 0.5  # of the bar for opening the mouth; the rest is for holding it
MOVEMENTS = (Challenge(Kind.TURN, Side.LEFT), Challenge(Kind.TURN, Side.RIGHT), Challenge(Kind.MOUTH))
FLASH = Challenge(Kind.FLASH)


def draw(choices: Sequence[Challenge], rng: Random, *, avoid: Sequence[Challenge] = ()) -> Challenge:
    """Draw a challenge; a kind that was tried without success is avoided while there is another.

    Args:
        choices: at least one.
        rng: a cryptographic one (`random.SystemRandom`) at the door, a seeded one in a test.
        avoid: tried before: whoever cannot turn the head is asked for something else.
    """
    tried = {challenge.kind for challenge in avoid}
    fresh = [challenge for challenge in choices if challenge.kind not in tried] or list(choices)
    return fresh[rng.randrange(len(fresh))]

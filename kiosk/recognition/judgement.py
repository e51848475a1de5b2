"""The words of one presentation's judgement: what it takes in, what the screen asks, and what comes out.

After ISO/IEC 30107-3. Plain data; liveness.py is what judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from kiosk.recognition.challenges import Answer, Challenge, ChallengeLimits
from kiosk.recognition.cues import Cue, CueLimits
from kiosk.recognition.flash import FlashLimits, Shown
from kiosk.recognition.pad_levels import Level
from kiosk.types import Face, Floats, RgbImage, Template


class Verdict(str, Enum):
    """What a presentation is; the words of ISO/IEC 30107-3."""

    ATTACK = "attack"
    BONA_FIDE = "bona_fide"
    UNDETERMINED = "undetermined"


class Phase(str, Enum):
    """How far a presentation is."""

    BEFORE = "before"  # frontal frames are gathered
    ASKING = "asking"  # the screen shows the challenge
    AFTER = "after"  # frontal frames make the probe
    OVER = "over"


class Hint(str, Enum):
    """What the person should do beside the challenge."""

    LOOK_AHEAD = "look_ahead"
    STEP_BACK = "step_back"
    ONE_AT_A_TIME = "one_at_a_time"


class Restart(str, Enum):
    """Why a presentation began anew in this frame."""

    SECOND_FACE = "second_face"
    OTHER_PERSON = "other_person"
    GAP = "gap"


class Reason(str, Enum):
    """Why a presentation is undetermined; for the operator."""

    NOT_MET = "challenge_not_met"
    TOO_BRIGHT = "too_bright"  # the screen's colours do not show on the face
    TOO_LARGE = "face_too_large"  # or the picture cut too tightly
    TOO_FEW_FRAMES = "too_few_frames"
    NOT_ASKED = "no_challenge"  # the level demands one and none was asked
    TIMED_OUT = "timed_out"
    RESTARTED = "person_changed"
    SPENT = "tries_spent"  # this face was asked in vain too often


@dataclass(frozen=True, slots=True)
class LivenessLimits:
    """How a presentation is followed."""

    before_frames: int = 2  # frontal, before anything is asked
    after_frames: int = 3  # frontal, after it: the probe
    after_s: float = 0.25  # least time over which these are gathered
    network_yaw_deg: float = 40.0  # largest yaw at which the network looks before anything is asked
    keep_s: float = 1.0  # longest age of one of them
    back_deg: float = 12.0  # largest yaw between one of them and the head before it was asked
    unlike_frames: int = 3  # in a row that are not the person who was there before: it is somebody else
    gap_s: float = 0.5  # longest time without the face
    overlap_low: float = 0.2  # least intersection over union of its box in two frames
    other_face_share: float = 0.25  # of the face's area, from which another face is a second person
    whole_s: float = 30.0  # longest presentation
    challenges: ChallengeLimits = field(default_factory=ChallengeLimits)
    flash: FlashLimits = field(default_factory=FlashLimits)
    cues: CueLimits = field(default_factory=CueLimits)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame of a presentation."""

    number: int  # rises with each frame
    captured_at: float  # s, monotonic; the frames' own clock
    image: RgbImage = field(repr=False)  # (H, W, 3) uint8
    faces: Sequence[Face]  # all that were found, largest first; the first with exact landmarks
    mesh: Floats | None = field(repr=False)  # (468, 2) px of the first; None where the mesh sees no face in it
    template: Callable[[], Template] = field(repr=False)  # of the first; called only when wanted
    shown: tuple[Shown, ...] = ()  # colours the screen says it has shown; empty: as it was asked to


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the screen asks."""

    challenge: Challenge
    number: int  # of this challenge in the presentation, from 1
    count: int  # of the challenges that must be met
    attempt: int  # from 1, over all challenges asked
    until: float  # s, when the answer is late
    progress: float  # 0..1: how far the head is, or how many of the colours have been shown
    is_wrong_way: bool = False
    colours: tuple[Shown, ...] = ()  # of a flash: what to show when, s of the frames' clock


@dataclass(frozen=True, slots=True)
class Asked:
    """One challenge that was asked, and what came of it."""

    challenge: Challenge
    answer: Answer
    asked_at: float  # s
    answered_at: float  # s


@dataclass(frozen=True, slots=True)
class Judgement:
    """The end of a presentation."""

    verdict: Verdict
    score: float  # 0..100; the cue's operating point lies at 30, Didit's default
    level: Level
    cues: tuple[Cue, ...]
    challenges: tuple[Asked, ...]
    model: str  # digest of the network
    reason: Reason | None  # of an undetermined one
    probe_frames: tuple[int, ...]  # numbers of the frontal frames after the challenge, rising; empty unless bona fide
    restarts: tuple[Restart, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """Return what goes into the log: no picture and no template."""
        return {
            "verdict": self.verdict.value,
            "score": self.score,
            "level": self.level.value,
            "reason": self.reason.value if self.reason else None,
            "cues": {
                cue.name.value: {"outcome": cue.outcome.value, "value": cue.value, "threshold": cue.threshold}
                for cue in self.cues
            },
            "challenges": [
                {
                    "kind": one.challenge.kind.value,
                    "side": one.challenge.side.value if one.challenge.side else None,
                    "answer": one.answer.value,
                    "took_s": round(one.answered_at - one.asked_at, 3),
                }
                for one in self.challenges
            ],
            "model": self.model,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame changed: what the screen shows now, and the judgement once there is one."""

    phase: Phase
    hint: Hint | None = None
    prompt: Prompt | None = None
    restarted: Restart | None = None
    judgement: Judgement | None = None


def score_of(median: float, low: float) -> float:
    """Return a network's share on Didit's scale: 0 at 0, 30 at the operating point, 100 at 1.

    >>> score_of(0.2, 0.2), score_of(0.1, 0.2), score_of(1.0, 0.2)
    (30.0, 15.0, 100.0)
    """
    return round(float(np.interp(median, [0.0, low, 1.0], [0.0, 30.0, 100.0])), 2)

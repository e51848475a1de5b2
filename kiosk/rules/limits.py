"""When a face in front of the kiosk is good enough to be judged, and how one person is followed: the numbers.

Apart from presentation.py, so that settings can be checked where no image library can be loaded.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """When a face is good enough to judge, and how a person is followed. [presentation] in kiosk.toml has the same."""

    face_low_px: float = 72.0  # edge of the detector's box; some 2.4 times the distance of the eyes
    face_high_share: float = 0.85  # of the frame's shorter edge
    bystander_px: float = 36.0  # smaller faces are too far away to be anybody here
    luminance_low: float = 40.0  # mean luma of the inner face, 0..255
    luminance_high: float = 220.0
    contrast_low: float = 10.0  # its standard deviation
    sharpness_low: float = 20.0  # variance of the Laplacian, see quality.py
    frontality_low: float = 0.3  # 1 straight ahead, 0 in profile
    speed_high: float = 3.0  # face widths a second, sideways and up; a walk past makes six, a jittery box one
    frames: int = 3  # whose templates are fused
    gather_s: float = 0.25  # least time over which they are gathered
    keep_s: float = 1.5  # longest age of a frame in the decision
    blink_s: float = 0.5  # longest time that a face may be missing, or no frame come, in one presentation
    overlap_low: float = 0.3  # intersection over union of the boxes in two frames of one person
    shift_high: float = 0.6  # distance of their centres in face widths
    same_person_score: float = 70.0  # least score between all frames of one presentation
    other_person_score: float = 50.0  # highest score with the decided person of one who is clearly another
    rearm_s: float = 1.0  # how long the decided person must be away
    recheck_s: float = 0.25  # how often a face that stays is held against the decided person
    patience_s: float = 15.0  # without a decision until the person is told of another way in

    def __post_init__(self) -> None:
        """Refuse numbers with which nobody, or anybody, would pass."""
        rules = {
            "0 <= bystander_px <= face_low_px": 0.0 <= self.bystander_px <= self.face_low_px,
            "0 <= luminance_low < luminance_high": 0.0 <= self.luminance_low < self.luminance_high,
            "1 <= frames": self.frames >= 1,
            "0 <= gather_s < keep_s": 0.0 <= self.gather_s < self.keep_s,
            "other_person_score < same_person_score": self.other_person_score < self.same_person_score,
            "0 < recheck_s < rearm_s": 0.0 < self.recheck_s < self.rearm_s,
            "0 < blink_s < patience_s": 0.0 < self.blink_s < self.patience_s,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError(f"want {' and '.join(broken)}")

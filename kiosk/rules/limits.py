"""When a face in front of the kiosk is good enough to be judged, and how one person is followed: the numbers.

Apart from presentation.py, so that settings can be checked where no image library can be loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from kiosk.setting import setting


@dataclass(frozen=True, slots=True)
class Limits:
    """[presentation]: when a face is good enough to be judged, and how one person is followed."""

    face_low_px: float = setting(  # of the detector's box; some 2.4 times the distance of the eyes
        72.0, "Edge of a face below which its owner should come closer.", low=20.0, high=2000.0, unit="px"
    )
    face_high_share: float = setting(
        0.85, "Edge of a face above which its owner should step back.", low=0.1, high=2.0, unit="of the shorter edge"
    )
    bystander_px: float = setting(
        36.0, "Edge of a face below which it is too far away to count as a person.", low=0.0, high=2000.0, unit="px"
    )
    luminance_low: float = setting(  # luma of the inner face
        40.0, "Mean brightness of the face below which it is too dark.", low=0.0, high=255.0, unit="of 255"
    )
    luminance_high: float = setting(
        220.0, "Mean brightness of the face above which it is too bright.", low=0.0, high=255.0, unit="of 255"
    )
    contrast_low: float = setting(
        10.0, "Least standard deviation of the face's brightness.", low=0.0, high=128.0, unit="of 255"
    )
    sharpness_low: float = setting(  # see recognition/quality.py
        20.0, "Least variance of the Laplacian of the face; below, it is blurred.", low=0.0, high=10000.0
    )
    frontality_low: float = setting(0.3, "Least frontality: 1 looking straight ahead, 0 in profile.", low=0.0, high=1.0)
    speed_high: float = setting(  # sideways and up; a walk past makes six, a jittery box one
        3.0, "Fastest movement across the picture that is judged.", low=0.1, high=100.0, unit="face widths a second"
    )
    frames: int = setting(3, "Good frames of which one decision is made.", low=1, high=20, unit="frames")
    gather_s: float = setting(0.25, "Least time over which these frames are gathered.", low=0.0, high=5.0, unit="s")
    keep_s: float = setting(1.5, "Longest age of a frame in a decision.", low=0.1, high=10.0, unit="s")
    blink_s: float = setting(  # or no frame come
        0.5, "Longest time that a face may be missing within one presentation.", low=0.05, high=3.0, unit="s"
    )
    overlap_low: float = setting(
        0.3,
        "Least overlap of one face's boxes in two frames (intersection over union).",
        low=0.05,
        high=1.0,
        unit="share",
    )
    shift_high: float = setting(  # of the centres of its boxes
        0.6, "Largest movement of a face between two frames.", low=0.05, high=5.0, unit="face widths"
    )
    same_person_score: float = setting(
        70.0, "Least score between all frames of a presentation; below, it is two people.", low=0.0, high=100.0
    )
    other_person_score: float = setting(
        50.0, "Score with the judged person below which the face is another person's.", low=0.0, high=100.0
    )
    rearm_s: float = setting(
        1.0, "Time the judged person must be away before anybody is judged again.", low=0.1, high=60.0, unit="s"
    )
    recheck_s: float = setting(
        0.25, "How often a face that stays is compared with the judged person.", low=0.01, high=10.0, unit="s"
    )
    patience_s: float = setting(
        15.0, "Time without a decision until the screen offers another way in.", low=1.0, high=600.0, unit="s"
    )

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

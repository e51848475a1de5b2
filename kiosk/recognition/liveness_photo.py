"""One photograph judged by the passive cue alone: weaker than a presentation, as nothing in it moves or answers."""

from __future__ import annotations

from dataclasses import dataclass

from kiosk.recognition.cues import CueLimits, SpoofNetwork, fits
from kiosk.recognition.judgement import Reason, Verdict, score_of
from kiosk.types import Face, RgbImage


@dataclass(frozen=True, slots=True)
class PhotographJudgement:
    """What the passive cue says of a photograph."""

    verdict: Verdict
    score: float  # 0..100; 30 at the operating point; 0 where it is undetermined
    share: float | None  # the network's, 0..1; None where it was not asked
    reason: Reason | None  # of an undetermined one
    model: str


def judge_photograph(image: RgbImage, face: Face, network: SpoofNetwork, limits: CueLimits) -> PhotographJudgement:
    """Judge the largest face of a photograph.

    Args:
        image: (H, W, 3) uint8, upright.
        face: in it.
        network: the cue.
        limits: its operating point; a face larger than they allow is undetermined, never approved.
    """
    if not fits(image, face, limits):
        return PhotographJudgement(Verdict.UNDETERMINED, 0.0, None, Reason.TOO_LARGE, network.model)
    share = network.judge(image, face)
    verdict = Verdict.BONA_FIDE if share >= limits.network_low else Verdict.ATTACK
    return PhotographJudgement(verdict, score_of(share, limits.network_low), share, None, network.model)

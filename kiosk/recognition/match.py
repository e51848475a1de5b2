"""What a comparison means, and what follows from it: the score scale and the decision rules of Didit's contract.

A score says how rare such a likeness is among strangers. It is fixed by the false-match rate (FMR, ISO/IEC
19795-1) measured for the model: see `ANCHORS`. The same scale serves 1:1 (`score`, a whole number) and 1:N
(`similarity_percentage`, one decimal); decisions are taken on the number that is shown, rounded down, so that a
shown 70 never stands for less than 70.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from kiosk.errors import ModelMismatchError
from kiosk.types import LogType, Risk, Sample, Status, Template, Warned

ANCHORS = ((0.0, 0.0), (1.0, 30.0), (2.0, 50.0), (4.0, 70.0), (6.0, 90.0))
"""(-log10 FMR, score): 30 is one stranger in ten, 50 one in a hundred, 70 one in 10^4, 90 one in 10^6."""

FULL_SCORE = 100.0  # of a face compared with itself, cosine 1
DECIMAL_SLACK = 1e-4  # in units of the last shown place: float32 makes a 69.99999 of a 70


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """A model's map from cosine to score, made from its measured false-match rates.

    Attributes:
        cosines: rising.
        rarities: -log10 FMR at those cosines, rising from 0 or more to at least 6.
    """

    cosines: tuple[float, ...]
    rarities: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse a curve that is not one."""
        rising = all(low < high for values in (self.cosines, self.rarities) for low, high in pairwise(values))
        whole = len(self.cosines) == len(self.rarities) >= 2 and self.rarities[0] >= 0.0  # noqa: PLR2004  a line
        if not (rising and whole and self.rarities[-1] >= ANCHORS[-1][0] and -1.0 <= self.cosines[0]):
            raise ValueError("want cosines and -log10 FMR rising together, the latter from 0 or more to at least 6")
        if self.cosine_at_rarity(ANCHORS[-1][0]) >= 1.0:
            raise ValueError("want a false-match rate of 1e-6 below cosine 1")

    def exact_score(self, cosine: float) -> float:
        """Return the score before it is rounded, 0..100; rises with the cosine."""
        top_cosine = self.cosine_at_rarity(ANCHORS[-1][0])
        if cosine >= top_cosine:
            share = (min(cosine, 1.0) - top_cosine) / (1.0 - top_cosine)
            return ANCHORS[-1][1] + share * (FULL_SCORE - ANCHORS[-1][1])
        rarity = float(np.interp(cosine, self.cosines, self.rarities))
        return float(np.interp(rarity, [a for a, _ in ANCHORS], [s for _, s in ANCHORS]))

    def score(self, cosine: float) -> int:
        """Return the whole-number score of a 1:1 comparison."""
        return math.floor(self.exact_score(cosine) + DECIMAL_SLACK)

    def similarity_percentage(self, cosine: float) -> float:
        """Return the score of a search's candidate, to one decimal."""
        return math.floor(self.exact_score(cosine) * 10 + DECIMAL_SLACK) / 10

    def cosine(self, score: float) -> float:
        """Return the least cosine that has this score, or -1 for a score of 0 and less."""
        if score <= 0.0:
            return -1.0
        if score > ANCHORS[-1][1]:
            top_cosine = self.cosine_at_rarity(ANCHORS[-1][0])
            share = (min(score, FULL_SCORE) - ANCHORS[-1][1]) / (FULL_SCORE - ANCHORS[-1][1])
            return top_cosine + share * (1.0 - top_cosine)
        return self.cosine_at_rarity(float(np.interp(score, [s for _, s in ANCHORS], [a for a, _ in ANCHORS])))

    def fmr(self, cosine: float) -> float:
        """Return the share of strangers' comparisons at or above this cosine; beyond the curve its last value."""
        return float(10.0 ** -np.interp(cosine, self.cosines, self.rarities))

    def cosine_at_rarity(self, rarity: float) -> float:
        """Return the cosine at which the false-match rate is 10 to the minus `rarity`."""
        return float(np.interp(rarity, self.rarities, self.cosines))


def compare(probe: Template, reference: Template) -> float:
    """Return the cosine of two templates, -1..1; the order of the two does not matter.

    Raises:
        ModelMismatchError: they come from different models.
    """
    if probe.model != reference.model:
        raise ModelMismatchError(
            "templates of two models never compare: the reference was made by "
            f"{reference.model[:12]}, the probe by {probe.model[:12]}; enrol the person again with this model"
        )
    # In double, so that rounding cannot lift a cosine over 1 or depend on the order of summation.
    cosine = float(np.dot(probe.vector.astype(np.float64), reference.vector.astype(np.float64)))
    return max(-1.0, min(1.0, cosine))


@dataclass(frozen=True, slots=True)
class MatchDecision:
    """The outcome of a 1:1 comparison."""

    status: Status
    score: int | None  # None: there was nothing to compare
    warnings: tuple[Warned, ...] = ()


def decide_match(
    score: int | None, *, decline_threshold: float, review_threshold: int | None = None, reference_has_face: bool = True
) -> MatchDecision:
    """Apply contract section 3.

    Args:
        score: None when either picture shows no face.
        decline_threshold: at or above it, the faces match.
        review_threshold: below it a person looks again; None for never.
        reference_has_face: whether the missing face is not the reference's.

    >>> decide_match(30, decline_threshold=30).status.value
    'Approved'
    >>> decide_match(29, decline_threshold=30).status.value
    'Declined'
    >>> decide_match(45, decline_threshold=30, review_threshold=50).status.value
    'In Review'
    """
    if score is None:
        warned = [Warned(Risk.NO_FACE_DETECTED, LogType.ERROR)]
        if not reference_has_face:
            warned.append(Warned(Risk.NO_REFERENCE_IMAGE, LogType.ERROR))
        return MatchDecision(Status.DECLINED, None, tuple(warned))
    if score < decline_threshold:
        return MatchDecision(Status.DECLINED, score, (Warned(Risk.LOW_FACE_MATCH_SIMILARITY, LogType.ERROR),))
    if review_threshold is not None and score < review_threshold:
        return MatchDecision(Status.IN_REVIEW, score, (Warned(Risk.LOW_FACE_MATCH_SIMILARITY, LogType.WARNING),))
    return MatchDecision(Status.APPROVED, score)


def warn_of_age(decision: MatchDecision, user: Sample, reference: Sample, *, age_low: float) -> MatchDecision:
    """Return the decision, with a warning where either face compared is estimated younger than the scale holds for.

    The status stays: Didit's contract has no such rule. A search needs none, as its answer lists people to look at.

    Args:
        decision: of `decide_match`.
        user: the largest face of which was compared.
        reference: likewise.
        age_low: years from which the scale holds; 0 for no warning.
    """
    ages = [sample.entities[0].age for sample in (user, reference) if sample.entities]
    if decision.score is None or all(age >= age_low for age in ages):
        return decision
    return replace(decision, warnings=(*decision.warnings, Warned(Risk.AGE_BELOW_SCALE, LogType.INFORMATION)))


@dataclass(frozen=True, slots=True)
class SearchDecision:
    """The outcome of a search; the people found are listed beside it."""

    status: Status
    warnings: tuple[Warned, ...] = ()


def decide_search(
    *, faces: int, is_blocklisted: bool, is_known: bool, allow_multiple_faces: bool = False
) -> SearchDecision:
    """Apply contract section 4: the worst status wins, and each reason is named.

    Args:
        faces: how many were detected in the picture.
        is_blocklisted: somebody on the blocklist is at or above its threshold.
        is_known: anybody else is at or above the threshold.
        allow_multiple_faces: several faces are then only mentioned.

    >>> decide_search(faces=1, is_blocklisted=False, is_known=False).status.value
    'Approved'
    >>> decide_search(faces=2, is_blocklisted=True, is_known=True).status.value
    'Declined'
    """
    if faces == 0:
        return SearchDecision(Status.DECLINED, (Warned(Risk.NO_FACE_DETECTED, LogType.ERROR),))
    status = Status.APPROVED
    warned = []
    if is_known:
        status = Status.IN_REVIEW
    if faces > 1:
        warned.append(
            Warned(Risk.MULTIPLE_FACES_DETECTED, LogType.INFORMATION if allow_multiple_faces else LogType.WARNING)
        )
        status = status if allow_multiple_faces else Status.IN_REVIEW
    if is_blocklisted:
        warned.insert(0, Warned(Risk.FACE_IN_BLOCKLIST, LogType.ERROR))
        status = Status.DECLINED
    return SearchDecision(status, tuple(warned))

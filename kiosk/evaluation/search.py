"""1:N, open set: how often a search lists a stranger (FPIR), how often it misses somebody enrolled (FNIR).

Half of the people are enrolled with their first photograph; their others are mated searches, and every photograph
of the people not enrolled is a non-mated one. The rates hold for a gallery of that size (ISO/IEC 19795-1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ConfigError
from kiosk.evaluation.acquire import Acquired
from kiosk.evaluation.match import least_cosine
from kiosk.evaluation.pairs import INTERVAL, ROUNDS, SEED, least_certain
from kiosk.gallery.rates import fpir
from kiosk.recognition.match import ScoreScale
from kiosk.types import Floats

SCORES = (50, 60, 70, 80, 90)


@dataclass(frozen=True, slots=True)
class SearchRates:
    """What happens at one threshold."""

    cosine: float
    false_positives: int  # non-mated searches that list anybody
    fpir: float | None
    fpir_interval: tuple[float, float] | None  # 95 %, people drawn with replacement
    expected_fpir: float  # by the scale, for a gallery of this size
    misses: int  # mated searches that do not list their person first, at or above the threshold
    fnir: float | None
    fnir_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class SearchReport:
    """All that an evaluation of 1:N found."""

    gallery: int  # people enrolled, a reference each
    not_acquired: int
    mated_searches: int
    non_mated_searches: int
    scores: Mapping[int, SearchRates]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "gallery": self.gallery,
            "not_acquired": self.not_acquired,
            "mated_searches": self.mated_searches,
            "non_mated_searches": self.non_mated_searches,
            "scores": {
                str(score): {
                    "cosine": round(rates.cosine, 4),
                    "false_positives": rates.false_positives,
                    "fpir": rates.fpir,
                    "fpir_interval": rates.fpir_interval,
                    "expected_fpir": rates.expected_fpir,
                    "misses": rates.misses,
                    "fnir": rates.fnir,
                    "fnir_interval": rates.fnir_interval,
                }
                for score, rates in self.scores.items()
            },
        }


def evaluate_search(acquired: Sequence[Acquired], scale: ScoreScale, *, rounds: int = ROUNDS) -> SearchReport:
    """Enrol some, search for all others.

    Enrolled are people with at least two photographs, and of these no more than half of all people, so that as many
    are left to be strangers; who they are is drawn, with a fixed seed.

    Raises:
        ConfigError: there are too few people, or nobody with two photographs.
    """
    whole = [one for one in acquired if one.vector is not None]
    rows_of: dict[str, list[int]] = {}
    for row, one in enumerate(whole):
        rows_of.setdefault(one.photograph.person, []).append(row)
    several = sorted(person for person, rows in rows_of.items() if len(rows) > 1)
    if not several or len(rows_of) < 2:  # noqa: PLR2004  one to enrol, one to be a stranger
        raise ConfigError("a search is evaluated with two people or more, one of whom has two photographs with a face")
    rng = np.random.default_rng(SEED)
    drawn = rng.permutation(len(several))[: max(1, len(rows_of) // 2)]
    enrolled = sorted(several[at] for at in drawn)
    vectors = np.stack([one.vector for one in whole if one.vector is not None])
    references = vectors[[rows_of[person][0] for person in enrolled]]
    mated = [(at, row) for at, person in enumerate(enrolled) for row in rows_of[person][1:]]
    strangers = [person for person in rows_of if person not in set(enrolled)]
    others = [(at, row) for at, person in enumerate(strangers) for row in rows_of[person]]
    best_stranger = _best(vectors[[row for _, row in others]], references)[0]
    best, first = _best(vectors[[row for _, row in mated]], references)
    is_first = first == np.array([at for at, _ in mated])
    scores = {}
    for score in SCORES:
        cosine = least_cosine(scale, score)
        positive, miss = best_stranger >= cosine, (best < cosine) | ~is_first
        scores[score] = SearchRates(
            cosine,
            int(positive.sum()),
            float(positive.mean()) if len(positive) else None,
            _interval(positive, np.array([at for at, _ in others], np.intp), rounds),
            fpir(scale.fmr(cosine), len(enrolled)),
            int(miss.sum()),
            float(miss.mean()) if len(miss) else None,
            _interval(miss, np.array([at for at, _ in mated], np.intp), rounds),
        )
    return SearchReport(len(enrolled), len(acquired) - len(whole), len(mated), len(others), scores)


def _best(probes: Floats, references: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the highest cosine of each probe and whose it is."""
    cosines, which = [np.zeros(0, np.float32)], [np.zeros(0, np.intp)]
    for start in range(0, len(probes), 512):
        found = probes[start : start + 512] @ references.T
        which.append(found.argmax(axis=1))
        cosines.append(found.max(axis=1))
    return np.concatenate(cosines), np.concatenate(which)


def _interval(error: NDArray[np.bool_], people: NDArray[np.intp], rounds: int) -> tuple[float, float] | None:
    """Return the interval of a rate, whole people drawn with replacement."""
    if not len(error) or not rounds:
        return None
    count = int(people.max()) + 1
    total = np.bincount(people, minlength=count).astype(np.float64)
    wrong = np.bincount(people, weights=error, minlength=count)
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1.0 / count), size=rounds)
    low, high = np.percentile((drawn @ wrong) / np.maximum(drawn @ total, 1.0), INTERVAL)
    return least_certain((float(low), float(high)), int(error.sum()), len(error))

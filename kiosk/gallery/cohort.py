"""The gallery as its own cohort: a likeness counts less between faces that resemble many.

Normalisation by a cohort (Auckenthaler et al. 2000; its symmetric form, Shum et al. 2010): from a cosine, a part
of how alike both are to the people of the gallery who are most alike to them is taken away. Where one group of people
is alike in the model's eyes, this evens it out. In 1:N and at the door only: a 1:1 comparison depends on its two
photographs alone.

The mean of a reference is known beforehand, so a search stays exact: see `raw_floor`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kiosk.types import Floats, SubjectId

PEOPLE = 256  # of the gallery; more changed nothing measurable
BEST = 20  # whose cosines are averaged
STRENGTH = 0.5
"""Share that is taken away.

Measured (benchmarks/results/site.json): on press photographs FNMR at FMR 1e-5 falls from 3.7 to 3.5 % with 0.5, to 3.6
% with 1.0; within the worst of eight groups of adults strangers reach a cosine 22 times as often as on average without,
17 times with 0.5, 13 times with 1.0.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Some people of the gallery, one reference each."""

    subjects: NDArray[np.int64] = field(repr=False)  # (K,) rising
    vectors: Floats = field(repr=False)  # (K, D), unit length
    level: float = 0.0  # the mean of the people's own means: what a usual face has

    @property
    def is_large_enough(self) -> bool:
        """Whether the means tell anything; below, nothing is taken away."""
        return len(self.subjects) >= 2 * BEST

    def means(self, vectors: Floats, owners: NDArray[np.int64] | None = None) -> Floats:
        """Return, for each vector, the mean of its best cosines with the cohort's people.

        Args:
            vectors: (N, D), unit length.
            owners: (N,) whose each is, so that nobody is compared with themselves; None for probes of unknown people.

        Returns:
            (N,) float32; the level where the cohort is too small.
        """
        if not self.is_large_enough:
            return np.full(len(vectors), self.level, np.float32)
        cosines = np.asarray(vectors @ self.vectors.T, np.float32)
        if owners is not None:
            cosines[owners[:, np.newaxis] == self.subjects[np.newaxis, :]] = -np.inf
        best = np.partition(cosines, -BEST, axis=1)[:, -BEST:]
        return np.asarray(best.mean(axis=1), np.float32)

    def without(self, subject: SubjectId) -> Cohort:
        """Return the cohort after somebody was forgotten; the same one where they were not part of it.

        The means of all references must be made anew then, as the person is in them.
        """
        keep = self.subjects != subject
        return self if keep.all() else make_cohort(self.subjects[keep], self.vectors[keep])


def make_cohort(subjects: NDArray[np.int64], vectors: Floats) -> Cohort:
    """Return a cohort of these people, its level measured among them."""
    order = np.argsort(subjects, kind="stable")
    bare = Cohort(subjects[order], vectors[order])
    if not bare.is_large_enough:
        return bare
    return Cohort(bare.subjects, bare.vectors, float(bare.means(bare.vectors, bare.subjects).mean()))


def draw_cohort(subjects: NDArray[np.int64], rng: np.random.Generator, *, people: int = PEOPLE) -> NDArray[np.int64]:
    """Return who is in the cohort: `people` of these, drawn."""
    distinct = np.unique(subjects)
    return distinct if len(distinct) <= people else np.sort(rng.choice(distinct, people, replace=False))


def evened(
    cosine: Floats, probe_mean: float, reference_means: Floats, level: float, *, strength: float = STRENGTH
) -> Floats:
    """Return cosines less what is due to faces that resemble many; a pair of usual faces keeps its own.

    Args:
        cosine: (N,) of a probe with references.
        probe_mean: of `Cohort.means`.
        reference_means: (N,) likewise.
        level: of the cohort.
        strength: share that is taken away.
    """
    return np.asarray(cosine - strength * ((probe_mean + reference_means) / 2.0 - level), np.float32)


def raw_floor(
    floor: float, probe_mean: float, least_reference_mean: float, level: float, *, strength: float = STRENGTH
) -> float:
    """Return the cosine below which no reference reaches `floor` once evened.

    A search by this floor finds everyone who may be listed; `evened` then ranks them. So the list is exact.
    """
    return floor + strength * ((probe_mean + least_reference_mean) / 2.0 - level)

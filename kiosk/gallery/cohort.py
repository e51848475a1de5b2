"""The gallery as its own cohort: more is asked at the door of a face that resembles many.

Normalisation by a cohort (Auckenthaler et al. 2000; its symmetric form, Shum et al. 2010): where the two faces of a
pair are more alike to the people of the gallery than people usually are, part of their cosine is due to that, and is
not counted. It is never a bonus: a pair of unusual faces keeps its cosine, so that no door accepts less than without.
At the door only: a 1:1 comparison of the API depends on its two photographs alone, and the scores of a search are the
shipped scale's. A search stays exact, as it finds everyone by the whole cosine. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kiosk.types import Floats, SubjectId

PEOPLE = 256  # of the gallery; more changed nothing measurable
BEST = 20  # whose cosines are averaged
STRENGTH = 0.5
"""Share that is not counted.

Measured (benchmarks/results/site.json) at the door's default of 76, 1:1: strangers let in fall from 1.6e-3 to 0.7e-3
among women of Indian origin, from 1.2e-3 to 0.3e-3 among Black women, and rise in no group; FNMR on press photographs
rises from 4.0 to 4.2 %. A threshold raised for everybody to the same effect costs 4.9 %.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Some people of the gallery, one reference each. Holds their templates: see `without`."""

    subjects: NDArray[np.int64] = field(repr=False)  # (K,) rising, each once
    references: NDArray[np.int64] = field(repr=False)  # (K,) their ids
    vectors: Floats = field(repr=False)  # (K, D), unit length
    same_from: float = math.inf  # cosine from which two are taken for one person, enrolled twice
    level: float = 0.0  # the mean of the people's own means: what a usual face has

    @property
    def is_large_enough(self) -> bool:
        """Whether the means tell anything; below, nothing is taken away."""
        return len(self.subjects) >= 2 * BEST

    def means(self, vectors: Floats, owners: NDArray[np.int64]) -> Floats:
        """Return, for each vector, the mean of its best cosines with the cohort's people.

        Args:
            vectors: (N, D), unit length.
            owners: (N,) whose each is or is claimed to be, so that nobody is compared with themselves.

        Returns:
            (N,) float32; the level where the cohort is too small.
        """
        if not self.is_large_enough:
            return np.full(len(vectors), self.level, np.float32)
        cosines = np.asarray(vectors @ self.vectors.T, np.float32)
        cosines[(owners[:, np.newaxis] == self.subjects) | (cosines >= self.same_from)] = -1.0
        best = np.partition(cosines, -BEST, axis=1)[:, -BEST:]
        return np.asarray(best.mean(axis=1), np.float32)

    def counted(self, probe: Floats, references: Floats, owner: SubjectId, *, strength: float = STRENGTH) -> Floats:
        """Return the cosines of a probe with a person's references, less what is due to faces that resemble many.

        Args:
            probe: (D,), unit length.
            references: (R, D) of one person, unit length.
            owner: the person.
            strength: share that is not counted.

        Returns:
            (R,) float32, none above the plain cosine.
        """
        both = np.concatenate([probe[np.newaxis], references])
        means = self.means(both, np.full(len(both), owner, np.int64))
        excess = (means[0] + means[1:]) / 2.0 - np.float32(self.level)
        return np.asarray(references @ probe - strength * np.maximum(excess, 0.0), np.float32)

    def without(self, gone: NDArray[np.bool_]) -> Cohort:
        """Return the cohort of those who are still there, and zero the templates of the others in this one.

        Args:
            gone: (K,) who was forgotten, or whose reference was withdrawn.
        """
        left = make_cohort(self.subjects[~gone], self.references[~gone], self.vectors[~gone], same_from=self.same_from)
        self.vectors[gone] = 0.0
        return left


def make_cohort(
    subjects: NDArray[np.int64], references: NDArray[np.int64], vectors: Floats, *, same_from: float = math.inf
) -> Cohort:
    """Return a cohort of these people, its level measured among them; it has memory of its own."""
    order = np.argsort(subjects, kind="stable")
    bare = Cohort(subjects[order], references[order], vectors[order], same_from)
    if not bare.is_large_enough:
        return bare
    level = float(bare.means(bare.vectors, bare.subjects).mean())
    return Cohort(bare.subjects, bare.references, bare.vectors, same_from, level)


def draw_cohort(people: int, rng: np.random.Generator, *, most: int = PEOPLE) -> NDArray[np.int64]:
    """Return which of so many people are in the cohort, rising: all, or `most` of them, drawn."""
    return np.arange(people) if people <= most else np.sort(rng.choice(people, most, replace=False))

"""The false-match rate of a site's own people: everyone enrolled is a stranger to everyone else.

N people give N (N - 1) / 2 comparisons of strangers, without a label and without foreign data; 1,000 people are enough
for a rate of 1e-4, and for 1e-5 by its upper bound. The curve may raise thresholds and never lowers one: it is combined
with the shipped scale by `stricter`. Pure; the caller fetches the vectors and keeps the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kiosk.recognition.match import ScoreScale
from kiosk.types import Floats

LEAST_PEOPLE = 200
"""Below, the site's people cannot tell: 200 give 19,900 pairs, whose bound at 1e-3 is a factor of 1.4 wide."""
MOST_PEOPLE = 2048
"""Of a larger gallery so many are drawn: 2.1 million pairs, under a second, and a bound of 1.4e-6."""
FEWEST_BEHIND = 10
"""Pairs at or above a cosine from which the curve is carried on: the most alike pair alone is chance."""
BINS = 20_000  # of the cosine, -1..1
BLOCK = 128
Z_95 = 1.6449  # of the normal distribution, one-sided
RULE_OF_THREE = 3.0  # upper 95 % bound of a count of which none was seen


@dataclass(frozen=True, slots=True, eq=False)
class SiteCurve:
    """How often strangers of this site reach a cosine."""

    people: int
    pairs: int  # compared, those taken out left out
    taken_out: int  # pairs too alike to be strangers: duplicates, or suspected to be
    rates: NDArray[np.float64] = field(repr=False)  # (BINS,) share of pairs at or above a bin's lower edge, falling
    bounds: NDArray[np.float64] = field(repr=False)  # (BINS,) its upper 95 % bound over people, falling

    def fmr(self, cosine: float) -> float:
        """Return the share of the site's stranger pairs at or above a cosine."""
        return float(self.rates[_bin(cosine)])

    def bound(self, cosine: float) -> float:
        """Return the rate at or above a cosine that 95 of 100 such sites stay below."""
        return float(self.bounds[_bin(cosine)])

    @property
    def sure_cosine(self) -> float:
        """The highest cosine that enough pairs reach for the curve to be carried on from there."""
        return _edge(np.flatnonzero(self.rates * self.pairs >= FEWEST_BEHIND)[-1:]) or -1.0

    @property
    def reach(self) -> float:
        """The least rate that the bound can state."""
        return float(self.bounds[-1])

    def cosine_at(self, fmr: float) -> float | None:
        """Return the least cosine that at most this share of the pairs reaches; None below one pair's share."""
        return _edge(np.flatnonzero(self.rates <= fmr)) if fmr * self.pairs >= 1.0 else None

    def cosine_by_bound(self, fmr: float) -> float | None:
        """Return the least cosine whose upper bound is this rate or less; None where so few people cannot tell."""
        return _edge(np.flatnonzero(self.bounds <= fmr))


def measure_site(vectors: Floats, *, suspect_cosine: float, least_people: int = LEAST_PEOPLE) -> SiteCurve | None:
    """Compare everyone with everyone.

    Args:
        vectors: (N, D) float32, unit length: one reference of each person; NaN rows (forgotten meanwhile) count for
            nobody.
        suspect_cosine: pairs at or above are taken out, as one person enrolled twice looks like that.
        least_people: below so many, nothing is told.

    Returns:
        The curve; None where there are too few people.
    """
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    count = len(vectors)
    if count < max(2, least_people):
        return None
    histogram = np.zeros(BINS, np.int64)
    by_person = np.zeros((count, BINS // COARSE), np.int32)
    taken_out = 0
    for start in range(0, count, BLOCK):
        block = np.asarray(vectors[start : start + BLOCK] @ vectors.T, np.float32)
        rows = np.arange(start, start + len(block))
        is_other = np.arange(count)[np.newaxis, :] != rows[:, np.newaxis]
        is_suspect = is_other & (block >= suspect_cosine)
        taken_out += int(is_suspect.sum())
        bins = np.clip(((block + 1.0) * (BINS / 2)).astype(np.int32), 0, BINS - 1)
        for at, row in enumerate(rows):
            mine = bins[at][is_other[at] & ~is_suspect[at]]
            histogram += np.bincount(mine, minlength=BINS)
            by_person[row] += np.bincount(mine // COARSE, minlength=BINS // COARSE).astype(np.int32)
    above = np.cumsum(histogram[::-1])[::-1]  # each pair twice, once for either person
    pairs = int(above[0]) // 2
    if not pairs:
        return None
    rates = above / above[0]
    return SiteCurve(count, pairs, taken_out // 2, rates, _bounds(rates, by_person, pairs))


def draw_people(subjects: Iterable[int], rng: np.random.Generator, *, most: int = MOST_PEOPLE) -> list[int]:
    """Return whom to compare: everyone, or of many a sample."""
    everyone = sorted(subjects)
    if len(everyone) <= most:
        return everyone
    return sorted(int(one) for one in rng.choice(everyone, most, replace=False))


def stricter(scale: ScoreScale, site: SiteCurve | None, rarity: float) -> float:
    """Return the cosine that holds a false-match rate of 10 to the minus `rarity` by the scale and at this site.

    Where too few pairs of the site reach so far, it lies as far beyond the shipped curve as where enough do.
    """
    shipped = scale.cosine_at_rarity(rarity)
    if site is None:
        return shipped
    if 10.0**-rarity >= site.bound(site.sure_cosine):
        return max(shipped, site.cosine_by_bound(10.0**-rarity) or shipped)
    return shipped + _lead(scale, site)


def stricter_fmr(scale: ScoreScale, site: SiteCurve | None, cosine: float) -> float:
    """Return the false-match rate at a cosine by the scale, or the site's upper bound where that is higher.

    The other way round of `stricter`: at the cosine that it returns for a rate, the rate is that one or less.
    """
    shipped = scale.fmr(cosine)
    if site is None:
        return shipped
    if cosine <= site.sure_cosine:
        return max(shipped, site.bound(cosine))
    return max(shipped, scale.fmr(cosine - _lead(scale, site)))


def _lead(scale: ScoreScale, site: SiteCurve) -> float:
    """Return how far beyond the shipped curve the site's lies where its pairs still tell enough; never below 0."""
    sure = site.sure_cosine
    return max(0.0, sure - scale.cosine_at_rarity(-math.log10(site.bound(sure))))


def stricter_score(scale: ScoreScale, site: SiteCurve | None, score: float) -> float:
    """Return the score that a threshold becomes where it is to hold at this site what it states; never a lower one."""
    cosine = scale.cosine(score)
    rarity = -math.log10(max(scale.fmr(cosine), 1e-12))
    return max(score, scale.exact_score(max(cosine, stricter(scale, site, rarity))))


COARSE = 20  # bins of the spread over people: 0.002 of a cosine


def _bounds(rates: NDArray[np.float64], by_person: NDArray[np.int32], pairs: int) -> NDArray[np.float64]:
    """Return the upper bounds: people differ, and where few pairs are left their count does.

    The variance of a mean over all pairs of N people is four times that of the people's own means over N (Hoeffding
    1948), to which a Poisson count's is added for the pairs themselves.
    """
    count = len(by_person)
    over_people = 4.0 * _variance_over_people(by_person) / count
    spread = np.repeat(over_people, COARSE) + rates / pairs
    bound = rates + Z_95 * np.sqrt(spread)
    least = np.maximum(bound, (rates * pairs + RULE_OF_THREE) / pairs)
    return np.minimum(1.0, np.maximum.accumulate(least[::-1])[::-1])


def _variance_over_people(by_person: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return, for each bin, how far the people's own rates spread, a block of people at a time: all are 60 MB."""
    count, bins = by_person.shape
    scale, blocks = max(1, count - 1), range(0, count, BLOCK)

    def own(start: int) -> NDArray[np.float64]:
        rates: NDArray[np.float64] = np.cumsum(by_person[start : start + BLOCK, ::-1], axis=1)[:, ::-1] / scale
        return rates

    mean = sum((own(start).sum(axis=0) for start in blocks), np.zeros(bins)) / count
    squares = np.zeros(bins)
    for start in blocks:
        squares += ((own(start) - mean) ** 2).sum(axis=0)
    return np.asarray(squares / (count - 1), np.float64)


def _bin(cosine: float) -> int:
    return int(np.clip((cosine + 1.0) * (BINS / 2), 0, BINS - 1))


def _edge(bins: NDArray[np.intp]) -> float | None:
    return float(bins[0] * 2.0 / BINS - 1.0) if len(bins) else None

"""All pairs of templates: how many strangers and how many of one person reach a cosine, with intervals.

Pairs are taken in blocks of rows, so that memory grows with the photographs and not with the pairs; 15,000
photographs are 112 million pairs. FMR and FNMR as in ISO/IEC 19795-1: over pairs of photographs that gave a
template. Intervals come from a bootstrap over people, not over pairs, as the pairs of one person err together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kiosk.types import Floats

BLOCK = 512  # rows of photographs compared with all at a time
BINS = 40_000  # of the cosine, -1..1: 5e-5 each, a fortieth of a score's width at 70
ROUNDS = 200  # of the bootstrap
INTERVAL = (2.5, 97.5)  # percentiles: 95 %
SEED = 0
CONFIDENCE = 0.95
Z_95 = 1.6449  # of the normal distribution, one-sided
FEW_ERRORS = 100

Pair = tuple[float, int, int]
"""Cosine, and the two photographs' rows."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What happens at one cosine. Rates are None where there is no pair to tell them from."""

    cosine: float
    non_mated: int
    false_matches: int  # pairs of strangers at or above it
    mated: int
    false_non_matches: int  # pairs of one person below it
    fmr_interval: tuple[float, float] | None = None  # 95 %, people drawn with replacement
    fnmr_interval: tuple[float, float] | None = None

    @property
    def fmr(self) -> float | None:
        """False-match rate."""
        return self.false_matches / self.non_mated if self.non_mated else None

    @property
    def fnmr(self) -> float | None:
        """False-non-match rate."""
        return self.false_non_matches / self.mated if self.mated else None


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """All pairs by their cosine, and the extreme ones."""

    non_mated: NDArray[np.int64]  # (BINS,) pairs of strangers whose cosine falls into a bin
    mated: NDArray[np.int64]  # (BINS,) likewise of one person
    highest: tuple[Pair, ...] = field(repr=False)  # pairs of strangers, the most alike first
    lowest: tuple[Pair, ...] = field(repr=False)  # pairs of one person, the least alike first

    def cosine_at_fmr(self, fmr: float) -> float | None:
        """Return the least bin's edge at or above which no larger share of strangers lies; None without pairs."""
        total = int(self.non_mated.sum())
        if not total:
            return None
        above = np.cumsum(self.non_mated[::-1])[::-1]  # at or above the lower edge of each bin
        fits = np.flatnonzero(above <= fmr * total)
        return float(edges()[fits[0]] if len(fits) else edges()[-1])

    def det(self) -> tuple[Floats, Floats]:
        """Return FMR and FNMR at each bin's lower edge, (BINS,) each."""
        fmr = np.cumsum(self.non_mated[::-1])[::-1] / max(1, int(self.non_mated.sum()))
        fnmr = (np.cumsum(self.mated) - self.mated) / max(1, int(self.mated.sum()))
        return fmr.astype(np.float32), fnmr.astype(np.float32)


def edges() -> NDArray[np.float64]:
    """Return the lower edges of the bins and the upper one of the last, (BINS + 1,)."""
    return np.linspace(-1.0, 1.0, BINS + 1)


def spread(vectors: Floats, people: NDArray[np.intp], *, keep: int = 50, block: int = BLOCK) -> Spread:
    """Sort all pairs by their cosine.

    Args:
        vectors: (N, D), unit length.
        people: (N,) whose photograph each is.
        keep: how many of the extreme pairs are named.
        block: rows at a time.
    """
    counts = np.zeros((2, BINS), np.int64)
    highest: list[Pair] = []
    lowest: list[Pair] = []
    for start, cosines, is_pair, is_mated in _blocks(vectors, people, block):
        bins = np.clip(((cosines + 1.0) * (BINS / 2)).astype(np.int32), 0, BINS - 1)
        counts[0] += np.bincount(bins[is_pair & ~is_mated], minlength=BINS)
        counts[1] += np.bincount(bins[is_mated], minlength=BINS)
        highest = _extreme(highest, np.where(is_pair & ~is_mated, cosines, -np.inf), start, keep)
        lowest = _extreme(lowest, np.where(is_mated, -cosines, -np.inf), start, keep)
    return Spread(counts[0], counts[1], tuple(highest), tuple((-cosine, one, other) for cosine, one, other in lowest))


def count(
    vectors: Floats, people: NDArray[np.intp], cosines: Sequence[float], *, rounds: int = ROUNDS, block: int = BLOCK
) -> list[Rates]:
    """Count errors at each of some cosines.

    In each round of the bootstrap every person counts as often as they were drawn; a pair of two people counts as
    often as the product. Sums over all pairs are products of matrices then, which makes the rounds cheap.

    Args:
        vectors: (N, D), unit length.
        people: (N,) whose photograph each is.
        cosines: a pair at or above one matches.
        rounds: of the bootstrap; 0 for no intervals.
        block: rows at a time.
    """
    if not len(vectors):
        return [Rates(cosine, 0, 0, 0, 0) for cosine in cosines]
    numbers, people = np.unique(people, return_inverse=True)
    drawn = np.random.default_rng(SEED).multinomial(
        len(numbers), np.full(len(numbers), 1.0 / max(1, len(numbers))), size=rounds
    )
    weight = drawn.T.astype(np.float32)[people]  # (N, rounds)
    found = np.zeros((len(cosines), 2), np.int64)
    totals = np.zeros(2, np.int64)
    drawn_found = np.zeros((len(cosines), 2, rounds))
    drawn_totals = np.zeros((2, rounds))
    for start, found_cosines, is_pair, is_mated in _blocks(vectors, people, block):
        here = weight[start : start + len(found_cosines)]
        strangers = is_pair & ~is_mated
        totals += int(strangers.sum()), int(is_mated.sum())
        drawn_totals[0] += _drawn_strangers(strangers, here, weight)
        drawn_totals[1] += _drawn_mated(is_mated, here)
        for at, cosine in enumerate(cosines):
            false_match, false_non_match = strangers & (found_cosines >= cosine), is_mated & (found_cosines < cosine)
            found[at] += int(false_match.sum()), int(false_non_match.sum())
            drawn_found[at, 0] += _drawn_strangers(false_match, here, weight)
            drawn_found[at, 1] += _drawn_mated(false_non_match, here)
    return [
        Rates(
            cosine,
            int(totals[0]),
            int(found[at, 0]),
            int(totals[1]),
            int(found[at, 1]),
            _interval(drawn_found[at, 0], drawn_totals[0]),
            _interval(drawn_found[at, 1], drawn_totals[1]),
        )
        for at, cosine in enumerate(cosines)
    ]


def upper_bound(errors: int, trials: int) -> float:
    """Return the rate below which the truth lies with 95 %, if errors come singly: the rule of three, carried on.

    >>> round(upper_bound(0, 30_000) * 30_000, 1), round(upper_bound(10, 1000), 3)
    (3.0, 0.017)
    """
    if not trials:
        return 1.0
    if errors > FEW_ERRORS:
        # Wilson and Hilferty 1931: the chi-squared quantile that is twice the bound, to 0.01 % from here on
        more = errors + 1
        return min(1.0, more * (1.0 - 1.0 / (9 * more) + Z_95 / (3 * math.sqrt(more))) ** 3 / trials)
    low, high = errors / trials, 1.0
    factorials = np.array([math.lgamma(count + 1) for count in range(errors + 1)])
    for _ in range(60):  # halved until nothing is left of the interval
        middle = (low + high) / 2
        # Poisson: the chance of so few errors where `middle` is the rate
        logs = np.arange(errors + 1) * math.log(middle * trials) - middle * trials - factorials
        low, high = (middle, high) if np.exp(np.logaddexp.reduce(logs)) > 1.0 - CONFIDENCE else (low, middle)
    return min(1.0, high)


def least_certain(interval: tuple[float, float] | None, errors: int, trials: int) -> tuple[float, float] | None:
    """Return a 95 % interval that is never tighter above than so few errors allow; None without trials.

    A bootstrap draws from what was seen: where no error was, it knows of none.

    >>> [round(end, 3) for end in least_certain((0.0, 0.0), 0, 300)]
    [0.0, 0.01]
    """
    if not trials:
        return None
    low, high = interval or (0.0, 0.0)
    return low, max(high, upper_bound(errors, trials))


def _blocks(
    vectors: Floats, people: NDArray[np.intp], block: int
) -> Iterator[tuple[int, Floats, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield, for some rows at a time: the first row, (K, N) cosines, which are pairs (each once), which are mated."""
    columns = np.arange(len(vectors))
    for start in range(0, len(vectors), block):
        rows = slice(start, start + block)
        cosines = np.asarray(vectors[rows] @ vectors.T, np.float32)
        is_pair = columns[np.newaxis, :] > columns[rows, np.newaxis]
        is_mated = is_pair & (people[rows, np.newaxis] == people[np.newaxis, :])
        yield start, cosines, is_pair, is_mated


def _extreme(known: list[Pair], cosines: Floats, start: int, keep: int) -> list[Pair]:
    """Return the `keep` largest of what is known and of a block."""
    keep = min(keep, cosines.size)
    if not keep:
        return known
    places = np.argpartition(cosines.ravel(), -keep)[-keep:]
    rows, columns = np.divmod(places, cosines.shape[1])
    fresh = [
        (float(cosines[row, column]), int(row) + start, int(column))
        for row, column in zip(rows, columns, strict=True)
        if np.isfinite(cosines[row, column])
    ]
    return sorted([*known, *fresh], key=lambda pair: (-pair[0], pair[1:]))[:keep]


def _drawn_strangers(which: NDArray[np.bool_], here: Floats, weight: Floats) -> NDArray[np.float64]:
    """Return, for each round, how many of some pairs of two people were drawn."""
    rows = np.flatnonzero(which.any(axis=1))
    columns = np.flatnonzero(which.any(axis=0))
    if not len(rows):
        return np.zeros(weight.shape[1])
    part = which[np.ix_(rows, columns)].astype(np.float32)
    return np.asarray((here[rows] * (part @ weight[columns])).sum(axis=0, dtype=np.float64))


def _drawn_mated(which: NDArray[np.bool_], here: Floats) -> NDArray[np.float64]:
    """Return, for each round, how many of some pairs of one person were drawn."""
    return np.asarray(which.sum(axis=1).astype(np.float64) @ here.astype(np.float64))


def _interval(errors: NDArray[np.float64], totals: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the interval of a rate over the rounds that drew any pair; None where none did."""
    some = totals > 0
    if not some.any():
        return None
    low, high = np.percentile(errors[some] / totals[some], INTERVAL)
    return float(low), float(high)

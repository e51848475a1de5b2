"""Counts and rates of presentation-attack detection, after ISO/IEC 30107-3, with their bounds.

APCER: attacks taken for people, per species. BPCER: people taken for attacks. Non-response: neither, which opens
nothing either. IAPAR: attacks that are taken for a person and compared as one. Non-responses stay in every denominator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

CONFIDENCE = 0.95
RESAMPLES = 2000
ROUNDS = 60  # of bisection: further than float64 tells
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a set of presentations."""

    presentations: int
    accepted: int
    denied: int
    compared: int = 0  # attacks that were accepted and matched somebody

    @property
    def undetermined(self) -> int:
        """Neither accepted nor denied."""
        return self.presentations - self.accepted - self.denied


def upper_bound(count: int, of: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound of a rate, after Clopper and Pearson; 1 where nothing was counted.

    >>> round(upper_bound(0, 60), 4), round(upper_bound(2, 20), 4), upper_bound(0, 0)
    (0.0487, 0.2826, 1.0)
    """
    if of == 0 or count >= of:
        return 1.0
    return _solve(count, of, 1.0 - confidence)


def lower_bound(count: int, of: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided lower bound of a rate; 0 where nothing was counted.

    >>> round(lower_bound(20, 20), 4), lower_bound(0, 20)
    (0.8609, 0.0)
    """
    return 0.0 if count == 0 or of == 0 else 1.0 - upper_bound(of - count, of, confidence)


def _solve(count: int, of: int, tail: float) -> float:
    """Return the rate at which `count` or fewer of `of` have the probability `tail`."""
    low, high = count / of, 1.0
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        if _at_most(count, of, middle) > tail:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, of: int, rate: float) -> float:
    """Return the probability of `count` or fewer in a binomial distribution."""
    if rate in (0.0, 1.0):
        return 1.0 - rate
    odds = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(of + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * odds[0] + (of - k) * odds[1])
        for k in range(count + 1)
    )


def bootstrap(by_person: Sequence[tuple[int, int]], *, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of a rate over people drawn anew, each with all of their presentations.

    Args:
        by_person: how many were counted, of how many, for each person.
        seed: the same interval for the same recordings.

    Returns:
        None for fewer than two people, of whom nothing can be said about others.
    """
    if len(by_person) < 2:  # noqa: PLR2004  see above
        return None
    rng = Random(seed)  # noqa: S311  statistics
    rates = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(by_person, k=len(by_person))
        rates.append(sum(count for count, _ in drawn) / max(1, sum(of for _, of in drawn)))
    rates.sort()
    return rates[int(0.025 * RESAMPLES)], rates[int(0.975 * RESAMPLES) - 1]


def attack_row(counts: Counts) -> dict[str, Any]:
    """Return one species' row of the answer."""
    return {
        "presentations": counts.presentations,
        "accepted": counts.accepted,
        "apcer": _rate(counts.accepted, counts.presentations),
        "apcer_upper_95": round(upper_bound(counts.accepted, counts.presentations), DIGITS),
        "non_response": _rate(counts.undetermined, counts.presentations),
        "denied": counts.denied,
        "iapar": _rate(counts.compared, counts.presentations),
    }


def bona_fide_row(counts: Counts) -> dict[str, Any]:
    """Return one person's row of the answer."""
    return {
        "presentations": counts.presentations,
        "accepted": counts.accepted,
        "bpcer": _rate(counts.denied, counts.presentations),
        "bpcer_upper_95": round(upper_bound(counts.denied, counts.presentations), DIGITS),
        "non_response": _rate(counts.undetermined, counts.presentations),
        "denied": counts.denied,
    }


def all_people_row(people: Mapping[str, Counts]) -> dict[str, Any]:
    """Return the row of everybody together; the interval is over people, as their presentations are not independent."""
    counts = Counts(
        sum(one.presentations for one in people.values()),
        sum(one.accepted for one in people.values()),
        sum(one.denied for one in people.values()),
    )
    interval = bootstrap([(one.denied, one.presentations) for one in people.values()])
    return {
        **bona_fide_row(counts),
        "people": len(people),
        "bpcer_bootstrap_95": [round(value, DIGITS) for value in interval] if interval else None,
    }


def worst_species(species: Mapping[str, Counts]) -> str | None:
    """Return the species with the highest APCER, the most accepted of equals; the headline, as an attacker chooses."""
    return max(
        species,
        key=lambda name: (species[name].accepted / max(1, species[name].presentations), species[name].accepted),
        default=None,
    )


def _rate(count: int, of: int) -> float:
    return round(count / of, DIGITS) if of else 0.0

"""1:1: false-match and false-non-match rates at scores and at fixed rates, for all and within each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.evaluation.acquire import Acquired
from kiosk.evaluation.pairs import ROUNDS, Pair, Rates, Spread, count, least_certain, spread
from kiosk.recognition.match import DECIMAL_SLACK, ScoreScale
from kiosk.rules.text import in_utf8
from kiosk.types import Floats

SCORES = (30, 50, 70, 80, 90)
FIXED_FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
LEAST_FALSE_MATCHES = 1.0  # expected at a fixed FMR; below, the pairs are too few to say anything about it
WORST = 24  # pairs of each kind that are named
DISCARDED = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Shares of the photographs left out, those of the poorest quality first: error versus discard, ISO/IEC 29794-1."""


@dataclass(frozen=True, slots=True)
class Granted:
    """Pairs of strangers that a door's defaults would let in, 1:1, without a gallery."""

    false: int
    non_mated: int

    @property
    def rate(self) -> float | None:
        """Share of the strangers' pairs; None where there are none."""
        return self.false / self.non_mated if self.non_mated else None


@dataclass(frozen=True, slots=True)
class Group:
    """Rates within one group: both photographs of a pair are of its people."""

    people: int
    photographs: int
    scores: Mapping[int, Rates]
    granted: Granted


@dataclass(frozen=True, slots=True)
class NamedPair:
    """Two photographs to look at."""

    score: float
    cosine: float
    one: str = field(repr=False)
    other: str = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class MatchReport:
    """All that an evaluation of 1:1 found."""

    people: int
    photographs: int
    not_acquired: Sequence[tuple[str, str]]  # file, sentence
    mated: int
    non_mated: int
    scores: Mapping[int, Rates]
    fixed: Mapping[float, Rates]
    granted: Granted
    groups: Mapping[str, Group]
    discard: Sequence[tuple[float, float | None]]  # share left out, FNMR at score 70 of the rest
    spread: Spread = field(repr=False)
    highest: Sequence[NamedPair] = field(repr=False)  # strangers, the most alike first
    lowest: Sequence[NamedPair] = field(repr=False)  # one person, the least alike first

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "people": self.people,
            "photographs": self.photographs,
            "not_acquired": len(self.not_acquired),
            "mated": self.mated,
            "non_mated": self.non_mated,
            "scores": {str(score): _as_dict(rates) for score, rates in self.scores.items()},
            "fixed_fmr": {f"{fmr:g}": _as_dict(rates) for fmr, rates in self.fixed.items()},
            "granted": {"false": self.granted.false, "rate": self.granted.rate},
            "groups": {
                name: {
                    "people": group.people,
                    "photographs": group.photographs,
                    "non_mated": next(iter(group.scores.values())).non_mated,
                    "mated": next(iter(group.scores.values())).mated,
                    "scores": {str(score): _as_dict(rates) for score, rates in group.scores.items()},
                    "granted": {"false": group.granted.false, "rate": group.granted.rate},
                }
                for name, group in self.groups.items()
            },
            "discard": [{"discarded": share, "fnmr_at_70": fnmr} for share, fnmr in self.discard],
            "not_acquired_files": [{"file": in_utf8(file), "why": why} for file, why in self.not_acquired],
            "most_alike_strangers": [_pair_as_dict(pair) for pair in self.highest],
            "least_alike_of_one_person": [_pair_as_dict(pair) for pair in self.lowest],
        }


@dataclass(frozen=True, slots=True)
class Gates:
    """When a door's defaults let a pair in."""

    verify_threshold: float  # score
    age_low: float = 0.0  # years; somebody estimated younger goes to review


def evaluate_match(
    acquired: Sequence[Acquired],
    scale: ScoreScale,
    gates: Gates,
    *,
    groups: Mapping[str, str] | None = None,
    rounds: int = ROUNDS,
) -> MatchReport:
    """Compare everyone with everyone.

    Args:
        acquired: of all photographs, those without a template included.
        scale: what scores mean.
        gates: of the door.
        groups: person → group; rates of a group are those of pairs within it.
        rounds: of the bootstrap; 0 for no intervals.
    """
    whole = [one for one in acquired if one.vector is not None]
    names = sorted({one.photograph.person for one in acquired})
    number = {name: at for at, name in enumerate(names)}
    people = np.array([number[one.photograph.person] for one in whole], np.intp)
    vectors = _stacked(whole)
    all_pairs = spread(vectors, people)
    cosines = [least_cosine(scale, score) for score in SCORES]
    non_mated = int(all_pairs.non_mated.sum())
    fixed_at = {
        fmr: at
        for fmr in FIXED_FMRS
        if fmr * non_mated >= LEAST_FALSE_MATCHES and (at := all_pairs.cosine_at_fmr(fmr)) is not None
    }
    counted = count(vectors, people, [*cosines, *fixed_at.values()], rounds=rounds)
    return MatchReport(
        people=len(names),
        photographs=len(acquired),
        not_acquired=[(str(one.photograph.path), one.why_not) for one in acquired if one.vector is None],
        mated=int(all_pairs.mated.sum()),
        non_mated=non_mated,
        scores=dict(zip(SCORES, counted, strict=False)),
        fixed=dict(zip(fixed_at, counted[len(SCORES) :], strict=True)),
        granted=granted(whole, vectors, people, scale, gates),
        groups={
            name: _within(
                [one for one in whole if (groups or {}).get(one.photograph.person) == name], scale, gates, rounds
            )
            for name in sorted(set((groups or {}).values()))
        },
        discard=error_versus_discard(whole, vectors, people, scale),
        spread=all_pairs,
        highest=[_named(pair, whole, scale) for pair in all_pairs.highest[:WORST]],
        lowest=[_named(pair, whole, scale) for pair in all_pairs.lowest[:WORST]],
    )


def least_cosine(scale: ScoreScale, score: float) -> float:
    """Return the least cosine that a comparison shows as `score` or more, rounding included."""
    return scale.cosine(score - DECIMAL_SLACK)


def granted(
    acquired: Sequence[Acquired],
    vectors: Floats,
    people: NDArray[np.intp],
    scale: ScoreScale,
    gates: Gates,
) -> Granted:
    """Count the strangers a door lets in: one photograph passes as the probe, the other as the reference.

    A pair counts if either order of the two would be let in, and not if anybody in it is estimated younger than
    the door judges.
    """
    grown = np.array([one.age >= gates.age_low for one in acquired], np.bool_)
    probe = grown & np.array([one.serves_as_probe for one in acquired], np.bool_)
    reference = grown & np.array([one.serves_as_reference for one in acquired], np.bool_)
    at = least_cosine(scale, gates.verify_threshold)
    false = non_mated = 0
    for row in range(len(acquired)):
        strangers = people[row + 1 :] != people[row]
        non_mated += int(strangers.sum())
        passes = (probe[row] & reference[row + 1 :]) | (reference[row] & probe[row + 1 :])
        candidates = np.flatnonzero(strangers & passes)
        if len(candidates):
            false += int((vectors[row + 1 :][candidates] @ vectors[row] >= at).sum())
    return Granted(false, non_mated)


def error_versus_discard(
    acquired: Sequence[Acquired], vectors: Floats, people: NDArray[np.intp], scale: ScoreScale
) -> list[tuple[float, float | None]]:
    """Return FNMR at score 70 of what is left when the poorest photographs, by their template, are left out."""
    qualities = np.array([one.quality or 0.0 for one in acquired])
    one, other = mated_pairs(people)
    missed = np.einsum("ij,ij->i", vectors[one], vectors[other]) < least_cosine(scale, 70)
    rank = np.empty(len(qualities), np.intp)
    rank[np.argsort(qualities, kind="stable")] = np.arange(len(qualities))
    rows: list[tuple[float, float | None]] = []
    for share in DISCARDED:
        kept = (rank[one] >= share * len(qualities)) & (rank[other] >= share * len(qualities))
        rows.append((share, float(missed[kept].mean()) if kept.any() else None))
    return rows


def mated_pairs(people: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of all pairs of photographs of one person, each pair once."""
    firsts: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    seconds: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    order = np.argsort(people, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(people[order])) + 1):
        first, second = np.triu_indices(len(rows), 1)
        firsts.append(rows[first])
        seconds.append(rows[second])
    return np.concatenate(firsts), np.concatenate(seconds)


def bounds(rates: Rates) -> tuple[float, float] | None:
    """Return the 95 % interval of an FMR: over people, and never tighter above than so few errors allow."""
    return least_certain(rates.fmr_interval, rates.false_matches, rates.non_mated)


def bounds_of_misses(rates: Rates) -> tuple[float, float] | None:
    """Return the 95 % interval of an FNMR, likewise."""
    return least_certain(rates.fnmr_interval, rates.false_non_matches, rates.mated)


def _within(acquired: Sequence[Acquired], scale: ScoreScale, gates: Gates, rounds: int) -> Group:
    names = sorted({one.photograph.person for one in acquired})
    number = {name: at for at, name in enumerate(names)}
    people = np.array([number[one.photograph.person] for one in acquired], np.intp)
    vectors = _stacked(acquired)
    counted = count(vectors, people, [least_cosine(scale, score) for score in SCORES], rounds=rounds)
    return Group(
        len(names),
        len(acquired),
        dict(zip(SCORES, counted, strict=True)),
        granted(acquired, vectors, people, scale, gates),
    )


def _stacked(acquired: Sequence[Acquired]) -> Floats:
    vectors = [one.vector for one in acquired if one.vector is not None]
    return np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)


def _named(pair: Pair, acquired: Sequence[Acquired], scale: ScoreScale) -> NamedPair:
    cosine, one, other = pair
    score = scale.similarity_percentage(cosine)
    return NamedPair(score, cosine, str(acquired[one].photograph.path), str(acquired[other].photograph.path))


def _as_dict(rates: Rates) -> dict[str, Any]:
    return {
        "cosine": round(rates.cosine, 4),
        "false_matches": rates.false_matches,
        "fmr": rates.fmr,
        "fmr_interval": bounds(rates),
        "false_non_matches": rates.false_non_matches,
        "fnmr": rates.fnmr,
        "fnmr_interval": bounds_of_misses(rates),
    }


def _pair_as_dict(pair: NamedPair) -> dict[str, Any]:
    return {
        "score": pair.score,
        "cosine": round(pair.cosine, 4),
        "one": in_utf8(pair.one),
        "other": in_utf8(pair.other),
    }

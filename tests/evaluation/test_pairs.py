"""Pairs are counted as a plain loop counts them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kiosk.evaluation import pairs
from kiosk.types import Floats


def crowd(people: int, each: int, *, depth: int = 8, seed: int = 0) -> tuple[Floats, np.ndarray]:
    """Return unit vectors, those of one person near one another, and whose each is."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, depth))
    vectors = (centres[:, np.newaxis] + rng.normal(scale=0.8, size=(people, each, depth))).reshape(-1, depth)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit, np.repeat(np.arange(people), each)


def by_hand(vectors: Floats, people: np.ndarray, at: float) -> tuple[int, int, int, int]:
    """Count as a reader of the standard would: false matches, strangers' pairs, false non-matches, mated pairs."""
    false_matches = non_mated = false_non_matches = mated = 0
    for one, other in combinations(range(len(vectors)), 2):
        cosine = float(vectors[one] @ vectors[other])
        if people[one] == people[other]:
            mated += 1
            false_non_matches += cosine < at
        else:
            non_mated += 1
            false_matches += cosine >= at
    return false_matches, non_mated, false_non_matches, mated


@pytest.mark.parametrize("at", [-0.3, 0.2, 0.6, 0.9])
def test_counts_are_those_of_a_plain_loop(at: float) -> None:
    vectors, people = crowd(12, 3)

    (rates,) = pairs.count(vectors, people, [at], block=7)  # several, the last one short

    expected = by_hand(vectors, people, at)
    assert (rates.false_matches, rates.non_mated, rates.false_non_matches, rates.mated) == expected
    assert rates.fmr == expected[0] / expected[1]
    assert rates.fnmr == expected[2] / expected[3]


def test_rates_are_none_where_there_is_no_pair() -> None:
    vectors, people = crowd(1, 3)

    (rates,) = pairs.count(vectors, people, [0.5])

    assert (rates.non_mated, rates.fmr, rates.fmr_interval) == (0, None, None)
    assert rates.mated == 3


@pytest.mark.parametrize("photographs", [0, 1])
def test_too_few_photographs_for_a_pair_give_no_rates(photographs: int) -> None:
    vectors, people = crowd(1, 1)

    (rates,) = pairs.count(vectors[:photographs], people[:photographs], [0.5])

    assert (rates.fmr, rates.fnmr) == (None, None)


def test_the_interval_of_a_bootstrap_over_people_holds_the_rate() -> None:
    vectors, people = crowd(40, 4)

    (rates,) = pairs.count(vectors, people, [0.4])

    assert rates.fmr is not None
    assert rates.fmr_interval is not None
    low, high = rates.fmr_interval
    assert 0.0 < low < rates.fmr < high < 1.0


def test_people_who_err_together_widen_the_interval() -> None:
    """Ten photographs of each tell little more than one: pairs of photographs are not independent."""
    once, people = crowd(40, 1)
    often, owners = np.repeat(once, 10, axis=0), np.repeat(people, 10)

    (single,), (repeated,) = pairs.count(once, people, [0.4]), pairs.count(often, owners, [0.4])

    assert single.fmr_interval is not None
    assert repeated.fmr_interval is not None
    np.testing.assert_allclose(repeated.fmr_interval, single.fmr_interval, rtol=1e-6)


def test_the_spread_holds_every_pair_once_and_names_the_extreme_ones() -> None:
    vectors, people = crowd(9, 2)

    found = pairs.spread(vectors, people, keep=4, block=5)

    cosines = vectors @ vectors.T
    strangers = [(cosines[a, b], a, b) for a, b in combinations(range(18), 2) if people[a] != people[b]]
    mated = [(cosines[a, b], a, b) for a, b in combinations(range(18), 2) if people[a] == people[b]]
    assert (int(found.non_mated.sum()), int(found.mated.sum())) == (len(strangers), len(mated))
    assert [pair[1:] for pair in found.highest] == [pair[1:] for pair in sorted(strangers, reverse=True)[:4]]
    assert [pair[1:] for pair in found.lowest] == [pair[1:] for pair in sorted(mated)[:4]]


def test_no_more_strangers_than_asked_for_reach_the_cosine_of_an_fmr() -> None:
    vectors, people = crowd(60, 2)

    found = pairs.spread(vectors, people)
    at = found.cosine_at_fmr(0.01)

    assert at is not None
    reached, strangers, _, _ = by_hand(vectors, people, at)
    assert 0.005 < reached / strangers <= 0.01


@pytest.mark.parametrize(
    ("errors", "trials", "bound"),
    [
        pytest.param(0, 1000, 0.0030, id="the rule of three"),
        pytest.param(5, 1000, 0.01051, id="five in a thousand"),
        pytest.param(100, 10_000, 0.01181, id="the most that is summed up"),
        pytest.param(101, 10_000, 0.01192, id="and the first that is not"),
        pytest.param(0, 0, 1.0, id="nothing tried, nothing known"),
    ],
)
def test_the_upper_bound_is_that_of_a_poisson_count(errors: int, trials: int, bound: float) -> None:
    assert pairs.upper_bound(errors, trials) == pytest.approx(bound, rel=2e-3)

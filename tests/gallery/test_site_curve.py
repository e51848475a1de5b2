"""The people of a site tell how often its strangers are alike."""

from __future__ import annotations

import numpy as np
import pytest

from kiosk.gallery.site_curve import (
    MOST_PEOPLE,
    SiteCurve,
    draw_people,
    measure_site,
    stricter,
    stricter_fmr,
    stricter_score,
)
from kiosk.recognition.match import ScoreScale
from kiosk.types import Floats

SCALE = ScoreScale((-0.1, 0.25, 0.34, 0.45, 0.54, 0.61), (0.0, 1.0, 2.0, 4.0, 6.0, 8.0))


def strangers(people: int, *, alike: float = 0.0, seed: int = 0, depth: int = 64) -> Floats:
    """Return one unit vector of each, the more alike the more of a common direction they share."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(people, depth)) + alike * np.sqrt(depth) * np.eye(depth)[0]
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def curve(vectors: Floats, suspect_cosine: float = 0.95) -> SiteCurve:
    found = measure_site(vectors, suspect_cosine=suspect_cosine)
    assert found is not None
    return found


def test_rates_are_those_of_a_plain_loop() -> None:
    vectors = strangers(220)

    found = curve(vectors)

    cosines = (vectors @ vectors.T)[np.triu_indices(220, 1)]
    assert found.pairs == len(cosines)
    for at in (-0.2, 0.0, 0.1, 0.3):
        assert found.fmr(at) == pytest.approx(float((cosines >= at).mean()), abs=2e-3)


@pytest.mark.parametrize(("people", "tells"), [(199, False), (200, True)])
def test_below_two_hundred_people_it_cannot_tell(people: int, *, tells: bool) -> None:
    assert (measure_site(strangers(people), suspect_cosine=0.9) is not None) is tells


def test_forgotten_people_count_for_nobody() -> None:
    vectors = strangers(205)
    vectors[:5] = np.nan

    assert curve(vectors).people == 200


def test_one_person_enrolled_twice_does_not_spoil_the_curve() -> None:
    vectors = strangers(300)
    twice = np.concatenate([vectors, vectors[:10]])

    found = curve(twice)

    assert found.taken_out == 10
    assert found.fmr(0.9) == 0.0


def test_the_bound_lies_above_the_rate_and_falls() -> None:
    found = curve(strangers(250, alike=0.5))

    assert (found.bounds >= found.rates).all()
    assert (np.diff(found.bounds) <= 0).all()
    assert found.reach == pytest.approx(3.0 / found.pairs, rel=1e-6)


def test_the_bound_holds_on_others_of_the_site_in_nine_of_ten_draws() -> None:
    everyone = strangers(3000, alike=0.6)
    rng = np.random.default_rng(1)
    truth = everyone @ everyone.T
    truth = truth[np.triu_indices(len(everyone), 1)]

    held = []
    for _ in range(20):
        drawn = rng.choice(len(everyone), 300, replace=False)
        at = curve(everyone[drawn]).cosine_by_bound(1e-2)
        assert at is not None
        held.append((truth >= at).mean() <= 1e-2)

    assert sum(held) >= 18


def test_a_site_of_people_alike_raises_thresholds_and_one_of_others_lowers_none() -> None:
    alike, others = curve(strangers(300, alike=0.9)), curve(strangers(300))

    for rarity in (1.0, 2.0, 4.0, 6.0):
        shipped = SCALE.cosine_at_rarity(rarity)
        assert stricter(SCALE, alike, rarity) > shipped
        assert stricter(SCALE, others, rarity) >= shipped
        assert stricter(SCALE, None, rarity) == shipped


def test_a_score_is_raised_and_never_lowered() -> None:
    alike = curve(strangers(300, alike=0.9))

    assert stricter_score(SCALE, alike, 70.0) > 70.0
    assert stricter_score(SCALE, None, 70.0) == pytest.approx(70.0)
    assert stricter_score(SCALE, alike, 95.0) >= 95.0


def test_a_large_gallery_is_drawn_from_and_a_small_one_taken_whole() -> None:
    rng = np.random.default_rng(0)

    assert draw_people([3, 1, 2], rng) == [1, 2, 3]
    drawn = draw_people(range(10_000), rng)
    assert len(set(drawn)) == MOST_PEOPLE


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("rarity", [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5])
def test_the_rate_at_the_cosine_that_holds_a_rate_is_that_rate_or_less(alike: float, rarity: float) -> None:
    site = curve(strangers(220, alike=alike))

    held = stricter_fmr(SCALE, site, stricter(SCALE, site, rarity) + 1e-4)

    assert held <= 10.0**-rarity * (1 + 1e-6)


def test_no_rate_is_below_the_shipped_scales() -> None:
    site = curve(strangers(220))

    for cosine in np.linspace(-0.2, 0.7, 50):
        assert stricter_fmr(SCALE, site, float(cosine)) >= SCALE.fmr(float(cosine))
        assert stricter_fmr(SCALE, None, float(cosine)) == SCALE.fmr(float(cosine))

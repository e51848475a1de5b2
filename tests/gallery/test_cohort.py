"""A likeness counts less between faces that resemble many, and a search by it stays exact."""

from __future__ import annotations

import numpy as np

from kiosk.gallery.cohort import BEST, draw_cohort, evened, make_cohort, raw_floor
from tests.gallery.test_site_curve import strangers

PEOPLE = np.arange(100, dtype=np.int64)


def test_means_are_those_of_the_most_alike_others() -> None:
    vectors = strangers(100)
    cohort = make_cohort(PEOPLE, vectors)

    means = cohort.means(vectors, PEOPLE)

    for at in (0, 57):
        cosines = np.delete(vectors @ vectors[at], at)
        np.testing.assert_allclose(means[at], np.sort(cosines)[-BEST:].mean(), rtol=1e-5)


def test_a_pair_of_usual_faces_keeps_its_cosine() -> None:
    cohort = make_cohort(PEOPLE, strangers(100))

    kept = evened(np.array([0.5], np.float32), cohort.level, np.array([cohort.level], np.float32), cohort.level)

    np.testing.assert_allclose(kept, [0.5], atol=1e-6)


def test_people_alike_in_the_models_eyes_are_told_apart_more() -> None:
    crowd, others = strangers(60, alike=1.0), strangers(60, seed=1)
    cohort = make_cohort(np.arange(120, dtype=np.int64), np.concatenate([crowd, others]))
    means = cohort.means(crowd, np.arange(60, dtype=np.int64))

    raw = crowd[1:] @ crowd[0]

    assert (evened(raw, float(means[0]), means[1:], cohort.level) < raw).all()


def test_a_search_by_the_raw_floor_finds_everyone_who_reaches_the_evened_one() -> None:
    references = strangers(400, alike=0.6)
    cohort = make_cohort(PEOPLE, references[:100])
    means = cohort.means(references, np.arange(400, dtype=np.int64))
    probe = strangers(1, alike=0.6, seed=5)
    probe_mean = float(cohort.means(probe)[0])
    cosines = references @ probe[0]

    listed = np.flatnonzero(evened(cosines, probe_mean, means, cohort.level) >= 0.3)

    least = raw_floor(0.3, probe_mean, float(means.min()), cohort.level)
    assert set(listed) <= set(np.flatnonzero(cosines >= least - 1e-6))
    assert len(listed)


def test_somebody_forgotten_is_in_no_cohort_and_no_mean() -> None:
    vectors = strangers(100)
    cohort = make_cohort(PEOPLE, vectors)

    left = cohort.without(7)

    assert 7 not in left.subjects
    assert len(left.vectors) == 99
    np.testing.assert_array_equal(
        left.means(vectors), make_cohort(np.delete(PEOPLE, 7), np.delete(vectors, 7, 0)).means(vectors)
    )
    assert cohort.without(1000) is cohort


def test_too_few_people_take_nothing_away() -> None:
    few = make_cohort(PEOPLE[:10], strangers(10))

    means = few.means(strangers(3, seed=2))

    assert not few.is_large_enough
    cosines = np.array([0.4, 0.5, 0.6], np.float32)
    np.testing.assert_allclose(evened(cosines, few.level, means, few.level), cosines)


def test_a_cohort_is_drawn_from_people_each_once() -> None:
    subjects = np.repeat(np.arange(500, dtype=np.int64), 3)

    drawn = draw_cohort(subjects, np.random.default_rng(0))

    assert len(np.unique(drawn)) == len(drawn) == 256

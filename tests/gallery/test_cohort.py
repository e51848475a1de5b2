"""At the door a likeness counts less between faces that resemble many, and never more."""

from __future__ import annotations

import numpy as np

from kiosk.gallery.cohort import BEST, Cohort, draw_cohort, make_cohort
from kiosk.types import Floats
from tests.gallery.test_site_curve import strangers

PEOPLE = np.arange(100, dtype=np.int64)
NOBODY = -1


def cohort_of(vectors: Floats, **more: float) -> Cohort:
    people = np.arange(len(vectors), dtype=np.int64)
    return make_cohort(people, 1000 + people, vectors, **more)


def test_means_are_those_of_the_most_alike_others() -> None:
    vectors = strangers(100)

    means = cohort_of(vectors).means(vectors, PEOPLE)

    for at in (0, 57):
        cosines = np.delete(vectors @ vectors[at], at)
        np.testing.assert_allclose(means[at], np.sort(cosines)[-BEST:].mean(), rtol=1e-5)


def test_no_pair_counts_for_more_than_its_cosine() -> None:
    vectors = strangers(300, alike=0.6)
    cohort = cohort_of(vectors[:100])

    for probe, reference in zip(vectors[100:200], vectors[200:], strict=True):
        assert cohort.counted(probe, reference[np.newaxis], NOBODY)[0] <= np.float32(reference @ probe)


def test_a_pair_of_unusual_faces_keeps_its_cosine() -> None:
    cohort = cohort_of(strangers(100, alike=1.0))
    one, other = strangers(2, seed=3)

    np.testing.assert_allclose(cohort.counted(one, other[np.newaxis], NOBODY), [one @ other], atol=1e-6)


def test_a_pair_that_resembles_many_counts_for_less() -> None:
    crowd, others = strangers(60, alike=1.0), strangers(60, seed=1)
    cohort = cohort_of(np.concatenate([crowd, others]))

    for at in range(1, 20):
        assert cohort.counted(crowd[0], crowd[at : at + 1], at)[0] < crowd[at] @ crowd[0]


def test_each_of_a_persons_references_is_counted_by_its_own_mean() -> None:
    crowd, others = strangers(60, alike=1.0), strangers(60, seed=1)
    cohort = cohort_of(np.concatenate([crowd, others]))

    both = cohort.counted(crowd[0], np.stack([crowd[5], others[5]]), 5)

    np.testing.assert_allclose(both[:1], cohort.counted(crowd[0], crowd[5:6], 5), rtol=1e-5)
    np.testing.assert_allclose(both[1:], cohort.counted(crowd[0], others[5:6], 5), atol=1e-6)


def test_the_person_of_the_reference_is_not_in_the_means() -> None:
    vectors = strangers(100)
    cohort = cohort_of(vectors)
    probe = vectors[7] + 0.05 * strangers(1, seed=9)[0]
    probe /= np.linalg.norm(probe)

    by_owner = cohort.counted(probe, vectors[7:8], 7)

    assert by_owner[0] > cohort.counted(probe, vectors[7:8], NOBODY)[0]


def test_one_person_enrolled_twice_is_not_held_against_them() -> None:
    vectors = strangers(100)
    vectors[8] = vectors[7]
    probe = vectors[7]

    plain = cohort_of(vectors).means(probe[np.newaxis], np.array([7]))
    mended = cohort_of(vectors, same_from=0.9).means(probe[np.newaxis], np.array([7]))

    assert mended[0] < plain[0]


def test_somebody_forgotten_is_in_no_cohort_and_no_mean() -> None:
    vectors = strangers(100)
    cohort = cohort_of(vectors)

    left = cohort.without(cohort.subjects == 7)

    kept = np.delete(PEOPLE, 7)
    again = make_cohort(kept, 1000 + kept, np.delete(vectors, 7, 0))
    assert 7 not in left.subjects
    assert left.level == again.level
    np.testing.assert_array_equal(left.means(vectors, PEOPLE), again.means(vectors, PEOPLE))
    assert not cohort.vectors[7].any()  # also where a decision still holds the earlier one


def test_too_few_people_take_nothing_away() -> None:
    few = cohort_of(strangers(2 * BEST - 1, alike=1.0))
    one, other = strangers(2, alike=1.0, seed=2)

    assert not few.is_large_enough
    np.testing.assert_allclose(few.counted(one, other[np.newaxis], NOBODY), [one @ other], rtol=1e-6)


def test_a_cohort_is_drawn_from_people_each_once() -> None:
    drawn = draw_cohort(500, np.random.default_rng(0))

    assert len(np.unique(drawn)) == len(drawn) == 256
    np.testing.assert_array_equal(draw_cohort(30, np.random.default_rng(0)), np.arange(30))

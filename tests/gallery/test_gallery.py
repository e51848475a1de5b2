"""The gallery against a plain float32 loop, and under change."""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kiosk.errors import ModelMismatchError
from kiosk.gallery.audit import outliers, pairs_above
from kiosk.gallery.codes import CHUNK_ROWS, FIRST_ROWS, ROW_BYTES, Bound, Chunk, encode
from kiosk.gallery.gallery import Gallery, People, Person
from kiosk.gallery.products import (
    PROBE_MOST,
    Codes,
    Products,
    Sums,
    centred_sums,
    counts_right,
    fastest_products,
    numpy_products,
)
from kiosk.gallery.rates import expected_false_positives, fmr_for_fpir, fpir
from kiosk.gallery.search import TOGETHER, Query
from kiosk.gallery.snapshot import DATES_BYTES, PERSON_BYTES, Among, Flag, Page
from kiosk.types import Candidate, Floats, Template
from tests.patience import until

MODEL = "a" * 64
DEPTH = 64
FOREVER = (-math.inf, math.inf)


class Shelf:
    """Reference vectors by id, as the store would decrypt them."""

    def __init__(self, depth: int = DEPTH) -> None:
        self.depth = depth
        self.vectors: dict[int, Floats] = {}
        self.fetched = 0

    def exact(self, references: NDArray[np.int64]) -> Floats:
        self.fetched += len(references)
        gone = np.full(self.depth, np.nan, np.float32)
        return np.array([self.vectors.get(one, gone) for one in references.tolist()], np.float32)


def unit(vectors: NDArray[np.floating[Any]]) -> Floats:
    unit_vectors: Floats = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return unit_vectors


def random_vectors(rng: np.random.Generator, count: int, depth: int = DEPTH) -> Floats:
    return unit(rng.standard_normal((count, depth), dtype=np.float32))


def clustered_vectors(rng: np.random.Generator, count: int, depth: int = DEPTH, centres: int = 20) -> Floats:
    """Vectors of a few tight groups: cosines inside a group from 0.95 to 0.999."""
    middle = random_vectors(rng, centres, depth)[rng.integers(0, centres, count)]
    noise = rng.standard_normal((count, depth), dtype=np.float32) * rng.uniform(0.03, 0.22, (count, 1))
    return unit(middle + noise.astype(np.float32) / np.float32(math.sqrt(depth)))


def near(vector: Floats, cosine: float, rng: np.random.Generator) -> Floats:
    """Return a unit vector at this cosine from another."""
    other = rng.standard_normal(len(vector))
    other -= (other @ vector) * vector
    other /= np.linalg.norm(other)
    return unit(cosine * vector.astype(np.float64) + math.sqrt(1 - cosine**2) * other)


def loaded(
    vectors: Floats,
    subjects: NDArray[np.int64] | None = None,
    *,
    flags: NDArray[np.uint8] | None = None,
    products: Products | None = None,
) -> tuple[Gallery, Shelf]:
    """Load a gallery; reference ids are 1000 + row, subjects 1 + row unless given."""
    count, depth = vectors.shape
    subjects = np.arange(1, count + 1) if subjects is None else subjects
    people = np.unique(subjects)
    shelf = Shelf(depth)
    shelf.vectors = {1000 + row: vector for row, vector in enumerate(vectors)}
    gallery = Gallery(MODEL, depth, shelf.exact, products=products)
    columns = People(
        people,
        np.full(len(people), Flag.APPROVED, np.uint8) if flags is None else flags,
        np.full(len(people), -np.inf),
        np.full(len(people), np.inf),
    )
    references = np.arange(1000, 1000 + count)
    starts = range(0, count, 700)
    gallery.load(columns, [(subjects[s : s + 700], references[s : s + 700], vectors[s : s + 700]) for s in starts])
    return gallery, shelf


def oracle(
    probe: Floats, vectors: Floats, subjects: NDArray[np.int64], *, floor: float, limit: int | None
) -> list[Candidate]:
    """Rank people by a plain loop over float32 vectors, the score rounded once."""
    best: dict[int, float] = {}
    for subject, vector in zip(subjects.tolist(), vectors, strict=True):
        score = float(np.float32((vector.astype(np.float64) * probe.astype(np.float64)).sum()))
        if score >= floor:
            best[subject] = max(score, best.get(subject, -2.0))
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    return [Candidate(subject, score) for subject, score in ranked[:limit]]


def template(vector: Floats) -> Template:
    return Template(vector, MODEL)


def search(
    gallery: Gallery,
    probe: Template,
    *,
    floor: float,
    now: float,
    limit: int | None = None,
    among: Among = Among.EVERYBODY,
) -> list[Candidate]:
    """Ask one thing."""
    return gallery.search_all(probe, [Query(floor, limit, among)], now=now)[0]


KERNELS = [pytest.param(numpy_products, id="numpy"), pytest.param(None, id="fastest here")]


@pytest.mark.parametrize("products", KERNELS)
@pytest.mark.parametrize("depth", [8, 64, 192, 320])
@pytest.mark.parametrize("kind", [random_vectors, clustered_vectors])
@pytest.mark.parametrize(
    ("floor", "limit"),
    [(-1.0, 5), (-1.0, None), (0.3, 5), (0.9, 3), (0.97, None), (0.0, 10_000)],
)
def test_ranked_people_are_those_of_a_float32_loop(kind, depth, products, floor, limit):
    rng = np.random.default_rng(depth)
    vectors = kind(rng, 900, depth)
    subjects = np.sort(rng.integers(1, 500, len(vectors)))
    gallery, _ = loaded(vectors, subjects, products=products)
    probes = [random_vectors(rng, 1, depth)[0], vectors[17], near(vectors[400], 0.97, rng), near(vectors[5], 0.5, rng)]

    for probe in probes:
        found = search(gallery, template(probe), floor=floor, limit=limit, now=0.0)

        assert found == oracle(probe, vectors, subjects, floor=floor, limit=limit)


@pytest.mark.parametrize("products", KERNELS)
@pytest.mark.parametrize("kind", [random_vectors, clustered_vectors])
def test_many_probes_at_once_get_what_each_gets_alone(kind, products):
    rng = np.random.default_rng(35)
    vectors = kind(rng, 2500, 128)
    vectors[[7, 100, 101, 102]] = vectors[7]
    subjects = np.sort(rng.integers(1, 1500, len(vectors)))
    flags = np.where(rng.random(len(np.unique(subjects))) < 0.1, Flag.BLOCKLISTED, Flag.APPROVED).astype(np.uint8)
    gallery, _ = loaded(vectors, subjects, flags=flags, products=products)
    gallery.forget(int(subjects[50]), int(subjects[2400]))
    probes = [template(near(vectors[row % 2500], 0.9, rng)) for row in range(2 * TOGETHER + 5)]
    kinds = [
        [Query(0.4, 5)],
        [Query(0.3, 3, Among.BLOCKLISTED), Query(0.35, 5, Among.APPROVED)],
        [Query(-1.0, 4)],
        [Query(0.5)],
        [],
        [Query(0.4, 0)],
    ]
    asked = [kinds[at % len(kinds)] for at in range(len(probes))]

    together = gallery.search_many(probes, asked, now=0.0)

    assert together == [gallery.search_all(probe, one, now=0.0) for probe, one in zip(probes, asked, strict=True)]
    probe, live = probes[0].vector, ~np.isin(subjects, subjects[[50, 2400]])
    assert together[0] == [oracle(probe, vectors[live], subjects[live], floor=0.4, limit=5)]
    assert gallery.search_many([], [], now=0.0) == []


@pytest.mark.parametrize("products", KERNELS)
@pytest.mark.parametrize("kind", [random_vectors, clustered_vectors])
@pytest.mark.parametrize("count", [7, 8, 9, TOGETHER, TOGETHER + 3])
def test_many_probes_with_one_question_each_get_what_each_gets_alone(kind, products, count):
    rng = np.random.default_rng(count)
    vectors = kind(rng, 1500, 128) * rng.choice([0.99995, 1.0, 1.00005], (1500, 1)).astype(np.float32)
    vectors[::7, :100] *= np.float32(0.05)  # peaked, so that codes differ much in length
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gallery, _ = loaded(vectors, products=products)
    gallery.forget(*(int(number) for number in rng.choice(np.arange(1, 1501), 40, replace=False)))
    probes = [template(near(vectors[row * 17 % 1500], rng.uniform(0.2, 1.0), rng)) for row in range(count)]
    floors, limits = rng.choice([0.05, 0.3, 0.4, 0.9], count), rng.choice([1, 5, 1000], count)
    asked = [[Query(float(floor), int(limit))] for floor, limit in zip(floors, limits, strict=True)]
    asked[0], asked[1] = [Query(0.2)], [Query(0.3, 2, Among.APPROVED)]
    if count % 2:
        asked[2] = [Query(-1.0, 3)]  # everybody may stand, until a bar is found

    together = gallery.search_many(probes, asked, now=0.0)

    assert together == [gallery.search_all(probe, one, now=0.0) for probe, one in zip(probes, asked, strict=True)]


@pytest.mark.parametrize("products", KERNELS)
def test_many_probes_search_several_chunks_as_each_alone(products: Products | None) -> None:
    rng = np.random.default_rng(35)
    vectors = random_vectors(rng, CHUNK_ROWS + 700, 32)
    flags = np.where(np.arange(len(vectors)) % 40, int(Flag.APPROVED), int(Flag.BLOCKLISTED)).astype(np.uint8)
    gallery, _ = loaded(vectors, flags=flags, products=products)
    rows = np.array([0, 959, 960, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, len(vectors) - 1])
    gallery.forget(1, CHUNK_ROWS + 1)
    probes = [template(near(vectors[row], 0.98, rng)) for row in rows]
    asked = [[Query(0.9, 5)], [Query(-1.0, 3), Query(0.5, 4, Among.BLOCKLISTED), Query(0.7, 2, Among.APPROVED)]]
    questions = [asked[at % 2] for at in range(len(rows))]

    together = gallery.search_many(probes, questions, now=0.0)

    assert together == [gallery.search_all(probe, one, now=0.0) for probe, one in zip(probes, questions, strict=True)]
    assert all(
        row + 1 in [one.subject for one in found[0]] for row, found in zip(rows[1:4], together[1:4], strict=True)
    )


def test_among_many_probes_only_those_that_met_a_reference_gone_from_the_store_search_again() -> None:
    rng = np.random.default_rng(36)
    vectors = random_vectors(rng, 100)
    gallery, shelf = loaded(vectors)
    del shelf.vectors[1003]

    found = gallery.search_many([template(vectors[at]) for at in (2, 3, 4)], [[Query(0.9, 1)]] * 3, now=0.0)

    assert [[one.subject for one in answers[0]] for answers in found] == [[3], [], [5]]


def test_a_large_gallery_of_several_chunks_is_ranked_as_by_a_float32_product() -> None:
    rng = np.random.default_rng(1)
    vectors = np.concatenate([random_vectors(rng, 100_000, 16), clustered_vectors(rng, 40_000, 16)])
    subjects = np.arange(1, len(vectors) + 1)
    gallery, _ = loaded(vectors)

    for floor, limit in itertools.product([-1.0, 0.6, 0.95], [1, 5, 50]):
        probe = near(vectors[rng.integers(len(vectors))], 0.95, rng)
        likely = np.flatnonzero(vectors @ probe >= np.sort(vectors @ probe)[-limit - 5])
        want = oracle(probe, vectors[likely], subjects[likely], floor=floor, limit=limit)
        assert search(gallery, template(probe), floor=floor, limit=limit, now=0.0) == want


def test_scores_are_within_a_millionth_of_a_float32_product() -> None:
    rng = np.random.default_rng(2)
    vectors = clustered_vectors(rng, 2000, 320)
    gallery, _ = loaded(vectors)

    found = search(gallery, template(vectors[3]), floor=-1.0, now=0.0)

    scores = vectors @ vectors[3]
    assert len(found) == len(vectors)
    assert max(abs(one.cosine - float(scores[one.subject - 1])) for one in found) < 1e-6


def test_equal_vectors_tie_in_order_of_enrolment() -> None:
    rng = np.random.default_rng(3)
    vectors = random_vectors(rng, 500)
    vectors[[7, 100, 101, 102, 499]] = vectors[7]
    gallery, _ = loaded(vectors)

    found = search(gallery, template(near(vectors[7], 0.8, rng)), floor=0.5, limit=4, now=0.0)

    assert [one.subject for one in found] == [8, 101, 102, 103]
    assert len({one.cosine for one in found}) == 1


def test_a_person_with_several_references_has_one_row_with_the_best_score() -> None:
    rng = np.random.default_rng(4)
    probe = random_vectors(rng, 1)[0]
    vectors = np.array([near(probe, cosine, rng) for cosine in (0.7, 0.9, 0.8, 0.6)])
    gallery, _ = loaded(vectors, np.array([1, 1, 2, 2]))

    found = search(gallery, template(probe), floor=0.0, limit=5, now=0.0)

    assert [(one.subject, round(one.cosine, 4)) for one in found] == [(1, 0.9), (2, 0.8)]


def test_a_floor_exactly_at_a_score_lets_it_in_and_the_next_float_does_not() -> None:
    rng = np.random.default_rng(5)
    vectors = random_vectors(rng, 300)
    gallery, _ = loaded(vectors)
    best = search(gallery, template(vectors[9]), floor=-1.0, limit=2, now=0.0)[1]

    at = search(gallery, template(vectors[9]), floor=best.cosine, now=0.0)
    above = search(gallery, template(vectors[9]), floor=math.nextafter(best.cosine, 2.0), now=0.0)

    assert best in at
    assert best not in above
    assert len(at) == len(above) + 1


@pytest.mark.parametrize("limit", [None, 0, 1, 5])
def test_an_empty_gallery_finds_nobody(limit: int | None) -> None:
    gallery = Gallery(MODEL, DEPTH, Shelf().exact)
    probe = template(random_vectors(np.random.default_rng(6), 1)[0])

    assert search(gallery, probe, floor=-1.0, limit=limit, now=0.0) == []
    assert (gallery.subjects, gallery.references) == (0, 0)


def test_one_person_is_found_and_a_limit_over_the_gallery_returns_all() -> None:
    gallery, _ = loaded(random_vectors(np.random.default_rng(7), 1))
    probe = template(random_vectors(np.random.default_rng(8), 1)[0])

    assert [one.subject for one in search(gallery, probe, floor=-1.0, limit=1000, now=0.0)] == [1]


def test_a_zero_limit_returns_nobody() -> None:
    gallery, _ = loaded(random_vectors(np.random.default_rng(7), 3))

    assert search(gallery, template(random_vectors(np.random.default_rng(8), 1)[0]), floor=-1.0, limit=0, now=0.0) == []


def test_vectors_a_little_off_unit_length_are_ranked_by_their_product_too() -> None:
    rng = np.random.default_rng(9)
    vectors = clustered_vectors(rng, 800) * rng.uniform(0.9991, 1.0009, (800, 1)).astype(np.float32)
    gallery, _ = loaded(vectors)
    probe = vectors[5] * np.float32(1.0)

    for floor, limit in [(-1.0, 5), (0.9995, None), (-0.2, None)]:
        found = search(gallery, template(probe), floor=floor, limit=limit, now=0.0)
        assert found == oracle(probe, vectors, np.arange(1, 801), floor=floor, limit=limit)


def test_peaked_and_one_hot_vectors_are_ranked_exactly() -> None:
    rng = np.random.default_rng(10)
    vectors = random_vectors(rng, 600)
    vectors[:DEPTH] = np.eye(DEPTH, dtype=np.float32)
    vectors[DEPTH : 2 * DEPTH] += 8 * np.eye(DEPTH, dtype=np.float32)
    vectors = unit(vectors)
    gallery, _ = loaded(vectors)

    for row in (0, 63, 64, 127, 200):
        found = search(gallery, template(vectors[row]), floor=-1.0, limit=10, now=0.0)
        assert found == oracle(vectors[row], vectors, np.arange(1, 601), floor=-1.0, limit=10)


def test_few_rows_are_fetched_from_the_store() -> None:
    rng = np.random.default_rng(11)
    vectors = random_vectors(rng, 20_000, 320)
    gallery, shelf = loaded(vectors)

    search(gallery, template(near(vectors[0], 0.9, rng)), floor=0.4, limit=5, now=0.0)

    assert shelf.fetched <= 3


def test_a_blocklisted_person_behind_five_more_similar_ones_is_found() -> None:
    rng = np.random.default_rng(12)
    probe = random_vectors(rng, 1)[0]
    cosines = (0.9, 0.89, 0.88, 0.87, 0.86, 0.85, 0.5)
    flags = np.array([Flag.APPROVED] * 6 + [Flag.BLOCKLISTED], np.uint8)
    gallery, _ = loaded(np.array([near(probe, cosine, rng) for cosine in cosines]), flags=flags)

    blocklisted, everybody = gallery.search_all(
        template(probe), [Query(0.45, among=Among.BLOCKLISTED), Query(0.4, limit=5)], now=0.0
    )

    assert [one.subject for one in blocklisted] == [7]
    assert [one.subject for one in everybody] == [1, 2, 3, 4, 5]


def test_blocklisted_or_approved_leaves_the_others_out() -> None:
    rng = np.random.default_rng(13)
    probe = random_vectors(rng, 1)[0]
    flags = np.array(
        [Flag.NONE, Flag.APPROVED, Flag.BLOCKLISTED, Flag.APPROVED | Flag.BLOCKLISTED, Flag.ALLOWLISTED], np.uint8
    )
    gallery, _ = loaded(np.array([near(probe, 0.9 - 0.1 * row, rng) for row in range(5)]), flags=flags)

    blocklisted, approved = gallery.search_all(
        template(probe), [Query(0.3, among=Among.BLOCKLISTED), Query(0.3, 5, Among.APPROVED)], now=0.0
    )

    assert [one.subject for one in blocklisted] == [3, 4]
    assert [one.subject for one in approved] == [2]


@pytest.mark.parametrize(
    ("now", "flags", "is_found"),
    [
        pytest.param(99.0, Flag.APPROVED, False, id="before the first day"),
        pytest.param(100.0, Flag.APPROVED, True, id="from the first moment"),
        pytest.param(200.0, Flag.APPROVED, False, id="the last moment is not included"),
        pytest.param(500.0, Flag.BLOCKLISTED, True, id="blocklisted people have no dates"),
    ],
)
def test_dates_bound_who_is_found(now: float, flags: Flag, *, is_found: bool) -> None:
    vector = random_vectors(np.random.default_rng(14), 1)[0]
    shelf = Shelf()
    shelf.vectors[1] = vector
    gallery = Gallery(MODEL, DEPTH, shelf.exact)

    gallery.enrol(Person(1, flags, 100.0, 200.0), [1], [template(vector)])

    assert bool(search(gallery, template(vector), floor=0.5, now=now)) is is_found


def test_enrol_block_unblock_and_forget_are_seen_by_the_next_search() -> None:
    rng = np.random.default_rng(15)
    vectors = random_vectors(rng, 50)
    gallery, shelf = loaded(vectors)
    newcomer = random_vectors(rng, 1)[0]
    shelf.vectors[5000] = newcomer

    def found(among: Among) -> list[int]:
        return [one.subject for one in search(gallery, template(newcomer), floor=0.9, now=0.0, among=among)]

    gallery.enrol(Person(51), [5000], [template(newcomer)])
    assert (found(Among.EVERYBODY), found(Among.BLOCKLISTED)) == ([51], [])
    gallery.enrol(Person(51, Flag.BLOCKLISTED), [], [])
    assert (found(Among.APPROVED), found(Among.BLOCKLISTED)) == ([], [51])
    gallery.enrol(Person(51), [], [])
    assert (found(Among.APPROVED), found(Among.BLOCKLISTED)) == ([51], [])
    assert gallery.forget(51, 51, 999) == 1
    assert (found(Among.EVERYBODY), gallery.person(51), gallery.subjects, gallery.references) == ([], None, 50, 50)


def test_a_person_gets_further_references_and_may_lose_one() -> None:
    rng = np.random.default_rng(16)
    vectors = random_vectors(rng, 3)
    gallery, shelf = loaded(vectors)
    other = random_vectors(rng, 1)[0]
    shelf.vectors[7] = other
    gallery.enrol(Person(2, Flag.BLOCKLISTED), [7], [template(other)])

    assert [one.subject for one in search(gallery, template(other), floor=0.9, now=0.0)] == [2]
    assert [one.subject for one in search(gallery, template(vectors[1]), floor=0.9, now=0.0)] == [2]
    assert gallery.withdraw(2, 1001)
    assert not gallery.withdraw(2, 1001)
    assert search(gallery, template(vectors[1]), floor=0.9, now=0.0) == []
    found = search(gallery, template(other), floor=0.9, now=0.0, among=Among.BLOCKLISTED)
    assert [one.subject for one in found] == [2]


def test_forget_leaves_no_byte_of_the_code_in_memory() -> None:
    rng = np.random.default_rng(17)
    vectors = random_vectors(rng, 200)
    gallery, _ = loaded(vectors)
    chunk = gallery.snapshot.chunks[0]
    assert chunk is not None
    np.testing.assert_array_equal(chunk.codes[:, 41], encode(vectors[41:42]).codes[0])

    gallery.forget(42)

    assert not chunk.codes[:, 41].any()
    assert chunk.centred[41] == 0
    assert chunk.codes[:, 40].any()
    assert chunk.codes[:, 42].any()


def test_codes_that_moved_into_a_larger_room_are_zeroed_where_they_lay() -> None:
    chunk = Chunk(DEPTH)
    coded = encode(random_vectors(np.random.default_rng(34), FIRST_ROWS))
    chunk.put(0, coded.codes, coded.inverse)
    small = chunk.codes
    room = small.base
    assert isinstance(room, np.ndarray)
    chunk.put(FIRST_ROWS, coded.codes[:1], coded.inverse[:1])
    np.testing.assert_array_equal(small, chunk.codes[:, :FIRST_ROWS])  # a search that began before still reads them

    del small

    assert not room.any()
    np.testing.assert_array_equal(chunk.codes[:, : FIRST_ROWS + 1].T, np.vstack([coded.codes, coded.codes[:1]]))


def test_a_forgotten_subject_can_be_enrolled_again() -> None:
    rng = np.random.default_rng(18)
    vectors = random_vectors(rng, 10)
    gallery, _ = loaded(vectors)
    gallery.forget(3)

    gallery.enrol(Person(3), [1002], [template(vectors[2])])

    assert [one.subject for one in search(gallery, template(vectors[2]), floor=0.9, now=0.0)] == [3]
    assert gallery.subjects == 10


def test_a_reference_gone_from_the_store_but_not_yet_from_the_gallery_is_left_out() -> None:
    rng = np.random.default_rng(19)
    probe = random_vectors(rng, 1)[0]
    vectors = np.array([near(probe, 0.95 - 0.01 * row, rng) for row in range(40)])
    gallery, shelf = loaded(vectors)
    for row in (0, 2, 3):
        del shelf.vectors[1000 + row]

    found = search(gallery, template(probe), floor=0.1, limit=5, now=0.0)

    assert [one.subject for one in found] == [2, 5, 6, 7, 8]


def test_a_forget_in_the_middle_of_a_search_makes_it_start_again() -> None:
    rng = np.random.default_rng(20)
    probe = random_vectors(rng, 1)[0]
    gallery, shelf = loaded(np.array([near(probe, 0.95 - 0.01 * row, rng) for row in range(40)]))
    plain = shelf.exact

    def forgetting(references: NDArray[np.int64]) -> Floats:
        vectors = plain(references)
        gallery.forget(2)
        return vectors

    gallery.exact = forgetting

    found = search(gallery, template(probe), floor=0.1, limit=3, now=0.0)

    assert [one.subject for one in found] == [1, 3, 4]


def test_a_mostly_forgotten_chunk_is_given_back_and_the_rest_stays_found() -> None:
    rng = np.random.default_rng(21)
    depth = 16
    count = CHUNK_ROWS + 5000
    vectors = random_vectors(rng, count, depth)
    subjects = np.arange(count) // 2 + 1
    flags = np.zeros(int(subjects[-1]), np.uint8)
    flags[5::1000] = Flag.BLOCKLISTED
    gallery, _ = loaded(vectors, subjects, flags=flags)
    first = gallery.snapshot.chunks[0]
    forgotten = np.setdiff1d(np.arange(1, CHUNK_ROWS // 2 + 1), np.arange(1, CHUNK_ROWS, 3))

    gallery.forget(*forgotten.tolist())

    assert gallery.snapshot.chunks[0] is None
    assert first is not None
    keep = ~np.isin(subjects, forgotten)
    assert gallery.references == keep.sum()
    for row in np.flatnonzero(keep)[::9001]:
        want = oracle(vectors[row], vectors[keep], subjects[keep], floor=0.8, limit=5)
        assert search(gallery, template(vectors[row]), floor=0.8, limit=5, now=0.0) == want
    listed = np.isin(subjects, np.flatnonzero(flags) + 1) & keep
    want = oracle(vectors[0], vectors[listed], subjects[listed], floor=-1.0, limit=None)
    assert search(gallery, template(vectors[0]), floor=-1.0, now=0.0, among=Among.BLOCKLISTED) == want
    assert gallery.forget(*subjects[keep].tolist()) == len(np.unique(subjects[keep]))
    assert (gallery.subjects, gallery.references) == (0, 0)


def test_templates_of_two_models_never_compare() -> None:
    gallery, _ = loaded(random_vectors(np.random.default_rng(22), 3))
    other = Template(random_vectors(np.random.default_rng(23), 1)[0], "b" * 64)

    with pytest.raises(ModelMismatchError, match="bbbb"):
        search(gallery, other, floor=0.0, now=0.0)
    with pytest.raises(ModelMismatchError, match="enrol again"):
        gallery.enrol(Person(9), [1], [other])


def test_a_refused_enrolment_changes_nothing() -> None:
    rng = np.random.default_rng(24)
    vectors = random_vectors(rng, 5)
    gallery, _ = loaded(vectors)
    before = gallery.snapshot

    with pytest.raises(ValueError, match="above 5"):
        gallery.enrol(Person(0), [1], [template(vectors[0])])
    with pytest.raises(ValueError, match="reference id for each"):
        gallery.enrol(Person(6), [1, 2], [template(vectors[0])])
    with pytest.raises(ValueError, match="empty gallery"):
        gallery.load(People(*(np.zeros(0) for _ in range(4))), [])  # type: ignore[arg-type]

    assert gallery.snapshot is before


def test_a_vector_without_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="no direction"):
        encode(np.zeros((2, 8), np.float32))
    with pytest.raises(ValueError, match="no direction"):
        encode(np.full((1, 8), np.nan, np.float32))


@pytest.mark.parametrize("kind", [random_vectors, clustered_vectors])
def test_no_estimate_is_further_from_its_score_than_the_bound_allows(kind) -> None:
    rng = np.random.default_rng(25)
    vectors = kind(rng, 400, 192) * rng.uniform(0.9991, 1.0009, (400, 1)).astype(np.float32)
    coded = encode(vectors)
    estimates = (coded.codes.astype(np.float32) @ coded.codes.T.astype(np.float32)) * coded.inverse
    estimates *= coded.inverse[:, None]
    scores = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    bound = Bound(2 * coded.slant, coded.shortest**2, coded.longest**2)

    for estimate, score in zip(estimates.ravel()[::7].tolist(), scores.ravel()[::7].tolist(), strict=True):
        assert estimate >= bound.least_estimate(score)
        assert score >= bound.least_score(estimate)


@pytest.mark.parametrize("depth", [1, 15, 64, 128, 322, 1024])
def test_the_fastest_kernel_gives_numpys_numbers_to_the_last_bit(depth: int) -> None:
    rng = np.random.default_rng(26)
    codes = rng.integers(-127, 128, (depth, 333)).astype(np.int8)
    codes[:, :2] = [127, -127]
    for count in (1, 3, 64):
        probes = rng.integers(-PROBE_MOST, PROBE_MOST + 1, (count, depth)).astype(np.int8)
        probes[0] = PROBE_MOST if count > 1 else -PROBE_MOST
        one, other = np.empty((2, count, 333), np.int32)

        fastest_products().whole(probes, codes, centred_sums(codes.T), one)
        numpy_products.whole(probes, codes, centred_sums(codes.T), other)

        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, probes.astype(np.int64) @ codes.astype(np.int64))
        factors = rng.uniform(0.0, 0.004, 333).astype(np.float32)
        for kernel in (fastest_products(), numpy_products):
            shares = np.empty(one.shape, np.float32)
            kernel.scaled(probes, codes, factors, shares)
            np.testing.assert_array_equal(shares, np.multiply(one, factors, dtype=np.float32))


def test_the_kernel_here_is_not_numpys_as_onnxruntime_is_installed() -> None:
    assert fastest_products() is not numpy_products


def test_a_kernel_that_saturates_in_sixteen_bits_is_not_trusted() -> None:
    def saturating(probes: Codes, codes: Codes, centred: Sums, out: Sums) -> None:
        wide = (probes.astype(np.int32) + 64) * 2  # an eighth bit
        for row in range(len(probes)):
            pairs = (wide[row][:, None] * codes).reshape(-1, 2, codes.shape[1]).sum(axis=1)
            out[row] = np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=0) // 2 - centred

    def scaling(probes: Codes, codes: Codes, factors: Floats, out: Floats) -> None:
        sums = np.empty(out.shape, np.int32)
        saturating(probes, codes, centred_sums(codes.T), sums)
        np.multiply(sums, factors, out=out, dtype=np.float32)

    assert counts_right(numpy_products)
    assert not counts_right(Products(saturating, numpy_products.scaled))
    assert not counts_right(Products(numpy_products.whole, scaling))


def test_the_bytes_of_a_row_and_a_person_are_those_of_their_columns() -> None:
    chunk, page = Chunk(DEPTH), Page()

    columns = ("centred", "inverse", "owner", "reference", "later")
    assert sum(getattr(chunk, name).itemsize for name in columns) == ROW_BYTES
    dates = ("valid_from", "valid_until")
    assert sum(getattr(page, name).itemsize for name in Page.__slots__ if name not in dates) == PERSON_BYTES
    assert sum(getattr(page, name).itemsize for name in dates) == DATES_BYTES


def test_memory_stays_under_a_third_of_the_float32_matrix() -> None:
    rng = np.random.default_rng(27)
    for depth in (128, 192, 320):
        gallery, _ = loaded(random_vectors(rng, 3000, depth))

        assert gallery.resident_bytes <= 3000 * depth * 4 / 3


@pytest.mark.parametrize("products", [pytest.param(numpy_products, id="numpy"), pytest.param(None, id="fastest here")])
@pytest.mark.parametrize("floor", [-1.0, 0.3, 0.97])
def test_an_audit_finds_every_pair_of_different_people_and_no_other(products: Products | None, floor: float) -> None:
    rng = np.random.default_rng(29)
    count = 150 if floor < 0 else 1300
    vectors = clustered_vectors(rng, count, centres=40)
    subjects = np.sort(rng.integers(1, count, count))
    gallery, _ = loaded(vectors, subjects)
    gallery.forget(int(subjects[3]), int(subjects[-1]))
    live = np.flatnonzero(~np.isin(subjects, subjects[[3, -1]]))

    found = list(pairs_above(gallery, floor, products=products))

    scores = (vectors[live].astype(np.float64) @ vectors[live].T.astype(np.float64)).astype(np.float32)
    one, other = np.nonzero(
        np.triu(scores.astype(np.float64) >= floor, 1) & (subjects[live][:, None] != subjects[live])
    )
    assert {(pair.reference, pair.other_reference) for pair in found} == {
        (1000 + live[a], 1000 + live[b]) for a, b in zip(one, other, strict=True)
    }
    assert len(found) == len(one)
    assert all(pair.subject == subjects[pair.reference - 1000] < pair.other for pair in found)


def test_an_audit_leaves_out_who_was_forgotten_meanwhile() -> None:
    rng = np.random.default_rng(30)
    vectors = random_vectors(rng, 20)
    vectors[7] = vectors[3]
    vectors[9] = vectors[5]
    gallery, shelf = loaded(vectors)
    del shelf.vectors[1003]

    assert [(pair.subject, pair.other) for pair in pairs_above(gallery, 0.9)] == [(6, 10)]


def test_a_reference_unlike_its_own_person_is_an_outlier() -> None:
    rng = np.random.default_rng(31)
    vectors = random_vectors(rng, 6)
    vectors[1] = near(vectors[0], 0.9, rng)
    vectors[4] = near(vectors[3], 0.8, rng)
    gallery, _ = loaded(vectors, np.array([1, 1, 1, 2, 2, 3]))

    found = list(outliers(gallery, 0.7))

    assert [(one.subject, one.reference) for one in found] == [(1, 1002)]
    assert [(one.subject, one.reference) for one in outliers(gallery, 0.85)] == [(1, 1002), (2, 1003), (2, 1004)]
    assert list(outliers(Gallery(MODEL, DEPTH, Shelf().exact), 0.7)) == []


def test_expected_false_positives_and_fpir_agree_where_both_are_small() -> None:
    assert expected_false_positives(1e-12, 1000) == pytest.approx(1e-9)
    assert fpir(1e-12, 1000) == pytest.approx(1e-9, rel=1e-6)
    assert fpir(1e-6, 0) == 0.0
    assert fpir(1.0, 3) == 1.0
    assert fmr_for_fpir(fpir(3e-8, 1_000_000), 1_000_000) == pytest.approx(3e-8)
    assert fmr_for_fpir(0.5, 0) == 1.0


def lists_of(state: dict[int, tuple[float, Flag]], leaving_out: set[int]) -> list[list[Candidate]]:
    """Rank a state: the blocklisted, and the best five of all."""
    ranked = sorted(state.keys() - leaving_out, key=lambda subject: (-state[subject][0], subject))
    listed = [Candidate(one, state[one][0]) for one in ranked if state[one][1] & Flag.BLOCKLISTED]
    return [listed, [Candidate(one, state[one][0]) for one in ranked][:5]]


def test_every_search_among_changes_answers_from_a_state_of_that_time() -> None:
    rng = np.random.default_rng(28)
    probe = random_vectors(rng, 1)[0]
    gallery, shelf = loaded(random_vectors(rng, 3000))
    live: dict[int, tuple[float, Flag]] = {}
    states: list[dict[int, tuple[float, Flag]]] = [{}]
    departed: list[set[int]] = [set()]  # who is forgotten by the change that leads to each state
    faults: list[str] = []
    searches = 0
    stop = threading.Event()

    def changes_to(leaver: int | None = None) -> None:
        departed.append(set() if leaver is None else {leaver})
        states.append(dict(live))

    def read() -> None:
        nonlocal searches
        while not stop.is_set():
            first = len(states) - 1
            got = gallery.search_all(template(probe), [Query(0.6, among=Among.BLOCKLISTED), Query(0.6, 5)], now=0.0)
            searches += 1
            window = states[max(0, first - 1) :]
            missing = set().union(*departed[first:]) - {one.subject for ranked in got for one in ranked}
            if not any(got in (lists_of(state, set()), lists_of(state, missing)) for state in window):
                faults.append(f"{got} answers none of {len(window)} states")

    readers = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    for subject in range(4001, 4401):
        vector = near(probe, float(rng.uniform(0.65, 0.99)), rng)
        shelf.vectors[subject] = vector
        score = float(np.float32((vector.astype(np.float64) * probe.astype(np.float64)).sum()))
        live[subject] = (score, Flag.APPROVED)
        changes_to()
        gallery.enrol(Person(subject), [subject], [template(vector)])
        if subject % 3 == 0:
            live[subject] = (score, Flag.BLOCKLISTED)
            changes_to()
            gallery.enrol(Person(subject, Flag.BLOCKLISTED), [], [])
        if len(live) > 7:
            leaver = int(rng.choice(list(live)))
            del live[leaver]
            changes_to(leaver)
            del shelf.vectors[leaver]
            gallery.forget(leaver)
    until(lambda: searches > len(readers))  # a busy machine runs one thread for long
    stop.set()
    for reader in readers:
        reader.join()

    assert faults == []

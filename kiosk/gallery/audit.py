"""The gallery against itself: people who may be one and the same, and references unlike their own person.

All pairs go through int8 codes in blocks, by the bound of `codes.py`; pairs that may reach the floor are scored from
the float32 vectors. So the list is exact, as a search's is, of the snapshot taken at the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.codes import CHUNK_SHIFT, COSINE_GUARD, EXTREME_CODES, Bound, Codes
from kiosk.gallery.gallery import Gallery
from kiosk.gallery.search import Exact
from kiosk.gallery.snapshot import Rows, Snapshot
from kiosk.types import Floats, SubjectId

Products: TypeAlias = Callable[[Codes], Callable[[Codes], NDArray[Any]]]
"""Codes (M, D) int8 -> a function from codes (K, D) to the (K, M) whole numbers between them."""

_WIDTH = 1024  # with _HEIGHT: the products of two blocks stay in a 2 MB cache
_HEIGHT = 512
_SPAN = 8 * _WIDTH  # so many rows packed at a time, that reading the others is a small part of the work
_FETCH = 2048


@dataclass(frozen=True, slots=True)
class Pair:
    """Two references of different people; `subject` enrolled before `other`."""

    subject: SubjectId
    other: SubjectId
    reference: int
    other_reference: int
    cosine: float


@dataclass(frozen=True, slots=True)
class Outlier:
    """A reference unlike its own person: its best cosine with the person's others."""

    subject: SubjectId
    reference: int
    cosine: float


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Some live rows, read out of the gallery."""

    rows: Rows
    owners: NDArray[np.int32]
    codes: Codes
    inverse: Floats


def pairs_above(gallery: Gallery, floor: float, *, products: Products | None = None) -> Iterator[Pair]:
    """Yield pairs of references of different people at or above `floor`, block by block, not ranked.

    Dates and flags do not matter here: a blocklisted person enrolled twice is worth knowing. N references make N^2 / 2
    products, so ten times the people take a hundred times as long.

    Args:
        gallery: changes during the audit are not seen, but people forgotten meanwhile are left out.
        floor: cosine.
        products: the int8 kernel; the fastest there is when left out.
    """
    products = fastest_products() if products is None else products
    snapshot = gallery.snapshot
    least = Bound(2 * snapshot.slant, snapshot.shortest**2, snapshot.longest**2).least_estimate(floor)
    rows = _live_rows(snapshot)
    for start in range(0, len(rows), _SPAN):
        wides = [
            _read(snapshot, rows[begin : begin + _WIDTH])
            for begin in range(start, min(start + _SPAN, len(rows)), _WIDTH)
        ]
        times = [products(wide.codes) for wide in wides]
        for later in range(start, len(rows), _HEIGHT):
            tall = _read(snapshot, rows[later : later + _HEIGHT])
            for wide, multiply in zip(wides, times, strict=True):
                if len(wide.rows) and len(tall.rows) and tall.rows[-1] > wide.rows[0]:
                    one, other = _likely(tall, wide, multiply(tall.codes), least)
                    yield from _scored(gallery, snapshot, one, other, floor)


def outliers(gallery: Gallery, floor: float) -> Iterator[Outlier]:
    """Yield references whose best cosine with their own person's other references is below `floor`, by person.

    A person with one reference has no outlier. Of two that disagree, both are named: nobody knows which is wrong.
    """
    snapshot = gallery.snapshot
    rows = _live_rows(snapshot)
    if not len(rows):
        return
    owners = snapshot.column("owner", rows)
    order = np.argsort(owners, kind="stable")
    rows, owners = rows[order], owners[order]
    bounds = [*np.flatnonzero(np.diff(owners, prepend=-1)).tolist(), len(rows)]
    people = [(start, end) for start, end in pairwise(bounds) if end - start > 1]
    done = 0
    while done < len(people):
        batch = [people[done]]
        while done + len(batch) < len(people) and people[done + len(batch)][1] - batch[0][0] <= _FETCH:
            batch.append(people[done + len(batch)])
        done += len(batch)
        picked = np.concatenate([np.arange(start, end) for start, end in batch])
        vectors = _fetch(gallery.exact, snapshot, rows[picked])
        references = snapshot.column("reference", rows[picked])
        subjects = snapshot.person_column("subject", owners[picked])
        first = 0
        for start, end in batch:
            own = slice(first, first + end - start)
            first = own.stop
            cosines = vectors[own] @ vectors[own].T
            np.fill_diagonal(cosines, -np.inf)
            cosines[np.isnan(cosines)] = -np.inf
            best = cosines.max(axis=1)
            for at in np.flatnonzero((best < floor) & (best > -np.inf)).tolist():
                yield Outlier(int(subjects[own][at]), int(references[own][at]), float(np.float32(best[at])))


def _live_rows(snapshot: Snapshot) -> Rows:
    rows = [np.zeros(0, np.int64)]
    for number, used, chunk in snapshot.parts():
        rows.append((number << CHUNK_SHIFT) + np.flatnonzero(chunk.owner[:used] >= 0))
    return np.concatenate(rows)


def _read(snapshot: Snapshot, rows: Rows) -> _Block:
    owners = snapshot.column("owner", rows)
    inverse = snapshot.column("inverse", rows)
    codes = np.hstack([snapshot.column("lead", rows), snapshot.column("rest", rows)])
    keep = (owners >= 0) & (inverse > 0)  # some may have been wiped since
    return _Block(rows[keep], owners[keep], codes[keep], inverse[keep])


def _least_product(least: float, one: Floats, other: Floats) -> int:
    """Return the whole number that codes of these lengths reach if their estimate reaches `least`."""
    if least > 0:
        product = least / (float(one.max()) * float(other.max())) * (1 - COSINE_GUARD)
    else:
        product = least / (float(one.min()) * float(other.min())) * (1 + COSINE_GUARD)
    return max(math.floor(product), -(2**30)) if product > -math.inf else -(2**30)


def _likely(tall: _Block, wide: _Block, sums: NDArray[Any], least: float) -> tuple[Rows, Rows]:
    """Return the pairs of rows, the later one first, whose estimate is at least `least`."""
    hits = np.flatnonzero(sums >= _least_product(least, tall.inverse, wide.inverse))
    at, to = np.divmod(hits, len(wide.rows))
    estimates = sums.ravel()[hits].astype(np.float64) * tall.inverse[at] * wide.inverse[to]
    # both orders of a pair meet where the blocks overlap; one is enough
    keep = (estimates >= least) & (tall.rows[at] > wide.rows[to]) & (tall.owners[at] != wide.owners[to])
    return tall.rows[at[keep]], wide.rows[to[keep]]


def _scored(gallery: Gallery, snapshot: Snapshot, tall: Rows, wide: Rows, floor: float) -> Iterator[Pair]:
    """Score pairs of rows from their float32 vectors and yield those at or above the floor."""
    for begin in range(0, len(tall), _FETCH):
        one, other = tall[begin : begin + _FETCH], wide[begin : begin + _FETCH]
        rows, places = np.unique(np.concatenate([one, other]), return_inverse=True)
        vectors = _fetch(gallery.exact, snapshot, rows)
        first, second = places[: len(one)], places[len(one) :]
        scores = (vectors[first] * vectors[second]).sum(axis=1).astype(np.float32)
        references = snapshot.column("reference", rows)
        subjects = snapshot.person_column("subject", snapshot.column("owner", rows))
        for at in np.flatnonzero(scores.astype(np.float64) >= floor).tolist():
            ends = sorted((int(subjects[end[at]]), int(references[end[at]])) for end in (first, second))
            (subject, reference), (other_subject, other_reference) = ends
            yield Pair(subject, other_subject, reference, other_reference, float(scores[at]))


def _fetch(exact: Exact, snapshot: Snapshot, rows: Rows) -> NDArray[np.float64]:
    """Fetch the vectors of rows, NaN where they are gone."""
    return exact(snapshot.column("reference", rows)).astype(np.float64)


def numpy_products(wide: Codes) -> Callable[[Codes], NDArray[Any]]:
    """Multiply codes with codes in float32, which holds the whole numbers exactly."""
    turned = wide.T.astype(np.float32)
    return lambda tall: tall.astype(np.float32) @ turned


def fastest_products() -> Products:
    """Return NumKong's matrix kernel where it is installed and counts right, else NumPy's; the numbers are the same."""
    try:
        import numkong  # noqa: PLC0415  optional: see matrix.fastest_dots
    except ImportError:
        return numpy_products

    def numkong_products(wide: Codes) -> Callable[[Codes], NDArray[Any]]:
        packed = numkong.dots_pack(np.ascontiguousarray(wide))
        return lambda tall: np.asarray(numkong.dots_packed(np.ascontiguousarray(tall), packed))

    extreme = EXTREME_CODES
    right = np.array_equal(numkong_products(extreme)(extreme), numpy_products(extreme)(extreme))
    return numkong_products if right else numpy_products

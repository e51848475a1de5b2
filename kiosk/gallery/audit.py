"""The gallery against itself: people who may be one and the same, and references unlike their own person.

Each reference is a probe against those enrolled before it, many at a time, by the bound of `codes.py`; pairs that may
reach the floor are scored from the float32 vectors. So the list is exact, as a search's is, of the snapshot taken at
the start.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.codes import CHUNK_SHIFT, COSINE_GUARD, Bound, encode
from kiosk.gallery.gallery import Gallery
from kiosk.gallery.products import PROBE_MOST, Products
from kiosk.gallery.search import TOGETHER, Exact
from kiosk.gallery.snapshot import Rows, Snapshot
from kiosk.types import Floats, SubjectId

_TINY = 1e-30
_LARGE = 2.0**30
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


def pairs_above(gallery: Gallery, floor: float, *, products: Products | None = None) -> Iterator[Pair]:
    """Yield pairs of references of different people at or above `floor`, block by block, not ranked.

    Dates and flags do not matter here: a blocklisted person enrolled twice is worth knowing. N references make N^2 / 2
    products, so ten times the people take a hundred times as long.

    Args:
        gallery: changes during the audit are not seen, but people forgotten meanwhile are left out.
        floor: cosine.
        products: the int8 kernel; the fastest there is when left out.
    """
    products = gallery.products if products is None else products
    snapshot = gallery.snapshot
    rows = _live_rows(snapshot)
    for start in range(0, len(rows), TOGETHER):
        part = rows[start : start + TOGETHER]
        vectors = gallery.exact(snapshot.column("reference", part))
        there = ~np.isnan(vectors).any(axis=1)
        if there.any():
            for one, other in _likely(snapshot, part[there], vectors[there], floor, products):
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


def _likely(
    snapshot: Snapshot, rows: Rows, vectors: Floats, floor: float, products: Products
) -> Iterator[tuple[Rows, Rows]]:
    """Yield the pairs of some rows with earlier ones whose estimate leaves them a chance, chunk by chunk."""
    coded = encode(vectors, PROBE_MOST)
    bound = Bound(snapshot.slant + coded.slant, snapshot.shortest * coded.shortest, snapshot.longest * coded.longest)
    least = bound.least_estimate(floor)
    owners = snapshot.column("owner", rows)
    for number, used, chunk in snapshot.parts():
        first = number << CHUNK_SHIFT
        if first >= rows[-1]:
            return
        codes, inverse = chunk.codes, chunk.inverse
        sums = np.empty((len(rows), codes.shape[1]), np.int32)
        products.whole(coded.codes, codes, chunk.centred[: codes.shape[1]], sums)
        most = coded.inverse * (chunk.most_inverse if least > 0 else float(inverse[:used].min(initial=1.0)))
        enough = np.clip(least / np.maximum(most, _TINY) * (1 - math.copysign(COSINE_GUARD, least)), -_LARGE, _LARGE)
        hits = np.flatnonzero(sums[:, :used] >= np.floor(enough).astype(np.int32)[:, None])
        at, to = np.divmod(hits, used)
        estimates = sums[at, to] * inverse[to].astype(np.float64) * coded.inverse[at]
        theirs = chunk.owner[to]
        keep = (estimates >= least) & (to + first < rows[at]) & (theirs >= 0) & (theirs != owners[at])
        if keep.any():
            yield rows[at[keep]], to[keep] + first


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

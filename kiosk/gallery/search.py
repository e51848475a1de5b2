"""One search: a probe, a snapshot of the gallery, and the few rows that have to be fetched.

`codes.py` says why an int8 pass loses nobody. All codes give an estimate each; rows that cannot reach the bar (the
floor, or what the best `limit` people surely have) fall away; the rest are estimated again with the float32 probe; what
still stands is scored from the float32 vectors, which `exact` fetches from the store.

Scores: the float32 vectors' dot product, summed in double, rounded once to float32. So equal vectors score equal in
whatever row they lie, and ties keep the order of enrolment.

What a search may meet while people change is said in `gallery.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.codes import CHUNK_ROWS, CHUNK_SHIFT, Bound, Chunk, Dots, encode
from kiosk.types import Candidate, Floats

Rows: TypeAlias = NDArray[np.int64]  # chunk number * CHUNK_ROWS + place in the chunk
Exact: TypeAlias = Callable[[NDArray[np.int64]], Floats]
"""Reference ids (K,) -> their vectors (K, D) float32, in that order; a row of NaN for one that is gone."""

PAGE_PEOPLE = 4096
PERSON_BYTES = 13  # in a page: subject, first and flags
DATES_BYTES = 16  # more, in a page where anybody has a first or last day
DATED = 64  # beside Flag in a page: the person has a first or last day
_TINY = 1e-30  # an empty chunk has no largest factor
_BELOW = 1.0 - 1e-5  # float32 rounds a product by less
_FEW = 64  # looked up one by one
_CROWD = 2048  # so many rows standing make it worth finding a higher bar
_BLOCK_ROWS = 32768
_DENSE = 64  # where one row in so many passes on its leading part, reading all the rest in order is quicker
_FIRST_FETCH = 16  # fetched before the bar is known exactly; a fetch costs the store some 10 us a row


class Flag(IntFlag):
    """What the store says of a person."""

    NONE = 0
    BLOCKLISTED = 1
    ALLOWLISTED = 2
    APPROVED = 4
    FORGOTTEN = 128


class Among(Enum):
    """Who may be returned. Dates count for everybody but the blocklisted, who are always searched."""

    EVERYBODY = "everybody"
    BLOCKLISTED = "blocklisted"
    APPROVED = "approved"  # and not blocklisted
    EVER = "ever"  # everybody, whatever their dates: who is known from tomorrow on is known


@dataclass(frozen=True, slots=True)
class Query:
    """One question about a probe."""

    floor: float  # cosine; people at it or above are returned
    limit: int | None = None  # None: all of them
    among: Among = Among.EVERYBODY


_FROM_EVER, _FOR_EVER = np.full(PAGE_PEOPLE, -np.inf), np.full(PAGE_PEOPLE, np.inf)
_FROM_EVER.flags.writeable = _FOR_EVER.flags.writeable = False


class Page:
    """PAGE_PEOPLE people. `subject` and `first` are shared by all copies of a page, the rest is copied on change.

    Few people have dates: pages without any share two columns of infinities.
    """

    __slots__ = ("first", "flags", "subject", "valid_from", "valid_until")

    def __init__(self) -> None:
        self.subject = np.zeros(PAGE_PEOPLE, np.int64)
        self.first = np.full(PAGE_PEOPLE, -1, np.int32)  # the person's newest row; only the writer reads it
        self.flags = np.zeros(PAGE_PEOPLE, np.uint8)
        self.valid_from, self.valid_until = _FROM_EVER, _FOR_EVER

    @property
    def has_dates(self) -> bool:
        """Whether the page has columns of dates of its own."""
        return self.valid_from is not _FROM_EVER

    def give_dates(self) -> None:
        """Make room for dates."""
        if not self.has_dates:
            self.valid_from, self.valid_until = self.valid_from.copy(), self.valid_until.copy()

    def set(self, at: int, flags: int, valid_from: float, valid_until: float) -> None:
        """Write one person's flags and dates."""
        is_dated = valid_from > -math.inf or valid_until < math.inf
        self.flags[at] = int(flags) | (DATED if is_dated else 0)
        if is_dated or self.has_dates:
            self.give_dates()
            self.valid_from[at], self.valid_until[at] = valid_from, valid_until

    def copy(self) -> Page:
        """Return a page that can be written without older snapshots noticing."""
        page = Page.__new__(Page)
        page.subject, page.first = self.subject, self.first
        page.flags, page.valid_from, page.valid_until = self.flags.copy(), self.valid_from, self.valid_until
        if self.has_dates:
            page.valid_from, page.valid_until = self.valid_from.copy(), self.valid_until.copy()
        return page


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What one search sees."""

    chunks: tuple[Chunk | None, ...] = ()  # all full but the last; None: given back
    tail: int = 0  # rows used of the last chunk
    pages: tuple[Page, ...] = ()
    people: int = 0  # persons known, also forgotten ones
    subjects: int = 0  # persons not forgotten
    references: int = 0  # rows not wiped
    blocklisted: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    slant: float = 0.0
    shortest: float = 1.0
    longest: float = 1.0
    wipes: int = 0  # grows with every forget

    def parts(self) -> Iterator[tuple[int, int, Chunk]]:
        """Yield number, used rows and chunk of each chunk there is."""
        last = len(self.chunks) - 1
        for number, chunk in enumerate(self.chunks):
            if chunk is not None:
                yield number, self.tail if number == last else CHUNK_ROWS, chunk

    def blocks(self) -> Iterator[tuple[int, slice, Chunk]]:
        """Yield the rows in pieces whose estimates stay in cache: number of the first row, where they lie, chunk."""
        for number, used, chunk in self.parts():
            for start in range(0, used, _BLOCK_ROWS):
                yield (number << CHUNK_SHIFT) + start, slice(start, min(start + _BLOCK_ROWS, used)), chunk

    def column(self, name: str, rows: Rows) -> NDArray[Any]:
        """Gather a chunk column for some rows, at least one."""
        if len(rows) <= _FEW:
            columns = [getattr(self.chunks[row >> CHUNK_SHIFT], name) for row in rows.tolist()]
            ats = (rows & (CHUNK_ROWS - 1)).tolist()
            return np.array([column[at] for column, at in zip(columns, ats, strict=True)], columns[0].dtype)
        numbers = rows >> CHUNK_SHIFT
        bounds = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(rows)]
        return np.concatenate(
            [
                getattr(self.chunks[numbers[start]], name)[rows[start:end] & (CHUNK_ROWS - 1)]
                for start, end in pairwise(bounds)
            ]
        )

    def person_column(self, name: str, people: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Gather a person column."""
        if len(people) <= _FEW:
            pages = [(getattr(self.pages[one // PAGE_PEOPLE], name), one % PAGE_PEOPLE) for one in people.tolist()]
            return np.array([column[at] for column, at in pages])
        numbers, at = np.divmod(people, PAGE_PEOPLE)
        order = np.argsort(numbers, kind="stable")
        bounds = [*np.flatnonzero(np.diff(numbers[order], prepend=-1)).tolist(), len(order)]
        out = np.empty(len(people), getattr(self.pages[0], name).dtype)
        for start, end in pairwise(bounds):
            here = order[start:end]
            out[here] = getattr(self.pages[int(numbers[here[0]])], name)[at[here]]
        return out

    def is_among(self, owners: NDArray[np.int32], among: Among, now: float) -> NDArray[np.bool_]:
        """Say of each row whether its owner may be returned."""
        fits: NDArray[np.bool_] = (owners >= 0) & (owners < self.people)  # -1: wiped meanwhile
        flags = np.zeros(len(owners), np.uint8)
        flags[fits] = self.person_column("flags", owners[fits])
        fits &= (flags & Flag.FORGOTTEN) == 0
        is_listed = (flags & Flag.BLOCKLISTED) != 0
        if among is Among.BLOCKLISTED:
            fits &= is_listed
            return fits
        if among is Among.APPROVED:
            fits &= ~is_listed & ((flags & Flag.APPROVED) != 0)
        if among is Among.EVER:
            return fits
        dated = np.flatnonzero(fits & ~is_listed & ((flags & DATED) != 0))
        if len(dated):
            begin, end = (self.person_column(name, owners[dated]) for name in ("valid_from", "valid_until"))
            fits[dated] = (begin <= now) & (now < end)
        return fits


class GoneError(Exception):
    """The store no longer has some rows which the gallery still shows."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(f"{len(rows)} rows are gone")
        self.rows = rows


@dataclass(frozen=True, slots=True, eq=False)
class _Standing:
    """Rows that may still be returned: whose they are, and their estimates."""

    rows: Rows
    owners: NDArray[np.int32]
    estimates: NDArray[Any]

    def kept(self, keep: NDArray[np.bool_]) -> _Standing:
        return _Standing(self.rows[keep], self.owners[keep], self.estimates[keep])

    def with_(self, other: _Standing) -> _Standing:
        return _Standing(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.owners, other.owners]),
            np.concatenate([self.estimates, other.estimates]),
        )


_NOBODY = _Standing(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


class Search:
    """One probe against one snapshot."""

    def __init__(self, snapshot: Snapshot, probe: Floats, dots: Dots, exact: Exact, *, now: float, gone: Rows) -> None:
        """Prepare a search.

        Args:
            snapshot: of the gallery.
            probe: (D,) float32 of about unit length.
            dots: the int8 kernel.
            exact: fetches float32 vectors.
            now: decides who is valid.
            gone: rows to leave out, because the store no longer has them.
        """
        self.snapshot, self.dots, self.exact, self.now, self.gone = snapshot, dots, exact, now, gone
        self.coded = encode(probe[None, :])
        self.probe = probe.astype(np.float64)
        self.length = float(np.linalg.norm(self.probe))
        self.room = np.empty((2, _BLOCK_ROWS), np.float32)
        self.met: list[Rows] = []  # rows on which an answer rests

    def answer(self, query: Query) -> list[Candidate]:
        """Return the candidates, best first.

        Raises:
            GoneError: `exact` knew some rows no more; they have to be left out from the beginning.
        """
        if query.limit is not None and query.limit < 1:
            return []
        if query.among is Among.BLOCKLISTED:
            rows = self.snapshot.blocklisted
            standing, bar = self._eligible(rows, np.ones(len(rows), np.float32), query.among), query.floor
        else:
            standing, bar = self._first_pass(query)
        if not len(standing.rows):
            return []
        self.met.append(standing.rows)
        if len(standing.rows) > _FIRST_FETCH:  # fewer are all fetched at once
            standing, bar = self._second_pass(standing, bar, query.limit)
        return self._rescore(standing, bar, query)

    def is_overtaken(self, newest: Snapshot) -> bool:
        """Say whether rows on which the answers rest were wiped since the search began."""
        if newest.wipes == self.snapshot.wipes or not self.met:
            return False
        owners = self.snapshot.column("owner", np.unique(np.concatenate(self.met)))
        return bool(np.any(owners < 0) or np.any(newest.person_column("flags", owners) & np.uint8(Flag.FORGOTTEN)))

    def _bound(self, probe_slant: float) -> Bound:
        seen = self.snapshot
        return Bound(seen.slant + probe_slant, seen.shortest * self.length, seen.longest * self.length)

    def _eligible(self, rows: Rows, estimates: NDArray[Any], among: Among) -> _Standing:
        if not len(rows):
            return _NOBODY
        owners = self.snapshot.column("owner", rows)
        keep = self.snapshot.is_among(owners, among, self.now)
        if len(self.gone):
            keep &= ~np.isin(rows, self.gone)
        return _Standing(rows, owners, estimates).kept(keep)

    def _first_pass(self, query: Query) -> tuple[_Standing, float]:
        """Return the rows whose estimate, code against code, leaves them a chance, and the bar they must reach."""
        bound = self._bound(self.coded.slant)
        bar, least = query.floor, bound.least_estimate(query.floor)
        standing = _NOBODY
        fresh: list[tuple[Rows, Floats, bool]] = []
        waiting, crowd = 0, _CROWD
        for start, part, chunk in self.snapshot.blocks():
            hits, estimates, is_whole = self._block(chunk, part, least)
            if len(hits):
                fresh.append((hits + start, estimates, is_whole))
                waiting += len(hits)
            if query.limit is not None and waiting > crowd:
                standing = standing.with_(self._completed(fresh, least, query.among))
                standing, bar = _pruned(standing, bar, query.limit, bound)
                least = bound.least_estimate(bar)
                fresh, waiting, crowd = [], 0, max(_CROWD, len(standing.rows))
        standing = standing.with_(self._completed(fresh, least, query.among))
        return _pruned(standing, bar, query.limit, bound)

    def _block(self, chunk: Chunk, part: slice, least: float) -> tuple[NDArray[np.intp], Floats, bool]:
        """Find the rows of a block that may have an estimate of `least` or more.

        Returns:
            Their places in the block, (K,) float32 estimates, and whether these are whole or of the leading part only.
        """
        lead = chunk.lead.shape[1]
        code, inverse = self.coded.codes[0], chunk.inverse[part]
        length = 1.0 / float(self.coded.inverse[0])
        sums, other = self.room[0, : len(inverse)], self.room[1, : len(inverse)]
        self.dots(code[:lead], chunk.lead[part], sums)
        if lead == len(code) and least > 0.0:
            # One pass instead of two: no row's own factor is larger than the chunk's largest.
            hits = np.flatnonzero(sums >= least * length / max(chunk.most_inverse, _TINY) * _BELOW)
            estimates = sums[hits] * inverse[hits]
            keep = estimates >= least * length
            return hits[keep], estimates[keep] / np.float32(length), True
        sums *= inverse
        if lead == len(code):
            hits = np.flatnonzero(sums >= least * length)
            return hits, sums[hits] / np.float32(length), True
        np.multiply(chunk.share[part], np.float32(float(self.coded.share[0]) * length), out=other)
        other += sums
        hits = np.flatnonzero(other >= least * length)
        is_whole = len(hits) * _DENSE > len(sums)
        if is_whole:
            self.dots(code[lead:], chunk.rest[part], other)
            other *= inverse
            sums += other
            hits = np.flatnonzero(sums >= least * length)
        return hits, sums[hits] / np.float32(length), is_whole

    def _completed(self, fresh: list[tuple[Rows, Floats, bool]], least: float, among: Among) -> _Standing:
        """Return those of the rows found in blocks that stand on their whole estimate and may be returned."""
        standing = _NOBODY
        for is_whole in (True, False):
            parts = [part for part in fresh if part[2] is is_whole]
            if not parts:
                continue
            rows, estimates = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
            if not is_whole:
                rest = self.snapshot.column("rest", rows).astype(np.float32)
                sums = rest @ self.coded.codes[0, self.coded.codes.shape[1] - rest.shape[1] :].astype(np.float32)
                estimates = estimates + sums * self.snapshot.column("inverse", rows) * self.coded.inverse[0]
            stand = estimates >= least
            standing = standing.with_(self._eligible(rows[stand], estimates[stand], among))
        return standing

    def _second_pass(self, standing: _Standing, bar: float, limit: int | None) -> tuple[_Standing, float]:
        """Estimate again with the probe in float: only the references' slant is left in the bound."""
        rows = standing.rows
        estimates = np.empty(len(rows))
        for start in range(0, len(rows), _CROWD):
            part = rows[start : start + _CROWD]
            codes = np.hstack([self.snapshot.column("lead", part), self.snapshot.column("rest", part)])
            estimates[start : start + len(part)] = codes.astype(np.float64) @ self.probe
        estimates *= self.snapshot.column("inverse", rows) / self.length
        return _pruned(_Standing(rows, standing.owners, estimates), bar, limit, self._bound(0.0))

    def _rescore(self, standing: _Standing, bar: float, query: Query) -> list[Candidate]:
        """Fetch the most promising rows, learn the bar from them, fetch what can still reach it, and rank."""
        rows, owners, estimates = standing.rows, standing.owners, standing.estimates
        order = np.argsort(-estimates, kind="stable")
        first = len(order) if query.limit is None else max(_FIRST_FETCH, 2 * query.limit)
        scores, taken = self._scores(rows[order[:first]]), owners[order[:first]]
        if query.limit is not None and len(order) > first:
            rest = order[first:]
            best = _kth_best(scores, taken, query.limit)
            if best is not None:
                rest = rest[estimates[rest] >= self._bound(0.0).least_estimate(max(bar, best))]
            scores = np.concatenate([scores, self._scores(rows[rest])])
            taken = np.concatenate([taken, owners[rest]])
        keep = scores.astype(np.float64) >= query.floor  # against float32 NumPy would round the floor first
        scores, taken = scores[keep], taken[keep]
        if not len(scores):
            return []
        subjects = self.snapshot.person_column("subject", taken)
        ranked = np.lexsort((subjects, -scores))
        _, firsts = np.unique(taken[ranked], return_index=True)
        best_rows = ranked[np.sort(firsts)[: query.limit]]
        return [Candidate(int(subjects[at]), float(scores[at])) for at in best_rows]

    def _scores(self, rows: Rows) -> Floats:
        scores = np.empty(len(rows), np.float32)
        if not len(rows):
            return scores
        rising = np.argsort(rows, kind="stable")
        vectors = self.exact(self.snapshot.column("reference", rows[rising]))
        scores[rising] = exact_scores(vectors, self.probe)
        if np.isnan(scores).any():
            raise GoneError(rows[np.isnan(scores)])
        return scores


def exact_scores(vectors: Floats, probe: NDArray[np.float64]) -> Floats:
    """Score (K, D) float32 vectors against a probe: summed in double, each row in the same order, rounded once."""
    scores: Floats = (vectors.astype(np.float64) * probe).sum(axis=1).astype(np.float32)
    return scores


def _pruned(standing: _Standing, bar: float, limit: int | None, bound: Bound) -> tuple[_Standing, float]:
    """Raise the bar to what the best `limit` people surely score, and keep the rows that can reach it."""
    best = None if limit is None else _kth_best(standing.estimates, standing.owners, limit)
    if best is not None:
        bar = max(bar, bound.least_score(best))
    return standing.kept(standing.estimates >= bound.least_estimate(bar)), bar


def _kth_best(estimates: NDArray[Any], owners: NDArray[np.int32], k: int) -> float | None:
    """Return the k-th best estimate when each owner counts once, or None where there are fewer owners."""
    if len(estimates) < k:
        return None
    top = max(64, 4 * k)
    while True:
        whole = top >= len(estimates)
        best = np.arange(len(estimates)) if whole else np.argpartition(-estimates, top)[:top]
        order = best[np.argsort(-estimates[best], kind="stable")]
        firsts = np.sort(np.unique(owners[order], return_index=True)[1])
        if len(firsts) >= k:
            return float(estimates[order[firsts[k - 1]]])
        if whole:
            return None
        top *= 8

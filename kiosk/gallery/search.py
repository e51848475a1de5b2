"""One search: a probe, a snapshot of the gallery, and the few rows that have to be fetched.

The first pass multiplies codes with codes. It is a thing of its own, so that many probes, and several questions about
each, share the reading of a chunk: `first_passes`.

`codes.py` says why an int8 pass loses nobody. All codes give an estimate each; rows that cannot reach the bar (the
floor, or what the best `limit` people surely have) fall away; the rest are estimated again with the float32 probe; what
still stands is scored from the float32 vectors, which `exact` fetches from the store.

Scores: the float32 vectors' dot product, summed in double, rounded once to float32. So equal vectors score equal in
whatever row they lie, and ties keep the order of enrolment.

What a search may meet while people change is said in `gallery.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.codes import CHUNK_SHIFT, Bound, Chunk, Coded, encode_each
from kiosk.gallery.products import MANY, PROBE_MOST, Products, Sums
from kiosk.gallery.snapshot import Among, Flag, Rows, Snapshot
from kiosk.types import Candidate, Floats

Exact: TypeAlias = Callable[[NDArray[np.int64]], Floats]
"""Reference ids (K,) -> their vectors (K, D) float32, in that order; a row of NaN for one that is gone."""

TOGETHER = 64  # probes searched at once: their products with a chunk take 17 MB
_TINY = 1e-30  # an empty chunk has no largest factor
_MOST_PRODUCT = 2**30
_NONE = np.zeros(0, np.float32)
_BELOW = 1.0 - 1e-5  # float32 rounds a product by less
_CROWD = 2048  # so many rows standing make it worth finding a higher bar
_RUNS = 32  # of a chunk, each first looked at by its largest product; a chunk's room is a multiple of 64
_FIRST_FETCH = 16  # fetched before the bar is known exactly; a fetch costs the store some 10 us a row


@dataclass(frozen=True, slots=True)
class Query:
    """One question about a probe."""

    floor: float  # cosine; people at it or above are returned
    limit: int | None = None  # None: all of them
    among: Among = Among.EVERYBODY


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

    def __init__(
        self, snapshot: Snapshot, probe: Floats, coded: Coded, exact: Exact, *, now: float, gone: Rows
    ) -> None:
        """Prepare a search.

        Args:
            snapshot: of the gallery.
            probe: (D,) float32 of about unit length.
            coded: the same.
            exact: fetches float32 vectors.
            now: decides who is valid.
            gone: rows to leave out, because the store no longer has them.
        """
        self.snapshot, self.exact, self.now, self.gone = snapshot, exact, now, gone
        self.coded = coded
        self.probe = probe.astype(np.float64)
        self.length = float(np.linalg.norm(self.probe))
        self.met: list[Rows] = []  # rows on which an answer rests

    def first_pass(self, query: Query) -> FirstPass | None:
        """Begin the reading of all codes for a query, or return None where it needs none."""
        is_asked = query.limit is None or query.limit >= 1
        return FirstPass(self, query) if is_asked and query.among is not Among.BLOCKLISTED else None

    def answer(self, query: Query, done: FirstPass | None) -> list[Candidate]:
        """Return the candidates, best first.

        Args:
            query: the question.
            done: its first pass, all codes read; None where `first_pass` gave none.

        Raises:
            GoneError: `exact` knew some rows no more; they have to be left out from the beginning.
        """
        if query.limit is not None and query.limit < 1:
            return []
        if done is None:
            rows = self.snapshot.blocklisted
            standing, bar = self.eligible(rows, np.ones(len(rows), np.float32), query.among), query.floor
        else:
            standing, bar = done.finish()
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

    def bound(self, probe_slant: float) -> Bound:
        """Return what an estimate promises, the probe's code having this slant."""
        seen = self.snapshot
        return Bound(seen.slant + probe_slant, seen.shortest * self.length, seen.longest * self.length)

    def eligible(self, rows: Rows, estimates: NDArray[Any], among: Among) -> _Standing:
        """Return those of some rows that may be returned."""
        if not len(rows):
            return _NOBODY
        owners = self.snapshot.column("owner", rows)
        keep = self.snapshot.is_among(owners, among, self.now)
        if len(self.gone):
            keep &= ~np.isin(rows, self.gone)
        return _Standing(rows, owners, estimates).kept(keep)

    def _second_pass(self, standing: _Standing, bar: float, limit: int | None) -> tuple[_Standing, float]:
        """Estimate again with the probe in float: only the references' slant is left in the bound."""
        rows = standing.rows
        estimates = np.empty(len(rows))
        for start in range(0, len(rows), _CROWD):
            part = rows[start : start + _CROWD]
            codes = self.snapshot.codes(part).astype(np.float64)
            estimates[start : start + len(part)] = codes @ self.probe
        estimates *= self.snapshot.column("inverse", rows) / self.length
        return _pruned(_Standing(rows, standing.owners, estimates), bar, limit, self.bound(0.0))

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
                rest = rest[estimates[rest] >= self.bound(0.0).least_estimate(max(bar, best))]
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


class FirstPass:
    """Which rows may answer one query, found while the products of the codes come in, chunk by chunk."""

    def __init__(self, search: Search, query: Query) -> None:
        self._search, self._query = search, query
        self._bound = search.bound(search.coded.slant)
        self._bar, self._least = query.floor, self._bound.least_estimate(query.floor)
        self._standing = _NOBODY
        self._fresh: list[tuple[Rows, Floats]] = []
        self._waiting, self._crowd = 0, _CROWD

    def take(self, start: int, chunk: Chunk, sums: Sums) -> None:
        """Look at a chunk's first rows.

        Args:
            start: number of the first row.
            chunk: whose rows they are.
            sums: (K,) products of their codes with the probe's.
        """
        at = 0
        while at < len(sums):
            part = slice(at, len(sums) if self._least > 0.0 else at + _CROWD)  # a bar that lets in all is raised soon
            hits, estimates = self._likely(chunk, sums[part], chunk.inverse[part])
            if len(hits):
                self._note(hits + (start + at), estimates)
            at = part.stop

    @property
    def least_share(self) -> np.float32:
        """The least estimate, without the probe's own factor: what a product times a row's factor must reach."""
        return np.float32(self._least / float(self._search.coded.inverse[0]))

    @property
    def is_raised(self) -> bool:
        """Whether there are rows that cannot stand."""
        return self._least > 0.0

    def take_shares(self, start: int, shares: Floats) -> None:
        """Look at a chunk's first rows, as `take`, their products being multiplied with their factors already."""
        at = 0
        while at < len(shares):
            part = shares[at : len(shares) if self.is_raised else at + _CROWD]
            hits = np.flatnonzero(part >= self.least_share)
            if len(hits):
                self.take_hits(hits + (start + at), part[hits])
            at += len(part)

    def take_hits(self, rows: Rows, shares: Floats) -> None:
        """Take some rows, of which those may stand whose share is `least_share` or more.

        Args:
            rows: their numbers, rising.
            shares: (K,) float32, products times factors.
        """
        self._note(rows, shares * np.float32(self._search.coded.inverse[0]))

    def _note(self, rows: Rows, estimates: Floats) -> None:
        self._fresh.append((rows, estimates))
        self._waiting += len(rows)
        if self._query.limit is not None and self._waiting >= self._crowd:
            self._settle()
            self._waiting, self._crowd = 0, max(_CROWD, len(self._standing.rows))

    def finish(self) -> tuple[_Standing, float]:
        """Return the rows whose estimate, code against code, leaves them a chance, and the bar they must reach."""
        self._settle()
        return self._standing, self._bar

    def _settle(self) -> None:
        """Keep the rows that may be returned, and raise the bar to what the best surely score."""
        if self._fresh:
            rows, estimates = (np.concatenate(parts) for parts in zip(*self._fresh, strict=True))
            stand = estimates >= self._least
            found = self._search.eligible(rows[stand], estimates[stand], self._query.among)
            self._standing = self._standing.with_(found)
            self._fresh = []
        self._standing, self._bar = _pruned(self._standing, self._bar, self._query.limit, self._bound)
        self._least = self._bound.least_estimate(self._bar)

    def _likely(self, chunk: Chunk, sums: Sums, inverse: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Return the places and estimates of rows whose estimate is `least` or more."""
        inverse, own = inverse[: len(sums)], float(self._search.coded.inverse[0])
        if self._least > 0.0:  # no row's own factor is larger than the chunk's largest: one pass instead of two
            product = self._least / (own * max(chunk.most_inverse, _TINY)) * _BELOW
            hits = np.flatnonzero(sums >= np.int32(min(int(product), _MOST_PRODUCT)))
            if not len(hits):
                return hits, _NONE
            estimates = np.multiply(sums[hits], inverse[hits], dtype=np.float32)
            keep = estimates >= self._least / own
            return hits[keep], estimates[keep] * np.float32(own)
        every: Floats = np.multiply(sums, inverse, dtype=np.float32)
        hits = np.flatnonzero(every >= self._least / own)
        return hits, every[hits] * np.float32(own)


def first_passes(
    snapshot: Snapshot, searches: Sequence[Search], asked: Sequence[Sequence[Query]], products: Products
) -> list[list[FirstPass | None]]:
    """Read all codes once for many searches of one snapshot.

    Args:
        snapshot: that of all the searches.
        searches: one for each probe.
        asked: the questions about each.
        products: the kernel.

    Returns:
        The first pass of each question, done; None where it needs none.
    """
    passes = [[search.first_pass(query) for query in queries] for search, queries in zip(searches, asked, strict=True)]
    reading = [at for at, each in enumerate(passes) if any(each)]
    if not reading:
        return passes
    asking = [[each for each in passes[at] if each is not None] for at in reading]
    codes = np.concatenate([searches[at].coded.codes for at in reading])
    is_many = len(reading) >= MANY
    room: NDArray[Any] = np.empty(0)
    for number, used, chunk in snapshot.parts():
        held = chunk.codes  # the writer may put a larger one in its place
        width = held.shape[1]
        if len(room) < len(reading) * width:
            room = np.empty(len(reading) * width, np.float32 if is_many else np.int32)
        out = room[: len(reading) * width].reshape(len(reading), width)
        start = number << CHUNK_SHIFT
        if is_many:
            products.scaled(codes, held, chunk.inverse[:width], out)
            _look(start, out, used, asking)
            continue
        products.whole(codes, held, chunk.centred[:width], out)
        for own, questions in zip(out, asking, strict=True):
            for each in questions:
                each.take(start, chunk, own[:used])
    return passes


def _look(start: int, shares: Floats, used: int, asking: Sequence[Sequence[FirstPass]]) -> None:
    """Have the questions about many probes look at a chunk's products, which are multiplied with the rows' factors.

    Nearly nowhere is one large enough: so the largest of a run is looked at first, for all probes in one go.

    Args:
        start: number of the chunk's first row.
        shares: (M, width) float32, a row for each probe.
        used: rows of the chunk that count.
        asking: the questions about each probe, at least one.
    """
    runs = shares.reshape(len(shares) * _RUNS, -1)
    least = np.array([min(each.least_share for each in questions) for questions in asking], np.float32)
    for at in np.flatnonzero(least <= 0.0).tolist():  # a bar that lets in all is raised soon
        for each in asking[at]:
            each.take_shares(start, shares[at, :used])
        least[at] = np.inf
    likely = np.flatnonzero(runs.max(axis=1) >= np.repeat(least, _RUNS))
    which, within = np.nonzero(runs[likely] >= np.repeat(least, _RUNS)[likely, None])
    owners, places = np.divmod(likely[which] * runs.shape[1] + within, shares.shape[1])
    there = places < used  # what follows is filled meanwhile
    owners, places = owners[there], places[there]
    bounds = [*np.flatnonzero(np.diff(owners, prepend=-1)).tolist(), len(owners)]
    for begin, end in pairwise(bounds):
        own, rows = int(owners[begin]), places[begin:end]
        for each in asking[own]:
            found = shares[own, rows]
            stand = found >= each.least_share
            if stand.any():
                each.take_hits(rows[stand] + start, found[stand])


def search_together(
    newest: Callable[[], Snapshot],
    probes: Sequence[Floats],
    asked: Sequence[Sequence[Query]],
    products: Products,
    exact: Exact,
    *,
    times: Sequence[float],
) -> list[list[list[Candidate]]]:
    """Search for some probes at once; those whose answer a change overtook search again.

    Args:
        newest: gives the snapshot that is there now.
        probes: (D,) float32 each, of about unit length; some TOGETHER at most.
        asked: the questions about each.
        products: the int8 kernel.
        exact: fetches float32 vectors.
        times: for each, the time that decides who is valid.

    Returns:
        For each probe, for each of its questions, the candidates, best first.
    """
    answers: list[list[list[Candidate]]] = [[] for _ in probes]
    gone: list[Rows] = [np.zeros(0, np.int64) for _ in probes]
    left = list(range(len(probes)))
    coded = encode_each(np.stack(probes), PROBE_MOST) if left else []
    while left:
        snapshot, again = newest(), []
        searches = [Search(snapshot, probes[at], coded[at], exact, now=times[at], gone=gone[at]) for at in left]
        passes = first_passes(snapshot, searches, [asked[at] for at in left], products)
        for at, search, done in zip(left, searches, passes, strict=True):
            try:
                answers[at] = [search.answer(query, one) for query, one in zip(asked[at], done, strict=True)]
            except GoneError as error:  # the store has forgotten them, this gallery is about to
                gone[at] = np.union1d(gone[at], error.rows)
                again.append(at)
                continue
            if search.is_overtaken(newest()):
                gone[at] = np.zeros(0, np.int64)
                again.append(at)
        left = again
    return answers


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

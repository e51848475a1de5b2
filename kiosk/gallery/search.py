"""One search: a probe, a snapshot of the gallery, and the few rows that have to be fetched.

`codes.py` says why an int8 pass loses nobody. All codes give an estimate each; rows that cannot reach the bar (the
floor, or what the best `limit` people surely have) fall away; the rest are estimated again with the float32 probe; what
still stands is scored from the float32 vectors, which `exact` fetches from the store.

Scores: the float32 vectors' dot product, summed in double, rounded once to float32. So equal vectors score equal in
whatever row they lie, and ties keep the order of enrolment.

What a search may meet while people change is said in `gallery.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.codes import Bound, Chunk, Dots, encode
from kiosk.gallery.snapshot import BLOCK_ROWS, Among, Flag, Rows, Snapshot
from kiosk.types import Candidate, Floats

Exact: TypeAlias = Callable[[NDArray[np.int64]], Floats]
"""Reference ids (K,) -> their vectors (K, D) float32, in that order; a row of NaN for one that is gone."""

_TINY = 1e-30  # an empty chunk has no largest factor
_BELOW = 1.0 - 1e-5  # float32 rounds a product by less
_CROWD = 2048  # so many rows standing make it worth finding a higher bar
_DENSE = 64  # where one row in so many passes on its leading part, reading all the rest in order is quicker
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
        self.room = np.empty((2, BLOCK_ROWS), np.float32)
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

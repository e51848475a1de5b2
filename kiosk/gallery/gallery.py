"""The gallery: all references, searched exactly, while people come and go.

Change: one writer at a time builds the next snapshot and swaps it in by one assignment. A search takes the snapshot
that is there and never waits. Columns are only added to behind the rows a snapshot knows; what a change would
overwrite (flags, dates) is copied by pages of PAGE_PEOPLE first. So a change costs the same in any gallery.

The exception is `forget`, which zeroes codes in place, under the feet of searches that began earlier: once the new
snapshot is in, so that such a search, finding that rows were wiped since, looks whether its answer rests on any of them
and if so starts again. A search that did not come across them answers as if they had been gone when it began. For that
the store deletes first and the gallery second: from then on `exact` gives NaN for their references, and searches leave
such rows out.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ModelMismatchError
from kiosk.gallery.codes import CHUNK_MASK, CHUNK_ROWS, CHUNK_SHIFT, LARGEST_D, ROW_BYTES, Coded, encode
from kiosk.gallery.draft import Draft
from kiosk.gallery.products import Products, fastest_products
from kiosk.gallery.search import TOGETHER, Exact, Query, search_together
from kiosk.gallery.snapshot import DATED, DATES_BYTES, PAGE_PEOPLE, PERSON_BYTES, Flag, Page, Snapshot
from kiosk.types import Candidate, Floats, SubjectId, Template


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the gallery knows them; valid from `valid_from` up to, not including, `valid_until`."""

    subject: SubjectId
    flags: Flag = Flag.APPROVED
    valid_from: float = -math.inf
    valid_until: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Columns of people for `load`, one row each, subjects rising."""

    subject: NDArray[np.int64]
    flags: NDArray[np.uint8]
    valid_from: NDArray[np.float64]
    valid_until: NDArray[np.float64]


Block: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], Floats | Coded]
"""Subjects (K,), references (K,), and their vectors (K, D) float32, or what `encode` made of these."""


class Gallery:
    """References of one model; see the module's head for what readers and the writer may count on."""

    def __init__(self, model: str, depth: int, exact: Exact, *, products: Products | None = None) -> None:
        """Make an empty gallery.

        Args:
            model: digest of the recogniser whose templates these are.
            depth: D, features in a template; at most LARGEST_D.
            exact: fetches float32 vectors by reference id; called by searches, from their threads.
            products: the int8 kernel; the fastest there is when left out.
        """
        if not 1 <= depth <= LARGEST_D:
            raise ValueError(f"want 1 to {LARGEST_D} features, got {depth}")
        self.model, self.depth = model, depth
        self.exact = exact
        self.products = fastest_products() if products is None else products
        self._writer = threading.Lock()
        self._page_starts: list[SubjectId] = []  # first subject of each page; the writer's
        self._now = Snapshot()

    @property
    def snapshot(self) -> Snapshot:
        """What a search beginning now would see."""
        return self._now

    @property
    def subjects(self) -> int:
        """People who have not been forgotten, whatever their dates and flags."""
        return self._now.subjects

    @property
    def references(self) -> int:
        """References a search compares with: the N of `expected_false_positives`."""
        return self._now.references

    @property
    def resident_bytes(self) -> int:
        """Memory of all columns in use, unused room left out because no page of it was ever touched."""
        now = self._now
        dates = sum(page.has_dates for page in now.pages) * PAGE_PEOPLE * DATES_BYTES
        return sum(used for _, used, _ in now.parts()) * (self.depth + ROW_BYTES) + now.people * PERSON_BYTES + dates

    def search_all(self, probe: Template, queries: Sequence[Query], *, now: float) -> list[list[Candidate]]:
        """Answer several queries about one probe from one snapshot, so that nobody slips between two lists."""
        return self.search_many([probe], [queries], now=now)[0]

    def search_many(
        self, probes: Sequence[Template], asked: Sequence[Sequence[Query]], *, now: float | Sequence[float]
    ) -> list[list[list[Candidate]]]:
        """Answer the queries about each of many probes, each as `search_all` would; the codes are read for all at once.

        Args:
            probes: any number.
            asked: the queries about each.
            now: decides who is valid; one time for all, or one for each.

        Returns:
            For each probe, for each of its queries, the candidates.
        """
        for probe in probes:
            self._check(probe)
        vectors, answers = [probe.vector for probe in probes], []
        times = [now] * len(probes) if isinstance(now, float) else list(now)
        for at in range(0, len(vectors), TOGETHER):
            some, newest = slice(at, at + TOGETHER), lambda: self._now
            parts = vectors[some], asked[some], self.products, self.exact
            answers += search_together(newest, *parts, times=times[some])
        return answers

    def person(self, subject: SubjectId) -> Person | None:
        """Return a person as searches see them now, or None."""
        now = self._now
        index = self._index(now, subject)
        if index is None:
            return None
        page, at = now.pages[index // PAGE_PEOPLE], index % PAGE_PEOPLE
        flags = Flag(int(page.flags[at]) & ~DATED)
        if flags & Flag.FORGOTTEN:
            return None
        return Person(subject, flags, float(page.valid_from[at]), float(page.valid_until[at]))

    def load(self, people: People, blocks: Iterable[Block]) -> None:
        """Fill an empty gallery; searches see nothing before all is in.

        Args:
            people: everybody, subjects rising.
            blocks: any number of references each; some thousands is fast.

        Raises:
            ValueError: the gallery is not empty, subjects do not rise, or a block names a subject not among `people`.
        """
        with self._writer:
            if self._now.people:
                raise ValueError("load wants an empty gallery")
            if np.any(np.diff(people.subject) <= 0):
                raise ValueError("want subjects rising, each once")
            draft = Draft(self._now)
            self._page_starts = people.subject[::PAGE_PEOPLE].tolist()
            for start in range(0, len(people.subject), PAGE_PEOPLE):
                page, part = Page(), slice(start, start + PAGE_PEOPLE)
                is_dated = (people.valid_from[part] > -np.inf) | (people.valid_until[part] < np.inf)
                if is_dated.any():
                    page.give_dates()
                    page.valid_from[: len(is_dated)] = people.valid_from[part]
                    page.valid_until[: len(is_dated)] = people.valid_until[part]
                page.subject[: len(is_dated)] = people.subject[part]
                page.flags[: len(is_dated)] = people.flags[part] | np.where(is_dated, DATED, 0).astype(np.uint8)
                draft.pages.append(page)
            draft.people = draft.subjects = len(people.subject)
            for subjects, references, content in blocks:
                owners = np.searchsorted(people.subject, subjects)
                if len(owners) and (
                    int(owners.max()) >= len(people.subject) or np.any(people.subject[owners] != subjects)
                ):
                    raise ValueError("a reference belongs to a subject not among the people")
                coded = content if isinstance(content, Coded) else encode(self._checked(content))
                draft.append(owners.astype(np.int32), references, coded)
            self._now = draft.snapshot()

    def enrol(self, person: Person, references: Sequence[int], templates: Sequence[Template]) -> None:
        """Add a person, or further references of one already here; flags and dates become those given.

        Raises:
            ModelMismatchError: a template is another model's.
            ValueError: a new subject does not come after all others, or lengths differ.
        """
        for template in templates:
            self._check(template)
        vectors = np.array([template.vector for template in templates], np.float32).reshape(-1, self.depth)
        coded = encode(vectors)
        if len(references) != len(templates):
            raise ValueError(f"want a reference id for each template, got {len(references)} and {len(templates)}")
        with self._writer:
            draft = Draft(self._now)
            index = self._index(self._now, person.subject)
            if index is None:
                index = self._add_person(draft, person)
            else:
                self._change_person(draft, index, person)
            draft.append(np.full(len(vectors), index, np.int32), np.array(references, np.int64), coded)
            self._now = draft.snapshot()

    def forget(self, *subjects: SubjectId) -> int:
        """Remove people and zero their codes in memory; return how many were here.

        On return no later search can meet them and their bytes are gone. The store deletes first: from then on `exact`
        answers NaN for their references and searches leave them out.
        """
        with self._writer:
            known = [subject for subject in subjects if self.person(subject) is not None]
            draft = Draft(self._now)
            rows: list[int] = []
            for subject in dict.fromkeys(known):
                index = self._index(self._now, subject)
                assert index is not None
                rows.extend(draft.rows_of(index))
                draft.change(index, Flag.FORGOTTEN, -math.inf, -math.inf)
                draft.set_first(index, -1)
                draft.subjects -= 1
            self._wipe(draft, rows)
            return len(dict.fromkeys(known))

    def withdraw(self, subject: SubjectId, reference: int) -> bool:
        """Remove one reference of a person, who stays; False when there is no such reference."""
        with self._writer:
            index = self._index(self._now, subject)
            if index is None:
                return False
            draft = Draft(self._now)
            for row in draft.rows_of(index):
                if int(draft.chunk(row).reference[row & CHUNK_MASK]) == reference:
                    draft.unlink(index, row)
                    self._wipe(draft, [row])
                    return True
            return False

    def references_of(self, subject: SubjectId) -> list[int]:
        """Return the ids of a person's references, in no order; none where nobody has this subject."""
        with self._writer:
            if self.person(subject) is None:
                return []
            draft, index = Draft(self._now), self._index(self._now, subject)
            assert index is not None
            return [int(draft.chunk(row).reference[row & CHUNK_MASK]) for row in draft.rows_of(index)]

    def _wipe(self, draft: Draft, rows: list[int]) -> None:
        """Publish the draft without these rows, then zero them, then give back chunks that are mostly empty."""
        draft.references -= len(rows)
        draft.wipes += 1
        draft.blocklisted = np.setdiff1d(draft.blocklisted, rows)
        self._now = draft.snapshot()  # before the zeroing: see is_overtaken
        for row in rows:
            draft.chunk(row).wipe(row & CHUNK_MASK)
        numbers = {row >> CHUNK_SHIFT for row in rows} - {len(draft.chunks) - 1}
        for number in sorted(numbers):
            if draft.chunk(number << CHUNK_SHIFT).wiped * 2 >= CHUNK_ROWS:
                draft = Draft(self._now)
                draft.give_back(number)
                self._now = draft.snapshot()

    def _add_person(self, draft: Draft, person: Person) -> int:
        index = draft.people
        number, at = divmod(index, PAGE_PEOPLE)
        if index:
            last_page, last_at = divmod(index - 1, PAGE_PEOPLE)
            last = int(draft.pages[last_page].subject[last_at])
            if person.subject <= last:
                raise ValueError(f"want a subject above {last}, the newest one, got {person.subject}")
        if number == len(draft.pages):
            draft.pages.append(Page())
            self._page_starts.append(person.subject)
        page = draft.pages[number]  # no snapshot looks behind its own `people`, so this needs no copy
        page.subject[at], page.first[at] = person.subject, -1
        page.set(at, person.flags, person.valid_from, person.valid_until)
        draft.people += 1
        draft.subjects += 1
        return index

    def _change_person(self, draft: Draft, index: int, person: Person) -> None:
        page, at = draft.pages[index // PAGE_PEOPLE], index % PAGE_PEOPLE
        if page.flags[at] & Flag.FORGOTTEN:
            draft.subjects += 1
        draft.change(index, person.flags, person.valid_from, person.valid_until)
        rows = draft.rows_of(index)
        if person.flags & Flag.BLOCKLISTED:
            draft.blocklisted = np.union1d(draft.blocklisted, np.array(rows, np.int64))
        else:
            draft.blocklisted = np.setdiff1d(draft.blocklisted, rows)

    def _index(self, snapshot: Snapshot, subject: SubjectId) -> int | None:
        number = bisect.bisect_right(self._page_starts, subject) - 1
        if number < 0 or number >= len(snapshot.pages):
            return None
        known = min(PAGE_PEOPLE, snapshot.people - number * PAGE_PEOPLE)
        column = snapshot.pages[number].subject[:known]
        at = int(np.searchsorted(column, subject))
        return number * PAGE_PEOPLE + at if at < known and int(column[at]) == subject else None

    def _check(self, template: Template) -> None:
        if template.model != self.model:
            raise ModelMismatchError(
                f"this gallery holds templates of model {self.model}, this one is of {template.model}: enrol again"
            )
        self._checked(template.vector[None, :])

    def _checked(self, vectors: Floats) -> Floats:
        if vectors.ndim != 2 or vectors.shape[1] != self.depth or vectors.dtype != np.float32:  # noqa: PLR2004
            raise ValueError(f"want (K, {self.depth}) float32, got {vectors.shape} {vectors.dtype}")
        return vectors

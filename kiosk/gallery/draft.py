"""The next snapshot in the writer's hands: columns grow behind the rows that searches know, pages are copied first."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.codes import CHUNK_MASK, CHUNK_ROWS, CHUNK_SHIFT, Chunk, Coded
from kiosk.gallery.snapshot import PAGE_PEOPLE, Flag, Rows, Snapshot


class Draft:
    """The next snapshot in the writer's hands."""

    def __init__(self, base: Snapshot) -> None:
        self.base = base
        self.chunks, self.tail = list(base.chunks), base.tail
        self.pages = list(base.pages)
        self.copied: set[int] = set()
        self.people, self.subjects, self.references = base.people, base.subjects, base.references
        self.blocklisted = base.blocklisted
        self.slant, self.shortest, self.longest, self.wipes = base.slant, base.shortest, base.longest, base.wipes

    def snapshot(self) -> Snapshot:
        """Return what searches will see."""
        return replace(
            self.base,
            chunks=tuple(self.chunks),
            tail=self.tail,
            pages=tuple(self.pages),
            people=self.people,
            subjects=self.subjects,
            references=self.references,
            blocklisted=self.blocklisted,
            slant=self.slant,
            shortest=self.shortest,
            longest=self.longest,
            wipes=self.wipes,
        )

    def chunk(self, row: int) -> Chunk:
        """Return the chunk that a row lies in."""
        chunk = self.chunks[row >> CHUNK_SHIFT]
        assert chunk is not None
        return chunk

    def change(self, index: int, flags: int, valid_from: float, valid_until: float) -> None:
        """Write a person's flags and dates, into a copy of their page."""
        number, at = divmod(index, PAGE_PEOPLE)
        if number not in self.copied:
            self.pages[number] = self.pages[number].copy()
            self.copied.add(number)
        self.pages[number].set(at, flags, valid_from, valid_until)

    def rows_of(self, index: int) -> list[int]:
        """Return the rows of a person, newest first."""
        rows = []
        row = int(self.pages[index // PAGE_PEOPLE].first[index % PAGE_PEOPLE])
        while row >= 0:
            rows.append(row)
            row = int(self.chunk(row).later[row & CHUNK_MASK])
        return rows

    def set_first(self, index: int, row: int) -> None:
        """Make a row the newest of a person; -1 for none."""
        self.pages[index // PAGE_PEOPLE].first[index % PAGE_PEOPLE] = row

    def unlink(self, index: int, row: int) -> None:
        """Take a row out of its person's list of rows."""
        after = int(self.chunk(row).later[row & CHUNK_MASK])
        rows = self.rows_of(index)
        at = rows.index(row)
        if at == 0:
            self.set_first(index, after)
        else:
            self.chunk(rows[at - 1]).later[rows[at - 1] & CHUNK_MASK] = after

    def append(self, owners: NDArray[np.int32], references: NDArray[np.int64], coded: Coded) -> None:
        """Put rows behind the last, and in front of their owners' lists of rows."""
        count = len(owners)
        if not count:
            return
        numbers, at = np.divmod(np.arange(self.tail, self.tail + count), CHUNK_ROWS)
        rows = (numbers + max(0, len(self.chunks) - 1) << CHUNK_SHIFT) + at
        later = self._link(owners, rows)
        done = 0
        while done < count:
            if not self.chunks or self.tail == CHUNK_ROWS:
                self.chunks.append(Chunk(coded.codes.shape[1]))
                self.tail = 0
            take = min(count - done, CHUNK_ROWS - self.tail)
            there, here = slice(self.tail, self.tail + take), slice(done, done + take)
            chunk = self.chunks[-1]
            assert chunk is not None
            chunk.put(self.tail, coded.codes[here], coded.inverse[here])
            chunk.owner[there], chunk.reference[there], chunk.later[there] = owners[here], references[here], later[here]
            self.tail += take
            done += take
        self.references += count
        self.slant = max(self.slant, coded.slant)
        self.shortest, self.longest = min(self.shortest, coded.shortest), max(self.longest, coded.longest)
        is_listed = (self._flags(owners) & Flag.BLOCKLISTED) != 0
        if is_listed.any():
            self.blocklisted = np.union1d(self.blocklisted, rows[is_listed])

    def _flags(self, owners: NDArray[np.int32]) -> NDArray[Any]:
        return Snapshot(pages=tuple(self.pages)).person_column("flags", owners)

    def _link(self, owners: NDArray[np.int32], rows: Rows) -> NDArray[np.int32]:
        """Make the new rows the first of their owners; return the row that follows each."""
        order = np.argsort(owners, kind="stable")
        sorted_rows = rows[order].astype(np.int32)
        sorted_owners = owners[order]
        is_first = np.diff(sorted_owners, prepend=-1) != 0
        after = np.empty(len(owners), np.int32)
        after[1:] = sorted_rows[:-1]
        numbers, at = np.divmod(sorted_owners, PAGE_PEOPLE)
        bounds = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(owners)]
        for begin, end in pairwise(bounds):
            page = self.pages[int(numbers[begin])]
            part = slice(begin, end)
            heads = is_first[part]
            after[part][heads] = page.first[at[part][heads]]
            page.first[at[part]] = sorted_rows[part]  # an owner's last row is written last and stays
        later = np.empty(len(owners), np.int32)
        later[order] = after
        return later

    def give_back(self, number: int) -> None:
        """Move the live rows of a chunk to the end and drop it; its bytes are zeroed once no search holds it."""
        chunk = self.chunk(number << CHUNK_SHIFT)
        live = np.flatnonzero(chunk.owner >= 0)
        owners = chunk.owner[live]
        for at, index in zip(live.tolist(), owners.tolist(), strict=True):
            self.unlink(index, (number << CHUNK_SHIFT) + at)
        codes = np.ascontiguousarray(chunk.codes[:, live].T)
        coded = Coded(codes, chunk.inverse[live], self.slant, self.shortest, self.longest)
        self.blocklisted = self.blocklisted[self.blocklisted >> CHUNK_SHIFT != number]
        self.references -= len(live)
        self.append(owners, chunk.reference[live], coded)
        self.chunks[number] = None

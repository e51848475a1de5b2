"""What one search sees: rows of references in chunks, people in pages; nothing in it is overwritten but by `forget`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.codes import CHUNK_MASK, CHUNK_ROWS, CHUNK_SHIFT, Chunk
from kiosk.gallery.products import Codes

Rows: TypeAlias = NDArray[np.int64]  # chunk number << CHUNK_SHIFT, and the place in the chunk

PAGE_PEOPLE = 4096
PERSON_BYTES = 13  # in a page: subject, first and flags
DATES_BYTES = 16  # more, in a page where anybody has a first or last day
DATED = 64  # beside Flag in a page: the person has a first or last day
_FEW = 64  # looked up one by one


class Flag(IntFlag):
    """What the store says of a person."""

    NONE = 0
    BLOCKLISTED = 1
    ALLOWLISTED = 2
    APPROVED = 4
    FORGOTTEN = 128


# NumPy asks an enum's member for several attributes, each time, before it takes it for a number.
_BLOCKLISTED, _APPROVED, _FORGOTTEN = (np.uint8(flag) for flag in (Flag.BLOCKLISTED, Flag.APPROVED, Flag.FORGOTTEN))


class Among(Enum):
    """Who may be returned. Dates count for everybody but the blocklisted, who are always searched."""

    EVERYBODY = "everybody"
    BLOCKLISTED = "blocklisted"
    APPROVED = "approved"  # and not blocklisted
    EVER = "ever"  # everybody, whatever their dates: who is known from tomorrow on is known


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

    def column(self, name: str, rows: Rows) -> NDArray[Any]:
        """Gather a chunk column for some rows, at least one."""
        if len(rows) <= _FEW:
            columns = [getattr(self.chunks[row >> CHUNK_SHIFT], name) for row in rows.tolist()]
            ats = (rows & CHUNK_MASK).tolist()
            return np.array([column[at] for column, at in zip(columns, ats, strict=True)], columns[0].dtype)
        numbers = rows >> CHUNK_SHIFT
        bounds = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(rows)]
        return np.concatenate(
            [
                getattr(self.chunks[numbers[start]], name)[rows[start:end] & CHUNK_MASK]
                for start, end in pairwise(bounds)
            ]
        )

    def codes(self, rows: Rows) -> Codes:
        """Gather the codes (K, D) of some rows, at least one."""
        numbers = rows >> CHUNK_SHIFT
        bounds = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(rows)]
        return np.concatenate(
            [self.chunks[numbers[start]].codes[:, rows[start:end] & CHUNK_MASK].T for start, end in pairwise(bounds)]
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
        fits &= (flags & _FORGOTTEN) == 0
        is_listed = (flags & _BLOCKLISTED) != 0
        if among is Among.BLOCKLISTED:
            fits &= is_listed
            return fits
        if among is Among.APPROVED:
            fits &= ~is_listed & ((flags & _APPROVED) != 0)
        if among is Among.EVER:
            return fits
        dated = np.flatnonzero(fits & ~is_listed & ((flags & DATED) != 0))
        if len(dated):
            begin, end = (self.person_column(name, owners[dated]) for name in ("valid_from", "valid_until"))
            fits[dated] = (begin <= now) & (now < end)
        return fits

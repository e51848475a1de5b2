"""The gallery as the store has it now: loaded once, then brought up to date with every process that writes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import StoreError
from kiosk.gallery.codes import Coded
from kiosk.gallery.gallery import Gallery, People, Person
from kiosk.gallery.snapshot import Flag
from kiosk.recognition.pipeline import Recogniser
from kiosk.store.store import Store
from kiosk.store.subjects import CodedReferences, Members, References
from kiosk.types import Face, Floats, Status, Template

STATUSES = tuple(Status)
Block: TypeAlias = References | CodedReferences


class LiveGallery:
    """The references of one model. Safe in several threads."""

    def __init__(self, recogniser: Recogniser, store: Store, *, part: int = 0, of: int = 1) -> None:
        """Take the model and the store; nothing is loaded before somebody asks.

        Args:
            recogniser: whose templates.
            store: the people's.
            part: which part of the people is held, from 0; a person is in the part of their number.
            of: how many parts there are.
        """
        self._recogniser, self._store = recogniser, store
        self._part, self._of = part, of
        self._sync = threading.Lock()
        self._version = -1
        self._gallery: Gallery | None = None

    def latest(self) -> Gallery:
        """Return the gallery, up to date.

        Raises:
            StoreError: a reference was changed or damaged, or the store cannot be read.
        """
        with self._sync:
            if self._gallery is None:
                self._gallery = self._load()
            elif self._store.references.version() != self._version:
                self._catch_up(self._gallery)
            return self._gallery

    def _load(self) -> Gallery:
        references = self._store.references
        version = references.version()  # before the rows: what comes in between is looked at twice, not missed
        self._version = version
        prepared = references.prepared(self._recogniser.model)
        if prepared is not None:
            loaded = self._filled(prepared.members, prepared.chunks())
            if prepared.is_whole:
                return loaded
            if references.version() == version:  # nobody wrote meanwhile, so it was not true before
                references.unprepare()
        return self._filled(references.members(), references.chunks(self._recogniser.model))

    def _filled(self, everybody: Members, blocks: Iterator[Block]) -> Gallery:
        members = self._own(everybody)
        first = next(blocks, None)
        loaded = Gallery(self._recogniser.model, self._declared() if first is None else _depth_of(first), self._exact)
        every = () if first is None else chain([first], blocks)
        loaded.load(_columns(members), (_of_members(block, members) for block in every))
        return loaded

    def _own(self, members: Members) -> Members:
        """Leave out who belongs to another part."""
        if self._of == 1:
            return members
        own = members.session_numbers % self._of == self._part
        return Members(*(getattr(members, column.name)[own] for column in fields(members)))

    def _declared(self) -> int:
        """Return the length of the model's templates; the store knows it before one comes from elsewhere."""
        depth = self._depth()
        with suppress(StoreError):  # a full disk: it is searched all the same, and nobody is found
            self._store.references.declare(self._recogniser.model, depth)
        return depth

    def _depth(self) -> int:
        blank = np.full((256, 256, 3), 127, np.uint8)
        square = Face(np.array([0, 0, 256, 256], np.float32), _SPREAD, 1.0)
        return len(self._recogniser.extract(blank, square).vector)

    def _catch_up(self, held: Gallery) -> None:
        changes = self._store.references.changes_since(self._version)
        if not changes.is_whole:
            self._gallery = self._load()
            return
        subjects = [number for number in changes.subjects if number % self._of == self._part]
        members = self._store.references.members(subjects)
        there = set(members.session_numbers.tolist())
        held.forget(*(number for number in subjects if number not in there))
        blocks = list(self._store.references.chunks(self._recogniser.model, list(there))) if there else []
        for row, number in enumerate(members.session_numbers.tolist()):
            person = _person(members, row)
            stored = {
                int(reference): vector
                for block in blocks
                for reference, vector in zip(
                    block.ids[block.subjects == number], block.vectors[block.subjects == number], strict=True
                )
            }
            known = set(held.references_of(number))
            for reference in known - set(stored):
                held.withdraw(number, reference)
            new = [reference for reference in stored if reference not in known]
            templates = [Template(np.array(stored[reference]), self._recogniser.model) for reference in new]
            held.enrol(person, new, templates)
        self._version = changes.version

    def _exact(self, references: NDArray[np.int64]) -> Floats:
        found = self._store.references.vectors(references.tolist(), self._recogniser.model)
        if found.shape[1] == 0:  # all of them are gone
            assert self._gallery is not None  # it asks
            return np.full((len(references), self._gallery.depth), np.nan, np.float32)
        return found


# Where the five landmarks of a face that fills a 256 px square would lie; only to ask a network its output's length.
_SPREAD = np.array([[90, 100], [166, 100], [128, 140], [98, 180], [158, 180]], np.float32)


def _flags(is_blocklisted: Any, is_allowlisted: Any, status: Any) -> Any:
    """Return the gallery's flags, of one person or of columns."""
    return (
        is_blocklisted * int(Flag.BLOCKLISTED)
        + is_allowlisted * int(Flag.ALLOWLISTED)
        + (status == STATUSES.index(Status.APPROVED)) * int(Flag.APPROVED)
    )


def _depth_of(block: Block) -> int:
    return int((block.coded.codes if isinstance(block, CodedReferences) else block.vectors).shape[1])


def _of_members(block: Block, members: Members) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats | Coded]:
    """Leave out who came after `members` was read, the next catching up brings them; and who is of another part."""
    content = block.coded if isinstance(block, CodedReferences) else block.vectors
    numbers = members.session_numbers  # rising: np.isin would go through all of them for each block
    at = np.searchsorted(numbers, block.subjects)
    kept = at < len(numbers)
    kept[kept] = numbers[at[kept]] == block.subjects[kept]
    if kept.all():
        return block.subjects, block.ids, content
    return block.subjects[kept], block.ids[kept], content.of(kept) if isinstance(content, Coded) else content[kept]


def _columns(members: Members) -> People:
    flags = _flags(members.is_blocklisted, members.is_allowlisted, members.status)
    return People(members.session_numbers, flags.astype(np.uint8), members.valid_from, members.valid_until)


def _person(members: Members, row: int) -> Person:
    return Person(
        int(members.session_numbers[row]),
        Flag(int(_flags(members.is_blocklisted[row], members.is_allowlisted[row], members.status[row]))),
        float(members.valid_from[row]),
        float(members.valid_until[row]),
    )

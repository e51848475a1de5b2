"""What the gallery loads: references, whose they are, and who changed since."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kiosk.store import subject_rows
from kiosk.store.references import blocks
from kiosk.store.subjects import Changes, CodedReferences, Members, References

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from kiosk.store.database import Database
    from kiosk.store.vault import Vault
    from kiosk.types import Floats, SubjectId

_NUMBERS = "SELECT session_number FROM subject INDEXED BY subject_retention ORDER BY session_number"
_NO_END = 1 << 62
CHUNK_ROWS = 8192  # references read at a time: 10 MB at 320 numbers each


class ReferenceReader:
    """The references of one store; `Store.references` is it."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def version(self) -> int:
        """Return the number of the last change; read it *before* loading the gallery."""
        return self.changes_since(1 << 62).version

    def changes_since(self, version: int, *, origin: str | None = None) -> Changes:
        """Return who changed since a version, in this or another process; tens of microseconds.

        Args:
            version: as an earlier answer had it.
            origin: only what this brought, see `subject_rows.touch`; None: everything.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT DISTINCT subject FROM change WHERE version > ? AND (? IS NULL OR origin = ?) ORDER BY subject",
                (version, origin, origin),
            ).fetchall()
            first, newest = subject_rows.changes_kept(connection)
        return Changes(newest, tuple(number for (number,) in rows), first is None or version >= first - 1)

    def members(self, numbers: Sequence[SubjectId] | None = None) -> Members:
        """Return lists, status and dates of everyone, or of those asked for who are there."""
        with self._database.read() as connection:
            return subject_rows.members(connection, self._vault, numbers)

    def session_numbers(self) -> list[SubjectId]:
        """Return everyone's number, rising: no row is opened, so a million take a second."""
        with self._database.read() as connection:
            return [number for (number,) in connection.execute(_NUMBERS)]

    def people(self) -> int:
        """Return how many people there are."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM subject").fetchone()[0])

    def chunks(
        self,
        model: str,
        subjects: Sequence[SubjectId] | None = None,
        *,
        chunk_rows: int = CHUNK_ROWS,
    ) -> Iterator[References]:
        """Return the references of one model in the order of enrolment, a chunk at a time.

        Args:
            model: digest; references of other models are left out, they never compare.
            subjects: only theirs, in one chunk; None: everyone's.
            chunk_rows: the longest chunk.

        Returns:
            Chunks, none of them empty; none at all when there are no references.

        Raises:
            StoreError: a template was changed or damaged; the message names its row.
        """
        if subjects is not None:
            with self._database.read() as connection:
                found = subject_rows.references_where(connection, self._vault, model, "subject", subjects)
            if found.ids.size:
                yield found
            return
        after = 0
        while True:  # one short read a chunk: a long one would hold up the WAL
            with self._database.read() as connection:
                chunk = subject_rows.references_after(connection, self._vault, model, after, chunk_rows)
            if chunk is None:
                return
            yield chunk
            after = int(chunk.ids[-1])

    def declare(self, model: str, length: int) -> None:
        """Note how long a model's templates are, where nobody said so: the first that arrives must not.

        Raises:
            StoreError: the store takes nothing.
        """
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO model (digest, dimensions) VALUES (?, ?)", (model, length))

    def prepared(self, model: str) -> Prepared | None:
        """Return everything of a model with what `prepare` made ready; None where nothing was.

        Raises:
            StoreError: a row that had to be read was changed or damaged.
        """
        with self._database.read() as connection:
            made = blocks.numbers(connection, model)
            if not made:
                return None
            sums = _sums(connection, model)
            members = _prepared_members(connection, self._vault)
        return Prepared(self._database, self._vault, model, made=made, members=members, sums=sums)

    def prepare(self) -> int:
        """Make ready what the next start loads, see `blocks.build`; return how many blocks were made."""
        with self._database.read() as connection:
            models = [digest for (digest,) in connection.execute("SELECT digest FROM model ORDER BY id")]
        return blocks.build(self._database, self._vault, models)

    def unprepare(self) -> None:
        """Drop what was made ready."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM reference_block")
            connection.execute("DELETE FROM subject_block")

    def count(self) -> int:
        """Return how many references there are, of every model."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM reference").fetchone()[0])

    def vectors(self, references: Sequence[int], model: str) -> Floats:
        """Return single references again, for exact scores.

        Args:
            references: K ids, in any order, repeats allowed.
            model: digest of their model.

        Returns:
            (K, D) float32, in the order asked; a row of NaN for a reference that is gone, as after a forget in
            another process. D is 0 where all of them are.

        Raises:
            StoreError: one of them is damaged.
        """
        wanted = np.asarray(references, np.int64)
        with self._database.read() as connection:
            found = subject_rows.references_where(connection, self._vault, model, "id", wanted.tolist())
        if not found.ids.size:
            return np.full((len(wanted), found.vectors.shape[1]), np.nan, np.float32)
        places = np.searchsorted(found.ids, wanted).clip(max=found.ids.size - 1)
        vectors: Floats = found.vectors[places]
        vectors[found.ids[places] != wanted] = np.nan
        return vectors


class Prepared:
    """The people, and the references of one model, read from blocks where there are any and from rows elsewhere.

    After `chunks` has ended, `is_whole` says whether what was read is what the tables hold.
    """

    def __init__(
        self, database: Database, vault: Vault, model: str, *, made: Sequence[int], members: Members, sums: _Sums
    ) -> None:
        self.members = members
        self._database, self._vault, self._model = database, vault, model
        self._made, self._wanted = made, sums
        subjects = members.session_numbers
        self._read = _Sums(len(subjects), int(subjects.sum()), 0, 0, 0)

    @property
    def is_whole(self) -> bool:
        """Whether nobody is missing and nobody too many; False too where another process wrote meanwhile."""
        return self._read == self._wanted

    def chunks(self) -> Iterator[References | CodedReferences]:
        """Return the references in the order of enrolment, as `ReferenceReader.chunks` does.

        Raises:
            StoreError: a row that had to be read was changed or damaged.
        """
        behind = 0
        for number in self._made:
            begin, end = blocks.range_of(number)
            yield from self._counted(self._rows(behind, begin))
            with self._database.read() as connection:
                block = blocks.codes(connection, self._vault, self._model, number)
            yield from self._counted(self._rows(begin, end) if block is None else iter((block,)))
            behind = end
        yield from self._counted(self._rows(behind, _NO_END))

    def _rows(self, begin: int, end: int) -> Iterator[References]:
        while begin < end:
            with self._database.read() as connection:
                found = subject_rows.references_between(
                    connection, self._vault, self._model, begin, end, limit=CHUNK_ROWS
                )
            if found is None:
                return
            yield found
            begin = int(found.ids[-1]) + 1

    def _counted(
        self, chunks: Iterator[References] | Iterator[CodedReferences]
    ) -> Iterator[References | CodedReferences]:
        for chunk in chunks:
            self._read = self._read.with_references(chunk.ids, chunk.subjects)
            yield chunk


class _Sums(NamedTuple):
    """How many rows there are, and the sums of their numbers."""

    people: int
    people_sum: int
    references: int
    references_sum: int
    owners_sum: int

    def with_references(self, ids: NDArray[np.int64], subjects: NDArray[np.int64]) -> _Sums:
        return self._replace(
            references=self.references + len(ids),
            references_sum=self.references_sum + int(ids.sum()),
            owners_sum=self.owners_sum + int(subjects.sum()),
        )


def _sums(connection: sqlite3.Connection, model: str) -> _Sums:
    """Add up the tables, by indexes that hold the numbers alone: a tenth of a second for a million."""
    people = connection.execute(
        "SELECT count(*), coalesce(sum(session_number), 0) FROM subject INDEXED BY subject_retention"
    ).fetchone()
    references = connection.execute(
        "SELECT count(*), coalesce(sum(id), 0), coalesce(sum(subject), 0) FROM reference INDEXED BY reference_subject"
        " WHERE model = (SELECT id FROM model WHERE digest = ?)",
        (model,),
    ).fetchone()
    return _Sums(*people, *references)


def _prepared_members(connection: sqlite3.Connection, vault: Vault) -> Members:
    parts, behind = [], 0
    made = connection.execute("SELECT number FROM subject_block ORDER BY number").fetchall()
    for (number,) in made:
        if (block := blocks.flags(connection, vault, number)) is None:
            continue  # its rows are read with the next gap
        begin, end = blocks.range_of(number)
        if behind < begin:
            parts.append(subject_rows.members_between(connection, vault, behind, begin))
        parts.append(block)
        behind = end
    parts.append(subject_rows.members_between(connection, vault, behind, _NO_END))
    names = [column.name for column in fields(Members)]
    return Members(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

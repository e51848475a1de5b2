"""What the gallery loads: references, whose they are, and who changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kiosk.store import subject_rows
from kiosk.store.subjects import Changes, Members, References

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kiosk.store.database import Database
    from kiosk.store.vault import Vault
    from kiosk.types import Floats, SubjectId

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
            first, newest = connection.execute("SELECT min(version), coalesce(max(version), 0) FROM change").fetchone()
        return Changes(newest, tuple(number for (number,) in rows), first is None or version >= first - 1)

    def members(self, numbers: Sequence[SubjectId] | None = None) -> Members:
        """Return lists, status and dates of everyone, or of those asked for who are there."""
        with self._database.read() as connection:
            return subject_rows.members(connection, self._vault, numbers)

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

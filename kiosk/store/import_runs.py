"""Which files an import has dealt with, so that it goes on where it was stopped.

A file's path may hold a name, so only its keyed hash is stored; a file changed since counts as new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from kiosk.store.database import Database
    from kiosk.store.subjects import ImportedFile
    from kiosk.store.vault import Vault


class Imports:
    """The import runs of one store."""

    def __init__(self, database: Database, vault: Vault, *, now: Callable[[], float]) -> None:
        self._database = database
        self._vault = vault
        self._now = now

    def begin(self, source: str) -> int:
        """Return the run of an import from this source: the unfinished one, or a new one."""
        key = self._vault.lookup("import", source)
        with self._database.write() as connection:
            found = connection.execute(
                "SELECT id FROM import_run WHERE source = ? AND finished_at IS NULL", (key,)
            ).fetchone()
            if found is None:
                found = connection.execute(
                    "INSERT INTO import_run (source, started_at) VALUES (?, ?) RETURNING id",
                    (key, float(self._now())),
                ).fetchone()
        return int(found[0])

    def outcome(self, run: int, path: str, modified_ns: int) -> str | None:
        """Return what became of a file in this run; None when it is new or changed since."""
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT outcome FROM import_file WHERE run = ? AND file = ? AND modified_ns = ?",
                (run, self._vault.lookup("import", path), modified_ns),
            ).fetchone()
        return found[0] if found else None

    def mark(self, imported: ImportedFile) -> None:
        """Remember a file that enrolled nobody; `People.enrol(imported=…)` does it for the others."""
        with self._database.write() as connection:
            insert(connection, self._vault, imported, None)

    def end(self, run: int) -> dict[str, int]:
        """Close a run; return how many files had which outcome."""
        with self._database.write() as connection:
            counts = connection.execute(
                "SELECT outcome, count(*) FROM import_file WHERE run = ? GROUP BY outcome", (run,)
            ).fetchall()
            connection.execute("UPDATE import_run SET finished_at = ? WHERE id = ?", (float(self._now()), run))
        return dict(counts)


def insert(connection: sqlite3.Connection, vault: Vault, imported: ImportedFile, subject: int | None) -> None:
    """Remember a file within the transaction that enrolled its person."""
    connection.execute(
        "INSERT OR REPLACE INTO import_file (run, file, modified_ns, outcome, subject) VALUES (?, ?, ?, ?, ?)",
        (
            imported.run,
            vault.lookup("import", imported.path),
            imported.modified_ns,
            imported.outcome,
            subject,
        ),
    )

"""The crops of faces that a reviewer is shown, sealed until they have decided; kept only where a setting says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.store.schema import row_context
from kiosk.store.subject_rows import next_id, unseal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from kiosk.store.database import Database
    from kiosk.store.vault import Vault

TABLE = "review_image"


class ReviewImages:
    """The crops of one store; `Store.review_images` is it."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def names(self, seq: int) -> tuple[str, ...]:
        """Return which crops are kept of the decision of a record."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT name FROM review_image WHERE seq = ? ORDER BY id", (seq,)).fetchall()
        return tuple(name for (name,) in rows)

    def read(self, seq: int, name: str) -> bytes | None:
        """Return a crop as JPEG; None where none is kept (any more).

        Raises:
            StoreError: it was changed or damaged.
        """
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT id, sealed FROM review_image WHERE seq = ? AND name = ?", (seq, name)
            ).fetchone()
            return None if row is None else unseal(self._vault, row[1], TABLE, row[0])


def insert(connection: sqlite3.Connection, vault: Vault, seq: int, images: Mapping[str, bytes], now: float) -> None:
    """Keep the crops of a decision, in the transaction that records it."""
    for name, jpeg in images.items():
        row = next_id(connection, TABLE)
        connection.execute(
            "INSERT INTO review_image (id, seq, name, kept_at, sealed) VALUES (?, ?, ?, ?, ?)",
            (row, seq, name, float(now), vault.seal(jpeg, row_context(TABLE, row))),
        )


def drop(connection: sqlite3.Connection, request_id: str) -> bool:
    """Delete the crops of a decision that was reviewed; say whether there were any."""
    return bool(
        connection.execute(
            "DELETE FROM review_image WHERE seq IN (SELECT seq FROM log WHERE request_id = ?)", (request_id,)
        ).rowcount
    )


def drop_older(connection: sqlite3.Connection, before: float) -> int:
    """Delete crops that nobody reviewed in time; return how many."""
    return connection.execute("DELETE FROM review_image WHERE kept_at < ?", (before,)).rowcount

"""What the owner ordered, as it was signed: by kind the newest revision, and those before it until it is obeyed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiosk.store.store import Store


class Orders:
    """The orders of one store; `Shared.orders` is it. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, kind: str, revision: int, envelope: bytes) -> bool:
        """Keep an order; False where one as new is here."""
        with self._store.database.write() as connection:
            (newest,) = connection.execute(
                "SELECT coalesce(max(revision), 0) FROM fleet_order WHERE kind = ?", (kind,)
            ).fetchone()
            if revision <= newest:
                return False
            connection.execute(
                "INSERT INTO fleet_order (kind, revision, envelope) VALUES (?, ?, ?)", (kind, revision, envelope)
            )
        return True

    def of(self, kind: str) -> tuple[bytes, ...]:
        """Return the orders of a kind, newest first."""
        with self._store.database.read() as connection:
            rows = connection.execute(
                "SELECT envelope FROM fleet_order WHERE kind = ? ORDER BY revision DESC", (kind,)
            ).fetchall()
        return tuple(bytes(envelope) for (envelope,) in rows)

    def newest(self) -> dict[str, bytes]:
        """Return the newest order of each kind."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT kind, envelope FROM fleet_order ORDER BY revision").fetchall()
        return {kind: bytes(envelope) for kind, envelope in rows}

    def drop_before(self, kind: str, revision: int) -> None:
        """Keep nothing that is older than an order that is obeyed."""
        with self._store.database.write() as connection:
            connection.execute("DELETE FROM fleet_order WHERE kind = ? AND revision < ?", (kind, revision))

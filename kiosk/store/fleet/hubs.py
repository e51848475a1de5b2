"""How far each hub has been read and written, and what of this kiosk's own word it has not had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiosk.store import subject_rows
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.document import Document, unpack_own
from kiosk.store.fleet.document_rows import ME

if TYPE_CHECKING:
    from kiosk.store.store import Store


@dataclass(frozen=True, slots=True)
class Position:
    """How far a hub was read, and up to which of our versions it has what we said."""

    seq: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One document of this kiosk's, to be sent."""

    person: str
    version: int
    document: Document


class Hubs:
    """The positions at each hub; `Shared.hubs` is it. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._store, self._vault = store, store.vault

    def position(self, source: str) -> Position:
        """Return how far a hub was read and written."""
        with self._store.database.read() as connection:
            found = connection.execute("SELECT seq, sent FROM fleet_position WHERE source = ?", (source,)).fetchone()
        return Position() if found is None else Position(*found)

    def pending(self, source: str, limit: int = 256) -> tuple[Outgoing, ...]:
        """Return what a hub has not had of this kiosk, oldest first."""
        sent = self.position(source).sent
        return self._own("AND version > ? ORDER BY version LIMIT ?", (sent, limit))

    def mark_sent(self, source: str, version: int) -> None:
        """Note that a hub has everything of this kiosk up to a version."""
        with self._store.database.write() as connection:
            connection.execute(
                "INSERT INTO fleet_position (source, seq, sent) VALUES (?, 0, ?)"
                " ON CONFLICT (source) DO UPDATE SET sent = max(sent, excluded.sent)",
                (source, version),
            )

    def rewind(self) -> None:
        """Read and send everything again from the beginning, at every hub."""
        with self._store.database.write() as connection:
            connection.execute("DELETE FROM fleet_position")

    def waiting(self, source: str) -> int:
        """Return how many documents of this kiosk a hub has not had."""
        with self._store.database.read() as connection:
            me = document_rows.value(connection, ME)
            return int(
                connection.execute(
                    "SELECT count(*) FROM fleet_document WHERE origin = ? AND version > coalesce("
                    "(SELECT sent FROM fleet_position WHERE source = ?), 0)",
                    (me, source),
                ).fetchone()[0]
            )

    def positions(self) -> dict[str, Position]:
        """Return how far each hub was read and written."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT source, seq, sent FROM fleet_position ORDER BY source").fetchall()
        return {source: Position(seq, sent) for source, seq, sent in rows}

    def is_sent(self, source: str, person: str) -> bool:
        """Whether a hub has all that this kiosk says of a person."""
        sent = self.position(source).sent
        return not self._own("AND person = ? AND version > ?", (person, sent))

    def own(self) -> tuple[Outgoing, ...]:
        """Return everything this kiosk says."""
        return self._own("ORDER BY version", ())

    def _own(self, more: str, values: Sequence[object]) -> tuple[Outgoing, ...]:
        with self._store.database.read() as connection:
            me = document_rows.value(connection, ME)
            rows = connection.execute(
                f"SELECT id, person, version, sealed FROM fleet_document WHERE origin = ? {more}", (me, *values)
            ).fetchall()
        return tuple(
            Outgoing(person, version, unpack_own(subject_rows.unseal(self._vault, sealed, "fleet_document", row)))
            for row, person, version, sealed in rows
        )

    # ---- health of the others

    def hear_health(self, kiosk: str, at: float, text: str) -> None:
        """Keep what a kiosk last said of itself."""
        self.hear_healths([(kiosk, at, text)])

    def hear_healths(
        self, said: Iterable[tuple[str, float, str]], heads: Iterable[tuple[str, int, bytes]] = ()
    ) -> None:
        """Keep what some kiosks last said of themselves, and newer heads of their logs, in one transaction.

        Args:
            said: kiosk, when, what.
            heads: kiosk, number of the record, as it was signed.
        """
        with self._store.database.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO fleet_health (kiosk, at, text) VALUES (?, ?, ?)", said)
            connection.executemany(
                "INSERT INTO fleet_head (kiosk, seq, said) VALUES (?, ?, ?) ON CONFLICT (kiosk)"
                " DO UPDATE SET seq = excluded.seq, said = excluded.said WHERE excluded.seq > fleet_head.seq",
                heads,
            )

    def heads(self, kiosk: str | None = None) -> dict[str, tuple[int, bytes]]:
        """Return the newest head of each kiosk's log, or of one's: its number, and as it was signed."""
        with self._store.database.read() as connection:
            rows = connection.execute(
                "SELECT kiosk, seq, said FROM fleet_head WHERE ? IS NULL OR kiosk = ? ORDER BY kiosk", (kiosk, kiosk)
            ).fetchall()
        return {kiosk: (seq, bytes(said)) for kiosk, seq, said in rows}

    def health(self, kiosk: str | None = None) -> dict[str, tuple[float, str]]:
        """Return what each kiosk, or one, last said of itself, and when it said so, s UTC by its clock."""
        with self._store.database.read() as connection:
            rows = connection.execute(
                "SELECT kiosk, at, text FROM fleet_health WHERE ? IS NULL OR kiosk = ? ORDER BY kiosk", (kiosk, kiosk)
            ).fetchall()
        return {kiosk: (at, text) for kiosk, at, text in rows}

"""Sessions that wait for their person: sealed rows, found by the token of their link.

A row lives until its session expires. When a session ends, its result becomes a record of the log in the same
transaction, and the row keeps no more than what its page must still show. A row is written over only by whoever saw
its last version, so of two devices that send the same step one is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kiosk.errors import RefusedError, StoreError
from kiosk.store.schema import row_context
from kiosk.store.subjects import vendor_lookup
from kiosk.store.vault import InvalidTag

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from kiosk.store.database import Database
    from kiosk.store.vault import Vault

Change = Callable[["sqlite3.Connection", int], None]
"""What is done in the transaction of a record of the log, given the record's number."""

_COLUMNS = "id, session_id, opened_seq, expires_at, version, is_over, sealed"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as it is stored."""

    session_id: str
    expires_at: float  # s UTC
    content: Mapping[str, Any] = field(repr=False)  # JSON
    opened_seq: int = 0  # of the record that it was made; 0 before
    version: int = 0
    is_over: bool = False

    @property
    def vendor_data(self) -> str | None:
        """The caller's identifier."""
        return self.content.get("vendor_data")


class OpenSessions:
    """The open sessions of one store; `Store.sessions` is it."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def __repr__(self) -> str:
        return "OpenSessions()"

    # ---- changes, done with a record of the log

    def inserting(self, session: OpenSession, token: str) -> Change:
        """Return what adds a session."""

        def insert(connection: sqlite3.Connection, seq: int) -> None:
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'session'").fetchone()
            row = (last[0] if last else 0) + 1
            connection.execute(
                "INSERT INTO session (id, session_id, token_hash, opened_seq, expires_at, version, is_over,"
                " vendor_lookup, sealed) VALUES (?, ?, ?, ?, ?, 1, 0, ?, ?)",
                (
                    row,
                    session.session_id,
                    _hashed(token),
                    seq,
                    session.expires_at,
                    vendor_lookup(self._vault, session.vendor_data),
                    self._sealed(row, session),
                ),
            )

        return insert

    def replacing(self, session: OpenSession) -> Change:
        """Return what writes a session over the version that it was read as.

        The change raises a `RefusedError` where somebody else was faster.
        """

        def update(connection: sqlite3.Connection, _seq: int) -> None:
            row = connection.execute(
                "SELECT id FROM session WHERE session_id = ? AND version = ?", (session.session_id, session.version)
            ).fetchone()
            if row is None:
                raise RefusedError("the session went on elsewhere meanwhile; look at it again")
            connection.execute(
                "UPDATE session SET version = version + 1, is_over = ?, vendor_lookup = ?, sealed = ? WHERE id = ?",
                (
                    int(session.is_over),
                    vendor_lookup(self._vault, session.vendor_data),
                    self._sealed(row[0], session),
                    row[0],
                ),
            )
            if session.is_over:  # what its steps found was overwritten, and is to leave the files
                connection.execute("INSERT OR REPLACE INTO kiosk (name, value) VALUES ('unclean', '1')")

        return update

    def deleting(self, session: OpenSession) -> Change:
        """Return what takes a session away, as `replacing` does."""

        def delete(connection: sqlite3.Connection, _seq: int) -> None:
            done = connection.execute(
                "DELETE FROM session WHERE session_id = ? AND version = ?", (session.session_id, session.version)
            )
            if not done.rowcount:
                raise RefusedError("the session went on elsewhere meanwhile; look at it again")
            connection.execute("INSERT OR REPLACE INTO kiosk (name, value) VALUES ('unclean', '1')")

        return delete

    def write(self, session: OpenSession) -> OpenSession:
        """Write a session over its last version, without a record; return it as the next version.

        Raises:
            RefusedError: somebody else was faster.
        """
        with self._database.write() as connection:
            self.replacing(session)(connection, 0)
        return replace(session, version=session.version + 1)

    def drop_over(self, now: float) -> None:
        """Delete the rows of sessions that ended, once their links have expired."""
        with self._database.read() as connection:
            found = connection.execute("SELECT 1 FROM session WHERE is_over AND expires_at <= ? LIMIT 1", (now,))
            if found.fetchone() is None:
                return
        with self._database.write() as connection:
            connection.execute("DELETE FROM session WHERE is_over AND expires_at <= ?", (now,))

    # ---- what there is

    def by_token(self, token: str) -> OpenSession | None:
        """Return the session of a link; None for none."""
        return next(iter(self._read("WHERE token_hash = ?", _hashed(token))), None)

    def by_id(self, session_id: str) -> OpenSession | None:
        """Return a session by its id."""
        return next(iter(self._read("WHERE session_id = ?", session_id)), None)

    def overdue(self, now: float) -> Sequence[OpenSession]:
        """Return the sessions whose time has passed and that did not end."""
        return self._read("WHERE NOT is_over AND expires_at <= ? ORDER BY id LIMIT 200", now)

    def waiting(self) -> Sequence[OpenSession]:
        """Return the sessions that did not end, newest first."""
        return self._read("WHERE NOT is_over ORDER BY id DESC")

    def count(self) -> int:
        """Return how many did not end."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM session WHERE NOT is_over").fetchone()[0])

    def _read(self, where: str, *values: object) -> list[OpenSession]:
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM session {where}", values).fetchall()
        return [self._opened(row) for row in rows]

    def _opened(self, row: tuple[Any, ...]) -> OpenSession:
        number, session_id, opened_seq, expires_at, version, is_over, sealed = row
        try:
            plain = self._vault.open(sealed, row_context("session", number))
        except InvalidTag as damaged:
            raise StoreError(f"session {number} was changed or damaged; run `kiosk store repair`") from damaged
        return OpenSession(session_id, expires_at, json.loads(plain), opened_seq, version, bool(is_over))

    def _sealed(self, row: int, session: OpenSession) -> bytes:
        return self._vault.seal(json.dumps(dict(session.content)).encode(), row_context("session", row))


def reseal(connection: sqlite3.Connection, new: Vault) -> None:
    """Make the lookups of sessions anew after a rekey sealed their contents; they are opened with the new key."""
    for row, sealed in connection.execute("SELECT id, sealed FROM session").fetchall():
        content = json.loads(new.open(sealed, row_context("session", row)))
        lookup = vendor_lookup(new, content.get("vendor_data"))
        connection.execute("UPDATE session SET vendor_lookup = ? WHERE id = ?", (lookup, row))


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

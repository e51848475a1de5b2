"""What is to leave the device: one row per decision and policy, written with the decision itself.

    waiting ──claim──▶ sending ──settle──▶ sent         only with the receiver's request_id
       ▲                  │  └───reject──▶ rejected     parked, with the reason
       └─────postpone─────┘    supersede─▶ superseded   its person was forgotten, or a newer row counts

A row that is `sending` after a crash may have arrived or not; whoever sends looks first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from kiosk.errors import StoreError
from kiosk.schema import row_context
from kiosk.vault import InvalidTag, Vault

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from kiosk.database import Database


class OutboxState(str, Enum):
    """Where a row stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Message:
    """What a policy wants sent about a decision."""

    policy: str  # "summary" or "replay"
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON; sealed at rest


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One row of the outbox."""

    id: int
    seq: int  # of the decision in the log
    request_id: str
    policy: str
    state: OutboxState
    attempts: int
    next_attempt_at: float
    remote_request_id: str | None
    last_error: str | None
    payload: Mapping[str, Any] | None = field(repr=False)  # None once it is not needed any more


_COLUMNS = """
    outbox.id, outbox.seq, log.request_id, policy, state, attempts, next_attempt_at,
    remote_request_id, last_error, payload FROM outbox JOIN log ON log.seq = outbox.seq
"""


def insert(connection: sqlite3.Connection, vault: Vault, seq: int, message: Message, at: float) -> int:
    """Add a row within the decision's own transaction; return its id."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    row: int = (found[0] if found else 0) + 1
    payload = vault.seal(json.dumps(dict(message.payload)).encode(), row_context("outbox", row))
    connection.execute(
        "INSERT INTO outbox (id, seq, policy, next_attempt_at, payload) VALUES (?, ?, ?, ?, ?)",
        (row, seq, message.policy, at, payload),
    )
    return row


class Outbox:
    """The queue, for the one thread that sends."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def rows(self, state: OutboxState | None = None, *, limit: int = 100, offset: int = 0) -> tuple[OutboxRow, ...]:
        """Return rows, oldest first."""
        where = "" if state is None else "WHERE state = ?"
        values: list[object] = [] if state is None else [state.value]
        with self._database.read() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS} {where} ORDER BY outbox.id LIMIT ? OFFSET ?",
                [*values, limit, offset],
            ).fetchall()
        return tuple(self._row(row) for row in found)

    def counts(self) -> dict[OutboxState, int]:
        """Return how many rows stand where; every state is named."""
        with self._database.read() as connection:
            found = dict(connection.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall())
        return {state: found.get(state.value, 0) for state in OutboxState}

    def claim(self, now: float) -> OutboxRow | None:
        """Take the oldest waiting row that is due, and mark it as being sent."""
        with self._database.write() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS} WHERE state = 'waiting' AND next_attempt_at <= ? ORDER BY outbox.id LIMIT 1",
                (now,),
            ).fetchone()
            if found is None:
                return None
            connection.execute(
                "UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id = ?",
                (found[0],),
            )
            found = connection.execute(f"SELECT {_COLUMNS} WHERE outbox.id = ?", (found[0],)).fetchone()
        return self._row(found)

    def settle(self, row: int, remote_request_id: str) -> None:
        """Record that a row arrived, under which id; what was sent is erased."""
        self._move(row, "state = 'sent', remote_request_id = ?, payload = NULL", [remote_request_id])

    def postpone(self, row: int, next_attempt_at: float, error: str) -> None:
        """Put a row back, to be tried again not before a time."""
        self._move(
            row,
            "state = 'waiting', next_attempt_at = ?, last_error = ?",
            [next_attempt_at, error],
        )

    def reject(self, row: int, error: str) -> None:
        """Park a row that the receiver will never take."""
        self._move(row, "state = 'rejected', last_error = ?", [error])

    def supersede(self, row: int, reason: str) -> None:
        """Drop a row that need not be sent any more; what it held is erased."""
        self._move(row, "state = 'superseded', last_error = ?, payload = NULL", [reason])

    def _move(self, row: int, assignments: str, values: list[object]) -> None:
        with self._database.write() as connection:
            moved = connection.execute(
                f"UPDATE outbox SET {assignments} WHERE id = ? AND state NOT IN ('sent', 'superseded')",
                [*values, row],
            ).rowcount
        if not moved:
            raise StoreError(f"outbox row {row} is not waiting for anything")

    def _row(self, found: tuple[Any, ...]) -> OutboxRow:
        row, seq, request_id, policy, state, attempts, due, remote, error, sealed = found
        payload = None
        if sealed is not None:
            try:
                payload = json.loads(self._vault.open(sealed, row_context("outbox", row)))
            except InvalidTag as damaged:
                raise StoreError(f"outbox row {row} was changed or damaged; run `kiosk store repair`") from damaged
        return OutboxRow(row, seq, request_id, policy, OutboxState(state), attempts, due, remote, error, payload)

"""What is to leave the device: one row per decision and policy, written with the decision itself.

    waiting ──claim──▶ sending ──settle──▶ sent         only with the receiver's request_id
       ▲                  │  └───reject──▶ rejected     parked, with the reason; `release` puts it back
       └─────postpone─────┘    supersede─▶ superseded   its person was forgotten, or it is too old

A row whose POST may have arrived is in doubt: `doubt_from` is the server's time of the first such POST, written
before the POST begins. So a row that a crash left in `sending` is looked for before anything is sent again.

Rows of one person go one after the other: while an earlier one waits or is being sent, later ones stay.
Photographs lie in rows of their own, sealed, and are erased once the row needs them no more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from kiosk.errors import StoreError
from kiosk.store.schema import row_context
from kiosk.store.vault import InvalidTag, Vault

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from kiosk.store.database import Database

FLEET = "fleet"  # the policy of what goes to the log of the owner's fleet, see fleet/decisions.py
POLICIES = ("summary", "replay", "opinion", "review", "block", FLEET)
OF_CLOUD = tuple(policy for policy in POLICIES if policy != FLEET)
CALLS = ("replay", "opinion")  # of them those that make a call again
_EVERY_RECORD = (1 << 63) - 1
WINDOW_S = 60.0  # over which writes are counted


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

    policy: str  # of POLICIES
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON; sealed at rest
    photographs: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # by the call's field; sealed
    person: str | None = field(default=None, repr=False)  # whose rows keep their order; None: nobody's
    may_have_arrived: bool = False  # a fallback asked already, and heard nothing
    parked: str | None = None  # why it cannot be sent from the start


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
    created_at: float | None  # None: of a store older than this column
    doubt_from: float | None  # server's time, s UTC; None: nothing of it can have arrived
    looks: int  # in vain, since the last POST that may have arrived
    payload: Mapping[str, Any] | None = field(repr=False)  # None once it is not needed any more


_COLUMNS = """
    outbox.id, outbox.seq, log.request_id, policy, state, attempts, next_attempt_at, remote_request_id, last_error,
    created_at, doubt_from, looks, payload
"""
_JOINED = "JOIN log ON log.seq = outbox.seq"


def insert_all(connection: sqlite3.Connection, vault: Vault, seq: int, messages: Sequence[Message], at: float) -> None:
    """Add what is to leave because of a record, within its own transaction."""
    for message in messages:
        insert(connection, vault, seq, message, at)


def insert(connection: sqlite3.Connection, vault: Vault, seq: int, message: Message, at: float) -> int:
    """Add a row within the decision's own transaction; return its id."""
    row = _next_id(connection, "outbox")
    whole = {"payload": dict(message.payload), "person": message.person}
    connection.execute(
        "INSERT INTO outbox (id, seq, policy, state, next_attempt_at, last_error, payload, person, created_at,"
        " doubt_from) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row,
            seq,
            message.policy,
            OutboxState.WAITING.value if message.parked is None else OutboxState.REJECTED.value,
            at,
            message.parked,
            vault.seal(json.dumps(whole).encode(), row_context("outbox", row)),
            _person(vault, message.person),
            at,
            at if message.may_have_arrived else None,
        ),
    )
    for name, content in message.photographs.items():
        photograph = _next_id(connection, "outbox_image")
        connection.execute(
            "INSERT INTO outbox_image (id, outbox, name, sealed) VALUES (?, ?, ?, ?)",
            (photograph, row, name, vault.seal(content, row_context("outbox_image", photograph))),
        )
    return row


def settle(connection: sqlite3.Connection, row: int, remote_request_id: str) -> None:
    """Record within a transaction that a row arrived, under which id; what was sent is erased."""
    _move(
        connection,
        row,
        "state = 'sent', remote_request_id = ?, last_error = NULL, payload = NULL, doubt_from = NULL",
        [remote_request_id],
    )
    _drop_photographs(connection, row)


def reseal(connection: sqlite3.Connection, old: Vault, new: Vault, rows: Sequence[tuple[int, bytes]]) -> None:
    """Seal payloads anew, and the hashes by which a person's rows are found: for a rekey.

    Raises:
        InvalidTag: a row was changed or damaged.
    """
    for row, sealed in rows:
        context = row_context("outbox", row)
        plain = old.open(sealed, context)
        connection.execute(
            "UPDATE outbox SET payload = ?, person = ? WHERE id = ?",
            (new.seal(plain, context), _person(new, _unpack(plain)[1]), row),
        )


def doubt_all(connection: sqlite3.Connection, at: float) -> None:
    """Doubt every row that is not settled: in a restored backup, as they may have been sent after it was made."""
    connection.execute(
        "UPDATE outbox SET doubt_from = coalesce(doubt_from, ?), looks = 0 WHERE state IN ('waiting', 'sending')",
        (at,),
    )


def of_fleet(session_id: str | None) -> str:
    """Return as whose the rows of a person go to the fleet."""
    return f"fleet {session_id}"


def drop_of_fleet(connection: sqlite3.Connection, vault: Vault, session_id: str) -> None:
    """Send the fleet nothing more of somebody forgotten; such rows outlast a time in which the person is not held."""
    if connection.execute("SELECT 1 FROM pragma_table_info('outbox') WHERE name = 'person'").fetchone() is None:
        return  # a backup of an older schema
    connection.execute(
        "UPDATE outbox SET payload = NULL, state = 'superseded', last_error = 'forgotten', person = NULL"
        " WHERE policy = ? AND person = ? AND state IN ('waiting', 'sending', 'rejected')",
        (FLEET, _person(vault, of_fleet(session_id))),
    )


def supersede_all(connection: sqlite3.Connection, policy: str, reason: str, *, through: int = _EVERY_RECORD) -> None:
    """Drop within a transaction what waits of a policy that has no photographs; what it held is erased.

    Args:
        connection: of the transaction.
        policy: of POLICIES.
        reason: why.
        through: the last record of the log whose rows are dropped.
    """
    connection.execute(
        "UPDATE outbox SET state = 'superseded', last_error = ?, payload = NULL, person = NULL, doubt_from = NULL"
        " WHERE policy = ? AND state IN ('waiting', 'sending', 'rejected') AND seq <= ?",
        (reason, policy, through),
    )


def erase_photographs(connection: sqlite3.Connection, seq: int) -> list[bytes]:
    """Delete the photographs that belong to a decision; return what was stored of them."""
    of = "WHERE outbox IN (SELECT id FROM outbox WHERE seq = ?)"
    found = connection.execute(f"SELECT sealed FROM outbox_image {of}", (seq,)).fetchall()
    connection.execute(f"DELETE FROM outbox_image {of}", (seq,))
    return [sealed for (sealed,) in found]


class Outbox:
    """One queue, for the one thread that sends it: the cloud's, or the fleet's."""

    def __init__(self, database: Database, vault: Vault, policies: Sequence[str] = OF_CLOUD) -> None:
        self._database, self._vault, self._policies = database, vault, policies
        self._ours = f"policy IN ({', '.join('?' * len(policies))})"

    def rows(self, state: OutboxState | None = None, *, limit: int = 100, offset: int = 0) -> tuple[OutboxRow, ...]:
        """Return rows, oldest first."""
        where = self._ours if state is None else f"{self._ours} AND state = ?"
        values: list[object] = [] if state is None else [state.value]
        with self._database.read() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM outbox {_JOINED} WHERE {where} ORDER BY outbox.id LIMIT ? OFFSET ?",
                [*self._policies, *values, limit, offset],
            ).fetchall()
        return tuple(self._row(row) for row in found)

    def counts(self) -> dict[OutboxState, int]:
        """Return how many rows stand where; every state is named."""
        sql = f"SELECT state, count(*) FROM outbox WHERE {self._ours} GROUP BY state"
        with self._database.read() as connection:
            found = dict(connection.execute(sql, self._policies).fetchall())
        return {state: found.get(state.value, 0) for state in OutboxState}

    def oldest_waiting(self) -> float | None:
        """Return when the oldest waiting row was written, s UTC; None where none waits."""
        where = f"WHERE state = 'waiting' AND {self._ours}"
        with self._database.read() as connection:
            found = connection.execute(
                f"SELECT created_at FROM outbox INDEXED BY outbox_waiting {where} ORDER BY id LIMIT 1", self._policies
            ).fetchone()
        return None if found is None else found[0]

    def next_due(self, now: float) -> float | None:
        """Return when the next row that waits for its time is due, s UTC."""
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT next_attempt_at FROM outbox INDEXED BY outbox_due WHERE state IN ('waiting', 'sending')"
                " AND next_attempt_at > ? ORDER BY next_attempt_at LIMIT 1",
                (now,),
            ).fetchone()
        return None if found is None else found[0]

    def photograph_bytes(self) -> int:
        """Return the bytes that photographs take."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT bytes FROM outbox_room").fetchone()[0])

    def photographs(self, row: int) -> dict[str, bytes]:
        """Return the photographs of a row by the call's field; none once they are erased."""
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT id, name, sealed FROM outbox_image WHERE outbox = ? ORDER BY id", (row,)
            ).fetchall()
        try:
            return {
                name: self._vault.open(sealed, row_context("outbox_image", photograph))
                for photograph, name, sealed in found
            }
        except InvalidTag as damaged:
            raise _damaged(row) from damaged

    # ---- sending

    def recover(self, next_attempt_at: float) -> int:
        """Put back what a crash left in `sending`, in doubt; return how many rows. For the one who sends, at start."""
        with self._database.write() as connection:
            return connection.execute(
                "UPDATE outbox SET state = 'waiting', next_attempt_at = ?, looks = 0 WHERE state = 'sending'"
                f" AND {self._ours}",
                (next_attempt_at, *self._policies),
            ).rowcount

    def behind(self) -> dict[int, int]:
        """Return which waiting row waits for which earlier one, as both are about one person."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT outbox.id, max(earlier.id) FROM outbox JOIN outbox AS earlier"
                " ON earlier.person = outbox.person AND earlier.id < outbox.id"
                " WHERE outbox.state = 'waiting' AND earlier.state IN ('waiting', 'sending') GROUP BY outbox.id"
            ).fetchall()
        return dict(rows)

    def claim(self, now: float, policies: Sequence[str] | None = None) -> OutboxRow | None:
        """Take the oldest waiting row that is due and first of its person; a damaged one is parked, and raises."""
        policies = self._policies if policies is None else policies
        with self._database.write() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM outbox INDEXED BY outbox_waiting {_JOINED}"
                f" WHERE state = 'waiting' AND next_attempt_at <= ? AND policy IN ({', '.join('?' * len(policies))})"
                " AND NOT EXISTS (SELECT 1 FROM outbox AS earlier INDEXED BY outbox_person"
                "   WHERE earlier.person = outbox.person AND earlier.id < outbox.id"
                "   AND earlier.state IN ('waiting', 'sending'))"
                " ORDER BY outbox.id LIMIT 1",
                (now, *policies),
            ).fetchone()
            if found is None:
                return None
            connection.execute("UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id = ?", found[:1])
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM outbox {_JOINED} WHERE outbox.id = ?", found[:1]
            ).fetchone()
        try:
            return self._row(found)
        except StoreError as error:  # later rows of the person must not wait for it
            self.reject(found[0], str(error))
            raise

    def begin(self, row: int, *, now: float, server_now: float, writes_per_minute: int) -> float:
        """Note that a POST of a claimed row begins now, unless a minute's writes are used up.

        Args:
            row: its id.
            now: s UTC.
            server_now: the server's clock, as far as it is known.
            writes_per_minute: the limit, over all processes and restarts.

        Returns:
            0 when the POST may begin; else the seconds to wait.
        """
        with self._database.write() as connection:
            wait_s = _take_write(connection, now, writes_per_minute)
            if not wait_s:
                connection.execute(
                    "UPDATE outbox SET doubt_from = coalesce(doubt_from, ?), looks = 0 WHERE id = ?", (server_now, row)
                )
        return wait_s

    def take_write(self, now: float, writes_per_minute: int) -> float:
        """Count a write that belongs to no row; return 0, or the seconds to wait where a minute's are used up."""
        with self._database.write() as connection:
            return _take_write(connection, now, writes_per_minute)

    def write_wait_s(self, now: float, writes_per_minute: int) -> float:
        """Return the seconds until the next write is within the limit."""
        with self._database.read() as connection:
            return _write_wait_s(connection, now, writes_per_minute)

    def settle(self, row: int, remote_request_id: str) -> None:
        """Record that a row arrived, under which id; what was sent is erased."""
        with self._database.write() as connection:
            settle(connection, row, remote_request_id)

    def postpone(self, row: int, next_attempt_at: float, error: str, *, looks: int | None = None) -> None:
        """Put a row back, to be tried again not before a time.

        Args:
            row: its id.
            next_attempt_at: s UTC.
            error: why.
            looks: how often it was looked for in vain; None where nothing of it can have arrived.
        """
        doubt = "doubt_from = NULL, looks = 0" if looks is None else "looks = ?"
        values: list[object] = [next_attempt_at, error] + ([] if looks is None else [looks])
        with self._database.write() as connection:
            _move(connection, row, f"state = 'waiting', next_attempt_at = ?, last_error = ?, {doubt}", values)

    def reject(self, row: int, error: str) -> None:
        """Park a row that the receiver will never take."""
        with self._database.write() as connection:
            _move(connection, row, "state = 'rejected', last_error = ?, doubt_from = NULL", [error])

    def release(self, row: int, now: float) -> None:
        """Put a parked row back into the queue.

        Raises:
            StoreError: it was not refused, or its content is gone.
        """
        with self._database.write() as connection:
            moved = connection.execute(
                "UPDATE outbox SET state = 'waiting', next_attempt_at = ?, last_error = NULL"
                " WHERE id = ? AND state = 'rejected' AND payload IS NOT NULL",
                (now, row),
            ).rowcount
        if not moved:
            raise StoreError(
                f"outbox row {row} was not refused, or its content is gone; `kiosk cloud outbox --which rejected` "
                "lists the rows that were"
            )

    def supersede(self, row: int, reason: str) -> None:
        """Drop a row that need not be sent any more; what it held is erased."""
        with self._database.write() as connection:
            _move(connection, row, "state = 'superseded', last_error = ?, payload = NULL", [reason])
            _drop_photographs(connection, row)

    def expire(self, before: float) -> int:
        """Drop what was written before a time and never arrived; return how many rows."""
        with self._database.write() as connection:
            rows = connection.execute(
                "SELECT id FROM outbox WHERE state IN ('waiting', 'rejected') AND created_at < ?"
                f" AND payload IS NOT NULL AND {self._ours}",
                (before, *self._policies),
            ).fetchall()
            for (row,) in rows:
                _move(connection, row, "state = 'superseded', last_error = 'too old', payload = NULL", [])
                _drop_photographs(connection, row)
        return len(rows)

    def is_known(self, remote_request_id: str) -> bool:
        """Say whether a row was settled with this id."""
        with self._database.read() as connection:
            found = connection.execute("SELECT 1 FROM outbox WHERE remote_request_id = ?", (remote_request_id,))
            return found.fetchone() is not None

    def of_call(self, request_id: str) -> tuple[OutboxState, str | None] | None:
        """Return how far the call of a decision is, and under which id it arrived; None where it is not sent."""
        with self._database.read() as connection:
            found = connection.execute(
                f"SELECT outbox.state, remote_request_id FROM outbox {_JOINED} WHERE log.request_id = ?"
                f" AND policy IN ({', '.join('?' * len(CALLS))}) ORDER BY outbox.id DESC LIMIT 1",
                (request_id, *CALLS),
            ).fetchone()
        return None if found is None else (OutboxState(found[0]), found[1])

    def request_of(self, remote_request_id: str) -> str | None:
        """Return the request_id of the decision that arrived under this id."""
        with self._database.read() as connection:
            found = connection.execute(
                f"SELECT log.request_id FROM outbox {_JOINED} WHERE remote_request_id = ?", (remote_request_id,)
            ).fetchone()
        return None if found is None else str(found[0])

    def _row(self, found: tuple[Any, ...]) -> OutboxRow:
        row, seq, request_id, policy, state, attempts, due, remote, error, created_at, doubt_from, looks, sealed = found
        payload = None
        if sealed is not None:
            try:
                payload = _unpack(self._vault.open(sealed, row_context("outbox", row)))[0]
            except InvalidTag as damaged:
                raise _damaged(row) from damaged
        return OutboxRow(
            row,
            seq,
            request_id,
            policy,
            OutboxState(state),
            attempts,
            due,
            remote,
            error,
            created_at,
            doubt_from,
            looks,
            payload,
        )


def _next_id(connection: sqlite3.Connection, table: str) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(found[0] if found else 0) + 1


def _person(vault: Vault, person: str | None) -> bytes | None:
    return None if person is None else vault.lookup("outbox person", person)


def _unpack(plain: bytes) -> tuple[dict[str, Any], str | None]:
    whole = json.loads(plain)
    if whole.keys() == {"payload", "person"}:
        return whole["payload"], whole["person"]
    return whole, None  # of a store older than `person`


def _move(connection: sqlite3.Connection, row: int, assignments: str, values: Sequence[object]) -> None:
    moved = connection.execute(
        f"UPDATE outbox SET {assignments} WHERE id = ? AND state NOT IN ('sent', 'superseded')", [*values, row]
    ).rowcount
    if not moved:
        raise StoreError(f"outbox row {row} was sent or dropped already; `kiosk cloud outbox` lists the rows")


def _drop_photographs(connection: sqlite3.Connection, row: int) -> None:
    connection.execute("DELETE FROM outbox_image WHERE outbox = ?", (row,))


def _write_wait_s(connection: sqlite3.Connection, now: float, writes_per_minute: int) -> float:
    # A write of the future was noted before the clock was set back; it counts, for at most a window.
    times = [
        at
        for (at,) in connection.execute(
            "SELECT at FROM cloud_write WHERE at > ? AND at < ? ORDER BY at DESC LIMIT ?",
            (now - WINDOW_S, now + WINDOW_S, writes_per_minute),
        )
    ]
    return 0.0 if len(times) < writes_per_minute else max(0.001, times[-1] + WINDOW_S - now)


def _take_write(connection: sqlite3.Connection, now: float, writes_per_minute: int) -> float:
    wait_s = _write_wait_s(connection, now, writes_per_minute)
    if not wait_s:
        connection.execute("DELETE FROM cloud_write WHERE at <= ? OR at >= ?", (now - 2 * WINDOW_S, now + 2 * WINDOW_S))
        connection.execute("INSERT INTO cloud_write (at) VALUES (?)", (now,))
    return wait_s


def _damaged(row: int) -> StoreError:
    return StoreError(f"outbox row {row} was changed or damaged; run `kiosk store repair`")

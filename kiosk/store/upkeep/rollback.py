"""A store that was put back to an older day, found by what this kiosk itself once told others of its log.

`anchor.py` needs somebody who keeps an anchor; the kiosks of a fleet keep each other's newest record. What was found
holds over restarts, until an operator says that this store is the right one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiosk.errors import RefusedError
from kiosk.store.chain import Kind, Signed, is_signed
from kiosk.store.checkpoint import read_checkpoint
from kiosk.store.upkeep.anchor import gives_up

if TYPE_CHECKING:
    import sqlite3

    from kiosk.store.store import Store

FOUND = "log_rolled_back"  # in the table `kiosk`: what was found
ACCEPTED = "accepted_rollback"  # in a RESTORE record: up to where this store is right, whatever others hold


@dataclass(frozen=True, slots=True)
class Rollback:
    """A record that this kiosk told of and that its log does not hold."""

    seq: int
    hash: str

    @property
    def sentence(self) -> str:
        """What is wrong, and how to mend it."""
        return (
            f"This store was put back to an older state: other kiosks hold record {self.seq} of its log, and it does "
            "not. Revoked keys and operators are in force again: look at `kiosk key list`, restore the newest backup. "
            "Where that is done, or this store is the right one, say so: `kiosk log accept`."
        )


def found(store: Store) -> Rollback | None:
    """Return what was found; None where nothing was, or an operator accepted it."""
    with store.database.read() as connection:
        return found_in(connection)


def found_in(connection: sqlite3.Connection) -> Rollback | None:
    """Return what was found, as `found` does."""
    text = _value(connection, FOUND)
    return None if text is None else Rollback(**json.loads(text))


def hold_against(store: Store, seq: int, digest: str) -> Rollback | None:
    """Hold the log against a record that this kiosk told others of; what is found is kept.

    A record that was removed for its age, or that a restore or an operator in this log gave up, speaks against nothing;
    that is believed of records that this device signed, and of nothing else in the database.

    Args:
        store: with the log.
        seq: of the record.
        digest: hexadecimal SHA-256 of the record.
    """
    if _is_held(store, seq, digest):
        return None
    rollback = Rollback(seq, digest)
    with store.database.write() as connection:
        known = _value(connection, FOUND)
        if known is None or json.loads(known)["seq"] < seq:
            _put(connection, FOUND, json.dumps({"seq": seq, "hash": digest}))
    return rollback


def accept(store: Store, *, actor: str) -> Rollback:
    """Take an operator's word that this store is the right one, whatever others hold of it.

    The log goes on past the numbers that others hold: what is decided from now on is never taken for what was lost.

    Raises:
        RefusedError: nothing was found.
    """
    with store.transaction() as transaction:
        connection = transaction.connection
        rollback = found_in(connection)
        if rollback is None:
            raise RefusedError("nobody says that this store was put back to an older state")
        connection.execute("DELETE FROM kiosk WHERE name = ?", (FOUND,))
        tail = connection.execute("SELECT max(seq) FROM log").fetchone()[0]
        details: dict[str, object] = {ACCEPTED: rollback.seq}
        if is_behind := tail < rollback.seq:
            details |= {"replaces": [tail + 1, rollback.seq], "last_hash": rollback.hash}
        skip_to = rollback.seq + 1 if is_behind else None
        transaction.record(Kind.RESTORE, details=details, actor=actor, skip_to=skip_to)
    return rollback


def _is_held(store: Store, seq: int, digest: str) -> bool:
    with store.database.read() as connection:
        row = connection.execute("SELECT hash FROM log WHERE seq = ?", (seq,)).fetchone()
        if row is not None and row[0].hex() == digest:
            return True
        columns = "SELECT seq, record, hash, signature FROM log WHERE kind = ? ORDER BY seq DESC"
        restores = connection.execute(columns, (Kind.RESTORE.value,)).fetchall()
        pruned = connection.execute(f"{columns} LIMIT 1", (Kind.PRUNE.value,)).fetchall() if row is None else []
    return any(_gives_up(store, Signed(*one), seq) for one in restores) or any(
        _removed(store, Signed(*one), seq) for one in pruned
    )


def _gives_up(store: Store, signed: Signed, seq: int) -> bool:
    try:
        accepted = signed.entry.details.get(ACCEPTED)
        is_meant = gives_up(signed.entry, seq) or (type(accepted) is int and seq <= accepted)
        return is_meant and _is_ours(store, signed)
    except ValueError:
        return False


def _removed(store: Store, signed: Signed, seq: int) -> bool:
    try:
        return seq <= read_checkpoint(signed.entry.details).through and _is_ours(store, signed)
    except ValueError:
        return False


def _is_ours(store: Store, signed: Signed) -> bool:
    """Say whether this device wrote a record; where its key was another then, only the whole log can say so."""
    return is_signed(signed, store.vault.public_key) or (store.log.holds(signed) and store.verify_log().is_intact)


def _value(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM kiosk WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _put(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO kiosk (name, value) VALUES (?, ?)", (name, value))

"""A store that was put back to an older day, found by what this kiosk itself once told others of its log.

`anchor.py` needs somebody who keeps an anchor; the kiosks of a fleet keep each other's newest record. What was found
holds over restarts, until an operator says that this store is the right one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiosk.errors import RefusedError
from kiosk.store.chain import Kind, parse
from kiosk.store.decision_log import checkpoint_in
from kiosk.store.upkeep.anchor import gives_up

if TYPE_CHECKING:
    import sqlite3

    from kiosk.store.store import Store

FOUND, ACCEPTED = "log_rolled_back", "log_accepted"  # in the table `kiosk`: what was found, and up to which record not


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
            "not. Revoked keys and operators are in force again: look at `kiosk key list`, restore the newest backup, "
            "or say that this store is right: `kiosk log accept`."
        )


def found(store: Store) -> Rollback | None:
    """Return what was found; None where nothing was, or an operator accepted it."""
    with store.database.read() as connection:
        text = _value(connection, FOUND)
    return None if text is None else Rollback(**json.loads(text))


def hold_against(store: Store, seq: int, digest: str) -> Rollback | None:
    """Hold the log against a record that this kiosk told others of; what is found is kept.

    A record that was removed for its age, or that a restore in this log gave up, speaks against nothing.

    Args:
        store: with the log.
        seq: of the record.
        digest: hexadecimal SHA-256 of the record.
    """
    with store.database.read() as connection:
        if _is_held(connection, seq, digest) or seq <= int(_value(connection, ACCEPTED) or 0):
            return None
    rollback = Rollback(seq, digest)
    with store.database.write() as connection:
        known = _value(connection, FOUND)
        if known is None or json.loads(known)["seq"] < seq:
            _put(connection, FOUND, json.dumps({"seq": seq, "hash": digest}))
    return rollback


def accept(store: Store, *, actor: str) -> Rollback:
    """Take an operator's word that this store is the right one, whatever others hold of it.

    Raises:
        RefusedError: nothing was found.
    """
    with store.transaction() as transaction:
        connection = transaction.connection
        text = _value(connection, FOUND)
        if text is None:
            raise RefusedError("nobody says that this store was put back to an older state")
        rollback = Rollback(**json.loads(text))
        connection.execute("DELETE FROM kiosk WHERE name = ?", (FOUND,))
        _put(connection, ACCEPTED, str(rollback.seq))
        transaction.record(Kind.SETTINGS, details={"accepted_rollback": rollback.seq}, actor=actor)
    return rollback


def _is_held(connection: sqlite3.Connection, seq: int, digest: str) -> bool:
    row = connection.execute("SELECT hash FROM log WHERE seq = ?", (seq,)).fetchone()
    if row is not None and row[0].hex() == digest:
        return True
    restores = connection.execute("SELECT record FROM log WHERE kind = ?", (Kind.RESTORE.value,)).fetchall()
    if any(gives_up(parse(record), seq) for (record,) in restores):
        return True
    checkpoint = checkpoint_in(connection)
    return row is None and checkpoint is not None and seq <= checkpoint.through


def _value(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM kiosk WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _put(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO kiosk (name, value) VALUES (?, ?)", (name, value))

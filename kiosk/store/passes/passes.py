"""Visitor passes in the store: each is a sealed row of `secret`, named by issuer, number and the visitor it names.

A pass of another kiosk of the fleet has a row once it was used, or revoked, here. A use and its record are one
transaction: a use that is not on the disk opens nothing. Rows go with their person, and a month after the pass ended.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kiosk.errors import RefusedError, StoreError
from kiosk.rules.passes import VisitorPass, read_pass
from kiosk.store import subject_rows
from kiosk.store.chain import Kind
from kiosk.store.schema import row_context
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from kiosk.store.database import Database
    from kiosk.store.decision_log import NewDecision, Transaction
    from kiosk.store.vault import Vault

KEPT_S = 31 * 86400.0  # after its end, so that a list says what became of it
MOST_PASSES = 2000  # of one kiosk; each use looks one up by name, a list reads all
LONGEST_LABEL = 80  # characters
RECORD_S = 2.0  # by which a pass, dated in whole seconds, may be older than the record of its issue
_FIRST, _AFTER = "pass/", "pass0"  # names of all passes lie between


@dataclass(frozen=True, slots=True)
class KeptPass:
    """A pass and what became of it."""

    shown: VisitorPass
    text: str = field(repr=False)  # of its QR code: whoever has it has the pass
    label: str = field(default="", repr=False)  # whom it is for, in the issuer's words
    issued_by: str = ""
    used: int = 0
    last_used_at: float | None = None  # s UTC
    revoked_at: float | None = None  # s UTC
    is_issued_here: bool = False
    revoked_by: str = ""  # the kiosk of the fleet that said so; empty: it was done here


class PassStore:
    """The passes of one store; `Store.passes` is it."""

    def __init__(
        self, database: Database, vault: Vault, transaction: Callable[[], AbstractContextManager[Transaction]]
    ) -> None:
        self._database, self._vault, self._transaction = database, vault, transaction

    def issue(self, kept: KeptPass, *, actor: str) -> None:
        """Keep a pass that was made here, with its record.

        Raises:
            RefusedError: there are too many already.
            StoreError: the store takes nothing.
        """
        with self._transaction() as transaction:
            connection = transaction.connection
            (count,) = connection.execute(
                "SELECT count(*) FROM secret WHERE name >= ? AND name < ?", (_FIRST, _AFTER)
            ).fetchone()
            if count >= MOST_PASSES:
                raise RefusedError(f"{MOST_PASSES} passes are kept already; old ones go with `kiosk store sweep`")
            self._write(connection, replace(kept, is_issued_here=True))
            details = {"what": "pass_issued", "pass": kept.shown.name, "uses": kept.shown.uses}
            transaction.record(Kind.KEY, details=details, actor=actor)

    def revoke(self, name: str, *, now: float, actor: str) -> KeptPass:
        """End a pass that is kept here, by its name; again does nothing.

        Raises:
            RefusedError: there is none of this name.
        """
        with self._transaction() as transaction:
            found = self._named(transaction.connection, name)
            if found is None:
                raise RefusedError(f"there is no pass {name} here; `kiosk pass list` has them")
            return self._revoked(transaction, found, now, actor)

    def revoke_shown(self, shown: VisitorPass, text: str, *, now: float, actor: str) -> KeptPass:
        """End a pass of another kiosk, at this door."""
        with self._transaction() as transaction:
            known = self._read(transaction.connection, shown) or KeptPass(shown, text)
            return self._revoked(transaction, known, now, actor)

    def hear_revoked(self, shown: VisitorPass, text: str, *, now: float, kiosk: str) -> bool:
        """End a pass that was ended at another kiosk of the fleet; say whether that was news.

        Args:
            kiosk: its name; empty for this kiosk, whose store was put back to a backup of before.
        """
        with self._transaction() as transaction:
            known = self._read(transaction.connection, shown) or KeptPass(shown, text)
            if known.revoked_at is not None:
                return False
            self._revoked(transaction, known, now, f"fleet:{kiosk}" if kiosk else "fleet", by=kiosk)
            return True

    def revoked_here(self) -> tuple[str, ...]:
        """Return the texts of passes that were ended at this kiosk, what ends last first: what the fleet is to hear."""
        with self._database.read() as connection:
            found = [kept for _, kept in _readable(connection, self._vault)]
        found.sort(key=lambda one: (-one.shown.valid_until, one.shown.name))
        return tuple(one.text for one in found if one.revoked_at is not None and not one.revoked_by)

    def acts(self) -> tuple[int, float | None]:
        """Return what changes with every pass that is issued or ended, whichever process did it."""
        with self._database.read() as connection:
            count, at = connection.execute(
                "SELECT count(*), max(at) FROM log WHERE kind = ?", (Kind.KEY.value,)
            ).fetchone()
        return int(count), at

    def _revoked(self, transaction: Transaction, known: KeptPass, now: float, actor: str, *, by: str = "") -> KeptPass:
        if known.revoked_at is not None:
            return known
        ended = replace(known, revoked_at=now, revoked_by=by)
        self._write(transaction.connection, ended)
        details = {"what": "pass_revoked", "pass": known.shown.name}
        transaction.record(Kind.KEY, details=details, actor=actor)
        return ended

    def find(self, shown: VisitorPass) -> KeptPass | None:
        """Return what is kept of a pass; None where nothing is.

        Raises:
            StoreError: the row was changed or damaged.
        """
        with self._database.read() as connection:
            return self._read(connection, shown)

    def named(self, name: str) -> KeptPass | None:
        """Return a pass by what people call it; None where none is kept.

        Raises:
            StoreError: a row was changed or damaged.
        """
        with self._database.read() as connection:
            return self._named(connection, name)

    def every(self) -> tuple[KeptPass, ...]:
        """Return all passes, the one that ends last first.

        Raises:
            StoreError: a row was changed or damaged.
        """
        with self._database.read() as connection:
            found = list(self._all(connection))
        return tuple(sorted(found, key=lambda one: (-one.shown.valid_until, one.shown.name)))

    def restored_at(self) -> float | None:
        """Return when a backup was put back last, s UTC; None for never.

        A clock that was before what the log already had says nothing of that: then it was before the first good time in
        the log after it; inf while there is none.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT seq, at FROM log WHERE kind = ? ORDER BY seq DESC LIMIT 1", (Kind.RESTORE.value,)
            ).fetchone()
            if found is None:
                return None
            seq, at = found
            believed = (seq, ClockState.UNTRUSTED.value)
            before = connection.execute(
                "SELECT at FROM log WHERE seq < ? AND json_extract(record, '$.clock') != ? ORDER BY seq DESC LIMIT 1",
                believed,
            ).fetchone()
            if before is None or at >= before[0]:
                return float(at)
            later = connection.execute(
                "SELECT at FROM log WHERE seq > ? AND json_extract(record, '$.clock') != ? ORDER BY seq LIMIT 1",
                believed,
            ).fetchone()
        return math.inf if later is None else float(later[0]) - RECORD_S

    # ---- uses

    def use(self, shown: VisitorPass, text: str, *, now: float, record: NewDecision) -> str | None:
        """Count one use and save its record, both or none; return the record's request_id.

        None: it was revoked, or used up, since it was looked at; nothing is saved then.

        Raises:
            StoreError: the store takes nothing, or the row was changed or damaged.
        """
        with self._transaction() as transaction:
            known = self._read(transaction.connection, shown) or KeptPass(shown, text)
            if known.revoked_at is not None or (shown.uses and known.used >= shown.uses):
                return None
            self._write(transaction.connection, replace(known, used=known.used + 1, last_used_at=now))
            return transaction.record(record.kind, decision=record).entry.request_id

    def give_back(self, shown: VisitorPass) -> None:
        """Take one use back, as nothing opened for it."""
        with self._transaction() as transaction:
            known = self._read(transaction.connection, shown)
            if known is not None and known.used:
                self._write(transaction.connection, replace(known, used=known.used - 1))

    # ---- rows

    def _read(self, connection: sqlite3.Connection, shown: VisitorPass) -> KeptPass | None:
        row = connection.execute("SELECT id, name, sealed FROM secret WHERE name = ?", (name_of(shown),)).fetchone()
        found = None if row is None else self._opened(*row)
        if found is not None and found.shown != shown:
            return replace(found, revoked_at=0.0)  # of the same number, and another pass: neither is taken
        return found

    def _named(self, connection: sqlite3.Connection, name: str) -> KeptPass | None:
        return next((one for one in self._all(connection) if one.shown.name == name), None)

    def _all(self, connection: sqlite3.Connection) -> Iterator[KeptPass]:
        rows = connection.execute(
            "SELECT id, name, sealed FROM secret WHERE name >= ? AND name < ? ORDER BY id", (_FIRST, _AFTER)
        ).fetchall()
        for row in rows:
            yield self._opened(*row)

    def _opened(self, row: int, name: str, sealed: bytes) -> KeptPass:
        return opened(self._vault, row, name, sealed)

    def _write(self, connection: sqlite3.Connection, kept: KeptPass) -> None:
        name = name_of(kept.shown)
        found = connection.execute("SELECT id FROM secret WHERE name = ?", (name,)).fetchone()
        row = found[0] if found is not None else subject_rows.next_id(connection, "secret")
        plain = {one: value for one, value in asdict(kept).items() if one != "shown"} | {"name": name}
        if not kept.revoked_by:
            del plain["revoked_by"]  # which an older program, put back after an update, does not read
        sealed = self._vault.seal(json.dumps(plain).encode(), row_context("secret", row))
        connection.execute(
            "INSERT INTO secret (id, name, sealed) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
            (row, name, sealed),
        )


def name_of(shown: VisitorPass) -> str:
    """Return a pass's name in the table; it ends with its visitor's session_id."""
    return f"{_FIRST}{shown.issuer.hex()}/{shown.name}/{shown.person or ''}"


def opened(vault: Vault, row: int, name: str, sealed: bytes) -> KeptPass:
    """Read a row.

    Raises:
        StoreError: it was changed or damaged.
    """
    plain: dict[str, Any] = json.loads(subject_rows.unseal(vault, sealed, "secret", row))
    if plain.pop("name") != name:
        raise subject_rows.damaged(f"secret {row}")
    try:
        return KeptPass(read_pass(plain["text"])[0], **plain)
    except (ValueError, TypeError) as error:
        raise StoreError(f"the pass in secret {row} is none that this program reads") from error


def passes_of(connection: sqlite3.Connection, vault: Vault, session_id: str) -> tuple[KeptPass, ...]:
    """Return the passes that name a person, within the caller's transaction."""
    rows = connection.execute(
        "SELECT id, name, sealed FROM secret WHERE name >= ? AND name < ? AND name LIKE '%/' || ? ORDER BY id",
        (_FIRST, _AFTER, session_id),
    )
    return tuple(opened(vault, *row) for row in rows.fetchall())


def rows_of(connection: sqlite3.Connection, session_id: str) -> list[int]:
    """Return the rows of the passes that name a person; none in a backup of an older schema."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'secret'").fetchone() is None:
        return []
    rows = connection.execute(
        "SELECT id FROM secret WHERE name >= ? AND name < ? AND name LIKE '%/' || ?", (_FIRST, _AFTER, session_id)
    )
    return [row for (row,) in rows]


def drop_ended(connection: sqlite3.Connection, vault: Vault, now: float) -> int:
    """Delete passes that ended long ago; return how many. One that does not open stays, for whoever looks at it."""
    gone = [(row,) for row, kept in _readable(connection, vault) if kept.shown.valid_until < now - KEPT_S]
    connection.executemany("DELETE FROM secret WHERE id = ?", gone)
    return len(gone)


def _readable(connection: sqlite3.Connection, vault: Vault) -> Iterator[tuple[int, KeptPass]]:
    """Give the rows that open, with their numbers."""
    rows = connection.execute(
        "SELECT id, name, sealed FROM secret WHERE name >= ? AND name < ?", (_FIRST, _AFTER)
    ).fetchall()
    for row, name, sealed in rows:
        try:
            yield row, opened(vault, row, name, sealed)
        except StoreError:
            continue

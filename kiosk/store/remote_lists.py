"""Lists of the cloud, pulled page by page into a staging area, and put into force as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kiosk.errors import RefusedError
from kiosk.store import subject_rows
from kiosk.store.chain import Kind
from kiosk.store.schema import row_context
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Status, Template

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from kiosk.store.store import Store

SOURCE = "list_entry"
HELD = "held_list."  # before a list's name, in the notes of the cloud
AGREEING_PASSES = 5  # that must say the same before a list is believed that lost most of its entries
AGREEING_S = 86400.0  # over at least so long


@dataclass(frozen=True, slots=True)
class Complete:
    """A list in force."""

    list: str
    at: float  # s UTC, of the end of the pass
    entries: int
    unusable: int  # of these, without a face that can be searched for


@dataclass(frozen=True, slots=True)
class HeldShrink:
    """A list that lost most of its entries, or all: those stay blocked until an operator or time confirms it."""

    list: str
    since: float  # s UTC, of the first pass that said so
    vanished: int
    passes: int  # that said exactly this, one after the other
    is_confirmed: bool  # by an operator, for the next pass
    digest: str  # of the entries that vanished


@dataclass(frozen=True, slots=True)
class Pass:
    """How far the reading of a list is."""

    entries: int  # as the list said at the beginning
    next_offset: int
    last_entry: str | None  # which the next page begins with again, if the list did not change meanwhile


class Lists:
    """The lists of one store. One process pulls at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def complete(self) -> tuple[Complete, ...]:
        """Return the lists in force."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT list, at, entries, unusable FROM list_complete ORDER BY list").fetchall()
        return tuple(Complete(*row) for row in rows)

    def at(self, name: str) -> Pass | None:
        """Return how far a pass is; None where none is under way."""
        with self._store.database.read() as connection:
            found = connection.execute(
                "SELECT entries, next_offset, last_entry FROM list_pass WHERE list = ?", (name,)
            ).fetchone()
        return None if found is None else Pass(*found)

    def begin(self, name: str, entries: int) -> None:
        """Begin a pass, over again where one was under way."""
        with self._store.database.write() as connection:
            connection.execute("DELETE FROM list_staged WHERE list = ?", (name,))
            connection.execute(
                "INSERT OR REPLACE INTO list_pass (list, entries, next_offset, last_entry) VALUES (?, ?, 0, NULL)",
                (name, entries),
            )

    def advance(self, name: str, next_offset: int, last_entry: str | None) -> None:
        """Note that everything before an offset is staged."""
        with self._store.database.write() as connection:
            connection.execute(
                "UPDATE list_pass SET next_offset = ?, last_entry = ? WHERE list = ?", (next_offset, last_entry, name)
            )

    def is_staged(self, name: str, entry: str) -> bool:
        """Say whether an entry was looked at in this pass."""
        with self._store.database.read() as connection:
            found = connection.execute(
                "SELECT 1 FROM list_staged WHERE list = ? AND entry = ?", (name, entry)
            ).fetchone()
        return found is not None

    def is_in_force(self, name: str, entry: str, model: str) -> bool:
        """Say whether an entry is blocked already, with a reference of this model."""
        with self._store.database.read() as connection:
            found = connection.execute(
                "SELECT 1 FROM list_entry JOIN reference ON reference.subject = list_entry.subject"
                " JOIN model ON model.id = reference.model WHERE list = ? AND entry = ? AND digest = ?",
                (name, entry, model),
            ).fetchone()
        return found is not None

    def stage(self, name: str, entry: str, template: Template | None, *, outcome: str) -> None:
        """Keep what came of an entry: its template, or none where it is known already or unusable."""
        vault = self._store.vault
        whole: dict[str, object] = {"outcome": outcome}
        if template is not None:
            whole |= {"model": template.model, "vector": template.vector.astype("<f4").tobytes().hex()}
        with self._store.database.write() as connection:
            row = subject_rows.next_id(connection, "list_staged")
            sealed = vault.seal(json.dumps(whole).encode(), row_context("list_staged", row))
            connection.execute(
                "INSERT INTO list_staged (id, list, entry, sealed) VALUES (?, ?, ?, ?)", (row, name, entry, sealed)
            )

    def staged(self, name: str) -> int:
        """Return how many entries are staged."""
        with self._store.database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM list_staged WHERE list = ?", (name,)).fetchone()[0])

    def held(self) -> tuple[HeldShrink, ...]:
        """Return the lists whose shrinking waits for a confirmation."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT value FROM cloud_note WHERE name LIKE ? ORDER BY name", (f"{HELD}%",))
            return tuple(HeldShrink(**json.loads(value)) for (value,) in rows.fetchall())

    def confirm(self, name: str, *, actor: str = "operator") -> HeldShrink:
        """Take an operator's word that a list did lose its entries; its next pass unblocks them, and is due at once.

        Args:
            name: the list.
            actor: who says so, for the log.

        Raises:
            RefusedError: nothing of this list waits for a confirmation.
        """
        found = next((one for one in self.held() if one.list == name), None)
        if found is None:
            raise RefusedError(f"no list {name} waits for a confirmation; `kiosk cloud status` names those that do")
        confirmed = replace(found, is_confirmed=True)
        with self._store.transaction() as transaction:
            _write_held(transaction.connection, confirmed)
            transaction.connection.execute("UPDATE list_complete SET at = 0 WHERE list = ?", (name,))
            details = {"confirmed_list": name, "vanished": found.vanished}
            transaction.record(Kind.SETTINGS, details=details, actor=actor)
        return confirmed

    def put_into_force(self, name: str, now: float, *, is_ended: bool = False) -> int:
        """Block everybody new of a complete pass, unblock who vanished: one transaction.

        An answer that takes most of a list away frees nobody by itself, as an empty answer is also what a broken
        server gives: see `_may_vanish`.

        Args:
            name: the list.
            now: s UTC.
            is_ended: the settings name the list no more, so everybody of it vanishes.

        Returns:
            How many vanished; nothing keeps them here any more, so the next sweep forgets them.
        """
        store = self._store
        with store.transaction() as transaction:
            connection = transaction.connection
            rows = connection.execute("SELECT id, entry, sealed FROM list_staged WHERE list = ?", (name,)).fetchall()
            in_force = dict(connection.execute("SELECT entry, subject FROM list_entry WHERE list = ?", (name,)))
            unusable = 0
            for row, entry, sealed in rows:
                whole = json.loads(store.vault.open(sealed, row_context("list_staged", row)))
                unusable += whole["outcome"] == "unusable"
                if "vector" not in whole:
                    continue
                template = Template(np.frombuffer(bytes.fromhex(whole["vector"]), "<f4").copy(), whole["model"])
                number = in_force.get(entry)
                if number is not None:  # blocked with another model's reference
                    subject_rows.insert_reference(connection, store.vault, number, template, quality=None, now=now)
                    subject_rows.touch(connection, number)
                    details = {"model": template.model}
                    transaction.record(Kind.REFERENCE, session_number=number, details=details, actor="cloud")
                    continue
                enrolment = Enrolment(
                    [template], Details(), status=Status.DECLINED, source=SOURCE, external_id=entry, is_blocklisted=True
                )
                subject = store.people.enrol_within(transaction, enrolment, actor="cloud")
                connection.execute(
                    "INSERT INTO list_entry (list, entry, subject) VALUES (?, ?, ?)",
                    (name, entry, subject.session_number),
                )
            staying = {row[1] for row in rows}
            gone = {entry: number for entry, number in in_force.items() if entry not in staying}
            vanished = tuple(gone.values())
            if not is_ended and not _may_vanish(connection, name, gone, len(in_force), now):
                vanished = ()
            for number in vanished:
                store.people.vanish_within(transaction, number, actor="cloud")
                connection.execute("DELETE FROM list_entry WHERE list = ? AND subject = ?", (name, number))
            connection.execute("DELETE FROM list_staged WHERE list = ?", (name,))
            connection.execute("DELETE FROM list_pass WHERE list = ?", (name,))
            connection.execute(
                "INSERT OR REPLACE INTO list_complete (list, at, entries, unusable) VALUES (?, ?, ?, ?)",
                (name, now, len(rows), unusable),
            )
        return len(vanished)

    def keep_only(self, names: Collection[str], now: float) -> int:
        """End the lists that are not among those set any more: everybody whom only they blocked is forgotten.

        Returns:
            How many lists ended.
        """
        ended = [one.list for one in self.complete() if one.list not in names]
        for name in ended:
            self.begin(name, 0)
            self.put_into_force(name, now, is_ended=True)
        if ended:
            self._store.people.sweep()
        for name in ended:  # only now: where the sweep fails, the next call has to do it
            with self._store.database.write() as connection:
                connection.execute("DELETE FROM list_complete WHERE list = ?", (name,))
                connection.execute("DELETE FROM cloud_note WHERE name = ?", (HELD + name,))
        return len(ended)


def _may_vanish(connection: sqlite3.Connection, name: str, gone: Collection[str], in_force: int, now: float) -> bool:
    """Say whether the entries a pass no longer has are unblocked; note what is held back.

    At most half of a list vanishes at once. More, or the last entry, is held until an operator confirms it or
    `AGREEING_PASSES` passes over `AGREEING_S` say exactly the same.
    """
    if not gone or (2 * len(gone) <= in_force):
        connection.execute("DELETE FROM cloud_note WHERE name = ?", (HELD + name,))
        return True
    digest = hashlib.sha256("\n".join(sorted(gone)).encode()).hexdigest()
    row = connection.execute("SELECT value FROM cloud_note WHERE name = ?", (HELD + name,)).fetchone()
    before = HeldShrink(**json.loads(row[0])) if row else None
    if before is not None and before.is_confirmed and len(gone) <= before.vanished:
        connection.execute("DELETE FROM cloud_note WHERE name = ?", (HELD + name,))
        return True
    if before is None or before.digest != digest:
        before = HeldShrink(name, now, len(gone), 0, is_confirmed=False, digest=digest)
    held = replace(before, passes=before.passes + 1)
    if held.passes >= AGREEING_PASSES and now - held.since >= AGREEING_S:
        connection.execute("DELETE FROM cloud_note WHERE name = ?", (HELD + name,))
        return True
    _write_held(connection, held)
    return False


def _write_held(connection: sqlite3.Connection, held: HeldShrink) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO cloud_note (name, value) VALUES (?, ?)", (HELD + held.list, json.dumps(asdict(held)))
    )

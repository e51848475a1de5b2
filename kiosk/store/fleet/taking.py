"""One person's documents are taken: joined with what is known, written, and shown as a person of the store."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kiosk.errors import StoreError
from kiosk.store.factors import factors
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.capture import say_forgotten
from kiosk.store.fleet.document import EMPTY, Document, carry, fingerprint, forgotten_document, join, join_all
from kiosk.store.fleet.document_rows import ME, SINCE, VERSION, Row
from kiosk.store.fleet.holding import is_held, read_door, reduced
from kiosk.store.fleet.people import ORIGIN, SharedPeople
from kiosk.store.outbox import drop_of_fleet
from kiosk.store.passages import passages

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

    from kiosk.store.decision_log import Transaction
    from kiosk.store.store import Store
    from kiosk.store.subjects import Subject
    from kiosk.store.vault import Vault


log = logging.getLogger("kiosk.fleet")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A document that was opened and whose signer is a member."""

    person: str
    origin: str
    version: int
    document: Document
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Said:
    """What is known of a person, by the kiosk that said it, before and after something arrived."""

    person: str
    me: str
    before: Mapping[str, Row]
    after: Mapping[str, Row]
    envelopes: Mapping[str, bytes] = field(repr=False)  # of others, as they were signed

    @property
    def origin(self) -> str:
        """Who is named for it in the log."""
        return min(self.envelopes, default=self.me)


class Taking:
    """Takes what arrives, within a transaction of the caller's. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._vault, self._erasures, self._people = store.vault, store.people.erasures, SharedPeople(store)

    def take(
        self, transaction: Transaction, person: str, documents: Iterable[Arrived], door: Collection[str] | None
    ) -> str | None:
        """Take documents of one person; return what was done here, None for nothing to speak of.

        Args:
            transaction: of the caller.
            person: session_id.
            documents: of theirs, in any order.
            door: the groups that go through this kiosk's door, see `holding.read_door`.
        """
        connection = transaction.connection
        me = document_rows.value(connection, ME) or ""
        before = document_rows.read(connection, self._vault, person)
        after, envelopes = self._joined(transaction, me, before, documents)
        connection.executemany(  # the version is big-endian and clear in an envelope's head, see fleet/sealed.py
            "DELETE FROM fleet_parked WHERE person = ? AND origin = ? AND substr(envelope, 9, 8) <= ?",
            [(person, one.origin, one.version.to_bytes(8, "big")) for one in documents],
        )
        whole = document_rows.whole_of(after)
        if (
            whole.forgotten is None
            and connection.execute("SELECT 1 FROM erasure WHERE session_id = ?", (person,)).fetchone()
        ):  # of a backup that is older than the forgetting
            whole = forgotten_document(document_rows.roster_number(connection))
        elif after == before:
            return None
        said = _Said(person, me, before, after, envelopes)
        if whole.forgotten is not None:
            return self._forget(transaction, said, whole)
        if not is_held(whole, door, is_own=me in after or _has_factor(connection, person)):
            return self._let_go(transaction, said)
        self._write(transaction, said)
        return self._show(transaction, said)

    def sort(self, transaction: Transaction, person: str, door: Collection[str] | None) -> None:
        """Hold a person, or let go of them, as another door wants it."""
        connection = transaction.connection
        me = document_rows.value(connection, ME) or ""
        rows = document_rows.read(connection, self._vault, person)
        whole = document_rows.whole_of(rows)
        if whole.forgotten is not None:
            return
        if not is_held(whole, door, is_own=me in rows or _has_factor(connection, person)):
            self._let_go(transaction, _Said(person, me, rows, rows, {}))
        elif self._people.known(transaction, person) is None:
            self._show(transaction, _Said(person, me, {}, rows, {}))

    def drop(self, transaction: Transaction, origin: str, kept: Collection[bytes], key: bytes) -> None:
        """Believe nothing of a former kiosk but what was accepted."""
        connection = transaction.connection
        door = read_door(connection, self._vault)
        people = connection.execute("SELECT person FROM fleet_document WHERE origin = ?", (origin,)).fetchall()
        for (person,) in people:
            before = document_rows.read(connection, self._vault, person)
            said = before[origin]
            is_receipt = said.document.forgotten is not None  # what was forgotten does not come back
            if is_receipt or (said.is_whole and fingerprint(key, person, said.version, said.document) in kept):
                continue
            document_rows.remove(connection, person, origin)
            if not said.is_whole:  # nobody can tell here whether it was accepted: it is read again
                document_rows.want(connection, person)
                continue
            after = {name: row for name, row in before.items() if name != origin}
            self._people.show(
                transaction, person, document_rows.whole_of(before), document_rows.whole_of(after), origin
            )
            self.sort(transaction, person, door)  # what it said of their groups may have brought them here

    def _joined(
        self, transaction: Transaction, me: str, before: Mapping[str, Row], documents: Iterable[Arrived]
    ) -> tuple[dict[str, Row], dict[str, bytes]]:
        """Return what is known after documents arrived, and the envelopes of others to be kept."""
        connection, after = transaction.connection, dict(before)
        envelopes: dict[str, bytes] = {}
        for one in documents:
            known = after.get(one.origin, Row(0, EMPTY))
            joined, version = join(known.document, one.document), max(known.version, one.version)
            if one.origin == me and version > document_rows.number(connection, VERSION):
                document_rows.put(connection, VERSION, version)  # a backup had set it back
            if one.origin == me and joined != one.document and one.version >= known.version:
                version = document_rows.next_version(connection)  # what others have of ours is not all of it
            new = Row(version, joined, known.is_whole or one.version >= known.version)
            if new != known:
                after[one.origin] = new
                if one.origin != me:
                    envelopes[one.origin] = one.envelope
        return after, envelopes

    def _write(self, transaction: Transaction, said: _Said) -> None:
        connection = transaction.connection
        for name, row in said.after.items():
            if row != said.before.get(name):
                document_rows.write(connection, self._vault, said.person, name, row)
                if name in said.envelopes:
                    connection.execute(
                        "INSERT OR REPLACE INTO fleet_envelope (person, origin, envelope) VALUES (?, ?, ?)",
                        (said.person, name, said.envelopes[name]),
                    )

    def _show(self, transaction: Transaction, said: _Said) -> str | None:
        """Make them a person of the store, once all that was said of them is here."""
        if not all(row.is_whole for row in said.after.values()):
            document_rows.want(transaction.connection, said.person)
            return None
        document_rows.unwant(transaction.connection, said.person)
        before, after = document_rows.whole_of(said.before), document_rows.whole_of(said.after)
        return self._people.show(transaction, said.person, before, after, said.origin)

    def _let_go(self, transaction: Transaction, said: _Said) -> str | None:
        """Keep of somebody who is not held here only what tells when they are to be."""
        connection, known = transaction.connection, self._people.known(transaction, said.person)
        if known is not None:
            self._erasures.erase_within(
                transaction, known.session_number, actor=f"fleet:{said.origin}", origin=ORIGIN, is_for_good=False
            )
        document_rows.unwant(connection, said.person)
        connection.execute("DELETE FROM fleet_envelope WHERE person = ?", (said.person,))
        left = {name: replace(row, document=reduced(row.document), is_whole=False) for name, row in said.after.items()}
        before = said.before if known is None else {}  # else their documents went with them
        self._write(transaction, replace(said, before=before, after=left, envelopes={}))
        return "gone" if known is not None else None

    def _forget(self, transaction: Transaction, said: _Said, whole: Document) -> str:
        connection, known = transaction.connection, self._people.known(transaction, said.person)
        drop_of_fleet(connection, self._vault, said.person)
        if known is not None:
            for one in _last_of(connection, self._vault, whole.into):  # what is this kiosk's alone
                if (stays := self._people.known(transaction, one)) is not None:
                    self._give(transaction, known, stays, f"fleet:{said.origin}")
            self._erasures.erase_within(transaction, known.session_number, actor=f"fleet:{said.origin}", origin=ORIGIN)
        tombstones = {name: row for name, row in said.after.items() if row.document.forgotten is not None}
        self._write(transaction, replace(said, after=tombstones))
        document_rows.unwant(connection, said.person)
        if known is not None or (whole.forgotten or 0) >= document_rows.number(connection, SINCE):
            say_forgotten(connection, self._vault, said.me, said.person, whole.into)
        rows = (*said.before.values(), *said.after.values())
        gone = join_all(row.document for row in rows if row.document.forgotten is None)
        if gone.is_blocked:
            self._carry(transaction, said, gone, whole.into)
        return "forgotten" if known is not None else "noted"

    def _give(self, transaction: Transaction, goes: Subject, stays: Subject, actor: str) -> None:
        try:
            give(transaction, self._vault, goes, stays, actor=actor)
        except StoreError as error:  # a damaged row of theirs goes with them, and holds up nobody's block
            log.warning("fleet merged person=%s given=False reason=%r", goes.session_id, str(error))

    def _carry(self, transaction: Transaction, said: _Said, gone: Document, into: Collection[str]) -> None:
        """Block whoever took the place of a duplicate that was blocked at a kiosk which did not know of that yet."""
        connection = transaction.connection
        for person in _last_of(connection, self._vault, into):
            before = document_rows.read(connection, self._vault, person)
            own, whole = before.get(said.me, Row(0, EMPTY)), document_rows.whole_of(before)
            new = carry(own.document, whole, gone)
            if new != own.document:
                row = Row(document_rows.next_version(connection), new, own.is_whole)
                told = _Said(person, said.me, before, {**before, said.me: row}, {})
                self._write(transaction, told)
                self._show(transaction, replace(told, envelopes=said.envelopes))


def give(transaction: Transaction, vault: Vault, goes: Subject, stays: Subject, *, actor: str) -> None:
    """Give what no other kiosk has of somebody to whoever is the same person: card, PIN, suspension and passages."""
    factors.move(transaction, vault, goes.session_number, stays.session_number, actor=actor)
    passages.move(transaction.connection, vault, goes.session_number, stays.session_number)


def _last_of(connection: sqlite3.Connection, vault: Vault, into: Collection[str]) -> tuple[str, ...]:
    """Return who took the place of a duplicate in the end; nobody where they were forgotten."""
    found: list[str] = []
    seen, waiting = set[str](), sorted(into)
    while waiting:
        person = waiting.pop()
        if person in seen:
            continue
        seen.add(person)
        whole = document_rows.whole_of(document_rows.read(connection, vault, person))
        if whole.forgotten is not None:
            waiting.extend(sorted(whole.into))
        elif connection.execute("SELECT 1 FROM erasure WHERE session_id = ?", (person,)).fetchone() is None:
            found.append(person)
    return tuple(found)


def _has_factor(connection: sqlite3.Connection, person: str) -> bool:
    """Say whether a card or a PIN was given to a person here: no other kiosk has it to give it back."""
    found = connection.execute(
        "SELECT 1 FROM factor JOIN subject ON session_number = factor.subject WHERE session_id = ?", (person,)
    ).fetchone()
    return found is not None

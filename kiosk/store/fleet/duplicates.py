"""Two people who may be one: enrolled at two kiosks that did not know of each other, and what an operator says of it.

Every kiosk that holds both finds the pair by itself and shows it, and one decision, wherever it is made, closes it at
all of them: a kiosk chosen to ask may be away for weeks, or have nobody who looks. Two operators who decide apart from
each other lose nobody: *different people* is a union of ids, and in *the same person* it is always the older enrolment
whose id stays; only whose particulars it has is chosen, by the latest revision. A block that another kiosk put on the
record that goes follows it: the tombstone names who stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kiosk.errors import RefusedError
from kiosk.store import subject_rows
from kiosk.store.chain import Kind
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.capture import say_forgotten
from kiosk.store.fleet.document import EMPTY, carry
from kiosk.store.fleet.document_rows import ME, Row
from kiosk.store.fleet.people import template_of
from kiosk.store.fleet.taking import give
from kiosk.store.subjects import SESSION, Subject
from kiosk.types import Status

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from kiosk.store.decision_log import Transaction
    from kiosk.store.store import Store
    from kiosk.types import SubjectId

COMPARED = "fleet_compared"  # in the table `kiosk`: up to which change everybody was compared with everybody
STRICTNESS = (Status.APPROVED, Status.IN_REVIEW, Status.DECLINED)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two people who may be one."""

    first: str  # session_id of the older enrolment, which stays where they are the same
    second: str
    score: float  # 0..100
    found_at: float  # here, s UTC


class Duplicates:
    """The open pairs of one store. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._store, self._vault = store, store.vault

    def open(self) -> tuple[Duplicate, ...]:
        """Return the pairs that nobody has decided about, most alike first."""
        with self._store.database.read() as connection:
            rows = connection.execute(
                "SELECT first, second, score, found_at FROM fleet_duplicate ORDER BY score DESC, first, second"
            ).fetchall()
            return tuple(Duplicate(*row) for row in rows if self._is_open(connection, row[0], row[1]))

    def maker(self, person: str) -> str | None:
        """Return the id of the kiosk at which a person was enrolled; None where that is not known."""
        with self._store.database.read() as connection:
            made = document_rows.whole_of(document_rows.read(connection, self._vault, person)).registers.get("made")
        return None if made is None else made.kiosk

    def compared(self) -> int:
        """Return the change up to which everybody was compared with everybody."""
        with self._store.database.read() as connection:
            return document_rows.number(connection, COMPARED)

    def note(self, alike: Iterable[tuple[SubjectId, SubjectId, float]], *, upto: int, now: float) -> int:
        """Keep pairs of people who look alike, where they were enrolled apart from each other.

        Args:
            alike: two session_numbers and their score, 0..100.
            upto: the change up to which everybody was compared.
            now: s UTC.

        Returns:
            How many pairs are new.
        """
        new = 0
        with self._store.database.write() as connection:
            connection.executemany(
                "DELETE FROM fleet_duplicate WHERE first = ? AND second = ?",
                [
                    pair
                    for pair in connection.execute("SELECT first, second FROM fleet_duplicate").fetchall()
                    if not self._is_open(connection, *pair)
                ],
            )
            for number, other, score in alike:
                pair = self._pair(connection, number, other)
                if pair is not None:
                    new += connection.execute(
                        "INSERT INTO fleet_duplicate (first, second, score, found_at) VALUES (?, ?, ?, ?)"
                        " ON CONFLICT (first, second) DO NOTHING",
                        (*pair, score, now),
                    ).rowcount
            document_rows.put(connection, COMPARED, upto)
        return new

    # ---- what an operator says

    def different(self, first: str, second: str, *, actor: str) -> None:
        """Say that they are two people: nobody is asked about them again, at any kiosk.

        Raises:
            RefusedError: the pair is not open.
        """
        with self._store.transaction() as transaction:
            connection = transaction.connection
            subject, _ = self._asked(connection, first, second)
            me = document_rows.value(connection, ME) or ""
            known = document_rows.read(connection, self._vault, first).get(me, Row(0, EMPTY)).document
            new = replace(known, apart=known.apart | {second})
            version = document_rows.next_version(connection)
            document_rows.write(connection, self._vault, first, me, Row(version, new))
            self._close(transaction, subject, "different_people", actor)

    def same(self, first: str, second: str, *, details_of: str, actor: str) -> Subject:
        """Make one person of both; the other is forgotten, here and everywhere.

        The older enrolment's id stays, with the face data of both and the particulars that were chosen. Blocked is who
        was blocked as either; of the statuses the stricter stays.

        Args:
            first: of the pair, as `open` returned it.
            second: as above.
            details_of: the one of the two whose name, codes, dates and groups stay.
            actor: who says so.

        Raises:
            RefusedError: the pair is not open, or `details_of` is neither.
        """
        if details_of not in {first, second}:
            raise RefusedError("want the particulars of one of the two")
        with self._store.transaction() as transaction:
            connection = transaction.connection
            stays, goes = self._asked(connection, first, second)
            self._give_references(connection, goes, stays)
            give(transaction, self._vault, goes, stays, actor=actor)
            merged = _merged(stays, goes, stays if details_of == first else goes)
            self._give_blocks(connection, goes, stays)
            self._store.people.erasures.erase_within(transaction, goes.session_number, actor=actor)
            me, into = document_rows.value(connection, ME) or "", {stays.session_id}
            say_forgotten(connection, self._vault, me, goes.session_id, into)  # what is said of them goes on there
            subject_rows.update(connection, self._vault, merged)
            self._close(transaction, stays, "same_person", actor)
        self._store.people.erasures.prove()
        return self._store.people.subject(stays.session_number) or merged

    def _asked(self, connection: sqlite3.Connection, first: str, second: str) -> tuple[Subject, Subject]:
        there = connection.execute("SELECT 1 FROM fleet_duplicate WHERE first = ? AND second = ?", (first, second))
        if there.fetchone() is None or not self._is_open(connection, first, second):
            raise RefusedError("nobody is asked about these two any more; `kiosk fleet duplicates` lists who is")
        one, other = (self._subject(connection, person) for person in (first, second))
        if one is None or other is None:  # `_is_open` saw both
            raise subject_rows.nobody(0)
        return one, other

    def _give_references(self, connection: sqlite3.Connection, goes: Subject, stays: Subject) -> None:
        known = {one.id for one in document_rows.references_of(connection, self._vault, stays.session_number)}
        for one in document_rows.references_of(connection, self._vault, goes.session_number):
            if one.id not in known:
                subject_rows.insert_reference(
                    connection,
                    self._vault,
                    stays.session_number,
                    template_of(one),
                    quality=one.quality,
                    now=one.created_at,
                )

    def _give_blocks(self, connection: sqlite3.Connection, goes: Subject, stays: Subject) -> None:
        me = document_rows.value(connection, ME) or ""
        gone, rows = (document_rows.read(connection, self._vault, one.session_id) for one in (goes, stays))
        own = rows.get(me, Row(0, EMPTY)).document
        new = carry(own, document_rows.whole_of(rows), document_rows.whole_of(gone))
        if new != own:
            version = document_rows.next_version(connection)
            document_rows.write(connection, self._vault, stays.session_id, me, Row(version, new))

    def _close(self, transaction: Transaction, subject: Subject, decision: str, actor: str) -> None:
        details = {"of": subject.session_id, "decision": decision}
        transaction.record(Kind.REVIEW, session_number=subject.session_number, details=details, actor=actor)

    # ---- which pairs are asked about

    def _is_open(self, connection: sqlite3.Connection, first: str, second: str) -> bool:
        if any(self._subject(connection, person) is None for person in (first, second)):
            return False
        apart = [
            document_rows.whole_of(document_rows.read(connection, self._vault, person)).apart
            for person in (first, second)
        ]
        return second not in apart[0] and first not in apart[1]

    def _pair(self, connection: sqlite3.Connection, number: SubjectId, other: SubjectId) -> tuple[str, str] | None:
        """Return two people in their order; None where nobody is to be asked about them."""
        both = [subject_rows.read(connection, self._vault, one) for one in (number, other)]
        found = [one for one in both if one is not None and document_rows.is_shared(one) and one.source != SESSION]
        if len(found) != len(both):
            return None
        older, newer = sorted(found, key=lambda one: (one.verification_date, one.session_id))
        makers = [
            document_rows.whole_of(document_rows.read(connection, self._vault, one.session_id)).registers.get("made")
            for one in (older, newer)
        ]
        if None in makers or len({one.kiosk for one in makers if one is not None}) == 1:
            return None  # whoever enrolled the second there was told of the first
        pair = older.session_id, newer.session_id
        return pair if self._is_open(connection, *pair) else None

    def _subject(self, connection: sqlite3.Connection, person: str) -> Subject | None:
        found = connection.execute("SELECT session_number FROM subject WHERE session_id = ?", (person,)).fetchone()
        return subject_rows.read(connection, self._vault, found[0]) if found else None


def _merged(stays: Subject, goes: Subject, chosen: Subject) -> Subject:
    reasons = (one.details.block_reason for one in (chosen, stays, goes))
    return replace(
        stays,
        details=replace(chosen.details, block_reason=next(filter(None, reasons), None)),
        status=max((stays.status, goes.status), key=STRICTNESS.index),
        is_blocklisted=stays.is_blocklisted or goes.is_blocklisted,
        is_allowlisted=chosen.is_allowlisted,
        valid_from=chosen.valid_from,
        valid_until=chosen.valid_until,
        retention_until=chosen.retention_until,
    )

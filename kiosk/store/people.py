"""The people of a store: enrolled, changed, listed, found, forgotten.

Each method that changes something is one transaction: the fact, its record in the decision log, its outbox row and its
line for other processes are stored together or not at all.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from kiosk.store import erasure, import_runs, outbox, subject_rows
from kiosk.store.chain import Kind, Signed
from kiosk.store.subjects import Details, Enrolment, ImportedFile, Receipt, Subject, SubjectFilter, SubjectPage
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from kiosk.store.database import Database
    from kiosk.store.decision_log import Transaction
    from kiosk.store.outbox import Message
    from kiosk.store.vault import Vault
    from kiosk.types import SubjectId, Template


def _patched(known: Subject, subject: Subject) -> Subject:
    """Return a person with what may be changed: details, status and the dates."""
    return replace(
        known,
        details=replace(subject.details, block_reason=known.details.block_reason),
        status=subject.status,
        valid_from=subject.valid_from,
        valid_until=subject.valid_until,
        retention_until=subject.retention_until,
    )


def _changed(known: Subject, new: Subject) -> list[str]:
    """Return the names of the fields that differ, without what is in them."""
    return [
        field.name
        for old_part, new_part in ((known, new), (known.details, new.details))
        for field in fields(old_part)
        if field.name != "details" and getattr(old_part, field.name) != getattr(new_part, field.name)
    ]


class People:
    """The people of one store; `Store.people` is it."""

    def __init__(
        self,
        directory: Path,
        database: Database,
        vault: Vault,
        *,
        transaction: Callable[[], AbstractContextManager[Transaction]],
        now: Callable[[], float],
        clock_state: Callable[[], ClockState],
        retention_s: float,
    ) -> None:
        self._database, self._vault, self._clock_state = database, vault, clock_state
        self._transaction, self._now, self._retention_s = transaction, now, retention_s
        self.erasures = Erasures(directory, database, vault, transaction=transaction, now=now)

    def enrol(
        self,
        enrolment: Enrolment,
        *,
        imported: ImportedFile | None = None,
        messages: Sequence[Message] = (),
        actor: str = "",
    ) -> Subject:
        """Store a person, in one transaction with log, outbox and the import's mark.

        Returns:
            The person, with the session_number that a search will answer with.
        """
        with self._transaction() as transaction:
            subject, signed = self._enrol(transaction, enrolment, actor)
            outbox.insert_all(transaction.connection, self._vault, signed.seq, messages, self._now())
            if imported is not None:
                import_runs.insert(transaction.connection, self._vault, imported, subject.session_number)
        return subject

    def taken(self, enrolment: Enrolment) -> str | None:
        """Return which code of a person-to-be somebody has already: what they are found by; None where all are free."""
        with self._database.read() as connection:
            return subject_rows.taken(connection, self._vault, enrolment)

    def enrol_many(self, enrolments: Sequence[Enrolment], *, actor: str = "") -> tuple[SubjectId, ...]:
        """Store several people in one transaction; return their session_numbers in order."""
        with self._transaction() as transaction:
            return tuple(self._enrol(transaction, enrolment, actor)[0].session_number for enrolment in enrolments)

    def enrol_within(self, transaction: Transaction, enrolment: Enrolment, *, actor: str) -> Subject:
        """Store a person within somebody else's transaction."""
        return self._enrol(transaction, enrolment, actor)[0]

    def vanish_within(self, transaction: Transaction, number: SubjectId, *, actor: str) -> None:
        """Unblock somebody whom nothing keeps here any more: nobody finds them, and the next sweep forgets them."""
        known, now = _known(transaction.connection, self._vault, number), self._now()
        gone = replace(known, is_blocklisted=False, valid_until=now, retention_until=now)
        subject_rows.update(transaction.connection, self._vault, gone)
        transaction.record(Kind.UNBLOCK, session_number=number, actor=actor)

    def _enrol(self, transaction: Transaction, enrolment: Enrolment, actor: str) -> tuple[Subject, Signed]:
        now, until = self._now(), enrolment.retention_until
        subject = subject_rows.insert(
            transaction.connection,
            self._vault,
            enrolment,
            session_id=enrolment.session_id or str(uuid.uuid4()),
            now=now,
            retention_until=now + self._retention_s if until is None else until,
        )
        signed = transaction.record(
            Kind.ENROL,
            session_number=subject.session_number,
            details={
                "references": subject.references,
                "source": subject.source,
                "status": subject.status.value,
                "is_blocklisted": subject.is_blocklisted,
                "is_allowlisted": subject.is_allowlisted,
                **({"liveness": enrolment.liveness} if enrolment.liveness is not None else {}),
            },
            actor=actor,
        )
        return subject, signed

    def add_reference(
        self,
        number: SubjectId,
        template: Template,
        *,
        quality: float | None = None,
        image: bytes | None = None,
        actor: str = "",
    ) -> int:
        """Add one more reference of someone enrolled; return its id."""
        with self._transaction() as transaction:
            connection, now = transaction.connection, self._now()
            _known(connection, self._vault, number)
            reference = subject_rows.insert_reference(
                connection, self._vault, number, template, quality=quality, now=now
            )
            if image is not None:
                subject_rows.insert_image(connection, self._vault, number, image, now)
            subject_rows.touch(connection, number)
            transaction.record(
                Kind.REFERENCE,
                session_number=number,
                details={"reference": reference, "model": template.model},
                actor=actor,
            )
        return reference

    def patch(self, number: SubjectId, change: Callable[[Subject], Subject], *, actor: str = "") -> Subject:
        """Change details, status and the three dates of a person.

        Other fields keep what the store has; the lists have acts of their own: `block`, `unblock`,
        `allow`, `disallow`.

        Args:
            number: of the person.
            change: given the person as the store has them now, returns them changed, with `dataclasses.replace`;
                called within the transaction, so that no change made meanwhile is undone. What it raises goes on.
            actor: for the log.
        """
        with self._transaction() as transaction:
            return self.patch_within(transaction, number, change, actor=actor)

    def patch_within(
        self, transaction: Transaction, number: SubjectId, change: Callable[[Subject], Subject], *, actor: str
    ) -> Subject:
        """Change a person within somebody else's transaction, as `patch` does."""
        known = _known(transaction.connection, self._vault, number)
        new = _patched(known, change(known))
        changed = _changed(known, new)
        if changed:
            subject_rows.update(transaction.connection, self._vault, new)
            transaction.record(
                Kind.PATCH,
                session_number=new.session_number,
                details={"changed": changed, "status": new.status.value},
                actor=actor,
            )
        return new

    def block(
        self, number: SubjectId, *, reason: str | None = None, messages: Sequence[Message] = (), actor: str = ""
    ) -> Subject:
        """Put a person on the blocklist; the reason is sealed. With it goes what is to leave because of it."""
        return self._list(number, Kind.BLOCK, actor, reason, messages)

    def unblock(self, number: SubjectId, *, actor: str = "") -> Subject:
        """Take a person off the blocklist."""
        return self._list(number, Kind.UNBLOCK, actor)

    def allow(self, number: SubjectId, *, actor: str = "") -> Subject:
        """Put a person on the allowlist."""
        return self._list(number, Kind.ALLOW, actor)

    def disallow(self, number: SubjectId, *, actor: str = "") -> Subject:
        """Take a person off the allowlist."""
        return self._list(number, Kind.DISALLOW, actor)

    def _list(
        self, number: SubjectId, kind: Kind, actor: str, reason: str | None = None, rows: Sequence[Message] = ()
    ) -> Subject:
        with self._transaction() as transaction:
            known = _known(transaction.connection, self._vault, number)
            if kind in (Kind.BLOCK, Kind.UNBLOCK):
                subject = replace(
                    known,
                    is_blocklisted=kind is Kind.BLOCK,
                    details=replace(known.details, block_reason=reason),
                )
            else:
                subject = replace(known, is_allowlisted=kind is Kind.ALLOW)
            subject_rows.update(transaction.connection, self._vault, subject)
            signed = transaction.record(kind, session_number=number, actor=actor)
            outbox.insert_all(transaction.connection, self._vault, signed.seq, rows, self._now())
        return subject

    def forget(self, number: SubjectId, *, actor: str = "") -> Receipt:
        """Erase a person, and prove it; see `Erasures.forget`."""
        return self.erasures.forget(number, actor=actor)

    def overdue(self) -> tuple[SubjectId, ...]:
        """Return whose retention date has passed."""
        with self._database.read() as connection:
            return erasure.overdue(
                connection,
                self._now(),
                retention_s=self._retention_s,
                is_clock_good=self._clock_state() is not ClockState.UNTRUSTED,
            )

    def sweep(self) -> tuple[Receipt, ...]:
        """Forget everyone whose retention date has passed, and prove what has no proof yet. To be called daily."""
        return self.erasures.sweep(self.overdue())

    def subject(self, number: SubjectId) -> Subject | None:
        """Return a person; None when nobody has this number."""
        with self._database.read() as connection:
            return subject_rows.read(connection, self._vault, number)

    def find(self, text: str) -> tuple[Subject, ...]:
        """Return who has this session_number, session_id, vendor_data or document number."""
        with self._database.read() as connection:
            return subject_rows.find(connection, self._vault, text)

    def subjects(self, wanted: SubjectFilter | None = None, *, limit: int = 100, offset: int = 0) -> SubjectPage:
        """Return people in the order of enrolment."""
        with self._database.read() as connection:
            return SubjectPage(
                *subject_rows.page(connection, self._vault, wanted or SubjectFilter(), limit=limit, offset=offset)
            )

    def details(self, numbers: Sequence[SubjectId] | None = None) -> tuple[tuple[SubjectId, Details], ...]:
        """Return what is known of everyone, or of those asked for who are there."""
        with self._database.read() as connection:
            return tuple(subject_rows.details(connection, self._vault, numbers))

    def numbers(self, wanted: SubjectFilter) -> frozenset[SubjectId]:
        """Return the numbers of all who fit a filter."""
        with self._database.read() as connection:
            return subject_rows.numbers_where(connection, self._vault, wanted)

    def images(self, number: SubjectId) -> tuple[bytes, ...]:
        """Return the photographs kept of a person, oldest first; mostly none are."""
        with self._database.read() as connection:
            return subject_rows.images(connection, self._vault, number)


class Erasures:
    """Those who were forgotten, or are to be; `People.erasures` is it."""

    def __init__(
        self,
        directory: Path,
        database: Database,
        vault: Vault,
        *,
        transaction: Callable[[], AbstractContextManager[Transaction]],
        now: Callable[[], float],
    ) -> None:
        self._directory, self._database, self._vault = directory, database, vault
        self._transaction, self._now = transaction, now
        self._proving = threading.Lock()

    def forget(self, number: SubjectId, *, actor: str = "") -> Receipt:
        """Erase a person: rows, references, images, answers that name them, WAL, freed pages; and prove it.

        What remains: their session_number, statuses and scores in the decision log, and their
        session_id in the list of erasures. Backups made before hold the sealed rows until
        `backup.scrub` rewrote them or they were deleted; the receipt names them.

        Raises:
            StoreError: nobody has this number.
        """
        erased = self._erase([number], actor)
        return next(receipt for receipt in self._prove(erased) if receipt.session_number == number)

    def erase(self, number: SubjectId, *, actor: str = "") -> str:
        """Erase a person as `forget` does, and leave the proof to `prove`; return their session_id.

        Takes milliseconds, where the proof reads the whole database.

        Raises:
            StoreError: nobody has this number.
        """
        erased = self._erase([number], actor)
        erasure.finish(self._database, self._directory)
        return erased[0].session_id

    def unproven(self) -> int:
        """Return how many erasures have no proof yet."""
        with self._database.read() as connection:
            return len(erasure.unproven(connection, self._vault))

    def awaits_proof(self, number: SubjectId) -> str | None:
        """Return the session_id of somebody whose erasure has no proof yet; None where that is not so."""
        with self._database.read() as connection:
            waiting = erasure.unproven(connection, self._vault)
        return next((one.session_id for one in waiting if one.session_number == number), None)

    def prove(self) -> tuple[Receipt, ...]:
        """Prove the erasures that have no proof yet; return their receipts, which `receipt` gives from then on."""
        return self._prove(()) if self.unproven() else ()

    def receipt(self, text: str) -> Receipt | None:
        """Return the receipt of somebody forgotten, by session_number or session_id; None where none is kept (yet)."""
        with self._database.read() as connection:
            return erasure.kept_receipt(connection, text)

    def sweep(self, numbers: Sequence[SubjectId]) -> tuple[Receipt, ...]:
        """Forget people, and prove what has no proof yet."""
        erased = self._erase(numbers, "sweep") if numbers else ()
        receipts = self._prove(erased) if erased or self.unproven() else ()
        if not receipts:
            erasure.finish(self._database, self._directory)
        return receipts

    def _erase(self, numbers: Sequence[SubjectId], actor: str) -> tuple[erasure.Erased, ...]:
        with self._transaction() as transaction:
            return tuple(self.erase_within(transaction, number, actor=actor) for number in numbers)

    def erase_within(
        self,
        transaction: Transaction,
        number: SubjectId,
        *,
        actor: str,
        origin: str | None = None,
        is_for_good: bool = True,
    ) -> erasure.Erased:
        """Erase a person within somebody else's transaction; `prove` has to follow.

        Args:
            transaction: of the caller.
            number: of the person.
            actor: for the log.
            origin: as `subject_rows.touch` takes it.
            is_for_good: a restore of a backup erases them again.
        """
        now, connection = self._now(), transaction.connection
        subject = _known(connection, self._vault, number)
        remains = erasure.erase(connection, self._vault, subject, is_for_good=is_for_good)
        signed = transaction.record(Kind.FORGET, session_number=number, details=remains.counts, actor=actor)
        if is_for_good:
            erasure.remember(connection, subject.session_id, number, signed.seq, now)
        subject_rows.touch(connection, number, origin)
        erased = erasure.Erased(number, subject.session_id, now, signed.seq, signed.hash.hex(), remains)
        erasure.want_proof(connection, self._vault, erased)
        return erased

    def _prove(self, erased: Sequence[erasure.Erased]) -> tuple[Receipt, ...]:
        with self._proving:  # one search does for all who wait
            return erasure.prove(self._database, self._directory, self._vault, erased)


def _known(connection: sqlite3.Connection, vault: Vault, number: SubjectId) -> Subject:
    subject = subject_rows.read(connection, vault, number)
    if subject is None:
        raise subject_rows.nobody(number)
    return subject

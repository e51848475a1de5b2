"""The store: people, references, decisions. Nothing else in the kiosk writes to the state directory.

    state/  kiosk.db (-wal, -shm)   everything; what is personal is sealed, see schema.py
            kiosk.key               the master key, unless systemd hands it in; see vault.py
            ledger.head             the newest record of the decision log, see decision_log.py
            erasures.jsonl          who was forgotten, so that no restore brings them back
            backups/                see backup.py

Each public method that changes something is one transaction: the fact, its record in the decision
log, its outbox row and its line for other processes are stored together or not at all. When the
method returns, the fact survives a power cut.

Safe in any thread, and beside other processes that have the same store open. The SQL is in this
file, `subject_rows.py` (people as rows), `decision_log.py` (the log), `import_runs.py`, `outbox.py`, `erasure.py`,
`directory.py`, `backup.py`, `rekey.py` and `schema.py`, and nowhere else.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kiosk.store import erasure, import_runs, outbox, subject_rows
from kiosk.store.chain import Entry, Head, Kind, LogCheck, Signed
from kiosk.store.decision_log import DecisionFilter, DecisionLog, DecisionPage, HeadFile, NewDecision
from kiosk.store.subjects import (
    Changes,
    Enrolment,
    ImportedFile,
    Members,
    Receipt,
    References,
    Subject,
    SubjectFilter,
    SubjectPage,
)
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from kiosk.store.database import Database
    from kiosk.store.outbox import Message
    from kiosk.store.vault import Vault
    from kiosk.types import Floats, SubjectId, Template

HEAD_NAME = "ledger.head"
BACKUPS_NAME = "backups"
RETENTION_S = 3 * 365.25 * 86400  # three years, when an enrolment says nothing
CHUNK_ROWS = 8192  # references read at a time: 10 MB at 320 numbers each


def untrusted() -> ClockState:
    """Say that the clock is not synchronised: the default when the caller knows nothing."""
    return ClockState.UNTRUSTED


class _Transaction:
    """An open transaction, and the last record of the log it added."""

    def __init__(self, connection: sqlite3.Connection, log: DecisionLog) -> None:
        self.connection = connection
        self.last: Signed | None = None
        self._log = log

    def record(self, kind: Kind, **what: Any) -> Signed:
        """Add a record of the log; arguments as `DecisionLog.append` takes them."""
        self.last = self._log.append(self.connection, kind, **what)
        return self.last


class Store:
    """The store of one kiosk. `directory.py` makes and opens it."""

    def __init__(
        self,
        directory: Path,
        database: Database,
        vault: Vault,
        *,
        now: Callable[[], float],
        clock_state: Callable[[], ClockState] = untrusted,
        retention_s: float = RETENTION_S,
    ) -> None:
        self.directory = directory
        self.database = database
        self.vault = vault
        self.outbox = outbox.Outbox(database, vault)
        self.imports = import_runs.Imports(database, vault, now=now)
        self.log = DecisionLog(database, vault, now=now, clock_state=clock_state)
        self.head = HeadFile(directory / HEAD_NAME, vault)
        self.notices: tuple[str, ...] = ()
        """What was odd at the start and could be lived with; for health."""
        self._now = now
        self._retention_s = retention_s

    def __repr__(self) -> str:
        return f"Store({self.directory.name})"

    def __enter__(self) -> Store:  # noqa: PYI034  # typing.Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; the last process out empties the WAL."""
        self.database.close()

    @cached_property
    def identity(self) -> str:
        """What tells this kiosk from others: a UUID made with the store."""
        with self.database.read() as connection:
            return str(connection.execute("SELECT value FROM kiosk WHERE name = 'store_id'").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """Run one transaction; afterwards the head file names its last record."""
        with self.database.write() as connection:
            transaction = _Transaction(connection, self.log)
            yield transaction
            number = subject_rows.next_id(connection, "subject") - 1
        if transaction.last is not None:
            head = Head(transaction.last.seq, transaction.last.hash.hex(), number)
            try:
                self.head.advance(head)
            except OSError as error:  # the fact is stored; the head only lags behind
                self.notices = (f"the head file cannot be written: {error.strerror}",)

    # ---- people

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
        with self.transaction() as transaction:
            subject, signed = self._enrol(transaction, enrolment, actor)
            for message in messages:
                outbox.insert(transaction.connection, self.vault, signed.seq, message, self._now())
            if imported is not None:
                import_runs.insert(transaction.connection, self.vault, imported, subject.session_number)
        return subject

    def enrol_many(self, enrolments: Sequence[Enrolment], *, actor: str = "") -> tuple[SubjectId, ...]:
        """Store several people in one transaction; return their session_numbers in order."""
        with self.transaction() as transaction:
            return tuple(self._enrol(transaction, enrolment, actor)[0].session_number for enrolment in enrolments)

    def enrol_within(self, transaction: _Transaction, enrolment: Enrolment, *, actor: str) -> Subject:
        """Store a person within the caller's transaction."""
        return self._enrol(transaction, enrolment, actor)[0]

    def vanish_within(self, transaction: _Transaction, number: SubjectId, *, actor: str) -> None:
        """Unblock a person whom nothing keeps any more: no search finds them, and the next sweep erases them."""
        known, now = self._known(transaction.connection, number), self._now()
        gone = replace(known, is_blocklisted=False, valid_until=now, retention_until=now)
        subject_rows.update(transaction.connection, self.vault, gone)
        transaction.record(Kind.UNBLOCK, session_number=number, actor=actor)

    def _enrol(self, transaction: _Transaction, enrolment: Enrolment, actor: str) -> tuple[Subject, Signed]:
        now, until = self._now(), enrolment.retention_until
        subject = subject_rows.insert(
            transaction.connection,
            self.vault,
            enrolment,
            session_id=str(uuid.uuid4()),
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
        with self.transaction() as transaction:
            connection, now = transaction.connection, self._now()
            self._known(connection, number)
            reference = subject_rows.insert_reference(
                connection, self.vault, number, template, quality=quality, now=now
            )
            if image is not None:
                subject_rows.insert_image(connection, self.vault, number, image, now)
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
        with self.transaction() as transaction:
            known = self._known(transaction.connection, number)
            subject = change(known)
            new = replace(
                known,
                details=replace(subject.details, block_reason=known.details.block_reason),
                status=subject.status,
                valid_from=subject.valid_from,
                valid_until=subject.valid_until,
                retention_until=subject.retention_until,
            )
            changed = [
                field.name
                for old_part, new_part in ((known, new), (known.details, new.details))
                for field in fields(old_part)
                if field.name != "details" and getattr(old_part, field.name) != getattr(new_part, field.name)
            ]
            if changed:
                subject_rows.update(transaction.connection, self.vault, new)
                transaction.record(
                    Kind.PATCH,
                    session_number=new.session_number,
                    details={"changed": changed, "status": new.status.value},
                    actor=actor,
                )
        return new

    def block(self, number: SubjectId, *, reason: str | None = None, actor: str = "") -> Subject:
        """Put a person on the blocklist; the reason is sealed."""
        return self._list(number, Kind.BLOCK, actor, reason)

    def unblock(self, number: SubjectId, *, actor: str = "") -> Subject:
        """Take a person off the blocklist."""
        return self._list(number, Kind.UNBLOCK, actor)

    def allow(self, number: SubjectId, *, actor: str = "") -> Subject:
        """Put a person on the allowlist."""
        return self._list(number, Kind.ALLOW, actor)

    def disallow(self, number: SubjectId, *, actor: str = "") -> Subject:
        """Take a person off the allowlist."""
        return self._list(number, Kind.DISALLOW, actor)

    def _list(self, number: SubjectId, kind: Kind, actor: str, reason: str | None = None) -> Subject:
        with self.transaction() as transaction:
            known = self._known(transaction.connection, number)
            if kind in (Kind.BLOCK, Kind.UNBLOCK):
                subject = replace(
                    known,
                    is_blocklisted=kind is Kind.BLOCK,
                    details=replace(known.details, block_reason=reason),
                )
            else:
                subject = replace(known, is_allowlisted=kind is Kind.ALLOW)
            subject_rows.update(transaction.connection, self.vault, subject)
            transaction.record(kind, session_number=number, actor=actor)
        return subject

    def forget(self, number: SubjectId, *, actor: str = "") -> Receipt:
        """Erase a person: rows, references, images, answers that name them, WAL, freed pages.

        What remains: their session_number, statuses and scores in the decision log, and their
        session_id in the list of erasures. Backups made before hold the sealed rows until
        `backup.scrub` rewrote them or they were deleted; the receipt names them.

        Raises:
            StoreError: nobody has this number.
        """
        return self._forget([number], actor)[0]

    def overdue(self) -> tuple[SubjectId, ...]:
        """Return whose retention date has passed."""
        with self.database.read() as connection:
            return erasure.overdue(connection, self._now())

    def sweep(self) -> tuple[Receipt, ...]:
        """Forget everyone whose retention date has passed. To be called daily."""
        numbers = self.overdue()
        receipts = self._forget(numbers, "sweep") if numbers else ()
        if not receipts:
            erasure.finish(self.database, self.directory)
        return receipts

    def _forget(self, numbers: Sequence[SubjectId], actor: str) -> tuple[Receipt, ...]:
        now = self._now()
        erased = []
        with self.transaction() as transaction:
            connection = transaction.connection
            for number in numbers:
                subject = self._known(connection, number)
                remains = erasure.erase(connection, self.vault, subject)
                signed = transaction.record(Kind.FORGET, session_number=number, details=remains.counts, actor=actor)
                erasure.remember(connection, subject, signed.seq, now)
                subject_rows.touch(connection, number)
                erased.append((subject, signed, remains))
        is_complete = erasure.finish(self.database, self.directory)
        is_complete = is_complete and erasure.is_gone(
            self.database, self.directory, [remains for _, _, remains in erased]
        )
        backups = sorted(path.name for path in (self.directory / BACKUPS_NAME).glob("*.backup"))
        return tuple(
            erasure.receipt(
                subject,
                signed,
                remains,
                self.vault,
                at=now,
                is_complete=is_complete,
                backups=backups,
            )
            for subject, signed, remains in erased
        )

    def subject(self, number: SubjectId) -> Subject | None:
        """Return a person; None when nobody has this number."""
        with self.database.read() as connection:
            return subject_rows.read(connection, self.vault, number)

    def find(self, text: str) -> tuple[Subject, ...]:
        """Return who has this session_number, session_id, vendor_data or document number."""
        with self.database.read() as connection:
            return subject_rows.find(connection, self.vault, text)

    def subjects(self, wanted: SubjectFilter | None = None, *, limit: int = 100, offset: int = 0) -> SubjectPage:
        """Return people in the order of enrolment."""
        with self.database.read() as connection:
            return SubjectPage(
                *subject_rows.page(connection, self.vault, wanted or SubjectFilter(), limit=limit, offset=offset)
            )

    def images(self, number: SubjectId) -> tuple[bytes, ...]:
        """Return the photographs kept of a person, oldest first; mostly none are."""
        with self.database.read() as connection:
            return subject_rows.images(connection, self.vault, number)

    def _known(self, connection: sqlite3.Connection, number: SubjectId) -> Subject:
        subject = subject_rows.read(connection, self.vault, number)
        if subject is None:
            raise subject_rows.nobody(number)
        return subject

    def probe(self) -> None:
        """Write something small: whether a store that failed takes facts again.

        Raises:
            StoreError: it does not.
        """
        with self.database.write() as connection:
            connection.execute(
                "INSERT INTO kiosk (name, value) VALUES ('probed', ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (f"{self._now():.0f}",),
            )

    # ---- what the gallery loads

    def version(self) -> int:
        """Return the number of the last change; read it *before* loading the gallery."""
        return self.changes_since(1 << 62).version

    def changes_since(self, version: int) -> Changes:
        """Return who changed since a version, in this or another process; tens of microseconds."""
        with self.database.read() as connection:
            rows = connection.execute(
                "SELECT DISTINCT subject FROM change WHERE version > ? ORDER BY subject", (version,)
            ).fetchall()
            newest = connection.execute("SELECT coalesce(max(version), 0) FROM change").fetchone()
        return Changes(newest[0], tuple(number for (number,) in rows))

    def members(self, numbers: Sequence[SubjectId] | None = None) -> Members:
        """Return lists, status and dates of everyone, or of those asked for who are there."""
        with self.database.read() as connection:
            return subject_rows.members(connection, self.vault, numbers)

    def references(
        self,
        model: str,
        subjects: Sequence[SubjectId] | None = None,
        *,
        chunk_rows: int = CHUNK_ROWS,
    ) -> Iterator[References]:
        """Return the references of one model in the order of enrolment, a chunk at a time.

        Args:
            model: digest; references of other models are left out, they never compare.
            subjects: only theirs, in one chunk; None: everyone's.
            chunk_rows: the longest chunk.

        Returns:
            Chunks, none of them empty; none at all when there are no references.

        Raises:
            StoreError: a template was changed or damaged; the message names its row.
        """
        if subjects is not None:
            with self.database.read() as connection:
                found = subject_rows.references_where(connection, self.vault, model, "subject", subjects)
            if found.ids.size:
                yield found
            return
        after = 0
        while True:  # one short read a chunk: a long one would hold up the WAL
            with self.database.read() as connection:
                chunk = subject_rows.references_after(connection, self.vault, model, after, chunk_rows)
            if chunk is None:
                return
            yield chunk
            after = int(chunk.ids[-1])

    def reference_count(self) -> int:
        """Return how many references there are, of every model."""
        with self.database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM reference").fetchone()[0])

    def vectors(self, references: Sequence[int], model: str) -> Floats:
        """Return single references again, for exact scores.

        Args:
            references: K ids, in any order, repeats allowed.
            model: digest of their model.

        Returns:
            (K, D) float32, in the order asked; a row of NaN for a reference that is gone, as after a forget in
            another process. D is 0 where all of them are.

        Raises:
            StoreError: one of them is damaged.
        """
        wanted = np.asarray(references, np.int64)
        with self.database.read() as connection:
            found = subject_rows.references_where(connection, self.vault, model, "id", wanted.tolist())
        if not found.ids.size:
            return np.full((len(wanted), found.vectors.shape[1]), np.nan, np.float32)
        places = np.searchsorted(found.ids, wanted).clip(max=found.ids.size - 1)
        vectors: Floats = found.vectors[places]
        vectors[found.ids[places] != wanted] = np.nan
        return vectors

    # ---- decisions

    def record_decision(self, decision: NewDecision) -> Entry:
        """Save a decision with its outbox rows; return its record (seq, request_id, time)."""
        with self.transaction() as transaction:
            return self._record(transaction, decision).entry

    def _record(self, transaction: _Transaction, decision: NewDecision) -> Signed:
        connection = transaction.connection
        signed = transaction.record(decision.kind, decision=decision)
        connection.executemany(
            "INSERT INTO log_subject (subject, seq) VALUES (?, ?)",
            [(number, signed.seq) for number in dict.fromkeys(decision.subjects)],
        )
        for message in decision.outbox:
            outbox.insert(connection, self.vault, signed.seq, message, self._now())
        return signed

    def settle(self, row: int, remote_request_id: str, revision: NewDecision | None = None) -> None:
        """Record that a row of the outbox arrived, together with the other verdict that came back, if one did."""
        with self.transaction() as transaction:
            outbox.settle(transaction.connection, row, remote_request_id)
            if revision is not None:
                self._record(transaction, revision)

    def record_act(self, kind: Kind, *, details: dict[str, Any] | None = None, actor: str = "") -> Entry:
        """Record an act outside the store, such as changed settings; nothing personal in it."""
        with self.transaction() as transaction:
            return transaction.record(kind, details=details, actor=actor).entry

    def decisions(self, wanted: DecisionFilter | None = None, *, limit: int = 50, offset: int = 0) -> DecisionPage:
        """Return records of the log, newest first; without a filter, the decisions."""
        return self.log.page(wanted or DecisionFilter(), limit=limit, offset=offset)

    def verify_log(self, *, every_signature: bool = True) -> LogCheck:
        """Find any edit, gap, reordering or cut-off end of the log; limits: see chain.py."""
        return self.log.verify(self.head.read(), every_signature=every_signature)

    def export_log(self, kind: str) -> Iterator[str]:
        """Return the log as pieces of text; `kind` is "csv" or "json" (one record a line)."""
        return self.log.export(kind)

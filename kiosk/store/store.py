"""The store: people, references, decisions. Nothing else in the kiosk writes to the state directory.

    state/  kiosk.db (-wal, -shm)   everything; what is personal is sealed, see schema.py
            kiosk.key               the master key, unless systemd hands it in; see keys.py
            ledger.head             the newest record of the decision log, see decision_log.py
            erasures.jsonl          who was forgotten, so that no restore brings them back
            backups/                see upkeep/backup.py

Each public method that changes something is one transaction: the fact, its record in the decision
log, its outbox row and its line for other processes are stored together or not at all. When the
method returns, the fact survives a power cut.

Safe in any thread, and beside other processes that have the same store open. The store is made of parts: `people`,
`references` (what the gallery loads), `log`, `outbox`, `imports`, `secrets`, `notes`, `sessions`; its own are
transactions and decisions. The SQL is in this folder and nowhere else.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kiosk.store import erasure, import_runs, outbox, subject_rows
from kiosk.store.chain import Entry, Head, Kind, LogCheck, Signed
from kiosk.store.decision_log import (
    DecisionFilter,
    DecisionLog,
    DecisionPage,
    HeadFile,
    NewDecision,
    Transaction,
    clock_confirmed,
    newest_time,
    unopened,
)
from kiosk.store.factors import factors
from kiosk.store.log_export import export
from kiosk.store.notes import Notes
from kiosk.store.open_sessions.sessions import Change, OpenSessions
from kiosk.store.passages.passages import PassageStore
from kiosk.store.passes.passes import PassStore
from kiosk.store.people import People
from kiosk.store.references.reader import ReferenceReader
from kiosk.store.review import images
from kiosk.store.review.images import ReviewImages
from kiosk.store.secrets import Secrets
from kiosk.store.vault import CHECK_BYTES
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from kiosk.store.database import Database
    from kiosk.store.subjects import Enrolment
    from kiosk.store.vault import Vault
    from kiosk.types import Status, SubjectId

DOOR = "fleet_door"  # the secret that `door_groups` reads
HEAD_NAME = "ledger.head"
MAC_BYTES = CHECK_BYTES
RETENTION_S = 3 * 365.25 * 86400  # three years, when an enrolment says nothing


def is_in_fleet(connection: sqlite3.Connection) -> bool:
    """Say whether what is done here is shared with other kiosks of the owner."""
    return connection.execute("SELECT 1 FROM kiosk WHERE name = 'fleet'").fetchone() is not None


def untrusted() -> ClockState:
    """Say that the clock is not synchronised: the default when the caller knows nothing."""
    return ClockState.UNTRUSTED


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
        self.fleet_outbox = outbox.Outbox(database, vault, (outbox.FLEET,))
        self.imports = import_runs.Imports(database, vault, now=now)
        self.references = ReferenceReader(database, vault)
        self.review_images = ReviewImages(database, vault)
        self.secrets = Secrets(database, vault)
        self.factors = factors.FactorStore(database, vault, self.transaction)
        self.passages = PassageStore(database, vault, self.transaction)
        self.passes = PassStore(database, vault, self.transaction)
        self.people = People(
            directory,
            database,
            vault,
            transaction=self.transaction,
            now=now,
            clock_state=clock_state,
            retention_s=retention_s,
        )
        self.log = DecisionLog(database, vault, now=now, clock_state=clock_state)
        self.head = HeadFile(directory / HEAD_NAME, vault)
        self.sessions = OpenSessions(database, vault)
        self.notices: tuple[str, ...] = ()
        """What was odd at the start and could be lived with; for health."""
        self._now = now

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

    @property
    def is_in_fleet(self) -> bool:
        """Whether what is done here is shared with other kiosks of the owner."""
        with self.database.read() as connection:
            return is_in_fleet(connection)

    def door_groups(self) -> frozenset[str] | None:
        """Return the groups of people who go through this kiosk's door, by its fleet's owner; None: everybody does."""
        text = self.secrets.read(DOOR)
        return None if text is None else frozenset(json.loads(text))

    @property
    def notes(self) -> Notes:
        """What is known of the cloud; whoever writes keeps the object, which writes only what it has not written."""
        return Notes(self.database)

    @property
    def size_bytes(self) -> int:
        """How large the database's file is."""
        return self.database.path.stat().st_size

    def mac(self, message: bytes) -> bytes:
        """Return MAC_BYTES that nobody makes without this store's key, to know a message of its own again."""
        return self.vault.mac(message)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run one transaction; afterwards the head file names its last record."""
        with self.database.write() as connection:
            transaction = Transaction(connection, self.log)
            yield transaction
            if is_in_fleet(connection):
                from kiosk.store.fleet.capture import capture  # noqa: PLC0415  a kiosk without a fleet loads none of it

                capture(connection, self.vault)
            number = subject_rows.next_id(connection, "subject") - 1
        if transaction.last is not None:
            head = Head(transaction.last.seq, transaction.last.hash.hex(), number)
            try:
                self.head.advance(head)
            except OSError as error:  # the fact is stored; the head only lags behind
                self.notices = (f"the head file cannot be written: {error.strerror}",)

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

    # ---- the clock

    def clock_confirmed(self) -> tuple[int, float]:
        """Return the record by which an operator confirmed the clock last, see `decision_log.clock_confirmed`."""
        return clock_confirmed(self.database)

    def newest_time(self) -> float:
        """Return before when it cannot be, s UTC, see `decision_log.newest_time`."""
        return newest_time(self.database)

    # ---- decisions

    def record_decision(
        self, decision: NewDecision, session: Enrolment | None = None, change: Change | None = None
    ) -> Entry:
        """Save a decision with its outbox rows; return its record (seq, request_id, time).

        Args:
            decision: to be saved.
            session: whom it makes known; forgetting them erases the decision's answer.
            change: what becomes of an open session with it; where that is refused, nothing is saved.
        """
        with self.transaction() as transaction:
            if session is not None:
                subject = self.people.enrol_within(transaction, session, actor=decision.actor)
                decision = replace(decision, subjects=(*decision.subjects, subject.session_number))
            entry = self._record(transaction, decision).entry
            if change is not None:
                change(transaction.connection, entry.seq)
        if decision.kind is Kind.REVIEW:
            erasure.finish(self.database, self.directory)  # what its reviewer saw is gone
        return entry

    def tidy_sessions(self) -> None:
        """Delete what sessions that ended have left, from the files too."""
        self.sessions.drop_over(self._now())
        erasure.finish(self.database, self.directory)

    def _record(self, transaction: Transaction, decision: NewDecision) -> Signed:
        connection = transaction.connection
        signed = transaction.record(decision.kind, decision=decision)
        connection.executemany(
            "INSERT INTO log_subject (subject, seq) VALUES (?, ?)",
            [(number, signed.seq) for number in dict.fromkeys(decision.subjects)],
        )
        outbox.insert_all(connection, self.vault, signed.seq, decision.outbox, self._now())
        images.insert(connection, self.vault, signed.seq, decision.images, self._now())
        if decision.entered is not None:
            factors.note(connection, self.vault, signed.seq, decision.entered)
        if decision.kind is Kind.REVIEW and images.drop(connection, str(decision.details.get("of"))):
            erasure.mark_unclean(connection)
        return signed

    def review_person(self, number: SubjectId, status: Status, review: NewDecision) -> None:
        """Give a person another status, together with the record of who said so."""
        with self.transaction() as transaction:
            self.people.patch_within(
                transaction, number, lambda known: replace(known, status=status), actor=review.actor
            )
            self._record(transaction, review)

    def erase_call(self, request_id: str, *, actor: str = "") -> bool:
        """Erase what a saved call kept, as `People.forget` erases a person; status and score stay in the log.

        Returns:
            False where it kept nothing.
        """
        with self.transaction() as transaction:
            remains = erasure.erase_call(transaction.connection, request_id)
            if remains is None:
                return False
            about = {"of": request_id, **remains.counts}
            signed = transaction.record(Kind.FORGET, details=about, actor=actor)
            erasure.remember(transaction.connection, request_id, 0, signed.seq, self._now())
        if erasure.finish(self.database, self.directory):
            erasure.is_gone(self.database, self.directory, [remains])
        return True

    def settle(self, row: int, remote_request_id: str, revision: NewDecision | None = None) -> None:
        """Record that a row of the outbox arrived, together with the other verdict that came back, if one did."""
        with self.transaction() as transaction:
            outbox.settle(transaction.connection, row, remote_request_id)
            if revision is not None:
                self._record(transaction, revision)

    def record_act(
        self, kind: Kind, *, details: Mapping[str, Any] | None = None, actor: str = "", request_id: str | None = None
    ) -> Entry:
        """Record an act outside the store, such as changed settings; nothing personal in it."""
        act = NewDecision(kind, "", details=details or {}, actor=actor, request_id=request_id)
        with self.transaction() as transaction:
            return transaction.record(kind, decision=act).entry

    def decisions(self, wanted: DecisionFilter | None = None, *, limit: int = 50, offset: int = 0) -> DecisionPage:
        """Return records of the log, newest first; without a filter, the decisions."""
        return self.log.page(wanted or DecisionFilter(), limit=limit, offset=offset)

    def unopened(self, request_id: str) -> Entry | None:
        """Return the record of why an approval opened nothing; None where there is none."""
        return unopened(self.database, request_id)

    def verify_log(self, *, every_signature: bool = True) -> LogCheck:
        """Find any edit, gap, reordering or cut-off end of the log; limits: see chain.py."""
        return self.log.verify(self.head.read(), every_signature=every_signature)

    def export_log(self, kind: str) -> Iterator[str]:
        """Return the log as pieces of text; `kind` is "csv" or "json" (one record a line)."""
        return export(self.log.records(), kind)

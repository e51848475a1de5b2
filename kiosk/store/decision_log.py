"""The decision log in the database: append, page, verify; and the signed head beside it.

`chain.py` knows what a record is; this file knows where it lies. Every act of the store passes
through `append` inside the act's own transaction, so an act without its record cannot exist.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kiosk.errors import StoreError
from kiosk.store import chain
from kiosk.store.chain import Entry, Head, Kind, LogCheck, Signed
from kiosk.store.checkpoint import Checkpoint, read_checkpoint
from kiosk.store.outbox import Message
from kiosk.store.schema import row_context
from kiosk.store.vault import InvalidTag, Vault
from kiosk.types import ClockState, Origin

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from kiosk.store.database import Database
    from kiosk.store.factors.pins import Entered
    from kiosk.types import SubjectId

SALT_BYTES = 16
NOT_OPENED = "not_opened"  # details.what of the DOOR record that says why an approval opened nothing
PAGE_ROWS = 2000  # rows read at a time on a walk: bounds memory
FEW = 2000  # records that are sooner found by an index and sorted than met on the way through the whole log
MOST_WALKS = 5  # over a log of which records are removed meanwhile


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to be saved. `answer` and `vendor_data` are sealed; the rest is in the clear log."""

    kind: Kind
    status: str
    score: float | None = None
    session_number: int | None = None  # the person compared with, or the best match
    warnings: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None
    gallery_size: int | None = None
    subjects: tuple[int, ...] = ()  # everyone the answer names: forgetting one erases the answer
    vendor_data: str | None = field(default=None, repr=False)
    answer: Mapping[str, Any] | None = field(default=None, repr=False)  # JSON
    details: Mapping[str, Any] = field(default_factory=dict)  # nothing personal
    request_id: str | None = None  # None: the store makes one
    actor: str = ""
    origin: Origin = Origin.DEVICE  # kept among the details
    call: Mapping[str, str] = field(default_factory=dict)  # fields of the call that nothing else here tells; not kept
    outbox: tuple[Message, ...] = ()
    images: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # JPEG; kept sealed until it is reviewed
    entered: Entered | None = field(default=None, repr=False)  # at the keypad, if anything was: see factors/


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """A record of the log with what is still known about it."""

    entry: Entry
    vendor_data: str | None = field(repr=False)  # None also when erased
    answer: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which records of the log are wanted; `None` asks for nothing in particular."""

    kinds: tuple[Kind, ...] = tuple(sorted(chain.DECISION_KINDS))
    status: str | None = None
    vendor_data: str | None = field(default=None, repr=False)
    session_number: int | None = None
    request_id: str | None = None
    date_from: float | None = None  # seconds UTC, inclusive
    date_to: float | None = None  # exclusive
    shown: tuple[str, ...] = ()  # statuses after an operator's review, where there is one
    is_kept: bool = False  # only those whose answer was not erased
    why: str | None = None  # one of their reasons or warnings


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """One page, newest first, and how many there are in all."""

    total: int
    decisions: tuple[LoggedDecision, ...]


class HeadFile:
    """The newest acknowledged (seq, hash), outside the database, in two slots written in turn.

    It is written after the commit and not synced, so it may lag behind but is never ahead of a
    database whose disk keeps its word: if the log ends before the head, records were lost.
    """

    def __init__(self, path: Path, vault: Vault) -> None:
        self._path = path
        self._mac = vault.mac

    def read(self) -> Head | None:
        """Return the head; None when there is no good one.

        Raises:
            StoreError: the disk does not give it back; a head may be there.
        """
        try:
            return chain.decode_head(self._path.read_bytes(), self._mac)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}; look at the disk") from error

    def advance(self, head: Head) -> None:
        """Write a newer head; an older one changes nothing (two processes may race)."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            known = chain.decode_head(os.pread(handle, 4096, 0), self._mac)
            if known is None or known.seq < head.seq:
                slot = head.seq % chain.SLOTS * chain.SLOT_BYTES
                os.pwrite(handle, chain.encode_head(head, self._mac), slot)
        finally:
            os.close(handle)

    def replace(self, head: Head) -> None:
        """Start over with this head: after a rekey, whose old checks nobody can read any more."""
        self._path.unlink(missing_ok=True)
        self.advance(head)


class DecisionLog:
    """The log of one store."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        now: Callable[[], float],
        clock_state: Callable[[], ClockState],
    ) -> None:
        self._database = database
        self._vault = vault
        self._now = now
        self._clock_state = clock_state

    def append(
        self,
        connection: sqlite3.Connection,
        kind: Kind,
        *,
        decision: NewDecision | None = None,
        session_number: int | None = None,
        details: Mapping[str, Any] | None = None,
        actor: str = "",
        skip_to: int | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> Signed:
        """Add a record inside an open transaction.

        Args:
            connection: in a transaction.
            kind: what happened.
            decision: for a decision, all of it; otherwise the next three.
            session_number: whom it concerns.
            details: nothing personal: this is never erased.
            actor: who asked.
            skip_to: the seq to give, past numbers that were used in a log now lost.
            sign: instead of this device's key: the old key, in the record that changes it.
        """
        tail = connection.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
        seq, prev_hash = (tail[0] + 1, tail[1].hex()) if tail else (1, chain.NO_HASH)
        what = decision or NewDecision(kind, "", session_number=session_number, details=details or {}, actor=actor)
        salt = os.urandom(SALT_BYTES)
        entry = Entry(
            seq=seq if skip_to is None else skip_to,
            at=round(self._now(), 3),
            kind=kind,
            request_id=what.request_id or str(uuid.uuid4()),
            prev_hash=prev_hash,
            clock=self._clock_state(),
            status=what.status or None,
            score=what.score,
            session_number=what.session_number,
            warnings=what.warnings,
            thresholds=what.thresholds,
            model=what.model,
            gallery_size=what.gallery_size,
            vendor=None if what.vendor_data is None else chain.commit(salt, what.vendor_data),
            actor=what.actor,
            details={**what.details, **what.origin.details},
        )
        signed = chain.sign_entry(entry, sign or self._vault.sign)
        connection.execute(
            "INSERT INTO log (seq, record, hash, signature) VALUES (?, ?, ?, ?)",
            (signed.seq, signed.record, signed.hash, signed.signature),
        )
        if what.vendor_data is not None or what.answer is not None:
            _insert_private(connection, self._vault, signed.seq, what, salt)
        return signed

    def page(self, wanted: DecisionFilter, *, limit: int, offset: int) -> DecisionPage:
        """Return records newest first."""
        where, values = _where(self._vault, wanted)
        tables = "FROM log LEFT JOIN log_private USING (seq)"
        counted = tables if wanted.is_kept or wanted.vendor_data else "FROM log"  # the join would be made for nothing
        with self._database.read() as connection:
            total: int = connection.execute(f"SELECT count(*) {counted} WHERE {where}", values).fetchone()[0]
            found = where if total <= FEW else _newest_first(where)
            rows = connection.execute(
                f"SELECT seq, record, sealed {tables} WHERE {found} ORDER BY seq DESC LIMIT ? OFFSET ?",
                [*values, limit, offset],
            ).fetchall()
        return DecisionPage(total, tuple(self._logged(*row) for row in rows))

    def review_of(self, request_id: str) -> LoggedDecision | None:
        """Return an operator's decision about a decision; the newest, None while there is none."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT seq, record, sealed FROM log LEFT JOIN log_private USING (seq) "
                "WHERE of_id = ? AND kind = 'REVIEW' ORDER BY seq DESC LIMIT 1",
                (request_id,),
            ).fetchone()
        return self._logged(*row) if row else None

    def waiting(self, *, limit: int, offset: int, why: str | None = None, kind: Kind | None = None) -> DecisionPage:
        """Return decisions In Review about which no operator decided yet; who waits longest comes first.

        `why` is one of their reasons or warnings.
        """
        rest, values = _open_reviews(why, kind)
        with self._database.read() as connection:
            total: int = connection.execute(f"SELECT count(*) {rest}", values).fetchone()[0]
            rows = connection.execute(
                f"SELECT one.seq, one.record, sealed {rest} ORDER BY one.seq LIMIT ? OFFSET ?",
                [*values, limit, offset],
            ).fetchall()
        return DecisionPage(total, tuple(self._logged(*row) for row in rows))

    def walk(self, wanted: DecisionFilter) -> Iterator[LoggedDecision]:
        """Yield records newest first; memory stays bounded, and what is added meanwhile is left out."""
        where, values = _where(self._vault, wanted)
        before = 2**62
        while True:
            with self._database.read() as connection:
                rows = connection.execute(
                    "SELECT seq, record, sealed FROM log LEFT JOIN log_private USING (seq) "
                    f"WHERE {_newest_first(where)} AND seq < ? ORDER BY seq DESC LIMIT ?",
                    [*values, before, PAGE_ROWS],
                ).fetchall()
            yield from (self._logged(*row) for row in rows)
            if len(rows) < PAGE_ROWS:
                return
            before = rows[-1][0]

    def tally(self, since: float, width_s: float) -> list[tuple[int, str, int]]:
        """Count decisions from a time on: (number of the span of `width_s` since then, status, how many)."""
        return _tally(self._database, since, width_s)

    def scores(self, since: float) -> list[tuple[str, int, int]]:
        """Count decisions with a score from a time on: (kind, whole points, how many)."""
        return _scores(self._database, since)

    def last_seen(self, numbers: Sequence[SubjectId]) -> dict[SubjectId, float]:
        """Return when people were last approved at the door, s UTC; whoever never was, or too long ago, is left out."""
        return _last_seen(self._database, numbers)

    def signed(self, request_id: str) -> Signed | None:
        """Return a record as it is stored, with hash and signature."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT seq, record, hash, signature FROM log WHERE request_id = ? ORDER BY seq LIMIT 1", (request_id,)
            ).fetchone()
        return Signed(*row) if row else None

    def holds(self, signed: Signed) -> bool:
        """Say whether a record is signed with the key of its time and stands between its neighbours unbroken.

        What lies further off is `verify`'s to say.
        """
        with self._database.read() as connection:
            first = connection.execute(
                "SELECT record FROM log WHERE kind = 'INIT' AND seq <= ? ORDER BY seq DESC LIMIT 1", (signed.seq,)
            ).fetchone()
            around = dict(
                connection.execute(
                    "SELECT seq, iif(seq < ?1, lower(hex(hash)), json_extract(record, '$.prev_hash')) FROM log "
                    "WHERE seq IN (?1 - 1, ?1 + 1)".replace("?1", str(int(signed.seq)))
                ).fetchall()
            )
        key = bytes.fromhex(chain.parse(first[0]).details.get("public_key", "")) if first else b""
        follows = around.get(signed.seq - 1, signed.entry.prev_hash) == signed.entry.prev_hash
        is_followed = around.get(signed.seq + 1, signed.hash.hex()) == signed.hash.hex()
        return follows and is_followed and chain.is_signed(signed, key)

    def _logged(self, seq: int, record: str, sealed: bytes | None) -> LoggedDecision:
        private: dict[str, Any] = {}
        if sealed is not None:
            try:
                private = json.loads(self._vault.open(sealed, row_context("log_private", seq)))
            except InvalidTag as error:
                raise StoreError(
                    f"the answer of log record {seq} was changed or damaged; run `kiosk store repair`"
                ) from error
        return LoggedDecision(chain.parse(record), private.get("vendor_data"), private.get("answer"))

    def tail(self) -> Signed | None:
        """Return the newest record."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT seq, record, hash, signature FROM log ORDER BY seq DESC LIMIT 1"
            ).fetchone()
        return Signed(*row) if row else None

    def records(self, after: int = 0) -> Iterator[Signed]:
        """Return all records after a seq, in order; memory stays bounded."""
        while True:
            with self._database.read() as connection:
                rows = connection.execute(
                    "SELECT seq, record, hash, signature FROM log WHERE seq > ? ORDER BY seq LIMIT ?",
                    (after, PAGE_ROWS),
                ).fetchall()
            yield from (Signed(*row) for row in rows)
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1][0]

    def checkpoint(self) -> Checkpoint | None:
        """Return what vouches for the records that were removed; None where none was.

        Raises:
            StoreError: the newest PRUNE record was changed or damaged.
        """
        with self._database.read() as connection:
            return checkpoint_in(connection)

    def verify(self, head: Head | None, *, every_signature: bool = True, takes_losses: bool = False) -> LogCheck:
        """Walk the whole log; see `chain.verify`. Also check its end against the head file."""
        for _ in range(MOST_WALKS):
            checkpoint = self._readable_checkpoint()
            verdict = chain.verify(
                self.records(),
                public_key=self._vault.public_key,
                every_signature=every_signature,
                checkpoint=checkpoint,
                takes_losses=takes_losses,
            )
            if self._readable_checkpoint() == checkpoint:
                break  # else records were removed under this walk
        faults = list(verdict.faults)
        if head is None:
            faults.append("there is no good head file, so a cut-off end would not show")
        elif head.seq > verdict.last_seq:
            faults.append(f"records {verdict.last_seq + 1} to {head.seq} are missing at the end")
        elif not self._holds(head, checkpoint):
            faults.append(f"record {head.seq} is not the one the head file names")
        more = len(faults) - len(verdict.faults)
        return replace(verdict, faults=tuple(faults), fault_count=verdict.fault_count + more)

    def _readable_checkpoint(self) -> Checkpoint | None:
        try:
            return self.checkpoint()
        except StoreError:
            return None  # the walk names the record, and every gap that it would have explained

    def _holds(self, head: Head, checkpoint: Checkpoint | None) -> bool:
        with self._database.read() as connection:
            row = connection.execute("SELECT hash FROM log WHERE seq = ?", (head.seq,)).fetchone()
        if row is None and checkpoint is not None and head.seq <= checkpoint.through:
            return True  # a head that lagged behind, and whose record has gone since
        return row is not None and row[0].hex() == head.hash


def _insert_private(connection: sqlite3.Connection, vault: Vault, seq: int, decision: NewDecision, salt: bytes) -> None:
    vendor = decision.vendor_data
    private = {"vendor_data": vendor, "salt": salt.hex(), "answer": decision.answer}
    connection.execute(
        "INSERT INTO log_private (seq, vendor_lookup, sealed) VALUES (?, ?, ?)",
        (
            seq,
            None if vendor is None else vault.lookup("vendor_data", vendor),
            vault.seal(json.dumps(private).encode(), row_context("log_private", seq)),
        ),
    )


_SINCE = "WHERE at >= ? AND +kind IN ({})"
"""What is counted over time: by the index log_counted, which has all that is counted. By the index of kinds, which
`+` keeps out, each record would be fetched and parsed."""


def _tally(database: Database, since: float, width_s: float) -> list[tuple[int, str, int]]:
    kinds = sorted(kind.value for kind in chain.DECISION_KINDS)
    with database.read() as connection:
        return connection.execute(
            "SELECT CAST((at - ?) / ? AS INTEGER) AS span, status, count(*) FROM log "
            f"{_SINCE.format(', '.join('?' * len(kinds)))} GROUP BY span, status ORDER BY span",
            [since, width_s, since, *kinds],
        ).fetchall()


def _scores(database: Database, since: float) -> list[tuple[str, int, int]]:
    kinds = sorted(kind.value for kind in chain.DECISION_KINDS)
    with database.read() as connection:
        rows: list[tuple[str, int, int]] = connection.execute(
            f"SELECT +kind AS said, points, count(*) FROM log {_SINCE.format(', '.join('?' * len(kinds)))} "
            "AND points IS NOT NULL GROUP BY said, points",
            [since, *kinds],
        ).fetchall()
    return rows


def _last_seen(database: Database, numbers: Sequence[SubjectId]) -> dict[SubjectId, float]:
    found = {}
    with database.read() as connection:
        for number in numbers:
            row = connection.execute(
                "SELECT at FROM log_subject JOIN log USING (seq) WHERE subject = ?1 AND session_number = ?1 "
                "AND kind IN ('IDENTIFY', 'VERIFY') AND status = 'Approved' ORDER BY seq DESC LIMIT 1",
                (number,),
            ).fetchone()
            if row is not None:
                found[number] = row[0]
    return found


class Transaction:
    """An open transaction, and the last record of the log it added."""

    def __init__(self, connection: sqlite3.Connection, log: DecisionLog) -> None:
        self.connection = connection
        self.last: Signed | None = None
        self._log = log

    def record(self, kind: Kind, **what: Any) -> Signed:
        """Add a record of the log; arguments as `DecisionLog.append` takes them."""
        self.last = self._log.append(self.connection, kind, **what)
        return self.last


def checkpoint_in(connection: sqlite3.Connection) -> Checkpoint | None:
    """Return the checkpoint of the newest PRUNE record; raises as `DecisionLog.checkpoint` does."""
    row = connection.execute("SELECT seq, record FROM log WHERE kind = 'PRUNE' ORDER BY seq DESC LIMIT 1").fetchone()
    if row is None:
        return None
    try:
        return read_checkpoint(chain.parse(row[1]).details)
    except ValueError as error:
        raise StoreError(f"log record {row[0]} was changed or damaged; run `kiosk log verify`") from error


def clock_confirmed(database: Database) -> tuple[int, float]:
    """Return the seq of the newest record by which an operator confirmed the clock, and the time; 0, 0 for none."""
    with database.read() as connection:
        row = connection.execute(
            "SELECT seq, json_extract(record, '$.details.confirmed_at') FROM log WHERE kind = 'CLOCK' "
            "ORDER BY seq DESC LIMIT 1"
        ).fetchone()
    return (int(row[0]), float(row[1] or 0.0)) if row else (0, 0.0)


def newest_time(database: Database) -> float:
    """Return before when it cannot be, s UTC: the newest time in a record whose clock could be believed.

    What an operator confirmed goes before everything older. 0 where nothing is known.
    """
    seq, confirmed_at = clock_confirmed(database)
    with database.read() as connection:
        row = connection.execute(
            "SELECT at FROM log WHERE seq > ? AND json_extract(record, '$.clock') != ? ORDER BY at DESC LIMIT 1",
            (seq, ClockState.UNTRUSTED.value),
        ).fetchone()
    return max(confirmed_at, float(row[0]) if row else 0.0)


def _open_reviews(why: str | None, kind: Kind | None) -> tuple[str, list[object]]:
    """Return the FROM and WHERE of decisions In Review about which no operator decided yet, and its values."""
    kinds = [kind.value] if kind is not None else sorted(one.value for one in chain.DECISION_KINDS)
    rest = (
        "FROM log AS one LEFT JOIN log_private USING (seq) WHERE one.status = 'In Review' "
        f"AND +one.kind IN ({', '.join('?' * len(kinds))}) AND NOT EXISTS "  # found by the index of what is In Review
        "(SELECT 1 FROM log AS other WHERE other.of_id = one.request_id AND other.kind = 'REVIEW')"
    )
    if why is None:
        return rest, [*kinds]
    return f"{rest} AND {_because('one.record')}", [*kinds, *_reason(why)]


def _because(record: str) -> str:
    """Return the condition that a record has a reason or a warning; its values are `_reason`'s.

    Most records lack even the letters: these are not parsed.
    """
    return (
        f"(instr({record}, ?) > 0 AND (EXISTS (SELECT 1 FROM json_each({record}, '$.details.reasons') WHERE value = ?)"
        f" OR EXISTS (SELECT 1 FROM json_each({record}, '$.warnings') WHERE value = ?)))"
    )


def _reason(why: str) -> tuple[str, str, str]:
    """Return the values of `_because`: the word as a record has it, and as it is read."""
    return json.dumps(why, ensure_ascii=False), why, why


def unopened(database: Database, request_id: str) -> Entry | None:
    """Return the record of why an approval opened nothing; None where there is none."""
    with database.read() as connection:
        row = connection.execute(
            "SELECT record FROM log WHERE of_id = ? AND kind = 'DOOR' "
            "AND json_extract(record, '$.details.what') = ? ORDER BY seq DESC LIMIT 1",
            (request_id, NOT_OPENED),
        ).fetchone()
    return chain.parse(row[0]) if row else None


def _newest_first(where: str) -> str:
    """Return a condition of `_where` for a walk from the newest back: by the index of kinds all are sorted first."""
    return where.replace("kind IN", "+kind IN", 1)


def _where(vault: Vault, wanted: DecisionFilter) -> tuple[str, list[object]]:
    terms = ["1"]
    values: list[object] = []
    if wanted.is_kept:
        terms.append("sealed IS NOT NULL")
    if wanted.shown:
        terms.append(
            "coalesce((SELECT later.status FROM log AS later WHERE later.of_id = log.request_id "
            "AND later.kind = 'REVIEW' ORDER BY later.seq DESC LIMIT 1), log.status) "
            f"IN ({', '.join('?' * len(wanted.shown))})"
        )
        values += wanted.shown
    if wanted.kinds:
        terms.append(f"kind IN ({', '.join('?' * len(wanted.kinds))})")
        values += [kind.value for kind in wanted.kinds]
    if wanted.why is not None:
        terms.append(_because("record"))
        values += _reason(wanted.why)
    vendor = wanted.vendor_data
    for term, value in (
        ("status = ?", wanted.status),
        ("session_number = ?", wanted.session_number),
        ("request_id = ?", wanted.request_id),
        ("at >= ?", wanted.date_from),
        ("at < ?", wanted.date_to),
        ("vendor_lookup = ?", vendor and vault.lookup("vendor_data", vendor)),
    ):
        if value is not None:
            terms.append(term)
            values.append(value)
    return " AND ".join(terms), values

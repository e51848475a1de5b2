"""Removing what is too old: records of the decision log, settled rows of the outbox, lines of the change table.

The log is removed from its beginning on, in small transactions: each adds a PRUNE record, which says up to where the
log was removed and what was kept of it (checkpoint.py), and deletes at most `BATCH_ROWS` records with their sealed
answers. So nobody waits long for the writer, and a kill at any instant leaves a log that verifies.

Before a record may go, the log is walked up to it: a log that was changed is evidence, and nothing of it is removed.

What stays however old it is:
  - the records of the log itself: keys, migrations, restores, losses; the newest confirmation of the clock
  - what was done to people who are still here: each of them has their enrolment in the log
  - a decision in review of which nobody decided yet, and whatever is about a decision that stays
  - what concerns somebody who is blocked, as long as they are
  - a decision of which something still waits to be sent
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiosk.errors import StoreError
from kiosk.store import chain, erasure, subject_rows
from kiosk.store.chain import DECISION_KINDS, NO_HASH, Kind, Signed
from kiosk.store.checkpoint import Checkpoint, KeptRecords
from kiosk.store.decision_log import checkpoint_in
from kiosk.store.outbox import FLEET, supersede_all
from kiosk.store.passages import passages
from kiosk.store.passes import passes
from kiosk.store.review import images as review_images
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

    from kiosk.store.chain import Entry
    from kiosk.store.store import Store

BATCH_ROWS = 200  # deleted in one transaction: some milliseconds, which a decision at the door does not feel
MOST_WALKED = 20_000  # records passed in one go where all of them stay; the checkpoint moves past them then
CHANGES_A_ROW = 50  # lines of the change table that cost as much as one row of the others
PAUSE_S = 0.02  # between transactions, for whoever waits to write
KEPT_CHANGES = 100_000  # a process that has missed more loads its gallery anew, see `ReferenceReader.changes_since`
OF_THE_LOG = frozenset({Kind.INIT, Kind.MIGRATE, Kind.REKEY, Kind.RESTORE, Kind.LOSS})
OF_A_PERSON = frozenset(
    {
        *(Kind.ENROL, Kind.REFERENCE, Kind.PATCH),
        *(Kind.BLOCK, Kind.UNBLOCK, Kind.ALLOW, Kind.DISALLOW),
    }
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were removed."""

    records: int
    outbox: int
    changes: int


@dataclass(slots=True)
class _Plan:
    """One transaction to be: which records go, and the checkpoint that vouches for them."""

    based_on: Checkpoint | None  # the newest one as the plan was made
    through: Signed | None = None  # None: no further than before
    at: float = 0.0
    kept: KeptRecords = field(default_factory=KeptRecords)
    walked: int = 0
    going: list[Signed] = field(default_factory=list)
    seqs: set[int] = field(default_factory=set)  # of those going


def prune(
    store: Store,
    *,
    now: float,
    log_s: float | None,
    outbox_s: float,
    images_s: float | None = None,
    trusts_every_clock: bool = False,
    batch_rows: int = BATCH_ROWS,
    kept_changes: int = KEPT_CHANGES,
    rest: Callable[[], None] = lambda: time.sleep(PAUSE_S),  # the kiosk, another process, has the disk meanwhile
) -> Pruned:
    """Remove what is too old. Beside a kiosk that runs.

    Args:
        store: opened.
        now: s UTC, of a clock that is good.
        log_s: how old a record of the log may become, s; what no hub of a fleet took of it goes then, too. None: as
            old as it likes.
        outbox_s: how old a row may become that arrived, or was given up, s.
        images_s: how long a crop waits for its reviewer, s. None: as long as it likes.
        trusts_every_clock: take the time of a record whose clock was not synchronised for true as well.
        batch_rows: most rows deleted in one transaction.
        kept_changes: lines of the change table that stay.
        rest: called between two transactions.

    Raises:
        StoreError: the log was changed or has a gap: nothing of it is removed from there on. Or the store does not
            take it; what was removed before stays removed, and the next call goes on.
    """
    if images_s is not None:
        _prune_images(store, now - images_s)
    _prune_passes(store, now)
    outbox = sum(_in_batches(lambda: _prune_outbox(store, now - outbox_s, batch_rows), rest))
    changes = sum(_in_batches(lambda: _prune_changes(store, kept_changes, batch_rows), rest))
    records = 0
    if log_s is not None:
        records += sum(_in_batches(lambda: _revisit(store, batch_rows), rest))
        end = _end(store, now - log_s, now, trusts_every_clock=trusts_every_clock)
        with store.database.write() as connection:  # no hub took it while its record was young; the next call goes on
            supersede_all(connection, FLEET, "too old", through=end)
        records += sum(_in_batches(lambda: _advance(store, end, batch_rows), rest))
        _prune_passages(store, now - log_s)  # after their records
    return Pruned(records, outbox, changes)


def _in_batches(act: Callable[[], int | None], rest: Callable[[], None]) -> Iterator[int]:
    """Do an act again until it says None: there is nothing left."""
    while (count := act()) is not None:
        yield count
        rest()


# ---- outbox and changes


def _prune_images(store: Store, before: float) -> None:
    """Delete the crops that waited too long for a reviewer."""
    with store.database.write() as connection:
        if review_images.drop_older(connection, before):
            erasure.mark_unclean(connection)
    erasure.finish(store.database, store.directory)


def _prune_passages(store: Store, before: float) -> None:
    """Delete passages that are as old as the records that went."""
    with store.database.write() as connection:
        if passages.drop_older(connection, before):
            erasure.mark_unclean(connection)
    erasure.finish(store.database, store.directory)


def _prune_passes(store: Store, now: float) -> None:
    """Delete visitor passes that ended long ago."""
    with store.database.write() as connection:
        if passes.drop_ended(connection, store.vault, now):
            erasure.mark_unclean(connection)
    erasure.finish(store.database, store.directory)


def _prune_outbox(store: Store, before: float, limit: int) -> int | None:
    """Delete settled rows; those of a store older than their date go by their decision's."""
    with store.database.read() as connection:
        rows = connection.execute(
            "SELECT outbox.id FROM outbox INDEXED BY outbox_settled JOIN log USING (seq)"
            " WHERE outbox.state IN ('sent', 'superseded') AND coalesce(created_at, log.at) < ?"
            " ORDER BY outbox.id LIMIT ?",
            (before, limit),
        ).fetchall()
    if not rows:
        return None
    with store.database.write() as connection:
        for row in rows:
            connection.execute("DELETE FROM outbox_image WHERE outbox = ?", row)
            connection.execute("DELETE FROM outbox WHERE id = ? AND state IN ('sent', 'superseded')", row)
    return len(rows)


def _prune_changes(store: Store, kept: int, limit: int) -> int | None:
    with store.database.read() as connection:
        first, last = subject_rows.changes_kept(connection)
    if first is None or last - max(kept, 1) < first:  # the last line tells which version is the newest
        return None
    upto = min(last - max(kept, 1), first + CHANGES_A_ROW * limit - 1)
    with store.database.write() as connection:
        return connection.execute("DELETE FROM change WHERE version <= ?", (upto,)).rowcount


# ---- the log


def _revisit(store: Store, batch_rows: int) -> int | None:
    """Remove what was kept by an earlier call and is needed no more; None where there is nothing of that."""
    checkpoint = store.log.checkpoint()
    if checkpoint is None:
        return None
    plan = _Plan(checkpoint, kept=checkpoint.kept_records)
    with store.database.read() as connection:
        through = {"through": checkpoint.through}  # of the people who are here there may be millions: not looked at
        rows = connection.execute(
            f"SELECT seq FROM log WHERE seq <= :through AND kind NOT IN ({_named(OF_THE_LOG | OF_A_PERSON)})"
            " UNION SELECT act.seq FROM log AS end"
            " CROSS JOIN log AS act INDEXED BY log_person ON act.session_number = end.session_number"
            " WHERE end.kind = 'FORGET' AND act.seq <= :through ORDER BY 1",
            through,
        ).fetchall()
        for row in rows:
            signed = Signed(
                *connection.execute("SELECT seq, record, hash, signature FROM log WHERE seq = ?", row).fetchone()
            )
            if not _is_needed(connection, signed.seq, _entry(signed), plan.seqs):
                plan.going.append(signed)
                plan.seqs.add(signed.seq)
            if len(plan.going) >= batch_rows:
                break
    return _carry_out(store, plan) if plan.going else None


def _advance(store: Store, end: int, batch_rows: int) -> int | None:
    """Remove further records, from the beginning of the log on; None where there is no more to remove."""
    checkpoint = store.log.checkpoint()
    if (checkpoint.through if checkpoint is not None else 0) >= end:
        return None
    plan = _walked(store, checkpoint, end, batch_rows)
    if not plan.going and plan.walked < MOST_WALKED:
        return None  # a checkpoint for its own sake would be a record too many
    return _carry_out(store, plan)


def _end(store: Store, before: float, now: float, *, trusts_every_clock: bool) -> int:
    """Return up to which record everything is older than a time.

    A record of an unsynchronised clock, or of a time to come, says nothing of its own age; the next good one does.
    """
    checkpoint = store.log.checkpoint()
    end = checkpoint.through if checkpoint is not None else 0
    for signed in store.log.records(end):
        entry = _entry(signed)
        if entry.at <= now and (trusts_every_clock or entry.clock is not ClockState.UNTRUSTED):
            if entry.at >= before:
                break
            end = signed.seq
    return end


def _walked(store: Store, checkpoint: Checkpoint | None, end: int, batch_rows: int) -> _Plan:
    """Walk on from a checkpoint until a batch is full, and see that the log is whole up to there."""
    start = (checkpoint.through, checkpoint.hash) if checkpoint is not None else (0, NO_HASH)
    walk = chain.Walk(every_signature=False, after=start, key=_key_at(store, start[0]), takes_losses=True)
    plan = _Plan(checkpoint, kept=checkpoint.kept_records if checkpoint is not None else KeptRecords())
    with store.database.read() as connection:
        for signed in store.log.records(start[0]):
            if signed.seq > end or len(plan.going) >= batch_rows or plan.walked >= MOST_WALKED:
                break
            walk.step(signed)
            entry = _entry(signed)
            plan.through, plan.at, plan.walked = signed, entry.at, plan.walked + 1
            if _is_needed(connection, signed.seq, entry, plan.seqs):
                plan.kept.add(signed)
            else:
                plan.going.append(signed)
                plan.seqs.add(signed.seq)
    if plan.walked and (faults := walk.finish(None).faults):
        raise StoreError(
            f"the decision log is not whole ({faults[0]}), so nothing of it is removed; `kiosk log verify` says more"
        )
    return plan


def _key_at(store: Store, seq: int) -> bytes:
    """Return the device's public key as it was after a record; the records that name keys are kept for good."""
    with store.database.read() as connection:
        row = connection.execute(
            "SELECT seq, record, hash, signature FROM log WHERE kind IN ('INIT', 'REKEY') AND seq <= ?"
            " ORDER BY seq DESC LIMIT 1",
            (seq,),
        ).fetchone()
    return next(iter(chain.keys_in(_entry(Signed(*row)))), b"") if row else b""


def _entry(signed: Signed) -> Entry:
    try:
        return signed.entry
    except ValueError as error:
        raise StoreError(
            f"log record {signed.seq} cannot be read, so nothing of the log is removed; run `kiosk log verify`"
        ) from error


def _carry_out(store: Store, plan: _Plan) -> int:
    """Do a plan in one transaction, unless what it was made of has changed; return how many records went."""
    with store.transaction() as transaction:
        connection = transaction.connection
        if checkpoint_in(connection) != plan.based_on:
            return 0
        gone: set[int] = set()
        for signed in plan.going:
            if _is_needed(connection, signed.seq, _entry(signed), gone):
                return 0
            gone.add(signed.seq)
        if plan.through is None:
            assert plan.based_on is not None  # only what was kept before is revisited
            through, digest, at = plan.based_on.through, plan.based_on.hash, plan.based_on.at
            for signed in plan.going:
                plan.kept.remove(signed)
        else:
            through, digest, at = plan.through.seq, plan.through.hash.hex(), plan.at
        new = Checkpoint(through, digest, at, plan.kept.count, plan.kept.digest)
        transaction.record(Kind.PRUNE, details={**new.details, "removed": len(plan.going)}, actor="sweep")
        for signed in plan.going:
            for table in ("log_subject", "log_private", "review_image", "factor_note", "log"):
                connection.execute(f"DELETE FROM {table} WHERE seq = ?", (signed.seq,))
    return len(plan.going)


def _is_needed(connection: sqlite3.Connection, seq: int, entry: Entry, going: set[int]) -> bool:
    """Say whether something still needs a record; `going` are those that go with it."""

    def is_there(sql: str, *values: object) -> bool:
        return any(row not in going for (row,) in connection.execute(sql, values))

    if entry.kind in OF_THE_LOG or is_there("SELECT seq FROM outbox WHERE seq = ?", seq):
        return True
    if entry.kind is Kind.CLOCK:
        return not is_there("SELECT seq FROM log WHERE kind = 'CLOCK' AND seq > ?", seq)
    number = entry.session_number
    if entry.kind in OF_A_PERSON:  # a FORGET that goes in the same batch comes later, so it is not in `going` yet
        return not is_there(f"{_OF_NUMBER} AND kind = 'FORGET'", number)
    if entry.kind is Kind.FORGET:
        return is_there(f"{_OF_NUMBER} AND kind IN ({_named(OF_A_PERSON)})", number)
    is_open = (
        entry.kind in DECISION_KINDS
        and entry.status == "In Review"
        and not is_there("SELECT seq FROM log WHERE of_id = ? AND kind = 'REVIEW'", entry.request_id)
    )
    return (
        is_open
        or is_there("SELECT seq FROM log WHERE request_id = ?", str(entry.details.get("of")))
        or is_there(_BLOCKED, number, seq)
    )


_OF_NUMBER = "SELECT seq FROM log INDEXED BY log_person WHERE session_number = ?"
_BLOCKED = (
    "SELECT -1 FROM subject WHERE is_blocklisted AND (session_number = ?"
    " OR session_number IN (SELECT subject FROM log_subject WHERE seq = ?))"
)


def _named(kinds: Iterable[Kind]) -> str:
    return ", ".join(f"'{kind.value}'" for kind in sorted(kinds))

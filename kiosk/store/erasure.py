"""Forgetting a person: what is erased, how it is checked, what is left, and the receipt.

The rows are deleted with secure_delete (their bytes become zeros in the page), and the WAL is moved into
the database and cut to nothing: milliseconds, however many people there are. Then comes the proof: every
file of the state directory is searched for samples of the erased rows' ciphertext; if a stale copy is
found, the database is rewritten whole (VACUUM). That reads everything, so it may be done later, by
another process: what is to be searched for is kept, sealed, until the proof is done and the receipt kept.

What this cannot reach: blocks that an SD card's controller has set aside, and copies made
elsewhere. Both hold ciphertext only. Backups hold the sealed rows until `backup.scrub` rewrites
them; a restore erases everyone in `erasures.jsonl` again.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kiosk.errors import StoreError
from kiosk.store import chain, outbox, subject_rows
from kiosk.store.durable import sync_directory
from kiosk.store.keys import KEY_NAME, NEXT_KEY_NAME
from kiosk.store.passes import passes
from kiosk.store.references import blocks
from kiosk.store.schema import row_context
from kiosk.store.subjects import Receipt, Subject, vendor_lookup
from kiosk.store.vault import Vault
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from kiosk.store.database import Database

ERASURES_NAME = "erasures.jsonl"
BACKUPS_NAME = "backups"
SAMPLE_BYTES = 16  # of random-looking ciphertext: a chance meeting is out of the question
SCAN_BYTES = 1 << 22
NUMBER_DIGITS = 18  # a decimal number that surely fits 64 bits
ROUNDING_S = 1.0  # within which a date is the enrolment's own time and the retention of the settings
RECEIPTS_AT_ONCE = 200  # in one transaction
_KEYS = (KEY_NAME, NEXT_KEY_NAME)
_ANOTHERS = (
    "SELECT 1 FROM subject AS other WHERE other.vendor_lookup = ? AND other.session_number != ?"
    " AND (other.session_number = log.session_number OR other.session_id = log.request_id OR EXISTS"
    " (SELECT 1 FROM log_subject WHERE log_subject.seq = log.seq AND log_subject.subject = other.session_number))"
)
"""Whether a record of `log` is about somebody else of a `vendor_data` than a person."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What of a person was erased: counts for the log, samples of ciphertext for the search."""

    counts: Mapping[str, int]
    samples: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Erased:
    """Somebody whose rows are gone, and what the proof and the receipt need."""

    session_number: int
    session_id: str
    at: float  # s UTC
    log_seq: int
    log_hash: str
    remains: Remains


def overdue(connection: sqlite3.Connection, now: float, *, retention_s: float, is_clock_good: bool) -> tuple[int, ...]:
    """Return whose retention date has passed.

    Somebody enrolled at a start without a battery, in 1970, is not overdue because the clock was set since: where the
    date was counted from an unsynchronised clock, it counts from the first good time after it.
    """
    past = "SELECT session_number, retention_until FROM subject INDEXED BY subject_retention WHERE retention_until < ?"
    rows = sorted(connection.execute(past, (now,)))  # for an order of its own, SQLite would walk everybody
    latest = now if is_clock_good else None
    return tuple(
        number for number, until in rows if until + _behind_s(connection, number, until - retention_s, latest) < now
    )


def _behind_s(connection: sqlite3.Connection, number: int, counted_from: float, latest: float | None) -> float:
    """Return by how much the clock was behind at most, s, when a person was enrolled; 0 for a date that was named."""
    row = connection.execute(
        "SELECT seq, at, json_extract(record, '$.clock') FROM log INDEXED BY log_person"
        " WHERE session_number = ? AND kind = 'ENROL' ORDER BY seq LIMIT 1",
        (number,),
    ).fetchone()
    if row is None or row[2] != ClockState.UNTRUSTED.value or abs(row[1] - counted_from) > ROUNDING_S:
        return 0.0
    later = connection.execute(
        "SELECT at FROM log WHERE seq > ? AND json_extract(record, '$.clock') != ? ORDER BY seq LIMIT 1",
        (row[0], ClockState.UNTRUSTED.value),
    ).fetchone()
    known = later[0] if later is not None else latest
    return 0.0 if known is None else max(0.0, known - row[1])


def erase(connection: sqlite3.Connection, vault: Vault, subject: Subject, *, is_for_good: bool = True) -> Remains:
    """Delete a person's rows, and every answer and outbox payload that may name them.

    Where others have the same `vendor_data`, what was found to be theirs alone stays. An answer under that code of
    which nobody knows whose it is goes: it may be about the person.

    Args:
        connection: in a transaction.
        vault: of the store.
        subject: the person.
        is_for_good: False: nobody forgot them, so what waits for the owner of the fleet, who knows them, is sent.
    """
    if is_for_good:
        outbox.drop_of_fleet(connection, vault, subject.session_id)
    number = subject.session_number
    vendor = vendor_lookup(vault, subject.details.vendor_data)
    answers = [
        seq
        for (seq,) in connection.execute(
            "SELECT seq FROM log_subject WHERE subject = ? "
            "UNION SELECT seq FROM log WHERE session_number = ? "
            "UNION SELECT seq FROM log_private JOIN log USING (seq) "
            f"WHERE vendor_lookup = ? AND NOT EXISTS ({_ANOTHERS})",
            (number, number, vendor, vendor, number),  # plain marks: Python 3.12.0 to 3.12.3 warn of numbered ones
        )
    ]
    remains = _delete(
        connection,
        (
            *_of_blocks(connection, number),
            ("image", "jpeg", "subject", [number]),
            ("reference", "template", "subject", [number]),
            ("log_private", "sealed", "seq", answers),
            ("review_image", "sealed", "seq", answers),
            ("factor_note", "sealed", "seq", answers),
            ("factor", "sealed", "subject", [number]),
            ("passage", "row_check", "subject", [number]),
            ("secret", "sealed", "id", passes.rows_of(connection, subject.session_id)),
            ("outbox", "payload", "seq" if is_for_good else f"policy != '{outbox.FLEET}' AND seq", answers),
            *_sessions_of(connection, number, vendor),
            ("subject", "details", "session_number", [number]),
            ("fleet_document", "sealed", "person", [subject.session_id]),
            ("fleet_envelope", "envelope", "person", [subject.session_id]),
            ("fleet_parked", "envelope", "person", [subject.session_id]),
        ),
    )
    connection.execute("DELETE FROM log_subject WHERE subject = ?", (number,))
    connection.execute("DELETE FROM list_entry WHERE subject = ?", (number,))
    connection.execute("UPDATE import_file SET outcome = 'forgotten', subject = NULL WHERE subject = ?", (number,))
    mark_unclean(connection)
    return remains


def erase_call(connection: sqlite3.Connection, request_id: str) -> Remains | None:
    """Delete the answer of a call, the answers that are about it, and what of them was to be sent.

    Returns:
        None where the call keeps nothing: it was never saved, or is erased already.
    """
    kept = "SELECT seq FROM log JOIN log_private USING (seq) WHERE request_id = ?"
    is_kept = connection.execute(kept, (request_id,)).fetchone() is not None
    if not is_kept and not _of_session(connection, "session_id", request_id):
        return None
    answers = [
        seq
        for (seq,) in connection.execute(
            "SELECT seq FROM log WHERE request_id = ? UNION SELECT seq FROM log WHERE of_id = ?",
            (request_id, request_id),
        )
    ]
    remains = _delete(
        connection,
        (
            ("log_private", "sealed", "seq", answers),
            ("review_image", "sealed", "seq", answers),
            ("factor_note", "sealed", "seq", answers),
            ("outbox", "payload", "seq", answers),
            *_of_session(connection, "session_id", request_id),
        ),
    )
    connection.executemany("DELETE FROM log_subject WHERE seq = ?", [(seq,) for seq in answers])
    mark_unclean(connection)
    return remains


def _of_blocks(connection: sqlite3.Connection, number: int) -> list[tuple[str, str, str, Sequence[Any]]]:
    """Return which blocks of others hold a person too. The triggers would delete them, but not take samples of them."""
    found = connection.execute("SELECT DISTINCT id FROM reference WHERE subject = ?", (number,)).fetchall()
    return [
        ("reference_block", "sealed", "number", sorted({blocks.number_of(reference) for (reference,) in found})),
        ("subject_block", "sealed", "number", [blocks.number_of(number)]),
    ]


def _of_session(
    connection: sqlite3.Connection, key: str, value: str | bytes | None
) -> list[tuple[str, str, str, Sequence[Any]]]:
    """Return which part of the table of sessions to delete; none where it has no such row, or is not there yet."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'session'").fetchone() is None:
        return []  # a backup of an older schema
    found = connection.execute(f"SELECT 1 FROM session WHERE {key} = ?", (value,)).fetchone()
    return [] if found is None else [("session", "sealed", key, [value])]


def _sessions_of(
    connection: sqlite3.Connection, number: int, vendor: bytes | None
) -> list[tuple[str, str, str, Sequence[Any]]]:
    """Return which sessions under a person's `vendor_data` to delete: all but those that found another who has it."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'session'").fetchone() is None:
        return []  # a backup of an older schema
    rows = connection.execute(
        "SELECT session_id FROM session WHERE vendor_lookup = ? AND NOT EXISTS (SELECT 1 FROM subject AS other"
        " WHERE other.vendor_lookup = ? AND other.session_number != ? AND other.session_id = session.session_id)"
        f" AND NOT EXISTS (SELECT 1 FROM log WHERE log.request_id = session.session_id AND EXISTS ({_ANOTHERS}))",
        (vendor, vendor, number, vendor, number),
    ).fetchall()
    return [("session", "sealed", "session_id", [session_id for (session_id,) in rows])] if rows else []


def _delete(connection: sqlite3.Connection, parts: Sequence[tuple[str, str, str, Sequence[Any]]]) -> Remains:
    """Delete rows, given as table, sealed column, key and keys; rows of the outbox stay without what they held."""
    sealed: list[bytes] = []
    counts: dict[str, int] = {}
    known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, column, key, keys in parts:
        for value in keys if table in known else ():  # a backup of an older schema has fewer
            if table == "outbox":
                sealed += outbox.erase_photographs(connection, int(value))
            rows = connection.execute(
                f"SELECT {column} FROM {table} WHERE {key} = ? AND {column} IS NOT NULL", (value,)
            ).fetchall()
            sealed += [content for (content,) in rows]
            counts[table] = counts.get(table, 0) + len(rows)
            connection.execute(
                "UPDATE outbox SET payload = NULL, state = iif(state = 'sent', state, 'superseded'),"
                f" last_error = 'forgotten', person = NULL WHERE {key} = ?"
                if table == "outbox"
                else f"DELETE FROM {table} WHERE {key} = ?",
                (value,),
            )
    return Remains(
        {name: count for name, count in counts.items() if count},
        tuple(sample for content in sealed for sample in _samples(content)),
    )


def mark_unclean(connection: sqlite3.Connection) -> None:
    """Note within the transaction that `finish` has something to do."""
    connection.execute("INSERT OR REPLACE INTO kiosk (name, value) VALUES ('unclean', '1')")


def _samples(content: bytes) -> tuple[bytes, ...]:
    middle = len(content) // 2
    return (
        content[:SAMPLE_BYTES],
        content[middle : middle + SAMPLE_BYTES],
        content[-SAMPLE_BYTES:],
    )


def erase_all(
    connection: sqlite3.Connection, vault: Vault, session_ids: frozenset[str]
) -> list[tuple[Subject, Remains]]:
    """Erase everyone of a list who is there: in a copy of the store, which is then written anew."""
    rows = connection.execute("SELECT session_number, session_id FROM subject ORDER BY session_number").fetchall()
    erased = []
    for number, session_id in rows:
        if session_id in session_ids:
            subject = subject_rows.read(connection, vault, number)
            if subject is not None:  # its row was just listed
                erased.append((subject, erase(connection, vault, subject)))
    connection.execute("DELETE FROM kiosk WHERE name = 'unclean'")
    return erased


def erase_calls(connection: sqlite3.Connection, session_ids: frozenset[str]) -> list[tuple[str, Remains]]:
    """Erase each call of a list that keeps something: in a copy of the store, which is then written anew."""
    erased = [(one, remains) for one in sorted(session_ids) if (remains := erase_call(connection, one)) is not None]
    connection.execute("DELETE FROM kiosk WHERE name = 'unclean'")
    return erased


def remember(connection: sqlite3.Connection, session_id: str, session_number: int, seq: int, now: float) -> None:
    """Note within the transaction that a person was forgotten, or a call, whose number here is 0."""
    connection.execute(
        "INSERT INTO erasure (session_id, session_number, seq, forgotten_at) VALUES (?, ?, ?, ?)",
        (session_id, session_number, seq, float(now)),
    )


def want_proof(connection: sqlite3.Connection, vault: Vault, erased: Erased) -> None:
    """Note within the transaction what is to be searched for. Sealed: the search must not find the note."""
    plain = {**asdict(erased), "remains": dict(erased.remains.counts)}
    plain["samples"] = [sample.hex() for sample in erased.remains.samples]
    row = erased.session_number
    connection.execute(
        "INSERT INTO unproven (id, sealed) VALUES (?, ?)",
        (row, vault.seal(json.dumps(plain).encode(), row_context("unproven", row))),
    )


def unproven(connection: sqlite3.Connection, vault: Vault) -> tuple[Erased, ...]:
    """Return whose proof is not done.

    Raises:
        StoreError: a row was changed or damaged.
    """
    found = []
    for row, sealed in connection.execute("SELECT id, sealed FROM unproven ORDER BY id").fetchall():
        plain = json.loads(subject_rows.unseal(vault, sealed, "unproven", row))
        samples = tuple(bytes.fromhex(sample) for sample in plain.pop("samples"))
        found.append(Erased(**{**plain, "remains": Remains(plain["remains"], samples)}))
    return tuple(found)


def kept_receipt(connection: sqlite3.Connection, text: str) -> Receipt | None:
    """Return the receipt of somebody forgotten, by session_number or session_id; None where none is kept (yet)."""
    row = connection.execute(
        "SELECT session_number, session_id, receipt FROM erasure"
        " WHERE (session_id = ? OR session_number = ?) AND receipt IS NOT NULL",
        (text, int(text) if text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS else -1),
    ).fetchone()
    return None if row is None else Receipt(row[0], row[1], json.loads(row[2])["receipt"]["is_complete"], row[2])


def finish(database: Database, directory: Path) -> bool:
    """Do what the erasing transaction could not: side file, WAL. Does nothing when all is done.

    Returns:
        False when a reader held old pages or the disk is full; the next call tries again. It never
        raises: the erasure itself is stored, and a caller told otherwise would try it again.
    """
    try:
        with database.read() as connection:
            unclean = connection.execute("SELECT 1 FROM kiosk WHERE name = 'unclean'").fetchone()
            rows = connection.execute(
                "SELECT session_id, session_number, forgotten_at FROM erasure ORDER BY seq"
            ).fetchall()
        if unclean is None:
            return True
        known = read_list(directory / ERASURES_NAME)
        _append_list(directory / ERASURES_NAME, [row for row in rows if row[0] not in known])
        if not database.clear_wal():
            return False
        with database.write() as connection:
            connection.execute("DELETE FROM kiosk WHERE name = 'unclean'")
    except (StoreError, OSError):
        return False
    return True


def is_gone(database: Database, directory: Path, remains: Sequence[Remains]) -> bool:
    """Search the state directory for what was erased; rewrite the database if a copy is found."""
    try:
        if residues(directory, remains):  # a stale copy lay in a page's free space
            compact(database)
            return not residues(directory, remains)
    except (StoreError, OSError):
        return False
    return True


def read_list(path: Path) -> frozenset[str]:
    """Return the session_ids of everyone forgotten; torn or damaged lines are left out."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return frozenset()
    found = set()
    for line in lines:
        text, _, check = line.rpartition("\t")
        if check == _line_check(text):
            with suppress(ValueError, KeyError, TypeError, RecursionError):  # the check has no key: anybody can make it
                found.add(str(json.loads(text)["session_id"]))
    return frozenset(found)


def _append_list(path: Path, rows: Sequence[tuple[str, int, float]]) -> None:
    if not rows:
        return
    lines = []
    for session_id, number, at in rows:
        text = chain.canonical({"session_id": session_id, "session_number": number, "forgotten_at": at})
        lines.append(f"{text}\t{_line_check(text)}\n")
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "ab") as file:
        file.write(("\n" * (file.tell() > 0) + "".join(lines)).encode())  # past a torn line
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def _line_check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def residues(directory: Path, remains: Iterable[Remains]) -> tuple[str, ...]:
    """Return the files of the state directory that still hold a sample of erased ciphertext."""
    samples = frozenset(sample for each in remains for sample in each.samples)
    found = []
    for path in sorted(directory.iterdir()):
        if path.is_file() and path.name not in _KEYS:
            with path.open("rb") as file:
                if holds_any(file, samples):
                    found.append(path.name)
    return tuple(found)


def holds_any(file: BinaryIO, samples: frozenset[bytes]) -> bool:
    """Say whether a file holds one of the samples, in one pass however many there are.

    Two tables of 2**16 say which byte pairs a sample starts and goes on with; what passes both is
    compared whole. Some 0.5 GB a second here, where a search for each sample alone would take the
    time once a sample.
    """
    first, second = np.zeros(1 << 16, np.bool_), np.zeros(1 << 16, np.bool_)
    for sample in samples:
        first[int.from_bytes(sample[0:2], "little")] = True
        second[int.from_bytes(sample[2:4], "little")] = True
    kept = b""
    while block := file.read(SCAN_BYTES):
        content = kept + block
        for odd in (0, 1):
            pairs = np.frombuffer(content, "<u2", (len(content) - odd) // 2, odd)
            hits = np.flatnonzero(first[pairs[:-1]])
            hits = hits[second[pairs[hits + 1]]]
            for hit in hits.tolist():
                start = 2 * hit + odd
                if content[start : start + SAMPLE_BYTES] in samples:
                    return True
        kept = content[1 - SAMPLE_BYTES :]
    return False


def compact(database: Database) -> None:
    """Rewrite the database whole, which leaves no free space with old bytes in it."""
    with database.alone() as connection:
        connection.execute("VACUUM")
    database.clear_wal()


def prove(database: Database, directory: Path, vault: Vault, erased: Sequence[Erased] = ()) -> tuple[Receipt, ...]:
    """Do what is left after the erasing transactions, of this and of earlier processes; keep the receipts.

    It never raises: the erasures themselves are stored, and a caller told otherwise would try them again.

    Args:
        database: the live one; others may use it meanwhile.
        directory: of the state.
        vault: of the store.
        erased: by the caller; each of them gets a receipt, whatever fails.

    Returns:
        The receipts, of the caller's and of all that were left to be proven. One that is not complete stays to be
        proven again.
    """
    by_number = {one.session_number: one for one in erased}
    known: dict[int, Receipt] = {}
    is_complete = finish(database, directory)
    try:
        with database.read() as connection:
            left = {one.session_number: one for one in unproven(connection, vault)}
            for number in by_number.keys() - left.keys():  # somebody else has proven it meanwhile
                if (kept := kept_receipt(connection, str(number))) is not None:
                    known[number] = kept
        by_number.update(left)
    except StoreError:
        is_complete = False
    waiting = [one for number, one in by_number.items() if number not in known]
    is_complete = is_complete and is_gone(database, directory, [one.remains for one in waiting])
    backups: list[str] | None
    try:
        backups = sorted(path.name for path in (directory / BACKUPS_NAME).glob("*.backup"))
    except OSError:
        backups, is_complete = None, False
    receipts = [receipt(one, vault, is_complete=is_complete, backups=backups) for one in waiting]
    with suppress(StoreError):  # the disk is full: it is proven again
        _keep_receipts(database, receipts)
    return (*known.values(), *receipts)


def _keep_receipts(database: Database, receipts: Sequence[Receipt]) -> None:
    for start in range(0, len(receipts), RECEIPTS_AT_ONCE):
        with database.write() as connection:
            for one in receipts[start : start + RECEIPTS_AT_ONCE]:
                connection.execute(
                    "UPDATE erasure SET receipt = ? WHERE session_id = ?",
                    (one.text, one.session_id),
                )
                if one.is_complete:
                    connection.execute("DELETE FROM unproven WHERE id = ?", (one.session_number,))


def receipt(erased: Erased, vault: Vault, *, is_complete: bool, backups: Sequence[str] | None) -> Receipt:
    """Return what the person is given, signed by the device; `backups` is None where they could not be listed."""
    body: dict[str, Any] = {
        "act": "forget",
        "session_number": erased.session_number,
        "session_id": erased.session_id,
        "at": round(erased.at, 3),
        "erased": dict(erased.remains.counts),
        "is_complete": is_complete,
        "kept": "session_number, status and score in the decision log; session_id in the erasures",
        "backups_made_before": None if backups is None else list(backups),
        "log_seq": erased.log_seq,
        "log_hash": erased.log_hash,
        "public_key": vault.public_key.hex(),
    }
    return Receipt(
        erased.session_number,
        erased.session_id,
        is_complete,
        chain.sign_receipt(body, vault.sign),
    )

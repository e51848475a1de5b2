"""Forgetting a person: what is erased, how it is checked, what is left, and the receipt.

The rows are deleted with secure_delete (their bytes become zeros in the page), the WAL is moved into
the database and cut to nothing, and then every file of the state directory is searched for samples
of the erased rows' ciphertext; if a stale copy is found, the database is rewritten whole (VACUUM).

What this cannot reach: blocks that an SD card's controller has set aside, and copies made
elsewhere. Both hold ciphertext only. Backups hold the sealed rows until `backup.scrub` rewrites
them; a restore erases everyone in `erasures.jsonl` again.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kiosk.errors import StoreError
from kiosk.store import chain, outbox, subject_rows
from kiosk.store.durable import sync_directory
from kiosk.store.keys import KEY_NAME, NEXT_KEY_NAME
from kiosk.store.subjects import Receipt, Subject, vendor_lookup
from kiosk.store.vault import Vault

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from kiosk.store.chain import Signed
    from kiosk.store.database import Database

ERASURES_NAME = "erasures.jsonl"
BACKUPS_NAME = "backups"
SAMPLE_BYTES = 16  # of random-looking ciphertext: a chance meeting is out of the question
SCAN_BYTES = 1 << 22
_KEYS = (KEY_NAME, NEXT_KEY_NAME)


@dataclass(frozen=True, slots=True)
class Remains:
    """What of a person was erased: counts for the log, samples of ciphertext for the search."""

    counts: Mapping[str, int]
    samples: tuple[bytes, ...] = field(repr=False)


def overdue(connection: sqlite3.Connection, now: float) -> tuple[int, ...]:
    """Return whose retention date has passed."""
    rows = connection.execute(
        "SELECT session_number FROM subject WHERE retention_until < ? ORDER BY session_number",
        (now,),
    ).fetchall()
    return tuple(number for (number,) in rows)


def erase(connection: sqlite3.Connection, vault: Vault, subject: Subject) -> Remains:
    """Delete a person's rows, and every answer and outbox payload that may name them."""
    number = subject.session_number
    vendor = vendor_lookup(vault, subject.details.vendor_data)
    answers = [
        seq
        for (seq,) in connection.execute(
            "SELECT seq FROM log_subject WHERE subject = ? "
            "UNION SELECT seq FROM log WHERE session_number = ? "
            "UNION SELECT seq FROM log_private WHERE vendor_lookup = ?",
            (number, number, vendor),  # plain marks: Python 3.12.0 to 3.12.3 warn of numbered ones
        )
    ]
    remains = _delete(
        connection,
        (
            ("image", "jpeg", "subject", [number]),
            ("reference", "template", "subject", [number]),
            ("log_private", "sealed", "seq", answers),
            ("outbox", "payload", "seq", answers),
            ("subject", "details", "session_number", [number]),
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
    kept = "SELECT seq FROM log JOIN log_private USING (seq) WHERE"
    if connection.execute(f"{kept} request_id = ?", (request_id,)).fetchone() is None:
        return None
    answers = [
        seq
        for (seq,) in connection.execute(
            "SELECT seq FROM log WHERE request_id = ? UNION SELECT seq FROM log WHERE of_id = ?",
            (request_id, request_id),
        )
    ]
    remains = _delete(connection, (("log_private", "sealed", "seq", answers), ("outbox", "payload", "seq", answers)))
    connection.executemany("DELETE FROM log_subject WHERE seq = ?", [(seq,) for seq in answers])
    mark_unclean(connection)
    return remains


def _delete(connection: sqlite3.Connection, parts: Sequence[tuple[str, str, str, Sequence[int]]]) -> Remains:
    """Delete rows, given as table, sealed column, key and keys; rows of the outbox stay without what they held."""
    sealed: list[bytes] = []
    counts: dict[str, int] = {}
    for table, column, key, keys in parts:
        for value in keys:
            if table == "outbox":
                sealed += outbox.erase_photographs(connection, value)
            rows = connection.execute(
                f"SELECT {column} FROM {table} WHERE {key} = ? AND {column} IS NOT NULL", (value,)
            ).fetchall()
            sealed += [content for (content,) in rows]
            counts[table] = counts.get(table, 0) + len(rows)
            connection.execute(
                "UPDATE outbox SET payload = NULL, state = iif(state = 'sent', state, 'superseded'),"
                " last_error = 'forgotten', person = NULL WHERE seq = ?"
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


def conclude(
    database: Database,
    directory: Path,
    vault: Vault,
    erased: Sequence[tuple[Subject, Signed, Remains]],
    *,
    at: float,
) -> tuple[Receipt, ...]:
    """Do what is left after the erasing transaction; return what each person is given."""
    is_complete = finish(database, directory)
    is_complete = is_complete and is_gone(database, directory, [remains for _, _, remains in erased])
    backups: list[str] | None
    try:
        backups = sorted(path.name for path in (directory / BACKUPS_NAME).glob("*.backup"))
    except OSError:  # the erasure is stored: nobody may be told that it failed
        backups, is_complete = None, False
    return tuple(
        receipt(subject, signed, remains, vault, at=at, is_complete=is_complete, backups=backups)
        for subject, signed, remains in erased
    )


def receipt(
    subject: Subject,
    signed: Signed,
    remains: Remains,
    vault: Vault,
    *,
    at: float,
    is_complete: bool,
    backups: Sequence[str] | None,
) -> Receipt:
    """Return what the person is given, signed by the device; `backups` is None where they could not be listed."""
    body: dict[str, Any] = {
        "act": "forget",
        "session_number": subject.session_number,
        "session_id": subject.session_id,
        "at": round(at, 3),
        "erased": dict(remains.counts),
        "is_complete": is_complete,
        "kept": "session_number, status and score in the decision log; session_id in the erasures",
        "backups_made_before": None if backups is None else list(backups),
        "log_seq": signed.seq,
        "log_hash": signed.hash.hex(),
        "public_key": vault.public_key.hex(),
    }
    return Receipt(
        subject.session_number,
        subject.session_id,
        is_complete,
        chain.sign_receipt(body, vault.sign),
    )

"""Backups: one encrypted file each, made while the kiosk works, verified by reading it back.

    magic, header length, header (JSON, clear)      what it is, and its own key, wrapped by the device's
    1 MiB chunks, each sealed with that key         nonce = chunk number and "last" flag

A fresh key for each backup makes counting nonces safe, and the flag makes a cut-off file show
(STREAM, Hoang, Reyhanitabar, Rogaway, Vizár 2015). The header is authenticated with every chunk.

A backup is written beside its name and renamed after it was unpacked again, checked with SQLite's
integrity check, and its decision log walked: a file that carries the name is a good backup.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, BinaryIO

from kiosk.errors import KeyMissingError, StoreError
from kiosk.store import chain, erasure, schema, subject_rows
from kiosk.store.chain import Head
from kiosk.store.database import Database
from kiosk.store.decision_log import DecisionLog
from kiosk.store.durable import create_file, digest_of, sync_directory
from kiosk.store.keys import KEY_BYTES, Key
from kiosk.store.vault import AEAD_BY_CIPHER, TAG_BYTES, Cipher, InvalidTag, Vault, vault_for
from kiosk.types import ClockState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

MAGIC = b"KIOSKBK1"
SUFFIX = ".backup"
CHUNK_BYTES = 1 << 20
HEADER_LIMIT = 1 << 16
KEPT = 7  # backups that `prune` leaves: a week of daily ones
_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup says of itself; readable without the key."""

    created_at: float
    label: str
    schema: int
    cipher: str
    key_check: str
    store_id: str
    log_seq: int  # the newest record of the decision log in it
    log_hash: str
    session_number: int  # the highest ever given out
    subjects: int
    scrubbed_to: int = 0  # everyone forgotten up to this log record has been taken out

    def __post_init__(self) -> None:
        """Refuse what a damaged header may hold; it is not authenticated until it is unwrapped."""
        numbers = (self.schema, self.log_seq, self.session_number, self.subjects, self.scrubbed_to)
        texts = (self.label, self.key_check, self.store_id, self.log_hash)
        if not (
            all(type(number) is int for number in numbers)
            and all(isinstance(text, str) for text in texts)
            and math.isfinite(self.created_at)
        ):
            raise ValueError("not the header of a backup")
        Cipher(self.cipher)


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A backup in the directory."""

    path: Path
    header: Header
    is_readable: bool  # with the keys given: False for one made before a rekey


def write(database: Database, vault: Vault, directory: Path, *, now: float, label: str = "manual") -> BackupFile:
    """Back up a store that may be in use.

    Args:
        database: the live one; readers and writers go on.
        vault: of the same store.
        directory: where backups lie; made when it is not there.
        now: seconds UTC.
        label: part of the file's name.

    Raises:
        StoreError: the disk is full, or what was written does not read back; no file is left.
    """
    with _workshop(directory) as copy:
        _copy(database, copy)
        header = _describe(copy, vault, now, label)
        moment = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        path = directory / f"kiosk-{moment}-{header.log_seq:08}-{label}{SUFFIX}"
        _seal_verified(copy, path, header, vault)
    return BackupFile(path, header, is_readable=True)


def read_header(path: Path) -> Header:
    """Return what a backup says of itself.

    Raises:
        StoreError: it is not a backup of the kiosk.
    """
    try:
        with path.open("rb") as file:
            return _read_header(file, path)[0]
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def unpack(path: Path, keys: Sequence[Key], target: Path) -> Vault:
    """Decrypt a backup into a new database file, and run every check on it.

    Returns:
        The vault that opens its rows.

    Raises:
        KeyMissingError: none of the keys is the one it was made with.
        StoreError: it is damaged, cut off or not a backup.
    """
    header = read_header(path)
    vault, _ = vault_for(tuple(keys), header.key_check, Cipher(header.cipher))
    _unseal(path, vault, target)
    database = Database(target)
    try:
        if faults := database.faults(full=True):
            raise StoreError(f"{path} holds a damaged database ({faults[0]}); use another backup")
        verdict = log_of(database, vault).verify(_head(header), takes_losses=True)
        if not verdict.is_intact:
            raise StoreError(f"{path} holds a damaged decision log ({verdict.faults[0]}); use another backup")
        database.clear_wal()
    finally:
        database.close()
    return vault


def verify(path: Path, keys: Sequence[Key]) -> Header:
    """Unpack a backup, check it, and throw the copy away; raises as `unpack` does."""
    with _workshop(path.parent) as copy:
        unpack(path, keys, copy)
    return read_header(path)


def backups(directory: Path, keys: Sequence[Key]) -> tuple[BackupFile, ...]:
    """Return the backups of a directory, the newest first; files that are none are left out."""
    checks = {key.check for key in keys}
    found = []
    try:
        paths = tuple(directory.glob(f"*{SUFFIX}"))
    except OSError as error:
        raise StoreError(f"{directory} cannot be read: {error.strerror}") from error
    for path in paths:
        try:
            header = read_header(path)
        except StoreError:
            continue  # half a file under a backup's name: `verify` says what is wrong with it
        found.append(BackupFile(path, header, header.key_check in checks))
    return tuple(sorted(found, key=lambda file: (file.header.created_at, file.header.log_seq), reverse=True))


def prune(directory: Path, keys: Sequence[Key], *, keep: int = KEPT) -> tuple[Path, ...]:
    """Delete all but the newest readable backups; return what was deleted.

    Raises:
        StoreError: one cannot be deleted, or the folder cannot be read.
    """
    readable = [file for file in backups(directory, keys) if file.is_readable]
    old = tuple(file.path for file in readable[max(keep, 1) :])
    for path in old:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; this old backup is still there") from error
    return old


def scrub(database: Database, directory: Path, erasures: Path, keys: Sequence[Key]) -> tuple[Path, ...]:
    """Rewrite every readable backup that still holds a person who was erased since.

    Takes as long as making the backups anew, so it belongs into the nightly sweep.

    Args:
        database: the live one, which knows the newest erasure.
        directory: where backups lie.
        erasures: the side file with everyone forgotten.
        keys: of this store.

    Returns:
        The backups rewritten. Each keeps its name, age and place in the log.
    """
    with database.read() as connection:
        rows = connection.execute("SELECT seq, session_id FROM erasure").fetchall()
    newest = max((seq for seq, _ in rows), default=0)
    # The side file knows whom a store that was restored has forgotten; the table whose line is not written yet.
    gone = erasure.read_list(erasures) | {session_id for _, session_id in rows}
    rewritten = []
    for file in backups(directory, keys):
        if not file.is_readable or newest <= max(file.header.log_seq, file.header.scrubbed_to):
            continue
        with _workshop(directory) as copy:
            vault = unpack(file.path, keys, copy)
            copied = Database(copy)
            try:
                with copied.write() as connection:
                    erasure.erase_all(connection, vault, gone)
                    erasure.erase_calls(connection, gone)
                erasure.compact(copied)
                count = _count(copied)
            finally:
                copied.close()
            header = replace(file.header, scrubbed_to=newest, subjects=count)
            _seal_verified(copy, file.path, header, vault)
        rewritten.append(file.path)
    return tuple(rewritten)


def log_of(database: Database, vault: Vault) -> DecisionLog:
    """Return the decision log of a database that is only read."""
    return DecisionLog(database, vault, now=lambda: 0.0, clock_state=lambda: ClockState.UNTRUSTED)


def _head(header: Header) -> Head:
    return Head(header.log_seq, header.log_hash, header.session_number)


@contextmanager
def _workshop(directory: Path) -> Iterator[Path]:
    """Lend the name of a scratch database; one process at a time; leave nothing behind."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot work in {directory}: {error.strerror}") from error
    copy = directory / ".copy.db"
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove(copy)  # what a crash left
        yield copy
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror}; no backup was changed") from error
    finally:
        with suppress(OSError):  # left on a disk that fails; the next one to work here removes it
            _remove(copy)
        os.close(lock)


def _remove(copy: Path) -> None:
    for tail in ("", "-wal", "-shm", "-journal", ".sealed", ".check", ".check-wal", ".check-shm"):
        copy.with_name(copy.name + tail).unlink(missing_ok=True)


def _copy(database: Database, copy: Path) -> None:
    """Copy one state of a live database; the open read keeps that state still."""
    create_file(copy)
    with database.read() as source:
        source.execute("SELECT count(*) FROM kiosk").fetchone()
        target = sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            target.close()


def _describe(copy: Path, vault: Vault, now: float, label: str) -> Header:
    database = Database(copy)
    try:
        with database.read() as connection:
            settings = dict(connection.execute("SELECT name, value FROM kiosk").fetchall())
            tail = connection.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
            version = schema.version_of(connection)
            number = subject_rows.next_id(connection, "subject") - 1
        count = _count(database)
        database.clear_wal()
    finally:
        database.close()
    if settings["key_check"] != vault.check:
        raise KeyMissingError("the store was given another key meanwhile; start again")
    return Header(
        created_at=round(float(now), 3),
        label=label,
        schema=version,
        cipher=vault.cipher.value,
        key_check=vault.check,
        store_id=settings["store_id"],
        log_seq=tail[0],
        log_hash=tail[1].hex(),
        session_number=number,
        subjects=count,
    )


def _count(database: Database) -> int:
    with database.read() as connection:
        count: int = connection.execute("SELECT count(*) FROM subject").fetchone()[0]
    return count


def _seal_verified(copy: Path, path: Path, header: Header, vault: Vault) -> None:
    """Encrypt a scratch database into a backup, read that back whole, then give it its name."""
    sealed = copy.with_name(copy.name + ".sealed")
    check = copy.with_name(copy.name + ".check")
    _seal(copy, sealed, header, vault)
    _unseal(sealed, vault, check)
    if digest_of(check) != digest_of(copy):
        raise StoreError(f"{path.name} did not read back as it was written; the disk is failing")
    database = Database(check)
    try:
        faults = database.faults(full=True)
        # A loss that was noted is always told by `store check`; a store with one needs its backups all the more.
        verdict = log_of(database, vault).verify(_head(header), every_signature=False, takes_losses=True)
        if faults or not verdict.is_intact:
            raise StoreError(
                f"{path.name} was not kept: the store itself is damaged "
                f"({(*faults, *verdict.faults)[0]}); run `kiosk store repair`"
            )
    finally:
        database.close()
    sealed.replace(path)
    sync_directory(path.parent)


def _seal(source: Path, target: Path, header: Header, vault: Vault) -> None:
    secret = os.urandom(KEY_BYTES)
    aead = AEAD_BY_CIPHER[vault.cipher](secret)
    fields = asdict(header)
    fields["key"] = vault.wrap(secret, chain.canonical(asdict(header)).encode()).hex()
    head = chain.canonical(fields).encode()
    context = hashlib.sha256(head).digest()
    create_file(target)
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.write(MAGIC + len(head).to_bytes(_LENGTH_BYTES, "big") + head)
        for nonce, chunk in _chunks(reader, CHUNK_BYTES):
            writer.write(aead.encrypt(nonce, chunk, context))
        writer.flush()
        os.fsync(writer.fileno())


def _unseal(path: Path, vault: Vault, target: Path) -> None:
    with path.open("rb") as reader:
        header, wrapped, context = _read_header(reader, path)
        try:
            secret = vault.unwrap(wrapped, chain.canonical(asdict(header)).encode())
            aead = AEAD_BY_CIPHER[Cipher(header.cipher)](secret)
            create_file(target)
            with target.open("wb") as writer:
                for nonce, chunk in _chunks(reader, CHUNK_BYTES + TAG_BYTES):
                    writer.write(aead.decrypt(nonce, chunk, context))
                writer.flush()
                os.fsync(writer.fileno())
        except InvalidTag as error:
            raise StoreError(f"{path} is damaged or cut off; use another backup") from error


def _chunks(reader: BinaryIO, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rest of a file in pieces of `size` bytes, each with its nonce: number and whether it is the last."""
    number, chunk = 0, reader.read(size)
    while following := reader.read(size):
        yield number.to_bytes(11, "big") + b"\0", chunk
        number, chunk = number + 1, following
    yield number.to_bytes(11, "big") + b"\1", chunk


def _read_header(file: BinaryIO, path: Path) -> tuple[Header, bytes, bytes]:
    magic = file.read(len(MAGIC))
    size = int.from_bytes(file.read(_LENGTH_BYTES), "big")
    head = file.read(min(size, HEADER_LIMIT))
    try:
        fields = json.loads(head if magic == MAGIC else b"")
        wrapped = bytes.fromhex(fields.pop("key"))
        return Header(**fields), wrapped, hashlib.sha256(head).digest()
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise StoreError(
            f"{path} is no backup of the kiosk, or its first bytes are damaged; use another backup"
        ) from error

"""The state directory: make a store in it, open the store, finish what a crash cut short.

A start holds the file against SQLite's quick check, the key against the store, the newest record of
the decision log against the device's signature and the head file; what does not fit is refused with
one line that says what to do.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kiosk.errors import StoreError
from kiosk.store import chain, erasure, schema, subject_rows
from kiosk.store.chain import Head, Kind
from kiosk.store.database import BUSY_S, Database
from kiosk.store.durable import create_file, is_read_only, open_private, read_only
from kiosk.store.erasure import BACKUPS_NAME
from kiosk.store.keys import KEY_NAME, NEXT_KEY_NAME, Key, new_key, replace_key
from kiosk.store.store import RETENTION_S, Store, untrusted
from kiosk.store.upkeep import backup
from kiosk.store.vault import Cipher, Vault, fastest_cipher, vault_for
from kiosk.types import ClockState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from kiosk.store.chain import Signed

DATABASE_NAME = "kiosk.db"
LOCK_NAME = ".lock"
RUNNING_NAME = ".running"  # locked while a kiosk runs
QUICK_CHECK_BYTES = 256 << 20  # a second or so here; 2.3 GB took 55 s on a busy disk


def initialise(
    directory: Path,
    *,
    now: Callable[[], float],
    key: Key | None = None,
    cipher: Cipher | None = None,
    clock_state: Callable[[], ClockState] = untrusted,
) -> Store:
    """Make a new store and open it.

    Args:
        directory: the state directory; made when it is not there.
        now: seconds UTC.
        key: the key from the systemd credential; None: make one, in a 0600 file beside the store.
        cipher: None: whichever is faster on this machine.
        clock_state: how far `now` can be trusted.

    Raises:
        StoreError: there is a store, or a key, already.
    """
    path = directory / DATABASE_NAME
    if path.exists():
        raise StoreError(f"{path} exists; `kiosk init` makes new stores only")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {directory}: {error.strerror}") from error
    if key is None:
        key = new_key()
        key.write(directory / KEY_NAME)
    chosen = cipher or fastest_cipher()
    vault = Vault(key, chosen)
    database = Database(path, lock=take(directory, exclusive=False))
    try:
        create_file(path)
    except OSError as error:
        database.close()
        raise StoreError(f"cannot make {path}: {error.strerror}") from error
    store = Store(directory, database, vault, now=now, clock_state=clock_state)
    try:
        with store.transaction() as transaction:
            schema.migrate(transaction.connection)
            transaction.connection.executemany(
                "INSERT INTO kiosk (name, value) VALUES (?, ?)",
                [
                    ("store_id", str(uuid.uuid4())),
                    ("cipher", chosen.value),
                    ("key_check", vault.check),
                ],
            )
            transaction.record(
                Kind.INIT,
                details={"public_key": vault.public_key.hex(), "schema": schema.VERSION},
            )
    except BaseException:
        store.close()
        raise
    return store


def open_store(
    directory: Path,
    keys: Sequence[Key],
    *,
    now: Callable[[], float],
    clock_state: Callable[[], ClockState] = untrusted,
    retention_s: float = RETENTION_S,
    check: bool = True,
    busy_s: float = BUSY_S,
) -> Store:
    """Open a store, bring its schema up to date, and finish what a crash cut short.

    Args:
        directory: the state directory.
        keys: as `vault.read_keys` returns them.
        now: seconds UTC.
        clock_state: how far `now` can be trusted.
        retention_s: how long a person is kept when their enrolment does not say.
        check: run SQLite's quick check on a file of up to QUICK_CHECK_BYTES first; a command
            that only reads a row or two can do without. A larger one is checked by what is loaded:
            every block (references/blocks.py) or template opens by its own tag.
        busy_s: how long to wait for a writer or reader of another process.

    Raises:
        StoreError: no store, a damaged one, or one of a newer program; says what to do.
        KeyMissingError: none of the keys is this store's.
    """
    database = Database(directory / DATABASE_NAME, lock=take(directory, exclusive=False), busy_s=busy_s)
    try:
        vault, version = unlock(database, directory, keys)
        if check:
            _check_quickly(database)
        if version < schema.VERSION:
            label = f"before-schema-{schema.VERSION}-from-{version}"
            backup.write(database, vault, directory / BACKUPS_NAME, now=now(), label=label)
        store = Store(directory, database, vault, now=now, clock_state=clock_state, retention_s=retention_s)
        try:
            _note_losses(store)  # before anything is recorded: it would stand in the place of what was lost
        except OSError as error:  # the head only lags behind: the next act writes it
            store.notices += (f"the head file cannot be written: {error.strerror}",)
        if version < schema.VERSION:
            _migrate(store, version)
        if not erasure.finish(database, directory):
            store.notices += ("an erasure is not finished: the disk is full, or a reader is stuck",)
    except OSError as error:
        database.close()
        raise StoreError(_why_closed(directory, error)) from error
    except BaseException:
        database.close()
        raise
    return store


@contextmanager
def hold(directory: Path, *, exclusive: bool = False) -> Iterator[None]:
    """Hold the state directory: shared while a store is open, alone while one is replaced.

    Raises:
        StoreError: another process holds it in a way that forbids this.
    """
    lock = take(directory, exclusive=exclusive)
    try:
        yield
    finally:
        os.close(lock)


def take(directory: Path, *, exclusive: bool) -> int:
    """Return a handle that holds the state directory until it is closed; see `hold`."""
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(_why_closed(directory, error)) from error
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(
            f"the store in {directory} is in use; stop the kiosk first"
            if exclusive
            else f"the store in {directory} is being replaced; try again in a minute"
        ) from error
    return lock


def _why_closed(directory: Path, error: OSError) -> str:
    """Return why a state directory cannot be used, and what mends it."""
    if isinstance(error, FileNotFoundError) and not directory.exists():
        return f"no store at {directory} ({error.strerror}); run `kiosk init`"
    if is_read_only(directory):
        return read_only(directory)
    if isinstance(error, PermissionError):
        return f"{directory}: {error.strerror}; run this as the account that owns the store (on a device: sudo kiosk …)"
    return f"{directory}: {error.strerror}; the store there cannot be used before that is mended"


@contextmanager
def run_alone(directory: Path) -> Iterator[None]:
    """Be the only kiosk that runs from a state directory: two would forget each other's declines and alarm.

    Raises:
        StoreError: another one runs.
    """
    path = directory / RUNNING_NAME
    try:
        file = open_private(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; make the state directory writable") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the file, and with the process
        except OSError as error:
            raise StoreError(
                f"a kiosk runs from {directory} already; stop it first, or give another --state"
            ) from error
        yield


def head_of(store: Store, tail: Signed) -> Head:
    """Return the head that names a record as the newest."""
    with store.database.read() as connection:
        return Head(tail.seq, tail.hash.hex(), subject_rows.next_id(connection, "subject") - 1)


def unlock(database: Database, directory: Path, keys: Sequence[Key]) -> tuple[Vault, int]:
    """Return the vault of a store and its schema's number; finish a rekey that was cut short."""
    with database.read() as connection:
        version = schema.version_of(connection)
        schema.check_version(version)
        if not version:
            raise StoreError(f"{database.path} is no store of the kiosk; run `kiosk init`")
        settings = dict(connection.execute("SELECT name, value FROM kiosk").fetchall())
    try:
        check, cipher = settings["key_check"], Cipher(settings["cipher"])
    except (KeyError, ValueError) as error:
        raise StoreError(f"{database.path} is damaged ({error}); run `kiosk store repair`") from error
    vault, place = vault_for(tuple(keys), check, cipher)
    if place and (directory / NEXT_KEY_NAME).exists():  # a rekey was cut short after its commit
        replace_key(directory)
    return vault, version


def _check_quickly(database: Database) -> None:
    if database.path.stat().st_size > QUICK_CHECK_BYTES:
        return
    if faults := database.faults(full=False):
        raise StoreError(f"{database.path} is damaged ({faults[0]}); run `kiosk store repair`")


def _migrate(store: Store, version: int) -> None:
    """Bring the schema up to date, in one transaction with the record that says so."""
    with store.transaction() as transaction:
        if schema.version_of(transaction.connection) == version:  # else another process was faster
            schema.migrate(transaction.connection)
            transaction.record(Kind.MIGRATE, details={"from": version, "to": schema.VERSION})


def _note_losses(store: Store) -> None:
    """Hold the end of the log against the head file; go on after what was lost, and say so."""
    head, tail = store.head.read(), store.log.tail()
    if tail is None or not chain.is_signed(tail, store.vault.public_key):
        raise StoreError(
            f"{store.database.path}: the newest record of the decision log is missing or not "
            "signed by this device; run `kiosk store repair`"
        )
    if head is None and tail.entry.kind in (Kind.INIT, Kind.RESTORE):
        store.head.replace(head_of(store, tail))  # made, given a new key, or put back a moment ago
    elif head is None:
        store.notices = ("the head file was missing, so a cut-off log would not have shown",)
        with store.transaction() as transaction:
            transaction.record(Kind.LOSS, details={"head": "missing"})
    elif head.seq > tail.seq:
        store.notices = (f"log records {tail.seq + 1} to {head.seq} are lost",)
        with store.transaction() as transaction:
            subject_rows.skip_to(transaction.connection, head.session_number)
            transaction.record(
                Kind.LOSS,
                details={"lost": [tail.seq + 1, head.seq], "head": head.hash},
                skip_to=head.seq + 1,
            )
    elif head.seq < tail.seq:  # killed between the commit and the head file
        store.head.advance(head_of(store, tail))

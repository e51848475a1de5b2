"""Putting a backup in the place of the store: restore on purpose, repair when it is damaged.

Nobody who was forgotten comes back: everyone in `erasures.jsonl`, and in the erasures of the old
database where it can still be read, is erased again before the restored store takes its place. On a
new device copy `erasures.jsonl` along with the backup; without it, only erasures older than the
backup are known.

The restored decision log goes on after the numbers of the lost one, with a RESTORE record that says
which records were given up, so a log exported before still tells the two apart.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiosk.errors import StoreError
from kiosk.store import chain, erasure, outbox, schema, subject_rows
from kiosk.store.chain import Kind
from kiosk.store.database import Database
from kiosk.store.decision_log import DecisionLog, HeadFile
from kiosk.store.directory import DATABASE_NAME, hold, open_store
from kiosk.store.durable import sync_directory
from kiosk.store.erasure import BACKUPS_NAME
from kiosk.store.store import HEAD_NAME, untrusted
from kiosk.store.upkeep import backup, check, rollback
from kiosk.store.vault import Cipher, vault_for
from kiosk.types import ClockState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from kiosk.store.keys import Key
    from kiosk.store.upkeep.backup import BackupFile, Header
    from kiosk.store.vault import Vault

RESTORING_NAME = "kiosk.db.restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    backup: str
    made_at: float
    subjects: int
    forgotten_again: int
    lost: Mapping[str, int]  # records of the old log after the backup, by kind
    lost_unread: int  # further records that could not be read any more


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a store, and what a repair would do about it."""

    damage: tuple[str, ...]  # what a repair would mend
    log: tuple[str, ...] = ()  # edits and gaps of the decision log: evidence, kept as it is
    mends_in_place: bool = False  # only indexes: they are built anew, nothing is lost
    backup: BackupFile | None = None  # the newest good one
    rejected: tuple[str, ...] = ()  # newer ones that are not good, and why
    lost: Mapping[str, int] = field(default_factory=dict)
    lost_unread: int = 0

    @property
    def is_sound(self) -> bool:
        """There is nothing to repair."""
        return not self.damage


def restore(
    directory: Path,
    path: Path,
    keys: Sequence[Key],
    *,
    now: Callable[[], float],
    clock_state: Callable[[], ClockState] = untrusted,
    overwrite: bool = False,
    migrate: bool = False,
    actor: str = "",
) -> Restored:
    """Put a backup in the place of the store.

    Args:
        directory: the state directory; nobody else may have its store open.
        path: the backup.
        keys: the one it was made with among them.
        now: seconds UTC.
        clock_state: how far `now` can be trusted.
        overwrite: give up the store that is there.
        migrate: take a backup of an older schema and bring it up to date.
        actor: for the log.

    Raises:
        StoreError: a store is there and `overwrite` is not set; the backup is damaged, or of another
            schema; the store is in use. The old store is untouched then.
        KeyMissingError: the backup was made with another key.
    """
    header = backup.read_header(path)
    schema.check_version(header.schema)
    if header.schema < schema.VERSION and not migrate:
        raise StoreError(
            f"{path.name} has schema {header.schema}, this program writes {schema.VERSION}; restore it with --migrate"
        )
    live = directory / DATABASE_NAME
    if live.exists() and not overwrite:
        raise StoreError(f"{live} exists; its content is given up only with --overwrite")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {directory}: {error.strerror}") from error
    target = directory / RESTORING_NAME
    with hold(directory, exclusive=True):
        try:
            _remove(target)
            vault = backup.unpack(path, keys, target)
            old = _old_state(directory, vault, header.log_seq)
            forgotten = _prepare(target, vault, path, header, old, now=now, clock_state=clock_state, actor=actor)
            _swap(target, live)
        except OSError as error:
            raise StoreError(f"{directory}: {error.strerror}; nothing was restored") from error
        finally:
            with suppress(OSError):  # left on a disk that fails; the next restore removes it
                _remove(target)
    try:
        with open_store(directory, keys, now=now, clock_state=clock_state) as store:
            count = store.people.subjects(limit=0).total
    except StoreError as error:
        raise StoreError(f"{path.name} is in place, but the store does not open yet: {error}") from error
    return Restored(path.name, header.created_at, count, forgotten, old.lost, old.lost_unread)


def diagnose(directory: Path, keys: Sequence[Key]) -> Diagnosis:
    """Check everything in a store, and find the newest good backup if something is wrong.

    Changes nothing: this is the dry run of `repair`.

    Raises:
        KeyMissingError: none of the keys is this store's.
    """
    database = Database(directory / DATABASE_NAME)
    try:
        findings = check.inspect(database, directory / HEAD_NAME, keys)
    finally:
        database.close()
    if findings.is_sound or findings.is_index_only:
        return Diagnosis(findings.damage, findings.log, findings.is_index_only)
    rejected = []
    for file in backup.backups(directory / BACKUPS_NAME, keys):
        try:
            backup.verify(file.path, keys)
        except StoreError as error:
            rejected.append(str(error))
            continue
        vault, _ = vault_for(tuple(keys), file.header.key_check, Cipher(file.header.cipher))
        old = _old_state(directory, vault, file.header.log_seq)
        return Diagnosis(
            findings.damage,
            findings.log,
            False,
            file,
            tuple(rejected),
            old.lost,
            old.lost_unread,
        )
    return Diagnosis(findings.damage, findings.log, rejected=tuple(rejected))


def repair(
    directory: Path,
    keys: Sequence[Key],
    *,
    now: Callable[[], float],
    clock_state: Callable[[], ClockState] = untrusted,
    actor: str = "",
) -> Restored | None:
    """Mend a damaged store: build its indexes anew, or restore the newest good backup.

    Returns:
        What was restored; None when nothing was lost: the store was sound, or only its indexes
        were not.

    Raises:
        StoreError: it is damaged and there is no good backup; it is in use.
    """
    diagnosis = diagnose(directory, keys)
    if diagnosis.mends_in_place:
        with hold(directory, exclusive=True):
            database = Database(directory / DATABASE_NAME)
            try:
                with database.alone() as connection:
                    connection.execute("REINDEX")
            finally:
                database.close()
        return None
    if diagnosis.is_sound:
        return None
    if diagnosis.backup is None:
        raise StoreError(
            f"{directory / DATABASE_NAME} is damaged ({diagnosis.damage[0]}) and there is no good "
            f"backup in {directory / BACKUPS_NAME}; bring one and use `kiosk restore`"
        )
    return restore(
        directory,
        diagnosis.backup.path,
        keys,
        now=now,
        clock_state=clock_state,
        overwrite=True,
        migrate=True,
        actor=actor,
    )


@dataclass(frozen=True, slots=True)
class _Old:
    """What could still be read of the store that is given up."""

    last_seq: int  # of its log, by the file or by the head
    last_hash: str
    session_number: int
    lost: Mapping[str, int]
    lost_unread: int
    forgotten: frozenset[str]


def _old_state(directory: Path, vault: Vault, after: int) -> _Old:
    head = HeadFile(directory / HEAD_NAME, vault).read()
    forgotten = set(erasure.read_list(directory / erasure.ERASURES_NAME))
    lost: Counter[str] = Counter()
    last_seq, last_hash = (head.seq, head.hash) if head else (0, chain.NO_HASH)
    session_number = head.session_number if head else 0
    live = directory / DATABASE_NAME
    if live.exists():
        database = Database(live)
        try:
            with database.read() as connection:
                rows = connection.execute("SELECT session_id FROM erasure").fetchall()
                forgotten |= {session_id for (session_id,) in rows}
                session_number = max(session_number, subject_rows.next_id(connection, "subject") - 1)
                told = rollback.found_in(connection)
            if told is not None and told.seq > last_seq:  # a store that was put back: others hold more of its log
                last_seq, last_hash = told.seq, told.hash
            for signed in backup.log_of(database, vault).records(after):
                lost[signed.entry.kind.value] += 1
                if signed.seq > last_seq:
                    last_seq, last_hash = signed.seq, signed.hash.hex()
        except (StoreError, ValueError):
            pass  # damaged is why we are here; what was read so far counts
        finally:
            database.close()
    unread = max(last_seq - after, 0) - sum(lost.values())
    return _Old(last_seq, last_hash, session_number, dict(lost), max(unread, 0), frozenset(forgotten))


def _prepare(
    target: Path,
    vault: Vault,
    path: Path,
    header: Header,
    old: _Old,
    *,
    now: Callable[[], float],
    clock_state: Callable[[], ClockState],
    actor: str,
) -> int:
    """Bring an unpacked backup up to the present: schema, numbers, log, erasures."""
    database = Database(target)
    log = DecisionLog(database, vault, now=now, clock_state=clock_state)
    try:
        with database.write() as connection:
            if schema.version_of(connection) < schema.VERSION:
                schema.migrate(connection)
            subject_rows.skip_to(connection, old.session_number)
            details = {"backup": path.name, "made_at": header.created_at, "lost": dict(old.lost)}
            is_behind = old.last_seq > header.log_seq
            if is_behind:
                details |= {
                    "replaces": [header.log_seq + 1, old.last_seq],
                    "last_hash": old.last_hash,
                }
            log.append(
                connection,
                Kind.RESTORE,
                details=details,
                actor=actor,
                skip_to=old.last_seq + 1 if is_behind else None,
            )
            outbox.doubt_all(connection, header.created_at)
            forgotten = erasure.erase_all(connection, vault, old.forgotten)
            for subject, remains in forgotten:
                signed = log.append(
                    connection,
                    Kind.FORGET,
                    session_number=subject.session_number,
                    details=remains.counts,
                    actor="restore",
                )
                erasure.remember(connection, subject.session_id, subject.session_number, signed.seq, now())
            calls = erasure.erase_calls(connection, old.forgotten)
            for request_id, remains in calls:
                about = {"of": request_id, **remains.counts}
                signed = log.append(connection, Kind.FORGET, details=about, actor="restore")
                erasure.remember(connection, request_id, 0, signed.seq, now())
        if forgotten or calls:
            erasure.compact(database)
        database.clear_wal()
    finally:
        database.close()
    return len(forgotten)


def _swap(target: Path, live: Path) -> None:
    """Put the new database in the place of the old one.

    The old WAL goes first: SQLite would play it into the new file. Cut short in between, the old
    store has lost its last pages, which this restore gives up anyway, and can be run again.
    """
    for tail in ("-wal", "-shm"):
        live.with_name(live.name + tail).unlink(missing_ok=True)
    sync_directory(live.parent)
    target.replace(live)
    try:
        sync_directory(live.parent)
    except OSError as error:
        raise StoreError(
            f"{live}: the backup is in place, but the disk failed ({error.strerror}): "
            "a power cut may bring the old store back; look at the disk, then restore again"
        ) from error


def _remove(target: Path) -> None:
    for tail in ("", "-wal", "-shm"):
        target.with_name(target.name + tail).unlink(missing_ok=True)

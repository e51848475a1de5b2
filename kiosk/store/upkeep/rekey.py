"""A new master key: every sealed row, lookup and check is written anew, in one transaction.

    1. the new key is written beside the old one        kiosk.key, kiosk.key.new
    2. one transaction: rows, checks, REKEY record      the store wants the new key from here on
    3. the new key takes the old one's name

Cut short before 2 the store wants the old key, after it the new one, and both are there; the next
start finishes. Key from a systemd credential: the installer provides the new one, and step 1 and 3
are theirs.

The old key signs the REKEY record that names the new public key; the INIT record after it is the
first by the new one. Backups made before stay sealed with the old key: make a new one at once.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kiosk.errors import StoreError
from kiosk.store import accounts, erasure, outbox, schema, subject_rows
from kiosk.store.chain import Entry, Head, Kind
from kiosk.store.database import Database
from kiosk.store.decision_log import DecisionLog, HeadFile
from kiosk.store.directory import DATABASE_NAME, hold, unlock
from kiosk.store.factors import factors
from kiosk.store.keys import KEY_NAME, NEXT_KEY_NAME, Key, new_key, replace_key
from kiosk.store.open_sessions import sessions
from kiosk.store.passages import passages
from kiosk.store.store import HEAD_NAME, untrusted
from kiosk.store.subjects import vendor_lookup
from kiosk.store.vault import InvalidTag, Vault
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

BATCH_ROWS = 2000


def rekey(
    directory: Path,
    keys: Sequence[Key],
    *,
    now: Callable[[], float],
    provided: Key | None = None,
    clock_state: Callable[[], ClockState] = untrusted,
    actor: str = "",
) -> Entry:
    """Give the store a new master key. Nobody else may have it open.

    Args:
        directory: the state directory.
        keys: as `vault.read_keys` returns them.
        now: seconds UTC.
        provided: the new key where systemd hands keys in; None: make one and switch the key file.
        clock_state: how far `now` can be trusted.
        actor: for the log.

    Returns:
        The REKEY record.

    Raises:
        StoreError: the store is in use, a row does not open, or the disk is full (the WAL takes
            as much room as the database); the old key stays in force.
    """
    with hold(directory, exclusive=True):
        database = Database(directory / DATABASE_NAME)
        try:
            old, _ = unlock(database, directory, keys)
            if provided is None and not (directory / KEY_NAME).exists():
                raise StoreError(
                    f"the key comes from a systemd credential; put the new one beside it as {NEXT_KEY_NAME}"
                )
            if provided is None:
                (directory / NEXT_KEY_NAME).unlink(missing_ok=True)  # left by a run cut short
            key = provided or new_key()
            if provided is None:
                key.write(directory / NEXT_KEY_NAME)
            new = Vault(key, old.cipher)
            if new.check == old.check:
                raise StoreError(f"the new key is the old one; put another into {NEXT_KEY_NAME}")
            entry, head = _rewrite(database, old, new, now=now, clock_state=clock_state, actor=actor)
            with suppress(OSError):  # the new key is in force: the next start does what is left
                if provided is None:
                    replace_key(directory)
                HeadFile(directory / HEAD_NAME, new).replace(head)
            erasure.finish(database, directory)
        except OSError as error:
            raise StoreError(f"{directory}: {error.strerror}; the old key stays in force") from error
        finally:
            database.close()
    return entry


def _rewrite(
    database: Database,
    old: Vault,
    new: Vault,
    *,
    now: Callable[[], float],
    clock_state: Callable[[], ClockState],
    actor: str,
) -> tuple[Entry, Head]:
    log = DecisionLog(database, new, now=now, clock_state=clock_state)
    with database.write() as connection:
        try:
            connection.execute("DELETE FROM reference_block")  # made anew by the next sweep
            connection.execute("DELETE FROM subject_block")
            _templates(connection, old, new)
            for table, column in (
                ("image", "jpeg"),
                ("outbox_image", "sealed"),
                ("review_image", "sealed"),
                ("secret", "sealed"),
                ("factor_note", "sealed"),
                ("unproven", "sealed"),
                ("session", "sealed"),
                ("fleet_document", "sealed"),
            ):
                _column(connection, old, new, table, column)
            for rows in _batches(
                connection, "SELECT id, payload FROM outbox WHERE id > ? AND payload IS NOT NULL ORDER BY id LIMIT ?"
            ):
                outbox.reseal(connection, old, new, rows)
            _people(connection, old, new)
            _answers(connection, old, new)
            accounts.reseal(connection, old, new)
            factors.reseal(connection, old, new)
            passages.reseal(connection, old, new)
            sessions.reseal(connection, new)
        except InvalidTag as error:
            raise StoreError(f"{database.path} has a damaged row; run `kiosk store repair` first") from error
        # their file names are known by a keyed hash only, which cannot be made anew
        connection.execute("DELETE FROM import_file")
        connection.execute("DELETE FROM import_run")
        for table in ("list_staged", "list_pass"):  # half a list: its pass begins again
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE kiosk SET value = ? WHERE name = 'key_check'", (new.check,))
        erasure.mark_unclean(connection)  # old pages hold rows sealed with the old key
        signed = log.append(
            connection,
            Kind.REKEY,
            details={"next_public_key": new.public_key.hex()},
            actor=actor,
            sign=old.sign,
        )
        first = log.append(
            connection,
            Kind.INIT,
            details={"public_key": new.public_key.hex(), "schema": schema.VERSION},
            actor=actor,
        )
        number = subject_rows.next_id(connection, "subject") - 1
    return signed.entry, Head(first.seq, first.hash.hex(), number)


def _batches(connection: sqlite3.Connection, sql: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a query that ends in `? ... LIMIT ?`, keyed by their first column."""
    after = 0
    while rows := connection.execute(sql, (after, BATCH_ROWS)).fetchall():
        yield rows
        after = rows[-1][0]


def _templates(connection: sqlite3.Connection, old: Vault, new: Vault) -> None:
    models = connection.execute("SELECT id, digest FROM model").fetchall()
    contexts = {row: schema.template_context(digest) for row, digest in models}
    for rows in _batches(
        connection,
        "SELECT id, subject, model, template FROM reference WHERE id > ? ORDER BY id LIMIT ?",
    ):
        fresh = []
        for row, subject, model, sealed in rows:
            context = contexts[model](row, subject)
            fresh.append((new.seal(old.open(sealed, context), context), row))
        connection.executemany("UPDATE reference SET template = ? WHERE id = ?", fresh)


def _column(connection: sqlite3.Connection, old: Vault, new: Vault, table: str, column: str) -> None:
    for rows in _batches(
        connection,
        f"SELECT id, {column} FROM {table} WHERE id > ? AND {column} IS NOT NULL ORDER BY id LIMIT ?",
    ):
        fresh = []
        for row, sealed in rows:
            context = schema.row_context(table, row)
            fresh.append((new.seal(old.open(sealed, context), context), row))
        connection.executemany(f"UPDATE {table} SET {column} = ? WHERE id = ?", fresh)


def _people(connection: sqlite3.Connection, old: Vault, new: Vault) -> None:
    for rows in _batches(
        connection,
        "SELECT session_number FROM subject WHERE session_number > ? ORDER BY session_number LIMIT ?",
    ):
        for (number,) in rows:
            subject = subject_rows.read(connection, old, number)
            if subject is not None:  # its row was just listed
                subject_rows.update(connection, new, subject)


def _answers(connection: sqlite3.Connection, old: Vault, new: Vault) -> None:
    for rows in _batches(connection, "SELECT seq, sealed FROM log_private WHERE seq > ? ORDER BY seq LIMIT ?"):
        fresh = []
        for seq, sealed in rows:
            context = schema.row_context("log_private", seq)
            plain = old.open(sealed, context)
            vendor = vendor_lookup(new, json.loads(plain)["vendor_data"])
            fresh.append((new.seal(plain, context), vendor, seq))
        connection.executemany("UPDATE log_private SET sealed = ?, vendor_lookup = ? WHERE seq = ?", fresh)

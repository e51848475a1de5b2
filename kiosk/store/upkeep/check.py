"""The full check of a store: the file, every sealed row, the decision log, and one against another.

Three kinds of finding, because they are mended differently: damage of the file or of a row (repair
from a backup), indexes alone (built anew in place), and faults of the log (evidence: kept).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kiosk.errors import KeyMissingError, StoreError
from kiosk.store import schema, subject_rows
from kiosk.store.chain import Kind
from kiosk.store.decision_log import HeadFile
from kiosk.store.factors import factors
from kiosk.store.passages import passages
from kiosk.store.upkeep import backup
from kiosk.store.vault import Cipher, InvalidTag, Vault, vault_for

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from kiosk.store.database import Database
    from kiosk.store.keys import Key

SHOWN = 20
_INDEX_FAULTS = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


@dataclass(frozen=True, slots=True)
class Findings:
    """What a full check found."""

    file: tuple[str, ...] = ()  # SQLite's own words
    rows: tuple[str, ...] = ()  # which sealed rows do not open, or do not fit the log
    log: tuple[str, ...] = ()  # edits, gaps, cut-off end

    @property
    def damage(self) -> tuple[str, ...]:
        """What a repair would mend."""
        return self.file + self.rows

    @property
    def is_sound(self) -> bool:
        """Nothing needs a repair."""
        return not self.damage

    @property
    def is_index_only(self) -> bool:
        """Only indexes are damaged; the rows are all there."""
        return not self.rows and all(any(words in fault for words in _INDEX_FAULTS) for fault in self.file)


def inspect(database: Database, head_path: Path, keys: Sequence[Key]) -> Findings:
    """Check everything; change nothing. Reads the whole file about three times.

    Raises:
        KeyMissingError: none of the keys is this store's.
    """
    file = database.faults(full=True)
    try:
        with database.read() as connection:
            schema.check_version(schema.version_of(connection))
            settings = dict(connection.execute("SELECT name, value FROM kiosk").fetchall())
        vault, _ = vault_for(tuple(keys), settings["key_check"], Cipher(settings["cipher"]))
    except KeyMissingError:
        raise
    except (StoreError, KeyError, ValueError) as error:
        return Findings(file or (f"{database.path} cannot be read: {error}",))
    rows = [
        fault
        for check in (_sealed_rows, _people_in_log, factors.faults, passages.faults)
        for fault in _faults_of(database, vault, check)
    ]
    try:
        verdict = backup.log_of(database, vault).verify(HeadFile(head_path, vault).read())
        log = verdict.faults
    except StoreError as error:
        log = (str(error),)
    return Findings(file, tuple(rows[:SHOWN]), log)


def _faults_of(
    database: Database,
    vault: Vault,
    check: Callable[[sqlite3.Connection, Vault], Iterator[str]],
) -> list[str]:
    found: list[str] = []
    try:
        with database.read() as connection:
            found += check(connection, vault)
    except (StoreError, ValueError) as error:
        found.append(str(error))
    return found


def _sealed_rows(connection: sqlite3.Connection, vault: Vault) -> Iterator[str]:
    """Open every sealed column; yield the rows that do not open."""
    contexts = {
        row: schema.template_context(digest)
        for row, digest in connection.execute("SELECT id, digest FROM model").fetchall()
    }
    for row, subject, model, template in connection.execute("SELECT id, subject, model, template FROM reference"):
        if not _opens(vault, template, contexts[model](row, subject)):
            yield f"reference {row} was changed or damaged"
    columns = subject_rows.CLEAR
    for *clear, details, check in connection.execute(f"SELECT {columns}, details, row_check FROM subject"):
        if subject_rows.check_of(vault, tuple(clear), details) != check or not _opens(
            vault, details, schema.row_context("subject", clear[0])
        ):
            yield f"subject {clear[0]} was changed or damaged"
    for table, key, column in (
        ("image", "id", "jpeg"),
        ("log_private", "seq", "sealed"),
        ("outbox", "id", "payload"),
        ("outbox_image", "id", "sealed"),
        ("review_image", "id", "sealed"),
        ("secret", "id", "sealed"),
        ("unproven", "id", "sealed"),
        ("session", "id", "sealed"),
        ("fleet_document", "id", "sealed"),
    ):
        for row, sealed in connection.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"):
            if not _opens(vault, sealed, schema.row_context(table, row)):
                yield f"{table} {row} was changed or damaged"


def _opens(vault: Vault, sealed: bytes, context: bytes) -> bool:
    try:
        vault.open(sealed, context)
    except InvalidTag:
        return False
    return True


def _people_in_log(connection: sqlite3.Connection, vault: Vault) -> Iterator[str]:
    """Hold the rows of people against what the log says: who is there, and on which list."""
    del vault  # the log is clear
    logged: dict[int, bool] = {}
    acts: Any = connection.execute(
        "SELECT kind, session_number, json_extract(record, '$.details.is_blocklisted') FROM log "
        "WHERE kind IN ('ENROL', 'BLOCK', 'UNBLOCK', 'FORGET') ORDER BY seq"
    )
    for kind, number, is_blocklisted in acts:
        if kind == Kind.FORGET.value:
            logged.pop(number, None)
        else:
            logged[number] = bool(is_blocklisted) if kind == Kind.ENROL.value else kind == "BLOCK"
    stored = dict(connection.execute("SELECT session_number, is_blocklisted FROM subject"))
    for number in sorted(logged.keys() - stored.keys()):
        yield f"subject {number} is gone, but was never forgotten"
    for number in sorted(stored.keys() - logged.keys()):
        yield f"subject {number} was never enrolled, or was forgotten"
    for number in sorted(logged.keys() & stored.keys()):
        if logged[number] != bool(stored[number]):
            yield f"subject {number} is not on the list the decision log put them on"

"""The documents of the fleet as rows, within the caller's transaction, and the few values that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiosk.store import subject_rows
from kiosk.store.fleet.document import EMPTY, Document, SharedReference, join_all, pack, unpack_own
from kiosk.store.remote_lists import SOURCE as OF_A_LIST
from kiosk.store.schema import row_context, template_context
from kiosk.store.vault import InvalidTag

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from typing import Any

    from kiosk.store.subjects import Subject
    from kiosk.store.vault import Vault
    from kiosk.types import SubjectId

# In the table `kiosk`: this kiosk's name, how far the change table was taken up, the last version, the first roster.
ME, CURSOR, VERSION, SINCE = "fleet", "fleet_cursor", "fleet_version", "fleet_since"


@dataclass(frozen=True, slots=True)
class Row:
    """What one kiosk says of a person, as it lies here."""

    version: int
    document: Document
    is_whole: bool = True  # False: all but what tells when the person is to be held was left out, see holding.py


def read(connection: sqlite3.Connection, vault: Vault, person: str) -> dict[str, Row]:
    """Return what is known of a person, by the kiosk that said it."""
    rows = connection.execute(
        "SELECT id, origin, version, sealed, is_whole FROM fleet_document WHERE person = ?", (person,)
    ).fetchall()
    return {
        origin: Row(version, unpack_own(subject_rows.unseal(vault, sealed, "fleet_document", row)), bool(is_whole))
        for row, origin, version, sealed, is_whole in rows
    }


def write(connection: sqlite3.Connection, vault: Vault, person: str, origin: str, said: Row) -> None:
    """Keep what a kiosk says of a person, in the place of what it said before."""
    remove(connection, person, origin)
    row = subject_rows.next_id(connection, "fleet_document")
    sealed = vault.seal(pack(said.document), row_context("fleet_document", row))
    connection.execute(
        "INSERT INTO fleet_document (id, person, origin, version, sealed, is_whole) VALUES (?, ?, ?, ?, ?, ?)",
        (row, person, origin, said.version, sealed, int(said.is_whole)),
    )


def remove(connection: sqlite3.Connection, person: str, origin: str) -> None:
    """Keep nothing of what a kiosk says of a person."""
    for table in ("fleet_document", "fleet_envelope"):
        connection.execute(f"DELETE FROM {table} WHERE person = ? AND origin = ?", (person, origin))


def want(connection: sqlite3.Connection, person: str) -> None:
    """Note that all that was said of a person is to be read again."""
    connection.execute("INSERT OR IGNORE INTO fleet_wanted (person) VALUES (?)", (person,))


def unwant(connection: sqlite3.Connection, person: str) -> None:
    """Note that nothing more of a person is wanted."""
    connection.execute("DELETE FROM fleet_wanted WHERE person = ?", (person,))


def whole_of(rows: Mapping[str, Row]) -> Document:
    """Return what all kiosks say of a person together."""
    return join_all(row.document for row in rows.values()) if rows else EMPTY


def value(connection: sqlite3.Connection, name: str) -> str | None:
    """Return a small value of the fleet; None where there is none."""
    found = connection.execute("SELECT value FROM kiosk WHERE name = ?", (name,)).fetchone()
    return None if found is None else str(found[0])


def number(connection: sqlite3.Connection, name: str) -> int:
    """Return a number of the fleet; 0 where there is none."""
    return int(value(connection, name) or 0)


def put(connection: sqlite3.Connection, name: str, content: str | int) -> None:
    """Keep a small value of the fleet."""
    connection.execute("INSERT OR REPLACE INTO kiosk (name, value) VALUES (?, ?)", (name, str(content)))


def next_version(connection: sqlite3.Connection, at_least: int = 0) -> int:
    """Return a version that this kiosk gave to no document before."""
    version = max(number(connection, VERSION), at_least) + 1
    put(connection, VERSION, version)
    return version


def roster_number(connection: sqlite3.Connection) -> int:
    """Return the number of the roster in force; 0 where none has arrived."""
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM fleet_roster").fetchone()[0])


def newest_change(connection: sqlite3.Connection) -> int:
    """Return the number of the last line of the change table, whether it is still there or not."""
    return subject_rows.next_id(connection, "change") - 1


def is_shared(subject: Subject) -> bool:
    """Whether a person is the fleet's: each kiosk pulls the cloud's lists by itself."""
    return subject.source != OF_A_LIST


def values_of(subject: Subject) -> dict[str, Any]:
    """Return the registers of a person as they are here."""
    known = subject.details
    return {
        "details": [
            known.name,
            known.document_type,
            known.document_number,
            known.vendor_data,
            known.consent_version,
            known.consent_at,
        ],
        "plan": known.plan,
        "groups": list(known.groups),
        "status": subject.status.value,
        "dates": [subject.valid_from, subject.valid_until, subject.retention_until],
        "allow": subject.is_allowlisted,
        "made": [subject.verification_date, subject.source, subject.external_id],
    }


def references_of(connection: sqlite3.Connection, vault: Vault, person: SubjectId) -> tuple[SharedReference, ...]:
    """Return the references of a person, of every model."""
    rows = connection.execute(
        "SELECT reference.id, digest, template, quality, created_at FROM reference JOIN model ON model.id = model"
        " WHERE subject = ? ORDER BY reference.id",
        (person,),
    ).fetchall()
    found = []
    for row, model, sealed, quality, created_at in rows:
        try:
            vector = vault.open(sealed, template_context(model)(row, person))
        except InvalidTag as error:
            raise subject_rows.damaged(f"reference {row}") from error
        found.append(SharedReference(model, vector, quality, created_at))
    return tuple(found)


def speakers(connection: sqlite3.Connection, person: str) -> frozenset[str]:
    """Return the kiosks that said something of a person; nothing is opened."""
    rows = connection.execute("SELECT origin FROM fleet_document WHERE person = ?", (person,)).fetchall()
    return frozenset(origin for (origin,) in rows)

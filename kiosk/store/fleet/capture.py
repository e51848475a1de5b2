"""An act here becomes part of this kiosk's documents: within the act's own transaction, whatever the act was.

The change table names who was enrolled, changed or forgotten; lines with an origin came from the fleet and are none of
ours. So a new kind of act needs no new line of code to be shared, and one that was stored is never forgotten to be.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from kiosk.store import subject_rows
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.document import EMPTY, Document, contribute, forgotten_document

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from kiosk.store.subjects import Subject
    from kiosk.store.vault import Vault


def capture(connection: sqlite3.Connection, vault: Vault) -> None:
    """Put what was done here since the last call into this kiosk's documents."""
    cursor, newest = document_rows.number(connection, document_rows.CURSOR), document_rows.newest_change(connection)
    if cursor == newest:
        return
    numbers = connection.execute(
        "SELECT DISTINCT subject FROM change WHERE version > ? AND origin IS NULL ORDER BY subject", (cursor,)
    ).fetchall()
    me = document_rows.value(connection, document_rows.ME) or ""
    for (number,) in numbers:
        subject = subject_rows.read(connection, vault, number)
        if subject is not None:
            _say(connection, vault, me, subject)
            continue
        gone = connection.execute("SELECT session_id FROM erasure WHERE session_number = ?", (number,)).fetchone()
        if gone is not None:
            say_forgotten(connection, vault, me, gone[0])
    document_rows.put(connection, document_rows.CURSOR, newest)


def say_forgotten(
    connection: sqlite3.Connection, vault: Vault, me: str, person: str, into: Collection[str] = ()
) -> None:
    """Write this kiosk's tombstone of a person: what it said before, and what others said, is gone from here."""
    known = document_rows.read(connection, vault, person)
    own = known.get(me)
    if own is not None and own.document.forgotten is not None:
        return
    for origin, row in known.items():
        if row.document.forgotten is None:
            document_rows.remove(connection, person, origin)
    tombstone = forgotten_document(document_rows.roster_number(connection), into)
    version = document_rows.next_version(connection)
    document_rows.write(connection, vault, person, me, document_rows.Row(version, tombstone))


def _say(connection: sqlite3.Connection, vault: Vault, me: str, subject: Subject) -> None:
    if not document_rows.is_shared(subject):
        return
    rows = document_rows.read(connection, vault, subject.session_id)
    whole = document_rows.whole_of(rows)
    own = rows[me].document if me in rows else EMPTY
    if whole.forgotten is not None:  # a person enrolled anew has a session_id of their own
        return
    block = (uuid.uuid4().hex, subject.details.block_reason or "") if subject.is_blocklisted else None
    new: Document = contribute(
        own,
        whole,
        kiosk=me,
        values=document_rows.values_of(subject),
        references=document_rows.references_of(connection, vault, subject.session_number),
        block=block,
    )
    if new != own:
        version = document_rows.next_version(connection)
        document_rows.write(connection, vault, subject.session_id, me, document_rows.Row(version, new))

"""Whom a kiosk of a fleet holds: who may go through its door, whom it enrolled or changed itself, and who is blocked.

Of everybody else it keeps what tells when that changes: groups, ids of blocks, that somebody was forgotten. No face, no
name, no sealed copy, so a stolen disk shows no more people than the door let in. Once somebody is to be held, what
their kiosks said is read again (`fleet_wanted`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kiosk.rules.doors import is_for
from kiosk.store import subject_rows
from kiosk.store.fleet.document import Document
from kiosk.store.schema import row_context
from kiosk.store.store import DOOR

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from kiosk.store.vault import Vault

SORTING = "fleet_sorting"  # in the table `kiosk`, while people are checked against another door: the last who was
KEPT = ("groups",)  # registers of somebody who is not held


def read_door(connection: sqlite3.Connection, vault: Vault) -> frozenset[str] | None:
    """Return the groups that go through this kiosk's door; None where nobody said."""
    found = connection.execute("SELECT id, sealed FROM secret WHERE name = ?", (DOOR,)).fetchone()
    if found is None:
        return None
    return frozenset(json.loads(subject_rows.unseal(vault, found[1], "secret", found[0])))


def write_door(connection: sqlite3.Connection, vault: Vault, groups: Collection[str] | None) -> None:
    """Keep the groups that go through this kiosk's door."""
    connection.execute("DELETE FROM secret WHERE name = ?", (DOOR,))
    if groups is not None:
        row = subject_rows.next_id(connection, "secret")
        sealed = vault.seal(json.dumps(sorted(groups)).encode(), row_context("secret", row))
        connection.execute("INSERT INTO secret (id, name, sealed) VALUES (?, ?, ?)", (row, DOOR, sealed))


def is_held(whole: Document, door: Collection[str] | None, *, is_own: bool) -> bool:
    """Say whether a person is held here.

    Args:
        whole: what all kiosks say of them.
        door: as `read_door` returns it.
        is_own: whether this kiosk said something of them.
    """
    return is_own or whole.is_blocked or is_for(whole.groups, door)


def reduced(document: Document) -> Document:
    """Return what is kept of a document whose person is not held."""
    if document.forgotten is not None:
        return document
    registers = {name: one for name, one in document.registers.items() if name in KEPT}
    return Document(registers, {}, dict.fromkeys(document.blocks, ""), document.lifted)

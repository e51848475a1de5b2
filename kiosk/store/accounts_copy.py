"""A copy of who may use the API, in a small file beside the database: for the door, when the database cannot be read.

The rows are those of the table `access`, sealed as there, so the file tells nobody anything and a changed role or date
makes a row unreadable; the whole carries a keyed check. It is written after each change. Where that fails it is
removed: nobody is better than somebody who was revoked.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
from typing import TYPE_CHECKING, Any

from kiosk.errors import KeyMissingError, StoreError
from kiosk.store.chain import canonical
from kiosk.store.vault import Cipher, Vault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kiosk.store.database import Database
    from kiosk.store.keys import Key

NAME = "accounts.copy"
COLUMNS = "id, kind, role, created_at, expires_at, revoked_at, sealed"
_EVERYBODY = (
    "SELECT id, kind, role, created_at, expires_at, revoked_at, sealed, lookup FROM access ORDER BY id"  # COLUMNS first
)
Row = tuple[Any, ...]
"""What `COLUMNS` names."""


def write(directory: Path, database: Database, vault: Vault) -> None:
    """Write the copy anew from the database; where that cannot be done, remove it."""
    path = directory / NAME
    part = path.with_name(f".{NAME}.part")
    try:
        turn = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)  # whoever writes last has read the newest
            with database.read() as connection:
                rows = connection.execute(_EVERYBODY).fetchall()
            text = _text(rows, vault)
            if path.exists() and path.read_text() == text:
                return
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            os.fsync(turn)
        finally:
            os.close(turn)
    except (OSError, StoreError):
        _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a read-only card takes no change of the database either, so the copy is still true
        return


def _text(rows: Sequence[Row], vault: Vault) -> str:
    body = {
        "key": vault.check,
        "cipher": vault.cipher.value,
        "rows": [[*row[:6], row[6].hex(), None if row[7] is None else row[7].hex()] for row in rows],
    }
    return canonical({**body, "check": vault.mac(canonical(body).encode()).hex()})


class AccountsCopy:
    """The copy of one state directory, read anew at each question."""

    def __init__(self, directory: Path, opener: Vault | Sequence[Key]) -> None:
        """Take the place, and what may open it: the vault of an open store, or the keys where none is open."""
        self._path, self._opener = directory / NAME, opener

    def rows(self) -> tuple[list[tuple[Row, bytes | None]], Vault]:
        """Return each account's row with its lookup, and the vault that opens them.

        Raises:
            StoreError: there is no copy, it was changed, or its key is missing.
        """
        body, vault = self._read()
        return [
            ((*row[:6], bytes.fromhex(row[6])), None if row[7] is None else bytes.fromhex(row[7]))
            for row in body["rows"]
        ], vault

    def _read(self) -> tuple[dict[str, Any], Vault]:
        try:
            body: dict[str, Any] = json.loads(self._path.read_bytes())
            check, key, cipher = bytes.fromhex(body.pop("check")), body["key"], Cipher(body["cipher"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{self._path} cannot be read; the next start of the kiosk writes it again") from error
        opener = self._opener
        vaults = [opener] if isinstance(opener, Vault) else [Vault(one, cipher) for one in opener if one.check == key]
        vault = next((one for one in vaults if one.check == key), None)
        if vault is None:
            raise KeyMissingError(f"{self._path} was written with another key")
        if not hmac.compare_digest(vault.mac(canonical(body).encode()), check):
            raise StoreError(f"{self._path} was changed or damaged; the next start of the kiosk writes it again")
        return body, vault

"""Secrets that are sealed in the store, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.errors import StoreError
from kiosk.store.schema import row_context
from kiosk.store.vault import InvalidTag

if TYPE_CHECKING:
    from kiosk.store.database import Database
    from kiosk.store.vault import Vault


class Secrets:
    """The secrets of one store; `Store.secrets` is it."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def __repr__(self) -> str:
        return "Secrets()"

    def read(self, name: str) -> str | None:
        """Return a secret; None where there is none.

        Raises:
            StoreError: it was changed or damaged.
        """
        with self._database.read() as connection:
            found = connection.execute("SELECT id, sealed FROM secret WHERE name = ?", (name,)).fetchone()
        if found is None:
            return None
        try:
            return self._vault.open(found[1], row_context("secret", found[0])).decode()
        except InvalidTag as damaged:
            raise StoreError(f"the credential {name} was changed or damaged; give it again") from damaged

    def remove(self, name: str) -> None:
        """Forget a secret."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM secret WHERE name = ?", (name,))

    def write(self, name: str, text: str) -> None:
        """Seal a secret, in the place of an older one."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM secret WHERE name = ?", (name,))
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'secret'").fetchone()
            row = (last[0] if last else 0) + 1
            sealed = self._vault.seal(text.encode(), row_context("secret", row))
            connection.execute("INSERT INTO secret (id, name, sealed) VALUES (?, ?, ?)", (row, name, sealed))

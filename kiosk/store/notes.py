"""What is known of the cloud, for whoever asks in whatever process: last success, last error, breaker, clock skew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiosk.store.database import Database


class Notes:
    """A few small values that outlive a restart. No secrets, nobody's name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Any] = {}

    def write(self, **values: Any) -> None:
        """Keep values; what has not changed since this object wrote it costs nothing."""
        new = {name: value for name, value in values.items() if name not in self._known or self._known[name] != value}
        if not new:
            return
        with self._database.write() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO cloud_note (name, value) VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in new.items()],
            )
        self._known |= new

    def read(self) -> Mapping[str, Any]:
        """Return all of them."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT name, value FROM cloud_note").fetchall()
        return {name: json.loads(value) for name, value in rows}

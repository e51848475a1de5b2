"""One transaction of the store: its connection, and the records it adds to the decision log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

    from kiosk.store.chain import Kind, Signed
    from kiosk.store.decision_log import DecisionLog


class Transaction:
    """An open transaction, and the last record of the log it added."""

    def __init__(self, connection: sqlite3.Connection, log: DecisionLog) -> None:
        self.connection = connection
        self.last: Signed | None = None
        self._log = log

    def record(self, kind: Kind, **what: Any) -> Signed:
        """Add a record of the log; arguments as `DecisionLog.append` takes them."""
        self.last = self._log.append(self.connection, kind, **what)
        return self.last

"""Proofs of erasures that no caller waits for: one thread that reads the database when there is something to prove."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from kiosk.errors import KioskError
from kiosk.store.people import Erasures

LOG = logging.getLogger("kiosk.api")


class Proofs:
    """The thread; it is made with the first proof that is wanted, and ends with the process."""

    def __init__(self, erasures: Erasures, forgotten: Callable[[], None]) -> None:
        """Take the erasures, and what takes someone out of the backups once the proof is done."""
        self._erasures, self._forgotten = erasures, forgotten
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def want(self) -> None:
        """Have everything proven that has no proof yet. Returns at once."""
        self._wanted.set()
        with self._lock:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._work, name="proofs", daemon=True)
                self._thread.start()

    def resume(self) -> None:
        """Go on with what an earlier process left."""
        try:
            if self._erasures.unproven():
                self.want()
        except KioskError as error:
            LOG.error("proofs error=%s: %s", type(error).__name__, error)  # noqa: TRY400  one line

    def close(self) -> None:
        """Begin nothing more. What is under way goes on in the next process, if this one ends first."""
        with self._lock:
            self._is_closed = True
        self._wanted.set()

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._is_closed:
                return
            try:
                receipts = self._erasures.prove()
                self._forgotten()
            except KioskError as error:
                LOG.error("proofs error=%s: %s", type(error).__name__, error)  # noqa: TRY400  one line
                continue
            LOG.info("proofs done=%s incomplete=%s", len(receipts), sum(not one.is_complete for one in receipts))

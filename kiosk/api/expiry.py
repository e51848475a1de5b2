"""Sessions whose time has passed, ended though nobody asks for them: one thread that looks once a minute."""

from __future__ import annotations

import logging
import threading

from kiosk.device.sessions.runner import Sessions
from kiosk.errors import KioskError

LOG = logging.getLogger("kiosk.api")
EVERY_S = 60.0


class Expiry:
    """The thread; it ends when the API does."""

    def __init__(self, sessions: Sessions, closing: threading.Event, *, every_s: float = EVERY_S) -> None:
        """Take the sessions, and what is set when the API ends."""
        self._sessions, self._closing, self._every_s = sessions, closing, every_s

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._work, name="sessions", daemon=True).start()

    def _work(self) -> None:
        while not self._closing.wait(self._every_s):
            try:
                self._sessions.expire()
            except KioskError as error:  # the next look tries again
                LOG.error("sessions error=%s: %s", type(error).__name__, error)  # noqa: TRY400  one line

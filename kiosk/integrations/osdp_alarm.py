"""A silent alarm for an access control panel: the reader's input 0 goes on, and off again after some seconds.

A panel that was away hears of it when it is back. No figure, no log and no light of the reader tells of it.
"""

from __future__ import annotations

import math
import threading
from typing import Any

ON_S = 10.0  # that the input is on, from when the panel heard so
AGAIN_S = 2.0  # without the panel's word until it is told once more


class DuressInput:
    """The input. `begin` is safe in any thread; the others are the line's."""

    def __init__(self, library: Any) -> None:
        """Take libosdp's module."""
        self._library, self._lock = library, threading.Lock()
        self._is_wanted = self._is_on = False
        self._off_at, self._told_at = math.inf, -math.inf

    def begin(self) -> None:
        """Raise the alarm."""
        with self._lock:
            self._is_wanted, self._off_at, self._told_at = True, math.inf, -math.inf

    def to_tell(self, now: float) -> dict[str, Any] | None:
        """Return what the panel is to be told now, monotonic s; None: nothing."""
        with self._lock:
            if now >= self._off_at:
                self._is_wanted, self._off_at = False, math.inf
            if self._is_wanted is self._is_on and not (self._is_wanted and self._off_at == math.inf):
                return None
            if now - self._told_at < AGAIN_S:
                return None
            self._told_at = now
            return {
                "event": self._library.Event.Status,
                "type": self._library.StatusReportType.Input,
                "report": bytes([self._is_wanted]),
            }

    def note_fetched(self, event: dict[str, Any], *, is_taken: bool) -> bool:
        """Note that the panel has heard, or has not; say whether the event was of this input."""
        if event["event"] != self._library.Event.Status:
            return False
        with self._lock:
            if is_taken:
                self._is_on = bool(event["report"][0])
                self._off_at = self._told_at + ON_S if self._is_on and self._is_wanted else math.inf
                self._told_at = -math.inf
        return True

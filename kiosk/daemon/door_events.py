"""What the door did: published, and put into the decision log; what the store does not take now waits."""

from __future__ import annotations

import logging
import threading
import time

from kiosk.daemon.pace import Pace
from kiosk.daemon.wiring import Parts
from kiosk.entrance.news import Topic
from kiosk.errors import StoreError
from kiosk.rules.conditions import Condition

log = logging.getLogger("kiosk.daemon")


class DoorEvents:
    """Fetches what the door did. Safe in several threads."""

    def __init__(self, parts: Parts, pace: Pace) -> None:
        """Take the parts; without a door there is nothing to fetch, only acts of before that wait."""
        self._doorway, self._store, self._monitor = parts.doorway, parts.device.store, parts.monitor
        self._news, self._clock, self._pace = parts.news, parts.clock, pace
        self._publishing = threading.Lock()

    def record(self) -> None:
        """Publish what the door did since the last call, and record it."""
        with self._publishing:
            self._publish()
        try:  # a stop does not wait for a thread in a slow disk
            self._doorway.acts.record(self._store, self._clock(), wait_s=self._pace.slack_s)
        except StoreError as error:
            self._monitor.hold(Condition.STORE_UNREADABLE, str(error))

    def _publish(self) -> None:
        state = self._doorway.door.state.value if self._doorway.door is not None else ""
        for event in self._doorway.events():
            log.info("door what=%s decision=%s", event.what.value, event.decision)
            self._news.publish(
                Topic.DOOR,
                {
                    "what": event.what.value,
                    "state": state,
                    "decision": event.decision,
                    "at": self._clock() - (time.monotonic() - event.at),
                },
            )

"""What the door did: published, and put into the decision log; what the store does not take now waits."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from kiosk.daemon.pace import Pace
from kiosk.daemon.wiring import Parts
from kiosk.door.door import Door, DoorEvent, Happened
from kiosk.entrance.news import Topic
from kiosk.errors import StoreError
from kiosk.rules.conditions import Condition
from kiosk.store.chain import Kind

UNRECORDED_KEPT = 1000  # door events that wait for the store to take them again

RECORDED = frozenset(
    {
        Happened.RELAY_ON,
        Happened.PULSE_CUT,
        Happened.FORCED_OPEN,
        Happened.DOOR_OPEN_TOO_LONG,
        Happened.EXIT_PRESSED,
        Happened.DOOR_FAULT,
        Happened.FAULT_OVER,
    }
)
"""What the door did that the decision log keeps."""

log = logging.getLogger("kiosk.daemon")


class DoorEvents:
    """Fetches what the door did. Safe in several threads."""

    def __init__(self, parts: Parts, pace: Pace) -> None:
        """Take the parts; without a door there is nothing to fetch."""
        self._door, self._store, self._monitor = parts.door, parts.device.store, parts.monitor
        self._news, self._clock, self._pace = parts.news, parts.clock, pace
        self._unrecorded: deque[DoorEvent] = deque(maxlen=UNRECORDED_KEPT)
        self._recording = threading.Lock()

    def record(self) -> None:
        """Publish what the door did since the last call, and record it."""
        if self._door is None:
            return
        if not self._recording.acquire(timeout=self._pace.slack_s):  # a stop does not wait for a thread in a slow disk
            return
        try:
            self._publish(self._door)
            self._store_all()
        finally:
            self._recording.release()

    def _publish(self, door: Door) -> None:
        for event in door.events():
            log.info("door what=%s decision=%s", event.what.value, event.decision)
            self._news.publish(
                Topic.DOOR,
                {
                    "what": event.what.value,
                    "state": door.state.value,
                    "decision": event.decision,
                    "at": self._clock() - (time.monotonic() - event.at),
                },
            )
            if event.what in RECORDED:
                self._unrecorded.append(event)

    def _store_all(self) -> None:
        while self._unrecorded:
            event = self._unrecorded[0]
            details = {"what": event.what.value, **({"of": event.decision} if event.decision else {})}
            try:
                self._store.record_act(Kind.DOOR, details=details, actor="door")
            except StoreError as error:
                self._monitor.hold(Condition.STORE_UNREADABLE, str(error))
                return
            self._unrecorded.popleft()

"""The door from the first second to the last: it is older than the kiosk that decides, and outlives it.

Made from [door] alone, before store and networks. From then on the exit button is obeyed, and a release: by an operator
whom the API knows, or by root on the device (door_socket.py). The door opens first; the act is recorded after, or once
the store takes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kiosk.door.door import EVENTS_KEPT, Door, DoorEvent, Happened
from kiosk.door.guard import Guard
from kiosk.door.lines import Lines
from kiosk.errors import RefusedError, StoreError
from kiosk.rules.conditions import POLICY, Condition
from kiosk.rules.grant import Refusal, RefusalReason
from kiosk.settings.sections import DoorSettings
from kiosk.store.chain import Kind
from kiosk.store.store import Store
from kiosk.store.unrecorded import Act, UnrecordedActs

RECORDED = frozenset(
    {
        Happened.RELAY_ON,
        Happened.PULSE_CUT,
        Happened.FORCED_OPEN,
        Happened.DOOR_OPEN_TOO_LONG,
        Happened.EXIT_PRESSED,
        Happened.FIRE_RELEASE,
        Happened.FIRE_OVER,
        Happened.DOOR_FAULT,
        Happened.FAULT_OVER,
    }
)
"""What the door did that the decision log keeps."""

log = logging.getLogger("kiosk.daemon")


def nobody_decides() -> tuple[str, ...]:
    """Return the state of a door without a kiosk: no decision opens it."""
    return (Condition.STARTING.value,)


class Doorway:
    """A door, and the acts at it. Safe in several threads."""

    def __init__(self, door: Door | None, acts: UnrecordedActs, *, clock: Callable[[], float]) -> None:
        """Take the parts.

        Args:
            door: started; None for a kiosk that drives none.
            acts: those that the log has not taken yet.
            clock: s UTC.
        """
        self.door, self.acts = door, acts
        self._clock = clock
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._beside: Callable[[], bool] | None = None  # releases what opens beside the door
        self._happened: deque[DoorEvent] = deque(maxlen=EVENTS_KEPT)  # and was not published yet

    def connect(self, store: Store | None) -> None:
        """Record acts there from now on; None: they wait."""
        with self._lock:
            self._store = store
        if store is None:
            if self.door is not None:
                self.door.connect(nobody_decides, POLICY)
            return
        self.take_room()

    def release_too(self, beside: Callable[[], bool] | None) -> None:
        """Have releases switch on this relay too, a reader's; it says whether it is heard."""
        self._beside = beside

    def take_room(self) -> None:
        """Take the room that waiting acts want, while the disk has some."""
        try:
            self.acts.prepare()
        except OSError as error:
            log.warning("unrecorded reserve=none reason=%r", error.strerror)

    def release(self, *, actor: str) -> None:
        """Open the door for one pulse, whatever the kiosk thinks of itself; then record it, now or later.

        Raises:
            RefusedError: there is no door, or it cannot be driven.
        """
        beside = self._beside
        if self.door is None and beside is None:
            raise RefusedError("this kiosk drives no door; set [door] chip and relay")
        act = Act(Kind.RELEASE, self._clock(), actor=actor)
        refusal = self.door.release(act.request_id) if self.door is not None else None  # before everything else
        if beside is not None and not beside() and refusal is None:
            refusal = Refusal(RefusalReason.LOG_ONLY, (Condition.READER_LOST.value,))
        if refusal is not None:
            why = " ".join((refusal.reason.value, *refusal.states))
            act = Act(act.kind, act.at, {"refused": why}, actor, act.request_id)
        is_recorded = self.record(act)
        log.info(
            "release actor=%s request_id=%s opened=%s recorded=%s", actor, act.request_id, refusal is None, is_recorded
        )
        if refusal is not None:
            raise RefusedError(f"the door was not opened: {why}")

    def events(self) -> list[DoorEvent]:
        """Return what the door did since the last call; what belongs into the log waits for it from here on."""
        self._collect()
        with self._lock:
            happened = list(self._happened)
            self._happened.clear()
        return happened

    def _collect(self) -> None:
        """Have what the door did wait for the log, before whatever comes after it."""
        with self._lock:
            for event in self.door.events() if self.door is not None else []:
                self._happened.append(event)
                if event.what in RECORDED:
                    at = self._clock() - (time.monotonic() - event.at)
                    details = {"what": event.what.value, **({"of": event.decision} if event.decision else {})}
                    self.acts.add(Act(Kind.DOOR, at, details, "door"))

    def keep(self) -> None:
        """While no kiosk records: keep what the door did for the one that will."""
        for event in self.events():
            log.info("door what=%s decision=%s", event.what.value, event.decision)
        self.acts.keep()

    def close(self) -> None:
        """Let go of the door, the last thing of all."""
        if self.door is not None:
            self.door.close()
        self.keep()

    def record(self, act: Act) -> bool:
        """Record an act after those that wait; say whether the log has it, or it waits too."""
        self._collect()
        self.acts.add(act)
        store = self._store
        if store is None:
            self.acts.keep()
            return False
        try:
            self.acts.record(store, self._clock())
        except StoreError as error:
            log.warning("unrecorded acts=%d reason=%r", len(self.acts), str(error))
            return False
        return True


def open_doorway(
    lines: Lines | None, settings: DoorSettings, directory: Path, *, clock: Callable[[], float], is_shared: bool
) -> Doorway:
    """Take a door's lines and obey its exit button from now on; `Doorway.door.close` ends that.

    Args:
        lines: the door's; None: there is none.
        settings: section [door].
        directory: the state directory, where acts wait for the log.
        clock: s UTC.
        is_shared: whether the lines work in a child process, so that a second guard can end a pulse. Then this is
            called before any thread is started.

    Raises:
        DoorError: the lines cannot be driven.
    """
    door = None
    if lines is not None:
        guard = Guard(lines) if is_shared else None
        door = Door(lines, settings, clock=time.monotonic, states=nobody_decides, guard=guard)
        door.start()
    doorway = Doorway(door, UnrecordedActs(directory), clock=clock)
    if directory.is_dir():  # else there is no store yet
        doorway.take_room()
    return doorway

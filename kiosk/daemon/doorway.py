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

from kiosk.daemon.lockdown import LockdownKeeper
from kiosk.door.door import Door
from kiosk.door.guard import Guard
from kiosk.door.inputs import DoorEvent, Happened
from kiosk.door.lines import Lines
from kiosk.door.mechanics import EVENTS_KEPT
from kiosk.errors import RefusedError, StoreError
from kiosk.rules.conditions import POLICY, Condition
from kiosk.rules.grant import Refusal, RefusalReason
from kiosk.rules.lockdown import Lockdown
from kiosk.settings.door import DoorSettings
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
        Happened.FREE,
        Happened.FREE_OVER,
        Happened.LOCKDOWN_SWITCHED,
        Happened.INNER_RELAY_ON,
        Happened.INNER_FORCED_OPEN,
        Happened.INNER_OPEN_TOO_LONG,
        Happened.INNER_KEPT_SHUT,
        Happened.DOOR_FAULT,
        Happened.FAULT_OVER,
    }
)
"""What the door did that the decision log keeps."""

SWITCH = "switch"  # who locks the door down by the wire, in the log

log = logging.getLogger("kiosk.daemon")


def nobody_decides() -> tuple[str, ...]:
    """Return the state of a door without a kiosk: no decision opens it."""
    return (Condition.STARTING.value,)


class Doorway:
    """A door, and the acts at it. Safe in several threads."""

    def __init__(self, door: Door | None, directory: Path, *, clock: Callable[[], float]) -> None:
        """Take the parts.

        Args:
            door: started; None for a kiosk that drives none.
            directory: the state directory: acts that the log has not taken yet, and lockdowns.
            clock: s UTC.
        """
        self.door, self.acts = door, UnrecordedActs(directory)
        self.lockdown = LockdownKeeper(directory, clock=clock, record=self.record)
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
            self.lockdown.take_room()
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

    def lift_lockdown(self, *, actor: str) -> tuple[Lockdown, ...]:
        """Lift every lockdown; return them.

        Raises:
            RefusedError: none holds, or the wired switch still asks for one.
            StoreError: it cannot be kept that they are lifted, so they hold on.
        """
        if self.door is not None and self.door.is_switched:
            raise RefusedError("the wired switch still locks the door down: switch it off, or mend its wire, first")
        return self.lockdown.lift(actor=actor)

    def events(self) -> list[DoorEvent]:
        """Return what the door did since the last call; what belongs into the log waits for it from here on."""
        self._collect()
        with self._lock:
            happened = list(self._happened)
            self._happened.clear()
        if self.door is not None and any(one.what is Happened.LOCKDOWN_SWITCHED for one in happened):
            try:
                self.lockdown.begin(actor=SWITCH)
            except StoreError as error:
                log.warning("lockdown kept=False reason=%r", str(error))
            self.door.obey_switch()
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
    doorway = Doorway(door, directory, clock=clock)
    if directory.is_dir():  # else there is no store yet
        doorway.take_room()
    return doorway

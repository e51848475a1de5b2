"""The lockdowns of a kiosk: begun by an operator, a wire or the fleet, kept over a power cut, lifted by an account.

Older than the kiosk that decides, as the door is. A lockdown closes first, is kept, and is recorded then; a lift is
recorded first. What is kept lies in a file whose room was taken beforehand; one that cannot be read is a lockdown.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from kiosk.errors import RefusedError, StoreError
from kiosk.health.monitor import Monitor
from kiosk.rules.conditions import Condition
from kiosk.rules.lockdown import UNREADABLE, Lockdown, Lockdowns, read_lockdowns
from kiosk.store.chain import Kind
from kiosk.store.durable import ReservedFile
from kiosk.store.unrecorded import Act

NAME = "lockdown"
SLOT_BYTES = 1 << 17
MOST_BYTES = SLOT_BYTES - 100  # of a text in it, beside its head
MOST_NAMES = 200
SENTENCE = (
    "The door is locked down: it opens outward, for the groups of [passage] lockdown_groups, and by an operator's "
    "release. An operator lifts it on the page, or root on the device: `kiosk door lift --by NAME`."
)
SPOILT = "What was kept of lockdowns cannot be read, so the door is locked down until an operator lifts it."

log = logging.getLogger("kiosk.daemon")


class LockdownKeeper:
    """The lockdowns known here. Safe in several threads."""

    def __init__(self, directory: Path, *, clock: Callable[[], float], record: Callable[[Act], bool]) -> None:
        """Read what was kept.

        Args:
            directory: of the state.
            clock: s UTC.
            record: has an act recorded, now or later.
        """
        self._file = ReservedFile(directory / NAME, SLOT_BYTES)
        self._clock, self._record = clock, record
        self._lock, self._acting = threading.Lock(), threading.Lock()
        self._monitor: Monitor | None = None
        self._changed: Callable[[], None] = lambda: None
        self._names: dict[str, str] = {}  # of accounts of other kiosks; never kept, as names are sealed everywhere else
        self._known = self._read()

    @property
    def known(self) -> Lockdowns:
        """What was begun and lifted."""
        return self._known

    def connect(self, monitor: Monitor | None) -> None:
        """Hold the state of a lockdown there from now on; None: nobody decides, so nothing is to be closed."""
        with self._lock:
            self._monitor = monitor
            self._show()

    def listen(self, changed: Callable[[], None]) -> None:
        """Have `changed` called with each change, by the thread that makes it; the fleet tells the others."""
        self._changed = changed

    def take_room(self) -> None:
        """Take the room that a full disk will want; an `OSError` says that there is none."""
        self._file.prepare()

    def begin(self, *, actor: str, reason: str = "", is_fleet_wide: bool = False) -> Lockdown:
        """Lock the door down.

        Raises:
            ValueError: the reason is no text for a screen.
            StoreError: it holds, and a power cut would end it, as it cannot be kept.
        """
        act = Lockdown(str(uuid.uuid4()), actor, self._clock(), is_fleet_wide=is_fleet_wide, reason=reason.strip())
        self._take(self._known.with_act(act))
        try:
            self._keep()
        finally:
            details = {"is_locked_down": True, "lockdown": act.id, "is_fleet_wide": is_fleet_wide}
            self._record(Act(Kind.POLICY, act.at, {**details, **({"reason": act.reason} if act.reason else {})}, actor))
            log.warning("lockdown begun=%s actor=%s fleet=%s", act.id, actor, is_fleet_wide)
            self._changed()
        return act

    def lift(self, *, actor: str) -> tuple[Lockdown, ...]:
        """Lift every lockdown that holds, those of the fleet with them; return them.

        Raises:
            RefusedError: none holds.
            StoreError: it cannot be kept that they are lifted, so they hold on.
        """
        with self._acting:
            lifted = self._known.in_force
            if not lifted:
                raise RefusedError("the door is not locked down")
            ids = [one.id for one in lifted]
            self._record(Act(Kind.POLICY, self._clock(), {"is_locked_down": False, "lockdowns": ids}, actor))
            self._write(self._known.lift(ids))
            self._take(Lockdowns(lifted=frozenset(ids)))
        log.warning("lockdown lifted=%s actor=%s", ",".join(ids), actor)
        self._changed()
        return lifted

    def heard_name(self, account: str) -> str | None:
        """Return the name of another kiosk's account, as the fleet told it since this process began."""
        return self._names.get(account)

    def hear(self, told: Lockdowns, *, kiosk: str, names: Mapping[str, str] | None = None) -> None:
        """Take what another kiosk of the fleet says, and the names of the accounts in it.

        Raises:
            StoreError: it cannot be kept; it holds all the same.
        """
        self._names = dict([*self._names.items(), *(names or {}).items()][-MOST_NAMES:])
        before, told = self._known, told.said_by(kiosk)
        if (after := before.join(told)) == before:
            return
        begun = [one for one in after.in_force if one.id not in before.begun]
        lifted = [one for one in before.in_force if one.id in after.lifted]
        self._take(told)
        for one in begun:
            details = {"is_locked_down": True, "lockdown": one.id, "is_fleet_wide": True, "by": one.by}
            self._record(Act(Kind.POLICY, self._clock(), details, f"fleet:{kiosk}"))
            log.warning("lockdown heard=%s kiosk=%s", one.id, kiosk)
        if lifted:
            ids = [one.id for one in lifted]
            details = {"is_locked_down": False, "lockdowns": ids}
            self._record(Act(Kind.POLICY, self._clock(), details, f"fleet:{kiosk}"))
            log.warning("lockdown lifted=%s kiosk=%s", ",".join(ids), kiosk)
        self._keep()

    def _take(self, more: Lockdowns) -> None:
        """Have it in force at once, beside what is known."""
        with self._lock:
            self._known = self._known.join(more).pruned()
            self._show()

    def _show(self) -> None:
        if self._monitor is None:
            return
        if self._known.is_locked:
            self._monitor.hold(Condition.LOCKDOWN, SPOILT if self._known.is_spoilt else SENTENCE)
        else:
            self._monitor.end(Condition.LOCKDOWN)

    def _keep(self) -> None:
        with self._acting:  # whole words, one after the other: the last one that was kept is the one in force
            self._write(self._known)

    def _write(self, known: Lockdowns) -> None:
        try:
            self._file.write(json.dumps(known.fitted(MOST_BYTES).as_dict()))
        except (OSError, ValueError) as error:
            raise StoreError(f"{self._file.path}: {error}; make room, or make the state directory writable") from error

    def _read(self) -> Lockdowns:
        try:
            text = self._file.read()
            if text is None and self._file.path.exists() and any(self._file.path.read_bytes()):
                raise ValueError("no whole text is left of it")
            return Lockdowns() if text is None else read_lockdowns(json.loads(text))
        except (OSError, ValueError, RecursionError) as error:
            log.error("lockdown file=%s reason=%r", self._file.path, str(error))  # noqa: TRY400  expected
            return Lockdowns().with_act(Lockdown(f"{UNREADABLE}-{uuid.uuid4()}", "unknown", self._clock()))

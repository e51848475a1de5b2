"""One door: takes an allowed grant and nothing else, watches the contact, obeys the exit button.

One thread, the supervisor, ends every pulse; it shares no lock with anything that waits, and calls nobody. What
happened is left in a list for the daemon to fetch. A grant is refused while the supervisor does not run. Above all
stands the fire alarm, then the exit button and an operator's release, then a lockdown, then what was decided.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping

from kiosk.door.guard import Guard, NoGuard
from kiosk.door.inputs import DoorEvent, DoorState
from kiosk.door.lines import Lines, Output
from kiosk.door.mechanics import Mechanics
from kiosk.door.signals import Signal
from kiosk.rules.conditions import POLICY, Allowed, Condition, allowed
from kiosk.rules.grant import Grant, Refusal, RefusalReason, may_grant
from kiosk.rules.interlock import Leaf
from kiosk.settings.door import DoorSettings

TICK_S = 0.02  # of the supervisor; a pulse is that much longer at most, a debounced input that much later
LATE_S = 0.25  # without a tick until the supervisor counts as gone
RELEASE_TICKS = 250  # that a release waits for a supervisor that is late; a decision would be stale by then
USED_KEPT = 64  # decisions; half a second brings far fewer, and older ones are refused for their age


class Door:
    """One door. Safe in several threads; `start` it, or call `tick` by hand."""

    def __init__(
        self,
        lines: Lines,
        settings: DoorSettings,
        *,
        clock: Callable[[], float],
        states: Callable[[], Collection[str]] = tuple,
        table: Mapping[str, Allowed] = POLICY,
        late_s: float = LATE_S,
        guard: Guard | None = None,
    ) -> None:
        """Switch everything off.

        Args:
            lines: the door's own from here on.
            settings: pulse, hard maximum, alarms.
            clock: monotonic s, the one that frames are stamped with.
            states: the kiosk's degraded states of now; must not wait.
            table: what each state leaves.
            late_s: without a tick until the supervisor counts as gone, and grants are refused.
            guard: ends a pulse that this process does not; None where the lines are in this process alone.

        Raises:
            DoorError: the lines cannot be driven.
        """
        self._late_s, self._guard = late_s, guard or NoGuard()
        self._lines, self._settings, self._clock, self._states, self.table = lines, settings, clock, states, table
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self.beat = -math.inf
        """When the supervisor looked last, monotonic s; a watchdog should ask."""

        self._is_closed = False
        self._used: deque[str] = deque(maxlen=USED_KEPT)
        self._mechanics = Mechanics(
            lines,
            settings,
            self._guard,
            states=lambda: set(self._states()),
            left=lambda states: allowed(states, self.table),
        )
        self.lamps = self._mechanics.lamps
        lines.set(dict.fromkeys(Output, False))

    def __enter__(self) -> Door:  # noqa: PYI034  typing.Self is not in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the supervisor's thread; grants are taken from its first tick on. Again does nothing."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._supervise, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the supervisor, switch everything off and let go of the lines."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            self._mechanics.relays.forget()
            self._lines.close()
            if not was_closed:
                self._guard.close()

    def connect(
        self, states: Callable[[], Collection[str]], table: Mapping[str, Allowed] = POLICY, late_s: float = LATE_S
    ) -> None:
        """Take grants by these states from now on, as `__init__` does; a door may outlive the kiosk that decides."""
        with self._lock:
            self._states, self.table, self._late_s = states, table, late_s

    def apply(self, table: Mapping[str, Allowed]) -> None:
        """Take another table of what each state leaves."""
        self.table = table

    def open(self, grant: Grant) -> Refusal | None:
        """Close the relay for one pulse, or extend the one that runs; or say why not.

        The guard of rules/grant.py is asked again here, as time went by since the decision.
        """
        with self._lock:
            mechanics = self._mechanics
            states, now = mechanics.states, self._clock()  # after the wait for the lock: neither may be of before
            refusal = may_grant(grant.captured_at, now, states=grant.bound_by(states), table=self.table)
            airlock = mechanics.airlock
            if refusal is None and airlock is not None and airlock.keeps_shut(mechanics.contact.leaf):
                refusal = Refusal(RefusalReason.INTERLOCK)
            if refusal is None:
                refusal = self._pulse_once(now, grant.decision, is_guarded=True)
            if refusal is None and airlock is not None:
                airlock.let_in(grant, now)
            return refusal

    def release(self, act: str) -> Refusal | None:
        """Close the relay for one pulse because an operator says so, whatever the kiosk thinks of itself.

        It waits for a supervisor that is late. `act` is the request_id of the operator's act in the log; it opens once.
        """
        for _ in range(RELEASE_TICKS):
            with self._lock:  # whoever wants out gets out, also where the second guard has died
                refusal = self._pulse_once(self._clock(), act, is_guarded=False)
            is_late = refusal is not None and refusal.reason is RefusalReason.NO_SUPERVISOR
            if not is_late or self._thread is None or self._stop.wait(TICK_S):
                break
        return refusal

    def _pulse_once(self, now: float, decision: str, *, is_guarded: bool) -> Refusal | None:
        if decision in self._used:
            return Refusal(RefusalReason.ALREADY_USED)
        is_watched = 0.0 <= now - self.beat <= self._late_s and (self.is_guarded or not is_guarded)
        if self._is_closed or not is_watched:
            return Refusal(RefusalReason.NO_SUPERVISOR)
        self._used.append(decision)
        is_done = self._mechanics.pulse(now, decision, is_kept=not is_guarded)
        if not is_guarded and self._mechanics.airlock is not None:
            self._mechanics.airlock.let_out(now)
        return None if is_done else Refusal(RefusalReason.LOG_ONLY, (Condition.DOOR_FAULT.value,))

    def keep_free(self, until: float) -> None:
        """Hold the door open for everybody until a time, monotonic s, while no degraded state speaks against it.

        A lease, to be renewed: whoever decides that the door is free may hang. An airlock is never held open.
        """
        with self._lock:
            self._mechanics.free_until = until if self._mechanics.airlock is None else -math.inf

    def obey_switch(self) -> None:
        """Note that the wired switch has become a lockdown, which closes by itself from now on."""
        self._mechanics.switch.is_asked = False

    def show(self, signal: Signal) -> None:
        """Say something with lamps and buzzer; an alarm or a fault of the door goes before it."""
        with self._lock:
            self.lamps.show(signal, self._clock())

    def events(self) -> list[DoorEvent]:
        """Return what happened since the last call, oldest first."""
        with self._lock:
            happened = list(self._mechanics.events)
            self._mechanics.events.clear()
        return happened

    @property
    def state(self) -> DoorState:
        """Where the door is."""
        return self._mechanics.contact.state

    @property
    def let_out_until(self) -> float:
        """Until when exit button or fire alarm let people out, monotonic s; for a strike beside the relay."""
        return self._mechanics.let_out_until

    @property
    def is_unlocked(self) -> bool:
        """Whether a relay is on."""
        return self._mechanics.relays.is_on

    @property
    def is_free(self) -> bool:
        """Whether it is held open for everybody."""
        return self._mechanics.is_free

    @property
    def leaf(self) -> Leaf:
        """What this door says to another one of which only one may be open."""
        return self._mechanics.leaf

    @property
    def is_switched(self) -> bool:
        """Whether the wired switch asks for a lockdown now."""
        return self._mechanics.switch.is_on

    @property
    def is_faulty(self) -> bool:
        """Whether the lines failed and have not recovered."""
        return self._mechanics.is_faulty

    @property
    def is_guarded(self) -> bool:
        """Whether the second guard lives, where there is one."""
        return self._guard.is_alive

    # ---- the supervisor

    def _supervise(self) -> None:
        try:
            while not self._stop.wait(TICK_S):
                self.tick()
        finally:  # whatever ended the loop must not leave the door open
            with self._lock:
                if not self._is_closed:
                    self._mechanics.relays.drive(dict.fromkeys((Output.RELAY, Output.SECOND_RELAY), False), self.beat)

    def tick(self) -> None:
        """End a pulse whose time has come; then look at the inputs and move the lamps on."""
        with self._lock:
            if self._is_closed:
                return
            now = self._clock()
            if not self.beat <= now < math.inf:  # no pulse can be timed by such a clock
                self._mechanics.lose_clock()
            if math.isfinite(now):
                self.beat = now
            self._mechanics.look(now)

"""One door: takes an allowed grant and nothing else, watches the contact, obeys the exit button.

One thread, the supervisor, ends every pulse; it shares no lock with anything that waits, and calls nobody. What
happened is left in a list for the daemon to fetch. A grant is refused while the supervisor does not run.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from kiosk.door.guard import Guard, NoGuard
from kiosk.door.lines import Input, Lines, Output
from kiosk.door.signals import Lamps, Signal
from kiosk.errors import DoorError
from kiosk.rules.conditions import POLICY, Allowed, Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason, may_grant
from kiosk.settings.sections import DoorSettings

TICK_S = 0.02  # of the supervisor; a pulse is that much longer at most, a debounced input that much later
LATE_S = 0.25  # without a tick until the supervisor counts as gone
RELEASE_TICKS = 250  # that a release waits for a supervisor that is late; a decision would be stale by then
USED_KEPT = 64  # decisions; half a second brings far fewer, and older ones are refused for their age
EVENTS_KEPT = 1000  # that nobody fetched; an alarm that bounces all night must not fill the memory


class DoorState(str, Enum):
    """Where the door is, in BACnet's words where it has them."""

    UNKNOWN = "unknown"  # no contact is wired, or it has not settled yet
    CLOSED = "closed"
    OPEN = "open"
    DOOR_OPEN_TOO_LONG = "door_open_too_long"
    FORCED_OPEN = "forced_open"


class Happened(str, Enum):
    """One fact about the door."""

    RELAY_ON = "relay_on"
    RELAY_OFF = "relay_off"
    PULSE_CUT = "pulse_cut"  # it reached the hard maximum
    OPENED = "opened"
    CLOSED = "closed"
    DOOR_OPEN_TOO_LONG = "door_open_too_long"
    FORCED_OPEN = "forced_open"
    EXIT_PRESSED = "exit_pressed"
    FIRE_RELEASE = "fire_release"  # the fire alarm unlocks the door
    FIRE_OVER = "fire_over"
    DOOR_FAULT = "door_fault"
    FAULT_OVER = "fault_over"


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """What happened, when, and by which decision."""

    what: Happened
    at: float  # monotonic s
    decision: str = ""  # of the grant that the pulse belongs to


class Debounce:
    """A contact's state once it has kept still for some time."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._raw: bool | None = None
        self.since = -math.inf  # when the raw state changed last
        self.state: bool | None = None  # None until it has settled once

    def feed(self, raw: bool, now: float) -> bool:  # noqa: FBT001  a reading
        """Take a reading; say whether the settled state changed."""
        if raw is not self._raw or not self.since <= now:  # the second: a clock that went back
            self._raw, self.since = raw, now
        if raw is self.state or now - self.since < self._settle_s:
            return False
        self.state = raw
        return True


class ExitButton(Debounce):
    """The button beside the door."""

    def is_pressed(self, raw: bool, now: float) -> bool:  # noqa: FBT001  a reading
        """Take a reading; say whether somebody just pressed it."""
        is_first = self.state is None  # a wire that is shorted at the start is nobody's press
        return self.feed(raw, now) and self.state is True and not is_first


class Contact:
    """The door's contact, and what its changes mean."""

    def __init__(self, settings: DoorSettings) -> None:
        """Take section [door]."""
        self._settings = settings
        self._settled = Debounce(settings.debounce_s)
        self.state = DoorState.UNKNOWN

    @property
    def since(self) -> float:
        """When the contact changed last, monotonic s."""
        return self._settled.since

    @property
    def is_alarm(self) -> bool:
        """Whether the door stands open as it should not."""
        return self.state in {DoorState.FORCED_OPEN, DoorState.DOOR_OPEN_TOO_LONG}

    @property
    def alarm_since(self) -> float | None:
        """Since when it does, monotonic s; None while it does not."""
        return self.since if self.is_alarm else None

    def watch(self, is_open: bool | None, now: float, excused_until: float) -> Happened | None:  # noqa: FBT001  a reading
        """Take a reading, if there is one; say what it means. An opening up to `excused_until` is nobody's force."""
        if is_open is None:
            return None
        is_first = self._settled.state is None
        changed = self._settled.feed(is_open, now)
        if changed and not is_open:
            self.state = DoorState.CLOSED
            return None if is_first else Happened.CLOSED
        if changed:
            is_excused = is_first or self.since <= excused_until
            self.state = DoorState.OPEN if is_excused else DoorState.FORCED_OPEN
            if not is_first:  # a kiosk that starts beside an open door saw nobody open it
                return Happened.OPENED if is_excused else Happened.FORCED_OPEN
        if self.state is DoorState.OPEN and now - self.since >= self._settings.held_open_s:
            self.state = DoorState.DOOR_OPEN_TOO_LONG
            return Happened.DOOR_OPEN_TOO_LONG
        return None


class FireInput:
    """The fire alarm's contact: while it is on, or its wire is cut, the door is unlocked."""

    def __init__(self, settings: DoorSettings) -> None:
        """Take section [door]."""
        self._settled = Debounce(settings.debounce_s)

    @property
    def is_on(self) -> bool:
        """Whether the door is to be unlocked; at the start too, where a cut wire is nobody's mistake."""
        return self._settled.state is True

    def watch(self, inputs: Mapping[Input, bool], now: float) -> Happened | None:
        """Take the readings; say whether the alarm began or ended."""
        was_on = self.is_on
        if Input.FIRE not in inputs or not self._settled.feed(inputs[Input.FIRE], now) or self.is_on is was_on:
            return None
        return Happened.FIRE_RELEASE if self.is_on else Happened.FIRE_OVER


class Driven:
    """Drives the lines, but only those that change."""

    def __init__(self, lines: Lines) -> None:
        """Nothing was set yet."""
        self._lines, self._set = lines, dict[Output, bool]()

    def drive(self, wanted: Mapping[Output, bool]) -> bool:
        """Set what differs from what was set; say whether it could be done."""
        changed = {output: on for output, on in wanted.items() if self._set.get(output) is not on}
        try:
            if changed:
                self._lines.set(changed)
        except DoorError:
            return False
        self._set |= changed
        return True

    def forget(self) -> None:
        """Set everything anew with the next call."""
        self._set.clear()


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

        self.let_out_until = -math.inf
        """Until when exit button or fire alarm let people out, monotonic s; for a strike beside the relay."""

        self._on_since = self._until = self._off_at = self._excused_until = -math.inf
        self._is_on = self._is_faulty = self._is_closed = False
        self._decision = ""  # that the pulse belongs to; none where the exit button began it
        self._used: deque[str] = deque(maxlen=USED_KEPT)
        self._driven = Driven(lines)
        self._contact, self._exit, self._fire = Contact(settings), ExitButton(settings.debounce_s), FireInput(settings)
        self.lamps = Lamps()
        self._events: deque[DoorEvent] = deque(maxlen=EVENTS_KEPT)
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
            self._is_on = False
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
            states, now = set(self._states()), self._clock()  # after the wait for the lock: neither may be of before
            if self._is_faulty:
                states.add(Condition.DOOR_FAULT.value)
            refusal = may_grant(grant.captured_at, now, states=states, table=self.table)
            return refusal if refusal is not None else self._pulse_once(now, grant.decision, is_guarded=True)

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
        self._pulse(now, decision)
        return Refusal(RefusalReason.LOG_ONLY, (Condition.DOOR_FAULT.value,)) if self._is_faulty else None

    def show(self, signal: Signal) -> None:
        """Say something with lamps and buzzer; an alarm or a fault of the door goes before it."""
        with self._lock:
            self.lamps.show(signal, self._clock())

    def events(self) -> list[DoorEvent]:
        """Return what happened since the last call, oldest first."""
        with self._lock:
            happened, self._events = self._events, deque(maxlen=EVENTS_KEPT)
        return list(happened)

    @property
    def state(self) -> DoorState:
        """Where the door is."""
        return self._contact.state

    @property
    def is_unlocked(self) -> bool:
        """Whether the relay is on."""
        return self._is_on

    @property
    def is_faulty(self) -> bool:
        """Whether the lines failed and have not recovered."""
        return self._is_faulty

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
                    self._drive({Output.RELAY: False}, self.beat)

    def tick(self) -> None:
        """End a pulse whose time has come; then look at the inputs and move the lamps on."""
        with self._lock:
            if self._is_closed:
                return
            now = self._clock()
            if not self.beat <= now < math.inf:  # no pulse can be timed by such a clock
                self._until = self._off_at = self._excused_until = -math.inf
            if math.isfinite(now):
                self.beat = now
            self._end_pulse(now)
            try:
                inputs = self._lines.read()
            except DoorError:
                self._fail(now)
                if self._obey_fire(now):  # nobody said that it is over
                    self._drive({Output.RELAY: True}, now)
                return
            if Input.EXIT in inputs and self._exit.is_pressed(inputs[Input.EXIT], now):
                self._let_out(now)
            self._obey_fire(now)
            excused_until = max(math.inf if self._is_on else self._off_at + self._settings.grace_s, self._excused_until)
            told = self._contact.watch(inputs.get(Input.CONTACT), now, excused_until), self._fire.watch(inputs, now)
            for what in filter(None, told):
                self._note(what, now)
            lit = self.lamps.lit(now, self._contact.alarm_since, is_faulty=self._is_faulty)
            lamps = {output: output in lit for output in Output if output is not Output.RELAY}
            if self._drive(lamps | {Output.RELAY: self._is_on and now < self._ends_at}, now) and self._is_faulty:
                self._is_faulty = False
                self._note(Happened.FAULT_OVER, now)

    def _pulse(self, now: float, decision: str = "") -> None:
        """Begin or extend; the end is set before the relay, so that nothing can come between."""
        self._end_pulse(now)  # after a stall: its time may have come, and the second guard have ended it
        until = now + self._settings.pulse_s
        self.let_out_until = self.let_out_until if decision else until  # nobody decided: a button, or a fire
        if self._is_on:
            self._until = max(self._until, until)
            self._guard.expect(self._ends_at)
            return
        self._on_since, self._until, self._decision, self._is_on = now, until, decision, True
        self._guard.expect(self._ends_at)
        if self._drive({Output.RELAY: True}, now):
            self._note(Happened.RELAY_ON, now, decision)

    @property
    def _ends_at(self) -> float:
        return min(self._until, self._on_since + self._settings.longest_pulse_s)

    def _end_pulse(self, now: float) -> None:
        if not self._is_on or now < self._ends_at:
            return
        is_cut = self._until > self._ends_at
        if self._drive({Output.RELAY: False}, now):  # else tried again with every tick
            self._is_on, self._off_at = False, now
            self._guard.expect(math.inf)
            self._note(Happened.PULSE_CUT if is_cut else Happened.RELAY_OFF, now, self._decision)

    def _let_out(self, now: float) -> None:
        """Obey the exit button: whatever the kiosk thinks of itself, nobody is locked in."""
        self._note(Happened.EXIT_PRESSED, now)
        self._excused_until = now + self._settings.pulse_s + self._settings.grace_s
        if self._settings.exit_opens:
            self._pulse(now)

    def _obey_fire(self, now: float) -> bool:
        """Hold the relay while the alarm is on, above everything and without a hard maximum; say whether it is."""
        if self._fire.is_on:
            self._on_since = now
            self._pulse(now)
        return self._fire.is_on

    def _drive(self, wanted: Mapping[Output, bool], now: float) -> bool:
        """Set what differs from what was set; say whether it could be done."""
        is_done = self._driven.drive(wanted)
        if not is_done:
            self._fail(now)
        return is_done

    def _fail(self, now: float) -> None:
        self._driven.forget()  # nobody knows what arrived: all is set anew
        if not self._fire.is_on:  # a fault ends a pulse, and locks nobody into a fire
            self._until = -math.inf
        if not self._is_faulty:
            self._is_faulty = True
            self._note(Happened.DOOR_FAULT, now)

    def _note(self, what: Happened, at: float, decision: str = "") -> None:
        self._events.append(DoorEvent(what, at, decision))

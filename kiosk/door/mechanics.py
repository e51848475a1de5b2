"""What a door does by itself with every look: pulses end, inputs are obeyed, lamps move on.

Above all stands the fire alarm, then whoever is let out, then a lockdown, then what was decided. Guarded by the lock of
door.py, whose supervisor calls `look`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from kiosk.door.airlock import Airlock
from kiosk.door.guard import Guard, NoGuard
from kiosk.door.inputs import Contact, DoorEvent, ExitButton, FireInput, Happened, LockdownSwitch
from kiosk.door.lines import Input, Lines, Output
from kiosk.door.pulse import Pulse
from kiosk.door.relays import Relays
from kiosk.door.signals import Lamps
from kiosk.errors import DoorError
from kiosk.rules.conditions import Allowed, Condition
from kiosk.rules.interlock import Leaf
from kiosk.settings.door import DoorSettings

EVENTS_KEPT = 1000  # that nobody fetched; an alarm that bounces all night must not fill the memory


class Mechanics:
    """Relays, inputs and lamps of one door."""

    def __init__(
        self,
        lines: Lines,
        settings: DoorSettings,
        guard: Guard | NoGuard,
        *,
        states: Callable[[], set[str]],
        left: Callable[[set[str]], Allowed],
    ) -> None:
        """Take the parts.

        Args:
            lines: the door's.
            settings: section [door].
            guard: ends a pulse that this process does not.
            states: the kiosk's degraded states of now.
            left: what states leave together.
        """
        self._lines, self._settings, self._states, self._left = lines, settings, states, left
        self.relays = Relays(lines, settings, guard, self._note, self._fail)
        self.airlock = Airlock(settings, self.relays, self._may_go_on) if settings.is_airlock else None
        self.contact, self.switch = Contact(settings), LockdownSwitch(settings)
        self._exit, self._fire = ExitButton(settings.debounce_s), FireInput(settings)
        self.lamps = Lamps()
        self.events: deque[DoorEvent] = deque(maxlen=EVENTS_KEPT)
        self.is_free = self.is_faulty = False
        self.free_until = self.let_out_until = self._excused_until = -math.inf

    @property
    def states(self) -> set[str]:
        """The degraded states, those of the door itself with them."""
        states = set(self._states())
        if self.is_faulty:
            states.add(Condition.DOOR_FAULT.value)
        if self.switch.is_on or self.switch.is_asked:
            states.add(Condition.LOCKDOWN.value)
        return states

    @property
    def leaf(self) -> Leaf:
        """What this door says to another one of which only one may be open."""
        return Leaf.OPEN if self.relays.is_on and self.contact.leaf is Leaf.SHUT else self.contact.leaf

    def pulse(self, now: float, decision: str = "", *, is_kept: bool) -> bool:
        """Begin or extend the outer door's pulse; say whether its relay is on."""
        until = now + self._settings.pulse_s
        self.let_out_until = self.let_out_until if decision else until  # nobody decided: a button, or a fire
        return self.relays.begin(self.relays.outer, now, decision, is_kept=is_kept)

    def lose_clock(self) -> None:
        """End everything: no pulse can be timed by such a clock."""
        self.relays.stop()
        self._excused_until = self.free_until = -math.inf

    def look(self, now: float) -> None:
        """End a pulse whose time has come; then look at the inputs and move the lamps on."""
        self.relays.end_over(now)
        try:
            inputs = self._lines.read()
        except DoorError:
            self._fail(now)
            self._obey_fire(now)  # nobody said that it is over
            self._follow(now)
            self.relays.drive(self.relays.kept(now), now)
            return
        if Input.EXIT in inputs and self._exit.is_pressed(inputs[Input.EXIT], now):
            self._let_out(now)
        self._obey_fire(now)
        self._stay_free(now)
        self._watch(inputs, now)
        self._follow(now)
        lit = self.lamps.lit(now, self._alarm_since, is_faulty=self.is_faulty)
        lamps = {output: output in lit for output in Output if output not in {Output.RELAY, Output.SECOND_RELAY}}
        if self.relays.drive(lamps | self.relays.wanted(now), now) and self.is_faulty:
            self.is_faulty = False
            self._note(Happened.FAULT_OVER, now)

    def _watch(self, inputs: Mapping[Input, bool], now: float) -> None:
        """Note what the inputs say, but for the exit button."""
        relays, airlock = self.relays, self.airlock
        told = [self.contact.watch(inputs.get(Input.CONTACT), now, self._excused(relays.outer))]
        told += [self._fire.watch(inputs, now), self.switch.watch(inputs, now)]
        if airlock is not None and relays.inner is not None:
            told.append(airlock.watch(inputs, now, self._excused(relays.inner)))
        for what in filter(None, told):
            self._note(what, now)

    def _excused(self, pulse: Pulse) -> float:
        """Return until when an opening is nobody's force."""
        return max(math.inf if pulse.is_on else pulse.off_at + self._settings.grace_s, self._excused_until)

    @property
    def _alarm_since(self) -> float | None:
        since = [self.contact.alarm_since, None if self.airlock is None else self.airlock.contact.alarm_since]
        return min((one for one in since if one is not None), default=None)

    def _may_go_on(self, exempt: frozenset[str]) -> bool:
        """Say whether whoever was let through one door is let through the next."""
        return self._left(self.states - exempt) is Allowed.OPEN

    def _follow(self, now: float) -> None:
        told = None if self.airlock is None else self.airlock.look(self.contact.leaf, now, is_faulty=self.is_faulty)
        if told is not None:
            self._note(told, now)

    def _let_out(self, now: float) -> None:
        """Obey the exit button: whatever the kiosk thinks of itself, nobody is locked in."""
        self._note(Happened.EXIT_PRESSED, now)
        self._excused_until = now + self._settings.pulse_s + self._settings.grace_s
        if not self._settings.exit_opens:
            return
        if self.airlock is None:
            self.pulse(now, is_kept=True)
        else:
            self._excused_until += self._settings.airlock_s
            self.airlock.let_out(now)

    def _obey_fire(self, now: float) -> None:
        """Hold every relay while the alarm is on, above everything and without a hard maximum."""
        if self._fire.is_on:
            self.relays.outer.renew(now)
            self.pulse(now, is_kept=True)
            if (inner := self.relays.inner) is not None:
                inner.renew(now)
                self.relays.begin(inner, now, is_kept=True)

    def _stay_free(self, now: float) -> None:
        """Hold the relay while the door is free to everybody, and nothing speaks against that."""
        is_open = self._left(self.states) is Allowed.OPEN
        was_free, self.is_free = self.is_free, now < self.free_until and is_open
        if self.is_free:
            self.relays.outer.renew(now)
            self.pulse(now, is_kept=False)
        elif was_free and not is_open:  # at once, as nobody may come in; whoever is let out is let out still
            self.relays.outer.fail()
        if self.is_free is not was_free:
            self._note(Happened.FREE if self.is_free else Happened.FREE_OVER, now)

    def _fail(self, now: float) -> None:
        self.relays.fail()  # nobody knows what arrived: all is set anew; whoever is let out is let out still
        if not self.is_faulty:
            self.is_faulty = True
            self._note(Happened.DOOR_FAULT, now)

    def _note(self, what: Happened, at: float, decision: str = "") -> None:
        self.events.append(DoorEvent(what, at, decision))

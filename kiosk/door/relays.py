"""The relays of a door: pulses begun and ended on the lines, told to the second guard, noted.

The outer door's alone, or two of an airlock. Guarded by the door's lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from kiosk.door.guard import Guard, NoGuard
from kiosk.door.inputs import INNER, Happened
from kiosk.door.lines import Lines, Output
from kiosk.door.pulse import Pulse
from kiosk.errors import DoorError
from kiosk.settings.door import DoorSettings


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


class Relays:
    """Switches relays on and off."""

    def __init__(
        self,
        lines: Lines,
        settings: DoorSettings,
        guard: Guard | NoGuard,
        note: Callable[[Happened, float, str], None],
        fail: Callable[[float], None],
    ) -> None:
        """Take the lines, section [door], the second guard, and who hears what happened and that the lines fail."""
        self._driven, self._guard, self._note, self._fail = Driven(lines), guard, note, fail
        self.outer = Pulse(settings)
        self.inner = Pulse(settings) if settings.is_airlock else None

    @property
    def is_on(self) -> bool:
        """Whether any is on."""
        return self.outer.is_on or (self.inner is not None and self.inner.is_on)

    def begin(self, pulse: Pulse, now: float, decision: str = "", *, is_kept: bool = False) -> bool:
        """Begin a pulse, or extend it; the end is set before the relay, so that nothing can come between.

        Returns:
            Whether the relay is on, as far as the lines say.
        """
        self.end(pulse, now)  # after a stall: its time may have come, and the second guard have ended it
        began = pulse.begin(now, decision, is_kept=is_kept)
        self._expect()
        is_done = self.drive({self._output(pulse): True}, now)
        if began and is_done:
            self._say(pulse, Happened.RELAY_ON, now)
        return is_done

    def end(self, pulse: Pulse, now: float) -> None:
        """Switch a relay off whose time has come."""
        if not pulse.is_over(now):
            return
        is_cut = pulse.is_cut
        if self.drive({self._output(pulse): False}, now):  # else tried again with every tick
            pulse.end(now)
            self._expect()
            self._say(pulse, Happened.PULSE_CUT if is_cut else Happened.RELAY_OFF, now)

    def end_over(self, now: float) -> None:
        """Switch every relay off whose time has come."""
        for pulse in self._pulses:
            self.end(pulse, now)

    def wanted(self, now: float) -> dict[Output, bool]:
        """Return what the relays are to be now."""
        return {self._output(pulse): pulse.is_on and not pulse.is_over(now) for pulse in self._pulses}

    def kept(self, now: float) -> dict[Output, bool]:
        """Return the relays that are on for who is let out, whatever fails."""
        return {
            self._output(pulse): True
            for pulse in self._pulses
            if pulse.is_on and now < pulse.kept_until and not pulse.is_over(now)
        }

    def drive(self, wanted: Mapping[Output, bool], now: float) -> bool:
        """Set what differs from what was set; say whether it could be done."""
        is_done = self._driven.drive(wanted)
        if not is_done:
            self._fail(now)
        return is_done

    def fail(self) -> None:
        """End what a decision began, with the next look; what was set is not known any more."""
        self._driven.forget()
        for pulse in self._pulses:
            pulse.fail()

    def forget(self) -> None:
        """Count every relay as off: the lines are let go of, which switches them off."""
        for pulse in self._pulses:
            pulse.is_on = False

    def stop(self) -> None:
        """End everything, with the next look."""
        for pulse in self._pulses:
            pulse.stop()

    @property
    def _pulses(self) -> tuple[Pulse, ...]:
        return (self.outer,) if self.inner is None else (self.outer, self.inner)

    def _output(self, pulse: Pulse) -> Output:
        return Output.RELAY if pulse is self.outer else Output.SECOND_RELAY

    def _say(self, pulse: Pulse, what: Happened, now: float) -> None:
        self._note(what if pulse is self.outer else INNER[what], now, pulse.decision)

    def _expect(self) -> None:
        self._guard.expect(max((pulse.ends_at for pulse in self._pulses if pulse.is_on), default=math.inf))

"""Fakes that ship: driven like the world, for tests, demonstrations and a kiosk without a door."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from kiosk.door.lines import Input, Output
from kiosk.errors import DoorError


class ManualClock:
    """A monotonic clock that goes on when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time, s."""
        return self.now

    def advance(self, seconds: float) -> float:
        """Let time pass; return the new time."""
        self.now += seconds
        return self.now


class RecordedLines:
    """Door lines that remember what was done to them. Safe in several threads."""

    def __init__(self, inputs: Collection[Input] = tuple(Input)) -> None:
        """Wire every output, and the inputs named; they begin off."""
        self.history: list[tuple[Output, bool]] = []
        """Every change of an output, in order."""

        self._outputs = dict.fromkeys(Output, False)
        self._inputs = dict.fromkeys(inputs, False)
        self._changed = threading.Condition()
        self._is_closed = self._is_broken = False

    def set(self, values: Mapping[Output, bool]) -> None:
        """Drive outputs."""
        with self._changed:
            self._check()
            self._put(values)

    def read(self) -> Mapping[Input, bool]:
        """Return the inputs that are wired."""
        with self._changed:
            self._check()
            return dict(self._inputs)

    def close(self) -> None:
        """Switch every output off and let go of the lines."""
        with self._changed:
            self._put(dict.fromkeys(Output, False))
            self._is_closed = True

    # ---- the world's side

    @property
    def lit(self) -> frozenset[Output]:
        """The outputs that are on."""
        with self._changed:
            return frozenset(output for output, on in self._outputs.items() if on)

    @property
    def pulses(self) -> int:
        """How often the relay was switched on."""
        return self.history.count((Output.RELAY, True))

    def turn(self, line: Input, *, on: bool) -> None:
        """Open or close the door, press or release the button."""
        with self._changed:
            self._inputs[line] = on

    def break_down(self) -> None:
        """Fail from now on, as a chip that was unplugged; outputs stay as they are."""
        self._is_broken = True

    def recover(self, *, afresh: bool = False) -> None:
        """Work again; `afresh` with every output off, as a chip that lost its power."""
        self._is_broken = False
        if afresh:
            with self._changed:
                self._put(dict.fromkeys(Output, False))

    def wait_for(self, output: Output, *, on: bool, timeout_s: float) -> bool:
        """Wait until an output is as wished; say whether it became so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._outputs[output] is on, timeout_s)

    def _put(self, values: Mapping[Output, bool]) -> None:
        for output, on in values.items():
            if self._outputs[output] is not on:
                self._outputs[output] = on
                self.history.append((output, on))
        self._changed.notify_all()

    def _check(self) -> None:
        if self._is_closed or self._is_broken:
            raise DoorError("the lines are closed" if self._is_closed else "the lines are broken")

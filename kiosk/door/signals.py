"""What lamps and buzzer say, as patterns in time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from kiosk.door.lines import Output
from kiosk.rules.lights import Colour, Light


class Signal(str, Enum):
    """What the lamps and the buzzer say."""

    IDLE = "idle"
    LOOKING = "looking"
    GRANTED = "granted"
    DECLINED = "declined"
    LOCKED_OUT = "locked_out"
    ALARM = "alarm"  # the door itself: forced, or open too long
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Steps of (seconds, what is on); then the last step stays, or it begins anew."""

    steps: tuple[tuple[float, frozenset[Output]], ...]
    repeats: bool = False

    def at(self, elapsed_s: float) -> frozenset[Output]:
        """Return what is on so long after the beginning."""
        whole = sum(seconds for seconds, _ in self.steps)
        left = elapsed_s % whole if self.repeats else elapsed_s
        for seconds, on in self.steps:
            if left < seconds:
                return on
            left -= seconds
        return self.steps[-1][1]


_DARK, _GREEN, _YELLOW, _RED = frozenset[Output](), {Output.GREEN}, {Output.YELLOW}, {Output.RED}
_BEEP = {Output.BUZZER}
PATTERNS: Mapping[Signal, Pattern] = MappingProxyType(
    {
        Signal.IDLE: Pattern(((1.0, _DARK),)),
        Signal.LOOKING: Pattern(((1.0, frozenset(_YELLOW)),)),
        Signal.GRANTED: Pattern(((0.15, frozenset(_GREEN | _BEEP)), (2.85, frozenset(_GREEN)), (1.0, _DARK))),
        Signal.DECLINED: Pattern(
            (
                (0.1, frozenset(_RED | _BEEP)),
                (0.1, frozenset(_RED)),
                (0.1, frozenset(_RED | _BEEP)),
                (1.7, frozenset(_RED)),
                (1.0, _DARK),
            )
        ),
        Signal.LOCKED_OUT: Pattern(((1.0, frozenset(_RED)), (1.0, _DARK)), repeats=True),
        Signal.ALARM: Pattern(((0.25, frozenset(_RED | _BEEP)), (0.25, _DARK)), repeats=True),
        Signal.FAULT: Pattern(((0.2, frozenset(_YELLOW)), (1.8, _DARK)), repeats=True),
    }
)


OF_A_PANEL: Mapping[Colour, frozenset[Output]] = MappingProxyType(
    {Colour.BLACK: _DARK, Colour.RED: frozenset(_RED), Colour.GREEN: frozenset(_GREEN)}
)
"""Which lamp shows a panel's colour; yellow shows all others."""


class Lamps:
    """What lamps and buzzer say now."""

    def __init__(self) -> None:
        self._signal, self._since = Signal.IDLE, -math.inf
        self._panel: Light | None = None

    def follow(self, light: Light | None) -> None:
        """Show what an access control panel says, instead of the kiosk's own signals; None: the kiosk's own."""
        self._panel = light

    def show(self, signal: Signal, now: float) -> None:
        """Say something from now on, monotonic s; what is said already goes on."""
        if signal is not self._signal:
            self._signal, self._since = signal, now

    def lit(self, now: float, alarm_since: float | None, *, is_faulty: bool) -> frozenset[Output]:
        """Return what is on now; an alarm of the door (since when, monotonic s) or a fault goes before the rest."""
        if alarm_since is not None:
            return PATTERNS[Signal.ALARM].at(max(0.0, now - alarm_since))
        if is_faulty:
            return PATTERNS[Signal.FAULT].at(0.0)
        if (panel := self._panel) is not None:
            sounds = frozenset(_BEEP) if panel.sounds_at(now) else _DARK
            return OF_A_PANEL.get(panel.colour_at(now), frozenset(_YELLOW)) | sounds
        return PATTERNS[self._signal].at(max(0.0, now - self._since))

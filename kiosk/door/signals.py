"""What lamps and buzzer say, as patterns in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from kiosk.door.lines import Output


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

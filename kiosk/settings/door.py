"""[door]: the lines of the relay, the lamps and the inputs of a door, and their times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kiosk.errors import ConfigError
from kiosk.setting import setting

_LINES = (
    "relay",
    "second_relay",
    "green",
    "yellow",
    "red",
    "buzzer",
    "contact",
    "second_contact",
    "exit",
    "fire",
    "lockdown",
)


def _line(sentence: str) -> Any:
    return setting(-1, sentence, low=-1, high=1023, unit="offset")


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """[door]: the lines of the relay, the lamps and the door contact, and their times."""

    chip: str = setting("", "GPIO device of the door, for instance /dev/gpiochip0; empty for no door.")
    relay: int = _line(
        "Line of the relay that releases the lock, as `gpioinfo` numbers it; -1 for none, as for all lines."
    )
    green: int = _line("Line of the green lamp.")
    yellow: int = _line("Line of the yellow lamp.")
    red: int = _line("Line of the red lamp.")
    buzzer: int = _line("Line of the buzzer.")
    contact: int = _line("Line of the door contact; on while the door is open.")
    exit: int = _line("Line of the exit button; on while it is pressed.")
    fire: int = _line(
        "Line of the fire alarm; while it is on, or its wire is cut, the relay stays on, whatever else is the matter."
    )
    second_relay: int = _line(
        "Line of the relay of an airlock's inner door; it opens once the outer one is shut again, which relay opens."
    )
    second_contact: int = _line("Line of the inner door's contact; on while that door is open.")
    lockdown: int = _line(
        "Line of a switch that locks the door down; on, or its wire cut, it does. Only a named account lifts that."
    )
    active_low: tuple[str, ...] = setting(
        ("exit",), "Names of the lines that are on at low level; the kiosk pulls inputs up.", may_be_empty=True
    )
    pulse_s: float = setting(3.0, "How long the relay is on for each opening.", low=0.1, high=30.0, unit="s")
    longest_pulse_s: float = setting(
        10.0, "Longest time the relay stays on when openings follow one another.", low=0.1, high=60.0, unit="s"
    )
    exit_opens: bool = setting(
        True,
        "The exit button switches the relay; false where the button opens the door by itself and is only recorded.",
    )
    debounce_s: float = setting(
        0.05, "How long an input must stay the same before it counts.", low=0.0, high=1.0, unit="s"
    )
    grace_s: float = setting(
        1.0,
        "Time after the relay was switched off in which an opening door is not reported as forced.",
        low=0.0,
        high=30.0,
        unit="s",
    )
    held_open_s: float = setting(
        30.0, "Time after which an open door is reported as open too long.", low=1.0, high=3600.0, unit="s"
    )
    airlock_s: float = setting(
        30.0,
        "Longest time from an opening of an airlock's first door to that of the other.",
        low=3.0,
        high=300.0,
        unit="s",
    )

    @property
    def offsets(self) -> dict[str, int]:
        """The lines that are wired."""
        return {name: getattr(self, name) for name in _LINES if getattr(self, name) >= 0}

    @property
    def is_airlock(self) -> bool:
        """Whether there is a second door, which opens only while the first is shut."""
        return self.second_relay >= 0

    def __post_init__(self) -> None:
        """Refuse a wiring that cannot be."""
        used = list(self.offsets.values())
        if bool(self.chip) != bool(used):
            raise ConfigError("[door]: want both a chip and at least one line, or neither")
        if len(set(used)) < len(used):
            raise ConfigError(f"[door]: two lines have the same offset: {self.offsets}")
        if unknown := sorted(set(self.active_low) - set(_LINES)):
            raise ConfigError(f"[door] active_low: no line {', '.join(unknown)}; the lines are {', '.join(_LINES)}")
        if (self.second_relay >= 0) != (self.second_contact >= 0) or (self.second_relay >= 0 > self.contact):
            raise ConfigError(
                "[door] an airlock needs second_relay, second_contact and contact: without both contacts it opens for "
                "nobody who comes in"
            )
        if self.second_relay >= 0 > self.relay:
            raise ConfigError("[door] second_relay needs relay, which opens the outer door")
        if self.pulse_s > self.longest_pulse_s:
            raise ConfigError(f"[door]: want pulse_s <= longest_pulse_s, got {self.pulse_s} and {self.longest_pulse_s}")

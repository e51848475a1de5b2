"""What a panel has a reader show and sound: OSDP's commands for light and buzzer, as patterns in time. Pure.

Source: SIA OSDP v2.2, osdp_LED and osdp_BUZ. A temporary setting goes before the permanent one until its timer ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

UNIT_S = 0.1  # of every time in these commands
TEMPORARY_END, TEMPORARY_SET = 1, 2  # control codes of a temporary setting
PERMANENT_SET = 1
TONE_OFF = 1  # tone codes: 0 none, 1 off, 2 the default tone


class Colour(IntEnum):
    """A light's colour, by OSDP's number."""

    BLACK = 0
    RED = 1
    GREEN = 2
    AMBER = 3
    BLUE = 4
    MAGENTA = 5
    CYAN = 6
    WHITE = 7


@dataclass(frozen=True, slots=True)
class Blinking:
    """Two colours by turns."""

    on: Colour = Colour.BLACK
    off: Colour = Colour.BLACK
    on_s: float = 0.0
    off_s: float = 0.0
    since: float = -math.inf  # monotonic s

    def at(self, now: float) -> Colour:
        """Return the colour at a time."""
        whole = self.on_s + self.off_s
        if whole <= 0.0 or self.off_s == 0.0:
            return self.on
        return self.on if (now - self.since) % whole < self.on_s else self.off


@dataclass(frozen=True, slots=True)
class Light:
    """The light and the buzzer of a reader, as the panel said last."""

    permanent: Blinking = field(default_factory=Blinking)
    temporary: Blinking = field(default_factory=Blinking)
    temporary_until: float = -math.inf  # monotonic s
    tone: Blinking = field(default_factory=Blinking)  # WHITE: it sounds
    tone_until: float = -math.inf

    def led(self, command: Mapping[str, Any], now: float) -> Light:
        """Return what holds after a command for the light, by libosdp's names of its fields."""
        pattern = Blinking(
            _colour(command["on_color"]),
            _colour(command["off_color"]),
            command["on_count"] * UNIT_S,
            command["off_count"] * UNIT_S,
            now,
        )
        code = command["control_code"]
        if not command["temporary"]:
            kept = pattern if code == PERMANENT_SET else self.permanent
            return Light(kept, self.temporary, self.temporary_until, self.tone, self.tone_until)
        if code == TEMPORARY_SET:
            # a timer of 0 is one that never ends
            until = now + command["timer_count"] * UNIT_S if command["timer_count"] else math.inf
            return Light(self.permanent, pattern, until, self.tone, self.tone_until)
        until = -math.inf if code == TEMPORARY_END else self.temporary_until
        return Light(self.permanent, self.temporary, until, self.tone, self.tone_until)

    def buzzer(self, command: Mapping[str, Any], now: float) -> Light:
        """Return what holds after a command for the buzzer."""
        on_s, off_s = command["on_count"] * UNIT_S, command["off_count"] * UNIT_S
        is_on, times = command["control_code"] > TONE_OFF and on_s > 0.0, command["rep_count"]
        tone = Blinking(Colour.WHITE if is_on else Colour.BLACK, Colour.BLACK, on_s, off_s, now)
        until = now + times * (on_s + off_s) if times else math.inf
        return Light(self.permanent, self.temporary, self.temporary_until, tone, until if is_on else -math.inf)

    def colour_at(self, now: float) -> Colour:
        """Return the light's colour at a time, monotonic s."""
        return (self.temporary if now < self.temporary_until else self.permanent).at(now)

    def sounds_at(self, now: float) -> bool:
        """Say whether the buzzer sounds at a time."""
        return now < self.tone_until and self.tone.at(now) is Colour.WHITE


def _colour(number: int) -> Colour:
    return Colour(number) if number in set(Colour) else Colour.WHITE  # a maker's own: shown, rather than dark

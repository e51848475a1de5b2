"""One relay's time: a pulse begun, extended, cut at the hard maximum. Knows no line."""

from __future__ import annotations

import math

from kiosk.settings.door import DoorSettings


class Pulse:
    """When a relay is on. Guarded by the door's lock."""

    def __init__(self, settings: DoorSettings) -> None:
        """Take section [door]; it is off."""
        self._settings = settings
        self.is_on = False
        self.decision = ""
        """What the pulse belongs to; empty where nobody decided: a button, or a fire."""

        self.on_since = self.off_at = self._until = -math.inf
        self.kept_until = -math.inf
        """Until when neither a fault nor a degraded state ends it, as it lets people out; monotonic s."""

    @property
    def ends_at(self) -> float:
        """When it is over, monotonic s."""
        return min(self._until, self.on_since + self._settings.longest_pulse_s)

    @property
    def is_cut(self) -> bool:
        """Whether it would be over later but for the hard maximum."""
        return self._until > self.ends_at

    def begin(self, now: float, decision: str = "", *, is_kept: bool = False) -> bool:
        """Begin, or extend what runs; say whether it began."""
        until = now + self._settings.pulse_s
        if is_kept:
            self.kept_until = until
        if self.is_on:
            self._until = max(self._until, until)
            return False
        self.on_since, self._until, self.decision, self.is_on = now, until, decision, True
        return True

    def renew(self, now: float) -> None:
        """Have no hard maximum: what holds it on is looked at each time."""
        self.on_since = now

    def is_over(self, now: float) -> bool:
        """Say whether it is on, and its time has come."""
        return self.is_on and not now < self.ends_at  # a time that is no number ends it

    def end(self, now: float) -> None:
        """Note that it was switched off."""
        self.is_on, self.off_at = False, now

    def fail(self) -> None:
        """End it with the next look, as the lines fail; for whoever is let out it lasts as long as it was to."""
        self._until = min(self._until, self.kept_until)

    def stop(self) -> None:
        """End it with the next look, whatever it is: no pulse can be timed by such a clock."""
        self._until = self.off_at = self.kept_until = -math.inf

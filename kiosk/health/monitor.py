"""Which degraded states hold now, since when and why: asked at every frame, found out beside it.

Probes are looked at by a thread of their own; whoever meets a fault says so at once with `hold`. Asking is a read of
a few words, so the relay can ask too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from kiosk.errors import KioskError
from kiosk.rules.conditions import Allowed, Condition, Degradation

Probe = Callable[[], "str | None"]
"""Returns a sentence while its condition holds, else None; a `KioskError` or `OSError` holds too, with its words."""

THERMAL = Path("/sys/class/thermal")
PI_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
PI_NOW = {0: "the supply is too weak", 1: "its clock is held down", 2: "it is throttled", 3: "it is near its limit"}
"""Bits of the firmware's word that speak of now; the higher ones speak of the past. Raspberry Pi documentation."""


class Monitor:
    """The degraded states of a kiosk. Safe in several threads."""

    def __init__(
        self,
        probes: Mapping[Condition, Probe],
        table: Mapping[str, Allowed],
        *,
        now: Callable[[], float],
        publish: Callable[[Condition, str | None], None] = lambda _condition, _sentence: None,
    ) -> None:
        """Take the probes.

        Args:
            probes: by the condition they find; others are held by hand.
            table: what each state leaves, rules/conditions.py's.
            now: seconds UTC.
            publish: as `connect` takes it.
        """
        self.table = table
        self._probes = dict(probes)
        self._now, self._publish = now, publish
        self._lock = threading.Lock()
        self._held: dict[Condition, tuple[str, float]] = {}
        self._counts: dict[Condition, int] = {}
        self._names: tuple[str, ...] = ()

    def watch(self, probes: Mapping[Condition, Probe]) -> None:
        """Look at more probes from now on, by the condition they find."""
        self._probes.update(probes)

    def connect(self, publish: Callable[[Condition, str | None], None]) -> None:
        """Have `publish` called when a state begins (its sentence) or ends (None); it must return soon."""
        self._publish = publish

    def apply(self, table: Mapping[str, Allowed]) -> None:
        """Take another table of what each state leaves."""
        self.table = table

    def states(self) -> tuple[str, ...]:
        """Return the names of what holds."""
        return self._names

    def report(self) -> tuple[Degradation, ...]:
        """Return what holds, in words."""
        with self._lock:
            held = dict(self._held)
        return tuple(
            Degradation(condition.value, sentence, self.table.get(condition.value, Allowed.CLOSED).value, since)
            for condition, (sentence, since) in held.items()
        )

    def count(self, condition: Condition) -> int:
        """Return how often a state was said to hold: whoever looks whether it is over asks before the look."""
        return self._counts.get(condition, 0)

    def hold(self, condition: Condition, sentence: str) -> None:
        """Say that a state holds."""
        with self._lock:
            self._counts[condition] = self.count(condition) + 1
            known = self._held.get(condition)
            if known is not None and known[0] == sentence:
                return
            self._held[condition] = sentence, known[1] if known is not None else self._now()
            self._names = tuple(one.value for one in self._held)
        if known is None:
            self._publish(condition, sentence)

    def end(self, condition: Condition, count: int | None = None) -> None:
        """Say that a state is over; one that did not hold changes nothing.

        Args:
            condition: the state.
            count: what `count` said before the look that found it over: a fault met since then stays.
        """
        with self._lock:
            if count is not None and count != self.count(condition):
                return
            if self._held.pop(condition, None) is None:
                return
            self._names = tuple(one.value for one in self._held)
        self._publish(condition, None)

    def look(self) -> None:
        """Ask every probe."""
        for condition, probe in self._probes.items():
            count = self.count(condition)
            try:
                sentence = probe()
            except (KioskError, OSError) as error:
                sentence = f"{error}"
            if sentence is None:
                self.end(condition, count)
            else:
                self.hold(condition, sentence)


def throttled(hot_c: float, thermal: Path = THERMAL, firmware: Path = PI_THROTTLED) -> str | None:
    """Say why the processor is slowed down, as far as this machine tells; None where nothing is known to be wrong."""
    try:
        word = int(firmware.read_text(encoding="ascii").strip(), 16)
    except (OSError, ValueError):  # no Raspberry Pi, or a kernel without it
        word = 0
    if found := [sentence for bit, sentence in PI_NOW.items() if word >> bit & 1]:
        return f"The processor is slowed down: {', '.join(found)}. Fit a stronger supply or a heat sink."
    hottest = max((_celsius(path) for path in sorted(thermal.glob("thermal_zone*/temp"))), default=0.0)
    if hottest >= hot_c:
        return f"The processor has {hottest:.0f} °C, {hot_c:g} °C is the limit set. Give it air or a heat sink."
    return None


def _celsius(path: Path) -> float:
    try:
        return int(path.read_text(encoding="ascii")) / 1000.0
    except (OSError, ValueError):  # a sensor that is asleep
        return 0.0

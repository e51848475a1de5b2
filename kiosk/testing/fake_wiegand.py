"""A Wiegand reader's pulses, with the troubles of a real line: noise, bounces, and bits that get lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from random import Random

from kiosk.errors import DoorError
from kiosk.rules.cards import Card
from kiosk.rules.wiegand import Pulse

EVERY_S = 0.002  # between two pulses
APART_S = 0.5  # between two cards


class WiegandLine:
    """Two lines whose edges a test gives: what `integrations/wiegand_reader.py` waits at."""

    def __init__(self) -> None:
        """Begin at rest."""
        self._changed = threading.Condition()
        self._pulses: list[Pulse] = []
        self.is_broken = False
        self.now = 0.0

    def wait(self, seconds: float) -> list[Pulse]:
        """Return the edges since the last call, once there are any or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._pulses or self.is_broken, seconds)
            if self.is_broken:
                raise DoorError("the lines are broken")
            came, self._pulses = self._pulses, []
            self.now = max([self.now + seconds, *(pulse.at for pulse in came)])
            return came

    def clock(self) -> float:
        """Return the time of the edges."""
        return self.now

    def close(self) -> None:
        """Do nothing."""

    def pull(self, pulses: list[Pulse]) -> None:
        """Let edges come."""
        with self._changed:
            self._pulses += pulses
            self._changed.notify_all()

    def break_down(self) -> None:
        """Fail from now on."""
        with self._changed:
            self.is_broken = True
            self._changed.notify_all()


class FakeWiegand:
    """A reader that holds cards to itself, one after the other; time is its own."""

    def __init__(self, rng: Random, *, at: float = 100.0, every_s: float = EVERY_S) -> None:
        """Begin at a time, s, with so long between two pulses."""
        self._rng, self._at, self._every_s = rng, at, every_s

    def hold(self, card: Card) -> list[Pulse]:
        """Return the pulses of a card, each up to a tenth of its distance early or late."""
        return list(self._pulses(card.bits))

    def lose(self, card: Card, place: int) -> list[Pulse]:
        """Return the pulses of a card, one of which got lost."""
        return [pulse for number, pulse in enumerate(self.hold(card)) if number != place]

    def bounce(self, card: Card, place: int) -> list[Pulse]:
        """Return the pulses of a card, one of which came twice within microseconds."""
        pulses = self.hold(card)
        again = Pulse(pulses[place].bit, pulses[place].at + 20e-6)
        return [*pulses[: place + 1], again, *pulses[place + 1 :]]

    def noise(self, count: int) -> list[Pulse]:
        """Return pulses of nobody."""
        return list(self._pulses([self._rng.randrange(2) for _ in range(count)]))

    def _pulses(self, bits: list[int] | tuple[int, ...]) -> Iterator[Pulse]:
        self._at += APART_S
        for bit in bits:
            self._at += self._every_s * self._rng.uniform(0.9, 1.1)
            yield Pulse(bit, self._at)

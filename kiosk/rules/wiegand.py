"""Wiegand: the pulses of two lines, by the kernel's time stamps, to a card's bits. Pure.

A reader pulls D0 down for a zero and D1 for a one, some 50 µs each, every 1 to 2 ms; a pause ends the card. Cards of
26, 34 and 37 bits are read, which have parity; a line without it cannot be believed.
Source: SIA AC-01 (1996), signal timing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kiosk.rules.cards import LAYOUTS, LONGEST, Card, decode

CLOSEST_S = 100e-6  # between two pulses; what comes sooner is a bounce or noise on a long wire
PAUSE_S = 0.025  # that ends a card; within one, pulses are 20 ms apart at most


@dataclass(frozen=True, slots=True)
class Pulse:
    """One falling edge."""

    bit: int  # 0 on D0, 1 on D1
    at: float  # s, of the kernel's clock


class WiegandDecoder:
    """Gathers pulses into cards. Every spoilt card is dropped whole and counted: half a card is another person's."""

    def __init__(self) -> None:
        """Wait for the first pulse."""
        self._bits: list[int] = []
        self._at = float("-inf")
        self._is_spoilt = False
        self.spoilt = 0
        """Cards that were dropped: of another length, noise between pulses, a wrong parity bit, time that went back."""

    def feed(self, pulse: Pulse) -> Card | None:
        """Take a pulse; return the card that the pause before it ended, if there was one."""
        card = self.rest(pulse.at)
        since_s = pulse.at - self._at
        if self._bits and since_s < CLOSEST_S:  # too close, on one line or both; or a clock that went back
            self._is_spoilt = True
        self._at = pulse.at
        if len(self._bits) <= LONGEST:  # a line that swings indefinitely fills no memory
            self._bits.append(pulse.bit)
        return card

    def rest(self, now: float) -> Card | None:
        """Say that nothing came until now, s of the same clock; return the card that this pause ended, if any."""
        if not self._bits or now - self._at < PAUSE_S:
            return None
        bits, is_spoilt = tuple(self._bits), self._is_spoilt
        self._bits, self._is_spoilt = [], False
        try:
            if not is_spoilt and len(bits) in LAYOUTS:  # those with parity alone: a lost pulse must not make a number
                return decode(bits)
        except ValueError:
            pass
        self.spoilt += 1
        return None


def cards(pulses: Iterable[Pulse]) -> list[Card]:
    """Return the cards of a whole recording."""
    decoder, last = WiegandDecoder(), float("-inf")
    found = []
    for pulse in pulses:
        found.append(decoder.feed(pulse))
        last = pulse.at
    return [card for card in (*found, decoder.rest(last + PAUSE_S)) if card is not None]

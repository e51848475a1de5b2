"""How much is asked of a face before it counts as a person: the levels, and which challenges each draws.

Pure policy: `off` asks nothing and looks at nothing; `passive` looks at the cues only, a deterrent; `active` asks for
one random challenge; `strict` for two different ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from math import comb
from random import Random
from typing import Protocol

from kiosk.recognition.challenges import FLASH, MOVEMENTS, Challenge, Kind, draw

HOLD_S = (0.2, 0.8)
"""How long a face must look ahead before it is asked, drawn anew each time, so that a recording cannot be timed."""


class Level(str, Enum):
    """What presentation-attack detection demands."""

    OFF = "off"
    PASSIVE = "passive"
    ACTIVE = "active"
    STRICT = "strict"


MOVEMENTS_ONLY = 3  # challenges at level strict without colours
CHALLENGES = {Level.OFF: 0, Level.PASSIVE: 0, Level.ACTIVE: 1, Level.STRICT: 2}
SENTENCES = {
    Level.OFF: "Photographs and screens are not detected: whoever holds up a picture is taken for its person.",
    Level.PASSIVE: "The picture alone is searched for photographs and screens: a deterrent, which a good copy passes.",
    Level.ACTIVE: "Each person answers one random challenge; a recording that happens to fit can pass.",
    Level.STRICT: "Each person answers two different random challenges, or three movements where no colours are shown.",
}
"""One true sentence of each level, for health and the operator's page."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was asked so far in a presentation."""

    met: tuple[Challenge, ...] = ()
    failed: tuple[Challenge, ...] = ()


class Asker(Protocol):
    """Chooses the challenges of one presentation."""

    count: int  # how many must be met
    tries: int  # how many may be asked in vain before it is over

    def next(self, tried: Tried, *, can_open: bool) -> Challenge:
        """Return what to ask next.

        Args:
            tried: what was asked so far.
            can_open: whether the mouth is closed, so that its opening would be seen.
        """

    def hold_s(self) -> float:
        """Return how long the face must look ahead before it is asked."""


class RandomAsker:
    """Draws at random; see `Level`.

    Colours alone cannot tell a face from paper, so they never stand alone: strict asks for them and a movement, in
    random order. Where they do not show on the face, as in bright light, strict stays unanswered: whoever holds up a
    screen could else choose to be asked for movements only. Where they are switched off, strict asks for three
    movements of both kinds.
    """

    def __init__(self, level: Level, rng: Random, *, has_flashes: bool = True, tries: int = 2) -> None:
        """Begin a presentation.

        Args:
            level: of the kiosk.
            rng: a cryptographic one (`random.SystemRandom`) at the door, a seeded one in a test.
            has_flashes: False where the screen must not flash, or where it is known to be too bright for it.
            tries: how many challenges may be failed.
        """
        self._has_flashes = has_flashes
        self.count = CHALLENGES[level] if level is not Level.STRICT or has_flashes else MOVEMENTS_ONLY
        self.tries = tries
        self._rng = rng

    def next(self, tried: Tried, *, can_open: bool) -> Challenge:
        """Draw what to ask next."""
        return draw(self._choices(tried, can_open=can_open), self._rng, avoid=tried.failed)

    def _choices(self, tried: Tried, *, can_open: bool) -> Sequence[Challenge]:
        movements: Sequence[Challenge] = MOVEMENTS
        met = [challenge.kind for challenge in tried.met]
        if self.count == MOVEMENTS_ONLY and len(met) == self.count - 1 and len(set(met)) == 1:
            movements = [challenge for challenge in MOVEMENTS if challenge.kind not in met]
        if not can_open:  # a smile; where nothing else is left it is asked all the same
            movements = [challenge for challenge in movements if challenge.kind is not Kind.MOUTH] or movements
        if self.count != CHALLENGES[Level.STRICT]:
            return movements
        if not met:
            return [*movements, FLASH]
        return movements if Kind.FLASH in met else [FLASH]

    def hold_s(self) -> float:
        """Draw how long the face must look ahead."""
        return self._rng.uniform(*HOLD_S)


class ScriptedAsker:
    """Asks what a recorded clip was asked; one try, without a wait."""

    tries = 1

    def __init__(self, challenges: Sequence[Challenge]) -> None:
        self._challenges = tuple(challenges)
        self.count = len(self._challenges)

    def next(self, tried: Tried, *, can_open: bool) -> Challenge:  # noqa: ARG002  the clip is what it is
        """Return the next of the clip's challenges."""
        return self._challenges[len(tried.met)]

    def hold_s(self) -> float:
        """Ask at once."""
        return 0.0


def guessing_chance(movements: int = 1, tries: int = 2) -> float:
    """Return how often a recording that turns both ways and opens its mouth, in turn, meets the movements by chance.

    Whatever is asked, the recording's next movement is it in one of three cases, and another one loses a try. A lit
    screen never meets the colours, so strict with colours has no such chance.

    >>> round(guessing_chance(1, 1), 3), round(guessing_chance(1), 3), round(guessing_chance(3), 3)
    (0.333, 0.556, 0.111)
    """
    hit = Fraction(1, 3)
    return float(sum(comb(movements - 1 + lost, lost) * hit**movements * (1 - hit) ** lost for lost in range(tries)))

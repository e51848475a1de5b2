"""The colours that the screen shows for a challenge: drawn here, shown by a browser, which says when they began."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

from kiosk.recognition.flash import Shown, draw_colours
from kiosk.recognition.judgement import Prompt

LATEST_S = 1.0  # by which a screen may show its first colour late; later, it is another presentation's


class Colours:
    """Of one kiosk's screen. Safe in several threads."""

    def __init__(self, rng: Random, exposure: Callable[[], str]) -> None:
        """Wait for the first challenge.

        Args:
            rng: draws their order.
            exposure: who chooses the camera's exposure now.
        """
        self._rng, self._exposure = rng, exposure
        self._lock = threading.Lock()  # guards what the screen says
        self._from: tuple[int, float] | None = None  # the attempt whose first colour was shown, and when
        self._light: str | None = None

    def draw(self, start_s: float) -> tuple[Shown, ...]:
        """Draw colours that are to begin at a time, s."""
        with self._lock:
            self._from = None
        return draw_colours(self._rng, start_s)

    def note_shown(self, attempt: int, at: float) -> None:
        """Take the screen's word that it shows the first colour of an attempt's flash now, monotonic s."""
        with self._lock:
            self._from = attempt, at

    def shown(self, prompt: Prompt | None) -> tuple[Shown, ...]:
        """Return when the prompt's colours were shown, by the screen's own word; nothing where it gave none."""
        if prompt is None or not prompt.colours:
            return ()
        self._light = self._exposure()
        with self._lock:
            said = self._from
        if said is None or said[0] != prompt.attempt:
            return ()
        late_s = said[1] - prompt.colours[0].at_s
        if not 0.0 < late_s <= LATEST_S:
            return ()
        return tuple(Shown(one.at_s + late_s, one.colour) for one in prompt.colours)

    def take_exposure(self) -> str | None:
        """Return who chose the exposure under the last colours, once; None where none were shown since."""
        light, self._light = self._light, None
        return light

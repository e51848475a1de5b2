"""Whose presentations could not be told lately: who was asked in vain too often is shown the other way in at once.

A recording that happens to fit a challenge fits it sooner or later; so nobody guesses without end. Faces are kept in
memory alone, for minutes, and no name with them.
"""

from __future__ import annotations

from collections.abc import Callable

from kiosk.types import Template

MOST_KEPT = 64  # faces; the oldest goes


class Undetermined:
    """Presentations that ended undetermined after something was asked. One thread's."""

    def __init__(self, is_same: Callable[[Template, Template], bool], *, presentations: int, forget_s: float) -> None:
        """Begin with nobody.

        Args:
            is_same: whether two templates are one person's.
            presentations: of one face that may end so before it is asked no more.
            forget_s: time after which one of them no longer counts.
        """
        self._is_same, self._presentations, self._forget_s = is_same, presentations, forget_s
        self._kept: list[tuple[Template, float]] = []  # and when, s

    def note(self, probe: Template, now: float) -> None:
        """Count a presentation of this face; monotonic s."""
        self._kept = [*self._recent(now), (probe, now)][-MOST_KEPT:]

    def is_spent(self, probe: Template, now: float) -> bool:
        """Whether this face is not to be asked again for now; monotonic s."""
        alike = sum(self._is_same(probe, other) for other, _ in self._recent(now))
        return alike >= self._presentations

    def _recent(self, now: float) -> list[tuple[Template, float]]:
        return [one for one in self._kept if now - one[1] < self._forget_s]

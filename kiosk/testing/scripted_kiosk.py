"""A running kiosk without camera, door or threads: for whoever tries the API or a client of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kiosk.entrance.news import Broadcast, Consent, Health, Still
from kiosk.errors import RefusedError
from kiosk.rules.conditions import Degradation
from kiosk.store.subjects import Details
from kiosk.types import Template

JPEG = b"\xff\xd8\xff\xd9"  # the shortest thing that begins and ends as one


class ScriptedKiosk:
    """A `RunningKiosk` that does what a test says and remembers what it was asked."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Take the wall clock, s UTC; with `refusal` set, every request is refused in these words."""
        self.news = Broadcast(now)
        self.asked: list[tuple[Any, ...]] = []
        self.refusal: str | None = None
        self.picture: Still | None = Still(JPEG, (640, 480), 0.1, ())
        self.states: tuple[Degradation, ...] = ()
        self.figures: dict[str, Any] = {"camera": {"fps": 30}}

    def health(self) -> Health:
        """Return how it is: armed while `states` is empty."""
        return Health(not self.states, "identify", self.states, self.figures)

    def still(self) -> Still | None:
        """Return `picture`."""
        return self.picture

    def claim(self, code: str, *, actor: str) -> float:
        """Remember a code."""
        self._ask("claim", code, actor)
        return 30.0

    def enter_pin(self, digits: str) -> None:
        """Remember that a PIN was entered, as how many digits."""
        self._ask("pin", len(digits))

    def show_card(self, card: str) -> bool:
        """Remember a card."""
        self._ask("card", card)
        return True

    def release(self, *, actor: str) -> None:
        """Remember a release."""
        self._ask("release", actor)

    def set_alarm(self, *, is_armed: bool, actor: str) -> None:
        """Remember an alarm system's word."""
        self._ask("alarm", is_armed, actor)

    def begin_enrolment(
        self,
        details: Details,
        consent: Consent,
        *,
        is_allowlisted: bool,
        is_attended: bool,
        actor: str,
        valid_until: float | None = None,
        portrait: Template | None = None,
    ) -> str:
        """Remember an enrolment."""
        shown = [one for one in (valid_until, portrait) if one is not None]
        self._ask("enrol", details, consent, is_allowlisted, is_attended, actor, *shown)
        return "e1"

    def note_shown(self, attempt: int) -> None:
        """Remember that the screen shows colours."""
        self._ask("colours", attempt)

    def cancel_enrolment(self, enrolment: str) -> None:
        """Remember that an enrolment was cancelled."""
        self._ask("cancel", enrolment)

    def _ask(self, *what: Any) -> None:
        if self.refusal is not None:
            raise RefusedError(self.refusal)
        self.asked.append(what)

"""A running kiosk without camera, door or threads: for whoever tries the API or a client of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kiosk.entrance.news import Broadcast, Consent, Health, Still
from kiosk.errors import RefusedError
from kiosk.rules.conditions import Degradation
from kiosk.rules.factors import pin_lock_s
from kiosk.rules.lockdown import Lockdown
from kiosk.store.subjects import Details
from kiosk.types import SubjectId, Template

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
        self.locked_down: tuple[Lockdown, ...] = ()
        self.names: dict[str, str] = {}  # of accounts of other kiosks

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

    def release(self, *, actor: str, is_by_hand: bool = True) -> None:
        """Remember a release."""
        if not is_by_hand and self.locked_down:
            raise RefusedError("the door is locked down: only an operator releases it by hand")
        self._ask("release", actor)

    def lock_down(self, *, actor: str, reason: str = "", is_fleet_wide: bool = False) -> Lockdown:
        """Remember a lockdown; it holds until it is lifted."""
        self._ask("lockdown", actor, reason, is_fleet_wide)
        act = Lockdown(f"l{len(self.asked)}", actor, 0.0, is_fleet_wide=is_fleet_wide, reason=reason)
        self.locked_down = (*self.locked_down, act)
        return act

    def lift_lockdown(self, *, actor: str) -> tuple[Lockdown, ...]:
        """Lift what holds."""
        if not self.locked_down:
            raise RefusedError("the door is not locked down")
        self._ask("lift", actor)
        lifted, self.locked_down = self.locked_down, ()
        return lifted

    def lockdowns(self) -> tuple[Lockdown, ...]:
        """Return those that hold."""
        return self.locked_down

    def lockdown_name(self, account: str) -> str | None:
        """Return the name of an account of another kiosk."""
        return self.names.get(account)

    def pin_lock_s(self, number: SubjectId, wrong: int) -> float:
        """Return for how long a PIN is locked that was wrong so often, as if the last time were now."""
        del number
        return pin_lock_s(wrong, 300.0)

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

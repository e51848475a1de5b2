"""What the kiosk's own readers are for: their relay opens with the door, their light shows decisions, cards are codes.

The panel of `entrance/opening.py`, where the kiosk is the panel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping

from kiosk.entrance.news import News, RunningKiosk, Topic
from kiosk.errors import KioskError
from kiosk.integrations.osdp_panel import CLEAR, ENTER, OsdpPanel
from kiosk.rules.cards import Card
from kiosk.rules.conditions import Allowed, Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason, may_grant
from kiosk.store.chain import Kind
from kiosk.types import Status, SubjectId

PAUSE_S = 10.0  # between two keys, after which what was pressed before is forgotten
MOST_KEYS = 16
DOOR_KINDS = frozenset({Kind.IDENTIFY.value, Kind.VERIFY.value, Kind.REVISION.value})
LOST = Refusal(RefusalReason.LOG_ONLY, (Condition.READER_LOST.value,))
NOT_OPENED = frozenset(reason.value for reason in RefusalReason)


class ReaderRelay:
    """The relay of the readers, asked as an access control panel is; a release goes by it too."""

    is_ours = True

    def __init__(
        self,
        panel: OsdpPanel,
        *,
        pulse_s: float,
        clock: Callable[[], float],
        states: Callable[[], Collection[str]],
        table: Callable[[], Mapping[str, Allowed]],
    ) -> None:
        """Take the line, how long the relay is on, the clock of the frames, monotonic s, and the degraded states."""
        self._panel, self._pulse_s = panel, pulse_s
        self._clock, self._states, self._table = clock, states, table

    def ready(self, _number: SubjectId) -> Refusal | None:
        """Say whether a reader answers."""
        return None if self._panel.hears else LOST

    def present(self, _number: SubjectId, grant: Grant) -> Refusal | None:
        """Switch the relay on, or say why not."""
        refusal = may_grant(grant.captured_at, self._clock(), grant.bound_by(self._states()), self._table())
        if refusal is None and not self._panel.open(self._pulse_s):
            return LOST
        return refusal

    is_asking = False  # the kiosk itself asks for PINs

    def enter(self, _digits: str) -> None:
        """Take nothing."""

    def release(self) -> bool:
        """Switch the relay on for an operator, whatever the kiosk thinks of itself; say whether a reader hears it."""
        return self._panel.open(self._pulse_s)


class ReaderDesk:
    """Hands on what the readers hear: cards at once, keys once # is pressed. Nothing of it is logged."""

    def __init__(self, kiosk: RunningKiosk, clock: Callable[[], float] = time.monotonic) -> None:
        """Take whom cards and PINs are handed to."""
        self._kiosk, self._clock = kiosk, clock
        self._lock = threading.Lock()
        self._pressed, self._at = "", float("-inf")

    def take_card(self, card: Card) -> bool:
        """Hand on a card; say whether it is taken for anything."""
        try:
            return self._kiosk.show_card(card.text)
        except KioskError:  # nobody's card, or a store that cannot say
            return False

    def take_keys(self, keys: str) -> None:
        """Hand on what was pressed before #; * clears."""
        with self._lock:
            now = self._clock()
            if now - self._at > PAUSE_S:
                self._pressed = ""
            self._at, done = now, []
            for key in keys:
                if key == ENTER:
                    done.append(self._pressed)
                self._pressed = "" if key in {ENTER, CLEAR} else (self._pressed + key)[-MOST_KEYS:]
        for digits in filter(None, done):
            # the verifier takes tens of milliseconds, and the readers are to be polled meanwhile
            threading.Thread(target=self._enter, args=(digits,), name="pin", daemon=True).start()

    def _enter(self, digits: str) -> None:
        try:
            self._kiosk.enter_pin(digits)
        except KioskError:
            return  # nobody is asked for a PIN now


def shower(panel: OsdpPanel) -> Callable[[News], None]:
    """Return what shows decisions at the door by the readers' light."""

    def hear(news: News) -> None:
        if news.topic is Topic.DECISION and news.data["kind"] in DOOR_KINDS:
            is_refused = not NOT_OPENED.isdisjoint(news.data["reasons"])
            panel.show(is_open=news.data["status"] == Status.APPROVED.value and not is_refused)

    return hear

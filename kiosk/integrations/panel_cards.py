"""The card of the person decided, told to the panel: the guard of the relay asked once more, then the line."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping

from kiosk.entrance.news import News, Topic
from kiosk.errors import RefusedError, StoreError
from kiosk.integrations.osdp_reader import OsdpReader
from kiosk.rules.cards import Card
from kiosk.rules.conditions import Allowed, Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason, may_grant
from kiosk.store.factors.factors import FactorStore
from kiosk.types import SubjectId

log = logging.getLogger("kiosk.osdp")

LOST = Refusal(RefusalReason.LOG_ONLY, (Condition.PANEL_LOST.value,))


class PanelCards:
    """An access control panel as `entrance/opening.py` asks it."""

    is_ours = False  # whether the panel opened, the kiosk does not know

    def __init__(
        self,
        reader: OsdpReader,
        factors: FactorStore,
        *,
        clock: Callable[[], float],
        states: Callable[[], Collection[str]],
        table: Callable[[], Mapping[str, Allowed]],
        asks_s: float = 0.0,
    ) -> None:
        """Take the parts.

        Args:
            reader: the line.
            factors: the people's cards.
            clock: of the frames, monotonic s.
            states: degraded states of now.
            table: what each leaves.
            asks_s: for how long the panel asks for a PIN after each card; 0: not at all.
        """
        self._asks_s, self._asks_until = asks_s, -math.inf
        self._reader, self._factors, self._clock, self._states, self._table = reader, factors, clock, states, table

    def ready(self, number: SubjectId) -> Refusal | None:
        """Say whether the person has a card that can be read, and the panel asks."""
        if self._card(number) is None:
            return Refusal(RefusalReason.NO_CARD)
        return None if self._reader.is_secure else LOST

    def present(self, number: SubjectId, grant: Grant) -> Refusal | None:
        """Tell the panel the person's card, or say why not."""
        card = self._card(number)
        refusal = may_grant(grant.captured_at, self._clock(), grant.bound_by(self._states()), self._table())
        if refusal is not None:
            return refusal
        if card is None:
            return Refusal(RefusalReason.NO_CARD)
        if not self._reader.send_card(card):  # whatever [degraded] panel_lost says: nobody was told
            return LOST
        if self._asks_s:
            self._asks_until = self._clock() + self._asks_s
        return None

    @property
    def is_asking(self) -> bool:
        """Whether the panel asks for a PIN that is entered at the kiosk."""
        return self._clock() < self._asks_until

    def enter(self, digits: str) -> None:
        """Send the panel a PIN; what it makes of it, the kiosk does not know."""
        self._asks_until = -math.inf
        if not self._reader.send_keys(f"{digits}#"):
            raise RefusedError("the panel does not ask this reader now")

    def _card(self, number: SubjectId) -> Card | None:
        """Return the person's card; a damaged row is none, and closes the door for nobody else."""
        try:
            return self._factors.read(number).card
        except StoreError as error:
            log.warning("card unreadable reason=%r", str(error))
            return None


def alarm_of(reader: OsdpReader) -> Callable[[News], None]:
    """Return what has the panel told of an entry under duress."""

    def hear(news: News) -> None:
        if news.topic is Topic.DURESS:
            reader.alarm.begin()

    return hear

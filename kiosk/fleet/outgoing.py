"""What of a decision goes to the fleet: a row of the outbox for each, beside what the cloud gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kiosk.device.outgoing import Ask, NothingLeaves, Outgoing
from kiosk.store.chain import DECISION_KINDS, Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.outbox import FLEET, Message, of_fleet
from kiosk.store.store import Store
from kiosk.store.subjects import Subject

KINDS = DECISION_KINDS | {Kind.REVIEW}


class FleetOutgoing:
    """The device's `Outgoing`, with a row for the fleet. Safe in several threads."""

    def __init__(self, store: Store, others: Outgoing | NothingLeaves) -> None:
        """Take the store, and what else leaves."""
        self._store, self._others = store, others

    def connect(self, wake: Callable[[], None], ask: Ask | None) -> None:
        """Pass on."""
        self._others.connect(wake, ask)

    def wants_photographs(self, decision: NewDecision) -> bool:
        """Pass on: the fleet gets none."""
        return self._others.wants_photographs(decision)

    def __call__(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> Sequence[Message]:
        """Return the rows: the person by the id that all kiosks know, and nothing else that the log does not say."""
        rows = tuple(self._others(decision, photographs))
        if decision.kind not in KINDS:
            return rows
        number = decision.session_number
        subject = None if number is None else self._store.people.subject(number)
        person = None if subject is None else subject.session_id
        return (*rows, Message(FLEET, {"person": person}, person=of_fleet(person)))

    def about_block(self, subject: Subject) -> Sequence[Message]:
        """Pass on: blocks are shared as they are."""
        return self._others.about_block(subject)

    def stored(self) -> None:
        """Pass on: the fleet's thread looks by itself."""
        self._others.stored()

    def asks(self, decision: NewDecision) -> bool:
        """Pass on."""
        return self._others.asks(decision)

    def second(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> NewDecision:
        """Pass on."""
        return self._others.second(decision, photographs)

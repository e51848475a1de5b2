"""What a device asks about each decision: whether something of it leaves, and whether somebody else decides instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from kiosk.didit.answers import Opinion
from kiosk.store.decision_log import NewDecision
from kiosk.store.outbox import Message
from kiosk.store.subjects import Subject

Ask = Callable[[NewDecision, Mapping[str, bytes]], "Opinion | None"]
"""Asks the cloud about a decision, with the photographs of its call; None where no answer came in time."""


class Outgoing(Protocol):
    """Says what of a decision is to leave the device; its rows of the outbox are stored with the decision."""

    def connect(self, wake: Callable[[], None], ask: Ask | None) -> None:
        """Have `wake` called when rows were stored, and `ask` when the cloud is asked; None: it is not."""

    def wants_photographs(self, decision: NewDecision) -> bool:
        """Say whether the photographs are worth making for this decision."""

    def __call__(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> Sequence[Message]:
        """Return the rows."""

    def about_block(self, subject: Subject) -> Sequence[Message]:
        """Return the rows that are stored when a person is blocked here."""

    def stored(self) -> None:
        """Hear that rows were stored."""

    def asks(self, decision: NewDecision) -> bool:
        """Say whether `second` would ask somebody about this decision."""

    def second(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> NewDecision:
        """Return the decision, or somebody else's in its place where the device cannot judge."""


class NothingLeaves:
    """What is decided stays here."""

    def connect(self, _wake: Callable[[], None], _ask: Ask | None) -> None:
        """Do nothing."""

    def wants_photographs(self, _decision: NewDecision) -> bool:
        """Say no."""
        return False

    def __call__(self, _decision: NewDecision, _photographs: Mapping[str, bytes]) -> Sequence[Message]:
        """Return no row."""
        return ()

    def about_block(self, _subject: Subject) -> Sequence[Message]:
        """Return no row."""
        return ()

    def stored(self) -> None:
        """Do nothing."""

    def asks(self, _decision: NewDecision) -> bool:
        """Say no."""
        return False

    def second(self, decision: NewDecision, _photographs: Mapping[str, bytes]) -> NewDecision:
        """Return the decision."""
        return decision

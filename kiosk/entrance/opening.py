"""What is asked before a door opens for an approval: the store once more, the kiosk's own relay, then the panel.

An access control panel, where there is one, opens by itself for the card it is told: it is the last that is asked, so
that whatever speaks against the relay speaks against the card too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kiosk.door.door import Door
from kiosk.entrance.decide import DoorDecision, Entrance
from kiosk.errors import KioskError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.types import SubjectId


class Panel(Protocol):
    """Who else opens a door for a person: an access control panel, or a reader's relay. integrations/ keeps it."""

    def present(self, number: SubjectId, grant: Grant) -> Refusal | None:
        """Have the door opened, or say why not; returns at once.

        Raises:
            StoreError: the person's card cannot be read.
        """


class Opening:
    """Opens for approvals. One thread's, but for `connect`."""

    def __init__(self, entrance: Entrance, door: Door | None, fault: Callable[[KioskError], None]) -> None:
        """Take who knows whether an approval still stands, the door if there is one, and who hears of a fault."""
        self._entrance, self._door, self._fault = entrance, door, fault
        self._panel: Panel | None = None

    def connect(self, panel: Panel | None) -> None:
        """Tell this panel of whoever may enter, from now on; None: nobody."""
        self._panel = panel

    def open(self, decided: DoorDecision) -> Refusal | None:
        """Open for an approval, or say why not; its person may have been blocked while it was saved."""
        grant = Grant(decided.request_id, decided.captured_at)
        try:
            if not self._entrance.still_stands(decided):
                return Refusal(RefusalReason.WITHDRAWN)
            refusal = self._door.open(grant) if self._door is not None else None
            if refusal is None and self._panel is not None and decided.subject is not None:
                return self._panel.present(decided.subject.session_number, grant)
        except StoreError as error:  # the decision is saved and is told of; it opens nothing
            self._fault(error)
            return Refusal(RefusalReason.CLOSED, (Condition.STORE_UNREADABLE.value,))
        return refusal

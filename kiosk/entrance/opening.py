"""What is asked before a door opens for an approval: the store once more, rules, the kiosk's own relay, then the panel.

An access control panel, where there is one, opens by itself for the card it is told: it is the last that is asked, so
that whatever speaks against the relay speaks against the card too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from kiosk.door.door import Door
from kiosk.entrance.decide import ACTOR, DoorDecision, Entrance
from kiosk.errors import KioskError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.rules.passage import Direction, PassageRule, Seen, is_inside, refuses
from kiosk.store.chain import Kind
from kiosk.store.passages.passages import Passage
from kiosk.types import SubjectId

PASSED_BACK = "passback"  # what the log says of whoever entered twice, where that is allowed


class Panel(Protocol):
    """Who else opens a door for a person: an access control panel, or a reader's relay. integrations/ keeps it."""

    def present(self, number: SubjectId, grant: Grant) -> Refusal | None:
        """Have the door opened, or say why not; returns at once.

        Raises:
            StoreError: the person's card cannot be read.
        """


class Opening:
    """Opens for approvals. One thread's, but for `connect`."""

    def __init__(
        self,
        entrance: Entrance,
        door: Door | None,
        fault: Callable[[KioskError], None],
        *,
        rule: PassageRule,
        clock: Callable[[], float],
    ) -> None:
        """Take the parts.

        Args:
            entrance: knows whether an approval still stands, and the people.
            door: if there is one.
            fault: hears of a store that fails.
            rule: section [passage].
            clock: monotonic s, the camera's.
        """
        self._entrance, self._door, self._fault, self._rule, self._clock = entrance, door, fault, rule, clock
        self._panel: Panel | None = None
        self._is_passed_back = False  # whether the one who goes through counts as inside already
        self._first: tuple[SubjectId, float] | None = None  # who waits for a second person, and since when

    def apply(self, rule: PassageRule) -> None:
        """Open by another rule from now on."""
        self._rule, self._first = rule, None

    def connect(self, panel: Panel | None) -> None:
        """Tell this panel of whoever may enter, from now on; None: nobody."""
        self._panel = panel

    def open(self, decided: DoorDecision) -> Refusal | None:
        """Open for an approval, or say why not; its person may have been blocked while it was saved."""
        grant = Grant(decided.request_id, decided.captured_at)
        try:
            if not self._entrance.still_stands(decided):
                return Refusal(RefusalReason.WITHDRAWN)
            if (kept := self._kept_outside(decided)) is not None:
                return Refusal(kept)
            refusal = self._door.open(grant) if self._door is not None else None
            if refusal is None and self._panel is not None and decided.subject is not None:
                refusal = self._panel.present(decided.subject.session_number, grant)
            if refusal is None:
                self._first = None
                self._note(decided)
        except StoreError as error:  # the decision is saved and is told of; it opens nothing
            self._fault(error)
            return Refusal(RefusalReason.CLOSED, (Condition.STORE_UNREADABLE.value,))
        return refusal

    def _kept_outside(self, decided: DoorDecision) -> RefusalReason | None:
        """Say why a rule keeps a person outside who may enter otherwise."""
        subject, rule, store = decided.subject, self._rule, self._entrance.device.store
        if subject is None:
            return None
        number, now = subject.session_number, self._clock()
        first = self._first
        waits = first is not None and first[0] != number and 0.0 <= now - first[1] <= rule.second_s
        last, inside = None, 0
        suspended_until = store.factors.read(number).suspended_until
        keeps, is_readable = rule.direction != "none", True
        if keeps:
            try:
                last = store.passages.last(number)
                inside = self._count_inside() if rule.occupancy else 0
            except StoreError:
                is_readable = False
        seen = Seen(
            self._entrance.now,
            self._entrance.is_clock_trusted,
            None if last is None else (last.direction, last.counted_at),
            inside,
            suspended_until,
            waits,
            is_readable,
        )
        why = refuses(rule, seen)
        if why is RefusalReason.SECOND_PERSON:
            self._first = number, now
        self._is_passed_back = rule.antipassback == "soft" and keeps and is_inside(rule, seen)
        return why

    def _count_inside(self) -> int:
        """Return how many people are inside."""
        seen = Seen(self._entrance.now, self._entrance.is_clock_trusted)
        everybody = self._entrance.device.store.passages.inside()
        return sum(is_inside(self._rule, replace(seen, last=(one.direction, one.counted_at))) for one in everybody)

    def _note(self, decided: DoorDecision) -> None:
        """Keep that a person went through, after the door: they do not wait for the disk."""
        if self._rule.direction == "none" or decided.subject is None:
            return
        number, store = decided.subject.session_number, self._entrance.device.store
        try:
            store.passages.note(
                Passage(number, Direction(self._rule.direction), self._entrance.now, decided.request_id)
            )
            if self._is_passed_back:
                details = {"what": PASSED_BACK, "of": decided.request_id}
                store.record_act(Kind.DOOR, details=details, actor=ACTOR)
        except StoreError as error:  # it is open; from here on nobody knows who is inside
            self._fault(error)

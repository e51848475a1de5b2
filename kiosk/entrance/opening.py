"""What is asked before a door opens for an approval: the store once more, rules, the kiosk's own relay, then the panel.

An access control panel, where there is one, opens by itself for the card it is told: it is told last, so that whatever
speaks against the relay speaks against the card too. Whether it can be told is asked before the relay moves: nothing
opens half. At a way out it is not asked whether people may go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from kiosk.door.door import Door
from kiosk.entrance.decide import ACTOR, DoorDecision, Entrance
from kiosk.entrance.screen import Announcer
from kiosk.errors import KioskError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.rules.passage import Direction, PassageRule, Seen, is_inside, refuses
from kiosk.store.chain import Kind
from kiosk.store.passages.passages import Passage
from kiosk.types import SubjectId

log = logging.getLogger("kiosk.judge")

NOBODY: SubjectId = 0  # no person has this number
PASSED_BACK = "passback"  # what the log says of whoever entered twice, where that is allowed


class Panel(Protocol):
    """Who else opens a door for a person: an access control panel, or a reader's relay. integrations/ keeps it."""

    is_ours: bool
    """Whether it is a relay of this kiosk's, and not somebody else's door."""

    def ready(self, number: SubjectId) -> Refusal | None:
        """Say why the door would not be opened for a person, if that is known; returns at once."""

    def present(self, number: SubjectId, grant: Grant) -> Refusal | None:
        """Have the door opened, or say why not; returns at once."""


class Opening:
    """Opens for approvals. One thread's, but for `connect`."""

    def __init__(
        self,
        entrance: Entrance,
        door: Door | None,
        announcer: Announcer,
        fault: Callable[[KioskError], None],
        *,
        rule: PassageRule,
        clock: Callable[[], float],
    ) -> None:
        """Take the parts.

        Args:
            entrance: knows whether an approval still stands, and the people.
            door: if there is one.
            announcer: is told whether the kiosk opens anything itself.
            fault: hears of a store that fails.
            rule: section [passage].
            clock: monotonic s, the camera's.
        """
        self._entrance, self._door, self._fault, self._rule, self._clock = entrance, door, fault, rule, clock
        self._announcer = announcer
        self._panel: Panel | None = None
        self._is_passed_back = False  # whether the one who goes through counts as inside already
        self._first: tuple[SubjectId, float] | None = None  # who waits for a second person, and since when

    def apply(self, rule: PassageRule) -> None:
        """Open by another rule from now on."""
        self._rule, self._first = rule, None

    def connect(self, panel: Panel | None) -> None:
        """Tell this panel of whoever may enter, from now on; None: nobody."""
        self._panel = panel
        self._announcer.has_relay = self._door is not None or (panel is not None and panel.is_ours)

    def open(self, decided: DoorDecision) -> Refusal | None:
        """Open for an approval, or say why not; its person may have been blocked while it was saved."""
        grant = Grant(decided.request_id, decided.captured_at)
        try:
            if not self._entrance.still_stands(decided):
                return Refusal(RefusalReason.WITHDRAWN)
            if (kept := self._kept_outside(decided)) is not None:
                return Refusal(kept)
            refusal = self._drive(decided, grant)
            if refusal is None:
                self._first = None
                self._note(decided)
        except StoreError as error:  # the decision is saved and is told of; it opens nothing
            self._fault(error)
            return Refusal(RefusalReason.CLOSED, (Condition.STORE_UNREADABLE.value,))
        return refusal

    def open_for_pass(self, grant: Grant) -> Refusal | None:
        """Open for a visitor pass, which is nobody in particular: by relays of this kiosk, never by somebody's card."""
        panel, door = self._panel, self._door
        if panel is None:
            return door.open(grant) if door is not None else None
        if not panel.is_ours:
            return Refusal(RefusalReason.NO_CARD)
        if (lacks := panel.ready(NOBODY)) is not None:
            return lacks
        if door is not None and (refusal := door.open(grant)) is not None:
            return refusal
        lacks = panel.present(NOBODY, grant)
        return lacks if door is None else None  # the relay moved: they are through, whatever the reader says

    def _drive(self, decided: DoorDecision, grant: Grant) -> Refusal | None:
        """Open by the kiosk's relay, by the panel, or by both; None where one of them opened."""
        panel, door, subject = self._panel, self._door, decided.subject
        if panel is None or subject is None:
            return door.open(grant) if door is not None else None
        number = subject.session_number
        lacks = panel.ready(number)
        if lacks is not None and (door is None or self._rule.direction != Direction.OUT.value):
            return lacks
        if door is not None and (refusal := door.open(grant)) is not None:
            return refusal
        if lacks is None:
            lacks = panel.present(number, grant)
        if lacks is not None and door is not None:  # the relay moved: they are through, whatever the panel says
            log.warning("panel request_id=%s reason=%s", grant.decision, lacks.reason.value)
            return None
        return lacks

    def _kept_outside(self, decided: DoorDecision) -> RefusalReason | None:
        """Say why a rule keeps a person outside who may enter otherwise."""
        subject, rule, store = decided.subject, self._rule, self._entrance.device.store
        self._is_passed_back = False
        if subject is None or rule.direction == Direction.OUT.value:  # nothing holds anybody in, not even a broken row
            return None
        number, now = subject.session_number, self._clock()
        first = self._first
        waits = first is not None and first[0] != number and 0.0 <= now - first[1] <= rule.second_s
        last, inside, suspended_until = None, 0, None
        keeps, is_readable = rule.direction != "none", True
        try:
            suspended_until = store.factors.read(number).suspended_until
            if keeps:
                last = store.passages.last(number)
                inside = self._count_inside() if rule.occupancy else 0
        except StoreError as error:  # one damaged row keeps its person outside, and closes the door for nobody else
            log.warning("passage request_id=%s reason=%r", decided.request_id, str(error))
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
            if not self._is_forgotten(number):
                self._fault(error)

    def _is_forgotten(self, number: SubjectId) -> bool:
        """Say whether somebody was deleted while they went through; nothing is to be kept of them."""
        try:
            return self._entrance.device.store.people.subject(number) is None
        except StoreError:
            return False

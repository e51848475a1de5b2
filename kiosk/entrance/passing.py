"""Who goes through: what the store knows of each person before, and that they went, after."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from kiosk.entrance.decide import ACTOR, DoorDecision, Entrance
from kiosk.errors import KioskError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.interlock import Leaf
from kiosk.rules.passage import Direction, PassageRule, Seen, is_inside
from kiosk.store.chain import Kind
from kiosk.store.passages.passages import Passage
from kiosk.types import SubjectId

log = logging.getLogger("kiosk.judge")

PASSED_BACK = "passback"  # what the log says of whoever entered twice, where that is allowed


@dataclass(frozen=True, slots=True)
class Asked:
    """What the neighbours said, who stay shut until it is settled; as it stands, that they said nothing."""

    are_heard: bool = False  # every kiosk whose passages count is, and all that it told of has been read here
    other: Leaf = Leaf.UNKNOWN  # the other door of an airlock
    unknown_inside: int = 0  # people inside by other kiosks whom this one does not hold


class Passing:
    """Knows and notes. One thread's."""

    def __init__(self, entrance: Entrance, fault: Callable[[KioskError], None]) -> None:
        """Take what has the store and the time, and who hears of a store that fails."""
        self._entrance, self._fault = entrance, fault
        self._store = entrance.device.store

    def seen(self, decided: DoorDecision, rule: PassageRule, asked: Asked, *, is_exempt: bool) -> Seen:
        """Return what is known of somebody who would go through, alone.

        Args:
            decided: about whom.
            rule: by which it is looked for.
            asked: what the neighbours said, before: what they tell of now is in the passages.
            is_exempt: whether a lockdown lets them in all the same.
        """
        assert decided.subject is not None
        number, entrance = decided.subject.session_number, self._entrance
        last, inside, suspended_until, is_readable = None, 0, None, True
        try:
            suspended_until = self._store.factors.read(number).suspended_until
            if rule.direction != "none":
                last = self._store.passages.last(number)
                inside = self._count_inside(rule) + asked.unknown_inside if rule.occupancy else 0
        except StoreError as error:  # one damaged row keeps its person outside, and closes the door for nobody else
            log.warning("passage request_id=%s reason=%r", decided.request_id, str(error))
            is_readable = False
        return Seen(
            entrance.now,
            entrance.is_clock_trusted,
            None if last is None else (last.direction, last.counted_at),
            inside,
            suspended_until,
            is_readable=is_readable,
            are_others_heard=asked.are_heard,
            other=asked.other,
            is_locked_down=Condition.LOCKDOWN.value in entrance.states,
            is_exempt=is_exempt,
        )

    def _count_inside(self, rule: PassageRule) -> int:
        """Return how many people are inside."""
        seen = Seen(self._entrance.now, self._entrance.is_clock_trusted)
        everybody = self._store.passages.inside()
        return sum(is_inside(rule, replace(seen, last=(one.direction, one.counted_at))) for one in everybody)

    def note(self, decided: DoorDecision, rule: PassageRule, *, is_passed_back: bool) -> None:
        """Keep that a person went through, after the door: they do not wait for the disk.

        Args:
            decided: about whom.
            rule: says which way.
            is_passed_back: whether they counted as inside already.
        """
        if rule.direction == "none" or decided.subject is None:
            return
        number, at = decided.subject.session_number, self._entrance.now
        try:
            self._store.passages.note(Passage(number, Direction(rule.direction), at, decided.request_id))
            if is_passed_back:
                details = {"what": PASSED_BACK, "of": decided.request_id}
                self._store.record_act(Kind.DOOR, details=details, actor=ACTOR)
        except StoreError as error:  # it is open; from here on nobody knows who is inside
            if not self._is_forgotten(number):
                self._fault(error)

    def _is_forgotten(self, number: SubjectId) -> bool:
        """Say whether somebody was deleted while they went through; nothing is to be kept of them."""
        try:
            return self._store.people.subject(number) is None
        except StoreError:
            return False

"""What is asked before a door opens for an approval: the store once more, rules, the kiosk's own relay, then the panel.

Rules that go by other doors have those stay shut first; that is over once this one has opened, or has not.

An access control panel, where there is one, opens by itself for the card it is told: it is told last, so that whatever
speaks against the relay speaks against the card too. Whether it can be told is asked before the relay moves: nothing
opens half. At a way out it is not asked whether people may go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from kiosk.door.door import Door
from kiosk.entrance.decide import DoorDecision, Entrance
from kiosk.entrance.passing import Asked, Passing
from kiosk.entrance.screen import Announcer, ShownFactor
from kiosk.errors import KioskError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.factors import Factor
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.rules.interlock import Leaf
from kiosk.rules.lockdown import passes
from kiosk.rules.passage import Direction, Seen, is_inside, read_first_in, refuses, stays_free
from kiosk.rules.schedule import Schedule
from kiosk.settings.config import Config
from kiosk.types import SubjectId

log = logging.getLogger("kiosk.judge")

NOBODY: SubjectId = 0  # no person has this number
LONGEST_LEAP_S = 60.0  # of the clock between two looks whether the door is free; hours have a minute between them


class Panel(Protocol):
    """Who else opens a door for a person: an access control panel, or a reader's relay. integrations/ keeps it."""

    is_ours: bool
    """Whether it is a relay of this kiosk's, and not somebody else's door."""

    def ready(self, number: SubjectId) -> Refusal | None:
        """Say why the door would not be opened for a person, if that is known; returns at once."""

    def present(self, number: SubjectId, grant: Grant) -> Refusal | None:
        """Have the door opened, or say why not; returns at once."""

    @property
    def is_asking(self) -> bool:
        """Whether it asks for a PIN itself, after a card, which is entered at the kiosk."""

    def enter(self, digits: str) -> None:
        """Take that PIN; raises RefusedError where it cannot be told."""


class Neighbours(Protocol):
    """Other doors, as kiosks of the fleet tell of them. fleet/ keeps it."""

    def ask(self) -> Asked:
        """Have the other doors stay shut, and say what is known of them; waits briefly."""

    def settle(self) -> None:
        """Say that this is over, whatever became of it: this door's contact tells the rest."""

    def lost(self) -> tuple[str, ...]:
        """Return the names of those that a rule goes by and that are not heard now."""


class Opening:
    """Opens for approvals. One thread's, but for `connect`, `ask` and `is_free`."""

    def __init__(
        self,
        entrance: Entrance,
        door: Door | None,
        announcer: Announcer,
        fault: Callable[[KioskError], None],
        *,
        config: Config,
        clock: Callable[[], float],
    ) -> None:
        """Take the parts.

        Args:
            entrance: knows whether an approval still stands, and the people.
            door: if there is one.
            announcer: is told whether the kiosk opens anything itself.
            fault: hears of a store that fails.
            config: sections [passage] and [schedule].
            clock: monotonic s, the camera's.
        """
        self._entrance, self._door, self._fault, self._clock = entrance, door, fault, clock
        self._announcer = announcer
        self._neighbours: Neighbours | None = None
        self._came_at: float | None = None  # when somebody came in, for the hours in which the door stays free; s UTC
        self._free_at = 0.0  # when it was looked last whether these hours hold still, s UTC
        self._rule, self._hours = config.passage, hours_of(config)
        self._panel: Panel | None = None
        self._passing = Passing(entrance, fault)
        self._goes: tuple[tuple[DoorDecision, bool], ...] = ()  # who goes through, and whether they were inside already
        self._first: tuple[DoorDecision, float] | None = None  # who waits for a second person, and since when

    def apply(self, config: Config) -> None:
        """Open by other settings from now on."""
        self._rule, self._hours, self._first = config.passage, hours_of(config), None

    def ask(self, neighbours: Neighbours | None) -> None:
        """Go by what these doors say from now on; None: by nobody, and rules that need them refuse inward."""
        self._neighbours = neighbours

    @property
    def keypad(self) -> ShownFactor | None:
        """What the screen asks for on behalf of the panel."""
        return ShownFactor(Factor.PIN.value, 1, 0) if self._panel is not None and self._panel.is_asking else None

    def enter(self, digits: str) -> bool:
        """Hand the panel a PIN; say whether it asks for one.

        Raises:
            RefusedError: it asks, and cannot be told.
        """
        panel = self._panel
        if panel is None or not panel.is_asking:
            return False
        panel.enter(digits)
        return True

    def lost_neighbours(self) -> tuple[str, ...]:
        """Return the names of the neighbours that a rule goes by and that are not heard now."""
        wanted = self._rule.neighbours
        return self._neighbours.lost() if self._neighbours is not None and wanted else tuple(sorted(wanted))

    def is_free(self, *, is_open: bool) -> bool:
        """Say whether the door is to stay open for everybody now, as [passage] first_in has it.

        Args:
            is_open: whether the degraded states leave everything.
        """
        now, came_at = self._entrance.now, self._came_at
        if self._hours is None or came_at is None:
            return False
        is_trusted, leap_s = self._entrance.is_clock_trusted, now - self._free_at
        if abs(leap_s) <= LONGEST_LEAP_S and stays_free(
            self._hours, came_at, now, is_clock_trusted=is_trusted, is_open=True
        ):
            self._free_at = now
            return is_open
        # The hours are over, or the clock is not believed or leapt, maybe over their end: the next person begins anew.
        self._came_at = None
        return False

    def connect(self, panel: Panel | None) -> None:
        """Tell this panel of whoever may enter, from now on; None: nobody."""
        self._panel = panel
        self._announcer.has_relay = self._door is not None or (panel is not None and panel.is_ours)

    def open(self, decided: DoorDecision) -> Refusal | None:
        """Open for an approval, or say why not; its person may have been blocked while it was saved."""
        grant = Grant(decided.request_id, decided.captured_at, self._exempt(_groups(decided)))
        try:
            if not self._entrance.still_stands(decided):
                return Refusal(RefusalReason.WITHDRAWN)
            if (kept := self._kept_outside(decided)) is not None:
                return Refusal(kept)
            refusal = self._drive(decided, grant)
            if refusal is None:
                self._first = None
                if self._rule.direction != Direction.OUT.value:
                    self._free_at = self._entrance.now  # first: `is_free` looks from another thread
                    self._came_at = self._free_at
                for one, is_passed_back in self._goes:
                    self._passing.note(one, self._rule, is_passed_back=is_passed_back)
        except StoreError as error:  # the decision is saved and is told of; it opens nothing
            self._fault(error)
            return Refusal(RefusalReason.CLOSED, (Condition.STORE_UNREADABLE.value,))
        finally:
            if self._neighbours is not None:
                self._neighbours.settle()
        return refusal

    def open_for_pass(self, grant: Grant) -> Refusal | None:
        """Open for a visitor pass, which is nobody in particular: by relays of this kiosk, never by somebody's card.

        Other doors and a lockdown hold for it as for a person of no group.
        """
        grant = replace(grant, exempt=self._exempt(()))
        try:
            if (kept := self._kept_by_doors()) is not None:
                return Refusal(kept)
            return self._drive_for_nobody(grant)
        finally:
            if self._neighbours is not None:
                self._neighbours.settle()

    def _kept_by_doors(self) -> RefusalReason | None:
        """Say what keeps everybody outside: another door, or a lockdown."""
        if self._rule.direction == Direction.OUT.value:
            return None
        asked, entrance = self._asked(), self._entrance
        seen = Seen(
            entrance.now,
            entrance.is_clock_trusted,
            are_others_heard=asked.are_heard,
            other=asked.other,
            is_locked_down=Condition.LOCKDOWN.value in entrance.states,
            is_exempt=bool(self._exempt(())),
        )
        return refuses(self._rule, seen)

    def _drive_for_nobody(self, grant: Grant) -> Refusal | None:
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

    def _exempt(self, groups: Collection[str]) -> frozenset[str]:
        """Return the degraded states that do not bind people of these groups: a lockdown that lets them through."""
        is_outward = self._rule.direction == Direction.OUT.value
        may_pass = passes(groups, self._rule.lockdown_groups, is_outward=is_outward)
        return frozenset({Condition.LOCKDOWN.value} if may_pass else ())

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
        rule = self._rule
        self._goes = ((decided, False),)
        if decided.subject is None or rule.direction == Direction.OUT.value:
            return None  # nothing holds anybody in, not even a broken row
        asked = self._asked()  # before the passages are read: what is heard now is in them
        first = self._first_of(decided, asked)
        seen = self._seen(decided, asked)
        counts = rule.antipassback == "soft" and rule.direction != "none"
        self._goes = ((decided, counts and is_inside(rule, seen)),)
        if first is not None:  # both come in, and both are to have room
            is_in = is_inside(rule, first[1])
            seen = replace(seen, first=True, inside=seen.inside + (not is_in))
            self._goes = ((first[0], counts and is_in), *self._goes)
        why = refuses(rule, seen)
        if why is RefusalReason.SECOND_PERSON:
            self._first = decided, self._clock()
        return why

    def _first_of(self, decided: DoorDecision, asked: Asked) -> tuple[DoorDecision, Seen] | None:
        """Return who waits for this person, and may come in still: not who was blocked or suspended since."""
        if self._first is None or not self._rule.two_persons:
            return None
        first, since = self._first
        is_in_time = 0.0 <= self._clock() - since <= self._rule.second_s
        if not is_in_time or _number(first) == _number(decided) or not self._entrance.still_stands(first):
            return None
        seen = replace(self._seen(first, asked), first=True, other=Leaf.SHUT)  # that door is asked for once, above
        return (first, seen) if refuses(self._rule, seen) is None else None

    def _seen(self, decided: DoorDecision, asked: Asked) -> Seen:
        return self._passing.seen(decided, self._rule, asked, is_exempt=bool(self._exempt(_groups(decided))))

    def _asked(self) -> Asked:
        """Ask the neighbours, where a rule goes by them."""
        if self._neighbours is None or not (self._rule.is_by_others or self._rule.interlock):
            return Asked()
        return self._neighbours.ask()


def _number(decided: DoorDecision) -> SubjectId:
    return NOBODY if decided.subject is None else decided.subject.session_number


def _groups(decided: DoorDecision) -> tuple[str, ...]:
    return tuple(decided.subject.details.groups) if decided.subject is not None else ()


def hours_of(config: Config) -> Schedule | None:
    """Return the hours in which the door stays free from the first person who came in; None: never."""
    return read_first_in(config.schedule.time_zone, config.passage.first_in, config.schedule.holidays)

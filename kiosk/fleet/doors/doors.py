"""What the entrance asks of the doors of its neighbours, the kiosks of [passage] doors and interlock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from kiosk.entrance.passing import Asked
from kiosk.fleet.doors.agreement import Agreement
from kiosk.fleet.member import Member
from kiosk.rules.interlock import Leaf
from kiosk.rules.lockdown import Lockdowns
from kiosk.rules.passage import Direction, PassageRule, Seen, is_inside
from kiosk.store.store import Store

WAIT_S = 0.3  # for the neighbours' answers; a frame that is older than half a second opens nothing anyway
DAY_S = 86400.0
KEPT_DAYS = 8.0  # of passages at a hub; [passage] forget_h is a week at most
LOST_S = 5.0  # without an answer until health says that a neighbour is not heard

log = logging.getLogger("kiosk.fleet")


class Doors:
    """The neighbours of one kiosk. Safe in several threads."""

    def __init__(
        self,
        member: Member,
        store: Store,
        *,
        rule: Callable[[], PassageRule],
        leaf: Callable[[], Leaf] = lambda: Leaf.UNKNOWN,
        lockdowns: Callable[[], Lockdowns] = Lockdowns,
        hear_lockdowns: Callable[[Lockdowns, str, Mapping[str, str]], None] = lambda _told, _kiosk, _names: None,
        account_name: Callable[[str], str | None] = lambda _account: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        is_clock_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take the parts.

        Args:
            member: this kiosk in its fleet.
            store: its.
            rule: section [passage], as it is in force.
            leaf: how its own door stands.
            lockdowns: what is known of lockdowns here.
            hear_lockdowns: takes what a kiosk, by name, says of them, and the names of the accounts in it.
            account_name: the name of an account as it is known here, its own or another kiosk's.
            clock: monotonic s.
            now: s UTC, by which passages are dated.
            is_clock_trusted: whether that can be believed; nothing is left out or forgotten by it else.
        """
        self.member, self.store, self.rule = member, store, rule
        self.lockdowns, self.hear_lockdowns, self.account_name = lockdowns, hear_lockdowns, account_name
        self._clock, self._began = clock, clock()
        self.agreement = Agreement(member.id, clock=clock, leaf=leaf)
        self._read_to: dict[tuple[str, str], int] = {}  # hub and kiosk: number of the newest passage that was read
        self.now, self.is_clock_trusted = now, is_clock_trusted
        self._unknown: dict[str, tuple[Direction, float]] = {}  # people not held here, by session_id; monotonic s
        self._undated: dict[str, float] = {}  # when these passed, s UTC, whose age is not known yet
        self._speakers: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}

    # ---- who they are

    def ids(self, names: frozenset[str]) -> dict[str, str]:
        """Return the ids of kiosks by their names; one that is no member is missing, and two of one name are both."""
        roster = self.member.roster
        members = {} if roster is None else roster.members
        return {
            name: one.card.name for name, one in members.items() if one.card.name in names and name != self.member.id
        }

    @property
    def neighbours(self) -> dict[str, str]:
        """The kiosks that a rule goes by, id to name."""
        return self.ids(self.rule().neighbours)

    def name_of(self, kiosk: str) -> str:
        """Return a member's name."""
        roster = self.member.roster
        found = None if roster is None else roster.members.get(kiosk)
        return kiosk if found is None else found.card.name

    def lost(self) -> tuple[str, ...]:
        """Return the names of neighbours that are not heard now."""
        found, now = self.neighbours, self._clock()
        late = [name for kiosk, name in found.items() if now - (self.agreement.since(kiosk) or self._began) > LOST_S]
        return tuple(sorted({*late, *(self.rule().neighbours - set(found.values()))}))

    # ---- asked by the entrance: waits for no longer than WAIT_S

    def ask(self) -> Asked:
        """Have every neighbour stay shut, and say what is known of them."""
        rule, until = self.rule(), self._clock() + WAIT_S
        others, gate = self.ids(frozenset(rule.doors)), self.ids(frozenset({rule.interlock} - {""}))
        are_there = set(others.values()) == set(rule.doors)
        if not self.agreement.claim({*others, *gate}, until, self.speak):
            self.speak()
            return Asked()
        are_read = are_there and self.agreement.wait_for(lambda: all(map(self._is_read, others)), until)
        heard = self.agreement.heard(next(iter(gate))) if len(gate) == 1 else None
        is_told = heard is not None and self.member.id in heard.gates  # else it would open beside this door
        return Asked(are_read, heard.leaf if heard is not None and is_told else Leaf.UNKNOWN, self._count_unknown(rule))

    def word(self, sent: Mapping[str, int], *, is_urgent: bool) -> dict[str, Any]:
        """Return what to say now: JSON; arguments as `Agreement.word` takes them."""
        return self.agreement.word(sent, self.ids(frozenset({self.rule().interlock} - {""})), is_urgent=is_urgent)

    def settle(self) -> None:
        """Say that the claim is over: this door's contact tells the rest."""
        if self.agreement.settle():
            self.speak()

    def _is_read(self, kiosk: str) -> bool:
        """Say whether every passage that a kiosk told of in its newest word has been read here."""
        heard = self.agreement.heard(kiosk)
        return heard is not None and any(
            seq <= self._read_to.get((hub, kiosk), -1 if seq else 0) for hub, seq in heard.sent.items()
        )

    def _count_unknown(self, rule: PassageRule) -> int:
        with self.agreement.changed:
            self._take_ages()
            passed = tuple(self._unknown.values())
        # by the monotonic clock: nobody is forgotten, and nobody kept, as the wall clock was set meanwhile
        return sum(is_inside(rule, Seen(self._clock(), is_clock_trusted=True, last=last)) for last in passed)

    def _take_ages(self) -> None:
        """Take the age of what was read by the wall clock, once, and as soon as that is trusted; until then none."""
        if not self._undated or not self.is_clock_trusted():
            return
        ahead_s = self.now() - self._clock()
        for person, at in self._undated.items():
            direction, read_at = self._unknown[person]
            self._unknown[person] = direction, min(read_at, at - ahead_s)
        self._undated.clear()

    # ---- asked by the exchange, in the fleet's thread

    def is_next(self, hub: str, kiosk: str, after: int, seq: int) -> bool:
        """Say whether nothing is missing before a message; a hole keeps shut inward, as for a kiosk that is silent."""
        known = self._read_to.get((hub, kiosk))
        return known is None or after <= known or seq <= known

    def told_from(self) -> float:
        """Return from when on this kiosk's passages are told, s UTC; all, where no clock says how old they are."""
        return self.now() - KEPT_DAYS * DAY_S if self.is_clock_trusted() else 0.0

    def note_read(self, hub: str, kiosk: str, seq: int, unknown: Mapping[str, tuple[Direction, float | None]]) -> None:
        """Note up to where a kiosk's passages were read, and the people in them that this kiosk does not hold.

        Args:
            hub: where it was read.
            kiosk: whose passages they are.
            seq: number of the message.
            unknown: which way a person went, by session_id, and when, s UTC; None where no clock said so.
        """
        with self.agreement.changed:
            self._read_to[hub, kiosk] = max(seq, self._read_to.get((hub, kiosk), 0))
            for person, (direction, at) in unknown.items():
                self._unknown[person] = direction, self._clock()
                self._undated.pop(person, None)
                if at is not None:
                    self._undated[person] = at
            self._take_ages()
            self.agreement.changed.notify_all()

    def on_speak(self, say: Callable[[], None], loop: asyncio.AbstractEventLoop | None) -> None:
        """Have this called, in its loop, when a word is to be said at once; None ends that."""
        if loop is None:
            self._speakers.pop(say, None)
        else:
            self._speakers[say] = loop

    def speak(self) -> None:
        """Have a word said over every hub now."""
        for say, loop in tuple(self._speakers.items()):
            try:
                loop.call_soon_threadsafe(say)
            except RuntimeError:  # it has ended meanwhile
                self._speakers.pop(say, None)

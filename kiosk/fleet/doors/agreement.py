"""Kiosks agree who of them opens now, and know that what they heard of each other is of now. No shared clock.

A word of a kiosk asks a question (a random number) and answers the newest question of every other. So a word that
answers is not older than the question, by the clock of the one who asked: a hub that holds words back, or says old ones
again, makes a kiosk seem silent, and never makes an open door seem shut.

Who wants to open claims. Every neighbour that yields opens nothing by its own claim until that is over, and says so
with what it knows of its door in the same word. Where two claim at once the lower id has it. Silence yields nothing.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from kiosk.rules.interlock import Leaf

QUESTIONS = 64  # that are remembered; at two words a second those of half a minute
NONCE_BYTES = 12
LONGEST = 64  # of an id or a nonce


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest word of another kiosk that answers this one."""

    asked_at: float  # when the question that it answers was asked, monotonic s
    number: int
    leaf: Leaf
    yields: str  # the claim of this kiosk that it yields to; empty: none
    gates: frozenset[str] = frozenset()  # kiosks by whose door it goes as the other one of an airlock
    sent: Mapping[str, int] = field(default_factory=dict)  # by hub: number of its newest passage there, where all are


class Agreement:
    """What one kiosk knows of the others, and says. Safe in several threads."""

    def __init__(self, me: str, *, clock: Callable[[], float], leaf: Callable[[], Leaf]) -> None:
        """Take this kiosk's id, a clock, monotonic s, and what says how its door stands."""
        self._me, self._clock, self._leaf = me, clock, leaf
        self.changed = threading.Condition()
        """Notified with every word that was heard; also guards what is known."""

        self._asked: OrderedDict[str, float] = OrderedDict()
        self._to_answer: dict[str, str] = {}
        self._heard: dict[str, Heard] = {}
        self._yields: dict[str, str] = {}  # kiosk to its claim
        self._claim, self._is_granted, self._number = "", False, 0

    # ---- words

    def word(self, sent: Mapping[str, int], gates: Collection[str] = (), *, is_urgent: bool) -> dict[str, Any]:
        """Return what to say now: JSON.

        Args:
            gates: kiosks by whose door this one goes as the other one of an airlock.
            sent: by hub, the number of the newest passage there, where all that are known here have been sent.
            is_urgent: whether an answer is wanted at once.
        """
        with self.changed:
            nonce = secrets.token_hex(NONCE_BYTES)
            self._asked[nonce] = self._clock()
            if len(self._asked) > QUESTIONS:
                self._asked.popitem(last=False)
            self._number += 1
            return {
                "number": self._number,
                "ask": nonce,
                "answer": dict(self._to_answer),
                "leaf": self._leaf().value,
                "claim": self._claim,
                "yields": dict(self._yields),
                "gates": sorted(gates),
                "sent": dict(sent),
                "is_urgent": is_urgent or bool(self._claim and not self._is_granted),
            }

    def hear(self, kiosk: str, word: Mapping[str, Any]) -> bool:
        """Take another kiosk's word; say whether an answer is to be given at once.

        Raises:
            ValueError: it is none.
        """
        try:
            number, ask, claim = int(word["number"]), str(word["ask"]), str(word["claim"])
            answered, yields = str(word["answer"].get(self._me, "")), str(word["yields"].get(self._me, ""))
            leaf, sent = Leaf(word["leaf"]), {str(hub): int(seq) for hub, seq in word["sent"].items()}
            is_urgent, gates = bool(word["is_urgent"]), frozenset(map(str, word["gates"]))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError("this is no word of a door") from error
        if max(len(ask), len(claim), len(yields)) > LONGEST:
            raise ValueError("this is no word of a door")
        with self.changed:
            self._to_answer[kiosk] = ask
            asked_at, known = self._asked.get(answered), self._heard.get(kiosk)
            if asked_at is None or (known is not None and (asked_at, number) <= (known.asked_at, known.number)):
                return is_urgent
            self._heard[kiosk] = Heard(asked_at, number, leaf, yields, gates, sent)
            self._obey(kiosk, claim)
            self.changed.notify_all()
        return is_urgent

    def _obey(self, kiosk: str, claim: str) -> None:
        """Yield to a claim, or take note that there is none any more."""
        if not claim:
            self._yields.pop(kiosk, None)
        elif not self._claim:
            self._yields[kiosk] = claim
        elif not self._is_granted and kiosk < self._me:
            self._claim = ""  # both wanted it: whoever claims here tries again
            self._yields[kiosk] = claim

    # ---- what is asked here

    def since(self, kiosk: str) -> float | None:
        """Return since when, at the latest, what is known of a kiosk holds, monotonic s; None: nothing is."""
        with self.changed:
            found = self._heard.get(kiosk)
            return None if found is None else found.asked_at

    def heard(self, kiosk: str) -> Heard | None:
        """Return the newest word of a kiosk that answers."""
        with self.changed:
            return self._heard.get(kiosk)

    def claim(self, kiosks: Collection[str], until: float, speak: Callable[[], None]) -> bool:
        """Have these kiosks yield; say whether all did in time.

        Args:
            kiosks: whose doors are to stay shut.
            until: monotonic s.
            speak: has a word said at once.
        """
        with self.changed:
            while self._clock() < until:
                if any(one in self._yields for one in kiosks):  # another is at it: soon over
                    self._wait(until)
                    continue
                mine = self._claim = secrets.token_hex(NONCE_BYTES)
                speak()
                while self._claim == mine and self._clock() < until:
                    if all((found := self._heard.get(one)) is not None and found.yields == mine for one in kiosks):
                        self._is_granted = True
                        return True
                    self._wait(until)
            self._claim = ""
        return False

    def wait_for(self, fact: Callable[[], bool], until: float) -> bool:
        """Wait for what a word or a passage may bring; say whether it came."""
        with self.changed:
            while not fact():
                if self._clock() >= until:
                    return False
                self._wait(until)
        return True

    def settle(self) -> bool:
        """End the claim; say whether there was one."""
        with self.changed:
            had = bool(self._claim)
            self._claim, self._is_granted = "", False
        return had

    def _wait(self, until: float) -> None:
        self.changed.wait(max(0.0, until - self._clock()))

"""Between a face that is known and its decision: the card or the PIN that is asked for beside it.

The face is found first, and nothing is saved; the person enters a PIN at the screen or a keypad, or holds a card to a
reader. Then the face is decided about once more, by what the store says then, with what was given: one decision, one
record. Nobody is asked who may not come in anyway, so that a keypad tells strangers nothing.

A PIN and one under duress take the same way: both are computed each time, both are given, both are noted with the
decision in one size. What differs is a word that is sent when the door has opened already.

Wrong PINs count for their person too, in the store: neither another's grant nor a restart gives whoever guesses new
tries. A lock counts from the last wrong PIN that this process saw, or from its start: time without power counts not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kiosk.entrance.ruling import Given
from kiosk.entrance.screen import ShownFactor
from kiosk.errors import RefusedError, StoreError
from kiosk.rules.admission import DoorReason
from kiosk.rules.cards import Card
from kiosk.rules.factors import Factor, pin_lock_s
from kiosk.rules.patience import Patience
from kiosk.rules.presentation import FrameOutcome, Left, Ready, View
from kiosk.settings.neighbours import FactorSettings
from kiosk.store.factors.factors import FactorStore
from kiosk.store.factors.pins import Entered, nobodys_pins
from kiosk.types import Face, Frame, SubjectId


@dataclass(slots=True)
class Asked:
    """A person who is asked for something. Guarded by the step's lock."""

    ready: Ready
    best: tuple[Frame, Face] = field(repr=False)  # the frame that is decided by, and the face in it
    claimed: SubjectId | None
    number: SubjectId  # whose face it is, so far
    wanted: frozenset[Factor]
    until: float  # monotonic s
    given: frozenset[Factor] = frozenset()
    tries: int = 0  # that were wrong
    entered: Entered | None = field(default=None, repr=False)  # once it is duress, it stays so
    refused: Factor = Factor.PIN  # what was wrong last
    failed: DoorReason | None = None  # why it is over; nothing more is taken then
    is_lost: bool = False  # over because the person was not seen all the time: they may simply look again

    @property
    def missing(self) -> frozenset[Factor]:
        """What is still asked for."""
        return self.wanted - self.given


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of the asking, to be decided about."""

    asked: Asked = field(repr=False)
    given: Given
    captured_at: float  # monotonic s, of a frame that shows the person still; else of the first


class FactorStep:
    """Asks for a card or a PIN. `begin`, `follow` and `give_up` are one thread's; the others are safe in any."""

    def __init__(
        self, store: FactorStore, settings: FactorSettings, patience: Patience, *, clock: Callable[[], float]
    ) -> None:
        """Take the people's cards and PINs, sections [factors] and [attempts], and the clock, monotonic s."""
        self._store, self._settings, self._patience, self._clock = store, settings, patience, clock
        self._began = clock()
        self._wrong_at: dict[SubjectId, float] = {}  # the last wrong PIN of whoever had one, monotonic s
        self._lock, self._checking = threading.Lock(), threading.Lock()
        self._asked: Asked | None = None

    def apply(self, settings: FactorSettings, patience: Patience) -> None:
        """Ask by other settings from now on."""
        self._settings, self._patience = settings, patience

    @property
    def asked(self) -> Asked | None:
        """Who is asked now."""
        return self._asked

    @property
    def shown(self) -> ShownFactor | None:
        """What the screen asks for; None also where all is given and the decision is on its way."""
        asked = self._asked
        missing = asked.missing if asked is not None else frozenset()
        if asked is None or not missing:
            return None
        wants = Factor.PIN if Factor.PIN in missing else Factor.CARD
        return ShownFactor(wants.value, self._settings.tries - asked.tries, asked.tries)

    def begin(
        self,
        ready: Ready,
        best: tuple[Frame, Face],
        number: SubjectId,
        wanted: frozenset[Factor],
        claimed: SubjectId | None,
    ) -> None:
        """Ask a person."""
        with self._lock:
            self._asked = Asked(ready, best, claimed, number, wanted, self._clock() + self._settings.entry_s)

    def give_up(self) -> Ended | None:
        """Ask nobody any more; return what came of it, as an entry under duress is an alarm all the same."""
        with self._checking, self._lock:  # after an entry that is being looked at
            asked, self._asked = self._asked, None
            if asked is None:
                return None
            given = Given(asked.number, asked.given, DoorReason.FACTOR_MISSING, asked.entered)
        return Ended(asked, given, asked.ready.captured_at)

    # ---- what is given

    def enter(self, digits: str) -> None:
        """Take digits from a keypad; the answer is on the screen.

        Raises:
            RefusedError: nobody is asked for a PIN.
            StoreError: the person's PIN cannot be read, or the store takes nothing; no answer is given then.
        """
        with self._checking:  # one after the other: several at once would be tries for the price of one
            with self._lock:
                asked = self._asked
                is_over = asked is None or asked.failed is not None or asked.tries >= self._settings.tries
                if asked is None or is_over or Factor.PIN not in asked.missing:
                    raise RefusedError("nobody is asked for a PIN now")
            known = self._store.read(asked.number)
            entered = (known.pins or nobodys_pins()).check(digits)
            is_right = entered is not Entered.WRONG and not self._is_locked(asked.number, known.wrong)
            try:
                if entered is Entered.WRONG:
                    self._wrong_at[asked.number] = self._clock()
                if is_right or entered is Entered.WRONG:  # a right one clears nothing while the PIN is locked
                    self._store.count(asked.number, is_wrong=not is_right)
            except StoreError:
                is_right = False  # what could not be kept counts here as wrong
                raise
            finally:
                with self._lock:
                    asked.entered = asked.entered if asked.entered is Entered.DURESS else entered
                    if is_right:
                        asked.given |= {Factor.PIN}
                    else:
                        asked.tries, asked.refused = asked.tries + 1, Factor.PIN

    def _is_locked(self, number: SubjectId, wrong: int) -> bool:
        """Say whether no PIN of a person counts now, after many that were wrong."""
        return self.locked_s(number, wrong) > 0.0

    def locked_s(self, number: SubjectId, wrong: int) -> float:
        """Return for how long yet no PIN of a person counts, after so many wrong ones; 0: it does."""
        since = self._wrong_at.get(number, self._began)
        return max(0.0, since + pin_lock_s(wrong, self._patience.lockout_s) - self._clock())

    def offer(self, card: Card) -> bool:
        """Take a card that was held to a reader; say whether somebody is asked for one."""
        with self._lock:
            asked = self._asked
        if asked is None or Factor.CARD not in asked.missing:
            return False
        is_theirs = self._store.whose(card) == asked.number
        with self._lock:
            if is_theirs:
                asked.given |= {Factor.CARD}
            else:
                asked.tries, asked.refused = asked.tries + 1, Factor.CARD
        return True

    # ---- frames

    def follow(
        self,
        outcome: FrameOutcome,
        view: View,
        now: float,
        confirm: Callable[[View, float], bool],
        *,
        is_lost: bool = False,
    ) -> Ended | None:
        """Take the next frame; return what came of the asking once it is over.

        Args:
            outcome: what the presenter makes of the frame.
            view: what the frame shows.
            now: monotonic s.
            confirm: says whether the frame shows the person who was asked, alone and well.
            is_lost: whether it can no more be said that the person who stands there is the one, and no picture.
        """
        with self._lock:
            asked = self._asked
            if asked is None:
                return None
            failed = asked.failed or self._failure(asked, outcome, now)
            if failed is None and is_lost:
                failed, asked.is_lost = DoorReason.FACTOR_MISSING, True
            asked.failed = failed
            is_missing = bool(asked.missing)
        if failed is None and (is_missing or not confirm(view, now)):
            return None
        with self._lock:
            if self._checking.locked():  # an entry under duress that is being looked at must not be lost
                return None
            self._asked = None
            given = Given(asked.number, asked.given, failed, asked.entered)
        return Ended(asked, given, asked.ready.captured_at if failed is not None else view.captured_at)

    def _failure(self, asked: Asked, outcome: FrameOutcome, now: float) -> DoorReason | None:
        if asked.tries >= self._settings.tries:
            return DoorReason.WRONG_PIN if asked.refused is Factor.PIN else DoorReason.WRONG_CARD
        is_gone = isinstance(outcome, Left) or now >= asked.until
        return DoorReason.FACTOR_MISSING if is_gone else None

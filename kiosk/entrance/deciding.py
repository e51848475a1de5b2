"""One presentation that is ready: asked for a card or PIN, decided about, saved, and opened for; in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kiosk.entrance.decide import DoorDecision, Entrance
from kiosk.entrance.expected import ExpectedPerson
from kiosk.entrance.factor_step import Ended, FactorStep
from kiosk.entrance.pass_step import PassStep
from kiosk.entrance.pending import PendingApproval
from kiosk.entrance.ruling import Given
from kiosk.entrance.screen import Announcer
from kiosk.errors import KioskError, RefusedError
from kiosk.recognition.image import encoded, portrait
from kiosk.recognition.pipeline import Recogniser
from kiosk.rules.admission import DoorReason
from kiosk.rules.presentation import FrameOutcome, Ready, View
from kiosk.store.chain import Kind
from kiosk.store.factors.pins import Entered
from kiosk.types import Face, Frame, Status, SubjectId


class Deciding:
    """Decides and opens. One thread's."""

    def __init__(
        self,
        entrance: Entrance,
        recogniser: Recogniser,
        *,
        pending: PendingApproval,
        factors: FactorStep,
        opening: PassStep,
        expected: ExpectedPerson,
        announcer: Announcer,
        count: Callable[[bool], None],
        fault: Callable[[KioskError], None],
    ) -> None:
        """Take the judge's parts; `count` hears of each decision whether it let somebody in."""
        self._entrance, self._recogniser, self._pending, self._factors = entrance, recogniser, pending, factors
        self._opening, self._expected, self._announcer = opening, expected, announcer
        self._count, self._fault = count, fault
        self.decided = 0
        """Presentations decided about since the start."""

    def decide(
        self, mode: str, ready: Ready, doubt: DoorReason | None, best: tuple[Frame, Face], claimed: SubjectId | None
    ) -> None:
        """Decide about a person, or ask them for a card or a PIN first.

        Args:
            mode: verify, screen or identify.
            ready: the presentation.
            doubt: why nothing may be decided, if so.
            best: its best frame, and the face in it.
            claimed: whose code was shown.
        """
        if doubt is not None:
            self._conclude(self._entrance.suspect(ready, doubt), ready, doubt)
            return
        may_ask = mode == "identify" or (mode == "verify" and claimed is not None)
        asks = self._entrance.ruling.asks(ready, claimed) if may_ask else None
        if asks is not None:
            self._factors.begin(ready, best, *asks, claimed)
            return
        decided = decide_by_mode(mode, self._entrance, self._recogniser, ready, best, claimed=claimed)
        self._conclude(decided, ready, None)

    def follow(
        self, outcome: FrameOutcome, view: View, now: float, confirm: Callable[[View, float], bool], *, is_lost: bool
    ) -> bool:
        """Take the next frame, as `FactorStep.follow` does; say whether somebody's asking ended with it."""
        ended = self._factors.follow(outcome, view, now, confirm, is_lost=is_lost)
        if ended is not None:
            self.settle(ended)
        return ended is not None

    def settle(self, ended: Ended) -> None:
        """Decide about somebody who was asked for a card or a PIN, by a frame of now."""
        asked = ended.asked
        mode = "identify" if asked.claimed is None else "verify"
        ready = replace(asked.ready, captured_at=ended.captured_at)
        decided: DoorDecision | None = None
        try:
            decided = decide_by_mode(
                mode, self._entrance, self._recogniser, ready, asked.best, claimed=asked.claimed, given=ended.given
            )
            is_lost = asked.is_lost and DoorReason.FACTOR_MISSING.value in decided.reasons
            self._conclude(decided, ready, None, is_counted=not is_lost or asked.tries > 0)
            if is_lost:
                self._announcer.look_again()
        finally:  # an alarm is raised also where nothing can be saved; it comes after the door, and holds up nothing
            if ended.given.entered is Entered.DURESS:
                self._announcer.duress(decided, asked.number, self._entrance.now)

    def give_up(self) -> None:
        """Decline whoever was asked and is followed no more."""
        try:
            if (ended := self._factors.give_up()) is not None:
                self.settle(ended)
        except KioskError as error:
            self._fault(error)

    def _conclude(
        self, decided: DoorDecision, ready: Ready, doubt: DoorReason | None, *, is_counted: bool = True
    ) -> None:
        """Open for a decision that is saved, where it may; then tell of it."""
        self.decided += 1
        refusal = self._opening.open(decided) if decided.may_open else None
        self._pending.conclude(decided, refusal)  # before anything that may fail: the door may be open
        if is_counted and decided.kind is not Kind.FACE_SEARCH and doubt is not DoorReason.LIVENESS_UNDETERMINED:
            is_granted = decided.status is Status.APPROVED
            if not is_granted or refusal is None:  # an approval that opens nothing is neither a grant nor a decline
                self._count(is_granted)
        if decided.question is not None:
            self._pending.ask(decided, decided.question, ready)
        if doubt is not None:
            self._expected.refuse()


def decide_by_mode(
    mode: str,
    entrance: Entrance,
    recogniser: Recogniser,
    ready: Ready,
    best: tuple[Frame, Face],
    *,
    claimed: SubjectId | None,
    given: Given | None = None,
) -> DoorDecision:
    """Decide what the mode asks: who it is, whether it is the one of the code, or whether they are known.

    Args:
        mode: verify, screen or identify.
        entrance: decides and records.
        recogniser: says more of the best frame, where a decision needs it.
        ready: the presentation.
        best: its best frame, and the face in it.
        claimed: whose code was shown.
        given: what they gave beside their face, where they were asked.

    Raises:
        RefusedError: mode verify, and nobody is claimed.
    """
    frame, face = best

    def photograph() -> bytes:
        return encoded(frame.image)

    def cropped() -> bytes:
        return portrait(frame.image, face.box)

    def age() -> float:
        return recogniser.describe(frame.image, recogniser.sharpen(frame.image, face))[0]

    if mode == "verify":
        if claimed is None:
            raise RefusedError("the code ran out before its person was judged")
        return entrance.verify(ready, claimed, photograph, age, cropped, given=given)
    if mode == "screen":
        entity = recogniser.entity(frame.image, recogniser.sharpen(frame.image, face))
        return entrance.screen(ready, entity, photograph, cropped)
    return entrance.identify(ready, photograph, age, cropped, given=given)

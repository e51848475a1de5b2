"""An approval that waits: for the disk that was slow, or for the cloud that is asked. It opens by a frame of now.

Whichever is waited for, the door opens only while the same person is seen to stand there still.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kiosk.entrance.decide import DoorDecision, Entrance, Question, note_unopened
from kiosk.entrance.screen import Announcer
from kiosk.errors import StoreError
from kiosk.rules.grant import Refusal, RefusalReason
from kiosk.rules.presentation import FrameOutcome, Left, Ready, View
from kiosk.store.decision_log import NewDecision
from kiosk.types import Status

CONFIRM_S = 2.0  # within which the person must be seen again after a late answer about them

log = logging.getLogger("kiosk.judge")

Confirm = Callable[[View, float], bool]
"""Says whether a frame shows the judged person alone and well, at this monotonic time: `Presenter.confirm`."""


@dataclass(slots=True)
class _Asking:
    """A borderline decision about which the cloud is being asked."""

    decision: DoorDecision
    ready: Ready
    answer: NewDecision | None = field(default=None, repr=False)  # set by the thread that asks
    answered_at: float = float("inf")  # monotonic s


@dataclass(frozen=True, slots=True)
class _Late:
    """An approval whose frame had grown too old by the time the disk had the record."""

    decision: DoorDecision
    since: float  # monotonic s


class PendingApproval:
    """The decision that may still open although its frame is too old. One thread's."""

    def __init__(
        self,
        entrance: Entrance,
        announcer: Announcer,
        *,
        open_door: Callable[[DoorDecision], Refusal | None],
        second: Callable[[NewDecision, Mapping[str, bytes]], NewDecision],
        clock: Callable[[], float],
        beside: Callable[[Callable[[], None]], None],
    ) -> None:
        """Put the parts together.

        Args:
            entrance: records what the cloud said, and knows whether an approval still stands.
            announcer: tells of what comes of it.
            open_door: asks the relay; returns why it did not move.
            second: asks the cloud, as `Outgoing.second`.
            clock: monotonic s, the camera's.
            beside: runs what must not hold up the frames.
        """
        self._entrance, self._announcer = entrance, announcer
        self._open_door, self._second, self._clock, self._beside = open_door, second, clock, beside
        self._asking: _Asking | None = None
        self._late: _Late | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the person is to wait for the disk or the cloud."""
        return self._asking is not None or self._late is not None

    def conclude(self, decided: DoorDecision, refusal: Refusal | None) -> None:
        """Tell of a decision; where only the disk was slow, first look whether its person stands there still."""
        if refusal is not None and refusal.reason is RefusalReason.FRAME_TOO_OLD:
            self._late = _Late(decided, self._clock())
            age_ms = (self._late.since - decided.captured_at) * 1000.0
            log.warning("late request_id=%s age_ms=%.0f reason='recording took too long'", decided.request_id, age_ms)
        else:
            self._tell(decided, refusal)

    def _tell(self, decided: DoorDecision, refusal: Refusal | None) -> None:
        """Tell of a decision; first put into the log why an approval opened nothing, so that whoever looks sees it."""
        if refusal is not None:
            try:
                note_unopened(self._entrance.device.store, decided, refusal)
            except StoreError as error:  # nothing opened, and the person is told so all the same
                log.warning("unopened request_id=%s unrecorded=%r", decided.request_id, str(error))
        self._announcer.decision(decided, refusal)

    def ask(self, decided: DoorDecision, question: Question, ready: Ready) -> None:
        """Ask the cloud beside the frames; the answer is heard by `follow`, or nobody hears it."""
        asking = self._asking = _Asking(decided, ready)

        def ask() -> None:
            answer = self._second(question.decision, question.photographs)
            asking.answered_at, asking.answer = self._clock(), answer  # in this order: the answer is the signal

        self._beside(ask)

    def follow(self, outcome: FrameOutcome, view: View, now: float, confirm: Confirm) -> bool:
        """Take the next frame; say whether it let the person in who stands there.

        Args:
            outcome: what the presenter makes of the frame.
            view: what the frame shows.
            now: monotonic s.
            confirm: compares the frame with the judged person.

        Raises:
            KioskError: the store or a network failed; what waits for the disk waits on.
        """
        if self._late is not None:
            return self._catch_up(self._late, outcome, view, now, confirm)
        if self._asking is not None:
            return self._hear(self._asking, outcome, view, now, confirm)
        return False

    def give_up(self) -> None:
        """Tell of an approval that came too late, and that nothing opened."""
        if self._late is not None:
            decided, self._late = self._late.decision, None
            self._tell(decided, Refusal(RefusalReason.FRAME_TOO_OLD))

    def end(self) -> None:
        """Wait for nothing more: whoever is seen next cannot be compared with the one who was judged."""
        self.give_up()
        self._asking = None

    def _catch_up(self, late: _Late, outcome: FrameOutcome, view: View, now: float, confirm: Confirm) -> bool:
        """Open by a frame of now for an approval that came too late, while its person is seen to stand there still."""
        if isinstance(outcome, Left) or now - late.since > CONFIRM_S:
            self.give_up()
        elif confirm(view, now):
            stands = self._entrance.still_stands(late.decision)  # a store that cannot say leaves it to the next frame
            self._late, fresh = None, replace(late.decision, captured_at=view.captured_at)
            refusal = self._open_door(fresh) if stands else Refusal(RefusalReason.WITHDRAWN)
            self._tell(late.decision, refusal)
            return refusal is None
        return False

    def _hear(self, asking: _Asking, outcome: FrameOutcome, view: View, now: float, confirm: Confirm) -> bool:
        """Take the cloud's answer, and open for it only while the person is seen to stand there still."""
        answer, is_gone = asking.answer, isinstance(outcome, Left)
        if answer is None:
            self._asking = None if is_gone else asking
            return False
        is_late = now - asking.answered_at > CONFIRM_S
        is_approval = answer.status == Status.APPROVED.value
        if is_approval and not is_gone and not is_late and not confirm(view, now):
            return False  # perhaps in the next frame
        self._asking = None
        revised = self._entrance.revise(asking.decision, asking.ready, answer, view.captured_at)
        if revised is None:
            return False
        is_confirmed = is_approval and not is_gone and not is_late
        if revised.may_open and not is_confirmed:
            self._tell(revised, Refusal(RefusalReason.FRAME_TOO_OLD))
            return False
        refusal = self._open_door(revised) if revised.may_open else None
        self.conclude(revised, refusal)
        return revised.status is Status.APPROVED and is_confirmed and refusal is None

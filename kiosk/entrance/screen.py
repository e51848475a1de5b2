"""What is told of one person at the door: the screen's state, the lamps, and the news for operators.

The state is the truth and the message is made from it; nobody reads the message back.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any

from kiosk.device.enrol import EnrolmentResult
from kiosk.door.door import Door
from kiosk.door.signals import Signal
from kiosk.entrance.decide import DoorDecision
from kiosk.entrance.news import Broadcast, PublishedDecision, Topic
from kiosk.health.monitor import Monitor
from kiosk.recognition.flash import EACH_S
from kiosk.recognition.judgement import Prompt
from kiosk.rules.admission import DoorReason
from kiosk.rules.conditions import Allowed, Condition, allowed
from kiosk.rules.grant import Refusal, RefusalReason
from kiosk.rules.passes import PassRefusal
from kiosk.rules.patience import Tries
from kiosk.rules.presentation import Decided, FrameOutcome, Guidance, TimedOut, Waiting
from kiosk.store.chain import Kind
from kiosk.types import Status, SubjectId

SCREEN_STEP_S = 0.1  # between two pieces of news of which only the face's place differs

log = logging.getLogger("kiosk.judge")

Place = tuple[float, float, float, float]
"""A face's box, xyxy, in shares of the frame's width and height."""


class ScreenState(str, Enum):
    """Which of its pictures the screen shows."""

    IDLE = "idle"  # nobody is there
    GUIDE = "guide"  # somebody is followed, and hears what to do
    BUSY = "busy"  # a decision is on its way, or its person is to step away
    RESULT = "result"
    FACTOR = "factor"  # a card or a PIN is asked for
    LOCKED = "locked"  # after declines in a row
    CLOSED = "closed"  # nobody is judged


class Result(str, Enum):
    """What the person is told of a decision: never why, and a blocked person what a stranger is told."""

    WELCOME = "welcome"
    REVIEW = "review"
    DECLINED = "declined"
    CHECKED = "checked"
    ENROLLED = "enrolled"
    NOT_ENROLLED = "not_enrolled"
    UNCLEAR = "unclear"  # it could not be seen that a person stands there; never which cue or challenge
    AGAIN = "again"  # known, but too late to open: the same person may simply look again
    FULL = "full"  # known, and nobody more may be inside now
    SECOND = "second"  # known, and another person is to follow
    NOT_OPENED = "not_opened"  # known, but the door opens for nobody by face now
    VISITOR = "pass_look"  # a visitor's pass is good, and their face is asked for


RESULTS = MappingProxyType(
    {Status.APPROVED: Result.WELCOME, Status.IN_REVIEW: Result.REVIEW, Status.DECLINED: Result.DECLINED}
)
LAMPS = MappingProxyType(
    {
        ScreenState.IDLE: Signal.IDLE,
        ScreenState.GUIDE: Signal.LOOKING,
        ScreenState.FACTOR: Signal.LOOKING,
        ScreenState.LOCKED: Signal.LOCKED_OUT,
        ScreenState.CLOSED: Signal.FAULT,
    }
)
"""What the lamps show with a state; a decision and its relay show the rest."""

UNOPENED = MappingProxyType(
    {
        RefusalReason.FRAME_TOO_OLD: Result.AGAIN,
        RefusalReason.CLOCK_JUMPED: Result.AGAIN,
        RefusalReason.ALREADY_USED: Result.AGAIN,
        RefusalReason.LOG_ONLY: Result.NOT_OPENED,
        RefusalReason.CLOSED: Result.NOT_OPENED,
        RefusalReason.NO_SUPERVISOR: Result.NOT_OPENED,
        RefusalReason.NO_CARD: Result.NOT_OPENED,
        RefusalReason.PASSBACK: Result.NOT_OPENED,
        RefusalReason.LOCKDOWN: Result.NOT_OPENED,
        RefusalReason.INTERLOCK: Result.AGAIN,
        RefusalReason.NEIGHBOUR_LOST: Result.NOT_OPENED,
        RefusalReason.FULL: Result.FULL,
        RefusalReason.SUSPENDED: Result.DECLINED,  # told what a stranger is told
        RefusalReason.SECOND_PERSON: Result.SECOND,
        RefusalReason.PASSAGES_UNKNOWN: Result.NOT_OPENED,
        RefusalReason.WITHDRAWN: Result.DECLINED,  # blocked, declined or forgotten since: told what a stranger is told
    }
)
"""What the person is told of an approval that opened nothing."""

PASS_S = 5.0  # for which the screen shows what became of a pass

OTHER_WAY = (Result.UNCLEAR, Result.NOT_OPENED)  # results that offer another way in


@dataclass(frozen=True, slots=True)
class ShownChallenge:
    """What the screen asks, so that a person is told from a picture."""

    kind: str  # of challenges.Kind
    side: str | None  # of a turn: the person's own, which is the screen's as they see it
    number: int  # of this one, from 1
    count: int  # of those that must be met
    attempt: int  # from 1, over all that were asked
    progress: float  # 0..1, of the movement
    is_wrong_way: bool
    colours: tuple[str, ...] = ()  # of a flash: full-screen, one after the other, "#rrggbb"
    each_s: float = 0.0  # how long each stays

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is published: JSON."""
        return {**asdict(self), "colours": list(self.colours)}


@dataclass(frozen=True, slots=True)
class ShownFactor:
    """What the screen asks for beside the face."""

    wants: str  # of rules.factors.Factor
    tries_left: int
    wrong: int  # tries so far


def shown_challenge(prompt: Prompt) -> ShownChallenge:
    """Return what a prompt has the screen show."""
    challenge, colours = prompt.challenge, prompt.colours
    return ShownChallenge(
        challenge.kind.value,
        challenge.side.value if challenge.side is not None else None,
        prompt.number,
        prompt.count,
        prompt.attempt,
        0.0 if colours else round(prompt.progress, 2),
        prompt.is_wrong_way,
        tuple("#{:02x}{:02x}{:02x}".format(*one.colour) for one in colours),
        EACH_S if colours else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Screen:
    """What the screen shows: all that anybody in front of the kiosk may see."""

    state: ScreenState
    guidance: Guidance | None = None
    result: Result | PassRefusal | None = None  # a refused pass says why: it is no secret, and its holder can mend it
    other_way: bool = False  # another way in is offered
    held_s: int = 0  # until somebody is judged again
    reasons: tuple[str, ...] = ()  # the degraded states that close the kiosk
    is_locked_down: bool = False  # the door lets nobody in but those the settings name
    mode: str = ""  # of [entrance] mode
    face: Place | None = None
    challenge: ShownChallenge | None = None
    factor: ShownFactor | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is published: JSON."""
        return {
            "guidance": self.guidance.value if self.guidance is not None else None,
            "result": self.result.value if self.result is not None else None,
            "other_way": self.other_way,
            "held_s": self.held_s,
            "reasons": list(self.reasons),
            "state": self.state.value,
            "mode": self.mode,
            "face": list(self.face) if self.face is not None else None,
            "challenge": self.challenge.as_dict() if self.challenge is not None else None,
            "factor": asdict(self.factor) if self.factor is not None else None,
            "is_locked_down": self.is_locked_down,
        }

    def without_movement(self) -> Screen:
        """Return it without what changes with every frame."""
        challenge = replace(self.challenge, progress=0.0) if self.challenge is not None else None
        return replace(self, face=None, challenge=challenge)


class Announcer:
    """Tells screen, lamps, operators and the log. Its screen is one thread's; `enrolment` is safe in any."""

    def __init__(self, news: Broadcast, monitor: Monitor, door: Door | None) -> None:
        """Take who hears the news, the degraded states, and the door with its lamps, if there is one."""
        self._news, self._monitor, self._door = news, monitor, door
        self.has_relay = door is not None
        """Whether this kiosk opens anything itself: by its own relay, or a reader's."""

        self._screen: Screen | None = None
        self._shown_at = float("-inf")  # monotonic s
        self._result: Result | None = None
        self._pass: tuple[Result | PassRefusal, float] | None = (
            None  # what became of a visitor pass, and until when it is shown
        )

    # ---- decisions

    def decision(self, decided: DoorDecision, refusal: Refusal | None) -> None:
        """Tell of a decision.

        Args:
            decided: as it was saved.
            refusal: why the door did not open for it, where it should have.
        """
        self._pass = None
        is_open = decided.may_open and refusal is None and self.has_relay
        self._result = Result.CHECKED if decided.kind is Kind.FACE_SEARCH else RESULTS[decided.status]
        if decided.may_open and refusal is not None:
            self._result = UNOPENED[refusal.reason]
        if DoorReason.LIVENESS_UNDETERMINED.value in decided.reasons:
            self._result = Result.UNCLEAR
        reasons = [*decided.reasons, *([refusal.reason.value, *refusal.states] if refusal is not None else [])]
        if self._door is not None:
            lamp = Signal.GRANTED if is_open else Signal.DECLINED
            self._door.show(Signal.IDLE if decided.kind is Kind.FACE_SEARCH else lamp)
        subject = decided.subject
        self._news.publish_decision(
            PublishedDecision(
                decided.request_id,
                decided.kind.value,
                decided.status.value,
                decided.score,
                tuple(reasons),
                is_alarm=decided.is_alarm,
                at=decided.at,
                session_number=subject.session_number if subject is not None else None,
                name=subject.details.name if subject is not None else None,
                is_opened=is_open,
            )
        )
        log.log(
            logging.WARNING if decided.is_alarm or (decided.may_open and refusal is not None) else logging.INFO,
            "decision request_id=%s kind=%s status=%s reasons=%s score=%s opened=%s",
            decided.request_id,
            decided.kind.value,
            decided.status.value.replace(" ", "_"),
            ",".join(reasons),
            decided.score,
            is_open,
        )

    def passed(
        self,
        what: str,
        result: Result | PassRefusal,
        name: str,
        why: str,
        now: float,
        *,
        request_id: str | None = None,
        shown_s: float = PASS_S,
    ) -> None:
        """Tell of a visitor pass.

        Args:
            what: opened, waits, refused: as its record has it.
            result: what the screen says.
            name: of the pass; empty where it could not be read.
            why: what is asked for, or why it was refused.
            now: monotonic s.
            request_id: of its record, where it was to open.
            shown_s: how long the screen says so.
        """
        self._pass = result, now + shown_s
        if self._door is not None and result is not Result.VISITOR:
            self._door.show(Signal.GRANTED if result is Result.WELCOME else Signal.DECLINED)
        log.info("pass what=%s pass=%s why=%s", what, name, why)
        door = self._door.state.value if self._door is not None else ""
        about = {"what": what, "state": door, "decision": request_id or "", "pass": name, "why": why}
        self._news.publish(Topic.DOOR, {**about, "at": self._news.now})

    def duress(self, decided: DoorDecision | None, number: SubjectId, now: float) -> None:
        """Raise the silent alarm of a PIN that was entered under duress: for the neighbours, never for a screen.

        Args:
            decided: the decision; None where it could not be saved.
            number: who was asked for the PIN.
            now: s UTC, where there is no decision.
        """
        request_id, at = (None, now) if decided is None else (decided.request_id, decided.at)
        self._news.publish(Topic.DURESS, {"request_id": request_id, "session_number": number, "at": at})

    def look_again(self) -> None:
        """Tell the person of the last decision to look again: they were not seen all the time."""
        self._result = Result.AGAIN

    def forget_result(self) -> None:
        """Show no result any more: its person has left, or the next decision begins."""
        self._result = None

    def fault(self) -> None:
        """Show by the lamps that something failed."""
        if self._door is not None:
            self._door.show(Signal.FAULT)

    # ---- enrolments

    def enrolment(
        self,
        name: str,
        state: str,
        sentence: str,
        number: SubjectId | None = None,
        *,
        guidance: Guidance | None = None,
        portrait_score: int | None = None,
    ) -> None:
        """Tell how far a guided enrolment is; `name` is its id, `state` as `RunningKiosk.begin_enrolment` has them."""
        told = guidance.value if guidance is not None else None
        said = {"id": name, "state": state, "sentence": sentence, "guidance": told, "session_number": number}
        self._news.publish(Topic.ENROLMENT, {**said, "portrait_score": portrait_score})

    def enrolment_over(self, name: str, outcome: EnrolmentResult) -> None:
        """Tell what became of a guided enrolment, on the screen too."""
        self._result = Result.ENROLLED if outcome.is_stored else Result.NOT_ENROLLED
        number = outcome.subject.session_number if outcome.subject is not None else None
        self.enrolment(name, outcome.kind, outcome.sentence, number, portrait_score=outcome.portrait_score)
        log.info("enrolment id=%s outcome=%s", name, outcome.kind)

    # ---- the screen

    @property
    def is_guiding(self) -> bool:
        """Whether the screen guides somebody who is followed."""
        return self._screen is not None and self._screen.state is ScreenState.GUIDE

    def show(
        self,
        outcome: FrameOutcome | None,
        now: float,
        *,
        mode: str,
        tries: Tries,
        is_pending: bool,
        asked: ShownFactor | None = None,
        face: Place | None = None,
        enrolment: str | None = None,
        prompt: Prompt | None = None,
    ) -> None:
        """Show what a frame has brought; what is shown already is not published again.

        Args:
            outcome: of the frame; None where none came.
            now: monotonic s.
            mode: of [entrance] mode.
            tries: the declines in a row.
            is_pending: a decision waits for its person or for the cloud.
            asked: what somebody is asked for beside their face.
            face: where the largest face is.
            enrolment: id of the guided enrolment that waits for its person.
            prompt: what its person is asked, so that they are told from a picture.
        """
        is_locked_down = Condition.LOCKDOWN.value in self._monitor.states()
        screen = self._next(outcome, now, tries, asked, is_pending=is_pending)
        screen = replace(screen, mode=mode, face=face, is_locked_down=is_locked_down)
        if screen.state is ScreenState.GUIDE and prompt is not None:
            screen = replace(screen, challenge=shown_challenge(prompt))
        before, is_moved = self._screen, screen != self._screen
        is_new = before is None or screen.without_movement() != before.without_movement()
        if not is_new and not (is_moved and now - self._shown_at >= SCREEN_STEP_S):
            return
        if is_new and self._door is not None and screen.state in LAMPS:
            self._door.show(LAMPS[screen.state])
        if is_new and screen.state is ScreenState.GUIDE and enrolment is not None:
            self.enrolment(enrolment, "waiting", "", guidance=screen.guidance)
        self._screen, self._shown_at = screen, now
        self._news.publish(Topic.SCREEN, screen.as_dict())

    def _of_pass(self, outcome: FrameOutcome | None, now: float) -> Result | PassRefusal | None:
        """Return what is said of a visitor's pass now; whoever is asked to look, and does, is guided instead."""
        if self._pass is not None and now >= self._pass[1]:
            self._pass = None
        result = self._pass[0] if self._pass is not None else None
        is_followed = isinstance(outcome, Waiting | TimedOut | Decided)
        return None if result is Result.VISITOR and is_followed else result

    def _next(
        self, outcome: FrameOutcome | None, now: float, tries: Tries, asked: ShownFactor | None, *, is_pending: bool
    ) -> Screen:
        """Return what is to be shown, but for the mode and the face's place."""
        states, table = self._monitor.states(), self._monitor.table
        if allowed(states, table) is Allowed.CLOSED:
            closing = sorted(state for state in states if table.get(state, Allowed.CLOSED) is Allowed.CLOSED)
            return Screen(ScreenState.CLOSED, reasons=tuple(closing))
        if asked is not None or is_pending:
            busy = Screen(ScreenState.BUSY, Guidance.WAIT)
            return busy if asked is None else Screen(ScreenState.FACTOR, factor=asked)
        if (passed := self._of_pass(outcome, now) or self._result) is not None:
            step_away = outcome.guidance if isinstance(outcome, Decided) else None
            return Screen(ScreenState.RESULT, step_away, passed, other_way=passed in OTHER_WAY)
        if tries.is_held(now):
            return Screen(ScreenState.LOCKED, other_way=True, held_s=math.ceil(tries.held_until - now))
        if isinstance(outcome, Waiting | TimedOut):
            is_offered = self._screen is not None and self.is_guiding and self._screen.other_way
            other_way = isinstance(outcome, TimedOut) or is_offered  # once offered, for as long as they are guided
            return Screen(ScreenState.GUIDE, outcome.guidance, other_way=other_way)
        return Screen(ScreenState.BUSY, outcome.guidance) if isinstance(outcome, Decided) else Screen(ScreenState.IDLE)

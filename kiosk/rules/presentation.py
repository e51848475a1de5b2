"""One person stepping up: which frames are theirs, when a decision is asked for, and when the next person's turn is.

Nobody → Waiting … Waiting → Ready → Decided … Decided → Left → Nobody. Ready comes once for each person.

Pure: frames and the clock are handed in. All times here are seconds of one monotonic clock, the camera's included;
a wall clock may be set at any moment and would make old frames new.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from kiosk.recognition.embed import fuse
from kiosk.recognition.match import ScoreScale, compare
from kiosk.recognition.quality import Quality
from kiosk.rules.grant import FRAME_AGE_LIMIT_S
from kiosk.rules.limits import Limits
from kiosk.types import Face, Template

TILT_HIGH_DEG = 45.0
"""Of the line between the eyes: nobody stands at a door with the head on its side, but a photograph may be held so."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one frame shows, and the two measurements that cost something; they are called only when wanted."""

    number: int  # rises with each frame of a camera; gaps are frames that nobody looked at
    captured_at: float  # monotonic s
    size_wh: tuple[int, int]  # px
    faces: Sequence[Face]  # all that were found, with the landmarks that `measure` and `extract` want
    measure: Callable[[Face], Quality]
    extract: Callable[[Face], Template]


class Guidance(str, Enum):
    """What the person in front of the screen should do."""

    COME_CLOSER = "come_closer"
    STEP_BACK = "step_back"
    MOVE_TO_THE_MIDDLE = "move_to_the_middle"
    TURN_TO_CAMERA = "turn_to_camera"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    HOLD_STILL = "hold_still"
    ONE_AT_A_TIME = "one_at_a_time"
    STEP_AWAY = "step_away"  # decided; step away and come back for another try
    WAIT = "wait"


class Disorder(str, Enum):
    """Why a frame counts for nothing."""

    NOT_NEWER = "not_newer"  # than the last one
    TOO_LATE = "too_late"  # it waited too long to be about now
    FROM_THE_FUTURE = "from_the_future"
    CLOCK_JUMPED = "clock_jumped"


@dataclass(frozen=True, slots=True)
class Nobody:
    """There is no face in front of the kiosk."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody is there; nothing is decided yet."""

    guidance: Guidance


@dataclass(frozen=True, slots=True)
class TimedOut:
    """As Waiting, once, when it took too long: time to offer another way in. A decision may still follow."""

    guidance: Guidance


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """Decide now, about this probe; it is the only time for this person."""

    probe: Template  # fused from `templates`
    templates: tuple[Template, ...]  # of `frames`, in their order
    qualities: tuple[Quality, ...]  # likewise
    frames: tuple[int, ...]  # their numbers, rising; the last is the newest frame
    best_frame: int  # of them, the one of best quality
    captured_at: float  # monotonic s, of the newest
    liveness: Mapping[str, Any] | None = None  # for the log: how it was told from a photograph; None where that is off


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision was asked for; nothing more follows until the person has left."""

    guidance: Guidance  # STEP_AWAY for the one who was judged, WAIT while nobody or another stands there


@dataclass(frozen=True, slots=True)
class Left:
    """The person is gone; the kiosk is armed for the next one."""

    was_decided: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """The frame counts for nothing, neither for nor against anybody."""

    why: Disorder


FrameOutcome: TypeAlias = Nobody | Waiting | TimedOut | Ready | Decided | Left | Ignored


def inspect(face: Face, view: View, limits: Limits) -> Quality | Guidance:
    """Return a face's quality if it may be judged, else what would mend it; one answer for screen and decision.

    Anything that is no number is an objection.
    """
    if guidance := _misplaced(face, view.size_wh, limits):
        return guidance
    quality = view.measure(face)
    return unfit(quality, limits) or quality


def _misplaced(face: Face, size_wh: tuple[int, int], limits: Limits) -> Guidance | None:
    width, height = size_wh
    edge = _edge(face)
    if not edge >= limits.face_low_px:
        return Guidance.COME_CLOSER
    if not edge <= limits.face_high_share * min(width, height):
        return Guidance.STEP_BACK
    if not ((face.landmarks >= 0.0).all() and (face.landmarks <= (width - 1, height - 1)).all()):
        return Guidance.MOVE_TO_THE_MIDDLE
    across, down = (face.landmarks[1] - face.landmarks[0]).tolist()
    if not abs(math.degrees(math.atan2(down, across))) <= TILT_HIGH_DEG:
        return Guidance.TURN_TO_CAMERA
    return None


def unfit(quality: Quality, limits: Limits) -> Guidance | None:
    """Return what would mend a face's light, pose or sharpness; None where they are good enough to be judged."""
    if not quality.luminance >= limits.luminance_low:
        return Guidance.TOO_DARK
    if not quality.luminance <= limits.luminance_high:
        return Guidance.TOO_BRIGHT
    if not quality.frontality >= limits.frontality_low:
        return Guidance.TURN_TO_CAMERA
    if not (quality.contrast >= limits.contrast_low and quality.sharpness >= limits.sharpness_low):
        return Guidance.HOLD_STILL
    return None


def overlap(one: Face, other: Face) -> float:
    """Return the intersection over union of two boxes."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = one.box.tolist(), other.box.tolist()
    common = max(0.0, min(x2, u2) - max(x1, u1)) * max(0.0, min(y2, v2) - max(y1, v1))
    return float(common / max(one.area + other.area - common, 1e-9))


def shift(one: Face, other: Face) -> float:
    """Return how far the centres of two boxes lie apart, in widths of the face."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = one.box.tolist(), other.box.tolist()
    apart = math.hypot(x1 + x2 - u1 - u2, y1 + y2 - v1 - v2) / 2.0
    return float(apart) / max((_edge(one) + _edge(other)) / 2.0, 1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A frame that may be part of the decision."""

    number: int
    captured_at: float
    worth: float  # by what was measured on pixels, which is known before the template is
    rank: float
    quality: Quality
    template: Template


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """The one who is followed before the decision."""

    face: Face
    seen_at: float
    kept: tuple[_Kept, ...] = ()
    gathered_from: float = math.inf  # when the first good frame was taken, kept or not


@dataclass(frozen=True, slots=True)
class _Attendance:
    """That somebody stands there, whoever it is."""

    since: float
    seen_at: float
    guidance: Guidance
    is_told: bool = False  # of the other way in


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """The one a decision was asked for."""

    probe: Template
    gone_since: float = math.inf
    checked_at: float = -math.inf
    is_other: bool = False  # whether the face at the last check was clearly another's


class Presenter:
    """Follows one person after the other; not for several threads."""

    def __init__(self, limits: Limits, scale: ScoreScale) -> None:
        self._limits = limits
        self._same_cosine = scale.cosine(limits.same_person_score)
        self._other_cosine = scale.cosine(limits.other_person_score)
        self._number = -1
        self._captured_at = -math.inf
        self._now = -math.inf
        self._attendance: _Attendance | None = None
        self._subject: _Subject | None = None
        self._judged: _Judged | None = None

    @property
    def kept_frames(self) -> tuple[int, ...]:
        """Numbers of the frames that may become part of the next decision."""
        return tuple(one.number for one in self._subject.kept) if self._subject is not None else ()

    def interrupt(self) -> None:
        """Begin anew with another run of frames, after a camera was opened again.

        What was gathered is dropped, as nobody knows who stood there meanwhile; who was decided stays so.
        """
        self._number = -1
        self._forget_gathered()

    def drop_gathered(self) -> None:
        """Gather anew: the frames so far are no part of the decision."""
        self._subject = None

    def end(self, view: View) -> Ready:
        """End the presentation with this frame alone, whatever its quality; it must show a face.

        For a presentation that is refused: it counts as decided, and its person is to step away.

        Raises:
            KioskError: whatever `extract` raises.
        """
        face = view.faces[0]
        probe = view.extract(face)
        self._judged, self._subject, self._attendance = _Judged(probe), None, None
        return Ready(probe, (probe,), (view.measure(face),), (view.number,), view.number, view.captured_at)

    def see(
        self, view: View, now: float, *, is_armed: bool = True, may_end: bool = True, hidden_s: float = 0.0
    ) -> FrameOutcome:
        """Take the next frame.

        Args:
            view: what it shows.
            now: monotonic s.
            is_armed: off while nobody may be judged (a lock-out, a failed self-test); people are asked to wait.
            may_end: off while it is not known whether a person stands there; frames are gathered, no more.
            hidden_s: least time without any face until the judged person has left, where they are asked for something.

        Raises:
            KioskError: whatever `extract` raises; the frame then counts for nothing.
        """
        if disorder := self._disorder(view, now):
            return Ignored(disorder)
        is_broken_off = view.captured_at - self._captured_at > self._limits.blink_s
        self._number, self._captured_at = view.number, view.captured_at
        if is_broken_off:
            self._forget_gathered()
        people = [face for face in view.faces if not _edge(face) < self._limits.bystander_px]  # a NaN is somebody
        if self._judged is not None:
            return self._watch_leave(self._judged, view, people, hidden_s)
        if not people:
            return self._miss(view)
        outcome = self._follow(view, people, is_armed=is_armed, may_end=may_end)
        return outcome if isinstance(outcome, Ready) else self._attend(outcome, view.captured_at)

    def _disorder(self, view: View, now: float) -> Disorder | None:
        if not now >= self._now or not math.isfinite(now):
            self._forget_gathered()
            self._attendance = None
            if math.isfinite(now):  # go by the clock as it is now, else a forward jump and back would shut the door
                self._now = self._captured_at = now
            return Disorder.CLOCK_JUMPED
        self._now = now
        if not view.captured_at <= now:
            self._forget_gathered()
            return Disorder.FROM_THE_FUTURE
        if view.number <= self._number or view.captured_at <= self._captured_at:
            return Disorder.NOT_NEWER
        if not now - view.captured_at <= FRAME_AGE_LIMIT_S:
            return Disorder.TOO_LATE
        return None

    def _forget_gathered(self) -> None:
        self._subject = None
        if self._judged is not None:
            self._judged = _Judged(self._judged.probe)

    # ---- before the decision

    def _miss(self, view: View) -> FrameOutcome:
        here = self._attendance
        if here is None:
            return Nobody()
        if view.captured_at - here.seen_at <= self._limits.blink_s:
            return Waiting(here.guidance)
        self._attendance = self._subject = None
        return Left(was_decided=False)

    def _attend(self, guidance: Guidance, at: float) -> FrameOutcome:
        here = self._attendance
        since = at if here is None or guidance is Guidance.WAIT else here.since
        is_told = here is not None and here.is_told
        is_late = at - since > self._limits.patience_s and not is_told
        self._attendance = _Attendance(since, at, guidance, is_told or is_late)
        return TimedOut(guidance) if is_late else Waiting(guidance)

    def _follow(self, view: View, people: Sequence[Face], *, is_armed: bool, may_end: bool) -> Guidance | Ready:
        """Go on with the subject, or begin with a new one; say what is in the way, or that all is there."""
        if len(people) > 1:
            self._subject = None  # whoever was gathered may be either of them from here on
            return Guidance.ONE_AT_A_TIME
        face, at, limits = people[0], view.captured_at, self._limits
        known, self._subject = self._subject, _Subject(face, at)
        if not is_armed:
            return Guidance.WAIT
        speed = 0.0
        if known is not None and self._is_in_place(known, face, at):
            kept = tuple(one for one in known.kept if at - one.captured_at <= limits.keep_s)
            self._subject = replace(self._subject, kept=kept, gathered_from=known.gathered_from if kept else math.inf)
            speed = shift(known.face, face) / (at - known.seen_at)
        quality = inspect(face, view, limits)
        if isinstance(quality, Guidance):
            return quality
        if not speed <= limits.speed_high:
            return Guidance.HOLD_STILL
        return self._gather(self._subject, view, quality, may_end=may_end)

    def _is_in_place(self, known: _Subject, face: Face, at: float) -> bool:
        return (
            at - known.seen_at <= self._limits.blink_s
            and overlap(known.face, face) >= self._limits.overlap_low
            and shift(known.face, face) <= self._limits.shift_high
        )

    def _gather(self, subject: _Subject, view: View, quality: Quality, *, may_end: bool) -> Guidance | Ready:
        """Keep a good frame if it is among the best; the newest is always part of the decision."""
        limits, at = self._limits, view.captured_at
        worth = quality.frontality * math.log1p(quality.sharpness)
        kept, since = subject.kept, min(subject.gathered_from, at)
        is_last = may_end and len(kept) + 1 >= limits.frames and at - since >= limits.gather_s
        if not is_last and len(kept) >= limits.frames and worth <= min(one.worth for one in kept):
            return Guidance.HOLD_STILL
        template = view.extract(subject.face)
        # How well the model knew the face predicts a miss better than what is measured on pixels; so where it tells,
        # it decides which frames are kept.
        rank = worth if template.quality is None else template.quality
        this = _Kept(view.number, at, worth, rank, quality, template)
        if any(compare(template, one.template) < self._same_cosine for one in kept):  # another person in the same place
            self._subject = _Subject(subject.face, at, (this,), at)
            return Guidance.HOLD_STILL
        best = sorted(kept, key=lambda one: one.rank)[max(0, len(kept) + 1 - limits.frames) :]
        chosen = (*sorted(best, key=lambda one: one.number), this)
        self._subject = replace(subject, kept=chosen, gathered_from=since)
        if not is_last:
            return Guidance.HOLD_STILL
        templates = tuple(one.template for one in chosen)
        probe = fuse(templates)
        self._judged, self._subject, self._attendance = _Judged(probe), None, None
        best_frame = max(chosen, key=lambda one: (one.rank, one.number)).number
        qualities = tuple(one.quality for one in chosen)
        return Ready(probe, templates, qualities, tuple(one.number for one in chosen), best_frame, at)

    # ---- after the decision

    def confirm(self, view: View, now: float) -> bool:
        """Say whether a frame shows the judged person alone and well: fresh evidence for a late answer about them."""
        people = [face for face in view.faces if not _edge(face) < self._limits.bystander_px]
        return (
            self._judged is not None
            and len(people) == 1
            and 0.0 <= now - view.captured_at <= FRAME_AGE_LIMIT_S
            and isinstance(inspect(people[0], view, self._limits), Quality)
            and compare(view.extract(people[0]), self._judged.probe) >= self._same_cosine
        )

    def _watch_leave(self, judged: _Judged, view: View, people: Sequence[Face], hidden_s: float) -> FrameOutcome:
        """Arm again once the judged person was away long enough, by what the frames show all that time."""
        at = view.captured_at
        since = min(judged.gone_since, at)
        is_long = at - since >= (self._limits.rearm_s if people else max(self._limits.rearm_s, hidden_s))
        judged = self._recheck(judged, view, people, is_due=is_long)
        if people and not judged.is_other:
            self._judged = replace(judged, gone_since=math.inf)
            return Decided(Guidance.STEP_AWAY)
        if is_long:
            self._judged = None
            return Left(was_decided=True)
        self._judged = replace(judged, gone_since=since)
        return Decided(Guidance.WAIT)

    def _recheck(self, judged: _Judged, view: View, people: Sequence[Face], *, is_due: bool) -> _Judged:
        """Hold the face in front against the judged one's. Two faces, or a poor one, prove nobody's leaving."""
        if len(people) != 1:
            return replace(judged, checked_at=-math.inf, is_other=False)
        if not is_due and view.captured_at - judged.checked_at < self._limits.recheck_s:
            return judged
        is_other = (
            isinstance(inspect(people[0], view, self._limits), Quality)
            and compare(view.extract(people[0]), judged.probe) < self._other_cosine
        )
        return replace(judged, checked_at=view.captured_at, is_other=is_other)


def _edge(face: Face) -> float:
    """Return the edge of a square as large as the box, px; a NaN stays one."""
    return math.nan if math.isnan(face.area) else math.sqrt(max(face.area, 0.0))

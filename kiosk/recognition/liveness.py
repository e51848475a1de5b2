"""Is a person in front of the camera, or a picture of one? The judgement of one presentation, frame after frame.

Before → Asking → After → Over. Frontal frames before the challenge say who is there; the challenge is asked and
answered; frontal frames after it make the probe, and must be of the same person. A second face, another person or a
gap starts anew. Deny cues veto; nothing is averaged. After ISO/IEC 30107-3: `attack`, `bona_fide`, else `undetermined`,
which opens nothing.

Pure: time, randomness and what the screen shows are handed in. `Liveness` is one thread's, and for one presentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from kiosk.recognition.challenges import (
    Answer,
    Challenge,
    ChallengeLimits,
    Kind,
    Movement,
    Reading,
    is_frontal,
    read_mesh,
)
from kiosk.recognition.cues import (
    Cue,
    CueLimits,
    CueName,
    CueOutcome,
    EmptyScene,
    SpoofNetwork,
    Surroundings,
    covered_cue,
    fits,
    network_cue,
)
from kiosk.recognition.detect import overlap
from kiosk.recognition.flash import Flash, FlashLimits, FlashResult, Shown, end_of
from kiosk.recognition.pad_levels import Asker, Level, Tried
from kiosk.types import Face, Floats, RgbImage, Template

MOST_JUDGED = 15  # frames that the network looks at in one presentation
NEXT_JUDGED_S = 0.05  # between two of them: neighbours say the same
FIRST_COLOUR_S = 0.1  # the screen's time to begin


class Verdict(str, Enum):
    """What a presentation is; the words of ISO/IEC 30107-3."""

    ATTACK = "attack"
    BONA_FIDE = "bona_fide"
    UNDETERMINED = "undetermined"


class Phase(str, Enum):
    """How far a presentation is."""

    BEFORE = "before"  # frontal frames are gathered
    ASKING = "asking"  # the screen shows the challenge
    AFTER = "after"  # frontal frames make the probe
    OVER = "over"


class Hint(str, Enum):
    """What the person should do beside the challenge."""

    LOOK_AHEAD = "look_ahead"
    STEP_BACK = "step_back"
    ONE_AT_A_TIME = "one_at_a_time"


class Restart(str, Enum):
    """Why a presentation began anew in this frame."""

    SECOND_FACE = "second_face"
    OTHER_PERSON = "other_person"
    GAP = "gap"


class Reason(str, Enum):
    """Why a presentation is undetermined; for the operator."""

    NOT_MET = "challenge_not_met"
    TOO_BRIGHT = "too_bright"  # the screen's colours do not show on the face
    TOO_LARGE = "face_too_large"  # or the picture cut too tightly
    TOO_FEW_FRAMES = "too_few_frames"
    NOT_ASKED = "no_challenge"  # the level demands one and none was asked
    TIMED_OUT = "timed_out"
    RESTARTED = "person_changed"


@dataclass(frozen=True, slots=True)
class LivenessLimits:
    """How a presentation is followed."""

    before_frames: int = 2  # frontal, before anything is asked
    after_frames: int = 3  # frontal, after it: the probe
    after_s: float = 0.25  # least time over which these are gathered
    network_yaw_deg: float = 40.0  # largest yaw at which the network looks before anything is asked
    keep_s: float = 1.0  # longest age of one of them
    back_deg: float = 12.0  # largest yaw between one of them and the head before it was asked
    unlike_frames: int = 3  # in a row that are not the person who was there before: it is somebody else
    gap_s: float = 0.5  # longest time without the face
    overlap_low: float = 0.2  # least intersection over union of its box in two frames
    other_face_share: float = 0.25  # of the face's area, from which another face is a second person
    whole_s: float = 30.0  # longest presentation
    challenges: ChallengeLimits = field(default_factory=ChallengeLimits)
    flash: FlashLimits = field(default_factory=FlashLimits)
    cues: CueLimits = field(default_factory=CueLimits)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame of a presentation."""

    number: int  # rises with each frame
    captured_at: float  # s, monotonic; the frames' own clock
    image: RgbImage = field(repr=False)  # (H, W, 3) uint8
    faces: Sequence[Face]  # all that were found, largest first; the first with exact landmarks
    mesh: Floats | None = field(repr=False)  # (468, 2) px of the first; None where the mesh sees no face in it
    template: Callable[[], Template] = field(repr=False)  # of the first; called only when wanted
    shown: tuple[Shown, ...] = ()  # colours the screen says it has shown; empty: as it was asked to


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the screen asks."""

    challenge: Challenge
    number: int  # of this challenge in the presentation, from 1
    count: int  # of the challenges that must be met
    attempt: int  # from 1, over all challenges asked
    until: float  # s, when the answer is late
    progress: float  # 0..1: how far the head is, or how many of the colours have been shown
    is_wrong_way: bool = False
    colours: tuple[Shown, ...] = ()  # of a flash: what to show when, s of the frames' clock


@dataclass(frozen=True, slots=True)
class Asked:
    """One challenge that was asked, and what came of it."""

    challenge: Challenge
    answer: Answer
    asked_at: float  # s
    answered_at: float  # s


@dataclass(frozen=True, slots=True)
class Judgement:
    """The end of a presentation."""

    verdict: Verdict
    score: float  # 0..100; the cue's operating point lies at 30, Didit's default
    level: Level
    cues: tuple[Cue, ...]
    challenges: tuple[Asked, ...]
    model: str  # digest of the network
    reason: Reason | None  # of an undetermined one
    probe_frames: tuple[int, ...]  # numbers of the frontal frames after the challenge, rising; empty unless bona fide
    restarts: tuple[Restart, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """Return what goes into the log: no picture and no template."""
        return {
            "verdict": self.verdict.value,
            "score": self.score,
            "level": self.level.value,
            "reason": self.reason.value if self.reason else None,
            "cues": {
                cue.name.value: {"outcome": cue.outcome.value, "value": cue.value, "threshold": cue.threshold}
                for cue in self.cues
            },
            "challenges": [
                {
                    "kind": one.challenge.kind.value,
                    "side": one.challenge.side.value if one.challenge.side else None,
                    "answer": one.answer.value,
                    "took_s": round(one.answered_at - one.asked_at, 3),
                }
                for one in self.challenges
            ],
            "model": self.model,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame changed: what the screen shows now, and the judgement once there is one."""

    phase: Phase
    hint: Hint | None = None
    prompt: Prompt | None = None
    restarted: Restart | None = None
    judgement: Judgement | None = None


def score_of(median: float, low: float) -> float:
    """Return a network's share on Didit's scale: 0 at 0, 30 at the operating point, 100 at 1.

    >>> score_of(0.2, 0.2), score_of(0.1, 0.2), score_of(1.0, 0.2)
    (30.0, 15.0, 100.0)
    """
    return round(float(np.interp(median, [0.0, low, 1.0], [0.0, 30.0, 100.0])), 2)


@dataclass(slots=True, eq=False)
class _Evidence:
    """What was gathered about whoever stands there; begun anew with the next person."""

    first_at: float | None = None  # when a frontal frame came first in this phase, s
    frontal: int = 0  # frames in this phase
    before: list[Template] = field(default_factory=list)
    after: list[tuple[int, float]] = field(default_factory=list)  # number and time
    shares: list[float] = field(default_factory=list)  # the network's
    judged_at: float = float("-inf")
    covered: float | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    flash: FlashResult | None = None
    met: list[Challenge] = field(default_factory=list)
    is_too_large: bool = False  # in the last frame
    unlike: int = 0  # frames in a row that are not the person of `before`
    rest: list[Reading] = field(default_factory=list)  # of the frontal frames of this phase


class Liveness:
    """Judges one presentation. Feed it every frame with `see`; after the judgement nothing changes any more."""

    def __init__(
        self,
        level: Level,
        asker: Asker,
        network: SpoofNetwork,
        is_same: Callable[[Template, Template], bool],
        *,
        limits: LivenessLimits | None = None,
        scene: EmptyScene | None = None,
        can_ask: bool = True,
        is_mirrored: bool = False,
        colours: Callable[[float], tuple[Shown, ...]] | None = None,
    ) -> None:
        """Wait for the first frame.

        Args:
            level: not `off`: with that, nothing is judged and no object is made.
            asker: draws the challenges; see pad_levels.py.
            network: the passive cue.
            is_same: whether two templates are one person's, by the kiosk's own score and threshold.
            limits: None for the measured ones.
            scene: what the camera sees while nobody is there; None while that is not known.
            can_ask: whether there is a screen, so that cues may ask for a challenge at level passive.
            is_mirrored: the camera shows a mirror image.
            colours: gives the colours of a flash that begins at a time; draws them where a flash is asked.
        """
        if level is Level.OFF:
            raise ValueError("want a level other than off: with that nothing is judged")
        self._level, self._asker, self._network, self._is_same = level, asker, network, is_same
        self._limits = limits or LivenessLimits()
        self._scene, self._can_ask, self._is_mirrored, self._colours = scene, can_ask, is_mirrored, colours
        self._needed = asker.count
        self._phase = Phase.BEFORE
        self._evidence = _Evidence()
        self._hold_s = asker.hold_s()
        self._began_at: float | None = None
        self._seen_at: float | None = None
        self._box: Floats | None = None
        self._movement: Movement | None = None
        self._flash: Flash | None = None
        self._shown: tuple[Shown, ...] = ()
        self._asked_at = 0.0
        self._rest_yaw = 0.0  # of the head before it was asked
        self._challenge: Challenge | None = None
        self._asked: list[Asked] = []
        self._failed: list[Challenge] = []
        self._restarts: list[Restart] = []
        self._judgement: Judgement | None = None

    @property
    def judgement(self) -> Judgement | None:
        """The judgement, once there is one."""
        return self._judgement

    def see(self, seen: Seen) -> Step:
        """Take note of the next frame.

        Raises:
            ModelFileError: the network failed; nothing may open, and `pad_failed` is due.
        """
        if self._judgement is not None:
            return Step(Phase.OVER, judgement=self._judgement)
        now = seen.captured_at
        if self._began_at is None:
            self._began_at = now
        if now - self._began_at > self._limits.whole_s:
            return self._undetermined(self._misfit_reason() or Reason.TIMED_OUT)
        restarted = self._follow(seen)
        if restarted is not None:
            self._start_anew(restarted)
        if restarted is Restart.SECOND_FACE:
            return Step(self._phase, Hint.ONE_AT_A_TIME, restarted=restarted)
        if not seen.faces:
            return Step(self._phase, prompt=self._prompt(now), restarted=restarted)
        reading = read_mesh(seen.mesh, is_mirrored=self._is_mirrored) if seen.mesh is not None else None
        self._look(seen, reading)
        if self._denies():
            return self._conclude(Verdict.ATTACK)
        step = {Phase.BEFORE: self._before, Phase.ASKING: self._ask, Phase.AFTER: self._after}[self._phase]
        return step(seen, reading, restarted)

    def finish(self) -> Judgement:
        """End the presentation: no frame comes any more. Without a verdict so far it is undetermined."""
        if self._judgement is None:
            reason = Reason.NOT_MET if self._phase is Phase.ASKING else self._misfit_reason() or Reason.TOO_FEW_FRAMES
            self._undetermined(reason)
        assert self._judgement is not None
        return self._judgement

    # ---- whoever stands there

    def _follow(self, seen: Seen) -> Restart | None:
        """Say whether this frame still shows the same, single face; a new one begins to be followed."""
        limits, now = self._limits, seen.captured_at
        was_there = self._seen_at is not None
        is_gone = was_there and now - (self._seen_at or 0.0) > limits.gap_s
        if not seen.faces:
            if is_gone:
                self._seen_at = self._box = None
                return Restart.GAP
            return None
        main = seen.faces[0]
        before, self._box, self._seen_at = self._box, main.box, now
        if any(other.area >= limits.other_face_share * main.area for other in seen.faces[1:]):
            return Restart.SECOND_FACE
        if is_gone:
            return Restart.GAP
        if before is not None and float(overlap(before, main.box[np.newaxis])[0]) < limits.overlap_low:
            return Restart.OTHER_PERSON
        return None

    def _start_anew(self, why: Restart) -> None:
        """Forget what was seen; the tries that were used stay used."""
        had_something = self._evidence.frontal > 0 or self._phase is not Phase.BEFORE
        if self._challenge is not None:
            self._failed.append(self._challenge)
        self._evidence = _Evidence()
        self._enter(Phase.BEFORE)
        if had_something:
            self._restarts.append(why)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._evidence.first_at, self._evidence.frontal = None, 0
        self._evidence.after, self._evidence.rest = [], []
        self._movement = self._flash = self._challenge = None
        if phase is Phase.BEFORE:
            self._hold_s = self._asker.hold_s()

    # ---- cues

    def _look(self, seen: Seen, reading: Reading | None) -> None:
        """Gather what the cues say of this frame."""
        evidence, face, now = self._evidence, seen.faces[0], seen.captured_at
        if seen.mesh is not None:
            evidence.surroundings.see(seen.image, face, seen.mesh, now)
        if self._flash is not None or reading is None or not self._is_judgeable(reading):
            return
        if self._scene is not None and evidence.covered is None:
            evidence.covered = self._scene.covered(seen.image)
        evidence.is_too_large = not fits(seen.image, face, self._limits.cues)
        if evidence.is_too_large:
            return
        if len(evidence.shares) < MOST_JUDGED and now - evidence.judged_at >= NEXT_JUDGED_S:
            evidence.judged_at = now
            evidence.shares.append(self._network.judge(seen.image, face))

    def _is_judgeable(self, reading: Reading) -> bool:
        """Whether the network should look: heads that are turned far are not what it was made for."""
        limits = self._limits
        if self._phase is Phase.BEFORE:  # a picture of a turned head is a picture all the same
            return abs(reading.yaw_deg) <= limits.network_yaw_deg
        return is_frontal(reading, limits.challenges)

    def _cues(self) -> tuple[Cue, ...]:
        evidence, limits = self._evidence, self._limits
        cues = [
            network_cue(evidence.shares, limits.cues),
            covered_cue(evidence.covered, limits.cues),
            evidence.surroundings.cue(limits.cues),
        ]
        if evidence.flash is not None:
            shines = evidence.flash.answer is Answer.WRONG
            cues.append(
                Cue(
                    CueName.FLASH,
                    CueOutcome.DENIES if shines else CueOutcome.PASSES,
                    round(evidence.flash.face, 3),
                    limits.flash.follows,
                    f"the face follows the colours by {evidence.flash.face:.2f} (strength "
                    f"{evidence.flash.strength:.2f}), its surroundings by {evidence.flash.around:.2f} "
                    f"({evidence.flash.around_strength:.2f})",
                )
            )
        return tuple(cues)

    def _denies(self) -> bool:
        return any(cue.outcome is CueOutcome.DENIES for cue in self._cues())

    def _misfit_reason(self) -> Reason | None:
        if len(self._evidence.shares) >= self._limits.cues.network_frames:
            return None
        return Reason.TOO_LARGE if self._evidence.is_too_large else None

    # ---- phases

    def _before(self, seen: Seen, reading: Reading | None, restarted: Restart | None) -> Step:
        """Gather frontal frames; then ask, or, where nothing needs asking, decide."""
        limits, evidence, now = self._limits, self._evidence, seen.captured_at
        if reading is None or not is_frontal(reading, limits.challenges):
            evidence.first_at, evidence.frontal, evidence.rest = None, 0, []
            return Step(self._phase, Hint.LOOK_AHEAD, restarted=restarted)
        hint = Hint.STEP_BACK if evidence.is_too_large else None
        if evidence.first_at is None:
            evidence.first_at = now
        evidence.frontal += 1
        evidence.rest.append(reading)
        if not evidence.met and len(evidence.before) < limits.before_frames:
            evidence.before.append(seen.template())
        if evidence.frontal < limits.before_frames or now - evidence.first_at < self._hold_s:
            return Step(self._phase, hint, restarted=restarted)
        if self._is_asking_due():
            return self._begin(now, restarted)
        if self._needed == 0:
            self._rest_yaw = reading.yaw_deg
            self._enter(Phase.AFTER)
            return self._after(seen, reading, restarted)
        return Step(self._phase, hint, restarted=restarted)

    def _is_asking_due(self) -> bool:
        if self._can_ask and self._needed == 0 and self._is_rigid():
            self._needed = 1
        return len(self._evidence.met) < self._needed

    def _is_rigid(self) -> bool:
        return self._evidence.surroundings.cue(self._limits.cues).outcome is CueOutcome.ASKS

    def _begin(self, now: float, restarted: Restart | None) -> Step:
        if (
            len(self._failed) >= self._asker.tries
        ):  # a restart in mid-challenge, or it would serve to choose the challenge
            return self._undetermined(Reason.RESTARTED)
        tried = Tried(tuple(self._evidence.met), tuple(self._failed))
        rest = Reading(
            float(np.median([one.yaw_deg for one in self._evidence.rest])),
            float(np.median([one.mouth for one in self._evidence.rest])),
        )
        self._rest_yaw = rest.yaw_deg
        can_open = rest.mouth <= self._limits.challenges.rest_mouth_high
        challenge = self._asker.next(tried, can_open=can_open)
        self._enter(Phase.ASKING)
        self._challenge, self._asked_at = challenge, now
        if challenge.kind is Kind.FLASH:
            if self._colours is None:
                raise ValueError("a flash was asked where no colours can be drawn")
            self._shown = self._colours(now + FIRST_COLOUR_S)
            self._flash = Flash(self._shown, self._limits.flash)
        else:
            self._movement = Movement(challenge, self._limits.challenges, now, rest)
        return Step(self._phase, prompt=self._prompt(now), restarted=restarted)

    def _ask(self, seen: Seen, reading: Reading | None, restarted: Restart | None) -> Step:
        """Follow the answer to the challenge."""
        now = seen.captured_at
        if self._flash is not None:
            answer = self._see_colours(self._flash, seen)
        else:
            assert self._movement is not None
            answer = self._movement.see(reading or Reading(float("nan"), float("nan")), now)
        if answer is Answer.OPEN:
            return Step(self._phase, prompt=self._prompt(now), restarted=restarted)
        assert self._challenge is not None
        challenge = self._challenge
        self._asked.append(Asked(challenge, answer, self._asked_at, now))
        self._challenge = None
        if self._denies():
            return self._conclude(Verdict.ATTACK)
        if answer is Answer.MET:
            self._evidence.met.append(challenge)
        else:
            self._failed.append(challenge)
        if len(self._failed) >= self._asker.tries:
            return self._undetermined(Reason.TOO_BRIGHT if answer is Answer.UNDETERMINED else Reason.NOT_MET)
        self._enter(Phase.AFTER if len(self._evidence.met) >= self._needed else Phase.BEFORE)
        return Step(self._phase, Hint.LOOK_AHEAD, restarted=restarted)

    def _see_colours(self, flash: Flash, seen: Seen) -> Answer:
        flash.correct(seen.shown)
        self._shown = seen.shown or self._shown
        if seen.mesh is not None:
            flash.see(seen.image, seen.faces[0], seen.mesh, seen.captured_at)
        if seen.captured_at < end_of(self._shown):
            return Answer.OPEN
        self._evidence.flash = flash.result()
        return self._evidence.flash.answer

    def _after(self, seen: Seen, reading: Reading | None, restarted: Restart | None) -> Step:
        """Gather the probe, and decide once it is of the person who was there before."""
        limits, evidence, now = self._limits, self._evidence, seen.captured_at
        is_back = reading is not None and abs(reading.yaw_deg - self._rest_yaw) <= limits.back_deg
        if reading is None or not is_frontal(reading, limits.challenges) or not is_back:
            evidence.after = []
            return Step(self._phase, Hint.LOOK_AHEAD, restarted=restarted)
        template = seen.template()
        if not all(self._is_same(one, template) for one in evidence.before):
            evidence.after, evidence.unlike = [], evidence.unlike + 1
            if evidence.unlike < limits.unlike_frames:  # a head that still moves, a blurred frame
                return Step(self._phase, restarted=restarted)
            self._start_anew(Restart.OTHER_PERSON)
            return Step(self._phase, restarted=Restart.OTHER_PERSON)
        evidence.unlike = 0
        evidence.after = [one for one in evidence.after if now - one[1] <= limits.keep_s]
        evidence.after.append((seen.number, now))
        is_gathered = len(evidence.after) >= limits.after_frames and now - evidence.after[0][1] >= limits.after_s
        if not is_gathered or len(evidence.shares) < limits.cues.network_frames:
            return Step(self._phase, Hint.STEP_BACK if evidence.is_too_large else None, restarted=restarted)
        if self._is_asking_due():
            self._enter(Phase.BEFORE)
            return Step(self._phase, restarted=restarted)
        return self._conclude(Verdict.BONA_FIDE)

    # ---- the end

    def _prompt(self, now: float) -> Prompt | None:
        if self._challenge is None:
            return None
        flash, movement = self._flash, self._movement
        return Prompt(
            challenge=self._challenge,
            number=len(self._evidence.met) + 1,
            count=self._needed,
            attempt=len(self._asked) + 1,
            until=end_of(self._shown) if flash else self._asked_at + self._limits.challenges.answer_s,
            progress=flash.progress(now) if flash else movement.progress if movement else 0.0,
            is_wrong_way=movement.is_wrong_way if movement else False,
            colours=self._shown if flash else (),
        )

    def _undetermined(self, reason: Reason) -> Step:
        return self._conclude(Verdict.UNDETERMINED, reason)

    def _conclude(self, verdict: Verdict, reason: Reason | None = None) -> Step:
        cues = self._cues()
        network = cues[0]
        denying = [cue for cue in cues if cue.outcome is CueOutcome.DENIES]
        others = [cue for cue in denying if cue.name is not CueName.NETWORK]
        score = 0.0
        if network.value is not None and not others:
            score = score_of(network.value, network.threshold)
        if verdict is Verdict.UNDETERMINED and network.value is None:
            score = 0.0
        numbers = tuple(number for number, _ in self._evidence.after) if verdict is Verdict.BONA_FIDE else ()
        self._judgement = Judgement(
            verdict=verdict,
            score=score,
            level=self._level,
            cues=cues,
            challenges=tuple(self._asked),
            model=self._network.model,
            reason=reason,
            probe_frames=numbers,
            restarts=tuple(self._restarts),
        )
        self._phase = Phase.OVER
        return Step(Phase.OVER, judgement=self._judgement)

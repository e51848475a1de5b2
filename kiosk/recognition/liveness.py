"""Is a person in front of the camera, or a picture of one? The judgement of one presentation, frame after frame.

Before → Asking → After → Over. Frontal frames before the challenge say who is there; the challenge is asked and
answered; frontal frames after it make the probe, and must be of the same person. A second face, another person or a
gap starts anew. Deny cues veto; nothing is averaged. After ISO/IEC 30107-3: `attack`, `bona_fide`, else `undetermined`,
which opens nothing.

Pure: time, randomness and what the screen shows are handed in. `Liveness` is one thread's, and for one presentation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kiosk.recognition.asking import Asking
from kiosk.recognition.challenges import Answer, Challenge, Reading, is_frontal, read_mesh
from kiosk.recognition.cues import CueName, CueOutcome, EmptyScene, SpoofNetwork
from kiosk.recognition.detect import overlap
from kiosk.recognition.evidence import Evidence
from kiosk.recognition.flash import Shown
from kiosk.recognition.judgement import (
    Asked,
    Hint,
    Judgement,
    LivenessLimits,
    Phase,
    Prompt,
    Reason,
    Restart,
    Seen,
    Step,
    Verdict,
    score_of,
)
from kiosk.recognition.pad_levels import Asker, Level, Tried
from kiosk.types import Floats, Template


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
        self._evidence = self._new_evidence()
        self._hold_s = asker.hold_s()
        self._began_at: float | None = None
        self._seen_at: float | None = None
        self._box: Floats | None = None
        self._rest_yaw = 0.0  # of the head before it was asked
        self._asking: Asking | None = None
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
            return self._undetermined(self._evidence.misfit or Reason.TIMED_OUT)
        restarted = self._follow(seen)
        if restarted is not None:
            self._start_anew(restarted)
        if restarted is Restart.SECOND_FACE:
            return Step(self._phase, Hint.ONE_AT_A_TIME, restarted=restarted)
        if not seen.faces:
            return Step(self._phase, prompt=self._prompt(now), restarted=restarted)
        reading = read_mesh(seen.mesh, is_mirrored=self._is_mirrored) if seen.mesh is not None else None
        is_lit = self._asking is not None and self._asking.is_flash
        self._evidence.look(seen, reading, self._phase, is_lit=is_lit)
        if self._evidence.denies:
            return self._conclude(Verdict.ATTACK)
        step = {Phase.BEFORE: self._before, Phase.ASKING: self._ask, Phase.AFTER: self._after}[self._phase]
        return step(seen, reading, restarted)

    def finish(self) -> Judgement:
        """End the presentation: no frame comes any more. Without a verdict so far it is undetermined."""
        if self._judgement is None:
            reason = Reason.NOT_MET if self._phase is Phase.ASKING else self._evidence.misfit or Reason.TOO_FEW_FRAMES
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
        if self._asking is not None:
            self._failed.append(self._asking.challenge)
        self._evidence = self._new_evidence()
        self._enter(Phase.BEFORE)
        if had_something:
            self._restarts.append(why)

    def _enter(self, phase: Phase) -> None:
        self._phase, self._asking = phase, None
        self._evidence.begin_phase()
        if phase is Phase.BEFORE:
            self._hold_s = self._asker.hold_s()

    def _new_evidence(self) -> Evidence:
        return Evidence(self._limits, self._network, self._scene)

    # ---- phases

    def _before(self, seen: Seen, reading: Reading | None, restarted: Restart | None) -> Step:
        """Gather frontal frames; then ask, or, where nothing needs asking, decide."""
        limits, evidence, now = self._limits, self._evidence, seen.captured_at
        if reading is None or not is_frontal(reading, limits.challenges):
            evidence.first_at, evidence.frontal, evidence.rest = None, 0, []
            return Step(self._phase, Hint.LOOK_AHEAD, restarted=restarted)
        hint = Hint.STEP_BACK if evidence.is_too_large else None
        held_s = evidence.take_frontal(reading, now)
        if not evidence.met and len(evidence.before) < limits.before_frames:
            evidence.before.append(seen.template())
        if evidence.frontal < limits.before_frames or held_s < self._hold_s:
            return Step(self._phase, hint, restarted=restarted)
        if self._is_asking_due():
            return self._begin(now, restarted)
        if self._needed == 0:
            self._rest_yaw = reading.yaw_deg
            self._enter(Phase.AFTER)
            return self._after(seen, reading, restarted)
        return Step(self._phase, hint, restarted=restarted)

    def _is_asking_due(self) -> bool:
        if self._can_ask and self._needed == 0 and self._evidence.is_rigid:
            self._needed = 1
        return len(self._evidence.met) < self._needed

    def _begin(self, now: float, restarted: Restart | None) -> Step:
        if len(self._failed) >= self._asker.tries:  # restarts count, or they would serve to choose the challenge
            return self._undetermined(Reason.RESTARTED)
        rest = self._evidence.rest_reading()
        self._rest_yaw = rest.yaw_deg
        tried = Tried(tuple(self._evidence.met), tuple(self._failed))
        can_open = rest.mouth <= self._limits.challenges.rest_mouth_high
        challenge = self._asker.next(tried, can_open=can_open)
        self._enter(Phase.ASKING)
        self._asking = Asking(challenge, now, rest, self._limits, self._colours)
        return Step(self._phase, prompt=self._prompt(now), restarted=restarted)

    def _ask(self, seen: Seen, reading: Reading | None, restarted: Restart | None) -> Step:
        """Follow the answer to the challenge."""
        now, asking = seen.captured_at, self._asking
        assert asking is not None
        answer = asking.see(seen, reading)
        if answer is Answer.OPEN:
            return Step(self._phase, prompt=self._prompt(now), restarted=restarted)
        self._asked.append(Asked(asking.challenge, answer, asking.asked_at, now))
        self._asking, self._evidence.flash = None, asking.flash_result or self._evidence.flash
        if self._evidence.denies:
            return self._conclude(Verdict.ATTACK)
        if answer is Answer.MET:
            self._evidence.met.append(asking.challenge)
        else:
            self._failed.append(asking.challenge)
        if len(self._failed) >= self._asker.tries:
            return self._undetermined(Reason.TOO_BRIGHT if answer is Answer.UNDETERMINED else Reason.NOT_MET)
        self._enter(Phase.AFTER if len(self._evidence.met) >= self._needed else Phase.BEFORE)
        return Step(self._phase, Hint.LOOK_AHEAD, restarted=restarted)

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
        if not is_gathered or not evidence.has_network_frames:
            return Step(self._phase, Hint.STEP_BACK if evidence.is_too_large else None, restarted=restarted)
        if self._is_asking_due():
            self._enter(Phase.BEFORE)
            return Step(self._phase, restarted=restarted)
        return self._conclude(Verdict.BONA_FIDE)

    # ---- the end

    def _prompt(self, now: float) -> Prompt | None:
        if self._asking is None:
            return None
        met, tried = len(self._evidence.met), len(self._asked)
        return self._asking.prompt(now, number=met + 1, count=self._needed, attempt=tried + 1)

    def _undetermined(self, reason: Reason) -> Step:
        return self._conclude(Verdict.UNDETERMINED, reason)

    def _conclude(self, verdict: Verdict, reason: Reason | None = None) -> Step:
        cues = self._evidence.cues()
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

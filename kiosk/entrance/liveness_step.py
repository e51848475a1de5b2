"""The step between gathering and deciding: does a person stand there, or a picture of one?

It sees every frame that counts, asks by the screen, and holds the decision back until it knows. A presentation ends
for it as `attack` (a cue denied), `bona_fide`, or `undetermined`, which opens nothing and offers another way in. What
makes the probe is what was seen after the challenge, and must be of whom the challenge was asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random, SystemRandom
from typing import Any, Protocol

from kiosk.entrance.colours import Colours
from kiosk.entrance.look import Look
from kiosk.entrance.undetermined import Undetermined
from kiosk.errors import ModelFileError, RefusedError
from kiosk.health.monitor import Monitor
from kiosk.networks.liveness import liveness_limits
from kiosk.recognition.challenges import Answer, Kind
from kiosk.recognition.cues import EmptyScene, SpoofNetwork, remember_scene
from kiosk.recognition.detect import overlap
from kiosk.recognition.judgement import Hint, Judgement, LivenessLimits, Phase, Prompt, Reason, Seen, Verdict
from kiosk.recognition.liveness import Liveness
from kiosk.recognition.match import ScoreScale, compare
from kiosk.recognition.pad_levels import Level, RandomAsker, ScriptedAsker
from kiosk.rules.conditions import Condition
from kiosk.rules.presentation import (
    Decided,
    FrameOutcome,
    Guidance,
    Ignored,
    Left,
    Nobody,
    Presenter,
    Ready,
    TimedOut,
    Waiting,
)
from kiosk.settings.sections import PadSettings
from kiosk.types import Face, Floats, Template

FRESH_S = 3.0  # within which a person who was found to be one must be decided about, or is judged anew
EMPTY_S = 5.0  # without a face, after which a picture shows the empty scene
REMEMBER_S = 60.0  # between two pictures of it: the light changes, and furniture moves
STILL_S = 1.0  # for which a late approval's person counts as seen to be one
TOO_BRIGHT = (
    "Daylight drowns the screen's colours on faces here, so whoever must answer them does not come in: shade the "
    "kiosk, or set [pad] flashes = false."
)
GUIDANCE = {
    Hint.LOOK_AHEAD: Guidance.TURN_TO_CAMERA,
    Hint.STEP_BACK: Guidance.STEP_BACK,
    Hint.ONE_AT_A_TIME: Guidance.ONE_AT_A_TIME,
}

log = logging.getLogger("kiosk.judge")


class Detector(Protocol):
    """What `kiosk.networks.detection.Detection` is to a kiosk."""

    def network(self) -> SpoofNetwork:
        """Return the network that passed the last test, or raise a `ModelFileError`."""

    def tested(self) -> SpoofNetwork:
        """Return the network, tested first where none passed so far, or raise a `ModelFileError`."""

    def test(self) -> str:
        """Load and test it; return what was seen, or raise a `ModelFileError`: then there is none."""


class LivenessStep:
    """Follows one presentation after the other. One thread's, but for `note_shown`."""

    def __init__(
        self,
        settings: PadSettings,
        network: Callable[[], SpoofNetwork],
        monitor: Monitor,
        scale: ScoreScale,
        *,
        same_person_score: float,
        bystander_px: float,
        rng: Random | None = None,
        limits: LivenessLimits | None = None,
        exposure: Callable[[], str] = lambda: "automatic",
    ) -> None:
        """Wait for the first person.

        Args:
            settings: of section [pad]; the level is none but off.
            network: gives the network, or raises a `ModelFileError`.
            monitor: hears that the detection failed, or that it is too bright for colours.
            scale: what scores mean.
            same_person_score: least score between all frames of a presentation.
            bystander_px: edge of a face below which it counts for nobody.
            rng: draws the challenges; None for one that nobody can foresee.
            limits: None for those of the settings.
            exposure: who chooses the camera's exposure now, for the log.
        """
        self._level = Level(settings.chosen_level)
        self._settings, self._network, self._monitor = settings, network, monitor
        self._same_cosine = scale.cosine(same_person_score)
        self._bystander_px = bystander_px
        self._rng = rng or SystemRandom()
        self._limits = limits or liveness_limits(settings)
        self._liveness: Liveness | None = None
        self._phase = Phase.BEFORE
        self._prompt: Prompt | None = None
        self._judgement: Judgement | None = None
        self._judged_at = float("-inf")  # s, of the frame
        self._templates: dict[int, Template] = {}
        self._fed_at = float("-inf")  # s, when the judgement saw a frame last
        self._is_asked = False  # whether anything was asked in this presentation
        self._whose: Template | None = None  # the face of its first frame
        self._watch: _Watch | None = None
        self._empty = _Empty()
        self._undetermined = Undetermined(
            self._is_same, presentations=settings.presentations, forget_s=settings.forget_s
        )
        self._box: Floats | None = None
        self._colours = Colours(self._rng, exposure)

    @property
    def may_end(self) -> bool:
        """Whether the presentation may be decided about: a person stands there."""
        return self._judgement is not None and self._judgement.verdict is Verdict.BONA_FIDE

    @property
    def prompt(self) -> Prompt | None:
        """What the screen is to ask."""
        return self._prompt

    @property
    def wants_steady_exposure(self) -> bool:
        """Whether colours may be asked for in the presentation under way: it is held before they are shown."""
        asks_colours = self._level is Level.STRICT and self._settings.flashes
        return asks_colours and self._liveness is not None and self._judgement is None

    def note_shown(self, attempt: int, at: float) -> None:
        """Take the screen's word that it shows the first colour of a flash now. Safe in any thread.

        Args:
            attempt: of the prompt.
            at: monotonic s.
        """
        self._colours.note_shown(attempt, at)

    def drop(self) -> None:
        """Begin anew with whoever comes next; who was asked and stays without a judgement has spent a presentation."""
        if self._is_asked and self._judgement is None and self._whose is not None:
            self._undetermined.note(self._whose, self._fed_at)
        self._whose = None
        self._liveness = self._prompt = self._judgement = None
        self._phase, self._templates, self._is_asked = Phase.BEFORE, {}, False

    def see(
        self, look: Look, outcome: FrameOutcome, presenter: Presenter, *, is_armed: bool, is_waiting: bool
    ) -> FrameOutcome:
        """Take the next frame, after the presenter did.

        Args:
            look: the frame.
            outcome: what the presenter makes of it.
            presenter: gathers frames; its presentation is ended where this one ends without a person.
            is_armed: whether anybody is judged now.
            is_waiting: whether an approval waits for a frame in which its person stands there still.

        Returns:
            The outcome; a Ready where the presentation is over without a person, which `examine` then says.

        Raises:
            RefusedError: the detection failed, which the monitor has heard; nothing may open.
        """
        people = [face for face in look.faces if not face.area < self._bystander_px**2]  # a NaN is somebody
        if isinstance(outcome, Ready | Ignored):
            return outcome
        if isinstance(outcome, Decided):
            self._follow_decided(look, people, is_waiting=is_waiting)
            return outcome
        self._empty.see(look, is_empty=isinstance(outcome, Nobody) and not look.faces)
        if isinstance(outcome, Nobody | Left) or not is_armed:
            self.drop()
            return outcome
        try:
            return self._see(look, people, outcome, presenter)
        except ModelFileError as error:
            self._fail(str(error))
            presenter.drop_gathered()
            raise RefusedError(f"the detection of photographs failed: {error}") from error

    def _fail(self, sentence: str) -> None:
        """Say that the detection does not run; nothing opens until its test passes."""
        self.drop()
        self._watch = None
        self._monitor.hold(Condition.PAD_FAILED, sentence)

    def examine(self, ready: Ready) -> Judgement:
        """Return the judgement on a presentation that is about to be decided; the next one begins anew.

        Raises:
            RefusedError: there is none, so nothing may be decided.
        """
        judgement, proved = self._judgement, list(self._templates.values())
        if judgement is None:
            raise RefusedError("nobody was judged to be a person and not a picture")
        is_fresh = ready.captured_at - self._judged_at <= FRESH_S
        if judgement.verdict is Verdict.BONA_FIDE and not (
            is_fresh and proved and all(self._is_same(one, other) for one in ready.templates for other in proved)
        ):
            judgement = replace(judgement, verdict=Verdict.UNDETERMINED, reason=Reason.RESTARTED, probe_frames=())
        if judgement.verdict is Verdict.UNDETERMINED and self._is_asked:
            self._undetermined.note(ready.probe, ready.captured_at)
        self.drop()
        is_person = judgement.verdict is Verdict.BONA_FIDE
        self._watch = _Watch(self._start_watching, self._box, self._limits) if is_person else None
        _tell_light(self._monitor, judgement)
        log.info("liveness verdict=%s score=%s reason=%s", judgement.verdict.value, judgement.score, judgement.reason)
        return judgement

    def record(self, judgement: Judgement) -> dict[str, Any]:
        """Return a judgement as the log takes it; where colours were shown, with who chose the exposure."""
        exposure = self._colours.take_exposure()
        return {**judgement.as_record(), **({"exposure": exposure} if exposure else {})}

    def is_still_person(self, now: float) -> bool:
        """Whether the person who was decided about was seen without a gap, and to be one, until now: monotonic s."""
        return self._watch is not None and self._watch.holds(now)

    @property
    def is_lost(self) -> bool:
        """Whether the person who was decided about was not seen all the time: no later frame can confirm them."""
        return self._watch is None or self._watch.is_broken

    # ---- one presentation

    def _see(self, look: Look, people: Sequence[Face], outcome: FrameOutcome, presenter: Presenter) -> FrameOutcome:
        now = look.frame.captured_at
        if self._judgement is not None and (now - self._judged_at > FRESH_S or len(people) != 1):
            self.drop()
            presenter.drop_gathered()
        if self._judgement is not None:
            self._box = people[0].box
            return outcome
        if self._liveness is None and not people:  # gone, and the presenter still waits for them: nobody to begin with
            return outcome
        is_fit = isinstance(outcome, Waiting | TimedOut) and outcome.guidance is Guidance.HOLD_STILL
        if self._phase is Phase.BEFORE and not is_fit:  # too far away, in the dark: they hear that first
            if not self._is_asked and now - self._fed_at > self._limits.gap_s:
                self.drop()  # their time for the whole begins when they can be judged
            return outcome
        self._fed_at = now
        seen = self._noting(look.seen(people, self._colours.shown(self._prompt)))
        if self._liveness is None:
            self._liveness, self._whose = self._start(), seen.template()
            if self._undetermined.is_spent(self._whose, now):
                spent = replace(self._liveness.finish(), reason=Reason.SPENT)
                return self._conclude(spent, look, people, presenter) or outcome
        step = self._liveness.see(seen)
        if step.restarted is not None or (self._phase is Phase.ASKING and step.phase is not Phase.ASKING):
            presenter.drop_gathered()  # the probe is of frames after the challenge
            self._templates.clear()
        self._phase, self._prompt = step.phase, step.prompt
        self._is_asked = self._is_asked or step.prompt is not None
        if step.judgement is None:
            hint = GUIDANCE.get(step.hint) if step.hint is not None else None
            return Waiting(hint) if hint is not None and isinstance(outcome, Waiting) else outcome
        return self._conclude(step.judgement, look, people, presenter) or outcome

    def _conclude(
        self, judgement: Judgement, look: Look, people: Sequence[Face], presenter: Presenter
    ) -> FrameOutcome | None:
        """Keep a judgement; end the presentation at once where it found no person."""
        self._judgement, self._judged_at, self._prompt = judgement, look.frame.captured_at, None
        self._templates = {number: one for number, one in self._templates.items() if number in judgement.probe_frames}
        if not people:
            self.drop()  # whoever it was is gone
            return None
        self._box = people[0].box
        return None if judgement.verdict is Verdict.BONA_FIDE else presenter.end(look.view)

    def _noting(self, seen: Seen) -> Seen:
        """Return the frame so that its template, once it is made, can be compared with the probe's."""

        def template() -> Template:
            self._templates[seen.number] = made = seen.template()
            return made

        return replace(seen, template=template)

    def _start(self) -> Liveness:
        settings = self._settings
        return Liveness(
            self._level,
            RandomAsker(self._level, self._rng, has_flashes=settings.flashes, tries=settings.tries),
            self._network(),
            self._is_same,
            limits=self._limits,
            scene=self._empty.scene,
            can_ask=settings.screen,
            colours=self._colours.draw,
        )

    def _start_watching(self) -> Liveness:
        asker = ScriptedAsker(())
        return Liveness(Level.PASSIVE, asker, self._network(), self._is_same, limits=self._limits, can_ask=False)

    def _is_same(self, one: Template, other: Template) -> bool:
        return compare(one, other) >= self._same_cosine

    # ---- after the decision

    def _follow_decided(self, look: Look, people: Sequence[Face], *, is_waiting: bool) -> None:
        if not is_waiting:
            self._watch = None
        if self._watch is None:
            return
        try:
            self._watch.see(look.seen(people))
        except ModelFileError as error:
            self._fail(str(error))


def _tell_light(monitor: Monitor, judgement: Judgement) -> None:
    """Hold or end the state that it is too bright for colours, where colours were shown."""
    flashes = [one for one in judgement.challenges if one.challenge.kind is Kind.FLASH]
    if any(one.answer is Answer.MET for one in flashes):
        monitor.end(Condition.PAD_TOO_BRIGHT)
    elif any(one.answer is Answer.UNDETERMINED for one in flashes):
        monitor.hold(Condition.PAD_TOO_BRIGHT, TOO_BRIGHT)


class _Empty:
    """What the camera sees while nobody is there, remembered now and then."""

    def __init__(self) -> None:
        self.scene: EmptyScene | None = None
        self._since: float | None = None  # when nobody was there first, s of the frames
        self._at = float("-inf")  # when it was remembered, s

    def see(self, look: Look, *, is_empty: bool) -> None:
        """Take note of a frame."""
        now = look.frame.captured_at
        if not is_empty:
            self._since = None
            return
        since = self._since = now if self._since is None else self._since
        if now - since < EMPTY_S or now - self._at < REMEMBER_S:
            return
        self._at = now
        scene = remember_scene(look.frame.image)
        if scene.can_judge:
            self.scene = scene


class _Watch:
    """Whether the one who was decided about stands there still, without a gap, and no cue denies."""

    def __init__(self, start: Callable[[], Liveness], box: Floats | None, limits: LivenessLimits) -> None:
        self._start, self._box, self._limits = start, box, limits
        self._liveness: Liveness | None = None
        self._at: float | None = None  # of the last frame with the face, s; before the first, the disk may be slow
        self._until = float("-inf")
        self.is_broken = False

    def see(self, seen: Seen) -> None:
        """Take the next frame."""
        if seen.faces:
            box, at = seen.faces[0].box, seen.captured_at
            is_late = self._at is not None and at - self._at > self._limits.gap_s
            is_elsewhere = self._box is None or float(overlap(self._box, box[None])[0]) < self._limits.overlap_low
            self.is_broken = self.is_broken or is_late or is_elsewhere
            self._box, self._at = box, at
        if self.is_broken:
            return
        self._liveness = self._liveness or self._start()
        step = self._liveness.see(seen)
        self.is_broken = step.restarted is not None
        if step.judgement is None:
            return
        if step.judgement.verdict is Verdict.BONA_FIDE:
            self._until = seen.captured_at + STILL_S
        self.is_broken = self.is_broken or step.judgement.verdict is Verdict.ATTACK
        self._liveness = None

    def holds(self, now: float) -> bool:
        """Whether it was so a moment ago; monotonic s."""
        return not self.is_broken and now <= self._until

"""From the camera's frames to decisions and the relay: one frame after the other, one person after the other.

Driven by frames and a clock, like the presenter in it: the daemon's thread feeds it from the camera, a test or a
replay from a script, at any speed. Everything it needs from the world is handed in.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from kiosk.device.device import Device
from kiosk.door.door import Door
from kiosk.entrance.decide import Entrance
from kiosk.entrance.deciding import Deciding
from kiosk.entrance.expected import ExpectedPerson
from kiosk.entrance.factor_step import FactorStep
from kiosk.entrance.liveness_step import LivenessStep
from kiosk.entrance.look import Look
from kiosk.entrance.news import Broadcast
from kiosk.entrance.opening import Opening
from kiosk.entrance.pass_step import PassStep
from kiosk.entrance.pending import PendingApproval
from kiosk.entrance.screen import Announcer, Place
from kiosk.entrance.surroundings import Surroundings
from kiosk.errors import KioskError, RefusedError, StoreError
from kiosk.health.monitor import Monitor
from kiosk.recognition.image import encoded
from kiosk.recognition.judgement import Verdict
from kiosk.rules.admission import DoorReason
from kiosk.rules.conditions import Allowed, Condition, allowed
from kiosk.rules.factors import FactorRule, read_factors
from kiosk.rules.furniture import StillFace
from kiosk.rules.limits import Limits
from kiosk.rules.patience import Tries
from kiosk.rules.presentation import (
    FrameOutcome,
    Guidance,
    Ignored,
    Left,
    Nobody,
    Presenter,
    Ready,
    View,
    Waiting,
)
from kiosk.rules.schedule import Schedule
from kiosk.settings.config import Config
from kiosk.types import Face, Frame

DOUBTS: Mapping[Verdict, DoorReason | None] = MappingProxyType(
    {
        Verdict.ATTACK: DoorReason.ATTACK_SUSPECTED,
        Verdict.UNDETERMINED: DoorReason.LIVENESS_UNDETERMINED,
        Verdict.BONA_FIDE: None,
    }
)
HIDDEN_S = 3.0  # for which nobody need be seen while somebody is asked for a card: it comes out of a bag
DISORDER_S = 3.0  # of pictures that count for nothing until the kiosk says that it judges nobody

log = logging.getLogger("kiosk.judge")


def in_a_thread(task: Callable[[], None]) -> None:
    """Run a task beside everything else; it is dropped when the process ends."""
    threading.Thread(target=task, name="asking", daemon=True).start()


class Judge:
    """Judges what the camera sees. `take` and `rest` are one thread's; the others are safe in any."""

    def __init__(
        self,
        device: Device,
        entrance: Entrance,
        monitor: Monitor,
        news: Broadcast,
        config: Config,
        *,
        clock: Callable[[], float],
        door: Door | None = None,
        tries: Tries | None = None,
        keep: Callable[[Tries], None] = lambda _: None,
        liveness: Callable[[Config], LivenessStep | None] = lambda _: None,
        beside: Callable[[Callable[[], None]], None] = in_a_thread,
    ) -> None:
        """Put the parts together.

        Args:
            device: recogniser, store and gallery.
            entrance: decides and records.
            monitor: the degraded states.
            news: for screens and operators.
            config: settings; `reload` brings others.
            clock: monotonic s, the camera's.
            door: None for a kiosk without one.
            tries: the declines in a row so far.
            keep: makes them survive a power cut.
            liveness: makes what tells a person from a photograph, by the settings; None where that is off.
            beside: runs what must not hold up the frames.
        """
        self._device, self._entrance, self._monitor = device, entrance, monitor
        self._announcer = Announcer(news, monitor, door)
        self._clock, self._keep, self._make_liveness = clock, keep, liveness
        self._tries = tries or Tries()
        self.expected = ExpectedPerson(entrance, self._announcer, config, clock=clock)  # claims of codes, enrolments
        self.opening = Opening(entrance, door, self._announcer, self._fault, config=config, clock=clock)
        self.passes = PassStep(entrance, self.opening, self._announcer, self._fault, config, clock=clock)
        self.factors = FactorStep(device.store.factors, config.factors, config.attempts, clock=clock)
        second = device.outgoing.second
        self._pending = PendingApproval(
            entrance, self._announcer, open_door=self.passes.open, second=second, clock=clock, beside=beside
        )
        self._reloading = threading.Lock()  # guards the settings to take
        self._frames: dict[int, tuple[Frame, tuple[Face, ...]]] = {}
        self._newest: tuple[Frame, tuple[Face, ...]] | None = None
        self._order = _Order(monitor)
        self._surroundings = Surroundings(monitor, config)
        self._next: tuple[Config, Schedule] | None = None  # settings to take
        self._deciding = Deciding(
            entrance,
            device.recogniser,
            pending=self._pending,
            factors=self.factors,
            opening=self.passes,
            expected=self.expected,
            announcer=self._announcer,
            count=self._count,
            fault=self._fault,
        )
        self._apply(config)

    def reload(self, config: Config, schedule: Schedule) -> None:
        """Take other settings, from the next frame on; whoever stands there is judged anew by them."""
        with self._reloading:
            self._next = config, schedule

    def _apply(self, config: Config) -> None:
        self._config = config
        self.expected.apply(config)
        self.passes.apply(config)
        self._surroundings.apply(config)
        self._presenter = Presenter(_limits(config), self._device.scale)
        self._liveness = self._make_liveness(config)

    # ---- what others may ask

    @property
    def newest(self) -> tuple[Frame, tuple[Face, ...]] | None:
        """The newest frame that was looked at, and its faces, largest first."""
        return self._newest

    @property
    def decided(self) -> int:
        """Presentations decided about since the start."""
        return self._deciding.decided

    @property
    def still_faces(self) -> tuple[StillFace, ...]:
        """Faces that do not move: furniture first, then what is not known to be furniture yet."""
        return self._surroundings.still

    @property
    def wants_every_frame(self) -> bool:
        """Whether somebody is being followed; else a few frames a second will do."""
        waits = self._pending.is_waiting or self.passes.is_waiting
        return self._announcer.is_guiding or waits or self.factors.asked is not None

    @property
    def wants_steady_exposure(self) -> bool:
        """Whether the screen may soon show colours, or shows them: a camera should not even them out."""
        return self._liveness is not None and self._liveness.wants_steady_exposure

    # ---- frames

    def take(self, frame: Frame, now: float) -> FrameOutcome:
        """Look at the next frame; decide, and open, when it is time."""
        self._look_for_settings()
        self.expected.let_go(now)
        try:
            faces = self._device.recogniser.glance(frame.image)
            found = self._surroundings.sort(frame, faces)
            self._newest = self._frames[frame.number] = frame, found.people
            self.passes.judge(now, is_armed=may_judge(self._monitor, self._tries, now))
            look = Look(frame, found.people, self._device.recogniser)
            outcome = self._see(look, now, may_be_judged=found.may_be_judged)
            if isinstance(outcome, Ready):
                self._decide(outcome)
            elif not self._deciding.follow(
                outcome, look.view, now, self._confirm, is_lost=_is_lost(self._liveness)
            ) and self._pending.follow(outcome, look.view, now, self._confirm):
                self._count(True)
        except KioskError as error:
            # Whatever failed, nothing was opened; the frame counts for nothing.
            self._fault(error)
            return Waiting(Guidance.WAIT)
        finally:
            kept = {*self._presenter.kept_frames}
            self._frames = {number: one for number, one in self._frames.items() if number in kept}
        if isinstance(outcome, Left | Nobody):
            self._announcer.forget_result()
        self._order.see(outcome, now)
        if not isinstance(outcome, Ignored):
            self._show(outcome, now, look.place)
        return outcome

    def _see(self, look: Look, now: float, *, may_be_judged: bool) -> FrameOutcome:
        """Say what a frame brings: to the presenter, and to what tells a person from a photograph.

        Whoever was not seen to move yet may be a poster: frames are gathered, and nobody is let in by them.
        """
        is_armed, step = self._is_armed(now), self._liveness
        may_end = may_be_judged and (step is None or step.may_end)
        is_asked = self.factors.asked is not None
        hidden_s, waits = HIDDEN_S * is_asked, is_asked or self._pending.is_waiting
        outcome = self._presenter.see(look.view, now, is_armed=is_armed, may_end=may_end, hidden_s=hidden_s)
        if step is None:
            return outcome
        outcome = step.see(look, outcome, self._presenter, is_armed=is_armed, is_waiting=waits)
        if isinstance(outcome, Ready):
            self._frames[look.frame.number] = look.frame, tuple(look.faces)
        return outcome

    def _confirm(self, view: View, now: float) -> bool:
        """Say whether a frame shows the judged person alone and well, and still a person."""
        is_person = self._liveness is None or self._liveness.is_still_person(now)
        return is_person and self._presenter.confirm(view, now)

    def note_shown(self, attempt: int) -> None:
        """Take the screen's word that it shows the first colour of a flash challenge now."""
        if (step := self._liveness) is not None:
            step.note_shown(attempt, self._clock())

    def _show(self, outcome: FrameOutcome | None, now: float, face: Place | None) -> None:
        self._announcer.show(
            outcome,
            now,
            mode=self._config.entrance.mode,
            tries=self._tries,
            is_pending=self._pending.is_waiting or self.factors.asked is not None,
            asked=self.factors.shown or self.opening.keypad,
            face=face,
            enrolment=self.expected.enrolment,
            prompt=self._liveness.prompt if self._liveness is not None else None,
        )

    def _look_for_settings(self) -> None:
        with self._reloading:
            wanted, self._next = self._next, None
        if wanted is not None:
            config, schedule = wanted
            self._pending.end()  # the new presenter does not know who that was, and would confirm whoever comes
            self._deciding.give_up()
            self._entrance.apply(config.entrance, schedule, factors_of(config))
            self.factors.apply(config.factors, config.attempts)
            self.opening.apply(config)
            self._apply(config)

    def rest(self, now: float) -> None:
        """Note that no frame came."""
        self._look_for_settings()
        self.expected.let_go(now)
        self._newest = None
        self._show(None, now, None)

    def interrupt(self) -> None:
        """Begin anew after the camera was lost."""
        self._pending.end()
        self._deciding.give_up()
        self._order.interrupt()
        self._surroundings.interrupt()
        self._presenter.interrupt()
        if self._liveness is not None:
            self._liveness.drop()

    def _is_armed(self, now: float) -> bool:
        is_known = self.expected.is_known or self.passes.expects(now)
        return is_known and may_judge(self._monitor, self._tries, now)

    # ---- decisions

    def _decide(self, ready: Ready) -> None:
        """Decide about a person; record; then, and only then, open."""
        self._pending.give_up()
        self._deciding.give_up()
        self._announcer.forget_result()
        ready, doubt = self._examine(ready)
        frame, faces = self._frames[ready.best_frame]
        claimed = self.expected.take_claim()  # serves once, whatever comes of it
        mode, claimed = self.passes.take_claim(self._config.entrance.mode, claimed)
        if mode == "enrol" and doubt is None:
            self.expected.enrol(ready, lambda: encoded(frame.image))
            self._deciding.decided += 1
            return
        self._deciding.decide(mode, ready, doubt, (frame, faces[0]), claimed)

    def _examine(self, ready: Ready) -> tuple[Ready, DoorReason | None]:
        """Between gathering and deciding: note how liveness was judged; say why nothing may be decided, if so."""
        if self._liveness is None:
            return ready, None
        judgement = self._liveness.examine(ready)
        return replace(ready, liveness=self._liveness.record(judgement)), DOUBTS[judgement.verdict]

    def _count(self, is_granted: bool) -> None:  # noqa: FBT001  a callable's
        before = self._tries
        self._tries = self._config.attempts.after(before, is_granted=is_granted, now=self._clock())
        if self._tries != before:
            self._keep(self._tries)

    def _fault(self, error: KioskError) -> None:
        """Say what failed; a store or a network that failed keeps the kiosk closed until it is found well again."""
        self._announcer.forget_result()
        if isinstance(error, RefusedError):
            log.info("refused reason=%r", str(error))
            return
        condition = Condition.STORE_UNREADABLE if isinstance(error, StoreError) else Condition.SELF_TEST_FAILED
        self._monitor.hold(condition, str(error))
        self._announcer.fault()


def may_judge(monitor: Monitor, tries: Tries, now: float) -> bool:
    """Say whether anybody is judged now."""
    return allowed(monitor.states(), monitor.table) is not Allowed.CLOSED and not tries.is_held(now)


class _Order:
    """Says so where no picture counts, from a camera that seems well: nobody would ever be judged."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._since: float | None = None  # when a picture counted last, monotonic s

    def interrupt(self) -> None:
        self._since = None

    def see(self, outcome: FrameOutcome, now: float) -> None:
        if not isinstance(outcome, Ignored) or self._since is None:
            self._since = now
            self._monitor.end(Condition.FRAMES_LATE)
        elif now - self._since >= DISORDER_S:
            why = outcome.why.value.replace("_", " ")
            self._monitor.hold(
                Condition.FRAMES_LATE,
                f"The camera's pictures count for nothing ({why}). Lower its resolution or frame rate.",
            )


def _is_lost(step: LivenessStep | None) -> bool:
    """Say whether whoever was judged was not seen all the time, where that is looked at."""
    return step is not None and step.is_lost


def factors_of(config: Config) -> FactorRule:
    """Return what the settings ask beside the face, and when."""
    return read_factors(config.schedule.time_zone, pin=config.factors.pin, card=config.factors.card)


def _limits(config: Config) -> Limits:
    """Return when a face is good enough; an enrolment wants more frames than a decision."""
    limits = config.presentation
    if config.entrance.mode != "enrol":
        return limits
    wanted = config.enrolment
    return replace(
        limits,
        frames=wanted.references,
        gather_s=wanted.gather_s,
        keep_s=max(limits.keep_s, wanted.gather_s + limits.keep_s),
    )

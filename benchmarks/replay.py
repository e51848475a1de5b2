"""A whole kiosk without threads: frames and time are handed in, the store, the door and the watch are the real ones.

What the evening and the soak run on. The relay is looked at from outside, at the lines, after each tick of the door.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kiosk.capture.child import look
from kiosk.capture.watch import State, Watch
from kiosk.device.device import Device
from kiosk.door.door import Door
from kiosk.door.lines import Output
from kiosk.entrance.decide import Entrance
from kiosk.entrance.judge import Judge
from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.health.monitor import Monitor
from kiosk.recognition.pipeline import Recogniser
from kiosk.rules.conditions import Condition, policy
from kiosk.rules.patience import Patience
from kiosk.rules.presentation import FrameOutcome, Ignored, Left, Ready, Waiting
from kiosk.rules.schedule import Schedule, read_schedule
from kiosk.settings.config import Config
from kiosk.settings.sections import PadSettings
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.testing.fakes import ManualClock, RecordedLines
from kiosk.types import Frame, RgbImage

NOW = 1_800_000_000.0  # Friday 2027-01-15 08:00 UTC
TICK_S = 0.05  # of the door; its own thread's is 0.02
TRACE_LONGEST = 10_000


def config(**sections: dict[str, Any]) -> Config:
    """Return the default settings without attack detection, some changed: section by name, values by theirs."""
    base = Config(pad=PadSettings(level="off"))  # benchmarks/pad.py measures the detection of photographs
    return replace(base, **{name: replace(getattr(base, name), **values) for name, values in sections.items()})


class Replay:
    """A kiosk that is driven by hand. Close it."""

    def __init__(self, directory: Path, recogniser: Recogniser, settings: Config, *, fps: float) -> None:
        """Set it up, with a store in `directory`; `fps` is how much time a frame takes."""
        self.clock, self.wall = ManualClock(), ManualClock(NOW)
        self.fps, self.config = fps, settings
        self.is_clock_trusted = True
        if not directory.exists():
            initialise(directory, now=self.wall).close()
        self.store = open_store(directory, read_keys(directory), now=self.wall)
        self.device = Device(recogniser, self.store, settings, now=self.wall)
        self.monitor = Monitor({}, policy(asdict(settings.degraded)), now=self.wall)
        self.broadcast = Broadcast(self.wall)
        self.broadcast.listen(self._hear)
        self.lines = RecordedLines()
        self.door = Door(self.lines, settings.door, clock=self.clock, states=self.monitor.states)
        self.judge = Judge(
            self.device,
            Entrance(
                self.device,
                settings.entrance,
                schedule(settings),
                now=self.wall,
                is_clock_trusted=lambda: self.is_clock_trusted,
                states=self.monitor.states,
            ),
            self.monitor,
            self.broadcast,
            settings,
            clock=self.clock,
            door=self.door,
        )
        self.watch = Watch(replace(settings.camera, source="dir:replayed"), self.clock.now)  # whose pictures come again
        self.monitor.hold(Condition.CAMERA_LOST, "The camera is being opened.")
        self.number = 0
        self.trace: list[str] = []
        """What happened, in order: presentations, decisions, enrolments, relay, camera; at most TRACE_LONGEST."""

        self.told: Callable[[News], None] = lambda _news: None
        self.relay_on_s: list[float] = []  # how long each pulse was
        self.taken_s: list[float] = []  # real time of each judged frame
        self._relay_since: float | None = None
        self._guidance = ""

    def close(self) -> None:
        """End it."""
        self.door.close()
        self.store.close()

    def step(self, image: RgbImage | None) -> FrameOutcome | None:
        """Let the time of one frame pass, and show it; None for a camera that gives nothing."""
        self.pass_time(1.0 / self.fps)
        now = self.clock.now
        if image is not None:
            self.number += 1
            about = look(image, self.number, now)
            self.watch.see(about, now)
        self._follow_camera(now)
        if image is None or not self.watch.trusts(about):
            self.judge.rest(now)
            if self.watch.report.state is not State.LIVE:
                self.judge.interrupt()
            return None
        began = time.perf_counter()
        outcome = self.judge.take(Frame(image, now, self.number), now)
        if len(self.taken_s) < TRACE_LONGEST:
            self.taken_s.append(time.perf_counter() - began)
        self._note_outcome(outcome)
        return outcome

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with the door's supervisor at work."""
        until = self.clock.now + seconds
        while self.clock.now < until - 1e-9:
            step_s = min(TICK_S, until - self.clock.now)
            self.clock.advance(step_s)
            self.wall.advance(step_s)
            self.door.tick()
            self._look_at_relay()
        self._look_at_relay()

    def reload(self, settings: Config) -> None:
        """Take other settings, as SIGHUP does."""
        self.config = settings
        self.device.apply(settings)
        table = policy(asdict(settings.degraded))
        self.monitor.apply(table)
        self.door.apply(table)
        self.judge.reload(settings, schedule(settings))

    def patience(self) -> Patience:
        """Return how declines lock the kiosk now."""
        return self.config.attempts

    def _follow_camera(self, now: float) -> None:
        before = self.watch.report.state
        report = self.watch.check(now)
        if report.state is State.LIVE:
            self.monitor.end(Condition.CAMERA_LOST)
        else:
            self.monitor.hold(Condition.CAMERA_LOST, report.sentence)
        if report.state is not before:
            self._note(f"camera {report.state.value}")

    def _look_at_relay(self) -> None:
        is_on = Output.RELAY in self.lines.lit
        if is_on and self._relay_since is None:
            self._relay_since = self.clock.now
            self._note("relay on")
        elif not is_on and self._relay_since is not None:
            self.relay_on_s.append(self.clock.now - self._relay_since)
            self._relay_since = None
            self._note("relay off")

    def _note_outcome(self, outcome: FrameOutcome) -> None:
        if isinstance(outcome, Ready):
            self._guidance = ""
        elif isinstance(outcome, Left):
            self._note("left" if outcome.was_decided else "left undecided")
            self._guidance = ""
        elif isinstance(outcome, Waiting) and outcome.guidance.value != self._guidance:
            self._guidance = outcome.guidance.value
        elif isinstance(outcome, Ignored):
            self._note(f"ignored {outcome.why.value}")

    def _hear(self, news: News) -> None:
        said = news.data
        if news.topic is Topic.DECISION:
            who = said["name"] or "nobody known"
            self._note(f"{said['kind']} {said['status']}: {who} ({', '.join(said['reasons'])})")
        elif news.topic is Topic.ENROLMENT and said["state"] != "waiting":
            self._note(f"enrolment {said['state']}")
        self.told(news)

    def _note(self, what: str) -> None:
        if len(self.trace) < TRACE_LONGEST:
            self.trace.append(what)


def schedule(settings: Config) -> Schedule:
    """Return the door's hours of some settings."""
    wanted = settings.schedule
    return read_schedule(wanted.time_zone, wanted.week, wanted.holidays)

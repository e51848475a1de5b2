"""How soon does the door decide about a person who answers at once, by the clock on the wall?

A part of pad.py. The judge of the daemon with its store and door, real networks and level active; frames are drawn
before, so that their making costs nothing. Aims: 4 s from the first frame to the decision, 40 ms for a judged frame.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.about import timing
from benchmarks.replay import schedule
from kiosk.device.device import Device
from kiosk.door.door import Door
from kiosk.entrance.decide import Entrance
from kiosk.entrance.judge import Judge
from kiosk.entrance.liveness_step import LivenessStep
from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.health.monitor import Monitor
from kiosk.recognition.cues import SpoofNetwork
from kiosk.recognition.judgement import Phase, Step
from kiosk.recognition.pipeline import Recogniser
from kiosk.rules.conditions import policy
from kiosk.rules.presentation import Guidance, Left, Ready
from kiosk.settings.config import Config
from kiosk.settings.sections import PadSettings
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fakes import RecordedLines
from kiosk.testing.pad_actors import Follower
from kiosk.types import Frame, RgbImage

CAMERA_FPS = 30.0
GIVES_UP_S = 20.0


COMING = 15  # frames in which a person steps up, from the side
STEP_PX = 8


def stepping_up(image: RgbImage, taken: int) -> RgbImage:
    """Return a picture of somebody who is still coming: whoever was never seen to move is a poster."""
    left = STEP_PX * max(0, COMING - taken)
    return np.roll(image, left, axis=1) if left else image


class WallClock:
    """The clock on the wall."""

    def now(self) -> float:
        """Return the time, s."""
        return time.monotonic()

    def wait_until(self, at: float) -> None:
        """Wait."""
        time.sleep(max(0.0, at - self.now()))


class ProcessorClock:
    """A clock that goes while this process computes, and jumps where it would wait: other work does not slow it."""

    def __init__(self) -> None:
        """Begin."""
        self._skipped = 0.0

    def now(self) -> float:
        """Return the time, s."""
        return time.process_time() + self._skipped

    def wait_until(self, at: float) -> None:
        """Jump there."""
        self._skipped += max(0.0, at - self.now())


class DoorOfOne:
    """The judge of a kiosk, which hears of its decisions."""

    def __init__(
        self, folder: Path, recogniser: Recogniser, network: SpoofNetwork, level: str, clock: WallClock | ProcessorClock
    ) -> None:
        settings = replace(Config(), pad=PadSettings(level=level, screen=True))
        initialise(folder, now=time.time).close()
        self.store = open_store(folder, read_keys(folder), now=time.time)
        device = Device(recogniser, self.store, settings, now=time.time)
        monitor = Monitor({}, policy(asdict(settings.degraded)), now=time.time)
        news = Broadcast(time.time)
        news.listen(self._hear)
        self.lines, self.clock = RecordedLines(), clock
        self.door = Door(self.lines, settings.door, clock=clock.now, states=monitor.states)
        limits = settings.presentation
        self.step = LivenessStep(
            settings.pad,
            lambda: network,
            monitor,
            recogniser.scale,
            same_person_score=limits.same_person_score,
            bystander_px=limits.bystander_px,
            rng=Random(7),
        )
        entrance = Entrance(
            device,
            settings.entrance,
            schedule(settings),
            now=time.time,
            is_clock_trusted=lambda: True,
            states=monitor.states,
        )
        self.judge = Judge(
            device,
            entrance,
            monitor,
            news,
            settings,
            clock=clock.now,
            door=self.door,
            liveness=lambda _: self.step if level != "off" else None,
        )
        self.decided_at: float | None = None
        self.status = ""
        self.number = 0

    def since(self, at: float | None) -> list[float]:
        """Return how long after a moment the decision came, s; nothing where either is missing."""
        return [] if at is None or self.decided_at is None else [self.decided_at - at]

    def close(self) -> None:
        """End it."""
        self.door.close()
        self.store.close()

    def _hear(self, news: News) -> None:
        if news.topic is Topic.DECISION and self.decided_at is None:
            self.decided_at, self.status = self.clock.now(), str(news.data["status"])

    def take(self, image: RgbImage) -> tuple[Any, float, float]:
        """Judge one picture, taken now; return the outcome, what it took and what of it was computing, s."""
        self.number += 1
        began, computed = time.perf_counter(), time.process_time()
        outcome = self.judge.take(Frame(image, self.clock.now(), self.number), self.clock.now())
        return outcome, time.perf_counter() - began, time.process_time() - computed


def measure_door(
    folder: Path,
    recogniser: Recogniser,
    network: SpoofNetwork,
    person: Follower,
    visits: int,
    *,
    level: str = "auto",
    clock: WallClock | ProcessorClock | None = None,
) -> Any:
    """Let a person come and answer at once, again and again.

    Args:
        folder: for the store; must not be there.
        recogniser: the kiosk's.
        network: the passive cue.
        person: who comes, enrolled before.
        visits: how often.
        level: of [pad].
        clock: whose seconds count; None for the wall's.
    """
    clock = clock or WallClock()
    door = DoorOfOne(folder, recogniser, network, level, clock)
    face = recogniser.detect(person.rest[0])[0]
    door.store.people.enrol(Enrolment((recogniser.extract(person.rest[0], face),), Details(name="Person C")))
    empty = np.full(person.rest[0].shape, 90, np.uint8)
    waited: list[float] = []
    judged: list[float] = []
    computing: list[float] = []
    statuses: list[str] = []
    since_good: list[float] = []
    try:
        for _ in range(visits):
            actor, door.decided_at, taken = replace(person), None, 0
            came = due = clock.now()
            good_at: float | None = None  # when the first frame was taken that was good enough to be gathered
            while door.decided_at is None and clock.now() - came < GIVES_UP_S:
                due = max(due + 1.0 / CAMERA_FPS, clock.now())
                clock.wait_until(due)  # the camera's own pace
                prompt = door.step.prompt
                step = Step(Phase.ASKING if prompt else Phase.BEFORE, prompt=prompt)
                image, at = stepping_up(actor(step, clock.now()), taken), clock.now()
                taken += 1
                outcome, took, computed = door.take(image)
                is_good = isinstance(outcome, Ready) or getattr(outcome, "guidance", None) is Guidance.HOLD_STILL
                good_at = at if good_at is None and is_good else good_at
                judged.append(took)
                computing.append(computed)
            since_good += door.since(good_at)
            waited.append((door.decided_at or clock.now()) - came)
            statuses.append(door.status if door.decided_at else "none")
            while not isinstance(door.take(empty)[0], Left):
                clock.wait_until(clock.now() + 1.0 / CAMERA_FPS)  # the camera's own pace
    finally:
        door.close()
    return {
        "visits": visits,
        "approved": statuses.count("Approved"),
        "seconds_from_first_frame_to_decision": {
            "median": round(float(np.median(waited)), 2),
            "p95": round(float(np.percentile(waited, 95)), 2),
            "worst": round(max(waited), 2),
        },
        "first_good_frame_to_decision": timing(since_good) if since_good else None,
        "judged_frame": timing(judged),
        "judged_frame_computing": timing(computing),  # without the waits for a core that others use
        "load": f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    }

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
from kiosk.rules.presentation import Left
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


class DoorOfOne:
    """The judge of a kiosk on the real clock, which hears of its decisions."""

    def __init__(self, folder: Path, recogniser: Recogniser, network: SpoofNetwork) -> None:
        settings = replace(Config(), pad=PadSettings(screen=True))
        initialise(folder, now=time.time).close()
        self.store = open_store(folder, read_keys(folder), now=time.time)
        device = Device(recogniser, self.store, settings, now=time.time)
        monitor = Monitor({}, policy(asdict(settings.degraded)), now=time.time)
        news = Broadcast(time.time)
        news.listen(self._hear)
        self.lines = RecordedLines()
        self.door = Door(self.lines, settings.door, clock=time.monotonic, states=monitor.states)
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
            clock=time.monotonic,
            door=self.door,
            liveness=lambda _: self.step,
        )
        self.decided_at: float | None = None
        self.status = ""
        self.number = 0

    def close(self) -> None:
        """End it."""
        self.door.close()
        self.store.close()

    def _hear(self, news: News) -> None:
        if news.topic is Topic.DECISION and self.decided_at is None:
            self.decided_at, self.status = time.monotonic(), str(news.data["status"])

    def take(self, image: RgbImage) -> tuple[Any, float, float]:
        """Judge one picture, taken now; return the outcome, what it took and what of it was computing, s."""
        self.number += 1
        began, computed = time.perf_counter(), time.process_time()
        outcome = self.judge.take(Frame(image, time.monotonic(), self.number), time.monotonic())
        return outcome, time.perf_counter() - began, time.process_time() - computed


def measure_door(folder: Path, recogniser: Recogniser, network: SpoofNetwork, person: Follower, visits: int) -> Any:
    """Let a person come and answer at once, again and again.

    Args:
        folder: for the store; must not be there.
        recogniser: the kiosk's.
        network: the passive cue.
        person: who comes, enrolled before.
        visits: how often.
    """
    door = DoorOfOne(folder, recogniser, network)
    face = recogniser.detect(person.rest[0])[0]
    door.store.people.enrol(Enrolment((recogniser.extract(person.rest[0], face),), Details(name="Person C")))
    empty = np.full(person.rest[0].shape, 90, np.uint8)
    waited: list[float] = []
    judged: list[float] = []
    computing: list[float] = []
    statuses: list[str] = []
    try:
        for _ in range(visits):
            actor, door.decided_at = replace(person), None
            came = due = time.monotonic()
            while door.decided_at is None and time.monotonic() - came < GIVES_UP_S:
                due = max(due + 1.0 / CAMERA_FPS, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))  # the camera's own pace
                prompt = door.step.prompt
                step = Step(Phase.ASKING if prompt else Phase.BEFORE, prompt=prompt)
                _, took, computed = door.take(actor(step, time.monotonic()))
                judged.append(took)
                computing.append(computed)
            waited.append((door.decided_at or time.monotonic()) - came)
            statuses.append(door.status if door.decided_at else "none")
            while not isinstance(door.take(empty)[0], Left):
                time.sleep(1.0 / CAMERA_FPS)  # the camera's own pace
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
        "judged_frame": timing(judged),
        "judged_frame_computing": timing(computing),  # without the waits for a core that others use
        "load": f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    }

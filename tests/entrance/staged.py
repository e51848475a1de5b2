"""A kiosk on a stage: scripted faces, a real store, a real door on recorded lines, and time that moves when told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kiosk.device.device import Device
from kiosk.device.outgoing import Outgoing
from kiosk.door.door import Door
from kiosk.entrance.decide import Entrance
from kiosk.entrance.judge import Judge
from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.health.monitor import Monitor
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.recognition.pipeline import Recogniser
from kiosk.recognition.quality import Quality
from kiosk.rules.conditions import policy
from kiosk.rules.presentation import Ready
from kiosk.rules.schedule import read_schedule
from kiosk.settings.config import Config
from kiosk.settings.sections import PadSettings
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment, Subject
from kiosk.testing.fakes import ManualClock, RecordedLines
from kiosk.testing.scripted_liveness import mesh_of
from kiosk.types import ClockState, Face, Frame, RgbImage, Template

PACK = read_pack(standard_pack())
SCALE = PACK.scale
D = 128
NOW = 1_800_000_000.0  # Friday 2027-01-15 08:00 UTC
FPS = 10.0
REACTS_S = 0.4  # nobody does what is asked sooner
GOOD = Quality(60.0, 120.0, 40.0, 300.0, 0.9)
WALL = np.random.default_rng(0).integers(60, 200, (480, 640, 3), np.uint8)  # sharp and lit wherever a face is put
POINTS = np.array([[-0.2, -0.15], [0.2, -0.15], [0.0, 0.05], [-0.15, 0.2], [0.15, 0.2]], np.float32)


def template(seed: int, *, like: int | None = None, similarity: float = 100.0) -> Template:
    """A person's direction; with `like`, one of this similarity to that person's."""
    made = np.random.default_rng(seed).standard_normal(D)
    if like is not None:
        cosine = min(1.0, SCALE.cosine(similarity) + 1e-6)
        base = template(like).vector.astype(np.float64)
        across = made - (made @ base) * base
        made = cosine * base + np.sqrt(1 - cosine**2) * across / np.linalg.norm(across)
    return Template((made / np.linalg.norm(made)).astype(np.float32), PACK.template_model)


def ready(probe: Template, captured_at: float = 1000.0, frames: int = 3) -> Ready:
    """A presentation to be decided about."""
    return Ready(probe, (probe,) * frames, (GOOD,) * frames, tuple(range(1, frames + 1)), frames, captured_at)


class Stage:
    """Everything of a kiosk but threads, networks and a camera."""

    def __init__(
        self,
        directory: Path,
        config: Config | None = None,
        *,
        outgoing: Outgoing | None = None,
        has_door: bool = True,
        **more: Any,
    ) -> None:
        """Set it up; `more` goes to the judge."""
        state = directory / "state"
        self.clock = ManualClock()
        self.wall = ManualClock(NOW)
        self.is_clock_trusted = True
        if not state.exists():
            initialise(state, now=self.wall).close()
        self.config = config or Config(pad=PadSettings(level="off"))
        self.store = open_store(
            state,
            read_keys(state),
            now=self.wall,
            clock_state=lambda: ClockState.SYNCED if self.is_clock_trusted else ClockState.UNTRUSTED,
        )
        self.people: dict[int, list[tuple[Face, Template, Quality]]] = {}
        self.device = Device(self._recogniser(), self.store, self.config, now=self.wall, outgoing=outgoing)
        self.monitor = Monitor({}, policy({}), now=self.wall)
        self.news: list[News] = []
        broadcast = self.broadcast = Broadcast(self.wall)
        broadcast.listen(self.news.append)
        self.lines = RecordedLines()
        self.door = Door(self.lines, self.config.door, clock=self.clock, states=self.monitor.states)
        self.entrance = Entrance(
            self.device,
            self.config.entrance,
            self.schedule(self.config),
            now=self.wall,
            is_clock_trusted=lambda: self.is_clock_trusted,
            states=self.monitor.states,
        )
        self.kept: list[Any] = []
        self.judge = Judge(
            self.device,
            self.entrance,
            self.monitor,
            broadcast,
            self.config,
            clock=self.clock,
            door=self.door if has_door else None,
            **{"keep": self.kept.append, **more},
        )
        self.number = 0
        self.scene = WALL  # what the camera sees, faces apart
        self.yaw_deg, self.mouth = 0.0, 0.02  # of the largest face's mesh
        self.asked_at = 0.0  # when the screen asked nothing last

    def close(self) -> None:
        self.door.close()
        self.store.close()

    @staticmethod
    def schedule(config: Config) -> Any:
        return read_schedule(config.schedule.time_zone, config.schedule.week, config.schedule.holidays)

    def _recogniser(self) -> Recogniser:
        def seen(image: RgbImage) -> list[tuple[Face, Template, Quality]]:
            return self.people[int(image[0, 0, 0]) << 8 | int(image[0, 0, 1])]

        def of(image: RgbImage, face: Face) -> tuple[Face, Template, Quality]:
            return next(one for one in seen(image) if one[0] is face)

        faces: Callable[[RgbImage], list[Face]] = lambda image: [face for face, _, _ in seen(image)]  # noqa: E731
        return Recogniser(
            detect=faces,
            glance=faces,
            find_upright=lambda image: (faces(image), 0),
            turn=lambda image, _angle: image,
            refine=lambda _image, face: (face, 1.0),
            extract=lambda image, face: of(image, face)[1] if image.shape == WALL.shape else template(0),
            describe=lambda _image, _face: (30.0, "female"),
            scale=SCALE,
            model=PACK.template_model,
            trace=lambda _image, face: (face, 1.0, mesh_of(face, yaw_deg=self.yaw_deg, mouth=self.mouth)),
        )

    def frame(self, *people: Template, edge: float = 120.0) -> Frame:
        """The next frame, with these people beside one another."""
        self.number += 1
        image = self.scene.copy()
        image[0, 0] = self.number >> 8, self.number & 255, 1
        middles = [(640 * (place + 1) / (len(people) + 1), 240.0) for place in range(len(people))]
        for x, y in middles:  # nobody gives the same pixels twice
            part = image[round(y - edge / 2) : round(y + edge / 2), round(x - edge / 2) : round(x + edge / 2)]
            part[1:] = np.roll(part[1:], self.number * 7, axis=1)  # a very large face's first row has the number
        self.people[self.number] = [
            (
                Face(
                    np.array([x - edge / 2, y - edge / 2, x + edge / 2, y + edge / 2], np.float32),
                    (POINTS * edge + np.array((x, y))).astype(np.float32),
                    0.9,
                ),
                one,
                GOOD,
            )
            for (x, y), one in zip(middles, people, strict=True)
        ]
        return Frame(image, self.clock.now, self.number)

    def show(self, *people: Template, seconds: float = 1.0, late_s: float = 0.0) -> list[Any]:
        """Let people stand there for a time."""
        outcomes = []
        for _ in range(round(seconds * FPS)):
            self.clock.advance(1 / FPS)
            self.wall.advance(1 / FPS)
            self.door.tick()
            frame = self.frame(*people)
            self.clock.advance(late_s)
            outcomes.append(self.judge.take(frame, self.clock.now))
        return outcomes

    def follow(self, person: Template, *, seconds: float) -> None:
        """Let a person stand there who does what the screen asks."""
        for _ in range(round(seconds * FPS)):
            asked = self.screen["challenge"] if self.told(Topic.SCREEN) else None
            if asked is None:
                self.asked_at = self.clock.now
            has_reacted = asked is not None and self.clock.now - self.asked_at >= REACTS_S
            side = asked["side"] if asked and has_reacted else None
            self.yaw_deg = {"left": 38.0, "right": -38.0, None: 0.0}[side]
            self.mouth = 0.5 if asked and has_reacted and asked["kind"] == "mouth" else 0.02
            self.show(person, seconds=1 / FPS)
        self.yaw_deg, self.mouth = 0.0, 0.02

    def enrol(
        self,
        *templates: Template,
        name: str = "Person A",
        plan: str | None = None,
        groups: tuple[str, ...] = (),
        **more: Any,
    ) -> Subject:
        details = Details(name=name, vendor_data=name, plan=plan, groups=groups)
        return self.store.people.enrol(Enrolment(templates, details, **more))

    def told(self, topic: Topic) -> list[dict[str, Any]]:
        return [dict(one.data) for one in self.news if one.topic is topic]

    @property
    def decisions(self) -> list[dict[str, Any]]:
        return self.told(Topic.DECISION)

    @property
    def screen(self) -> dict[str, Any]:
        return self.told(Topic.SCREEN)[-1]


def config(**sections: dict[str, Any]) -> Config:
    """Settings with some changed: config(entrance={"mode": "verify"}). Attacks are looked for only if asked."""
    base = Config(pad=PadSettings(level="off"))
    return replace(base, **{name: replace(getattr(base, name), **values) for name, values in sections.items()})

"""The whole line, real networks: a portrait printed and held up, and a person who does what the screen asks.

The person is a portrait whose mesh turns and opens its mouth; the print goes through a simulated camera. Neither says
anything about error rates.
"""

from dataclasses import replace
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest

from kiosk.daemon.wiring import step_of
from kiosk.networks.detection import Detection
from kiosk.networks.inference import read_pack
from kiosk.recognition.cues import CueLimits
from kiosk.recognition.judgement import Phase, Step
from kiosk.testing.pad_actors import Loop, follower_of
from kiosk.testing.pad_material import Held, MovingPortrait, Sensor, draw_room, hold_print, trace_depth
from kiosk.testing.scripted_liveness import ScriptedDetector
from kiosk.types import Frame
from tests.conftest import GOLDEN, MODELS, networks, read
from tests.entrance.staged import Stage, config
from tests.entrance.test_judge import logged, pulses
from tests.recognition.remembered import remembered

FPS = 12.0


@pytest.fixture(scope="module")
def recogniser():
    return remembered(networks())


@pytest.fixture(scope="module")
def detection(recogniser):
    loaded = Detection(lambda: read_pack(MODELS), recogniser.detect, CueLimits())
    loaded.test()
    return loaded


@pytest.fixture(scope="module")
def portrait():
    """Give Person C, close enough that the face is as large as at a door, as a portrait that moves."""
    detecting: Any = networks().detect  # a bound method
    detector, image = detecting.__self__, read(GOLDEN / "person_c_1.jpg")
    face = detector.detect(image)[0]
    edge = float(max(face.box[2:] - face.box[:2]))
    x, y = (face.box[:2] + face.box[2:]) / 2
    image = np.ascontiguousarray(
        image[max(0, int(y - 1.6 * edge)) : int(y + 1.9 * edge), max(0, int(x - 1.6 * edge)) : int(x + 1.6 * edge)]
    )
    size = round(image.shape[1] * 420 / image.shape[0]), 420
    image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return MovingPortrait(image, trace_depth(detector, image, detector.detect(image)[0]))


@pytest.fixture(scope="module")
def person(portrait):
    """Give a maker of people who follow; their frames are drawn once."""
    made = follower_of(portrait, np.random.default_rng(1))
    return lambda: replace(made)


class Real(Stage):
    """A stage with the real networks, whose frames an actor gives."""

    def __init__(self, directory, recogniser, detection, level, **sections):
        self.real = recogniser
        pad = {"level": level, "screen": True}
        super().__init__(
            directory,
            config(pad=pad, **sections),
            liveness=lambda settings: step_of(settings, self.monitor, self.device, detection, rng=Random(3)),
        )

    def _recogniser(self):
        return self.real

    def play(self, actor, *, seconds):
        """Let an actor stand there until it is decided, or the time is over; return how long it took, s."""
        for step in range(round(seconds * FPS)):
            self.clock.advance(1 / FPS)
            self.wall.advance(1 / FPS)
            self.door.tick()
            self.number += 1
            shown = Step(Phase.ASKING, prompt=self.judge._liveness.prompt if self.judge._liveness else None)
            self.judge.take(Frame(actor(shown, self.clock.now), self.clock.now, self.number), self.clock.now)
            if self.decisions:
                return (step + 1) / FPS
        return seconds


@pytest.fixture
def make(tmp_path, recogniser, detection):
    made = []

    def stage(level, **sections):
        made.append(Real(tmp_path, recogniser, detection, level, **sections))
        made[-1].enrol(recogniser.analyse(read(GOLDEN / "person_c_1.jpg")).template, name="Person C")
        return made[-1]

    yield stage
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def printed(portrait):
    """Give frames of the portrait on paper, in a hand."""
    rng = np.random.default_rng(3)
    room, sensor = draw_room(rng), Sensor(rng)
    return [sensor.take(hold_print(portrait.frame(), room, Held(300.0, x_px=x))) for x in (0.0, 2.0, 4.0, 2.0)]


@pytest.mark.parametrize("level", ["active", "strict"])
def test_a_person_who_does_what_is_asked_comes_in(make, person, level):
    stage = make(level)

    took_s = stage.play(person(), seconds=30.0)

    assert pulses(stage) == 1, logged(stage)[-1].details["liveness"]
    assert took_s <= {"active": 4.0, "strict": 10.0}[level]


@pytest.mark.parametrize("level", ["passive", "active", "strict"])
def test_a_print_is_refused_at_every_level(make, printed, level):
    stage = make(level)

    stage.play(Loop(printed), seconds=30.0)

    assert pulses(stage) == 0
    assert [one["reasons"] for one in stage.decisions] == [["attack_suspected"]]


@pytest.mark.parametrize("level", ["active", "strict"])
def test_a_print_that_every_passive_cue_lets_pass_comes_in_by_no_challenge(tmp_path, recogniser, printed, level):
    stage = Real(tmp_path, recogniser, ScriptedDetector(), level)  # it sees a person in every frame
    stage.enrol(recogniser.analyse(read(GOLDEN / "person_c_1.jpg")).template, name="Person C")

    stage.play(Loop(printed), seconds=40.0)
    stage.close()

    assert pulses(stage) == 0
    assert [one["reasons"] for one in stage.decisions] == [["liveness_undetermined"]]

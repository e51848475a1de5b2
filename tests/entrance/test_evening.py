"""An evening at the door, replayed: real pictures, networks, store, watch and door; only the time is handed in.

The long form, with more people than may be kept here, is benchmarks/evening.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.replay import NOW, Replay, config
from kiosk.capture.demo import Pose, Scene, Visitor, walk_up
from kiosk.entrance.news import Consent
from kiosk.store.subjects import Details, Enrolment
from tests.conftest import GOLDEN, networks, read
from tests.recognition.remembered import remembered

FPS = 6.0
WAYS_IN = {"lockout_tries": 4, "free_tries": 3, "lockout_s": 20.0, "wait_s": 2.0}
WELCOME_A = ["IDENTIFY Approved: Person A (matched)", "relay on", "relay off", "left"]
STRANGER = ["IDENTIFY Declined: nobody known (unknown)", "left"]


@pytest.fixture(scope="module")
def people():
    return {name: read(GOLDEN / f"person_{name}.jpg") for name in ("a_1", "a_2", "b_1", "c_1")}


@pytest.fixture(scope="module")
def recogniser():
    return remembered(networks())


@pytest.fixture
def evening(tmp_path, recogniser, people):
    """A door that knows Person A and blocks Person B."""
    made = Replay(tmp_path / "state", recogniser, config(attempts=WAYS_IN), fps=FPS)
    known = {name: recogniser.analyse(image).template for name, image in people.items()}
    made.store.people.enrol(Enrolment([known["a_2"]], Details(name="Person A", vendor_data="a")))
    made.store.people.enrol(Enrolment([known["b_1"]], Details(name="Person B"), is_blocklisted=True))
    yield made
    made.close()


def play(evening, *visitors, seconds=6.0, darkness=False):
    """Show a scene; return what happened in it."""
    before = len(evening.trace)
    scene = Scene(visitors, (640, 480))
    for number in range(round(seconds * FPS)):
        image = scene.draw(number / FPS, number + 1)  # a visit that comes again gives the same pictures
        evening.step(image // 64 if darkness else image)
    return evening.trace[before:]


def walking_up(portrait, at_s=0.5, stay_s=1.5, near=1.3, x=0.5):
    return Visitor(portrait, walk_up(at_s, stay_s, near, x))


def no_frames(evening, seconds):
    before = len(evening.trace)
    for _ in range(round(seconds * FPS)):
        evening.step(None)
    return evening.trace[before:]


def test_an_evening_at_the_door_gives_exactly_these_decisions_and_pulses(evening, people):
    a, b, c = people["a_1"], people["b_1"], people["c_1"]
    dark = tuple(replace(pose, light=0.18) for pose in walk_up(0.5, 1.5, 1.3))
    on_its_side = np.ascontiguousarray(np.rot90(a))
    swapped = Visitor(c, (Pose(0.5, 0.95), Pose(0.8, 0.95))), Visitor(a, (Pose(0.8, 1.3), Pose(3.5, 1.3)))

    told = {
        "the door opens for nobody": play(evening, seconds=2.0),
        "somebody known": play(evening, walking_up(a)),
        "mirrored, and a long stay": play(evening, walking_up(np.fliplr(a), stay_s=8.0), seconds=13.0),
        "a long pause": play(evening, seconds=8.0),
        "two at once": play(evening, walking_up(a, x=0.3), walking_up(c, x=0.75, near=1.0)),
        "a stranger": play(evening, walking_up(c)),
        "somebody blocked": play(evening, walking_up(b, near=1.6)),
        "too dark": play(evening, Visitor(a, dark)),
        "on its side": play(evening, walking_up(on_its_side, near=1.2)),
        "walking past": play(evening, Visitor(a, (Pose(0.5, 1.3, -0.2), Pose(1.7, 1.3, 1.2))), seconds=3.0),
        "the camera is lost": no_frames(evening, 3.0),
        "and is back": play(evening, walking_up(a)),
        "a hand on the lens": play(evening, walking_up(a, stay_s=0.5), seconds=3.0, darkness=True),
        "and off it": play(evening, seconds=2.0),
        "another takes the place": play(evening, *swapped),
        "back again at once": play(evening, walking_up(a)),
    }

    assert told == {
        "the door opens for nobody": ["camera live"],
        "somebody known": WELCOME_A,
        "mirrored, and a long stay": WELCOME_A,
        "a long pause": [],
        "two at once": ["left undecided"],
        "a stranger": STRANGER,
        "somebody blocked": ["IDENTIFY Declined: Person B (blocklisted)", "left"],
        "too dark": ["left undecided"],
        "on its side": ["left undecided"],
        "walking past": ["left undecided"],
        "the camera is lost": ["camera lost"],
        "and is back": ["camera live", *WELCOME_A],
        "a hand on the lens": ["camera black"],
        "and off it": ["camera live"],
        "another takes the place": WELCOME_A,
        "back again at once": WELCOME_A,
    }
    assert evening.store.decisions().total == 7
    assert evening.store.verify_log().is_intact
    assert max(evening.relay_on_s) <= evening.config.door.pulse_s + 0.05


def test_strangers_one_after_the_other_lock_the_door_for_those_after_them_too(evening, people):
    stranger = walking_up(people["c_1"])
    play(evening, seconds=1.0)
    for _ in range(int(WAYS_IN["lockout_tries"])):
        assert play(evening, stranger) == STRANGER

    held = play(evening, walking_up(people["a_1"], stay_s=2.0))
    play(evening, seconds=16.0)
    again = play(evening, walking_up(people["a_1"]))

    assert (held, again) == (["left undecided"], WELCOME_A)


def test_a_code_lets_in_its_own_person_alone(evening, people):
    evening.reload(config(entrance={"mode": "verify"}))
    (person_a,) = evening.store.people.find("a")
    play(evening, seconds=1.0)

    unasked = play(evening, walking_up(people["a_1"]))
    evening.judge.expected.claim(person_a.session_number)
    right = play(evening, walking_up(people["a_1"]))
    evening.judge.expected.claim(person_a.session_number)
    wrong = play(evening, walking_up(people["c_1"]))

    assert unasked == ["left undecided"]
    assert right == ["VERIFY Approved: Person A (matched)", "relay on", "relay off", "left"]
    assert wrong == ["VERIFY Declined: Person A (other_person)", "left"]


def test_somebody_enrolled_at_the_door_is_let_in_by_another_picture_of_them(evening, people):
    consent = {"consent_version": "2026-11", "consent_text": "I agree."}
    evening.reload(config(entrance={"mode": "enrol"}, enrolment=consent))
    play(evening, seconds=1.0)

    def enrol(name):
        agreed = Consent("2026-11", NOW)
        evening.judge.expected.begin_enrolment(Details(name=name), agreed, is_allowlisted=False, is_attended=True)
        return play(evening, walking_up(people["c_1"], stay_s=3.0), seconds=8.0)

    first, second = enrol("Person C"), enrol("Person C again")
    evening.reload(config())
    back = play(evening, walking_up(np.fliplr(people["c_1"])))

    assert (first, second) == (["enrolment added", "left"], ["enrolment duplicate", "left"])
    assert back == ["IDENTIFY Approved: Person C (matched)", "relay on", "relay off", "left"]


def test_screening_looks_for_people_and_opens_nothing(evening, people):
    evening.reload(config(entrance={"mode": "screen"}))
    play(evening, seconds=1.0)

    known, blocked, new = (
        play(evening, walking_up(people[name], near=near)) for name, near in (("a_1", 1.3), ("b_1", 1.6), ("c_1", 1.3))
    )

    assert known[0].startswith("FACE_SEARCH In Review")
    assert blocked == ["FACE_SEARCH Declined: nobody known (FACE_IN_BLOCKLIST)", "left"]
    assert new[0].startswith("FACE_SEARCH Approved")
    assert evening.lines.pulses == 0

import math
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.recognition.embed import fuse
from kiosk.recognition.image import shrink
from kiosk.recognition.match import ScoreScale, compare
from kiosk.recognition.quality import Quality, measure
from kiosk.rules.limits import Limits
from kiosk.rules.presentation import (
    Decided,
    Disorder,
    Guidance,
    Ignored,
    Left,
    Nobody,
    Presenter,
    Ready,
    TimedOut,
    View,
    Waiting,
    overlap,
    shift,
)
from kiosk.types import Face, Template
from tests.conftest import GOLDEN, read

SCALE = ScoreScale((0.0, 0.2, 0.4, 0.6), (0.0, 1.0, 4.0, 6.0))  # cosine 0.2 is score 30, 0.4 is score 70
FPS = 30.0
GOOD = Quality(60.0, 120.0, 40.0, 300.0, 0.9)
MIDDLE = (320.0, 240.0)
REFERENCE = np.array([[-0.2, -0.15], [0.2, -0.15], [0.0, 0.05], [-0.15, 0.2], [0.15, 0.2]], np.float32)


def template(person, noise=0.0):
    """A direction for each person; people are at right angles, noise turns one a little."""
    vector = np.zeros(16, np.float32)
    vector[ord(person) - ord("A")] = 1.0
    vector[15] = noise
    return Template(vector / np.linalg.norm(vector), "m")


class Somebody:
    """One face of a scripted frame."""

    def __init__(self, person="A", edge=120.0, at=MIDDLE, noise=0.0, **quality):
        self.person, self.noise, self.quality = person, noise, replace(GOOD, **quality)
        x, y = at
        box = np.array([x - edge / 2, y - edge / 2, x + edge / 2, y + edge / 2], np.float32)
        self.face = Face(box, (REFERENCE * edge + np.array(at)).astype(np.float32), 0.9)


class Film:
    """Shows scripted frames to a presenter, one after the other, 30 a second."""

    def __init__(self, limits=None, scale=SCALE):
        self.presenter = Presenter(limits or Limits(), scale)
        self.number, self.now = 0, 500.0
        self.outcomes, self.extracted = [], 0

    def view(self, people):
        by_face = {id(one.face): one for one in people}

        def extract(face):
            self.extracted += 1
            return template(by_face[id(face)].person, by_face[id(face)].noise)

        faces = [one.face for one in people]
        return View(self.number, self.now, (640, 480), faces, lambda face: by_face[id(face)].quality, extract)

    def show(self, *people, frames=1, late_s=0.0, armed=True):
        for _ in range(frames):
            self.number += 1
            self.now += 1 / FPS
            self.outcomes.append(self.presenter.see(self.view(people), self.now + late_s, is_armed=armed))
        return self.outcomes[-1]

    def story(self):
        """What happened, each thing once."""
        told = [
            "nobody" if isinstance(one, Nobody)
            else one.guidance.value if isinstance(one, Waiting)
            else "timed out" if isinstance(one, TimedOut)
            else f"ready {chr(ord('A') + int(np.argmax(one.probe.vector)))}" if isinstance(one, Ready)
            else f"decided: {one.guidance.value}" if isinstance(one, Decided)
            else ("left" if one.was_decided else "left undecided") if isinstance(one, Left)
            else f"ignored: {one.why.value}"
            for one in self.outcomes
        ]  # fmt: skip
        return [told[0]] + [new for old, new in pairwise(told) if new != old]

    def ready(self):
        return [one for one in self.outcomes if isinstance(one, Ready)]


A, B = Somebody("A"), Somebody("B")
READY_A = ["hold_still", "ready A", "decided: step_away"]


def walk_up(film):
    for edge in range(20, 200, 3):
        film.show(Somebody(edge=edge))


def two_at_once(film):
    film.show(Somebody("A", at=(200.0, 240.0)), Somebody("B", at=(440.0, 240.0)), frames=60)


def swap_mid_way(film):
    film.show(A, frames=6)
    film.show(B, frames=20)


def swap_behind_a_blink(film):
    film.show(A, frames=6)
    film.show(frames=3)
    film.show(B, frames=20)


def swap_for_a_worse_picture(film):
    film.show(A, frames=6)
    film.show(Somebody("B", sharpness=50.0), frames=20)


def jump_aside(film):
    film.show(Somebody("A", at=(200.0, 240.0)), frames=6)
    film.show(Somebody("A", at=(440.0, 240.0)), frames=5)


def blink_out(film):
    film.show(A, frames=4)
    film.show(frames=2)
    film.show(A, frames=10)


def leave_and_return(film):
    film.show(A, frames=12)
    film.show(frames=40)
    film.show(A, frames=12)


def leave_too_short(film):
    film.show(A, frames=12)
    film.show(frames=20)
    film.show(A, frames=60)


def next_person_at_once(film):
    film.show(A, frames=12)
    film.show(B, frames=60)


def turn_away_for_long(film):
    film.show(A, frames=12)
    film.show(Somebody("C", frontality=0.05), frames=120)  # a profile is no proof that somebody else stands there
    film.show(A, frames=5)


def flicker_of_a_second_face(film):
    film.show(A, frames=6)
    film.show(A, Somebody("B", at=(500.0, 240.0)))
    film.show(A, frames=12)


def second_face_stays_small(film):
    film.show(A, Somebody("B", edge=30.0, at=(500.0, 100.0)), frames=12)


def second_face_just_before_the_end(film):
    film.show(A, frames=8)
    film.show(A, Somebody("B", at=(500.0, 240.0)))
    film.show(A, frames=7)


def back_while_another_is_looked_at(film):
    film.show(A, frames=12)
    film.show(B, frames=32)
    film.show(A, frames=30)


def grow_in_one_frame(film):
    film.show(Somebody(edge=80.0), frames=8)
    film.show(Somebody(edge=200.0), frames=8)


def late_frames(film):
    film.show(A, frames=20, late_s=0.6)


def leave_before(film):
    film.show(A, frames=3)
    film.show(frames=30)


def armed_later(film):
    film.show(A, frames=10, armed=False)
    film.show(A, frames=10)


def walk_past(film):
    for x in range(60, 600, 18):  # 4.5 face widths a second
        film.show(Somebody(at=(float(x), 240.0)))


@pytest.mark.parametrize(
    ("script", "story"),
    [
        pytest.param(walk_up, ["nobody", "come_closer", *READY_A], id="walks up"),
        pytest.param(two_at_once, ["one_at_a_time"], id="two at once"),
        pytest.param(swap_mid_way, ["hold_still", "ready B", "decided: step_away"], id="swap"),
        pytest.param(swap_behind_a_blink, ["hold_still", "ready B", "decided: step_away"], id="swap in a blink"),
        pytest.param(swap_for_a_worse_picture, ["hold_still", "ready B", "decided: step_away"], id="swap, worse"),
        pytest.param(jump_aside, ["hold_still"], id="another place starts anew"),
        pytest.param(blink_out, READY_A, id="detection lost for two frames"),
        pytest.param(
            leave_and_return, [*READY_A, "decided: wait", "left", "nobody", *READY_A], id="leaves and comes back"
        ),
        pytest.param(leave_too_short, [*READY_A, "decided: wait", "decided: step_away"], id="away too short"),
        pytest.param(
            next_person_at_once,
            [*READY_A, "decided: wait", "left", "hold_still", "ready B", "decided: step_away"],
            id="the next one pushes in",
        ),
        pytest.param(turn_away_for_long, READY_A, id="turns away and back"),
        pytest.param(lambda film: film.show(A, frames=900), READY_A, id="never leaves"),
        pytest.param(
            flicker_of_a_second_face, ["hold_still", "one_at_a_time", *READY_A], id="a second face for one frame"
        ),
        pytest.param(second_face_just_before_the_end, ["hold_still", "one_at_a_time", "hold_still"], id="begins anew"),
        pytest.param(
            back_while_another_is_looked_at,
            [*READY_A, "decided: wait", "decided: step_away"],
            id="returns before the kiosk is armed",
        ),
        pytest.param(grow_in_one_frame, ["hold_still"], id="a face of another size starts anew"),
        pytest.param(second_face_stays_small, READY_A, id="somebody far behind"),
        pytest.param(late_frames, ["ignored: too_late"], id="late frames"),
        pytest.param(leave_before, ["hold_still", "left undecided", "nobody"], id="leaves before"),
        pytest.param(armed_later, ["wait", *READY_A], id="not armed"),
        pytest.param(walk_past, ["hold_still"], id="walks past"),
        pytest.param(lambda film: film.show(Somebody(edge=71), frames=20), ["come_closer"], id="too far"),
        pytest.param(lambda film: film.show(Somebody(edge=72.01), frames=20), READY_A, id="just near enough"),
        pytest.param(lambda film: film.show(Somebody(edge=409), frames=20), ["step_back"], id="too near"),
        pytest.param(
            lambda film: film.show(Somebody(at=(2.0, 240.0)), frames=20), ["move_to_the_middle"], id="at the rim"
        ),
        pytest.param(lambda film: film.show(Somebody(luminance=39.9), frames=20), ["too_dark"], id="dark"),
        pytest.param(lambda film: film.show(Somebody(luminance=40.0), frames=20), READY_A, id="just light enough"),
        pytest.param(lambda film: film.show(Somebody(luminance=221.0), frames=20), ["too_bright"], id="bright"),
        pytest.param(lambda film: film.show(Somebody(frontality=0.2), frames=20), ["turn_to_camera"], id="turned away"),
        pytest.param(lambda film: film.show(Somebody(sharpness=5.0), frames=20), ["hold_still"], id="blurred"),
        pytest.param(lambda film: film.show(Somebody(luminance=math.nan), frames=20), ["too_dark"], id="no number"),
        pytest.param(lambda film: film.show(Somebody(edge=math.nan), frames=20), ["come_closer"], id="no box"),
    ],
)
def test_a_scripted_presentation(script, story):
    film = Film()

    script(film)

    assert film.story() == story


def test_the_decision_comes_400_ms_after_the_first_good_frame_and_rests_on_the_newest():
    film = Film()
    begun = film.now

    film.show(A, frames=30)

    (ready,) = film.ready()
    assert ready.captured_at - begun <= 0.4
    assert ready.frames[-1] == round((ready.captured_at - begun) * FPS)
    assert len(ready.frames) == Limits().frames


def test_somebody_who_comes_nearer_with_every_frame_is_judged_as_soon():
    film = Film()

    for step in range(12):
        film.show(Somebody(edge=80.0 + 4 * step, sharpness=100.0 + 10 * step))

    (ready,) = film.ready()
    assert ready.frames == (7, 8, 9)


def test_the_best_frames_are_taken_and_their_templates_fused():
    film = Film()
    film.show(Somebody(sharpness=100.0, noise=0.5))
    film.show(Somebody(sharpness=900.0, noise=0.1))
    film.show(Somebody(sharpness=100.0, noise=0.5), frames=3)
    film.show(Somebody(sharpness=800.0, noise=0.2))

    film.show(Somebody(sharpness=100.0, noise=0.3), frames=5)

    (ready,) = film.ready()
    assert ready.frames == (2, 6, 9)
    assert ready.best_frame == 2
    assert compare(ready.probe, fuse([template("A", noise) for noise in (0.1, 0.2, 0.3)])) == pytest.approx(1.0)


def test_an_old_frame_is_no_part_of_a_decision():
    film = Film()
    film.show(Somebody(sharpness=9000.0))
    film.show(Somebody(frontality=0.1), frames=46)  # 1.5 s without a good one

    film.show(A, frames=15)

    (ready,) = film.ready()
    assert ready.best_frame > 40


def test_templates_are_made_only_of_frames_that_may_count():
    film = Film()

    film.show(Somebody(edge=50), frames=100)
    film.show(A, Somebody("B", at=(500.0, 240.0)), frames=100)
    film.show(A, frames=9)

    assert film.extracted == 4  # the first three and the last; no better one came between


def test_a_person_who_lingers_costs_four_templates_a_second():
    film = Film()
    film.show(A, frames=12)
    before = film.extracted

    film.show(A, frames=300)

    assert 30 <= film.extracted - before <= 41


def test_a_time_out_is_told_once_and_a_decision_may_still_follow():
    film = Film()

    film.show(Somebody(luminance=10.0), frames=1000)
    film.show(A, frames=12)

    assert sum(isinstance(one, TimedOut) for one in film.outcomes) == 1
    assert film.story() == ["too_dark", "timed out", "too_dark", *READY_A]


def test_waiting_for_a_lock_out_is_no_time_out():
    film = Film()

    film.show(A, frames=1000, armed=False)

    assert film.story() == ["wait"]


def test_after_a_gap_in_the_frames_nobody_knows_who_stands_there():
    film = Film()
    film.show(A, frames=7)
    film.now += 0.6

    film.show(A, frames=7)

    assert film.ready() == []


def test_a_camera_that_freezes_is_no_leaving():
    film = Film()
    film.show(A, frames=12)
    film.show(frames=20)
    film.now += 60.0

    film.show(frames=15)

    assert film.story() == [*READY_A, "decided: wait"]


def test_a_new_camera_counts_anew_but_who_was_decided_stays_so():
    film = Film()
    film.show(A, frames=12)
    film.presenter.interrupt()
    film.number = 0

    film.show(A, frames=60)

    assert film.story() == READY_A


@pytest.mark.parametrize(
    ("step", "why"),
    [
        pytest.param({"number": -1}, Disorder.NOT_NEWER, id="the same number again"),
        pytest.param({"captured": -1 / FPS}, Disorder.NOT_NEWER, id="the same time again"),
        pytest.param({"captured": 1.0}, Disorder.FROM_THE_FUTURE, id="from the future"),
        pytest.param({"captured": math.nan}, Disorder.FROM_THE_FUTURE, id="no time"),
        pytest.param({"now": 0.51}, Disorder.TOO_LATE, id="late"),
        pytest.param({"now": -1.0}, Disorder.CLOCK_JUMPED, id="clock goes back"),
        pytest.param({"now": math.nan}, Disorder.CLOCK_JUMPED, id="no clock"),
        pytest.param({"now": math.inf}, Disorder.CLOCK_JUMPED, id="clock without end"),
    ],
)
def test_a_frame_out_of_order_counts_for_nothing(step, why):
    film = Film()
    film.show(A, frames=8)  # the next would be the last one needed
    view = replace(
        film.view([A]),
        number=film.number + 1 + step.get("number", 0),
        captured_at=film.now + 1 / FPS + step.get("captured", 0.0),
    )

    assert film.presenter.see(view, film.now + 1 / FPS + step.get("now", 0.0)) == Ignored(why)


def test_a_clock_that_jumped_starts_anew_and_the_kiosk_goes_on():
    film = Film()
    film.show(A, frames=8)
    film.now -= 100.0

    film.show(A, frames=30)

    assert film.story() == ["hold_still", "ignored: clock_jumped", *READY_A]
    assert film.ready()[0].frames[0] > 9


@pytest.mark.parametrize("hours", [1e6, -1e6])
def test_a_clock_that_jumps_and_returns_lets_nothing_through_but_the_fresh(hours):
    film = Film()
    film.show(A, frames=8)
    film.number += 1
    film.presenter.see(film.view([A]), film.now + hours)

    film.show(A, frames=30)

    (ready,) = film.ready()
    assert ready.frames[0] > 9


good = st.builds(Somebody, person=st.sampled_from("AB"), sharpness=st.sampled_from([300.0, 500.0]))
anyhow = st.builds(
    Somebody,
    person=st.sampled_from("AB"),
    edge=st.sampled_from([40.0, 100.0, 120.0, math.nan]),
    at=st.sampled_from([MIDDLE, (330.0, 240.0), (500.0, 240.0)]),
    luminance=st.sampled_from([120.0, 10.0, math.nan]),
    sharpness=st.sampled_from([300.0, 500.0, 1.0]),
)
plain = st.tuples(  # faces, step of the number, step of the clock, age of the frame, how often
    st.lists(good, max_size=1), st.just(1), st.sampled_from([0.033, 0.1]), st.just(0.05), st.integers(1, 40)
)
odd = st.tuples(
    st.lists(anyhow, max_size=2),
    st.sampled_from([1, 1, 0, -3]),
    st.sampled_from([0.033, 0.1, 0.6, -0.1, 5.0]),
    st.sampled_from([0.0, 0.1, 0.6, -0.1]),
    st.integers(1, 6),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(plain | odd, max_size=12))
def test_whatever_comes_a_decision_is_of_one_person_fresh_and_asked_once(script):
    film = Film()
    shown, armed = {}, True
    for people, by, seconds, age_s, times in script:
        for _ in range(times):
            film.number += by
            film.now += seconds
            view = replace(film.view(people), captured_at=film.now - age_s)
            outcome = film.presenter.see(view, film.now)
            if not isinstance(outcome, Ignored):
                shown[view.number] = (people, view.captured_at)
            if isinstance(outcome, Left):
                armed = True
            if isinstance(outcome, Ready):
                assert armed
                armed = False
                assert 0.0 <= film.now - outcome.captured_at <= 0.5
                assert outcome.frames[-1] == view.number
                assert list(outcome.frames) == sorted(set(outcome.frames))
                who = {one.person for number in outcome.frames for one in shown[number][0]}
                assert len(who) == 1
                assert all(len(shown[number][0]) == 1 for number in outcome.frames)
                first, last = shown[outcome.frames[0]][1], shown[outcome.frames[-1]][1]
                assert last - first <= Limits().keep_s


@settings(max_examples=30)
@given(*[st.floats(0, 600, width=32)] * 4, *[st.floats(1, 200, width=32)] * 4)
def test_overlap_and_shift_are_symmetric_and_in_range(x, y, u, v, w, h, k, m):
    one = Face(np.array([x, y, x + w, y + h], np.float32), REFERENCE, 1.0)
    other = Face(np.array([u, v, u + k, v + m], np.float32), REFERENCE, 1.0)

    assert 0.0 <= overlap(one, other) <= 1.0 + 1e-6
    assert overlap(one, other) == pytest.approx(overlap(other, one))
    assert shift(one, other) == pytest.approx(shift(other, one))
    assert overlap(one, one) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bystander_px": 100.0},
        {"luminance_low": 230.0},
        {"frames": 0},
        {"keep_s": 0.2},
        {"other_person_score": 70.0},
        {"rearm_s": 0.2},
        {"patience_s": 0.4},
    ],
)
def test_limits_that_contradict_each_other_are_refused(wrong):
    with pytest.raises(ValueError, match="want"):
        Limits(**wrong)


# ---- the real models


def portrait(name, height):
    return shrink(read(GOLDEN / name), height)[0]


def pasted(*pictures_at):
    """A grey room, slightly noisy as a camera is, with portraits before it."""
    scene = np.full((480, 640, 3), 120, np.uint8)
    for picture, x in pictures_at:
        height, width = min(480, picture.shape[0]), min(640 - x, picture.shape[1])
        scene[480 - height :, x : x + width] = picture[:height, :width]
    return scene


@pytest.fixture(scope="module")
def real():
    return load_recogniser(read_pack(standard_pack()))


def watch(real, scenes, fps=10.0):
    """Show scenes through the real detector and recogniser; return the outcomes."""
    presenter, outcomes = Presenter(Limits(), real.scale), []
    rng = np.random.default_rng(0)
    for number, scene in enumerate(scenes, 1):
        noisy = np.clip(scene.astype(np.int16) + rng.integers(-3, 4, scene.shape), 0, 255).astype(np.uint8)
        faces = [real.sharpen(noisy, face) for face in real.detect(noisy)]
        view = View(
            number,
            number / fps,
            (640, 480),
            faces,
            lambda face, image=noisy: measure(image, face),
            lambda face, image=noisy: real.extract(image, face),
        )
        outcomes.append(presenter.see(view, number / fps + 0.05))
    return outcomes


def test_real_people_who_walk_up_one_after_the_other_are_each_asked_about_once(real):
    walk = [pasted((portrait("person_a_1.jpg", height), 60)) for height in range(200, 600, 50)]
    stay = [walk[-1]] * 3
    other = [pasted((cv2.resize(portrait("person_b_1.jpg", 640), None, fx=1.3, fy=1.3), 20))] * 6
    empty = [pasted()] * 13

    outcomes = watch(real, [*walk, *stay, *empty, *other, *empty[:5]])

    asked = [one for one in outcomes if isinstance(one, Ready)]
    references = [real.analyse(read(GOLDEN / name)).template for name in ("person_a_2.jpg", "person_b_1.jpg")]
    assert len(asked) == 2
    assert outcomes[0] == Waiting(Guidance.COME_CLOSER)
    for one, own, strange in zip(asked, references, reversed(references), strict=True):
        assert real.scale.score(compare(one.probe, own)) >= 70
        assert real.scale.score(compare(one.probe, strange)) < 50


def test_two_real_people_at_once_are_asked_to_come_one_at_a_time(real):
    both = pasted(
        (portrait("person_a_1.jpg", 420), 10), (cv2.resize(portrait("person_b_1.jpg", 640), None, fx=0.9, fy=0.9), 300)
    )

    outcomes = watch(real, [both] * 8)

    assert set(outcomes) == {Waiting(Guidance.ONE_AT_A_TIME)}

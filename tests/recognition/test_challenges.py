"""What a head was asked to do, and whether it did."""

import math
from random import Random

import cv2
import numpy as np
import pytest

from kiosk.networks.inference import open_session, read_pack
from kiosk.recognition.challenges import (
    MOVEMENTS,
    Answer,
    Challenge,
    ChallengeLimits,
    Kind,
    Movement,
    Reading,
    Side,
    draw,
    is_frontal,
    read_mesh,
)
from kiosk.recognition.detect import Detector
from tests.conftest import MODELS

LEFT, RIGHT, MOUTH = MOVEMENTS
LIMITS = ChallengeLimits()


@pytest.fixture(scope="module")
def detector():
    pack = read_pack(MODELS)
    finder = pack.spec("finder")
    return Detector(open_session(finder), open_session(pack.spec("mesh")), **finder.options)


def read_face(detector, image):
    face = detector.detect(image)[0]
    _, presence, points = detector.trace(image, face)
    assert presence >= 0.5
    return read_mesh(points)


REST = Reading(0.0, 0.03)


def answers(challenge, readings, step_s=0.1, asked_at=100.0, rest=REST):
    movement = Movement(challenge, LIMITS, asked_at, rest)
    found = []
    for number, (yaw, mouth) in enumerate(readings, 1):
        found.append(movement.see(Reading(yaw, mouth), asked_at + number * step_s))
        if found[-1] is not Answer.OPEN:
            break
    return found[-1]


def swing(to_deg):
    return [(to_deg * share, 0.03) for share in (0.1, 0.3, 0.6, 1.0, 1.05, 1.1)]


def test_all_points_of_the_mesh_cost_no_second_run_and_agree_with_the_landmarks(detector, person_a):
    face = detector.detect(person_a)[0]

    refined, presence, points = detector.trace(person_a, face)
    again, same_presence = detector.refine(person_a, face)

    assert points.shape == (468, 2)
    assert presence == same_presence
    np.testing.assert_array_equal(refined.landmarks, again.landmarks)
    np.testing.assert_allclose(points[1], refined.landmarks[2], atol=0.01)


def test_an_official_portrait_looks_ahead(detector, person_a, person_b):
    for portrait in (person_a, person_b):
        assert abs(read_face(detector, portrait).yaw_deg) < LIMITS.turn_deg


def test_the_yaw_of_a_mirrored_picture_is_the_other_way(detector, person_a):
    ahead, mirrored = read_face(detector, person_a), read_face(detector, person_a[:, ::-1].copy())

    assert mirrored.yaw_deg == pytest.approx(-ahead.yaw_deg, abs=4.0)


def test_a_mirror_image_camera_is_read_the_other_way_round(detector, person_a):
    face = detector.detect(person_a)[0]
    _, _, points = detector.trace(person_a, face)

    assert read_mesh(points, is_mirrored=True).yaw_deg == -read_mesh(points).yaw_deg


@pytest.mark.parametrize("turn_deg", [-60, -40, 40, 60])
def test_a_flat_print_turned_far_shows_no_turned_head(detector, person_b, turn_deg):
    height, width = person_b.shape[:2]
    depth = np.sin(np.radians(turn_deg)) * width / 2 / (1.5 * width)
    half = np.cos(np.radians(turn_deg)) * width / 2
    near, far = 1 / (1 - depth), 1 / (1 + depth)
    middle_x, middle_y = width / 2, height / 2
    corners = np.array(
        [
            [middle_x - half * near, middle_y - middle_y * near],
            [middle_x + half * far, middle_y - middle_y * far],
            [middle_x + half * far, middle_y + middle_y * far],
            [middle_x - half * near, middle_y + middle_y * near],
        ],
        np.float32,
    )
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turned = cv2.warpPerspective(person_b, cv2.getPerspectiveTransform(flat, corners), (width, height))
    ahead = read_face(detector, person_b).yaw_deg

    for face in detector.detect(turned)[:1]:
        points = detector.trace(turned, face)[2]
        assert abs(read_mesh(points).yaw_deg - ahead) < LIMITS.other_side_deg


def test_the_subjects_own_left_is_towards_the_pictures_right(detector, shared_faces, read_photo):
    for name, is_left in (
        ("cgi-multiangle-2.jpg", True),
        ("cgi-multiangle-6.jpg", True),
        ("cgi-multiangle-10.jpg", False),
    ):
        image = read_photo(shared_faces / "cgi" / name)
        face, _, points = detector.trace(image, detector.detect(image)[0])
        eyes = face.landmarks[:2, 0].mean()

        assert (face.landmarks[2, 0] > eyes) == is_left
        assert (read_mesh(points).yaw_deg > LIMITS.turn_deg) == is_left


@pytest.mark.parametrize(
    ("challenge", "readings", "answer"),
    [
        pytest.param(LEFT, swing(28), Answer.MET, id="left as asked"),
        pytest.param(RIGHT, swing(-28), Answer.MET, id="right as asked"),
        pytest.param(LEFT, swing(-28), Answer.WRONG, id="the other side first"),
        pytest.param(RIGHT, [*swing(28), *swing(-28)], Answer.WRONG, id="the other side and then the right one"),
        pytest.param(LEFT, [(0.0, 0.0)] * 2 + [(25.0, 0.0)] * 2, Answer.MET, id="exactly at the limit"),
        pytest.param(LEFT, [(24.9, 0.0)] * 80, Answer.LATE, id="just below the limit, indefinitely"),
        pytest.param(LEFT, [(30.0, 0.0), (2.0, 0.0)] * 20 + [(0.0, 0.0)] * 40, Answer.LATE, id="single frames only"),
        pytest.param(LEFT, [(0.0, 0.4)] * 8, Answer.WRONG, id="the mouth instead of the head"),
        pytest.param(LEFT, [(0.0, 0.4)] * 3 + swing(28), Answer.MET, id="a word on the way"),
        pytest.param(MOUTH, [(1.0, 0.02)] * 3 + [(1.0, 0.34)] * 7, Answer.MET, id="mouth as asked"),
        pytest.param(MOUTH, ([(1.0, 0.34)] * 4 + [(1.0, 0.05)] * 3) * 10, Answer.LATE, id="speech"),
        pytest.param(MOUTH, [(1.0, 0.16)] * 80, Answer.LATE, id="as far as a bent print goes"),
        pytest.param(MOUTH, swing(30), Answer.WRONG, id="the head instead of the mouth"),
        pytest.param(LEFT, [(math.nan, math.nan)] * 80, Answer.LATE, id="no mesh at all"),
    ],
)
def test_answers(challenge, readings, answer):
    assert answers(challenge, readings) is answer


@pytest.mark.parametrize(
    ("challenge", "rest", "readings", "answer"),
    [
        pytest.param(LEFT, (17.0, 0.0), [(27.0, 0.0)] * 80, Answer.LATE, id="a print of a turned head, bent"),
        pytest.param(LEFT, (17.0, 0.0), [(17.0, 0.0)] * 2 + [(38.0, 0.0)] * 2, Answer.MET, id="a head that turns on"),
        pytest.param(RIGHT, (17.0, 0.0), [(17.0, 0.0)] * 2 + [(-26.0, 0.0)] * 2, Answer.MET, id="and the other way"),
        pytest.param(
            RIGHT, (17.0, 0.0), [(17.0, 0.0)] * 80, Answer.LATE, id="a head that rests turned is not wrong yet"
        ),
        pytest.param(MOUTH, (0.0, 0.3), [(0.0, 0.32)] * 80, Answer.LATE, id="a smile that shows teeth"),
        pytest.param(MOUTH, (0.0, 0.3), [(0.0, 0.3)] * 2 + [(0.0, 0.52)] * 7, Answer.MET, id="and then opens"),
    ],
)
def test_what_counts_is_also_the_change_since_it_was_asked(challenge, rest, readings, answer):
    assert answers(challenge, readings, rest=Reading(*rest)) is answer


def test_an_answer_sooner_than_anybody_reacts_is_a_recording():
    assert answers(LEFT, [(30.0, 0.0)] * 3, step_s=0.05) is Answer.WRONG


def test_progress_follows_the_head_and_the_wrong_way_is_told_before_it_costs_the_try():
    movement = Movement(RIGHT, LIMITS, 0.0, REST)

    movement.see(Reading(-12.5, 0.0), 0.1)
    assert movement.progress == pytest.approx(0.5)
    assert not movement.is_wrong_way

    assert movement.see(Reading(9.0, 0.0), 0.2) is Answer.OPEN
    assert movement.progress == 0.0
    assert movement.is_wrong_way


def test_a_turn_wants_a_side_and_nothing_else_has_one():
    for kind, side in ((Kind.TURN, None), (Kind.MOUTH, Side.LEFT), (Kind.FLASH, Side.RIGHT)):
        with pytest.raises(ValueError, match="want a side"):
            Challenge(kind, side)


def test_every_challenge_is_drawn_about_as_often():
    rng = Random(0)

    drawn = [draw(MOVEMENTS, rng) for _ in range(3000)]

    assert all(drawn.count(challenge) > 900 for challenge in MOVEMENTS)


def test_whoever_could_not_turn_is_asked_for_something_else():
    rng = Random(0)

    assert {draw(MOVEMENTS, rng, avoid=[LEFT]) for _ in range(50)} == {MOUTH}
    assert {draw([LEFT, RIGHT], rng, avoid=[LEFT]) for _ in range(50)} == {LEFT, RIGHT}


def test_a_frame_without_numbers_does_not_look_ahead():
    assert is_frontal(Reading(-20.0, 0.3), LIMITS)
    assert not is_frontal(Reading(20.1, 0.0), LIMITS)
    assert not is_frontal(Reading(math.nan, 0.0), LIMITS)

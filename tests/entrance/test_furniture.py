"""Posters, mirrors and a television at the door: real pictures and networks, a real store and door, time handed in.

The hour of it is benchmarks/poster_evening.py.
"""

import pytest

from benchmarks.poster_evening import VISIT_S, WANTED, Hall, evening, open_hall, play, settle
from benchmarks.replay import config
from kiosk.entrance.news import Consent, Topic
from kiosk.rules.conditions import Condition
from kiosk.store.subjects import Details
from tests.conftest import networks
from tests.recognition.remembered import remembered

ALONE_FPS = 1.0  # while nobody is there: the slowest that an idle kiosk looks, and furniture is a matter of seconds
POSTERS_ALONE = ["0.00 0.00 0.25 0.35", "0.72 0.58 1.00 1.00", "0.55 0.00 0.78 0.30"]  # all but the large poster


@pytest.fixture(scope="module")
def recogniser():
    return remembered(networks())  # the hall with nobody in it is the same in every test


@pytest.fixture
def hall(tmp_path, recogniser):
    replay, hall = open_hall(tmp_path, recogniser, ignore=tuple(POSTERS_ALONE))
    yield replay, hall
    replay.close()


def told(lines):
    return [line for line in lines if ":" in line or line == "relay on"]


def test_everybody_is_decided_about_between_a_poster_a_mirror_and_a_television(tmp_path, recogniser):
    result = evening(tmp_path, recogniser, minutes=2.2, people=5, alone_fps=ALONE_FPS)

    assert result["unexpected"] == []
    assert result["with_nobody_there"] == []
    assert result["counted"] == {"decided": 5}
    assert result["pulses"] == 3
    assert len(result["furniture"]) == 2
    assert result["log_is_intact"]


def test_a_poster_keeps_a_kiosk_that_starts_closed_and_health_says_why_until_it_is_furniture(hall):
    replay, room = hall
    play(replay, room, 20.0)

    early = {one.condition: one for one in replay.monitor.report()}
    refused = told(play(replay, room, VISIT_S, "a_1"))
    settled = settle(replay, room, ALONE_FPS)
    later = replay.monitor.states()
    welcome = told(play(replay, room, VISIT_S, "a_1"))

    state = early["face_stays"]
    assert "at the upper right of the picture, 11" in state.sentence
    assert '[entrance] ignore = ["0.7' in state.sentence
    assert state.leaves == "log_only"
    assert refused == []
    assert told(settled) == []
    assert later == ()
    assert welcome == WANTED["a_1"]


def test_a_face_that_moves_beside_everybody_is_told_of_and_a_region_leaves_it_out(tmp_path, recogniser):
    replay, room = open_hall(tmp_path, recogniser, ignore=("0.55 0.00 1.00 0.35",))  # the television is not marked
    play(replay, room, 2.0)
    room_with_somebody = [play(replay, room, VISIT_S, "a_1") for _ in range(10)]
    said = next(one.sentence for one in replay.monitor.report() if one.condition == Condition.FACE_STAYS.value)

    marked = ("0.55 0.00 1.00 1.00", "0.00 0.00 0.25 0.35")
    replay.reload(config(attempts={"free_tries": 98, "lockout_tries": 99}, entrance={"ignore": marked}))
    play(replay, room, 3.0)
    welcome = told(play(replay, room, VISIT_S, "a_1"))
    replay.close()

    assert told(line for visit in room_with_somebody for line in visit) == []
    assert "Several faces" in said
    assert welcome == WANTED["a_1"]
    assert replay.monitor.states() == ()


def test_a_guided_enrolment_takes_the_person_and_not_the_poster(hall):
    replay, room = hall
    settle(replay, room, ALONE_FPS)
    consent = {"consent_version": "2026-11", "consent_text": "I agree."}
    enrolled = []
    replay.told = lambda news: enrolled.append(dict(news.data)) if news.topic is Topic.ENROLMENT else None
    ignore = {"ignore": tuple(POSTERS_ALONE), "mode": "enrol"}
    replay.reload(config(entrance=ignore, enrolment=consent))
    play(replay, room, 1.0)

    agreed = Consent("2026-11", replay.wall.now)
    replay.judge.expected.begin_enrolment(Details(name="Person C"), agreed, is_allowlisted=False, is_attended=True)
    alone = play(replay, room, 5.0)
    play(replay, room, VISIT_S, "c_1")

    assert alone == []
    assert enrolled[-1]["state"] == "added"


@pytest.mark.parametrize("width", [50, 80])
def test_a_poster_of_any_size_is_furniture_in_its_time(tmp_path, recogniser, width):
    replay, room = open_hall(tmp_path, recogniser, ignore=tuple(POSTERS_ALONE))
    smaller = Hall(room.cutouts, poster_px=width)

    settle(replay, smaller, ALONE_FPS)
    (still,) = replay.judge.still_faces
    replay.close()

    assert still.is_furniture
    assert abs(still.edge_px - width) < 0.3 * width

"""Facts about the step that tells a person from a picture: in each mode, late, and where the detection fails."""

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from kiosk.daemon.wiring import hold_level, step_of
from kiosk.entrance.judge import factors_of
from kiosk.entrance.look import Look
from kiosk.entrance.news import Topic
from kiosk.recognition.pad_levels import Level, RandomAsker
from kiosk.rules.presentation import Guidance, Waiting
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.factors.pins import make_pins
from kiosk.store.subjects import Details
from kiosk.testing.scripted_liveness import ScriptedDetector
from kiosk.types import Frame
from tests.entrance.staged import WALL, Stage, config, template
from tests.entrance.test_judge import BORDERLINE, CONSENT, Counsel, logged, pulses

A, B = template(1), template(2)
CONSENT_TEXT = {"consent_version": "2026-11", "consent_text": "I agree."}
GIVES_UP_S = 16.0  # two challenges of 6 s, the waits before them, and some


class Watched(Stage):
    """A stage whose kiosk tells people from pictures, by a scripted network."""

    def __init__(self, directory, level="active", *, flashes=False, outgoing=None, beside=None, **sections):
        self.detector = ScriptedDetector()
        self.exposure = "automatic"
        pad = {"level": level, "screen": True, "flashes": flashes, **sections.pop("pad", {})}
        sections.setdefault("enrolment", CONSENT_TEXT)
        more = {"beside": beside} if beside is not None else {}
        super().__init__(
            directory,
            config(pad=pad, **sections),
            outgoing=outgoing,
            liveness=lambda settings: step_of(
                settings, self.monitor, self.device, self.detector, rng=Random(1), exposure=lambda: self.exposure
            ),
            **more,
        )

    def begin(self, mode):
        """Have the mode know whom it expects; return the enrolment's id."""
        if mode == "verify":
            self.judge.expected.claim(1)
        if mode == "enrol":
            return self.judge.expected.begin_enrolment(Details(name="Person B"), CONSENT, is_allowlisted=False)
        return None

    @property
    def screen_asks(self):
        return bool(self.told(Topic.SCREEN)) and self.screen["challenge"] is not None

    @property
    def liveness(self):
        return logged(self)[-1].details["liveness"]


@pytest.fixture
def make(tmp_path):
    made = []

    def stage(*args, **more):
        made.append(Watched(tmp_path, *args, **more))
        made[-1].enrol(A)
        return made[-1]

    yield stage
    for one in made:
        one.close()


@pytest.mark.parametrize("level", ["passive", "active", "strict"])
def test_a_known_person_who_does_what_is_asked_comes_in_and_the_log_says_how_it_was_judged(make, level):
    stage = make(level)

    stage.follow(A, seconds=8.0)

    assert pulses(stage) == 1
    assert (stage.liveness["verdict"], stage.liveness["level"]) == ("bona_fide", level)
    assert stage.liveness["model"] == "scripted"
    answers = [one["answer"] for one in stage.liveness["challenges"]]
    assert answers == ["met"] * RandomAsker(Level(level), Random(1), has_flashes=False).count
    assert len({one["kind"] for one in stage.liveness["challenges"]}) == {"passive": 0, "active": 1, "strict": 2}[level]
    assert stage.liveness["cues"]["network"]["value"] == pytest.approx(0.9)


def test_nothing_opens_before_the_challenge_was_met(make):
    stage = make()

    while not (stage.told(Topic.SCREEN) and stage.screen["challenge"]):
        stage.show(A, seconds=0.1)
    stage.show(A, seconds=4.0)

    assert pulses(stage) == 0
    assert stage.decisions == []


def test_a_picture_that_answers_nothing_is_undetermined_and_is_offered_another_way_in(make):
    stage = make(attempts={"free_tries": 1, "wait_s": 5.0, "lockout_tries": 3, "lockout_s": 60.0})

    stage.show(A, seconds=GIVES_UP_S)

    assert pulses(stage) == 0
    assert [(one["status"], one["reasons"]) for one in stage.decisions] == [("Declined", ["liveness_undetermined"])]
    assert (stage.screen["result"], stage.screen["other_way"]) == ("unclear", True)
    assert stage.liveness["reason"] == "challenge_not_met"
    assert stage.kept == []  # it counts for no lock-out


def fail(stage, person):
    """Let a person, or a recording, stand there whom no challenge suits, and go."""
    stage.show(person, seconds=GIVES_UP_S)
    stage.show(seconds=2.0)


def test_who_failed_all_tries_twice_is_offered_the_other_way_at_once_and_asked_again_after_a_while(make):
    stage = make()
    fail(stage, A)
    fail(stage, A)
    asked = [one["challenge"] for one in stage.told(Topic.SCREEN) if one["challenge"]]

    stage.follow(A, seconds=2.0)
    again = [one["challenge"] for one in stage.told(Topic.SCREEN) if one["challenge"]]
    spent, screen = stage.liveness, stage.screen
    stage.show(seconds=stage.config.pad.forget_s)
    stage.follow(A, seconds=8.0)

    assert len(asked) == len(again)
    assert (spent["verdict"], spent["reason"], spent["challenges"]) == ("undetermined", "tries_spent", [])
    assert (screen["result"], screen["other_way"]) == ("unclear", True)
    assert stage.decisions[-1]["status"] == "Approved"
    assert pulses(stage) == 1
    assert all(one.declines == 0 for one in stage.kept)


def test_taking_a_recording_away_whenever_the_challenge_does_not_suit_it_gives_no_more_tries(make):
    stage = make()
    for _ in range(2):
        while not stage.screen_asks:
            stage.show(A, seconds=0.1)
        stage.show(seconds=3.0)
    before = list(stage.decisions)

    stage.follow(A, seconds=3.0)

    assert before == []
    assert [one["reasons"] for one in stage.decisions] == [["liveness_undetermined"]]
    assert stage.liveness["reason"] == "tries_spent"
    assert pulses(stage) == 0


def test_what_one_face_failed_keeps_nobody_else_out(make):
    stage = make()
    fail(stage, B)
    fail(stage, B)

    stage.follow(A, seconds=8.0)

    assert pulses(stage) == 1


def test_a_recording_that_guesses_gets_so_many_tries_and_no_more(make):
    """Its movements come in an order of their own; here none fits in time."""
    stage = make(pad={"presentations": 1})
    for _ in range(5):
        fail(stage, A)

    challenges = [one for entry in logged(stage) for one in entry.details["liveness"]["challenges"]]
    assert len(challenges) == stage.config.pad.tries
    assert pulses(stage) == 0


def test_attacks_count_for_the_lock_out(make):
    stage = make(attempts={"free_tries": 1, "wait_s": 5.0, "lockout_tries": 2, "lockout_s": 60.0})
    stage.detector.share = 0.01

    for _ in range(2):
        stage.show(A, seconds=3.0)
        stage.show(seconds=8.0)

    assert [one["reasons"] for one in stage.decisions] == [["attack_suspected"]] * 2
    assert stage.screen["state"] == "locked"


def light_the_room(stage):
    """Let the colours of the screen fall on the room and not on the face, as where a lit screen is held up."""
    shown = [one for one in stage.judge._liveness.prompt.colours if one.at_s <= stage.clock.now + 0.1]
    light = 0.6 + 0.4 * np.array(shown[-1].colour if shown else (0, 0, 0)) / 255.0
    scene = (WALL * light).astype(np.uint8)
    scene[100:380, 180:460] = WALL[100:380, 180:460]
    stage.scene = scene


def test_an_answer_that_was_given_before_an_attack_serves_nobody_after_it(make):
    """A movement is answered, then a screen is held up to the colours: whoever comes back must answer all anew."""
    stage = asked_for_colours(make)
    while not stage.decisions:
        light_the_room(stage)
        stage.show(A, seconds=0.1)
    attack, stage.scene = stage.liveness, WALL

    stage.follow(A, seconds=3.0)  # without having left
    still = len(stage.decisions)
    stage.show(seconds=2.0)
    stage.show(A, seconds=4.0)  # does nothing: the answer of before is gone
    idle = len(stage.decisions)
    again = stage.judge._liveness.prompt

    assert attack["verdict"] == "attack"
    assert [one["answer"] for one in attack["challenges"]] == ["met", "wrong"]
    assert [one["reasons"] for one in stage.decisions] == [["attack_suspected"]]
    assert still == idle == 1
    assert again.number == 1  # of the two that must be met
    assert pulses(stage) == 0


def test_a_code_shown_for_an_attack_serves_no_second_presentation(make):
    stage = make(entrance={"mode": "verify", "claim_s": 60.0})
    stage.begin("verify")
    stage.detector.share = 0.01
    stage.show(A, seconds=3.0)
    stage.detector.share = 0.9
    stage.show(seconds=3.0)

    stage.follow(A, seconds=8.0)

    assert [one["reasons"] for one in stage.decisions] == [["attack_suspected"]]
    assert pulses(stage) == 0


@pytest.mark.parametrize("mode", ["identify", "verify", "screen", "enrol"])
@pytest.mark.parametrize("level", ["passive", "active"])
def test_an_attack_is_refused_in_every_mode(make, mode, level):
    stage = make(level, entrance={"mode": mode})
    enrolment = stage.begin(mode)
    stage.detector.share = 0.01

    stage.follow(B if mode == "enrol" else A, seconds=4.0)

    assert pulses(stage) == 0
    assert [(one["status"], one["reasons"]) for one in stage.decisions] == [("Declined", ["attack_suspected"])]
    assert stage.liveness["verdict"] == "attack"
    assert stage.liveness["cues"]["network"]["outcome"] == "denies"
    assert stage.store.people.subjects().total == 1
    if mode == "enrol":
        assert [(one["id"], one["state"]) for one in stage.told(Topic.ENROLMENT)][-1] == (enrolment, "not_live")
        assert stage.screen["result"] == "not_enrolled"


@pytest.mark.parametrize("mode", ["identify", "verify", "screen", "enrol"])
def test_what_cannot_be_told_opens_and_enrols_nothing_in_any_mode(make, mode):
    stage = make(entrance={"mode": mode, "claim_s": 60.0})
    stage.begin(mode)

    stage.show(B if mode == "enrol" else A, seconds=GIVES_UP_S)

    assert pulses(stage) == 0
    assert [one["reasons"] for one in stage.decisions] == [["liveness_undetermined"]]
    assert stage.store.people.subjects().total == 1
    assert stage.told(Topic.ENROLMENT)[-1]["state"] == "not_live" if mode == "enrol" else True


@pytest.mark.parametrize("mode", ["identify", "verify", "screen", "enrol"])
def test_a_person_who_follows_is_judged_in_every_mode(make, mode):
    stage = make(entrance={"mode": mode})
    stage.begin(mode)

    stage.follow(B if mode == "enrol" else A, seconds=6.0)

    if mode == "enrol":
        assert stage.store.people.subjects().total == 2
        newest = stage.store.decisions(DecisionFilter(kinds=(Kind.ENROL,))).decisions[0].entry
        assert newest.details["liveness"]["verdict"] == "bona_fide"
    else:
        assert len(stage.decisions) == 1
        assert stage.liveness["verdict"] == "bona_fide"
        assert pulses(stage) == (0 if mode == "screen" else 1)


def test_whoever_takes_the_place_of_the_one_who_answered_does_not_come_in(make):
    stage = make()
    helper = template(7)  # nobody knows them; they answer, and step aside for a picture of Person A
    while not (stage.told(Topic.SCREEN) and stage.screen["challenge"]):
        stage.show(helper, seconds=0.1)
    while stage.screen["challenge"]:
        stage.follow(helper, seconds=0.1)

    stage.show(A, seconds=2.0)

    assert pulses(stage) == 0
    assert stage.decisions == []  # it began anew, with Person A's picture


def test_a_second_face_makes_it_begin_anew(make):
    stage = make()
    while not (stage.told(Topic.SCREEN) and stage.screen["challenge"]):
        stage.show(A, seconds=0.1)

    stage.show(A, B, seconds=0.3)

    assert stage.screen["challenge"] is None
    assert stage.screen["guidance"] == "one_at_a_time"
    assert pulses(stage) == 0


def test_a_frame_in_which_nobody_is_left_begins_no_judgement(make):
    stage = make()
    step, outcome = stage.judge._liveness, Waiting(Guidance.HOLD_STILL)  # as the presenter says between two frames
    empty = Look(Frame(WALL, stage.clock.now, 1), (), stage.device.recogniser)

    assert step.see(empty, outcome, stage.judge._presenter, is_armed=True, is_waiting=False) == outcome
    assert step.prompt is None


def test_the_screen_never_tells_which_cue_denied(make):
    stage = make()
    stage.detector.share = 0.01

    stage.show(A, seconds=3.0)

    shown = json.dumps(stage.told(Topic.SCREEN))
    assert stage.screen["result"] == "declined"
    assert not any(word in shown for word in ("network", "attack", "covered", "rigid", "score"))


def test_no_vector_goes_into_the_log(make):
    stage = make()

    stage.follow(A, seconds=6.0)

    assert len(json.dumps(stage.liveness)) < 1000
    assert not any(isinstance(value, list) and len(value) > 10 for value in stage.liveness.values())


def test_a_medium_that_covers_the_whole_of_the_empty_scene_is_an_attack(make):
    stage = make()
    stage.show(seconds=7.0)

    stage.scene = np.random.default_rng(5).integers(60, 200, stage.scene.shape, np.uint8)
    stage.follow(A, seconds=6.0)

    assert pulses(stage) == 0
    assert [one["reasons"] for one in stage.decisions] == [["attack_suspected"]]
    assert stage.liveness["cues"]["covered"]["outcome"] == "denies"


def test_before_the_empty_scene_of_always_a_person_comes_in(make):
    stage = make()
    stage.show(seconds=7.0)

    stage.follow(A, seconds=6.0)

    assert pulses(stage) == 1
    assert stage.liveness["cues"]["covered"]["outcome"] == "passes"


# ---- colours


def asked_for_colours(make):
    stage = make("strict", flashes=True)
    while not (stage.told(Topic.SCREEN) and (stage.screen["challenge"] or {}).get("kind") == "flash"):
        stage.follow(A, seconds=0.1)
    return stage


def test_the_screen_shows_six_colours_and_its_word_says_when_they_began(make):
    stage = asked_for_colours(make)
    shown, attempt = stage.screen["challenge"]["colours"], stage.screen["challenge"]["attempt"]
    step = stage.judge._liveness
    as_asked = [one.at_s for one in step.prompt.colours]

    stage.judge.note_shown(attempt + 1)  # another one's
    stage.show(A, seconds=0.2)
    after_another = [one.at_s for one in step.prompt.colours]
    stage.judge.note_shown(attempt)
    began = stage.clock.now
    stage.show(A, seconds=0.1)
    stage.show(A, seconds=0.1)

    assert len(set(shown)) == 6
    assert after_another == as_asked
    assert step.prompt.colours[0].at_s == pytest.approx(began)
    assert np.diff([one.at_s for one in step.prompt.colours]) == pytest.approx(np.diff(as_asked))


def test_the_cameras_exposure_is_held_before_the_colours_come_and_until_it_is_over(make):
    stage = make("strict", flashes=True)
    wanted = [stage.judge.wants_steady_exposure]
    while not (stage.told(Topic.SCREEN) and (stage.screen["challenge"] or {}).get("kind") == "flash"):
        stage.follow(A, seconds=0.1)
        wanted.append(stage.judge.wants_steady_exposure)
    stage.exposure = "held"
    stage.follow(A, seconds=20.0)

    assert wanted[0] is False  # nobody is there
    assert wanted[-3:] == [True] * 3  # some frames before the first colour
    assert stage.judge.wants_steady_exposure is False
    assert stage.liveness["exposure"] == "held"


def test_a_camera_that_cannot_hold_its_exposure_is_named_in_the_log(make):
    stage = asked_for_colours(make)
    stage.exposure = "cannot"

    stage.follow(A, seconds=20.0)

    assert stage.liveness["exposure"] == "cannot"


@pytest.mark.parametrize(("level", "flashes"), [("active", True), ("strict", False)])
def test_where_no_colours_are_shown_the_exposure_is_the_cameras_own(make, level, flashes):
    stage = make(level, flashes=flashes)
    wanted = []
    while not stage.decisions:
        stage.follow(A, seconds=0.1)
        wanted.append(stage.judge.wants_steady_exposure)

    assert not any(wanted)
    assert "exposure" not in stage.liveness


def test_colours_that_do_not_show_on_the_face_let_nobody_in_and_are_a_state_of_their_own(make):
    stage = asked_for_colours(make)

    stage.follow(A, seconds=20.0)

    assert pulses(stage) == 0
    assert [one["reasons"] for one in stage.decisions] == [["liveness_undetermined"]]
    assert "pad_too_bright" in stage.monitor.states()


# ---- late


def answered_late(make, **more):
    tasks: list[Callable[[], None]] = []
    stage = make(outgoing=Counsel(), beside=tasks.append, **more)
    stage.follow(BORDERLINE, seconds=4.0)
    assert [one["status"] for one in stage.decisions] == ["In Review"]
    return stage, tasks


def test_a_late_yes_opens_while_its_person_is_seen_to_be_one(make):
    stage, tasks = answered_late(make)

    tasks.pop()()
    stage.show(BORDERLINE, seconds=2.0)

    assert pulses(stage) == 1


def test_a_late_yes_opens_nothing_for_a_picture_held_up_meanwhile(make):
    stage, tasks = answered_late(make)

    stage.detector.share = 0.01
    stage.show(BORDERLINE, seconds=1.5)
    tasks.pop()()
    stage.show(BORDERLINE, seconds=3.0)

    assert pulses(stage) == 0
    assert stage.decisions[-1]["opened"] is False


def test_a_late_yes_that_comes_after_many_frames_opens_while_its_person_stands_there_still(make):
    stage, tasks = answered_late(make)

    stage.show(BORDERLINE, seconds=8.0)
    tasks.pop()()
    stage.show(BORDERLINE, seconds=0.2)

    assert pulses(stage) == 1


def test_a_late_yes_opens_nothing_where_nobody_was_seen_for_a_while(make):
    stage, tasks = answered_late(make, presentation={"rearm_s": 3.0})

    stage.show(seconds=0.8)
    tasks.pop()()
    stage.show(BORDERLINE, seconds=3.0)

    assert pulses(stage) == 0


@pytest.mark.parametrize(("share", "expected"), [(0.9, 1), (0.01, 0)], ids=["its person", "a picture"])
def test_an_approval_that_a_slow_disk_held_up_opens_for_its_person_and_not_for_a_picture(make, share, expected):
    stage = make()
    save = stage.device.save

    def slow(*args):
        stage.clock.advance(1.0)
        stage.detector.share = share
        return save(*args)

    stage.device.save = slow
    stage.follow(A, seconds=6.0)

    assert pulses(stage) == expected


# ---- a detection that does not run


def test_where_the_network_fails_nothing_opens_and_nobody_is_judged(make):
    stage = make()
    stage.follow(A, seconds=0.3)
    stage.detector.fault = "liveness.onnx: the file is gone"

    stage.follow(A, seconds=6.0)

    assert pulses(stage) == 0
    assert stage.decisions == []
    assert stage.monitor.states() == ("pad_failed",)
    assert stage.screen["state"] == "closed"


def test_a_guided_enrolment_stores_nobody_where_the_network_fails(make):
    stage = make(entrance={"mode": "enrol"})
    stage.begin("enrol")
    stage.detector.fault = "liveness.onnx: the file is gone"

    stage.follow(B, seconds=6.0)

    assert stage.store.people.subjects().total == 1


def test_a_network_that_is_too_slow_opens_nothing(make):
    stage = make()
    stage.detector.before = lambda: stage.clock.advance(0.7)

    stage.follow(A, seconds=4.0)

    assert pulses(stage) == 0


def test_settings_that_want_a_detection_that_was_not_loaded_close(make):
    stage = make()

    hold_level(stage.monitor, stage.config, None)
    stage.follow(A, seconds=6.0)

    assert stage.monitor.states() == ("pad_failed",)
    assert pulses(stage) == 0


def test_a_face_the_mesh_cannot_read_is_nobodys_proof(make):
    stage = make()
    stage.device.recogniser = replace(stage.device.recogniser, trace=None)

    stage.show(A, seconds=GIVES_UP_S)

    assert pulses(stage) == 0


@pytest.mark.parametrize("is_forced", [False, True])
def test_whoever_is_unseen_while_asked_for_a_pin_may_simply_look_again(make, is_forced):
    stage = make("passive", factors={"pin": ("mon-sun 00:00-24:00",)}, attempts={"free_tries": 0})
    settings = stage.config
    stage.entrance.apply(settings.entrance, stage.schedule(settings), factors_of(settings))
    stage.store.factors.give(1, pins=make_pins("4711", "4829"))
    stage.follow(A, seconds=8.0)
    assert stage.screen["state"] == "factor"

    if is_forced:
        stage.judge.factors.enter("4829")
    stage.show(seconds=0.8)
    stage.show(A, seconds=0.2)

    assert [one["reasons"] for one in stage.decisions] == [["factor_missing"]]
    assert (stage.screen["state"], stage.screen["result"]) == ("result", "again")
    assert stage.kept == []  # no decline
    assert len(stage.told(Topic.DURESS)) == is_forced
    stage.show(seconds=2.0)
    stage.follow(A, seconds=8.0)
    assert stage.screen["state"] == "factor"
    stage.judge.factors.enter("4711")
    stage.follow(A, seconds=4.0)
    assert pulses(stage) == 1

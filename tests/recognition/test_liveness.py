"""One presentation: people who follow, photographs held up, recordings, swaps. Real networks, portraits that move."""

from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest

from kiosk.errors import ModelFileError
from kiosk.evaluation.pad_replay import look, same_person
from kiosk.networks.inference import read_pack
from kiosk.networks.liveness import load_spoof_network
from kiosk.recognition.challenges import FLASH, MOVEMENTS, Answer, Kind
from kiosk.recognition.cues import CueLimits, CueName, CueOutcome, SpoofNetwork, remember_scene
from kiosk.recognition.flash import draw_colours
from kiosk.recognition.judgement import Hint, Phase, Reason, Restart, Verdict, score_of
from kiosk.recognition.liveness import Liveness
from kiosk.recognition.liveness_photo import judge_photograph
from kiosk.recognition.pad_levels import Level, RandomAsker, ScriptedAsker, Tried, guessing_chance
from kiosk.testing.pad_actors import Loop, colour_at, follower_of, present
from kiosk.testing.pad_material import (
    Held,
    MovingPortrait,
    Sensor,
    draw_room,
    hold_print,
    hold_screen,
    shine,
    trace_depth,
)
from tests.conftest import GOLDEN, MODELS, networks, read
from tests.recognition.remembered import RememberedSession, remembered

LEFT, RIGHT, MOUTH = MOVEMENTS


@pytest.fixture(scope="module")
def recogniser():
    return remembered(networks())


@pytest.fixture(scope="module")
def network():
    loaded = load_spoof_network(read_pack(MODELS))
    return replace(loaded, network=RememberedSession(loaded.network))


@pytest.fixture(scope="module")
def portraits():
    """Give portraits that move, close enough that the face is as large as at a door."""
    detecting: Any = networks().detect  # a bound method
    detector = detecting.__self__
    found = {}
    for name in ("person_a_1", "person_b_1", "person_c_1"):
        image = read(GOLDEN / f"{name}.jpg")
        face = detector.detect(image)[0]
        edge = float(max(face.box[2:] - face.box[:2]))
        middle = (face.box[:2] + face.box[2:]) / 2
        left, top = (int(max(0, value - 1.6 * edge)) for value in middle)
        image = np.ascontiguousarray(image[top : int(middle[1] + 1.9 * edge), left : int(middle[0] + 1.6 * edge)])
        size = round(image.shape[1] * 420 / image.shape[0]), 420
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        found[name] = MovingPortrait(image, trace_depth(detector, image, detector.detect(image)[0]))
    return found


@pytest.fixture(scope="module")
def people(portraits):
    """Give a maker of people who follow; their frames are drawn once."""

    @cache
    def made(name):
        return follower_of(portraits[name], np.random.default_rng(1))

    def person(name="person_c_1", **changes):
        return replace(made(name), **changes)

    return person


@pytest.fixture
def judge(recogniser, network):
    """Give a maker of judgements at a level."""

    def made(level, *challenges, seed=0, **more):
        asker = ScriptedAsker(challenges) if challenges else RandomAsker(level, Random(seed))
        return Liveness(
            level,
            asker,
            more.pop("network", network),
            same_person(recogniser, 70.0),
            colours=lambda start: draw_colours(Random(seed), start),
            **more,
        )

    return made


@pytest.mark.parametrize(
    ("name", "challenge"),
    [("person_a_1", RIGHT), *(("person_c_1", one) for one in (*MOVEMENTS, FLASH))],
    ids=lambda one: one if isinstance(one, str) else f"{one.kind.value} {one.side.value if one.side else ''}",
)
def test_a_person_who_follows_is_bona_fide(judge, people, recogniser, name, challenge):
    played = present(judge(Level.ACTIVE, challenge), recogniser, people(name))

    judgement = played.judgement
    assert judgement.verdict is Verdict.BONA_FIDE, judgement
    assert [asked.answer for asked in judgement.challenges] == [Answer.MET]
    assert len(judgement.probe_frames) >= 3
    assert judgement.score > 30.0
    assert played.took_s <= 4.0


def test_the_probe_is_made_of_frames_after_the_challenge(judge, people, recogniser):
    played = present(judge(Level.ACTIVE, LEFT), recogniser, people())

    answered = next(number for number, step in enumerate(played.steps) if step.phase is Phase.AFTER)
    assert min(played.judgement.probe_frames) >= answered - 1


def test_strict_asks_for_two_different_things(judge, people, recogniser):
    for seed in range(4):
        judgement = present(judge(Level.STRICT, seed=seed), recogniser, people()).judgement

        assert judgement.verdict is Verdict.BONA_FIDE, judgement
        kinds = {asked.challenge.kind for asked in judgement.challenges if asked.answer is Answer.MET}
        assert len(kinds) == 2
        assert Kind.FLASH in kinds


def test_without_flashes_strict_asks_for_three_movements_of_both_kinds(people, recogniser, network):
    for seed in range(3):
        asker = RandomAsker(Level.STRICT, Random(seed), has_flashes=False)
        liveness = Liveness(Level.STRICT, asker, network, same_person(recogniser, 70.0))

        judgement = present(liveness, recogniser, people()).judgement

        assert judgement.verdict is Verdict.BONA_FIDE
        assert [asked.answer for asked in judgement.challenges] == [Answer.MET] * 3
        assert {asked.challenge.kind for asked in judgement.challenges} == {Kind.TURN, Kind.MOUTH}


def test_colours_that_do_not_show_leave_strict_unanswered(judge, people, recogniser):
    """Or a screen held up could choose to be asked for movements only."""
    for seed in range(3):
        judgement = present(judge(Level.STRICT, seed=seed), recogniser, people(ambient_lux=20_000.0)).judgement

        assert judgement.verdict is Verdict.UNDETERMINED
        assert judgement.reason is Reason.TOO_BRIGHT


class PromptAsker(RandomAsker):
    """Asks soon, and draws nothing for it."""

    def hold_s(self) -> float:
        return 0.2


def test_someone_who_cannot_turn_the_head_is_asked_for_something_else(judge, people, recogniser):
    seed = next(seed for seed in range(20) if RandomAsker(Level.ACTIVE, Random(seed)).next(Tried(), can_open=True).side)
    asker = PromptAsker(Level.ACTIVE, Random(seed))
    person = people(refuses=frozenset({Kind.TURN}))

    liveness = Liveness(Level.ACTIVE, asker, judge(Level.PASSIVE)._network, same_person(recogniser, 70.0))
    judgement = present(liveness, recogniser, person).judgement

    assert judgement.verdict is Verdict.BONA_FIDE
    assert judgement.challenges[0].answer is Answer.LATE
    assert judgement.challenges[-1].challenge == MOUTH


def test_a_smile_that_shows_teeth_is_not_asked_to_open_its_mouth(judge, people, recogniser):
    for seed in range(4):
        judgement = present(judge(Level.ACTIVE, seed=seed), recogniser, people("person_a_1")).judgement

        assert judgement.verdict is Verdict.BONA_FIDE
        assert all(asked.challenge.kind is Kind.TURN for asked in judgement.challenges)


def test_someone_who_does_nothing_is_undetermined_after_two_tries_and_nothing_opens(judge, people, recogniser):
    person = people(refuses=frozenset({Kind.TURN, Kind.MOUTH}))

    played = present(judge(Level.ACTIVE), recogniser, person)

    assert played.judgement.verdict is Verdict.UNDETERMINED
    assert played.judgement.reason is Reason.NOT_MET
    assert len(played.judgement.challenges) == 2
    assert played.judgement.probe_frames == ()


def held(picture, draw, rng, **more):
    """Return frames of a medium that a hand moves about."""
    room, sensor = draw_room(rng), Sensor(rng)
    frames = []
    for number in range(24):
        phase = number / 24 * 2 * np.pi
        place = Held(380.0, 14 * np.sin(phase), 10 * np.cos(phase), 22 * np.sin(phase), 6 * np.cos(phase))
        frames.append(sensor.take(draw(picture, room, place, **more)))
    return frames


def test_a_print_that_is_turned_about_never_passes(judge, portraits, recogniser):
    rng = np.random.default_rng(2)
    for name, portrait in portraits.items():
        frames = held(portrait.frame(), hold_print, rng)

        judgement = present(judge(Level.ACTIVE), recogniser, Loop(frames, reflects=True)).judgement

        assert judgement.verdict is not Verdict.BONA_FIDE, name


def test_the_network_denies_a_print_at_once(judge, portraits, recogniser):
    frames = held(portraits["person_c_1"].frame(), hold_print, np.random.default_rng(3))

    played = present(judge(Level.PASSIVE), recogniser, Loop(frames))

    assert played.judgement.verdict is Verdict.ATTACK
    assert played.judgement.score < 30.0
    assert played.judgement.cues[0].outcome is CueOutcome.DENIES


def screen_in_a_lit_room(portraits):
    """Return an attack: the room is lit by the kiosk's colours, the face shines by itself."""
    rng = np.random.default_rng(4)
    room, sensor, place = draw_room(rng), Sensor(rng), Held(190.0)
    scene = hold_screen(portraits["person_c_1"].frame(), room, place)
    corners = place.corners((468, 420))

    def actor(step, now):
        colour = colour_at(step.prompt.colours, now) if step.prompt else None
        return sensor.take(shine(scene, corners, colour, 60.0) if colour else scene)

    return actor


def test_a_screen_that_follows_no_colours_is_denied_where_its_surroundings_do(judge, portraits, recogniser):
    blind = SpoofNetwork(AlwaysReal(), "blind")
    judgement = present(
        judge(Level.ACTIVE, FLASH, network=blind), recogniser, screen_in_a_lit_room(portraits)
    ).judgement

    assert judgement.verdict is Verdict.ATTACK, judgement
    assert judgement.cues[-1].name is CueName.FLASH


class Automatics:
    """A camera's exposure and white balance, which make the mean of each channel grey, faster or slower."""

    def __init__(self, actor, seconds):
        self._actor, self._seconds = actor, seconds
        self._gains = None
        self._at = 0.0

    def __call__(self, step, now):
        image = self._actor(step, now).astype(np.float32)
        wanted = 110.0 / np.maximum(image.mean(axis=(0, 1)), 1.0)
        share = 1.0 if self._gains is None else min(1.0, (now - self._at) / self._seconds)
        self._gains = wanted if self._gains is None else self._gains + share * (wanted - self._gains)
        self._at = now
        return np.clip(image * self._gains, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.0])
def test_a_camera_whose_exposure_cannot_be_held_lets_no_screen_pass(judge, portraits, recogniser, seconds):
    """It evens the colours out, so that a face which shines by itself goes against them."""
    liveness = judge(Level.ACTIVE, FLASH, network=SpoofNetwork(AlwaysReal(), "blind"))
    judgement = present(liveness, recogniser, Automatics(screen_in_a_lit_room(portraits), seconds)).judgement

    assert judgement.verdict is not Verdict.BONA_FIDE, judgement
    assert judgement.challenges[0].answer is not Answer.MET


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_person_before_a_camera_with_slow_automatics_is_still_seen_to_follow(judge, people, recogniser, seconds):
    judgement = present(judge(Level.ACTIVE, FLASH), recogniser, Automatics(people(), seconds)).judgement

    assert judgement.verdict is Verdict.BONA_FIDE, judgement


def test_in_bright_light_colours_leave_it_undetermined(judge, people, recogniser):
    judgement = present(judge(Level.ACTIVE, FLASH), recogniser, people(ambient_lux=20_000.0)).judgement

    assert judgement.verdict is Verdict.UNDETERMINED
    assert judgement.reason is Reason.TOO_BRIGHT


class AlwaysReal:
    """A network that takes everything for a person: what is left when its cue is passed."""

    def run(self, _):
        return [np.array([[1.0, 0.0, 0.0]], np.float32)]


class Broken:
    """A network that fails."""

    def run(self, _):
        return [np.array([np.nan, 0.0], np.float32)]


def test_a_swap_after_the_challenge_starts_anew(judge, people, recogniser):
    one, other = people("person_c_1"), people("person_a_1")
    blind = SpoofNetwork(AlwaysReal(), "blind")
    is_swapped = []

    def swapping(step, now):
        if step.phase is Phase.AFTER:
            is_swapped.append(now)
        return (other if is_swapped else one)(step, now)

    played = present(judge(Level.ACTIVE, LEFT, network=blind), recogniser, swapping)

    swapped = next(n for n, step in enumerate(played.steps) if step.restarted is Restart.OTHER_PERSON)
    assert played.steps[swapped].phase is Phase.BEFORE
    assert played.judgement.restarts == (Restart.OTHER_PERSON,)
    assert sum(asked.answer is Answer.MET for asked in played.judgement.challenges) == 2  # the second one's own


def test_a_second_face_starts_anew(judge, people, recogniser):
    person = people()
    pair = np.ascontiguousarray(np.hstack([person.rest[0][:, 160:480], person.rest[0][:, 160:480]]))

    played = present(judge(Level.ACTIVE, LEFT), recogniser, lambda *_: pair, seconds=2.0)

    assert all(step.phase is Phase.BEFORE and step.prompt is None for step in played.steps)
    assert played.steps[-1].hint is Hint.ONE_AT_A_TIME
    assert played.judgement.verdict is Verdict.UNDETERMINED


def test_a_gap_in_mid_challenge_starts_anew(judge, people, recogniser):
    person, empty = people(), np.full((480, 640, 3), 90, np.uint8)
    seen: list[float] = []

    def leaving(step, now):
        if step.prompt is not None or seen:
            seen.append(now)
        return empty if 0 < len(seen) < 9 else person(step, now)

    played = present(judge(Level.ACTIVE, seed=1), recogniser, leaving)

    assert Restart.GAP in [step.restarted for step in played.steps]


def test_a_face_that_fills_the_picture_is_asked_to_step_back_and_never_judged(judge, portraits, recogniser):
    image = portraits["person_c_1"].frame()
    close = cv2.resize(image[60:300, 80:340], (640, 480))

    played = present(judge(Level.PASSIVE), recogniser, lambda *_: close, seconds=2.0)

    assert played.judgement.verdict is Verdict.UNDETERMINED
    assert played.judgement.reason is Reason.TOO_LARGE
    assert played.judgement.score == 0.0
    assert Hint.STEP_BACK in [step.hint for step in played.steps]


def test_a_wholly_covered_scene_is_denied_and_a_person_in_it_is_not(judge, people, recogniser):
    rng = np.random.default_rng(1)
    empty = Sensor(rng).take(draw_room(np.random.default_rng(1)))
    scene = remember_scene(empty)
    other = Sensor(rng).take(draw_room(np.random.default_rng(77)))
    person = people()
    filled = people().rest[0].copy()
    mask = np.abs(filled.astype(int) - empty.astype(int)).max(axis=2) < 30
    filled[mask] = other[mask]
    blind = SpoofNetwork(AlwaysReal(), "blind")

    bona_fide = present(judge(Level.PASSIVE, network=blind, scene=scene), recogniser, person).judgement
    covered = present(judge(Level.PASSIVE, network=blind, scene=scene), recogniser, lambda *_: filled).judgement

    assert scene.can_judge
    assert bona_fide.verdict is Verdict.BONA_FIDE
    assert covered.verdict is Verdict.ATTACK
    assert covered.cues[1].outcome is CueOutcome.DENIES


def test_restarts_serve_nobody_to_choose_the_challenge(judge, people, recogniser):
    """Whoever steps out of view whenever the challenge does not suit has spent the tries."""
    person, empty = people(), np.full((480, 640, 3), 90, np.uint8)
    seen: list[float] = []

    def choosy(step, now):
        if step.prompt is not None and not (seen and now - seen[-1] < 1.0):
            seen.append(now)
        return empty if seen and now - seen[-1] < 0.9 else person(step, now)

    judgement = present(judge(Level.ACTIVE), recogniser, choosy).judgement

    assert judgement.verdict is Verdict.UNDETERMINED
    assert judgement.reason is Reason.RESTARTED
    assert len(seen) == 2


def test_a_network_that_fails_opens_nothing(judge, people, recogniser):
    with pytest.raises(ModelFileError, match="liveness network"):
        present(judge(Level.ACTIVE, network=SpoofNetwork(Broken(), "broken")), recogniser, people())


def test_a_judgement_does_not_change_any_more(judge, people, recogniser):
    liveness = judge(Level.PASSIVE)
    first = present(liveness, recogniser, people()).judgement

    again = liveness.see(look(recogniser, np.zeros((480, 640, 3), np.uint8), 999, 999.0))

    assert again.judgement is first
    assert liveness.finish() is first


def test_the_log_holds_scores_and_digests_and_no_picture(judge, people, recogniser, network):
    record = present(judge(Level.ACTIVE, MOUTH), recogniser, people()).judgement.as_record()

    assert record["model"] == network.model
    assert record["challenges"][0]["kind"] == "mouth"
    assert set(record["cues"]) >= {"network", "covered", "rigid"}


def test_a_loop_that_does_everything_fails_strict_and_meets_active_at_most_at_the_guessing_chance(
    judge, people, recogniser
):
    person = people()
    around = []
    for key in ((Kind.TURN, LEFT.side), (Kind.TURN, RIGHT.side), (Kind.MOUTH, None)):
        poses = list(person.poses[key])
        around += [*person.rest * 3, *poses, poses[-1], poses[-1], *poses[::-1]]
    blind = SpoofNetwork(AlwaysReal(), "blind")

    def accepted(level, runs):
        count = 0
        for seed in range(runs):
            loop = Loop(around, _number=seed * 7)
            judgement = present(judge(level, seed=seed, network=blind), recogniser, loop).judgement
            count += judgement.verdict is Verdict.BONA_FIDE
        return count

    assert accepted(Level.STRICT, 6) == 0
    assert accepted(Level.ACTIVE, 9) / 9 <= guessing_chance() + 0.25  # nine runs say no more


def test_level_off_judges_nothing(network, recogniser):
    with pytest.raises(ValueError, match="level other than off"):
        Liveness(Level.OFF, ScriptedAsker(()), network, same_person(recogniser, 70.0))


@pytest.mark.parametrize(("share", "score"), [(0.0, 0.0), (0.15, 30.0), (0.075, 15.0), (1.0, 100.0)])
def test_the_operating_point_lies_at_didits_default(share, score):
    assert score_of(share, 0.15) == score


def test_a_photograph_with_surroundings_is_judged_and_a_tight_one_never_approved(recogniser, network, person_a):
    face = recogniser.detect(person_a)[0]
    x1, y1, x2, y2 = (int(value) for value in face.box)
    tight = np.ascontiguousarray(person_a[max(0, y1 - 20) : y2 + 20, x1 - 20 : x2 + 20])

    whole = judge_photograph(person_a, face, network, CueLimits())
    cut = judge_photograph(tight, recogniser.detect(tight)[0], network, CueLimits())

    assert whole.verdict is Verdict.BONA_FIDE
    assert (cut.verdict, cut.score, cut.reason) == (Verdict.UNDETERMINED, 0.0, Reason.TOO_LARGE)


@pytest.mark.parametrize(("name", "verdict"), [("T1", "bona_fide"), ("F1", "attack"), ("F2", "attack")])
def test_real_attacks_are_told_from_a_real_person(recogniser, network, shared_faces, read_photo, name, verdict):
    image = read_photo(shared_faces / "presentation_attacks" / f"{name}.jpg")

    assert judge_photograph(image, recogniser.detect(image)[0], network, CueLimits()).verdict.value == verdict

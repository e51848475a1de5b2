"""Recorded presentations on disk, through the judge of the door, to rates with bounds."""

import contextlib
import functools
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kiosk.assembly import Loaded
from kiosk.cli.main import main
from kiosk.errors import CameraLostError, ConfigError
from kiosk.evaluation.pad_calibrate import operating_point, split_clips
from kiosk.evaluation.pad_clips import Clip, challenge_rows, find_clips, read_challenges
from kiosk.evaluation.pad_rates import Counts, bootstrap, lower_bound, upper_bound, worst_species
from kiosk.evaluation.pad_record import clip_folder, record_clip
from kiosk.networks.inference import read_pack
from kiosk.networks.liveness import load_spoof_network
from kiosk.recognition.challenges import FLASH, MOVEMENTS, Kind, Side
from kiosk.recognition.flash import draw_colours
from kiosk.testing.pad_actors import Follower, follower_of
from kiosk.testing.pad_material import (
    Held,
    MovingPortrait,
    Sensor,
    draw_room,
    hold_print,
    relit,
    trace_depth,
)
from kiosk.types import Frame
from tests.conftest import GOLDEN, MODELS, networks, read
from tests.patience import PROCESS_S, until
from tests.recognition.remembered import RememberedSession, remembered

LEFT, RIGHT, MOUTH = MOVEMENTS
FPS = 12


@pytest.fixture(scope="module")
def person() -> Follower:
    recogniser = networks()
    image = read(GOLDEN / "person_c_1.jpg")
    detecting: Any = recogniser.detect  # a bound method
    points = trace_depth(detecting.__self__, image, recogniser.detect(image)[0])
    return follower_of(MovingPortrait(image, points), np.random.default_rng(1))


def write_clip(folder: Path, frames, challenge=None, shown=(), about=None, fps=FPS):
    folder.mkdir(parents=True)
    known: dict[int, Path] = {}  # whoever stands there or repeats a pose gives the same picture again
    for number, frame in enumerate(frames):
        path = folder / f"{number:02d}.png"
        if (earlier := known.setdefault(id(frame), path)) is not path:
            os.link(earlier, path)
        else:
            Image.fromarray(frame).save(path, compress_level=1)
    (folder / "fps.txt").write_text(f"{fps}\n")
    if challenge is not None:
        (folder / "challenge.json").write_text(json.dumps(challenge_rows([challenge], shown)))
    if about:
        (folder / "about.json").write_text(json.dumps(about))


def answering(person, key):
    rest, poses = list(person.rest), list(person.poses[key])
    return [*rest, *poses, poses[-1], poses[-1], *reversed(poses), *rest, *rest]


def flashed(person, lux):
    shown = draw_colours(Random(3), 0.4)
    frames = []
    for number in range(46):
        now = number / FPS
        colours = [one.colour for one in shown if one.at_s <= now]
        image = person.rest[number % len(person.rest)]
        is_on = colours and now < 0.4 + 2.4
        frames.append(relit(image, colours[-1], lux) if is_on else image)
    return frames, shown


@pytest.fixture(scope="module")
def recordings(person, tmp_path_factory):
    """Give a folder with two people, two prints and a clip of which nobody said what was asked."""
    root = tmp_path_factory.mktemp("pad")
    turn_left = answering(person, (Kind.TURN, Side.LEFT))
    about = {"camera": "v4l2:/dev/video0", "light": "office", "day": "2026-11-01"}
    write_clip(root / "bona_fide" / "anna" / "1", turn_left, LEFT, about=about)
    write_clip(root / "bona_fide" / "anna" / "2", answering(person, (Kind.MOUTH, None)), MOUTH)
    frames, shown = flashed(person, 100.0)
    write_clip(root / "bona_fide" / "berta" / "1", frames, FLASH, shown)
    write_clip(root / "bona_fide" / "berta" / "2", turn_left, RIGHT)  # the other way than asked
    write_clip(root / "bona_fide" / "berta" / "3", person.rest * 4)  # nobody asked anything
    rng = np.random.default_rng(5)
    room, sensor = draw_room(rng), Sensor(rng)
    picture = read(GOLDEN / "person_c_1.jpg")
    held = [
        sensor.take(hold_print(picture, room, Held(420.0, yaw_deg=25 * np.sin(n / 4), x_px=8 * np.cos(n / 5))))
        for n in range(30)
    ]
    write_clip(root / "print" / "glossy-a4" / "1", held, LEFT)
    write_clip(root / "print" / "glossy-a4" / "2", held, MOUTH)
    return root


@functools.cache
def loaded():
    """Give networks that look once at each picture: the clips share many, and are judged again and again."""
    recogniser, spoof_network = remembered(networks()), load_spoof_network(read_pack(MODELS))
    spoof_network = replace(spoof_network, network=RememberedSession(spoof_network.network))
    return Loaded(recogniser=lambda _pack, **_options: recogniser, spoof_network=lambda _pack: spoof_network)


def evaluate_pad(*arguments):
    return main(["evaluate", "pad", *map(str, arguments)], loaded=loaded())


def evaluate(capsys, *arguments):
    code = evaluate_pad(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def active(recordings):
    """Give what is told of the recordings at the level that is the default, at a door with a screen."""
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as said, contextlib.redirect_stdout(said):
        patch.setenv("KIOSK_PAD_SCREEN", "true")
        assert evaluate_pad(recordings, "--json") == 0
        return json.loads(said.getvalue())


def test_active_accepts_who_followed_and_nothing_else(active):
    report = active

    assert report["level"] == "active"
    assert report["bona_fide"]["anna"] | {"denied": 0} == report["bona_fide"]["anna"]
    assert (report["bona_fide"]["anna"]["presentations"], report["bona_fide"]["anna"]["accepted"]) == (2, 2)
    berta = report["bona_fide"]["berta"]
    assert (berta["presentations"], berta["accepted"]) == (3, 1)
    assert berta["non_response"] == pytest.approx(2 / 3, abs=1e-3)
    print_row = report["species"]["print"]
    assert set(print_row) >= {"presentations", "accepted", "apcer", "apcer_upper_95", "non_response"}
    assert (print_row["presentations"], print_row["accepted"], print_row["apcer"]) == (2, 0, 0.0)
    assert print_row["apcer_upper_95"] == pytest.approx(upper_bound(0, 2), abs=1e-4)
    assert report["headline"]["worst_species"] == "print"
    assert (report["cameras"], report["lights"]) == (["v4l2:/dev/video0"], ["office"])


def test_a_clip_without_a_challenge_is_judged_by_the_passive_cues_and_the_answer_says_so(active, recordings, capsys):
    _, passive = evaluate(capsys, recordings, "--level", "passive")

    assert active["passive_only"] == 1
    assert "only the passive cues" in active["notes"][0]
    assert passive["passive_only"] == 0
    assert passive["notes"] == []
    assert passive["bona_fide"]["berta"]["accepted"] == 3


def test_strict_wants_two_challenges_of_a_clip(recordings, capsys):
    _, report = evaluate(capsys, recordings, "--level", "strict")

    assert report["bona_fide_all"]["accepted"] == 0
    assert report["passive_only"] == 7


def test_the_page_says_what_the_answer_says(recordings, capsys, tmp_path):
    page = tmp_path / "pad.html"
    for clip in ("bona_fide/anna/1", "print/glossy-a4/1", "print/glossy-a4/2"):
        shutil.copytree(recordings / clip, tmp_path / "clips" / clip)

    assert evaluate_pad(tmp_path / "clips", "--level", "active", "--html", page) == 0

    text, html = capsys.readouterr().out, page.read_text(encoding="utf-8")
    assert "Worst species print: 0 of 2" in text
    assert "Worst species print: 0 of 2" in html
    assert "<script" not in html
    assert "http" not in html


def test_names_in_a_report_are_no_markup(person, capsys, tmp_path):
    root = tmp_path / "odd"
    write_clip(root / "bona_fide" / "<b>x" / "1", person.rest * 3)
    page = tmp_path / "pad.html"

    assert evaluate_pad(root, "--level", "passive", "--html", page) == 0

    assert "<b>x" not in page.read_text(encoding="utf-8")
    capsys.readouterr()


def test_folders_of_thumbnails_are_no_species_and_no_person(person, capsys, tmp_path):
    write_clip(tmp_path / "bona_fide" / "anna" / "1", person.rest * 3)
    for odd in ("@eaDir/x/1", "__MACOSX/x/1", "bona_fide/@eaDir/1", "bona_fide/anna/@eaDir"):
        write_clip(tmp_path / odd, person.rest[:2])

    assert evaluate_pad(tmp_path, "--level", "passive") == 0

    assert "Of 1 bona fide presentation of 1 person " in capsys.readouterr().out
    assert [clip.species for clip in find_clips(tmp_path)] == ["bona_fide"]


def test_names_in_no_encoding_or_with_escapes_reach_every_report(person, capsys, tmp_path):
    root = tmp_path / "odd"
    write_clip(root / "bona_fide" / "caf\udce9 \x1b[31m" / "1\udce9", person.rest * 3)
    page = tmp_path / "pad.html"

    code, told = evaluate(capsys, root, "--level", "passive", "--html", page)
    assert evaluate_pad(root, "--level", "passive") == 0

    assert (code, list(told["bona_fide"])) == (0, ["caf\\xe9 \\x1b[31m"])
    assert "\x1b" not in page.read_text(encoding="utf-8") + capsys.readouterr().out


def test_a_page_that_is_a_folder_is_told_before_the_work(person, capsys, tmp_path):
    write_clip(tmp_path / "bona_fide" / "anna" / "1", person.rest * 3)

    assert evaluate_pad(tmp_path, "--level", "passive", "--html", tmp_path) == 1

    assert capsys.readouterr().err == f"Error: {tmp_path}: Is a directory\n"


def test_calibrating_judges_on_other_people(recordings, capsys):
    _, report = evaluate(capsys, recordings, "--level", "active", "--calibrate")

    calibration = report["calibration"]
    assert calibration["set_with"] == ["anna"]
    assert calibration["judged_on"] == ["berta"]
    assert set(report["bona_fide"]) == {"berta"}
    assert report["network_low"] == calibration["network_low"] <= 0.5


def clip(person_or_instrument, day=None, species="bona_fide"):
    return Clip(Path("x"), species, person_or_instrument, (), 10.0, about={"day": day} if day else {})


def test_calibrating_wants_two_people_and_uses_other_days_where_there_are_some():
    with pytest.raises(ConfigError, match="2 people or more"):
        split_clips([clip("anna"), clip("anna")])

    days = [
        clip("anna", "mon"),
        clip("berta", "mon"),
        clip("berta", "tue"),
        clip("p", "mon", "print"),
        clip("p", "tue", "print"),
    ]
    split = split_clips(days)
    assert [one.source for one in split.setting] == ["anna"]
    assert {one.about["day"] for one in split.judging} == {"tue"}
    assert len(split.judging) == 2


def test_calibrating_without_a_judged_clip_says_why():
    with pytest.raises(ConfigError, match="no bona fide clip could be judged"):
        operating_point([])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda _: None, "holds no clip", id="empty folder"),
        pytest.param(lambda root: (root / "print" / "a" / "1").mkdir(parents=True), "holds no frames", id="empty clip"),
        pytest.param(lambda root: spoil(root, "fps.txt", "fast"), "want one number", id="no rate"),
        pytest.param(lambda root: spoil(root, "fps.txt", "nan"), "want one number", id="a rate that is no number"),
        pytest.param(lambda root: spoil(root, "fps.txt", "0"), "want one number", id="no frames a second"),
        pytest.param(lambda root: spoil(root, "challenge.json", "{"), "is not JSON", id="no JSON"),
        pytest.param(lambda root: spoil(root, "challenge.json", "[]"), "want an object", id="an empty list"),
        pytest.param(lambda root: spoil(root, "challenge.json", '{"kind": "wink"}'), "'wink' is none of", id="a wink"),
        pytest.param(
            lambda root: spoil(root, "challenge.json", '{"kind": "turn", "side": "up"}'), "needs a side", id="no side"
        ),
        pytest.param(lambda root: spoil(root, "challenge.json", '{"kind": "flash"}'), "needs shown", id="no colours"),
        pytest.param(
            lambda root: spoil(
                root,
                "challenge.json",
                '{"kind": "flash", "shown": [{"at_s": 1, "colour": "red"}, {"at_s": 0.5, "colour": "blue"}]}',
            ),
            "in the order of their times",
            id="colours out of order",
        ),
        pytest.param(
            lambda root: spoil(
                root,
                "challenge.json",
                '{"kind": "flash", "shown": [{"at_s": 0, "colour": "puce"}, {"at_s": 1, "colour": "red"}]}',
            ),
            "'puce' is no #rrggbb",
            id="a colour nobody knows",
        ),
        pytest.param(lambda root: spoil(root, "00.png", "no picture"), "00.png", id="a broken frame"),
        pytest.param(lambda root: spoil(root, "about.json", "[]"), "want an object", id="about is a list"),
    ],
)
def test_bad_recordings_get_a_sentence_that_names_the_file(make, said, tmp_path, capsys):
    make(tmp_path)

    assert evaluate_pad(tmp_path, "--level", "passive") == 1

    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("Error: ")
    assert said in error


def spoil(root, name, text):
    folder = root / "print" / "a" / "1"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "00.png")
    (folder / "fps.txt").write_text("10\n")
    (folder / name).write_text(text)


def test_a_folder_that_is_not_there_is_said(capsys):
    assert main(["evaluate", "pad", "/nowhere"]) == 1
    assert "/nowhere is not a folder" in capsys.readouterr().err


def test_clips_may_lie_right_under_their_instrument_and_frames_are_counted_by_number(tmp_path):
    folder = tmp_path / "phone" / "cap"
    folder.mkdir(parents=True)
    for name in ("9", "10", "100"):
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / f"{name}.png")
    (folder / "fps.txt").write_text("12.5")

    (found,) = find_clips(tmp_path)

    assert (found.species, found.source, found.fps) == ("phone", "cap", 12.5)
    assert [path.stem for path in found.frames] == ["9", "10", "100"]


@pytest.mark.parametrize("colour", ["#FF0000", "red", [255, 0, 0]])
def test_a_colour_may_be_written_in_three_ways(tmp_path, colour):
    path = tmp_path / "challenge.json"
    rows = [{"at_s": 0.5, "colour": colour}, {"at_s": 1, "colour": "#00ff00"}]
    path.write_text(json.dumps({"kind": "flash", "side": None, "order": None, "shown": rows}))

    challenges, shown = read_challenges(path)

    assert challenges == (FLASH,)
    assert shown[0].colour == (255, 0, 0)


def test_two_challenges_are_asked_in_their_order(tmp_path):
    path = tmp_path / "challenge.json"
    rows = [{"kind": "mouth", "order": 2}, {"kind": "turn", "side": "right", "order": 1}]
    path.write_text(json.dumps(rows))

    assert read_challenges(path)[0] == (RIGHT, MOUTH)


@pytest.mark.parametrize("count", [0, 1, 5, 19, 20])
def test_the_bound_is_the_rate_at_which_so_few_would_be_seen_once_in_twenty(count):
    bound = upper_bound(count, 20)
    rng = np.random.default_rng(0)

    if count == 20:
        assert bound == 1.0
    else:
        assert np.mean(rng.binomial(20, bound, 200_000) <= count) == pytest.approx(0.05, abs=0.003)
    assert lower_bound(20 - count, 20) == pytest.approx(1.0 - bound)


def test_the_interval_over_people_is_wider_than_one_over_presentations():
    alike, unlike = [(1, 10)] * 10, [(10, 10)] + [(0, 10)] * 9

    assert bootstrap(alike) == (0.1, 0.1)
    bounds = bootstrap(unlike)
    assert bounds is not None
    low, high = bounds
    assert low == 0.0
    assert high >= 0.3
    assert bootstrap([(1, 10)]) is None


def test_the_worst_species_is_the_one_that_passes_most_often():
    species = {"print": Counts(100, 2, 98), "phone": Counts(10, 1, 9), "mask": Counts(1, 0, 1)}

    assert worst_species(species) == "phone"
    assert worst_species({}) is None


def frames_at(fps, seconds, person):
    for number in range(int(fps * seconds)):
        yield Frame(person.rest[number % len(person.rest)], 50.0 + number / fps, number + 1)


def test_a_recording_is_read_back_as_it_was_labelled(person, tmp_path):
    said: list[str] = []
    folder = clip_folder(tmp_path, "bona_fide", "anna")

    written = record_clip(frames_at(12, 5, person), folder, 2.0, LEFT, {"light": "dusk"}, said.append)

    (found,) = find_clips(tmp_path)
    assert written == len(found.frames) == 25
    assert found.fps == pytest.approx(12.0, abs=0.01)
    assert found.challenges == (LEFT,)
    assert found.about == {"light": "dusk"}
    assert said == ["Look into the camera.", "Turn the head to its own left, and back to the camera."]
    assert clip_folder(tmp_path, "bona_fide", "anna").name == "002"


def test_a_camera_that_gives_too_little_leaves_no_clip(person, tmp_path):
    folder = clip_folder(tmp_path, "print", "a4")

    with pytest.raises(CameraLostError, match="gave 3 frames"):
        record_clip(frames_at(1, 3, person), folder, 4.0, None, {}, lambda _: None)

    assert not folder.exists()


def test_names_of_people_and_instruments_make_no_way_out_of_the_folder(tmp_path):
    for name in ("../x", "", "a/b", ".hidden"):
        with pytest.raises(ConfigError, match="want letters"):
            clip_folder(tmp_path, "print", name)


def test_record_pad_goes_through_the_real_camera(person, tmp_path, monkeypatch, capsys):
    pictures = tmp_path / "frames"
    pictures.mkdir()
    for number in range(40):
        noisy = person.rest[number % 4].copy()
        noisy[0, 0] = number
        Image.fromarray(noisy).save(pictures / f"{number:03d}.jpg", quality=95)
    monkeypatch.setenv("KIOSK_CAMERA_SOURCE", f"dir:{pictures}?fps=10&loop=1")

    command = ["record", "pad", "--species", "bona_fide", "--person", "anna", "--to", str(tmp_path / "out")]

    def is_recorded():
        code, said = main([*command, "--seconds", "2"]), capsys.readouterr()
        assert code == 0 or "the camera gave" in said.err  # too few, as the machine stood still
        return code == 0 and "001" in said.out

    until(is_recorded, limit_s=PROCESS_S)

    (found,) = find_clips(tmp_path / "out")
    assert (found.species, found.source) == ("bona_fide", "anna")
    assert len(found.frames) >= 8


def test_record_pad_wants_to_know_who_or_what(tmp_path, capsys):
    assert main(["record", "pad", "--species", "print", "--person", "anna", "--to", str(tmp_path)]) == 1
    assert "needs --instrument" in capsys.readouterr().err

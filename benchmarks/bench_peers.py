"""How often does each of the usual pipelines miss the same person, where as few strangers are let through?

The number that would change a decision: a peer whose FNMR at FMR 1e-3 lies below the kiosk's.

    python benchmarks/bench_peers.py FACES [--yunet FILE] [--mobilefacenet FILE]

FACES as for bench_biometrics.py, of which orl/, bbt/ and portraits/ are shown to whole pipelines: each with its own
detector, its own choice of the largest face and its own alignment. A photograph in which a pipeline finds no face
counts as missed with all of its pairs. What is not installed is left out. Writes benchmarks/results/peers.json, which
chart.py draws beside what bench_match.py measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import rivals
from benchmarks.about import about_run, store
from benchmarks.bench_biometrics import photographs
from benchmarks.bench_match import DLIB, OURS, YUNET
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.types import Floats, RgbImage

FMR = 1e-3
LARGEST_SETS = ("compreface",)  # left out: pictures of up to 36 megapixels, which the others search for minutes

Pipeline = Callable[[RgbImage], Floats | None]


def kiosk() -> Pipeline:
    """Return the kiosk's line."""
    recogniser = load_recogniser(read_pack(standard_pack()))

    def run(picture: RgbImage) -> Floats | None:
        faces = recogniser.detect(picture)
        return recogniser.extract(picture, recogniser.sharpen(picture, faces[0])).vector if faces else None

    return run


def peer(steps: rivals.Rival, *, is_bgr: bool, is_distance: bool) -> Pipeline:
    """Return a peer's line; where it compares by distance, its vectors as they are for that."""

    def run(picture: RgbImage) -> Floats | None:
        shown = np.ascontiguousarray(picture[..., ::-1]) if is_bgr else picture
        face = steps.detect(shown)
        if face is None:
            return None
        both = 1 if is_distance else 2  # MobileFaceNet's file takes two faces at once, and no other number
        vector = np.asarray(steps.templates([shown] * both, [face] * both)[0], np.float32)
        return vector if is_distance else (vector / np.linalg.norm(vector)).astype(np.float32)

    return run


def measured(people: list[str], vectors: list[Floats | None], *, is_distance: bool) -> dict[str, Any]:
    """Return the error rates of all pairs within a set of photographs."""
    first, second = np.triu_indices(len(people), 1)
    names, folders = np.array(people), np.array([person.split("/")[0] for person in people])
    within = folders[first] == folders[second]
    first, second = first[within], second[within]
    is_there = np.array([vector is not None for vector in vectors])
    depth = next(len(vector) for vector in vectors if vector is not None)
    stacked = np.stack([np.zeros(depth, np.float32) if vector is None else vector for vector in vectors])
    products = np.einsum("ij,ij->i", stacked[first], stacked[second])
    if is_distance:  # of the nearest first, as of the most alike
        squares = (stacked**2).sum(axis=1)
        products = -np.sqrt(np.maximum(squares[first] + squares[second] - 2 * products, 0.0))
    both, is_mated = is_there[first] & is_there[second], names[first] == names[second]
    strangers = np.sort(products[both & ~is_mated])[::-1]
    threshold = strangers[round(len(strangers) * FMR)]
    missed = ~both | (products < threshold)
    return {
        "fnmr": float(missed[is_mated].mean()),
        "fmr": FMR,
        "mated": int(is_mated.sum()),
        "non_mated": int((both & ~is_mated).sum()),
        "no_face_in": int((~is_there).sum()),
    }


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--mobilefacenet", type=Path)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    found: dict[str, tuple[Pipeline, bool]] = {OURS: (kiosk(), False)}
    if chosen.yunet and chosen.mobilefacenet:
        steps = rivals.yunet_rival(chosen.yunet, chosen.mobilefacenet)
        found[YUNET] = peer(steps, is_bgr=True, is_distance=False), False
    try:
        found[DLIB] = peer(rivals.face_recognition_rival(), is_bgr=False, is_distance=True), True
    except (ImportError, SystemExit) as error:  # face_recognition ends the process where its models are missing
        print(f"{DLIB}: not installed: {error}")
    people: list[str] = []
    vectors: dict[str, list[Floats | None]] = {name: [] for name in found}
    for person, _, picture in photographs(chosen.faces):
        if person.split("/")[0] in LARGEST_SETS:
            continue
        people.append(person)
        for name, (run, _) in found.items():
            vectors[name].append(run(np.ascontiguousarray(picture)))
    rates = {name: measured(people, vectors[name], is_distance=found[name][1]) for name in found}
    print(json.dumps(rates, indent=2))
    about = about_run(__doc__.partition("\n")[0], read_pack(standard_pack()), command="bench_peers.py FACES …")
    store("peers", {**about, "people": len(set(people)), "photographs": len(people), "pipelines": rates})


if __name__ == "__main__":
    main()

"""Are people known in grey and near-infrared pictures, when their references are in colour?

    python benchmarks/bench_infrared.py [--people 200] [--faces ../shared/faces/lfw]

An FNMR at score 70 of more than 10 % would have the door ask for references taken with the same camera. Two photographs
of each person: the first as reference, the second as probe, in colour, in grey, and as a night camera with a lamp of
its own gives it: red counts most, skin is light and even, the middle lit and the rest dark, noise, three equal
channels. That is made by arithmetic: real near-infrared pictures were not to be had.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import ROOT, about_run, command_line
from benchmarks.about import store as store_result
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.recognition.match import compare
from kiosk.recognition.photo import decode
from kiosk.types import RgbImage

ACCEPT = 70


def grey(image: RgbImage, _: np.random.Generator) -> RgbImage:
    """Return a picture without colour."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis], 3, axis=2)


def infrared(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Return a picture as a night camera might have taken it."""
    levels = image.astype(np.float32) / 255.0
    light = 0.8 * levels[:, :, 0] + 0.15 * levels[:, :, 1] + 0.05 * levels[:, :, 2]
    light = light**0.7  # skin reflects more of it, and dark skin as much as light
    height, width = light.shape
    rows, columns = np.mgrid[0:height, 0:width]
    away = ((rows / height - 0.5) ** 2 + (columns / width - 0.5) ** 2) / 0.5
    light = light * (1.0 - 0.7 * away)
    light = cv2.GaussianBlur(light, (0, 0), 0.8) + rng.normal(0.0, 0.02, light.shape)
    eight = (np.clip(light, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.repeat(eight[:, :, np.newaxis], 3, axis=2)


KINDS = {"colour": lambda image, _: image, "grey": grey, "near infrared, by arithmetic": infrared}


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--faces", type=Path, default=ROOT.parent / "shared" / "faces" / "lfw")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    pack = read_pack(standard_pack())
    recogniser = load_recogniser(pack, threads=1)
    rng = np.random.default_rng(chosen.seed)
    folders = [files for one in sorted(chosen.faces.iterdir()) if len(files := sorted(one.glob("*.jpg"))) >= 2]
    picked = [folders[at] for at in sorted(rng.permutation(len(folders))[: chosen.people])]
    templates: dict[str, list[Any]] = {name: [] for name in (*KINDS, "reference")}
    for reference, probe, *_ in picked:
        templates["reference"].append(recogniser.analyse(decode(reference.read_bytes())).template)
        image = decode(probe.read_bytes())
        for name, make in KINDS.items():
            templates[name].append(recogniser.analyse(make(image, rng)).template)
    result: dict[str, Any] = {}
    for name in KINDS:
        pairs = list(zip(templates["reference"], templates[name], strict=True))
        scores = [
            pack.scale.score(compare(one, other)) for one, other in pairs if one is not None and other is not None
        ]
        strangers = [
            pack.scale.score(compare(one, other))
            for at, (one, _) in enumerate(pairs)
            for _, other in pairs[at + 1 : at + 21]
            if one is not None and other is not None
        ]
        result[name] = {
            "pairs": len(pairs),
            "no_face": sum(other is None for _, other in pairs),
            "fnmr_at_70": round(float(np.mean([score < ACCEPT for score in scores])), 4),
            "median_score": float(np.median(scores)),
            "stranger_pairs": len(strangers),
            "strangers_at_70": sum(score >= ACCEPT for score in strangers),
            "strangers_at_50": sum(score >= 50 for score in strangers),
        }
    print(json.dumps(result, indent=2))
    about = about_run((__doc__ or "").splitlines()[0], pack, command=command_line())
    store_result("infrared", {**about, **result})
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How often do strangers reach a score, and how often does the same person miss it?

The number that would change a decision: FNMR at FMR 1e-3 above 5 %, or a stranger at score 70 among these pairs.

    python benchmarks/bench_biometrics.py FACES [--pack DIR] [--write-scale]

FACES is a folder of development photographs (not part of the repository): orl/, bbt/, portraits/, compreface/. The
tight crops of orl and bbt get a grey margin and are enlarged first, as a detector would see them in a camera's
picture. FMR and FNMR as in ISO/IEC 19795-1; intervals: bootstrap over people, 95 %. `--write-scale` puts the measured
curve into the pack's manifest.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.about import RESULTS, about_run
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.recognition.pipeline import Recogniser

GREY = 127
TIGHT = {"orl": 8.0, "bbt": 2.0}  # folder: by how much its crops are enlarged; those of orl are 23 x 28 px
LOW_KNOTS = (0.99, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01, 0.005, 0.003, 0.001)
LEAST_COUNT = 15  # false matches behind a measured knot: ± 50 % at 95 %
TAIL = (2e-2, 1e-3)  # FMR between which the tail is fitted
RARITIES = (3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0)
ROUNDS = 200  # of the bootstrap
NORMAL = NormalDist()


def photographs(faces: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield (person, file, picture) of everyone whose truth is known."""
    for path in sorted(path for path in faces.rglob("*.*") if path.suffix.lower() in (".jpg", ".png", ".pgm")):
        folder = path.relative_to(faces).parts[0]
        person = None
        if folder in TIGHT:
            person = f"{folder}/{path.parent.name}"
        elif folder == "portraits" and "partial" not in path.name:
            person = f"portraits/{re.sub('[0-9]*$', '', path.stem)}"
        elif folder == "compreface" and path.stem[4:] in ("A", "B", "C"):
            person = f"compreface/{path.stem[4:]}"
        if person is not None:
            picture = np.array(Image.open(path).convert("RGB"))
            yield person, str(path.relative_to(faces)), widened(picture, TIGHT.get(folder))


def widened(picture: np.ndarray, enlarge: float | None) -> np.ndarray:
    """Give a tight crop a margin of half its longer edge, and enlarge it."""
    if enlarge is None:
        return picture
    large = cv2.resize(picture, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
    margin = max(large.shape[:2]) // 2
    return cv2.copyMakeBorder(large, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(GREY,) * 3)


def templates(recogniser: Recogniser, faces: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """Return people, (N, D) vectors, and the files without a face (failures to acquire)."""
    people, vectors, missed = [], [], []
    for person, file, picture in photographs(faces):
        sample = recogniser.analyse(picture)
        if sample.template is None:
            missed.append(file)
            continue
        people.append(person)
        vectors.append(sample.template.vector)
    return people, np.array(vectors), missed


def pairs(people: list[str], vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return cosine, is_mated, and the two people's numbers of all pairs within one set of photographs.

    Strangers of different sets differ in camera and light too, which makes them easier: they are left out.
    """
    names = sorted(set(people))
    number = np.array([names.index(person) for person in people])
    folder = np.array([person.split("/")[0] for person in people])
    first, second = np.triu_indices(len(people), 1)
    within = folder[first] == folder[second]
    first, second = first[within], second[within]
    cosines = np.einsum("ij,ij->i", vectors[first], vectors[second])
    return cosines, number[first] == number[second], number[first], number[second]


def curve(strangers: np.ndarray) -> tuple[list[float], list[float], float, dict[str, float]]:
    """Return the knots of the FMR curve (cosine, -log10 FMR), how far it is measured, and the tail's fit.

    Beyond the counts, the tail goes on as a normal distribution's, fitted between the FMRs of TAIL: the quantile
    function of the FMR is a straight line of the cosine there.
    """
    ranked = np.sort(strangers)[::-1]
    knots = [
        (float(ranked[max(0, round(len(ranked) * fmr) - 1)]), -np.log10(fmr))
        for fmr in LOW_KNOTS
        if len(ranked) * fmr >= LEAST_COUNT
    ]
    reach = float(knots[-1][1])
    ranks = np.arange(int(len(ranked) * TAIL[1]), int(len(ranked) * TAIL[0]))
    quantiles = np.array([NORMAL.inv_cdf(1.0 - (rank + 1) / len(ranked)) for rank in ranks])
    slope, offset = np.polyfit(ranked[ranks], quantiles, 1)
    for rarity in RARITIES:
        cosine = (NORMAL.inv_cdf(1.0 - 10.0**-rarity) - offset) / slope
        if rarity > reach and cosine > knots[-1][0]:
            knots.append((float(cosine), rarity))
    return [c for c, _ in knots], [r for _, r in knots], reach, {"slope": float(slope), "offset": float(offset)}


def error_rates(cosines: np.ndarray, is_mated: np.ndarray, at: float) -> tuple[float, float]:
    """Return FMR and FNMR at a cosine."""
    return float((cosines[~is_mated] >= at).mean()), float((cosines[is_mated] < at).mean())


def bootstrap(
    cosines: np.ndarray, is_mated: np.ndarray, one: np.ndarray, other: np.ndarray, fmr: float
) -> tuple[float, float]:
    """Return the 95 % interval of FNMR at an FMR, people drawn with replacement."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(ROUNDS):
        weight = np.bincount(rng.integers(0, other.max() + 1, other.max() + 1), minlength=other.max() + 1)
        weights = weight[one] * np.where(is_mated, 1, weight[other])
        strangers = np.argsort(-cosines[~is_mated])
        share = np.cumsum(weights[~is_mated][strangers]) / max(1, weights[~is_mated].sum())
        at = cosines[~is_mated][strangers][np.searchsorted(share, fmr)]
        mated = weights[is_mated]
        found.append(float((mated * (cosines[is_mated] < at)).sum() / max(1, mated.sum())))
    return float(np.percentile(found, 2.5)), float(np.percentile(found, 97.5))


def measure(recogniser: Recogniser, faces: Path) -> dict[str, Any]:
    """Return everything measured."""
    people, vectors, missed = templates(recogniser, faces)
    cosines, is_mated, one, other = pairs(people, vectors)
    strangers = cosines[~is_mated]
    knots, rarities, reach, fit = curve(strangers)
    rows = []
    for fmr in (1e-1, 1e-2, 1e-3):
        at = float(np.sort(strangers)[::-1][round(len(strangers) * fmr)])
        low, high = bootstrap(cosines, is_mated, one, other, fmr)
        rows.append({"fmr": fmr, "cosine": at, "fnmr": error_rates(cosines, is_mated, at)[1], "interval": [low, high]})
    sets: dict[str, dict[str, float | None]] = {}
    names = np.array(sorted(set(people)))
    for folder in sorted({person.split("/")[0] for person in people}):
        inside = np.array([names[number].startswith(folder + "/") for number in one])
        mated = cosines[inside & is_mated]
        others = np.sort(cosines[inside & ~is_mated])[::-1]
        sets[folder] = {"mated": len(mated), "non_mated": len(others)}
        if len(others) >= 1000:
            sets[folder]["fnmr_at_fmr_1e-3"] = float((mated <= others[int(len(others) * 1e-3)]).mean())
        sets[folder]["highest_non_mated"] = float(others[0]) if len(others) else None
        sets[folder]["lowest_mated"] = float(mated.min()) if len(mated) else None
    return {
        "people": len(set(people)),
        "photographs": len(people),
        "failures_to_acquire": missed,
        "mated": int(is_mated.sum()),
        "non_mated": int((~is_mated).sum()),
        "highest_non_mated": float(strangers.max()),
        "curve": {"cosine": knots, "rarity": rarities, "measured_rarity": reach, "tail": fit},
        "fnmr": rows,
        "sets": sets,
    }


def write_scale(manifest: Path, measured: dict[str, Any], result: str) -> None:
    """Replace the manifest's [scale] by the measured one."""
    found = measured["curve"]
    counts = (
        f"Measured on {measured['non_mated']:,} comparisons of strangers and {measured['mated']:,} of one person, "
        f"{measured['people']} people in {measured['photographs']} photographs ({result})."
    )
    tail = (
        f"Down to FMR 1e-{found['measured_rarity']:.0f} the curve is what was counted. Rarer false matches were too "
        "few to count; there it goes on as the tail of a normal distribution, fitted between FMR "
        f"{TAIL[0]:g} and {TAIL[1]:g}."
    )
    limits = (
        "Not claimed: rates for other cameras, ages and origins than these photographs', for twins or siblings, "
        "or for presentation attacks."
    )
    sentences = (counts, tail, limits)
    numbers = {name: [round(float(value), 4) for value in found[name]] for name in ("cosine", "rarity")}
    block = "\n".join(
        [
            "[scale]",
            *(f"{name} = {values}" for name, values in numbers.items()),
            f"measured_rarity = {found['measured_rarity']:.4f}",
            f"mated = {measured['mated']}",
            f"non_mated = {measured['non_mated']}",
            f'result = "{result}"',
            "sentences = [",
            *(f"  {json.dumps(sentence)}," for sentence in sentences),
            "]",
            "",
        ]
    )
    text = manifest.read_text(encoding="utf-8")
    kept = re.sub(r"(?ms)^\[scale\]\n.*?(?=^\[|\Z)", "", text).rstrip()
    manifest.write_text(f"{kept}\n\n{block}", encoding="utf-8")


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--pack", type=Path, default=standard_pack())
    parser.add_argument("--write-scale", action="store_true")
    parser.add_argument("--quick", action="store_true", help="measure and print, store nothing")
    chosen = parser.parse_args()
    pack = read_pack(chosen.pack)
    measured = measure(load_recogniser(pack, threads=2), chosen.faces)
    print(json.dumps(measured, indent=2))
    if chosen.quick:
        return
    name = f"biometrics-{pack.name}.json"
    about = about_run(
        __doc__.splitlines()[0], pack, command=f"bench_biometrics.py FACES {' '.join(sys.argv[2:])}".strip()
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps({**about, **measured}, indent=2) + "\n", encoding="utf-8")
    if chosen.write_scale:
        write_scale(chosen.pack / "manifest.toml", measured, f"benchmarks/results/{name}")


if __name__ == "__main__":
    main()

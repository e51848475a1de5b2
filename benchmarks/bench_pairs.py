"""Does score 50 part the same person from strangers in every pair of the development photographs?

Every pair of bbt/ and portraits/, from the files' bytes through decode, analyse and match. An error is a mated pair
below 50 or a non-mated one at 50 or above; each is listed with both files. Score 50 is FMR 1e-2, so that some 7 of
bbt's 700 non-mated pairs, chosen to look alike or not, may reach it: many more, or one mated pair below, would change
the scale or the network. The tight crops of bbt are taken as they are, and with the margin and the size that
bench_biometrics.py gives them. The two portraits of half a face are apart: no mated pair with them is promised.

    python benchmarks/bench_pairs.py FACES [--quick]

FACES is a folder of development photographs (not part of the repository). Writes benchmarks/results/pairs.json.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks.about import about_run, command_line, store
from benchmarks.bench_biometrics import TIGHT, widened
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.types import Sample

SCORE = 50


@dataclass(frozen=True)
class Photo:
    """One analysed photograph."""

    folder: str  # bbt, portraits, or partial for half a face
    person: str
    file: str  # from the folder of photographs on
    sample: Sample


def photographs(faces: Path, recogniser: Recogniser, *, is_widened: bool) -> list[Photo]:
    """Analyse every photograph of bbt/ and portraits/."""
    found = []
    for path in sorted([*(faces / "bbt").glob("*/*.*"), *(faces / "portraits").glob("*.*")]):
        folder = path.relative_to(faces).parts[0]
        person = path.parent.name if folder == "bbt" else re.sub(r"(_partial_face)?\d*$", "", path.stem)
        picture = decode(path.read_bytes())
        sample = recogniser.analyse(widened(picture, TIGHT.get(folder)) if is_widened else picture)
        group = "partial" if "partial" in path.stem else folder
        found.append(Photo(group, person, path.relative_to(faces).as_posix(), sample))
    return found


def measure(recogniser: Recogniser, photos: list[Photo]) -> dict[str, Any]:
    """Match all pairs, within each folder and across."""
    sets: dict[str, dict[str, Any]] = {}
    for one, other in combinations(photos, 2):
        name = " and ".join(sorted({one.folder, other.folder}))
        row = sets.setdefault(name, {"mated": [], "non_mated": [], "errors": []})
        score = recogniser.match(one.sample, other.sample, decline_threshold=SCORE).score
        is_mated = one.person == other.person
        row["mated" if is_mated else "non_mated"].append(score)
        if score is None or is_mated != (score >= SCORE):
            row["errors"].append({"files": [one.file, other.file], "mated": is_mated, "score": score})
    return {
        "no_face": [photo.file for photo in photos if photo.sample.template is None],
        "several_faces": [photo.file for photo in photos if len(photo.sample.entities) > 1],
        "sets": {name: summary(row) for name, row in sorted(sets.items())},
    }


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """Return counts, the extremes, and the errors, the worst first."""
    mated, strangers = ([score for score in row[kind] if score is not None] for kind in ("mated", "non_mated"))
    return {
        "mated": len(row["mated"]),
        "mated_below": sum(error["mated"] for error in row["errors"]),
        "lowest_mated": min(mated, default=None),
        "non_mated": len(row["non_mated"]),
        "non_mated_at_or_above": sum(not error["mated"] for error in row["errors"]),
        "highest_non_mated": max(strangers, default=None),
        "errors": sorted(row["errors"], key=lambda error: (-error["mated"], -(error["score"] or 0))),
    }


def show(title: str, measured: dict[str, Any]) -> None:
    """Print the counts; the errors with a letter for each person."""
    print(f"\n{title}: {len(measured['no_face'])} without a face")
    letters: dict[str, str] = {}
    for name, row in measured["sets"].items():
        print(
            f"  {name:22} mated {row['mated']:4}, below {SCORE}: {row['mated_below']:2}, lowest {row['lowest_mated']}; "
            f"non-mated {row['non_mated']:4}, at {SCORE} or above: {row['non_mated_at_or_above']:2}, "
            f"highest {row['highest_non_mated']}"
        )
        for error in row["errors"]:
            people = [re.sub(r"(_partial_face)?\d*\..*$", "", file.split("/")[-1]) for file in error["files"]]
            who = " and ".join(f"Person {letters.setdefault(one, chr(ord('A') + len(letters)))}" for one in people)
            print(f"    {who}: {error['score']}")


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--quick", action="store_true", help="the portraits only; store nothing")
    chosen = parser.parse_args()
    pack = read_pack(standard_pack())
    recogniser = load_recogniser(pack)
    result: dict[str, Any] = {"score": SCORE}
    for title, is_widened in (("as they are", False), ("with a margin", True)):
        photos = photographs(chosen.faces, recogniser, is_widened=is_widened)
        result[title] = measure(recogniser, photos)
        show(title, result[title])
    if not chosen.quick:
        store("pairs", {**about_run(__doc__.splitlines()[0], pack, command=command_line()), **result})


if __name__ == "__main__":
    main()

"""Whose genuine people are refused more often: how often does one person miss a score, within each group?

The number that would change a decision: a group whose false-non-match rate at the door's threshold lies above that of
all others with its whole 95 % interval.

    python benchmarks/bench_mated_groups.py FACES LFW.jsonl LONDON.jsonl [--write-groups]

FACES holds lfw/ and london/ (not part of the repository), the .jsonl files are what `kiosk evaluate match DIR
--templates FILE` keeps of them. In the London set people said their sex and origin themselves, with two photographs
each, neutral and smiling, of one day. LFW has several photographs a person and no groups: its people are sorted by the
age that the shipped network estimates, which is no truth. Children, and origins in everyday photographs, have no set
with several photographs a person here: nothing is said of them.

`--write-groups` puts the rates into the manifest.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.about import about_run, store
from benchmarks.before_after import acquired
from kiosk.evaluation.acquire import Acquired
from kiosk.evaluation.match import least_cosine
from kiosk.evaluation.pad_rates import upper_bound
from kiosk.evaluation.pairs import INTERVAL, ROUNDS, SEED
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.recognition.match import ScoreScale
from kiosk.settings.sections import EntranceSettings

BANDS = (("below 30 years", 30.0), ("30 to 45 years", 45.0), ("45 to 60 years", 60.0), ("60 or more years", 200.0))
Groups = Mapping[str, Sequence[str]]
"""The groups of each person."""


def missed(seen: Sequence[Acquired], groups: Groups, scale: ScoreScale, scores: Sequence[int]) -> dict[str, Any]:
    """Count each group's pairs of photographs of one person that lie below a score; intervals are over people."""
    by_person: dict[str, list[Acquired]] = defaultdict(list)
    for one in seen:
        if one.vector is not None:
            by_person[one.photograph.person].append(one)
    cosines: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for person, photographs in by_person.items():
        vectors = np.stack([one.vector for one in photographs if one.vector is not None])
        own = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
        if len(own):
            for group in ("all", *groups.get(person, ())):
                cosines[group].append(own)
    found: dict[str, Any] = {}
    for group, people in sorted(cosines.items()):
        pairs = sum(len(own) for own in people)
        found[group] = {"people": len(people), "mated": pairs}
        for score in scores:
            cosine = least_cosine(scale, score)
            wrong = np.array([(own < cosine).sum() for own in people])
            errors = int(wrong.sum())
            found[group][f"fnmr_{score}"] = {
                "missed": errors,
                "rate": errors / pairs,
                "interval_95": interval(wrong, np.array([len(own) for own in people])),
            }
    return found


def interval(wrong: NDArray[np.int64], of: NDArray[np.int64]) -> list[float]:
    """Return the 95 % interval of a rate, people drawn anew; without an error, the bound of so many people with one."""
    if not wrong.any():
        return [0.0, upper_bound(0, len(of))]
    drawn = np.random.default_rng(SEED).multinomial(len(of), np.full(len(of), 1.0 / len(of)), size=10 * ROUNDS)
    low, high = np.percentile((drawn @ wrong) / (drawn @ of), INTERVAL)
    return [float(low), float(high)]


def told(people: Path) -> Groups:
    """Return what the people of the London set said of themselves."""
    with people.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["person"]: (row["gender"], row["ethnicity"], f"{row['gender']}, {row['ethnicity']}") for row in rows}


def estimated(seen: Sequence[Acquired]) -> Groups:
    """Return the band of ages in which the shipped network's estimates of a person's photographs lie."""
    years: dict[str, list[float]] = defaultdict(list)
    for one in seen:
        if one.vector is not None:
            years[one.photograph.person].append(one.age)
    return {person: (next(name for name, below in BANDS if np.median(ages) < below),) for person, ages in years.items()}


def write_missed(manifest: Path, result: Mapping[str, Any]) -> None:
    """Replace the manifest's [[scale.missed]]: everyone, ages as estimated, sexes by their own word."""
    lfw, london = result["lfw_by_the_age_that_the_network_estimates"], result["london_by_what_people_said"]
    shown = [("all", "LFW", lfw["all"])]
    shown += [(f"{name}, estimated", "LFW", lfw[name]) for name, _ in BANDS if name in lfw]
    shown += [(f"{many}, by their word", "London", london[one]) for many, one in (("women", "female"), ("men", "male"))]
    blocks = []
    for name, origin, row in shown:
        low, high = row["fnmr_70"]["interval_95"]
        lines = [f'name = "{name}"', f'origin = "{origin}"', f"people = {row['people']}", f"mated = {row['mated']}"]
        lines += [f"fnmr_70 = {row['fnmr_70']['rate']:.3g}", f"low_70 = {low:.3g}", f"high_70 = {high:.3g}"]
        blocks.append("[[scale.missed]]\n" + "\n".join(lines) + "\n")
    text = manifest.read_text(encoding="utf-8")
    kept = re.sub(r"(?ms)^\[\[scale\.missed\]\]\n.*?(?=^\[|\Z)", "", text).rstrip()
    manifest.write_text(f"{kept}\n\n" + "\n".join(blocks), encoding="utf-8")


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("london", type=Path)
    parser.add_argument("--write-groups", action="store_true")
    chosen = parser.parse_args()
    pack = read_pack(standard_pack())
    lfw, london = acquired(chosen.lfw), acquired(chosen.london)
    scores = (50, 70, int(EntranceSettings().verify_threshold), 90)
    result = about_run(__doc__.splitlines()[0], pack, command="bench_mated_groups.py FACES LFW.jsonl LONDON.jsonl")
    result["origin"] = "Face Research Lab London Set (CC BY 4.0, DeBruine and Jones) and LFW (research): rates only"
    result["london_by_what_people_said"] = missed(
        london, told(chosen.faces / "london" / "people.csv"), pack.scale, scores
    )
    result["lfw_by_the_age_that_the_network_estimates"] = missed(lfw, estimated(lfw), pack.scale, scores)
    print(json.dumps(result, indent=2))
    store("mated-groups", result)
    if chosen.write_groups:
        write_missed(standard_pack() / "manifest.toml", result)


if __name__ == "__main__":
    main()

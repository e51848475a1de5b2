"""Does the curve of a site's own people hold for its other people, and does the gallery as its own cohort help?

The number that would change a decision: a rate on the other people of more than twice what the curve stated and above
its 95 % bound; strangers of any group who reach the door's threshold more often with the cohort than without, or a
false-non-match rate with it as high as with a threshold raised for everybody.

    python benchmarks/bench_site.py UTK.jsonl GROUPS.csv LFW.jsonl

The .jsonl files are what `kiosk evaluate match DIR --templates FILE` keeps of utk and lfw (not part of the repository).
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.about import about_run, store
from kiosk.evaluation.pairs import upper_bound
from kiosk.gallery.cohort import STRENGTH, draw_cohort, make_cohort
from kiosk.gallery.site_curve import LEAST_PEOPLE, SiteCurve, measure_site, stricter_score
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.recognition.match import ScoreScale
from kiosk.settings.sections import EntranceSettings
from kiosk.types import Floats

SPLITS = 20
DOORS = 12  # galleries drawn
STRENGTHS = (0.0, STRENGTH, 1.0)
Curves = dict[float, NDArray[np.float64]]
"""Rates at each cosine, by strength."""
ADULTS = ("men-", "women-")


def templates(notes: Path) -> tuple[list[str], Floats]:
    """Return whose each template is, and the templates."""
    rows = [json.loads(line) for line in notes.read_text().splitlines()[1:] if line.strip()]
    rows = [row for row in rows if row["vector"]]
    people = [Path(row["of"].split("|")[0]).parent.name for row in rows]
    return people, np.stack([np.frombuffer(base64.b64decode(row["vector"]), "<f4") for row in rows])


def stranger_cosines(vectors: Floats, people: NDArray[np.generic]) -> Floats:
    """Return the cosines of all pairs of two people."""
    upper = np.triu(people[:, np.newaxis] != people[np.newaxis, :], 1)
    return np.asarray((vectors @ vectors.T)[upper], np.float32)


def curve(vectors: Floats, suspect: float, least_people: int) -> SiteCurve:
    """Measure a site; too few people end the run, as every rate after them would be of nothing."""
    site = measure_site(vectors, suspect_cosine=suspect, least_people=least_people)
    if site is None:
        raise SystemExit(f"{len(vectors)} people are too few for a curve; give notes of more people")
    return site


def lfw_galleries(people: list[str], vectors: Floats, suspect: float) -> list[dict[str, Any]]:
    """Measure the curve on galleries of strangers, and the rate of everybody else at the cosines stated."""
    names = np.array(people)
    distinct = np.unique(names)
    rows = []
    for size in (300, 1000):
        for wanted in (1e-3, 1e-4):
            stated_rates: list[float] = []
            bound_rates: list[float] = []
            within = 0
            for seed in range(5):
                drawn = np.random.default_rng(seed).permutation(distinct)
                enrolled, rest = drawn[:size], set(drawn[size:])
                gallery = vectors[[int(np.flatnonzero(names == person)[0]) for person in enrolled]]
                site = curve(gallery, suspect, LEAST_PEOPLE)
                others = np.array([at for at, person in enumerate(people) if person in rest])
                cosines = stranger_cosines(vectors[others], names[others])
                cosines = cosines[cosines < suspect]
                stated = site.cosine_at(wanted)
                if stated is not None:
                    rate = float((cosines >= stated).mean())
                    within += 0.5 * wanted <= rate <= 2.0 * wanted or rate <= site.bound(stated)
                for into, at in ((stated_rates, site.cosine_at(wanted)), (bound_rates, site.cosine_by_bound(wanted))):
                    if at is not None:
                        into.append(float((cosines >= at).mean()))
            rows.append({"people": size, "fmr": wanted, "at_stated": stated_rates, "at_bound": bound_rates})
            rows[-1]["within_factor_2_or_bound"] = within
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """Strangers and people of the gallery before a door: cosines as they are and as they are counted."""

    plain: Floats  # (P, G) of probes with references
    counted: Curves  # the same by strength


def at_a_door(probes: Floats, owners: NDArray[np.int64], references: Floats, suspect: float, seed: int) -> Door:
    """Compare probes with a gallery whose people are the cohort; -1 owns the probes of strangers."""
    people = np.arange(len(references))
    drawn = draw_cohort(len(references), np.random.default_rng(seed))
    cohort = make_cohort(people[drawn], people[drawn], references[drawn], same_from=suspect)
    ours, theirs = cohort.means(probes, owners), cohort.means(references, people)
    plain = probes @ references.T
    excess = np.maximum((ours[:, np.newaxis] + theirs[np.newaxis, :]) / 2 - cohort.level, 0.0)
    return Door(plain, {strength: np.asarray(plain - strength * excess, np.float64) for strength in STRENGTHS})


def cohort_on_lfw(people: list[str], vectors: Floats, cosines: Floats, suspect: float) -> Curves:
    """Return FMR and FNMR, (2, C), at each cosine by strength: a gallery of 420 people, strangers all others."""
    names = np.array(people)
    several = [name for name, count in zip(*np.unique(names, return_counts=True), strict=True) if count > 1]
    found = {strength: np.zeros((2, len(cosines))) for strength in STRENGTHS}
    for seed in range(DOORS):
        enrolled = np.random.default_rng(seed).permutation(several)[:420].tolist()
        number = {name: at for at, name in enumerate(enrolled)}
        firsts = np.array([int(np.flatnonzero(names == name)[0]) for name in enrolled])
        probes = np.setdiff1d(np.arange(len(names)), firsts)
        owners = np.array([number.get(people[row], -1) for row in probes], np.int64)
        door = at_a_door(vectors[probes], owners, vectors[firsts], suspect, seed)
        for strength, counted in door.counted.items():
            mated = counted[np.flatnonzero(owners >= 0), owners[owners >= 0]]
            strangers = np.sort(counted[owners < 0].ravel())
            found[strength][0] += (1.0 - np.searchsorted(strangers, cosines) / len(strangers)) / DOORS
            found[strength][1] += (mated[:, np.newaxis] < cosines).mean(axis=0) / DOORS
    return found


def cohort_within_groups(
    people: list[str], vectors: Floats, groups: dict[str, str], cosines: Floats, suspect: float
) -> tuple[list[str], Curves]:
    """Return the adult groups and, (G, C), their rates at each cosine by strength: 50 of each are enrolled."""
    adults = [at for at, person in enumerate(people) if groups.get(person, "").startswith(ADULTS)]
    group = np.array([groups[people[row]] for row in adults])
    mine = vectors[adults]
    names = np.unique(group).tolist()
    found = {strength: np.zeros((len(names), len(cosines))) for strength in STRENGTHS}
    for seed in range(DOORS):
        rng = np.random.default_rng(seed)
        is_in = np.zeros(len(mine), bool)
        for name in names:
            is_in[rng.permutation(np.flatnonzero(group == name))[:50]] = True
        door = at_a_door(mine[~is_in], np.full(int((~is_in).sum()), -1, np.int64), mine[is_in], suspect, seed)
        for strength, counted in door.counted.items():
            for at, name in enumerate(names):
                inside = np.ix_(group[~is_in] == name, group[is_in] == name)
                pairs = np.sort(counted[inside][door.plain[inside] < suspect])  # less errors of the truth
                found[strength][at] += (1.0 - np.searchsorted(pairs, cosines) / len(pairs)) / DOORS
    return names, found


def cohort_at_the_door(
    lfw: tuple[list[str], Floats], utk: tuple[list[str], Floats], groups: dict[str, str], scale: ScoreScale
) -> dict[str, Any]:
    """Say what the cohort does at the door's thresholds, and what one raised for everybody would cost instead."""
    scores = np.arange(70.0, 92.0, 0.25)
    cosines = np.array([scale.cosine(float(score)) for score in scores], np.float32)
    mixed = cohort_on_lfw(*lfw, cosines, scale.cosine(90))
    names, within = cohort_within_groups(*utk, groups, cosines, scale.cosine(90))
    rows = []
    for score in (70.0, 76.0, 80.0):
        at = int(np.flatnonzero(scores == score)[0])
        for strength in STRENGTHS:
            rates = within[strength][:, at]
            as_good = np.flatnonzero((within[0.0] <= rates[:, np.newaxis]).all(axis=0))  # in every group
            rows.append(
                {
                    "score": score,
                    "strength": strength,
                    "lfw_fmr": mixed[strength][0, at],
                    "lfw_fnmr": mixed[strength][1, at],
                    "groups": dict(zip(names, rates.tolist(), strict=True)),
                    "raised_for_everybody_to": float(scores[as_good[0]]) if len(as_good) else None,
                    "lfw_fnmr_then": mixed[0.0][1, as_good[0]] if len(as_good) else None,
                }
            )
    return {"galleries": DOORS, "rows": rows}


def granted_where_known(
    notes: Path, groups: dict[str, str], scale: ScoreScale, *, is_mixed: bool
) -> dict[str, dict[str, float]]:
    """Return, for each adult group, the share of its strangers' pairs that a door lets in, 1:1, less those from 90.

    60 of the group are enrolled (where the site is mixed, 60 of each adult group), and the other 40 are let in as
    somebody enrolled or as one another: by the door's defaults, with the site's curve, and with its cohort too.
    """
    rows = [row for line in notes.read_text().splitlines()[1:] if line.strip() and (row := json.loads(line))["vector"]]
    names = [groups.get(Path(row["of"].split("|")[0]).parent.name, "") for row in rows]
    mine = [at for at, name in enumerate(names) if name.startswith(ADULTS)]
    group = np.array([names[at] for at in mine])
    rows = [rows[at] for at in mine]
    vectors = np.stack([np.frombuffer(base64.b64decode(row["vector"]), "<f4") for row in rows])
    grown = np.array([row["age"] >= EntranceSettings().age_low for row in rows])
    probe = grown & np.array([row["probe"] for row in rows])
    reference = grown & np.array([row["reference"] for row in rows])
    asked, suspect = EntranceSettings().verify_threshold, scale.cosine(90)
    found: dict[str, dict[str, float]] = {}
    for name in sorted(set(group)):
        shares: dict[str, list[float]] = {"defaults": [], "site_curve": [], "site_curve_and_cohort": []}
        for seed in range(SPLITS):
            rng = np.random.default_rng(seed)
            enrolled, others = np.zeros(len(group), bool), np.zeros(len(group), bool)
            for each in sorted(set(group)) if is_mixed else [name]:
                order = rng.permutation(np.flatnonzero(group == each))
                enrolled[order[:60]] = True
                others[order[60:]] |= each == name
            site = curve(vectors[enrolled], suspect, least_people=2)
            raised = scale.cosine(max(asked, math.ceil(stricter_score(scale, site, asked) * 10) / 10))
            drawn = np.flatnonzero(enrolled)[draw_cohort(int(enrolled.sum()), np.random.default_rng(0))]
            cohort = make_cohort(drawn, drawn, vectors[drawn], same_from=suspect)
            left, right = np.flatnonzero(others & probe), np.flatnonzero((enrolled | others) & (group == name))
            means = cohort.means(vectors, np.arange(len(vectors)))
            plain = vectors[left] @ vectors[right].T
            counted = plain - STRENGTH * np.maximum((means[left, np.newaxis] + means[right]) / 2 - cohort.level, 0.0)
            is_pair = (left[:, np.newaxis] != right) & (plain < suspect)
            may_enter = is_pair & reference[right]
            for way, cosines, at in (
                ("defaults", plain, scale.cosine(asked)),
                ("site_curve", plain, raised),
                ("site_curve_and_cohort", counted, raised),
            ):
                shares[way].append(float((may_enter & (cosines >= at)).sum() / is_pair.sum()))
        found[name] = {way: float(np.mean(rates)) for way, rates in shares.items()}
    return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("utk", type=Path)
    parser.add_argument("groups", type=Path)
    parser.add_argument("lfw", type=Path)
    chosen = parser.parse_args()
    pack = read_pack(standard_pack())
    suspect = pack.scale.cosine(90)
    with chosen.groups.open(newline="") as file:
        groups = {row["person"]: row["group"] for row in csv.DictReader(file)}
    people, vectors = templates(chosen.utk)
    result = about_run(__doc__.splitlines()[0], pack, command="bench_site.py UTK.jsonl GROUPS.csv LFW.jsonl")
    result["origin"] = "UTKFace (non-commercial research) and LFW: rates only"
    for site, is_mixed in (("of_one_group", False), ("of_all_adult_groups", True)):
        result[f"granted_at_a_site_{site}"] = granted_where_known(chosen.utk, groups, pack.scale, is_mixed=is_mixed)
    utk = people, vectors
    people, vectors = templates(chosen.lfw)
    result["lfw_galleries"] = lfw_galleries(people, vectors, suspect)
    result["cohort_at_the_door"] = cohort_at_the_door((people, vectors), utk, groups, pack.scale)
    result["rule_of_three"] = upper_bound(0, 499_500)
    print(json.dumps(result, indent=2))
    store("site", result)


if __name__ == "__main__":
    main()

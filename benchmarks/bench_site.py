"""Does the curve of a site's own people hold for its other people, and does the gallery as its own cohort help?

The number that would change a decision: a rate on the other people of more than twice what the curve stated and above
its 95 % bound; a false-non-match rate that rises with the cohort.

    python benchmarks/bench_site.py UTK.jsonl GROUPS.csv LFW.jsonl

The .jsonl files are what `kiosk evaluate match DIR --templates FILE` keeps of utk and lfw (not part of the repository).
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.about import about_run, store
from kiosk.evaluation.match import mated_pairs
from kiosk.evaluation.pairs import upper_bound
from kiosk.gallery.cohort import STRENGTH, evened, make_cohort
from kiosk.gallery.site_curve import LEAST_PEOPLE, SiteCurve, measure_site
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.types import Floats

SPLITS = 20
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


def groups_of_sixty(people: list[str], vectors: Floats, groups: dict[str, str], suspect: float) -> dict[str, Any]:
    """Measure the curve on 60 of a group, and the rate of the other 40 at the cosine stated for 1e-2."""
    found = {}
    for name in sorted(set(groups.values())):
        of_group = vectors[[at for at, person in enumerate(people) if groups.get(person) == name]]
        rates: list[float] = []
        by_bound: list[float] = []
        within = 0
        for seed in range(SPLITS):
            order = np.random.default_rng(seed).permutation(len(of_group))
            site = curve(of_group[order[:60]], suspect, least_people=2)
            others = of_group[order[60:]]
            cosines = stranger_cosines(others, np.arange(len(others)))
            cosines = cosines[cosines < suspect]  # less the rate at 90, where errors of the truth rule
            stated, bound = site.cosine_at(1e-2), site.cosine_by_bound(1e-2)
            if stated is None:
                raise SystemExit(f"the people of {name} are too few to state a rate of 1e-2")
            rates.append(float((cosines >= stated).mean()))
            within += 0.5e-2 <= rates[-1] <= 2e-2 or rates[-1] <= site.bound(stated)
            if bound is not None:
                by_bound.append(float((cosines >= bound).mean()))
        found[name] = {
            "splits": SPLITS,
            "within_factor_2_or_bound": within,
            "mean_rate_at_stated_1e-2": float(np.mean(rates)),
            "worst": max(rates),
            "mean_rate_by_bound": float(np.mean(by_bound)) if by_bound else None,
        }
    return found


def lfw_galleries(people: list[str], vectors: Floats, suspect: float) -> list[dict[str, Any]]:
    """Measure the curve on galleries of strangers, and the rate of everybody else at the cosines stated."""
    names = np.array(people)
    distinct = np.unique(names)
    rows = []
    for size in (300, 1000):
        for wanted in (1e-3, 1e-4):
            stated_rates: list[float] = []
            bound_rates: list[float] = []
            for seed in range(5):
                drawn = np.random.default_rng(seed).permutation(distinct)
                enrolled, rest = drawn[:size], set(drawn[size:])
                gallery = vectors[[int(np.flatnonzero(names == person)[0]) for person in enrolled]]
                site = curve(gallery, suspect, LEAST_PEOPLE)
                others = np.array([at for at, person in enumerate(people) if person in rest])
                cosines = stranger_cosines(vectors[others], names[others])
                cosines = cosines[cosines < suspect]
                for into, at in ((stated_rates, site.cosine_at(wanted)), (bound_rates, site.cosine_by_bound(wanted))):
                    if at is not None:
                        into.append(float((cosines >= at).mean()))
            rows.append({"people": size, "fmr": wanted, "at_stated": stated_rates, "at_bound": bound_rates})
    return rows


def cohort_on_lfw(people: list[str], vectors: Floats) -> dict[str, Any]:
    """Compare FNMR at fixed FMR with and without a cohort of 256 of 600 strangers, on everybody else."""
    names = np.array(people)
    distinct = np.random.default_rng(0).permutation(np.unique(names))
    enrolled = distinct[:256]
    cohort = make_cohort(
        np.arange(256), vectors[[int(np.flatnonzero(names == person)[0]) for person in enrolled]].astype(np.float32)
    )
    rest = np.array([at for at, person in enumerate(people) if person not in set(enrolled)])
    probes, owners = vectors[rest], np.unique(names[rest], return_inverse=True)[1]
    means = cohort.means(probes)
    raw = probes @ probes.T
    shared = (means[:, np.newaxis] + means[np.newaxis, :]) / 2 - cohort.level
    upper = np.triu(owners[:, np.newaxis] != owners[np.newaxis, :], 1)
    one, two = mated_pairs(owners)
    raw_mated = np.einsum("ij,ij->i", probes[one], probes[two])
    found: dict[str, Any] = {}
    for strength in (0.0, STRENGTH, 1.0):
        strangers = (raw - strength * shared)[upper]
        mated = raw_mated - strength * ((means[one] + means[two]) / 2 - cohort.level)
        ranked = np.sort(strangers)[::-1]
        found[f"strength_{strength:g}"] = {
            f"fnmr_at_{fmr:g}": float((mated < ranked[int(fmr * len(ranked))]).mean()) for fmr in (1e-3, 1e-4, 1e-5)
        }
    return {"non_mated": int(upper.sum()), "mated": len(raw_mated), **found}


def cohort_on_groups(people: list[str], vectors: Floats, groups: dict[str, str], at: float) -> dict[str, Any]:
    """Compare the rate within adult groups with their mean, a mixed cohort of 32 of each group left out of it."""
    adults = [at for at, person in enumerate(people) if groups.get(person, "").startswith(ADULTS)]
    group = np.array([groups[people[row]] for row in adults])
    mine = vectors[adults].astype(np.float32)
    in_cohort = np.zeros(len(mine), bool)
    for name in np.unique(group):
        in_cohort[np.flatnonzero(group == name)[:32]] = True
    cohort = make_cohort(np.arange(int(in_cohort.sum())), mine[in_cohort])
    probes, group = mine[~in_cohort], group[~in_cohort]
    means = cohort.means(probes)
    found: dict[str, Any] = {}
    everyone = stranger_cosines(probes, np.arange(len(probes)))
    share = float((everyone >= at).mean())  # the same share of all pairs is compared, by its own cosine
    for strength in (0.0, STRENGTH, 1.0):
        score = np.stack(
            [
                evened(probes @ probe, mean, means, cohort.level, strength=strength)
                for probe, mean in zip(probes, means, strict=True)
            ]
        )
        upper = np.triu_indices(len(probes), 1)
        cut = np.sort(score[upper])[::-1][int(share * len(upper[0]))]
        rates = {}
        for name in np.unique(group):
            inside = score[np.ix_(group == name, group == name)][np.triu_indices(int((group == name).sum()), 1)]
            rates[str(name)] = float((inside >= cut).mean())
        found[f"strength_{strength:g}"] = {"mean": float((score[upper] >= cut).mean()), "groups": rates}
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
    result["sixty_of_a_group_told_the_other_forty"] = groups_of_sixty(people, vectors, groups, suspect)
    result["cohort_of_the_gallery_within_groups"] = cohort_on_groups(people, vectors, groups, pack.scale.cosine(70))
    people, vectors = templates(chosen.lfw)
    result["lfw_galleries"] = lfw_galleries(people, vectors, suspect)
    result["cohort_of_the_gallery_on_lfw"] = cohort_on_lfw(people, vectors)
    result["rule_of_three"] = upper_bound(0, 499_500)
    print(json.dumps(result, indent=2))
    store("site", result)


if __name__ == "__main__":
    main()

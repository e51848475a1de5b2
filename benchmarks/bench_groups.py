"""How often do strangers of one group reach a score, and how often does the same person miss it?

The number that would change a decision: a stranger in 10,000 at score 70 among mixed adults; within the worst adult
group three in 1,000 let in by the door's defaults, less the rate at 90.

    kiosk evaluate match LFW --json > lfw.json
    kiosk evaluate match UTK --groups GROUPS.csv --json > utk.json
    kiosk evaluate match UTK --groups YOUNGEST.csv --json > youngest.json      (one group: ages 0-5)
    python benchmarks/bench_groups.py lfw.json utk.json youngest.json [--write-groups]

`--write-groups` puts the rates into the manifest. LFW and UTKFace are for research: rates are published with their
origin, and nothing made of a picture.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.about import about_run, store
from kiosk.networks.inference import read_pack, standard_pack

AGES = {"0-5": "ages 0 to 5", "6-12": "ages 6 to 12", "13-17": "ages 13 to 17"}
SCORES = ("50", "70", "90")


def row(name: str, origin: str, people: int, non_mated: int, measured: dict[str, Any]) -> dict[str, Any]:
    """Return what is published of a group."""
    scores = measured["scores"]
    granted = measured["granted"]["rate"]
    return {
        "name": name,
        "origin": origin,
        "people": people,
        "non_mated": non_mated,
        **{f"fmr_{score}": scores[score]["fmr"] for score in SCORES},
        "bound_70": scores["70"]["fmr_interval"][1],
        "let_in": granted,
        "let_in_less_90": max(0.0, granted - scores["90"]["fmr"]),
    }


def rows(lfw: dict[str, Any], utk: dict[str, Any], youngest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return mixed adults, the adult groups by their rate at 70, and the ages of children."""
    groups = {**utk["groups"], **youngest["groups"]}
    found = [row("mixed adults", "LFW", lfw["people"], lfw["non_mated"], lfw)]
    adults = [name for name in groups if name.startswith(("men-", "women-"))]
    adults.sort(key=lambda name: -groups[name]["scores"]["70"]["fmr"])
    titles = {name: name for name in adults} | AGES
    return found + [
        row(title, "UTKFace", groups[name]["people"], groups[name]["non_mated"], groups[name])
        for name, title in titles.items()
    ]


def write_groups(manifest: Path, found: list[dict[str, Any]]) -> None:
    """Replace the manifest's [[scale.group]]: mixed adults, the worst adult group, children."""
    worst = next(one for one in found if one["name"].startswith(("men-", "women-")))
    shown = [one if one is not worst else {**one, "name": f"worst adults: {one['name']}"} for one in found]
    shown = [one for one in shown if not one["name"].startswith(("men-", "women-"))]
    blocks = []
    for one in shown:
        lines = [f'name = "{one["name"]}"', f'origin = "{one["origin"]}"']
        lines += [f"{name} = {one[name]}" for name in ("people", "non_mated")]
        lines += [f"{name} = {one[name]:.3g}" for name in ("fmr_50", "fmr_70", "bound_70", "fmr_90")]
        blocks.append("[[scale.group]]\n" + "\n".join(lines) + "\n")
    text = manifest.read_text(encoding="utf-8")
    kept = re.sub(r"(?ms)^\[\[scale\.group\]\]\n.*?(?=^\[|\Z)", "", text).rstrip()
    manifest.write_text(f"{kept}\n\n" + "\n".join(blocks), encoding="utf-8")


def main() -> None:
    """Put together, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("lfw", "utk", "youngest"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--write-groups", action="store_true")
    chosen = parser.parse_args()
    lfw, utk, youngest = (json.loads(path.read_text()) for path in (chosen.lfw, chosen.utk, chosen.youngest))
    pack = read_pack(standard_pack())
    found = rows(lfw, utk, youngest)
    result = about_run(__doc__.splitlines()[0], pack, command="bench_groups.py lfw.json utk.json youngest.json")
    result["origin"] = "LFW and UTKFace (research): rates only"
    result["lfw"] = {
        name: lfw[name]
        for name in ("people", "photographs", "not_acquired", "mated", "non_mated", "scores", "fixed_fmr", "discard")
    }
    result["groups"] = found
    print(json.dumps(result, indent=2))
    store(f"groups-{pack.name}", result)
    if chosen.write_groups:
        write_groups(standard_pack() / "manifest.toml", found)


if __name__ == "__main__":
    main()

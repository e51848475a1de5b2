"""What did closer looks, the largest face, light and the door's gates change, set by set and group by group?

The number that would change a decision: a set in which strangers reach a score more often than before, or one person
misses it more often.

    python benchmarks/before_after.py BEFORE AFTER GROUPS.csv

BEFORE and AFTER hold lfw.jsonl, london.jsonl, utk.jsonl, orl.jsonl and bbt.jsonl: what `kiosk evaluate match DIR
--templates FILE` keeps (not part of the repository). Those of BEFORE were made by the same steps with the code of
commit 6e2559a, which had no such command: detect, exact landmarks, template, and the enrolment's gate for both
photographs. Photographs that either lacks are left out of both. BEFORE may be the result of an earlier run too, as that
commit does not change: then its figures stand as they are.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.about import about_run, store
from kiosk.evaluation.acquire import Acquired
from kiosk.evaluation.match import Gates, evaluate_match
from kiosk.evaluation.photographs import Photograph
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.recognition.match import ScoreScale
from kiosk.settings.sections import EntranceSettings

SETS = ("lfw", "london", "utk", "orl", "bbt")
SHOWN = (50, 70, 90)
BEFORE = Gates(verify_threshold=70.0)  # of commit 6e2559a: no gate of age


def acquired(notes: Path) -> list[Acquired]:
    """Return what an evaluation noted."""
    found = []
    for line in notes.read_text(encoding="utf-8").splitlines()[1:]:
        if not line.strip():
            continue
        row = json.loads(line)
        path = Path(row["of"].split("|")[0])
        vector = None if row["vector"] is None else np.frombuffer(base64.b64decode(row["vector"]), "<f4")
        photograph = Photograph(path.parent.name, path)
        found.append(Acquired(photograph, vector, row["age"], row["quality"], row["probe"], row["reference"]))
    return found


def of_both(before: Path, after: Path) -> tuple[list[Acquired], list[Acquired]]:
    """Return what two evaluations noted of the photographs that both saw."""
    earlier, later = acquired(before), acquired(after)
    common = {one.photograph.path for one in earlier} & {one.photograph.path for one in later}
    kept = [[one for one in side if one.photograph.path in common] for side in (earlier, later)]
    return kept[0], kept[1]


def rates(seen: list[Acquired], scale: ScoreScale, gates: Gates, groups: dict[str, str]) -> dict[str, Any]:
    """Return the rates of a set, and of each group within it."""
    report = evaluate_match(seen, scale, gates, groups=groups, rounds=0)
    return {
        "photographs": report.photographs,
        "not_acquired": len(report.not_acquired),
        "mated": report.mated,
        "non_mated": report.non_mated,
        **{f"fmr_{score}": report.scores[score].fmr for score in SHOWN},
        **{f"fnmr_{score}": report.scores[score].fnmr for score in SHOWN},
        "groups": {
            name: {
                **{f"fmr_{score}": group.scores[score].fmr for score in SHOWN},
                "let_in": group.granted.rate,
                "let_in_less_90": max(0.0, (group.granted.rate or 0.0) - (group.scores[90].fmr or 0.0)),
            }
            for name, group in report.groups.items()
        },
    }


def main() -> None:
    """Compare, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("groups", type=Path)
    chosen = parser.parse_args()
    pack = read_pack(standard_pack())
    with chosen.groups.open(newline="", encoding="utf-8") as file:
        groups = {row["person"]: row["group"] for row in csv.DictReader(file)}
    now = Gates(EntranceSettings().verify_threshold, EntranceSettings().age_low)
    result = about_run(__doc__.splitlines()[0], pack, command="before_after.py BEFORE AFTER GROUPS.csv")
    result["origin"] = "LFW, UTKFace and AT&T (research), London (CC BY 4.0), face-api.js examples: rates only"
    result["sets"] = {}
    for name in SETS:
        within = groups if name == "utk" else {}
        if chosen.before.is_file():
            told = json.loads(chosen.before.read_text(encoding="utf-8"))["sets"][name]["before"]
            after = acquired(chosen.after / f"{name}.jsonl")
        else:
            before, after = of_both(chosen.before / f"{name}.jsonl", chosen.after / f"{name}.jsonl")
            told = rates(before, pack.scale, BEFORE, within)
        result["sets"][name] = {"before": told, "after": rates(after, pack.scale, now, within)}
    print(json.dumps(result, indent=2))
    store("before-after", result)


if __name__ == "__main__":
    main()

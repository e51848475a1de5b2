"""How long does it take to find people by a part of their name, the first time and once the index stands?

The number that would change a decision: 100,000 people take more than 2 s the first time, or more than 0.3 s after.

    python benchmarks/bench_find.py [--people N]

The baseline is the search by equality that an index of the database answers: a whole reference code.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.about import RESULTS, about_device, about_run
from kiosk.device.people_finder import PeopleFinder
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.store.directory import initialise
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment

BATCH = 5000
RUNS = 20
FIRST_RUNS = 3
SYLLABLES = ("an", "be", "çel", "dor", "é", "fi", "gün", "hel", "ia", "jo", "kar", "lo", "mar", "nø", "os", "pe", "ría")
ASKED = {
    "a part of a name": "marka",
    "two words": "marka dor",
    "accents left out": "gunhel",
    "one letter": "a",
    "a code": "staff-77",
    "a document number": "ab000777",
    "nobody": "xyzzy",
}


def name(rng: random.Random) -> str:
    """Return a name that nobody has."""
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))).capitalize() for _ in range(2))


def fill(store: Store, count: int) -> None:
    """Make so many people known, without faces."""
    rng = random.Random(0)
    people = (
        Enrolment(
            templates=(),
            details=Details(name=name(rng), vendor_data=f"staff-{number}", document_number=f"AB{number:06}"),
        )
        for number in range(count)
    )
    while batch := list(itertools.islice(people, BATCH)):
        store.people.enrol_many(batch)


def timed(act: Callable[[], object], runs: int) -> dict[str, float]:
    """Return p50 and p95 of an act, ms: by the wall, and of the processor alone, which other work hardly changes."""
    took, worked = [], []
    for _ in range(runs):
        begun, before = time.perf_counter(), time.process_time()
        act()
        took.append((time.perf_counter() - begun) * 1000.0)
        worked.append((time.process_time() - before) * 1000.0)
    wall, processor = ([round(float(value), 2) for value in np.percentile(each, [50, 95])] for each in (took, worked))
    return {"p50_ms": wall[0], "p95_ms": wall[1], "processor_p50_ms": processor[0], "processor_p95_ms": processor[1]}


def measure(count: int) -> dict[str, Any]:
    """Return what was measured with so many people."""
    with tempfile.TemporaryDirectory() as folder, initialise(Path(folder) / "state", now=time.time) as store:
        fill(store, count)
        first = timed(lambda: PeopleFinder(store).find("marka", limit=25, offset=0), FIRST_RUNS)
        finder = PeopleFinder(store)
        finder.find("marka", limit=25, offset=0)
        baseline = timed(lambda: store.people.find("staff-777"), RUNS)

        def warm(text: str) -> dict[str, Any]:
            found = finder.find(text, limit=25, offset=0).total
            return {"found": found, **timed(lambda: finder.find(text, limit=25, offset=0), RUNS)}

        asked = {what: warm(text) for what, text in ASKED.items()}
        store.people.enrol(Enrolment(templates=(), details=Details(name="Marka Late")))
        after = timed(lambda: finder.find("marka late", limit=25, offset=0), 1)
    return {
        "people": count,
        "first": first,
        "warm": asked,
        "after_a_change": after,
        "baseline_code_by_database_index": baseline,
    }


def main() -> None:
    """Measure, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--quick", action="store_true", help="a thousand people, and no result kept")
    chosen = parser.parse_args()
    counts = [1000] if chosen.quick else chosen.people
    result = about_run(__doc__.splitlines()[0], read_pack(standard_pack()), command="bench_find.py")
    result |= about_device(["cryptography", "numpy"]) | {"load": [round(one, 1) for one in os.getloadavg()]}
    result |= {"sizes": [measure(count) for count in counts]}
    print(json.dumps(result["sizes"], indent=2))
    if not chosen.quick:
        (RESULTS / "find.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

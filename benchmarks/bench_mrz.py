"""How often is a document's machine-readable zone read right, refused, or read wrong?

Rendered specimens of ICAO Doc 9303 (TD1, TD2, TD3, MRV-A, MRV-B) before a simulated camera at 640 x 480, 1280 x 720 and
1920 x 1080: perspective, tilt, quarter turns, bent pages, blur, motion, noise, glare, shadow, JPEG. A shot is exact
where every field that an answer gives is right, wrong where any is not, refused where the zone or a field that an
answer needs is not read. A refused shot is tried once more together with two other shots of the same document. One
wrong shot, or less than 90 % exact at 720p and more, would mean another reader.

    python benchmarks/bench_mrz.py [--shots N] [--jobs N] [--minutes M] [--quick]

Simulated pictures state no rate for a real camera. Writes benchmarks/results/mrz.json.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy reads them

import argparse
import functools
import json
import resource
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import fields
from datetime import date
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.about import about_device, about_run, command_line, store, timing
from kiosk.documents.facts import DocumentFacts, facts_of_zone
from kiosk.documents.mrz import MrzType, parse
from kiosk.documents.reading import ZoneReading, read_zone, vote
from kiosk.documents.resolve import ResolvedZone, resolve
from kiosk.networks.documents import ZoneNetwork
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.testing.documents import draw_card, draw_scene, draw_specimen, lines_of, photograph

TODAY = date(2026, 11, 29)
SIZES = ((640, 480), (1280, 720), (1920, 1080))
KINDS = tuple(MrzType)
NEEDED = ("document_number", "last_name", "date_of_birth", "expiration_date")
MORE_FRAMES = 2
PACKAGES = ("onnxruntime", "opencv-python-headless")


def truth_of(lines: tuple[str, ...]) -> DocumentFacts:
    """Return what a zone says whose lines are known."""
    zone = parse(lines, TODAY)
    assert zone is not None
    return facts_of_zone(zone, ResolvedZone(lines, 0, is_ambiguous=False, doubtful=frozenset()))


def outcome_of(reading: ZoneReading | None, truth: DocumentFacts) -> tuple[str, list[str]]:
    """Return "exact", "wrong" or "refused", and the fields at fault."""
    resolved = None if reading is None else resolve(reading)
    zone = None if resolved is None else parse(resolved.lines, TODAY)
    if zone is None or resolved is None:
        return "refused", ["no zone"]
    found = facts_of_zone(zone, resolved)
    said = {one.name: getattr(found, one.name) for one in fields(found)}
    wrong = [name for name, value in said.items() if value is not None and value != getattr(truth, name)]
    if wrong:
        return "wrong", wrong
    if zone.failed or any(said[name] is None for name in NEEDED):
        return "refused", [*zone.failed, *(name for name in NEEDED if said[name] is None)]
    return "exact", [name for name, value in said.items() if value is None and getattr(truth, name) is not None]


@functools.cache
def network() -> ZoneNetwork:
    """Return the network, one for each process."""
    return ZoneNetwork(lambda: read_pack(standard_pack()))


def shoot(seed: int) -> dict[str, Any]:
    """Render, read and judge one shot."""
    network().run(np.zeros((1, 48, 96, 3), np.uint8))  # loads it, so that no shot waits for that
    kind, size = KINDS[seed % len(KINDS)], SIZES[seed // len(KINDS) % len(SIZES)]
    rng = np.random.default_rng(seed)
    specimen = draw_specimen(rng, kind)
    card = draw_card(lines_of(specimen), kind, rng)
    truth = truth_of(lines_of(specimen))
    picture = photograph(card, draw_scene(rng, size), rng)
    wall, cpu = time.perf_counter(), time.process_time()
    readings = [read_zone(picture, network())]
    outcome, at_fault = outcome_of(readings[0], truth)
    shot = {
        "seed": seed,
        "kind": kind.value,
        "size": f"{size[1]}p",
        "has_o": "O" in specimen.number + specimen.optional,
        "outcome": outcome,
        "fields": at_fault,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "voted": outcome,
    }
    if outcome == "refused":
        readings += [read_zone(photograph(card, draw_scene(rng, size), rng), network()) for _ in range(MORE_FRAMES)]
        shot["voted"], _ = outcome_of(vote([one for one in readings if one is not None]), truth)
    shot["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return shot


def counted(shots: list[dict[str, Any]], by: str, what: str = "outcome") -> dict[str, dict[str, int]]:
    """Count outcomes by size or layout."""
    found: dict[str, Counter[str]] = {}
    for shot in shots:
        found.setdefault(str(shot[by]), Counter())[shot[what]] += 1
    return {name: dict(count) for name, count in sorted(found.items())}


def main() -> None:
    """Render, read, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1, help="shots at once; above 1 the times say little")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which no shot is begun any more")
    parser.add_argument("--quick", action="store_true", help="fifteen shots; nothing is written")
    chosen = parser.parse_args()
    until = time.monotonic() + 60 * chosen.minutes
    shots: list[dict[str, Any]] = []
    with ProcessPoolExecutor(chosen.jobs) as pool:
        seeds = iter(range(15 if chosen.quick else chosen.shots))
        waiting = {pool.submit(shoot, seed) for seed in islice(seeds, chosen.jobs)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for one in done:
                shots.append(one.result())
                print({name: shots[-1][name] for name in ("seed", "kind", "size", "outcome", "fields")}, flush=True)
                if time.monotonic() < until:
                    waiting |= {pool.submit(shoot, seed) for seed in islice(seeds, 1)}
    shots.sort(key=lambda shot: int(shot["seed"]))
    result = {
        **about_run("How often is a zone read right?", read_pack(standard_pack()), command=command_line()),
        **about_device(PACKAGES),
        "shots": len(shots),
        "one_frame": counted(shots, "size"),
        "refused_read_again_with_two_more_frames": counted(shots, "size", "voted"),
        "by_layout": counted(shots, "kind"),
        "numbers_with_the_letter_o": counted([shot for shot in shots if shot["has_o"]], "size"),
        "read_cpu_ms": {
            size: timing([shot["cpu_s"] for shot in shots if shot["size"] == size])
            for size in sorted({shot["size"] for shot in shots})
        },
        "load_average_5_min": round(os.getloadavg()[1], 1),
        "memory_of_a_process_mb": round(max(shot["memory_mb"] for shot in shots), 1),
        "not_exact": [
            {name: shot[name] for name in ("seed", "kind", "size", "outcome", "voted", "fields")}
            for shot in shots
            if shot["outcome"] != "exact"
        ],
    }
    print(json.dumps({key: result[key] for key in ("one_frame", "refused_read_again_with_two_more_frames")}, indent=2))
    if not chosen.quick:
        store("mrz", result)


if __name__ == "__main__":
    main()

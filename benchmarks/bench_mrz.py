"""How often is a document's machine-readable zone read right, refused, or read wrong?

Rendered specimens of ICAO Doc 9303 (TD1, TD2, TD3, MRV-A, MRV-B) before a simulated camera at 640 x 480, 1280 x 720 and
1920 x 1080: perspective, tilt, quarter turns, bent pages, blur, motion, noise, glare, shadow, JPEG. A shot is exact
where every field that an answer gives is right, wrong where any is not, refused where the zone or a field that an
answer needs is not read. A refused shot is tried once more together with two other shots of the same document. One
wrong shot, or less than 90 % exact at 720p and more, would mean another reader.

    python benchmarks/bench_mrz.py [--shots N] [--quick]

Simulated pictures state no rate for a real camera. Writes benchmarks/results/mrz.json.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy reads them

import argparse
import json
import resource
import time
from collections import Counter, defaultdict
from dataclasses import fields
from datetime import date

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


def main() -> None:
    """Render, read, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="fifteen shots; nothing is written")
    chosen = parser.parse_args()
    shots = 15 if chosen.quick else chosen.shots
    pack = read_pack(standard_pack())
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    network = ZoneNetwork(lambda: pack)
    network.run(np.zeros((1, 48, 96, 3), np.uint8))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    voted: dict[str, Counter[str]] = defaultdict(Counter)
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    times: dict[str, list[float]] = defaultdict(list)
    faults: list[dict[str, object]] = []
    for seed in range(shots):
        kind, size = KINDS[seed % len(KINDS)], SIZES[seed // len(KINDS) % len(SIZES)]
        label = f"{size[1]}p"
        rng = np.random.default_rng(seed)
        specimen = draw_specimen(rng, kind)
        card = draw_card(lines_of(specimen), kind, rng)
        truth = truth_of(lines_of(specimen))
        picture = photograph(card, draw_scene(rng, size), rng)
        started = time.perf_counter()
        readings = [read_zone(picture, network)]
        outcome, fields_of = outcome_of(readings[0], truth)
        times[label].append(time.perf_counter() - started)
        counts[label][outcome] += 1
        by_kind[kind.value][outcome] += 1
        if outcome != "exact":
            faults.append({"seed": seed, "kind": kind.value, "size": label, "outcome": outcome, "fields": fields_of})
        if outcome == "refused":
            more = [photograph(card, draw_scene(rng, size), rng) for _ in range(MORE_FRAMES)]
            readings += [read_zone(one, network) for one in more]
            outcome, _ = outcome_of(vote([one for one in readings if one is not None]), truth)
        voted[label][outcome] += 1
        print(seed, kind.value, label, outcome, flush=True)
    load = os.getloadavg()[1]
    result = {
        **about_run("How often is a zone read right?", pack, command=command_line()),
        **about_device(PACKAGES),
        "shots": shots,
        "one_frame": {label: dict(count) for label, count in counts.items()},
        "refused_read_again_with_two_more_frames": {label: dict(count) for label, count in voted.items()},
        "by_layout": {label: dict(count) for label, count in by_kind.items()},
        "read_ms": {label: timing(found) for label, found in times.items()},
        "load_average_5_min": round(load, 1),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb, 1),
        "not_exact": faults,
    }
    print(json.dumps({key: result[key] for key in ("one_frame", "refused_read_again_with_two_more_frames")}, indent=2))
    if not chosen.quick:
        store("mrz.json", result)


if __name__ == "__main__":
    main()

"""How long until a large gallery is ready after a restart, and what does it cost to keep?

The numbers that would change a decision: 100,000 references ready within 2 s of process start, a million within 15 s.

    python benchmarks/bench_store.py [--people 100000] [--folder DIR]

Synthetic people, one reference each, at the product's own template length. Each step is a process of its own: fill,
restart and search, audit. Peak memory is the process's own word (ru_maxrss). Writes benchmarks/results/store-*.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()  # before the heavy imports: they are part of a start

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kiosk.device.device import Device
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.recognition.pipeline import Recogniser
from kiosk.settings.config import Config
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Floats, Template

SEED = 0
BATCH = 1000
DUPLICATES = 100  # people enrolled twice, for the audit to find
SEARCHES = 200
FORGOTTEN = 5
PACK = read_pack(standard_pack())
DEPTH = int(PACK.spec("recogniser").options["length"])


def vectors(people: int) -> Floats:
    """Return (people, D) unit vectors; the last DUPLICATES look like the first."""
    rng = np.random.default_rng(SEED)
    made: Floats = rng.standard_normal((people, DEPTH), dtype=np.float32)
    made[-DUPLICATES:] = made[:DUPLICATES] + 0.3 * made[-DUPLICATES:]
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def fill(state: Path, people: int) -> dict[str, Any]:
    """Enrol everybody."""
    rows = vectors(people)
    took = []
    with initialise(state, now=time.time) as store:
        for start in range(0, people, BATCH):
            enrolments = [
                Enrolment([Template(row, PACK.template_model)], Details(name=f"Person {start + at}"))
                for at, row in enumerate(rows[start : start + BATCH])
            ]
            began = time.perf_counter()
            store.people.enrol_many(enrolments)
            took.append(time.perf_counter() - began)
        single = []
        for at in range(50):
            began = time.perf_counter()
            store.people.enrol(Enrolment([Template(rows[at], PACK.template_model)], Details(name="one more")))
            single.append(time.perf_counter() - began)
    return {
        "people_per_second": people / sum(took),
        "enrol_ms": _percentiles(single),
        "database_mb": round((state / "kiosk.db").stat().st_size / 1e6, 1),
    }


def device(state: Path) -> Device:
    """Return a device without networks: templates come made."""
    idle: Any = None
    networks = Recogniser(idle, idle, idle, idle, idle, idle, idle, PACK.scale, PACK.template_model)
    return Device(networks, open_store(state, read_keys(state), now=time.time), Config(), now=time.time)


def prepare(state: Path, people: int) -> dict[str, Any]:  # noqa: ARG001  every step takes both
    """Make ready what a start loads, as the nightly sweep does."""
    with device(state) as one:
        began = time.perf_counter()
        blocks = one.store.references.prepare()
        return {"seconds": round(time.perf_counter() - began, 1), "blocks": blocks}


def restart(state: Path, people: int) -> dict[str, Any]:
    """Open, load, search."""
    imported = time.perf_counter()
    with device(state) as one:
        held = one.gallery
        ready = time.perf_counter()
        rng = np.random.default_rng(SEED + 1)
        rows = vectors(people)
        hits, took = 0, []
        for number in rng.integers(DUPLICATES, people - DUPLICATES, SEARCHES):
            noisy = rows[number] + 0.5 / np.sqrt(DEPTH) * rng.standard_normal(DEPTH, dtype=np.float32)
            probe = Template((noisy / np.linalg.norm(noisy)).astype(np.float32), PACK.template_model)
            began = time.perf_counter()
            found = one.find(probe)
            took.append(time.perf_counter() - began)
            hits += bool(found) and found[0].subject == number + 1
        return {
            "ready_s": round(ready - STARTED, 2),
            "imports_s": round(imported - STARTED, 2),
            "references": held.references,
            "gallery_mb": round(held.resident_bytes / 1e6, 1),
            "search_ms": _percentiles(took),
            "found": f"{hits} of {SEARCHES}",
        }


def forget(state: Path, people: int) -> dict[str, Any]:
    """Forget people: rows and pages, the gallery, and the proof that nothing is left, which may come later."""
    with device(state) as one:
        held = one.gallery
        rows, gallery = [], []
        for number in np.linspace(1, people - DUPLICATES, FORGOTTEN, dtype=int).tolist():
            began = time.perf_counter()
            one.store.people.erasures.erase(number)
            erased = time.perf_counter()
            held = one.gallery
            gallery.append(time.perf_counter() - erased)
            rows.append(erased - began)
            assert not held.references_of(number)
        began = time.perf_counter()
        receipts = one.store.people.erasures.prove()
        proof_s = round(time.perf_counter() - began, 2)
        assert len(receipts) == FORGOTTEN
        return {
            "rows_and_pages_ms": _percentiles(rows),
            "gallery_ms": _percentiles(gallery),
            "proof_of_all_s": proof_s,
            "are_complete": all(receipt.is_complete for receipt in receipts),
        }


def audit(state: Path, people: int) -> dict[str, Any]:  # noqa: ARG001  every step takes both
    """Compare everyone with everyone."""
    from kiosk.gallery.audit import pairs_above  # noqa: PLC0415  this step's only

    with device(state) as one:
        held = one.gallery
        began = time.perf_counter()
        pairs = list(pairs_above(held, one.scale.cosine(90)))
        return {"seconds": round(time.perf_counter() - began, 1), "pairs_at_score_90": len(pairs)}


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {
        name: round(float(np.percentile(seconds, at)) * 1e3, 3)
        for name, at in (("p50", 50), ("p95", 95), ("worst", 100))
    }


STEPS = {
    "fill": fill,
    "restart_from_rows": restart,
    "prepare": prepare,
    "restart": restart,
    "audit": audit,
    "forget": forget,
}


def main() -> None:
    """Run the steps, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the store is made (default: a temporary folder)")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--no-audit", action="store_true")
    parser.add_argument("--quick", action="store_true", help="1,000 people, nothing written")
    chosen = parser.parse_args()
    people = 1000 if chosen.quick else chosen.people
    if chosen.step:
        found = STEPS[chosen.step](chosen.folder, people)
        found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        print(json.dumps(found))
        return
    folder = Path(chosen.folder or tempfile.mkdtemp(prefix="kiosk-bench-"))
    state = folder / "state"
    result: dict[str, Any] = {
        "question": __doc__.splitlines()[0],
        "people": people,
        "template_length": DEPTH,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "seed": SEED,
        "command": f"bench_store.py --people {people}",
        "git_commit": subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
    }
    try:
        for step in STEPS:
            if step == "audit" and chosen.no_audit:
                continue
            command = [sys.executable, __file__, "--step", step, "--people", str(people), "--folder", str(state)]
            said = subprocess.run(command, capture_output=True, text=True, check=True)
            result[step] = json.loads(said.stdout)
            print(step, said.stdout.strip(), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not chosen.quick:
        path = ROOT / "benchmarks" / "results" / f"store-{people}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

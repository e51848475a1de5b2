"""Is the gallery's exact search three times faster than faiss.IndexFlatIP, at a third of float32's memory?

One thread, all engines in turn on the same vectors and probes, so that a noisy machine disturbs them alike: read the
ratios. Times are the thread's processor time, which leaves out what others took of a shared machine; `least` is the
quickest. `numkong` is the first pass the gallery had before: codes row by row, answers not exact. `many` are batches of
probes, each answered as alone. `first` are searches right after another engine's, with cold caches; the others follow
one of their own kind.
Were the ratio below 3 at 100 k or 1 M, or one answer not that of the float32 oracle, the design would change.

    python benchmarks/bench_search.py             # N to a million, D 320 and 192; a quarter of an hour, 8 GB
    python benchmarks/bench_search.py --quick     # half a minute; nothing is written

Writes benchmarks/results/search-<device>.json.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and faiss read it
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import importlib.metadata
import json
import math
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the repository need not be installed

from kiosk.gallery.audit import pairs_above
from kiosk.gallery.codes import encode
from kiosk.gallery.gallery import Gallery, People, Person
from kiosk.gallery.search import Query, exact_scores
from kiosk.gallery.snapshot import Flag
from kiosk.types import Floats, Template

ROOT = Path(__file__).resolve().parent.parent
SEED = 0
LIMIT = 5
BURST = 4  # searches of one engine before the next one's turn
FLOORS = (0.4, -1.0)
BATCHES = (16, 64)
CENTRES = 1000
STORE_US = 10.0  # what the store takes to fetch and decrypt one row; added to the gallery's times, a row at a time
SQLITE_VEC_MOST = 100_000  # it takes a second a search beyond
MODEL = "0" * 64
Answer = list[tuple[int, float]]
Engine = Callable[[Floats], Answer]


def vectors_of(kind: str, count: int, depth: int, rng: np.random.Generator) -> Floats:
    """Make unit vectors; clustered: a thousand centres, cosines inside a cluster from 0.95 to 0.999."""
    vectors = rng.standard_normal((count, depth), dtype=np.float32)
    if kind == "clustered":
        centres = rng.standard_normal((CENTRES, depth), dtype=np.float32)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        vectors *= (rng.uniform(0.03, 0.22, (count, 1)) / math.sqrt(depth)).astype(np.float32)
        vectors += centres[rng.integers(0, CENTRES, count)]
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def probes_of(vectors: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Make half the probes near an enrolled vector (cosine about 0.7), half near nobody."""
    depth = vectors.shape[1]
    probes = rng.standard_normal((count, depth), dtype=np.float32) / np.float32(math.sqrt(depth))
    probes[::2] += vectors[rng.integers(0, len(vectors), len(probes[::2]))]
    unit: Floats = (probes / np.linalg.norm(probes, axis=1, keepdims=True)).astype(np.float32)
    return unit


def oracle(vectors: Floats, probe: Floats, floor: float) -> tuple[Answer, Floats]:
    """Rank by brute force, ties in order of enrolment; also all float32 scores."""
    scores = vectors @ probe
    least = np.partition(scores, -2 * LIMIT)[-2 * LIMIT] - 1e-5
    likely = np.flatnonzero(scores >= least)
    exact = exact_scores(vectors[likely], probe.astype(np.float64))
    order = np.lexsort((likely, -exact))[:LIMIT]
    return [(int(likely[at]), float(exact[at])) for at in order if float(exact[at]) >= floor], scores


def loaded(vectors: Floats) -> tuple[Gallery, float]:
    """Load a gallery, one reference a person, in blocks as a store would hand them out; also the seconds it took."""
    count, depth = vectors.shape
    gallery = Gallery(MODEL, depth, lambda references: vectors[references])
    ids = np.arange(count)
    people = People(ids, np.full(count, Flag.APPROVED, np.uint8), np.full(count, -np.inf), np.full(count, np.inf))
    started = time.perf_counter()
    gallery.load(people, ((ids[s : s + 8192],) * 2 + (vectors[s : s + 8192],) for s in range(0, count, 8192)))
    return gallery, time.perf_counter() - started


def rivals(vectors: Floats) -> dict[str, tuple[Engine, int]]:
    """Build the engines compared with: name -> search, bytes held."""
    import apsw  # noqa: PLC0415  bench-only
    import faiss  # noqa: PLC0415  bench-only, and after the thread settings
    import numkong  # noqa: PLC0415
    import sqlite_vec  # noqa: PLC0415
    import usearch.index  # noqa: PLC0415

    faiss.omp_set_num_threads(1)
    count, depth = vectors.shape
    flat = faiss.IndexFlatIP(depth)
    flat.add(vectors)
    scalar = faiss.IndexScalarQuantizer(depth, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    scalar.train(vectors[:100_000])
    scalar.add(vectors)

    def by_faiss(index: Any) -> Engine:
        def search(probe: Floats) -> Answer:
            scores, ids = index.search(probe[None, :], LIMIT)
            return list(zip(ids[0].tolist(), scores[0].tolist(), strict=True))

        return search

    def by_usearch(probe: Floats) -> Answer:
        kind = usearch.index.MetricKind.IP
        found = usearch.index.search(vectors, probe, LIMIT, kind, exact=True, threads=1)
        return list(zip(found.keys.tolist(), (1 - found.distances).tolist(), strict=True))

    codes, sums = encode(vectors), np.empty(count, np.float32)

    def by_numkong(probe: Floats) -> Answer:
        coded = encode(probe[None, :])
        numkong.cdist(coded.codes, codes.codes, metric="dot", out=sums[None, :], out_dtype="float32")
        return best_of(sums * codes.inverse * coded.inverse[0])

    def by_numpy(probe: Floats) -> Answer:
        return best_of(vectors @ probe)

    def best_of(scores: Floats) -> Answer:
        best = np.argpartition(scores, -LIMIT)[-LIMIT:]
        best = best[np.lexsort((best, -scores[best]))]
        return [(int(one), float(scores[one])) for one in best]

    engines: dict[str, tuple[Engine, int]] = {
        "faiss flat": (by_faiss(flat), vectors.nbytes),
        "faiss sq8": (by_faiss(scalar), count * depth),
        "numkong": (by_numkong, count * (depth + 4)),
        "usearch exact": (by_usearch, vectors.nbytes),
        "numpy": (by_numpy, vectors.nbytes),
    }
    if count <= SQLITE_VEC_MOST:
        database = apsw.Connection(":memory:")  # many Pythons are built without sqlite3's load_extension
        database.enable_load_extension(True)
        database.load_extension(sqlite_vec.loadable_path())
        database.execute(f"create virtual table v using vec0(e float[{depth}] distance_metric=cosine)")
        with database:
            rows = ((row, vector.tobytes()) for row, vector in enumerate(vectors))
            database.executemany("insert into v(rowid, e) values (?, ?)", rows)
        pages = "select page_count * page_size from pragma_page_count(), pragma_page_size()"
        held = int(next(database.execute(pages))[0])

        def by_sqlite_vec(probe: Floats) -> Answer:
            query = "select rowid, distance from v where e match ? and k = ? order by distance"
            return [(row, 1 - far) for row, far in database.execute(query, (probe.tobytes(), LIMIT))]

        engines["sqlite-vec"] = (by_sqlite_vec, held)
    return engines


def spread(times: list[float]) -> dict[str, float]:
    """Summarise seconds as milliseconds."""
    names = {"least": 0, "p50": 50, "p95": 95, "worst": 100}
    return {f"{name}_ms": round(float(np.percentile(times, q)) * 1000, 4) for name, q in names.items()}


def same_people(answer: Answer, truth: Answer, scores: Floats) -> bool:
    """Say whether the ids are the oracle's, where another engine may swap scores that float32 cannot tell apart."""
    if len(answer) != len(truth):
        return False
    return all(
        one == other or abs(float(scores[one]) - float(scores[other])) < 1e-6
        for (one, _), (other, _) in zip(answer, truth, strict=True)
    )


def measure(kind: str, count: int, depth: int, turns: int) -> dict[str, Any]:
    """Time all engines in turn on one gallery, a few searches each."""
    rng = np.random.default_rng(SEED)
    vectors = vectors_of(kind, count, depth, rng)
    process = psutil.Process()
    before = process.memory_info().rss
    gallery, load_s = loaded(vectors)
    grown = process.memory_info().rss - before
    fetches: list[int] = []

    def exact(references: NDArray[np.int64]) -> Floats:
        fetches.append(len(references))
        return vectors[references]

    gallery.exact = exact
    engines = rivals(vectors)
    times: dict[str, list[float]] = {}  # searches that follow one of the same engine
    firsts: dict[str, list[float]] = {}  # searches that follow another engine's: caches are cold
    same: dict[str, int] = {}
    fetched: dict[float, list[int]] = {floor: [] for floor in FLOORS}
    exactly_same, furthest = True, 0.0
    probes = probes_of(vectors, (turns + 1) * BURST, rng)
    for turn in range(turns + 1):
        burst = probes[turn * BURST : (turn + 1) * BURST]
        truths = {floor: [oracle(vectors, probe, floor) for probe in burst] for floor in FLOORS}

        def note(name: str, at: int, taken: float, *, is_kept: bool = turn > 0) -> None:
            if is_kept:  # the first turn warms up
                (times if at else firsts).setdefault(name, []).append(taken)

        for floor in FLOORS:
            name = f"gallery, floor {floor:g}"
            for at, (probe, (truth, scores)) in enumerate(zip(burst, truths[floor], strict=True)):
                template = Template(probe, MODEL)
                fetches.clear()
                started = time.thread_time()
                (found,) = gallery.search_all(template, [Query(floor, LIMIT)], now=0.0)
                taken = time.thread_time() - started
                note(name, at, taken)
                note(f"{name}, with the store", at, taken + sum(fetches) * STORE_US / 1e6)
                fetched[floor].append(sum(fetches))
                answer = [(one.subject, one.cosine) for one in found]
                exactly_same &= answer == truth
                furthest = max([furthest, *(abs(score - float(scores[one])) for one, score in answer)])
        for name, (engine, _) in engines.items():
            for at, (probe, (truth, scores)) in enumerate(zip(burst, truths[FLOORS[-1]], strict=True)):
                started = time.thread_time()
                answer = engine(probe)
                note(name, at, time.thread_time() - started)
                same[name] = same.get(name, 0) + same_people(answer, truth, scores)
    flat, flat_first = (float(np.median(one["faiss flat"])) for one in (times, firsts))
    searches = (turns + 1) * BURST
    return {
        "vectors": kind,
        "n": count,
        "d": depth,
        "engines": {
            name: spread(values)
            | {"first_p50_ms": spread(firsts[name])["p50_ms"], "count": len(values)}
            | {"faster_than_faiss_flat": round(flat / float(np.median(values)), 3)}
            | {"first_faster_than_faiss_flat": round(flat_first / float(np.median(firsts[name])), 3)}
            | ({"bytes": engines[name][1], "identical": f"{same[name]}/{searches}"} if name in engines else {})
            for name, values in times.items()
        },
        "gallery": {
            "identical_to_oracle": exactly_same,
            "furthest_score_from_float32_product": furthest,
            "rows_fetched": {
                f"floor {floor:g}": dict(
                    zip(("p50", "p95", "worst"), np.percentile(values, [50, 95, 100]).round(1).tolist(), strict=True)
                )
                for floor, values in fetched.items()
            },
            "load_s": round(load_s, 3),
            "bytes": gallery.resident_bytes,
            "share_of_float32": round(gallery.resident_bytes / vectors.nbytes, 4),
            "rss_growth_bytes": grown,
            "many": many(gallery, vectors, turns),
            "changes": changes(gallery, vectors),
        },
    }


def many(gallery: Gallery, vectors: Floats, turns: int) -> dict[str, Any]:
    """Time batches of probes against the same probes one by one, and faiss's and NumPy's batches, per probe."""
    import faiss  # noqa: PLC0415

    rng = np.random.default_rng(SEED + 1)
    probes = probes_of(vectors, max(BATCHES), rng)
    templates, query = [Template(probe, MODEL) for probe in probes], [Query(FLOORS[0], LIMIT)]
    alone = [gallery.search_all(one, query, now=0.0) for one in templates]
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    times: dict[str, list[float]] = {}
    same = True
    for _ in range(max(3, turns // 2)):
        for size in BATCHES:
            started = time.thread_time()
            found = gallery.search_many(templates[:size], [query] * size, now=0.0)
            times.setdefault(f"search_many of {size}", []).append((time.thread_time() - started) / size)
            same &= found == alone[:size]
            started = time.thread_time()
            flat.search(probes[:size], LIMIT)
            times.setdefault(f"faiss flat of {size}", []).append((time.thread_time() - started) / size)
        started = time.thread_time()
        for one in templates[:8]:
            gallery.search_all(one, query, now=0.0)
        times.setdefault("one by one", []).append((time.thread_time() - started) / 8)
    one_by_one = float(np.median(times["one by one"]))
    return {
        "identical_to_one_by_one": same,
        "a_probe": {
            name: spread(values) | {"of_one_by_one": round(float(np.median(values)) / one_by_one, 4)}
            for name, values in times.items()
        },
    }


def changes(gallery: Gallery, vectors: Floats) -> dict[str, dict[str, float]]:
    """Time enrol, block and forget: the cost must not depend on N."""
    count = len(vectors)
    times: dict[str, list[float]] = {"enrol": [], "block": [], "forget": []}
    for subject in range(count, count + 200):
        template = Template(vectors[subject % count], MODEL)
        for name, change in (
            ("enrol", lambda s=subject, t=template: gallery.enrol(Person(s), [s % count], [t])),
            ("block", lambda s=subject: gallery.enrol(Person(s, Flag.BLOCKLISTED), [], [])),
            ("forget", lambda s=subject: gallery.forget(s)),
        ):
            started = time.thread_time()
            change()
            times[name].append(time.thread_time() - started)
    return {name: spread(values[5:]) for name, values in times.items()}


def audit(count: int, depth: int) -> dict[str, Any]:
    """Time all pairs of a random gallery in which a hundred people are enrolled twice."""
    rng = np.random.default_rng(SEED)
    vectors = vectors_of("random", count, depth, rng)
    twice = rng.choice(count // 2, 100, replace=False)
    vectors[twice + count // 2] = vectors[twice]
    gallery, _ = loaded(vectors)
    started = time.perf_counter()
    found = sum(1 for _ in pairs_above(gallery, 0.5))
    return {"n": count, "d": depth, "pairs_found": found, "planted": 100, "s": round(time.perf_counter() - started, 2)}


def device() -> str:
    """Name the processor."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", info.read_text() if info.exists() else "", re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def commit() -> str:
    """Return the commit measured, or none."""
    run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else "none"


def show(row: dict[str, Any]) -> None:
    """Print one gallery's table."""
    kept = row["gallery"]
    print(f"\n{row['vectors']} N={row['n']} D={row['d']}: load {kept['load_s']} s")
    print(f"memory {kept['share_of_float32']:.3f} of float32; the oracle's answers: {kept['identical_to_oracle']}")
    print(f"rows fetched {kept['rows_fetched']}, changes {kept['changes']}")
    for name, figures in kept["many"]["a_probe"].items():
        print(
            f"  {name:36} {figures['least_ms']:9.3f} least {figures['p50_ms']:9.3f} p50 {figures['of_one_by_one']:6.3f}"
        )
    for name, figures in row["engines"].items():
        times = f"{figures['least_ms']:9.3f} least {figures['p50_ms']:9.3f} p50 {figures['first_p50_ms']:9.3f} first ms"
        ratios = f"{figures['faster_than_faiss_flat']:6.2f}x {figures['first_faster_than_faiss_flat']:6.2f}x first"
        print(f"  {name:36} {times} {ratios} {figures.get('identical', '')}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Time the exact search of the gallery against others.")
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing written")
    parser.add_argument("--turns", type=int, default=10, help="of all engines")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--depths", type=int, nargs="+", default=[320, 192])
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.turns = [1000, 10_000], 2
    rows = []
    for count in options.sizes:
        for depth in options.depths:
            for kind in ("random", "clustered"):
                rows.append(measure(kind, count, depth, options.turns))
                show(rows[-1])
    audits = [audit(min(100_000, max(options.sizes)), depth) for depth in options.depths]
    print(*audits, sep="\n")
    if options.quick:
        return
    name = device()
    result = {
        "git_commit": commit(),
        "device": name,
        "machine": platform.machine(),
        "os": platform.system(),
        "python": platform.python_version(),
        "versions": {
            package: importlib.metadata.version(package)
            for package in ("numpy", "onnxruntime", "numkong", "faiss-cpu", "usearch", "sqlite-vec")
        },
        "threads": 1,
        "seed": SEED,
        "command": shlex.join(["python", "benchmarks/bench_search.py", *sys.argv[1:]]),
        "limit": LIMIT,
        "store_us_a_row": STORE_US,
        "searches": rows,
        "audits": audits,
    }
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = ROOT / "benchmarks" / "results" / f"search-{slug}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()

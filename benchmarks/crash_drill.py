"""Is every acknowledged fact still there, whole and alone, after SIGKILL or a full disk at any instant?

One lost or half fact in 500 rounds would change the store's design, so any fault ends with exit 1.

A round: a child opens the store and enrols, imports, adds references, lists, changes, decides (with outbox
rows), reviews, forgets, prunes, backs up, restores and changes the master key; it names each act on a pipe
before it starts and acknowledges it after. The parent kills it at a random instant, opens the store, and
holds it against what was acknowledged; of the act that was under way it may find all or nothing. In every
third round a file-size limit makes the child's disk fill up first; what was refused must have left nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.store_acts import Actor, Known, apply, hold_against
from kiosk.errors import StoreError
from kiosk.store.directory import DATABASE_NAME, initialise

RESULT = Path(__file__).parent / "results" / "crash-drill.json"
FULL_ROUNDS = 500
ROUNDS_PER_STORE = 50  # then a new store, so that checking all of it stays quick
LIFE_S = 0.06  # a child lives at most this long after its first act; an act takes some 1-5 ms
LONG_LIFE_S = 1.0  # every fourth one: a backup or a restore takes a hundred times as long
LEAST_ROOM_BYTES = 40_000  # for a file of a child whose disk fills up: the WAL after two acts
BODIES_BYTES = 100_000  # beyond the database's size: the WAL after some ten acts, or a checkpoint
WEIGHTS = {
    "enrol": 30,
    "decide": 30,
    "block": 12,
    "reference": 10,
    "forget": 10,
    "unblock": 6,
    "patch": 8,
    "review": 8,
    "import": 8,
    "note": 4,
    "backup": 4,
    "rekey": 2,
    "restore": 3,
    "prune": 5,
}


# ---- the child


class Child:
    """Acts until it is killed."""

    def __init__(self, directory: Path, seed: int, pipe: int) -> None:
        self._random = random.Random(seed)
        self._pipe = pipe
        self._actor = Actor(directory, self._random.getrandbits(40))

    def _tell(self, **message: Any) -> None:
        os.write(self._pipe, json.dumps(message).encode() + b"\n")

    def run(self) -> None:
        """Act, and tell before and after."""
        while True:
            act = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            wanted = self._actor.plan(act)
            if wanted is None:
                continue
            self._tell(act=act, **wanted)
            try:
                done = self._actor.do(act, wanted)
            except (StoreError, OSError) as error:
                self._tell(refused=act, why=type(error).__name__)
            else:
                self._tell(done=act, **done)


# ---- the parent


@dataclass(slots=True)
class Tally:
    """What the drill counts."""

    rounds: int = 0
    rounds_disk_full: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    killed_during: Counter[str] = field(default_factory=Counter)
    survived_unacknowledged: Counter[str] = field(default_factory=Counter)  # whole, though the kill cut off its answer
    faults: list[str] = field(default_factory=list)


def run_child(directory: Path, seed: int, life_s: float, limit: int | None) -> list[dict[str, Any]]:
    """Let a child act for a while, kill it, and return what it said."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BLAS threads: the child calls no BLAS
        child = os.fork()
    if not child:
        os.close(reading)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            Child(directory, seed, writing).run()
        finally:
            os._exit(3)
    os.close(writing)
    said, until = b"", time.monotonic() + 30.0
    while (left := until - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            break
        chunk = os.read(reading, 1 << 16)
        if not chunk:
            break
        if not said:
            until = time.monotonic() + life_s
        said += chunk
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(reading, 1 << 16):
        said += chunk
    os.close(reading)
    return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]


def drill(rounds: int, seed: int, place: Path) -> Tally:
    """Run the rounds; stop at the first fault, whose store is left for study."""
    tally, rng = Tally(), random.Random(seed)
    directory, known = place, Known()
    for number in range(rounds):
        if number % ROUNDS_PER_STORE == 0:
            directory, known = place / f"state-{number}", Known()
            initialise(directory, now=time.time).close()
        limit = None
        if number % 3 == 2:
            size = (directory / DATABASE_NAME).stat().st_size
            limit = rng.randrange(LEAST_ROOM_BYTES, size + BODIES_BYTES)
            tally.rounds_disk_full += 1
        said = run_child(
            directory, rng.getrandbits(40), rng.uniform(0.0, LONG_LIFE_S if number % 4 == 1 else LIFE_S), limit
        )
        under_way: dict[str, Any] | None = None
        for message in said:
            if "act" in message:
                under_way = message
            elif "done" in message and under_way is not None:
                tally.acknowledged[message["done"]] += 1
                apply(known, under_way, message)
                under_way = None
            else:
                tally.refused[message["refused"]] += 1
                under_way = None
                if message["refused"] == "prune":
                    known.records = None  # of its transactions some may be there
        if under_way is not None:
            tally.killed_during[under_way["act"]] += 1
        tally.rounds += 1
        tally.faults = hold_against(directory, known, under_way, tally.survived_unacknowledged)
        if tally.faults:
            tally.faults.append(f"round {number}, seed {seed}, store {directory.name}")
            break
    return tally


def result(tally: Tally, seed: int, elapsed_s: float) -> dict[str, Any]:
    """Return what is kept of a run."""
    try:
        git = subprocess.run(
            ["git", "rev-parse", "--verify", "-q", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
        commit = git.stdout.strip() or None
    except FileNotFoundError:  # a bare machine has no git
        commit = None
    return {
        "question": (__doc__ or "").splitlines()[0],
        "result": {
            item.name: dict(value) if isinstance(value, Counter) else value
            for item in fields(tally)
            for value in [getattr(tally, item.name)]
        },
        "elapsed_s": round(elapsed_s, 1),
        "seed": seed,
        "command": f"benchmarks/crash_drill.py --rounds {tally.rounds} --seed {seed}",
        "commit": commit,
        "machine": platform.machine(),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cryptography": version("cryptography"),
        "numpy": np.__version__,
    }


def main() -> int:
    """Run the drill; 0 when there was no fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=FULL_ROUNDS)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--place", type=Path, help="where to work; default: a temporary directory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-drill-") as scratch:
        start = time.monotonic()
        tally = drill(given.rounds, given.seed, given.place or Path(scratch))
        kept = result(tally, given.seed, time.monotonic() - start)
    print(json.dumps(kept["result"], indent=2))
    if given.rounds >= FULL_ROUNDS:  # a short run keeps the script alive; its figures are not kept
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(kept, indent=2) + "\n")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())

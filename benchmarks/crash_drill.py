"""Is every acknowledged fact still there, whole and alone, after SIGKILL or a full disk at any instant?

One lost or half fact in 500 rounds would change the store's design, so any fault ends with exit 1.

A round: a child opens the store and enrols, adds references, blocks, decides (with outbox rows),
forgets, backs up and changes the master key; it names each act on a pipe before it starts and
acknowledges it after. The parent kills it at a random instant, opens the store, and holds it against
what was acknowledged; of the act that was under way it may find all or nothing. In every third round
a file-size limit makes the child's disk fill up first; what was refused must have left nothing.
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

from kiosk.errors import StoreError
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import DATABASE_NAME, initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import Message
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.store.upkeep import backup, check
from kiosk.store.upkeep.rekey import rekey
from kiosk.types import Template

RESULT = Path(__file__).parent / "results" / "crash-drill.json"
FULL_ROUNDS = 500
ROUNDS_PER_STORE = 50  # then a new store, so that checking all of it stays quick
LIFE_S = 0.06  # a child lives at most this long after its first act; an act takes some 1-5 ms
LEAST_ROOM_BYTES = 40_000  # for a file of a child whose disk fills up: the WAL after two acts
BODIES_BYTES = 100_000  # beyond the database's size: the WAL after some ten acts, or a checkpoint
MODEL = "d" * 64
ALL = 1_000_000  # more than a drill can make
SIZE = 320
WEIGHTS = {
    "enrol": 30,
    "decide": 30,
    "block": 12,
    "reference": 10,
    "forget": 10,
    "backup": 4,
    "rekey": 2,
}


def template(seed: int) -> Template:
    """Return the template that a seed stands for: parent and child need no other message."""
    vector = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), MODEL)


# ---- the child


class Child:
    """Acts until it is killed."""

    def __init__(self, directory: Path, seed: int, pipe: int) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self._pipe = pipe
        self._store = self._open()

    def _open(self) -> Store:
        return open_store(self._directory, read_keys(self._directory), now=time.time, check=False)

    def _tell(self, **message: Any) -> None:
        os.write(self._pipe, json.dumps(message).encode() + b"\n")

    def run(self) -> None:
        """Act, and tell before and after."""
        while True:
            act = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            wanted = self._plan(act)
            if wanted is None:
                continue
            self._tell(act=act, **wanted)
            try:
                done = getattr(self, f"_{act}")(**wanted)
            except (StoreError, OSError) as error:
                self._tell(refused=act, why=type(error).__name__)
            else:
                self._tell(done=act, **done)

    def _plan(self, act: str) -> dict[str, Any] | None:
        seed = self._random.getrandbits(40)
        if act in ("enrol", "decide"):
            return {"seed": seed}
        if act in ("backup", "rekey"):
            return {}
        people = self._store.references.members().session_numbers
        if not people.size:
            return None
        number = int(self._random.choice(people))
        return {"number": number, "seed": seed} if act == "reference" else {"number": number}

    def _enrol(self, seed: int) -> dict[str, Any]:
        details = Details(name=f"name {seed}", vendor_data=f"vendor {seed}")
        enrolment = Enrolment([template(seed), template(seed + 1)], details)
        subject = self._store.people.enrol(enrolment, messages=[Message("summary", {"seed": seed})])
        return {"number": subject.session_number, "session_id": subject.session_id}

    def _reference(self, number: int, seed: int) -> dict[str, Any]:
        return {"reference": self._store.people.add_reference(number, template(seed))}

    def _block(self, number: int) -> dict[str, Any]:
        self._store.people.block(number, reason="drill")
        return {}

    def _decide(self, seed: int) -> dict[str, Any]:
        self._store.record_decision(
            NewDecision(
                Kind.FACE_SEARCH,
                "Approved",
                score=seed % 101,
                request_id=f"request {seed}",
                vendor_data=f"vendor {seed}",
                answer={"seed": seed},
                outbox=(Message("replay", {"seed": seed}),),
            )
        )
        return {}

    def _forget(self, number: int) -> dict[str, Any]:
        self._store.people.forget(number)
        return {}

    def _backup(self) -> dict[str, Any]:
        file = backup.write(self._store.database, self._store.vault, self._directory / "backups", now=time.time())
        return {"path": str(file.path)}

    def _rekey(self) -> dict[str, Any]:
        self._store.close()
        try:
            rekey(self._directory, read_keys(self._directory), now=time.time)
        finally:
            self._store = self._open()
        return {}


# ---- the parent


@dataclass(slots=True)
class Person:
    """What was acknowledged of somebody."""

    seeds: list[int]
    is_blocklisted: bool = False


@dataclass(slots=True)
class Known:
    """Everything that was acknowledged in one store."""

    people: dict[int, Person] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)  # request_id → seed
    records: int = 1  # of the log: INIT
    backups: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """What the drill counts."""

    rounds: int = 0
    rounds_disk_full: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    killed_during: Counter[str] = field(default_factory=Counter)
    survived_unacknowledged: int = 0  # whole facts whose acknowledgement the kill cut off
    faults: list[str] = field(default_factory=list)


RECORDS_BY_ACT = {"backup": 0, "rekey": 2}  # REKEY and INIT; every other act is one record


def apply(known: Known, act: dict[str, Any], done: dict[str, Any]) -> None:
    """Add an acknowledged act to what is known."""
    kind = act["act"]
    known.records += RECORDS_BY_ACT.get(kind, 1)
    if kind == "enrol":
        known.people[done["number"]] = Person([act["seed"], act["seed"] + 1])
    elif kind == "reference":
        known.people[act["number"]].seeds.append(act["seed"])
    elif kind == "block":
        known.people[act["number"]].is_blocklisted = True
    elif kind == "forget":
        del known.people[act["number"]]
    elif kind == "decide":
        known.decisions[f"request {act['seed']}"] = act["seed"]
    elif kind == "backup":
        known.backups = [done["path"]]


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


def hold_against(directory: Path, known: Known, under_way: dict[str, Any] | None, tally: Tally) -> list[str]:
    """Open the store and return what does not fit; take over the act that was under way."""
    keys = read_keys(directory)
    with open_store(directory, keys, now=time.time) as store:
        faults = list(store.notices)
        keys = read_keys(directory)  # a rekey cut short was finished just now
        records = store.verify_log().records
        if under_way is not None and records > known.records:
            tally.survived_unacknowledged += 1
            number = max(store.references.members().session_numbers.tolist(), default=0)
            apply(known, under_way, {"number": number, "path": ""})
        findings = check.inspect(store.database, directory / HEAD_NAME, keys)
        faults += [*findings.damage, *findings.log]
        if records != known.records:
            faults.append(f"{records} records in the log, {known.records} acknowledged")
        faults += compare(store, known)
        for path in known.backups:
            if path and Path(path).exists():
                header = backup.read_header(Path(path))
                if header.key_check in {key.check for key in keys}:
                    backup.verify(Path(path), keys)
    return faults


def compare(store: Store, known: Known) -> list[str]:
    """Hold people, references, lists, decisions and outbox against what was acknowledged."""
    page = store.people.subjects(limit=ALL)
    faults = []
    for subject in page.subjects:
        person = known.people.get(subject.session_number)
        if person is None:
            faults.append(f"{subject.session_number} was never acknowledged, or was forgotten")
        elif subject.is_blocklisted != person.is_blocklisted:
            faults.append(f"{subject.session_number} is on the wrong list")
        elif subject.details.name != f"name {person.seeds[0]}":
            faults.append(f"{subject.session_number} has another name")
    found = {subject.session_number for subject in page.subjects}
    faults += [f"{number} is gone" for number in known.people.keys() - found]
    faults += compare_references(store, known)
    rows = store.decisions(DecisionFilter(kinds=(Kind.FACE_SEARCH,)), limit=ALL).decisions
    answers = {row.entry.request_id: (row.answer or {}).get("seed") for row in rows}
    if answers != known.decisions:
        faults.append("the decisions are not those acknowledged")
    queued = {row.request_id for row in store.outbox.rows(limit=ALL) if row.policy == "replay"}
    if queued != known.decisions.keys():
        faults.append("the outbox is not that of the decisions")
    return faults


def compare_references(store: Store, known: Known) -> list[str]:
    """Hold every stored vector, bit for bit, against what was acknowledged."""
    found: dict[int, list[bytes]] = {}
    for chunk in store.references.chunks(MODEL):
        for number, vector in zip(chunk.subjects.tolist(), chunk.vectors, strict=True):
            found.setdefault(number, []).append(vector.tobytes())
    wanted = {
        number: [template(seed).vector.tobytes() for seed in person.seeds] for number, person in known.people.items()
    }
    return [
        f"the references of {number} are not those acknowledged"
        for number in wanted.keys() | found.keys()
        if wanted.get(number) != found.get(number)
    ]


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
        said = run_child(directory, rng.getrandbits(40), rng.uniform(0.0, LIFE_S), limit)
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
        if under_way is not None:
            tally.killed_during[under_way["act"]] += 1
        tally.rounds += 1
        tally.faults = hold_against(directory, known, under_way, tally)
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

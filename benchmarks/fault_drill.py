"""Does the store keep every acknowledged fact when any one of its system calls fails?

    python benchmarks/fault_drill.py [--acts enrol,forget] [--short]

One fact lost, half stored, or one act that stops the store for good would change the store's design, so any finding
ends with exit 1. Needs strace and gcc (Debian packages of these names) and the right to trace one's own children.

A try: a child opens a copy of a prepared store and waits; `strace --inject` is set on it so that its n-th call of one
kind fails with EIO or ENOSPC, once or from then on; the child does one act and says whether it was done or refused;
the fault ends, or the child is killed with the fault in force; a child that lives does one more act, which must
succeed. Then the store is opened and compared with what was acknowledged: of a refused act all is there, or nothing.
n counts from 1 until the act ends without having met the fault. SQLite's own tests work this way (sqlite.org/testing).

Acts of `store_acts.py` have a model there of what must be left; those of `store_further_acts.py` are held against a run
without a fault, and are done again where they were refused. With --in-fleet the former are done in a store that shares
its people, whose documents must say what the people are.

With --left-by-kill the store was left by a process that was killed, with what it wrote last in a write-ahead log beside
the database; the child opens it with the fault in force, so that the calls of taking that log over fail too.

Short writes are real ones: a preloaded `pwrite` or `write` that stores half of what it was given and says so, and
where the disk is said to be full refuses all that come after it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import platform
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import git
from benchmarks.store_acts import Actor, Known, apply, fleet_faults, hold_against
from benchmarks.store_further_acts import FURTHER, ME, OUTSIDE_A_FLEET, UPGRADES, furnish, join_fleet, make_older
from benchmarks.store_view import Views, view
from kiosk.errors import KioskError
from kiosk.store.directory import DATABASE_NAME, initialise
from kiosk.store.fleet.shared import Shared

RESULT = Path(__file__).parent / "results" / "fault-drill.json"
CALLS = (
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
    "openat",
    "pread64",
)
# The error, and what the fault does after its first time; killed: it lasts, then SIGKILL ends the child.
FORMS = (("EIO", "once"), ("ENOSPC", "once"), ("ENOSPC", "lasting"), ("EIO", "killed"))
ACTS = (
    *("enrol", "reference", "block", "unblock", "allow", "disallow", "patch", "decide", "review", "forget", "sweep"),
    *("import", "note", "key", "operator", "revoke", "secret", "backup", "rekey", "restore"),
    "prune",
)
IN_FLEET = ("enrol", "reference", "block", "unblock", "allow", "patch", "forget", "sweep", "import", "rekey", "restore")
FIRST_ACTS = (  # of the prepared store
    *("enrol", "enrol", "enrol", "due", "import", "decide", "decide", "decide", "decide"),
    *("note", "key", "operator", "secret", "backup"),
)
SHORT_ACTS = ("enrol", "decide", "forget", "restore", "rekey")
SHORT_TRIES = 45  # of all that the short acts have, by chance
MOST_CALLS = 2_000  # of one kind in one act: more means that something goes round in circles
ANSWER_S = 60.0
GAVE_UP = "a fault that is over must leave a store that works"
MENDED = 99  # the seed of the act after the fault

# Half of the n-th write, as a disk that fills up or a signal leaves it. Counted in the child only, once armed.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <unistd.h>
static long left = -1, fired = 0, fills = 0, full = 0;
void short_write_arm(long n, long is_then_full) { left = n; fired = 0; fills = is_then_full; full = 0; }
long short_write_fired(void) { return fired; }
static size_t cut(size_t size) {
    if (left < 0 || size < 2 || --left != 0) return size;
    left = -1; fired = 1; full = fills;
    return size / 2;
}
static int is_full(void) {
    if (!full) return 0;
    errno = ENOSPC;
    return 1;
}
ssize_t pwrite64(int file, const void *from, size_t size, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    return is_full() ? -1 : real(file, from, cut(size), at);
}
ssize_t pwrite(int file, const void *from, size_t size, off_t at) { return pwrite64(file, from, size, at); }
ssize_t write(int file, const void *from, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    return is_full() ? -1 : real(file, from, cut(size));
}
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Which call fails, and how."""

    call: str  # one of CALLS, or "short"
    n: int
    form: str = "once"  # one of FORMS
    error: str = ""  # of FORMS; a short write has none

    def __str__(self) -> str:
        return " ".join(filter(None, (self.call, str(self.n), self.form, self.error)))


@dataclass(slots=True)
class Tally:
    """What the drill counts."""

    tried: Counter[str] = field(default_factory=Counter)  # faults that were met, by act
    by_call: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)  # acts done although a call failed
    refused: Counter[str] = field(default_factory=Counter)
    whole_though_refused: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def count(self, act: str, fault: Fault, survived: Counter[str], *, is_done: bool) -> None:
        """Count a fault that was met."""
        self.tried[act] += 1
        self.by_call[fault.call] += 1
        self.acknowledged[act] += is_done
        self.refused[act] += not is_done
        self.whole_though_refused += survived


# ---- the child


def live(directory: Path, act: dict[str, Any], parent: socket.socket, *, opens_late: bool) -> None:
    """Do one act when told, one more when told, and say what became of each."""
    actor = None if opens_late else Actor(directory)
    wanted = {name: value for name, value in act.items() if name != "act"}
    _say(parent, ready=True)
    for name, arguments in ((act["act"], wanted), ("decide", {"seed": MENDED})):
        how = _heard(parent)
        if has_shim():
            ctypes.CDLL(None).short_write_arm(ctypes.c_long(how.get("short") or -1), ctypes.c_long(how.get("fills", 0)))
        try:
            if actor is None:
                actor = Actor(directory)
            done = do(actor, name, arguments)
        except KioskError as error:
            _say(parent, refused=str(error), fired=_fired())
        except Exception as error:  # noqa: BLE001  # that any other comes out is a finding
            _say(parent, crashed=f"{type(error).__name__}: {error}", fired=_fired())
        else:
            _say(parent, done=done, fired=_fired())


def do(actor: Actor, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do an act of either file; an upgrade is done once the store is open."""
    if name in FURTHER:
        FURTHER[name](actor.store)
    elif name not in UPGRADES:
        return actor.do(name, arguments)
    return {}


def _fired() -> bool:
    try:
        return bool(ctypes.CDLL(None).short_write_fired())
    except AttributeError:
        return False


def _say(to: socket.socket, **message: Any) -> None:
    to.sendall(json.dumps(message).encode() + b"\n")  # sendto: a call that no fault is set on


def _heard(whom: socket.socket) -> dict[str, Any]:
    said = b""
    while not said.endswith(b"\n"):
        if not (more := whom.recv(1 << 16)):
            raise EOFError("the other side is gone")
        said += more
    answer: dict[str, Any] = json.loads(said)
    return answer


# ---- the parent


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the drill works, and from what."""

    place: Path
    template: Path  # the prepared store
    known: Known  # what is in it
    tally: Tally
    is_left_by_kill: bool = False
    is_in_fleet: bool = False
    views: Views | None = None  # of the one act this is about, where there is no model of it
    others: dict[str, Bench] = field(default_factory=dict)  # those made so far, by such an act

    @property
    def opens_late(self) -> bool:
        """Whether the fault is in force as the store is opened."""
        return self.is_left_by_kill or (self.views is not None and self.views.act in UPGRADES)


def prepare(directory: Path, *, in_fleet: bool = False) -> Known:
    """Make a store in which every act has something to do."""
    return _prepared(directory, in_fleet=in_fleet)[0]


def prepare_and_be_killed(directory: Path) -> Known:
    """Make the same store in a process that is killed: its write-ahead log is left beside the database."""
    mine, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_prepare_until_killed, args=(directory, theirs))
    child.start()
    known: Known = mine.recv()
    child.kill()
    child.join()
    if not Path(f"{directory / DATABASE_NAME}-wal").stat().st_size:
        raise AssertionError("nothing is left in the write-ahead log")
    return known


def _prepare_until_killed(directory: Path, line: Any) -> None:
    known, actor = _prepared(directory, closes=False)
    line.send(known)
    signal.pause()
    actor.close()  # never reached; it holds the store open until then


def _prepared(directory: Path, *, closes: bool = True, in_fleet: bool = False) -> tuple[Known, Actor]:
    initialise(directory, now=time.time).close()
    known, actor = Known(records=1 + in_fleet), Actor(directory, seed=1)
    if in_fleet:
        Shared(actor.store).begin(ME)
    for act in FIRST_ACTS:
        _do(actor, known, act)
    for act, number in (("block", 1), ("allow", 2), ("forget", 3)):
        _do(actor, known, act, number=number)
    _do(actor, known, "enrol")
    if closes:
        actor.close()
    return known, actor


def _do(actor: Actor, known: Known, act: str, **chosen: Any) -> None:
    wanted = {**(actor.plan(act) or {}), **chosen}
    apply(known, {"act": act, **wanted}, actor.do(act, wanted))


def plan(bench: Bench, act: str) -> dict[str, Any]:
    """Return an act with arguments; who is on a list comes off it."""
    if bench.views is not None:
        return {"act": act}
    copied = bench.place / "plan"  # opening a store takes over what a kill left, and the template keeps it
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(bench.template, copied)
    actor = Actor(copied, seed=2)
    wanted = actor.plan(act)
    actor.close()
    assert wanted is not None, act
    if act in ("unblock", "disallow"):
        wanted["number"] = {"unblock": 1, "disallow": 2}[act]
    return {"act": act, **wanted}


@contextmanager
def injected(child: int, fault: Fault, trace: Path) -> Iterator[None]:
    """Let a process's calls fail while the block runs."""
    if fault.call == "short":
        yield
        return
    when = f"{fault.n}" if fault.form == "once" else f"{fault.n}+"
    command = ["strace", "-f", "-p", str(child), "-o", str(trace), "-e", f"trace={fault.call}"]
    command += ["-e", f"inject={fault.call}:error={fault.error}:when={when}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        line = strace.stderr.readline()
        if "attached" not in line:
            raise PermissionError(f"strace cannot trace a child: {line.strip()}")
        try:
            yield
        finally:
            strace.terminate()  # it lets go of the child first


def attempt(bench: Bench, act: dict[str, Any], fault: Fault) -> bool:
    """Do an act with a fault; return whether the fault was met."""
    directory = bench.place / "state"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(bench.template, directory)
    if act["act"] == "restore":
        act = {**act, "path": str(directory / "backups" / Path(act["path"]).name)}
    known = bench.known.copied()
    known.snapshots = {str(directory / "backups" / Path(path).name): one for path, one in known.snapshots.items()}
    mine, theirs = socket.socketpair()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BLAS threads: the child calls no BLAS
        child = os.fork()
    if not child:
        mine.close()
        try:
            live(directory, act, theirs, opens_late=bench.opens_late)
        finally:
            os._exit(3)
    theirs.close()
    mine.settimeout(ANSWER_S)
    findings: list[str] = []
    later: list[dict[str, Any]] = []
    survived = Counter[str]()
    try:
        said, is_met, findings = _watch(mine, child, fault, bench.place / "trace")
        if "done" in said and bench.views is None:
            apply(known, act, said["done"])
        if fault.form != "killed" and findings[-1:] != [GAVE_UP]:
            later.append({"act": "decide", "seed": MENDED})
    finally:
        mine.close()
        _end(child)  # as a power cut would, so that nothing is tidied up
    findings += _compared(bench, known, act, survived, later, is_done="done" in said)
    if "closed database" in said.get("refused", ""):
        findings.append(f"a programmer's words come out: {said['refused']}")
    if survived and "nothing was" in said.get("refused", ""):
        findings.append(f"all of it is there, and its caller was told otherwise: {said['refused']}")
    if is_met:
        bench.tally.count(act["act"], fault, survived, is_done="done" in said)
    for finding in findings:
        bench.tally.findings.append(f"{act['act']}, {fault}: {finding}")
        print(bench.tally.findings[-1], file=sys.stderr, flush=True)
    return is_met


def _compared(
    bench: Bench,
    known: Known,
    act: dict[str, Any],
    survived: Counter[str],
    later: list[dict[str, Any]],
    *,
    is_done: bool,
) -> list[str]:
    """Open the store after a fault, and return what does not fit."""
    directory = bench.place / "state"
    try:
        if bench.views is not None:
            after = f"request {MENDED}" if later else None
            return bench.views.hold_against(directory, survived, is_done=is_done, later=after)
        findings = hold_against(directory, known, None if is_done else act, survived, later)
        return findings + (fleet_faults(directory) if bench.is_in_fleet else [])
    except (KioskError, OSError, LookupError) as error:
        return [f"the store does not open, or the act cannot be done again: {error}"]


def _watch(line: socket.socket, child: int, fault: Fault, trace: Path) -> tuple[dict[str, Any], bool, list[str]]:
    """Let a child do its acts; return what it says of the first, whether the fault was met, and what is wrong."""
    findings = []
    _heard(line)
    with injected(child, fault, trace):
        _say(line, go=True, short=fault.n if fault.call == "short" else 0, fills=bool(fault.error))
        said = _heard(line)
        if fault.form == "killed":
            os.kill(child, signal.SIGKILL)
    is_met = said["fired"] if fault.call == "short" else "(INJECTED)" in trace.read_text()
    if "crashed" in said:
        findings.append(f"another exception comes out: {said['crashed']}")
    if fault.form != "killed":
        _say(line, go=True)
        after = _heard(line)
        if "done" not in after:
            findings += [f"the next act is refused: {after}", GAVE_UP]
    return said, is_met, findings


def _end(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # ended before


def faults_of(call: str) -> list[tuple[str, str, str]]:
    """Return (call, error, form) in which a call may fail."""
    if call == "short":
        return [("short", "", "once"), ("short", "", "killed"), ("short", "ENOSPC", "lasting")]
    return [(call, error, form) for error, form in FORMS]


def bench_at(place: Path, tally: Tally, *, left_by_kill: bool = False, in_fleet: bool = False) -> Bench:
    """Prepare a store to drill on."""
    template = place / "template"
    known = prepare_and_be_killed(template) if left_by_kill else prepare(template, in_fleet=in_fleet)
    return Bench(place, template, known, tally, left_by_kill, in_fleet)


def bench_for(bench: Bench, act: str) -> Bench:
    """Return the bench of an act: where there is no model of it, a furnished store and views of it."""
    if act not in FURTHER and act not in UPGRADES:
        return bench
    if act not in bench.others:
        template = bench.place / act
        shutil.copytree(bench.template, template)
        furnish(template)
        if act not in OUTSIDE_A_FLEET:
            join_fleet(template)
        if act in UPGRADES:
            make_older(template, UPGRADES[act])
        after = _seen(bench.place, template, act, is_done=True)
        before = after if act in UPGRADES else _seen(bench.place, template, act, is_done=False)
        if _seen(bench.place, template, act, is_done=True) != after:
            raise AssertionError(f"{act} does not come to the same every time")
        if act in FURTHER and before == after:
            raise AssertionError(f"{act} does nothing")
        bench.others[act] = replace(bench, template=template, views=Views(act, before, after))
    return bench.others[act]


def _seen(place: Path, template: Path, act: str, *, is_done: bool) -> dict[str, Any]:
    """Return what there is to see of a store, after an act or before it."""
    copied = place / "seen"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(template, copied)
    actor = Actor(copied)
    if is_done:
        do(actor, act, {})
    found = view(actor.store)
    actor.close()
    return found


def drill(bench: Bench, acts: Sequence[str], calls: Sequence[str], tally: Tally, *, step: int = 1) -> None:
    """Try every fault of every act, or every `step`-th."""
    everywhere = bench
    for name in acts:
        bench = bench_for(everywhere, name)
        act = plan(bench, name)
        for call in calls:
            for _, error, form in faults_of(call):
                for n in range(1, MOST_CALLS, step):
                    if not attempt(bench, act, Fault(call, n, form, error)):
                        break
        print(f"{name}: {tally.tried[name]} faults, {len(tally.findings)} findings", file=sys.stderr, flush=True)


def drill_again(bench: Bench, told: Sequence[str]) -> None:
    """Try faults named as findings name them."""
    for text in told:
        name, _, rest = text.partition(", ")
        call, n, *how = rest.split()
        place = bench_for(bench, name)
        attempt(place, plan(place, name), Fault(call, int(n), *how))


def drill_shortly(bench: Bench, seed: int) -> None:
    """Try a few faults by chance: each kind of call is as likely."""
    rng = random.Random(seed)
    calls = [*CALLS[:-1], *(["short"] if has_shim() else [])]
    for _ in range(SHORT_TRIES):
        act = plan(bench, rng.choice(SHORT_ACTS))
        call, error, form = rng.choice(faults_of(rng.choice(calls)))
        n = rng.randint(1, 4)
        while not attempt(bench, act, Fault(call, n, form, error)) and n > 1:
            n //= 2


def has_shim() -> bool:
    """Whether short writes can be had in this process."""
    return hasattr(ctypes.CDLL(None), "short_write_arm")


def begin_again_with_shim(scratch: Path) -> None:
    """Compile the shim and start this program anew with it; without gcc there are no short writes."""
    if has_shim() or shutil.which("gcc") is None:
        return
    source, library = scratch / "short_write.c", scratch / "short_write.so"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run([sys.executable, *sys.argv], env=environment, check=False)
    sys.exit(done.returncode)


def keep(tally: Tally, *, in_fleet: bool, step: int) -> None:
    """Write the figures of the acts that were tried among the results, and leave those of others."""
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {"acts": {}}
    for act, tried in tally.tried.items():
        findings = [finding for finding in tally.findings if finding.startswith(f"{act}, ")]
        about = {"git_commit": git("rev-parse", "--short=12", "HEAD"), "every_nth_call": step}
        name = f"{act} in a fleet" if in_fleet else act
        kept["acts"][name] = {"faults_met": tried, "findings": findings, **about}
    whole = {
        "question": (__doc__ or "").splitlines()[0],
        "faults_met": sum(one["faults_met"] for one in kept["acts"].values()),
        "findings": sum(len(one["findings"]) for one in kept["acts"].values()),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "command": "benchmarks/fault_drill.py --keep",
    }
    RESULT.write_text(json.dumps({**whole, "acts": kept["acts"]}, indent=2) + "\n")


def may_trace() -> bool:
    """Whether strace can be set on a process of ours that runs already."""
    with subprocess.Popen(["sleep", "60"]) as child:  # whichever sleep there is
        try:
            with injected(child.pid, Fault("openat", 1, error="EIO"), Path(os.devnull)):
                return True
        except PermissionError:
            return False
        finally:
            child.kill()


def main() -> int:
    """Run the drill; 0 when there was no finding."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--acts", help="which; default: all, and in a fleet those about people")
    parser.add_argument("--calls", default=",".join((*CALLS, "short")).replace(",", " "), help="which, with blanks")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_TRIES} faults by chance; figures are not kept")
    parser.add_argument(
        "--fault", action="append", help='only this one, such as "enrol, openat 1 once EIO"; repeatable'
    )
    parser.add_argument("--step", type=int, default=1, help="try every n-th call only")
    parser.add_argument("--left-by-kill", action="store_true", help="on a store that a killed process left")
    parser.add_argument("--in-fleet", action="store_true", help="in a store that shares its people")
    parser.add_argument("--keep", action="store_true", help="keep the figures of these acts among the results")
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    if shutil.which("strace") is None:
        print("strace is missing: sudo apt install strace", file=sys.stderr)
        return 2
    if not may_trace():
        print("strace may not trace a child here (a container without ptrace, or yama)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="fault-drill-") as scratch:
        begin_again_with_shim(Path(scratch))
        tally, start = Tally(), time.monotonic()
        bench = bench_at(Path(scratch), tally, left_by_kill=given.left_by_kill, in_fleet=given.in_fleet)
        if given.fault:
            drill_again(bench, given.fault)
        elif given.short:
            drill_shortly(bench, given.seed)
        else:
            wanted = set(given.calls.replace(",", " ").split())
            calls = [call for call in (*CALLS, "short") if wanted & set(call.split(","))]
            if not has_shim():
                calls.remove("short")
            all_acts = IN_FLEET if given.in_fleet else (*ACTS, *FURTHER, *UPGRADES)
            drill(bench, given.acts.split(",") if given.acts else all_acts, calls, tally, step=given.step)
    told = {
        "question": (__doc__ or "").splitlines()[0],
        "tried": sum(tally.tried.values()),
        "tried_by_act": dict(tally.tried),
        "tried_by_call": dict(tally.by_call),
        "done_all_the_same": dict(tally.acknowledged),
        "refused": dict(tally.refused),
        "whole_though_refused": dict(tally.whole_though_refused),
        "findings": tally.findings,
        "elapsed_s": round(time.monotonic() - start, 1),
    }
    print(json.dumps(told, indent=2))
    if given.keep:
        keep(tally, in_fleet=given.in_fleet, step=given.step)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())

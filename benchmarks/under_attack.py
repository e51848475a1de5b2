"""Does the kiosk go on, and end when it is told to, under hostile pictures and beside programs that take every core?

    python benchmarks/under_attack.py [--part bombs] [--part end] [--part nice] [--runs 5]

bombs: JPEGs of 3,000 and 60,000 scans, 5 MB of padding; refused within 50 ms of work, other calls answered meanwhile.
end: SIGTERM while a slow picture is decoded, while networks run for four callers, and while bombs are refused, also
beside two busy loops a core; `kiosk serve`, and `kiosk run` with the demo's camera and door; ended within 2 s.
nice: the door of `kiosk run --demo` at niceness 0 and 5 beside two busy loops a core at niceness 0 and callers who send
photographs without a pause; how many of three visitors were decided about, and how long each took. The same in a
control group with the CPUWeight of systemd/kiosk.service.
Real processes over real sockets; the load of the machine stands beside the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import ROOT, about_device, about_run, command_line
from benchmarks.about import store as store_result
from benchmarks.cgroups import Group, group
from kiosk.errors import ImageError
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.recognition.photo import survey
from tests.decoding.bombs import scan_bomb, segment, slow_picture

UNIT = ROOT / "systemd" / "kiosk.service"
GOLDEN = ROOT / "tests" / "golden"
PHOTOGRAPH = (GOLDEN / "person_a_1.jpg").read_bytes()
WAIT_S = 300.0
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
SCAN = segment(0xDA, bytes([1, 1, 0, 1, 63, 0x10])) + b"\0" * 4
BOMBS = {
    "3,000 scans": scan_bomb(7000, 3000),
    "60,000 scans": scan_bomb(7000, 1)[:-2] + SCAN * 60_000 + b"\xff\xd9",
    "4.9 MB of FF": b"\xff\xd8" + b"\xff" * 4_900_000,
}


def milliseconds(taken_s: list[float]) -> dict[str, float]:
    """Return p50, p95 and the worst."""
    p50, p95 = np.percentile(taken_s, [50, 95])
    return {"p50_ms": round(p50 * 1e3, 1), "p95_ms": round(p95 * 1e3, 1), "worst_ms": round(max(taken_s) * 1e3, 1)}


@contextlib.contextmanager
def serving(*, runs_door: bool = False) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Run `kiosk serve`, or the demo's `kiosk run`, on a new store, with a client that has a key."""
    with tempfile.TemporaryDirectory() as state:
        kiosk = [sys.executable, "-m", "kiosk", "--state", state]
        subprocess.run([*kiosk, "init"], cwd=ROOT, check=True, capture_output=True)
        made = subprocess.run([*kiosk, "key", "create", "--role", "device"], cwd=ROOT, check=True, capture_output=True)
        key = made.stdout.decode().splitlines()[-1]
        command, environment = ["serve", "--port", "0"], dict(os.environ)
        if runs_door:
            command = ["run", "--demo", str(GOLDEN), "--loop"]
            environment |= {"KIOSK_API_PORT": str(free_port()), "KIOSK_CAMERA_LOST_AFTER_S": "60"}
        with subprocess.Popen(
            [*kiosk, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = (line for line in process.stdout if line.startswith(("Serving at ", "Operators: ")))
            address = next(lines).split()[-1]
            try:
                with httpx.Client(
                    base_url=address, headers={"x-api-key": key}, trust_env=False, timeout=WAIT_S
                ) as client:
                    yield process, client
            finally:
                process.kill()


def free_port() -> int:
    """Return a port that nobody had a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def match(client: httpx.Client, picture: bytes = PHOTOGRAPH) -> int:
    """Ask for one comparison; return the status."""
    files = {"user_image": ("a.jpg", picture), "ref_image": ("b.jpg", PHOTOGRAPH)}
    return client.post("/v3/face-match/", files=files).status_code


def work_s(pid: int) -> float:
    """Return the processor time of a process and of what it started."""
    ticks, found = 0.0, [pid]
    while found:
        one = found.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return ticks * TICK_S


def bombs(runs: int) -> dict[str, Any]:
    """Send bombs beside ordinary calls."""
    result: dict[str, Any] = {}
    with serving() as (process, client):
        alone = [timed(match, client) for _ in range(runs + 3)][3:]
        result["ordinary call, alone"] = milliseconds(alone)
        for name, bomb in BOMBS.items():
            surveyed = []
            for _ in range(runs):
                begun = time.thread_time()
                with contextlib.suppress(ImageError):
                    survey(bomb)
                surveyed.append(time.thread_time() - begun)
            statuses, before = set(), work_s(process.pid)
            taken = []
            for _ in range(runs):
                begun = time.perf_counter()
                statuses.add(match(client, bomb))
                taken.append(time.perf_counter() - begun)
            worked = (work_s(process.pid) - before) / runs
            stop, beside = threading.Event(), []

            def throw(stop: threading.Event = stop, bomb: bytes = bomb) -> None:
                while not stop.is_set():
                    match(client, bomb)

            throwers = [threading.Thread(target=throw) for _ in range(2)]
            for one in throwers:
                one.start()
            beside = [timed(match, client) for _ in range(runs)]
            stop.set()
            for one in throwers:
                one.join()
            result[name] = {
                "statuses": sorted(statuses),
                "look_ms_of_work": round(min(surveyed) * 1e3, 2),
                "call_ms_of_work": round(
                    worked * 1e3, 1
                ),  # of the whole call, uploading 5 MB and the other photograph too
                "call": milliseconds(taken),
                "ordinary call, beside two who send it without a pause": milliseconds(beside),
            }
    return result


def timed(call: Any, *arguments: Any) -> float:
    """Return how long a call took, which must succeed."""
    begun = time.perf_counter()
    status = call(*arguments)
    if status != 200:
        raise AssertionError(f"an ordinary call was answered {status}")
    return time.perf_counter() - begun


def end(runs: int) -> dict[str, Any]:
    """Have the process told to end while it works."""
    result = {}
    pictures = {
        "a slow picture is decoded": slow_picture(),
        "networks run for four callers": PHOTOGRAPH,
        "bombs are refused": BOMBS["60,000 scans"],
    }
    for command, name, has_hogs in itertools.product(("serve", "run"), pictures, (False, True)):
        taken, codes = [], set()
        for _ in range(runs):
            with serving(runs_door=command == "run") as (process, client):
                match(client)
                callers = [
                    threading.Thread(target=_call_on, args=(client, pictures[name]), daemon=True) for _ in range(4)
                ]
                for one in callers:
                    one.start()
                with hogs() if has_hogs else contextlib.nullcontext():
                    time.sleep(1.0)  # they are all on their way
                    begun = time.perf_counter()
                    process.send_signal(signal.SIGTERM)
                    codes.add(process.wait(WAIT_S))
                    taken.append(time.perf_counter() - begun)
                for one in callers:
                    one.join()
        load = round(os.getloadavg()[0], 1)
        about = {"exit_codes": sorted(codes), "load_average": load, **milliseconds(taken)}
        result[f"kiosk {command}, {name}{', beside busy loops' if has_hogs else ''}"] = about
    return result


def _call_on(client: httpx.Client, picture: bytes) -> None:
    with contextlib.suppress(httpx.HTTPError):
        while True:
            match(client, picture)


@contextlib.contextmanager
def hogs() -> Iterator[None]:
    """Keep two busy loops a core going."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def nice(_: int) -> dict[str, Any]:
    """Run the demo's door beside hogs and callers."""
    result = {}
    for niceness in (0, 5):
        for has_hogs in (False, True):
            with hogs() if has_hogs else contextlib.nullcontext():
                result[f"niceness {niceness}, {'beside busy loops' if has_hogs else 'alone'}"] = _door(niceness)
    for niceness in (0, 5):
        with hogs(), group("cpu") as weighted:
            weighted.weigh(cpu_weight(UNIT.read_text()))
            result[f"niceness {niceness}, with the unit's weight beside busy loops"] = _door(niceness, weighted)
    return result


def cpu_weight(unit: str) -> int:
    """Return the weight that a unit has.

    >>> cpu_weight("CPUWeight=1000")
    1000
    """
    found = re.search(r"^CPUWeight=(\d+)$", unit, re.MULTILINE)
    if found is None:
        raise SystemExit("the unit has no CPUWeight")
    return int(found[1])


def _door(niceness: int, weighted: Group | None = None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        kiosk = [sys.executable, "-m", "kiosk", "--state", f"{place}/state"]
        subprocess.run([*kiosk, "init"], cwd=ROOT, check=True, capture_output=True)
        subprocess.run([*kiosk, "enrol", str(GOLDEN / "person_a_2.jpg"), "--name", "Person A"], cwd=ROOT, check=True)
        made = subprocess.run([*kiosk, "key", "create", "--role", "device"], cwd=ROOT, check=True, capture_output=True)
        key = made.stdout.decode().splitlines()[-1]
        Path(place, "visitors").mkdir()
        for at, name in enumerate(("a_1", "c_1", "b_1")):
            shutil.copy(GOLDEN / f"person_{name}.jpg", f"{place}/visitors/{at}.jpg")
        environment = {**os.environ, "KIOSK_API_PORT": str(free_port()), "KIOSK_CAMERA_LOST_AFTER_S": "60"}
        stop, calls, decided = threading.Event(), [0], []
        command = ["nice", "-n", str(niceness), *kiosk, "run", "--demo", f"{place}/visitors"]
        with subprocess.Popen(
            command if weighted is None else weighted.within(command),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            ending = threading.Timer(WAIT_S, process.kill)
            ending.start()
            assert process.stdout is not None
            callers: list[threading.Thread] = []
            before = time.monotonic()
            for line in process.stdout:
                if (found := re.search(r"Operators: (http\S+)/", line)) is not None:
                    before = time.monotonic()
                    callers = [
                        threading.Thread(target=_send, args=(found[1], key, stop, calls), daemon=True) for _ in range(4)
                    ]
                    for one in callers:
                        one.start()
                elif re.match(r"\d\d:\d\d:\d\d  .*\(\w.*\)$", line):  # calls have no reasons
                    decided.append(round(time.monotonic() - before, 2))
                    before = time.monotonic()
            ending.cancel()
            stop.set()
            code = process.wait()
        return {
            "load_average": round(os.getloadavg()[0], 1),
            "visitors": 3,
            "decided": len(decided),
            "each_s": decided,
            "calls_answered": calls[0],
            "exit_code": code,
        }


def _send(address: str, key: str, stop: threading.Event, calls: list[int]) -> None:
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.Client(base_url=address, headers={"x-api-key": key}, trust_env=False, timeout=WAIT_S) as client,
    ):
        while not stop.is_set():
            calls[0] += match(client) == 200


PARTS = {"bombs": bombs, "end": end, "nice": nice}


def main() -> int:
    """Run the parts; write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(PARTS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write the result")
    chosen = parser.parse_args()
    result: dict[str, Any] = {"load_average_at_the_start": os.getloadavg()[0]}
    for name in chosen.part or PARTS:
        result[name] = PARTS[name](chosen.runs)
        print(json.dumps({name: result[name]}, indent=2), flush=True)
    result["load_average_at_the_end"] = os.getloadavg()[0]
    if chosen.keep:
        about = about_run((__doc__ or "").splitlines()[0], read_pack(standard_pack()), command=command_line())
        store_result("under_attack", {**about, **about_device(["pillow"]), **result})
    return 0


if __name__ == "__main__":
    sys.exit(main())

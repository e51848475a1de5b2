"""Does every decision reach the cloud exactly once, in each person's order, through faults and kill -9?

And after a month without a network: how fast, and does recording a decision get slower meanwhile?

    python benchmarks/cloud_drill.py [--decisions 2000] [--quick]

Any decision lost or twice would change how rows are looked for; a ratio above 1.5 would move sending to a process of
its own. The clock runs `SPEED` times as fast in both processes, so that limits of a minute can be held in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kiosk.cloud.connection import Pace
from kiosk.cloud.credentials import API_KEY, Credentials
from kiosk.cloud.policy import Policy
from kiosk.cloud.sync import Sync
from kiosk.device.device import Device
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.settings.config import Config
from kiosk.settings.network import CloudSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import OutboxState
from kiosk.testing.fake_cloud import FakeCloud, FakeSession
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Template

SPEED = 20.0
LIMIT = 300
PEOPLE = 40
CALLS = 6  # at most, that must have come before the next thing breaks
RESULTS = Path(__file__).parent / "results"
FAULTS = ("reset", "done-reset", "500", "done-500", "half", "html", "done-html", "wrong", "done-wrong", "429", "late")
# In the fast clock's seconds; a session shows at most 2 of them late (see `late_s`), searches go on for 60.
PACE = Pace(first_s=2.0, longest_s=20.0, look_after_s=(6.0, 20.0, 60.0), stopped_s=20.0, recover_s=6.0, between_s=0.0)


def fast(base: float, speed: float = SPEED) -> Callable[[], float]:
    """Return a clock that was right at `base` and goes faster since."""
    return lambda: base + (time.time() - base) * speed


def kiosk(directory: Path, url: str, now: Callable[[], float], limit: int = LIMIT) -> Device:
    """Return a kiosk without models that replays what it decides."""
    chosen = CloudSettings(
        base_url=url,
        policy="replay",
        api_consent="owner",
        writes_per_minute=limit,
        probe_every_s=20.0,
        keep_days=3650.0,
    )
    store = open_store(directory, read_keys(directory), now=now)
    networks = fixed_recogniser(Template(np.eye(1, 128, dtype=np.float32)[0], "none"), read_pack(standard_pack()).scale)
    return Device(networks, store, Config(cloud=chosen), now=now, outgoing=Policy(store, chosen, now=now))


def decide(device: Device, number: int) -> None:
    """Save a match of two photographs; one in five without vendor_data."""
    vendor = None if number % 5 == 0 else f"person-{number % PEOPLE}"
    device.save(
        NewDecision(
            Kind.FACE_MATCH,
            "Declined",
            score=12,
            thresholds={"decline": 30},
            vendor_data=vendor,
            request_id=str(uuid.uuid4()),
        ),
        {"user_image": os.urandom(2000), "ref_image": os.urandom(2000)},
    )


def child(directory: Path, url: str, base: float, total: int) -> None:
    """Decide and send, until somebody kills this."""
    now = fast(base)
    with kiosk(directory, url, now) as device:
        sync = Sync(device, device.config.cloud, now=now, rng=random.Random(), pace=PACE)
        sync.start()
        while (count := device.store.decisions(limit=1).total) < total:
            decide(device, count)
        while True:
            time.sleep(1.0)  # the thread sends; the parent ends this process


def is_left(device: Device, total: int) -> bool:
    """Return whether anything is to be decided or sent yet."""
    counts = device.store.outbox.counts()
    waits = counts[OutboxState.WAITING] + counts[OutboxState.SENDING]
    return device.store.decisions(limit=1).total < total or bool(waits)


def drill(directory: Path, total: int, seed: int, within_s: float) -> dict[str, Any]:
    """Run the drill; return what the server counted."""
    rng, base = random.Random(seed), time.time()
    initialise(directory, now=fast(base)).close()
    begun, kills, running = time.monotonic(), 0, None
    with FakeCloud(now=fast(base), writes_per_minute=10_000_000, credits_="100000", rng=random.Random(seed)) as fake:
        fake.late_s, fake.retry_after = 2.0 / SPEED, "2"
        fake.chance, fake.chance_of = 0.12, FAULTS
        with kiosk(directory, fake.url, fast(base)) as device:
            Credentials(device.store).write(API_KEY, fake.api_key)
            try:
                while time.monotonic() - begun < within_s:
                    if running is None:
                        command = [
                            sys.executable,
                            __file__,
                            "--child",
                            str(directory),
                            fake.url,
                            repr(base),
                            str(total),
                        ]
                        running, before = subprocess.Popen(command), len(fake.calls)
                        while len(fake.calls) == before and running.poll() is None:
                            time.sleep(0.05)  # until it has something to lose
                    before, more = len(fake.calls), rng.randint(1, CALLS)
                    time.sleep(rng.uniform(0.1, 8.0 if total > 100 else 0.5))  # until the next thing breaks
                    while (  # on a busy machine as much is done in between as on another
                        len(fake.calls) < before + more
                        and running.poll() is None
                        and is_left(device, total)
                        and time.monotonic() - begun < within_s
                    ):
                        time.sleep(0.05)
                    if not is_left(device, total):
                        break
                    if rng.random() < 0.7:
                        running.send_signal(signal.SIGKILL)
                        running.wait()
                        running, kills = None, kills + 1
                    elif rng.random() < 0.3:
                        fake.go_away()
                        time.sleep(0.5)  # an outage
                        fake.come_back()
            finally:
                if running is not None:
                    running.kill()
                    running.wait()
            return judge(device, fake, kills, time.monotonic() - begun)


def request_of(session: FakeSession) -> str:
    """Return the kiosk's own number of a call, which travels in its metadata."""
    return str((session.metadata or {}).get("request_id"))


def judge(device: Device, fake: FakeCloud, kills: int, took_s: float) -> dict[str, Any]:
    """Hold what the server counted against what the kiosk decided."""
    found = list(device.store.decisions(DecisionFilter(kinds=(Kind.FACE_MATCH,)), limit=1_000_000).decisions)[::-1]
    wanted = {one.entry.request_id: one.vendor_data for one in found}
    arrived = Counter(request_of(one) for one in fake.sessions)
    order = {person: [r for r, v in wanted.items() if v == person] for person in set(wanted.values()) - {None}}
    came = {p: [request_of(one) for one in fake.sessions if one.vendor_data == p] for p in order}
    times, most, start = sorted(fake.billed), 0, 0
    for end, at in enumerate(times):
        while times[start] <= at - 60.0 / SPEED:
            start += 1
        most = max(most, end - start + 1)
    rows = device.store.outbox.rows(OutboxState.SENT, limit=1_000_000)
    ids = {request_of(one): one.id for one in fake.sessions}
    return {
        "decisions": len(wanted),
        "in_cloud": len(fake.sessions),
        "billed": len(fake.billed),
        "lost": sum(request not in arrived for request in wanted),
        "twice": sum(count > 1 for count in arrived.values()),
        "out_of_order": sum(came[person] != order[person] for person in order),
        "wrong_ids": sum(ids.get(row.request_id) != row.remote_request_id for row in rows),
        "most_writes_in_a_minute": most,
        "limit": LIMIT,
        "kills": kills,
        "calls": len(fake.calls),
        "counts": {state.value: count for state, count in device.store.outbox.counts().items()},
        "took_s": round(took_s, 1),
    }


def month(directory: Path, a_day: int) -> dict[str, Any]:
    """Stay without a network for a month of a simulated clock, then drain."""
    clock = [1_800_000_000.0]
    initialise(directory, now=lambda: clock[0]).close()
    with (
        FakeCloud(now=lambda: clock[0], writes_per_minute=10_000_000, credits_="100000") as fake,
        kiosk(directory, fake.url, lambda: clock[0], 60) as device,
    ):
        Credentials(device.store).write(API_KEY, fake.api_key)
        sync = Sync(device, device.config.cloud, now=lambda: clock[0], rng=random.Random(0))
        fake.go_away()
        for number in range(30 * a_day):
            decide(device, number)
            clock[0] += 86400.0 / a_day
            sync.sender.step()
        waited, fake_times = device.store.outbox.counts()[OutboxState.WAITING], []
        fake.come_back()
        begun, back_at = time.monotonic(), clock[0]
        while device.store.outbox.counts()[OutboxState.WAITING]:
            before = len(fake.billed)
            clock[0] += max(sync.sender.step(), 0.0)
            fake_times += [clock[0]] * (len(fake.billed) - before)
        most = max(sum(at - 60.0 < t <= at for t in fake_times) for at in fake_times)
        wanted = [row.request_id for row in device.store.outbox.rows(limit=1_000_000)]
        sync.close()
        return {
            "decisions": 30 * a_day,
            "waited": waited,
            "in_cloud": len(fake.sessions),
            "is_oldest_first": [request_of(one) for one in fake.sessions] == wanted,
            "most_writes_in_a_minute": most,
            "limit": 60,
            "simulated_drain_min": round((clock[0] - back_at) / 60.0, 1),
            "real_drain_s": round(time.monotonic() - begun, 1),
        }


def latency(directory: Path, rounds: int, burst: int) -> dict[str, Any]:
    """Record decisions in turns with nothing being sent, and while the outbox drains; compare."""
    initialise(directory, now=time.time).close()
    spent: dict[str, list[float]] = {"idle": [], "draining": []}
    sent = 0
    with (
        FakeCloud(writes_per_minute=10_000_000, credits_="100000") as fake,
        kiosk(directory, fake.url, time.time) as device,
    ):
        Credentials(device.store).write(API_KEY, fake.api_key)
        for number in range(600):
            decide(device, number)
        for turn in range(rounds):
            for name in ("idle", "draining"):
                sync = Sync(device, device.config.cloud, now=time.time, rng=random.Random(turn), pace=PACE)
                if name == "draining":
                    with device.store.database.write() as connection:
                        connection.execute("DELETE FROM cloud_write")  # so that each turn drains at full speed
                    before = len(fake.billed)
                    sync.start()
                    while len(fake.billed) == before:
                        time.sleep(0.01)  # until it is under way
                for number in range(burst):
                    begun = time.perf_counter()
                    decide(device, number)
                    spent[name].append(time.perf_counter() - begun)
                    time.sleep(0.02)  # a door's decisions are not back to back
                if name == "draining":
                    sent += len(fake.billed) - before
                sync.close()
    about = {
        name: {f"p{q}_ms": round(float(np.percentile(times, q)) * 1e3, 2) for q in (50, 95)} | {"count": len(times)}
        for name, times in spent.items()
    }
    return about | {
        "sent_meanwhile": sent,
        "ratio_p50": round(about["draining"]["p50_ms"] / about["idle"]["p50_ms"], 2),
        "ratio_p95": round(about["draining"]["p95_ms"] / about["idle"]["p95_ms"], 2),
    }


def main() -> int:
    """Drill, measure, print and keep; return 0 where nothing was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within", type=float, default=900.0, help="longest time of the drill, s")
    parser.add_argument("--quick", action="store_true", help="keep the script alive; its numbers are not kept")
    parser.add_argument("--part", choices=("all", "drill", "month", "latency"), default="all")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        directory, url, base, total = chosen.child
        child(Path(directory), url, float(base), int(total))
        return 0
    total = 30 if chosen.quick else chosen.decisions
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "drill": lambda: drill(place / "drill", total, chosen.seed, chosen.within),
            "month": lambda: month(place / "month", 4 if chosen.quick else 60),
            "latency": lambda: latency(place / "latency", 1 if chosen.quick else 8, 10 if chosen.quick else 50),
        }
        found = {name: run() for name, run in parts.items() if chosen.part in {name, "all"}}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    about = {"commit": commit, "device": platform.machine(), "python": platform.python_version(), "seed": chosen.seed}
    print(json.dumps(about | found, indent=2))
    if not chosen.quick:
        which = "" if chosen.part == "all" else f"-{chosen.part}"
        path = RESULTS / f"cloud_drill{which}-{platform.machine()}-{time.strftime('%Y%m%d')}.json"
        path.write_text(json.dumps(about | {"command": " ".join(sys.argv)} | found, indent=2) + "\n", encoding="utf-8")
    return 0 if is_good(found, total) else 1


def is_good(found: dict[str, Any], total: int) -> bool:
    """Say whether nothing was lost, doubled or out of order, and the limits held."""
    drilled, away = found.get("drill"), found.get("month")
    if drilled is not None:
        faults = [drilled[name] for name in ("lost", "twice", "out_of_order", "wrong_ids")]
        is_whole = drilled["decisions"] == drilled["in_cloud"] == drilled["billed"] == total
        if any(faults) or not is_whole or drilled["most_writes_in_a_minute"] > LIMIT:
            return False
    return away is None or (away["is_oldest_first"] and away["most_writes_in_a_minute"] <= away["limit"])


if __name__ == "__main__":
    sys.exit(main())

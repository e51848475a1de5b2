"""What does a running kiosk cost on 640 x 480 at 30 frames a second, and how soon does it decide?

    python benchmarks/bench_daemon.py [--people 10000] [--seconds 12] [--repeats 3] [--quick]

The real daemon with its threads and its capturing process, on motion JPEG recordings that were drawn before, so that
the process that captures pays what a camera would cost. Aims, and a miss of any would change the loop of the judge:
idle at most 25 % of one core, a decision at most 400 ms after the first good frame, a judged frame at most 40 ms, at
most 250 MB with 10,000 people. The first good frame is the earliest one that the decision rests on.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import about_device, about_run, command_line, device_slug, timing
from benchmarks.about import store as store_result
from benchmarks.replay import config
from kiosk.capture import Camera
from kiosk.clock import Clock
from kiosk.daemon import Kiosk
from kiosk.demo import Pose, Scene, Visitor
from kiosk.desk import News, Topic
from kiosk.device import Device
from kiosk.inference import load_recogniser, read_pack, standard_pack
from kiosk.photo import decode
from kiosk.presentation import Ready
from kiosk.state import initialise, open_store
from kiosk.subjects import Details, Enrolment
from kiosk.testing import RecordedLines
from kiosk.types import Template
from kiosk.vault import read_keys

FPS = 30
SIZE_WH = (640, 480)
PEOPLE, QUICK_PEOPLE = 10_000, 200
SECONDS, QUICK_SECONDS = 12.0, 3.0
REPEATS = 3
SETTLE_S = 20.0
BATCH = 500  # enrolments a transaction
VISIT_S, VISITS = 5.0, 20  # of the recording in which people come and go
AIMS = {"idle_share": 0.25, "decision_ms": 400.0, "judged_frame_ms": 40.0, "resident_mb": 250.0}
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
        store.enrol(Enrolment([known], Details(name="Person A")))
        for start in range(1, people, BATCH):
            vectors = rng.standard_normal((min(BATCH, people - start), known.vector.size)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            store.enrol_many([Enrolment([Template(vector, known.model)], Details()) for vector in vectors])


class Watched:
    """A running kiosk whose cost and times are taken from outside."""

    def __init__(self, directory: Path, source: str) -> None:
        recogniser = load_recogniser(read_pack(standard_pack()), threads=1)
        store = open_store(directory, read_keys(directory), now=time.time)
        settings = config(camera={"source": source}, degraded={"clock_untrusted": "open"})
        self.device = Device(recogniser, store, settings, now=time.time)
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
        self._captured: dict[int, float] = {}
        self._decided_at = 0.0
        self._take = self.kiosk.judge.take
        self.kiosk.judge.take = self._timed  # type: ignore[method-assign]  # a stopwatch around it
        self.kiosk.news.listen(self._hear)

    def __enter__(self) -> Watched:  # noqa: PYI034  # typing.Self needs Python 3.11
        self.kiosk.start()
        deadline = time.monotonic() + 60.0
        while not self.kiosk.health().is_armed:
            if time.monotonic() > deadline:
                raise SystemExit(f"the kiosk does not arm: {self.kiosk.health().states}")
            time.sleep(0.1)  # armed is a fact of other threads
        return self

    def __exit__(self, *_: object) -> None:
        self.kiosk.close()
        self.device.store.close()

    def _hear(self, news: News) -> None:
        if news.topic is Topic.DECISION:
            self._decided_at = time.monotonic()

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
            self.to_record_s.append(self._decided_at - self._captured[outcome.frames[0]])
        return outcome

    def shares(self, seconds: float) -> dict[str, float]:
        """Return how much of one core this process and the one that captures take."""
        me = psutil.Process()
        child = me.children()[0]
        began, mine, its = time.monotonic(), _cpu(me), _cpu(child)
        time.sleep(seconds)  # what passes meanwhile is what is measured
        whole = time.monotonic() - began
        return {"kiosk": (_cpu(me) - mine) / whole, "capture": (_cpu(child) - its) / whole}


def resident(directory: Path, source: str) -> dict[str, float]:
    """Run `kiosk run` with its API in a process of its own; return what it and the one that captures hold, MB."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "KIOSK_STATE": str(directory),
        "KIOSK_CAMERA_SOURCE": source,
        "KIOSK_API_PORT": str(port),
    }
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-m", "kiosk", "run"], env=environment, stdout=quiet, stderr=quiet) as run:
        time.sleep(SETTLE_S)  # models, people, some hundred frames
        me = psutil.Process(run.pid)
        held = {
            "kiosk": me.memory_info().rss,
            "capture": sum(child.memory_info().rss for child in me.children()),
        }
        run.terminate()
    return {name: round(size / 1e6, 1) for name, size in held.items()}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return each column's median."""
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def measure(folder: Path, people: int, seconds: float, repeats: int) -> dict[str, Any]:
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
    for name, (visitors, length_s) in scenes.items():
        source = record(folder / f"{name}.avi", visitors, length_s)
        with Watched(folder / "state", source) as watched:
            watched.shares(2.0)  # warm
            watched.frames_s.clear()
            rows = [watched.shares(seconds) for _ in range(repeats)]
            result[name] = {"share_of_a_core": medians(rows), "frame": timing(watched.frames_s)}
        if name == "decided":
            result["resident_mb"] = resident(folder / "state", source)
    source = record(folder / "visits.avi", [Visitor(a, (Pose(1.5, 1.3), Pose(VISIT_S - 0.5, 1.3)))], VISIT_S)
    with Watched(folder / "state", source) as watched:
        time.sleep(VISIT_S * max(2, round(VISITS * seconds / SECONDS)))  # people come and go meanwhile
        result["decision"] = {
            "first_good_frame_to_record": timing(watched.to_record_s),
            "judged_frame": timing(watched.judged_s),
            "judged_frame_cpu": timing(watched.judged_cpu_s),
            "pulses": watched.lines.pulses,
        }
    result["load_average"] = [round(value, 2) for value in os.getloadavg()]
    return result


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--quick", action="store_true", help="small and short; writes no result")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.people, chosen.seconds, chosen.repeats = QUICK_PEOPLE, QUICK_SECONDS, 1
    logging.disable(logging.ERROR)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), chosen.people, chosen.seconds, chosen.repeats)
    print(result)
    if not chosen.quick:
        about = about_run("What does a running kiosk cost?", read_pack(standard_pack()), command=command_line())
        store_result(
            f"daemon-{device_slug()}",
            {**about, **about_device(["numpy", "onnxruntime", "opencv-python-headless"]), "aims": AIMS, **result},
        )


if __name__ == "__main__":
    main()

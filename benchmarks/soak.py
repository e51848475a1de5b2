"""Does a kiosk hold for a day? Simulated, faults injected: no growth, no leak, nothing lost, nothing opened wrongly.

    python benchmarks/soak.py [--frames 216000] [--real 2000] [--seed 0]

The mass of the frames has scripted faces and templates, as the real networks would take the better part of an hour;
store, log, gallery, presentation, entrance, door, watch and monitor are the real ones. `--real` more frames go
through the real networks, on the demo's people. Growth of 5 MB, a thread or a descriptor too many, a decision that
is not logged exactly once, or a pulse without an approval would send us looking, so any of them ends with exit 1.
"""

from __future__ import annotations

import argparse
import gc
import logging
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import about_device, about_run, command_line
from benchmarks.about import store as store_result
from benchmarks.replay import Replay, config
from kiosk.capture.demo import Demo
from kiosk.door.inputs import Happened
from kiosk.door.lines import Input
from kiosk.entrance.news import News, Topic
from kiosk.errors import ModelFileError, StoreError
from kiosk.networks.inference import Pack, load_recogniser, read_pack, standard_pack
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.rules.conditions import Condition
from kiosk.rules.presentation import Ready
from kiosk.settings.config import Config
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Face, RgbImage, Template

DAY_S = 86_400.0
FRAMES = 216_000  # 2.5 a second for a day
FPS = 2.5
SIZE_WH = (320, 240)
PEOPLE, BLOCKED = 200, 10
D = 128
EDGE = 110.0  # px
POINTS = np.array([[-0.2, -0.15], [0.2, -0.15], [0.0, 0.05], [-0.15, 0.2], [0.15, 0.2]], np.float32)
GROWTH_MB = 5.0
WARM_UP = 0.2  # of the frames
SAMPLES = 20
PICTURES = 32  # that take turns, so that the camera never looks frozen
GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
VISITS = {"known": 62, "stranger": 12, "blocked": 4, "two": 4, "passing": 6}
FAULTS = ("camera", "frozen", "black", "store", "extract", "wall", "jump", "lines", "reload", "people", "exit")
FAULT_SHARE = 0.12  # of the visits
NONE_OF = (
    "announced_more_than_once",
    "logged_more_than_once",
    "announced_not_logged",
    "logged_not_announced",
    "pulses_without_approval",
    "decisions_with_two_pulses",
)


def direction(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return a random unit vector."""
    vector = rng.standard_normal(D).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


class Script:
    """Says what the recogniser finds in the frame of now, and fails when told."""

    def __init__(self, pack: Pack, rng: np.random.Generator) -> None:
        self.rng, self.model, self.scale = rng, pack.template_model, pack.scale
        self.shown: list[tuple[Face, np.ndarray[Any, Any]]] = []
        self.is_failing = False

    def show(self, *vectors: np.ndarray[Any, Any]) -> None:
        """Put people beside one another, each a little elsewhere than in the last frame."""
        self.shown = []
        edge = EDGE if len(vectors) == 1 else EDGE * 0.7
        for place, vector in enumerate(vectors):
            x, y = SIZE_WH[0] * (place + 1) / (len(vectors) + 1) + self.rng.uniform(-2, 2), SIZE_WH[1] / 2
            box = np.array([x - edge / 2, y - edge / 2, x + edge / 2, y + edge / 2], np.float32)
            self.shown.append((Face(box, (POINTS * edge + np.array((x, y))).astype(np.float32), 0.9), vector))

    def extract(self, _image: RgbImage, face: Face) -> Template:
        """Return the person's template with a frame's noise."""
        if self.is_failing:
            raise ModelFileError("the network gave no numbers")
        vector = next((vector for shown, vector in self.shown if shown is face), None)
        if vector is None:  # the gallery asks how long a template is
            vector = direction(np.random.default_rng(0))
        noisy = vector + 0.02 * self.rng.standard_normal(D).astype(np.float32)
        return Template((noisy / np.linalg.norm(noisy)).astype(np.float32), self.model)

    def recogniser(self) -> Recogniser:
        """Return the recogniser that follows the script."""

        def faces(_image: RgbImage) -> list[Face]:
            return [face for face, _ in self.shown]

        return Recogniser(
            detect=faces,
            glance=faces,
            find_upright=lambda image: (faces(image), 0),
            turn=lambda image, _angle: image,
            refine=lambda _image, face: (face, 1.0),
            extract=self.extract,
            describe=lambda _image, _face: (30.0, "female"),
            scale=self.scale,
            model=self.model,
        )


class FullDisk:
    """A store that takes no decision while it is told to; everything else goes through."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_full = False
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def record_decision(self, decision: Any, *more: Any) -> Any:
        """Record, or refuse as a full disk does."""
        if self.is_full:
            self.refused += 1
            raise StoreError("database or disk is full; make room")
        return self._store.record_decision(decision, *more)


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    resident_mb: float
    threads: int
    descriptors: int


def footprint() -> Footprint:
    """Measure this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Footprint(
        round(pages * resource.getpagesize() / 1e6, 2),
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())),
    )


class Soak:
    """A day at the door."""

    def __init__(self, directory: Path, pack: Pack, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.script = Script(pack, self.rng)
        self.settings = config(entrance={"idle_fps": 10.0}, attempts={"lockout_s": 60.0})
        self.replay = Replay(directory, self.script.recogniser(), self.settings, fps=FPS)
        self.replay.told = self._hear
        self.disk = FullDisk(self.replay.store)
        self.replay.device.store = self.disk  # type: ignore[assignment]  # it is one in all that is asked of it
        self.pictures = [self.rng.integers(60, 200, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8) for _ in range(PICTURES)]
        self.black: RgbImage = np.full((SIZE_WH[1], SIZE_WH[0], 3), 4, np.uint8)
        self.people: dict[int, np.ndarray[Any, Any]] = {}
        self.blocked: list[np.ndarray[Any, Any]] = []
        self.announced: Counter[str] = Counter()
        self.opened_for: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.presentations = self.frames = self.fullest_queue = 0
        self.longest_on_s = 0.0
        for _ in range(PEOPLE):
            self._enrol()
        for _ in range(BLOCKED):
            vector = direction(self.rng)
            self.blocked.append(vector)
            self._store_person(vector, is_blocklisted=True)

    def _store_person(self, vector: np.ndarray[Any, Any], **more: Any) -> int:
        template = Template(vector.astype(np.float32), self.script.model)
        return self.replay.store.people.enrol(Enrolment([template], Details(name="Person"), **more)).session_number

    def _enrol(self) -> None:
        vector = direction(self.rng)
        self.people[self._store_person(vector)] = vector

    def _hear(self, news: News) -> None:
        if news.topic is Topic.DECISION:
            self.announced[news.data["request_id"]] += 1

    def run(self, frames: int) -> list[Footprint]:
        """Live through the frames; return what was held on the way."""
        held: list[Footprint] = []
        every = max(1, frames // SAMPLES)
        while self.frames < frames:
            if len(held) < self.frames // every:
                held.append(footprint())
            self.visit()
        held.append(footprint())
        self.idle(30.0)
        return held

    def visit(self) -> None:
        """Let somebody come and go, and sometimes something break."""
        kind = str(self.rng.choice(list(VISITS), p=np.array(list(VISITS.values())) / sum(VISITS.values())))
        fault = str(self.rng.choice(FAULTS)) if self.rng.random() < FAULT_SHARE else ""
        self.done[kind] += 1
        self._fault_begins(fault)
        stay_s = 0.8 if kind == "passing" else float(self.rng.uniform(2.0, 4.0))
        someone = self.people[int(self.rng.choice(list(self.people)))]
        who = {
            "known": [someone],
            "passing": [someone],
            "stranger": [direction(self.rng)],
            "blocked": [self.blocked[int(self.rng.integers(len(self.blocked)))]],
            "two": [someone, direction(self.rng)],
        }[kind]
        self._frames(stay_s, who, fault)
        self._fault_ends(fault)
        self.idle(float(self.rng.uniform(3.0, 12.0)))
        self._look_at_door()

    def idle(self, seconds: float) -> None:
        """Let nobody be there."""
        self._frames(seconds, [], "")

    def _frames(self, seconds: float, who: Sequence[np.ndarray[Any, Any]], fault: str) -> None:
        for _ in range(max(1, round(seconds * FPS))):
            self.frames += 1
            self.script.show(*who)
            image: RgbImage | None = self.pictures[self.frames % PICTURES]
            if fault == "camera":
                image = None
            elif fault == "black":
                image = self.black
            elif fault == "frozen":
                image = self.pictures[0]
            self.presentations += isinstance(self.replay.step(image), Ready)

    def _fault_begins(self, fault: str) -> None:
        if not fault:
            return
        self.done[f"fault {fault}"] += 1
        replay = self.replay
        if fault == "store":
            self.disk.is_full = True
        elif fault == "extract":
            self.script.is_failing = True
        elif fault == "wall":
            replay.wall.now += float(self.rng.choice([-7200.0, -60.0, 60.0, 7200.0]))
        elif fault == "jump":
            replay.clock.now += float(self.rng.choice([-30.0, -1.0, 5.0, 600.0]))
        elif fault == "lines":
            replay.lines.break_down()
        elif fault == "reload":
            replay.reload(_other(replay.config))
        elif fault == "people":
            number = next(iter(self.people))
            del self.people[number]
            replay.store.people.forget(number)
            self._enrol()
        elif fault == "exit":
            replay.lines.turn(Input.EXIT, on=True)

    def _fault_ends(self, fault: str) -> None:
        replay = self.replay
        if fault == "store":
            self.disk.is_full = False
            replay.store.probe()
            replay.monitor.end(Condition.STORE_UNREADABLE)
        elif fault == "extract":
            self.script.is_failing = False
            replay.monitor.end(Condition.SELF_TEST_FAILED)
        elif fault == "lines":
            replay.lines.recover(afresh=True)
        elif fault == "exit":
            replay.lines.turn(Input.EXIT, on=False)

    def _look_at_door(self) -> None:
        for event in self.replay.door.events():
            self.done[f"door {event.what.value}"] += 1
            if event.what is Happened.RELAY_ON and event.decision:
                self.opened_for[event.decision] += 1
        self.longest_on_s = max([self.longest_on_s, *self.replay.relay_on_s])
        self.replay.relay_on_s.clear()
        self.replay.lines.history.clear()
        self.replay.trace.clear()

    def audit(self) -> dict[str, Any]:
        """Hold what was told and opened against the log."""
        logged: dict[str, str] = {}
        twice = offset = 0
        while page := self.replay.store.decisions(limit=500, offset=offset).decisions:
            offset += len(page)
            for one in page:
                twice += one.entry.request_id in logged
                logged[one.entry.request_id] = str(one.entry.status)
        verdict = self.replay.store.verify_log()
        return {
            "decisions_announced": len(self.announced),
            "decisions_logged": len(logged),
            "announced_more_than_once": sum(count > 1 for count in self.announced.values()),
            "logged_more_than_once": twice,
            "announced_not_logged": len(set(self.announced) - set(logged)),
            "logged_not_announced": len(set(logged) - set(self.announced)),
            "pulses_for_decisions": sum(self.opened_for.values()),
            "pulses_without_approval": sum(logged.get(one) != "Approved" for one in self.opened_for),
            "decisions_with_two_pulses": sum(count > 1 for count in self.opened_for.values()),
            "decisions_refused_by_the_disk": self.disk.refused,
            "log_is_intact": verdict.is_intact,
            "longest_pulse_s": round(self.longest_on_s, 3),
            "hard_maximum_s": self.settings.door.longest_pulse_s,
        }


def _other(settings: Config) -> Config:
    """Return settings that differ in what a reload takes."""
    is_first = settings.entrance.identify_threshold == 80.0
    return config(
        entrance={"identify_threshold": 82.0 if is_first else 80.0}, attempts={"lockout_s": 50.0 if is_first else 60.0}
    )


def soak(directory: Path, frames: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Run the day; return the result, and what is wrong."""
    pack = read_pack(standard_pack())
    logging.disable(logging.CRITICAL)  # hundreds of thousands of lines about faults that are meant
    began = time.perf_counter()
    day = Soak(directory, pack, seed)
    held = day.run(frames)
    audit = day.audit()
    elapsed_s = time.perf_counter() - began
    day.replay.close()
    logging.disable(logging.NOTSET)
    warm, end = held[int(len(held) * WARM_UP)], held[-1]
    result = {
        "frames": day.frames,
        "simulated_h": round(day.frames / FPS / 3600.0, 2),
        "presentations": day.presentations,
        "took_s": round(elapsed_s, 1),
        "faces": "scripted; store, log, gallery, presentation, entrance, door, watch and monitor are the real ones",
        "visits_and_faults": dict(sorted(day.done.items())),
        **audit,
        "warm_up_mb": warm.resident_mb,
        "end_mb": end.resident_mb,
        "growth_mb": round(end.resident_mb - warm.resident_mb, 2),
        "resident_mb": [one.resident_mb for one in held],
        "threads": [warm.threads, end.threads],
        "descriptors": [warm.descriptors, end.descriptors],
    }
    wrong = [f"{name}: {result[name]}" for name in NONE_OF if result[name]]
    if result["growth_mb"] >= GROWTH_MB:
        wrong.append(f"memory grew by {result['growth_mb']} MB")
    if (warm.threads, warm.descriptors) != (end.threads, end.descriptors):
        wrong.append(f"threads {result['threads']}, descriptors {result['descriptors']}")
    if not result["log_is_intact"]:
        wrong.append("the log does not verify")
    if not 0 < result["longest_pulse_s"] <= result["hard_maximum_s"] + 0.05:
        wrong.append(f"the longest pulse took {result['longest_pulse_s']} s")
    return result, wrong


def real(directory: Path, frames: int) -> dict[str, Any]:
    """Run so many frames through the real networks; return what was held and decided."""
    pack = read_pack(standard_pack())
    recogniser = load_recogniser(pack, threads=1)
    portraits = [decode(path.read_bytes()) for path in sorted(GOLDEN.glob("person_*_1.jpg"))]
    replay = Replay(directory, recogniser, config(presentation={"face_low_px": 56.0}), fps=10.0)
    template = recogniser.analyse(portraits[0]).template
    assert template is not None
    replay.store.people.enrol(Enrolment([template], Details(name="Person A")))
    demo = Demo(portraits, (640, 480), 10.0)
    held, ready = [], 0
    for number in range(frames):
        ready += isinstance(replay.step(demo.frame(number)), Ready)
        if number in (frames // 5, frames - 1):
            held.append(footprint())
    decisions, is_intact = replay.store.decisions().total, replay.store.verify_log().is_intact
    replay.close()
    return {
        "frames": frames,
        "presentations": ready,
        "decisions_logged": decisions,
        "log_is_intact": is_intact,
        "growth_mb": round(held[-1].resident_mb - held[0].resident_mb, 2),
        "faces": "the real networks on the demo's people",
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=FRAMES, help="of the day; fewer write no result")
    parser.add_argument("--real", type=int, default=2000, help="frames through the real networks; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        result, wrong = soak(Path(folder) / "day", chosen.frames, chosen.seed)
        if chosen.real:
            result["real_networks"] = real(Path(folder) / "real", chosen.real)
    for name, value in result.items():
        print(f"{name}: {value}")
    if chosen.frames >= FRAMES:
        about = about_run("Does a kiosk hold for a day?", read_pack(standard_pack()), command=command_line())
        store_result("soak", {**about, **about_device(["numpy", "onnxruntime"]), **result, "wrong": wrong})
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()

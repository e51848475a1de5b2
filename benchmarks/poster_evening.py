"""Are people decided about who come while a poster, a mirror and a television are in view, and nothing else let in?

    python benchmarks/poster_evening.py [--minutes 60] [--people 20]

The poster shows somebody who is enrolled, at first alone with a kiosk that starts; a small poster shows somebody who
is blocked. The mirror shows whoever stands there once more, the television shows a face that moves: an operator has
marked both. People walk up all hour long: enrolled, blocked and unknown ones in turn. Somebody who is not decided
about, or another one than they are, or an opened door with nobody there, ends this with exit 1. The portraits are the
repository's own, so one person comes several times.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import about_run, command_line, timing
from benchmarks.about import store as store_result
from benchmarks.replay import Replay, config
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import RgbImage

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
SIZE_WH = (640, 480)
FPS = 5.0
WALL = 110  # grey level
GRAIN = 6  # grey levels of noise to either side
SETTLE_S = 75.0  # alone with the posters, before anybody comes
VISIT_S = 7.0
PERSON_PX = 130
PERSON_AT = (200.0, 250.0)
POSTER_PX, POSTER_AT = 110, (560.0, 80.0)
SMALL_PX, SMALL_AT = 55, (430.0, 60.0)
TELEVISION_PX, TELEVISION_AT = 60, (580.0, 370.0)
MIRROR_SHARE, MIRROR_AT = 0.5, (60.0, 60.0)
MARKED = ("0.00 0.00 0.25 0.35", "0.72 0.58 1.00 1.00")  # the mirror, the television
TURN = ("a_1", "a_2", "c_1", "b_1", "a_1")  # known, known, unknown, blocked, known


class Cutout:
    """A face with what is around it, drawn at any size and place."""

    def __init__(self, recogniser: Recogniser, photograph: RgbImage) -> None:
        """Find the face."""
        left, top, right, bottom = (float(value) for value in recogniser.detect(photograph)[0].box)
        self._edge = max(right - left, bottom - top)
        x, y = (left + right) / 2, (top + bottom) / 2
        height, width = photograph.shape[:2]
        reach = min(self._edge, x, y, width - x, height - y)
        self._part = photograph[round(y - reach) : round(y + reach), round(x - reach) : round(x + reach)]

    def draw(self, frame: RgbImage, width: float, at: tuple[float, float]) -> None:
        """Draw the face so wide, with its middle there, px; parts of a pixel too."""
        scale = width / self._edge
        size = max(2, round(self._part.shape[0] * scale))
        drawn = cv2.resize(self._part, (size, size), interpolation=cv2.INTER_AREA)
        left, top = int(at[0] - size / 2), int(at[1] - size / 2)
        rest = np.array([[1.0, 0.0, at[0] - size / 2 - left], [0.0, 1.0, at[1] - size / 2 - top]])
        drawn = cv2.warpAffine(drawn, rest, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        height, full = frame.shape[:2]
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + size, full), min(top + size, height)
        if x2 > x1 and y2 > y1:
            frame[y1:y2, x1:x2] = drawn[y1 - top : y2 - top, x1 - left : x2 - left]


class Hall:
    """What the camera sees: posters that never move, a mirror, a television, and perhaps somebody."""

    def __init__(self, cutouts: dict[str, Cutout], *, poster_px: int = POSTER_PX) -> None:
        """Hang the posters."""
        self.cutouts = cutouts
        self._noise = np.random.default_rng(0).integers(0, 2 * GRAIN + 1, (600, 800, 3), np.uint8)
        self._empty = np.full((SIZE_WH[1], SIZE_WH[0], 3), WALL - GRAIN, np.uint8)
        if poster_px:
            cutouts["a_1"].draw(self._empty, poster_px, POSTER_AT)
        cutouts["b_1"].draw(self._empty, SMALL_PX, SMALL_AT)

    def frame(self, number: int, who: str | None = None, since_s: float = 0.0) -> RgbImage:
        """Draw the frame of that number, with somebody who came so long ago: in from the left, then swaying."""
        frame, at_s = self._empty.copy(), number / FPS
        moved = TELEVISION_AT[0] + 15.0 * np.sin(at_s), TELEVISION_AT[1] + 6.0 * np.sin(1.7 * at_s)
        self.cutouts["c_1"].draw(frame, TELEVISION_PX, moved)
        if who is not None:
            far = max(0.0, 1.0 - since_s)
            x = PERSON_AT[0] - 60.0 * far + 3.0 * np.sin(2.1 * since_s)
            y = PERSON_AT[1] + 2.0 * np.sin(3.3 * since_s)
            width = PERSON_PX * (1.0 - 0.4 * far)
            self.cutouts[who].draw(frame, width, (x, y))
            mirrored = MIRROR_AT[0] + (PERSON_AT[0] - x) * MIRROR_SHARE
            self.cutouts[who].draw(frame, width * MIRROR_SHARE, (mirrored, MIRROR_AT[1] + (y - PERSON_AT[1]) / 2))
        down, right = (number * 7) % 120, (number * 13) % 160
        return np.asarray(cv2.add(frame, self._noise[down : down + SIZE_WH[1], right : right + SIZE_WH[0]]), np.uint8)


def play(replay: Replay, hall: Hall, seconds: float, who: str | None = None) -> list[str]:
    """Show the hall for a time; return what happened."""
    start = len(replay.trace)
    for step in range(round(seconds * replay.fps)):
        replay.step(hall.frame(replay.number + 1, who, step / replay.fps))
    return replay.trace[start:]


def settle(replay: Replay, hall: Hall, fps: float = FPS) -> list[str]:
    """Let the posters hang, with nobody there, until they are furniture; return what happened."""
    usual, replay.fps = replay.fps, fps
    said = play(replay, hall, SETTLE_S)
    replay.fps = usual
    return said


def open_hall(folder: Path, recogniser: Recogniser, **entrance: Any) -> tuple[Replay, Hall]:
    """Return a kiosk that knows Person A and blocks Person B, in the hall."""
    photographs = {name: decode((GOLDEN / f"person_{name}.jpg").read_bytes()) for name in set(TURN)}
    never = {"free_tries": 98, "lockout_tries": 99}  # strangers come one after the other here
    replay = Replay(folder / "state", recogniser, config(attempts=never, entrance=entrance), fps=FPS)
    known = {name: recogniser.analyse(photograph).template for name, photograph in photographs.items()}
    replay.store.people.enrol(Enrolment([one for one in (known["a_2"],) if one], Details(name="Person A")))
    blocked = Enrolment([one for one in (known["b_1"],) if one], Details(name="Person B"), is_blocklisted=True)
    replay.store.people.enrol(blocked)
    return replay, Hall({name: Cutout(recogniser, photograph) for name, photograph in photographs.items()})


WANTED = {
    "a_1": ["IDENTIFY Approved: Person A (matched)", "relay on"],
    "a_2": ["IDENTIFY Approved: Person A (matched)", "relay on"],
    "b_1": ["IDENTIFY Declined: Person B (blocklisted)"],
    "c_1": ["IDENTIFY Declined: nobody known (unknown)"],
}


def evening(
    folder: Path, recogniser: Recogniser, *, minutes: float, people: int, alone_fps: float = FPS
) -> dict[str, Any]:
    """Play it; return what was expected and what was not."""
    replay, hall = open_hall(folder, recogniser, ignore=MARKED)
    alone = settle(replay, hall, alone_fps)
    counted: Counter[str] = Counter()
    unexpected: list[dict[str, Any]] = []
    pause_s = max(4.0, (minutes * 60.0 - SETTLE_S) / people - VISIT_S)
    between: list[str] = []
    for number in range(people):
        who = TURN[number % len(TURN)]
        said = [line for line in play(replay, hall, VISIT_S, who) if ":" in line or line == "relay on"]
        counted["decided" if any(":" in line for line in said) else "undecided"] += 1
        if said != WANTED[who]:
            unexpected.append({"visit": number, "who": who, "said": said})
        between += play(replay, hall, pause_s)
    result = {
        "visits": people,
        "replayed_s": round(replay.number / FPS),
        "counted": dict(counted),
        "unexpected": unexpected,
        "with_nobody_there": [line for line in [*alone, *between] if ":" in line or line == "relay on"],
        "pulses": replay.lines.pulses,
        "furniture": [one.place for one in replay.judge.still_faces if one.is_furniture],
        "decisions_logged": replay.store.decisions().total,
        "log_is_intact": replay.store.verify_log().is_intact,
        "frame": timing(replay.taken_s),
    }
    replay.close()
    return result


def main() -> None:
    """Play and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the evening, replayed")
    parser.add_argument("--people", type=int, default=20)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    recogniser = load_recogniser(read_pack(standard_pack()), threads=1)
    with tempfile.TemporaryDirectory() as folder:
        result = evening(Path(folder), recogniser, minutes=chosen.minutes, people=chosen.people)
    for name, value in result.items():
        print(f"{name}: {value}")
    question = "Is everybody decided about while a poster, a mirror and a television are in view?"
    store_result(
        "poster_evening", {**about_run(question, read_pack(standard_pack()), command=command_line()), **result}
    )
    sys.exit(1 if result["unexpected"] or result["with_nobody_there"] else 0)


if __name__ == "__main__":
    main()

"""Does an evening at the door go as it should, with more people than may be kept here?

    python benchmarks/evening.py --faces FOLDER

FOLDER holds one folder of photographs a person; it is no part of this repository, and no picture of it is kept. Of
the people in the order of their names the last two stay strangers, the one before them is blocked, and the others are
enrolled with their first photograph; everybody then walks up with each of their other ones. Whoever is let in but not
known, or as another, or whatever else differs from what it should be, ends this with exit 1. Somebody in profile is
not judged but asked to turn.
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
from kiosk.capture.demo import Scene, Visitor, walk_up
from kiosk.capture.sources import PICTURES
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.recognition.quality import measure
from kiosk.rules.limits import Limits
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import RgbImage

FPS = 10.0
SIZE_WH = (640, 480)
VISIT_S = 6.5
NEAR_S = 4.0  # into a visit its person stands still in front of the kiosk
GREY = (127, 127, 127)
MARGIN = 0.35  # around a tight crop, as a share of its height: a detector at a door sees more than the face
STRANGERS = 2


def portrait(path: Path) -> RgbImage:
    """Read a photograph and put a margin around it."""
    image = decode(path.read_bytes())
    edge = round(image.shape[0] * MARGIN)
    return np.asarray(cv2.copyMakeBorder(image, edge, 0, edge, edge, cv2.BORDER_CONSTANT, value=GREY), np.uint8)


def play(replay: Replay, visitor: Visitor) -> str:
    """Let somebody walk up; return what was decided, or that nothing was."""
    scene, start = Scene([visitor], SIZE_WH), len(replay.trace)
    for number in range(round(VISIT_S * FPS)):
        replay.step(scene.draw(number / FPS, replay.number + 1))
    said = replay.trace[start:]
    decided = [line for line in said if ":" in line]
    opened = " opens" if "relay on" in said else ""
    return f"{' + '.join(decided) or 'nothing decided'}{opened}"


def is_turned_away(recogniser: Recogniser, visitor: Visitor) -> bool:
    """Say whether somebody who stands there shows their profile: the kiosk then asks them to turn and judges nobody."""
    frame = Scene([visitor], SIZE_WH).draw(NEAR_S, 1)
    faces = recogniser.glance(frame)
    return bool(faces) and measure(frame, recogniser.sharpen(frame, faces[0])).frontality < Limits().frontality_low


def evening(folder: Path, faces: Path) -> dict[str, Any]:
    """Play it; return what was expected and what was not."""
    names = sorted(path.name for path in faces.iterdir() if path.is_dir())
    photographs = {
        name: sorted(path for path in (faces / name).iterdir() if path.suffix.lower() in PICTURES) for name in names
    }
    people = {name: f"Person {number}" for number, name in enumerate(names, 1)}  # no names in a result
    recogniser = load_recogniser(read_pack(standard_pack()), threads=1)
    never = {"free_tries": 98, "lockout_tries": 99}  # strangers come one after the other here
    replay = Replay(folder / "state", recogniser, config(attempts=never), fps=FPS)
    strangers, blocked = set(names[-STRANGERS:]), names[-STRANGERS - 1]
    for name in names:
        template = recogniser.analyse(portrait(photographs[name][0])).template
        if name not in strangers and template is not None:
            details = Details(name=people[name])
            replay.store.people.enrol(Enrolment([template], details, is_blocklisted=name == blocked))
    for _ in range(round(FPS)):
        replay.step(Scene([], SIZE_WH).draw(0.0, replay.number + 1))
    counted: Counter[str] = Counter()
    unexpected, wrong = [], []
    for turn in range(1, max(map(len, photographs.values()))):
        for name in names:
            if turn >= len(photographs[name]):
                continue
            visitor = Visitor(portrait(photographs[name][turn]), walk_up(0.5, 2.0, 0.95))
            said = play(replay, visitor)
            who = people[name]
            kind = "stranger" if name in strangers else "blocked" if name == blocked else "known"
            if said == "nothing decided" and is_turned_away(recogniser, visitor):
                kind = "turned away"
            wanted = {
                "turned away": "nothing decided",
                "known": f"IDENTIFY Approved: {who} (matched) opens",
                "stranger": "IDENTIFY Declined: nobody known (unknown)",
                "blocked": f"IDENTIFY Declined: {who} (blocklisted)",
            }[kind]
            counted[f"{kind}, as expected" if said == wanted else f"{kind}, otherwise"] += 1
            if said != wanted:
                unexpected.append({"kind": kind, "said": said.replace(who, "this person")})
            if "opens" in said and said != wanted:
                wrong.append(said)
    result = {
        "visits": sum(counted.values()),
        "counted": dict(sorted(counted.items())),
        "unexpected": unexpected,
        "opened_wrongly": len(wrong),
        "pulses": replay.lines.pulses,
        "decisions_logged": replay.store.decisions().total,
        "log_is_intact": replay.store.verify_log().is_intact,
        "frame": timing(replay.taken_s),
    }
    replay.close()
    return result


def main() -> None:
    """Play and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of folders of photographs, one a person")
    chosen = parser.parse_args()
    if not chosen.faces.is_dir():
        sys.exit(f"{chosen.faces}: no such folder; this evening needs photographs that are no part of the repository")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = evening(Path(folder), chosen.faces)
    for name, value in result.items():
        print(f"{name}: {value}")
    question = "Does an evening at the door go as it should?"
    store_result("evening", {**about_run(question, read_pack(standard_pack()), command=command_line()), **result})
    sys.exit(1 if result["opened_wrongly"] or result["unexpected"] else 0)


if __name__ == "__main__":
    main()

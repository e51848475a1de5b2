"""How soon after the first good frame does the door decide, at each level of [pad]?

    python benchmarks/bench_door.py [--visits 30] [--processor-time] [--quick]

A person made of a portrait comes before a camera of 30 frames a second and answers at once; the judge of the daemon
with its store and door on the real clock, real networks, frames drawn before. The first good frame is the first that is
gathered. With level off more than `gather_s` + 50 ms would change the loop of the judge; passive gathers for a second
by its own setting, and active waits for a movement. With --processor-time only what this process computes counts, and
the camera's pace: for a machine that other work shares; waits for the disk are left out then. Writes
benchmarks/results/door-<device>.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.about import about_device, about_run, command_line, device_slug, store
from benchmarks.pad import Bench, one_person
from benchmarks.pad_door import ProcessorClock, WallClock, measure_door
from kiosk.settings.config import Config

LEVELS = ("off", "passive", "active")
VISITS, QUICK_VISITS = 30, 2
MOST_AFTER_GATHERING_MS = 50.0


def measure(visits: int, clock: type[WallClock | ProcessorClock]) -> dict[str, Any]:
    """Measure every level, one after the other."""
    bench = Bench()
    person, found = one_person(bench), {}
    for level in LEVELS:
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state"
            found[level] = measure_door(
                state, bench.recogniser, bench.network, person, visits, level=level, clock=clock()
            )
    return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=VISITS, help="at each level")
    parser.add_argument("--processor-time", action="store_true", help="count what this process computes alone")
    parser.add_argument("--quick", action="store_true", help="a few; store nothing")
    chosen = parser.parse_args()
    clock = ProcessorClock if chosen.processor_time else WallClock
    levels = measure(QUICK_VISITS if chosen.quick else chosen.visits, clock)
    gather_ms = 1000.0 * Config().presentation.gather_s
    took = levels["off"]["first_good_frame_to_decision"]
    result = {
        "clock": "what the process computes, and the camera's pace" if chosen.processor_time else "the wall's",
        "gather_ms": gather_ms,
        "levels": levels,
        "aim": f"off: within {gather_ms + MOST_AFTER_GATHERING_MS:g} ms, 95 of 100",
        "held": bool(took and took["p95_ms"] <= gather_ms + MOST_AFTER_GATHERING_MS),
    }
    print(json.dumps(result, indent=2))
    if not chosen.quick:
        about = about_run(__doc__.partition("\n")[0], Bench().pack, command=command_line())
        store(f"door-{device_slug()}", {**about, **about_device(["numpy", "onnxruntime"]), **result})


if __name__ == "__main__":
    main()

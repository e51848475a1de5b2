"""Does `kiosk evaluate match` get through 15,000 photographs within 20 minutes of two cores, and on after a kill?

The number that would change a decision: more than 20 minutes on the clock, or any rate that a kill has changed.

    python benchmarks/bench_evaluate.py FACES [--photographs 15000] [--kill-after 5000]

FACES has a folder for each person, such as LFW's (not part of the repository). Where it holds fewer photographs, each
is taken again mirrored, cut and made smaller: of the same person, so no pair of strangers becomes a pair of one. The
first run is ended by kill -9 once so many photographs are written down, and the second goes on; times are of both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import ROOT, about_device, about_run, command_line
from benchmarks.about import store as store_result
from kiosk.errors import ConfigError
from kiosk.evaluation.photographs import Photograph, read_people
from kiosk.networks.inference import read_pack, standard_pack

LOOK_S = 0.05  # between two looks at a run
QUICK = 12  # photographs


def cut(image: Image.Image) -> Image.Image:
    """Leave a twentieth out at each side."""
    width, height = image.size
    return image.crop((width // 20, height // 20, width - width // 20, height - height // 20))


AGAIN: tuple[Callable[[Image.Image], Image.Image], ...] = (
    lambda image: image,
    ImageOps.mirror,
    cut,
    lambda image: ImageOps.scale(image, 0.8),
)


def gather(photographs: Sequence[Photograph], count: int, folder: Path) -> None:
    """Write so many photographs, a folder for each person.

    Raises:
        ConfigError: there are too few, even when each is taken four times.
    """
    if len(photographs) * len(AGAIN) < count:
        raise ConfigError(f"{len(photographs):,} photographs are too few for {count:,}")
    for at, (changed, one) in enumerate(itertools.islice(itertools.product(AGAIN, photographs), count)):
        place = folder / one.person
        place.mkdir(exist_ok=True)
        try:
            with Image.open(one.path) as image:
                changed(image.convert("RGB")).save(place / f"{at}.jpg", quality=95)
        except OSError:  # one is cut off, and stays so
            shutil.copy(one.path, place / f"{at}{one.path.suffix}")


def peak_mb(pid: int) -> float:
    """Return the most memory a process has held so far; 0 where it has ended."""
    with suppress(OSError, IndexError):
        line = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2]
        return int(line.split()[0]) / 1024
    return 0.0


def run(state: Path, people: Path, *, kill_after: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate; return what it took, and its report, which is empty where the run was killed.

    Args:
        state: a folder of the kiosk's own.
        people: a folder for each person.
        kill_after: photographs written down.
    """
    command = [sys.executable, "-m", "kiosk", "--state", str(state), "evaluate", "match", str(people), "--json"]
    before, begun, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0.0
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.DEVNULL) as process,
    ):
        while process.poll() is None:
            most = max(most, peak_mb(process.pid))
            if kill_after is not None and noted(state) >= kill_after:
                process.kill()
                break
            time.sleep(LOOK_S)
        code = process.wait()
        said.seek(0)
        report: dict[str, Any] = json.loads(said.read() or "{}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if kill_after is None and code:
        raise SystemExit(f"kiosk evaluate match ended with {code}")
    return {
        "wall_s": round(time.monotonic() - begun, 1),
        "processor_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_resident_mb": round(most),
        "ended_by": "SIGKILL" if code < 0 else f"exit {code}",
        "written_down": noted(state),
        "load_average": round(os.getloadavg()[0], 1),
    }, report


def noted(state: Path) -> int:
    """Return how many photographs an evaluation has written down."""
    return sum(path.read_bytes().count(b'"of"') for path in (state / "evaluation").glob("*.jsonl"))


def measure(photographs: Sequence[Photograph], count: int, kill_after: int, *, is_compared: bool) -> dict[str, Any]:
    """Evaluate with a kill between.

    Args:
        photographs: to choose from.
        count: of those evaluated.
        kill_after: photographs.
        is_compared: evaluate once more without a kill, and compare every rate.
    """
    with tempfile.TemporaryDirectory() as place:
        people, state = Path(place, "people"), Path(place, "state")
        people.mkdir()
        gather(photographs, count, people)
        killed, _ = run(state, people, kill_after=kill_after)
        resumed, report = run(state, people)
        result = {
            "photographs": report["photographs"],
            "people": report["people"],
            "not_acquired": report["not_acquired"],
            "mated": report["mated"],
            "non_mated": report["non_mated"],
            "cores": os.cpu_count(),
            "killed": killed,
            "resumed": resumed,
            "wall_s": round(killed["wall_s"] + resumed["wall_s"], 1),
            "processor_s": round(killed["processor_s"] + resumed["processor_s"], 1),
            "peak_resident_mb": max(killed["peak_resident_mb"], resumed["peak_resident_mb"]),
        }
        if is_compared:
            whole, wanted = run(Path(place, "whole"), people)
            result |= {"without_a_kill": whole, "same_report": report == wanted}
    return result


def main() -> int:
    """Measure, and keep the result; 1 where a kill changed the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, metavar="FACES")
    parser.add_argument("--photographs", type=int, default=15_000)
    parser.add_argument("--kill-after", type=int, default=5_000, metavar="N")
    parser.add_argument("--compare", action="store_true", help="run once more without a kill, and compare the reports")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} photographs, compared; no result kept")
    chosen = parser.parse_args()
    photographs = read_people(chosen.faces)
    if chosen.quick:
        result = measure(photographs, QUICK, QUICK // 3, is_compared=True)
    else:
        result = measure(photographs, chosen.photographs, chosen.kill_after, is_compared=chosen.compare)
    print(json.dumps(result, indent=2))
    if not chosen.quick:
        about = about_run(__doc__.splitlines()[0], read_pack(standard_pack()), command=command_line())
        store_result("evaluate", {**about, **about_device(["onnxruntime", "pillow"]), **result})
    return 0 if result.get("same_report", True) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What does one board take for each step of a decision, and are its answers the ones that were measured?

The numbers that would change a decision: a judged frame above 200 ms on the board, or a template whose cosine with the
processor's own is below 0.999 on another provider.

    python benchmarks/board.py [--providers CUDAExecutionProvider,CPUExecutionProvider] [--quick]

For owners: `benchmarks/pi.sh` and `benchmarks/gpu.sh` install what it needs, call it, and print its one table, which is
to be sent back. Nothing personal is in it: the photographs are the portraits in the public domain of tests/golden.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.about import device, git, version
from kiosk.errors import KioskError
from kiosk.gallery.gallery import Gallery, People
from kiosk.gallery.search import Query
from kiosk.networks.inference import DEFAULT_PROVIDERS, Pack, load_recogniser, read_pack, standard_pack
from kiosk.networks.self_test import self_test
from kiosk.recognition.match import compare
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.types import Floats, RgbImage, Template

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
FRAME_WH = (640, 480)
RUNS, QUICK_RUNS, WARM = 40, 3, 3
GALLERIES, QUICK_GALLERIES = (10_000, 100_000, 1_000_000), (1000,)
BYTES_A_ROW = 1500  # while a gallery is filled: the drawn vectors, their codes and what lies between
HOT_PLACES = ("thermal_zone0/temp", "thermal_zone1/temp")
SAME_TEMPLATE = 0.999

Rows = list[tuple[str, str]]


def p50_p95(act: Callable[[], object], runs: int) -> str:
    """Time an act, warm; return the median and the 95th percentile."""
    for _ in range(WARM):
        act()
    spent = []
    for _ in range(runs):
        began = time.perf_counter()
        act()
        spent.append((time.perf_counter() - began) * 1e3)
    p50, p95 = np.percentile(spent, [50, 95])
    return f"{p50:.1f} ms (p95 {p95:.1f})"


def frames() -> list[RgbImage]:
    """Return the golden portraits, each in a frame as a camera's."""
    made = []
    for path in sorted(GOLDEN.glob("person_*.jpg")):
        image = decode(path.read_bytes())
        scale = min(FRAME_WH[0] / image.shape[1], FRAME_WH[1] / image.shape[0])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        frame = np.full((FRAME_WH[1], FRAME_WH[0], 3), 127, np.uint8)
        left = (FRAME_WH[0] - small.shape[1]) // 2
        frame[: small.shape[0], left : left + small.shape[1]] = small
        made.append(frame)
    return made


def machine() -> Rows:
    """Say what the board is."""
    features = re.search(r"^Features\s*:(.*)$", read("/proc/cpuinfo"), re.MULTILINE)
    return [
        ("board", read("/proc/device-tree/model").strip("\0 \n") or device()),
        ("system", f"{platform.platform()}; Python {platform.python_version()}"),
        ("onnxruntime, NumPy, OpenCV", ", ".join(map(version, ("onnxruntime", "numpy", "opencv-python-headless")))),
        (
            "processors; dot product (asimddp)",
            f"{os.cpu_count()}; {'yes' if features and 'asimddp' in features[1] else 'no'}",
        ),
        ("governor", read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or "not told"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"),
        ("kiosk", git("rev-parse", "--short", "HEAD") or "not a checkout"),
    ]


def read(path: str) -> str:
    """Return a small file of the system; empty where it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def heat() -> str:
    """Return the temperature and the load now."""
    told = [read(f"/sys/class/thermal/{place}").strip() for place in HOT_PLACES]
    degrees = ", ".join(f"{int(one) / 1000:.0f} °C" for one in told if one.isdecimal())
    return f"{degrees or 'not told'}; load {os.getloadavg()[0]:.2f}"


def steps(recogniser: Recogniser, runs: int) -> Rows:
    """Time each step of a frame, and all of them."""
    seen = frames()
    image = seen[0]
    face = recogniser.sharpen(image, recogniser.detect(image)[0])
    turn = iter(range(10**9))

    def match() -> None:
        one, two = (recogniser.analyse(seen[next(turn) % len(seen)]) for _ in range(2))
        if one.template is not None and two.template is not None:
            recogniser.scale.score(compare(one.template, two.template))

    return [
        ("find faces in a frame of 640 x 480", p50_p95(lambda: recogniser.detect(image), runs)),
        ("mesh of a face", p50_p95(lambda: recogniser.sharpen(image, face), runs)),
        ("template", p50_p95(lambda: recogniser.extract(image, face), runs)),
        ("age and gender", p50_p95(lambda: recogniser.describe(image, face), runs)),
        ("all of it for one frame", p50_p95(lambda: recogniser.analyse(seen[next(turn) % len(seen)]), runs)),
        ("a whole match of two frames", p50_p95(match, runs)),
    ]


def unit(rng: np.random.Generator, rows: int, depth: int) -> Floats:
    """Draw unit vectors."""
    made = rng.standard_normal((rows, depth), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def searches(pack: Pack, sizes: tuple[int, ...], runs: int) -> Rows:
    """Time an exact search among so many references."""
    rows: Rows = []
    depth, rng = int(pack.spec("recogniser").options["length"]), np.random.default_rng(0)
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    for size in sizes:
        if size * BYTES_A_ROW > room:
            rows.append((f"exact search among {size:,}", "left out: too little free memory"))
            continue
        vectors = unit(rng, size, depth)
        gallery = Gallery(pack.template_model, depth, lambda wanted, known=vectors: known[wanted])  # type: ignore[misc]
        numbers = np.arange(size, dtype=np.int64)
        always = np.full(size, np.inf)
        gallery.load(
            People(numbers, np.full(size, 4, np.uint8), -always, always),
            ((part, part, vectors[part]) for part in np.array_split(numbers, max(1, size // 8192))),
        )
        probe = Template(unit(rng, 1, depth)[0], pack.template_model)
        rows.append(
            (f"exact search among {size:,}", p50_p95(lambda: gallery.search_all(probe, [Query(0.4, 5)], now=0.0), runs))  # noqa: B023  timed within this round
        )
    return rows


def start() -> str:
    """Time `kiosk match` of two photographs, from starting the process to its answer."""
    first, second = (str(GOLDEN / f"person_a_{number}.jpg") for number in (1, 2))
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "kiosk", "match", first, second], check=True, capture_output=True)
        spent.append(time.perf_counter() - began)
    return f"{spent[0]:.2f} s, then {min(spent[1:]):.2f} s"


def runs_here(pack: Pack, provider: str) -> bool:
    """Whether onnxruntime runs a network by a provider: where that cannot start, it takes the processor and goes on."""
    import onnxruntime  # noqa: PLC0415  only asked for where another provider is

    if provider not in onnxruntime.get_available_providers():
        return False
    session = onnxruntime.InferenceSession(str(pack.spec("recogniser").path), providers=[provider, *DEFAULT_PROVIDERS])
    return bool(session.get_providers()[0] == provider)


def other_provider(pack: Pack, providers: tuple[str, ...], own: Recogniser, runs: int) -> Rows:
    """Compare what another provider computes with the processor's, and how soon it is ready, twice."""
    name, ready = providers[0], []
    if not runs_here(pack, name):
        return [(name, "does not run here: this onnxruntime has none, or its libraries are missing")]
    for _ in range(2):  # the second start finds the engines that the first one built, where they are kept
        began = time.perf_counter()
        theirs = load_recogniser(pack, providers=providers)
        theirs.analyse(frames()[0])
        ready.append(time.perf_counter() - began)
    cosines = []
    for frame in frames():
        ours, other = own.analyse(frame).template, theirs.analyse(frame).template
        cosines.append(-1.0 if ours is None or other is None else float(ours.vector @ other.vector))
    verdict = "same templates" if min(cosines) >= SAME_TEMPLATE else "NOT the same templates"
    return [
        (f"{name}: ready, first and second time", f"{ready[0]:.1f} s, {ready[1]:.1f} s"),
        (f"{name}: least cosine with the processor's", f"{min(cosines):.5f}: {verdict}"),
        (f"{name}: golden self-test", self_test(pack, theirs)),
        *((f"{name}: {what}", took) for what, took in steps(theirs, runs)),
    ]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--providers", default="", help="onnxruntime's, best first, to compare with the processor")
    parser.add_argument("--quick", action="store_true", help="few runs, one small gallery")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    runs = QUICK_RUNS if chosen.quick else RUNS
    pack = read_pack(standard_pack())
    recogniser = load_recogniser(pack, threads=1)
    rows = [*machine(), ("before: heat", heat()), ("golden self-test", self_test(pack, recogniser))]
    rows += steps(recogniser, runs)
    rows += [(f"two threads: {what}", took) for what, took in steps(load_recogniser(pack, threads=2), runs)[-2:]]
    rows += searches(pack, QUICK_GALLERIES if chosen.quick else GALLERIES, runs)
    rows.append(("`kiosk match`, from the process's start", start()))
    if chosen.providers:
        try:
            rows += other_provider(pack, (*chosen.providers.split(","), *DEFAULT_PROVIDERS), recogniser, runs)
        except KioskError as error:
            rows.append((chosen.providers, f"does not run here: {error}"))
    rows += [
        ("most memory of this process", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB"),
        ("after: heat", heat()),
    ]
    print("\n| | |\n|---|---|")
    for what, told in rows:
        print(f"| {what} | {told} |")


if __name__ == "__main__":
    main()

"""What does it cost to decode photographs in another process? Would change: whether ordinary calls go through it.

    python benchmarks/bench_decode.py [--runs 100]

Calls come one at a time with a pause between, as at a door; each pair is measured in turn, so that a busy machine
slows both. A third column is what copying the pixels alone costs, which goes with sharing memory.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from kiosk.decoding.decoder import Decoder
from kiosk.recognition.photo import decode

PAUSE_S = 0.1  # a worker has its next child ready long before
SIZES = ((640, 480), (1920, 1080), (4000, 3000))


def photograph(width: int, height: int) -> bytes:
    """Return a JPEG of the size and detail of a photograph."""
    coarse = np.random.default_rng(0).normal(128, 40, (height // 8, width // 8, 3)).clip(0, 255).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(held, "JPEG", quality=85)
    return held.getvalue()


def timed_ms(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    time.sleep(PAUSE_S)
    began_ns = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - began_ns) / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    about = {"machine": platform.machine(), "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    with Decoder() as decoder:
        for width, height in SIZES:
            data = photograph(width, height)
            pixels = decoder(data)
            ways: dict[str, Callable[[], object]] = {
                "in_process": partial(decode, data),
                "through_process": partial(decoder, data),
                "halved_through_process": partial(decoder.halved, data),
                "copy": pixels.copy,
            }
            took: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(runs):
                for name, way in ways.items():
                    took[name].append(timed_ms(way))
            figures = {
                name: dict(
                    zip(("min", "p50", "p95"), np.round(np.percentile(all_ms, [0, 50, 95]), 2).tolist(), strict=True)
                )
                for name, all_ms in took.items()
            }
            print(json.dumps({"width": width, "height": height, "runs": runs, "ms": figures, **about}))


if __name__ == "__main__":
    main()

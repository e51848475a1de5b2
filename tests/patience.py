"""How tests wait for real processes, threads and sockets: for a fact, never for a time, and never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_S = 30.0  # for what must come true; a machine that runs many things at once needs seconds for a process
BUSY_S = 10.0  # for what must not take long: not the speed, which benchmarks/ measures, only that nothing waited for it


def until(fact: Callable[[], object], limit_s: float = LIMIT_S) -> float:
    """Wait for a fact of the world; return how long it took, s."""
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < limit_s, "it did not come true"
        time.sleep(0.005)
    return time.monotonic() - began

"""How tests wait for real processes, threads and sockets: for a fact, never for a time, and never indefinitely."""

from __future__ import annotations

import inspect
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

LIMIT_S = 30.0  # for what must come true; a machine that runs many things at once needs seconds for a process
PROCESS_S = 4 * LIMIT_S  # for a process of ours from its start to its end: it loads what the kiosk loads
BUSY_S = 25.0
"""s; for what must not take long: not the speed, which benchmarks/ measures, only that nothing waited for what lasts
LIMIT_S or longer. A machine that stands still for ten seconds meanwhile stays below it."""


def until(fact: Callable[[], object], limit_s: float = LIMIT_S) -> float:
    """Wait for a fact of the world; return how long it took, s."""
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < limit_s, "it did not come true"
        time.sleep(0.005)
    return time.monotonic() - began


def stands_in(function: Callable[..., object], *, times: int = 1) -> bool:
    """Say whether so many threads are within a function now: whoever waits at a lock tells nobody else of it."""
    wanted, found = inspect.unwrap(function).__code__, 0
    for frame in sys._current_frames().values():
        at: FrameType | None = frame
        while at is not None and at.f_code is not wanted:
            at = at.f_back
        found += at is not None
    return found >= times


def again(act: Callable[[], object], fact: Callable[[], object], each_s: float = 3.0) -> None:
    """Do something until its fact comes true: a line that answers in 0.2 s is lost for a moment under load."""

    def is_done() -> bool:
        act()
        try:
            until(fact, limit_s=each_s)
        except AssertionError:
            return False
        return True

    until(is_done, limit_s=3 * LIMIT_S)


@contextmanager
def reserved_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that nobody else is given meanwhile; a server that sets SO_REUSEADDR may listen there.

    A port that was found free and let go may be another process's by the time the server wants it.
    """
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]

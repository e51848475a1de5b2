"""The line before the recogniser: so many threads work, so many calls wait, everybody else is told to come back.

Latency that only grows helps nobody: a caller who is refused at once can go to another device. The threads are a
little nicer than the rest of the process, so that the door's own frames come first where both want a core.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

NICENESS = 5  # above the process's own
NICEST = 19  # there is
WEIGHT = 0.1  # of the newest call in the mean duration

Value = TypeVar("Value")


class FullError(Exception):
    """So many calls wait that another would wait too long."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


def be_nice() -> None:
    """Let the other threads of this process go first; Linux keeps a niceness for each thread.

    By so much more than the process's own: with a fixed number, a kiosk that was started nicer would have its door
    wait for strangers' photographs. At niceness 15 and more there is less left to give, and at 19 nothing.
    """
    own = os.getpriority(os.PRIO_PROCESS, os.getpid())  # of the main thread, as of all that were not changed
    with suppress(OSError):  # a sandbox may forbid it (@resources); the pool works all the same
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(own + NICENESS, NICEST))


class CallQueue:
    """A bounded queue and the threads behind it. Safe in several threads."""

    def __init__(self, threads: int, most_waiting: int) -> None:
        """Take how many work and how many may wait."""
        self.threads, self._most = threads, threads + most_waiting
        self._pool = ThreadPoolExecutor(threads, "recognise", initializer=be_nice)
        self._lock = threading.Lock()
        self._inside = 0
        self.mean_s = 0.1  # of one call; moves with those that were done

    def submit(self, work: Callable[[], Value]) -> Future[Value]:
        """Put work into the queue.

        Raises:
            FullError: the queue is full; says when it may be shorter.
        """
        with self._lock:
            if self._inside >= self._most:
                raise FullError(self.mean_s * (self._inside - self.threads + 1) / self.threads)
            self._inside += 1
        try:
            future = self._pool.submit(self._timed, work)
        except BaseException:
            self._leave(None)
            raise
        future.add_done_callback(self._leave)
        return future

    def _timed(self, work: Callable[[], Value]) -> Value:
        began = time.perf_counter()
        try:
            return work()
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self.mean_s += WEIGHT * (took - self.mean_s)

    def _leave(self, _future: Future[Value] | None) -> None:
        with self._lock:
            self._inside -= 1

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return max(0, self._inside - self.threads)

    def close(self) -> None:
        """Take nothing more; what waits is dropped, what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

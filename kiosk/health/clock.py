"""How far the wall clock can be believed: synced, in holdover, or untrusted.

The kernel knows whether something disciplines its clock (adjtimex; NTP and PTP daemons all tell it). A clock that
was synced once runs on by itself for `holdover_s`; one that never was, or that jumped, vouches for nothing.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kiosk.types import ClockState

EARLIEST_S = 1_767_225_600.0  # 2026-01-01 UTC: a clock before it was never set
JUMP_S = 5.0  # by which wall and monotonic clock may part between two looks
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
STAMP = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd touches it whenever it sets the clock
STAMP_S = 3600.0  # it sets the clock every 34 minutes at least
_TIMEX_BYTES = 512  # struct timex has 208 on the 64-bit machines we run on


def kernels_state() -> int:
    """Return the kernel's word on its clock, adjtimex(2): TIME_ERROR or lower, or -1 where asking is forbidden.

    A sandbox with ProtectClock=yes forbids it as a whole. Reads, sets nothing.
    """
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return state


def is_synced(stamp: Path = STAMP, ask: Callable[[], int] = kernels_state) -> bool:
    """Ask the kernel whether its clock is kept in time; where that is forbidden, look when timesyncd last set it."""
    state = ask()
    if state >= 0:
        return state < TIME_ERROR
    return was_set(STAMP_S, stamp)


def was_set(within_s: float, stamp: Path = STAMP) -> bool:
    """Say whether systemd-timesyncd set the clock within so many seconds."""
    try:
        return 0 <= time.time() - stamp.stat().st_mtime <= within_s
    except OSError:  # it never did, or something else keeps the clock
        return False


class Clock:
    """The wall clock and its standing. Safe in several threads."""

    def __init__(
        self,
        holdover_s: float,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        is_synced: Callable[[], bool] = is_synced,
    ) -> None:
        self._holdover_s, self._wall, self._monotonic, self._is_synced = holdover_s, wall, monotonic, is_synced
        self._lock = threading.Lock()
        self._synced_at: float | None = None  # monotonic s
        self._offset: float | None = None  # wall - monotonic at the last look that was believed

    def __call__(self) -> float:
        """Return the time, s UTC."""
        return self._wall()

    def state(self) -> ClockState:
        """Return how far the time of now can be believed."""
        with self._lock:
            wall, now = self._wall(), self._monotonic()
            if wall < EARLIEST_S:
                self._synced_at = None
                return ClockState.UNTRUSTED
            if self._is_synced():
                self._synced_at, self._offset = now, wall - now
                return ClockState.SYNCED
            if self._synced_at is None or self._offset is None or now - self._synced_at > self._holdover_s:
                return ClockState.UNTRUSTED
            if abs(wall - now - self._offset) > JUMP_S:  # somebody set it, and nothing vouches for that
                self._synced_at = None
                return ClockState.UNTRUSTED
            return ClockState.HOLDOVER

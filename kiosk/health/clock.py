"""How far the wall clock can be believed: synced, in holdover, or untrusted.

The kernel knows whether something disciplines its clock (adjtimex; NTP and PTP daemons all tell it). A clock that
was synced once runs on by itself for `holdover_s`; one that never was, or that jumped, vouches for nothing.

What disciplines a clock can be wrong, or an attacker's. So a time before the newest signed record is not believed, nor
one that jumped while it was kept in time, whatever the kernel says, until an operator confirms it.
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
STEP_S = 60.0  # by which a clock that is kept in time may be set at once
DRIFT = 1e-4  # of the time since it was last kept in time, in addition: a poor crystal's
BACK_S = 60.0  # before the newest record, by which a clock that is set by a moment may lie
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


def boot_time() -> float:
    """Return seconds since the boot, those in which the machine slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """The wall clock and its standing. Safe in several threads."""

    def __init__(
        self,
        holdover_s: float,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = boot_time,
        is_synced: Callable[[], bool] = is_synced,
    ) -> None:
        self._holdover_s, self._wall, self._monotonic, self._is_synced = holdover_s, wall, monotonic, is_synced
        self._lock = threading.Lock()
        self._synced_at: float | None = None  # monotonic s
        self._offset: float | None = None  # wall - monotonic at the last look that was believed
        self._floor = 0.0  # s UTC: it is no earlier than this
        self._jumped_by: float | None = None  # s, while it was kept in time, and nobody confirmed it

    def __call__(self) -> float:
        """Return the time, s UTC; never before the newest time that was believed, so that nothing expired is valid."""
        return max(self._wall(), self._floor)

    def hold(self, not_before: float) -> None:
        """Take the time of the newest signed record: it is no earlier than that."""
        with self._lock:
            self._floor = max(self._floor, not_before)

    def confirm(self) -> float:
        """Take an operator's word that the time of now is right; return it, s UTC."""
        with self._lock:
            self._floor, self._jumped_by, self._offset, self._synced_at = self._wall(), None, None, None
            return self._floor

    def trouble(self) -> str | None:
        """Return why only an operator can say what time it is; None where that is not so."""
        self.state()
        with self._lock:
            if self._wall() < self._floor - BACK_S:
                late = _length(self._floor - self._wall())
                return f"The clock is {late} before the newest record. {_CONFIRM}"
            if self._jumped_by is not None:
                ahead = "ahead" if self._jumped_by > 0 else "back"
                return f"The clock jumped {_length(abs(self._jumped_by))} {ahead}. {_CONFIRM}"
            return None

    def state(self) -> ClockState:
        """Return how far the time of now can be believed."""
        with self._lock:
            wall, now, is_synced = self._wall(), self._monotonic(), self._is_synced()
            if wall < max(EARLIEST_S, self._floor - BACK_S):
                if not is_synced:
                    self._synced_at = None  # somebody set it, and nothing vouches for that
                return ClockState.UNTRUSTED
            return self._kept(wall, now) if is_synced else self._alone(wall, now)

    def _kept(self, wall: float, now: float) -> ClockState:
        """Judge a clock that something keeps in time."""
        if self._offset is not None and self._synced_at is not None:
            step = wall - now - self._offset
            if abs(step) > STEP_S + DRIFT * (now - self._synced_at):
                self._jumped_by = (self._jumped_by or 0.0) + step
        self._synced_at, self._offset = now, wall - now
        if self._jumped_by is not None and abs(self._jumped_by) > STEP_S:
            return ClockState.UNTRUSTED
        self._jumped_by = None  # also where it was set back again
        self._floor = max(self._floor, wall)
        return ClockState.SYNCED

    def _alone(self, wall: float, now: float) -> ClockState:
        """Judge a clock that runs by itself."""
        if self._jumped_by is not None or self._synced_at is None or self._offset is None:
            return ClockState.UNTRUSTED
        if now - self._synced_at > self._holdover_s:
            return ClockState.UNTRUSTED
        if abs(wall - now - self._offset) > JUMP_S:  # somebody set it, and nothing vouches for that
            self._synced_at = None
            return ClockState.UNTRUSTED
        return ClockState.HOLDOVER


_CONFIRM = "If it is right now, an operator confirms it: `kiosk clock confirm`; otherwise set it."


def _length(seconds: float) -> str:
    """Return a length of time for people.

    >>> _length(90), _length(7200), _length(864000)
    ('90 s', '2 h', '10 days')
    """
    if seconds < 600:  # noqa: PLR2004  ten minutes
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"

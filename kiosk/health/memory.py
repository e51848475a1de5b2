"""Memory that was used once and is free: handed back, where the C library would keep it for itself.

A start, a self-test or a measurement of the site's people needs some 100 MB for a moment. glibc keeps what was freed,
once for each thread that worked; on a device of 512 MB the camera or the next program lacks it.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any

ARENAS = 1  # glibc has eight a core by itself; what one thread frees, another can use
EVERY_S = 10.0
_M_ARENA_MAX = -8  # glibc, malloc.h


def _library() -> Any:
    return ctypes.CDLL(None)


def share_arenas() -> None:
    """Have all threads share a few heaps; to be called before there are any. Without glibc nothing happens."""
    if hasattr(library := _library(), "mallopt"):
        library.mallopt(_M_ARENA_MAX, ARENAS)


class Returns:
    """Hands free memory back, now and then: a fraction of a millisecond where there is none."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s, self._given_at = every_s, time.monotonic()
        self._trim = getattr(_library(), "malloc_trim", None)  # glibc alone has it

    def look(self) -> None:
        """Hand back what is free, if it is time."""
        if self._trim is not None and time.monotonic() - self._given_at >= self._every_s:
            self._given_at = time.monotonic()
            self._trim(0)

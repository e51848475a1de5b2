"""The end of a process that was told to stop: it comes within a time, whatever a part of it still waits for.

Every acknowledged fact is on the disk before it is acknowledged, so nothing is lost that way: a power cut is worse.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence

END_S = 0.7  # that the parts of a kiosk have to end by themselves
SAFE_S = 0.4  # after it, for what makes safe what is left behind

log = logging.getLogger("kiosk.ending")


def end_within(
    limit_s: float = END_S, *, code: int = 0, first: Sequence[Callable[[], object]] = (), safe_s: float = SAFE_S
) -> None:
    """Have the process end after a time, unless it has ended by itself until then. Returns at once.

    Args:
        limit_s: the time.
        code: exit code.
        first: done before that, one after the other; what fails or hangs holds up nothing.
        safe_s: how long they may take together.
    """
    threading.Thread(target=_end, args=(limit_s, code, first, safe_s), name="end", daemon=True).start()


def _end(limit_s: float, code: int, first: Sequence[Callable[[], object]], safe_s: float) -> None:
    threading.Event().wait(limit_s)
    making_safe = threading.Thread(target=_make_safe, args=(limit_s, first), name="end-safely", daemon=True)
    making_safe.start()
    making_safe.join(safe_s)
    os._exit(code)


def _make_safe(limit_s: float, first: Sequence[Callable[[], object]]) -> None:
    for step in (*first, sys.stdout.flush):
        try:
            step()
        except Exception as error:  # noqa: BLE001  the process ends whatever comes out
            log.warning("stop step failed error=%s", type(error).__name__)
    log.warning("stop cut_short=true after_s=%.1f", limit_s)  # the last: whoever reads the log may not be there

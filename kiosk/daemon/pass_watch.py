"""The thread that looks for visitor passes in the camera's newest picture, so often a second.

It hands texts to the judge and decides nothing. A look that fails is counted, and the next one is made all the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kiosk.decoding.codes import ABSENT, can_read_codes
from kiosk.decoding.confinement import Limits
from kiosk.decoding.decoder import Decoder
from kiosk.entrance.judge import Judge
from kiosk.errors import KioskError, StoppingError
from kiosk.types import Frame

LIMITS = Limits(processor_s=2.0, wall_s=2.0)  # the largest frame, full of codes, takes a tenth of it on x86-64
LONG_EDGE = 1920  # px; a longer frame is thinned out
MOST_AGE_S = 0.3  # of a frame that is searched: what is found in an older one would open nothing

log = logging.getLogger("kiosk.daemon")


class PassWatch:
    """Looks for passes."""

    def __init__(
        self, judge: Judge, looks_per_s: float, *, clock: Callable[[], float] = time.monotonic, wait_s: float = 0.0
    ) -> None:
        """Take the judge, whose newest frame is searched, and how often; `wait_s` goes before the first look."""
        self._judge, self._every_s, self._clock, self._wait_s = judge, 1.0 / looks_per_s, clock, wait_s
        self._stopping = threading.Event()
        self._decoder = Decoder(LIMITS, most=1, reads_codes=True)
        self._thread = threading.Thread(target=self._run, name="passes", daemon=True)
        self._looks = self._faults = self._found = 0
        self._look_ms = 0.0
        self._number = -1

    def start(self) -> None:
        """Begin, where codes can be read at all."""
        if can_read_codes():
            self._thread.start()
        else:
            log.error("passes reading=False reason=%r", ABSENT)

    def figures(self) -> Mapping[str, Any]:
        """Return how it goes: JSON."""
        is_reading = self._thread.is_alive()
        return {
            "is_reading": is_reading,
            "reason": None if is_reading or can_read_codes() else ABSENT,
            "looks": self._looks,
            "found": self._found,
            "faults": self._faults,
            "look_ms": round(self._look_ms, 1),
        }

    def close(self) -> None:
        """End."""
        self._stopping.set()
        self._decoder.close()
        if self._thread.is_alive():
            self._thread.join(LIMITS.wall_s)

    def _run(self) -> None:
        wait_s = self._wait_s
        while not self._stopping.wait(wait_s):
            began = self._clock()
            newest = self._judge.newest if self._judge.passes.is_wanted else None
            if newest is not None and newest[0].number != self._number:
                self._number = newest[0].number
                if began - newest[0].captured_at <= MOST_AGE_S:
                    self._look(newest[0])
            wait_s = max(0.05, self._every_s - (self._clock() - began))

    def _look(self, frame: Frame) -> None:
        began = self._clock()
        step = -(-max(frame.image.shape[:2]) // LONG_EDGE)
        grey = np.ascontiguousarray(frame.image[::step, ::step, 1])  # green is most of what an eye calls bright
        try:
            texts = self._decoder.codes(grey)
        except StoppingError:
            return
        except KioskError as error:
            self._faults += 1
            log.warning("passes look=failed reason=%r", str(error))
            return
        self._looks += 1
        self._found += len(texts)
        self._look_ms = (self._clock() - began) * 1000.0
        for text in texts:
            self._judge.passes.show(text, frame.captured_at)

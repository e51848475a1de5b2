"""A Wiegand reader on two lines of a GPIO chip, by the kernel's time stamps of their falling edges.

The kernel queues the edges with their times, so a thread that comes late reads the same card. Reading alone: a Wiegand
output wants microseconds that no process keeps, and so hardware of its own.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from kiosk.errors import DoorError
from kiosk.rules.cards import Card
from kiosk.rules.wiegand import PAUSE_S, Pulse, WiegandDecoder
from kiosk.settings.neighbours import WiegandSettings

IDLE_S = 0.5  # between two looks whether to end
REOPEN_S = 2.0
JOIN_S = 1.0

log = logging.getLogger("kiosk.wiegand")


class Edges(Protocol):
    """Two lines, open."""

    def wait(self, seconds: float) -> list[Pulse]:
        """Return the edges since the last call, once there are any or after so many seconds.

        Raises:
            DoorError: the lines cannot be read.
        """

    def clock(self) -> float:
        """Return the time of the edges' clock, s."""

    def close(self) -> None:
        """Let go of the lines."""


class GpiodEdges:
    """Lines of a GPIO character device, by libgpiod 2."""

    def __init__(self, settings: WiegandSettings) -> None:
        """Take the lines.

        Raises:
            DoorError: libgpiod is missing, or the lines cannot be had.
        """
        try:
            gpiod: Any = importlib.import_module("gpiod")  # only where there is such a reader
            line: Any = importlib.import_module("gpiod.line")
        except ImportError as error:
            raise DoorError(f"libgpiod 2 for Python is missing ({error}); pip install 'face-kiosk[gpio]'") from error
        self._bit_by_offset = {settings.d0: 0, settings.d1: 1}
        wanted = gpiod.LineSettings(
            direction=line.Direction.INPUT,
            edge_detection=line.Edge.FALLING,
            bias=line.Bias.PULL_UP,  # an open wire rests
            event_clock=line.Clock.MONOTONIC,
        )
        lines = dict.fromkeys(self._bit_by_offset, wanted)
        try:
            self._request: Any = gpiod.request_lines(
                settings.chip, consumer="kiosk", config=lines, event_buffer_size=512
            )
        except (OSError, ValueError) as error:
            raise DoorError(f"[wiegand] {settings.chip}: cannot take lines {sorted(lines)}: {error}") from error

    def wait(self, seconds: float) -> list[Pulse]:
        """Return the edges since the last call."""
        try:
            events = self._request.read_edge_events() if self._request.wait_edge_events(seconds) else []
        except OSError as error:
            raise DoorError(f"[wiegand] lines cannot be read: {error}") from error
        return [Pulse(self._bit_by_offset[one.line_offset], one.timestamp_ns / 1e9) for one in events]

    def clock(self) -> float:
        """Return the kernel's monotonic time."""
        return time.monotonic()

    def close(self) -> None:
        """Let go of the lines."""
        self._request.release()


def open_edges(settings: WiegandSettings) -> Edges:
    """Take the lines of the settings."""
    return GpiodEdges(settings)


class WiegandReader:
    """Hands on the cards of one reader. Built stopped; `start`, then `close`."""

    def __init__(self, edges: Callable[[], Edges], *, hear_card: Callable[[Card], bool]) -> None:
        """Take what opens the lines, and who hears a card; called by the reader's thread, must return soon."""
        self._open, self._hear_card = edges, hear_card
        self._decoder = WiegandDecoder()
        self._cards = 0
        self._reason = "not opened yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wiegand", daemon=True)

    def start(self) -> None:
        """Read from now on."""
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join(timeout=JOIN_S)

    def figures(self) -> dict[str, Any]:
        """Return how it is, for health: JSON."""
        return {
            "is_connected": not self._reason,
            "reason": self._reason,
            "cards": self._cards,
            "spoilt": self._decoder.spoilt,
        }

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                edges = self._open()
                try:
                    self._reason = ""
                    self._read(edges)
                finally:
                    edges.close()
            except DoorError as error:
                self._reason = str(error)
                log.warning("wiegand reason=%r", str(error))
                self._stop.wait(REOPEN_S)
            except Exception:  # the door goes on; health says that no card is heard
                log.exception("wiegand ended")
                self._reason = "reading ended by a fault; see the log"
                return

    def _read(self, edges: Edges) -> None:
        self._decoder, spoilt = WiegandDecoder(), self._decoder.spoilt
        self._decoder.spoilt = spoilt
        is_within = False
        while not self._stop.is_set():
            pulses = edges.wait(PAUSE_S if is_within else IDLE_S)
            found = [self._decoder.feed(pulse) for pulse in pulses]
            found.append(None if pulses else self._decoder.rest(edges.clock()))
            is_within = bool(pulses)
            for card in found:
                if card is not None:
                    self._cards += 1
                    self._hear_card(card)

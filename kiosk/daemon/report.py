"""How the kiosk is, for the API, the status file and the news: states, and figures that are counted now and then."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kiosk import __version__
from kiosk.daemon.pace import Pace
from kiosk.daemon.wiring import Parts
from kiosk.device.thresholds import listing_threshold
from kiosk.entrance.news import Health, Topic
from kiosk.errors import StoreError
from kiosk.rules.conditions import Allowed, Condition, allowed
from kiosk.settings.sections import SearchSettings

log = logging.getLogger("kiosk.daemon")


class HealthReport:
    """Says how the kiosk is. Safe in several threads."""

    def __init__(
        self, parts: Parts, *, status_file: Path | None, more_figures: Callable[[], Mapping[str, Any]], pace: Pace
    ) -> None:
        """Take what is told of; arguments as `Kiosk` takes them."""
        self._parts, self._status_file, self._more_figures, self._pace = parts, status_file, more_figures, pace
        self._is_status_lost = self._is_ended = False
        self._started_at = time.monotonic()
        self._figures_at = float("-inf")
        self._figures: dict[str, Any] = {}
        self._telling, self._ending = threading.Lock(), threading.Lock()

    def health(self) -> Health:
        """Return the kiosk's health: whether it is armed, what is wrong, and its figures."""
        parts = self._parts
        report = parts.camera.report
        newest = parts.judge.newest
        states = parts.monitor.report()
        camera = {
            "source": str(parts.camera.source),
            "state": report.state.value,
            "sentence": report.sentence,
            "frame_age_s": None if newest is None else round(time.monotonic() - newest[0].captured_at, 3),
        }
        door = None if parts.door is None else {"state": parts.door.state.value, "is_unlocked": parts.door.is_unlocked}
        return Health(
            is_armed=allowed(parts.monitor.states(), parts.monitor.table) is Allowed.OPEN,
            mode=parts.device.config.entrance.mode,
            states=states,
            figures={
                "camera": camera,
                "door": door,
                "clock": parts.clock.state().value,
                "decided": parts.judge.decided,
                "still_faces": self._still_faces(),
                "uptime_s": round(time.monotonic() - self._started_at),
                "version": __version__,
                **self._figures,
            },
        )

    def _still_faces(self) -> list[dict[str, Any]]:
        """Return the faces that do not move: furniture, and what is not known to be any yet."""
        behind_s = self._parts.clock() - time.monotonic()
        return [
            {
                "place": list(one.place),
                "edge_px": one.edge_px,
                "since": round(one.since + behind_s, 1),
                "is_furniture": one.is_furniture,
            }
            for one in self._parts.judge.still_faces
        ]

    def publish(self, condition: Condition, sentence: str | None) -> None:
        """Say that a state began (its sentence) or ended (None)."""
        level = logging.INFO if sentence is None else logging.WARNING
        log.log(level, "state condition=%s holds=%s reason=%r", condition.value, sentence is not None, sentence or "")
        with self._telling:  # the picture and its telling: the last news is the newest picture
            health = self.health()
            self._parts.news.publish(
                Topic.HEALTH,
                {
                    "is_armed": health.is_armed,
                    "mode": health.mode,
                    "states": [
                        {"condition": s.condition, "sentence": s.sentence, "leaves": s.leaves, "since": s.since}
                        for s in health.states
                    ],
                },
            )

    def count_again(self) -> None:
        """Have the next `count` count, however young the figures are: settings changed."""
        self._figures_at = float("-inf")

    def count(self) -> None:
        """Count what takes a query, where the figures are old."""
        if time.monotonic() - self._figures_at < self._pace.figures_s:
            return
        self._figures_at = time.monotonic()
        device, entrance = self._parts.device, self._parts.device.config.entrance
        try:
            held = device.gallery
            wanted = SearchSettings(similarity_threshold=entrance.identify_threshold, hold_fpir=entrance.hold_fpir)
            threshold = device.held_here(listing_threshold(wanted, device.scale, held.references))
            counted = {
                "gallery": {"people": held.subjects, **device.gallery_figures(held.references, threshold)},
                "outbox": {state.value: count for state, count in device.store.outbox.counts().items()},
            }
            free = shutil.disk_usage(device.store.directory).free
        except (StoreError, OSError) as error:
            self._parts.monitor.hold(Condition.STORE_UNREADABLE, str(error))
            return
        self._figures = {
            **counted,
            "disk_free_mb": round(free / 1e6),
            "memory_mb": _resident_mb(),
            **self._more_figures(),
        }

    def write(self) -> None:
        """Write the status file; after `end` no more."""
        with self._ending:  # a look that a stop overtook writes no more that anybody is armed
            if not self._is_ended and self._status_file is not None:
                self._write(self._status_file)

    def end(self) -> None:
        """Remove the status file: nobody is armed by a kiosk that has ended."""
        with self._ending:
            self._is_ended = True
            if self._status_file is not None:
                self._status_file.unlink(missing_ok=True)

    def _write(self, path: Path) -> None:
        text = json.dumps({"pid": os.getpid(), "at": self._parts.clock(), **self.health().as_dict()}, indent=2)
        part = path.with_suffix(".part")
        try:
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            if not self._is_status_lost:  # said once, tried again with every round
                log.warning("status file=%s error=%s", path, error.strerror)
            self._is_status_lost = True
        else:
            self._is_status_lost = False


def _resident_mb() -> float:
    """Return the memory this process holds, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)

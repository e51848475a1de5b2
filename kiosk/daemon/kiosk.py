"""The kiosk at a door: which thread does what, and what happens when one of them hangs.

    main      signals, watchdog, reload; everything else may end, this ends with it
    camera    tends the capturing process (capture/process.py)
    judge     the newest frame → presentation → decision → record → relay (entrance/judge.py)
    door      ends every pulse (door/door.py)
    health    probes, self-test, what the door did, the status file
    api       the local HTTP interface (api/), cloud the outbox (cloud/sync.py); neither is waited for by the others

The watchdog is fed only while camera, judge, door and health all come round in time. A `KioskError` in a decision
opens nothing and closes the kiosk until it is mended; any other exception ends the process, and systemd starts it.
`wiring.py` says who is wired to whom, `requests.py` answers what the API asks.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from kiosk.capture.process import Camera
from kiosk.capture.watch import Report, State
from kiosk.daemon.door_events import DoorEvents
from kiosk.daemon.doorway import Doorway, nobody_decides
from kiosk.daemon.pace import PRODUCTION, Pace
from kiosk.daemon.probes import Probes, SelfTest
from kiosk.daemon.report import HealthReport
from kiosk.daemon.requests import Requests
from kiosk.daemon.wiring import choices_of, schedule_of, wire
from kiosk.device.device import Device
from kiosk.door.lines import Lines
from kiosk.entrance.liveness_step import Detector
from kiosk.health.clock import Clock
from kiosk.health.memory import Returns
from kiosk.health.supervisor import Flag, Supervisor
from kiosk.rules.conditions import Allowed, allowed, policy
from kiosk.settings.config import Config

LIVE_SECTIONS = frozenset(
    {
        "match",
        "search",
        "presentation",
        "entrance",
        "enrolment",
        "attempts",
        "degraded",
        "factors",
        "passage",
        "passes",
        "schedule",
        "health",
    }
)
"""Sections of kiosk.toml that are taken while everything runs; the others start the process anew."""

AT_START = (
    ("health", "holdover_h"),
    ("health", "status_file"),
    ("passes", "enabled"),
    ("passes", "looks_per_s"),
    ("search", "shards"),
    ("search", "shards_hub"),
)
"""Settings of live sections that are asked for once."""

FREE_ROUNDS = 10  # of the health thread, for which a door stays free that nobody looks after

log = logging.getLogger("kiosk.daemon")


class Kiosk:
    """A running kiosk. Built stopped; `start`, then `close`. The API asks `requests`."""

    def __init__(
        self,
        device: Device,
        camera: Callable[[Callable[[Report], None]], Camera],
        *,
        lines: Lines | None = None,
        doorway: Doorway | None = None,
        clock: Clock,
        self_test: Callable[[], str],
        lists_are_stale: Callable[[float], bool] = lambda _limit_h: False,
        detector: Detector | None = None,
        status_file: Path | None = None,
        more_figures: Callable[[], Mapping[str, Any]] = dict,
        pace: Pace = PRODUCTION,
    ) -> None:
        """Wire the parts; nothing moves yet, and nothing is armed.

        Args:
            device: recogniser, store, settings.
            camera: makes the camera, given whom it tells what it is.
            lines: the door's; None for a kiosk without a door, or with one that has its own.
            doorway: a door that is older than the kiosk and outlives it; None: the kiosk makes one of `lines`.
            clock: the wall clock and its standing.
            self_test: runs the golden faces; raises a `KioskError` where they come out wrong.
            lists_are_stale: whether the cloud's lists are older than so many hours.
            detector: of photographs and masks; None where [pad] level is off.
            status_file: where the state of now is written.
            more_figures: what others have to tell in health: JSON.
            pace: how often the threads come round.

        Raises:
            KioskError: camera or door cannot be set up as the settings say.
        """
        self.device, self.clock, self.pace = device, clock, pace
        parts = wire(device, camera, lines=lines, doorway=doorway, clock=clock, detector=detector, pace=pace)
        self.news, self.monitor, self.restart = parts.news, parts.monitor, parts.restart
        self.camera, self.door, self.judge = parts.camera, parts.door, parts.judge
        self._doorway, self._is_door_ours = parts.doorway, doorway is None
        self.lockdown = parts.doorway.lockdown
        self.changing = threading.Lock()
        """Held by whoever reads the settings and puts them into force, from the one to the other."""

        self._report = HealthReport(parts, status_file=status_file, more_figures=more_figures, pace=pace)
        self.requests = Requests(parts, self._report)
        self._self_test = SelfTest(self_test, parts, pace)
        self._door_events = DoorEvents(parts, pace)
        self._memory = Returns()
        self._stopping = threading.Event()
        self._broken = ""  # which thread ended, and why
        self._threads: list[threading.Thread] = []
        self._started_at = time.monotonic()
        self._reloading = threading.Lock()
        self._judge_due = self._health_due = float("inf")
        self.monitor.watch(Probes(parts, lists_are_stale, pace).by_condition)
        self.monitor.connect(self._report.publish)  # only now is there something to tell of

    # ---- life

    def start(self) -> None:
        """Start every thread."""
        if self.door is not None:
            self.door.start()
        self.camera.start()
        for name, loop in (("judge", self._judge), ("health", self._tend)):
            thread = threading.Thread(target=self._guarded, args=(name, loop), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Stop; the door first, so that it is safe whatever else takes its time.

        A door that outlives the kiosk takes no decision from here on, and still lets people out.
        """
        self._stopping.set()
        if self.door is not None and self._is_door_ours:
            self.door.close()
        elif self.door is not None:
            self.door.connect(nobody_decides)
        self.camera.close()
        for thread in self._threads:
            thread.join(timeout=self.pace.slack_s)
        self.record_door()
        if not self._is_door_ours:
            self._doorway.connect(None)
            self._doorway.lockdown.connect(None)
        self.end_report()

    def record_door(self) -> None:
        """Record what the door did until now."""
        self._door_events.record()

    def end_report(self) -> None:
        """Tell of the state of now no more, in the status file neither."""
        self._report.end()

    @property
    def hanging(self) -> str:
        """Which thread has not come round in time, or ended; empty while all is well."""
        now, late_s = time.monotonic(), self.pace.door_late_s
        dues = {"camera": self.camera.due, "judge": self._judge_due, "health": self._health_due}
        if self.door is not None and self._threads:
            dues["door"] = self.door.beat + late_s if self.door.beat > 0 else self._started_at + late_s
            dues["guard"] = math.inf if self.door.is_guarded else -math.inf
        late = [name for name, due in dues.items() if now > due]
        return self._broken or ", ".join(late)

    @property
    def is_broken(self) -> bool:
        """Whether a thread has ended that must not."""
        return bool(self._broken)

    @property
    def is_stopped(self) -> bool:
        """Whether every thread of the daemon has ended: a `close` does not wait for one in a slow disk."""
        return not any(thread.is_alive() for thread in self._threads)

    def reload(self, config: Config) -> bool:
        """Take other settings, all of them or none; say whether that could be done without starting anew."""
        old = self.device.config
        changed = {one.name for one in fields(Config) if getattr(old, one.name) != getattr(config, one.name)}
        if replace(old.api, language=config.api.language) == config.api:
            changed -= {"api"}  # the pages ask for the language each time
        is_live = all(
            getattr(getattr(old, section), name) == getattr(getattr(config, section), name)
            for section, name in AT_START
        )
        if not (changed <= LIVE_SECTIONS and is_live):
            return False
        table, schedule = policy(choices_of(config)), schedule_of(config)
        with self._reloading:  # a page and a signal may come at once: all parts take the same one last
            self.device.apply(config)
            self.monitor.apply(table)
            if self.door is not None:
                self.door.apply(table)
            self.judge.reload(config, schedule)
        self._report.count_again()
        log.info("settings changed=%s", ",".join(sorted(changed)) or "nothing")
        return True

    # ---- threads

    def _guarded(self, name: str, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            self._broken = f"{name} ended: {type(error).__name__}"
            log.critical("thread name=%s ended", name, exc_info=True)

    def _judge(self) -> None:
        number = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._judge_due = began + self.pace.judge_late_s
            frame = self.camera.latest(number, self.pace.frame_wait_s)
            now = time.monotonic()
            if frame is None:
                self.judge.rest(now)
                self.camera.hold_exposure(is_wanted=False)
                if self.camera.report.state is not State.LIVE:
                    self.judge.interrupt()
                continue
            number = frame.number
            self.judge.take(frame, now)
            self.camera.hold_exposure(is_wanted=self.judge.wants_steady_exposure)
            if not self.judge.wants_every_frame:
                idle_s = 1.0 / self.device.config.entrance.idle_fps
                self._stopping.wait(max(0.0, began + idle_s - time.monotonic()))

    def _stay_free(self) -> None:
        """Hold the door open for everybody while [passage] first_in has it so: for a little longer than to the next."""
        if self.door is not None:
            is_open = allowed(self.monitor.states(), self.monitor.table) is Allowed.OPEN
            is_free = self.judge.opening.is_free(is_open=is_open)
            self.door.keep_free(time.monotonic() + FREE_ROUNDS * self.pace.round_s if is_free else -math.inf)

    def _tend(self) -> None:
        while not self._stopping.is_set():
            self._health_due = time.monotonic() + self.pace.health_late_s
            self.monitor.look()
            self._self_test.run_if_due()
            self._door_events.record()
            self._stay_free()
            self._report.count()
            if not self._stopping.is_set():
                self._report.write()
            self._memory.look()
            self._stopping.wait(self.pace.round_s)


def serve(kiosk: Kiosk, supervisor: Supervisor, stopping: Flag, reload: Callable[[], bool]) -> int:
    """Run a started kiosk until it is told to stop: the main thread's loop.

    Args:
        kiosk: started.
        supervisor: hears that it is ready, alive, and what it does.
        stopping: set by whoever wants it to end.
        reload: looks whether other settings were asked for; says whether the process must start anew for them.

    Returns:
        0; 1 when a thread ended that must not.
    """
    pace = kiosk.pace
    supervisor.tell(READY=1)
    step_s = min(pace.main_s, supervisor.watchdog_s / 4) if supervisor.watchdog_s else pace.main_s
    said, told, said_at = "", "", float("-inf")
    while not stopping.wait(step_s) and not kiosk.is_broken:
        if hanging := kiosk.hanging:
            if hanging != told:
                log.error("watchdog hanging=%s", hanging)
        elif supervisor.watchdog_s:
            supervisor.tell(WATCHDOG=1)
        told = hanging
        status = _status(kiosk)
        if status != said or time.monotonic() - said_at >= pace.say_s:  # again, as a reload says something of its own
            supervisor.tell(STATUS=status)
            said, said_at = status, time.monotonic()
        if reload():
            return 0  # and no word of a stop: a supervisor would end the process that starts anew
    supervisor.tell(STOPPING=1)
    return 1 if kiosk.is_broken else 0


def _status(kiosk: Kiosk) -> str:
    states = kiosk.monitor.states()
    left = allowed(states, kiosk.monitor.table)
    word = {Allowed.OPEN: "armed", Allowed.LOG_ONLY: "judging, nothing opens", Allowed.CLOSED: "closed"}[left]
    return f"{word}{': ' if states else ''}{', '.join(states)}"

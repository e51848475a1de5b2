"""The kiosk at a door: who is wired to whom, which thread does what, and what happens when one of them hangs.

    main      signals, watchdog, reload; everything else may end, this ends with it
    camera    tends the capturing process (capture/process.py)
    judge     the newest frame → presentation → decision → record → relay (entrance/judge.py)
    door      ends every pulse (door/door.py)
    health    probes, self-test, what the door did, the status file
    api       the local HTTP interface (api/), cloud the outbox (cloud/sync.py); neither is waited for by the others

The watchdog is fed only while camera, judge, door and health all come round in time. A `KioskError` in a decision
opens nothing and closes the kiosk until it is mended; any other exception ends the process, and systemd starts it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from kiosk import __version__
from kiosk.capture.process import Camera
from kiosk.capture.watch import Report, State
from kiosk.device.device import Device, gallery_figures, listing_threshold
from kiosk.door.door import Door, DoorEvent, Happened, Lines
from kiosk.entrance.decide import Entrance
from kiosk.entrance.judge import BonaFide, Judge, encoded
from kiosk.entrance.news import Broadcast, Consent, Health, Still, Topic
from kiosk.entrance.restart import NAME as STANDING_NAME
from kiosk.entrance.restart import read_restart, write_restart
from kiosk.errors import KioskError, RefusedError, StoreError
from kiosk.health.clock import Clock
from kiosk.health.monitor import Monitor, throttled
from kiosk.health.supervisor import Flag, Supervisor
from kiosk.rules.conditions import Allowed, Condition, allowed, policy
from kiosk.rules.patience import Patience, Tries
from kiosk.rules.schedule import read_schedule
from kiosk.settings.config import Config
from kiosk.settings.sections import SearchSettings
from kiosk.store.chain import Kind
from kiosk.store.subjects import Details
from kiosk.types import ClockState

FRAME_WAIT_S = 0.25  # for a frame; then the loop comes round without one
ROUND_S = 1.0  # of the health thread
MAIN_S = 0.2  # how late a signal may be obeyed
SAY_S = 10.0  # between two words to the supervisor about the same state
FIGURES_S = 5.0  # between two counts of what takes a query
RETEST_S = 10.0  # between two self-tests while nothing is armed for want of one
STORE_PROBE_S = 10.0  # between two looks whether a store that failed works again
JUDGE_LATE_S, DOOR_LATE_S, HEALTH_LATE_S = 5.0, 2.0, 60.0  # silence from which a thread counts as hanging
SLACK_S = 1.0  # on waits that are meant
UNRECORDED_KEPT = 1000  # door events that wait for the store to take them again
LIVE_SECTIONS = frozenset(
    {"match", "search", "presentation", "entrance", "enrolment", "attempts", "degraded", "schedule", "health"}
)
"""Sections of kiosk.toml that are taken while everything runs; the others start the process anew."""

AT_START = ("holdover_h", "status_file")  # of [health], which are asked for once

RECORDED = frozenset(
    {
        Happened.RELAY_ON,
        Happened.PULSE_CUT,
        Happened.FORCED_OPEN,
        Happened.DOOR_OPEN_TOO_LONG,
        Happened.EXIT_PRESSED,
        Happened.DOOR_FAULT,
        Happened.FAULT_OVER,
    }
)
"""What the door did that the decision log keeps."""

log = logging.getLogger("kiosk.daemon")


class Kiosk:
    """A running kiosk, as the API sees and asks it. Built stopped; `start`, then `close`."""

    def __init__(
        self,
        device: Device,
        camera: Callable[[Callable[[Report], None]], Camera],
        *,
        lines: Lines | None,
        clock: Clock,
        self_test: Callable[[], str],
        lists_are_stale: Callable[[float], bool] = lambda _limit_h: False,
        is_bona_fide: BonaFide | None = None,
        status_file: Path | None = None,
        more_figures: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """Wire the parts; nothing moves yet, and nothing is armed.

        Args:
            device: recogniser, store, settings.
            camera: makes the camera, given whom it tells what it is.
            lines: the door's; None for a kiosk without a door.
            clock: the wall clock and its standing.
            self_test: runs the golden faces; raises a `KioskError` where they come out wrong.
            lists_are_stale: whether the cloud's lists are older than so many hours.
            is_bona_fide: the detection of photographs and masks; None while there is none.
            status_file: where the state of now is written.
            more_figures: what others have to tell in health: JSON.

        Raises:
            KioskError: camera or door cannot be set up as the settings say.
        """
        config = device.config
        self.device, self.clock = device, clock
        self.news = Broadcast(clock)
        self._self_test, self._status_file, self._more_figures = self_test, status_file, more_figures
        self._is_status_lost = False
        self._stopping = threading.Event()
        self._broken = ""  # which thread ended, and why
        self._threads: list[threading.Thread] = []
        self._started_at = time.monotonic()
        self._tested_at = float("-inf")
        self._store_probed_at = float("-inf")
        self._figures_at = float("-inf")
        self._figures: dict[str, Any] = {}
        self._unrecorded: deque[DoorEvent] = deque(maxlen=UNRECORDED_KEPT)
        self._judge_due = self._health_due = float("inf")

        probes: dict[Condition, Callable[[], str | None]] = {
            Condition.CLOCK_UNTRUSTED: self._clock_trouble,
            Condition.DISK_FULL: self._disk_trouble,
            Condition.STORE_UNREADABLE: self._store_trouble,
            Condition.THROTTLED: lambda: throttled(self.device.config.health.hot_c),
            Condition.DOOR_FAULT: self._door_trouble,
            Condition.GALLERY_STALE: lambda: (
                "The lists of blocked people from the cloud are out of date: is the network there?"
                if lists_are_stale(self.device.config.health.gallery_stale_h)
                else None
            ),
        }
        self.monitor = Monitor(probes, policy(_choices(config)), now=clock)
        self.monitor.hold(Condition.STARTING, "The kiosk is starting: its self-test is not over.")
        self.monitor.hold(Condition.CAMERA_LOST, "The camera is being opened.")
        if is_bona_fide is None:
            self.monitor.hold(
                Condition.PAD_OFF, "Photographs and masks are not told from people: this version has no detector."
            )
        standing = read_restart(device.store.directory)
        self._standing = standing
        self._keeping, self._reloading, self._alarming = threading.Lock(), threading.Lock(), threading.Lock()
        self._telling, self._recording, self._ending = threading.Lock(), threading.Lock(), threading.Lock()
        self.changing = threading.Lock()
        """Held by whoever reads the settings and puts them into force, from the one to the other."""

        if standing.is_spoilt:
            path = device.store.directory / STANDING_NAME
            log.error("standing what=spoilt file=%s", path)
            self.monitor.hold(Condition.ALARM_ARMED, f"{path} cannot be read. {_SPOILT}")
        elif standing.is_alarm_armed:
            self.monitor.hold(Condition.ALARM_ARMED, _ALARM)
        self.camera = camera(self._camera_changed)
        self.door = (
            Door(lines, config.door, clock=time.monotonic, states=self.monitor.states, table=self.monitor.table)
            if lines is not None
            else None
        )
        self.judge = Judge(
            device,
            Entrance(
                device,
                config.entrance,
                _schedule(config),
                now=clock,
                is_clock_trusted=lambda: clock.state() is not ClockState.UNTRUSTED,
                states=self.monitor.states,
            ),
            self.monitor,
            self.news,
            config,
            clock=time.monotonic,
            door=self.door,
            tries=Patience(**_plain(config.attempts)).restore(standing.tries, time.monotonic()),
            keep=self._keep_tries,
            is_bona_fide=is_bona_fide,
        )
        self.monitor.publish = self._state_changed  # only now is there something to tell of

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
        """Stop; the door first, so that it is safe whatever else takes its time."""
        self._stopping.set()
        if self.door is not None:
            self.door.close()
        self.camera.close()
        for thread in self._threads:
            thread.join(timeout=SLACK_S)
        self._record_door()
        if self._status_file is not None:
            with self._ending:
                self._status_file.unlink(missing_ok=True)  # nobody is armed by a kiosk that has ended

    @property
    def hanging(self) -> str:
        """Which thread has not come round in time, or ended; empty while all is well."""
        now = time.monotonic()
        dues = {"camera": self.camera.due, "judge": self._judge_due, "health": self._health_due}
        if self.door is not None and self._threads:
            dues["door"] = self.door.beat + DOOR_LATE_S if self.door.beat > 0 else self._started_at + DOOR_LATE_S
        late = [name for name, due in dues.items() if now > due]
        return self._broken or ", ".join(late)

    @property
    def is_broken(self) -> bool:
        """Whether a thread has ended that must not."""
        return bool(self._broken)

    def reload(self, config: Config) -> bool:
        """Take other settings, all of them or none; say whether that could be done without starting anew."""
        old = self.device.config
        changed = {one.name for one in fields(Config) if getattr(old, one.name) != getattr(config, one.name)}
        if replace(old.api, language=config.api.language) == config.api:
            changed -= {"api"}  # the pages ask for the language each time
        is_live = all(getattr(old.health, name) == getattr(config.health, name) for name in AT_START)
        if not (changed <= LIVE_SECTIONS and is_live):
            return False
        table, schedule = policy(_choices(config)), _schedule(config)
        with self._reloading:  # a page and a signal may come at once: all parts take the same one last
            self.device.config = config
            self.monitor.table = table
            if self.door is not None:
                self.door.table = table
            self.judge.reload(config, schedule)
        self._figures_at = float("-inf")
        log.info("settings changed=%s", ",".join(sorted(changed)) or "nothing")
        return True

    def _guarded(self, name: str, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            self._broken = f"{name} ended: {type(error).__name__}"
            log.critical("thread name=%s ended", name, exc_info=True)

    # ---- judge

    def _judge(self) -> None:
        number = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._judge_due = began + JUDGE_LATE_S
            frame = self.camera.latest(number, FRAME_WAIT_S)
            now = time.monotonic()
            if frame is None:
                self.judge.rest(now)
                if self.camera.report.state is not State.LIVE:
                    self.judge.interrupt()
                continue
            number = frame.number
            self.judge.take(frame, now)
            if not self.judge.wants_every_frame:
                idle_s = 1.0 / self.device.config.entrance.idle_fps
                self._stopping.wait(max(0.0, began + idle_s - time.monotonic()))

    # ---- health

    def _tend(self) -> None:
        while not self._stopping.is_set():
            self._health_due = time.monotonic() + HEALTH_LATE_S
            self.monitor.look()
            if time.monotonic() - self._tested_at >= self._test_every_s:
                self._test()
            self._record_door()
            self._count()
            with self._ending:  # a look that a stop overtook writes no more that anybody is armed
                if not self._stopping.is_set():
                    self._write_status()
            self._stopping.wait(ROUND_S)

    @property
    def _test_every_s(self) -> float:
        untested = {Condition.STARTING.value, Condition.SELF_TEST_FAILED.value}
        return RETEST_S if untested & set(self.monitor.states()) else self.device.config.health.self_test_s

    def _test(self) -> None:
        """Run the golden faces; without a pass nothing is armed."""
        self._tested_at = time.monotonic()
        count = self.monitor.count(Condition.SELF_TEST_FAILED)
        try:
            said = self._self_test()
            held = self.device.gallery.references
        except KioskError as error:
            condition = Condition.STORE_UNREADABLE if isinstance(error, StoreError) else Condition.SELF_TEST_FAILED
            self.monitor.hold(condition, str(error))
            log.warning("self_test result=failed reason=%r", str(error))
            return
        self.monitor.end(Condition.SELF_TEST_FAILED, count)
        self.monitor.end(Condition.STARTING)
        log.info("self_test result=passed references=%d said=%r", held, said)

    def _clock_trouble(self) -> str | None:
        if self.clock.state() is not ClockState.UNTRUSTED:
            return None
        return "Nobody vouches for the clock. Connect to a time server (timedatectl set-ntp true) or fit a clock."

    def _disk_trouble(self) -> str | None:
        free_mb = shutil.disk_usage(self.device.store.directory).free / 1e6
        wanted = self.device.config.health.disk_low_mb
        return None if free_mb >= wanted else f"{free_mb:.0f} MB are free, {wanted:g} are wanted. Make room."

    def _store_trouble(self) -> str | None:
        """Look into the store; after a failure write to it, as reading alone would not show that it is well again."""
        now = time.monotonic()
        is_held = Condition.STORE_UNREADABLE.value in self.monitor.states()
        if is_held and now - self._store_probed_at < STORE_PROBE_S:
            return next((one.sentence for one in self.monitor.report() if one.condition == "store_unreadable"), None)
        self._store_probed_at = now
        if is_held:
            self.device.store.probe()
        else:
            self.device.store.version()
        return None

    def _door_trouble(self) -> str | None:
        is_faulty = self.door is not None and self.door.is_faulty
        return "The door's lines cannot be driven: look at its wiring." if is_faulty else None

    def _camera_changed(self, report: Report) -> None:
        if report.state is State.LIVE:
            self.monitor.end(Condition.CAMERA_LOST)
        else:
            self.monitor.hold(Condition.CAMERA_LOST, report.sentence)

    def _state_changed(self, condition: Condition, sentence: str | None) -> None:
        level = logging.INFO if sentence is None else logging.WARNING
        log.log(level, "state condition=%s holds=%s reason=%r", condition.value, sentence is not None, sentence or "")
        with self._telling:  # the picture and its telling: the last news is the newest picture
            health = self.health()
            self.news.publish(
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

    def _record_door(self) -> None:
        """Tell what the door did, and put it into the log; what the store does not take now waits."""
        if self.door is None:
            return
        if not self._recording.acquire(timeout=SLACK_S):  # a stop does not wait for a health thread in a slow disk
            return
        try:
            self._record_events(self.door)
        finally:
            self._recording.release()

    def _record_events(self, door: Door) -> None:
        for event in door.events():
            log.info("door what=%s decision=%s", event.what.value, event.decision)
            self.news.publish(
                Topic.DOOR,
                {
                    "what": event.what.value,
                    "state": door.state.value,
                    "decision": event.decision,
                    "at": self.clock() - (time.monotonic() - event.at),
                },
            )
            if event.what in RECORDED:
                self._unrecorded.append(event)
        while self._unrecorded:
            event = self._unrecorded[0]
            details = {"what": event.what.value, **({"of": event.decision} if event.decision else {})}
            try:
                self.device.store.record_act(Kind.DOOR, details=details, actor="door")
            except StoreError as error:
                self.monitor.hold(Condition.STORE_UNREADABLE, str(error))
                return
            self._unrecorded.popleft()

    def _count(self) -> None:
        if time.monotonic() - self._figures_at < FIGURES_S:
            return
        self._figures_at = time.monotonic()
        device, entrance = self.device, self.device.config.entrance
        try:
            held = device.gallery
            wanted = SearchSettings(similarity_threshold=entrance.identify_threshold, hold_fpir=entrance.hold_fpir)
            threshold = listing_threshold(wanted, device.scale, held.references)
            counted = {
                "gallery": {"people": held.subjects, **gallery_figures(device.scale, held.references, threshold)},
                "outbox": {state.value: count for state, count in device.store.outbox.counts().items()},
            }
            free = shutil.disk_usage(device.store.directory).free
        except (StoreError, OSError) as error:
            self.monitor.hold(Condition.STORE_UNREADABLE, str(error))
            return
        self._figures = {
            **counted,
            "disk_free_mb": round(free / 1e6),
            "memory_mb": _resident_mb(),
            **self._more_figures(),
        }

    def _write_status(self) -> None:
        if self._status_file is None:
            return
        text = json.dumps({"pid": os.getpid(), "at": self.clock(), **self.health().as_dict()}, indent=2)
        part = self._status_file.with_suffix(".part")
        try:
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(self._status_file)
        except OSError as error:
            if not self._is_status_lost:  # said once, tried again with every round
                log.warning("status file=%s error=%s", self._status_file, error.strerror)
            self._is_status_lost = True
        else:
            self._is_status_lost = False

    def _keep_tries(self, tries: Tries) -> None:
        patience = Patience(**_plain(self.device.config.attempts))
        self._keep(tries=patience.save(tries, time.monotonic()))

    def _keep(self, **changed: Any) -> None:
        """Keep what changed beside what else stands there: the judge and the alarm system may come at once."""
        with self._keeping:
            self._standing = replace(self._standing, **changed)
            write_restart(self.device.store.directory, self._standing)

    # ---- what the API asks

    def health(self) -> Health:
        """Return how the kiosk is."""
        report = self.camera.report
        newest = self.judge.newest
        states = self.monitor.report()
        camera = {
            "source": str(self.camera.source),
            "state": report.state.value,
            "sentence": report.sentence,
            "frame_age_s": None if newest is None else round(time.monotonic() - newest[0].captured_at, 3),
        }
        door = None if self.door is None else {"state": self.door.state.value, "is_unlocked": self.door.is_unlocked}
        return Health(
            is_armed=allowed(self.monitor.states(), self.monitor.table) is Allowed.OPEN,
            mode=self.device.config.entrance.mode,
            states=states,
            figures={
                "camera": camera,
                "door": door,
                "clock": self.clock.state().value,
                "decided": self.judge.decided,
                "uptime_s": round(time.monotonic() - self._started_at),
                "version": __version__,
                **self._figures,
            },
        )

    def still(self) -> Still | None:
        """Return the newest picture."""
        newest = self.judge.newest
        if newest is None:
            return None
        frame, faces = newest
        height, width = frame.image.shape[:2]
        boxes = tuple(
            (round(x1), round(y1), round(x2), round(y2)) for x1, y1, x2, y2 in (f.box.tolist() for f in faces)
        )
        return Still(encoded(frame.image), (width, height), time.monotonic() - frame.captured_at, boxes)

    def claim(self, code: str, *, actor: str) -> float:
        """Say who will step up next."""
        found = self.device.store.find(code)
        if len(found) != 1:
            raise RefusedError("nobody has this code" if not found else "several people have this code")
        seconds = self.judge.claim(found[0].session_number)
        log.info("claim actor=%s seconds=%g", actor, seconds)
        return seconds

    def release(self, *, actor: str) -> None:
        """Open the door for one pulse, as an operator."""
        if self.door is None:
            raise RefusedError("this kiosk drives no door; set [door] chip and relay")
        entry = self.device.store.record_act(Kind.RELEASE, actor=actor)
        refusal = self.door.release(entry.request_id)
        log.info("release actor=%s request_id=%s opened=%s", actor, entry.request_id, refusal is None)
        if refusal is not None:
            raise RefusedError(f"the door was not opened: {refusal.reason.value}")

    def set_alarm(self, *, is_armed: bool, actor: str) -> None:
        """Take an alarm system's word."""
        if is_armed:  # closed first, whatever the disk says, and whoever is disarming it now
            self.monitor.hold(Condition.ALARM_ARMED, _ALARM)
        with self._alarming:  # whole words, one after the other: the last one that was kept is the one in force
            if is_armed:
                self.monitor.hold(Condition.ALARM_ARMED, _ALARM)
            self._keep(is_alarm_armed=is_armed)
            self.device.store.record_act(Kind.POLICY, details={"is_alarm_armed": is_armed}, actor=actor)
            if not is_armed:
                self.monitor.end(Condition.ALARM_ARMED)

    def begin_enrolment(self, details: Details, consent: Consent, *, is_allowlisted: bool, actor: str) -> str:
        """Enrol the person who stands in front of the camera."""
        enrolment = self.judge.begin_enrolment(details, consent, is_allowlisted=is_allowlisted)
        log.info("enrolment id=%s actor=%s", enrolment, actor)
        return enrolment

    def cancel_enrolment(self, enrolment: str) -> None:
        """End an enrolment without storing anything."""
        self.judge.cancel_enrolment(enrolment)


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
    supervisor.tell(READY=1)
    step_s = min(MAIN_S, supervisor.watchdog_s / 4) if supervisor.watchdog_s else MAIN_S
    said, told, said_at = "", "", float("-inf")
    while not stopping.wait(step_s) and not kiosk.is_broken:
        if hanging := kiosk.hanging:
            if hanging != told:
                log.error("watchdog hanging=%s", hanging)
        elif supervisor.watchdog_s:
            supervisor.tell(WATCHDOG=1)
        told = hanging
        status = _status(kiosk)
        if status != said or time.monotonic() - said_at >= SAY_S:  # again, as a reload says something of its own
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


_ALARM = "The alarm system has switched the kiosk off; it switches it on again."
_SPOILT = (
    "Nobody knows whether the alarm system has switched the kiosk off, so it stays off until it is told: send "
    '{"is_armed": false} to /device/door/alarm; or stop the kiosk, remove the file, and start it.'
)


def _schedule(config: Config) -> Any:
    return read_schedule(config.schedule.time_zone, config.schedule.week, config.schedule.holidays)


def _choices(config: Config) -> Mapping[str, str]:
    return {one.name: getattr(config.degraded, one.name) for one in fields(config.degraded)}


def _plain(section: Any) -> dict[str, Any]:
    return {one.name: getattr(section, one.name) for one in fields(section)}


def _resident_mb() -> float:
    """Return the memory this process holds, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)

"""Who is wired to whom: monitor, camera, door and judge, each made with what it asks and tells."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from kiosk.capture.process import Camera
from kiosk.capture.watch import Report, State
from kiosk.daemon.pace import Pace
from kiosk.daemon.restart import RestartFile
from kiosk.device.device import Device
from kiosk.door.door import Door
from kiosk.door.lines import Lines
from kiosk.entrance.decide import Entrance
from kiosk.entrance.judge import BonaFide, Judge
from kiosk.entrance.news import Broadcast
from kiosk.health.clock import Clock
from kiosk.health.monitor import Monitor
from kiosk.rules.conditions import Condition, policy
from kiosk.rules.patience import Patience, Tries
from kiosk.rules.schedule import read_schedule
from kiosk.settings.config import Config
from kiosk.types import ClockState

ALARM = "The alarm system has switched the kiosk off; it switches it on again."
SPOILT = (
    "Nobody knows whether the alarm system has switched the kiosk off, so it stays off until it is told: send "
    '{"is_armed": false} to /device/door/alarm; or stop the kiosk, remove the file, and start it.'
)

log = logging.getLogger("kiosk.daemon")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a kiosk, wired."""

    device: Device
    clock: Clock
    news: Broadcast
    monitor: Monitor
    restart: RestartFile
    camera: Camera
    door: Door | None
    judge: Judge


def wire(
    device: Device,
    camera: Callable[[Callable[[Report], None]], Camera],
    *,
    lines: Lines | None,
    clock: Clock,
    is_bona_fide: BonaFide | None,
    pace: Pace,
) -> Parts:
    """Make the parts; nothing moves yet, and nothing is armed. Arguments as `Kiosk` takes them.

    Raises:
        KioskError: camera or door cannot be set up as the settings say.
    """
    config, news = device.config, Broadcast(clock)
    monitor = Monitor({}, policy(choices_of(config)), now=clock)
    monitor.hold(Condition.STARTING, "The kiosk is starting: its self-test is not over.")
    monitor.hold(Condition.CAMERA_LOST, "The camera is being opened.")
    if is_bona_fide is None:
        monitor.hold(Condition.PAD_OFF, "Photographs and masks are not told from people: this version has no detector.")
    restart = RestartFile(device.store.directory)
    if restart.state.is_spoilt:
        log.error("standing what=spoilt file=%s", restart.path)
        monitor.hold(Condition.ALARM_ARMED, f"{restart.path} cannot be read. {SPOILT}")
    elif restart.state.is_alarm_armed:
        monitor.hold(Condition.ALARM_ARMED, ALARM)

    def watch_camera(report: Report) -> None:
        if report.state is State.LIVE:
            monitor.end(Condition.CAMERA_LOST)
        else:
            monitor.hold(Condition.CAMERA_LOST, report.sentence)

    def keep_tries(tries: Tries) -> None:
        restart.keep(tries=patience_of(device.config).save(tries, time.monotonic()))

    opened = camera(watch_camera)
    door = (
        Door(
            lines,
            config.door,
            clock=time.monotonic,
            states=monitor.states,
            table=monitor.table,
            late_s=pace.supervisor_late_s,
        )
        if lines is not None
        else None
    )
    judge = Judge(
        device,
        Entrance(
            device,
            config.entrance,
            schedule_of(config),
            now=clock,
            is_clock_trusted=lambda: clock.state() is not ClockState.UNTRUSTED,
            states=monitor.states,
        ),
        monitor,
        news,
        config,
        clock=time.monotonic,
        door=door,
        tries=patience_of(config).restore(restart.state.tries, time.monotonic()),
        keep=keep_tries,
        is_bona_fide=is_bona_fide,
    )
    return Parts(device, clock, news, monitor, restart, opened, door, judge)


def schedule_of(config: Config) -> Any:
    """Return the opening hours of the settings."""
    return read_schedule(config.schedule.time_zone, config.schedule.week, config.schedule.holidays)


def choices_of(config: Config) -> Mapping[str, str]:
    """Return what each degraded state leaves, as the settings choose."""
    return {one.name: getattr(config.degraded, one.name) for one in fields(config.degraded)}


def patience_of(config: Config) -> Patience:
    """Return after how many declines the settings lock."""
    return Patience(**{one.name: getattr(config.attempts, one.name) for one in fields(config.attempts)})

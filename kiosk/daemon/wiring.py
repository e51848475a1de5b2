"""Who is wired to whom: monitor, camera, door and judge, each made with what it asks and tells."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any

from kiosk.capture.process import Camera
from kiosk.capture.watch import Report, State
from kiosk.daemon.doorway import Doorway
from kiosk.daemon.pace import Pace
from kiosk.daemon.restart import RestartFile
from kiosk.device.device import Device
from kiosk.door.door import Door
from kiosk.door.lines import Lines
from kiosk.entrance.decide import Entrance
from kiosk.entrance.judge import Judge, factors_of
from kiosk.entrance.liveness_step import Detector, LivenessStep
from kiosk.entrance.news import Broadcast
from kiosk.health.clock import Clock
from kiosk.health.monitor import Monitor
from kiosk.recognition.pad_levels import SENTENCES, Level
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
LEVEL_STATES = {Level.OFF: Condition.PAD_OFF, Level.PASSIVE: Condition.PAD_PASSIVE}

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
    doorway: Doorway
    judge: Judge
    detector: Detector | None  # None where the detection of photographs is off


def wire(
    device: Device,
    camera: Callable[[Callable[[Report], None]], Camera],
    *,
    lines: Lines | None,
    doorway: Doorway | None,
    clock: Clock,
    detector: Detector | None,
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
    hold_level(monitor, config, detector)
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

    def exposure() -> str:
        return opened.exposure.name.lower()

    if doorway is None:
        made = Door(lines, config.door, clock=time.monotonic) if lines is not None else None
        doorway = Doorway(made, device.store.directory, clock=clock)
    door = doorway.door
    if door is not None:
        door.connect(monitor.states, monitor.table, pace.supervisor_late_s)
    doorway.connect(device.store)
    doorway.lockdown.connect(monitor)
    judge = Judge(
        device,
        Entrance(
            device,
            config.entrance,
            schedule_of(config),
            now=clock,
            is_clock_trusted=lambda: clock.state() is not ClockState.UNTRUSTED,
            states=monitor.states,
            factors=factors_of(config),
        ),
        monitor,
        news,
        config,
        clock=time.monotonic,
        door=door,
        tries=patience_of(config).restore(restart.state.tries, time.monotonic()),
        keep=keep_tries,
        liveness=lambda settings: step_of(settings, monitor, device, detector, exposure=exposure),
    )
    return Parts(device, clock, news, monitor, restart, opened, door, doorway, judge, detector)


def hold_level(monitor: Monitor, config: Config, detector: Detector | None) -> None:
    """Hold the states that the settings of the detection of photographs bring."""
    level = Level(config.pad.chosen_level)
    if level in LEVEL_STATES:
        monitor.hold(LEVEL_STATES[level], SENTENCES[level])
    if (
        level is not Level.OFF and detector is None
    ):  # a mistake of whoever wired it: what the settings want does not run
        monitor.hold(Condition.PAD_FAILED, f"[pad] level is {level.value}, and nothing was loaded that detects.")


def step_of(
    config: Config,
    monitor: Monitor,
    device: Device,
    detector: Detector | None,
    *,
    rng: Random | None = None,
    exposure: Callable[[], str] = lambda: "automatic",
) -> LivenessStep | None:
    """Return what tells a person from a photograph, as the settings want it; None where that is off."""
    if config.pad.chosen_level == Level.OFF.value or detector is None:
        return None
    limits = config.presentation
    return LivenessStep(
        config.pad,
        detector.network,
        monitor,
        device.scale,
        same_person_score=limits.same_person_score,
        bystander_px=limits.bystander_px,
        rng=rng,
        exposure=exposure,
    )


def schedule_of(config: Config) -> Any:
    """Return the opening hours of the settings."""
    return read_schedule(config.schedule.time_zone, config.schedule.week, config.schedule.holidays)


def choices_of(config: Config) -> Mapping[str, str]:
    """Return what each degraded state leaves, as the settings choose."""
    return {one.name: getattr(config.degraded, one.name) for one in fields(config.degraded)}


def patience_of(config: Config) -> Patience:
    """Return after how many declines the settings lock."""
    return Patience(**{one.name: getattr(config.attempts, one.name) for one in fields(config.attempts)})

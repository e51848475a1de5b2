"""Commands of the running kiosk: run, health."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from kiosk import assembly
from kiosk.api.screen_token import screen_token
from kiosk.capture.process import Camera
from kiosk.capture.watch import Report
from kiosk.cli.demo import DecisionPrinter, DemoCue, demo_settings, portraits_in
from kiosk.cli.main import REFUSED
from kiosk.daemon.kiosk import Kiosk, serve
from kiosk.device.device import Device
from kiosk.device.outgoing import Outgoing
from kiosk.door.lines import Lines, open_lines
from kiosk.errors import ConfigError, KioskError
from kiosk.health.clock import Clock
from kiosk.health.supervisor import Flag, Supervisor, log_to_stderr
from kiosk.networks.self_test import self_test
from kiosk.settings.config import Config
from kiosk.store.accounts import Accounts
from kiosk.store.directory import run_alone
from kiosk.store.remote_lists import Lists
from kiosk.store.store import Store
from kiosk.testing.fakes import RecordedLines

if TYPE_CHECKING:
    from kiosk.api.server import Server  # 0.3 s
    from kiosk.cloud.sync import Sync

STATUS_NAME = "status.json"
STOPS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger("kiosk.cli_run")


def run(chosen: argparse.Namespace) -> int:
    """Watch the camera, decide about whoever steps up, drive the door; until it is told to stop."""
    log_to_stderr()
    if chosen.demo is not None and not chosen.verbose:
        logging.getLogger().setLevel(logging.ERROR)
    supervisor = Supervisor()
    stopping, asked = Flag(), Flag()
    for number in STOPS:
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: asked.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # one that came during a new start, below, arrives here
    again = threading.Event()
    try:
        code = _run(chosen, supervisor, stopping, asked, again)
    except KioskError as error:
        supervisor.tell(STATUS=str(error))
        log.error("start failed reason=%r", str(error))  # noqa: TRY400  expected: its sentence says all
        raise
    if again.is_set():
        log.info("settings want a new start")
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # a stop that came is a stop; one that comes waits
        if not stopping.is_set():
            program = [sys.executable, "-m", "kiosk", *sys.argv[1:]]
            os.execv(sys.executable, program)  # noqa: S606  this program, as it was called
    return code


def _run(
    chosen: argparse.Namespace,
    supervisor: Supervisor,
    stopping: Flag,
    asked: Flag,
    again: threading.Event,
) -> int:
    config = (
        demo_settings(assembly.load_settings(chosen)) if chosen.demo is not None else assembly.load_settings(chosen)
    )
    portraits = portraits_in(chosen.demo) if chosen.demo is not None else []
    cv2.setNumThreads(1)  # the networks and the camera's process share the cores already
    with ExitStack() as parts:
        # The door first: from here on it is safe, however long the rest takes.
        lines: Lines | None = open_lines(config.door) if config.door.chip else None
        if lines is None and chosen.demo is not None:
            lines = RecordedLines()
        if lines is not None:
            parts.callback(lines.close)
        supervisor.tell(STATUS="loading models and people")
        clock = assembly.make_clock(config)
        pack, recogniser = assembly.load_pack(config), assembly.open_recogniser(config)
        store = assembly.open_store(chosen, config, clock=clock)
        outgoing = _outgoing(store, config, clock)
        device = parts.enter_context(Device(recogniser, store, config, now=clock, outgoing=outgoing))
        parts.enter_context(run_alone(store.directory))
        sync = _cloud(device, clock, parts) if config.cloud.is_used else None
        Lists(store).keep_only(config.cloud.lists, clock())  # without any nobody would pull, and see to it

        def camera(tell: Callable[[Report], None]) -> Camera:
            return Camera(config.camera, portraits, tell=tell)

        kiosk = Kiosk(
            device,
            camera,
            lines=lines,
            clock=clock,
            self_test=lambda: self_test(pack, recogniser),
            lists_are_stale=sync.lists_are_stale if sync is not None else lambda _limit_h: False,
            status_file=_status_file(config),
            more_figures=lambda: {} if sync is None else {"cloud": {"alarm": sync.alarm}},
        )
        parts.callback(kiosk.close)
        if chosen.demo is not None:
            kiosk.news.listen(DecisionPrinter())
            kiosk.news.listen(DemoCue(kiosk))
        kiosk.start()
        if sync is not None:
            sync.start()
        server = _serve_api(chosen, kiosk, sync, parts) if config.api.enabled else None

        def reload() -> bool:
            if server is not None and not server.is_alive:
                raise ConfigError(f"the API at {server.address} ended by itself")  # a new start is a clean one
            if kiosk.camera.is_over and chosen.demo is not None:
                stopping.set()
            if not asked.is_set():
                return False
            asked.clear()
            return _reload(chosen, kiosk, supervisor, again)

        return serve(kiosk, supervisor, stopping, reload)


def _outgoing(store: Store, config: Config, clock: Clock) -> Outgoing | None:
    """Have decisions leave as the settings say; None: they stay."""
    if not config.cloud.is_used:
        return None
    from kiosk.cloud.policy import Policy  # noqa: PLC0415  a kiosk that uses no cloud loads none of it

    return Policy(store, config.cloud, now=clock)


def _cloud(device: Device, clock: Clock, parts: ExitStack) -> Sync:
    """Have what is to leave sent, and the cloud asked; ended with the other parts."""
    from kiosk.cloud.sync import Sync  # noqa: PLC0415  a kiosk that uses no cloud loads none of it

    sync = Sync(device, device.config.cloud, assembly.credentials_directory(), now=clock)
    parts.callback(sync.close)
    return sync


def _serve_api(chosen: argparse.Namespace, kiosk: Kiosk, sync: Sync | None, parts: ExitStack) -> Server:
    """Serve API and pages beside the kiosk, ended with the other parts."""
    from kiosk.api import app  # noqa: PLC0415  0.1 s, which a kiosk without it should not pay

    device, settings = kiosk.device, kiosk.device.config.api
    app.check_exposure(settings, Accounts(device.store, now=kiosk.clock))

    def apply(config: Config) -> None:
        if not kiosk.reload(demo_settings(config) if chosen.demo is not None else config):
            raise ConfigError("this setting is taken at a start only: write it into kiosk.toml")

    token = screen_token(assembly.state_of(chosen))
    application = app.build(
        device,
        kiosk=kiosk.requests,
        cloud=sync.view if sync is not None else None,
        sources=assembly.settings_sources(chosen),
        apply=apply,
        changing=kiosk.changing,
        forgotten=lambda: assembly.scrub_backups(device.store),
        screen_token=token,
        now=kiosk.clock,
    )
    server = app.Server(application, settings)
    parts.callback(server.close)
    parts.callback(application.close)
    server.start()
    log.info("api address=%s", server.address)
    if chosen.demo is not None:
        print(f"The kiosk's screen: {server.address}/kiosk?screen={token}", flush=True)
        print(f"Operators: {server.address}/", flush=True)
    return server


def _reload(
    chosen: argparse.Namespace,
    kiosk: Kiosk,
    supervisor: Supervisor,
    again: threading.Event,
    *,
    load: Callable[[argparse.Namespace], Config] = assembly.load_settings,
) -> bool:
    """Take the settings as they are on disk now; say whether the process must start anew for them."""
    supervisor.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
    try:
        with kiosk.changing:  # a page may be changing them: what is read here must be no older than what is in force
            config = load(chosen) if chosen.demo is None else demo_settings(load(chosen))
            Camera(config.camera, kiosk.camera.source.portraits)  # a source that cannot be is a wrong setting too
            is_taken = kiosk.reload(config)
    except KioskError as error:
        log.error("settings refused, the old ones stay reason=%r", str(error))  # noqa: TRY400  its sentence says all
        supervisor.tell(READY=1, STATUS=f"settings refused: {error}")
        return False
    if is_taken:
        supervisor.tell(READY=1)
        return False
    again.set()
    return True


def _status_file(config: Config) -> Path | None:
    if config.health.status_file:
        return Path(config.health.status_file)
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    return Path(runtime.split(":", maxsplit=1)[0]) / STATUS_NAME if runtime else None


def health(chosen: argparse.Namespace) -> int:
    """Say how the running kiosk is, from its status file."""
    path = chosen.file or _status_file(assembly.load_settings(chosen)) or Path("/run/kiosk") / STATUS_NAME
    try:
        status: dict[str, Any] = json.loads(path.read_bytes())
        age_s = time.time() - float(status["at"])
        states = status["states"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no status file"
        raise ConfigError(f"{path}: {reason}; is the kiosk running? systemctl status kiosk") from None
    is_fresh = 0.0 <= age_s <= chosen.max_age
    if chosen.json:
        print(json.dumps({**status, "age_s": round(age_s, 1), "is_fresh": is_fresh}, indent=2))
    else:
        print(f"{'armed' if status['is_armed'] else 'not armed'}, mode {status['mode']}, told {age_s:.1f} s ago")
        for state in states:
            print(f"  {state['condition']} ({state['leaves']}): {state['sentence']}")
        if not is_fresh:
            print(f"  The status is older than {chosen.max_age:g} s: the kiosk hangs or has ended.")
    return 0 if status["is_armed"] and is_fresh else REFUSED

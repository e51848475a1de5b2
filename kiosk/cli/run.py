"""Commands of the running kiosk: run, health. The door comes before everything that takes its time or may fail.

    settings of [door] alone → lines → second guard → exit button, `kiosk door release`     within the first second
    → a release by key or password → networks, store, camera: the kiosk                     or why it did not start

A start that fails is no end: the process stays for the door's sake, says why in log, status file and status, and tries
again. systemd sees no READY=1 from it: the unit stays "activating" with the reason as its status, so that whoever
waits for a kiosk that works (confirm.sh, a monitor) is not told that there is one; the start's time limit is extended
with each word, so that a process that hangs is ended as before. READY=1 with a sad status was the other choice, and
would have called a kiosk that judges nobody active. Without a door there is nothing to stay for, and the process ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from kiosk.cli.main import REFUSED
from kiosk.daemon.door_socket import DoorSocket, runtime_directory
from kiosk.daemon.doorway import Doorway, open_doorway
from kiosk.door.lines import Lines, open_lines
from kiosk.errors import ConfigError, KioskError
from kiosk.health.memory import share_arenas
from kiosk.health.supervisor import Flag, Supervisor, log_to_stderr
from kiosk.settings.config import SYSTEM_STATE, Sources, sources_of, state_directory
from kiosk.settings.door import DoorSettings
from kiosk.testing.fakes import RecordedLines
from kiosk.testing.line_file import SIMULATED, LineFile

STATUS_NAME = "status.json"
STOPS = (signal.SIGTERM, signal.SIGINT)
RETRY_FIRST_S, RETRY_LONGEST_S = (
    5.0,
    60.0,
)  # between two starts; what failed is a disk, a key or a file: no second's work
EXTEND_S = 30  # a start may take longer by this, from each word of it on

LOUD = {True: logging.ERROR, False: logging.INFO}  # whether there is a door

log = logging.getLogger("kiosk.cli_run")


def run(chosen: argparse.Namespace) -> int:
    """Watch the camera, decide about whoever steps up, drive the door; until it is told to stop."""
    share_arenas()  # before the door's threads, each of which would keep a heap of its own
    log_to_stderr()
    if chosen.demo is not None and not chosen.verbose:
        logging.getLogger().setLevel(logging.ERROR)
    stopping, asked, again = Flag(), Flag(), Flag()
    for number in STOPS:
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: asked.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # one that came during a new start, below, arrives here
    supervisor = Supervisor()
    with ExitStack() as parts:
        try:
            doorway = _door(chosen, parts)
            code = _Starts(chosen, supervisor, (stopping, asked, again), doorway).run()
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


def _door(chosen: argparse.Namespace, parts: ExitStack) -> Doorway:
    """Open the door and the command's socket; both end with the process."""
    state = state_directory(chosen.state)
    sources = sources_of(chosen.config, state)
    try:
        settings: DoorSettings = sources.load_section("door")
    except ConfigError as error:
        from kiosk.settings.mistakes import explained  # noqa: PLC0415  nothing that works needs it

        raise ConfigError(explained(error, sources)) from None
    lines = _lines(settings, chosen)
    if lines is not None:
        parts.callback(lines.close)
    doorway = open_doorway(lines, settings, state, clock=time.time, is_shared=bool(settings.chip))
    parts.callback(doorway.close)
    place = runtime_directory(os.environ, state)
    try:
        parts.enter_context(DoorSocket(place, doorway))
    except OSError as error:  # the button works all the same
        log.log(LOUD[lines is not None], "door socket=none place=%s reason=%r", place, error.strerror)
    return doorway


def _lines(settings: DoorSettings, chosen: argparse.Namespace) -> Lines | None:
    if settings.chip.startswith(SIMULATED):
        return LineFile(Path(settings.chip.removeprefix(SIMULATED)), settings.offsets)
    if settings.chip:
        return open_lines(settings)
    return RecordedLines() if chosen.demo is not None else None


class _Starts:
    """The starts of the kiosk in one process: one, unless it fails."""

    def __init__(
        self, chosen: argparse.Namespace, supervisor: Supervisor, flags: tuple[Flag, Flag, Flag], doorway: Doorway
    ) -> None:
        """Take the parts; the flags are stop, changed settings, and that they want a new start of the process."""
        self._chosen, self._supervisor, self._doorway = chosen, supervisor, doorway
        self._stopping, self._asked, self._again = flags
        self._ready = Flag()
        self._has_written = False
        self._sources = sources_of(chosen.config, state_directory(chosen.state))
        self._status_file = _status_file(self._sources, state_directory(chosen.state))
        self._reason = "The kiosk is starting: its self-test is not over."
        self._end_emergency: Callable[[], None] | None = None
        is_wired = doorway.door is not None
        self._stays = is_wired and bool(self._sources.load_section("door").chip)

    def run(self) -> int:
        """Start until it runs, or it is told to stop; return the exit code."""
        wait_s = RETRY_FIRST_S
        try:
            while True:
                self._serve_emergency()
                try:
                    return self._start()
                except KioskError as error:
                    if self._ready.is_set() or not self._stays:
                        raise
                    self._reason = f"The start failed: {error}"
                    log.error("start failed, the door's exit works reason=%r", str(error))  # noqa: TRY400  see above
                if not self._wait(wait_s):
                    self._supervisor.tell(STOPPING=1)
                    return 1
                wait_s = min(2.0 * wait_s, RETRY_LONGEST_S)
        finally:
            self._stop_emergency()
            if self._has_written:
                with suppress(OSError):
                    self._status_file.unlink(missing_ok=True)

    def _start(self) -> int:
        from kiosk.cli.running import Start, run_kiosk  # noqa: PLC0415  a second, which the door should not wait for

        return run_kiosk(
            Start(
                self._chosen,
                self._supervisor,
                self._stopping,
                self._asked,
                self._again,
                self._ready,
                self._doorway,
                self._status_file,
                self._stop_emergency,
            )
        )

    def _wait(self, wait_s: float) -> bool:
        """Wait for the next start, and say meanwhile how it is; False: told to stop."""
        until, said_at = time.monotonic() + wait_s, float("-inf")
        while time.monotonic() < until and not self._asked.is_set():
            if time.monotonic() - said_at >= 1.0:
                said_at = time.monotonic()
                self._supervisor.tell(EXTEND_TIMEOUT_USEC=EXTEND_S * 1_000_000, STATUS=self._reason)
                self._doorway.keep()
                self._write_status()
            if self._stopping.wait(0.1):
                return False
        self._asked.clear()
        self._supervisor.tell(EXTEND_TIMEOUT_USEC=180 * 1_000_000)  # the unit's own time for a start
        return not self._stopping.is_set()

    def health(self) -> dict[str, Any]:
        """Return how the kiosk is while it has not started, as `HealthReport` has it."""
        door = self._doorway.door
        state = {"condition": "starting", "sentence": self._reason, "leaves": "closed", "since": time.time()}
        told = None if door is None else {"state": door.state.value, "is_unlocked": door.is_unlocked}
        return {"is_armed": False, "mode": "starting", "states": [state], "figures": {"door": told}}

    def _write_status(self) -> None:
        part = self._status_file.with_suffix(".part")
        with suppress(OSError):  # a read-only place: log and systemd's status say it too
            part.write_text(json.dumps({"pid": os.getpid(), "at": time.time(), **self.health()}, indent=2) + "\n")
            part.replace(self._status_file)
            self._has_written = True

    def _serve_emergency(self) -> None:
        """Answer an operator's release from now on, until the kiosk itself does."""
        if not self._stays or self._end_emergency is not None:
            return
        from kiosk.api.emergency import serve_emergency  # noqa: PLC0415  0.3 s, after the door

        try:
            api = self._sources.load_section("api")
            if api.enabled:
                self._end_emergency = serve_emergency(
                    state_directory(self._chosen.state),
                    api,
                    release=lambda actor: self._doorway.release(actor=actor),
                    health=self.health,
                )
        except KioskError as error:
            log.warning("emergency api=none reason=%r", str(error))

    def _stop_emergency(self) -> None:
        end, self._end_emergency = self._end_emergency, None
        if end is not None:
            end()


def _status_file(sources: Sources, state: Path) -> Path:
    """Return where a running kiosk of this state directory says how it is: beside its socket, unless a setting says."""
    try:
        named = sources.load_section("health").status_file
    except ConfigError:
        named = ""
    return Path(named) if named else runtime_directory(os.environ, state) / STATUS_NAME


def _told_status(chosen: argparse.Namespace) -> Path:
    """Return the status file to read; systemd's kiosk has its own folder for it, which its shell does not name."""
    state = state_directory(chosen.state)
    found = _status_file(sources_of(chosen.config, state), state)
    is_system = state == SYSTEM_STATE or not (chosen.state or os.environ.get("KIOSK_STATE"))
    return found if found.exists() or not is_system else Path("/run/kiosk") / STATUS_NAME


def health(chosen: argparse.Namespace) -> int:
    """Say how the running kiosk is, from its status file."""
    path = chosen.file or _told_status(chosen)
    try:
        status: dict[str, Any] = json.loads(path.read_bytes())
        age_s = time.time() - float(status["at"])
        states = status["states"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no status file"
        hint = (
            "is the kiosk running? Start it with `kiosk run`, on a device see systemctl status kiosk; --state asks the "
            "kiosk of another state directory"
        )
        raise ConfigError(f"{path}: {reason}; {hint}") from None
    is_fresh = 0.0 <= age_s <= chosen.max_age
    if chosen.json:
        print(json.dumps({**status, "age_s": round(age_s, 1), "is_fresh": is_fresh}, indent=2))
    else:
        print(f"{'armed' if status['is_armed'] else 'not armed'}, mode {status['mode']}, reported {age_s:.1f} s ago")
        for state in states:
            print(f"  {state['condition']} ({state['leaves']}): {state['sentence']}")
        if not is_fresh:
            print(
                f"  The status is older than {chosen.max_age:g} s: the kiosk hangs or has ended; systemctl status kiosk"
            )
    return 0 if status["is_armed"] and is_fresh else REFUSED

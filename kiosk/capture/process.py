"""The camera as the daemon has it: a process that captures, a thread that watches over it, the newest frame.

A camera that blocks indefinitely blocks its own process, which is killed and restarted indefinitely, ever more
slowly. Each process gets a new slot, so one that could not be killed cannot write into its successor's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

from kiosk.capture.child import Orders
from kiosk.capture.sandbox import environment_for
from kiosk.capture.slot import Attention, Exposure, Slot, made
from kiosk.capture.sources import Source, parse_source
from kiosk.capture.watch import STEADY_S, Backoff, Report, State, Watch
from kiosk.settings.sections import CameraSettings
from kiosk.types import Frame

CHECK_S = 0.1  # how late a lost camera may be noticed
GRACE_S = 0.3  # for saying goodbye to a camera: cheap ones count sessions that were not ended
ROUND_S = 5.0  # the thread's longest round: starting or killing a process on a busy Pi
KILL_S = 1.0  # a process that outlives SIGKILL this long hangs in the kernel and is left behind
BOOT = """
import json, sys
told = json.load(sys.stdin)
sys.path[:] = told.pop("path")
from kiosk.capture.child import run
run(told)
"""
ENVIRONMENT = {
    # TCP first, as lost packets smear faces; UDP for a camera that takes nothing else.
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;udp+tcp|rtsp_flags;prefer_tcp|fflags;nobuffer|flags;low_delay",
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(1 << 26),  # 200 MB decoded; what is taken is [camera] max_pixels
    "OMP_NUM_THREADS": "1",  # nothing here multiplies matrices
    "MALLOC_ARENA_MAX": "1",  # FFmpeg's threads would each keep memory of their own
}

log = logging.getLogger("kiosk.capture")


class Camera:
    """A camera that is opened, watched and reopened until it is closed."""

    def __init__(
        self,
        settings: CameraSettings,
        portraits: Sequence[Path] = (),
        *,
        chance: Callable[[], float] = random.random,
        tell: Callable[[Report], None] = lambda _: None,
    ) -> None:
        """Read the settings; `start` opens the camera.

        Args:
            settings: the section [camera].
            portraits: whom a demo shows, in order.
            chance: 0..1, spreads the waits.
            tell: called with each new report, by the camera's own thread; must return soon.

        Raises:
            ConfigError: there is no such source or option.
        """
        self.source = parse_source(settings.source, portraits)
        self._settings = settings
        self._tell = tell
        self._backoff = Backoff(settings.reopen_first_s, settings.reopen_longest_s, chance)
        self._watch = Watch(settings, time.monotonic())
        self._told = self._watch.report
        self._walls = ""
        self._number = 0
        self._attention = Attention()
        self._exposure = Exposure.AUTOMATIC
        self._child: Child | None = None
        self._abandoned: list[Child] = []
        self._due = float("inf")  # before the thread runs there is nothing to be late for
        self._closing = threading.Event()
        self._changed = threading.Condition()  # guards watch and child
        # The one thread that starts children: their PR_SET_PDEATHSIG is its death, not only the process's.
        self._thread = threading.Thread(target=self._tend, name="camera", daemon=True)

    def start(self) -> None:
        """Begin to open the camera."""
        self._thread.start()

    def close(self) -> None:
        """End the capture."""
        self._closing.set()
        with self._changed:
            if self._child is not None:
                self._child.slot.ring()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Camera:  # noqa: PYI034  # typing.Self needs Python 3.11
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def due(self) -> float:
        """When the camera's thread will have come round again, monotonic s; a thread that hangs lets it pass."""
        return self._due

    @property
    def is_over(self) -> bool:
        """Whether a recording that does not loop has ended."""
        return self.report.state is State.ENDED

    @property
    def report(self) -> Report:
        """What the camera is now."""
        with self._changed:
            return self._watch.check(time.monotonic()) if self._child is not None else self._watch.report

    def cue(self, decisions: int, *, is_idle: bool) -> None:
        """Tell a demo's people what became of them; other cameras care for nothing of it.

        Args:
            decisions: how many there were so far.
            is_idle: whether the kiosk follows nobody now.
        """
        self._tell_child(replace(self._attention, decisions=decisions, is_idle=is_idle))

    def hold_exposure(self, *, is_wanted: bool) -> None:
        """Have exposure and white balance stay as they are, or not; a camera that cannot goes on as it is."""
        if self._attention.holds_exposure != is_wanted:
            self._tell_child(replace(self._attention, holds_exposure=is_wanted))

    @property
    def exposure(self) -> Exposure:
        """Who chooses exposure and white balance, as the camera says."""
        with self._changed:
            return self._child.slot.exposure() if self._child is not None else Exposure.AUTOMATIC

    def _tell_child(self, attention: Attention) -> None:
        with self._changed:
            self._attention = attention
            if self._child is not None:
                self._tell_slot(self._child.slot)

    def _tell_slot(self, slot: Slot) -> None:
        told = self._attention
        slot.tell(told.decisions, is_idle=told.is_idle, holds_exposure=told.holds_exposure)

    @property
    def walls(self) -> str:
        """What shuts in the process that captures, such as "landlock 6, seccomp"; empty before one was opened."""
        return self._walls

    def latest(self, after: int, timeout_s: float) -> Frame | None:
        """Return the newest frame.

        Args:
            after: number of a frame; only newer ones will do.
            timeout_s: how long to wait for one.

        Returns:
            The frame in memory of its own; None when time is up, or when the camera is closed. A camera
            that is not live gives none, nor does it give a frame on which nothing can be seen.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._closing.is_set():
                now = time.monotonic()
                if (frame := self._take(after, now)) is not None:
                    return frame
                if now >= deadline:
                    break
                self._changed.wait(deadline - now)
        return None

    def _take(self, after: int, now: float) -> Frame | None:
        if self._child is None or self._watch.check(now).state is not State.LIVE or self._number <= after:
            return None
        taken = self._child.slot.take()
        if taken is None:
            return None
        frame, about = taken
        self._watch.see(about, now)  # it may be newer than the one the thread judged
        self._number = max(self._number, about.number)
        return frame if frame.number > after and self._watch.trusts(about) else None

    def _tend(self) -> None:
        while not self._closing.is_set():
            self._due = time.monotonic() + ROUND_S
            if self._child is None:
                self._open()
            else:
                self._child.slot.wait(CHECK_S)
                self._judge(self._child)
        with self._changed:
            child, self._child = self._child, None
        if child is not None:
            self._end(child)
        for child in self._abandoned:
            child.end(0.0)

    def _open(self) -> None:
        try:
            child = Child(self.source, self._settings, self._number + 1)
        except OSError as error:  # no memory, no descriptors, no processes
            with self._changed:
                self._watch.fail(f"The process that captures cannot be started: {error}.", time.monotonic())
                report = self._watch.report
            self._announce(report)
            self._rest(self._backoff.next_s())
            return
        with self._changed:
            self._child = child
            self._tell_slot(child.slot)
            self._watch.opened(time.monotonic())

    def _judge(self, child: Child) -> None:
        """Take note of what a child did, and end it when another might do better."""
        is_over = child.is_over  # before the newest frame is read, so that none is missed
        with self._changed:
            now = time.monotonic()
            if (about := child.slot.newest()) is not None:
                self._watch.see(about, now)
                self._number = max(self._number, about.number)
            if is_over and child.slot.note()[1]:
                self._watch.end(now)
            elif is_over:
                self._watch.fail(child.why(), now)
            else:
                self._watch.check(now)
            report = self._watch.report
            walls, exposure = child.slot.walls(), child.slot.exposure()
            is_wanted = not is_over and not self._watch.wants_reopening(now)
            if not is_wanted:
                self._child = None  # in this breath: whoever asks next must not judge its last frame to be a live one
            self._changed.notify_all()
        self._announce(report)
        if walls and walls != self._walls:
            self._walls = walls
            log.log(logging.WARNING if "no " in walls else logging.INFO, "camera sandbox=%r", walls)
        if exposure is not self._exposure:
            self._exposure = exposure
            log.info("camera exposure=%s", exposure.name.lower())
        if report.state is State.LIVE and now - report.since >= STEADY_S:
            self._backoff.reset()
        if is_wanted:
            return
        self._end(child)
        self._rest(None if report.state is State.ENDED else self._backoff.next_s())

    def _announce(self, report: Report) -> None:
        if report is self._told:
            return
        self._told = report
        log.info("camera source=%s state=%s reason=%r", self.source, report.state.value, report.sentence)
        self._tell(report)

    def _rest(self, wait_s: float | None) -> None:
        """Wait, indefinitely with None, unless the camera is closed meanwhile."""
        self._due = float("inf") if wait_s is None else time.monotonic() + wait_s + ROUND_S
        self._closing.wait(wait_s)

    def _end(self, child: Child) -> None:
        if not child.end(GRACE_S):
            log.error("camera source=%s pid=%d outlives SIGKILL and is left behind", self.source, child.pid)
            self._abandoned.append(child)
        self._abandoned = [one for one in self._abandoned if not one.is_over]


class Child:
    """A process that captures, and the slot it writes into."""

    def __init__(self, source: Source, settings: CameraSettings, first_number: int, boot: str = BOOT) -> None:
        """Start the process.

        Args:
            source: what it captures.
            settings: the section [camera].
            first_number: of its first frame.
            boot: what the interpreter is given to run; calls `run`.
        """
        self.slot = made(settings.max_pixels)
        told = {
            "path": sys.path,
            "parent": os.getpid(),
            "memory": self.slot.memory_fd,
            "bell": self.slot.bell_fd,
            "first_number": first_number,
            "orders": asdict(
                Orders(
                    settings.source,
                    tuple(str(path) for path in source.portraits),
                    max_pixels=settings.max_pixels,
                    long_edge=settings.long_edge,
                    rotation=settings.rotation,
                    mirror=settings.mirror,
                    warmup_frames=settings.warmup_frames,
                )
            ),
        }
        self._source = source
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, running this file
                [sys.executable, "-c", boot],
                stdin=subprocess.PIPE,  # not the arguments: all users see these, and there may be a password in it
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # FFmpeg writes addresses with their passwords there
                pass_fds=(self.slot.memory_fd, self.slot.bell_fd),
                env={**environment_for(source, os.environ), **ENVIRONMENT},  # the key's place is in ours
            )
        except BaseException:  # it is tried again, indefinitely
            self.slot.close()
            raise
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:  # it died: `is_over` will say so
            pipe.write(json.dumps(told).encode())

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def why(self) -> str:
        """Return why the process ended, in a sentence."""
        note, _ = self.slot.note()
        code = self._process.returncode
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return note or f"The process that captures ended {how}."

    def end(self, grace_s: float) -> bool:
        """End the process; return whether it is gone."""
        if not self.slot.is_closed:
            self.slot.stop()
            self.slot.close()
        for timeout_s in (grace_s, KILL_S):
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
            else:
                return True
        return False

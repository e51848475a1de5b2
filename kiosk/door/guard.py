"""A second guard of each pulse: a small process that holds the lines and a time, and nothing else.

The supervisor of door.py ends every pulse. A process that is stopped (`kill -STOP`, a debugger, a machine out of
memory) ends nothing, and the chip holds its level. So a child is told before each pulse when it must be over; if the
parent has not said by then that it is, or extended it, the child switches the relay off. It also does so when the
parent has died. Not even this helps where both are stopped, or the kernel is: a lock that must close then wants a timer
in its own hardware.
"""

from __future__ import annotations

import math
import os
import select
import signal
import struct
import time

from kiosk.door.lines import Lines, Output
from kiosk.errors import DoorError

SLACK_S = 0.3  # after the pulse's end: a busy machine's supervisor comes round late, and is no dead one
AGAIN_S = 0.1  # until the relay is switched off once more, as the lines may fail or somebody may switch it on
END_S = 1.0  # that a child has to end itself
_TIME = struct.Struct("d")


class Guard:
    """The child. Make it before any thread, and before anything large is loaded: it keeps what there is then."""

    def __init__(self, lines: Lines) -> None:
        """Start the child with the lines as they are: they must work in a child (a GPIO chip's descriptor does)."""
        reading, self._writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writing, False)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writing)
            try:
                _watch(lines, reading)
            finally:
                os._exit(0)
        os.close(reading)
        self._is_alive, self._has_ended = True, False

    @property
    def is_alive(self) -> bool:
        """Whether the child runs and takes what it is told."""
        try:
            if not self._has_ended and os.waitpid(self._pid, os.WNOHANG)[0] != 0:
                self._has_ended = True
        except ChildProcessError:  # another thread, which asked at the same moment, was told
            self._has_ended = True
        return self._is_alive and not self._has_ended

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._pid

    def expect(self, off_by: float) -> None:
        """Say by when the relay is to be off, monotonic s; infinity: it is off."""
        try:
            os.write(self._writing, _TIME.pack(off_by))
        except OSError:  # it has died, or is stopped and its pipe is full
            self._is_alive = False

    def close(self) -> None:
        """End the child."""
        os.close(self._writing)
        until = time.monotonic() + END_S
        while self.is_alive and time.monotonic() < until:
            time.sleep(0.01)  # it has nothing to do but to end
        if not self._has_ended:  # stopped, or stuck in a slow line
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._has_ended = True


class NoGuard:
    """In the place of a guard where the lines are in one process alone: a demonstration, a test."""

    is_alive = True

    def expect(self, off_by: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _watch(lines: Lines, reading: int) -> None:
    """Be the child, until the parent closes the pipe or dies."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # a stop is the parent's; this ends with it
        signal.signal(number, signal.SIG_IGN)
    off_at = math.inf
    while True:
        wait_s = None if off_at == math.inf else max(0.0, off_at - time.monotonic())
        if select.select([reading], [], [], wait_s)[0]:
            told = os.read(reading, 4096)
            if not told:
                _switch_off(lines)
                return
            (off_by,) = _TIME.unpack(told[-_TIME.size :])
            off_at = off_by + SLACK_S
        else:
            _switch_off(lines)
            off_at = time.monotonic() + AGAIN_S


def _switch_off(lines: Lines) -> None:
    try:
        lines.set({Output.RELAY: False, Output.SECOND_RELAY: False})
    except DoorError:
        return  # again soon; the parent says that its lines fail

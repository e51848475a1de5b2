"""Standard output and error of a process that must not wait for whoever reads them.

A full journal, a pipe that nobody reads, a terminal that somebody stopped with Ctrl-S, a disk without room: a line is
lost then, and said to be lost with the next one that gets through. No thread of the door waits for it, and no error
comes of it.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import threading
from contextlib import suppress

MOST_BYTES = 4096  # of a line: a pipe takes so much in one piece, or nothing


class Outlet(io.TextIOBase):
    """Text onto a descriptor, line by line; what cannot be written at once is dropped and counted."""

    def __init__(self, descriptor: int, before: str = "") -> None:
        """Take a descriptor that does not block, and what stands before the line that counts the lost ones."""
        self._descriptor, self._before = descriptor, before
        self._lock = threading.Lock()
        self._held = b""
        self._lost, self._is_cut = 0, False

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """What texts are written in."""
        return "utf-8"

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether somebody sits before it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write the lines of a text that are whole; the rest waits for its end, or for `flush`."""
        with self._lock:
            *lines, self._held = (self._held + text.encode("utf-8", "backslashreplace")).split(b"\n")
            for line in lines:
                self._put(line[: MOST_BYTES - 1] + b"\n")
        return len(text)

    def flush(self) -> None:
        """Write what has no end of line yet."""
        with self._lock:
            held, self._held = self._held, b""
            if held:
                self._put(held[:MOST_BYTES])

    def _put(self, line: bytes) -> None:
        if self._is_cut and not self._is_written(b"\n"):
            self._lost += 1
            return
        if self._lost:
            said = f"{self._before}{self._lost} lines before this one were lost: nobody took them\n"
            if not self._is_written(said.encode()):
                self._lost += 1
                return
            self._lost = 0
        self._lost += not self._is_written(line)

    def _is_written(self, line: bytes) -> bool:
        try:
            count = os.write(self._descriptor, line)
        except OSError:  # it would block, or there is no reader, or no room
            return False
        self._is_cut = 0 < count < len(line)  # on a disk that is full, or a socket: what follows begins a line
        return True


def wait_for_no_reader(before: str = "") -> None:
    """Let nothing that this process prints or logs wait, nor what its libraries and children write to its descriptors.

    Streams that somebody else put in the place of standard output or error are left alone.
    """
    for name, own in (("stdout", sys.__stdout__), ("stderr", sys.__stderr__)):
        if own is None or getattr(sys, name) is not own:
            continue
        with suppress(OSError, ValueError):
            own.flush()
            _unblock(own.fileno())
            setattr(sys, name, Outlet(own.fileno(), before if name == "stderr" else ""))


def _unblock(descriptor: int) -> None:
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(kind) or os.isatty(descriptor):
        # A description of its own: whether the one we were given blocks is the affair of all who share it.
        try:
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # somebody else's, or nobody reads it
            os.set_blocking(descriptor, False)
        else:
            os.dup2(own, descriptor)
            os.close(own)
    elif stat.S_ISSOCK(kind):  # the journal's; a socket cannot be opened anew
        os.set_blocking(descriptor, False)

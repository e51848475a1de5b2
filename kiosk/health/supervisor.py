"""What systemd and its journal hear: readiness, a living watchdog, and log lines with their weight."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Mapping

from kiosk.health.outlet import wait_for_no_reader

WEIGHTS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Level to the journal's priority, sd-daemon(3)."""


class Flag:
    """An event that a signal's handler may set.

    A `threading.Event` has a lock, and a handler runs in the thread it interrupts, which may hold that lock:
    then both wait indefinitely. This one is a flag that is looked at.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Say it."""
        self._is_set = True

    def clear(self) -> None:
        """Take it back."""
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it was said."""
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Let so much time pass, unless it was said already; return whether it was said by then."""
        if not self._is_set:
            time.sleep(timeout_s)  # nothing can wake it, as nothing holds a lock: callers wait for short times only
        return self._is_set


class Supervisor:
    """The service manager that started this process, or none."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        named = environment.get("WATCHDOG_USEC", "")
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(named) / 1e6 if named.isdecimal() and is_meant else 0.0
        """Longest silence that it allows; 0 for any."""

    def tell(self, **facts: str | int) -> None:
        """Send facts, such as READY=1 or STATUS="armed"; without a supervisor nothing is sent.

        A supervisor that does not take them is none: it acts on the silence.
        """
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(f"{name}={str(value).splitlines()[0] if value else value}" for name, value in facts.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as wire:
            wire.settimeout(1.0)
            try:
                wire.sendto(message.encode(), address)
            except OSError as error:
                logging.getLogger("kiosk.notify").warning("the service manager takes no messages: %s", error)


class _Weighted(logging.Formatter):
    """One line per fact, its priority before it; whatever would break the line is shown escaped."""

    def format(self, record: logging.LogRecord) -> str:
        weight = next((weight for level, weight in WEIGHTS if record.levelno >= level), 7)
        return "\n".join(f"<{weight}>{line}" for line in super().format(record).splitlines())


def log_to_stderr(environment: Mapping[str, str] = os.environ) -> None:
    """Send log lines to stderr: with priorities for a journal, with the time for a person. No line is waited for."""
    wait_for_no_reader("<4>kiosk: " if environment.get("JOURNAL_STREAM") else "")
    handler = logging.StreamHandler(sys.stderr)
    if environment.get("JOURNAL_STREAM"):
        handler.setFormatter(_Weighted("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for chatty in ("httpx", "httpcore", "uvicorn", "multipart"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

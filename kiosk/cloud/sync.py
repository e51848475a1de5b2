"""The thread beside the kiosk that talks to the cloud: sends the outbox, pulls the lists, answers the fallback.

Nothing waits for it, and it waits for nothing but the network: it ends within two seconds whatever the network does.
One process at a time sends and pulls; another that finds the lock taken does neither, and looks again later.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from kiosk.cloud.client import Cloud
from kiosk.cloud.connection import Pace
from kiosk.cloud.credentials import API_KEY, PROXY, WEBHOOK_SECRET, Credentials
from kiosk.cloud.fallback import Fallback
from kiosk.cloud.puller import Puller
from kiosk.cloud.sender import Sender
from kiosk.cloud.view import CloudView
from kiosk.cloud.wire import Wire
from kiosk.device.device import Device
from kiosk.errors import CloudError, KioskError
from kiosk.settings.network import CloudSettings

LOCK_NAME = ".sending"
TURN_S = 1.0  # longest sleep: the beat goes on, and settings of the clock are noticed
CLOSE_S = 1.5
LOCK_AGAIN_S = 10.0
HOUR_S = 3600.0

log = logging.getLogger("kiosk.cloud_sync")


def connect(
    settings: CloudSettings,
    credentials: Credentials,
    *,
    now: Callable[[], float],
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[Wire, Cloud]:
    """Build the way to Didit; nothing is opened until something is asked."""
    wire = Wire(proxy=credentials.read(PROXY) or settings.proxy, ca_file=settings.ca_file)
    return wire, Cloud(wire, settings, lambda: credentials.read(API_KEY), now=now, monotonic=monotonic)


class Sync:
    """Talks to the cloud while the kiosk runs. Built stopped; `start`, then `close`."""

    def __init__(
        self,
        device: Device,
        settings: CloudSettings,
        credentials_directory: Path | None = None,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Put the parts together; under default settings there is nothing to do, and `start` starts nothing.

        Args:
            device: with store, and its outgoing, which is connected to the sender and the fallback.
            settings: of [cloud].
            credentials_directory: `$CREDENTIALS_DIRECTORY`, where systemd names one.
            now: s UTC.
            monotonic: s.
            rng: for jitter.
            pace: waits; a drill makes them shorter.
        """
        store, pace = device.store, pace or Pace()
        self._again_s = pace.again_s
        self.credentials = Credentials(store, credentials_directory)
        self._settings, self._monotonic = settings, monotonic
        self._wire, self.cloud = connect(settings, self.credentials, now=now, monotonic=monotonic)
        self.sender = Sender(
            store,
            self.cloud,
            self._wire,
            settings,
            secret=lambda: self.credentials.read(WEBHOOK_SECRET),
            notes=store.notes,
            now=now,
            rng=rng or random.Random(),  # noqa: S311  jitter
            pace=pace,
        )
        self._puller = Puller(device, self.cloud, settings.lists, settings.lists_every_s, now=now)
        self.view = CloudView(store, settings, self.credentials, now=now, balance=self.cloud.balance)
        self.fallback = (
            Fallback(store, self.cloud, settings, now=now, monotonic=monotonic) if settings.fallback else None
        )
        device.outgoing.connect(self.wake, self.fallback.about if self.fallback is not None else None)
        self._now = now
        self._lock_path = store.directory / LOCK_NAME
        self._lock: int | None = None
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._pull_after = float("-inf")
        self._fault: str | None = None  # of ours, in the last turn
        self.beat = monotonic()
        """Monotonic s of the last sign of life; a call that is under way may make it a minute old."""

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to send or to pull."""
        return self._settings.is_sending or bool(self._settings.lists)

    @property
    def alarm(self) -> str | None:
        """Why sending has stopped."""
        return self._fault or self.sender.connection.alarm

    @property
    def clock_skew_s(self) -> float | None:
        """The server's clock minus ours, at its last answer."""
        return self.cloud.skew_s

    @property
    def lists_complete_at(self) -> float | None:
        """When the list pulled longest ago was complete, s UTC; None where one never was, or none is set."""
        return self._puller.complete_at()

    def lists_are_stale(self, limit_h: float) -> bool:
        """Say whether a list is older than so many hours, or was never pulled; without lists or limit never."""
        if not self._settings.lists or limit_h <= 0.0:
            return False
        at = self.lists_complete_at
        return at is None or self._now() - at > limit_h * HOUR_S

    def start(self) -> None:
        """Begin, where there is anything to do."""
        if self.is_wanted:
            self._thread = threading.Thread(target=self._run, name="cloud", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look at the outbox now rather than within a second."""
        self._woken.set()

    def close(self) -> None:
        """End within two seconds; what was being sent is looked for at the next start."""
        self._stopping.set()
        self._woken.set()
        self._wire.close()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def run_once(self, until: Callable[[], bool]) -> None:
        """Send in this thread until a condition holds or nothing can be done; for a command.

        Raises:
            CloudError: another process sends already.
        """
        if not self._take_lock():
            raise CloudError("the running kiosk sends already; `kiosk cloud status` says how far it is")
        while not until() and not self._stopping.is_set():
            self._woken.wait(min(self._turn(), TURN_S))
            self._woken.clear()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.beat = self._monotonic()
            try:
                wait_s = self._turn() if self._take_lock() else LOCK_AGAIN_S
            except KioskError as error:  # the store: a full disk, a stuck process; the daemon sees that by itself
                if self._stopping.is_set():
                    return
                log.error("cloud turn failed reason=%r", str(error))  # noqa: TRY400  expected: its sentence says all
                wait_s = self._again_s
            except Exception as error:  # noqa: BLE001  a thread that ended would leave lists and outbox as they are
                frames = "".join(traceback.format_tb(error.__traceback__))  # without the message: it may quote a person
                log.error("cloud turn failed error=%s\n%s", type(error).__name__, frames)  # noqa: TRY400
                self._fault = f"Sending and pulling fail ({type(error).__name__}); the log says where."
                wait_s = self._again_s
            else:
                self._fault = None
            until = self._monotonic() + wait_s
            while not self._stopping.is_set() and (left := until - self._monotonic()) > 0.0:
                self.beat = self._monotonic()
                if self._woken.wait(min(left, TURN_S)):
                    self._woken.clear()
                    break

    def _turn(self) -> float:
        """Do one thing for the outbox and one for the lists; return how long to wait."""
        wait_s = self.sender.step()
        now = self._monotonic()
        if now < self._pull_after:
            return wait_s
        try:
            return 0.0 if self._puller.step() else wait_s
        except CloudError as error:
            log.warning("list not pulled reason=%r", str(error))
            self._pull_after = now + max(self._again_s, float(getattr(error, "retry_after_s", 0.0)))
            return wait_s

    def _take_lock(self) -> bool:
        """Become the one who sends."""
        if self._lock is not None:
            return True
        handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._lock = handle
        return True

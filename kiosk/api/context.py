"""What all routes share: the device, the running kiosk where there is one, who may ask, and the threads that work."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from kiosk.api.access import Access
from kiosk.api.jobs import Jobs
from kiosk.api.metrics import Counts
from kiosk.api.queue import CallQueue
from kiosk.api.uploads import MemoryBudget
from kiosk.device.device import Device
from kiosk.entrance.news import RunningKiosk
from kiosk.errors import RefusedError
from kiosk.settings.config import Config, Sources

WORKERS = 8  # threads for short work with the store and the desk
BODIES_BYTES = 128 << 20  # of all bodies under way
MOST_STREAMS = 32  # listeners and viewers at once


class Cloud(Protocol):
    """What the API tells of the cloud's work. Safe in several threads; returns at once."""

    def status(self) -> Mapping[str, Any]:
        """Return policy, breaker, age of the lists and the like: JSON."""

    def rows(self, state: str | None, limit: int, offset: int) -> Sequence[Mapping[str, Any]]:
        """Return rows of the outbox for people."""

    def receive_webhook(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Take a relayed webhook; a RefusedError says that its signature is wrong."""


def nothing() -> None:
    """Do nothing."""


@dataclass(slots=True)
class Context:
    """Everything a route may need."""

    device: Device
    access: Access
    now: Callable[[], float]  # seconds UTC
    kiosk: RunningKiosk | None = None  # the running kiosk
    cloud: Cloud | None = None
    sources: Sources | None = None  # where settings come from; None: they cannot be changed here
    apply: Callable[[Config], None] | None = None  # puts changed settings into force; may refuse with a ConfigError
    forgotten: Callable[[], None] = nothing  # called after a person was erased: takes them out of backups
    is_secure: bool = False  # served under TLS
    changing: threading.Lock = field(default_factory=threading.Lock)  # held while settings are changed
    queue: CallQueue = field(init=False)
    workers: ThreadPoolExecutor = field(init=False)
    memory: MemoryBudget = field(init=False)
    counts: Counts = field(init=False)
    closing: threading.Event = field(init=False)
    streams: asyncio.Semaphore = field(init=False)
    passwords: threading.Semaphore = field(init=False)
    reviewing: threading.Lock = field(init=False)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        """Make the threads and the memory budget."""
        cores = os.cpu_count() or 1
        self.queue = CallQueue(max(1, cores - (self.kiosk is not None)), self.config.api.queue)
        self.workers = ThreadPoolExecutor(WORKERS, "worker")
        self.memory = MemoryBudget(BODIES_BYTES)
        self.counts = Counts()
        self.closing = threading.Event()
        self.streams = asyncio.Semaphore(MOST_STREAMS)
        self.passwords = threading.Semaphore(2)  # scrypt takes 32 MB each
        self.reviewing = threading.Lock()
        self.jobs = Jobs(self.closing)

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.device.config

    def running(self) -> RunningKiosk:
        """Return the running kiosk.

        Raises:
            RefusedError: this is `kiosk serve`, without camera and door.
        """
        if self.kiosk is None:
            raise RefusedError("there is no camera or door here; `kiosk run` has them")
        return self.kiosk

    def close(self) -> None:
        """End streams and threads."""
        self.closing.set()
        self.queue.close()
        self.jobs.close()
        self.workers.shutdown(wait=False, cancel_futures=True)

"""What all routes share: the device, the running kiosk where there is one, who may ask, and the threads that work."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from kiosk.api.access import Access
from kiosk.api.jobs import Jobs
from kiosk.api.metrics import Counts
from kiosk.api.proofs import Proofs
from kiosk.api.queue import CallQueue, be_nice
from kiosk.api.uploads import MemoryBudget
from kiosk.device.device import Device
from kiosk.device.enrol_document import ShownPortrait
from kiosk.device.passes.keys import PassKeys
from kiosk.device.sessions.documents import DocumentReader
from kiosk.device.sessions.runner import Sessions
from kiosk.entrance.liveness_step import Detector
from kiosk.entrance.news import RunningKiosk
from kiosk.errors import ModelFileError, RefusedError
from kiosk.evaluation.acceptance.wizard import Wizard
from kiosk.networks.liveness import liveness_limits
from kiosk.recognition.cues import SpoofNetwork
from kiosk.settings.config import Config, Sources

WORKERS = 8  # threads for short work with the store and the desk
BODIES_BYTES = 128 << 20  # of all bodies under way
MOST_STREAMS = 32  # listeners and viewers at once
MOST_STREAMS_OF_ONE = 6  # of one account, or of the kiosk's own screen: a page holds two


class Cloud(Protocol):
    """What the API tells of the cloud's work. Safe in several threads; returns at once."""

    def status(self) -> Mapping[str, Any]:
        """Return policy, breaker, age of the lists and the like: JSON."""

    def rows(self, state: str | None, limit: int, offset: int) -> Sequence[Mapping[str, Any]]:
        """Return rows of the outbox for people."""

    def balance(self) -> str:
        """Ask for the account's credits, a decimal number; a CloudError says why they cannot be read."""

    def receive_webhook(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Take a relayed webhook; a RefusedError says that its signature is wrong."""


class Fleet(Protocol):
    """What the API tells of the fleet that this kiosk belongs to. Safe in several threads; asks nobody."""

    def overview(self) -> Mapping[str, Any]:
        """Return its kiosks and hubs: JSON."""

    def person(self, session_id: str) -> Mapping[str, Any]:
        """Return which kiosks know what is known here of a person, and which have forgotten them: JSON."""

    def duplicates(self) -> Sequence[Mapping[str, Any]]:
        """Return who may be one person and was enrolled at two kiosks, most alike first: JSON."""

    def decide(self, first: str, second: str, *, details_of: str | None, actor: str) -> Mapping[str, Any] | None:
        """Say that two people are one with the particulars of `details_of`, and return them: JSON; or two, for None.

        A RefusedError says that nobody is asked about these two any more.
        """


def nothing() -> None:
    """Do nothing."""


class Streams:
    """The streams under way: so many for all, so many for each caller. Used by the event loop alone."""

    def __init__(self, most: int, most_of_one: int) -> None:
        """Take the limits."""
        self._most, self._most_of_one = most, most_of_one
        self._open: Counter[str] = Counter()

    @property
    def under_way(self) -> int:
        """How many there are."""
        return self._open.total()

    def is_full(self, caller: str) -> bool:
        """Whether a caller may open no further stream now."""
        return self.under_way >= self._most or self._open[caller] >= self._most_of_one

    @contextmanager
    def place(self, caller: str) -> Iterator[bool]:
        """Hold a place while a stream lasts; False: others that began at the same time took the last one."""
        is_free = not self.is_full(caller)
        self._open[caller] += is_free
        try:
            yield is_free
        finally:
            self._open[caller] -= is_free
            if not self._open[caller]:
                del self._open[caller]


@dataclass(slots=True)
class Context:
    """Everything a route may need."""

    device: Device
    access: Access
    now: Callable[[], float]  # seconds UTC
    wizard: Wizard  # leads through the acceptance
    pass_keys: PassKeys  # by which visitor passes are issued
    kiosk: RunningKiosk | None = None  # the running kiosk
    cloud: Cloud | None = None
    fleet: Fleet | None = None
    read_document: DocumentReader | None = None  # for sessions; None: none with such a step can be made
    detector: Detector | None = None  # tells photographs from people
    sources: Sources | None = None  # where settings come from; None: they cannot be changed here
    apply: Callable[[Config], None] | None = None  # puts changed settings into force; may refuse with a ConfigError
    forgotten: Callable[[], None] = nothing  # called after a person was erased: takes them out of backups
    confirm_clock: Callable[[str], float] | None = None  # takes a caller's word that the clock is right
    scale_measured: Mapping[str, Any] = field(default_factory=dict)  # what the model pack says of its scale
    is_secure: bool = False  # served under TLS
    screen_token: str | None = None  # by which the kiosk's own screen is known; None: nobody is the screen
    changing: threading.Lock = field(default_factory=threading.Lock)  # held while settings are changed
    shown_portrait: ShownPortrait = field(default_factory=ShownPortrait)
    queue: CallQueue = field(init=False)
    workers: ThreadPoolExecutor = field(init=False)
    memory: MemoryBudget = field(init=False)
    counts: Counts = field(init=False)
    closing: threading.Event = field(init=False)
    streams: Streams = field(init=False)
    passwords: ThreadPoolExecutor = field(init=False)
    reviewing: threading.Lock = field(init=False)
    claiming: threading.Lock = field(init=False)  # held while the first operator is made, or a step noted
    jobs: Jobs = field(init=False)
    proofs: Proofs = field(init=False)
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        """Make the threads and the memory budget."""
        cores = os.cpu_count() or 1
        self.queue = CallQueue(max(1, cores - (self.kiosk is not None)), self.config.api.queue)
        self.workers = ThreadPoolExecutor(WORKERS, "worker")
        self.memory = MemoryBudget(BODIES_BYTES)
        self.counts = Counts()
        self.closing = threading.Event()
        self.streams = Streams(MOST_STREAMS, MOST_STREAMS_OF_ONE)
        # scrypt takes 32 MB and 300 ms each. Threads of their own: a release must not wait behind passwords.
        self.passwords = ThreadPoolExecutor(2, "password", initializer=be_nice)
        self.reviewing = threading.Lock()
        self.claiming = threading.Lock()
        self.jobs = Jobs(self.closing)
        self.proofs = Proofs(self.device.store.people.erasures, self.forgotten)
        self.sessions = Sessions(
            self.device,
            network=self._spoof_network,
            limits=lambda: liveness_limits(self.config.pad).cues,
            read_document=self.read_document,
        )

    def _spoof_network(self) -> SpoofNetwork:
        if self.detector is None:
            raise ModelFileError("no network for liveness is loaded")
        return self.detector.tested()

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
        self.proofs.close()
        self.workers.shutdown(wait=False, cancel_futures=True)
        self.passwords.shutdown(wait=False, cancel_futures=True)

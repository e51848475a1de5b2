"""Long work of the API: started by one call, followed by others, one of a kind at a time."""

from __future__ import annotations

import logging
import secrets
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from kiosk.errors import KioskError, RefusedError

LOG = logging.getLogger("kiosk.api")
REMEMBERED = 8  # jobs that can still be asked about


@dataclass(slots=True)
class Job:
    """One piece of long work and how far it is."""

    id: str
    kind: str
    state: str = "running"  # "done", "failed"
    done: int = 0
    total: int = 0
    sentence: str | None = None  # why it failed
    outcome: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        told = {"id": self.id, "state": self.state, "done": self.done, "total": self.total, "sentence": self.sentence}
        return {**told, **self.outcome}


class Jobs:
    """The long work of one API. Safe in several threads."""

    def __init__(self, is_closing: threading.Event) -> None:
        """Take what says that the API stops; long work looks at it between its steps."""
        self.is_closing = is_closing
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._pool = ThreadPoolExecutor(2, "job")

    def start(self, kind: str, work: Callable[[Job], None], *, unbegun: Callable[[], None] = lambda: None) -> Job:
        """Begin.

        Args:
            kind: of the work; one of each at a time.
            work: does it.
            unbegun: lets go of what the work holds, where the API stops before it begins.

        Raises:
            RefusedError: one of this kind is under way.
        """
        with self._lock:
            if any(job.kind == kind and job.state == "running" for job in self._jobs.values()):
                raise RefusedError(f"another {kind} is under way; wait for its end")
            job = Job(secrets.token_hex(8), kind)
            self._jobs[job.id] = job
            ended = [one.id for one in self._jobs.values() if one.state != "running"]
            for old in ended[: max(0, len(self._jobs) - REMEMBERED)]:
                del self._jobs[old]

        def leave(future: Future[None]) -> None:
            if future.cancelled():
                job.state, job.sentence = "failed", "the kiosk was stopped before this began"
                unbegun()

        self._pool.submit(self._run, job, work).add_done_callback(leave)
        return job

    def get(self, kind: str, name: str) -> Job | None:
        """Return a job; None when there is none of this id any more."""
        with self._lock:
            job = self._jobs.get(name)
        return job if job is not None and job.kind == kind else None

    def _run(self, job: Job, work: Callable[[Job], None]) -> None:
        try:
            work(job)
            if job.state == "running":  # it may have said itself that it did not come to its end
                job.state = "done"
        except KioskError as error:
            LOG.error("job kind=%s error=%s: %s", job.kind, type(error).__name__, error)  # noqa: TRY400  one line
            job.sentence = "the kiosk could not go on; its log says why"
        except Exception as error:  # noqa: BLE001  nobody asks the future; this is the last place to say so
            frames = "".join(traceback.format_tb(error.__traceback__))  # without the message: it may quote a person
            LOG.error("job kind=%s error=%s\n%s", job.kind, type(error).__name__, frames)  # noqa: TRY400
            job.sentence = "the kiosk could not go on; its log says why"
        finally:
            if job.state == "running":
                job.state = "failed"

    def close(self) -> None:
        """Begin nothing more; what runs ends at its next step."""
        self._pool.shutdown(wait=False, cancel_futures=True)

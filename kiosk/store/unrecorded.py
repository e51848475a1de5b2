"""Acts that the decision log has not taken yet: in memory, and in a file whose room was taken beforehand.

The door is opened first and the act recorded after, so that no disk locks anybody in. What the store does not take
waits here, in order, and is recorded once it does; also after a restart.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kiosk.errors import StoreError
from kiosk.store.chain import Kind
from kiosk.store.durable import ReservedFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kiosk.store.store import Store

NAME = "unrecorded"
SLOT_BYTES = 1 << 16  # some 300 acts; whatever more there is waits in memory alone
MOST_ACTS = 1000  # that wait; the oldest go first
LATE_S = 10.0  # from which a record says when the act was, as its own time is another


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done, and belongs into the log."""

    kind: Kind
    at: float  # s UTC
    details: Mapping[str, Any] = field(default_factory=dict)  # nothing personal
    actor: str = ""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class UnrecordedActs:
    """The acts that wait for the log of one state directory. Safe in several threads."""

    def __init__(self, directory: Path) -> None:
        """Read what an earlier process left; a directory that cannot be written is no hindrance."""
        self._file = ReservedFile(directory / NAME, SLOT_BYTES)
        self._lock = threading.Lock()  # guards the queue
        self._recording = threading.Lock()  # held while acts are recorded, in their order
        self._acts: deque[Act] = deque(maxlen=MOST_ACTS)
        self._kept: set[str] = set()  # in the file; may be recorded already
        self._is_read = False  # a disk may not give the file back now, and later
        self._read_left()

    def __len__(self) -> int:
        return len(self._acts)

    def prepare(self) -> None:
        """Take the file's room while the disk has some; an `OSError` says that it has none."""
        self._file.prepare()

    def add(self, act: Act) -> None:
        """Have an act wait for `record`."""
        with self._lock:
            self._acts.append(act)

    def record(self, store: Store, now: float, *, wait_s: float = -1.0) -> None:
        """Record everything that waits, oldest first.

        Args:
            store: whose log takes it.
            now: s UTC.
            wait_s: how long to wait for another thread that records; -1 for as long as it takes.

        Raises:
            StoreError: the store does not take it; what is left waits on, and is kept in the file where that goes.
        """
        if not self._recording.acquire(timeout=wait_s):
            return
        try:
            with self._lock:
                self._read_left()
            while self._acts:
                act = self._acts[0]
                try:
                    if act.request_id not in self._kept or store.log.signed(act.request_id) is None:
                        late = {"at": round(act.at, 3)} if now - act.at > LATE_S else {}
                        details = {**act.details, **late}
                        store.record_act(act.kind, details=details, actor=act.actor, request_id=act.request_id)
                except StoreError:
                    self.keep()
                    raise
                with self._lock, suppress(ValueError):  # so many may have come meanwhile that it is gone
                    self._acts.remove(act)
            if self._kept:
                self.keep()
        finally:
            self._recording.release()

    def keep(self) -> bool:
        """Write what waits into the file, the oldest that fit; say whether that could be done."""
        with self._lock:
            if not self._read_left():
                return False  # what lies there would be written over
            rows = [json.dumps({**asdict(act), "kind": act.kind.value}) for act in self._acts]
            while rows and sum(map(len, rows)) + 2 * len(rows) > SLOT_BYTES - 100:  # the head, and brackets
                rows.pop()
            kept = [act.request_id for act in self._acts][: len(rows)]
            if set(kept) == self._kept:
                return True
            try:
                self._file.write(f"[{','.join(rows)}]")
            except OSError:  # a read-only card: what waits is in memory, and in the journal
                return False
            self._kept = set(kept)
            return True

    def _read_left(self) -> bool:
        """Have what an earlier process left wait before everything else; say whether it is known."""
        if self._is_read:
            return True
        try:
            rows = json.loads(self._file.read() or "[]")
            left = [Act(**{**row, "kind": Kind(row["kind"])}) for row in rows]
        except OSError:
            return False
        except (ValueError, TypeError, KeyError):  # of another release
            left = []
        self._is_read = True
        self._acts.extendleft(reversed(left))
        self._kept = {act.request_id for act in left}
        return True

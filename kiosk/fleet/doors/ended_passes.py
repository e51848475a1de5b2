"""A pass that was withdrawn at one kiosk ends at all of them: told beside the lockdowns, and kept by each.

What one kiosk says of them is all that was ended there, so that a kiosk that was away, or was put back to a backup,
hears it when it is there again. Until then it takes the pass: a pass counts without a network.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from kiosk.errors import StoreError
from kiosk.rules.passes import VisitorPass, read_pass
from kiosk.store.passes.passes import MOST_PASSES
from kiosk.store.store import Store

LOOK_S = 1.0  # how often the store is asked whether one was ended, and to keep what it could not take before

log = logging.getLogger("kiosk.fleet")


class EndedPasses:
    """The passes that one kiosk ended, and has heard are ended. For one thread at a time."""

    def __init__(
        self, store: Store, *, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the store, s UTC and a clock, monotonic s."""
        self._store, self._now, self._clock = store, now, clock
        self._due = float("-inf")
        self._acts: tuple[int, float | None] = (-1, None)
        self._own: list[str] = []
        self._waiting: dict[str, tuple[VisitorPass, str]] = {}  # by its text, and who ended it; not kept yet
        self._kept: set[str] = set()
        self._failed = ""

    def own(self) -> list[str]:
        """Return the texts of passes that were ended here, as they were a second ago at most."""
        if self._clock() >= self._due:
            self._due = self._clock() + LOOK_S
            self._try(self._look)
            self._try(self._keep)
        return self._own

    def hear(self, texts: object, kiosk: str) -> None:
        """Take what a kiosk of the fleet ended: whoever belongs to it may.

        Args:
            texts: as `own` gave them, of its word.
            kiosk: its name; empty for this kiosk's own word of before.

        Raises:
            ValueError: these are no passes.
        """
        if not isinstance(texts, list) or len(texts) > MOST_PASSES or not all(isinstance(one, str) for one in texts):
            raise ValueError("this says nothing of passes")
        for text in texts:
            if text not in self._kept:
                self._waiting.setdefault(text, (read_pass(text)[0], kiosk))
        self._try(self._keep)

    def _look(self) -> None:
        acts = self._store.passes.acts()
        if acts != self._acts:
            self._own = list(self._store.passes.revoked_here()[:MOST_PASSES])
            self._acts = acts

    def _keep(self) -> None:
        for text, (shown, kiosk) in list(self._waiting.items()):
            if self._store.passes.hear_revoked(shown, text, now=self._now(), kiosk=kiosk):
                log.info("fleet pass=%s ended_by=%r", shown.name, kiosk or "this kiosk")
            del self._waiting[text]
            self._kept.add(text)

    def _try(self, work: Callable[[], None]) -> None:
        """Do it now, or with the next look; say once why not."""
        try:
            work()
        except StoreError as error:
            if str(error) != self._failed:
                log.warning("fleet passes kept=False reason=%r", str(error))
            self._failed = str(error)
        else:
            self._failed = ""

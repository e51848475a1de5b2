"""Who asks the shards: every question goes to all at once, and an answer says how many of them answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import Any

from kiosk.errors import CloudError, StoreError
from kiosk.gallery.parts import Gathered, Part, gather
from kiosk.gallery.search import Query
from kiosk.shards.nats_client import Hub
from kiosk.shards.wire import SUBJECT, Question, Seal
from kiosk.types import Template

log = logging.getLogger(__name__)

PATIENCE_S = 1.0  # a quarter of a million references take some milliseconds


class Front:
    """Asks the shards. Safe in several threads."""

    def __init__(self, address: str, seal: Seal, of: int, *, patience_s: float = PATIENCE_S) -> None:
        """Begin to look for the hub; until it is there every search is incomplete.

        Args:
            address: of the hub, nats:// or tls://.
            seal: the key.
            of: how many shards there are.
            patience_s: how long an answer is waited for.
        """
        self._hub, self._seal, self._of, self._patience_s = Hub(address), seal, of, patience_s
        self._inbox = ""
        self._is_listening = threading.Event()
        self._open: dict[bytes, tuple[list[Part], asyncio.Event]] = {}
        self._connecting = asyncio.run_coroutine_threadsafe(self._listen(), self._hub.loop)

    def search_all(self, probe: Template, queries: Sequence[Query], *, now: float) -> Gathered:
        """Ask all shards; whoever does not answer in time is missing from the answer, which says so."""
        parts: Sequence[Part] = []
        if self._is_listening.wait(self._patience_s) and self._hub.is_connected:
            with contextlib.suppress(CloudError):
                parts = self._hub.run(self._ask(Question(probe, tuple(queries), now)))
        usable = [part for part in parts if len(part.candidates) == len(queries)]
        found = gather(usable, queries, self._of)
        if not found.is_complete:
            log.warning("shards_answered=%d of=%d", found.answered, found.of)
        return found

    async def _listen(self) -> None:
        await self._hub.connect()
        self._inbox = self._hub.client.new_inbox()
        await self._hub.client.subscribe(self._inbox, cb=self._take)
        await self._hub.settle()
        self._is_listening.set()

    async def _take(self, message: Any) -> None:
        try:
            number, part = self._seal.read_answer(bytes(message.data))
        except StoreError:
            return
        parts, done = self._open.get(number, ([], None))
        if done is None or part.of != self._of or part.part in {one.part for one in parts}:
            return
        parts.append(part)
        if len(parts) == self._of:
            done.set()

    async def _ask(self, question: Question) -> Sequence[Part]:
        import nats  # noqa: PLC0415  the extra fleet

        number, sealed = self._seal.ask(question)
        parts, done = self._open.setdefault(number, ([], asyncio.Event()))
        try:
            await self._hub.client.publish(SUBJECT, sealed, reply=self._inbox)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(done.wait(), self._patience_s)
        except (nats.errors.Error, OSError) as error:
            raise CloudError(f"the hub of the shards does not take a question: {error}") from error
        finally:
            del self._open[number]
        return parts

    def close(self) -> None:
        """Disconnect."""
        self._hub.close()

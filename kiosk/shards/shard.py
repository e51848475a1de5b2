"""One shard: it holds a part of the people and answers whoever has the key. What waits is searched together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kiosk.errors import KioskError, StoreError
from kiosk.gallery.gallery import Gallery
from kiosk.gallery.parts import Part
from kiosk.gallery.search import TOGETHER
from kiosk.gallery.snapshot import Flag
from kiosk.shards.nats_client import Hub
from kiosk.shards.wire import SUBJECT, Question, Seal
from kiosk.types import Template

log = logging.getLogger(__name__)

CONNECT_S = 10.0


class Shard:
    """Answers questions from one part of a gallery."""

    def __init__(self, gallery: Callable[[], Gallery], seal: Seal, part: int, of: int) -> None:
        """Take the part.

        Args:
            gallery: gives the part's gallery, up to date.
            seal: the key.
            part: which part, from 0.
            of: how many there are.
        """
        self._gallery, self._seal, self._part, self._of = gallery, seal, part, of

    def answers(self, sealed: Sequence[bytes]) -> list[bytes | None]:
        """Answer some questions at once; None for what is none of ours, or of another model, or cannot be answered."""
        asked: list[tuple[int, bytes, Question]] = []
        for at, one in enumerate(sealed):
            try:
                asked.append((at, *self._seal.read_question(one)))
            except StoreError:
                continue
        answers: list[bytes | None] = [None] * len(sealed)
        try:
            held = self._gallery()
            fit = [one for one in asked if _fits(one[2].probe, held)]
            found = held.search_many(
                [question.probe for _, _, question in fit],
                [question.queries for _, _, question in fit],
                now=[question.now for _, _, question in fit],
            )
            for (at, number, _), lists in zip(fit, found, strict=True):
                listed = {one.subject: held.person(one.subject) for each in lists for one in each}
                blocked = {subject for subject, person in listed.items() if person and person.flags & Flag.BLOCKLISTED}
                candidates = tuple(tuple(each) for each in lists)
                part = Part(self._part, self._of, held.references, candidates, frozenset(blocked))
                answers[at] = self._seal.answer(number, part)
        except KioskError as error:  # a damaged row, a store that cannot be read: no answer is the safe one
            log.warning("shard_cannot_answer=%s", error)
            return [None] * len(sealed)
        return answers


def _fits(probe: Template, held: Gallery) -> bool:
    """Say whether a probe can be searched here: one that cannot would take the answers of its neighbours with it."""
    return probe.model == held.model and probe.vector.shape == (held.depth,)


class Service:
    """A shard on the hub."""

    def __init__(self, shard: Shard, address: str) -> None:
        """Connect and begin to answer.

        Raises:
            CloudError: the hub does not answer.
        """
        self._shard, self._hub = shard, Hub(address)
        self._worker = ThreadPoolExecutor(1, "shard")
        try:
            self._hub.run(self._start())
        except BaseException:
            self.close()
            raise

    async def _start(self) -> None:
        await self._hub.connect(CONNECT_S)
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(16 * TOGETHER)
        await self._hub.client.subscribe(SUBJECT, cb=self._take)
        await self._hub.settle()
        self._task = asyncio.ensure_future(self._work())

    async def _take(self, message: Any) -> None:
        if message.reply and not self._waiting.full():  # who floods a shard gets no answer
            self._waiting.put_nowait(message)

    async def _work(self) -> None:
        import nats  # noqa: PLC0415  the extra fleet

        while True:
            batch = [await self._waiting.get()]
            while len(batch) < TOGETHER and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            answers = await self._hub.loop.run_in_executor(
                self._worker, self._shard.answers, [bytes(message.data) for message in batch]
            )
            for message, answer in zip(batch, answers, strict=True):
                if answer is not None:
                    with contextlib.suppress(nats.errors.Error, OSError):  # the hub went: who asked counts us missing
                        await self._hub.client.publish(message.reply, answer)

    @property
    def is_alive(self) -> bool:
        """Whether questions are answered; a mistake of ours ends that for good."""
        return not self._task.done()

    def close(self) -> None:
        """Stop answering; twice is as well as once."""
        self._hub.close()
        self._worker.shutdown()

"""How each kiosk is: said every few seconds at a hub, signed, and heard of the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kiosk.fleet import wire
from kiosk.fleet.member import Member
from kiosk.fleet.seen import Seen

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

HEALTH_S = 15.0
SOON_S = 1.0  # between two words of a kiosk while it reads something
MOST_WORDS = 2.0  # that a kiosk has to hear in a second; each goes to every kiosk
MOST_WORDS_READING = 5.0  # the same while there is something to read
LOOK_S = 1.0
SILENT_AFTER = 4  # words that did not come


class HealthExchange:
    """Tells and hears health over one connection."""

    def __init__(
        self,
        member: Member,
        health: Callable[[], dict[str, object]],
        link: Callable[[], dict[str, object]],
        seen: Seen,
        news: Callable[[], int] = lambda: 0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the kiosk, what to say of it and of the way to this hub, and what notes who was heard.

        `news` changes where the others are to hear something sooner; `clock` gives monotonic s.
        """
        self._clock = clock
        self._member, self._health, self._link, self._seen, self._news = member, health, link, seen, news

    async def run(self, client: Client) -> None:
        """Go on until the connection ends.

        First comes what this kiosk said last: its log is checked against that before another word takes its place.
        """
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        for last in await wire.fetch(client, wire.HEALTH, [self._own]):
            await asyncio.to_thread(self._member.hear_health, self._member.id, last.data)
        heard: asyncio.Queue[Msg | None] = asyncio.Queue()
        every = wire.SUBJECTS[wire.HEALTH]
        _, missing = await wire.read_on(
            client, wire.HEALTH, heard, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, filter_subject=every
        )
        told_at, told_of = float("-inf"), (-1, 0)
        while True:
            self._seen.has_all_words = missing <= 0
            now = (self._seen.read_to, self._news())
            due_s = health_s(self._kiosks, is_reading=now != told_of)
            if self._clock() - told_at >= due_s and self._member.is_let_in:
                told_at, told_of = self._clock(), now
                await self._tell(client)
            try:
                batch = [await asyncio.wait_for(heard.get(), LOOK_S)]
            except asyncio.TimeoutError:
                continue
            while not heard.empty():
                batch.append(heard.get_nowait())
            if await self._hear([one for one in batch if one is not None]):
                told_at = float("-inf")
            missing -= len(batch)
            if None in batch:
                return

    @property
    def _kiosks(self) -> int:
        roster = self._member.roster
        return 0 if roster is None else len(roster.members)

    @property
    def _own(self) -> str:
        return f"fleet.health.{self._member.id}"

    async def _tell(self, client: Client) -> None:
        signed = self._member.sign_health({**await asyncio.to_thread(self._health), **self._link()})
        await client.jetstream(timeout=wire.ANSWER_S).publish(self._own, signed)

    async def _hear(self, messages: list[Msg]) -> bool:
        """Take what was said, in one write, and note when the hub took it.

        Returns:
            Whether one of them is to hear at once that its log is behind.
        """
        me, others = self._member.id, []
        for one in messages:
            kiosk = one.subject.rsplit(".", maxsplit=1)[-1]
            self._seen.hear(kiosk, one.metadata.timestamp.timestamp(), self._clock(), is_me=kiosk == me)
            if kiosk != me:
                others.append((kiosk, one.data))
        await asyncio.to_thread(self._member.hear_healths, others)
        return await asyncio.to_thread(
            lambda: any(self._member.heads.newer(kiosk) for kiosk in {one for one, _ in others})
        )


def health_s(kiosks: int, *, is_reading: bool = False) -> float:
    """Return how long a kiosk waits between two words on its health; sooner while it reads what the others wait for.

    Every word goes to every kiosk, so that many kiosks speak less often.

    >>> health_s(5), health_s(5, is_reading=True), health_s(1000), health_s(1000, is_reading=True)
    (15.0, 1.0, 500.0, 200.0)
    """
    return max(SOON_S, kiosks / MOST_WORDS_READING) if is_reading else max(HEALTH_S, kiosks / MOST_WORDS)

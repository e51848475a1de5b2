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
SOON_S = 1.0  # between two words of a kiosk on its health while it reads something
MOST_WORDS = 2.0  # on health that a kiosk has to hear in a second; each goes to every kiosk
MOST_WORDS_READING = 5.0  # the same while there is something to read


class HealthExchange:
    """Tells and hears health over one connection."""

    def __init__(
        self,
        member: Member,
        health: Callable[[], dict[str, object]],
        link: Callable[[], dict[str, object]],
        seen: Seen,
    ) -> None:
        """Take the kiosk, what to say of it, what of the way to this hub, and what passed on it."""
        self._member, self._health, self._link, self._seen = member, health, link, seen

    async def run(self, client: Client) -> None:
        """Go on until the connection ends.

        First comes what this kiosk said last: its log is held against that before another word takes its place.
        """
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        member = self._member
        own = f"fleet.health.{member.id}"
        for last in await wire.fetch(client, wire.HEALTH, [own]):
            await asyncio.to_thread(member.hear_health, member.id, last.data)
        heard: asyncio.Queue[Msg | None] = asyncio.Queue()
        every = wire.SUBJECTS[wire.HEALTH]
        await wire.read_on(
            client, wire.HEALTH, heard, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, filter_subject=every
        )
        told_at, told_of = float("-inf"), -1
        while True:
            kiosks = 0 if member.roster is None else len(member.roster.members)
            due_s = health_s(kiosks, is_reading=self._seen.read_to != told_of)
            if time.monotonic() - told_at >= due_s and member.is_let_in:
                told_at, told_of = time.monotonic(), self._seen.read_to
                said = {**await asyncio.to_thread(self._health), **self._link()}
                signed = member.sign_health(said)
                await client.jetstream(timeout=wire.ANSWER_S).publish(own, signed)
            try:
                message = await asyncio.wait_for(heard.get(), 1.0)
            except asyncio.TimeoutError:
                continue
            batch = [message]
            while not heard.empty():
                batch.append(heard.get_nowait())
            words = [(one.subject.rsplit(".", maxsplit=1)[-1], one) for one in batch if one is not None]
            for kiosk, one in words:
                self._seen.hear(kiosk, one.metadata.timestamp.timestamp(), time.time(), is_me=kiosk == member.id)
            others = [(kiosk, one.data) for kiosk, one in words if kiosk != member.id]
            await asyncio.to_thread(member.hear_healths, others)
            for kiosk in {kiosk for kiosk, _ in others}:
                if await asyncio.to_thread(member.heads.newer, kiosk):
                    told_at = float("-inf")  # it is to hear at once that its log is behind
            if None in batch:
                return


def health_s(kiosks: int, *, is_reading: bool = False) -> float:
    """Return how long a kiosk waits between two words on its health; sooner while it reads what the others wait for.

    Every word goes to every kiosk, so that many kiosks speak less often.

    >>> health_s(5), health_s(5, is_reading=True), health_s(1000), health_s(1000, is_reading=True)
    (15.0, 1.0, 500.0, 200.0)
    """
    return max(SOON_S, kiosks / MOST_WORDS_READING) if is_reading else max(HEALTH_S, kiosks / MOST_WORDS)

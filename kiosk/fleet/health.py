"""How each kiosk is: said every few seconds at a hub, signed, and heard of the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kiosk.fleet import wire
from kiosk.fleet.member import Member

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

HEALTH_S = 15.0


class HealthExchange:
    """Tells and hears health over one connection."""

    def __init__(
        self, member: Member, health: Callable[[], dict[str, object]], link: Callable[[], dict[str, object]]
    ) -> None:
        """Take the kiosk, what to say of it, and what of the way to this hub."""
        self._member, self._health, self._link = member, health, link

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
        told_at = float("-inf")
        while True:
            if time.monotonic() - told_at >= HEALTH_S and member.is_let_in:
                told_at = time.monotonic()
                said = {**await asyncio.to_thread(self._health), **self._link()}
                signed = member.sign_health(said)
                await client.jetstream(timeout=wire.ANSWER_S).publish(own, signed)
            try:
                message = await asyncio.wait_for(heard.get(), 1.0)
            except asyncio.TimeoutError:
                continue
            if message is None:
                return
            kiosk = message.subject.rsplit(".", maxsplit=1)[-1]
            if kiosk != member.id:
                await asyncio.to_thread(member.hear_health, kiosk, message.data)
                if await asyncio.to_thread(member.heads.newer, kiosk):
                    told_at = float("-inf")  # it is to hear at once that its log is behind

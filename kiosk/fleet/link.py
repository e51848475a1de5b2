"""One kiosk and one hub: the roster first, then the people from where it left off, then what is to be said.

A session reads to the end before it sends: a kiosk whose store was put back to a backup must not put its older word in
the place of its newer one. Whatever ends a session, the next begins from what the store says; nothing is kept in
between. A kiosk connects to the hub of its site and to the owner's itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kiosk.errors import KioskError
from kiosk.fleet import wire
from kiosk.fleet.envelope import Message
from kiosk.fleet.health import HealthExchange
from kiosk.fleet.member import Member
from kiosk.fleet.seen import Seen

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

MOST_AT_ONCE = 500  # messages of one transaction
WINDOW = 64  # messages sent before the hub's acknowledgements are waited for
LOOK_S = 0.1  # how often the store is asked for something to send; a kiosk's acts may be another process's
AGAIN_S = (0.5, 1.0, 2.0, 5.0)  # between two tries; the last for as long as it takes
STEADY_S = 5.0  # a session that lasted so long was none of a hub that refuses

log = logging.getLogger("kiosk.fleet")


class Link:
    """The way to one hub. Lives in the loop of the fleet's thread."""

    def __init__(
        self, member: Member, url: str, *, lock: asyncio.Lock, health: Callable[[], dict[str, object]]
    ) -> None:
        """Take the kiosk, the hub, the lock under which the store is written, and what to say of oneself."""
        self._member, self.url, self._lock = member, url, lock
        self._tries = 0
        self.is_connected = False
        self.is_level = False
        """Whether everything the hub had at the session's beginning was read."""
        self.reason = "not connected yet"
        self.since = time.monotonic()
        """Monotonic s of the last change of `is_connected`."""
        self.source = url
        self.seen = Seen()
        """What passed here, for who wants to know which kiosks know of it."""
        self._health = HealthExchange(member, health, self.seen)

    async def run(self) -> None:
        """Keep connected, indefinitely."""
        while True:
            try:
                await self._session()
            except KioskError as error:
                if self.is_connected or not self._tries:
                    log.warning("fleet hub lost url=%s reason=%r", self.url, str(error))
                self.reason = str(error)
            if self.is_connected and time.monotonic() - self.since > STEADY_S:
                self._tries = 0
            self._set(is_connected=False)
            jitter = random.uniform(0.5, 1.0)  # noqa: S311  a thousand kiosks must not come back at one instant
            await asyncio.sleep(jitter * AGAIN_S[min(self._tries, len(AGAIN_S) - 1)])
            self._tries += 1

    def _set(self, *, is_connected: bool) -> None:
        if is_connected != self.is_connected:
            self.is_connected, self.since = is_connected, time.monotonic()
        self.is_level = False

    async def _session(self) -> None:
        member = self._member
        queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        async with wire.connection(
            self.url, member.invitation, member.identity, member.id, ended=lambda: queue.put_nowait(None)
        ) as client:
            rosters: asyncio.Queue[Msg | None] = asyncio.Queue()
            await self._first_roster(client, rosters)
            position = await self._position(client)
            self._set(is_connected=True)
            self.reason = ""
            log.info("fleet hub connected url=%s from=%d", self.url, position)
            tasks = [
                asyncio.create_task(self._hear_rosters(rosters)),
                asyncio.create_task(self._hear_people(client, queue, position)),
                asyncio.create_task(self._speak(client)),
                asyncio.create_task(self._health.run(client, self.source)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                if not task.cancelled():
                    task.result()
        raise wire.HubError(f"{self.url}: the connection ended")

    async def _first_roster(self, client: Client, rosters: asyncio.Queue[Msg | None]) -> None:
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        await wire.read_on(client, wire.ROSTER, rosters, deliver_policy=DeliverPolicy.LAST)
        first = await asyncio.wait_for(rosters.get(), wire.ANSWER_S)
        if first is not None:
            await self._hear_roster(first)

    async def _hear_rosters(self, rosters: asyncio.Queue[Msg | None]) -> None:
        while (message := await rosters.get()) is not None:
            await self._hear_roster(message)

    async def _hear_roster(self, message: Msg) -> None:
        try:
            async with self._lock:
                await asyncio.to_thread(self._member.hear_roster, message.data)
        except KioskError as error:
            log.warning("fleet roster refused url=%s reason=%r", self.url, str(error))

    async def _position(self, client: Client) -> int:
        """Return up to where this hub was read; a hub that was made anew is another one."""
        info = await client.jsm().stream_info(wire.PEOPLE)
        self.source = f"{self.url} {info.created.isoformat() if info.created is not None else ''}"
        self.seen.begin(self.source)
        position = await asyncio.to_thread(self._member.shared.hubs.position, self.source)
        if info.state.last_seq <= position.seq:
            self._level(position.seq)
        return position.seq

    def _level(self, seq: int) -> None:
        self.is_level = True
        self.seen.level(seq)

    async def _hear_people(self, client: Client, queue: asyncio.Queue[Msg | None], position: int) -> None:
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        await wire.read_on(
            client,
            wire.PEOPLE,
            queue,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=position + 1,
        )
        if position == 0 and (await client.jsm().stream_info(wire.PEOPLE)).state.messages == 0:
            self._level(0)
        else:
            self.is_level = (await client.jsm().stream_info(wire.PEOPLE)).state.last_seq <= position
        while (message := await queue.get()) is not None:
            batch = [message]
            while len(batch) < MOST_AT_ONCE and not queue.empty() and (more := queue.get_nowait()) is not None:
                batch.append(more)
            last = batch[-1].metadata
            read = [(one, each.metadata.sequence.stream) for each in batch if (one := _read(each)) is not None]
            messages = [one for one, _ in read]
            async with self._lock:
                await asyncio.to_thread(self._member.hear, messages, source=self.source, seq=last.sequence.stream)
            for one, seq in read:
                self.seen.note(one.person, seq)
            self.seen.read_to = last.sequence.stream
            if last.num_pending == 0:
                self._level(last.sequence.stream)

    async def _speak(self, client: Client) -> None:
        stream = client.jetstream(timeout=wire.ANSWER_S)
        while True:
            pending = await asyncio.to_thread(self._member.outgoing, self.source) if self.is_level else ()
            for start in range(0, len(pending), WINDOW):
                part = pending[start : start + WINDOW]
                acknowledged = await asyncio.gather(
                    *(
                        stream.publish(
                            f"fleet.people.{wire.token(one.person)}.{one.origin}", one.envelope, stream=wire.PEOPLE
                        )
                        for _, one in part
                    )
                )
                for (_, one), told in zip(part, acknowledged, strict=True):
                    self.seen.note(one.person, told.seq)  # first: what is marked as sent has its number
                await asyncio.to_thread(self._member.shared.hubs.mark_sent, self.source, part[-1][0])
            if not pending:
                await asyncio.sleep(LOOK_S)

    def state(self) -> dict[str, object]:
        """Return how this way is, for health."""
        return {
            "hub": self.url,
            "is_connected": self.is_connected,
            "is_level": self.is_level,
            "for_s": round(time.monotonic() - self.since),
            "waiting": self._member.shared.hubs.waiting(self.source),
            "reason": self.reason,
        }


def _read(message: Msg) -> Message | None:
    try:
        return Message(*wire.place_of(message.subject), message.data)
    except ValueError:
        log.warning("fleet message refused subject=%s", message.subject)
        return None

"""One kiosk and one hub: roster and orders first, then the people from where it left off, then what is to be said.

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

from kiosk.errors import KioskError, RefusedError
from kiosk.fleet import wire
from kiosk.fleet.carry import ROSTER, Carrier
from kiosk.fleet.decisions import DecisionSender
from kiosk.fleet.doors.doors import Doors
from kiosk.fleet.doors.exchange import DoorExchange
from kiosk.fleet.envelope import Message
from kiosk.fleet.health import HealthExchange
from kiosk.fleet.member import Member
from kiosk.fleet.seen import Seen
from kiosk.fleet.updates.pieces import PieceReader

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

MOST_AT_ONCE = 500  # messages of one transaction
WINDOW = 64  # messages sent before the hub's acknowledgements are waited for
LOOK_S = 0.1  # how often the store is asked for something to send; a kiosk's acts may be another process's
AGAIN_S = (0.5, 1.0, 2.0, 5.0)  # between two tries; the last for as long as it takes
STEADY_S = 5.0  # a session that lasted so long was none of a hub that refuses
FETCHED, FETCH_S = 100, 0.5  # people read again at once, and how often the store is asked for some

log = logging.getLogger("kiosk.fleet")


class Link:
    """The way to one hub. Lives in the loop of the fleet's thread."""

    def __init__(
        self,
        member: Member,
        url: str,
        *,
        lock: asyncio.Lock,
        health: Callable[[], dict[str, object]],
        decisions: DecisionSender | None = None,
        doors: Doors | None = None,
        pieces: PieceReader | None = None,
        news: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the parts together.

        Args:
            member: the kiosk.
            url: of the hub.
            lock: held while the store is written.
            health: what to say of oneself.
            decisions: sends them to this hub; None: they go to another.
            doors: the neighbours of a door; None: there is none.
            pieces: reads here what is lacking of an update's bundle.
            news: changes where the others are to hear sooner how this kiosk is.
            clock: monotonic s.
        """
        self._decisions, self._pieces = decisions, pieces
        self._doors = None if doors is None else DoorExchange(doors)
        self._member, self.url, self._lock = member, url, lock
        self._tries = 0
        self._clock = clock
        self.is_connected = False
        self.is_level = False
        """Whether everything the hub had at the session's beginning was read."""
        self.reason = "not connected yet"
        self.since = clock()
        """Monotonic s of the last change of `is_connected`."""
        self.source = url
        self.seen = Seen()
        """What passed here, for who wants to know which kiosks know of it."""
        self._health = HealthExchange(member, health, self._told, self.seen, news, clock=clock)
        self._unread = 0
        self._carrier = Carrier(member)

    async def run(self) -> None:
        """Keep connected, indefinitely."""
        while True:
            try:
                await self._session()
            except KioskError as error:
                if self.is_connected or not self._tries:
                    log.warning("fleet hub lost url=%s reason=%r", self.url, str(error))
                self.reason = str(error)
            if self.is_connected and self._clock() - self.since > STEADY_S:
                self._tries = 0
            self._set(is_connected=False)
            jitter = random.uniform(0.5, 1.0)  # noqa: S311  a thousand kiosks must not come back at one instant
            await asyncio.sleep(jitter * AGAIN_S[min(self._tries, len(AGAIN_S) - 1)])
            self._tries += 1

    def _set(self, *, is_connected: bool) -> None:
        if is_connected != self.is_connected:
            self.is_connected, self.since = is_connected, self._clock()
        self.is_level = False

    async def _session(self) -> None:
        member = self._member
        queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        async with wire.connection(
            self.url, member.invitation, member.identity, member.id, ended=lambda: queue.put_nowait(None)
        ) as client:
            self._carrier.begin()
            rosters: asyncio.Queue[Msg | None] = asyncio.Queue()
            await self._first_roster(client, rosters)
            for order in await wire.fetch(client, wire.SETTINGS, [wire.SUBJECTS[wire.SETTINGS]]):
                await self._hear_order(order)  # before the people: a newcomer holds nobody whom its door does not want
            position = await self._position(client)
            self._set(is_connected=True)
            self.reason = ""
            log.info("fleet hub connected url=%s from=%d", self.url, position)
            await wire.until_one_ends(
                self._hear_rosters(rosters),
                self._hear_people(client, queue, position),
                self._speak(client),
                self._hear_orders(client),
                self._fetch_wanted(client),
                self._carrier.run(client),
                self._health.run(client),
                *(one.run(client) for one in (self._decisions, self._pieces, self._doors) if one is not None),
            )
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
        self._carrier.hear(ROSTER, message.data)
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
        self._unread = max(0, info.state.last_seq - position.seq)  # some of them were replaced since
        if not self._unread:
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
            self._unread = last.num_pending
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

    async def _hear_orders(self, client: Client) -> None:
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        orders: asyncio.Queue[Msg | None] = asyncio.Queue()
        every = wire.SUBJECTS[wire.SETTINGS]
        await wire.read_on(
            client, wire.SETTINGS, orders, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, filter_subject=every
        )
        while (message := await orders.get()) is not None:
            await self._hear_order(message)

    async def _hear_order(self, message: Msg) -> None:
        kind = message.subject.rsplit(".", maxsplit=1)[-1]
        self._carrier.hear(kind, message.data)
        try:
            async with self._lock:
                await asyncio.to_thread(self._member.hear_order, kind, message.data)
        except RefusedError as error:
            log.warning("fleet order refused url=%s reason=%r", self.url, str(error))

    async def _fetch_wanted(self, client: Client) -> None:
        """Read again what was said of people who are to be held here from now on."""
        asked: set[str] = set()
        while True:
            wanted = await asyncio.to_thread(self._member.shared.wanted) if self.is_level else ()
            asked &= set(wanted)
            new = [person for person in wanted if person not in asked][:FETCHED]
            if not new:
                await asyncio.sleep(FETCH_S)
                continue
            asked.update(new)
            found = await wire.fetch(client, wire.PEOPLE, [f"fleet.people.{wire.token(one)}.*" for one in new])
            messages = [one for one in map(_read, found) if one is not None]
            async with self._lock:
                await asyncio.to_thread(self._member.hear_again, messages)

    def _told(self) -> dict[str, object]:
        """Return how far this kiosk is behind at this hub, for the others."""
        return {"waiting": self._member.shared.hubs.waiting(self.source), "unread": self._unread}

    def state(self) -> dict[str, object]:
        """Return how this way is, for health."""
        return {
            "hub": self.url,
            "is_connected": self.is_connected,
            "is_level": self.is_level,
            "for_s": round(self._clock() - self.since),
            "waiting": self._member.shared.hubs.waiting(self.source),
            "reason": self.reason,
        }


def _read(message: Msg) -> Message | None:
    try:
        return Message(*wire.place_of(message.subject), message.data)
    except ValueError:
        log.warning("fleet message refused subject=%s", message.subject)
        return None

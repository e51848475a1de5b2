"""What the owner does at the hubs: read the roster, publish another, name what is believed of a kiosk taken off.

Every act begins from the newest that any hub or the owner's own folder has, and goes to every hub that answers; the
others get it from kiosks that reach both, see link.py. Two hubs never get two different rosters of one number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kiosk.errors import ConfigError
from kiosk.fleet import wire
from kiosk.fleet.admin import Admin, Invitation
from kiosk.fleet.decisions import Told, read_decisions
from kiosk.fleet.envelope import open_envelope, word_key
from kiosk.fleet.member import read_health
from kiosk.fleet.orders import Order, open_order, seal_order
from kiosk.fleet.roster import ADMIN, Member, Roster, read_roster
from kiosk.fleet.updates.order import Bundle
from kiosk.fleet.updates.pieces import drop_others, put_bundle
from kiosk.store.durable import write_private
from kiosk.store.fleet.document import fingerprint
from kiosk.store.fleet.taking import Arrived

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

OWNER = "owner"
ROSTER_NAME = "roster"  # in the owner's folder: the newest that was signed there
TRIES, AGAIN_S = 5, 0.3  # connections to each hub, and the time between two
REACH_S = 8.0  # in which a hub must have answered where another has
CUT_S = 1.0  # after which a hub has disconnected who is no user any more

Found = TypeVar("Found")


class Owner:
    """The owner, at every hub that answers. For one thread."""

    def __init__(self, admin: Admin, invitation: Invitation, folder: Path | None = None) -> None:
        """Take the key, the invitation, and the owner's folder, which remembers longer than a hub's disk."""
        self._admin, self._invitation = admin, invitation
        self._kept = None if folder is None else folder / ROSTER_NAME
        self.missed: tuple[str, ...] = ()
        """Why hubs did not take part in the last act, a sentence each."""

    def roster(self) -> Roster:
        """Return the roster in force.

        Raises:
            HubError: no hub answers.
        """

        async def work(clients: Sequence[Client]) -> Roster:
            return await self._read(clients)

        return self._at_hubs(work)

    def change(self, act: Callable[[Roster], Roster]) -> Roster:
        """Put another roster into force, made from the one there is; return it."""

        async def work(clients: Sequence[Client]) -> Roster:
            return await self._publish(clients, act(await self._read(clients)))

        return self._at_hubs(work)

    def revoke(self, kiosk: str) -> Roster:
        """Take a kiosk off: first it is cut off, then what the hubs hold of it is named as believed."""

        async def work(clients: Sequence[Client]) -> Roster:
            await self._publish(clients, self._admin.remove(await self._read(clients), kiosk))
            await asyncio.sleep(CUT_S)
            return await self._accept(clients)

        return self._at_hubs(work)

    def order(self, kind: str) -> Order | None:
        """Return the order in force; None where there is none.

        Raises:
            HubError: no hub answers.
            RefusedError: what lies there is not the owner's.
        """

        async def work(clients: Sequence[Client]) -> Order | None:
            return await self._order(clients, kind, await self._read(clients))

        return self._at_hubs(work)

    def give(
        self,
        kind: str,
        body: Mapping[str, Any],
        *,
        above: int = 0,
        bundles: Sequence[tuple[Bundle, Path]] = (),
        said: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> tuple[Order, bytes]:
        """Order something; return it, and as it was signed.

        Args:
            kind: of orders.KINDS.
            body: JSON.
            above: a revision that was given already, should the hubs have lost it.
            bundles: of an update: put at every hub before it is ordered; what was there of others is dropped.
            said: is told how many pieces of how many a hub has.
        """

        async def work(clients: Sequence[Client]) -> tuple[Order, bytes]:
            roster = await self._read(clients)
            before = await self._order(clients, kind, roster)
            if bundles:
                for client in clients:
                    await drop_others(client, [one for one, _ in bundles])
                    for bundle, path in bundles:
                        await put_bundle(client, bundle, path, said=said)
            order = Order(kind, max(above, 0 if before is None else before.revision) + 1, body)
            keys = roster.keys_for(ADMIN, self._admin.identity.seal)
            signed = seal_order(order, epoch=roster.epoch, key=keys[roster.epoch], signer=self._admin.identity.sign)
            for client in clients:
                stream = client.jetstream(timeout=wire.ANSWER_S)
                await stream.publish(wire.order_subject(kind), signed, stream=wire.SETTINGS)
            return order, signed

        return self._at_hubs(work)

    def said(self) -> tuple[Roster, dict[str, list[dict[str, Any]]]]:
        """Return the roster, and what each kiosk last said of itself at each hub: JSON, its own word."""

        async def work(clients: Sequence[Client]) -> tuple[Roster, dict[str, list[dict[str, Any]]]]:
            roster = await self._read(clients)
            found: dict[str, list[dict[str, Any]]] = {kiosk: [] for kiosk in roster.members}
            for client in clients:
                for one in await wire.fetch(client, wire.HEALTH, [wire.SUBJECTS[wire.HEALTH]]):
                    kiosk = one.subject.rsplit(".", maxsplit=1)[-1]
                    if kiosk in found and (word := read_health(one.data, roster.members[kiosk].card)) is not None:
                        found[kiosk].append(word)
            return roster, found

        return self._at_hubs(work)

    def decisions(self, kiosk: str | None, *, since: datetime) -> tuple[Told, ...]:
        """Return what kiosks decided since a time, in the order in which it arrived at the first hub, which has them.

        Args:
            kiosk: only this one; None: all.
            since: when the hub had it.

        Raises:
            HubError: the first hub does not answer, whatever the others do.
        """

        async def work(clients: Sequence[Client]) -> tuple[Told, ...]:
            roster = await self._read(clients)
            found = await wire.fetch(clients[0], wire.LOG, [f"fleet.log.{kiosk or '*'}"], since=since)
            messages = [(one.subject.rsplit(".", maxsplit=1)[-1], one.data) for one in found]
            return read_decisions(messages, roster, roster.keys_for(ADMIN, self._admin.identity.seal))

        return self._at_hubs(work, hubs=self._invitation.hubs[:1])

    async def _order(self, clients: Sequence[Client], kind: str, roster: Roster) -> Order | None:
        """Return the newest order that any of the hubs has."""
        from nats.js.errors import NotFoundError  # noqa: PLC0415  see wire.connection

        keys, found = roster.keys_for(ADMIN, self._admin.identity.seal), []
        for client in clients:
            try:
                last = await client.jetstream(timeout=wire.ANSWER_S).get_last_msg(
                    wire.SETTINGS, wire.order_subject(kind)
                )
            except NotFoundError:
                continue
            if (order := open_order(last.data or b"", kind, self._invitation.admin, keys)) is not None:
                found.append(order)
        return max(found, key=lambda order: order.revision, default=None)

    async def _accept(self, clients: Sequence[Client]) -> Roster:
        roster = await self._read(clients)
        open_ones = [name for name, one in roster.former.items() if one.accepted is None]
        accepted: dict[str, frozenset[bytes]] = {}
        for name in open_ones:
            said = [await self._fingerprints(client, roster, name) for client in clients]
            accepted[name] = frozenset(one for prints in said for one in prints)
        return await self._publish(clients, self._admin.accept(roster, accepted))

    async def _fingerprints(self, client: Client, roster: Roster, kiosk: str) -> Iterable[bytes]:
        found = await wire.fetch(client, wire.PEOPLE, [f"fleet.people.*.{kiosk}"])
        keys = roster.keys_for(ADMIN, self._admin.identity.seal)
        known = replace(roster, members={**roster.members, kiosk: Member(roster.former[kiosk].card, 0)}, former={})
        opened = [open_envelope(one.data, *wire.place_of(one.subject), known, keys) for one in found]
        key = word_key(keys)
        return [fingerprint(key, one.person, one.version, one.document) for one in opened if isinstance(one, Arrived)]

    async def _read(self, clients: Sequence[Client]) -> Roster:
        """Return the newest roster that a hub or the owner's folder has; hubs that have an older one get it."""
        found = []
        for client in clients:
            stream = client.jetstream(timeout=wire.ANSWER_S)
            last = await stream.get_last_msg(wire.ROSTER, wire.SUBJECTS[wire.ROSTER])
            found.append(read_roster(last.data or b"", self._invitation.admin))
        kept = self._kept
        if kept is not None and kept.exists():
            newest = max([*found, read_roster(kept.read_bytes(), self._invitation.admin)], key=_number)
        else:
            newest = max(found, key=_number)
        await self._spread(
            [client for client, one in zip(clients, found, strict=True) if one.number < newest.number],
            self._admin.sign(newest),
        )
        return newest

    async def _publish(self, clients: Sequence[Client], roster: Roster) -> Roster:
        signed = self._admin.sign(roster)
        self._keep(signed)
        await self._spread(clients, signed)
        return roster

    async def _spread(self, clients: Sequence[Client], signed: bytes) -> None:
        for client in clients:
            stream = client.jetstream(timeout=wire.ANSWER_S)
            await stream.publish(wire.SUBJECTS[wire.ROSTER], signed, stream=wire.ROSTER)

    def _keep(self, signed: bytes) -> None:
        """Remember what was signed, before any hub has it: its number is never used for another."""
        if self._kept is None:
            return
        try:
            write_private(self._kept, signed)
        except OSError as error:
            raise ConfigError(f"{self._kept}: {error.strerror}; nothing was changed") from error

    def _at_hubs(
        self, work: Callable[[Sequence[Client]], Coroutine[Any, Any, Found]], hubs: Sequence[str] | None = None
    ) -> Found:
        async def at_all() -> Found:
            async with self._connected(self._invitation.hubs if hubs is None else hubs) as clients:
                return await work(clients)

        return asyncio.run(at_all())

    @asynccontextmanager
    async def _connected(self, hubs: Sequence[str]) -> AsyncIterator[Sequence[Client]]:
        """Connect to the hubs; those that do not answer are noted in `missed`.

        Raises:
            HubError: none answers.
        """
        async with AsyncExitStack() as stack:
            clients, errors = [], []
            for url in hubs:
                try:
                    clients.append(await asyncio.wait_for(self._reach(stack, url), REACH_S))
                except wire.HubError as error:
                    errors.append(str(error))
                except asyncio.TimeoutError:
                    errors.append(f"{url}: no answer")
            self.missed = tuple(errors)
            if not clients:
                raise wire.HubError("; ".join(errors) or "the fleet names no hub")
            yield clients

    async def _reach(self, stack: AsyncExitStack, url: str) -> Client:
        for trial in range(TRIES):  # a hub that takes a new roster may drop who is just coming
            try:
                way = wire.connection(url, self._invitation, self._admin.identity, OWNER)
                return await stack.enter_async_context(way)
            except wire.HubError:
                if trial + 1 == TRIES:
                    raise
                await asyncio.sleep(AGAIN_S)
        raise AssertionError("unreachable")


def _number(roster: Roster) -> int:
    return roster.number

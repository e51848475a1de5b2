"""What the owner does at a hub: read the roster, publish another, name what is believed of a kiosk taken off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kiosk.fleet import wire
from kiosk.fleet.admin import Admin, Invitation
from kiosk.fleet.decisions import Told, read_decisions
from kiosk.fleet.envelope import open_envelope, word_key
from kiosk.fleet.orders import Order, open_order, seal_order
from kiosk.fleet.roster import ADMIN, Member, Roster, read_roster
from kiosk.store.fleet.document import fingerprint
from kiosk.store.fleet.taking import Arrived

if TYPE_CHECKING:
    from nats.aio.client import Client

OWNER = "owner"
TRIES, AGAIN_S = 5, 0.3  # connections to each hub, and the time between two
CUT_S = 1.0  # after which a hub has disconnected who is no user any more

Found = TypeVar("Found")


class Owner:
    """The owner, at the first of the hubs that answers. For one thread."""

    def __init__(self, admin: Admin, invitation: Invitation) -> None:
        self._admin, self._invitation = admin, invitation

    def roster(self) -> Roster:
        """Return the roster in force.

        Raises:
            HubError: no hub answers.
        """
        return self._ask(self._read)

    def change(self, act: Callable[[Roster], Roster]) -> Roster:
        """Put another roster into force, made from the one there is; return it."""

        async def work(client: Client) -> Roster:
            return await self._publish(client, act(await self._read(client)))

        return self._ask(work)

    def revoke(self, kiosk: str) -> Roster:
        """Take a kiosk off: first it is cut off, then what the hub holds of it is named as believed."""

        async def work(client: Client) -> Roster:
            await self._publish(client, self._admin.remove(await self._read(client), kiosk))
            await asyncio.sleep(CUT_S)
            return await self._accept(client)

        return self._ask(work)

    def order(self, kind: str) -> Order | None:
        """Return the order in force; None where there is none.

        Raises:
            HubError: no hub answers.
            RefusedError: what lies there is not the owner's.
        """

        async def work(client: Client) -> Order | None:
            return await self._order(client, kind, await self._read(client))

        return self._ask(work)

    def give(self, kind: str, body: Mapping[str, Any], *, above: int = 0) -> tuple[Order, bytes]:
        """Order something; return it, and as it was signed.

        Args:
            kind: of orders.KINDS.
            body: JSON.
            above: a revision that was given already, should the hub have lost it.
        """

        async def work(client: Client) -> tuple[Order, bytes]:
            roster = await self._read(client)
            before = await self._order(client, kind, roster)
            order = Order(kind, max(above, 0 if before is None else before.revision) + 1, body)
            keys = roster.keys_for(ADMIN, self._admin.identity.seal)
            signed = seal_order(order, epoch=roster.epoch, key=keys[roster.epoch], signer=self._admin.identity.sign)
            stream = client.jetstream(timeout=wire.ANSWER_S)
            await stream.publish(wire.order_subject(kind), signed, stream=wire.SETTINGS)
            return order, signed

        return self._ask(work)

    def decisions(self, kiosk: str | None, *, since: datetime) -> tuple[Told, ...]:
        """Return what kiosks decided since a time, in the order in which it arrived at the hub.

        Args:
            kiosk: only this one; None: all.
            since: when the hub had it.
        """

        async def work(client: Client) -> tuple[Told, ...]:
            roster = await self._read(client)
            found = await wire.fetch(client, wire.LOG, [f"fleet.log.{kiosk or '*'}"], since=since)
            messages = [(one.subject.rsplit(".", maxsplit=1)[-1], one.data) for one in found]
            return read_decisions(messages, roster, roster.keys_for(ADMIN, self._admin.identity.seal))

        return self._ask(work)

    async def _order(self, client: Client, kind: str, roster: Roster) -> Order | None:
        from nats.js.errors import NotFoundError  # noqa: PLC0415  see wire.connection

        stream = client.jetstream(timeout=wire.ANSWER_S)
        try:
            last = await stream.get_last_msg(wire.SETTINGS, wire.order_subject(kind))
        except NotFoundError:
            return None
        keys = roster.keys_for(ADMIN, self._admin.identity.seal)
        return open_order(last.data or b"", kind, self._invitation.admin, keys)

    async def _accept(self, client: Client) -> Roster:
        roster = await self._read(client)
        open_ones = [name for name, one in roster.former.items() if one.accepted is None]
        accepted = {name: frozenset(await self._fingerprints(client, roster, name)) for name in open_ones}
        return await self._publish(client, self._admin.accept(roster, accepted))

    async def _fingerprints(self, client: Client, roster: Roster, kiosk: str) -> Iterable[bytes]:
        found = await wire.fetch(client, wire.PEOPLE, [f"fleet.people.*.{kiosk}"])
        keys = roster.keys_for(ADMIN, self._admin.identity.seal)
        known = replace(roster, members={**roster.members, kiosk: Member(roster.former[kiosk].card, 0)}, former={})
        opened = [open_envelope(one.data, *wire.place_of(one.subject), known, keys) for one in found]
        key = word_key(keys)
        return [fingerprint(key, one.person, one.version, one.document) for one in opened if isinstance(one, Arrived)]

    async def _read(self, client: Client) -> Roster:
        last = await client.jetstream(timeout=wire.ANSWER_S).get_last_msg(wire.ROSTER, wire.SUBJECTS[wire.ROSTER])
        return read_roster(last.data or b"", self._invitation.admin)

    async def _publish(self, client: Client, roster: Roster) -> Roster:
        stream = client.jetstream(timeout=wire.ANSWER_S)
        await stream.publish(wire.SUBJECTS[wire.ROSTER], self._admin.sign(roster), stream=wire.ROSTER)
        return roster

    def _ask(self, work: Callable[[Client], Coroutine[Any, Any, Found]]) -> Found:
        async def first_that_answers() -> Found:
            errors: list[str] = []
            for url in (*self._invitation.hubs,) * TRIES:  # a hub that takes a new roster may drop who is just coming
                has_begun = False
                try:
                    async with wire.connection(url, self._invitation, self._admin.identity, OWNER) as client:
                        has_begun = True
                        return await work(client)
                except wire.HubError as error:
                    errors.append(str(error))
                    if has_begun:  # it may have been done
                        break
                    await asyncio.sleep(AGAIN_S)
            raise wire.HubError("; ".join(dict.fromkeys(errors)) or "the fleet names no hub")

        return asyncio.run(first_that_answers())

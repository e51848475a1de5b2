"""What the owner does at a hub: read the roster, publish another, name what is believed of a kiosk taken off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from kiosk.fleet import wire
from kiosk.fleet.admin import Admin, Invitation
from kiosk.fleet.envelope import open_envelope, word_key
from kiosk.fleet.roster import ADMIN, Member, Roster, read_roster
from kiosk.store.fleet.document import fingerprint
from kiosk.store.fleet.shared import Arrived

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

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

    async def _accept(self, client: Client) -> Roster:
        roster = await self._read(client)
        open_ones = [name for name, one in roster.former.items() if one.accepted is None]
        accepted = {name: frozenset(await self._fingerprints(client, roster, name)) for name in open_ones}
        return await self._publish(client, self._admin.accept(roster, accepted))

    async def _fingerprints(self, client: Client, roster: Roster, kiosk: str) -> Iterable[bytes]:
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        subject = f"fleet.people.*.{kiosk}"
        info = await client.jsm().stream_info(wire.PEOPLE, subjects_filter=subject)
        count = len(info.state.subjects or {})
        await wire.read_on(client, wire.PEOPLE, queue, deliver_policy=DeliverPolicy.ALL, filter_subject=subject)
        found: list[Msg] = []
        while len(found) < count:
            message = await asyncio.wait_for(queue.get(), wire.ANSWER_S)
            if message is None:
                break
            found.append(message)
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

"""Brings a hub the owner's word that this kiosk has from another hub, or from a stick.

The owner may reach one of several hubs only, and each must know who belongs: it lets nobody else in. Rosters and
orders are signed and numbered, so it does not matter who brings them, nor how often; a hub takes what is newer.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from kiosk.errors import KioskError
from kiosk.fleet import wire
from kiosk.fleet.member import Member
from kiosk.fleet.orders import revision_of
from kiosk.fleet.roster import read_roster

if TYPE_CHECKING:
    from nats.aio.client import Client

ROSTER = "roster"
LOOK_S = 1.0
AGAIN_S, SELDOM_S = 2.0, 300.0  # before the same is brought again: a hub that just began may not hear, an older never
KIOSKS_A_SECOND = 50  # that begin to bring something; the first spares the others

log = logging.getLogger("kiosk.fleet")


class Carrier:
    """For the way to one hub. Lives in the loop of the fleet's thread."""

    def __init__(self, member: Member) -> None:
        """Take the kiosk, whose word of the owner is brought."""
        self._member, self._admin = member, member.invitation.admin
        self._has: dict[str, int] = {}
        self._brought: dict[str, tuple[int, float, float]] = {}  # number, when again, and how long that was
        self._numbers: dict[bytes, int] = {}

    def begin(self) -> None:
        """Begin a session: what the hub has is not known yet."""
        self._has, self._brought = {}, {}

    def hear(self, what: str, signed: bytes) -> None:
        """Note what the hub has: a roster ("roster"), or an order of a kind."""
        try:
            self._has[what] = max(self._number(what, signed), self._has.get(what, 0))
        except KioskError:
            self._has.setdefault(what, 0)  # not the owner's: it lacks that

    async def run(self, client: Client) -> None:
        """Go on until the connection ends; what the hub has is known by now."""
        while True:
            lacking = await asyncio.to_thread(self._lacking)
            if lacking:
                kiosks = 1 if self._member.roster is None else len(self._member.roster.members)
                await asyncio.sleep(random.uniform(0, kiosks / KIOSKS_A_SECOND))  # noqa: S311  all find it at once
                for what, number, signed in await asyncio.to_thread(self._lacking):
                    known, _, waited_s = self._brought.get(what, (0, 0.0, 0.0))
                    wait_s = min(SELDOM_S, 2 * waited_s) if known == number else AGAIN_S
                    self._brought[what] = number, time.monotonic() + wait_s, wait_s
                    await client.publish(wire.carry_subject(what), signed)
                    log.info("fleet carried what=%s number=%d", what, number)
            await asyncio.sleep(LOOK_S)

    def _lacking(self) -> list[tuple[str, int, bytes]]:
        """Return what this kiosk has that is newer than the hub's, and was not just brought."""
        shared = self._member.shared
        newest = dict(shared.orders.newest())
        if (roster := shared.roster()) is not None:
            newest = {ROSTER: roster, **newest}  # first: whoever is let in by it
        found = []
        for what, signed in newest.items():
            number = self._number(what, signed)
            brought, again_at, _ = self._brought.get(what, (0, 0.0, 0.0))
            if number > self._has.get(what, 0) and (number > brought or time.monotonic() >= again_at):
                found.append((what, number, signed))
        self._numbers = {signed: self._numbers[signed] for signed in newest.values()}
        return found

    def _number(self, what: str, signed: bytes) -> int:
        if signed not in self._numbers:
            is_roster = what == ROSTER
            number = read_roster(signed, self._admin).number if is_roster else revision_of(signed, what, self._admin)
            self._numbers[signed] = number
        return self._numbers[signed]

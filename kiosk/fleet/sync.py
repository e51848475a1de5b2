"""The thread of a kiosk that belongs to a fleet. Nothing at the door waits for it.

Hubs that are gone for weeks are a state in health and no more: what is done here waits in the store.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from kiosk import __version__
from kiosk.errors import KioskError
from kiosk.fleet.decisions import DecisionSender
from kiosk.fleet.doors.doors import Doors
from kiosk.fleet.health import SILENT_AFTER, health_s
from kiosk.fleet.link import Link
from kiosk.fleet.member import Member
from kiosk.fleet.orders import POLICY, UPDATE
from kiosk.fleet.settings import SettingsKeeper
from kiosk.fleet.updates import words
from kiosk.fleet.updates.pieces import PieceReader
from kiosk.fleet.updates.staging import Others, Staging
from kiosk.store.fleet.duplicates import Duplicates
from kiosk.store.store import Store

CLOSE_S = 2.0
AGAIN_S = 5.0
CHORES_S = 1.0

log = logging.getLogger("kiosk.fleet")


class FleetSync:
    """Keeps a kiosk and its hubs level. Built stopped; `start`, then `close`."""

    def __init__(
        self,
        store: Store,
        *,
        more_hubs: Iterable[str] = (),
        health: Callable[[], dict[str, object]] = dict,
        chores: Iterable[Callable[[], object]] = (),
        keeper: Callable[[Member], SettingsKeeper] | None = None,
        doors: Callable[[Member], Doors] | None = None,
        staging: Callable[[Member, Callable[[], Others]], Staging] | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the parts together.

        Args:
            store: of the kiosk.
            more_hubs: beside those of the invitation: the site's own.
            health: what to say of oneself.
            chores: called about once a second, one after the other, whether a hub is there or not.
            doors: makes what goes by other kiosks' doors; None: nothing does.
            keeper: makes what puts the owner's settings into force; None: they are kept, and not taken.
            staging: makes this kiosk's part in updates, given what tells of the others; None: it takes none.
            now: what the machine's clock says, s UTC, right or wrong; said to the others as this kiosk's time.
            clock: monotonic s, by which it is counted how long a kiosk has been silent.

        Raises:
            NoFleetError: this kiosk belongs to none.
        """
        self.clock, self._now = clock, now
        self.member, self._duplicates = Member(store), Duplicates(store)
        self._decisions = DecisionSender(self.member, store)
        self._keeper = keeper(self.member) if keeper is not None else None
        self.doors = doors(self.member) if doors is not None else None
        self._store, self._more_health = store, health
        self.staging = staging(self.member, self._others) if staging is not None else None
        looks = [one.look for one in (self._keeper, self.staging) if one is not None]
        self._chores = (self.member.obey, *chores, *looks)
        self._hubs = tuple(dict.fromkeys((*more_hubs, *self.member.invitation.hubs)))
        self.links: tuple[Link, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self.fault: str | None = None
        self.chores_fault: str | None = None  # of what needs no hub, and stops nothing else

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End within two seconds, whatever the network does."""
        self._stopping.set()
        loop = self._loop
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(_cancel_all, loop)
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def figures(self) -> dict[str, Any]:
        """Return how this kiosk stands in its fleet, for health: no person's name, no key."""
        member = self.member
        roster = member.roster
        return {
            "kiosk": member.id,
            "is_let_in": member.is_let_in,
            "is_taken_off": member.is_taken_off,
            "roster": 0 if roster is None else roster.number,
            "kiosks": 0 if roster is None else len(roster.members),
            "parked": len(member.shared.parked()),
            "duplicates": len(self._duplicates.open()),
            "policy": self._policy(),
            "settings": None if self._keeper is None else self._keeper.figures(),
            "update": None if self.staging is None else self.staging.word(),
            "decisions": {"waiting": self._decisions.waiting(), "fault": self._decisions.fault},
            "hubs": [link.state() for link in self.links],
            "fault": self.fault or self.chores_fault,
        }

    def _policy(self) -> dict[str, Any]:
        groups = self._store.door_groups()
        order = self.member.order(POLICY)
        return {
            "revision": 0 if order is None else order.revision,
            "groups": None if groups is None else sorted(groups),
        }

    def health(self) -> dict[str, object]:
        """Return what this kiosk tells the others of itself."""
        tail = self._store.log.tail()
        roster = self.member.roster
        return {
            "version": __version__,
            "at": self._now(),
            "roster": 0 if roster is None else roster.number,
            "log": None if tail is None else [tail.seq, tail.hash.hex()],
            "read": {source: place.seq for source, place in self.member.shared.hubs.positions().items()},
            "parked": len(self.member.shared.parked()),  # asked for after the positions: what was read may lie here
            "wanted": len(self.member.shared.wanted()),
            "head": self.member.heads.signed(tail),  # not of a record since, or every other kiosk answers at once
            "holds": self.member.heads.newer(),
            "duplicates": len(self._duplicates.open()),
            "decisions_waiting": self._decisions.waiting(),
            "policy": self._policy()["revision"],
            "settings": None if self._keeper is None else self._keeper.figures()["in_force"],
            "update": self._update(),
            **self._more_health(),
        }

    def _update(self) -> dict[str, object] | None:
        word = None if self.staging is None else self.staging.word()
        return None if word is None else {**word, "signed": words.signed(self.member, word)}

    def _others(self) -> Others:
        """Return what is known of the other kiosks' part in an update."""
        roster, order = self.member.roster, self.member.order(UPDATE)
        if roster is None or order is None:
            return Others()
        said, by_stick = words.known(self.member)
        near = [link.seen for link in self.links if link.is_connected]
        lately_s, now = SILENT_AFTER * health_s(len(roster.members)), self.clock()
        fresh = {one for one in said for seen in near if (ago := seen.heard_s(one, now)) is not None and ago < lately_s}
        is_complete = any(seen.has_all_words for seen in near) if near else by_stick == order.revision
        return Others(said, fresh, is_complete)

    def _news(self) -> int:
        return 0 if self.staging is None else self.staging.standing.count

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._both())
            except asyncio.CancelledError:
                return
            except KioskError as error:  # the store: a full disk, a stuck process
                self.fault = str(error)
                log.error("fleet turn failed reason=%r", str(error))  # noqa: TRY400  expected: its sentence says all
            except Exception as error:
                if self._stopping.is_set():
                    return
                self.fault = f"The fleet's thread failed ({type(error).__name__}); the log says where."
                log.exception("fleet turn failed error=%s", type(error).__name__)
            self._stopping.wait(AGAIN_S)

    async def _both(self) -> None:
        self._loop = asyncio.get_running_loop()
        lock = asyncio.Lock()
        first = next(iter(self.member.invitation.hubs), None)  # decisions go to one hub, see decisions.py
        pieces = None if self.staging is None else PieceReader(self.staging.fetching, asyncio.Lock())
        self.links = tuple(
            Link(
                self.member,
                url,
                lock=lock,
                health=self.health,
                decisions=self._decisions if url == first else None,
                doors=self.doors,
                pieces=pieces,
                news=self._news,
                clock=self.clock,
            )
            for url in self._hubs
        )
        if self._stopping.is_set():
            return
        self.fault = None
        await asyncio.gather(self._do_chores(), *(link.run() for link in self.links))

    async def _do_chores(self) -> None:
        while True:
            await asyncio.to_thread(self.member.shared.sort_people)  # what an end in the middle left
            faults = [await asyncio.to_thread(_tried, chore) for chore in self._chores]
            said = next(filter(None, faults), None)
            if said not in {None, self.chores_fault}:
                log.error("fleet chore failed reason=%r", said)
            self.chores_fault = said
            await asyncio.sleep(CHORES_S)


def _tried(chore: Callable[[], object]) -> str | None:
    """Do a chore; return why it failed."""
    try:
        chore()
    except KioskError as error:  # a damaged reference, a full disk
        return str(error)
    return None


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()

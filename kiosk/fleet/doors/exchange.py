"""Words of doors, passages, lockdowns and ended passes over a hub, sealed with the epoch's key and signed.

The hub sees that a kiosk speaks, and when somebody went through it; never who.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from kiosk.errors import KioskError
from kiosk.fleet import wire
from kiosk.fleet.doors.doors import Doors
from kiosk.fleet.doors.ended_passes import EndedPasses
from kiosk.fleet.sealed import Form
from kiosk.rules.lockdown import read_lockdowns, read_names
from kiosk.rules.passage import Direction
from kiosk.store.passages.passages import OwnPassage, ToldPassage

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

WORD_S = 0.5  # between two words where nothing happens
LOOK_S = 0.1  # how often passages and lockdowns are looked for
MOST_AT_ONCE = 100  # passages of one message
FIRST_S = 2.0  # for what was said last at a hub, before this kiosk's word takes the place of its older one
LONGEST_WORD = 1 << 16
FORMS = {
    "beacon": Form(b"KFB1", b"kiosk fleet door\0"),
    "lockdown": Form(b"KFK1", b"kiosk fleet lockdown\0"),
    "passages": Form(b"KFP1", b"kiosk fleet passages\0"),
}

log = logging.getLogger("kiosk.fleet")


class DoorExchange:
    """The way over one hub. Lives in the loop of the fleet's thread."""

    def __init__(self, doors: Doors) -> None:
        """Take the neighbours."""
        self._doors, self._member, self._store = doors, doors.member, doors.store
        self._ended = EndedPasses(doors.store, now=doors.now)
        self._hub = ""  # which stream it is; a hub that was made anew is another one
        self._sent: int | None = None  # number of this kiosk's newest passage there; None: not known yet
        self._row = 0  # of that passage here

    async def run(self, client: Client) -> None:
        """Go on until the connection ends."""
        from nats.errors import Error as NatsError  # noqa: PLC0415  see wire.connection

        try:
            info = await client.jsm().stream_info(wire.PASSAGES)
            await client.jsm().stream_info(wire.LOCKDOWN)
        except (NatsError, asyncio.TimeoutError):
            log.warning("fleet doors=none reason='the hub runs an older program'")
            await asyncio.Event().wait()  # people and orders go on; the neighbours are not heard
            return
        self._hub = info.created.isoformat() if info.created is not None else "?"
        await wire.until_one_ends(self._lock_down(client), self._speak(client), self._send(client), self._read(client))

    # ---- sealed

    def _sealed(self, kind: str, said: Mapping[str, Any], number: int) -> bytes:
        epoch, key = self._member.epoch_key()
        return FORMS[kind].seal(
            json.dumps(said).encode(),
            self._about(kind, self._member.id),
            epoch=epoch,
            number=number,
            key=key,
            signer=self._member.identity.sign,
        )

    def _opened(self, kind: str, kiosk: str, message: bytes) -> Any:
        """Return what a member said; raises ValueError where it did not."""
        roster = self._member.roster
        place = None if roster is None else roster.members.get(kiosk)
        if place is None or (kind == "beacon" and len(message) > LONGEST_WORD):
            raise ValueError("of no kiosk of this fleet, or too long")
        read = FORMS[kind].read(message, self._about(kind, kiosk), place.card.sign)
        key = self._member.key_of(read.epoch)
        if key is None:
            raise ValueError("sealed with a key that is not here")
        try:
            return json.loads(read.open(key))
        except RecursionError:
            raise ValueError("nested too deep") from None

    def _about(self, kind: str, kiosk: str) -> str:
        return f"{self._member.invitation.fleet}\0{kind}\0{kiosk}"

    def _heard(self, kind: str, message: Msg, take: Callable[[str, Any], None]) -> None:
        kiosk = message.subject.rsplit(".", maxsplit=1)[-1]
        try:
            take(kiosk, self._opened(kind, kiosk, message.data))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            log.warning("fleet %s refused kiosk=%s reason=%r", kind, kiosk, str(error))

    # ---- lockdowns and ended passes

    async def _lock_down(self, client: Client) -> None:
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        heard: asyncio.Queue[Msg | None] = asyncio.Queue()
        per_subject, every = DeliverPolicy.LAST_PER_SUBJECT, wire.SUBJECTS[wire.LOCKDOWN]
        _, missing = await wire.read_on(client, wire.LOCKDOWN, heard, deliver_policy=per_subject, filter_subject=every)
        told: dict[str, Any] | None = None
        begun_at = time.monotonic()
        while True:
            now = self._doors.lockdowns().shared.as_dict() | {"passes": await asyncio.to_thread(self._ended.own)}
            is_read = missing <= 0 or time.monotonic() - begun_at >= FIRST_S or now["begun"]
            if now != told and is_read and self._member.is_let_in and (told is not None or any(now.values())):
                names = await asyncio.to_thread(self._names, {one["by"] for one in now["begun"]})
                sealed = self._sealed("lockdown", {**now, "names": names}, 0)
                await client.jetstream(timeout=wire.ANSWER_S).publish(f"fleet.lockdown.{self._member.id}", sealed)
                told = now
            try:
                message = await asyncio.wait_for(heard.get(), LOOK_S)
            except asyncio.TimeoutError:
                continue
            if message is not None:
                missing -= 1
                await asyncio.to_thread(self._heard, "lockdown", message, self._take_lockdowns)

    def _names(self, accounts: Collection[str]) -> dict[str, str]:
        """Return the names of accounts, apart from the acts: a program before this one passes them over."""
        found = {account: self._doors.account_name(account) for account in accounts}
        return {account: name for account, name in found.items() if name is not None}

    def _take_lockdowns(self, kiosk: str, said: Any) -> None:
        name, told = self._doors.name_of(kiosk), read_lockdowns(said).shared
        try:
            names = read_names(said)
        except ValueError as error:  # a door is locked down whoever did it
            log.warning("fleet lockdown names=refused kiosk=%s reason=%r", kiosk, str(error))
            names = {}
        try:
            self._doors.hear_lockdowns(told, name, names)
        except KioskError as error:  # it holds all the same
            log.warning("fleet lockdown kept=False reason=%r", str(error))
        self._ended.hear(said.get("passes", []), "" if kiosk == self._member.id else name)  # older kiosks tell of none

    # ---- words of doors

    async def _speak(self, client: Client) -> None:
        wake, heard, asked = asyncio.Event(), asyncio.Queue[Any](), asyncio.Event()

        def say() -> None:
            asked.set()  # apart from `wake`, which a word from elsewhere sets too
            wake.set()

        async def put(message: Msg) -> None:
            heard.put_nowait(message)
            wake.set()

        subscribed: dict[str, Any] = {}
        self._doors.on_speak(say, asyncio.get_running_loop())
        said_at = float("-inf")
        try:
            while True:
                is_asked, kiosks = asked.is_set(), self._doors.neighbours
                wake.clear()
                asked.clear()
                for kiosk in kiosks.keys() - subscribed.keys():
                    subscribed[kiosk] = await client.subscribe(f"fleet.beacon.{kiosk}", cb=put)
                for kiosk in subscribed.keys() - kiosks.keys():
                    await subscribed.pop(kiosk).unsubscribe()
                wants = False
                while not heard.empty():
                    wants = self._hear_word(heard.get_nowait(), kiosks) or wants
                is_due = time.monotonic() - said_at >= WORD_S or wants or is_asked
                if kiosks and self._member.is_let_in and is_due:
                    said_at = time.monotonic()
                    word = self._doors.word(await self._told(), is_urgent=is_asked)
                    await client.publish(
                        f"fleet.beacon.{self._member.id}", self._sealed("beacon", word, word["number"])
                    )
                try:
                    await asyncio.wait_for(wake.wait(), WORD_S)
                except asyncio.TimeoutError:
                    continue
        finally:
            self._doors.on_speak(say, None)

    def _hear_word(self, message: Msg, kiosks: Mapping[str, str]) -> bool:
        kiosk = message.subject.rsplit(".", maxsplit=1)[-1]
        try:
            return kiosk in kiosks and self._doors.agreement.hear(kiosk, self._opened("beacon", kiosk, message.data))
        except ValueError as error:
            log.warning("fleet door refused kiosk=%s reason=%r", kiosk, str(error))
            return False

    async def _told(self) -> dict[str, int]:
        """Return the number of the newest passage at this hub; nothing while some wait to be sent."""
        sent, row = self._sent, self._row
        if sent is None or await asyncio.to_thread(self._store.passages.newest_own) > row:
            return {}
        return {self._hub: sent}

    # ---- passages

    async def _send(self, client: Client) -> None:
        from nats.js.errors import NotFoundError  # noqa: PLC0415  see wire.connection

        subject, stream = f"fleet.passages.{self._member.id}", client.jetstream(timeout=wire.ANSWER_S)
        self._sent, self._row, key = None, 0, ""
        try:
            last = await stream.get_last_msg(wire.PASSAGES, subject, direct=True)
            told = self._opened("passages", self._member.id, last.data or b"")
            self._row, self._sent, key = int(told["row"]), last.seq or 0, str(told["key"])
        except NotFoundError:
            self._sent = 0
        except (ValueError, KeyError, TypeError):  # sealed before this kiosk was taken off, or damaged
            self._sent = last.seq or 0  # all is sent again
        if not await asyncio.to_thread(self._store.passages.has_own, self._row, key, self._member.id):
            self._row = 0  # a store that was put back to a backup has given the number to another
        while True:
            if not self._doors.rule().doors or not self._member.is_let_in:
                await asyncio.sleep(LOOK_S)
                continue
            # A date bounds what a first message tells of; after it nothing is left out, whatever the clock says.
            since = 0.0 if self._row else self._doors.told_from()
            found = await asyncio.to_thread(self._store.passages.own_after, self._row, since, MOST_AT_ONCE)
            if not found:
                await asyncio.sleep(LOOK_S)
                continue
            said = {
                "after": self._sent,
                "row": found[-1].row,
                "key": found[-1].key(self._member.id),
                "passages": [_as_told(one, self._member.id) for one in found],
            }
            sealed = self._sealed("passages", said, found[-1].row)
            arrived = await stream.publish(subject, sealed, stream=wire.PASSAGES)
            self._row, self._sent = found[-1].row, arrived.seq
            self._doors.speak()

    async def _read(self, client: Client) -> None:
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        while True:
            kiosks = self._doors.ids(frozenset(self._doors.rule().doors))
            if not kiosks:
                await asyncio.sleep(LOOK_S)
                continue
            heard: asyncio.Queue[Msg | None] = asyncio.Queue()
            subjects = [f"fleet.passages.{kiosk}" for kiosk in sorted(kiosks)]
            subscription, _ = await wire.read_on(
                client, wire.PASSAGES, heard, deliver_policy=DeliverPolicy.ALL, filter_subjects=subjects
            )
            try:
                while kiosks == self._doors.ids(frozenset(self._doors.rule().doors)):
                    try:
                        message = await asyncio.wait_for(heard.get(), LOOK_S)
                    except asyncio.TimeoutError:
                        continue
                    if message is not None:
                        await asyncio.to_thread(self._hear_passages, message)
            finally:
                await subscription.unsubscribe()

    def _hear_passages(self, message: Msg) -> None:
        seq = message.metadata.sequence.stream

        def take(kiosk: str, said: Any) -> None:
            told = [_told(one) for one in said["passages"]]
            if not self._doors.is_next(self._hub, kiosk, int(said["after"]), seq):
                raise ValueError("passages before it are missing")
            missing = self._store.passages.hear(
                told,
                by=self._doors.name_of(kiosk),
                now=self._doors.now(),
                is_clock_trusted=self._doors.is_clock_trusted(),
            )
            unknown = {one.person: (one.direction, one.at) for one in told if one.person in missing}
            self._doors.note_read(self._hub, kiosk, seq, unknown)

        self._heard("passages", message, take)


def _as_told(one: OwnPassage, kiosk: str) -> dict[str, Any]:
    return {"key": one.key(kiosk), "person": one.person, "direction": one.direction.value, "at": one.at}


def _told(one: Mapping[str, Any]) -> ToldPassage:
    """Read what `_as_told` gave; raises ValueError, KeyError, TypeError or OverflowError."""
    at = None if one["at"] is None else float(one["at"])
    return ToldPassage(str(one["key"]), str(one["person"]), Direction(one["direction"]), at)

"""Decisions outward: each once, in the order in which they were made, to this kiosk's own log at the hub.

A kiosk writes its own subject and nobody else does, one decision after the other, each with the number of its record.
So the last message there says what has arrived, whatever ended in between: a cut connection, a kiosk killed before it
noted the acknowledgement, a store put back to a backup. Each names the one before, so a log with a hole shows it.
Only the owner reads them.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kiosk.errors import StoreError
from kiosk.fleet import wire
from kiosk.fleet.member import Member
from kiosk.fleet.roster import Roster
from kiosk.fleet.sealed import Form, Sealed
from kiosk.store.outbox import OutboxRow, OutboxState
from kiosk.store.store import Store
from kiosk.store.upkeep import rollback

if TYPE_CHECKING:
    from nats.aio.client import Client

LOOK_S = 0.5
ANY_TIME = 1e18  # a clock that is set back must not make a decision wait
_FORM = Form(b"KFL1", b"kiosk fleet decision\0")

log = logging.getLogger("kiosk.fleet")


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest decision of this kiosk at a hub."""

    sequence: int = 0  # of the message
    record: int = 0  # of the decision log
    request_id: str = ""


class DecisionSender:
    """Sends the rows of the outbox that are the fleet's, to one hub: two would not know what the other has."""

    def __init__(self, member: Member, store: Store) -> None:
        """Take the kiosk and its store."""
        self._member, self._store, self._outbox = member, store, store.fleet_outbox
        self.fault: str | None = None
        self._is_shut = False

    @property
    def _subject(self) -> str:
        return f"fleet.log.{self._member.id}"

    def waiting(self) -> int:
        """Return how many decisions wait to be sent."""
        counts = self._outbox.counts()
        return counts[OutboxState.WAITING] + counts[OutboxState.SENDING]

    async def run(self, client: Client) -> None:
        """Send until the connection ends."""
        last: _Last | None = None
        while True:
            if last is None and self._member.is_let_in and not self._is_shut:
                await asyncio.to_thread(self._outbox.recover, 0.0)
                last = await self._last(client)
            row = None if last is None else await asyncio.to_thread(self._claim)
            if last is None or row is None:
                await asyncio.sleep(LOOK_S)
            else:
                last = await self._send(client, row, last)

    def _claim(self) -> OutboxRow | None:
        """Return the next row; one that is damaged is left, and the people and the other decisions go on."""
        try:
            return self._outbox.claim(ANY_TIME)
        except StoreError as error:
            self.fault = str(error)
            log.error("fleet decision damaged reason=%r", self.fault)  # noqa: TRY400  the sentence says all
            return None

    async def _last(self, client: Client) -> _Last | None:
        from nats.js.errors import NotFoundError  # noqa: PLC0415  see wire.connection

        stream = client.jetstream(timeout=wire.ANSWER_S)
        try:
            found = await stream.get_last_msg(wire.LOG, self._subject, direct=True)
        except NotFoundError:
            return _Last()
        try:
            read = _FORM.read(found.data or b"", self._about, self._member.identity.card.sign)
        except ValueError:
            self._is_shut = True
            self.fault = "The hub's log of this kiosk holds what this kiosk did not sign; its decisions wait here."
            log.error("fleet log forged subject=%s", self._subject)  # noqa: TRY400  the sentence says all
            return None
        tail = await asyncio.to_thread(self._store.log.tail)
        if tail is None or tail.seq < read.number:  # signed here, and not known here
            await asyncio.to_thread(rollback.hold_against, self._store, read.number, "")
        return _Last(found.seq or 0, read.number, self._request_of(read))

    def _request_of(self, read: Sealed) -> str:
        key = self._member.key_of(read.epoch)
        try:
            return "" if key is None else str(json.loads(read.open(key))["request_id"])
        except (ValueError, KeyError, TypeError):
            return ""

    async def _send(self, client: Client, row: OutboxRow, last: _Last) -> _Last:
        """Send one row, unless it arrived before; return the newest decision at the hub."""
        from nats.js.api import Header  # noqa: PLC0415  see wire.connection

        is_doubtful = row.doubt_from is not None and row.seq <= last.record  # of a backup that was restored
        if is_doubtful or row.request_id == last.request_id:  # a number alone may be that of a record now lost
            await asyncio.to_thread(self._outbox.settle, row.id, f"fleet:{row.seq}")
            return last
        sealed = await asyncio.to_thread(self._sealed, row, last)
        stream = client.jetstream(timeout=wire.ANSWER_S)
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(last.sequence)}  # else the connection ends
        arrived = await stream.publish(self._subject, sealed, stream=wire.LOG, headers=headers)
        await asyncio.to_thread(self._outbox.settle, row.id, f"fleet:{row.seq}")
        return _Last(arrived.seq, row.seq, row.request_id)

    def _sealed(self, row: OutboxRow, last: _Last) -> bytes:
        signed = self._store.log.signed(row.request_id)  # what is sealed beside it is not told, so it may be damaged
        if signed is None:
            raise StoreError(f"the decision {row.request_id} is not in the log; run `kiosk log verify`")
        entry = signed.entry
        told = {
            "seq": row.seq,
            "after": last.record,
            "at": entry.at,
            "request_id": entry.request_id,
            "kind": entry.kind.value,
            "status": entry.status,
            "score": entry.score,
            "reasons": list(entry.details.get("reasons", ())),
            "warnings": list(entry.warnings),
            "of": entry.details.get("of"),
            "person": (row.payload or {}).get("person"),
        }
        epoch, key = self._member.epoch_key()
        signer = self._member.identity.sign
        return _FORM.seal(json.dumps(told).encode(), self._about, epoch=epoch, number=row.seq, key=key, signer=signer)

    @property
    def _about(self) -> str:
        return f"{self._member.invitation.fleet}\0{self._member.id}"


@dataclass(frozen=True, slots=True)
class Told:
    """A decision of a kiosk, as the owner reads it."""

    kiosk: str
    body: Mapping[str, Any] = field(repr=False)  # empty where it cannot be read
    fault: str | None = None  # what is wrong with it, or with its place


def read_decisions(found: Iterable[tuple[str, bytes]], roster: Roster, keys: Mapping[int, bytes]) -> tuple[Told, ...]:
    """Read decisions in the order in which they lie at a hub.

    Args:
        found: kiosk and message.
        roster: kiosks that belong, or did.
        keys: of the epochs.
    """
    told: list[Told] = []
    before: dict[str, int] = {}
    for kiosk, message in found:
        place = roster.members.get(kiosk) or roster.former.get(kiosk)
        try:
            if place is None:
                raise ValueError("of no kiosk of this fleet")
            sealed = _FORM.read(message, f"{roster.fleet}\0{kiosk}", place.card.sign)
            body = json.loads(sealed.open(keys[sealed.epoch]))
            after = int(body["after"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            told.append(Told(kiosk, {}, "it cannot be read: forged, damaged, or of a newer program"))
            continue
        is_next = kiosk not in before or before[kiosk] == after
        told.append(Told(kiosk, body, None if is_next else "decisions before it are missing"))
        before[kiosk] = sealed.number
    return tuple(told)

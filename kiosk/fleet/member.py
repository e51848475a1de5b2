"""A kiosk of a fleet, whatever carries the messages: opens and applies what arrives, seals what is to leave."""

from __future__ import annotations

import json
import logging
import math
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kiosk.errors import KioskError, RefusedError
from kiosk.fleet.admin import Invitation, read_invitation
from kiosk.fleet.envelope import Message, Not, open_envelope, seal, word_key
from kiosk.fleet.heads import Heads
from kiosk.fleet.identity import Card, Identity, load_identity, new_identity
from kiosk.fleet.orders import POLICY, Order, open_order, revision_of
from kiosk.fleet.policy import Policy, policy_of
from kiosk.fleet.roster import Roster, read_roster
from kiosk.rules.text import objection, shown
from kiosk.settings.config import ORDERED_NAME
from kiosk.store.fleet.hubs import Outgoing
from kiosk.store.fleet.shared import Applied, Parked, Shared
from kiosk.store.fleet.taking import Arrived
from kiosk.store.store import Store

_HEALTH = b"kiosk fleet health\0"
LONGEST_HEALTH = 1 << 16
DEEPEST = 20  # levels of JSON in another kiosk's word: whoever reads it again may have less room than who took it
SECRET = "fleet"  # noqa: S105  the name of a secret
UPDATES = "updates"
"""Folder of what an update needs, see updates/shelf.py."""
UPDATE_WORDS = "fleet_update_words"
"""Name of the secret with what sticks brought, see updates/words.py."""

log = logging.getLogger("kiosk.fleet")


class NoFleetError(RefusedError):
    """This kiosk belongs to no fleet."""


class Member:
    """A kiosk of a fleet. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        """Read who this kiosk is in its fleet.

        Raises:
            NoFleetError: it belongs to none, and did not ask to.
        """
        self._store, self.shared = store, Shared(store)
        kept = store.secrets.read(SECRET)
        if kept is None or self.shared.me() is None:
            raise NoFleetError("this kiosk belongs to no fleet; `kiosk fleet join fleet.json` lets it ask to")
        plain = json.loads(kept)
        self.identity: Identity = load_identity(plain["identity"])
        self.invitation: Invitation = read_invitation(plain["invitation"])
        self.heads = Heads(store, self.shared, self.identity)
        self.roster: Roster | None = None
        self._keys: dict[int, bytes] = {}
        self._opened_orders: dict[str, tuple[bytes, Order]] = {}  # as signed, and opened: asked for every second
        self._obeying, self._refused = threading.Lock(), ""
        if signed := self.shared.roster():
            self._use(read_roster(signed, self.invitation.admin))
        try:
            self.obey()  # an order may have been kept by a process that was ended, or by a program that refused it
        except KioskError as error:  # a full disk must not keep a kiosk from saying so
            log.warning("fleet policy not obeyed reason=%r", str(error))

    @property
    def store(self) -> Store:
        """Of the kiosk."""
        return self._store

    @property
    def id(self) -> str:
        """The kiosk's name in the fleet."""
        return self.identity.card.id

    @property
    def is_let_in(self) -> bool:
        """Whether the owner has let this kiosk in, and has not taken it off."""
        return self.roster is not None and self.id in self.roster.members

    @property
    def is_taken_off(self) -> bool:
        """Whether the owner has taken this kiosk off."""
        return self.roster is not None and self.id in self.roster.former

    def hear_roster(self, signed: bytes) -> bool:
        """Take a roster where it is the owner's and newer; then look again at what waited for it.

        Raises:
            RefusedError: it is not the owner's.
        """
        roster = read_roster(signed, self.invitation.admin)
        if self.roster is not None and roster.number <= self.roster.number:
            return False
        kept = {name: one.accepted for name, one in roster.former.items()}
        member = roster.members.get(self.id)
        key = word_key(roster.keys_for(self.id, self.identity.seal))
        since = member.since if member is not None else 0
        if self.shared.take_roster(roster.number, signed, kept, since=since, key=key):
            self._use(roster)
            log.info("fleet roster=%d epoch=%d kiosks=%d", roster.number, roster.epoch, len(roster.members))
        elif newer := self.shared.roster():  # another process took it
            self._use(read_roster(newer, self.invitation.admin))
        self._look_again()
        self.obey()
        return True

    # ---- the owner's orders

    def hear_order(self, kind: str, envelope: bytes) -> bool:
        """Take an order where it is the owner's and newer, and obey it.

        Raises:
            RefusedError: it is not the owner's.
        """
        revision = revision_of(envelope, kind, self.invitation.admin)
        is_new = self.shared.orders.keep(kind, revision, envelope)
        if is_new:
            log.info("fleet order kind=%s revision=%d", kind, revision)
        self.obey()
        return is_new

    def order(self, kind: str) -> Order | None:
        """Return the newest order of a kind that can be opened; None where there is none."""
        kept = self.shared.orders.of(kind)
        known = self._opened_orders.get(kind)
        if known is not None and kept and kept[0] == known[0]:
            return known[1]
        opened = next(self._open_orders(kind, kept), None)
        if opened is not None:
            self._opened_orders[kind] = opened
        return None if opened is None else opened[1]

    def orders(self, kind: str) -> Iterator[Order]:
        """Return the orders of a kind that can be opened, newest first."""
        return (found for _, found in self._open_orders(kind, self.shared.orders.of(kind)))

    def _open_orders(self, kind: str, kept: Iterable[bytes]) -> Iterator[tuple[bytes, Order]]:
        for envelope in kept:
            if (found := open_order(envelope, kind, self.invitation.admin, self._keys)) is not None:
                yield envelope, found

    def policy(self) -> Policy | None:
        """Return which groups go through which doors; None where the owner ordered nothing.

        Raises:
            RefusedError: the order is of a newer program.
        """
        order = self.order(POLICY)
        return None if order is None else policy_of(order)

    def obey(self) -> None:
        """Let through this door whom the policy names, where that is not so; settings are taken by whoever checks them.

        Whatever was kept and not obeyed, or obeyed and undone, is obeyed by the next call.

        Raises:
            KioskError: the store takes nothing.
        """
        with self._obeying:  # else a thread that read the policy before could put it in the place of a newer one
            try:
                policy, refused = self.policy(), ""
            except RefusedError as error:
                policy, refused = None, str(error)
            if refused not in {"", self._refused}:
                log.warning("fleet policy refused reason=%r", refused)
            self._refused = refused
            if policy is None or self._store.door_groups() == frozenset(policy.of(self.id)):
                return
            self.shared.orders.drop_before(POLICY, policy.revision)  # first: no process without its key goes back
            self.shared.take_door(policy.of(self.id), revision=policy.revision)
            log.info("fleet policy=%d groups=%d", policy.revision, len(policy.of(self.id)))
            self.shared.sort_people()

    def hear(self, messages: Iterable[Message], *, source: str | None = None, seq: int = 0) -> Applied:
        """Take messages, in one transaction with the position; what cannot be opened yet is kept for later."""
        arrived: list[Arrived] = []
        parked: list[Parked] = []
        for one in messages:
            found = self._opened(one)
            if isinstance(found, Arrived):
                arrived.append(found)
            elif found.is_to_wait:
                parked.append(Parked(one.person, one.origin, one.envelope, found.value))
            else:
                log.warning("fleet document refused kiosk=%s person=%s", one.origin, one.person)
        done = self.shared.apply(arrived, parked=parked, source=source, seq=seq)
        for reason in done.refused:
            log.warning("fleet document refused reason=%r", reason)
        return done

    def hear_again(self, messages: Sequence[Message]) -> None:
        """Take what was read again of people who are wanted; where none of it is believed, nobody waits for it."""
        self.hear(messages)
        self.shared.unwant({one.person for one in messages})

    def outgoing(self, source: str, limit: int = 256) -> tuple[tuple[int, Message], ...]:
        """Return what a hub has not had of this kiosk, sealed, with its version; nothing before it was let in."""
        if not self.is_let_in:
            return ()
        return tuple((one.version, self._sealed(one)) for one in self.shared.hubs.pending(source, limit))

    def everything(self) -> tuple[Message, ...]:
        """Return all that this kiosk knows, its own sealed anew, the others' as they signed it."""
        own = tuple(self._sealed(one) for one in self.shared.hubs.own()) if self.is_let_in else ()
        return own + tuple(Message(*one) for one in self.shared.envelopes())

    def receipts(self, person: str) -> tuple[int, int]:
        """Return how many kiosks said that they forgot a person, and how many are to."""
        said = self.shared.receipts(person)
        members = set() if self.roster is None else set(self.roster.members)
        return len(said & members), len(members)

    # ---- health

    def sign_health(self, said: dict[str, object]) -> bytes:
        """Return what this kiosk says of itself, as it travels."""
        text = json.dumps(said, sort_keys=True).encode()
        return self.identity.sign.sign(_HEALTH + text) + text

    def hear_health(self, kiosk: str, signed: bytes) -> bool:
        """Keep what a member says of itself, and the heads it shows; False where it is not the member's own word."""
        return self.hear_healths([(kiosk, signed)]) == 1

    def hear_healths(self, messages: Iterable[tuple[str, bytes]]) -> int:
        """Keep what members say of themselves, in one transaction; return how many messages were their own word."""
        read = [(kiosk, said) for kiosk, signed in messages if (said := self._read_health(kiosk, signed)) is not None]
        others = [(kiosk, float(said["at"]), json.dumps(said)) for kiosk, said in read if kiosk != self.id]
        told = (
            self.heads.read(name, head, self.roster)
            for kiosk, said in read
            for name, head in {**_texts(said.get("holds")), **_texts({kiosk: said.get("head")})}.items()
        )
        heads = [one for one in told if one is not None]
        if others or heads:
            self.shared.hubs.hear_healths(others, heads)
        return len(read)

    def _read_health(self, kiosk: str, signed: bytes) -> dict[str, Any] | None:
        member = None if self.roster is None else self.roster.members.get(kiosk)
        said = None if member is None else read_health(signed, member.card)
        if member is not None and said is None:
            log.warning("fleet health refused kiosk=%s", kiosk)
        return said

    def _use(self, roster: Roster) -> None:
        self._keys, self.roster = roster.keys_for(self.id, self.identity.seal), roster  # read in the other order

    def _opened(self, one: Message) -> Arrived | Not:
        if self.roster is None:
            return Not.YET_SIGNER
        return open_envelope(one.envelope, one.person, one.origin, self.roster, self._keys)

    def _look_again(self) -> None:
        waiting = self.shared.parked()
        opened = [(one, self._opened(Message(one.person, one.origin, one.envelope))) for one in waiting]
        self.shared.unpark(one for one, found in opened if found is Not.EVER)
        self.shared.apply([found for _, found in opened if isinstance(found, Arrived)])

    def epoch_key(self) -> tuple[int, bytes]:
        """Return the epoch of now and its key, with which this kiosk seals.

        Raises:
            KioskError: it has none.
        """
        roster, keys = self.roster, self._keys
        if roster is None or roster.epoch not in keys:
            raise KioskError("this kiosk has no key of the fleet")
        return roster.epoch, keys[roster.epoch]

    def key_of(self, epoch: int) -> bytes | None:
        """Return the key of an epoch; None where this kiosk has none of it."""
        return self._keys.get(epoch)

    def _sealed(self, one: Outgoing) -> Message:
        epoch, key = self.epoch_key()
        envelope = seal(
            one.document,
            fleet=self.invitation.fleet,
            person=one.person,
            origin=self.id,
            epoch=epoch,
            version=one.version,
            key=key,
            signer=self.identity.sign,
        )
        return Message(one.person, self.id, envelope)


def read_health(signed: bytes, card: Card) -> dict[str, Any] | None:
    """Return what `Member.sign_health` signed; None where it is not that kiosk's own word."""
    try:
        if len(signed) > LONGEST_HEALTH:
            raise ValueError("too long")
        Ed25519PublicKey.from_public_bytes(card.sign).verify(signed[:64], _HEALTH + signed[64:])
        said = json.loads(signed[64:])
        if not (math.isfinite(float(said["at"])) and _is_shallow(said)):
            raise ValueError("out of range")
    except (InvalidSignature, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return dict(said)


def _is_shallow(found: object, levels: int = DEEPEST) -> bool:
    inside = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inside)


def _texts(found: object) -> dict[str, str]:
    """Return what of an object of JSON are texts."""
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: text for name, text in pairs if isinstance(text, str)}


def ask_to_join(store: Store, invitation: Invitation, name: str) -> Identity:
    """Make this kiosk's keys for a fleet; from now on what is done here is kept for it.

    Returns:
        Who it is, with the code to be shown to the owner. Asking again for the same fleet gives the same.

    Raises:
        RefusedError: it belongs to another fleet, or has a name that cannot be seen.
    """
    kept = store.secrets.read(SECRET)
    if kept is not None:
        plain = json.loads(kept)
        if read_invitation(plain["invitation"]).admin != invitation.admin:
            raise RefusedError("this kiosk belongs to another fleet; `kiosk fleet leave` ends that")
        identity = load_identity(plain["identity"])
    else:
        if said := objection(name):
            raise RefusedError(f"the name {shown(name)} {said}; give another one with --name")
        identity = new_identity(name)
    text = json.dumps({"identity": identity.dump(), "invitation": invitation.dump()})
    store.secrets.write(SECRET, text)
    shared = Shared(store)
    if shared.me() is None:
        shared.begin(identity.card.id)
    return identity


def leave(store: Store) -> None:
    """Be a kiosk alone again: keys, documents and orders of the fleet are gone, the people stay."""
    Shared(store).end()
    (store.directory / ORDERED_NAME).unlink(missing_ok=True)
    shutil.rmtree(store.directory / UPDATES, ignore_errors=True)
    store.secrets.remove(UPDATE_WORDS)
    store.secrets.remove(SECRET)

"""Who belongs to a fleet, and which keys they may have: signed by the owner's key, which lies on no kiosk and no hub.

A number rises with every roster; a lower one is never taken. An epoch is a key for what is written: it is wrapped for
each member (HPKE), and the key of the epoch before is sealed with it, so that a newcomer opens what is older, and
somebody who was taken off opens nothing that is newer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.identity import Card, bytes_of, id_of, read_card, text_of

ADMIN = "admin"  # the owner's place among the wrapped keys; no kiosk's id has five letters
_ROSTER = b"kiosk fleet roster\0"
_SIGNATURE_BYTES = 64
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Member:
    """A kiosk that belongs."""

    card: Card
    since: int  # the roster that named it first


@dataclass(frozen=True, slots=True)
class Former:
    """A kiosk that was taken off. What it signed is believed where its digest is named here, and nowhere else."""

    card: Card
    until: int  # the roster that took it off
    accepted: frozenset[bytes] | None = field(repr=False)  # None: the hub was not asked yet


@dataclass(frozen=True, slots=True)
class Roster:
    """One state of a fleet."""

    fleet: str
    number: int
    epoch: int
    members: Mapping[str, Member]
    former: Mapping[str, Former]
    wrapped: Mapping[str, bytes] = field(repr=False)  # the epoch's key, for each member and the owner
    chain: tuple[bytes, ...] = field(repr=False)  # the key of epoch n, sealed with that of n + 1; from epoch 1 on

    def keys_for(self, name: str, private: X25519PrivateKey) -> dict[int, bytes]:
        """Return the key of every epoch; none where this kiosk has no place here."""
        if name not in self.wrapped:
            return {}
        try:
            key = _suite().decrypt(self.wrapped[name], private, self._context(name))
        except InvalidTag:  # wrapped for another key, which a good roster never has
            return {}
        keys = {self.epoch: key}
        for epoch in range(self.epoch - 1, 0, -1):
            sealed = self.chain[epoch - 1]
            key = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], f"{self.fleet} {epoch}".encode())
            keys[epoch] = key
        return keys

    def _context(self, name: str) -> bytes:
        return f"kiosk fleet epoch {self.fleet} {self.epoch} {name}".encode()

    def with_epoch(self, key: bytes, before: bytes | None, admin_seal: bytes) -> Roster:
        """Return the roster with a key for its epoch, wrapped for everybody in it."""
        chain = self.chain
        if before is not None and len(chain) < self.epoch - 1:
            nonce = os.urandom(_NONCE_BYTES)
            chain += (nonce + AESGCM(key).encrypt(nonce, before, f"{self.fleet} {self.epoch - 1}".encode()),)
        places = {name: member.card.seal for name, member in self.members.items()} | {ADMIN: admin_seal}
        suite = _suite()
        wrapped = {
            name: suite.encrypt(key, X25519PublicKey.from_public_bytes(seal), self._context(name))
            for name, seal in places.items()
        }
        return replace(self, wrapped=wrapped, chain=chain)

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """Return the roster as it travels."""
        text = json.dumps(self._plain(), sort_keys=True, separators=(",", ":")).encode()
        return key.sign(_ROSTER + text) + text

    def _plain(self) -> dict[str, Any]:
        return {
            "fleet": self.fleet,
            "number": self.number,
            "epoch": self.epoch,
            "members": [one.card.plain() | {"since": one.since} for one in self.members.values()],
            "former": [
                one.card.plain()
                | {
                    "until": one.until,
                    "accepted": None if one.accepted is None else sorted(text_of(each) for each in one.accepted),
                }
                for one in self.former.values()
            ],
            "wrapped": {name: text_of(each) for name, each in self.wrapped.items()},
            "chain": [text_of(each) for each in self.chain],
        }


def read_roster(signed: bytes, admin: bytes) -> Roster:
    """Read a roster and check whose it is.

    Args:
        signed: as `Roster.sign` returned it.
        admin: the owner's public key.

    Raises:
        RefusedError: it is not signed by the owner, or is none.
    """
    text = signed[_SIGNATURE_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(admin).verify(signed[:_SIGNATURE_BYTES], _ROSTER + text)
        plain = json.loads(text)
        if plain["fleet"] != id_of(admin):
            raise ValueError("another fleet's")
        members = [Member(read_card(one), int(one["since"])) for one in plain["members"]]
        former = [
            Former(
                read_card(one),
                int(one["until"]),
                None if one["accepted"] is None else frozenset(map(bytes_of, one["accepted"])),
            )
            for one in plain["former"]
        ]
        return Roster(
            plain["fleet"],
            int(plain["number"]),
            int(plain["epoch"]),
            {one.card.id: one for one in members},
            {one.card.id: one for one in former},
            {name: bytes_of(each) for name, each in plain["wrapped"].items()},
            tuple(map(bytes_of, plain["chain"])),
        )
    except (InvalidSignature, ValueError, KeyError, TypeError):
        raise RefusedError("a roster is not signed by the owner of this fleet; it was not taken") from None


def _suite() -> Any:
    """Return HPKE as RFC 9180 has it: X25519, HKDF-SHA256, AES-256-GCM."""
    try:
        from cryptography.hazmat.primitives import hpke  # noqa: PLC0415  there from cryptography 47 on
    except ImportError:
        raise ConfigError(
            "a fleet needs cryptography 47 or newer; install it with: pip install 'face-kiosk[fleet]'"
        ) from None
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

"""A document sealed with the epoch's key and signed by the kiosk that wrote it.

    magic 4 B, epoch u32, version u64, nonce 12 B, AES-256-GCM of the padded document, Ed25519 signature 64 B

Fleet, person, kiosk, epoch and version are bound to it: it cannot be put in another's place. Whoever carries it sees
person ids, kiosks, sizes and times; never a name or a template.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kiosk.fleet.roster import Former, Roster
from kiosk.store.fleet.document import Document, fingerprint, pack, unpack
from kiosk.store.fleet.taking import Arrived

_HEAD = struct.Struct(">4sIQ12s")
_MAGIC = b"KFD1"
_SIGNATURE_BYTES = 64
_SIGNED = b"kiosk fleet document\0"


@dataclass(frozen=True, slots=True)
class Message:
    """A sealed document on its way."""

    person: str
    origin: str
    envelope: bytes


class Not(Enum):
    """Why a document was not opened."""

    YET_KEY = "its key has not arrived"
    YET_SIGNER = "its kiosk is not known"
    EVER = "it is forged, damaged, or of a kiosk that was taken off"

    @property
    def is_to_wait(self) -> bool:
        """Whether a later roster may open it."""
        return self is not Not.EVER


def seal(
    document: Document,
    *,
    fleet: str,
    person: str,
    origin: str,
    epoch: int,
    version: int,
    key: bytes,
    signer: Ed25519PrivateKey,
) -> bytes:
    """Return a document as it travels."""
    nonce = os.urandom(12)
    head = _HEAD.pack(_MAGIC, epoch, version, nonce)
    about = _about(fleet, person, origin, head)
    body = head + AESGCM(key).encrypt(nonce, pack(document), about)
    return body + signer.sign(_SIGNED + about + body)


def open_envelope(
    envelope: bytes, person: str, origin: str, roster: Roster, keys: Mapping[int, bytes]
) -> Arrived | Not:
    """Return what an envelope holds, or why it is not opened."""
    place = roster.members.get(origin) or roster.former.get(origin)
    if place is None:
        return Not.YET_SIGNER
    if len(envelope) <= _HEAD.size + _SIGNATURE_BYTES:
        return Not.EVER
    body, signature = envelope[:-_SIGNATURE_BYTES], envelope[-_SIGNATURE_BYTES:]
    about = _about(roster.fleet, person, origin, body[: _HEAD.size])
    try:
        Ed25519PublicKey.from_public_bytes(place.card.sign).verify(signature, _SIGNED + about + body)
    except InvalidSignature:
        return Not.EVER
    found = _unsealed(body, about, Message(person, origin, envelope), keys)
    if isinstance(place, Former) and isinstance(found, Arrived):
        if place.accepted is None:
            return Not.YET_SIGNER
        if fingerprint(word_key(keys), person, found.version, found.document) not in place.accepted:
            return Not.EVER
    return found


def word_key(keys: Mapping[int, bytes]) -> bytes:
    """Return the key of the fingerprints in a roster: every member has it, and no hub."""
    return keys.get(1, b"")


def _unsealed(body: bytes, about: bytes, message: Message, keys: Mapping[int, bytes]) -> Arrived | Not:
    """Return what a signed body holds; one of a newer program or of a newer epoch waits."""
    magic, epoch, version, nonce = _HEAD.unpack(body[: _HEAD.size])
    if magic != _MAGIC or epoch not in keys:
        return Not.YET_KEY
    try:
        document = unpack(AESGCM(keys[epoch]).decrypt(nonce, body[_HEAD.size :], about))
    except (InvalidTag, ValueError):
        return Not.EVER
    return Arrived(message.person, message.origin, version, document, message.envelope)


def _about(fleet: str, person: str, origin: str, head: bytes) -> bytes:
    return f"{fleet}\0{person}\0{origin}\0".encode() + head

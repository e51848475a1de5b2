"""What the owner orders for every kiosk: signed by the owner's key, sealed with the epoch's, the last revision only.

    magic 4 B, epoch u32, revision u64, nonce 12 B, AES-256-GCM of JSON, Ed25519 signature 64 B

Fleet, kind, epoch and revision are bound to it. A revision only rises: whoever carries an older one changes nothing.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kiosk.errors import RefusedError
from kiosk.fleet.identity import id_of

POLICY, SETTINGS = "policy", "settings"
KINDS = (POLICY, SETTINGS)
LONGEST = 1 << 20  # bytes
_HEAD = struct.Struct(">4sIQ12s")
_MAGIC = b"KFO1"
_SIGNATURE_BYTES = 64
_SIGNED = b"kiosk fleet order\0"


@dataclass(frozen=True, slots=True)
class Order:
    """One order."""

    kind: str  # of KINDS
    revision: int  # from 1 on
    body: Mapping[str, Any] = field(repr=False)  # JSON


def seal_order(order: Order, *, epoch: int, key: bytes, signer: Ed25519PrivateKey) -> bytes:
    """Return an order as it travels; `signer` is the owner's key."""
    fleet, nonce = id_of(signer.public_key().public_bytes_raw()), os.urandom(12)
    head = _HEAD.pack(_MAGIC, epoch, order.revision, nonce)
    about = _about(fleet, order.kind, head)
    text = json.dumps(order.body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    body = head + AESGCM(key).encrypt(nonce, text.encode(), about)
    return body + signer.sign(_SIGNED + about + body)


def revision_of(envelope: bytes, kind: str, admin: bytes) -> int:
    """Return the revision of an order that the owner signed, whether it can be opened or not.

    Args:
        envelope: as `seal_order` returned it.
        kind: which one it is said to be.
        admin: the owner's public key.

    Raises:
        RefusedError: the owner did not sign it, or not as that.
    """
    try:
        if kind not in KINDS or not _HEAD.size + _SIGNATURE_BYTES < len(envelope) <= LONGEST:
            raise ValueError("no order")
        head, body = envelope[: _HEAD.size], envelope[:-_SIGNATURE_BYTES]
        signed = _SIGNED + _about(id_of(admin), kind, head) + body
        Ed25519PublicKey.from_public_bytes(admin).verify(envelope[-_SIGNATURE_BYTES:], signed)
        magic, _, revision, _ = _HEAD.unpack(head)
        if magic != _MAGIC or revision < 1:
            raise ValueError("no order")
    except (InvalidSignature, ValueError):
        raise RefusedError(f"the fleet's {kind} was not signed by its owner; it was not taken") from None
    return int(revision)


def open_order(envelope: bytes, kind: str, admin: bytes, keys: Mapping[int, bytes]) -> Order | None:
    """Return what an order holds; None while its key has not arrived.

    Args:
        envelope: as `seal_order` returned it.
        kind: which one it is said to be.
        admin: the owner's public key.
        keys: of the epochs.

    Raises:
        RefusedError: the owner did not sign it, or not as that.
    """
    revision = revision_of(envelope, kind, admin)
    head, body = envelope[: _HEAD.size], envelope[_HEAD.size : -_SIGNATURE_BYTES]
    _, epoch, _, nonce = _HEAD.unpack(head)
    if epoch not in keys:
        return None
    try:
        found = json.loads(AESGCM(keys[epoch]).decrypt(nonce, body, _about(id_of(admin), kind, head)))
        if not isinstance(found, dict):
            raise TypeError("want an object")
    except (InvalidTag, ValueError, TypeError):
        raise RefusedError(f"the fleet's {kind} {revision} is damaged; it was not taken") from None
    return Order(kind, revision, found)


def _about(fleet: str, kind: str, head: bytes) -> bytes:
    return f"{fleet}\0{kind}\0".encode() + head

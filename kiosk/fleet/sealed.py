"""How everything of a fleet travels: sealed with the epoch's key, and signed by who wrote it.

    magic 4 B, epoch u32, number u64, nonce 12 B, AES-256-GCM, Ed25519 signature 64 B

What it is about (fleet, person, kiosk, kind), epoch and number are bound to it: it cannot be put in another's place.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_HEAD = struct.Struct(">4sIQ12s")
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Sealed:
    """Something whose signature holds."""

    is_known: bool  # False: of a newer program
    epoch: int
    number: int
    nonce: bytes = field(repr=False)
    content: bytes = field(repr=False)
    about: bytes = field(repr=False)

    def open(self, key: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            ValueError: not with this key.
        """
        try:
            return AESGCM(key).decrypt(self.nonce, self.content, self.about)
        except InvalidTag:
            raise ValueError("sealed with another key") from None


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of thing that travels; a signature of one kind is none of another."""

    magic: bytes
    domain: bytes

    def seal(
        self, plain: bytes, about: str, *, epoch: int, number: int, key: bytes, signer: Ed25519PrivateKey
    ) -> bytes:
        """Return it as it travels.

        Args:
            plain: to be sealed.
            about: what it is about, as `read` is given it.
            epoch: of the key.
            number: in the clear.
            key: of the epoch.
            signer: of who writes it.
        """
        nonce = os.urandom(12)
        head = _HEAD.pack(self.magic, epoch, number, nonce)
        bound = _bound(about, head)
        body = head + AESGCM(key).encrypt(nonce, plain, bound)
        return body + signer.sign(self.domain + bound + body)

    def read(self, sealed: bytes, about: str, signer: bytes) -> Sealed:
        """Return what travelled, still sealed.

        Args:
            sealed: as `seal` returned it.
            about: what it is said to be about.
            signer: public key of who is said to have written it.

        Raises:
            ValueError: they did not write it, or not about that.
        """
        if len(sealed) <= _HEAD.size + _SIGNATURE_BYTES:
            raise ValueError("too short")
        body, signature = sealed[:-_SIGNATURE_BYTES], sealed[-_SIGNATURE_BYTES:]
        bound = _bound(about, body[: _HEAD.size])
        try:
            Ed25519PublicKey.from_public_bytes(signer).verify(signature, self.domain + bound + body)
        except InvalidSignature:
            raise ValueError("signed by somebody else") from None
        magic, epoch, number, nonce = _HEAD.unpack(body[: _HEAD.size])
        return Sealed(magic == self.magic, epoch, number, nonce, body[_HEAD.size :], bound)


def _bound(about: str, head: bytes) -> bytes:
    return about.encode() + b"\0" + head

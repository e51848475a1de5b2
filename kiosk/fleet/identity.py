"""The keys of a kiosk in its fleet, and the card by which it asks to be let in.

Three keys, so that a signature made for one purpose is never one for another: a hub that asks for a nonce to be signed
must not come by the signature of a document.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kiosk.errors import RefusedError

CODE = "kioskjoin1:"
LONGEST_NAME = 60
_CARD = b"kiosk fleet card\0"
_USER, _SEED = 20 << 3, 18 << 3  # prefixes of NATS's nkeys: a user's public key, a seed


def text_of(raw: bytes) -> str:
    """Return bytes as JSON carries them."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    """Return what `text_of` was given; raises ValueError."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not in base64") from error


def id_of(sign: bytes) -> str:
    """Return the name of a kiosk in subjects and documents: short, and nobody else's."""
    return base64.b32encode(hashlib.sha256(sign).digest()[:10]).decode().lower()


@dataclass(frozen=True, slots=True)
class Card:
    """What a kiosk shows of itself: three public keys and the name that people gave it."""

    name: str
    sign: bytes = field(repr=False)  # Ed25519
    seal: bytes = field(repr=False)  # X25519
    transport: bytes = field(repr=False)  # Ed25519

    @property
    def id(self) -> str:
        """The kiosk's name in subjects and documents."""
        return id_of(self.sign)

    @property
    def check(self) -> str:
        """What a person compares on both screens.

        >>> Card("door", bytes(32), bytes(32), bytes(32)).check
        '65a6-f276-9983'
        """
        digest = hashlib.sha256(_CARD + self._text()).hexdigest()
        return "-".join(digest[place : place + 4] for place in (0, 4, 8))

    def plain(self) -> dict[str, Any]:
        """Return the card as JSON has it."""
        return {
            "name": self.name,
            "sign": text_of(self.sign),
            "seal": text_of(self.seal),
            "transport": text_of(self.transport),
        }

    def _text(self) -> bytes:
        return json.dumps(self.plain(), sort_keys=True, separators=(",", ":")).encode()


def read_card(plain: dict[str, Any]) -> Card:
    """Read what `Card.plain` wrote; raises ValueError."""
    keys = [bytes_of(plain[name]) for name in ("sign", "seal", "transport")]
    if [len(key) for key in keys] != [32, 32, 32] or not isinstance(plain["name"], str):
        raise ValueError("a key of a kiosk has 32 bytes")
    return Card(plain["name"][:LONGEST_NAME], *keys)


class Identity:
    """The private keys of one kiosk. They show in no repr."""

    __slots__ = ("card", "seal", "sign", "transport")

    def __init__(self, name: str, sign: bytes, seal: bytes, transport: bytes) -> None:
        self.sign = Ed25519PrivateKey.from_private_bytes(sign)
        self.seal = X25519PrivateKey.from_private_bytes(seal)
        self.transport = Ed25519PrivateKey.from_private_bytes(transport)
        self.card = Card(name[:LONGEST_NAME], *(key.public_key().public_bytes_raw() for key in self._keys()))

    def __repr__(self) -> str:
        return f"Identity({self.card.id})"

    def _keys(self) -> tuple[Ed25519PrivateKey, X25519PrivateKey, Ed25519PrivateKey]:
        return self.sign, self.seal, self.transport

    @property
    def code(self) -> str:
        """What the owner is shown: the card, signed."""
        text = self.card._text()  # noqa: SLF001  a card's own bytes
        return CODE + text_of(self.sign.sign(_CARD + text) + text)

    @property
    def nats_seed(self) -> str:
        """The transport key as NATS writes a user's seed."""
        head = bytes([_SEED | (_USER >> 5), (_USER & 31) << 3])
        return _nkey(head + self.transport.private_bytes_raw())

    def dump(self) -> dict[str, str]:
        """Return everything, to be kept sealed."""
        return {
            "name": self.card.name,
            "sign": text_of(self.sign.private_bytes_raw()),
            "seal": text_of(self.seal.private_bytes_raw()),
            "transport": text_of(self.transport.private_bytes_raw()),
        }


def new_identity(name: str) -> Identity:
    """Return fresh keys."""
    sign, transport = (Ed25519PrivateKey.generate().private_bytes_raw() for _ in range(2))
    return Identity(name, sign, X25519PrivateKey.generate().private_bytes_raw(), transport)


def load_identity(dumped: dict[str, str]) -> Identity:
    """Read what `Identity.dump` wrote."""
    return Identity(dumped["name"], *(bytes_of(dumped[name]) for name in ("sign", "seal", "transport")))


def read_code(code: str) -> Card:
    """Read the code that a newcomer shows.

    Raises:
        RefusedError: it is none, or was changed on its way.
    """
    try:
        raw = bytes_of("".join(code.split()).removeprefix(CODE))
        card = read_card(json.loads(raw[64:]))
        Ed25519PublicKey.from_public_bytes(card.sign).verify(raw[:64], _CARD + raw[64:])
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature):
        raise RefusedError(
            f"this is no code of a kiosk that wants to join, or part of it is missing; it begins with {CODE}"
        ) from None
    return card


def nats_user(transport: bytes) -> str:
    """Return a public transport key as NATS writes it."""
    return _nkey(bytes([_USER]) + transport)


def _nkey(body: bytes) -> str:
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).rstrip(b"=").decode()

"""What is derived from the device's key, and authenticated encryption with it.

HKDF-SHA256 (RFC 5869) gives a subkey for each use, so that no two uses
share key bytes: sealing rows, lookups by equality, row checks, wrapping backup keys, and the seed
of the Ed25519 key that signs the decision log. The signing key is derived, not stored: there is
nothing to lose, and a new master key is a new signing key, which `chain.py` chains to the old.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from enum import Enum
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from kiosk.errors import KeyMissingError
from kiosk.store.keys import KEY_BYTES, Key

if TYPE_CHECKING:
    from collections.abc import Callable

NONCE_BYTES = 12  # 96 bits, what both ciphers take
TAG_BYTES = 16
SEALED_BYTES = NONCE_BYTES + TAG_BYTES  # what sealing adds to a value
LOOKUP_BYTES = 16
CHECK_BYTES = 16
LONGEST_FILE = 1024  # of a key file: more than either form has


class Cipher(str, Enum):
    """Which AEAD a store was made with."""

    AES_256_GCM = "AES-256-GCM"
    CHACHA20_POLY1305 = "ChaCha20-Poly1305"


AEAD_BY_CIPHER: dict[Cipher, type[AESGCM | ChaCha20Poly1305]] = {
    Cipher.AES_256_GCM: AESGCM,
    Cipher.CHACHA20_POLY1305: ChaCha20Poly1305,
}


def fastest_cipher(clock_ns: Callable[[], int] = time.perf_counter_ns) -> Cipher:
    """Return the cipher this machine is faster at: without AES instructions that is ChaCha20."""
    payload = bytes(1 << 16)
    cost_by_cipher = {}
    for cipher, aead in AEAD_BY_CIPHER.items():
        box = aead(bytes(KEY_BYTES))
        costs = []
        for run in range(9):
            start = clock_ns()
            box.encrypt(run.to_bytes(NONCE_BYTES, "big"), payload, None)
            costs.append(clock_ns() - start)
        cost_by_cipher[cipher] = min(costs)  # the least disturbed run
    return min(cost_by_cipher, key=lambda cipher: cost_by_cipher[cipher])


class Vault:
    """What one key can do: seal and open, look up, check and sign. Safe in any thread.

    A nonce is 96 random bits. At 2**32 sealings under one key, two nonces meet with a chance below
    2**-33 (NIST SP 800-38D, 8.3 sets this limit); a million people are 2**20.
    """

    def __init__(self, key: Key, cipher: Cipher) -> None:
        self.cipher = cipher
        self.check = key.check
        self._key = key
        self._row = AEAD_BY_CIPHER[cipher](key.derive("row"))
        self._wrap = AEAD_BY_CIPHER[cipher](key.derive("backup"))
        self._lookup = key.derive("lookup")
        self._mac = key.derive("row check")
        self._signer = Ed25519PrivateKey.from_private_bytes(key.derive("ed25519"))
        self.public_key: bytes = self._signer.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"Vault({self.check}, {self.cipher.value})"

    def seal(self, value: bytes, context: bytes) -> bytes:
        """Encrypt a value so that it opens in its own place only.

        Args:
            value: any bytes.
            context: table, row and model; authenticated, not stored.

        Returns:
            nonce, ciphertext and tag: `SEALED_BYTES` longer than the value.
        """
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._row.encrypt(nonce, value, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what `seal` returned.

        Raises:
            InvalidTag: a bit was changed, or the value belongs to another row. The store says
                which row, so it is the one to translate this.
        """
        return self._row.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Seal the key of a backup."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrap.encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Open the key of a backup; `InvalidTag` when it is another device's."""
        return self._wrap.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)

    def lookup(self, kind: str, text: str) -> bytes:
        """Return a keyed hash by which a sealed text is found again, and only the whole of it."""
        message = f"{kind}|{text}".encode()
        return hmac.digest(self._lookup, message, "sha256")[:LOOKUP_BYTES]

    def mac(self, message: bytes) -> bytes:
        """Return a keyed check of clear columns (BLAKE2b: a third of HMAC-SHA256's cost here)."""
        return hashlib.blake2b(message, key=self._mac, digest_size=CHECK_BYTES).digest()

    def sign(self, message: bytes) -> bytes:
        """Sign with the device's Ed25519 key; 64 bytes."""
        return self._signer.sign(message)


def vault_for(keys: tuple[Key, ...], check: str, cipher: Cipher) -> tuple[Vault, int]:
    """Return the vault of the key a store was written with, and that key's place in `keys`.

    Raises:
        KeyMissingError: none of them is that key.
    """
    for place, key in enumerate(keys):
        if hmac.compare_digest(key.check, check):
            return Vault(key, cipher), place
    raise KeyMissingError(
        f"the key is not the one that this store was written with; put that one back (its check value is {check})"
    )


__all__ = ["Cipher", "InvalidTag", "Vault", "fastest_cipher", "vault_for"]

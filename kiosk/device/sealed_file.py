"""Records sealed with a passphrase in one file: for a stick or a download that is opened elsewhere.

    line 1   JSON: {"format": …, "salt": hex, "n", "r", "p"}   scrypt gives the key from the passphrase
    then     records: 4 bytes length (big endian), then AES-256-GCM of a JSON text
             nonce: 12 bytes, the record's number from 0; the last record is {"end": how many there are before it}
             authenticated with each: line 1

So a file that was cut, or whose records were changed, swapped or left out, is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kiosk.errors import ConfigError, RefusedError

N, R, P = 1 << 16, 8, 1  # 64 MB, 0.2 s: a stick may be lost, and then be tried for years
MOST_N = 1 << 20
SHORTEST_PASSPHRASE = 10
MOST_RECORD = 64_000_000  # bytes, sealed; whoever opens a file holds one record at a time


class Sealer:
    """Seals records of one file. Making it takes 64 MB and 0.2 s."""

    def __init__(self, passphrase: str, kind: str) -> None:
        """Take the passphrase, and the name of what is in the file.

        Raises:
            ConfigError: the passphrase is too short.
        """
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise ConfigError(f"want a passphrase of {SHORTEST_PASSPHRASE} characters or more")
        salt = os.urandom(16)
        self._head = json.dumps({"format": kind, "salt": salt.hex(), "n": N, "r": R, "p": P}).encode() + b"\n"
        self._box = AESGCM(Scrypt(salt=salt, length=32, n=N, r=R, p=P).derive(passphrase.encode()))

    def seal(self, records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
        """Yield the file piece by piece; each JSON record is read as its turn comes.

        Raises:
            RefusedError: a record is larger than what `unseal` reads; what was yielded before is no whole file.
        """
        yield self._head
        count = 0
        for record in records:
            yield self._sealed(count, record)
            count += 1
        yield self._sealed(count, {"end": count})

    def _sealed(self, number: int, record: dict[str, Any]) -> bytes:
        sealed = self._box.encrypt(number.to_bytes(12, "big"), json.dumps(record).encode(), self._head)
        if len(sealed) > MOST_RECORD:
            raise RefusedError(f"a record of {len(sealed)} bytes is too large for a sealed file")
        return len(sealed).to_bytes(4, "big") + sealed


def unseal(file: BinaryIO, passphrase: str, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a file.

    Raises:
        ConfigError: it is none of this kind.
        RefusedError: the passphrase is wrong, or the file was changed or cut.
    """
    head = file.readline(4096)
    box = AESGCM(_key(head, passphrase, kind))
    for number in range(1 << 40):
        record = _read(file, box, head, number)
        if "end" in record:
            if record["end"] != number or file.read(1):
                raise RefusedError("the file was changed")
            return
        yield record


def _key(head: bytes, passphrase: str, kind: str) -> bytes:
    try:
        about = json.loads(head)
        n, r, p = int(about["n"]), int(about["r"]), int(about["p"])
        if about["format"] != kind or not 2 <= n <= MOST_N or r != R or p != P:  # noqa: PLR2004  scrypt's least
            raise ValueError(kind)
        return Scrypt(salt=bytes.fromhex(about["salt"]), length=32, n=n, r=r, p=p).derive(passphrase.encode())
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise ConfigError(f"this is no file of the kind {kind}") from None


def _read(file: BinaryIO, box: AESGCM, head: bytes, number: int) -> dict[str, Any]:
    size = int.from_bytes(file.read(4), "big")
    if not 0 < size <= MOST_RECORD:
        raise RefusedError("the file was cut or changed")
    try:
        found: dict[str, Any] = json.loads(box.decrypt(number.to_bytes(12, "big"), file.read(size), head))
    except InvalidTag:
        why = "the passphrase is wrong, or the file was changed" if number == 0 else "the file was cut or changed"
        raise RefusedError(why) from None
    return found

"""A checkpoint: what a PRUNE record of the decision log says about the records that were removed before it.

    1 … through          removed, but for those that something still needs; `kept` and `digest` name these
    through + 1 …        whole: the first of them holds the hash of record `through`

The newest PRUNE record is the checkpoint in force. It stands in the chain, is signed like every other record, and an
anchor made after it vouches for it too; so nobody makes a checkpoint, or goes back to an older one, unnoticed.

`digest` is a sum over the kept records, modulo 2**2048 (AdHash, Bellare and Micciancio 1997): a record is added or
taken away without reading the others, and no two sets of records with the same sum are known how to be found.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiosk.store.chain import Signed

SUM_BYTES = 256
_MODULUS = 1 << (8 * SUM_BYTES)
_DOMAIN = b"kiosk-kept-1\0"
HASH_DIGITS = 64
YEAR_10000 = 253_402_300_800  # s UTC: no date beyond


class KeptRecords:
    """How many records are kept from before a checkpoint, and the sum that names them."""

    def __init__(self, count: int = 0, total: int = 0) -> None:
        self.count, self._total = count, total

    @property
    def digest(self) -> str:
        """The sum, hexadecimal."""
        return self._total.to_bytes(SUM_BYTES, "big").hex()

    def add(self, signed: Signed) -> None:
        """Count one more record."""
        self.count += 1
        self._total = (self._total + _element(signed)) % _MODULUS

    def remove(self, signed: Signed) -> None:
        """Count a record no more."""
        self.count -= 1
        self._total = (self._total - _element(signed)) % _MODULUS


def _element(signed: Signed) -> int:
    content = _DOMAIN + signed.seq.to_bytes(8, "big") + signed.hash
    return int.from_bytes(hashlib.shake_256(content).digest(SUM_BYTES), "big")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The details of a PRUNE record."""

    through: int  # the newest record up to which records were removed
    hash: str  # of record `through`, hexadecimal: the next one holds it
    at: float  # when record `through` was written, s UTC
    kept: int  # records up to `through` that are still there
    digest: str  # which ones

    @property
    def details(self) -> dict[str, Any]:
        """Return what the PRUNE record holds."""
        return {
            "through": self.through,
            "hash": self.hash,
            "through_at": self.at,
            "kept": self.kept,
            "kept_digest": self.digest,
        }

    @property
    def kept_records(self) -> KeptRecords:
        """The kept records, to be counted on."""
        return KeptRecords(self.kept, int(self.digest, 16))

    def names(self, kept: KeptRecords) -> bool:
        """Say whether these are the records that were kept."""
        return (self.kept, self.digest) == (kept.count, kept.digest)


def read_checkpoint(details: Mapping[str, Any]) -> Checkpoint:
    """Read the details of a PRUNE record.

    Raises:
        ValueError: they are no checkpoint.
    """
    try:
        found = Checkpoint(
            details["through"], details["hash"], details["through_at"], details["kept"], details["kept_digest"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError("a PRUNE record without its checkpoint") from error
    if (
        any(type(number) is not int or number < 0 for number in (found.through, found.kept))
        or not isinstance(found.at, (int, float))
        or not 0 <= found.at < YEAR_10000
        or not _is_hex(found.hash, HASH_DIGITS)
        or not _is_hex(found.digest, 2 * SUM_BYTES)
    ):
        raise ValueError("a PRUNE record whose checkpoint is of another kind")
    return found


def _is_hex(text: object, digits: int) -> bool:
    return isinstance(text, str) and len(text) == digits and set(text) <= set("0123456789abcdef")

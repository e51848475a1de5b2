"""A person's PINs as verifiers: their own, and the one that they enter when somebody forces them.

Both are always there and always computed, so that neither the time nor the size tells whether a person has a duress
PIN, nor which one was entered.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

SALT_BYTES, DIGEST_BYTES = 16, 32
SHORTEST, LONGEST = 4, 12  # digits
# 16 MB and some 40 ms on this class of machine, twice for each try. Whoever has the store's key finds a PIN among ten
# thousand whatever this costs; who has it not must break the sealing first.
SCRYPT: Mapping[str, int] = MappingProxyType({"n": 1 << 14, "r": 8, "p": 1, "maxmem": 1 << 25})


class Entered(str, Enum):
    """What an entry of digits was."""

    PIN = "pin"
    DURESS = "duress"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Pins:
    """The verifiers of one person's PINs. Digits are never kept."""

    salt: bytes = field(repr=False)
    own: bytes = field(repr=False)
    duress: bytes = field(repr=False)  # random where the person has no duress PIN: no entry gives it

    def check(self, digits: str, scrypt: Mapping[str, int] = SCRYPT) -> Entered:
        """Say what was entered; takes the same time whatever it is."""
        own, duress = (_digest(digits, self.salt, what, scrypt) for what in (b"own", b"duress"))
        is_own, is_duress = hmac.compare_digest(own, self.own), hmac.compare_digest(duress, self.duress)
        return (Entered.WRONG, Entered.DURESS, Entered.PIN)[2 * is_own or is_duress]

    def as_dict(self) -> dict[str, str]:
        """Return it to be sealed."""
        return {name: base64.b64encode(getattr(self, name)).decode() for name in ("salt", "own", "duress")}


def read_pins(kept: Mapping[str, str]) -> Pins:
    """Return what `as_dict` gave."""
    return Pins(*(base64.b64decode(kept[name]) for name in ("salt", "own", "duress")))


def make_pins(pin: str, duress: str | None = None, scrypt: Mapping[str, int] = SCRYPT) -> Pins:
    """Return the verifiers of new PINs.

    Raises:
        ValueError: they are too short, too long, no digits, too simple or too alike.
    """
    for one in (pin,) if duress is None else (pin, duress):
        if not (one.isascii() and one.isdigit() and SHORTEST <= len(one) <= LONGEST):
            raise ValueError(f"want a PIN of {SHORTEST} to {LONGEST} digits")
        steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(one)}
        if len(steps) == 1 and steps <= {0, 1, 9}:
            raise ValueError("a PIN of one digit repeated, or of digits in a row, is the first that anybody tries")
    if duress is not None and (len(duress) != len(pin) or sum(a != b for a, b in zip(pin, duress, strict=True)) < 2):  # noqa: PLR2004
        # One slip of a finger must raise no alarm, and a length of its own would tell whoever looks on.
        raise ValueError("want a duress PIN as long as the PIN, and different in two digits at least")
    salt = os.urandom(SALT_BYTES)
    hidden = os.urandom(DIGEST_BYTES) if duress is None else _digest(duress, salt, b"duress", scrypt)
    return Pins(salt, _digest(pin, salt, b"own", scrypt), hidden)


def nobodys_pins() -> Pins:
    """Return verifiers that no entry fits, for whoever has no PIN: the answer then takes as long."""
    return Pins(*(os.urandom(size) for size in (SALT_BYTES, DIGEST_BYTES, DIGEST_BYTES)))


def _digest(digits: str, salt: bytes, what: bytes, scrypt: Mapping[str, int]) -> bytes:
    return hashlib.scrypt(digits.encode(), salt=salt + what, dklen=DIGEST_BYTES, **scrypt)

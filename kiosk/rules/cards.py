"""Card numbers: as people write them, and as the bits that a reader sends. Pure.

A card is written "26:12-3456" (length in bits, facility code, number), "12-3456" for one of 26 bits, or "56:123456789"
for one of another length, whose bits are one number without parity.

Source: HID, "Understanding card data formats" (2005): H10301 (26 bits), H10306 (34), H10304 (37 with facility code).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

_WRITTEN = re.compile(r"(?:(\d{1,3}):)?(?:(\d{1,6})-)?(\d{1,40})", re.ASCII)
USUAL = 26  # bits of a card that is written without its length
SHORTEST, LONGEST = 8, 128  # bits


@dataclass(frozen=True, slots=True)
class Layout:
    """How the bits of one length are divided; the first and the last are parity."""

    facility: int  # bits of the facility code, after the first parity
    number: int
    even: tuple[int, int]  # bits that the first bit makes even, from and to before
    odd: tuple[int, int]  # that the last bit makes odd


LAYOUTS = MappingProxyType(
    {
        26: Layout(8, 16, (0, 13), (13, 26)),
        34: Layout(16, 16, (0, 17), (17, 34)),
        37: Layout(16, 19, (0, 19), (18, 37)),  # its middle bit counts for both
    }
)


@dataclass(frozen=True, slots=True)
class Card:
    """A card's number."""

    length: int  # bits as they are sent, parity with them
    facility: int | None  # None for a length without a layout
    number: int

    def __post_init__(self) -> None:
        """Refuse what the bits cannot hold."""
        layout = LAYOUTS.get(self.length)
        if not SHORTEST <= self.length <= LONGEST:
            raise ValueError(f"a card has {SHORTEST} to {LONGEST} bits, got {self.length}")
        if (layout is None) != (self.facility is None):
            wanted = "no facility code" if layout is None else "a facility code: FACILITY-NUMBER"
            raise ValueError(f"a card of {self.length} bits has {wanted}")
        room = self.length if layout is None else layout.number
        if not 0 <= self.number < 1 << room:
            raise ValueError(f"the number of a card of {self.length} bits is below {1 << room}, got {self.number}")
        if layout is not None and self.facility is not None and not 0 <= self.facility < 1 << layout.facility:
            raise ValueError(f"its facility code is below {1 << layout.facility}, got {self.facility}")

    @property
    def text(self) -> str:
        """The card as it is written in full."""
        return f"{self.length}:" + (f"{self.facility}-" if self.facility is not None else "") + str(self.number)

    @property
    def bits(self) -> tuple[int, ...]:
        """What a reader sends, first bit first."""
        layout = LAYOUTS.get(self.length)
        if layout is None or self.facility is None:
            return _bits(self.number, self.length)
        middle = _bits(self.facility, layout.facility) + _bits(self.number, layout.number)
        sent = (0, *middle, 0)
        first = sum(sent[slice(*layout.even)]) % 2
        last = 1 - sum(sent[slice(*layout.odd)]) % 2
        return (first, *middle, last)


def read_card(text: str) -> Card:
    """Return the card that somebody wrote.

    Raises:
        ValueError: it is none.

    >>> read_card("12-3456").text, read_card("56:99").text
    ('26:12-3456', '56:99')
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ValueError("want a card as 12-3456 (26 bits), 34:12-3456, 37:12-3456 or 56:123456")
    length, facility, number = found.groups()
    return Card(int(length or USUAL), None if facility is None else int(facility), int(number))


def decode(bits: Sequence[int]) -> Card:
    """Return the card whose bits a reader sent.

    Raises:
        ValueError: a parity bit is wrong, or no card has so many bits.

    >>> decode(read_card("12-3456").bits) == read_card("12-3456")
    True
    """
    layout = LAYOUTS.get(len(bits))
    if layout is None:
        return Card(len(bits), None, _number(bits))
    if sum(bits[slice(*layout.even)]) % 2 or not sum(bits[slice(*layout.odd)]) % 2:
        raise ValueError(f"a parity bit of {len(bits)} bits is wrong")
    middle = 1 + layout.facility
    return Card(len(bits), _number(bits[1:middle]), _number(bits[middle:-1]))


def pack(bits: Sequence[int]) -> bytes:
    """Return bits as bytes, first bit highest; the last byte is filled with zeros.

    >>> pack((1, 0, 1)).hex()
    'a0'
    """
    filled = (*bits, *(0,) * (-len(bits) % 8))
    return bytes(_number(filled[start : start + 8]) for start in range(0, len(filled), 8))


def unpack(content: bytes, length: int) -> tuple[int, ...]:
    """Return the first bits of bytes.

    Raises:
        ValueError: there are fewer.
    """
    bits = tuple(bit for byte in content for bit in _bits(byte, 8))
    if len(bits) < length:
        raise ValueError(f"{length} bits were announced, {len(bits)} came")
    return bits[:length]


def _bits(value: int, length: int) -> tuple[int, ...]:
    return tuple(value >> place & 1 for place in reversed(range(length)))


def _number(bits: Sequence[int]) -> int:
    return sum(bit << place for place, bit in enumerate(reversed(bits)))

"""What of a PNG is decoded: its pixels, its palette, its transparency and which side is up.

Text, profiles, thumbnails and animations are left out before a decoder sees them: long ones are legal, and each
unpacks to whatever its sender liked. What says which colours the pixels are is read here, within limits.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from kiosk.errors import ImageError
from kiosk.recognition.formats import profile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 20_000  # a file of 5 MB in chunks of 8 KB has 640
MAX_TEXT = 1 << 16  # bytes of a text that may hold an orientation

_KEPT = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"))
_COLOURS = frozenset((b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"))
_TEXTS = frozenset((b"iTXt", b"zTXt", b"tEXt"))
_ORIENTED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")


def trimmed(data: bytes) -> bytes:
    """Return a PNG with nothing in it but what is decoded here.

    Raises:
        ImageError: it has more parts than a photograph, or is Apple's variant.
    """
    pieces = [SIGNATURE]
    for at, kind, length in _chunks(data):
        if kind == b"CgBI":
            raise ImageError("Invalid image: a PNG in Apple's own variant; save it as JPEG")
        is_orientation = kind in _TEXTS and length <= MAX_TEXT and data[at + 8 : at + 40].startswith(_ORIENTED)
        if kind in _KEPT or is_orientation or not kind.isalpha() or kind[:1].isupper():
            pieces.append(data[at : at + 12 + length])
    return b"".join(pieces)


def _chunks(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield where each part begins, its kind and the length of what is in it, to the last."""
    at, count = len(SIGNATURE), 0
    while at + 8 <= len(data):
        count += 1
        if count > MAX_CHUNKS:
            raise ImageError(f"Invalid image: a PNG of more than {MAX_CHUNKS} parts; save it again")
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield at, kind, length
        if kind == b"IEND":
            return
        at += 12 + length


def colours(data: bytes) -> bytes | None:
    """Return the ICC profile of a PNG's pixels, by whichever of its parts comes first in the standard's order.

    Returns:
        None where none says anything, or says sRGB.
    """
    said: dict[bytes, bytes] = {}
    for at, kind, length in _chunks(data):
        if kind == b"IDAT":
            break
        if kind in _COLOURS:
            said.setdefault(kind, data[at + 8 : at + 8 + length])
    if len(points := said.get(b"cICP", b"")) == 4:  # noqa: PLR2004  primaries, transfer, matrix, range
        found = profile.of_code_points(points[0], points[1], is_full=points[3] == 1)
        if points[0] in profile.PRIMARIES:
            return found
    if b"iCCP" in said:
        _, _, packed = said[b"iCCP"].partition(b"\0")
        unpacking = zlib.decompressobj()
        try:
            content = unpacking.decompress(packed[1:], profile.MOST_BYTES)
        except zlib.error:
            return None
        return content if unpacking.eof else None
    if b"sRGB" in said or len(said.get(b"gAMA", b"")) != 4:  # noqa: PLR2004  a whole number
        return None
    places = said.get(b"cHRM", b"")
    numbers = [one / 100_000 for one in struct.unpack(">8I", places)] if len(places) == 32 else None  # noqa: PLR2004
    chromaticities = None if numbers is None else [*zip(numbers[2::2], numbers[3::2], strict=True), (*numbers[:2],)]
    try:
        return profile.of_gamma(int.from_bytes(said[b"gAMA"], "big") / 100_000, chromaticities)
    except ValueError:
        return None


def header(data: bytes) -> tuple[int, int]:
    """Return the bits a sample and the colour type, as the header says; zeros where it is cut short."""
    return (data[24], data[25]) if len(data) > 25 and data[12:16] == b"IHDR" else (0, 0)  # noqa: PLR2004


def relabelled(data: bytes, *, bits: int, colour_type: int) -> bytes:
    """Return a PNG whose header names other samples of as many bytes a pixel; its transparency is left out."""
    head = data[12:24] + bytes([bits, colour_type]) + data[26:29]
    return data[:12] + head + zlib.crc32(head).to_bytes(4, "big") + data[33:]

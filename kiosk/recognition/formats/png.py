"""What of a PNG is decoded: its pixels, its palette, its transparency and which side is up.

Text, profiles, thumbnails and animations are left out before a decoder sees them: long ones are legal, nothing here
reads them, and each unpacks to whatever its sender liked.
"""

from __future__ import annotations

import zlib

from kiosk.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 20_000  # a file of 5 MB in chunks of 8 KB has 640
MAX_TEXT = 1 << 16  # bytes of a text that may hold an orientation

_KEPT = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"))
_TEXTS = frozenset((b"iTXt", b"zTXt", b"tEXt"))
_ORIENTED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")


def trimmed(data: bytes) -> bytes:
    """Return a PNG with nothing in it but what is decoded here.

    Raises:
        ImageError: it has more parts than a photograph, or is Apple's variant.
    """
    pieces, at, count = [SIGNATURE], len(SIGNATURE), 0
    while at + 8 <= len(data):
        count += 1
        if count > MAX_CHUNKS:
            raise ImageError(f"Invalid image: a PNG of more than {MAX_CHUNKS} parts; save it anew")
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if kind == b"CgBI":
            raise ImageError("Invalid image: a PNG in Apple's own variant; save it as JPEG")
        is_orientation = kind in _TEXTS and length <= MAX_TEXT and data[at + 8 : at + 40].startswith(_ORIENTED)
        if kind in _KEPT or is_orientation or not kind.isalpha() or kind[:1].isupper():
            pieces.append(data[at:end])
        if kind == b"IEND":
            break
        at = end
    return b"".join(pieces)


def header(data: bytes) -> tuple[int, int]:
    """Return the bits a sample and the colour type, as the header says; zeros where it is cut short."""
    return (data[24], data[25]) if len(data) > 25 and data[12:16] == b"IHDR" else (0, 0)  # noqa: PLR2004


def relabelled(data: bytes, *, bits: int, colour_type: int) -> bytes:
    """Return a PNG whose header names other samples of as many bytes a pixel; its transparency is left out."""
    head = data[12:24] + bytes([bits, colour_type]) + data[26:29]
    return data[:12] + head + zlib.crc32(head).to_bytes(4, "big") + data[33:]

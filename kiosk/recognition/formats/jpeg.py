"""What a JPEG is made of, looked at before any decoder works on it.

A decoder goes over all pixels once a scan, and a scan can be four bytes: the size of a file says nothing of the work in
it. So the scans are counted first, and what stands between the parts is bounded, as Pillow walks it byte by byte.
"""

from __future__ import annotations

import re

import numpy as np

from kiosk.errors import ImageError

SIGNATURE = b"\xff\xd8"

MAX_SCANS = 64
"""Most scans taken: encoders write 10 or so, the most thorough optimiser some 20."""

MAX_SCAN_PIXELS = 1_200_000_000
"""Most pixels times scans taken: 24 scans at 50 million pixels, about a second of one x86-64 core."""

MAX_PADDING = 4096  # bytes between parts, and of FF before a marker; real files have a handful
MAX_PARTS = 500  # real files have some twenty, with 64 scans 200; a large ICC profile and XMP add a hundred

_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_AFTER_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # entropy-coded data stuffs FF 00 and restarts by D0-D7
_FIRST_WINDOW, _LAST_WINDOW = 512, 1 << 17  # bytes looked through at once
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_SOS, _EOI, _JPEG_LS = 0xDA, 0xD9, 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODED = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # baseline, extended, progressive; the same arithmetic-coded


def check(data: bytes, max_pixels: int) -> None:  # noqa: C901  one walk, a check at each turn
    """Refuse a JPEG whose parts would cost far more work than a photograph's.

    Args:
        data: begins with FF D8.
        max_pixels: largest picture taken.

    Raises:
        ImageError: too many scans, too much between the parts, too large, or of a process that nobody sends.
    """
    at, parts, scans, padding, pixels = 2, 0, 0, 0, 0
    while True:
        if scans == 0:
            found = _MARKER.search(data, at, at + MAX_PADDING + 2)
            end = None if found is None else found.end()
            padding += (len(data) if end is None else end - 2) - at
        else:
            end, fill = _end_of_scan(data, at, MAX_PADDING - padding)
            padding += fill
        if padding > MAX_PADDING:
            raise _padded()
        if end is None:
            return  # truncated: the decoder says so
        at, marker = end, data[end - 1]
        if marker == _EOI:
            return
        parts += 1
        if parts > MAX_PARTS:
            raise ImageError(f"Invalid image: a JPEG of more than {MAX_PARTS} parts; save it again")
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if marker == _JPEG_LS:
            raise ImageError("Invalid image: a JPEG-LS picture is not JPEG, PNG, WebP or TIFF; save it as JPEG")
        if marker in _FRAMES:
            pixels = max(pixels, _frame(data[at : at + 8], marker, max_pixels))
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS or scans * pixels > MAX_SCAN_PIXELS:
                raise ImageError(f"Invalid image: a JPEG of {scans} scans or more; save it again as an ordinary JPEG")
        at += max(length, 2)


def _end_of_scan(data: bytes, at: int, most_fill: int) -> tuple[int | None, int]:
    """Find the marker that ends entropy-coded data; None where there is none.

    A search byte by byte takes 70 ms for 5 MB of stuffed bytes, and holds the interpreter meanwhile; a scan of a few
    bytes is not worth an array. So the first bytes are searched, the rest is looked through in growing windows.

    Args:
        at: where the data begins.
        most_fill: bytes of FF before markers after which the search ends.

    Returns:
        Where the marker ends, and how many bytes of FF were found before one.
    """
    found = _AFTER_SCAN.search(data, at, at + _FIRST_WINDOW)
    if found is not None:
        return found.end(), found.start() - at - len(data[at : found.start()].rstrip(b"\xff"))
    fill, size = 0, _FIRST_WINDOW
    whole = np.frombuffer(data, np.uint8)
    while at + 1 < len(whole) and fill <= most_fill:
        window = whole[at : at + size + 1]
        after = window[1:][window[:-1] == 0xFF]  # noqa: PLR2004  the byte before each marker
        is_marker = (after != 0) & (after != 0xFF) & ((after & 0xF8) != 0xD0)  # noqa: PLR2004
        if is_marker.any():
            which = int(is_marker.argmax())
            places = np.flatnonzero(window[:-1] == 0xFF)  # noqa: PLR2004
            return at + int(places[which]) + 2, fill + int(np.count_nonzero(after[:which] == 0xFF))  # noqa: PLR2004
        fill += int(np.count_nonzero(after == 0xFF))  # noqa: PLR2004
        at, size = at + size, min(size * 4, _LAST_WINDOW)
    return None, fill


def _frame(head: bytes, marker: int, max_pixels: int) -> int:
    """Return how many pixels a frame header announces."""
    if marker not in _DECODED:
        raise ImageError("Invalid image: a lossless or hierarchical JPEG; save it as an ordinary one")
    if len(head) < 8:  # noqa: PLR2004  length, precision, height, width, components
        return 0
    if head[2] != 8:  # noqa: PLR2004  bits
        raise ImageError(f"Invalid image: a JPEG of {head[2]} bits a sample; save it with 8")
    height, width = int.from_bytes(head[3:5], "big"), int.from_bytes(head[5:7], "big")
    if width * height > max_pixels:
        raise ImageError(f"Invalid image: {width} x {height} px, more than the {max_pixels:,} pixels taken")
    return width * height


def _padded() -> ImageError:
    return ImageError("Invalid image: a damaged JPEG, with thousands of bytes of padding between its parts")

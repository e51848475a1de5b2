"""JPEG pictures out of a camera's stream, told apart by what they are made of and not by what stands around them.

Cameras get everything around a picture wrong: the mark between two differs from the one announced or is missing, the
length is some bytes off, the end marker is left out. A JPEG's own parts say where it begins and ends (ITU-T T.81,
annex B), so they alone decide; a told length only helps where the end marker is missing.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from kiosk.types import RgbImage

MAX_PICTURE_BYTES = 16 << 20  # a JPEG of 8 megapixels stays well below it
MAX_PICTURE_PIXELS = 1 << 26  # 200 MB decoded; what is taken is [camera] max_pixels
END = b"\xff\xd9"  # marker EOI
_BEGIN = b"\xff\xd8\xff"  # marker SOI, and the first byte of the next
_AFTER_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # entropy-coded data stuffs FF 00 and restarts by D0-D7
_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*(\d{1,12})", re.IGNORECASE)
_AROUND = re.compile(rb"(?:\r?\n[\x20-\x7e]*)+\r?\n\Z")  # the mark and the headers before the next picture
_FF, _SOI, _EOI, _SOS = 0xFF, 0xD8, 0xD9, 0xDA
_SEGMENTS = frozenset({0xC4, _SOS, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE})  # what may follow a scan
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_MOST_AROUND = 4096  # bytes of mark and headers that are looked at
_PROBE = b"\x5a" * 64  # what a decoder takes for further pixels where some are missing


@dataclass(frozen=True, slots=True)
class Jpeg:
    """One picture of a stream."""

    data: bytes
    has_end: bool  # whether the end marker was there
    came_at: float  # monotonic s; where only the next picture showed its end, when it began

    def decode(self) -> RgbImage | None:
        """Return (H, W, 3) uint8 RGB; None for a damaged picture or one that is cut.

        Without its end marker a picture may be whole or cut. A decoder of a whole one never reads what follows its
        pixels, so two different endings give the same picture.
        """
        if self.has_end:
            return _decoded(self.data)
        found, other = (_decoded_quietly(self.data + end) for end in (END, _PROBE + END))
        return found if found is not None and other is not None and np.array_equal(found, other) else None


class Splitter:
    """Finds the pictures in a stream, however it arrives."""

    def __init__(self) -> None:
        """Begin between two pictures."""
        self._held = bytearray()
        self._skipped = 0  # bytes since the last picture that belong to none
        self._began = 0.0
        self._told: int | None = None  # the picture's length as its header has it
        self._is_inside = self._is_scan = False
        self._at = 0  # up to where the picture was walked through

    def take(self, data: bytes, now: float) -> list[Jpeg]:
        """Return the pictures that are complete with these bytes.

        Args:
            data: what came.
            now: monotonic s.

        Raises:
            ValueError: a picture is longer than any, or none comes.
        """
        self._held += data
        found: list[Jpeg] = []
        while True:
            if not self._is_inside and not self._enter(now):
                return found
            end = self._walk()
            if end is None:
                if len(self._held) > MAX_PICTURE_BYTES:
                    raise ValueError(f"a picture of more than {MAX_PICTURE_BYTES} bytes")
                return found
            size, next_at, has_end, came_at = end
            found.append(Jpeg(bytes(self._held[:size]), has_end, now if came_at is None else came_at))
            self._leave(next_at)

    def finish(self) -> list[Jpeg]:
        """Return the last picture of a stream that ended, where its end marker is missing."""
        if not (self._is_inside and self._is_scan):
            return []
        size = self._size(len(self._held))
        last = Jpeg(bytes(self._held[:size]), has_end=False, came_at=self._began)
        self._leave(len(self._held))
        return [last]

    def _enter(self, now: float) -> bool:
        """Go to the next picture's beginning; remember the length that is told before it."""
        held = self._held
        start = held.find(_BEGIN)
        before = bytes(held[max(0, start - _MOST_AROUND) : start] if start >= 0 else held[-_MOST_AROUND:])
        told = [int(one) for one in _LENGTH.findall(before)]
        if told and told[-1] > MAX_PICTURE_BYTES:
            raise ValueError(f"a picture of {told[-1]} bytes, more than {MAX_PICTURE_BYTES}")
        if start < 0:
            surplus = max(0, len(held) - _MOST_AROUND)
            self._skipped += surplus
            del held[:surplus]
            if self._skipped > MAX_PICTURE_BYTES:
                raise ValueError(f"no JPEG in {self._skipped} bytes; set the camera to motion JPEG (MJPEG)")
            return False
        del held[:start]
        self._told = told[-1] if told else None
        self._is_inside, self._is_scan, self._at, self._began, self._skipped = True, False, 2, now, 0
        return True

    def _leave(self, at: int) -> None:
        del self._held[:at]
        self._is_inside = False

    def _walk(self) -> tuple[int, int, bool, float | None] | None:
        """Return the picture's size, where the next may begin, whether it has an end marker, and when it came.

        None while more must come; None as its time for now.
        """
        while True:
            if self._is_scan:
                end = self._walk_scan()
                if end is not None or self._is_scan:
                    return end
            elif not self._walk_segment():
                return None

    def _walk_segment(self) -> bool:
        """Step over one segment; say whether it was all there."""
        held, at = self._held, self._at
        head = held[at : at + 4]
        if len(head) > 1 and (head[0] != _FF or head[1] in (_SOI, _EOI)):  # damaged: look for an end or a beginning
            self._is_scan = True
        elif len(head) > 1 and head[1] == _FF:  # a fill byte
            self._at = at + 1
        elif len(head) > 1 and head[1] in _ALONE:
            self._at = at + 2
        else:
            after = at + 2 + max(int.from_bytes(head[2:4], "big"), 2)
            if len(head) < 4 or len(held) < after:  # noqa: PLR2004  marker and length
                return False
            self._at, self._is_scan = after, head[1] == _SOS
        return True

    def _walk_scan(self) -> tuple[int, int, bool, float | None] | None:
        """Look for the end of the entropy-coded data."""
        held = self._held
        while (found := _AFTER_SCAN.search(held, self._at)) is not None:
            marker = found[1][0]
            if marker == _EOI:
                return found.end(), found.end(), True, None
            if marker == _SOI:
                if len(held) == found.end():
                    self._at = found.start()
                    return None
                if held[found.end()] == _FF:
                    return self._size(found.start()), self._headers_at(found.start()), False, self._began
            if marker in _SEGMENTS:
                self._at, self._is_scan = found.start(), False
                return None
            self._at = found.end()
        self._at = len(held) - 1 if held[-1] == _FF else len(held)
        if self._is_told_end():
            assert self._told is not None
            return self._told, self._told, False, None
        return None

    def _is_told_end(self) -> bool:
        told = self._told
        return told is not None and self._held[told : told + 2] == b"\r\n"

    def _size(self, end: int) -> int:
        """Return the size of a picture without an end marker; mark and headers of the next lie before `end`."""
        if self._told is not None and self._told <= end and self._is_told_end():
            return self._told
        return self._headers_at(end)

    def _headers_at(self, end: int) -> int:
        start = max(0, end - _MOST_AROUND)
        found = _AROUND.search(bytes(self._held[start:end]))
        return start + found.start() if found else end


def _decoded(data: bytes) -> RgbImage | None:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _decoded_quietly(data: bytes) -> RgbImage | None:
    """As `_decoded`, by Pillow, which does not write a line into the log for each picture that ends oddly."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            if picture.width * picture.height > MAX_PICTURE_PIXELS:
                return None
            return np.asarray(picture.convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow says of a damaged one
        return None

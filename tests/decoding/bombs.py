"""Photographs made to stop whoever decodes them."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def scan_bomb(side: int, scans: int) -> bytes:
    """Return a whole progressive JPEG that has its decoder pass over all pixels once for each empty scan."""
    blocks = (-(-side // 8)) ** 2
    out = b"\xff\xd8" + segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0") + segment(0xDB, b"\0" + bytes([1] * 64))
    out += segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\0")
    out += segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00")  # DC: one code of one bit
    out += segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0")  # AC: a run of blocks that end
    out += segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + b"\0" * ((blocks + 7) // 8)
    bits, left = "", blocks
    while left > 0:
        run = max(16384, min(left, 32767))
        bits += "0" + format(run - 16384, "014b")
        left -= run
    bits += "1" * (-len(bits) % 8)
    empty = segment(0xDA, bytes([1, 1, 0, 1, 63, 0x10]))
    empty += int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return out + empty * scans + b"\xff\xd9"


def slow_picture() -> bytes:
    """Return an honest photograph that takes far longer than a second: 49 million pixels in twenty scans."""
    return scan_bomb(7000, 20)


def photograph(width: int = 96, height: int = 64, kind: str = "JPEG", **options: object) -> bytes:
    rng = np.random.default_rng(0)
    held = io.BytesIO()
    coarse = Image.fromarray(rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8))
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(held, kind, **options)
    return held.getvalue()

"""A reader of codes with holes: stands as `zxingcpp` on the path of the processes that read codes.

What it does follows from how bright a picture of one grey is, so that a sender can choose it, as with a real hole.
"""

from __future__ import annotations

import textwrap

import numpy as np

SOUND, CRASHES, RUNS_ON, SLEEPS, LIES = 25, 75, 125, 175, 225  # grey levels

SOURCE = """
import ctypes, time

class TextMode:
    Plain = 0

class Lie:
    format, text = "BarcodeFormat.Trojan", "x"

def barcode_formats_from_str(text):
    return text

def read_barcodes(image, formats, text_mode):
    level = int(image.mean()) // 50 if image.std() < 3 else 0
    if level == 1:
        ctypes.string_at(0)
    while level == 2:
        pass
    if level == 3:
        time.sleep(3600)  # it is ended long before
    return [Lie] if level == 4 else []
"""


def stand_in(directory, monkeypatch):
    """Put it before the real one on the path that a decoder hands to its processes."""
    (directory / "zxingcpp.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    monkeypatch.syspath_prepend(directory)


def plate(level):
    """Return a grey picture, (H, W) uint8."""
    return np.full((64, 96), level, np.uint8)

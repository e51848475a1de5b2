"""QR codes in a camera's picture, read where nothing worth having is: by one child for each look.

zxing-cpp is some thousands of lines of C++ that anybody feeds who holds a picture up, so it runs behind the walls of
confinement.py. A child that its sender took over can say any text, once; it knows none that was shown before.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

MOST = 4  # codes of one picture
LONGEST = 400  # characters; a longer one is none of ours
ABSENT = "zxing-cpp is not installed; pip install 'face-kiosk[documents]'"


def can_read_codes() -> bool:
    """Say whether something is installed that reads codes."""
    return find_spec("zxingcpp") is not None


def codes_in(grey: NDArray[np.uint8]) -> list[str]:
    """Return the texts of a picture's QR codes, (H, W) uint8, in printable ASCII; at most `MOST`."""
    import zxingcpp  # noqa: PLC0415  an extra; loaded by the process that reads codes, and by no other

    found = zxingcpp.read_barcodes(
        grey,
        formats=zxingcpp.barcode_formats_from_str("QRCode"),
        text_mode=zxingcpp.TextMode.Plain,
    )
    texts = [one.text for one in found if len(one.text) <= LONGEST]
    return [text for text in texts if text.isascii() and text.isprintable()][:MOST]

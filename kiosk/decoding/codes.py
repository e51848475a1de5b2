"""Barcodes in a picture, read where nothing worth having is: by one child for each look.

zxing-cpp is some thousands of lines of C++ that anybody feeds who holds a picture up or sends one, so it runs behind
the walls of confinement.py. A child that its sender took over can say any text, once; it knows none of those before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

KINDS = ("QRCode", "PDF417")
MOST_CODES = 8  # codes of one picture
LONGEST = 4096  # characters of one; a longer one is cut off
ABSENT = "zxing-cpp is not installed; pip install 'face-kiosk[documents]'"


@dataclass(frozen=True, slots=True)
class Barcode:
    """A barcode as it was found."""

    kind: str  # of KINDS
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what no child of ours says."""
        if self.kind not in KINDS or not isinstance(self.text, str) or not 0 < len(self.text) <= LONGEST:
            raise ValueError("no barcode")


def can_read_codes() -> bool:
    """Say whether something is installed that reads codes."""
    return find_spec("zxingcpp") is not None


def codes_in(grey: NDArray[np.uint8], *, with_pdf417: bool = False) -> list[Barcode]:
    """Return a picture's QR codes, and its PDF417 codes where asked to; at most `MOST_CODES`.

    Args:
        grey: (H, W) uint8.
        with_pdf417: whether those of driving licences are looked for too.
    """
    import zxingcpp  # noqa: PLC0415  an extra; loaded by the process that reads codes, and by no other

    found = zxingcpp.read_barcodes(
        grey,
        formats=zxingcpp.barcode_formats_from_str("PDF417,QRCode" if with_pdf417 else "QRCode"),
        text_mode=zxingcpp.TextMode.Plain,
    )
    return [Barcode(_kind(str(one.format)), one.text[:LONGEST]) for one in found[:MOST_CODES] if one.text]


def _kind(said: str) -> str:
    """Return the kind by what zxing-cpp calls it: "QRCode" or "QR Code", and variants, as the release has it."""
    return "PDF417" if "PDF417" in said else "QRCode" if "QR" in said else said

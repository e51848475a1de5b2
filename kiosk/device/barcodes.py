"""Barcodes of a document, where the extra `documents` is installed: PDF417 and QR, read by zxing-cpp from pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

from kiosk.types import RgbImage

ABSENT = "barcodes are not read here: zxing-cpp is not installed; pip install 'face-kiosk[documents]'"
MOST = 8  # barcodes of one picture
LONGEST = 4096  # characters


@dataclass(frozen=True, slots=True)
class Barcode:
    """A barcode as it was found."""

    kind: str  # "PDF417", "QRCode"
    text: str = field(repr=False)


def can_read_barcodes() -> bool:
    """Say whether something is installed that reads barcodes."""
    return find_spec("zxingcpp") is not None


def read_barcodes(image: RgbImage) -> tuple[Barcode, ...] | None:
    """Return a picture's barcodes; None where nothing is installed that reads them."""
    try:
        import zxingcpp  # noqa: PLC0415  an extra; imported when used
    except ImportError:
        return None
    kinds = zxingcpp.barcode_formats_from_str("PDF417,QRCode")
    found = zxingcpp.read_barcodes(image, formats=kinds, text_mode=zxingcpp.TextMode.Plain)
    return tuple(
        Barcode(str(one.format).removeprefix("BarcodeFormat."), one.text[:LONGEST]) for one in found[:MOST] if one.text
    )

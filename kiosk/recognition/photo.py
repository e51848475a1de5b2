"""Bytes of a photograph in, pixels out: the one place where pictures from strangers are opened.

The bytes decide what a picture is, never its name or label. Pillow does the decoding: it tells the
size from the header, so that a bomb is refused before its memory is spent, and it refuses a
truncated file, where cv2 fills the rest with grey and says nothing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kiosk.errors import ImageError

if TYPE_CHECKING:
    from kiosk.types import RgbImage

MAX_BYTES = 5 * 1024 * 1024
"""Largest file taken, Didit's limit."""

MAX_PIXELS = 50_000_000
"""Largest picture taken: 150 MB decoded. A 5 MB file of a real camera stays well below it."""

Image.MAX_IMAGE_PIXELS = (
    None  # Pillow would warn at 89 million pixels; the stricter limit above is held before decoding
)

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
WHITE_8, WHITE_16 = 255, 65535
STRIP_ROWS = 512
HEAD_BYTES = 512  # enough to tell text from noise
BACKDROP = 127  # grey behind transparent pixels; a colour under full transparency is nobody's intention

TOO_LARGE = "File size should not exceed 5 MB"  # the contract's words
_TAKEN = ((b"\xff\xd8", "JPEG"), (b"\x89PNG", "PNG"), (b"RIFF", "WebP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"))
_SIGNATURES = (
    (b"%PDF", "a PDF"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x00\x00\x00\x1cftypheic", "a HEIC photograph"),
    (b"\x00\x00\x00\x18ftypheic", "a HEIC photograph"),
    (b"\x1f\x8b", "gzip data"),
    (b"<", "text such as HTML, XML or SVG"),
)


def decode(data: bytes) -> RgbImage:
    """Return the picture in a file's bytes, upright by its EXIF orientation.

    Args:
        data: JPEG, PNG, WebP or TIFF, at most MAX_BYTES; grey, palette, alpha (laid over grey) and
            16 bits a channel are taken; of several pages or frames the first.

    Returns:
        (H, W, 3) uint8 RGB, in memory of its own.

    Raises:
        ImageError: too large, no picture of these kinds, damaged, or more than MAX_PIXELS.
    """
    if len(data) > MAX_BYTES:
        raise ImageError(TOO_LARGE)
    if not data:
        raise ImageError("Invalid image: the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ImageError(f"Invalid image: {width} x {height} px, more than the {MAX_PIXELS:,} pixels taken")
            ImageOps.exif_transpose(picture, in_place=True)  # which copies nothing where there is nothing to turn
            return _to_rgb(picture)
    except ImageError:
        raise
    except UnidentifiedImageError:
        for signature, kind in _TAKEN:
            if data.startswith(signature):
                raise ImageError(f"Invalid image: a damaged {kind}") from None
        raise ImageError(f"Invalid image: {_name_content(data)} is not JPEG, PNG, WebP or TIFF") from None
    except Exception as error:
        raise ImageError(f"Invalid image: damaged or truncated ({error or type(error).__name__})") from error


def _to_rgb(picture: Image.Image) -> RgbImage:
    if picture.mode.startswith("I") or picture.mode == "F":
        # 16 bits a pixel, held in 16 or 32: Pillow's own conversion would clip them to 255.
        values = np.asarray(picture, np.float64).clip(0, WHITE_16)
        grey = values / (WHITE_16 / WHITE_8) if values.max(initial=0.0) > WHITE_8 else values
        return np.repeat(grey.round().astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        opaque = Image.new("RGBA", picture.size, (BACKDROP, BACKDROP, BACKDROP, 255))
        opaque.alpha_composite(picture.convert("RGBA"))
        picture = opaque
    # In strips: Pillow hands out all pixels of a picture through two more copies of them.
    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    pixels = np.empty((rgb.height, rgb.width, 3), np.uint8)
    for top in range(0, rgb.height, STRIP_ROWS):
        bottom = min(top + STRIP_ROWS, rgb.height)
        pixels[top:bottom] = np.asarray(rgb.crop((0, top, rgb.width, bottom)))
    return pixels


def _name_content(data: bytes) -> str:
    """Say in a word what the bytes seem to be."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if all(character.isprintable() or character.isspace() for character in data[:HEAD_BYTES].decode("latin-1")):
        return "a text file"
    return f"a file that begins with {data[:4].hex(' ')}"

"""Bytes of a photograph in, pixels out: the one place where pictures from strangers are opened.

The bytes decide what a picture is, never its name or label. Pillow does the decoding: it tells the
size from the header, so that a bomb is refused before its memory is spent, and it refuses a
truncated file, where cv2 fills the rest with grey and says nothing.
"""

from __future__ import annotations

import io
import warnings
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

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
BACKDROP = 127  # grey behind transparent pixels; a colour under full transparency is nobody's intention

TOO_LARGE = "File size should not exceed 5 MB"  # the contract's words
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
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on, of odd EXIF, of odd TIFF tags; our own limits are stricter.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise ImageError(
                        f"Invalid image: {width} x {height} pixels are more than the {MAX_PIXELS:,} taken; scale it down"
                    )
                return _to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise ImageError(f"Invalid image: {_name_content(data)} is not JPEG, PNG, WebP or TIFF") from None
    except Image.DecompressionBombError:
        raise ImageError(f"Invalid image: more than the {MAX_PIXELS:,} pixels taken; scale it down") from None
    # What Pillow raises for damaged files is not one family: OSError (truncated, broken stream), SyntaxError
    # (broken PNG chunk), ValueError, struct.error and the like from its TIFF and EXIF readers.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, ArithmeticError) as error:
        raise ImageError(f"Invalid image: damaged or truncated ({error})") from error
    except Exception as error:
        if type(error).__module__ in ("struct", "zlib", "PIL.TiffImagePlugin"):
            raise ImageError(f"Invalid image: damaged or truncated ({error})") from error
        raise


def _to_rgb(picture: Image.Image) -> RgbImage:
    if picture.mode.startswith("I") or picture.mode == "F":
        # 16 bits a pixel, held in 16 or 32: Pillow's own conversion would clip them to 255.
        values = np.asarray(picture, np.float64)
        grey = (np.clip(values, 0, 65535) / 257.0 if values.max(initial=0.0) > 255 else np.clip(values, 0, 255)).round()
        return np.repeat(grey.astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        opaque = Image.new("RGBA", picture.size, (BACKDROP, BACKDROP, BACKDROP, 255))
        opaque.alpha_composite(picture.convert("RGBA"))
        picture = opaque
    return np.array(picture.convert("RGB"), np.uint8)


def _name_content(data: bytes) -> str:
    """Say in a word what the bytes seem to be."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if b"\x00" not in data[:512] and all(byte >= 32 or byte in b"\t\r\n\f" for byte in data[:512]):
        return "a text file"
    return f"a file that begins with {data[:4].hex(' ')}"

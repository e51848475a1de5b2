"""The pixels of a JPEG that is sound, straight into the memory where they belong.

Pillow decodes with the same library, libjpeg-turbo, and gives the same pixels, but by way of four bytes a pixel and two
more copies, which takes three times as long. Whatever is irregular about a file ends the attempt here: Pillow knows
which irregularities are harmless, and says what the others are.
"""

from __future__ import annotations

import simplejpeg

from kiosk.types import RgbImage


def fill(pixels: RgbImage, data: bytes) -> bool:
    """Decode a whole JPEG into memory, which says by its size whether at full edges, or at half of them rounded up.

    Args:
        pixels: (H, W, 3) uint8 in C order; changed, whatever happens.
        data: the file.

    Returns:
        Whether `pixels` is the picture. False where libjpeg-turbo has as much as a warning to give, or the file cannot
        have that size.
    """
    height, width, _ = pixels.shape
    try:
        # Asked first: where the memory is larger than what is written into it, nobody would notice.
        if simplejpeg.decode_jpeg_header(data, min_height=height, min_width=width)[:2] != (height, width):
            return False
        simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, buffer=pixels)
    except ValueError:
        return False
    return True

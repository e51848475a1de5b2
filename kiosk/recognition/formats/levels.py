"""Numbers of any depth to the 256 levels of a picture, and colours to red, green and blue."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ImageError
from kiosk.recognition.formats.tiff import PALETTE, SEPARATED, WHITE_IS_ZERO, Layout
from kiosk.types import Floats, RgbImage

BACKDROP = 127  # grey behind transparent pixels; a colour under full transparency is nobody's intention
WHITES = (255, 1023, 4095, 16383, 32767, 65535, (1 << 24) - 1, (1 << 32) - 1, (1 << 64) - 1)
"""What may be white in a container of 16 bits or more: cameras of 10, 12 or 14 bits fill it from below."""

BRIGHTEST = 16.0
"""Largest floating-point number that may be white where others are; up to 1 it is 1, beyond this 255 and the like."""


def white_of(values: NDArray[Any], bits: int) -> float:
    """Return the number that means white.

    Args:
        values: samples of one picture, any shape.
        bits: of a sample, as the file says.

    Raises:
        ImageError: there are numbers that no level can be given to.
    """
    if values.dtype.kind == "f":
        return _white_of_floats(values)
    most, least = int(values.max(initial=0)), int(values.min(initial=0))
    if least < 0:
        raise ImageError(f"Invalid image: signed samples, down to {least}; save it with 8 bits a sample")
    if values.dtype.kind == "i" and bits in {8, 16, 32}:  # whose most significant bit is the sign
        return 127.0 if bits == 8 else float(next(one for one in WHITES if most <= one))  # noqa: PLR2004
    if bits not in {16, 32, 64}:  # packed: whoever writes 12 bits means 12
        return float((1 << bits) - 1)
    return float(next(one for one in WHITES if most <= one))


def _white_of_floats(values: NDArray[Any]) -> float:
    known = ~np.isnan(values)
    least = float(values.min(initial=0.0, where=known))
    most = float(values.max(initial=0.0, where=known))
    if not known.any():
        raise ImageError("Invalid image: floating-point samples, none of them a number (NaN)")
    if not (np.isfinite(least) and np.isfinite(most)) or least < 0.0 or most > WHITES[5]:
        raise ImageError(
            f"Invalid image: floating-point samples from {least:.4g} to {most:.4g}, want 0 to 1; save it with 8 bits"
        )
    if most <= 1.0:
        return 1.0
    return most if most <= BRIGHTEST else float(next(one for one in WHITES if most <= one))


def to_rgb(values: NDArray[Any], white: float, found: Layout, colours: NDArray[np.uint8] | None) -> RgbImage:
    """Turn samples into colours.

    Args:
        values: (H, W, samples), numbers of any kind; NaN counts as 0.
        white: the number that means white.
        found: what the samples are.
        colours: the palette, (N, 3), where `found` has one.

    Returns:
        (H, W, 3) uint8.
    """
    if found.photometric == PALETTE:
        assert colours is not None  # the caller read it
        rgb: RgbImage = colours[values[:, :, 0]]
        if not found.has_alpha:
            return rgb
        levels = rgb.astype(np.float32) / 255.0
    else:
        if values.dtype == np.uint8 and white == 255.0 and not found.has_alpha and found.photometric != SEPARATED:  # noqa: PLR2004
            plain = values[:, :, : found.colours]
            if found.photometric == WHITE_IS_ZERO:
                plain = ~plain
            return np.repeat(plain, 3, axis=2) if found.colours == 1 else np.ascontiguousarray(plain)
        levels = _levels(values[:, :, : found.colours], white)
        if found.photometric == WHITE_IS_ZERO:
            levels = 1.0 - levels
        if found.photometric == SEPARATED:
            levels = (1.0 - levels[:, :, :3]) * (1.0 - levels[:, :, 3:])
    if found.has_alpha:
        opaque = _levels(values[:, :, found.colours : found.colours + 1], white)
        shown = levels if found.extra == 1 else levels * opaque
        levels = np.minimum(shown + (1.0 - opaque) * np.float32(BACKDROP / 255.0), 1.0)
    eight = (levels * 255.0 + 0.5).astype(np.uint8)
    return np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight


def to_inks(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Return the first four samples, which are inks, as (H, W, 4) uint8 from none to full."""
    return (_levels(values[:, :, :4], white) * 255.0 + 0.5).astype(np.uint8)


def _levels(values: NDArray[Any], white: float) -> Floats:
    levels = np.asarray(values, np.float32) / np.float32(white)
    return np.asarray(np.nan_to_num(levels, copy=False, nan=0.0).clip(0.0, 1.0), np.float32)

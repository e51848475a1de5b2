"""Which colours a picture's numbers are: by its ICC profile, or by what else says so; and from there to sRGB.

A telephone writes Display P3, a camera Adobe RGB, a scanner whatever it measured. Taken for sRGB, such a photograph
is pale or dark. What is declared is tried before it is believed: a profile that makes white dark or light darker than
dark would blacken a face, and one that changes nothing costs nothing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Conversion: TypeAlias = Callable[[Image.Image], Image.Image]
"""A picture in one of MODES to one in RGB that is sRGB."""

Chromaticities: TypeAlias = Sequence[tuple[float, float]]
"""x and y of red, green, blue and white."""

MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of an ICC profile's colours
MOST_BYTES = 4 << 20  # of a profile; those of presses have 2 MB
SAME = 3  # levels by which a conversion may change a colour and be left out
WHITE_AT_LEAST, BLACK_AT_MOST = 150, 110  # of a profile that is believed; newsprint is far inside
FALL = 4  # levels by which a step towards white may seem darker

_D65 = (0.3127, 0.329)
SRGB: Chromaticities = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), _D65)
ADOBE_RGB: Chromaticities = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
ADOBE_GAMMA = 563 / 256
PRIMARIES: Mapping[int, Chromaticities] = {  # by their number in ITU-T H.273, as PNG and HEIC have it
    1: SRGB,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.31, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), _D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), _D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), _D65),
}
WHITE_NITS = 203.0  # of diffuse white in a picture of high dynamic range, ITU-R BT.2408; what is brighter is cut off
_STEPS = 1024
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


def conversion(profile: bytes | None) -> tuple[str, Conversion] | None:
    """Return which mode of Pillow's a profile is for, and what makes sRGB of such a picture.

    Returns:
        None where there is none, none that can be read or believed, or none that changes anything.
    """
    if not profile or len(profile) > MOST_BYTES:
        return None
    try:
        read = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = MODES.get(read.profile.xcolor_space.strip())
        if mode is None:
            return None
        # Most profiles say sRGB in other words. To learn that, a transform will do that is not made fast first: making
        # it takes five times as long, as long as a picture of a megapixel takes to decode.
        tried = ImageCms.buildTransform(read, _srgb(), mode, "RGB", flags=ImageCms.Flags.NOOPTIMIZE).apply
        if not (_is_believed(tried, mode) and _changes_something(tried, mode)):
            return None
        return mode, ImageCms.buildTransform(read, _srgb(), mode, "RGB").apply
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # damaged, or no profile of a picture
        return None


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


def _is_believed(convert: Conversion, mode: str) -> bool:
    """Whether greys become lighter from black to white, and reach both."""
    ramp = np.linspace(0, 255, 33).astype(np.uint8)[np.newaxis]
    if mode == "RGB":
        grey = Image.fromarray(np.repeat(ramp[:, :, np.newaxis], 3, axis=2))
    elif mode == "L":
        grey = Image.fromarray(ramp)
    else:
        inks = np.zeros((1, 33, 4), np.uint8)
        inks[:, :, 3] = 255 - ramp
        grey = Image.fromarray(inks, "CMYK")
    light = np.asarray(convert(grey), np.int16)[0] @ np.array([2, 5, 1], np.int16) // 8
    is_rising = bool((np.diff(light) >= -FALL).all())
    return is_rising and int(light[0]) <= BLACK_AT_MOST and int(light[-1]) >= WHITE_AT_LEAST


def _changes_something(convert: Conversion, mode: str) -> bool:
    if mode == "CMYK":  # whatever it says is nearer than the formula for no press
        return True
    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[np.newaxis]
        plain = np.repeat(probe[:, :, np.newaxis], 3, axis=2)
    else:
        levels = np.linspace(0, 255, 9).astype(np.uint8)
        plain = probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    changed = np.asarray(convert(Image.fromarray(probe)), np.int16)
    return bool(np.abs(changed - plain).max() > SAME)


# ---- what says so without a profile


def of_code_points(primaries: int, transfer: int, *, is_full: bool = True) -> bytes | None:
    """Return the profile that two numbers of ITU-T H.273 stand for; None: sRGB, or nobody knows."""
    found, curve = PRIMARIES.get(primaries), _curve(transfer)
    if found is None or curve is None or not is_full or (found is SRGB and transfer in _SRGB_LIKE):
        return None
    return written(found, curve)


def of_gamma(gamma: float, chromaticities: Chromaticities | None = None) -> bytes | None:
    """Return the profile of numbers that are light to the power of `gamma`, as PNG says it (0.45 for a screen)."""
    if not 0.2 <= gamma <= 1.5:  # noqa: PLR2004  nobody's
        return None
    return written(chromaticities or SRGB, np.linspace(0.0, 1.0, _STEPS) ** (1.0 / gamma))


def adobe_rgb() -> bytes:
    """Return Adobe RGB (1998), which a camera names by two letters and a number."""
    return written(ADOBE_RGB, np.linspace(0.0, 1.0, _STEPS) ** ADOBE_GAMMA)


_SRGB_LIKE = frozenset({1, 2, 6, 13, 14, 15})  # video's own are made for a dim room: a screen shows them as sRGB


def _curve(transfer: int) -> NDArray[np.float64] | None:
    """Return the light of numbers from 0 to 1, white being 1."""
    numbers = np.linspace(0.0, 1.0, _STEPS)
    if transfer in _SRGB_LIKE:
        return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
    if transfer == 16:  # noqa: PLR2004  PQ, SMPTE ST 2084
        root = numbers ** (1 / 78.84375)
        light = (np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        return np.minimum(light * 10_000.0 / WHITE_NITS, 1.0)
    if transfer == 18:  # noqa: PLR2004  hybrid log-gamma, on a screen of 1,000 nits
        bent = (np.exp((numbers - 0.55991073) / 0.17883277) + 0.28466892) / 12.0
        scene = np.where(numbers <= 0.5, numbers**2 / 3.0, bent)  # noqa: PLR2004
        return np.minimum(scene**1.2 * 1_000.0 / WHITE_NITS, 1.0)
    exponent = {4: 2.2, 5: 2.8, 8: 1.0}.get(transfer)
    return None if exponent is None else numbers**exponent


def written(chromaticities: Chromaticities, curve: NDArray[np.float64]) -> bytes:
    """Return an ICC profile (version 2, a matrix and a curve) of three colours and a white.

    Args:
        chromaticities: x and y of red, green, blue and white.
        curve: the light of the numbers from 0 to 1, 0 to 1.

    Raises:
        ValueError: they span no colours.
    """
    if any(y <= 0.0 for _, y in chromaticities):
        raise ValueError("chromaticities without light")
    columns = np.array([[x / y, 1.0, (1.0 - x - y) / y] for x, y in chromaticities]).T
    white = columns[:, 3]
    try:
        matrix = columns[:, :3] * np.linalg.solve(columns[:, :3], white)
    except np.linalg.LinAlgError as error:
        raise ValueError("chromaticities on one line") from error
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD @ matrix
    if np.abs(adapted).max() >= 2.0:  # noqa: PLR2004  no light is
        raise ValueError("chromaticities of no light")
    levels = np.round(curve * 65535.0).astype(">u2").tobytes()
    curve_tag = b"curv\0\0\0\0" + struct.pack(">I", len(curve)) + levels
    tags = [(b"wtpt", _xyz(_D50)), *((name, _xyz(adapted[:, at])) for at, name in enumerate(_XYZ_NAMES))]
    tags += [(name, curve_tag) for name in (b"rTRC", b"gTRC", b"bTRC")]
    directory, body, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags:
        if content not in places:
            places[content] = start + len(body)
            body += content + b"\0" * (-len(content) % 4)
        directory += name + struct.pack(">II", places[content], len(content))
    size = start + len(body)
    head = struct.pack(">I4sI", size, b"\0\0\0\0", 0x02400000) + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp"
    head = head.ljust(68, b"\0") + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + directory + body


_XYZ_NAMES = (b"rXYZ", b"gXYZ", b"bXYZ")


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536.0) for value in values))

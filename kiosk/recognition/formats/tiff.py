"""TIFF as its own tags mean it: samples of any depth and number format, white as 0 or as the most, in planes or not.

Pillow reads the common TIFFs and misreads the others without a word: it knows no 10 or 14 bits, forgets white-is-zero
beyond 8, and cuts floating-point numbers off at 255. So the tags are read here; the compression alone is libtiff's,
which is shown the rows as if they were 8 bit grey. TIFF 6.0 names the tags by number; they are named below.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kiosk.errors import ImageError
from kiosk.recognition.formats.kinds import RAW

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, ORIENTATION = 256, 257, 258, 259, 262, 266, 274
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR, PREDICTOR, COLORMAP = 273, 277, 278, 279, 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339
SUBFILE, MAKE, SUB_IFDS, SUBSAMPLING, DNG_VERSION = 254, 271, 330, 530, 50706
FAX_3, FAX_4, JPEG_TABLES, YCBCR_COEFFICIENTS, YCBCR_POSITION, REFERENCE = 292, 293, 347, 529, 531, 532
ICC_PROFILE = 34675

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, SEPARATED, YCBCR = 0, 1, 2, 3, 4, 5, 6
_RAW_PHOTOMETRICS = frozenset({32803, 34892})  # colour filter array, linear raw
_LOG_PHOTOMETRICS = frozenset({32844, 32845})
_RAW_COMPRESSIONS = frozenset({32767, 34713, 65535, 34892})  # Sony, Nikon, Pentax, lossy DNG
_ROWS_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})  # none, LZW, Deflate twice, PackBits, LZMA, Zstd
_JPEGS, _FAX = frozenset({6, 7}), frozenset({2, 3, 4, 32771})
_NAMED_COMPRESSIONS = {
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
    **dict.fromkeys((22610, 34934), "JPEG XR"),
    34661: "JBIG",
    34887: "LERC",
    34933: "PNG",
    50001: "WebP",
    32809: "ThunderScan",
    32909: "PixarLog",
}
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_NO, _HORIZONTAL, _FLOATING = 1, 2, 3
_ASSOCIATED, _UNASSOCIATED = 1, 2
_LARGEST_TAG = 4_000_000  # bytes of one tag's values
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_LONG_8 = frozenset({16, 17, 18})  # of 64 bits, in BigTIFF
_BIG_SIZES = {**_SIZES, **dict.fromkeys(_LONG_8, 8)}
_READ = {1: "B", 7: "B", 3: "H", 4: "I", 13: "I"}

_READ_TAGS = frozenset(
    (
        *(WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, ORIENTATION, STRIP_OFFSETS, SAMPLES),
        *(ROWS_PER_STRIP, STRIP_BYTES, PLANAR, PREDICTOR, COLORMAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS),
        *(TILE_BYTES, EXTRA, FORMAT, SUBFILE, MAKE, SUB_IFDS, SUBSAMPLING, DNG_VERSION),
        *(JPEG_TABLES, FAX_3, FAX_4, YCBCR_COEFFICIENTS, YCBCR_POSITION, REFERENCE, ICC_PROFILE),
    )
)  # others may be as many and as long as their sender likes

Tags = Mapping[int, tuple[int, ...]]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the samples of a picture lie in its bytes."""

    order: str  # "<" or ">"
    width: int
    height: int
    bits: int
    samples: int
    format: int
    photometric: int
    extra: int  # what the sample after the colours is: 0 nothing known, 1 or 2 alpha

    @property
    def colours(self) -> int:
        """How many samples of a pixel are colours."""
        return {RGB: 3, SEPARATED: 4}.get(self.photometric, 1)

    @property
    def has_alpha(self) -> bool:
        """Whether the sample after the colours says how opaque a pixel is."""
        return self.samples > self.colours and self.extra in {_ASSOCIATED, _UNASSOCIATED}


def as_classic(data: bytes) -> bytes:
    """Return a BigTIFF's first picture as a TIFF of 32 bit offsets, which all others are; such a one as it is.

    Only the tags that say how the picture lies are taken along: a file of 5 MB needs no more than 32 bits, and Pillow
    reads no BigTIFF of the other byte order.

    Raises:
        ImageError: its tags are damaged.
    """
    order = {b"II+\0": "<", b"MM\0+": ">"}.get(data[:4])
    if order is None:
        return data
    start = len(data) + len(data) % 2
    entries, beyond, seen = [], b"", set()
    try:
        (at,) = struct.unpack_from(f"{order}Q", data, 8)
        (count,) = struct.unpack_from(f"{order}Q", data, at)
        places = range(at + 8, min(at + 8 + 20 * count, len(data)), 20)
        wanted = [place for place in places if struct.unpack_from(f"{order}H", data, place)[0] in _READ_TAGS]
        room = start + 2 + 12 * len(wanted) + 4
        for place in wanted:
            tag, kind, number = struct.unpack_from(f"{order}HHQ", data, place)
            length = _BIG_SIZES.get(kind, 0) * number
            if tag in seen or not 0 < length <= _LARGEST_TAG:
                continue
            seen.add(tag)
            where = place + 12 if length <= 8 else struct.unpack_from(f"{order}Q", data, place + 12)[0]  # noqa: PLR2004
            if kind in _LONG_8:
                values = struct.unpack_from(f"{order}{number}Q", data, where)
                kind, value = 4, struct.pack(f"{order}{number}I", *values)
            else:
                value = data[where : where + length]
            if len(value) > 4:  # noqa: PLR2004  does not fit into the entry
                beyond, value = beyond + value + b"\0" * (len(value) % 2), struct.pack(f"{order}I", room + len(beyond))
            entries.append(struct.pack(f"{order}HHI", tag, kind, number) + value.ljust(4, b"\0"))
    except (struct.error, OverflowError) as error:
        raise ImageError("Invalid image: a damaged TIFF") from error
    room_left = b"\0" * 12 * (len(wanted) - len(entries))  # offsets were counted with these
    told = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + b"\0\0\0\0" + room_left + beyond
    header = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", start)
    return b"".join((header, data[8:], b"\0" * (len(data) % 2), told))


def read_tags(data: bytes) -> tuple[str, Tags] | None:
    """Return the byte order and the whole numbers of the first picture's tags; None where Pillow may try.

    Numbers that are no whole ones are left out; of texts and the like only the presence is kept.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        tags: dict[int, tuple[int, ...]] = {}
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
            if tag not in _READ_TAGS or tag in tags:
                continue
            length = _SIZES.get(kind, 0) * number
            if kind not in _READ or length > _LARGEST_TAG:
                tags.setdefault(tag, ())
                continue
            start = entry + 8
            if length > 4:  # noqa: PLR2004  what does not fit into the entry lies elsewhere
                (start,) = struct.unpack_from(f"{order}I", data, start)
            tags.setdefault(tag, struct.unpack_from(f"{order}{number}{_READ[kind]}", data, start))
    except struct.error:
        return None
    return order, tags


def check(tags: Tags, data: bytes) -> None:
    """Refuse what is a TIFF by its frame only, or has its colours in a form nothing here reads.

    Raises:
        ImageError: says what it is.
    """
    photometric, compression = _first(tags, PHOTOMETRIC, -1), _first(tags, COMPRESSION, 1)
    is_preview = _first(tags, SUBFILE, 0) & 1 and SUB_IFDS in tags and MAKE in tags
    is_raw = photometric in _RAW_PHOTOMETRICS or compression in _RAW_COMPRESSIONS or DNG_VERSION in tags
    if is_raw or is_preview or data[8:10] == b"CR":
        raise ImageError(f"Invalid image: {RAW} is not JPEG, PNG, WebP or TIFF; develop it, and save it as JPEG")
    if photometric in _LOG_PHOTOMETRICS:
        raise ImageError("Invalid image: a TIFF of logarithmic luminance (photometric LogLuv); save it as JPEG")
    if photometric == MASK:
        raise ImageError("Invalid image: a TIFF that is a mask for another picture; save the picture as JPEG")
    if photometric == YCBCR and compression not in _JPEGS and tags.get(SUBSAMPLING, (2, 2)) != (1, 1):
        raise ImageError("Invalid image: a TIFF of subsampled YCbCr without JPEG compression; save it as JPEG")
    if compression == 6:  # noqa: PLR2004  TIFF 6.0's own JPEG, given up in 1995
        raise ImageError("Invalid image: a TIFF with the old JPEG compression; save it as JPEG")
    if compression not in _ROWS_COMPRESSIONS | _JPEGS | _FAX:
        named = _NAMED_COMPRESSIONS.get(compression, f"method {compression}")
        raise ImageError(f"Invalid image: a TIFF compressed with {named}; save it without, or save it as JPEG")
    if compression in _JPEGS and any(bits != 8 for bits in tags.get(BITS, (8,))):  # noqa: PLR2004
        raise ImageError("Invalid image: a TIFF of JPEG data with other than 8 bits a sample; save it as JPEG")


def layout(order: str, tags: Tags) -> Layout | None:
    """Return how the samples lie; None where Pillow reads them as they are meant.

    Raises:
        ImageError: samples of different depths or formats.
    """
    if _first(tags, COMPRESSION, 1) not in _ROWS_COMPRESSIONS:
        return None
    photometric = _first(tags, PHOTOMETRIC, -1)
    if photometric not in {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED}:
        return None
    samples = _first(tags, SAMPLES, 1)
    bits, formats = tags.get(BITS, (1,))[:samples], tags.get(FORMAT, (_UNSIGNED,))[:samples]
    if not bits or not formats:
        raise ImageError("Invalid image: a damaged TIFF")
    if len(set(bits)) != 1 or len(set(formats)) != 1:
        raise ImageError(f"Invalid image: a TIFF of samples of {_listed(bits)} bits; save it with 8 bits a sample")
    width, height = _first(tags, WIDTH, 0), _first(tags, HEIGHT, 0)
    extra = _first(tags, EXTRA, 0)
    found = Layout(order, width, height, bits[0], samples, formats[0], photometric, extra)
    if not (1 <= width and 1 <= height and found.colours <= samples <= 8 and 1 <= bits[0] <= 64):  # noqa: PLR2004
        return None
    return found


def read_rows(data: bytes, tags: Tags, found: Layout, most_bytes: int) -> NDArray[Any]:
    """Return the samples as the tags number them.

    Returns:
        (H, W, samples) of an unsigned, signed or floating-point type that holds them.

    Raises:
        ImageError: a depth or number format that does not exist, or more than `most_bytes`.
        OSError: the data is damaged or cut short.
    """
    if found.format == _FLOAT and found.bits not in {16, 32, 64}:
        raise ImageError(f"Invalid image: a TIFF of floating-point samples of {found.bits} bits; save it with 8 bits")
    if found.format not in {_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED}:
        raise ImageError("Invalid image: a TIFF of complex numbers; save it with 8 bits a sample")
    planes = found.samples if _first(tags, PLANAR, 1) == 2 and found.samples > 1 else 1  # noqa: PLR2004
    if found.height * found.width * found.samples * -(-found.bits // 8) > most_bytes:
        raise ImageError(
            f"Invalid image: a TIFF of more than {most_bytes // 1_000_000} MB of samples; save it with 8 bits a sample"
        )
    parts = [_plane(data, tags, found, number, planes) for number in range(planes)]
    return parts[0] if planes == 1 else np.concatenate(parts, axis=2)


def _plane(data: bytes, tags: Tags, found: Layout, number: int, planes: int) -> NDArray[Any]:
    """Read one plane: have its rows unpacked as 8 bit grey, then undo the predictor and spread the bits."""
    each = found.samples // planes
    is_tiled = TILE_WIDTH in tags
    columns = _first(tags, TILE_WIDTH, 0) if is_tiled else found.width
    if not 1 <= columns <= 1 << 20:
        raise ImageError("Invalid image: a damaged TIFF")
    stride = -(-columns * each * found.bits // 8)  # bytes of a row of a strip or tile
    across = -(-found.width // columns)
    offsets, counts = (
        tags.get(TILE_OFFSETS if is_tiled else STRIP_OFFSETS, ()),
        tags.get(TILE_BYTES if is_tiled else STRIP_BYTES, ()),
    )
    share = len(offsets) // planes
    part = slice(number * share, (number + 1) * share)
    if not counts and len(offsets) == 1:
        counts = (len(data) - offsets[0],)
    lie: dict[int, tuple[int, ...]] = {
        WIDTH: (stride * across,),
        HEIGHT: (found.height,),
        BITS: (8,),
        COMPRESSION: (_first(tags, COMPRESSION, 1),),
        PHOTOMETRIC: (BLACK_IS_ZERO,),
        FILL_ORDER: (_first(tags, FILL_ORDER, 1),),
        SAMPLES: (1,),
    }
    if is_tiled:
        lie |= {TILE_WIDTH: (stride,), TILE_HEIGHT: tags.get(TILE_HEIGHT, (0,))}
        lie |= {TILE_OFFSETS: offsets[part], TILE_BYTES: counts[part]}
    else:
        lie |= {ROWS_PER_STRIP: (min(_first(tags, ROWS_PER_STRIP, found.height), found.height),)}
        lie |= {STRIP_OFFSETS: offsets[part], STRIP_BYTES: counts[part]}
    rows = _unpacked(data, found.order, lie).reshape(found.height, across, stride)
    predictor = _first(tags, PREDICTOR, _NO) if lie[COMPRESSION][0] not in {1, 32773} else _NO
    tiles = [_samples(rows[:, one], columns, each, found, predictor) for one in range(across)]
    whole = tiles[0] if across == 1 else np.concatenate(tiles, axis=1)
    return whole[:, : found.width]


def _unpacked(data: bytes, order: str, lie: Mapping[int, tuple[int, ...]]) -> Bytes:
    """Return what libtiff unpacks of a picture described anew, (H, W) bytes."""
    if not all(lie.values()):
        raise ImageError("Invalid image: a damaged TIFF")
    directory, beyond = [], b""
    start = len(data) + len(data) % 2
    at = start + 2 + 12 * len(lie) + 4
    for tag, values in sorted(lie.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > 4:  # noqa: PLR2004  does not fit into the entry
            beyond, packed = beyond + packed, struct.pack(f"{order}I", at + len(beyond))
        directory.append(struct.pack(f"{order}HHI", tag, 4, len(values)) + packed)
    told = struct.pack(f"{order}H", len(lie)) + b"".join(directory) + b"\0\0\0\0" + beyond
    header = data[:4] + struct.pack(f"{order}I", start)
    file = b"".join((header, data[8:], b"\0" * (len(data) % 2), told))
    with Image.open(io.BytesIO(file), formats=("TIFF",)) as picture:
        return np.asarray(picture)


def _samples(rows: Bytes, columns: int, each: int, found: Layout, predictor: int) -> NDArray[Any]:
    """Turn the bytes of rows into (H, columns, each) numbers."""
    height, bits = rows.shape[0], found.bits
    if predictor == _FLOATING:
        return _undo_floating(rows, columns, each, bits)
    if bits in {8, 16, 32, 64}:
        letter = {_FLOAT: "f", _SIGNED: "i"}.get(found.format, "u")
        if predictor == _HORIZONTAL:
            values = np.ascontiguousarray(rows).view(f"{found.order}u{bits // 8}").reshape(height, columns, each)
            values = np.cumsum(values, axis=1, dtype=f"u{bits // 8}")
            return values.view(f"{letter}{bits // 8}")
        return np.ascontiguousarray(rows).view(f"{found.order}{letter}{bits // 8}").reshape(height, columns, each)
    if predictor != _NO:
        raise ImageError(f"Invalid image: a TIFF with a predictor over samples of {bits} bits; save it with 8 bits")
    if bits > 32:  # noqa: PLR2004
        raise ImageError(f"Invalid image: a TIFF of samples of {bits} bits; save it with 8 bits a sample")
    return _spread(rows, columns * each, bits, found.format).reshape(height, columns, each)


def _spread(rows: Bytes, count: int, bits: int, number_format: int) -> NDArray[Any]:
    """Return the numbers of rows in which they follow each other bit by bit, most significant first."""
    kind = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32  # noqa: PLR2004
    numbers = np.empty((rows.shape[0], count), kind)
    for top in range(0, rows.shape[0], 64):  # a bit a byte takes room
        each = np.unpackbits(rows[top : top + 64], axis=1, count=count * bits).reshape(-1, count, bits)
        part = np.zeros(each.shape[:2], kind)
        for bit in range(bits):
            part = (part << 1) | each[:, :, bit]
        numbers[top : top + 64] = part
    if number_format == _SIGNED:
        wide = numbers.astype(np.int64)
        return np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide)
    return numbers


def _undo_floating(rows: Bytes, columns: int, each: int, bits: int) -> NDArray[Any]:
    """Undo Adobe's floating-point predictor: differences over bytes, sorted by their place in the number."""
    size = bits // 8
    summed = np.cumsum(rows.reshape(rows.shape[0], -1, each), axis=1, dtype=np.uint8).reshape(rows.shape[0], size, -1)
    return np.ascontiguousarray(summed.transpose(0, 2, 1)).view(f">f{size}").reshape(rows.shape[0], columns, each)


def palette(tags: Tags, bits: int) -> Bytes:
    """Return the colours of a palette, (2**bits, 3); some writers put 8 bits where 16 belong.

    Raises:
        ImageError: there is none, or one of another length.
    """
    values: NDArray[Any] = np.array(tags.get(COLORMAP, ()), np.uint16)
    if bits > 16 or len(values) != 3 << bits:  # noqa: PLR2004
        raise ImageError("Invalid image: a damaged TIFF, its palette does not fit")
    if values.max(initial=0) > 255:  # noqa: PLR2004
        values = values >> 8
    return values.astype(np.uint8).reshape(3, -1).T.copy()


def profile(tags: Tags) -> bytes:
    """Return the ICC profile; empty where there is none."""
    values = tags.get(ICC_PROFILE, ())
    return bytes(values) if max(values, default=0) <= 255 else b""  # noqa: PLR2004  a tag of other numbers


def orientation(tags: Tags) -> int:
    """Return which corner is up, 1 to 8 as in EXIF."""
    return _first(tags, ORIENTATION, 1)


def _first(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag, ())
    return values[0] if values else default


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))

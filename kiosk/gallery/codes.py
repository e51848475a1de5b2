"""References as int8 codes, and how far a code's cosine can be from the true one.

A vector x is coded as c = round(x / s), s = max|x| / 127, one byte a feature; s itself is never needed again, because
only c's *direction* is used. A probe is coded alike, with 63 in place of 127: see `products.py`. Two facts make a
search over codes exact.

1. The dot product of two codes is a whole number below 2**24 (D <= 1024), so float32 holds it without rounding,
   whoever adds it up in whatever order: an int8 kernel and plain NumPy agree to the last bit.
2. Angles between directions are distances on a sphere, so they keep the triangle inequality. Let a(u, v) be the angle
   between u and v. The line through c passes x at |x - s c| or nearer, so

       a(x, c) <= slant(x) = arcsin(|x - s c| / |x|)                                              (one vector)
       |a(q, x) - a(code of q, code of x)| <= slant(q) + slant(x)                                  (both coded)
       |a(q, x) - a(q, code of x)| <= slant(x)                                                     (probe in float)

   A reference can therefore score `bar` or more only if its estimate, the cosine between the codes, is at least
   cos(arccos(bar) + slants): `least_estimate`. Turned round, an estimate promises a least score: `least_score`.
   The slants are near 0.007 rad (a probe's 0.014), and in cosine they shrink with the sine of the angle: near-equal
   vectors, where candidates crowd, get the narrowest margin.

Rounding: vectors are unit only within a tolerance, so lengths are carried (`shortest`, `longest`); a residual's length
is summed in float32 with relative error below D * 2**-24 < 1e-4, which SLANT_GUARD covers; an estimate is one exact
whole number times two float32 inverse lengths (relative error below 4e-7), a score a float64 sum rounded once to
float32 (below 6e-8): COSINE_GUARD, taken off on either side of the arccosine, covers both.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.gallery.products import CODE_MOST, Codes, Sums, centred_sums
from kiosk.types import Floats

CHUNK_SHIFT = 16
CHUNK_MASK = (1 << CHUNK_SHIFT) - 1
# Rows fewer than a power of two: else all features of a row share one set of the cache, and the product of 64 probes
# takes 1.4 times as long.
_GAP = 64
CHUNK_ROWS = (1 << CHUNK_SHIFT) - _GAP  # in 8192 a search of a million took a third longer: shorter runs of memory
FIRST_ROWS = (1 << 10) - _GAP  # of a chunk that begins; its room about doubles as rows arrive
ROW_BYTES = 24  # of a row in a chunk, beside its code: centred, inverse, owner, reference, later
LARGEST_D = 1024  # 1024 * 127 * 127 < 2**24: the end of float32's whole numbers
COSINE_GUARD = 1e-6
SLANT_GUARD = 1e-4  # relative
_HUGE_PAGE = 1 << 21
_BLOCK_ROWS = 1024  # a block of float32 rows and its temporaries stay in a 2 MB cache


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Some vectors as codes, with what the bound needs to know of them."""

    codes: Codes = field(repr=False)  # (K, D)
    inverse: Floats = field(repr=False)  # (K,) 1 / length of each code
    slant: float  # rad, the largest of the K
    shortest: float  # least and greatest length of the K vectors
    longest: float

    def of(self, kept: NDArray[np.bool_]) -> Coded:
        """Return some of the rows; what is promised of all holds for them."""
        return Coded(self.codes[kept], self.inverse[kept], self.slant, self.shortest, self.longest)


def encode(vectors: Floats, most: int = CODE_MOST) -> Coded:
    """Code vectors of about unit length.

    Args:
        vectors: (K, D) float32, no row all zero; K may be 0.
        most: the largest code, given to the largest feature of each.

    Raises:
        ValueError: a row is zero or not finite, so it has no direction.
    """
    count, depth = vectors.shape
    codes = np.empty((count, depth), np.int8)
    inverse = np.empty(count, np.float32)
    slant, shortest, longest = 0.0, math.inf, 0.0
    for start in range(0, count, _BLOCK_ROWS):
        part = slice(start, min(start + _BLOCK_ROWS, count))
        sines, lengths = _encode_block(vectors[part], most, codes[part], inverse[part])
        shortest = min(shortest, _shortest(float(lengths.min())))
        longest = max(longest, _longest(float(lengths.max())))
        slant = max(slant, _slant(float(sines.max())))
    return Coded(codes, inverse, slant, shortest, longest)


def encode_each(vectors: Floats, most: int = CODE_MOST) -> list[Coded]:
    """Code some vectors as `encode` does, each by itself: what is promised of one is its own.

    Raises:
        ValueError: as `encode`.
    """
    codes = np.empty(vectors.shape, np.int8)
    inverse = np.empty(len(vectors), np.float32)
    sines, lengths = _encode_block(vectors, most, codes, inverse) if len(vectors) else (inverse, inverse)
    return [
        Coded(codes[at : at + 1], inverse[at : at + 1], _slant(sine), _shortest(length), _longest(length))
        for at, (sine, length) in enumerate(zip(sines.tolist(), lengths.tolist(), strict=True))
    ]


def _encode_block(block: Floats, most: int, codes: Codes, inverse: Floats) -> tuple[Floats, Floats]:
    """Write codes and inverse lengths; return the sine of each row's slant, and each row's length."""
    step = np.maximum(block.max(axis=1), -block.min(axis=1)) / np.float32(most)
    if not np.all((step > np.finfo(np.float32).tiny) & (step < 1.0)):  # a NaN fails this too
        raise ValueError("want finite vectors of about unit length, got a row with no direction")
    whole = block / step[:, None]
    np.rint(whole, out=whole)
    codes[:] = whole
    squares = np.einsum("ij,ij->i", whole, whole)  # whole numbers below 2**24: exact
    inverse[:] = 1.0 / np.sqrt(squares)
    whole *= step[:, None]
    np.subtract(block, whole, out=whole)
    residual = np.sqrt(np.einsum("ij,ij->i", whole, whole))
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", block, block))
    return residual / lengths, lengths


def _slant(sine: float) -> float:
    return math.asin(min(1.0, sine * (1 + 4 * SLANT_GUARD) + COSINE_GUARD))


def _shortest(length: float) -> float:
    return length * (1 - SLANT_GUARD)


def _longest(length: float) -> float:
    return length * (1 + SLANT_GUARD)


@dataclass(frozen=True, slots=True)
class Bound:
    """What an estimate promises about a score, for one probe and all references of a snapshot."""

    slant: float  # rad, of both sides together
    shortest: float  # product of both sides' lengths, least
    longest: float  # and greatest

    def least_estimate(self, score: float) -> float:
        """Return the estimate below which no reference can reach `score`.

        >>> round(Bound(slant=0.01, shortest=1.0, longest=1.0).least_estimate(0.5), 4)
        0.4913
        """
        wanted = score - COSINE_GUARD
        wanted /= self.longest if wanted > 0 else self.shortest
        angle = math.acos(max(-1.0, min(1.0, wanted))) + self.slant
        return math.cos(min(math.pi, angle)) - COSINE_GUARD if angle < math.pi else -math.inf

    def least_score(self, estimate: float) -> float:
        """Return the score that a reference with this estimate has at least.

        >>> round(Bound(slant=0.01, shortest=1.0, longest=1.0).least_score(0.5), 4)
        0.4913
        """
        angle = math.acos(max(-1.0, min(1.0, estimate - COSINE_GUARD))) + self.slant
        cosine = math.cos(min(math.pi, angle))
        return cosine * (self.shortest if cosine > 0 else self.longest) - COSINE_GUARD


def _room(rows: int, width: int, kind: type[np.generic]) -> NDArray[Any]:
    """Reserve (rows, width), zeroed, fresh from the system and on huge pages where there are any.

    In pages of 4 KB, which is what memory used before comes in, a search of 100 000 took a third longer.
    """
    size = rows * width * np.dtype(kind).itemsize
    memory = mmap.mmap(-1, size + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):  # a column of numbers would take eight times its room
        with contextlib.suppress(OSError):  # a kernel without them: slower, no worse
            memory.madvise(mmap.MADV_HUGEPAGE)
    buffer = np.frombuffer(memory, np.uint8)
    start = -buffer.ctypes.data % _HUGE_PAGE
    return buffer[start : start + size].view(kind).reshape(rows, width)


class Chunk:
    """Room for CHUNK_ROWS references. Rows are only ever added at the end, or wiped.

    A reader looks at the first rows only, as many as its snapshot says, so the writer may fill the others meanwhile.
    Codes lie feature by feature, as the kernel wants them, in room for `codes.shape[1]` rows; a reader takes `codes`
    once and works on what it has, as the writer may put a larger one in its place.
    """

    __slots__ = ("__weakref__", "centred", "codes", "inverse", "later", "most_inverse", "owner", "reference", "wiped")

    def __init__(self, depth: int) -> None:
        """Reserve the room; the operating system backs it page by page as rows arrive."""
        self.codes: Codes = _codes_room(depth, 0)
        self.inverse: Floats = _room(1, CHUNK_ROWS, np.float32)[0]
        self.centred: Sums = _room(1, CHUNK_ROWS, np.int32)[0]
        self.owner: NDArray[np.int32] = np.zeros(CHUNK_ROWS, np.int32)  # index of the person; -1: wiped
        self.reference: NDArray[np.int64] = np.zeros(CHUNK_ROWS, np.int64)
        self.later: NDArray[np.int32] = np.zeros(CHUNK_ROWS, np.int32)  # the person's next row; -1: none; writer's
        self.wiped = 0
        self.most_inverse = 0.0  # never less than the largest of `inverse`; a reader may see one of rows to come

    def put(self, at: int, codes: Codes, inverse: Floats) -> None:
        """Write codes (K, D) behind the rows that readers know."""
        end = at + len(codes)
        depth, width = self.codes.shape
        if end > width:
            larger = _codes_room(depth, max(FIRST_ROWS, (1 << (end + _GAP - 1).bit_length()) - _GAP))
            larger[:, :at] = self.codes[:, :at]
            self.codes = larger
        self.codes[:, at:end] = codes.T
        self.centred[at:end] = centred_sums(codes)
        self.inverse[at:end] = inverse
        self.most_inverse = max(self.most_inverse, float(inverse.max()))

    def wipe(self, at: int) -> None:
        """Take one row out of every later search and zero its bytes now."""
        self.owner[at] = -1
        self.inverse[at] = 0.0
        self.codes[:, at] = 0
        self.centred[at] = 0
        self.reference[at] = 0
        self.wiped += 1


def _codes_room(depth: int, rows: int) -> Codes:
    """Reserve room for codes that leaves no template behind when the last reader has let go of it."""
    room = _room(depth, rows, np.int8)
    codes = room[:]
    weakref.finalize(codes, room.fill, 0).atexit = False
    return codes

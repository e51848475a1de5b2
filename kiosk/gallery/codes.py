"""References as int8 codes, and how far a code's cosine can be from the true one.

A vector x is coded as c = round(x / s), s = max|x| / 127, one byte a feature; s itself is never needed again, because
only c's *direction* is used. Two facts make a search over codes exact.

1. The dot product of two codes is a whole number below 2**24 (D <= 1024), so float32 holds it without rounding,
   whoever adds it up in whatever order: NumKong's SIMD and plain NumPy agree to the last bit.
2. Angles between directions are distances on a sphere, so they keep the triangle inequality. Let a(u, v) be the angle
   between u and v. The line through c passes x at |x - s c| or nearer, so

       a(x, c) <= slant(x) = arcsin(|x - s c| / |x|)                                              (one vector)
       |a(q, x) - a(code of q, code of x)| <= slant(q) + slant(x)                                  (both coded)
       |a(q, x) - a(q, code of x)| <= slant(x)                                                     (probe in float)

   A reference can therefore score `bar` or more only if its estimate, the cosine between the codes, is at least
   cos(arccos(bar) + slants): `least_estimate`. Turned round, an estimate promises a least score: `least_score`.
   The slants are near 0.007 rad at D = 320, and in cosine they shrink with the sine of the angle: near-equal vectors,
   where candidates crowd, get the narrowest margin.

The first pass reads the leading part of each code only. With c = (lead, rest), and the same for the probe's code p,
Cauchy and Schwarz give lead.lead + |p's rest| * |c's rest| >= p.c; each row carries |rest| / |c| as its `share`. Rows
that pass on this ceiling have their rest read too, and go on with the whole estimate.

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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.types import Floats

Codes: TypeAlias = NDArray[np.int8]
Dots: TypeAlias = Callable[[Codes, Codes, Floats], None]
"""Probe's code (d,), codes (K, d), out (K,) float32: fills `out` with the dot products, whole numbers."""

CHUNK_SHIFT = 16
CHUNK_ROWS = 1 << CHUNK_SHIFT  # 17 MB of leading codes at D = 320: several huge pages, and calls are few
ROW_BYTES = 24  # of a row in a chunk, beside its code: share, inverse, owner, reference, later
LARGEST_D = 1024  # 1024 * 127 * 127 < 2**24: the end of float32's whole numbers
COSINE_GUARD = 1e-6
SLANT_GUARD = 1e-4  # relative
_CODE_MAX = 127
_WHOLE = 128  # features up to which the first pass reads all
_LEADING = 0.85  # 0.8 gains a tenth at a floor of 0.4 and loses half at 0.3 (D = 320, a million rows)
_HUGE_PAGE = 1 << 21
_BLOCK_ROWS = 1024  # a block of float32 rows and its temporaries stay in a 2 MB cache


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Some vectors as codes, with what the bound needs to know of them."""

    codes: Codes = field(repr=False)  # (K, D)
    inverse: Floats = field(repr=False)  # (K,) 1 / length of each code
    share: Floats = field(repr=False)  # (K,) length of each code's rest / length of the code
    slant: float  # rad, the largest of the K
    shortest: float  # least and greatest length of the K vectors
    longest: float


def leading_part(depth: int) -> int:
    """Return how many features the first pass reads: most of them, in whole SIMD registers of 16 bytes.

    Holding back a sixth lets one random row in a thousand pass at a floor of 0.4: cheaper to look up than to read.
    Multiples of 64 are avoided: a million rows of 240 bytes took 20 ms, of 256 bytes 26 (NumKong 7.8, Sapphire Rapids).
    Short rows are read whole: 128 bytes are two cache lines (10.7 ms a million), 112 lie across three (17.5).

    >>> leading_part(320), leading_part(192), leading_part(128), leading_part(8)
    (272, 160, 128, 8)
    """
    if depth <= _WHOLE:
        return depth
    lead = 16 * round(_LEADING * depth / 16)
    if lead % 64 == 0:
        lead -= 16
    return lead if 0 < lead < depth else depth


def encode(vectors: Floats) -> Coded:
    """Code vectors of about unit length.

    Args:
        vectors: (K, D) float32, no row all zero; K may be 0.

    Raises:
        ValueError: a row is zero or not finite, so it has no direction.
    """
    count, depth = vectors.shape
    codes = np.empty((count, depth), np.int8)
    inverse = np.empty(count, np.float32)
    share = np.empty(count, np.float32)
    lead = leading_part(depth)
    slant, shortest, longest = 0.0, math.inf, 0.0
    for start in range(0, count, _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        step = np.maximum(block.max(axis=1), -block.min(axis=1)) / np.float32(_CODE_MAX)
        if not np.all((step > np.finfo(np.float32).tiny) & (step < 1.0)):  # a NaN fails this too
            raise ValueError("want finite vectors of about unit length, got a row with no direction")
        whole = block / step[:, None]
        np.rint(whole, out=whole)
        codes[start : start + len(block)] = whole
        squares = np.einsum("ij,ij->i", whole, whole)  # whole numbers below 2**24: exact
        inverse[start : start + len(block)] = 1.0 / np.sqrt(squares)
        rest = whole[:, lead:]
        share[start : start + len(block)] = np.sqrt(np.einsum("ij,ij->i", rest, rest) / squares)
        whole *= step[:, None]
        np.subtract(block, whole, out=whole)
        residual = np.sqrt(np.einsum("ij,ij->i", whole, whole))
        length = np.sqrt(np.einsum("ij,ij->i", block, block))
        shortest = min(shortest, float(length.min()) * (1 - SLANT_GUARD))
        longest = max(longest, float(length.max()) * (1 + SLANT_GUARD))
        sine = float((residual / length).max()) * (1 + 4 * SLANT_GUARD) + COSINE_GUARD
        slant = max(slant, math.asin(min(1.0, sine)))
    return Coded(codes, inverse, share, slant, shortest, longest)


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
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them: slower, no worse
            memory.madvise(mmap.MADV_HUGEPAGE)
    buffer = np.frombuffer(memory, np.uint8)
    start = -buffer.ctypes.data % _HUGE_PAGE
    return buffer[start : start + size].view(kind).reshape(rows, width)


EXTREME_CODES: Codes = np.array(
    [[127] * 320, [-127] * 320, [127, -127] * 160, [127, 127, -127, -127] * 80, [-127, 127, 127, 127] * 80], np.int8
)
"""Some int8 kernels saturate on processors without VNNI: one that gets the largest sums right is trusted."""


class Chunk:
    """Room for CHUNK_ROWS references. Rows are only ever added at the end, or wiped.

    A reader looks at the first rows only, as many as its snapshot says, so the writer may fill the others meanwhile.
    """

    __slots__ = (
        "__weakref__",
        "inverse",
        "later",
        "lead",
        "most_inverse",
        "owner",
        "reference",
        "rest",
        "share",
        "wiped",
    )

    def __init__(self, depth: int) -> None:
        """Reserve the room; the operating system backs it page by page as rows arrive."""
        lead = leading_part(depth)
        self.lead: Codes = _room(CHUNK_ROWS, lead, np.int8)
        self.rest: Codes = _room(CHUNK_ROWS, depth - lead, np.int8)
        self.share, self.inverse = _room(2, CHUNK_ROWS, np.float32)
        self.owner: NDArray[np.int32] = np.zeros(CHUNK_ROWS, np.int32)  # index of the person; -1: wiped
        self.reference: NDArray[np.int64] = np.zeros(CHUNK_ROWS, np.int64)
        self.later: NDArray[np.int32] = np.zeros(CHUNK_ROWS, np.int32)  # the person's next row; -1: none; writer's
        self.wiped = 0
        self.most_inverse = 0.0  # never less than the largest of `inverse`; a reader may see one of rows to come
        for codes in (self.lead, self.rest):  # a chunk given back leaves no template behind
            weakref.finalize(self, codes.fill, 0).atexit = False

    def wipe(self, at: int) -> None:
        """Take one row out of every later search and zero its bytes now."""
        self.owner[at] = -1
        self.inverse[at] = 0.0
        self.lead[at] = 0
        self.rest[at] = 0
        self.share[at] = 0.0
        self.reference[at] = 0
        self.wiped += 1


def numpy_dots(probe: Codes, codes: Codes, out: Floats) -> None:
    """Multiply a probe's code with many, as `Dots` says."""
    wide = probe.astype(np.float32)
    for start in range(0, len(codes), _BLOCK_ROWS):
        block = codes[start : start + _BLOCK_ROWS]
        np.matmul(block.astype(np.float32), wide, out=out[start : start + len(block)])


def fastest_dots() -> Dots:
    """Return NumKong's kernel where it is installed and counts right, else NumPy's; both give the same numbers."""
    try:
        import numkong  # noqa: PLC0415  optional: SIMD int8 for x86 and NEON, ten times NumPy's speed
    except ImportError:
        return numpy_dots

    def numkong_dots(probe: Codes, codes: Codes, out: Floats) -> None:
        if codes.size:
            numkong.cdist(probe[None, :], codes, metric="dot", out=out[None, :], out_dtype="float32")
        else:
            out[:] = 0.0

    got, want = np.empty(len(EXTREME_CODES), np.float32), np.empty(len(EXTREME_CODES), np.float32)
    for probe in EXTREME_CODES:
        numkong_dots(probe, EXTREME_CODES, got)
        numpy_dots(probe, EXTREME_CODES, want)
        if not np.array_equal(got, want):
            return numpy_dots
    return numkong_dots

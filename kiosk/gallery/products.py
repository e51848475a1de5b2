"""Whole-number products of probes' codes with many references' codes, exact on every processor.

The kernel is onnxruntime's MatMulInteger, which multiplies one row of unsigned with a matrix of signed bytes as it lies
in memory, nothing packed and nothing copied: at 128 features it reads some 15 GB a second on one core. Instructions
older than VNNI add two products of bytes in 16 bits and saturate (2 * 255 * 127 > 32767). So a probe's code has seven
bits, -63 to 63, and is handed over as 1 to 127: 2 * 127 * 127 fits. What the 64 adds is known of each reference.

Many probes together take a matrix product, in which the codes are arranged once for all. It multiplies each product
with its reference's factor while both are in the cache: what is left is to be compared with one number a probe.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.types import Floats

Codes: TypeAlias = NDArray[np.int8]
Sums: TypeAlias = NDArray[np.int32]
Whole: TypeAlias = Callable[[Codes, Codes, Sums, Sums], None]
"""Probes' codes (M, D), codes (D, N), their `centred_sums` (N,), out (M, N): fills `out` with all dot products."""
Scaled: TypeAlias = Callable[[Codes, Codes, Floats, Floats], None]
"""The same with a factor for each reference (N,): `out`, float32, gets the products times factors, rounded once."""

PROBE_MOST = 63  # a probe's code is at most so large
CODE_MOST = 127
_CENTRE = 64
MANY = 6  # from so many probes on, arranging the codes for a matrix product is paid for (a million rows: 18 ms)
_BLOCK = 1024  # columns that NumPy multiplies at a time
_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6  # ONNX's TensorProto.DataType


def centred_sums(codes: Codes) -> Sums:
    """Return, for codes (K, D), what a probe's centre adds to each product."""
    sums: Sums = codes.sum(axis=1, dtype=np.int32) * np.int32(_CENTRE)
    return sums


@dataclass(frozen=True, slots=True)
class Products:
    """A kernel: for one probe or few, and for many together."""

    whole: Whole
    scaled: Scaled


def _numpy_whole(probes: Codes, codes: Codes, _centred: Sums, out: Sums) -> None:
    for part, products in _numpy_blocks(probes, codes):
        out[:, part] = products


def _numpy_scaled(probes: Codes, codes: Codes, factors: Floats, out: Floats) -> None:
    for part, products in _numpy_blocks(probes, codes):
        np.multiply(products, factors[part], out=out[:, part])


def _numpy_blocks(probes: Codes, codes: Codes) -> Iterator[tuple[slice, Floats]]:
    """Multiply in float32, which holds these whole numbers (below 2**24) exactly."""
    wide = probes.astype(np.float32)
    for start in range(0, codes.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        yield part, wide @ codes[:, part].astype(np.float32)


numpy_products = Products(_numpy_whole, _numpy_scaled)


@cache
def fastest_products() -> Products:
    """Return onnxruntime's kernel where it is installed and counts right, else NumPy's; both give the same numbers."""
    try:
        kernel = _onnxruntime_products()
    except ImportError:
        return numpy_products
    return kernel if counts_right(kernel) else numpy_products


def counts_right(kernel: Products) -> bool:
    """Say whether a kernel gets the largest sums right, one probe at a time and many together.

    Its instructions are those of this processor, so it is asked here and now.
    """
    signs = np.array([[1, 1, 1, 1], [-1, -1, -1, -1], [1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, 1, 1]], np.int8)
    extreme = np.tile(signs, (13, 80))  # (65, 320): more columns than a register has lanes, and some over
    codes = np.ascontiguousarray((extreme * np.int8(CODE_MOST)).T)
    want, got = np.empty((2, len(extreme), codes.shape[1]), np.int32)
    probes = extreme * np.int8(PROBE_MOST)
    centred = centred_sums(np.ascontiguousarray(codes.T))
    numpy_products.whole(probes, codes, centred, want)
    for step in (1, MANY, len(probes)):
        got.fill(-1)
        for start in range(0, len(probes), step):
            part = slice(start, start + step)
            kernel.whole(probes[part], codes, centred, got[part])
        if not np.array_equal(got, want):
            return False
    factors = np.linspace(-1.0, 1.0, codes.shape[1], dtype=np.float32) / np.float32(3.0)
    shares = np.empty(want.shape, np.float32)
    kernel.scaled(probes, codes, factors, shares)
    return np.array_equal(shares, np.multiply(want, factors, dtype=np.float32))


def _onnxruntime_products() -> Products:
    import onnxruntime  # noqa: PLC0415  NumPy does without, several times slower

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the other cores see to the camera and the pages
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    alone, together, scaling = (
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for model in (product_model(zero_point=None), product_model(zero_point=_CENTRE), scaled_model(_CENTRE))
    )

    def run(session: Any, probes: NDArray[np.uint8], codes: Codes, factors: Floats | None, out: NDArray[Any]) -> None:
        binding = session.io_binding()
        binding.bind_input("probes", "cpu", 0, np.uint8, probes.shape, probes.ctypes.data)
        binding.bind_input("codes", "cpu", 0, np.int8, codes.shape, codes.ctypes.data)
        if factors is not None:
            assert factors.flags.c_contiguous
            binding.bind_input("factors", "cpu", 0, np.float32, factors.shape, factors.ctypes.data)
        assert codes.flags.c_contiguous
        assert out.flags.c_contiguous
        binding.bind_output("sums", "cpu", 0, out.dtype.type, out.shape, out.ctypes.data)
        session.run_with_iobinding(binding)

    def shifted(probes: Codes) -> NDArray[np.uint8]:
        return (probes + np.int8(_CENTRE)).astype(np.uint8)

    def whole(probes: Codes, codes: Codes, centred: Sums, out: Sums) -> None:
        if not out.size:
            return
        rows = shifted(probes)
        if len(probes) >= MANY:
            run(together, rows, codes, None, out)
            return
        for at in range(len(probes)):  # a zero point would lead away from the quick kernel for one row
            run(alone, rows[at : at + 1], codes, None, out[at : at + 1])
        out -= centred

    def scaled(probes: Codes, codes: Codes, factors: Floats, out: Floats) -> None:
        if out.size:
            run(scaling, shifted(probes), codes, factors, out)

    return Products(whole, scaled)


def product_model(zero_point: int | None) -> bytes:
    """Write a model of one operation in ONNX's form, by hand: the package `onnx` is not on a device."""
    names = ["probes", "codes", *(["zero"] if zero_point is not None else [])]
    constants = _constant("zero", _UINT8, bytes([zero_point])) if zero_point is not None else b""
    return _model("MatMulInteger", names, constants, _INT32)


def scaled_model(zero_point: int) -> bytes:
    """Write the model of products times factors: an operation of onnxruntime's own, which scales in the cache."""
    names = ["probes", "codes", "one", "factors", "zero"]
    constants = _constant("zero", _UINT8, bytes([zero_point])) + _constant("one", _FLOAT, struct.pack("<f", 1.0))
    return _model("MatMulIntegerToFloat", names, constants, _FLOAT, domain="com.microsoft")


def _model(operation: str, names: Sequence[str], constants: bytes, kind: int, domain: str = "") -> bytes:
    node = b"".join(_text(1, name) for name in names) + _text(2, "sums") + _text(4, operation) + _text(7, domain)
    graph = _part(1, node) + _text(2, "products") + constants
    graph += _part(11, _value("probes", _UINT8, "M", "D")) + _part(11, _value("codes", _INT8, "D", "N"))
    if "factors" in names:
        graph += _part(11, _value("factors", _FLOAT, "N"))
    graph += _part(12, _value("sums", kind, "M", "N"))
    sets = _part(8, _text(1, "") + _whole(2, 13)) + _part(8, _text(1, "com.microsoft") + _whole(2, 1))
    return _whole(1, 8) + _part(7, graph) + sets  # IR version 8, operator set 13


def _constant(name: str, kind: int, content: bytes) -> bytes:
    return _part(5, _whole(2, kind) + _text(8, name) + _part(9, content))


def _value(name: str, kind: int, *sides: str) -> bytes:
    shape = b"".join(_part(1, _text(2, side)) for side in sides)
    return _text(1, name) + _part(2, _part(1, _whole(1, kind) + _part(2, shape)))


def _varint(number: int) -> bytes:
    out = b""
    while number >= 128:  # noqa: PLR2004  protobuf: seven bits a byte
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _whole(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, content: str) -> bytes:
    return _part(field, content.encode())

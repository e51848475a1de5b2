"""Facts about memory that is free: the system has it back, not the C library."""

import platform
from pathlib import Path

import pytest

from kiosk.health.memory import Returns

PIECES, PIECE_BYTES = 600, 100_000  # each below what the C library asks the system for alone


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such call")
def test_what_was_used_for_a_moment_goes_back_to_the_system():
    pieces = [bytearray(PIECE_BYTES) for _ in range(PIECES)]
    pins = pieces[::20]  # so that the heap's end cannot simply be cut off
    before = resident_bytes()
    del pieces

    Returns(every_s=0.0).look()

    assert before - resident_bytes() > PIECES * PIECE_BYTES * 0.7
    assert len(pins) == PIECES // 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such call")
def test_it_is_not_looked_for_at_every_round():
    returns = Returns(every_s=3600.0)
    pieces = [bytearray(PIECE_BYTES) for _ in range(PIECES)]
    pins = pieces[::20]
    del pieces
    before = resident_bytes()

    returns.look()

    assert before - resident_bytes() < PIECES * PIECE_BYTES * 0.5
    assert pins

"""Facts about memory that is free: the system has it back, not the C library."""

import platform
import subprocess
import sys
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


THREADS = """
import ctypes, sys, threading
from kiosk.health.memory import share_arenas
if sys.argv[1] == "shared":
    share_arenas()
meet = threading.Barrier(9)
def work():
    kept = [bytearray(50_000) for _ in range(20)]
    meet.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
meet.wait()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such call")
def test_threads_share_one_heap(tmp_path):
    heaps = {}
    for way in ("shared", "as it comes"):
        subprocess.run([sys.executable, "-c", THREADS, way, str(tmp_path / way)], check=True)
        heaps[way] = (tmp_path / way).read_text().count("<heap nr=")

    assert heaps["shared"] == 1 < heaps["as it comes"]

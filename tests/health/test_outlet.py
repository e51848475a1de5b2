"""Facts about standard output and error that nobody takes: no writer waits, and what was lost is said."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kiosk.health.outlet import MOST_BYTES, Outlet

SHOWN = """
import os, sys
from kiosk.health.supervisor import log_to_stderr
import logging
log_to_stderr({})
for number in range(2_000):  # more than any pipe or socket holds
    logging.getLogger("kiosk").warning("%0200d", number)
    print(" " * 200, number, flush=True)
os.write(int(sys.argv[1]), b"done")
"""


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_lines_that_nobody_takes_are_dropped_counted_and_said(pipe):
    reading, writing = pipe
    outlet = Outlet(writing)
    for _ in range(1_000):
        print("x" * 200, file=outlet)
    taken = os.read(reading, 1 << 20).count(b"\n")

    print("after", file=outlet)
    print("later", file=outlet)

    assert 0 < taken < 1_000
    said = f"{1_000 - taken} lines before this one were lost: nobody took them\nafter\nlater\n"
    assert os.read(reading, 1 << 20).decode() == said


def test_a_text_is_written_line_by_line_and_a_long_line_is_cut(pipe):
    reading, writing = pipe
    outlet = Outlet(writing)

    print("one", 2, file=outlet)
    print("caf\udce9", end="", file=outlet)
    assert os.read(reading, 1 << 20) == b"one 2\n"
    outlet.flush()
    print("y" * 3 * MOST_BYTES, file=outlet)

    assert os.read(reading, 1 << 20) == b"caf\\udce9" + b"y" * (MOST_BYTES - 1) + b"\n"


def test_no_error_comes_of_a_reader_that_is_gone_or_a_disk_without_room(pipe):
    _, writing = pipe
    closed, other = os.pipe()
    os.close(closed)
    for descriptor in (other, os.open("/dev/full", os.O_WRONLY)):
        print("x", file=Outlet(descriptor), flush=True)
        os.close(descriptor)
    with Outlet(writing) as outlet:
        assert not outlet.isatty()
        assert outlet.fileno() == writing


@pytest.mark.parametrize("kind", ["pipe", "socket", "full", "closed"])
def test_a_process_whose_journal_takes_nothing_goes_on(kind, request):
    ours, theirs = socket.socketpair()
    if kind == "socket":
        held, end = socket.socketpair()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        request.addfinalizer(held.close)
        target = end.detach()
    elif kind == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, target = os.pipe()
        if kind == "closed":
            os.close(reading)
        else:
            request.addfinalizer(lambda: os.close(reading))
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-c", SHOWN, str(theirs.fileno())],
            stdout=target,
            stderr=target,
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[2],
            check=False,
        )
        os.close(target)
        theirs.close()

        assert ours.recv(100) == b"done"
        assert done.returncode == 0

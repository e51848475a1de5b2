"""A process that was told to stop ends, whatever a part of it waits for, and leaves what it can safe."""

import subprocess
import sys

from tests.patience import LIMIT_S

HANGING = """
import os, threading, time
from kiosk.health.ending import end_within
def fails():
    raise OSError("no lines")
def hangs():
    threading.Event().wait()
end_within(0.1, code=3, first=(fails, lambda: os.write(1, b"safe"), hangs, lambda: os.write(1, b" never")))
threading.Event().wait()
"""
STUCK = """
import threading
from kiosk.health.ending import end_within
print("told", end="")
end_within(0.1)
threading.Event().wait()
"""
ENDING = """
from kiosk.health.ending import end_within
end_within(60.0, code=3)
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=LIMIT_S, check=False)


def test_a_process_that_hangs_ends_after_it_made_safe_what_it_could():
    done = run(HANGING)

    assert (done.returncode, done.stdout) == (3, b"safe")


def test_what_was_printed_is_not_lost():
    done = run(STUCK)

    assert (done.returncode, done.stdout) == (0, b"told")


def test_a_process_that_ends_by_itself_does_not_wait_for_the_limit():
    assert run(ENDING).returncode == 0

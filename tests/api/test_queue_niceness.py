"""The recogniser's threads give way to the door's, however nice the whole process is."""

import subprocess
import sys

import pytest

SHOWN = """
import os, threading
from kiosk.api.queue import CallQueue
os.nice({given})
queue = CallQueue(1, 1)
work = queue.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
print(os.getpriority(os.PRIO_PROCESS, os.getpid()), work.result())
queue.close()
"""


@pytest.mark.parametrize("given", [0, 5, 12, 17, 19])
def test_a_calls_thread_is_nicer_than_the_door_however_nice_the_process_is(given):
    before = int(subprocess.run(["nice"], capture_output=True, text=True, check=True).stdout)
    shown = subprocess.run(
        [sys.executable, "-c", SHOWN.format(given=given)], capture_output=True, text=True, check=True
    ).stdout
    door, call = map(int, shown.split())

    assert door == min(before + given, 19)
    assert call == min(door + 5, 19)

"""Facts about a store whose system calls fail: the short form of benchmarks/fault_drill.py, and what it once found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).parent.parent.parent / "benchmarks" / "fault_drill.py"
CANNOT_TRACE = 2  # the drill's exit code
FOUND_BEFORE = (  # the numbers count calls of SQLite 3.40; under another version they may meet a neighbour
    # a file that could not be opened for writing once left a connection that only read, until the next start
    "reference, openat 1 once EIO",
    "reference, openat 2 once EIO",
    # the system's own error came out instead of a sentence
    "rekey, unlink,unlinkat 3 once ENOSPC",
    "rekey, unlink,unlinkat 4 killed EIO",
    "restore, unlink,unlinkat 3 once EIO",
    "restore, unlink,unlinkat 14 once EIO",
    # a backup was in place, and its operator was told that nothing was restored
    "restore, fsync 3 once EIO",
    # the head file failed as the restored store was opened, and with it the opening
    "restore, pwrite64 303 once EIO",
    "restore, ftruncate 8 once EIO",
    # a person was forgotten, and whoever asked for it got the system's error about the list of backups
    "forget, openat 16 once EIO",
    "sweep, openat 3 lasting ENOSPC",
    # the tables were brought up to date, and no record said so
    "upgrade-from-7, fdatasync 8 once EIO",
    # people of a list that had ended stayed until the night, when forgetting them failed once
    "lists-ended, pwrite64 89 once EIO",
    # half an anchor stayed in its file, and none of the file was taken any more
    "anchored, short 1 lasting ENOSPC",
)


def run(*arguments: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (apt install strace)")
    done = subprocess.run([sys.executable, str(DRILL), *arguments], capture_output=True, text=True, check=False)
    if done.returncode == CANNOT_TRACE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_acknowledged_fact_is_lost_to_a_call_that_fails() -> None:
    run("--short")


def test_what_a_failing_call_did_before_it_does_no_more() -> None:
    run(*(argument for fault in FOUND_BEFORE for argument in ("--fault", fault)))


def test_no_acknowledged_fact_is_lost_as_a_store_that_a_kill_left_is_taken_over() -> None:
    run("--short", "--left-by-kill")

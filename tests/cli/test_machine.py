"""Facts about machines as they are: clocks that are wrong, no shared memory, or little memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kiosk.store.directory import initialise
from tests.conftest import GOLDEN
from tests.store.stored import Clock

KIOSK = [sys.executable, "-m", "kiosk"]
PAIR = ["match", str(GOLDEN / "person_a_1.jpg"), str(GOLDEN / "person_a_2.jpg")]
PATIENCE_S = 300.0  # for one command, on a machine that does much else
ENOUGH_BYTES = 300 << 20


def run(*command: str, prefix: tuple[str, ...] = (), state: Path, **environment: str) -> str:
    """Run a command of the kiosk in a process of its own; return what it printed."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    done = subprocess.run(
        [*prefix, *KIOSK, "--state", str(state), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**known, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def state(tmp_path: Path) -> Path:
    initialise(tmp_path / "state", now=Clock()).close()
    return tmp_path / "state"


@pytest.mark.parametrize("when", ["1970-01-01 00:00:40", "2040-02-03 10:00:00", "2106-03-01 00:00:00"])
def test_a_clock_of_any_year_enrols_finds_and_verifies(tmp_path: Path, when: str) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed (apt install faketime)")
    then, state = ("faketime", "-f", f"@{when}"), tmp_path / "state"

    run("enrol", PAIR[1], "--name", "Person A", prefix=then, state=state)
    run("backup", prefix=then, state=state)

    for prefix in (then, ()):  # and once the clock is right
        assert "1 match(es) found" in run("search", PAIR[2], prefix=prefix, state=state)
        assert "each signed and in its place" in run("log", "verify", prefix=prefix, state=state)
        assert "The store is sound." in run("store", "check", prefix=prefix, state=state)


@pytest.mark.parametrize("mount", ["mount -t tmpfs -o ro none /dev/shm", "mount -t tmpfs -o size=4k none /dev/shm"])
def test_photographs_are_decoded_without_shared_memory_in_dev_shm(mount: str) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mounting wants root")

    within = ("unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh")

    with TemporaryDirectory() as elsewhere:  # what lies in /dev/shm is out of sight then
        assert "Result: Approved" in run(*PAIR, prefix=within, state=Path(elsewhere) / "state")


def test_300_mb_of_memory_are_enough(state: Path) -> None:
    group = Path("/sys/fs/cgroup/memory/kiosk-test")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(ENOUGH_BYTES), encoding="ascii")
    except OSError:
        pytest.skip("this machine limits no memory by control groups of version 1")
    try:
        within = ("sh", "-c", f'echo $$ > {group}/tasks && exec "$@"', "sh")

        assert "Result: Approved" in run(*PAIR, prefix=within, state=state)
        assert int((group / "memory.failcnt").read_text(encoding="ascii")) == 0
    finally:
        group.rmdir()

"""Facts about a store that cannot be read as it is: damaged texts, a read-only card, another account's files."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kiosk.cli.main import main
from kiosk.errors import StoreError
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.upkeep import restore
from tests.store.stored import Clock, enrolment

PLACES = [("IS NOT NULL", 1, 4), ("NOT NULL", 9, 2), ("CREATE TABLE", 2, 14), ("CREATE", 3, 1), ("STRICT", 4, 2)]


@pytest.fixture
def directory(tmp_path):
    with initialise(tmp_path / "state", now=Clock()) as store:
        store.people.enrol(enrolment(1))
    return tmp_path / "state"


def flip(path, text, number, skip):
    """Flip the top bit of the byte `skip` behind the n-th place where a text stands."""
    whole, at = bytearray(path.read_bytes()), -1
    for _ in range(number):
        at = whole.index(text.encode(), at + 1)
    whole[at + skip] ^= 0x80
    path.write_bytes(whole)


@pytest.mark.parametrize(("text", "number", "skip"), PLACES)
def test_a_flipped_bit_in_the_schema_is_damage_that_repair_looks_at(directory, text, number, skip):
    flip(directory / "kiosk.db", text, number, skip)

    with pytest.raises(StoreError, match=r"is damaged \(.*\); run `kiosk store repair`"):
        open_store(directory, read_keys(directory), now=Clock()).people.subjects()

    assert restore.diagnose(directory, read_keys(directory)).damage


def test_no_flipped_bit_of_the_schemas_page_ends_in_anything_but_a_sentence(directory):
    path = directory / "kiosk.db"
    whole = path.read_bytes()
    chosen = np.random.default_rng(0).choice(4096 * 8, 150, replace=False)
    for bit in chosen:
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(spoilt)
        for name in ("kiosk.db-wal", "kiosk.db-shm"):
            (directory / name).unlink(missing_ok=True)
        with contextlib.suppress(StoreError), open_store(directory, read_keys(directory), now=Clock()) as store:
            store.people.subjects()


@pytest.fixture
def read_only_card(directory):
    """Give the store on a file system that is mounted read-only, as a failing card is."""
    if os.geteuid() != 0:
        pytest.skip("mounting wants root")
    commands = (["mount", "--bind", directory, directory], ["mount", "-o", "remount,bind,ro", directory])
    for done, command in enumerate(commands):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            if done:
                subprocess.run(["umount", directory], check=True)
            pytest.skip("this machine lets nobody mount")
    yield directory
    subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize(
    "command",
    [
        ("gallery", "list"),
        ("log", "list"),
        ("log", "verify"),
        ("store", "check"),
        ("backup",),
        ("key", "list"),
        ("forget", "1"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_a_read_only_card_is_no_missing_store(read_only_card, capfd, command):
    code = main(["--state", str(read_only_card), *command])

    said = "".join(capfd.readouterr())
    assert code != 0
    assert "read-only" in said
    assert "kiosk init" not in said
    assert "Traceback" not in said


@pytest.fixture
def failing_card(tmp_path):
    """Give an ext4 of its own, and what makes the kernel find it damaged while it is in use: it writes no more then."""
    if os.geteuid() != 0:
        pytest.skip("mounting wants root")
    image, place = tmp_path / "card.img", tmp_path / "card"
    place.mkdir()
    image.touch()
    os.truncate(image, 64 << 20)
    make = ["mkfs.ext4", "-q", "-F", image]
    if shutil.which("mkfs.ext4") is None or subprocess.run(make, capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no ext4")
    if subprocess.run(
        ["mount", "-o", "loop,errors=remount-ro", image, place], capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine lets nobody mount")
    with open("/proc/mounts", encoding="utf-8") as mounts:  # noqa: PTH123
        device = next(line.split()[0] for line in mounts if line.split()[1] == str(place))
    trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
    if not trigger.exists():
        subprocess.run(["umount", place], check=True)
        pytest.skip("this kernel finds no ext4 damaged on demand")
    yield place, lambda: trigger.write_text("1", encoding="utf-8")
    subprocess.run(["umount", place], check=True)


def test_a_card_that_fails_while_the_store_is_open_is_called_read_only_and_what_was_stored_is_read(failing_card, capfd):
    place, fail = failing_card
    with initialise(place / "state", now=Clock()) as store:
        store.people.enrol(enrolment(1))

        fail()

        with contextlib.suppress(StoreError):  # the first write may be half way: what it says is for a failing disk
            store.people.enrol(enrolment(2))
        with pytest.raises(StoreError, match="mounted read-only"):
            store.people.enrol(enrolment(3))
        assert store.people.subjects().total == 1
    assert main(["--state", str(place / "state"), "gallery", "list"]) == 1
    assert "read-only" in capfd.readouterr().err


def test_a_store_of_another_account_is_no_missing_store(directory):
    if os.geteuid() != 0:
        pytest.skip("becoming another account wants root")
    directory.chmod(0o755)
    for folder in directory.parents:
        with contextlib.suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o055)
    code = "import os, sys; os.setuid(65534); from kiosk.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "--state", directory, "gallery", "list"]

    said = subprocess.run(command, capture_output=True, text=True, check=False)

    if "ModuleNotFoundError" in said.stderr:
        pytest.skip("another account cannot read this checkout")
    assert said.returncode == 1
    assert "kiosk init" not in said.stderr
    assert said.stderr.count("\n") == 1

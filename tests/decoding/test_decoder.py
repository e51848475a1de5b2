"""Strangers' photographs are decoded in processes that have limits, hold nothing, and can be ended."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kiosk.capture import sandbox
from kiosk.decoding.confinement import Limits
from kiosk.decoding.decoder import Decoder
from kiosk.errors import ImageError, StoppingError
from kiosk.recognition.photo import MAX_BYTES, decode
from tests.conftest import GOLDEN
from tests.decoding.bombs import photograph, scan_bomb, slow_picture
from tests.patience import BUSY_S, LIMIT_S, until

QUICK = Limits(processor_s=0.2, wall_s=LIMIT_S)


@pytest.fixture
def decoder():
    with Decoder(Limits(processor_s=LIMIT_S, wall_s=LIMIT_S)) as made:
        yield made


def is_busy(pid):
    """Say whether a worker's child works on a picture: it has closed the pipe by which it was asked."""
    children = text(f"/proc/{pid}/task/{pid}/children").split()
    return any(
        "State:\tZ" not in status and not Path(f"/proc/{child}/fd/0").is_symlink()
        for child in children
        if (status := text(f"/proc/{child}/status"))
    )


def text(path):
    try:
        return Path(path).read_text()
    except OSError:  # it has ended
        return ""


def test_a_decoder_is_nicer_than_its_kiosk_however_nice_that_is():
    code = (
        "import os, sys; os.nice(7)\n"
        "from kiosk.decoding.decoder import Decoder\n"
        "with Decoder() as decoder:\n"
        "    decoder(open(sys.argv[1], 'rb').read())\n"
        "    for one in (0, *decoder.processes):\n"
        "        print(os.getpriority(os.PRIO_PROCESS, one))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, GOLDEN / "person_a_1.jpg"], capture_output=True, text=True, check=True
    )
    kiosk, worker = map(int, done.stdout.split())

    assert worker == min(kiosk + 5, 19)


@pytest.mark.parametrize("name", ["person_a_1.jpg", "person_b_1.jpg"])
def test_the_pixels_are_those_of_the_decoder_in_this_process(decoder, name):
    data = (GOLDEN / name).read_bytes()

    np.testing.assert_array_equal(decoder(data), decode(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_format_and_a_large_picture_come_through(decoder, kind):
    data = photograph(1200, 904, kind)

    picture = decoder(data)

    assert picture.flags.owndata
    np.testing.assert_array_equal(picture, decode(data))


def test_sentences_come_through_as_they_are(decoder):
    with pytest.raises(ImageError, match=r"^Invalid image: a PDF is not JPEG, PNG, WebP or TIFF; save the picture in"):
        decoder(b"%PDF-1.7\n%")
    with pytest.raises(ImageError, match=r"^File size should not exceed 5 MB$"):
        decoder(b"\xff\xd8" + b"\0" * MAX_BYTES)


@pytest.mark.parametrize("scans", [3000, 60_000])
def test_a_scan_bomb_is_refused_before_it_is_decoded(decoder, scans):
    with pytest.raises(ImageError, match=r"^Invalid image: a JPEG of 25 scans or more"):
        decoder(scan_bomb(7000, scans)[:MAX_BYTES])

    assert decoder.processes == (), "it waits for no process, and takes none from others"


def test_a_picture_that_takes_too_much_processor_time_is_stopped_and_the_next_is_decoded():
    with Decoder(QUICK) as decoder:
        with pytest.raises(ImageError, match=r"^Invalid image: it took more than 0.2 s of processor time"):
            decoder(slow_picture())

        assert decoder(photograph()).shape == (64, 96, 3)


def test_a_picture_that_takes_too_long_by_the_wall_is_stopped_and_its_process_replaced():
    with Decoder(Limits(processor_s=LIMIT_S, wall_s=0.5), most=1) as decoder:
        decoder.warm()
        first = decoder.processes
        with pytest.raises(ImageError, match=r"^Invalid image: it could not be decoded within 0.5 s"):
            decoder(slow_picture())

        until(lambda: decoder.processes and decoder.processes != first)
        assert not Path(f"/proc/{first[0]}").exists()


def test_a_picture_that_takes_too_much_memory_is_refused():
    with (
        Decoder(Limits(processor_s=LIMIT_S, wall_s=LIMIT_S, memory_mb=250)) as decoder,
        pytest.raises(ImageError, match=r"^Invalid image: it takes more memory"),
    ):
        decoder(photograph(8000, 6000, quality=20))


def test_others_are_decoded_while_one_picture_takes_its_time(decoder):
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(decoder, slow_picture())
        until(lambda: any(is_busy(pid) for pid in decoder.processes))

        for _ in range(3):
            assert decoder(photograph()).shape == (64, 96, 3)

        assert not slow.done()
        decoder.close()
        with pytest.raises(StoppingError):
            slow.result(BUSY_S)


def test_a_process_that_is_killed_gives_a_sentence_and_is_replaced(decoder):
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(decoder, slow_picture())
        until(lambda: any(is_busy(pid) for pid in decoder.processes))
        killed = decoder.processes
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

        with pytest.raises(ImageError, match=r"^Invalid image: "):
            slow.result(LIMIT_S)

    assert decoder(photograph()).shape == (64, 96, 3)
    assert not set(killed) & set(decoder.processes)


def is_gone(pid):
    status = text(f"/proc/{pid}/status")
    return not status or "State:\tZ" in status


def test_a_process_that_died_while_it_had_nothing_to_do_costs_no_picture(decoder):
    decoder(photograph())
    for pid in decoder.processes:
        os.kill(pid, signal.SIGKILL)
        until(partial(is_gone, pid))

    assert decoder(photograph()).shape == (64, 96, 3)


def test_whoever_waits_for_a_process_is_told_that_the_kiosk_stops():
    decoder = Decoder(Limits(processor_s=LIMIT_S, wall_s=LIMIT_S), most=1)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(decoder, slow_picture()) for _ in range(2)]
        until(lambda: any(is_busy(pid) for pid in decoder.processes))

        decoder.close()

        for call in calls:
            with pytest.raises(StoppingError):
                call.result(BUSY_S)
    with pytest.raises(StoppingError):
        decoder(photograph())


def test_no_process_outlives_its_decoder():
    decoder = Decoder()
    decoder(photograph())
    pids = decoder.processes

    del decoder
    gc.collect()

    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_no_process_outlives_a_kiosk_that_was_killed():
    program = (
        "from tests.decoding.bombs import *; from kiosk.decoding.decoder import *; import threading, time\n"
        "d = Decoder(Limits(30.0, 30.0)); threading.Thread(target=d, args=(slow_picture(),), daemon=True).start()\n"
        "while not d.processes: time.sleep(0.01)\n"
        "print(*d.processes, flush=True); time.sleep(60)"  # it stays until it is killed, in the middle of a picture
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    until(lambda: is_busy(pid))

    run.kill()
    run.communicate()

    until(lambda: "State:\tZ" in text(f"/proc/{pid}/status") or not text(f"/proc/{pid}/status"))


def test_a_process_has_none_of_our_environment_and_none_of_our_files(decoder, tmp_path, monkeypatch):
    monkeypatch.setenv("KIOSK_SECRET", "never to be seen")
    with (tmp_path / "kiosk.key").open("w") as key:
        os.set_inheritable(key.fileno(), True)
        decoder(photograph())
        (pid,) = decoder.processes

        environment = Path(f"/proc/{pid}/environ").read_bytes()
        held = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}

    assert b"never" not in environment
    names = {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry}
    assert {name for name in names if not name.startswith(b"glibc.")} <= {  # glibc cuts its own text up
        b"OMP_NUM_THREADS",
        b"OPENBLAS_NUM_THREADS",
        b"GLIBC_TUNABLES",
    }
    assert all(one.startswith(("pipe:", "/memfd:kiosk-", "/dev/null", "anon_inode:[pidfd]")) for one in held), held


PICTURES = ("JPEG", "PNG", "WEBP", "TIFF")
INPUTS = int(os.environ.get("KIOSK_TEST_INPUTS", "150"))  # a third of it here; more look for longer


def test_a_picture_with_bytes_changed_cut_or_doubled_is_one_or_refused_and_ends_no_worker(decoder):
    rng = np.random.default_rng(int(os.environ.get("KIOSK_TEST_SEED", "0")))
    lying = Image.Exif()
    lying[0x0112] = 6
    wholes = [photograph(96, 64, kind, **more) for kind in PICTURES for more in ({}, {"exif": lying})]
    wholes.append(photograph(96, 64, "JPEG", progressive=True))
    decoder(wholes[0])
    before = decoder.processes
    crashed = []

    for _ in range(INPUTS // 3):
        data = bytearray(wholes[rng.integers(len(wholes))])
        for _ in range(rng.integers(1, 8)):
            at, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
            how = rng.integers(4)
            if how == 0:
                data[at] = rng.integers(256)
            elif how == 1 and len(data) > length + 1:
                del data[at : at + length]
            elif how == 2:
                data[at:at] = data[at : at + length] * int(rng.integers(1, 30))
            else:
                marks = b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01"
                data[at : at + 4] = marks[int(rng.integers(len(marks)))]
        try:
            decoder(bytes(data))
        except ImageError as error:
            if "signal" in str(error):
                crashed.append(bytes(data))

    assert crashed == [], "a decoder that crashes is a bug of its library: keep the file as a test"
    assert decoder.processes == before


CONFINED = """
import os, socket, ctypes
from kiosk.decoding.confinement import confine
assert confine()
def refused(act):
    try:
        act()
    except (PermissionError, ValueError):  # what resource makes of it
        return True
    return False
acts = {
    "open": lambda: open("/etc/hostname"),
    "connect": lambda: socket.socket(socket.AF_INET),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "signal": lambda: os.kill(os.getppid(), 0),
    "start": lambda: os.fork(),
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "list": lambda: os.listdir("/proc"),
    "limit": lambda: __import__("resource").setrlimit(7, (1, 1)),
}
os.write(1, " ".join(name for name, act in acts.items() if not refused(act)).encode() or b"all refused")
"""


WALLED = """
import os, socket
from kiosk.decoding.confinement import close_files, limit_memory, Limits
held = open("/etc/hostname")
limit_memory(Limits())
print(close_files(), flush=True)
def refused(act):
    try:
        act()
    except PermissionError:
        return True
    return False
acts = {
    "open": lambda: open("/etc/hostname"),
    "make": lambda: open("/tmp/kiosk-walled", "w"),
    "list": lambda: os.listdir("/proc"),
    "execute": lambda: os.execv("/bin/true", ["true"]),
}
os.write(1, " ".join(name for name, act in acts.items() if not refused(act)).encode() or b"all refused")
"""


def test_without_a_filter_of_calls_landlock_alone_keeps_every_file_closed():
    if sandbox.landlock_version() == 0:
        pytest.skip("this kernel has no Landlock")

    done = subprocess.run([sys.executable, "-c", WALLED], capture_output=True, text=True, check=False)

    assert done.stdout.split("\n") == ["True", "all refused"], done.stderr


def test_both_walls_stand_around_a_worker_and_nobody_owns_it_where_root_started_it(decoder, caplog):
    decoder(photograph())
    (pid,) = decoder.processes
    (child,) = text(f"/proc/{pid}/task/{pid}/children").split() or [None]
    status = dict(line.split(":\t") for line in text(f"/proc/{child or pid}/status").splitlines() if ":\t" in line)

    if sandbox.landlock_version():
        assert not caplog.records, "a wall that is missing is told"
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65534"}
        assert status["CapEff"] == "0" * 16
        assert status["Groups"].strip() == ""


def test_a_confined_process_can_open_connect_signal_and_start_nothing():
    done = subprocess.run([sys.executable, "-c", CONFINED], capture_output=True, text=True, check=False)

    assert done.stdout == "all refused", done.stderr


def test_many_threads_share_few_processes(decoder):
    data = [photograph(8 * (one + 8), 64) for one in range(12)]
    barrier = threading.Barrier(6)

    def ask(one):
        if one < 6:
            barrier.wait(LIMIT_S)
        return decoder(data[one]).shape

    with ThreadPoolExecutor(6) as pool:
        shapes = list(pool.map(ask, range(12)))

    assert shapes == [(64, 8 * (one + 8), 3) for one in range(12)]
    assert len(decoder.processes) <= max(2, os.cpu_count() or 1)


def test_nothing_decodes_a_strangers_picture_in_the_kiosks_own_process():
    """Neither are the golden pictures of the model pack, nor the files that an operator names to a command."""
    package = Path(__file__).parent.parent.parent / "kiosk"
    importing = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"recognition\.photo import [^\n]*\bdecode\b|photo\.decode\(", path.read_text(encoding="utf-8"))
    }

    assert importing == {
        "decoding/worker.py",
        "networks/self_test.py",  # golden faces, by their checksum in the pack
        "networks/own_pack.py",  # likewise, to see whether an imported recogniser tells them apart
        "cli/evaluation/accept_camera.py",  # kiosk accept: what the kiosk of this device encoded itself
        "networks/liveness.py",  # golden presentations, likewise
        "evaluation/photographs.py",  # kiosk evaluate: a folder of the operator's own, beside no key
        "evaluation/pad_replay.py",  # likewise: clips that kiosk evaluate pad replays
        "cli/evaluation/pad.py",  # kiosk liveness: one file of the operator's own
    }


def test_a_large_jpeg_comes_at_half_its_edges_where_that_will_do(decoder):
    large, small = photograph(3000, 2002), photograph(300, 200)

    (image, scale), (same, whole) = decoder.halved(large), decoder.halved(small)

    assert (image.shape, scale) == ((1001, 1500, 3), 2)
    assert (same.shape, whole) == ((200, 300, 3), 1)
    assert decoder(large).shape == (2002, 3000, 3)

"""Facts about the hand-over of frames between processes."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kiosk.capture.process import Child
from kiosk.capture.slot import _ABOUT, About, Attention, _values, made
from kiosk.capture.sources import parse_source
from kiosk.errors import CameraLostError
from kiosk.settings.sections import CameraSettings
from tests.patience import BUSY_S, LIMIT_S

SHAPE = (240, 320, 3)
WRITER = """
import json, sys
told = json.load(sys.stdin)
sys.path[:] = told["path"]
import numpy as np
from kiosk.capture.slot import About, Slot
slot = Slot(told["memory"], told["bell"], told["pixels"])
image = np.empty(told["shape"], np.uint8)
number = 0
while not slot.is_stopped:
    number += 1
    image[:] = number % 251
    slot.put(image, About(number, 0.0, *image.shape[:2], 0.0, 0.0, number))
"""


def about(number, image):
    height, width, _ = image.shape
    return About(number, 0.5, height, width, 100.0, 50.0, number)


@pytest.fixture
def slot():
    slot = made(SHAPE[0] * SHAPE[1])
    yield slot
    slot.close()


def other_end(slot):
    """The slot of a writer that died, opened by the next one: what two processes do, in one."""
    return type(slot)(os.dup(slot.memory_fd), os.dup(slot.bell_fd), SHAPE[0] * SHAPE[1])


def test_an_empty_slot_gives_nothing(slot):
    assert slot.newest() is None
    assert slot.take() is None
    assert slot.note() == ("", False)


def test_the_reader_gets_the_newest_frame_and_no_queue(slot):
    writer = other_end(slot)
    for number in range(1, 8):
        image = np.full(SHAPE, number, np.uint8)
        writer.put(image, about(number, image))

    frame, told = slot.take()

    assert (frame.number, told.number, slot.newest().number) == (7, 7, 7)
    assert (frame.image == 7).all()
    writer.close()


def test_the_same_frame_can_be_taken_twice_and_belongs_to_who_took_it(slot):
    writer = other_end(slot)
    image = np.full(SHAPE, 1, np.uint8)
    writer.put(image, about(1, image))
    first, _ = slot.take()
    first.image[:] = 99

    again, _ = slot.take()

    assert (again.image == 1).all()
    writer.close()


def test_frames_may_change_their_size_and_may_not_outgrow_the_slot(slot):
    writer = other_end(slot)
    small, large = np.full((10, 7, 3), 5, np.uint8), np.zeros((241, 320, 3), np.uint8)
    writer.put(np.zeros(SHAPE, np.uint8), about(1, np.zeros(SHAPE)))
    writer.put(small, about(2, small))

    with pytest.raises(CameraLostError, match=r"320 x 241 px are more than the 76800 pixels of \[camera\] max_pixels"):
        writer.put(large, about(3, large))

    assert slot.take()[0].image.shape == (10, 7, 3)
    writer.close()


def test_waiting_ends_with_a_frame_or_with_its_time(slot):
    began = time.monotonic()
    slot.wait(0.02)
    waited = time.monotonic() - began
    slot.ring()
    slot.wait(LIMIT_S)

    assert 0.02 <= waited < BUSY_S


def test_the_writer_hears_how_often_the_reader_looked_and_what_came_of_it(slot):
    writer = other_end(slot)
    image = np.full(SHAPE, 1, np.uint8)
    before = writer.attention()
    writer.put(image, about(1, image))
    slot.take()
    slot.take()  # the same frame is no second look
    slot.tell(2, is_idle=True)

    assert (before, writer.attention()) == (Attention(), Attention(looks=1, decisions=2, is_idle=True))
    writer.close()


def test_a_note_longer_than_its_room_is_cut(slot):
    slot.leave_note("x" * 10_000, final=True)

    text, is_final = slot.note()

    assert is_final
    assert set(text) == {"x"}


@pytest.fixture
def writing(slot):
    """A process that writes as fast as it can."""
    import json

    told = {"path": sys.path, "memory": slot.memory_fd, "bell": slot.bell_fd, "shape": SHAPE}
    told["pixels"] = SHAPE[0] * SHAPE[1]
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, pass_fds=(slot.memory_fd, slot.bell_fd)
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(told).encode())
        process.stdin.close()
        slot.wait(LIMIT_S)
        yield process
        process.kill()


@pytest.mark.usefixtures("writing")
def test_no_frame_is_torn_while_the_writer_never_rests(slot):
    numbers: list[int] = []
    seen: set[int] = set()
    begun = time.monotonic()
    while (took := time.monotonic() - begun) < 1.0 or (took < LIMIT_S and not max(numbers, default=0) > len(seen) > 10):
        if (taken := slot.take()) is None:  # the writer was stopped with the lock in its hand
            continue
        frame, told = taken
        assert (frame.image == frame.number % 251).all()
        assert told.number == told.digest == frame.number
        numbers.append(frame.number)
        seen.add(frame.number)

    assert numbers == sorted(numbers)
    assert numbers[-1] > len(seen) > 10


def test_a_writer_killed_at_any_moment_leaves_the_lock_free_and_a_whole_frame(slot, writing):
    writing.send_signal(signal.SIGKILL)
    writing.wait()

    frame, _ = slot.take()

    assert (frame.image == frame.number % 251).all()


def test_a_writer_stopped_at_any_moment_never_stops_the_reader(slot, writing):
    for _ in range(50):
        writing.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        slot.take()
        slot.newest()
        assert time.monotonic() - began < BUSY_S
        writing.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("missing", ["os.eventfd", "mmap.mmap", "subprocess.Popen"])
def test_a_machine_without_descriptors_or_processes_loses_none_with_each_try(monkeypatch, missing):
    def refuse(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    settings = CameraSettings(source="v4l2:/dev/video99")
    source = parse_source(settings.source)
    monkeypatch.setattr(missing, refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(OSError, match="Too many open files"):
            Child(source, settings, 1)

    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # what other tests left may be closed meanwhile


@pytest.mark.parametrize(("height", "width"), [(2**32 - 1, 2**32 - 1), (SHAPE[0] + 1, SHAPE[1]), (0, 5)])
def test_a_writer_that_lies_about_its_frame_gets_none_taken(slot, height, width):
    image = np.zeros(SHAPE, np.uint8)
    slot.put(image, about(1, image))
    _ABOUT.pack_into(slot._memory, 128, *_values(About(2, 0.5, height, width, 1.0, 1.0, 2)))
    _ABOUT.pack_into(slot._memory, 128 + 64, *_values(About(2, 0.5, height, width, 1.0, 1.0, 2)))
    _ABOUT.pack_into(slot._memory, 128 + 128, *_values(About(2, 0.5, height, width, 1.0, 1.0, 2)))

    assert slot.take() is None


def test_a_writer_that_names_a_buffer_which_is_not_there_gets_none_taken(slot):
    slot._memory[8:10] = b"\xff\x01"

    assert slot.take() is None

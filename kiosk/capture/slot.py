"""The newest frame, handed from one process to another through shared memory.

Three buffers: the writer fills one, the reader holds one, and the newest whole frame lies in the third.
Handing over swaps two of them under a lock, so nobody waits for the other's copying, no frame is ever
torn, and a slow reader finds the newest frame and no queue. The lock is a POSIX record lock: the kernel
lets go of it when a process dies, and its system calls order the memory on every processor. The memory
has no name (memfd), so there is nothing to leave behind.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import struct
import time
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from kiosk.errors import CameraLostError
from kiosk.types import Frame, RgbImage

BUFFERS = 3
CHANNELS = 3
CONTROL_BYTES = mmap.PAGESIZE
_ORDER = struct.Struct("<BB")  # the buffer in the middle; has the reader not seen it
_NOTE = struct.Struct("<BxxxI")  # is the note no fault; its length
_ATTENTION = struct.Struct("<II??")  # the reader's Attention
_ABOUT = struct.Struct("<QdIIddQ")  # one frame's About
_STOP_AT, _ORDER_AT, _NOTE_AT, _ATTENTION_AT, _EXPOSURE_AT, _NEWEST_AT, _BUFFERS_AT = 0, 8, 16, 24, 48, 64, 128
_WALLS_AT, _TEXT_AT = 384, 512
_ABOUT_STRIDE = 64
TEXT_BYTES = CONTROL_BYTES - _TEXT_AT
LOCK_TRIES, LOCK_PAUSE_S = 50, 0.0001  # a writer that was stopped with the lock in its hand must not stop us


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a frame without looking at its pixels again."""

    number: int  # from 1, with gaps where frames were dropped
    captured_at: float  # s, the monotonic clock
    height: int  # px
    width: int  # px
    luma: float  # 0..255, mean
    contrast: float  # 0..128, standard deviation of the luma
    digest: int  # two frames with the same one have the same pixels


class Exposure(IntEnum):
    """Who chooses a camera's exposure and white balance."""

    AUTOMATIC = 0  # the camera, all the time
    HELD = 1  # they stay as they were when the reader asked for it
    CANNOT = 2  # the camera, though the reader asked: it cannot be told


@dataclass(frozen=True, slots=True)
class Attention:
    """What the reader made of the frames so far; a demo's people go by it."""

    looks: int = 0  # frames taken
    decisions: int = 0  # about somebody
    is_idle: bool = False  # whether nobody is followed or decided about now
    holds_exposure: bool = False  # whether exposure and white balance are to stay as they are


class Slot:
    """One end of the hand-over; either end may vanish at any time."""

    def __init__(self, memory_fd: int, bell_fd: int, max_pixels: int) -> None:
        """Map the memory; `made` makes a new slot.

        Args:
            memory_fd: of `size_bytes(max_pixels)`; this object closes it.
            bell_fd: an eventfd, rung with each frame; this object closes it.
            max_pixels: largest frame that fits.
        """
        self.memory_fd, self.bell_fd = memory_fd, bell_fd
        self._capacity = max_pixels * CHANNELS
        self._memory = mmap.mmap(memory_fd, size_bytes(max_pixels))
        self.is_closed = False
        self._back, self._front = 0, 1  # the writer's and the reader's; the control block begins with 2 between them

    def close(self) -> None:
        """Let go of memory and descriptors."""
        self.is_closed = True
        self._memory.close()
        os.close(self.memory_fd)
        os.close(self.bell_fd)

    # The writer's end

    def put(self, image: RgbImage, about: About) -> None:
        """Hand over a frame.

        Raises:
            CameraLostError: the frame is larger than the slot.
        """
        if image.size > self._capacity:
            taken = self._capacity // CHANNELS
            raise CameraLostError(
                f"frames of {about.width} x {about.height} px are more than the {taken} pixels of [camera] max_pixels"
            )
        np.copyto(self._pixels(self._back, about), image)
        _ABOUT.pack_into(self._memory, _BUFFERS_AT + self._back * _ABOUT_STRIDE, *_values(about))
        fcntl.lockf(self.memory_fd, fcntl.LOCK_EX, 1)
        try:
            middle, _ = _ORDER.unpack_from(self._memory, _ORDER_AT)
            _ORDER.pack_into(self._memory, _ORDER_AT, self._back, 1)
            _ABOUT.pack_into(self._memory, _NEWEST_AT, *_values(about))
        finally:
            fcntl.lockf(self.memory_fd, fcntl.LOCK_UN, 1)
        self._back = middle
        self.ring()

    def leave_note(self, sentence: str, *, final: bool) -> None:
        """Say why there will be no more frames; `final` when that is no fault."""
        text = sentence.encode()[:TEXT_BYTES]
        self._memory[_TEXT_AT : _TEXT_AT + len(text)] = text
        _NOTE.pack_into(self._memory, _NOTE_AT, final, len(text))

    def tell_walls(self, walls: str) -> None:
        """Say what shuts the writer in."""
        text = walls.encode()[: _TEXT_AT - _WALLS_AT]
        self._memory[_WALLS_AT : _WALLS_AT + len(text)] = text

    def tell_exposure(self, exposure: Exposure) -> None:
        """Say who chooses the exposure now."""
        self._memory[_EXPOSURE_AT] = exposure

    @property
    def is_stopped(self) -> bool:
        """Whether the reader wants no more."""
        return bool(self._memory[_STOP_AT])

    def attention(self) -> Attention:
        """Return what the reader made of the frames."""
        fcntl.lockf(self.memory_fd, fcntl.LOCK_EX, 1)
        try:
            return Attention(*_ATTENTION.unpack_from(self._memory, _ATTENTION_AT))
        finally:
            fcntl.lockf(self.memory_fd, fcntl.LOCK_UN, 1)

    # The reader's end

    def tell(self, decisions: int, *, is_idle: bool, holds_exposure: bool = False) -> None:
        """Tell the writer what its frames led to; it hears the newest word alone, and none while it holds the lock."""
        if not self._locked():
            return
        try:
            looks, *_ = _ATTENTION.unpack_from(self._memory, _ATTENTION_AT)
            _ATTENTION.pack_into(self._memory, _ATTENTION_AT, looks, decisions, is_idle, holds_exposure)
        finally:
            fcntl.lockf(self.memory_fd, fcntl.LOCK_UN, 1)

    def stop(self) -> None:
        """Ask the writer to end."""
        self._memory[_STOP_AT] = 1

    def ring(self) -> None:
        """Wake whoever waits."""
        os.eventfd_write(self.bell_fd, 1)

    def wait(self, timeout_s: float) -> None:
        """Return when a frame came, somebody rang or time is up."""
        bell = select.poll()
        bell.register(self.bell_fd, select.POLLIN)
        if bell.poll(max(0.0, timeout_s) * 1000.0):
            os.eventfd_read(self.bell_fd)

    def newest(self) -> About | None:
        """Tell about the newest frame; None before the first, and when the writer holds on to the lock."""
        if not self._locked():
            return None
        try:
            about = About(*_ABOUT.unpack_from(self._memory, _NEWEST_AT))
        finally:
            fcntl.lockf(self.memory_fd, fcntl.LOCK_UN, 1)
        return about if about.number else None

    def take(self) -> tuple[Frame, About] | None:
        """Return the newest frame in memory of its own; None as `newest` does."""
        if not self._locked():
            return None
        try:
            middle, is_fresh = _ORDER.unpack_from(self._memory, _ORDER_AT)
            if is_fresh and middle < BUFFERS:
                _ORDER.pack_into(self._memory, _ORDER_AT, self._front, 0)
                self._front = middle
                looks, *told = _ATTENTION.unpack_from(self._memory, _ATTENTION_AT)
                _ATTENTION.pack_into(self._memory, _ATTENTION_AT, looks + 1 & 0xFFFFFFFF, *told)
        finally:
            fcntl.lockf(self.memory_fd, fcntl.LOCK_UN, 1)
        about = About(*_ABOUT.unpack_from(self._memory, _BUFFERS_AT + self._front * _ABOUT_STRIDE))
        if not about.number or not self._fits(about):
            return None
        return Frame(self._pixels(self._front, about).copy(), about.captured_at, about.number), about

    def note(self) -> tuple[str, bool]:
        """Return what the writer said at its end, and whether that is no fault."""
        is_final, length = _NOTE.unpack_from(self._memory, _NOTE_AT)
        return self._memory[_TEXT_AT : _TEXT_AT + length].decode(errors="replace"), bool(is_final)

    def walls(self) -> str:
        """Return what shuts the writer in; empty before it is."""
        return self._memory[_WALLS_AT:_TEXT_AT].rstrip(b"\0").decode(errors="replace")

    def exposure(self) -> Exposure:
        """Return who chooses the exposure; whatever a writer out of its mind may say is that it cannot be held."""
        told = self._memory[_EXPOSURE_AT]
        return Exposure(told) if told in Exposure._value2member_map_ else Exposure.CANNOT

    def _locked(self) -> bool:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.lockf(self.memory_fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
            except OSError:
                time.sleep(LOCK_PAUSE_S)  # the other side holds it for microseconds; blocking could be indefinitely
            else:
                return True
        return False

    def _fits(self, about: About) -> bool:
        """Say whether a frame is one that a writer in its right mind could have put there."""
        return 0 < about.height * about.width * CHANNELS <= self._capacity

    def _pixels(self, buffer: int, about: About) -> RgbImage:
        """Return a view of one buffer; it must be gone before `close`."""
        start = CONTROL_BYTES + buffer * _page_rounded(self._capacity)
        flat = np.frombuffer(self._memory, np.uint8, about.height * about.width * CHANNELS, start)
        return flat.reshape(about.height, about.width, CHANNELS)


def made(max_pixels: int) -> Slot:
    """Make a new slot; its memory is spent as frames fill it, not before."""
    with ExitStack() as opened:
        memory_fd = os.memfd_create("kiosk-frames", os.MFD_CLOEXEC)
        opened.callback(os.close, memory_fd)
        os.ftruncate(memory_fd, size_bytes(max_pixels))
        bell_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        opened.callback(os.close, bell_fd)
        slot = Slot(memory_fd, bell_fd, max_pixels)
        opened.pop_all()  # they are the slot's
    _ORDER.pack_into(slot._memory, _ORDER_AT, 2, 0)  # noqa: SLF001 -- this is its constructor
    return slot


def size_bytes(max_pixels: int) -> int:
    """Return how much memory a slot spans."""
    return CONTROL_BYTES + BUFFERS * _page_rounded(max_pixels * CHANNELS)


def _page_rounded(count: int) -> int:
    return -(-count // mmap.PAGESIZE) * mmap.PAGESIZE


def _values(about: About) -> tuple[float, ...]:
    return (
        about.number,
        about.captured_at,
        about.height,
        about.width,
        about.luma,
        about.contrast,
        about.digest,
    )

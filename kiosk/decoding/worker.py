"""The other side: a process that never looks at a picture itself, and has a child ready for the next that comes.

A child decodes one picture and ends, so a decoder that its sender took over sees no other; the next begins from clean
memory. It is forked and warm before it is asked, so that nobody waits for that.
"""

from __future__ import annotations

import fcntl
import gc
import io
import json
import mmap
import os
import select
import signal
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from kiosk.decoding.codes import codes_in
from kiosk.decoding.confinement import (
    Limits,
    close_files,
    confine,
    die_with,
    leave_account,
    limit_memory,
    limit_processor,
    start_timer,
)
from kiosk.decoding.wire import MOST_SENTENCE, REQUEST, STATUS
from kiosk.errors import ImageError
from kiosk.recognition.photo import DOCUMENT_BYTES, decode, own_memory
from kiosk.types import RgbImage

LARGE_PIXELS = 13_000_000
"""From here on one picture is decoded at a time, of all processes: two of the largest do not fit beside a kiosk."""

NICENESS, NICEST = 5, 19  # above the kiosk's own: the door's frames come first where both want a core
REQUESTS, REPLIES = 0, 1  # standard input and output


def serve(told: Mapping[str, Any]) -> None:
    """Decode until nobody asks any more.

    Args:
        told: descriptors `picture`, `pixels`, `turn` and `ends`, and `limits` as `Limits` takes them.
    """
    limits = Limits(**told["limits"])
    warnings.simplefilter("ignore")  # a warning's text is read from a source file, which a child may not open
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, NICEST))
    samples = _load_codes() if told["reads_codes"] else _load_everything()
    leave_account()
    limit_memory(limits)
    told = {**told, "landlock": close_files()}
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    status = 0
    while status == 0:  # after a crash nothing is taken for granted: another process takes over
        child = os.fork()
        if child == 0:
            _decode_one(told, limits, parent, samples)
        status = _ended(child)
        os.write(told["ends"], STATUS.pack(status))


def _load_everything() -> list[bytes]:
    """Have what Pillow loads with the first picture of a kind loaded now: a child can open no file.

    Returns:
        A picture to warm a child with, as large as a camera's and upright: turning one would take twice the work, for
        each picture anew, and spare only those that lie on their side a millisecond.
    """
    with suppress(ImportError):
        import pillow_heif  # noqa: F401, PLC0415  an extra
    grey = Image.fromarray(np.full((480, 640, 3), 127, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        held = io.BytesIO()
        grey.save(held, kind, exif=exif)
        decode(held.getvalue())
    upright = io.BytesIO()
    grey.save(upright, "JPEG")
    return [upright.getvalue()]


def _load_codes() -> list[bytes]:
    """Have all that searching for codes needs loaded now; a child has nothing to warm with, it is cheap enough."""
    codes_in(np.full((64, 64), 255, np.uint8), with_pdf417=True)
    return []


def _write(descriptor: int, held: memoryview | bytes) -> None:
    at = 0
    while at < len(held):
        at += os.pwrite(descriptor, held[at:], at)


def _ended(child: int) -> int:
    """Wait for a child's end; end both where whoever asked has gone."""
    descriptor = os.pidfd_open(child)
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    waiting.register(REQUESTS, 0)  # hang-ups are always told
    while all(number != descriptor for number, _ in waiting.poll()):
        os.kill(child, signal.SIGKILL)
        os._exit(0)
    os.close(descriptor)
    return os.waitpid(child, 0)[1]


def _decode_one(told: Mapping[str, Any], limits: Limits, parent: int, samples: Sequence[bytes]) -> NoReturn:
    """Wait for a picture, decode it, leave pixels and a word, and end; nothing of this returns into the loop above."""
    try:
        os.close(told["ends"])  # the word that this child has ended is not its own to give
        die_with(parent)
        limit_processor(limits)
        gc.disable()
        for sample in samples:
            decode(sample)  # touches the memory that decoding touches, which a fork has yet to copy
        walls = [name for name, stands in (("landlock", told["landlock"]), ("seccomp", confine())) if stands]
        request = os.read(REQUESTS, REQUEST.size)
        if len(request) < REQUEST.size:
            os._exit(0)
        start_timer(limits)
        os.close(REQUESTS)
        length, with_heic, halved, grey_width, grey_height, with_pdf417 = REQUEST.unpack(request)
        whole = 0
        data = os.pread(told["picture"], length, 0)
        if told["reads_codes"]:
            grey = np.frombuffer(data, np.uint8).reshape(grey_height, grey_width)
            codes = [(one.kind, one.text) for one in codes_in(grey, with_pdf417=with_pdf417)]
            written = json.dumps(codes).encode()
            _write(told["pixels"], written)  # a pipe takes less at once than they may have
            os.write(REPLIES, json.dumps({"length": len(written), "walls": walls, "is_half": False}).encode())
            os._exit(0)

        def room(height: int, width: int) -> RgbImage:
            if height * width < LARGE_PIXELS:  # memory of its own and one copy: faster than a fault for each page
                return own_memory(height, width)
            os.ftruncate(told["pixels"], height * width * 3)
            memory = mmap.mmap(told["pixels"], height * width * 3)
            return np.frombuffer(memory, np.uint8).reshape(height, width, 3)

        def begin(pixels: int) -> None:
            nonlocal whole
            whole = pixels
            if pixels >= LARGE_PIXELS:
                fcntl.lockf(told["turn"], fcntl.LOCK_EX)  # let go of when this process ends

        try:
            image = decode(data, room, begin=begin, with_heic=with_heic, halved=halved, most_bytes=DOCUMENT_BYTES)
            height, width, _ = image.shape
            if height * width < LARGE_PIXELS:
                _write(told["pixels"], image.reshape(-1).data)
            said: dict[str, Any] = {"height": height, "width": width, "walls": walls}
            said["is_half"] = whole > 2 * height * width
        except ImageError as error:
            said = {"error": str(error)[:MOST_SENTENCE], "walls": walls}
        os.write(REPLIES, json.dumps(said).encode())
        os._exit(0)
    finally:
        os._exit(1)

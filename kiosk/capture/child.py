"""The process that captures: what its main does, and no more imported than its camera needs.

A kiosk has it beside itself for good, so it stays small: settings, logging and what drives other cameras stay out.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kiosk.capture.sandbox import confine
from kiosk.capture.slot import About, Slot
from kiosk.capture.sources import RecordingEndedError, Source, load, parse_source, shots
from kiosk.errors import CameraLostError
from kiosk.recognition.image import rotate, shrink
from kiosk.rules.text import ended
from kiosk.types import RgbImage

PR_SET_PDEATHSIG = 1  # Linux, include/uapi/linux/prctl.h
SAMPLE_STEP = 8  # every eighth row and column tells the brightness


@dataclass(frozen=True, slots=True)
class Orders:
    """What of the section [camera] the process needs; it travels as JSON."""

    source: str
    portraits: tuple[str, ...]
    max_pixels: int
    long_edge: int
    rotation: int
    mirror: bool
    warmup_frames: int


def run(told: Mapping[str, Any]) -> None:
    """Capture until the reader wants no more or the camera stops: the child's main."""
    die_with(told["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells us when to end
    cv2.setNumThreads(1)  # the recogniser needs the other cores
    orders = Orders(**told["orders"])
    slot = Slot(told["memory"], told["bell"], orders.max_pixels)
    source = parse_source(orders.source, [Path(path) for path in orders.portraits])
    load(source)
    try:
        slot.tell_walls(confine(source, orders.max_pixels))
        write_frames(source, orders, slot, told["first_number"])
    except RecordingEndedError:
        slot.leave_note("", final=True)
    except CameraLostError as error:
        slot.leave_note(ended(str(error)), final=False)
    except Exception as error:  # noqa: BLE001 -- the child's main: whatever it was, the parent must hear of it
        slot.leave_note(source.hide(ended(f"{type(error).__name__}: {error}")), final=False)
    slot.ring()
    os._exit(0)  # a camera's threads may hang; nothing of ours is left to tidy up


def die_with(parent: int) -> None:
    """End this process when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we said so
        os._exit(1)


def write_frames(source: Source, orders: Orders, slot: Slot, first_number: int) -> None:
    """Turn what a camera sees the right way up, look at it, and put it into the slot."""
    dropped = 0 if source.is_recorded else orders.warmup_frames
    with contextlib.closing(shots(source, slot.attention, slot.tell_exposure)) as frames:
        for number, (image, captured_at) in enumerate(frames, first_number - dropped):
            if slot.is_stopped:
                break
            if number < first_number:
                continue
            if 0 < orders.long_edge < max(image.shape[:2]):  # every later step costs by the pixel
                image, _ = shrink(image, orders.long_edge)  # noqa: PLW2901
            upright = rotate(image, orders.rotation)
            if orders.mirror:
                upright = np.asarray(cv2.flip(upright, 1), np.uint8)
            slot.put(upright, look(upright, number, captured_at))


def look(image: RgbImage, number: int, captured_at: float) -> About:
    """Measure what the watch wants to know of a frame.

    The digest is a checksum of every eighth row and the sum of all bytes: the pixels of a live sensor
    differ in both, and it takes a fifth of the time of a checksum of everything.
    """
    height, width = image.shape[:2]
    luma = cv2.cvtColor(np.ascontiguousarray(image[::SAMPLE_STEP, ::SAMPLE_STEP]), cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(luma)
    flat = image.reshape(-1)
    words = flat[: flat.size // 8 * 8].view(np.uint64)
    rows = zlib.crc32(image[::SAMPLE_STEP].tobytes())
    digest = (int(np.add.reduce(words)) & 0xFFFFFFFF) << 32 | rows
    return About(number, captured_at, height, width, float(mean[0, 0]), float(deviation[0, 0]), digest)

"""This side: asks a process for the pixels of a photograph, and ends it when it takes too long or when nobody waits.

    caller ─▶ Decoder ─▶ a child for one picture: limits, no files, no network ◀─ forked ahead by a worker process
              pixels ◀─ shared memory ◀──┘

Workers are started when they are wanted and kept warm; one that ends is replaced. What a child says is checked: it may
be the word of whoever sent the picture. That it has ended its worker says, before the next picture is handed over.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kiosk.decoding.codes import MOST_CODES, Barcode
from kiosk.decoding.confinement import Limits
from kiosk.decoding.wire import MOST_CODES_BYTES, MOST_REPLY, REQUEST, STATUS, WALLS
from kiosk.errors import ImageError, StoppingError
from kiosk.recognition.photo import MAX_BYTES, MAX_PIXELS, own_memory, survey, too_large
from kiosk.types import RgbImage

BOOT = """
import json, sys
told = json.loads(sys.argv[1])
sys.path[:] = told["path"]
from kiosk.decoding.worker import serve
serve(told)
"""
ENVIRONMENT = {  # and nothing of ours: it may hold secrets
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Fresh memory costs a fault a page: large pages, and a heap that keeps what the warming touched, halve the time.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"
    f":glibc.malloc.mmap_threshold={64 << 20}:glibc.malloc.trim_threshold={128 << 20}",
}
REST_S = 1.0  # in which a child ends that has answered, and the next is ready; else it was taken over, or hangs
KILL_S = 1.0  # a process that outlives SIGKILL this long hangs in the kernel and is left behind

MOST_EDGE = 0xFFFF  # px, of a picture that is searched for codes
LONGEST_CODE = 400  # characters of a visitor's pass; a longer code is none of ours


class _Act(NamedTuple):
    """What a process does with a picture, for sentences."""

    verb: str
    done: str
    tool: str


DECODING = _Act("decode", "decoded", "decoder")
SEARCHING = _Act("search for codes", "searched for codes", "reader of codes")

_T = TypeVar("_T")
_Read = Callable[[dict[str, Any], int], _T]
"""Makes something of an answer, and of the memory with the pixels."""

log = logging.getLogger("kiosk.decoding")


class Decoder:
    """Decodes photographs in other processes. Safe in several threads, which then decode side by side."""

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008  frozen
        *,
        most: int = 0,
        reads_codes: bool = False,
    ) -> None:
        """Make it; no process is started before the first picture.

        Args:
            limits: how much one picture may take.
            most: how many are decoded at once: 0 for one a core, at least two.
            reads_codes: whether its processes look for codes, by `codes` and `barcodes`, and decode no files. One that
                decodes files starts processes of that kind beside its own with the first picture to search.
        """
        self._limits, self._reads_codes = limits, reads_codes
        self._reader: Decoder | None = None
        self._most = most or max(2, os.cpu_count() or 1)
        self._changed = threading.Condition()
        self._idle: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._is_closed = False
        self._is_missing_told = False
        self._turn = os.memfd_create("kiosk-turn", os.MFD_CLOEXEC)
        self._end = weakref.finalize(self, _end, self._workers, self._turn)  # where nobody closes it, too

    def __enter__(self) -> Decoder:  # noqa: PYI034  typing.Self is not in Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, data: bytes, *, with_heic: bool = False, most_bytes: int = MAX_BYTES) -> RgbImage:
        """Return the picture in a file's bytes, as `recognition.photo.decode` does; `most_bytes` at most 10 MB.

        Raises:
            ImageError: it is no picture we take, or cost more than a photograph may.
            StoppingError: this was closed meanwhile.
        """
        return self._decoded(data, most_bytes, with_heic=with_heic, halved=False)[0]

    def halved(self, data: bytes, *, with_heic: bool = False) -> tuple[RgbImage, int]:
        """Return a picture, a large JPEG at half its edges, and the file's pixels per pixel of it: 1 or 2.

        Raises:
            ImageError: as above.
            StoppingError: as above.
        """
        return self._decoded(data, MAX_BYTES, with_heic=with_heic, halved=True)

    def codes(self, grey: NDArray[np.uint8]) -> tuple[str, ...]:
        """Return the texts of a picture's QR codes, (H, W) uint8 grey levels, in printable ASCII.

        A text is its sender's word.

        Raises:
            ImageError: it cost more than a picture may, or has no size that is taken; or the reader crashed on it.
            StoppingError: this was closed meanwhile.
        """
        texts = [one.text for one in self._searched(grey, with_pdf417=False) if len(one.text) <= LONGEST_CODE]
        return tuple(text for text in texts if text.isascii() and text.isprintable())

    def barcodes(self, grey: NDArray[np.uint8]) -> tuple[Barcode, ...]:
        """Return a picture's QR and PDF417 codes, (H, W) uint8 grey levels; a text is its sender's word.

        Raises:
            ImageError: as above.
            StoppingError: as above.
        """
        return self._searched(grey, with_pdf417=True)

    def _searched(self, grey: NDArray[np.uint8], *, with_pdf417: bool) -> tuple[Barcode, ...]:
        height, width = grey.shape
        if not 0 < height * width <= MAX_PIXELS or max(height, width) > MOST_EDGE:
            raise ImageError(f"Invalid image: {width} x {height} px are not searched for codes")
        request = REQUEST.pack(height * width, False, False, width, height, with_pdf417)
        return self._for_codes()._asked(grey.tobytes(), request, _codes_of)[0]  # noqa: SLF001  another of this class

    def _for_codes(self) -> Decoder:
        """Return what searches for codes: processes of their own, as a reader that fails must not end decoding."""
        if self._reads_codes:
            return self
        with self._changed:
            if self._is_closed:
                raise StoppingError("The kiosk is stopping.")
            self._reader = self._reader or Decoder(self._limits, most=self._most, reads_codes=True)
            return self._reader

    def _decoded(self, data: bytes, most_bytes: int, *, with_heic: bool, halved: bool) -> tuple[RgbImage, int]:
        if len(data) > most_bytes:
            raise ImageError(too_large(most_bytes))
        survey(data)  # here too: a bomb waits for no process, and costs none
        return self._asked(data, REQUEST.pack(len(data), with_heic, halved, 0, 0, False), _pixels_of)

    def _asked(self, data: bytes, request: bytes, read: _Read[_T]) -> tuple[_T, int]:
        deadline = time.monotonic() + self._limits.wall_s
        while True:
            worker = self._taken(deadline)
            try:
                outcome = worker.ask(data, request, read, deadline, self._limits)
                scale = worker.scale
            except _StaleError:
                continue  # nothing was handed to it
            except _EndedError:
                outcome = ImageError(f"Invalid image: the process that {worker.act.done} it was ended from outside")
            finally:
                self._give_back(worker)
            if self._is_closed:
                raise StoppingError("The kiosk is stopping.")
            if isinstance(outcome, ImageError):
                raise outcome
            return outcome, scale

    def warm(self) -> None:
        """Start a worker, so that it is ready when the first picture comes."""
        with self._changed:
            if not self._workers and not self._is_closed:
                self._idle.append(self._started())

    @property
    def processes(self) -> tuple[int, ...]:
        """The workers, by process id."""
        with self._changed:
            return tuple(worker.pid for worker in self._workers)

    def close(self) -> None:
        """End every process, whatever it does, and whoever waits for it."""
        with self._changed:
            self._is_closed = True
            for worker in self._workers:
                worker.kill()
            self._idle.clear()
            self._changed.notify_all()
            while any(worker.is_busy for worker in self._workers) and self._changed.wait(KILL_S):
                pass
        self._end()
        if self._reader is not None:
            self._reader.close()

    def _taken(self, deadline: float) -> _Worker:
        with self._changed:
            while not self._is_closed:
                while self._idle:
                    worker = self._idle.pop()
                    if worker.is_alive:
                        worker.is_busy = True
                        return worker
                    self._workers.discard(worker)  # it was ended from outside while it had nothing to do
                    worker.end()
                if len(self._workers) < self._most:
                    worker = self._started()
                    worker.is_busy = True
                    return worker
                if not self._changed.wait(deadline - time.monotonic()):
                    raise ImageError("Invalid image: other pictures took all the time there was; send it again")
            raise StoppingError("The kiosk is stopping.")

    def _started(self) -> _Worker:
        try:
            worker = _Worker(self._limits, self._turn, reads_codes=self._reads_codes)
        except OSError as error:
            raise StoppingError(f"No process to decode a picture could be started: {error.strerror}.") from error
        self._workers.add(worker)
        return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._changed:
            worker.is_busy = False
            if self._is_closed:
                pass  # `close` ends it
            elif worker.is_sound:
                self._idle.append(worker)
            else:
                self._workers.discard(worker)
                worker.end()
                with suppress(StoppingError):  # the next call tries again, and says so
                    self._idle.append(self._started())
            if worker.missing and not self._is_missing_told:
                self._is_missing_told = True
                log.warning("walls_missing=%s around the process that decodes pictures", ",".join(worker.missing))
            self._changed.notify_all()


class _StaleError(Exception):
    """A worker cannot take a picture."""


class _EndedError(Exception):
    """A worker ended while it was waited for."""


class _Worker:
    """One process that decodes, and the memory between it and this one."""

    def __init__(self, limits: Limits, turn: int, *, reads_codes: bool) -> None:
        self.is_busy = self._is_resting = False
        self.act = SEARCHING if reads_codes else DECODING
        self.scale = 1  # of the last picture: pixels of the file per pixel
        self.missing: list[str] = []  # walls that do not stand around it, by its own word
        self.is_sound = True  # whether another picture may come
        with ExitStack() as opened:
            self._picture = os.memfd_create("kiosk-picture", os.MFD_CLOEXEC)
            opened.callback(os.close, self._picture)
            self._pixels = os.memfd_create("kiosk-pixels", os.MFD_CLOEXEC)
            opened.callback(os.close, self._pixels)
            told = {
                "path": sys.path,
                "limits": asdict(limits),
                "picture": self._picture,
                "pixels": self._pixels,
                "turn": turn,
                "reads_codes": reads_codes,
            }
            self._ends, ends = os.pipe()
            opened.callback(os.close, self._ends)
            try:
                self._process = subprocess.Popen(  # noqa: S603  this interpreter, running this package
                    [sys.executable, "-I", "-c", BOOT, json.dumps({**told, "ends": ends})],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    pass_fds=(self._picture, self._pixels, turn, ends),
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,  # so that a child is ended with it, and Ctrl-C is the caller's affair
                )
            finally:
                os.close(ends)
            self._held = opened.pop_all()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, data: bytes, request: bytes, read: _Read[_T], deadline: float, limits: Limits) -> _T | ImageError:
        """Return what `read` makes of the answer, or why there is none.

        Raises:
            _StaleError: the worker took nothing, as its last child did not end.
            _EndedError: the worker ended.
        """
        self.is_sound = False
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._is_resting and (not _waited((self._ends,), REST_S) or self._status() != 0):
            raise _StaleError
        os.pwrite(self._picture, data, 0)
        try:
            self._process.stdin.write(request)
        except OSError:
            raise _StaleError from None
        replies = self._process.stdout.fileno()
        ready = _waited((replies, self._ends), deadline - time.monotonic())
        if not ready:
            done = self.act.done
            return ImageError(f"Invalid image: it could not be {done} within {limits.wall_s:g} s; save it again")
        if replies not in ready:
            return _why(self._status(), limits, self.act)
        said = os.read(replies, MOST_REPLY)
        if not said:
            return _why(self._status(), limits, self.act)
        try:
            return self._understood(said, read)
        finally:
            os.ftruncate(self._picture, 0)
            os.ftruncate(self._pixels, 0)
            self.is_sound = self._is_resting = True

    def _status(self) -> int:
        """Return how the last child ended, in the worker's own words."""
        told = os.read(self._ends, STATUS.size) if _waited((self._ends,), REST_S) else b""
        if len(told) != STATUS.size:
            raise _EndedError
        return int(STATUS.unpack(told)[0])

    def _understood(self, said: bytes, read: _Read[_T]) -> _T | ImageError:
        try:
            answer: dict[str, Any] = json.loads(said)
            self.missing = [wall for wall in WALLS if wall not in answer.get("walls", ())]
            if "error" in answer:
                return ImageError(str(answer["error"]))
            self.scale = 2 if answer["is_half"] else 1
            return read(answer, self._pixels)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return ImageError(f"Invalid image: the {self.act.tool} failed on it")

    def kill(self) -> None:
        """End the process and its child at once."""
        with suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the process and let go of everything."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._held.close()


def _pixels_of(answer: dict[str, Any], memory: int) -> RgbImage:
    """Return the pixels that an answer is about; raises ValueError."""
    height, width = int(answer["height"]), int(answer["width"])
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise ValueError("no picture has this size")
    # Read, not mapped: whoever took a decoder over could make mapped memory vanish under this process.
    pixels = own_memory(height, width)
    room = pixels.reshape(-1).data
    at = 0
    while at < len(room):
        count = os.preadv(memory, [room[at:]], at)
        if count == 0:
            raise ValueError("fewer pixels than it has")
        at += count
    return pixels


def _codes_of(answer: dict[str, Any], memory: int) -> tuple[Barcode, ...]:
    """Return the codes that an answer is about; raises ValueError."""
    length = int(answer["length"])
    if not 0 < length <= MOST_CODES_BYTES:
        raise ValueError("codes are not as long as this")
    written = os.pread(memory, length, 0)
    codes = json.loads(written)
    if len(written) != length or not isinstance(codes, list) or len(codes) > MOST_CODES:
        raise ValueError("more or fewer codes than there are")
    return tuple(Barcode(kind, text) for kind, text in codes)


def _waited(descriptors: Iterable[int], timeout_s: float) -> set[int]:
    """Return which of some pipes have something to read, or have ended, once one has; none when time is up."""
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    return {number for number, _ in waiting.poll(max(0.0, timeout_s) * 1000.0)}


def _why(status: int, limits: Limits, act: _Act) -> ImageError:
    """Say why a child ended without an answer."""
    if not os.WIFSIGNALED(status):
        return ImageError(f"Invalid image: the {act.tool} failed on it")
    number = os.WTERMSIG(status)
    if number in {signal.SIGPROF, signal.SIGXCPU}:
        return ImageError(
            f"Invalid image: it took more than {limits.processor_s:g} s of processor time to {act.verb}; save it again"
        )
    if number == signal.SIGKILL:
        return ImageError(f"Invalid image: its {act.tool} was killed, perhaps for want of memory")
    return ImageError(f"Invalid image: the {act.tool} crashed on it (signal {number})")


def _end(workers: set[_Worker], turn: int) -> None:
    for worker in workers:
        worker.end()
    workers.clear()
    os.close(turn)

"""Files that survive a power cut, and that nobody else may read; and room on the disk that was taken in time."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path


def create_file(path: Path) -> None:
    """Make an empty file that nobody else may read; SQLite would make it for everyone."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def sync_directory(directory: Path) -> None:
    """Make a new or renamed file's name survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_private(path: Path) -> TextIO:
    """Open a file of the state directory for writing, empty, for its owner alone whatever the umask is."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "w", encoding="utf-8")


def write_private(path: Path, content: str | bytes) -> None:
    """Put a content in the place of a file's, whole or not at all, for its owner alone; it survives a power cut.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with open_private(part) as file:
            file.buffer.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error  # the file that whoever asked knows
    sync_directory(path.parent)


def digest_of(path: Path) -> bytes:
    """Return the SHA-256 of a file of any length."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()


class ReservedFile:
    """A small text in a file whose room was taken beforehand, so that a full disk takes it too.

    Two slots are written in turn, each whole with its digest: a write that a power cut tears leaves the one before.
    A file system that copies on write (btrfs) may have no room all the same; ext4, on cards and disks, has.
    """

    def __init__(self, path: Path, slot_bytes: int) -> None:
        """Take the place; `slot_bytes` bounds one text with its head. Nothing is opened before the first use."""
        self.path, self._slot_bytes = path, slot_bytes

    def prepare(self) -> None:
        """Take the room while there is some; an `OSError` says that there is none."""
        if self.path.exists() and self.path.stat().st_size >= 2 * self._slot_bytes:
            return
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, bytes(2 * self._slot_bytes), 0)  # written, not only sized: a hole has no room
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_directory(self.path.parent)

    def read(self) -> str | None:
        """Return the newest whole text; None where there is none.

        Raises:
            OSError: the disk does not give it back; a text may be there.
        """
        newest = self._newest()
        return None if newest is None else newest[1]

    def write(self, text: str) -> None:
        """Keep a text in the place of the older one; it survives a power cut from here on.

        Raises:
            OSError: it cannot be written.
            ValueError: it is longer than the room.
        """
        content = text.encode()
        if len(content) > self._slot_bytes - _SLOT.size:
            raise ValueError(f"{len(content)} bytes do not fit into {self._slot_bytes - _SLOT.size}")
        newest = self._newest()
        number = (newest[0] if newest is not None else 0) + 1
        slot = _SLOT.pack(number, len(content), _digest(number, content)) + content
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            place = number % 2 * self._slot_bytes
            try:
                written = 0
                while written < len(slot):  # a disk that fills up takes a part
                    written += os.pwrite(handle, slot[written:], place + written)
                os.fsync(handle)
            except OSError:
                os.pwrite(handle, bytes(_SLOT.size), place)  # what nobody was told of is not read either
                raise
        finally:
            os.close(handle)

    def _newest(self) -> tuple[int, str] | None:
        try:
            whole = self.path.read_bytes()
        except FileNotFoundError:
            return None
        found = []
        for start in (0, self._slot_bytes):
            if len(head := whole[start : start + _SLOT.size]) < _SLOT.size:
                continue
            number, length, digest = _SLOT.unpack(head)
            content = whole[start + _SLOT.size : start + _SLOT.size + length]
            if number and len(content) == length and digest == _digest(number, content):
                found.append((number, content.decode()))
        return max(found, default=None)


_SLOT = struct.Struct(">QI32s")  # number, length, digest
_BLOCK_BYTES = 1 << 20


def _digest(number: int, content: bytes) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big") + content).digest()


def is_read_only(directory: Path) -> bool:
    """Say whether a directory lies on a file system that takes no writing, whatever its mount says.

    A kernel that finds an ext4 damaged refuses to write from then on, and newer ones (from 6.15 on) leave "rw" in the
    mount; so a file without a name is asked for as well.
    """
    try:
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            return True
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno == errno.EROFS  # a full disk, or a file system without such files, says something else
    return False


def read_only(directory: Path) -> str:
    """Return what to say, and do, when the store's file system is read-only."""
    return (
        f"the store in {directory} is there, but its file system is mounted read-only, so it cannot be used. A failing "
        "card, or a power cut, makes the kernel do that: `dmesg` says why. Make it writable (mount -o remount,rw), or "
        "replace the card and put a backup back"
    )

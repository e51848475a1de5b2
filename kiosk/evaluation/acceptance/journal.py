"""What was noted of an acceptance, one JSON object a line, in the state directory; a cut loses at most the last line.

Nothing of it is personal beyond what the decision log has in the clear: numbers of people, scores, times.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kiosk.errors import KioskError, RefusedError, StoreError
from kiosk.evaluation.acceptance.trial import Note, Trial, fold, take
from kiosk.store.durable import sync_directory

NAME = "acceptance.jsonl"
MOST_BYTES = 16 << 20  # some fifty thousand presentations


class Journal:
    """The notes of one state directory. Safe in several threads and beside other processes."""

    def __init__(self, directory: Path) -> None:
        """Take the state directory; nothing is read before it is asked for."""
        self.path = directory / NAME

    def trial(self) -> Trial:
        """Return the trial as it is noted; one not begun where nothing is.

        Raises:
            StoreError: the file cannot be read, or was changed.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Trial()
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        return self._fold(content)

    def add(self, note: Callable[[Trial], Note]) -> Trial:
        """Note something, and return the trial with it; it survives a power cut from here on.

        Args:
            note: makes the note from the trial as it is; nobody else notes anything meanwhile.

        Raises:
            RefusedError: the note does not fit those before it; nothing is noted.
            StoreError: it cannot be written.
        """
        is_new = not self.path.exists()
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        with os.fdopen(handle, "rb+") as file:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.fstat(handle).st_ino != self.path.stat().st_ino:
                    raise RefusedError("the acceptance was started over meanwhile; try again")
                content = file.read(MOST_BYTES + 1)
                whole = content[: content.rfind(b"\n") + 1]  # a cut may have left half a line
                trial = self._fold(whole)
                new = note(trial)
                after = take(trial, new)
                if len(whole) < len(content):
                    os.ftruncate(handle, len(whole))
                line = json.dumps(new, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
                if os.write(handle, line) < len(
                    line
                ):  # what a disk that is nearly full takes; the next note cuts it off
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
                if is_new:
                    sync_directory(self.path.parent)
            except OSError as error:
                raise StoreError(f"{self.path} cannot be written: {error.strerror}") from error
        return after

    def put_aside(self, now: float) -> Path | None:
        """Keep the notes under another name, so that the next acceptance begins anew; return that name.

        Raises:
            StoreError: they cannot be renamed.
        """
        day = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%S")
        kept = self.path.with_name(f"acceptance-{day}.jsonl")
        for turn in range(2, 100):
            if not kept.exists():
                break
            kept = self.path.with_name(f"acceptance-{day}-{turn}.jsonl")
        try:
            self.path.rename(kept)
            sync_directory(kept.parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        return kept

    def _fold(self, content: bytes) -> Trial:
        """Read whole lines; what follows the last line's end was cut."""
        if len(content) > MOST_BYTES:
            raise StoreError(f"{self.path} is longer than {MOST_BYTES} bytes; `kiosk accept --restart` puts it aside")
        notes: list[Any] = []
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
            try:
                notes.append(dict(json.loads(line)))
            except (TypeError, ValueError) as error:
                raise self._damaged(number) from error
        try:
            return fold(notes)
        except (KioskError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(None) from error

    def _damaged(self, line: int | None) -> StoreError:
        where = f", line {line}," if line is not None else ""
        return StoreError(
            f"{self.path}{where} was changed or damaged; `kiosk accept --restart` puts it aside and starts over"
        )

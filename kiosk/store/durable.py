"""Files that survive a power cut, and that nobody else may read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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

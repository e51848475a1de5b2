"""A file system that is mounted read-only: how to see it, and what to say."""

from __future__ import annotations

import os
from pathlib import Path


def is_read_only(directory: Path) -> bool:
    """Say whether a directory lies on a file system that is mounted read-only."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def read_only(directory: Path) -> str:
    """Return what to say, and do, when the store's file system is read-only."""
    return (
        f"the store in {directory} is there, but its file system is mounted read-only, so it cannot be used. A failing "
        "card, or a power cut, makes the kernel do that: `dmesg` says why. Make it writable (mount -o remount,rw), or "
        "replace the card and put a backup back"
    )

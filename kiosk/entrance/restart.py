"""What a kiosk must still know after the plug was pulled, beside the store: declines in a row, and an armed alarm.

One small file, written whole or not at all. One that cannot be read closes: the kiosk locks once, and counts as
switched off by the alarm system until somebody switches it on again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kiosk.errors import StoreError
from kiosk.store.durable import sync_directory

NAME = "standing.json"


@dataclass(frozen=True, slots=True)
class RestartState:
    """What is kept."""

    tries: Mapping[str, object] | None = None  # as `Patience.save` gives it; None: never declined anybody
    is_alarm_armed: bool = False
    is_spoilt: bool = field(default=False, compare=False)  # the file could not be read


def read_restart(directory: Path) -> RestartState:
    """Return what was kept; of a new kiosk, nothing."""
    try:
        kept: Any = json.loads((directory / NAME).read_bytes())
        tries, is_armed = kept["tries"], kept["is_alarm_armed"]
        if not (isinstance(tries, dict) or tries is None) or not isinstance(is_armed, bool):
            raise TypeError
    except FileNotFoundError:
        return RestartState()
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return RestartState({}, is_alarm_armed=True, is_spoilt=True)
    return RestartState(tries, is_armed)


def write_restart(directory: Path, standing: RestartState) -> None:
    """Keep it, so that it survives a power cut from here on.

    Raises:
        StoreError: it cannot be written.
    """
    path, part = directory / NAME, directory / f".{NAME}.part"
    text = json.dumps({"tries": standing.tries, "is_alarm_armed": standing.is_alarm_armed})
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_directory(directory)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; make room, or make the state directory writable") from error

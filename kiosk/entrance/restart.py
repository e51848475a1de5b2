"""What a kiosk must still know after the plug was pulled, beside the store: declines in a row, and an armed alarm.

One small file, written whole or not at all; on a full disk another one, whose room was taken beforehand. One that
cannot be read closes: the kiosk locks once, and counts as switched off by the alarm system until somebody switches it
on again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kiosk.errors import StoreError
from kiosk.store.durable import ReservedFile, write_private

NAME = "standing.json"
RESERVE_NAME = "standing.reserve"
RESERVE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RestartState:
    """What is kept."""

    tries: Mapping[str, object] | None = None  # as `Patience.save` gives it; None: never declined anybody
    is_alarm_armed: bool = False
    is_spoilt: bool = field(default=False, compare=False)  # the file could not be read


def read_restart(directory: Path) -> RestartState:
    """Return what was kept; of a new kiosk, nothing."""
    try:
        return _parse(_reserve(directory).read() or (directory / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return RestartState()
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return RestartState({}, is_alarm_armed=True, is_spoilt=True)


def take_room(directory: Path) -> None:
    """Take the room that a full disk will want, while there is some; an `OSError` says that there is none."""
    _reserve(directory).prepare()


def _parse(text: str) -> RestartState:
    kept: Any = json.loads(text)
    tries, is_armed = kept["tries"], kept["is_alarm_armed"]
    if not (isinstance(tries, dict) or tries is None) or not isinstance(is_armed, bool):
        raise TypeError
    return RestartState(tries, is_armed)


def _reserve(directory: Path) -> ReservedFile:
    """Return the place that a full disk takes; a text there is newer than the file, an empty one says nothing."""
    return ReservedFile(directory / RESERVE_NAME, RESERVE_BYTES)


def write_restart(directory: Path, standing: RestartState) -> None:
    """Keep it, so that it survives a power cut from here on.

    Raises:
        StoreError: it cannot be written.
    """
    path, reserve = directory / NAME, _reserve(directory)
    text = json.dumps({"tries": standing.tries, "is_alarm_armed": standing.is_alarm_armed})
    try:
        write_private(path, text)
        if reserve.read():
            reserve.write("")
    except OSError as error:
        try:
            reserve.write(text)
        except (OSError, ValueError):
            raise StoreError(f"{path}: {error.strerror}; make room, or make the state directory writable") from error

"""What is not sent yet, in one encrypted file for a USB stick, readable elsewhere by its passphrase.

The rows stay in the outbox: the file is a copy, and what it holds is still sent when the network is back.
`device/sealed_file.py` has the file's form.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kiosk.device.sealed_file import Sealer, unseal
from kiosk.errors import ConfigError, RefusedError
from kiosk.store.durable import sync_directory
from kiosk.store.outbox import OutboxState
from kiosk.store.store import Store

FORMAT = "kiosk-outbox-1"
PAGE_ROWS = 50


def export(store: Store, folder: Path, passphrase: str, *, now: float) -> tuple[Path, int]:
    """Write what waits or is parked; return the file and how many rows it holds.

    Raises:
        ConfigError: the passphrase is too short, or the folder cannot be written to.
        RefusedError: a row with its photographs is too large.
    """
    sealer = Sealer(passphrase, FORMAT)
    stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"kiosk-outbox-{stamp}.kiosk"
    part = path.with_suffix(".part")
    count = -2  # the head and the end are no rows
    try:
        with part.open("xb") as file:
            for piece in sealer.seal(_rows(store)):
                file.write(piece)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        sync_directory(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"{folder}: {error.strerror}; nothing was exported") from error
    except RefusedError:
        part.unlink(missing_ok=True)
        raise
    return path, count


def read(path: Path, passphrase: str) -> Iterator[dict[str, Any]]:
    """Return the rows of an exported file, `photographs` as bytes by the call's field.

    Raises:
        ConfigError: no such file, or none of ours.
        RefusedError: the passphrase is wrong, or the file was changed or cut.
    """
    try:
        with path.open("rb") as file:
            for record in unseal(file, passphrase, FORMAT):
                record["photographs"] = {name: b64decode(text) for name, text in record["photographs"].items()}
                yield record
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    for state in (OutboxState.WAITING, OutboxState.SENDING, OutboxState.REJECTED):
        offset = 0
        while rows := store.outbox.rows(state, limit=PAGE_ROWS, offset=offset):
            offset += len(rows)
            for row in rows:
                if row.payload is not None:
                    images = store.outbox.photographs(row.id)
                    yield {
                        "request_id": row.request_id,
                        "policy": row.policy,
                        "state": row.state.value,
                        "may_have_arrived": row.doubt_from is not None,
                        "payload": dict(row.payload),
                        "photographs": {name: b64encode(content).decode() for name, content in images.items()},
                    }

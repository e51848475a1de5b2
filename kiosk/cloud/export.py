"""What is not sent yet, in one encrypted file for a USB stick, readable elsewhere by its passphrase.

    line 1   JSON: {"format": "kiosk-outbox-1", "salt": hex, "n", "r", "p"}   scrypt gives the key from the passphrase
    then     records: 4 bytes length (big endian), then AES-256-GCM of a JSON text
             nonce: 12 bytes, the record's number from 0; the last record is {"end": how many there are before it}
             authenticated with each: line 1

The rows stay in the outbox: the file is a copy, and what it holds is still sent when the network is back.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kiosk.errors import ConfigError, RefusedError
from kiosk.store.durable import sync_directory
from kiosk.store.outbox import OutboxState
from kiosk.store.store import Store

FORMAT = "kiosk-outbox-1"
N, R, P = 1 << 16, 8, 1  # 64 MB, 0.2 s: a stick may be lost, and then be tried for years
MOST_N = 1 << 20
SHORTEST_PASSPHRASE = 10
MOST_RECORD = 64_000_000
PAGE_ROWS = 50


def export(store: Store, folder: Path, passphrase: str, *, now: float) -> tuple[Path, int]:
    """Write what waits or is parked; return the file and how many rows it holds.

    Raises:
        ConfigError: the passphrase is too short, or the folder cannot be written to.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise ConfigError(f"want a passphrase of {SHORTEST_PASSPHRASE} characters or more")
    stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"kiosk-outbox-{stamp}.kiosk"
    part = path.with_suffix(".part")
    salt = os.urandom(16)
    head = json.dumps({"format": FORMAT, "salt": salt.hex(), "n": N, "r": R, "p": P}).encode() + b"\n"
    box = AESGCM(Scrypt(salt=salt, length=32, n=N, r=R, p=P).derive(passphrase.encode()))
    count = 0
    try:
        with part.open("xb") as file:
            file.write(head)
            for count, row in enumerate(_rows(store), 1):
                _write(file, box, head, count - 1, row)
            _write(file, box, head, count, {"end": count})
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        sync_directory(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"{folder}: {error.strerror}; nothing was exported") from error
    return path, count


def read(path: Path, passphrase: str) -> Iterator[dict[str, Any]]:
    """Return the rows of an exported file, `photographs` as bytes by the call's field.

    Raises:
        ConfigError: no such file, or none of ours.
        RefusedError: the passphrase is wrong, or the file was changed or cut.
    """
    try:
        with path.open("rb") as file:
            head = file.readline(4096)
            box = AESGCM(_key(head, passphrase))
            for number in range(1 << 40):
                record = _read(file, box, head, number)
                if "end" in record:
                    if record["end"] != number or file.read(1):
                        raise RefusedError(f"{path.name} was changed")
                    return
                record["photographs"] = {name: b64decode(text) for name, text in record["photographs"].items()}
                yield record
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _key(head: bytes, passphrase: str) -> bytes:
    try:
        about = json.loads(head)
        n, r, p = int(about["n"]), int(about["r"]), int(about["p"])
        if about["format"] != FORMAT or not 2 <= n <= MOST_N or r != R or p != P:  # noqa: PLR2004  scrypt's least
            raise ValueError(FORMAT)
        return Scrypt(salt=bytes.fromhex(about["salt"]), length=32, n=n, r=r, p=p).derive(passphrase.encode())
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise ConfigError("this is no export of a kiosk's outbox") from None


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


def _write(file: BinaryIO, box: AESGCM, head: bytes, number: int, record: dict[str, Any]) -> None:
    sealed = box.encrypt(number.to_bytes(12, "big"), json.dumps(record).encode(), head)
    file.write(len(sealed).to_bytes(4, "big") + sealed)


def _read(file: BinaryIO, box: AESGCM, head: bytes, number: int) -> dict[str, Any]:
    size = int.from_bytes(file.read(4), "big")
    if not 0 < size <= MOST_RECORD:
        raise RefusedError("the file was cut or changed")
    try:
        found: dict[str, Any] = json.loads(box.decrypt(number.to_bytes(12, "big"), file.read(size), head))
    except InvalidTag:
        why = "the passphrase is wrong, or the file was changed" if number == 0 else "the file was cut or changed"
        raise RefusedError(why) from None
    return found

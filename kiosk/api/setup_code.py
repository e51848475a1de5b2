"""The one-time code by which a kiosk that nobody owns yet gets its first operator.

Only somebody on the device can make one, with `kiosk setup`; it is short enough to be typed, good for an hour, and
ends with the first account. Whoever guesses is locked out by address, as everywhere. The file has its hash alone,
unless the screen is to show it. Without a file nobody can become an operator over the network, so whoever finds the
page first gets nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from kiosk.errors import StoreError
from kiosk.rules.addresses import is_loopback
from kiosk.settings.network import ApiSettings

NAME = "setup.code"
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without I, O, 0 and 1
LENGTH = 10  # 50 bits
VALID_S = 3600.0
MOST_WRONG = 10_000  # over all senders, of 2^50: a few would let any stranger keep the owner from claiming


def make_code(directory: Path, now: float, *, is_shown: bool = False) -> str:
    """Make a code for a state directory, in place of any before; return it as it is told to people.

    `is_shown`: the kiosk's own screen shows it too, to whoever stands there; only then it is kept itself.

    Raises:
        StoreError: it cannot be written.
    """
    code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    told = f"{code[: LENGTH // 2]}-{code[LENGTH // 2 :]}"
    shown = {"shown": told} if is_shown else {}
    write_private(directory / NAME, {"digest": _digest(code), "expires_at": now + VALID_S, "wrong": 0, **shown})
    return told


def shown_code(directory: Path, now: float) -> str | None:
    """Return the code that the kiosk's screen is to show; None where there is none, or it is not to be shown."""
    return (_read(directory, now) or {}).get("shown")


def address_of(settings: ApiSettings, port: int) -> tuple[str, bool]:
    """Return the address of the page for the first operator, and whether a telephone can reach it."""
    is_reachable = bool(settings.tls_certificate) and not is_loopback(settings.bind)
    host = f"{socket.gethostname()}.local" if is_reachable else "127.0.0.1"
    return f"{'https' if settings.tls_certificate else 'http'}://{host}:{port}", is_reachable


def is_pending(directory: Path, now: float) -> bool:
    """Say whether there is a code that could be used now."""
    return _read(directory, now) is not None


def is_right(directory: Path, text: str, now: float) -> bool:
    """Say whether this is the code; a wrong one is counted, and too many of them end it.

    Raises:
        StoreError: a wrong one cannot be counted: no further one may be tried.
    """
    kept = _read(directory, now)
    if kept is None:
        return False
    if hmac.compare_digest(kept["digest"], _digest(text)):
        return True
    if kept["wrong"] + 1 >= MOST_WRONG:
        drop(directory)
    else:
        write_private(directory / NAME, {**kept, "wrong": kept["wrong"] + 1})
    return False


def drop(directory: Path) -> None:
    """End the code.

    Raises:
        StoreError: it cannot be removed.
    """
    try:
        (directory / NAME).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{directory / NAME} cannot be removed: {error.strerror}; look at the disk") from error


def _digest(text: str) -> str:
    plain = "".join(sign for sign in text.upper() if sign.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _read(directory: Path, now: float) -> dict[str, Any] | None:
    """Return what is kept; None for no code, one that has ended, or a file that others may read or that is none."""
    path = directory / NAME
    try:
        if path.stat().st_mode & 0o077:
            return None
        kept = json.loads(path.read_text(encoding="ascii"))
        digest, expires_at, wrong = str(kept["digest"]), float(kept["expires_at"]), int(kept["wrong"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    # One from far ahead was made by a clock that was wrong: nobody can say when it ends.
    is_good = now < expires_at <= now + VALID_S and wrong < MOST_WRONG
    shown = {"shown": str(kept["shown"])} if "shown" in kept else {}
    return {"digest": digest, "expires_at": expires_at, "wrong": wrong, **shown} if is_good else None


def write_private(path: Path, kept: dict[str, Any]) -> None:
    """Write JSON to a file that the kiosk's account alone may read, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror}; make the state directory writable") from error

"""The token by which the kiosk's own screen is known.

A connection from this machine proves little: a forwarder, a tunnel or any program on the device makes one too. The
screen therefore shows a token that lies in a file of the state directory, readable by the kiosk's account alone. A
browser on the device gets it once, in the address that `kiosk screen` prints, and keeps it as a cookie.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
from pathlib import Path

from kiosk.errors import StoreError

NAME = "screen.token"
COOKIE = "kiosk_screen"
TOKEN_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


def screen_token(directory: Path, *, renew: bool = False) -> str:
    """Return the token of a state directory; make one where there is none, or where the file cannot be used.

    Args:
        directory: the state directory.
        renew: make another token; every screen must be opened again.

    Raises:
        StoreError: it can neither be read nor written.
    """
    path = directory / NAME
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_text(encoding="ascii").strip()
        is_private = not path.stat().st_mode & 0o077
        if not renew and is_private and _FORM.fullmatch(kept):
            return kept
    token = secrets.token_urlsafe(TOKEN_BYTES)
    part = directory / f".{NAME}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror}; make the state directory writable") from error
    return token


def is_screen(token: str | None, shown: str) -> bool:
    """Say whether what a caller shows is the token; without a token nobody is the screen."""
    return token is not None and hmac.compare_digest(token.encode(), shown.encode("utf-8", "replace"))

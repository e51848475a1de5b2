"""Time-based one-time codes of a telephone (RFC 6238): the second factor of an operator.

Twelve lines of `hmac` rather than a package: what a package does not do is what matters, that a code serves once. So
`counter_of` says which code it was, and whoever asks remembers the newest.
"""

from __future__ import annotations

import base64
import hmac
import os
import struct
from urllib.parse import quote, urlencode

STEP_S = 30
DIGITS = 6
SECRET_BYTES = 20  # as long as SHA-1's output, which every authenticator takes
DRIFT = 1  # steps that a telephone's clock may be off, either way


def new_secret() -> str:
    """Return a secret as telephones take it: base32."""
    return base64.b32encode(os.urandom(SECRET_BYTES)).decode()


def code_at(secret: str, counter: int) -> str:
    """Return the code of a step, counted since 1970.

    >>> code_at(base64.b32encode(b"12345678901234567890").decode(), 59 // 30)  # of RFC 6238, appendix B
    '287082'
    """
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", counter), "sha1")
    place = digest[-1] & 0xF
    number = struct.unpack(">I", digest[place : place + 4])[0] & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def counter_of(secret: str, text: str, now: float, *, after: int = -1) -> int | None:
    """Return the step whose code this is; None for a wrong one, or one that is not newer than `after`.

    Args:
        secret: base32.
        text: as somebody typed it.
        now: s UTC.
        after: the step of the newest code that was taken: each serves once.
    """
    typed = "".join(text.split())
    step = int(now // STEP_S)
    found = None
    for counter in range(step - DRIFT, step + DRIFT + 1):  # all of them, so that each answer takes as long
        if counter >= 0 and hmac.compare_digest(code_at(secret, counter).encode(), typed.encode("utf-8", "replace")):
            found = counter
    return found if found is not None and found > after else None


def address_of(secret: str, name: str, kiosk: str) -> str:
    """Return the address that a telephone's authenticator reads from a QR code."""
    label = quote(f"{kiosk}:{name}")
    return (
        f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': kiosk, 'digits': DIGITS, 'period': STEP_S})}"
    )

"""The signature of a report, beside it, in the form of minisign: `minisign -Vm REPORT -P KEY` checks it anywhere.

The key is the device's, the one that signs its decision log, so the report is this kiosk's and nobody changed it since.
Whether that key is in good hands, no signature tells: compare KEY with what `kiosk accept --status` prints there.
Layouts: https://jedisct1.github.io/minisign/
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable

from kiosk.errors import ConfigError
from kiosk.store.chain import is_signature

OVER_DIGEST, OF_KEY = b"ED", b"Ed"
NUMBER_BYTES, SIGNATURE_BYTES = 8, 64
SUFFIX = ".minisig"
_LINES = 4
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "


def public_key_text(public_key: bytes) -> str:
    """Return a public key (32 bytes) as minisign writes it in one line."""
    return base64.b64encode(OF_KEY + _number(public_key) + public_key).decode()


def sign(content: bytes, comment: str, public_key: bytes, signer: Callable[[bytes], bytes]) -> str:
    """Return the signature's file.

    Args:
        content: of the report.
        comment: one line that the signature vouches for too.
        public_key: 32 bytes.
        signer: signs with the key that belongs to it.
    """
    if "\n" in comment or "\r" in comment:
        raise ValueError("want a comment of one line")
    signature = signer(hashlib.blake2b(content).digest())
    over_both = signer(signature + comment.encode())
    first = base64.b64encode(OVER_DIGEST + _number(public_key) + signature).decode()
    last = base64.b64encode(over_both).decode()
    return f"{_UNTRUSTED}the kiosk's signature of its acceptance report\n{first}\n{_TRUSTED}{comment}\n{last}\n"


def check(content: bytes, signature: str, public_key: bytes) -> str:
    """Return the comment that the signature vouches for.

    Raises:
        ConfigError: it is no signature of this content by this key; says what is wrong.
    """
    lines = signature.splitlines()
    if len(lines) != _LINES or not lines[2].startswith(_TRUSTED):
        raise ConfigError("this is not a signature: want the four lines of minisign")
    first = _decoded(lines[1], len(OVER_DIGEST) + NUMBER_BYTES + SIGNATURE_BYTES)
    last = _decoded(lines[3], SIGNATURE_BYTES)
    comment = lines[2].removeprefix(_TRUSTED)
    if first[:2] != OVER_DIGEST or first[2 : 2 + NUMBER_BYTES] != _number(public_key):
        raise ConfigError("the signature is by another key: this is no report of this kiosk, or its key was changed")
    made = first[2 + NUMBER_BYTES :]
    if not is_signature(public_key, made, hashlib.blake2b(content).digest()):
        raise ConfigError("the report is not what was signed: it was changed or damaged")
    if not is_signature(public_key, last, made + comment.encode()):
        raise ConfigError("the signature's comment was changed")
    return comment


def _number(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:NUMBER_BYTES]


def _decoded(text: str, size: int) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        content = b""
    if len(content) != size:
        raise ConfigError("the signature is damaged")
    return content

"""Seal a copy of the device's key with a passphrase, and open it again.

    key_copy.py seal KEY COPY --passphrase-file FILE
    key_copy.py open COPY --passphrase-file FILE

A copy lies on a stick in a drawer: whoever finds it has a key to every backup, so it is of no use without a passphrase.
scrypt (RFC 7914) with N = 2**17, r = 8, p = 1 (OWASP's advice, 128 MB) makes the key of AES-256-GCM; all that stands
in the copy beside the sealed key is authenticated with it. `open` prints the key, to a pipe and never to a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

FORM = "kiosk key copy 1"
ROUNDS, BLOCK, PARALLEL = 1 << 17, 8, 1
MOST_ROUNDS = 1 << 20
SALT_BYTES, NONCE_BYTES, KEY_BYTES = 16, 12, 32
LEAST_PASSPHRASE = 12  # characters
LARGEST = 4096


class CopyError(Exception):
    """A copy that cannot be made or opened; in one sentence."""


def read(path: Path) -> str:
    """Return a small text file."""
    with path.open(encoding="utf-8") as file:
        return file.read(LARGEST)


def passphrase_of(path: Path) -> str:
    """Return the first line of a file."""
    lines = read(path).splitlines()
    if not lines or len(lines[0]) < LEAST_PASSPHRASE:
        raise CopyError(f"a passphrase has at least {LEAST_PASSPHRASE} characters; six words that come to mind will do")
    return lines[0]


def box_of(about: dict[str, Any], passphrase: str) -> tuple[AESGCM, bytes]:
    """Return what seals and opens, and what is authenticated beside."""
    scrypt = Scrypt(bytes.fromhex(about["salt"]), KEY_BYTES, about["rounds"], about["block"], about["parallel"])
    return AESGCM(scrypt.derive(passphrase.encode())), json.dumps(about, sort_keys=True).encode()


def seal(key: bytes, passphrase: str) -> str:
    """Return the text of a copy."""
    if len(key) != KEY_BYTES:
        raise CopyError(f"a key has {KEY_BYTES} bytes, got {len(key)}")
    nonce = os.urandom(NONCE_BYTES)
    about = {
        "form": FORM,
        "rounds": ROUNDS,
        "block": BLOCK,
        "parallel": PARALLEL,
        "salt": os.urandom(SALT_BYTES).hex(),
        "nonce": nonce.hex(),
    }
    box, beside = box_of(about, passphrase)
    sealed = box.encrypt(nonce, key, beside)
    return json.dumps({**about, "sealed": sealed.hex()}, indent=1) + "\n"


def unseal(text: str, passphrase: str) -> bytes:
    """Return the key of a copy.

    Raises:
        CopyError: it is no copy, it is damaged, or the passphrase is another.
    """
    try:
        about = json.loads(text)
        sealed = bytes.fromhex(about.pop("sealed"))
        if about["form"] != FORM or not 1 < about["rounds"] <= MOST_ROUNDS:
            raise CopyError(f"want a copy of the form '{FORM}'")
        if (about["block"], about["parallel"]) != (BLOCK, PARALLEL):
            raise CopyError("the copy is damaged")
        box, beside = box_of(about, passphrase)
        return box.decrypt(bytes.fromhex(about["nonce"]), sealed, beside)
    except InvalidTag:
        raise CopyError("the passphrase is wrong, or the copy is damaged") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CopyError(f"this is no copy of a key: want the form '{FORM}'") from None


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Seal a copy of the device's key, and open it again.")
    commands = parser.add_subparsers(dest="command", required=True)
    sealing = commands.add_parser("seal", help="write a copy, and open it once to be sure")
    sealing.add_argument("key", type=Path)
    opening = commands.add_parser("open", help="print the key, as 64 hexadecimal digits")
    for command in (sealing, opening):
        command.add_argument("copy", type=Path)
        command.add_argument("--passphrase-file", type=Path, required=True)
    chosen = parser.parse_args()
    try:
        passphrase = passphrase_of(chosen.passphrase_file)
        if chosen.command == "seal":
            key = bytes.fromhex(read(chosen.key))
            chosen.copy.write_text(seal(key, passphrase), encoding="ascii")
            if unseal(read(chosen.copy), passphrase) != key:
                raise CopyError(f"{chosen.copy} did not keep the copy; choose another place")
        elif sys.stdout.isatty():
            raise CopyError("the key is not shown on a terminal; provision.sh --restore reads it from a pipe")
        else:
            print(unseal(read(chosen.copy), passphrase).hex())
    except (CopyError, OSError, ValueError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()

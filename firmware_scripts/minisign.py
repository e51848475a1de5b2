"""Sign releases and check their signatures, in the form of minisign: any copy of that tool checks them too.

    minisign.py make-key FOLDER [--passphrase-file FILE | --no-passphrase]
    minisign.py sign FILE --key KEY [--comment TEXT] [--passphrase-file FILE]
    minisign.py verify FILE --signature FILE --key PUBLIC
    minisign.py id PUBLIC

update.sh runs `verify` of the installed release on root's own copy of a bundle; bundle.sh runs the others where
releases are made. Signatures are Ed25519, made of the BLAKE2b-512 of the file (`ED`); those of the file itself (`Ed`,
as minisign before 0.10 and with -l) are checked too. `verify` prints the key's number and the trusted comment.

Source of the layouts: https://jedisct1.github.io/minisign/ ; of scrypt's parameters: libsodium,
src/libsodium/crypto_pwhash/scryptsalsa208sha256/pwhash_scryptsalsa208sha256.c, pickparams (ISC).
"""

from __future__ import annotations

import argparse
import base64
import binascii
import getpass
import hashlib
import hmac
import os
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

PLAIN, PREHASHED = b"Ed", b"ED"
SCRYPT, CLEAR, BLAKE2B = b"Sc", b"\0\0", b"B2"
COMMENT, TRUSTED = "untrusted comment: ", "trusted comment: "
NUMBER_BYTES, SIGNATURE_BYTES, SALT_BYTES = 8, 64, 32
SECRET = struct.Struct("<2s2s2s32sQQ104s")  # three algorithms, salt, two limits of scrypt, the closed part
CLOSED = struct.Struct("<8s64s32s")  # number, seed with public key, BLAKE2b-256 of algorithm, number and pair
LOWEST_OPERATIONS = 32768  # libsodium's
BLOCK = 8  # scrypt's r
MOST_ROUNDS, MOST_PARALLEL = 1 << 21, 16  # 2 GB: more than any tool makes
# N = 2**17, r = 8, p = 1: OWASP's advice for scrypt, 128 MB; minisign's own keys take a gigabyte.
OPERATIONS, MEMORY = 1 << 22, 1 << 27
LARGEST_TEXT = 4096  # a key or a signature is a few lines
NAME = "kiosk-release"


class SignatureError(Exception):
    """A key or signature that cannot be used, or that does not fit; in one sentence."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What signatures are checked with."""

    number: bytes  # 8 random bytes, which a signature names
    key: Ed25519PublicKey = field(repr=False)

    @property
    def id(self) -> str:
        """The number as minisign prints it."""
        return number_id(self.number)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """What signatures are made with."""

    number: bytes
    key: Ed25519PrivateKey = field(repr=False)


def number_id(number: bytes) -> str:
    """Return a key's number as minisign prints it: 16 digits, the last byte first."""
    return number[::-1].hex().upper()


def read_lines(path: Path, count: int) -> list[str]:
    """Return the lines of a small text file.

    Raises:
        SignatureError: it cannot be read, is too long, or has fewer lines.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_TEXT + 1)
        lines = content.decode().splitlines()
    except OSError as error:
        raise SignatureError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SignatureError(f"{path} is no text") from None
    if len(content) > LARGEST_TEXT or len(lines) < count:
        raise SignatureError(f"{path} is no file of minisign: want {count} lines")
    return lines[:count]


def decode(text: str, size: int, what: str) -> bytes:
    """Return base64 as bytes of exactly one size."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError(f"{what}: its base64 is damaged") from None
    if len(content) != size:
        raise SignatureError(f"{what}: want {size} bytes, got {len(content)}")
    return content


def read_public_key(path: Path) -> PublicKey:
    """Read a public key as minisign -G and signify -G write it."""
    content = decode(read_lines(path, 2)[1], 2 + NUMBER_BYTES + 32, f"public key {path}")
    if content[:2] != PLAIN:
        raise SignatureError(f"public key {path}: want Ed25519 ('Ed'), got {content[:2]!r}")
    number = content[2 : 2 + NUMBER_BYTES]
    return PublicKey(number, Ed25519PublicKey.from_public_bytes(content[2 + NUMBER_BYTES :]))


def digest(path: Path) -> bytes:
    """Return the BLAKE2b-512 of a file."""
    found = hashlib.blake2b()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.digest()


def verify(path: Path, signature: Path, public: PublicKey) -> str:
    """Check that a file was signed with a key; return the trusted comment.

    Raises:
        SignatureError: it was not, or the signature is none.
    """
    lines = read_lines(signature, 4)
    if not lines[0].startswith(COMMENT) or not lines[2].startswith(TRUSTED):
        raise SignatureError(f"{signature} is no signature of minisign: want '{COMMENT}' and '{TRUSTED}'")
    content = decode(lines[1], 2 + NUMBER_BYTES + SIGNATURE_BYTES, f"signature {signature}")
    whole = decode(lines[3], SIGNATURE_BYTES, f"signature {signature}")
    algorithm, number, made = content[:2], content[2 : 2 + NUMBER_BYTES], content[2 + NUMBER_BYTES :]
    if algorithm not in (PLAIN, PREHASHED):
        raise SignatureError(f"signature {signature}: want 'Ed' or 'ED', got {algorithm!r}")
    if not hmac.compare_digest(number, public.number):
        raise SignatureError(f"{path} is signed with key {number_id(number)}; want key {public.id}")
    comment = lines[2][len(TRUSTED) :]
    try:
        public.key.verify(made, digest(path) if algorithm == PREHASHED else path.read_bytes())
    except InvalidSignature:
        raise SignatureError(f"{path} is not the file that was signed with key {public.id}") from None
    try:
        public.key.verify(whole, made + comment.encode())
    except InvalidSignature:
        raise SignatureError(f"the trusted comment of {signature} is not the one that was signed") from None
    return comment


def sign(path: Path, secret: SecretKey, comment: str) -> str:
    """Return a signature of a file: the text of a .minisig."""
    if not comment.isprintable():
        raise SignatureError("a comment is one line of printable characters")
    made = secret.key.sign(digest(path))
    whole = secret.key.sign(made + comment.encode())
    first = base64.b64encode(PREHASHED + secret.number + made).decode()
    return (
        f"{COMMENT}signature from the key {number_id(secret.number)}\n{first}\n"
        f"{TRUSTED}{comment}\n{base64.b64encode(whole).decode()}\n"
    )


def scrypt_cost(operations: int, memory: int) -> tuple[int, int]:
    """Return scrypt's N and p for libsodium's two limits; r is 8.

    >>> scrypt_cost(1 << 22, 1 << 27), scrypt_cost(33554432, 1073741824)
    ((131072, 1), (1048576, 1))
    """
    operations = max(operations, LOWEST_OPERATIONS)
    is_quick = operations < memory // 32
    most = operations // (BLOCK * 4) if is_quick else memory // (BLOCK * 128)
    rounds = max(1, (most // 2).bit_length())  # the first power of two above the half
    return 1 << rounds, 1 if is_quick else (operations // 4 >> rounds) // BLOCK


def stretch(passphrase: str, salt: bytes, operations: int, memory: int) -> bytes:
    """Return the bytes that close a secret key."""
    rounds, parallel = scrypt_cost(operations, memory)
    if rounds > MOST_ROUNDS or not 1 <= parallel <= MOST_PARALLEL:
        raise SignatureError("the key wants more memory for its passphrase than 2 GB")
    return Scrypt(salt, CLOSED.size, rounds, BLOCK, parallel).derive(passphrase.encode())


def read_secret_key(path: Path, ask: Callable[[], str]) -> SecretKey:
    """Read a secret key as minisign -G writes it, with a passphrase or without.

    Args:
        path: of the key.
        ask: gives the passphrase; called only where there is one.

    Raises:
        SignatureError: it is no such key, or the passphrase is wrong.
    """
    content = decode(read_lines(path, 2)[1], SECRET.size, f"secret key {path}")
    algorithm, derivation, check, salt, operations, memory, closed = SECRET.unpack(content)
    if algorithm != PLAIN or check != BLAKE2B or derivation not in (SCRYPT, CLEAR):
        raise SignatureError(f"{path} is no secret key of minisign")
    if derivation == SCRYPT:
        stream = stretch(ask(), salt, operations, memory)
        closed = bytes(one ^ other for one, other in zip(closed, stream, strict=True))
    number, pair, found = CLOSED.unpack(closed)
    key = Ed25519PrivateKey.from_private_bytes(pair[:32])
    if derivation == SCRYPT and found != hashlib.blake2b(PLAIN + number + pair, digest_size=32).digest():
        raise SignatureError(f"secret key {path}: the passphrase is wrong")
    if key.public_key().public_bytes_raw() != pair[32:]:  # minisign -G -W leaves the check empty
        raise SignatureError(f"secret key {path} is damaged")
    return SecretKey(number, key)


def make_key(folder: Path, passphrase: str) -> tuple[Path, Path]:
    """Write a new pair, kiosk-release.key and kiosk-release.pub; return their paths.

    Raises:
        SignatureError: there is a key already.
    """
    secret_path, public_path = folder / f"{NAME}.key", folder / f"{NAME}.pub"
    for path in (secret_path, public_path):
        if path.exists():
            raise SignatureError(f"{path} exists; a key is never overwritten")
    key = Ed25519PrivateKey.generate()
    number, salt = os.urandom(NUMBER_BYTES), os.urandom(SALT_BYTES)
    pair = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    closed = CLOSED.pack(number, pair, hashlib.blake2b(PLAIN + number + pair, digest_size=32).digest())
    derivation, operations, memory = CLEAR, 0, 0
    if passphrase:
        derivation, operations, memory = SCRYPT, OPERATIONS, MEMORY
        stream = stretch(passphrase, salt, operations, memory)
        closed = bytes(one ^ other for one, other in zip(closed, stream, strict=True))
    content = SECRET.pack(PLAIN, derivation, BLAKE2B, salt, operations, memory, closed)
    handle = os.open(secret_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        kept = "encrypted" if passphrase else "not encrypted"
        file.write(f"{COMMENT}secret key of kiosk releases, {kept}\n{base64.b64encode(content).decode()}\n")
    public = base64.b64encode(PLAIN + number + pair[32:]).decode()
    public_path.write_text(f"{COMMENT}minisign public key {number_id(number)}\n{public}\n", encoding="ascii")
    return secret_path, public_path


def given_passphrase(path: Path | None) -> str:
    """Return the passphrase: the first line of a file, or asked for on the terminal."""
    if path is not None:
        return read_lines(path, 1)[0]
    if not sys.stdin.isatty():
        raise SignatureError("the key has a passphrase: run this on a terminal, or give --passphrase-file")
    return getpass.getpass("Passphrase of the release key: ")


def chosen_passphrase(path: Path | None) -> str:
    """Return a new passphrase, typed twice where it is typed."""
    chosen = given_passphrase(path)
    if not chosen:
        raise SignatureError("a passphrase has at least one character; without one: --no-passphrase")
    if path is None and getpass.getpass("Once more: ") != chosen:
        raise SignatureError("the two were not the same; nothing was made")
    return chosen


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Sign releases and check their signatures, in the form of minisign.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make-key", help="make a pair of keys")
    making.add_argument("folder", type=Path)
    making.add_argument("--no-passphrase", action="store_true")
    signing = commands.add_parser("sign", help="write FILE.minisig beside a file")
    signing.add_argument("file", type=Path)
    signing.add_argument("--key", type=Path, required=True)
    signing.add_argument("--comment", default="")
    for command in (making, signing):
        command.add_argument("--passphrase-file", type=Path)
    checking = commands.add_parser("verify", help="print the key's number and the trusted comment, or exit 1")
    checking.add_argument("file", type=Path)
    checking.add_argument("--signature", type=Path, required=True)
    checking.add_argument("--key", type=Path, required=True)
    naming = commands.add_parser("id", help="print the number of a public key")
    naming.add_argument("key", type=Path)
    chosen = parser.parse_args()
    try:
        if chosen.command == "make-key":
            passphrase = "" if chosen.no_passphrase else chosen_passphrase(chosen.passphrase_file)
            for path in make_key(chosen.folder, passphrase):
                print(path)
        elif chosen.command == "sign":
            secret = read_secret_key(chosen.key, lambda: given_passphrase(chosen.passphrase_file))
            text = sign(chosen.file, secret, chosen.comment or f"timestamp:{int(time.time())} file:{chosen.file.name}")
            chosen.file.with_name(f"{chosen.file.name}.minisig").write_text(text, encoding="utf-8")
        elif chosen.command == "verify":
            public = read_public_key(chosen.key)
            print(public.id, verify(chosen.file, chosen.signature, public))
        else:
            print(read_public_key(chosen.key).id)
    except (SignatureError, OSError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()

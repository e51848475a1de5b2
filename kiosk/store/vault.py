"""The device's key: where it lies, what is derived from it, and authenticated encryption with it.

One 32-byte master key. HKDF-SHA256 (RFC 5869) gives a subkey for each use, so that no two uses
share key bytes: sealing rows, lookups by equality, row checks, wrapping backup keys, and the seed
of the Ed25519 key that signs the decision log. The signing key is derived, not stored: there is
nothing to lose, and a new master key is a new signing key, which `chain.py` chains to the old.

The master key lies in the systemd credential or in a 0600 file beside the database; never in the
database, a log or a backup. A key on the same card protects a copied database or backup, not a
stolen card.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import stat
import time
from enum import Enum
from typing import TYPE_CHECKING, TextIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kiosk.errors import KeyMissingError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY_BYTES = 32
NONCE_BYTES = 12  # 96 bits, what both ciphers take
TAG_BYTES = 16
SEALED_BYTES = NONCE_BYTES + TAG_BYTES  # what sealing adds to a value
KEY_NAME = "kiosk.key"
NEXT_KEY_NAME = "kiosk.key.new"  # lies beside the old one from the start of a rekey to its end
LOOKUP_BYTES = 16
CHECK_BYTES = 16
LONGEST_FILE = 1024  # of a key file: more than either form has


class Cipher(str, Enum):
    """Which AEAD a store was made with."""

    AES_256_GCM = "AES-256-GCM"
    CHACHA20_POLY1305 = "ChaCha20-Poly1305"


AEAD_BY_CIPHER: dict[Cipher, type[AESGCM | ChaCha20Poly1305]] = {
    Cipher.AES_256_GCM: AESGCM,
    Cipher.CHACHA20_POLY1305: ChaCha20Poly1305,
}


class Key:
    """A master key. Its bytes show in no repr and no message."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, got {len(secret)}")
        self._secret = secret

    def __repr__(self) -> str:
        return f"Key({self.check})"

    def derive(self, use: str, size: int = KEY_BYTES) -> bytes:
        """Return the subkey for one use."""
        hkdf = HKDF(hashes.SHA256(), size, salt=None, info=b"kiosk/" + use.encode())
        return hkdf.derive(self._secret)

    @property
    def check(self) -> str:
        """Name the key without giving it away; kept in the store to tell a wrong key."""
        return self.derive("check", 8).hex()

    def write(self, path: Path) -> None:
        """Write the key to a new 0600 file, whole or not at all; an existing file is never overwritten."""
        if path.exists():
            raise StoreError(f"{path} exists; a key is never overwritten")
        part = path.with_name(f".{path.name}.part")
        try:
            part.unlink(missing_ok=True)  # left by a cut; its mode may be anything
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(self._secret.hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)  # half a key beside a good one would keep the store shut
            sync_directory(path.parent)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StoreError(f"cannot write the key to {path}: {error.strerror}") from error


def new_key() -> Key:
    """Return a fresh random key."""
    return Key(os.urandom(KEY_BYTES))


def read_key(path: Path, *, is_credential: bool = False) -> Key:
    """Read one key file: 32 bytes, or 64 hexadecimal digits.

    Args:
        path: of the file.
        is_credential: it lies in the folder that systemd makes for the service. There a group's bit is the mask of an
            access list that names the service's user alone, and the name may be a link.

    Raises:
        KeyMissingError: no such file, it holds no key, or others than its owner may read or replace it.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if is_credential else os.O_NOFOLLOW)
    try:
        handle = os.open(path, flags)  # what is judged is what is read
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyMissingError(f"{path} is a link; move the key itself there: a link can be turned") from error
        raise KeyMissingError(f"no key at {path} ({error.strerror})") from error
    try:
        _refuse_if_exposed(path, os.fstat(handle), path.parent.stat(), is_credential=is_credential)
        content = os.read(handle, LONGEST_FILE)
    finally:
        os.close(handle)
    if len(content) == KEY_BYTES:
        return Key(content)
    try:
        return Key(bytes.fromhex(content.decode("ascii")))
    except ValueError:  # its text might quote the key, so it is not chained
        raise KeyMissingError(
            f"{path} holds no key: want {KEY_BYTES} bytes or {2 * KEY_BYTES} hexadecimal digits"
        ) from None


def _refuse_if_exposed(path: Path, file: os.stat_result, folder: os.stat_result, *, is_credential: bool) -> None:
    """Raise KeyMissingError where others than the key's owner may read or change it, or put another in its place.

    A sticky folder, such as /tmp, lets nobody replace a file of another's.
    """
    if not stat.S_ISREG(file.st_mode):
        raise KeyMissingError(f"{path} is no file; a key is a file of {KEY_BYTES} bytes")
    allowed = stat.S_IRWXU | (stat.S_IRGRP if is_credential else 0)
    if exposed := stat.S_IMODE(file.st_mode) & ~allowed & 0o777:
        who = "everyone" if exposed & stat.S_IRWXO else "its group"
        may = "read" if exposed & (stat.S_IRGRP | stat.S_IROTH) else "change"
        raise KeyMissingError(
            f"{who} may {may} the key {path} (mode {stat.S_IMODE(file.st_mode):04o}); mend it with: chmod 600 {path}"
        )
    if is_credential:
        return
    # Root runs commands on the store of the kiosk's own account: then file and folder have one owner.
    owners = {os.geteuid(), 0} | ({folder.st_uid} if os.geteuid() == 0 else set())
    for kind, found, place in (("key", file, path), ("folder of the key", folder, path.parent)):
        if found.st_uid not in owners:
            raise KeyMissingError(
                f"the {kind} {place} belongs to user {found.st_uid}, who can replace it; mend it with: "
                f"chown {os.geteuid()} {place}"
            )
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX:
        who = "everyone" if folder.st_mode & stat.S_IWOTH else "its group"
        raise KeyMissingError(
            f"{who} may replace the key in {path.parent} (mode {stat.S_IMODE(folder.st_mode):04o}); mend it with: "
            f"chmod go-w {path.parent}"
        )


def read_keys(directory: Path, credentials: Path | None = None) -> tuple[Key, ...]:
    """Return the keys that may open the store of a state directory, the likeliest first.

    Two keys are there only when a rekey was cut short; the store knows which one is in force.

    Args:
        directory: the state directory.
        credentials: `$CREDENTIALS_DIRECTORY` of systemd, where it holds a `kiosk.key`.

    Raises:
        KeyMissingError: no key in either place.
    """
    for place in (credentials, directory):
        if place is not None and os.path.lexists(place / KEY_NAME):
            names = [name for name in (KEY_NAME, NEXT_KEY_NAME) if os.path.lexists(place / name)]
            return tuple(read_key(place / name, is_credential=place is credentials) for name in names)
    raise KeyMissingError(
        f"no {KEY_NAME} in {directory} nor among the credentials; without its key a store cannot be read"
    )


def fastest_cipher(clock_ns: Callable[[], int] = time.perf_counter_ns) -> Cipher:
    """Return the cipher this machine is faster at: without AES instructions that is ChaCha20."""
    payload = bytes(1 << 16)
    cost_by_cipher = {}
    for cipher, aead in AEAD_BY_CIPHER.items():
        box = aead(bytes(KEY_BYTES))
        costs = []
        for run in range(9):
            start = clock_ns()
            box.encrypt(run.to_bytes(NONCE_BYTES, "big"), payload, None)
            costs.append(clock_ns() - start)
        cost_by_cipher[cipher] = min(costs)  # the least disturbed run
    return min(cost_by_cipher, key=lambda cipher: cost_by_cipher[cipher])


class Vault:
    """What one key can do: seal and open, look up, check and sign. Safe in any thread.

    A nonce is 96 random bits. At 2**32 sealings under one key, two nonces meet with a chance below
    2**-33 (NIST SP 800-38D, 8.3 sets this limit); a million people are 2**20.
    """

    def __init__(self, key: Key, cipher: Cipher) -> None:
        self.cipher = cipher
        self.check = key.check
        self._key = key
        self._row = AEAD_BY_CIPHER[cipher](key.derive("row"))
        self._wrap = AEAD_BY_CIPHER[cipher](key.derive("backup"))
        self._lookup = key.derive("lookup")
        self._mac = key.derive("row check")
        self._signer = Ed25519PrivateKey.from_private_bytes(key.derive("ed25519"))
        self.public_key: bytes = self._signer.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"Vault({self.check}, {self.cipher.value})"

    def seal(self, value: bytes, context: bytes) -> bytes:
        """Encrypt a value so that it opens in its own place only.

        Args:
            value: any bytes.
            context: table, row and model; authenticated, not stored.

        Returns:
            nonce, ciphertext and tag: `SEALED_BYTES` longer than the value.
        """
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._row.encrypt(nonce, value, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what `seal` returned.

        Raises:
            InvalidTag: a bit was changed, or the value belongs to another row. The store says
                which row, so it is the one to translate this.
        """
        return self._row.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Seal the key of a backup."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrap.encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Open the key of a backup; `InvalidTag` when it is another device's."""
        return self._wrap.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)

    def lookup(self, kind: str, text: str) -> bytes:
        """Return a keyed hash by which a sealed text is found again, and only the whole of it."""
        message = f"{kind}|{text}".encode()
        return hmac.digest(self._lookup, message, "sha256")[:LOOKUP_BYTES]

    def mac(self, message: bytes) -> bytes:
        """Return a keyed check of clear columns (BLAKE2b: a third of HMAC-SHA256's cost here)."""
        return hashlib.blake2b(message, key=self._mac, digest_size=CHECK_BYTES).digest()

    def sign(self, message: bytes) -> bytes:
        """Sign with the device's Ed25519 key; 64 bytes."""
        return self._signer.sign(message)


def vault_for(keys: tuple[Key, ...], check: str, cipher: Cipher) -> tuple[Vault, int]:
    """Return the vault of the key a store was written with, and that key's place in `keys`.

    Raises:
        KeyMissingError: none of them is that key.
    """
    for place, key in enumerate(keys):
        if hmac.compare_digest(key.check, check):
            return Vault(key, cipher), place
    raise KeyMissingError(f"the key given is not the one this store was written with (it wants key {check})")


def replace_key(directory: Path) -> None:
    """Put the next key in the place of the old one: the last step of a rekey."""
    (directory / NEXT_KEY_NAME).replace(directory / KEY_NAME)
    sync_directory(directory)


def create_file(path: Path) -> None:
    """Make an empty file that nobody else may read; SQLite would make it for everyone."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def open_private(path: Path) -> TextIO:
    """Open a file of the state directory for writing, empty, for its owner alone whatever the umask is."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "w", encoding="utf-8")


def sync_directory(directory: Path) -> None:
    """Make a new or renamed file's name survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = [
    "Cipher",
    "InvalidTag",
    "Key",
    "Vault",
    "fastest_cipher",
    "new_key",
    "read_key",
    "read_keys",
    "vault_for",
]

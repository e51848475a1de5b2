"""The device's key: one of 32 bytes, and the files it lies in.

The master key lies in the systemd credential or in a 0600 file beside the database; never in the
database, a log or a backup. A key on the same card protects a copied database or backup, not a
stolen card.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kiosk.errors import KeyMissingError, StoreError
from kiosk.store.durable import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32
LONGEST_FILE = 1024  # of a key file: more than either form has
KEY_NAME = "kiosk.key"
NEXT_KEY_NAME = "kiosk.key.new"  # lies beside the old one from the start of a rekey to its end


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
            with suppress(OSError):  # a disk that fails may fail here too; the next `write` removes it
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
            raise KeyMissingError(
                f"{path} is a link, which others could point elsewhere; move the key itself there"
            ) from error
        raise KeyMissingError(f"no key at {path} ({error.strerror}); put the copy of the store's key there") from error
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
        raise KeyMissingError(f"{path} is not a file; a key is a file of {KEY_BYTES} bytes")
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
        f"no {KEY_NAME} in {directory} nor among systemd's credentials; put the copy of the store's key there"
    )


def replace_key(directory: Path) -> None:
    """Put the next key in the place of the old one: the last step of a rekey."""
    (directory / NEXT_KEY_NAME).replace(directory / KEY_NAME)
    sync_directory(directory)

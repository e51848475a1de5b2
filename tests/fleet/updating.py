"""What the tests of updates share: bundles, and kiosks with an updater that answers what a test tells it."""

import json
import os
from typing import Any

from kiosk.fleet.orders import UPDATE, Order, seal_order
from kiosk.fleet.sync import FleetSync
from kiosk.fleet.updates.appliance import OUTCOME, REQUEST, Appliance
from kiosk.fleet.updates.order import PIECE, Update, read_bundle
from kiosk.fleet.updates.staging import Machine, Others, Staging
from tests.fleet.keys import Kiosk

OLD, NEW = "1.0", "1.1"
ARCH, PYTHON = "aarch64", "3.13"


def make_bundle(folder, version=NEW, *, size=3 * PIECE + 1000, arch=ARCH):
    """Write a bundle of bytes that nobody installs, with something for a signature beside it."""
    path = folder / f"kiosk-{version}-{arch}-python{PYTHON}.tar.gz"
    path.write_bytes(os.urandom(size))
    path.with_name(f"{path.name}.minisig").write_text("untrusted comment: of the tests\n")
    return path


def update_of_paths(first, *paths, version=NEW, **more):
    return Update(0, version, first, tuple(map(read_bundle, paths)), **more)


def sealed(fleet, update, revision, *, signer=None):
    key = fleet.roster.keys_for("admin", fleet.admin.identity.seal)[fleet.roster.epoch]
    order = Order(UPDATE, revision, update.plain())
    return seal_order(order, epoch=fleet.roster.epoch, key=key, signer=signer or fleet.admin.identity.sign)


class Updated(Kiosk):
    """A kiosk whose device has an updater: files as fleet_update.sh reads and writes them."""

    def __init__(self, directory, fleet, clock):
        super().__init__(directory, fleet, clock)
        self.opt = directory.parent / f"{directory.name}-opt"
        self.opt.mkdir()
        self.now = 0.0
        self.others = Others(is_complete=True)
        self.staging: Any = None

    @property
    def folder(self):
        return self.directory / "updates"

    def make(self, member, others, version=OLD, *, installer=None, settle_s=0.2, **more):
        """Return its part in updates, as a process that runs a release makes it."""
        installer, machine = installer or Appliance(self.opt), Machine(version, ARCH, PYTHON)
        return Staging(self.store, member, others, installer, machine=machine, settle_s=settle_s, **more)

    def start(self, version=OLD):
        """Run a release, with its thread."""
        self.sync = FleetSync(self.store, staging=lambda member, others: self.make(member, others, version))
        self.sync.start()

    def process(self, version=OLD, **more):
        """Return its part alone, with a clock and others that the test sets."""
        more = {"clock": lambda: self.now, "settle_s": 0.0, **more}
        self.staging = self.make(self.member, lambda: self.others, version, **more)
        return self.staging

    @property
    def stage(self) -> Any:
        staging = self.staging if self.sync is None else self.sync.staging
        return staging.standing.stage.value

    @property
    def asked(self) -> Any:
        """What the updater is asked for: revision, version, bundle; None: nothing."""
        try:
            return (self.folder / REQUEST).read_text().split()
        except FileNotFoundError:  # which may be withdrawn at any time
            return None

    def answer(self, stage, why=""):
        """Say how it went, as the updater does."""
        assert self.asked is not None
        told = {"revision": int(self.asked[0]), "stage": stage, "why": why, "after": 0}
        (self.opt / OUTCOME).write_text(json.dumps(told))

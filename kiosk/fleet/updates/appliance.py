"""Who installs a release on a device: firmware_scripts/fleet_update.sh, as root, asked by a file and answering by one.

The kiosk's own account may write no release. It leaves a request in its state directory; update-kiosk.path sees it, and
the script runs the device's updater, which believes a bundle by the signature of whoever makes releases, and nothing
that the kiosk says.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kiosk.errors import StoreError
from kiosk.fleet.updates.order import Bundle
from kiosk.fleet.updates.rollout import ENDED, Stage
from kiosk.rules.text import shown
from kiosk.store.durable import write_private

OPT = Path("/opt/kiosk")
ENABLED = Path("/etc/systemd/system/paths.target.wants/update-kiosk.path")
"""There while the unit is enabled: `systemctl disable update-kiosk.path` keeps a device out of the fleet's updates."""
REQUEST, OUTCOME = "request", "update.json"
LARGEST = 4096  # bytes of an outcome
LONGEST_WHY = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an update ended."""

    stage: Stage  # of ENDED
    why: str = ""


class Installer(Protocol):
    """Installs what it is given, some time later, and says how it went."""

    def ask(self, revision: int, bundle: Bundle, folder: Path) -> None:
        """Ask for an update; asking again for the same changes nothing.

        Args:
            revision: of the order; what is asked once is done once.
            bundle: which one.
            folder: where it lies, with its signature beside it.

        Raises:
            StoreError: the disk takes nothing.
        """

    def outcome(self, revision: int) -> Outcome | None:
        """Return how it ended; None while it has not."""

    def withdraw(self) -> None:
        """Take a request back that nobody has begun with."""


class Appliance:
    """The device's updater, as firmware_scripts/install.sh put it there."""

    def __init__(self, opt: Path = OPT) -> None:
        """Take the folder of the releases."""
        self._opt = opt
        self._request: Path | None = None

    def ask(self, revision: int, bundle: Bundle, folder: Path) -> None:
        """See Installer."""
        self._request = folder / REQUEST
        try:  # a new file each time: update-kiosk.path sees that
            write_private(self._request, f"{revision}\n{bundle.version}\n{bundle.name}\n")
        except OSError as error:
            raise StoreError(f"{self._request}: {error.strerror}; the update was not asked for") from error

    def outcome(self, revision: int) -> Outcome | None:
        """See Installer."""
        try:
            with (self._opt / OUTCOME).open("rb") as file:
                told = json.loads(file.read(LARGEST))
            stage = Stage(told["stage"])
            if told["revision"] != revision or stage not in ENDED:
                return None
            return Outcome(stage, shown(str(told.get("why", "")))[:LONGEST_WHY])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def withdraw(self) -> None:
        """See Installer."""
        if self._request is not None:
            with suppress(OSError):
                self._request.unlink(missing_ok=True)


def find_installer(opt: Path = OPT, enabled: Path = ENABLED) -> Appliance | None:
    """Return the device's updater; None where there is none, as on a developer's machine, or it is switched off."""
    return Appliance(opt) if (opt / "current").exists() and enabled.is_symlink() else None

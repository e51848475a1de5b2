"""Settings that the owner orders for every kiosk: checked as a start checks them, then taken whole, or not at all.

They go before kiosk.toml and before what operators changed in the page, so that what the owner sees is what holds at
every door; only the environment of a kiosk's service, which whoever runs its machine writes, goes before them. What
belongs to one place stays with it: camera, lines, addresses, models, the marks of one picture.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kiosk.errors import ConfigError
from kiosk.fleet.member import Member
from kiosk.fleet.orders import SETTINGS
from kiosk.settings.config import load_config, written
from kiosk.store.chain import Kind
from kiosk.store.durable import sync_directory
from kiosk.store.store import Store

SECTIONS = frozenset(
    {"match", "search", "entrance", "presentation", "enrolment", "review", "attempts", "degraded", "schedule"}
    | {"health", "store", "pad"}
)
OF_ONE_PLACE = frozenset(
    {"search.shards", "search.shards_hub", "entrance.ignore", "entrance.idle_fps", "health.status_file", "pad.screen"}
    | {"pad.calibrated_for", "pad.network_low", "pad.face_share_high", "pad.spoken_folder"}
)
HEAD = (
    "# Written by the kiosk: what the owner of the fleet ordered, revision {}. It goes before kiosk.toml and the page."
)

log = logging.getLogger("kiosk.fleet")


def check_settings(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return settings by section, if they are such as an owner orders, and right by themselves.

    Raises:
        ConfigError: one belongs to one kiosk, is unknown or wrong.
    """
    found: dict[str, dict[str, Any]] = {}
    for section, values in body.items():
        if not isinstance(values, dict):
            raise ConfigError(f"want a section [{section}], got {section} = {values!r}"[:200])
        for name in values:
            setting = f"{section}.{name}"
            if setting != "fleet.decisions" and (section not in SECTIONS or setting in OF_ONE_PLACE):
                raise ConfigError(
                    f"[{section}] {name} belongs to one kiosk; an owner orders {', '.join(sorted(SECTIONS))}"
                )
        found[str(section)] = dict(values)
    has_screen = {"pad": {**found["pad"], "screen": True}} if "pad" in found else {}  # each kiosk's own affair
    load_config(None, changes={**found, **has_screen})
    return found


class SettingsKeeper:
    """Puts the owner's settings into force at this kiosk. `look` is for one thread."""

    def __init__(
        self,
        store: Store,
        member: Member,
        path: Path,
        *,
        check: Callable[[Path], Sequence[str]],
        reload: Callable[[], None],
    ) -> None:
        """Put the parts together.

        Args:
            store: whose log says what was taken.
            member: knows the order.
            path: fleet.toml in the state directory.
            check: returns what would keep a kiosk with another such file from starting.
            reload: takes the settings as they lie there.
        """
        self._store, self._member, self._path = store, member, path
        self._check, self._reload = check, reload
        self._refused = 0  # the revision that was refused in this process; a newer program may take it
        self._in_force = 0
        self._fault: str | None = None

    def look(self) -> None:
        """Take the newest order where it is not in force."""
        order = self._member.order(SETTINGS)
        if order is None or order.revision in {self._refused, self._in_force}:
            return
        try:
            text = written(HEAD.format(order.revision), check_settings(order.body))
            if self._path.is_file() and self._path.read_bytes() == text.encode():
                self._in_force = order.revision
                self._fault = self._misfit(order.revision)
                return
            self._write(text)
            if faults := self._check(self._new):
                self._new.unlink()
                raise ConfigError(faults[0])
            self._store.record_act(Kind.SETTINGS, details={"fleet_settings": order.revision}, actor="fleet")
            self._new.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:  # tried again with the next look
            self._fault = f"{self._path}: {error.strerror}; the fleet's settings {order.revision} were not taken."
            return
        except ConfigError as error:
            self._refuse(order.revision, str(error))
            return
        self._member.shared.orders.drop_before(SETTINGS, order.revision)
        self._in_force, self._fault = order.revision, None
        log.info("fleet settings=%d taken", order.revision)
        self._reload()

    def _misfit(self, revision: int) -> str | None:
        """Say why this program started without some of what another took; None where it has all of it."""
        faults = self._check(self._path)
        return f"Some of the fleet's settings {revision} were left out here: {faults[0]}" if faults else None

    @property
    def _new(self) -> Path:
        return self._path.with_name(f".{self._path.name}.new")

    def _write(self, text: str) -> None:
        handle = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def _refuse(self, revision: int, reason: str) -> None:
        self._refused = revision
        self._fault = f"The fleet's settings {revision} were refused here, as a whole: {reason}"
        log.warning("fleet settings=%d refused reason=%r", revision, reason)
        details = {"fleet_settings": revision, "is_refused": True}
        self._store.record_act(Kind.SETTINGS, details=details, actor="fleet")

    def figures(self) -> dict[str, Any]:
        """Return which settings of the owner are known and which are in force, for health."""
        order = self._member.order(SETTINGS)
        return {
            "revision": 0 if order is None else order.revision,
            "in_force": self._in_force,
            "fault": self._fault,
        }

"""The fleet's part of a running kiosk, put together; imported by a kiosk of a fleet alone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from kiosk import assembly
from kiosk.cli.start_checks import list_mistakes
from kiosk.daemon.kiosk import Kiosk
from kiosk.fleet.doors.doors import Doors
from kiosk.fleet.duplicates import DuplicateWatch
from kiosk.fleet.member import Member
from kiosk.fleet.settings import SettingsKeeper
from kiosk.fleet.sync import FleetSync
from kiosk.fleet.updates.appliance import find_installer
from kiosk.fleet.updates.staging import Staging
from kiosk.rules.conditions import Allowed
from kiosk.rules.interlock import Leaf
from kiosk.settings.config import ORDERED_NAME
from kiosk.store.accounts import Accounts, name_of
from kiosk.store.store import Store
from kiosk.types import ClockState


def make_fleet(chosen: argparse.Namespace, kiosk: Kiosk, store: Store, *, reload: Callable[[], None]) -> FleetSync:
    """Return what keeps this kiosk and its fleet level; stopped.

    Args:
        chosen: the options.
        kiosk: running.
        store: its.
        reload: has the settings read again.
    """

    def check(path: Path) -> list[str]:
        return [one.sentence for one in list_mistakes(chosen, ordered=path)]

    def keeper(member: Member) -> SettingsKeeper:
        path = assembly.state_of(chosen) / ORDERED_NAME
        return SettingsKeeper(store, member, path, check=check, reload=reload)

    def health() -> dict[str, object]:
        now = kiosk.requests.health()
        return {
            "is_armed": now.is_armed,
            "mode": now.mode,
            "states": [one.condition for one in now.states],
            "alarms": [one.condition for one in now.states if one.leaves != Allowed.OPEN.value],
            "pack": kiosk.device.recogniser.model,
        }

    def doors(member: Member) -> Doors:
        door, lockdown, accounts = kiosk.door, kiosk.lockdown, Accounts(store, now=time.time)
        return Doors(
            member,
            store,
            rule=lambda: kiosk.device.config.passage,
            leaf=lambda: Leaf.UNKNOWN if door is None else door.leaf,
            lockdowns=lambda: lockdown.known,
            hear_lockdowns=lambda told, name, names: lockdown.hear(told, kiosk=name, names=names),
            account_name=lambda account: name_of(accounts, account) or lockdown.heard_name(account),
            now=kiosk.clock,
            is_clock_trusted=lambda: kiosk.clock.state() is not ClockState.UNTRUSTED,
        )

    _ = kiosk.device.gallery  # loaded: whose templates have which length is known before anybody sends some
    made = FleetSync(
        store,
        health=health,
        more_hubs=kiosk.device.config.fleet.site_hubs,
        chores=[DuplicateWatch(kiosk.device).look],
        keeper=keeper,
        doors=doors,
        staging=lambda member, others: Staging(store, member, others, find_installer()),
    )
    kiosk.judge.opening.ask(made.doors)
    return made

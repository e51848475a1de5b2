"""Commands of a lockdown: door lockdown, door lift. Apart from `door release`, which loads nothing of this."""

from __future__ import annotations

import argparse
import json
import time

from kiosk import assembly
from kiosk.api.totp import counter_of
from kiosk.cli.cloud import read_secret
from kiosk.cli.door import door_places
from kiosk.daemon.door_socket import ask_door
from kiosk.errors import ConfigError, RefusedError
from kiosk.store.accounts import Accounts, Role


def door_lockdown(chosen: argparse.Namespace) -> None:
    """Have the running kiosk lock its door down."""
    if chosen.fleet:
        with assembly.open_store(chosen, assembly.load_settings(chosen)) as store:
            if not store.is_in_fleet:
                raise ConfigError("--fleet: this kiosk belongs to none; `kiosk fleet join` lets it ask to")
    asked = {"lockdown": {"reason": chosen.reason, "is_fleet_wide": chosen.fleet}}
    ask_door(door_places(chosen), json.dumps(asked))
    told = "every door of the fleet is" if chosen.fleet else "the door is"
    print(json.dumps({"is_locked_down": True}) if chosen.json else f"{told} locked down until somebody lifts that")


def door_lift(chosen: argparse.Namespace) -> None:
    """Lift the lockdown of the running kiosk, in the name of an account whose password is given."""
    password = read_secret(f"Password of {chosen.by}")
    with assembly.open_store(chosen, assembly.load_settings(chosen)) as store:
        account = Accounts(store, now=time.time).by_password(chosen.by, password)
        if account is None or account.role < Role.OPERATOR:
            raise RefusedError(f"{chosen.by} is not an operator, or the password is wrong")
        if account.totp is not None:
            code = read_secret("Code of the second factor")
            if counter_of(account.totp, code, time.time(), after=-1) is None:
                raise RefusedError("this is no code of the second factor")
    ask_door(door_places(chosen), json.dumps({"lift": {"by": account.id}}))
    print(json.dumps({"is_locked_down": False}) if chosen.json else "the lockdown is lifted")

"""The owner's orders for every kiosk: policy and settings, each show and set."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kiosk import assembly
from kiosk.cli.fleet.owner import open_owner, owner_of, say_missed
from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.admin import Invitation
from kiosk.fleet.member import Member
from kiosk.fleet.orders import POLICY, SETTINGS, Order, revision_of
from kiosk.fleet.owner import Owner
from kiosk.fleet.policy import policy_of, read_policy, shut, write_policy
from kiosk.fleet.roster import Roster
from kiosk.fleet.settings import check_settings
from kiosk.fleet.updates.order import Bundle
from kiosk.rules.text import shown
from kiosk.settings.config import read_toml, written


def fleet_policy_show(chosen: argparse.Namespace) -> None:
    """Print the policy."""
    order, roster = _in_force(chosen, POLICY)
    if chosen.json:
        print(json.dumps(None if order is None else {"revision": order.revision, **order.body}, indent=2))
        return
    if order is None:
        print("# No policy: everybody goes everywhere.")
        return
    print(f"# Policy {order.revision}")
    print(write_policy(policy_of(order), roster), end="")


def fleet_policy_set(chosen: argparse.Namespace) -> None:
    """Put a policy into force."""
    admin, invitation = open_owner(chosen.owner)
    owner = Owner(admin, invitation, chosen.owner)
    roster = owner.roster()
    policy = read_policy(chosen.file, roster)
    order = give_order(chosen.owner, owner, invitation, POLICY, policy.plain())
    closed = shut(policy, roster)
    if chosen.json:
        print(json.dumps({"revision": order.revision, "shut": list(closed)}, ensure_ascii=False))
    else:
        print(f"Policy {order.revision} is in force; `kiosk fleet members` shows which kiosks know it")
    if closed:
        assembly.note(f"nobody goes through {', '.join(map(shown, closed))}: no group is named there")


def fleet_settings_show(chosen: argparse.Namespace) -> None:
    """Print the owner's settings."""
    order, _ = _in_force(chosen, SETTINGS)
    if chosen.json:
        print(json.dumps(None if order is None else {"revision": order.revision, "settings": order.body}, indent=2))
    elif order is None:
        print("# The owner has set nothing for every kiosk.")
    else:
        print(written(f"# Settings {order.revision}", check_settings(order.body)), end="")


def fleet_settings_set(chosen: argparse.Namespace) -> None:
    """Put settings into force."""
    admin, invitation = open_owner(chosen.owner)
    body = check_settings(read_toml(chosen.file))
    order = give_order(chosen.owner, Owner(admin, invitation, chosen.owner), invitation, SETTINGS, body)
    if chosen.json:
        print(json.dumps({"revision": order.revision}))
    else:
        print(f"Settings {order.revision} are ordered; `kiosk fleet members` shows which kiosks took them")


def _in_force(chosen: argparse.Namespace, kind: str) -> tuple[Order | None, Roster]:
    """Return an order, of the hub or as this kiosk knows it."""
    if chosen.owner is not None:
        owner = owner_of(chosen.owner)
        return owner.order(kind), owner.roster()
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        member = Member(store)
        if member.roster is None:
            raise RefusedError("this kiosk has not heard from the owner yet; `kiosk fleet status` says why")
        return member.order(kind), member.roster


def give_order(
    folder: Path,
    owner: Owner,
    invitation: Invitation,
    kind: str,
    body: Mapping[str, Any],
    *,
    bundles: Sequence[tuple[Bundle, Path]] = (),
    said: Callable[[int, int], None] = lambda _done, _of: None,
) -> Order:
    """Order something, with a revision above any that this folder gave: kiosks remember it longer than a hub's disk."""
    path = folder / f"{kind}.order"
    try:
        above = revision_of(path.read_bytes(), kind, invitation.admin) if path.exists() else 0
        order, signed = owner.give(kind, body, above=above, bundles=bundles, said=said)
        path.write_bytes(signed)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    say_missed(owner)
    return order

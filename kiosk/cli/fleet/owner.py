"""The owner's commands: init, approve, revoke, members."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kiosk import assembly
from kiosk.assembly import note
from kiosk.cli.main import REFUSED
from kiosk.didit.contract import timestamp
from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.admin import Admin, Invitation, new_admin, read_admin, read_invitation
from kiosk.fleet.hub import prepare
from kiosk.fleet.identity import read_code
from kiosk.fleet.member import Member
from kiosk.fleet.owner import Owner
from kiosk.fleet.roster import Roster
from kiosk.fleet.view import is_time
from kiosk.rules.text import shown

KEY_NAME, INVITATION_NAME = "owner.key", "fleet.json"
SHORTEST_PASSPHRASE = 8
TOLD = ("waiting", "unread", "policy", "settings", "is_armed", "states", "alarms", "pack", "duplicates", "log")


def fleet_init(chosen: argparse.Namespace) -> None:
    """Make a fleet."""
    hosts = tuple(_host(url) for url in chosen.hub)
    passphrase = _passphrase(is_new=True)
    folder: Path = chosen.folder
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; a fleet is made in a folder that is new") from error
    admin = new_admin()
    invitation = admin.invitation(chosen.name, chosen.hub)
    admin.write(folder / KEY_NAME, passphrase)
    (folder / INVITATION_NAME).write_text(invitation.dump(), "utf-8")
    prepare(folder / "hub", admin, invitation, admin.sign(admin.first()), hosts)
    if chosen.json:
        print(json.dumps({"fleet": admin.fleet, "folder": str(folder)}))
        return
    print(f"Made the fleet {chosen.name} ({admin.fleet}) in {folder}:")
    print(f"  {KEY_NAME}    lets kiosks in and removes them; keep it and a copy, on no kiosk and not on the hub")
    print(f"  {INVITATION_NAME}   for every kiosk: kiosk fleet join {INVITATION_NAME}")
    print("  hub/         move it to the hub's machine, and there: kiosk fleet hub hub/")


def fleet_approve(chosen: argparse.Namespace) -> int:
    """Let a kiosk in."""
    card = read_code(chosen.code)
    print(f"{shown(card.name)} ({card.id}) asks to belong; its check value is {card.check}", file=sys.stderr)
    admin, invitation = open_owner(chosen.owner)
    if not chosen.yes and not _agrees():
        print("Nothing was changed.", file=sys.stderr)
        return REFUSED
    owner = Owner(admin, invitation, chosen.owner)
    roster = owner.change(lambda known: admin.add(known, card))
    say_missed(owner)
    if chosen.json:
        print(json.dumps({"kiosk": card.id, "name": card.name, "roster": roster.number}))
    else:
        print(f"{shown(card.name)} ({card.id}) belongs now: roster {roster.number}, {len(roster.members)} kiosks")
    return 0


def fleet_revoke(chosen: argparse.Namespace) -> None:
    """Take a kiosk off."""
    admin, invitation = open_owner(chosen.owner)
    owner = Owner(admin, invitation, chosen.owner)
    name = named(owner.roster(), chosen.kiosk)
    roster = owner.revoke(name)
    say_missed(owner)
    if chosen.json:
        print(json.dumps({"kiosk": name, "roster": roster.number, "epoch": roster.epoch}))
        return
    print(f"{name} was taken off: roster {roster.number}, {len(roster.members)} kiosks, a new key for what is written")
    print(f"A kiosk knows it from roster {roster.number - 1} on: `kiosk fleet members` shows each kiosk's")


def fleet_members(chosen: argparse.Namespace) -> None:
    """List the kiosks."""
    health: dict[str, tuple[float, str]] = {}
    if chosen.owner is not None:
        roster: Roster | None = owner_of(chosen.owner).roster()
    else:
        with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
            member = Member(store)
            roster, health = member.roster, member.shared.hubs.health()
    if roster is None:
        raise RefusedError("this kiosk has not heard from the owner yet; `kiosk fleet status` says why")
    rows = [_about(roster, name, health) for name in roster.members]
    gone: list[dict[str, Any]] = [
        {"kiosk": name, "name": one.card.name, "until": one.until} for name, one in roster.former.items()
    ]
    if chosen.json:
        print(json.dumps({"roster": roster.number, "kiosks": rows, "former": gone}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        print(f"{row['kiosk']}  {shown(row['name']):<24} {_said(row)}")
    for one in gone:
        print(f"{one['kiosk']}  {shown(one['name']):<24} taken off by roster {one['until']}")


def _about(roster: Roster, name: str, health: dict[str, tuple[float, str]]) -> dict[str, Any]:
    at, text = health.get(name, (None, "{}"))
    said = json.loads(text)
    return {
        "kiosk": name,
        "name": roster.members[name].card.name,
        "since": roster.members[name].since,
        "at": timestamp(at) if is_time(at) else None,
        "roster": said.get("roster"),
        "version": said.get("version"),
        **{name: said.get(name) for name in TOLD},
    }


def _said(row: dict[str, Any]) -> str:
    """Return what a kiosk said of itself, as one line."""
    if not row["at"]:
        return "has said nothing here"
    orders = ", ".join(f"{name} {row[name]}" for name in ("policy", "settings") if row[name])
    alarms = row["alarms"]
    trouble = ", ".join(map(str, alarms)) if isinstance(alarms, list) else ""
    parts = (f"roster {row['roster']}", orders, str(row["version"]), str(row["at"]), trouble)
    return shown(", ".join(filter(None, parts)))


def named(roster: Roster, text: str) -> str:
    """Return the kiosk that somebody means.

    Raises:
        RefusedError: none, or several.
    """
    found = [name for name, one in roster.members.items() if text in {name, one.card.name}]
    if len(found) != 1:
        how = "no kiosk" if not found else f"{len(found)} kiosks"
        raise RefusedError(f"{how} of the fleet is called {shown(text)}; `kiosk fleet members` lists them")
    return found[0]


def open_owner(folder: Path) -> tuple[Admin, Invitation]:
    """Open the owner's folder with the passphrase that is asked for.

    Raises:
        ConfigError: the folder holds no key, or an invitation of another fleet.
        RefusedError: the passphrase is wrong.
    """
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of how nats-py ends TLS, which nobody can mend
    invitation = read_invitation(assembly.read_file(folder / INVITATION_NAME).decode("utf-8", "replace"))
    admin = read_admin(folder / KEY_NAME, _passphrase(is_new=False))
    if admin.identity.card.sign != invitation.admin:
        raise ConfigError(f"{folder}: {KEY_NAME} and {INVITATION_NAME} are of two fleets")
    return admin, invitation


def owner_of(folder: Path) -> Owner:
    """Return the owner of a folder; raises as `open_owner` does."""
    return Owner(*open_owner(folder), folder)


def say_missed(owner: Owner) -> None:
    """Say which hubs did not take part in what was just done."""
    for reason in owner.missed:
        note(f"{reason}; kiosks that reach this hub and another bring it there")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme != "tls" or parts.username:
        raise ConfigError(f"want a hub's address such as tls://hub.example:4222, got {shown(url)}")
    return host


def _passphrase(*, is_new: bool) -> str:
    """Ask for the passphrase, or read a line from a pipe; never an argument, which other users could see."""
    if not sys.stdin.isatty():
        passphrase = sys.stdin.readline().rstrip("\r\n")
    else:
        passphrase = getpass.getpass("Passphrase of the owner's key: ")
        if is_new and getpass.getpass("Again: ") != passphrase:
            raise ConfigError("the passphrases differ; nothing was made")
    if is_new and len(passphrase) < SHORTEST_PASSPHRASE:
        raise ConfigError(f"want a passphrase of at least {SHORTEST_PASSPHRASE} characters; nothing was made")
    return passphrase


def _agrees() -> bool:
    if not sys.stdin.isatty():
        raise RefusedError("nobody is at a terminal to compare the check value; give --yes once it was compared")
    return input("Did `kiosk fleet join` print the same check value? [y/N] ").strip().lower() in {"y", "yes"}

"""What `kiosk fleet` understands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from kiosk.cli.values import read_count, read_days, read_minutes, read_port

Adder = Callable[..., argparse.ArgumentParser]
Group = Callable[[Adder, str, str], Adder]
OWNER = "folder that `kiosk fleet init` wrote, with owner.key and fleet.json"


KNOWN_HERE = "without it `status` prints what this kiosk knows"


def add_fleet(add: Adder, group: Group) -> None:
    """Add the commands; `group` makes one that has others below it."""
    fleet = group(add, "fleet", "share people, blocks and health among the kiosks of one owner")
    _add_owner(fleet)
    _add_kiosk(fleet)
    _add_people(fleet)
    _add_orders(fleet, group)
    _add_update(fleet)
    hub = fleet(
        "fleet hub",
        "fleet.hub",
        "run the hub through which the kiosks reach each other",
        more="Runs nats-server with TLS, streams on disk, and for each kiosk a user that may write its own subjects "
        "only; follows the owner's list of kiosks by itself. It can read no document. Runs until it is stopped.",
        json=False,
    )
    hub.add_argument("folder", metavar="DIR", type=Path, help="the folder hub/ that `kiosk fleet init` wrote")
    hub.add_argument("--bind", metavar="ADDRESS", default="0.0.0.0", help="address to listen on (default: all)")  # noqa: S104
    hub.add_argument("--port", type=read_port, metavar="N", default=4222, help="port to listen on (default 4222)")
    hub.add_argument(
        "--monitor-port",
        type=read_port,
        metavar="N",
        default=0,
        help="also serve nats-server's figures on this port of loopback (default: not)",
    )


def _add_owner(fleet: Adder) -> None:
    init = fleet(
        "fleet init",
        "fleet.owner",
        "make a fleet: the owner's key, the invitation for kiosks, a folder for the hub",
        more="Run it on a machine that is neither a kiosk nor the hub. The passphrase is asked for, or read from "
        "stdin. Keep a copy of owner.key: without it no kiosk can be let in or removed.",
    )
    init.add_argument("folder", metavar="DIR", type=Path, help="a new folder")
    init.add_argument("--name", default="Fleet", help="name of the fleet, for people")
    init.add_argument(
        "--hub",
        action="append",
        required=True,
        metavar="URL",
        help="where kiosks reach the hub, such as tls://hub.example:4222; may be repeated",
    )
    approve = fleet(
        "fleet approve",
        "fleet.owner",
        "let in a kiosk that asked with `kiosk fleet join`",
        more="Asks whether the check value is the one that `kiosk fleet join` printed.",
    )
    approve.add_argument("code", metavar="CODE", help="the code that the kiosk shows")
    approve.add_argument("--yes", action="store_true", help="do not ask whether the check value is the same")
    revoke = fleet(
        "fleet revoke",
        "fleet.owner",
        "remove a kiosk: it receives nothing new, and nothing new from it is accepted",
        more="For a kiosk that was stolen or sold. What it said while it belonged stays.",
    )
    revoke.add_argument("kiosk", metavar="ID|NAME", help="the kiosk, see `kiosk fleet members`")
    log = fleet(
        "fleet log",
        "fleet.decisions",
        "print what the kiosks decided, where [fleet] decisions has them send it",
        more="Each decision once, in order for each kiosk, by person's id: no name, no face. Nobody but the owner can "
        "read it. Exit 3 where a decision is missing or cannot be read.",
    )
    log.add_argument("--owner", metavar="DIR", type=Path, required=True, help=OWNER)
    log.add_argument("--kiosk", metavar="ID|NAME", help="only what this kiosk decided")
    log.add_argument(
        "--days", type=read_days, metavar="N", default=1, help="what was decided in the last N days (default 1)"
    )
    members = fleet("fleet members", "fleet.owner", "list the kiosks of the fleet, with what each last said of itself")
    for command in (approve, revoke):
        command.add_argument("--owner", metavar="DIR", type=Path, required=True, help=OWNER)
    members.add_argument(
        "--owner", metavar="DIR", type=Path, help=f"{OWNER}: ask the hub (default: what this kiosk knows)"
    )


def _add_kiosk(fleet: Adder) -> None:
    join = fleet(
        "fleet join",
        "fleet.member",
        "ask to belong to a fleet; prints the code that its owner approves",
        more="Everybody enrolled here becomes known to the fleet, and the other way round, once the owner has agreed. "
        "Restart the kiosk afterwards.",
    )
    join.add_argument(
        "invitation", metavar="FILE", type=Path, help="the invitation, fleet.json, that `kiosk fleet init` wrote"
    )
    join.add_argument("--name", default="", help="name of this kiosk, for people (default: the machine's)")
    join.add_argument("--qr", action="store_true", help="also show the code as a QR code")
    fleet("fleet leave", "fleet.member", "leave the fleet; the people who are here stay")
    fleet(
        "fleet status",
        "fleet.member",
        "say whether this kiosk belongs to its fleet, and what waits; exit 3 when it is not let in yet, or was removed",
    )
    receipts = fleet(
        "fleet receipts", "fleet.member", "say which kiosks have forgotten a person; exit 3 until all have"
    )
    receipts.add_argument("person", metavar="ID", help="session_id of the person, as the receipt has it")
    export = fleet(
        "fleet export",
        "fleet.member",
        "write everything that this kiosk knows of the fleet to a file, such as one on a stick; sealed as it travels",
    )
    take = fleet(
        "fleet import",
        "fleet.member",
        "take what another kiosk of the fleet exported",
        more="Where the owner ordered an update and its bundle lies beside the file, that is taken too.",
    )
    for command in (export, take):
        command.add_argument("file", metavar="FILE", type=Path, help="the file")
    again = fleet(
        "fleet resync", "fleet.member", "read and send everything again; changes nothing that is right already"
    )
    again.description = (again.description or "") + " For a hub whose disk was lost, or when in doubt."


def _add_people(fleet: Adder) -> None:
    fleet(
        "fleet duplicates",
        "fleet.people",
        "list people who look alike and were enrolled at two kiosks apart from each other",
        more="The number is their score. `kiosk fleet same` and `kiosk fleet different` decide, for every kiosk.",
    )
    same = fleet(
        "fleet same",
        "fleet.people",
        "make one person of two that are a duplicate",
        more="The older record stays, with the faces of both; the other is forgotten on every kiosk. Who was blocked "
        "as either stays blocked, and the stricter status stays.",
    )
    different = fleet("fleet different", "fleet.people", "say that two people who look alike are two")
    for command in (same, different):
        command.add_argument("one", metavar="ID", help="session_number, session_id or vendor_data")
        command.add_argument("other", metavar="ID", help="the other person's")
    same.add_argument(
        "--details-of",
        metavar="ID",
        required=True,
        help="the one of the two whose name, codes, dates, hours and groups stay",
    )
    same.add_argument("--yes", action="store_true", help="do not ask; without a terminal nobody is asked")


def _add_orders(fleet: Adder, group: Group) -> None:
    policy = group(fleet, "fleet policy", "show and set which groups of people go through which doors")
    show = policy(
        "fleet policy show",
        "fleet.orders",
        "print the policy in force, as `kiosk fleet policy set` reads it",
        more="Without one everybody goes everywhere.",
    )
    give = policy(
        "fleet policy set",
        "fleet.orders",
        "put another policy into force at every kiosk",
        more='FILE is TOML: a section [doors] with a line for each kiosk, such as "Front door" = ["staff", "it"]; '
        '["*"] lets everybody through, and the line "*" is for kiosks that are not named. Without that line those '
        "kiosks let nobody in. `kiosk gallery edit --groups` gives people their groups. A kiosk holds the faces of "
        "people who may pass its door, of people whom it enrolled or changed itself, and of everybody blocked.",
    )
    _add_show_and_set(show, give)
    settings = group(fleet, "fleet settings", "show and set the settings that hold at every kiosk")
    show = settings("fleet settings show", "fleet.orders", "print the owner's settings, as TOML")
    give = settings(
        "fleet settings set",
        "fleet.orders",
        "put settings into force at every kiosk",
        more="FILE is a kiosk.toml with what is the same everywhere: thresholds, hours, texts, attempts, [degraded]. "
        "It replaces the settings set before, and overrides each kiosk's own file and page. A kiosk "
        "that could not start with it changes nothing, and says so in `kiosk fleet members`.",
    )
    _add_show_and_set(show, give)


def _add_update(fleet: Adder) -> None:
    update = fleet(
        "fleet update",
        "fleet.updates",
        "bring a release to every kiosk: one first, the others once it runs there",
        more="BUNDLE is a signed file of bundle.sh with its .minisig beside it, one for each kind of machine; it goes "
        "through the hub in pieces, or lies on a stick beside what `kiosk fleet export` wrote. The first kiosk that "
        "goes back, fails its self-test or no longer answers stops the others. `status` says how far each is (exit 3 "
        "where one stopped the others), `stop` lets no other kiosk begin.",
    )
    update.usage = (
        "kiosk fleet update BUNDLE... --owner DIR [--first KIOSK] [--at-once N] [--within MIN] [--json]\n"
        "       kiosk fleet update status [--owner DIR] [--json]\n"
        "       kiosk fleet update stop --owner DIR [--json]"
    )
    update.add_argument("what", metavar="BUNDLE|status|stop", nargs="+", help="bundles of one release, or one word")
    update.add_argument("--owner", metavar="DIR", type=Path, help=f"{OWNER}; {KNOWN_HERE}")
    update.add_argument(
        "--first", metavar="KIOSK", help="id or name of the kiosk that takes it first (default: by name)"
    )
    update.add_argument(
        "--at-once",
        type=read_count,
        metavar="N",
        default=1,
        help="kiosks that install at one time after it (default 1)",
    )
    update.add_argument(
        "--within",
        type=read_minutes,
        metavar="MIN",
        default=60,
        help="minutes in which a kiosk must have said how it went, or it counts as silent (default 60)",
    )


def _add_show_and_set(show: argparse.ArgumentParser, give: argparse.ArgumentParser) -> None:
    show.add_argument(
        "--owner", metavar="DIR", type=Path, help=f"{OWNER}: ask the hub (default: what this kiosk knows)"
    )
    give.add_argument("file", metavar="FILE", type=Path, help="the file")
    give.add_argument("--owner", metavar="DIR", type=Path, required=True, help=OWNER)

"""A kiosk's commands in its fleet: join, leave, status, receipts, export, import, resync."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from typing import Any

import segno

from kiosk import assembly
from kiosk.cli.main import REFUSED
from kiosk.errors import RefusedError
from kiosk.fleet import stick
from kiosk.fleet.admin import read_invitation
from kiosk.fleet.member import Member, ask_to_join, leave
from kiosk.fleet.orders import KINDS
from kiosk.fleet.updates.staging import take_bundle
from kiosk.rules.text import counted, shown
from kiosk.store.fleet.duplicates import Duplicates
from kiosk.store.store import Store


def fleet_join(chosen: argparse.Namespace) -> None:
    """Ask to belong."""
    invitation = read_invitation(assembly.read_file(chosen.invitation).decode("utf-8", "replace"))
    with _store(chosen) as store:
        identity = ask_to_join(store, invitation, chosen.name or socket.gethostname())
    card = identity.card
    if chosen.json:
        print(json.dumps({"kiosk": card.id, "name": card.name, "check": card.check, "code": identity.code}))
        return
    print(
        f"This kiosk is {card.name} ({card.id}); it asks to belong to {invitation.name}. "
        f"Its check value is {card.check}"
    )
    print("The owner lets it in with: kiosk fleet approve CODE --owner DIR")
    if chosen.qr:
        segno.make(identity.code, error="l").terminal(sys.stdout, compact=True)
    print(identity.code)


def fleet_leave(chosen: argparse.Namespace) -> None:
    """Belong to no fleet."""
    with _store(chosen) as store:
        name = Member(store).id
        leave(store)
    if chosen.json:
        print(json.dumps({"left": name}))
    else:
        print("This kiosk belongs to no fleet any more; restart it. The owner removes it with: kiosk fleet revoke")


def fleet_status(chosen: argparse.Namespace) -> int:
    """Say how this kiosk stands."""
    with _store(chosen) as store:
        member = Member(store)
        about = {**status_of(member), **_orders_of(store, member)}
    if chosen.json:
        print(json.dumps(about, indent=2, ensure_ascii=False))
    else:
        print(f"{about['name']} ({about['kiosk']}): {about['sentence']}")
        kiosks, people = counted(about["kiosks"], "kiosk", "kiosks"), counted(about["people"], "person", "people")
        print(f"Roster {about['roster']}, {kiosks}; {people} shared")
        if about["groups"] is not None:
            print(f"Through this door: {', '.join(map(shown, about['groups'])) or 'nobody'} (policy {about['policy']})")
        if about["duplicates"]:
            print(f"{about['duplicates']} pairs may be one person; see `kiosk fleet duplicates`")
        if about["parked"]:
            print(f"{about['parked']} documents wait for a key or a kiosk's card")
        for hub, place in about["hubs"].items():
            print(f"{hub}: read up to {place['read']}, {place['waiting']} documents wait to be sent")
    return 0 if member.is_let_in else REFUSED


def status_of(member: Member) -> dict[str, Any]:
    """Return how a kiosk stands in its fleet, from its store."""
    shared, roster = member.shared, member.roster
    if member.is_let_in:
        sentence = "it belongs"
    elif member.is_taken_off:
        sentence = "the owner has taken it off"
    else:
        sentence = "the owner has not let it in yet, or this kiosk does not know it yet"
    return {
        "kiosk": member.id,
        "name": member.identity.card.name,
        "fleet": member.invitation.name,
        "is_let_in": member.is_let_in,
        "sentence": sentence,
        "roster": 0 if roster is None else roster.number,
        "kiosks": 0 if roster is None else len(roster.members),
        "people": shared.count(),
        "parked": len(shared.parked()),
        "hubs": {
            source.split(" ", maxsplit=1)[0]: {"read": place.seq, "waiting": shared.hubs.waiting(source)}
            for source, place in shared.hubs.positions().items()
        },
    }


def _orders_of(store: Store, member: Member) -> dict[str, Any]:
    """Return what the owner ordered, as this kiosk has it, and what waits for an operator."""
    groups = store.door_groups()
    orders = {kind: order.revision for kind in KINDS if (order := member.order(kind)) is not None}
    return {
        "groups": None if groups is None else sorted(groups),
        "duplicates": len(Duplicates(store).open()),
        **{kind: orders.get(kind, 0) for kind in KINDS},
    }


def fleet_receipts(chosen: argparse.Namespace) -> int:
    """Say who has forgotten a person."""
    with _store(chosen) as store:
        member = Member(store)
        said, of = member.receipts(chosen.person)
        kiosks = sorted(member.shared.receipts(chosen.person))
    if not kiosks:
        raise RefusedError("no kiosk has said that it forgot this person; is it the session_id of the receipt?")
    if chosen.json:
        print(json.dumps({"forgotten_on": said, "of": of, "kiosks": kiosks}))
    else:
        print(f"forgotten on {said} of {of}")
    return 0 if said >= of else REFUSED


def fleet_export(chosen: argparse.Namespace) -> None:
    """Write everything to a file."""
    with _store(chosen) as store:
        count = stick.export(Member(store), chosen.file)
    print(json.dumps({"documents": count}) if chosen.json else f"Wrote {count} documents to {chosen.file}")


def fleet_import(chosen: argparse.Namespace) -> None:
    """Take what another kiosk exported."""
    with _store(chosen) as store:
        member = Member(store)
        done = stick.take(member, chosen.file)
        bundle = take_bundle(member, chosen.file.parent)
    for reason in done.refused:
        assembly.note(reason)
    if chosen.json:
        about = {"documents": done.documents, "people": done.people, "parked": done.parked, "bundle": bundle}
        print(json.dumps(about))
        return
    print(f"Read {done.documents} documents: {done.people} people changed, {done.parked} documents wait for a key")
    if bundle is not None:
        print(f"Took {bundle}; the kiosk installs it when it is its turn: kiosk fleet update status")


def fleet_resync(chosen: argparse.Namespace) -> None:
    """Read and send everything again."""
    with _store(chosen) as store:
        Member(store).shared.hubs.rewind()
    print(json.dumps({"resync": True}) if chosen.json else "Everything is read and sent again at the next connection.")


def _store(chosen: argparse.Namespace) -> Store:
    return assembly.open_store(chosen, assembly.load_settings(chosen), create=False)

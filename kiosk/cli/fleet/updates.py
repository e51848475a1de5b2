"""`kiosk fleet update`: a release for every kiosk, one of them first; how far it is; let it be."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from kiosk import assembly
from kiosk.cli.fleet.orders import give_order
from kiosk.cli.fleet.owner import named, open_owner, owner_of
from kiosk.cli.main import REFUSED
from kiosk.errors import RefusedError
from kiosk.fleet.member import Member
from kiosk.fleet.orders import UPDATE
from kiosk.fleet.owner import Owner
from kiosk.fleet.roster import Roster
from kiosk.fleet.updates.order import Bundle, Update, rank, read_bundle, update_of
from kiosk.fleet.updates.rollout import BAD, Stage, word_of
from kiosk.fleet.updates.shelf import Shelf
from kiosk.fleet.updates.staging import standing_of
from kiosk.rules.text import shown

STATUS, STOP = "status", "stop"
UNHEARD = "unheard"  # of a kiosk that has said nothing of this order
NOT_ORDERED = "no update was ordered"


def fleet_update(chosen: argparse.Namespace) -> int:
    """Order an update, say how far it is, or let it be."""
    if chosen.what == [STATUS]:
        return _status(chosen)
    if chosen.owner is None:
        raise RefusedError(f"only the owner orders an update: give --owner DIR (only {STATUS} works without)")
    if chosen.what == [STOP]:
        return _stop(chosen)
    return _order(chosen, [Path(one) for one in chosen.what])


def _order(chosen: argparse.Namespace, paths: list[Path]) -> int:
    bundles = [(read_bundle(path), path) for path in paths]
    versions = {one.version for one, _ in bundles}
    if len(versions) != 1 or len({one.name for one, _ in bundles}) != len(bundles):
        raise RefusedError(f"want one bundle for each kind of machine, all of one release; got {', '.join(versions)}")
    admin, invitation = open_owner(chosen.owner)
    owner = Owner(admin, invitation, chosen.owner)
    roster, (version,) = owner.roster(), versions
    if not roster.members:
        raise RefusedError("no kiosk belongs to the fleet yet")
    before = owner.order(UPDATE)
    if before is not None and rank(update_of(before).version) > rank(version):
        raise RefusedError(
            f"{update_of(before).version} was ordered before, and kiosks refuse an older release; make a newer one"
        )
    first = min(roster.members, key=lambda one: (roster.members[one].card.name.casefold(), one))
    if chosen.first is not None:
        first = named(roster, chosen.first)
    update = Update(
        0, version, first, tuple(one for one, _ in bundles), at_once=chosen.at_once, within_s=chosen.within * 60.0
    )
    said = _progress(bundles)
    order = give_order(chosen.owner, owner, invitation, UPDATE, update.plain(), bundles=bundles, said=said)
    if chosen.json:
        print(json.dumps({"revision": order.revision, "version": version, "first": first}))
        return 0
    name = shown(roster.members[first].card.name)
    print(f"Update {order.revision} to {version} is ordered: {name} takes it first, the others once it runs there.")
    print("`kiosk fleet update status` shows how far it is, `kiosk fleet update stop` lets it be.")
    return 0


def _progress(bundles: list[tuple[Bundle, Path]]) -> Any:
    """Return what says how much of the bundles is at a hub, where somebody looks on."""
    most = max(len(one.pieces) for one, _ in bundles)

    def said(done: int, of: int) -> None:
        if sys.stderr.isatty() and (done % 10 == 0 or done == of):
            print(f"\r{done} of {of} MB", end="\n" if done == of else "", file=sys.stderr, flush=True)

    return said if most > 1 else lambda _done, _of: None


def _stop(chosen: argparse.Namespace) -> int:
    admin, invitation = open_owner(chosen.owner)
    owner = Owner(admin, invitation, chosen.owner)
    before = owner.order(UPDATE)
    if before is None:
        raise RefusedError(NOT_ORDERED)
    stopped = replace(update_of(before), is_stopped=True)
    order = give_order(chosen.owner, owner, invitation, UPDATE, stopped.plain())
    if chosen.json:
        print(json.dumps({"revision": order.revision, "version": stopped.version, "is_stopped": True}))
    else:
        print(f"The update to {stopped.version} is stopped: no kiosk begins with it any more.")
        print("A kiosk that had begun ends as it would: it runs the release, or goes back by itself.")
    return 0


def _status(chosen: argparse.Namespace) -> int:
    said: dict[str, list[dict[str, Any]]]
    if chosen.owner is not None:
        owner = owner_of(chosen.owner)
        order, (roster, healths) = owner.order(UPDATE), owner.said()
        said = {
            kiosk: [one["update"] for one in words if word_of(one.get("update"))] for kiosk, words in healths.items()
        }
    else:
        with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
            member = Member(store)
            if member.roster is None:
                raise RefusedError("this kiosk has not heard from the owner yet; `kiosk fleet status` says why")
            order, roster = member.order(UPDATE), member.roster
            texts = {kiosk: json.loads(text).get("update") for kiosk, (_, text) in member.shared.hubs.health().items()}
            said = {kiosk: [one] for kiosk, one in texts.items() if word_of(one) is not None}
            standing = standing_of(Shelf(store.directory))
            if standing.revision:
                own = {name: getattr(standing, name) for name in ("revision", "version", "count", "why", "culprit")}
                said[member.id] = [{**own, "stage": standing.stage.value}]
    if order is None:
        if chosen.json:
            print(json.dumps(None))
        else:
            print(f"{NOT_ORDERED.capitalize()}.")
        return 0
    update = update_of(order)
    rows = [_row(roster, update, kiosk, said.get(kiosk, [])) for kiosk in roster.members]
    is_bad = any(row["stage"] in {one.value for one in BAD} for row in rows)
    if chosen.json:
        about = {name: getattr(update, name) for name in ("revision", "version", "first", "at_once", "is_stopped")}
        print(json.dumps({**about, "within_s": update.within_s, "kiosks": rows}, indent=2, ensure_ascii=False))
    else:
        _print(roster, update, rows)
    return REFUSED if is_bad and not update.is_stopped else 0


def _row(roster: Roster, update: Update, kiosk: str, words: list[dict[str, Any]]) -> dict[str, Any]:
    at = [one for one in words if (word := word_of(one)) is not None and word.revision == update.revision]
    said = max(at, key=lambda one: int(one.get("count", 0)), default={})
    culprit = said.get("culprit")
    return {
        "kiosk": kiosk,
        "name": roster.members[kiosk].card.name,
        "is_first": kiosk == update.first,
        "stage": said.get("stage", UNHEARD),
        "done": said.get("done"),
        "of": said.get("of"),
        "why": str(said.get("why") or ""),
        "culprit": culprit if isinstance(culprit, str) and culprit in roster.members else None,
    }


def _print(roster: Roster, update: Update, rows: list[dict[str, Any]]) -> None:
    how = ", stopped by the owner" if update.is_stopped else f", {update.at_once} at a time after the first"
    print(f"Update {update.revision} to {update.version}{how}")
    for row in sorted(rows, key=lambda row: (not row["is_first"], str(row["name"]).casefold())):
        stage = str(row["stage"]).replace("_", " ")
        if row["stage"] == Stage.FETCHING.value and row["of"]:
            stage = f"{stage} {row['done']} of {row['of']}"
        why = row["why"]
        if row["culprit"] is not None:
            why = f"{roster.members[row['culprit']].card.name}: {why}"
        first = "first, " if row["is_first"] else ""
        print(f"{shown(row['name']):<24} {first}{stage}{f' ({shown(why)})' if why else ''}")

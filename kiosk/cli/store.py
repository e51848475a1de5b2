"""Commands about the store: init, log, backup, restore, store."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kiosk import assembly
from kiosk.cli.main import REFUSED
from kiosk.cli.terminal import is_terminal, print_code, table
from kiosk.didit import contract
from kiosk.errors import ConfigError, StoreError
from kiosk.health.clock import is_synced, was_set
from kiosk.rules.text import counted
from kiosk.settings.config import Config
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.directory import initialise
from kiosk.store.erasure import BACKUPS_NAME
from kiosk.store.keys import KEY_NAME, NEXT_KEY_NAME, read_key
from kiosk.store.store import Store
from kiosk.store.upkeep import anchor as anchor_module
from kiosk.store.upkeep import backup as backup_module
from kiosk.store.upkeep import rekey as rekey_module
from kiosk.store.upkeep import restore as restore_module
from kiosk.store.upkeep import retention, rollback
from kiosk.store.upkeep.anchor import Anchor
from kiosk.types import Status


def init(chosen: argparse.Namespace) -> None:
    """Make the state directory, its key and an empty store."""
    assembly.load_settings(chosen)
    directory = assembly.state_of(chosen)
    is_there = assembly.credentials_directory() is not None or (directory / KEY_NAME).exists()  # provision.sh made it
    key = assembly.load_keys(directory)[0] if is_there else None
    initialise(directory, now=time.time, key=key).close()
    if chosen.json:
        print(json.dumps({"state": str(directory)}))
    else:
        print(f"Made a store in {directory}")
        if key is None:
            print(f"Its key is {directory / KEY_NAME}, which only this user may read. Keep a copy of it elsewhere:")
            print("without the key nobody can read the store or its backups.")


def log_accept(chosen: argparse.Namespace) -> None:
    """Take an operator's word that this store is the right one."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        accepted = rollback.accept(store, actor="cli")
    if chosen.json:
        print(json.dumps({"accepted": accepted.seq}))
    else:
        print(f"This store is the right one, although others hold record {accepted.seq} of its log. Look at its keys.")


def log_verify(chosen: argparse.Namespace) -> int:
    """Find any edit, gap or cut."""
    anchors = [anchor for given in chosen.anchor for anchor in _anchors(given)]
    with _store(chosen) as store:
        verdict = store.verify_log()
        found = anchor_module.compare(store, anchors)
    verdict = replace(
        verdict,
        faults=(*found.faults, *verdict.faults),
        fault_count=verdict.fault_count + len(found.faults),
        notes=(*verdict.notes, *found.beyond),
    )
    since = None if verdict.checkpoint is None else contract.timestamp(verdict.checkpoint.at)
    if chosen.json:
        about = {"is_intact": verdict.is_intact, "records": verdict.records, "last_hash": verdict.last_hash}
        about |= {"whole_since": since}
        print(json.dumps({**about, "faults": verdict.faults, "notes": verdict.notes}, indent=2))
    else:
        for text in (*verdict.notes, *verdict.faults):
            print(text)
        records = counted(verdict.records, "record", "records")
        if verdict.is_intact:
            print(f"{records}, each signed and in its place; the newest is {verdict.last_hash[:16]}…")
            if anchors:
                held = counted(found.held, "anchor names", "anchors name")
                print(f"The log holds what {held}: it was not put back to before them.")
        else:
            print(f"{counted(verdict.fault_count, 'fault', 'faults')} in {records}")
    return 0 if verdict.is_intact else REFUSED


def _anchors(given: str) -> Sequence[Anchor]:
    """Return the anchor of a text, or those of a file."""
    if given.lstrip().startswith(anchor_module.NAME):
        return [anchor_module.read(given)]
    return anchor_module.read_file(Path(given))


def log_anchor(chosen: argparse.Namespace) -> None:
    """Print the newest record's number and hash, signed."""
    with _store(chosen) as store:
        anchor = anchor_module.make(store, time.time())
    if chosen.to is not None:
        anchor_module.append(chosen.to, anchor)
    if chosen.json:
        about = {"store_id": anchor.store_id, "seq": anchor.seq, "hash": anchor.hash, "at": anchor.at}
        print(json.dumps({**about, "text": anchor.text}, indent=2))
        return
    if chosen.qr:
        print_code(anchor.text)
    print(anchor.text)


def log_export(chosen: argparse.Namespace) -> None:
    """Write the log to stdout."""
    with _store(chosen) as store:
        pieces = store.export_log(chosen.format)
        if chosen.format == "csv":
            sys.stdout.writelines(pieces)
            return
        lines = (line for piece in pieces for line in piece.splitlines())
        sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")


def log_list(chosen: argparse.Namespace) -> None:
    """List the newest decisions."""
    if chosen.limit < 1:
        raise ConfigError("--limit needs 1 or more")
    with _store(chosen) as store:
        page = store.decisions(DecisionFilter(), limit=chosen.limit)
    rows: list[dict[str, Any]] = [
        {
            "seq": one.entry.seq,
            "request_id": one.entry.request_id,
            "at": contract.timestamp(one.entry.at),
            "kind": one.entry.kind.value,
            "status": one.entry.status,
            "score": one.entry.score,
            "session_number": one.entry.session_number,
            "warnings": list(one.entry.warnings),
            "vendor_data": one.vendor_data,
        }
        for one in page.decisions
    ]
    if chosen.json:
        print(json.dumps({"total": page.total, "decisions": rows}, indent=2, ensure_ascii=False))
        return
    if is_terminal():
        print(*table(LOG_COLUMNS, [_cells(row) for row in rows]), sep="\n")
    for row in rows if not is_terminal() else ():
        score = "-" if row["score"] is None else row["score"]
        told = f"{row['seq']:>6}  {row['at'][:19]}Z  {row['kind']:<12} {row['status'] or '-':<10} {score:>6}"
        print(f"{told}  {_remark(row)}".rstrip())
    print(f"--- {len(rows)} of {page.total} ---")


LOG_COLUMNS = ("no.", "time (UTC)", "kind", "status", "score", "person", "remark")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a decision as a row of a table."""
    score, person = ("-" if row[name] is None else str(row[name]) for name in ("score", "session_number"))
    at = row["at"][:19].replace("T", " ")
    return (str(row["seq"]), at, row["kind"], row["status"] or "-", score, person, _remark(row))


def _remark(row: Mapping[str, Any]) -> str:
    """Return what a row's status leaves open: Didit's Face Search approves a face that it does not find."""
    is_nobody = row["kind"] == Kind.FACE_SEARCH.value and row["status"] == Status.APPROVED.value
    return ", ".join(row["warnings"]) or ("nobody is alike: Didit's word for a stranger" if is_nobody else "")


def backup(chosen: argparse.Namespace) -> None:
    """Write an encrypted, verified backup."""
    with _store(chosen) as store:
        directory = chosen.to or store.directory / BACKUPS_NAME
        written = backup_module.write(store.database, store.vault, directory, now=time.time())
        if chosen.to is None:  # a stick's owner counts their own
            backup_module.prune(directory, assembly.load_keys(store.directory))
    if chosen.json:
        print(
            json.dumps(
                {"path": str(written.path), "people": written.header.subjects, "records": written.header.log_seq}
            )
        )
    else:
        people = counted(written.header.subjects, "person", "people")
        records = counted(written.header.log_seq, "record", "records")
        print(f"{written.path}: {people}, {records}, read back and good")


def restore(chosen: argparse.Namespace) -> None:
    """Put a backup back."""
    directory = assembly.state_of(chosen)
    if not chosen.backup.is_file():
        raise ConfigError(f"{chosen.backup} is not a file; give a backup that `kiosk backup` wrote")
    done = restore_module.restore(
        directory,
        chosen.backup,
        assembly.load_keys(directory),
        now=time.time,
        overwrite=chosen.overwrite,
        migrate=chosen.migrate,
        actor="cli",
    )
    _print_restored(chosen, done)


def store_check(chosen: argparse.Namespace) -> int:
    """Hold the whole database against its checks."""
    directory = _directory(chosen)
    found = restore_module.diagnose(directory, assembly.load_keys(directory))
    if chosen.json:
        print(json.dumps({"is_sound": found.is_sound, "damage": found.damage, "log": found.log}, indent=2))
    else:
        for text in (*found.damage, *found.log):
            print(text)
        print(
            "The store is sound."
            if found.is_sound
            else "The store is damaged; `kiosk store repair` says what can be done."
        )
    return 0 if found.is_sound and not found.log else REFUSED


def store_repair(chosen: argparse.Namespace) -> int:
    """Go back to the newest good backup, or say what that would lose."""
    directory = _directory(chosen)
    keys = assembly.load_keys(directory)
    if chosen.yes:
        _print_restored(chosen, restore_module.repair(directory, keys, now=time.time, actor="cli"))
        return 0
    found = restore_module.diagnose(directory, keys)
    if found.is_sound:
        plan = "The store is sound; there is nothing to mend."
    elif found.mends_in_place:
        plan = "Only indexes are damaged: they are rebuilt in place, nothing is lost."
    elif found.backup is None:
        plan = "There is no good backup. Put one into backups/, or start with an empty state directory."
    else:
        made = contract.timestamp(found.backup.header.created_at)[:19]
        losses = _losses(found.lost, found.lost_unread)
        plan = f"{found.backup.path.name} of {made}Z would be put back. Lost since: {losses}."
    if chosen.json:
        about = {"is_sound": found.is_sound, "damage": found.damage, "rejected": found.rejected, "plan": plan}
        print(json.dumps({**about, "lost": dict(found.lost), "lost_unread": found.lost_unread}, indent=2))
    else:
        for text in (*found.damage, *found.rejected):
            print(text)
        print(plan)
        if not found.is_sound and (found.mends_in_place or found.backup is not None):
            print("`kiosk store repair --yes` does it; stop the kiosk first.")
    return 0 if found.is_sound else REFUSED


def store_rekey(chosen: argparse.Namespace) -> None:
    """Make a new key and seal everything anew."""
    directory = _directory(chosen)
    held = assembly.credentials_directory()
    is_provided = held is not None and (held / NEXT_KEY_NAME).exists()
    provided = read_key(held / NEXT_KEY_NAME, is_credential=True) if held is not None and is_provided else None
    rekey_module.rekey(directory, assembly.load_keys(directory), now=time.time, provided=provided, actor="cli")
    print("Everything is sealed with the new key. Copies of the old one open old backups only.")


def store_sweep(
    chosen: argparse.Namespace,
    *,
    is_synced: Callable[[], bool] = is_synced,
    was_set: Callable[[float], bool] = was_set,
) -> int:
    """Erase the people whose retention has ended, and what is too old in log and outbox, by a synchronised clock."""
    settings = assembly.load_settings(chosen)
    is_kept_by_hand = settings.degraded.clock_untrusted == "open"  # the owner's word
    is_trusted = chosen.trust_clock or is_kept_by_hand or is_synced() or was_set(settings.health.holdover_h * 3600.0)
    with assembly.open_store(chosen, settings, create=False) as store:
        if not is_trusted and (overdue := store.people.overdue()):
            print(
                f"Error: this clock is not synchronised, and by it the retention of {len(overdue)} people has ended. "
                "Nobody was erased. Connect to a time server (timedatectl set-ntp true), or look at `date` and "
                "say --trust-clock.",
                file=sys.stderr,
            )
            return REFUSED
        receipts = store.people.sweep()
        assembly.scrub_backups(store)
        if is_trusted:
            _prune(store, settings, trusts_every_clock=chosen.trust_clock or is_kept_by_hand)
        _prepare(store)
    if chosen.json:
        print(json.dumps([json.loads(receipt.text) for receipt in receipts], indent=2))
    else:
        for receipt in receipts:
            print(receipt.text)
        print(f"--- {len(receipts)} forgotten ---")
    return 0


def _prepare(store: Store) -> None:
    """Make the next start quick; where that fails, it is as slow as before, and what was swept is told all the same."""
    try:
        store.references.prepare()
    except StoreError as error:
        assembly.note(str(error))


def _prune(store: Store, settings: Config, *, trusts_every_clock: bool) -> None:
    """Remove what is too old; a log that was changed is left, and said, as the erasures have been done already."""
    kept = settings.store
    try:
        pruned = retention.prune(
            store,
            now=time.time(),
            log_s=kept.log_days * assembly.DAY_S if kept.log_days else None,
            outbox_s=kept.outbox_days * assembly.DAY_S,
            images_s=settings.review.probe_days * assembly.DAY_S,
            trusts_every_clock=trusts_every_clock,
        )
    except StoreError as error:
        assembly.note(str(error))
        return
    if pruned.records or pruned.outbox:
        assembly.note(f"removed for their age: {pruned.records} records of the log, {pruned.outbox} rows of the outbox")


def _store(chosen: argparse.Namespace) -> Store:
    return assembly.open_store(chosen, assembly.load_settings(chosen), create=False)


def _directory(chosen: argparse.Namespace) -> Path:
    directory = assembly.state_of(chosen)
    if not directory.is_dir():
        raise StoreError(f"there is no state directory {directory}; give another --state, or run `kiosk init`")
    return directory


def _losses(lost: Mapping[str, int], unread: int) -> str:
    parts = [f"{count} {kind}" for kind, count in sorted(lost.items())]
    if unread:
        parts.append(f"{unread} records that cannot be read any more")
    return ", ".join(parts) or "nothing"


def _print_restored(chosen: argparse.Namespace, done: restore_module.Restored | None) -> None:
    if done is None:
        print(json.dumps({"restored": None}) if chosen.json else "Nothing was lost.")
        return
    if chosen.json:
        about = {"restored": done.backup, "people": done.subjects, "forgotten_again": done.forgotten_again}
        print(json.dumps({**about, "lost": dict(done.lost), "lost_unread": done.lost_unread}, indent=2))
        return
    people = counted(done.subjects, "person", "people")
    print(f"{done.backup} of {contract.timestamp(done.made_at)[:19]}Z is in place: {people}.")
    print(f"Lost since: {_losses(done.lost, done.lost_unread)}.")
    if done.forgotten_again:
        print(f"{done.forgotten_again} people forgotten since were forgotten again.")

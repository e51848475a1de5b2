"""What there is to see of a store, as values that two runs of the same acts have in common: no times, no drawn ids.

`Views` is what an act without a fault makes of it; `Views.hold_against` compares a store that met a fault with that.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.store_acts import ALL, MODEL
from benchmarks.store_further_acts import (
    ANCHORS,
    CHEAP,
    EARLY,
    FURTHER,
    HUB,
    IN_PARTS,
    LIST,
    ME,
    OTHER,
    PASSWORD,
    UPGRADES,
)
from kiosk.errors import StoreError
from kiosk.store.accounts import Accounts
from kiosk.store.accounts_copy import AccountsCopy
from kiosk.store.directory import open_store
from kiosk.store.fleet.document import Document
from kiosk.store.fleet.shared import Shared
from kiosk.store.keys import read_keys
from kiosk.store.outbox import OutboxRow
from kiosk.store.remote_lists import Lists
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.unrecorded import UnrecordedActs
from kiosk.store.upkeep import anchor, check

DRAWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-.*|[0-9a-f]{16,}")  # an id or a digest
SESSIONS = ("session made", "session other", "session over", "session new")
CROPS = ("crops kept", "crops new")


def view(store: Store, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return what there is to see.

    Args:
        store: opened.
        without: request_ids of decisions that do not count.
    """
    return {
        "people": _people(store),
        "log": _log(store, without),
        "sessions": {name: _session(store, name) for name in SESSIONS},
        "crops": {name: _crops(store, name) for name in CROPS},
        "outbox": [_row(store, row) for row in _rows(store) if row.request_id not in without],
        "lists": _lists(store),
        "notes": dict(store.notes.read()),
        "secret": store.secrets.read("drill"),
        "accounts": _accounts(store),
        "the new password": Accounts(store, now=time.time, scrypt=CHEAP).by_password(*PASSWORD) is not None,
        "fleet": _fleet(store),
        "anchors": _anchors(store),
        "an act kept beside the store is lost": store.log.signed("release late") is None
        and not len(UnrecordedActs(store.directory)),
    }


def beside(store: Store) -> list[str]:
    """Return what is wrong beside the database of a store whose last act was acknowledged."""
    try:
        rows, _ = AccountsCopy(store.directory, store.vault).rows()
    except StoreError:
        return []  # nobody is let in by a copy that is not there
    ended = {
        one.id for kind in ("key", "operator") for one in Accounts(store, now=time.time).all(kind) if one.revoked_at
    }
    return [f"the copy of the accounts lets {row[0]} in" for row, _ in rows if row[0] in ended and row[5] is None]


@dataclass(frozen=True, slots=True)
class Views:
    """A store before an act and after it."""

    act: str
    before: dict[str, Any]
    after: dict[str, Any]

    def hold_against(self, directory: Path, survived: Counter[str], *, is_done: bool, later: str | None) -> list[str]:
        """Open the store and return what does not fit: of an act that was refused all is there, or nothing.

        Where not all of it is there the act is done again, which must come to what it comes to without a fault.

        Args:
            directory: of the store.
            survived: counts acts that were not acknowledged and are there.
            is_done: whether the act was acknowledged.
            later: the request_id of a decision that was acknowledged after it; None for none.
        """
        keys = read_keys(directory)
        with open_store(directory, keys, now=time.time) as store:
            faults = list(store.notices)
            findings = check.inspect(store.database, directory / HEAD_NAME, keys)
            faults += [*findings.damage, *findings.log]
            if later is not None and store.log.signed(later) is None:
                faults.append("the decision after the fault is gone")
            without = () if later is None else (later,)
            found = view(store, without=without)
            if is_done:
                return faults + differences(found, self.after) + beside(store)
            if self.act in UPGRADES:  # opening the store does it
                faults += differences(found, self.after)
            elif found == self.after:
                survived[self.act] += 1
            else:
                if self.act not in IN_PARTS:
                    faults += differences(found, self.before)
                FURTHER[self.act](store)
                faults += [f"done again: {one}" for one in differences(view(store, without=without), self.after)]
        return faults


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return where two views differ."""
    return [f"{name}: {_unlike(found[name], one)}" for name, one in wanted.items() if found[name] != one]


def _unlike(found: Any, wanted: Any) -> str:
    """Return what of two values is only in one of them."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
        found, wanted = {key: found.get(key) for key in keys}, {key: wanted.get(key) for key in keys}
    if isinstance(found, list) and isinstance(wanted, list):
        found, wanted = [one for one in found if one not in wanted], [one for one in wanted if one not in found]
    return f"{found}, wanted {wanted}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


def _steady(value: object) -> object:
    """Return what two runs have in common of a value."""
    if isinstance(value, dict):
        return {name: _steady(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_steady(one) for one in value]
    if isinstance(value, float):
        return value if value in {EARLY, 0.0} else "a number"
    return "drawn" if isinstance(value, str) and DRAWN.fullmatch(value) else value


def _people(store: Store) -> dict[int, Any]:
    references: dict[int, list[str]] = {}
    for chunk in store.references.chunks(MODEL):
        for number, vector in zip(chunk.subjects.tolist(), chunk.vectors, strict=True):
            references.setdefault(number, []).append(_digest(vector.tobytes()))
    return {
        one.session_number: {
            "details": asdict(one.details),
            "status": one.status.value,
            "lists": (one.is_blocklisted, one.is_allowlisted),
            "source": one.source,
            "references": references.get(one.session_number, []),
            "images": [_digest(image) for image in store.people.images(one.session_number)],
        }
        for one in store.people.subjects(limit=ALL).subjects
    }


def _log(store: Store, without: Collection[str]) -> list[Any]:
    return [
        (one.kind.value, one.status, one.session_number, _steady(one.request_id), _steady(dict(one.details)))
        for one in (signed.entry for signed in store.log.records())
        if one.request_id not in without
    ]


def _session(store: Store, name: str) -> Any:
    found = store.sessions.by_id(name)
    return None if found is None else (found.version, found.is_over, found.expires_at, dict(found.content))


def _crops(store: Store, request_id: str) -> Any:
    signed = store.log.signed(request_id)
    if signed is None:
        return None
    kept = {name: store.review_images.read(signed.seq, name) for name in store.review_images.names(signed.seq)}
    return {name: _digest(content or b"") for name, content in kept.items()}


def _rows(store: Store) -> tuple[OutboxRow, ...]:
    return tuple(sorted(store.outbox.rows(limit=ALL), key=lambda row: row.id))


def _row(store: Store, row: OutboxRow) -> Any:
    photographs = {name: _digest(content) for name, content in store.outbox.photographs(row.id).items()}
    about = (row.policy, row.state.value, row.attempts, row.remote_request_id, row.last_error, row.looks)
    due, doubt = _steady(row.next_attempt_at), _steady(row.doubt_from)
    return row.request_id, about, due, doubt, _steady(row.payload), photographs


def _lists(store: Store) -> Any:
    lists = Lists(store)
    return {
        "complete": [asdict(one) for one in lists.complete()],
        "pass": lists.at(LIST),
        "staged": lists.staged(LIST),
        "held": [asdict(one) for one in lists.held()],
        "in force": [at for at in range(3) if lists.is_in_force(LIST, f"{LIST} {at}", MODEL)],
    }


def _accounts(store: Store) -> Any:
    accounts = Accounts(store, now=time.time)
    return [
        (one.kind, one.role.word, one.name, one.revoked_at is None)
        for kind in ("key", "operator")
        for one in sorted(accounts.all(kind), key=lambda one: one.name)
    ]


def _fleet(store: Store) -> Any:
    shared = Shared(store)
    roster = shared.roster()
    return {
        "me": shared.me(),
        "own": [(one.version, _document(one.document)) for one in shared.hubs.own()],
        "others": [(person, origin, _digest(envelope)) for person, origin, envelope in shared.envelopes()],
        "receipts": [sorted(shared.receipts(f"person {at}") & {ME, OTHER}) for at in (1, 2, 9)],
        "people": shared.count(),
        "parked": [(one.person, one.origin, _digest(one.envelope)) for one in shared.parked()],
        "roster": None if roster is None else _digest(roster),
        "positions": shared.hubs.positions(),
        "waiting": shared.hubs.waiting(HUB),
        "health": shared.hubs.health(),
    }


def _document(document: Document) -> Any:
    if document.forgotten is not None:
        return "forgotten"
    said = {name: (one.revision, one.kiosk) for name, one in document.registers.items()}
    return said, document.value("details"), document.is_blocked, sorted(map(str, document.references))


def _anchors(store: Store) -> int:
    """Return how many there are; done again, one names what was the newest record then."""
    path = store.directory / ANCHORS
    return len(anchor.read_file(path)) if path.exists() else 0

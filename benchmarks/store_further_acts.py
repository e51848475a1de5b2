"""The acts of the store that `store_acts.py` has no model of: sessions, reviews, outbox, lists, the fleet, upgrades.

Each act is a function that does the same thing to the same store every time; what must be there afterwards is what a
run without a fault left (`store_view.py` says what that is). `furnish` gives a prepared store what they are done to.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from benchmarks.store_acts import MODEL, photograph, template
from kiosk.errors import StoreError
from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import DATABASE_NAME, open_store
from kiosk.store.fleet.document import Document, Register, SharedReference, forgotten_document
from kiosk.store.fleet.shared import Parked, Shared
from kiosk.store.fleet.taking import Arrived
from kiosk.store.keys import read_keys
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.store.outbox import Message, OutboxState
from kiosk.store.remote_lists import Lists
from kiosk.store.schema import SCRIPTS, VERSION
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.store.unrecorded import Act, UnrecordedActs
from kiosk.store.upkeep import anchor, retention
from kiosk.types import Status

FAR = 4e9  # s UTC, when no session of the drill has ended
LONG_AGO = 1.0  # s UTC
EARLY = 2e9  # s UTC, when a row is due
WHENEVER = 3e9  # s UTC, when every row is due
HUB, ME, OTHER = "hub", "kiosk-a", "kiosk-b"
LIST = "blocklist"
ANCHORS = "anchors"
PASSWORD = ("Operator", "a password after")  # of whom, and the new one
CHEAP = {"n": 16, "r": 1, "p": 1, "maxmem": 1 << 20}  # passwords of the drill guard nothing
MANY = 1_000  # writes a minute
FLEET_SCHEMA = 7  # the first with tables of the fleet

# Rows of the outbox as `furnish` leaves them.
WAITING, SENDING, REFUSED = "row waiting", "row sending", "row refused"


def _row(store: Store, request_id: str) -> int:
    return next(row.id for row in store.outbox.rows(limit=MANY) if row.request_id == request_id)


def _queue(store: Store, request_id: str) -> int:
    message = Message("replay", {"of": request_id}, {"user_image": photograph(len(request_id))}, person=request_id)
    store.record_decision(NewDecision(Kind.FACE_MATCH, "Approved", request_id=request_id, outbox=(message,)))
    return _row(store, request_id)


# ---- sessions


def _session(store: Store, session_id: str) -> OpenSession:
    found = store.sessions.by_id(session_id)
    if found is None:
        raise LookupError(session_id)
    return found


def _make_session(store: Store, name: str, expires_at: float = FAR) -> None:
    session = OpenSession(name, expires_at, {"vendor_data": f"vendor of {name}", "steps": 0})
    store.record_decision(
        NewDecision(Kind.SESSION_STATUS, "Not Started", details={"of": name}, vendor_data=f"vendor of {name}"),
        change=store.sessions.inserting(session, f"token of {name}"),
    )


def _session_made(store: Store) -> None:
    _make_session(store, "session new")


def _session_begun(store: Store) -> None:
    session = _session(store, "session made")
    store.record_decision(
        NewDecision(Kind.SESSION_STATUS, "In Progress", details={"of": session.session_id}),
        change=store.sessions.replacing(replace(session, content={**session.content, "begun": True})),
    )


def _session_step(store: Store) -> None:
    session = _session(store, "session made")
    store.sessions.write(replace(session, content={**session.content, "steps": 1, "found": "x" * 3_000}))


def _session_ended(store: Store) -> None:
    session = _session(store, "session made")
    store.record_decision(
        NewDecision(Kind.SESSION, "Approved", request_id=session.session_id, answer={"of": session.session_id}),
        session=Enrolment([template(700)], Details(name="by session", vendor_data="by session")),
        change=store.sessions.replacing(replace(session, is_over=True, content={})),
    )


def _session_deleted(store: Store) -> None:
    session = _session(store, "session made")
    store.record_decision(
        NewDecision(Kind.SESSION, "Expired", request_id=session.session_id), change=store.sessions.deleting(session)
    )


def _sessions_tidied(store: Store) -> None:
    store.tidy_sessions()


# ---- reviews


def _probe_kept(store: Store) -> None:
    images = {"probe": photograph(50), "reference": photograph(51)}
    store.record_decision(NewDecision(Kind.IDENTIFY, "In Review", request_id="crops new", images=images))


def _probe_reviewed(store: Store) -> None:
    store.record_decision(NewDecision(Kind.REVIEW, "Approved", details={"of": "crops kept", "decision": "approve"}))


def _probes_pruned(store: Store) -> None:
    retention.prune(store, now=WHENEVER, log_s=None, outbox_s=WHENEVER, images_s=0.0, rest=lambda: None)


def _person_reviewed(store: Store) -> None:
    review = NewDecision(Kind.REVIEW, "Declined", details={"of": "crops kept", "decision": "decline"})
    store.review_person(1, Status.DECLINED, review)


def _call_erased(store: Store) -> None:
    store.erase_call("call kept")


# ---- outbox


def _row_settled(store: Store) -> None:
    revision = NewDecision(Kind.REVISION, "Declined", details={"of": WAITING}, answer={"of": WAITING})
    store.settle(_row(store, WAITING), "remote", revision)


def _row_claimed(store: Store) -> None:
    store.outbox.claim(WHENEVER)


def _row_begun(store: Store) -> None:
    store.outbox.begin(_row(store, SENDING), now=EARLY, server_now=EARLY, writes_per_minute=MANY)


def _row_postponed(store: Store) -> None:
    store.outbox.postpone(_row(store, SENDING), EARLY, "again later")


def _row_refused(store: Store) -> None:
    store.outbox.reject(_row(store, SENDING), "never")


def _row_released(store: Store) -> None:
    store.outbox.release(_row(store, REFUSED), EARLY)


def _row_superseded(store: Store) -> None:
    store.outbox.supersede(_row(store, WAITING), "no longer wanted")


def _rows_expired(store: Store) -> None:
    store.outbox.expire(WHENEVER)


def _rows_recovered(store: Store) -> None:
    store.outbox.recover(EARLY)


# ---- lists of the cloud, notes, accounts


def _list_staged(store: Store) -> None:
    lists = Lists(store)
    lists.begin(LIST, 3)
    for entry in ("first", "second", "third"):
        if not lists.is_staged(LIST, entry):
            lists.stage(LIST, entry, template(810 + len(entry)), outcome="new")
    lists.advance(LIST, 3, "third")


def _list_in_force(store: Store) -> None:
    Lists(store).put_into_force(LIST, EARLY)


def _lists_ended(store: Store) -> None:
    Lists(store).keep_only((), EARLY)


def _shrink_confirmed(store: Store) -> None:
    Lists(store).confirm("shrunk", actor="drill")


def _notes_written(store: Store) -> None:
    store.notes.write(last_success=EARLY, last_error="none")


def _password_set(store: Store) -> None:
    Accounts(store, now=time.time, scrypt=CHEAP).set_password(*PASSWORD)


def _secret_removed(store: Store) -> None:
    store.secrets.remove("drill")


# ---- the fleet


def _document(name: str, revision: int = 1, *, reference: int | None = None, block: str | None = None) -> Document:
    held = [] if reference is None else [SharedReference(MODEL, template(reference).vector.tobytes(), None, 5.0)]
    return Document(
        {
            "made": Register(1, OTHER, [5.0, "enrolment", None]),
            "status": Register(1, OTHER, "Approved"),
            "dates": Register(1, OTHER, [None, None, FAR]),
            "details": Register(revision, OTHER, [name, None, None, f"vendor {name}", None, None]),
        },
        {one.id: one for one in held},
        {} if block is None else {"block": block},
    )


def _arrived(person: str, version: int, document: Document) -> Arrived:
    return Arrived(person, OTHER, version, document, f"envelope {person} {version}".encode() * 20)


def _fleet_ended(store: Store) -> None:
    Shared(store).end()


def _fleet_begun(store: Store) -> None:
    Shared(store).begin("kiosk-c")


def _documents_taken(store: Store) -> None:
    Shared(store).apply(
        [
            _arrived("person 9", 5, _document("new there", reference=900)),
            _arrived("person 1", 6, _document("renamed there", 2, reference=901, block="elsewhere")),
        ],
        parked=[Parked("person 8", OTHER, b"cannot be opened" * 30, "key")],
        source=HUB,
        seq=12,
    )


def _tombstone_taken(store: Store) -> None:
    Shared(store).apply([_arrived("person 1", 7, forgotten_document(1))], source=HUB, seq=13)


def _roster_taken(store: Store) -> None:
    Shared(store).take_roster(2, b"roster" * 400, {OTHER: ()}, since=1, key=b"key")


def _parked_given_up(store: Store) -> None:
    shared = Shared(store)
    shared.unpark(shared.parked())


def _version_sent(store: Store) -> None:
    Shared(store).hubs.mark_sent(HUB, 3)


def _hubs_rewound(store: Store) -> None:
    Shared(store).hubs.rewind()


def _health_heard(store: Store) -> None:
    Shared(store).hubs.hear_health(OTHER, EARLY, "well" * 100)


# ---- beside the database


def _anchored(store: Store) -> None:
    anchor.append(store.directory / ANCHORS, anchor.make(store, EARLY))


def _release_recorded(store: Store) -> None:
    """Record what was done while the store took nothing, and was kept beside it."""
    acts = UnrecordedActs(store.directory)
    if not len(acts) and store.log.signed("release late") is None:
        raise StoreError("the disk does not give back what waits")
    acts.record(store, WHENEVER)


FURTHER: dict[str, Callable[[Store], None]] = {
    "session-made": _session_made,
    "session-begun": _session_begun,
    "session-step": _session_step,
    "session-ended": _session_ended,
    "session-deleted": _session_deleted,
    "sessions-tidied": _sessions_tidied,
    "probe-kept": _probe_kept,
    "probe-reviewed": _probe_reviewed,
    "probes-pruned": _probes_pruned,
    "person-reviewed": _person_reviewed,
    "call-erased": _call_erased,
    "row-settled": _row_settled,
    "row-claimed": _row_claimed,
    "row-begun": _row_begun,
    "row-postponed": _row_postponed,
    "row-refused": _row_refused,
    "row-released": _row_released,
    "row-superseded": _row_superseded,
    "rows-expired": _rows_expired,
    "rows-recovered": _rows_recovered,
    "list-staged": _list_staged,
    "list-in-force": _list_in_force,
    "lists-ended": _lists_ended,
    "shrink-confirmed": _shrink_confirmed,
    "notes-written": _notes_written,
    "password-set": _password_set,
    "secret-removed": _secret_removed,
    "documents-taken": _documents_taken,
    "tombstone-taken": _tombstone_taken,
    "roster-taken": _roster_taken,
    "parked-given-up": _parked_given_up,
    "version-sent": _version_sent,
    "hubs-rewound": _hubs_rewound,
    "health-heard": _health_heard,
    "fleet-begun": _fleet_begun,
    "fleet-ended": _fleet_ended,
    "anchored": _anchored,
    "release-recorded": _release_recorded,
}
UPGRADES = {f"upgrade-from-{version}": version for version in range(5, VERSION)}
IN_PARTS = frozenset({"list-staged", "lists-ended"})
"""Acts of several transactions, of which some may be there; done again, they come to the same."""
OUTSIDE_A_FLEET = frozenset({"fleet-begun", *(name for name, version in UPGRADES.items() if version < FLEET_SCHEMA)})


# ---- what they are done to


def furnish(directory: Path) -> None:
    """Give a prepared store sessions, crops, rows, a list and a fleet."""
    with open_store(directory, read_keys(directory), now=time.time) as store:
        for name in ("session made", "session other"):
            _make_session(store, name)
        _make_session(store, "session over", LONG_AGO)
        over = _session(store, "session over")
        store.sessions.write(replace(over, is_over=True, content={}))
        images = {"probe": photograph(40), "reference": photograph(41)}
        store.record_decision(NewDecision(Kind.IDENTIFY, "In Review", request_id="crops kept", images=images))
        call = NewDecision(
            Kind.FACE_MATCH, "Approved", request_id="call kept", answer={"x": "y" * 500}, vendor_data="v"
        )
        store.record_decision(replace(call, outbox=(Message("summary", {"of": "call"}),)))
        for name in (SENDING, REFUSED, WAITING):
            _queue(store, name)
        for row in store.outbox.rows(OutboxState.WAITING, limit=MANY):
            if row.request_id not in {SENDING, REFUSED, WAITING}:
                store.outbox.supersede(row.id, "of the drill")
        store.outbox.claim(WHENEVER)
        store.outbox.reject(_row(store, REFUSED), "never")
        _furnish_lists(store)
        Accounts(store, now=time.time, scrypt=CHEAP).create_operator(PASSWORD[0], Role.ADMIN, "a password before")
        _anchored(store)
        acts = UnrecordedActs(directory)
        acts.prepare()
        acts.add(Act(Kind.RELEASE, EARLY, {"of": "an earlier fault"}, request_id="release late"))
        acts.keep()


def _furnish_lists(store: Store) -> None:
    lists = Lists(store)
    for name, entries in (("shrunk", 4), (LIST, 2)):
        lists.begin(name, entries)
        for at in range(entries):
            lists.stage(name, f"{name} {at}", template(600 + 10 * len(name) + at), outcome="new")
        lists.put_into_force(name, EARLY)
    lists.begin("shrunk", 0)
    lists.put_into_force("shrunk", EARLY)  # all gone at once: held until somebody confirms it
    lists.begin(LIST, 3)
    for at in (1, 2):  # one stays, one vanishes, one is new
        lists.stage(LIST, f"{LIST} {at}", template(660 + at) if at > 1 else None, outcome="new" if at > 1 else "known")


def join_fleet(directory: Path) -> None:
    """Have a store be a kiosk of a fleet that knows two people of another's."""
    with open_store(directory, read_keys(directory), now=time.time) as store:
        shared = Shared(store)
        shared.begin(ME)
        shared.take_roster(1, b"roster" * 300, {}, since=1)
        shared.apply(
            [_arrived(f"person {at}", at, _document(f"there {at}", reference=920 + at)) for at in (1, 2)],
            parked=[Parked("person 7", OTHER, b"not yet" * 40, "key")],
            source=HUB,
            seq=10,
        )


def make_older(directory: Path, version: int) -> None:
    """Take the last migrations back, as a store of an older release had it; 5 at the least."""
    with closing(sqlite3.connect(directory / DATABASE_NAME, isolation_level=None)) as connection:
        for script in reversed(SCRIPTS[version:]):
            made = re.findall(r"^CREATE (?:UNIQUE )?(INDEX|TRIGGER|TABLE) (\w+)", script, re.MULTILINE)
            tables = {name for kind, name in made if kind == "TABLE"}
            for kind, name in sorted(made, key=lambda one: ("INDEX", "TRIGGER", "TABLE").index(one[0])):
                connection.execute(f"DROP {kind} IF EXISTS {name}")  # a later script may have dropped it
            for table, column in re.findall(r"^ALTER TABLE (\w+) ADD COLUMN (\w+)", script, re.MULTILINE):
                if table not in tables:
                    connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            for name in re.findall(r"^DROP INDEX (\w+)", script, re.MULTILINE):
                again = re.search(rf"^CREATE INDEX {name} [^;]+", "".join(SCRIPTS), re.MULTILINE)
                assert again is not None, name
                connection.execute(again[0])
        connection.execute(f"DELETE FROM _sqlite_migrations WHERE name > '{version:04}'")
        connection.execute(f"PRAGMA user_version = {version}")

"""What the drills of the store share: every act of the store, and what must be there once one was acknowledged.

`Actor` does one act after another and can be told which; `Known` is what was acknowledged; `differences` compares a
store with it. An act is a name with its arguments as JSON, so that a parent knows what its child was doing.
"""

from __future__ import annotations

import copy
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import open_store
from kiosk.store.fleet.document import EMPTY
from kiosk.store.fleet.shared import Shared
from kiosk.store.keys import read_keys
from kiosk.store.outbox import Message
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.subjects import Details, Enrolment, ImportedFile
from kiosk.store.upkeep import backup, check, retention
from kiosk.store.upkeep.rekey import rekey
from kiosk.store.upkeep.restore import restore
from kiosk.types import Status, Template

MODEL = "d" * 64
ALL = 1_000_000  # more than a drill can make
SIZE = 320
SOURCE = "drill"  # of every import
STATUSES = ("Approved", "In Review")  # of decisions, by their seed
NOTED = (Kind.SETTINGS, Kind.DOOR, Kind.POLICY, Kind.RELEASE)
OF_A_PERSON = ("reference", "block", "unblock", "allow", "disallow", "patch", "forget")
SEEDED = ("enrol", "decide", "reference", "patch", "import", "note", "key", "operator", "secret", "due")


def template(seed: int) -> Template:
    """Return the template that a seed stands for: parent and child need no other message."""
    vector = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), MODEL)


def photograph(seed: int) -> bytes:
    """Return bytes as long as a small photograph, so that one act takes several pages."""
    return np.random.default_rng(seed).bytes(9_000)


class Actor:
    """Does acts of the store."""

    def __init__(self, directory: Path, seed: int = 0) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self._store: Store | None = None
        self.open()

    @property
    def store(self) -> Store:
        """The store, opened when an act that closed it could not open it again."""
        if self._store is None:
            self.open()
        assert self._store is not None
        return self._store

    def open(self) -> None:
        """Open the store."""
        self._store = open_store(self._directory, read_keys(self._directory), now=time.time, check=False)

    def close(self) -> None:
        """Close the store."""
        store, self._store = self.store, None
        store.close()

    def plan(self, act: str) -> dict[str, Any] | None:
        """Return the arguments of an act; None when there is nothing to do it to."""
        wanted: dict[str, Any] = {"seed": self._random.getrandbits(40)} if act in SEEDED else {}
        if act in OF_A_PERSON:
            people = self.store.references.members().session_numbers
            if not people.size:
                return None
            wanted["number"] = int(self._random.choice(people))
        if act == "review":
            waiting = self.store.log.waiting(limit=1, offset=0).decisions
            return {"request_id": waiting[0].entry.request_id} if waiting else None
        if act == "revoke":
            good = [key.id for key in Accounts(self.store, now=time.time).all("key") if key.revoked_at is None]
            return {"id": good[0]} if good else None
        if act == "restore":
            files = backup.backups(self._directory / "backups", read_keys(self._directory))
            return next(({"path": str(file.path)} for file in files if file.is_readable), None)
        return wanted

    def do(self, act: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """Do an act; return what its caller is told. Raises what the store raises."""
        done: dict[str, Any] = getattr(self, f"_{act}")(**wanted)
        return done

    def _enrol(self, seed: int, **more: Any) -> dict[str, Any]:
        details = Details(name=f"name {seed}", vendor_data=f"vendor {seed}")
        enrolment = Enrolment([template(seed), template(seed + 1)], details, images=[photograph(seed)], **more)
        subject = self.store.people.enrol(enrolment, messages=[Message("summary", {"seed": seed})])
        return {"number": subject.session_number}

    def _due(self, seed: int) -> dict[str, Any]:
        return self._enrol(seed, retention_until=1.0)

    def _import(self, seed: int) -> dict[str, Any]:
        run = self.store.imports.begin(SOURCE)
        details = Details(name=f"name {seed}", vendor_data=f"vendor {seed}")
        enrolment = Enrolment([template(seed), template(seed + 1)], details, source="import")
        imported = ImportedFile(run, f"{seed}.jpg", seed, "enrolled")
        return {"number": self.store.people.enrol(enrolment, imported=imported).session_number}

    def _reference(self, number: int, seed: int) -> dict[str, Any]:
        self.store.people.add_reference(number, template(seed), image=photograph(seed))
        return {}

    def _block(self, number: int) -> dict[str, Any]:
        self.store.people.block(number, reason="drill")
        return {}

    def _unblock(self, number: int) -> dict[str, Any]:
        self.store.people.unblock(number)
        return {}

    def _allow(self, number: int) -> dict[str, Any]:
        self.store.people.allow(number)
        return {}

    def _disallow(self, number: int) -> dict[str, Any]:
        self.store.people.disallow(number)
        return {}

    def _patch(self, number: int, seed: int) -> dict[str, Any]:
        self.store.people.patch(
            number,
            lambda one: replace(one, status=Status.DECLINED, details=replace(one.details, name=f"name {seed}")),
        )
        return {}

    def _decide(self, seed: int) -> dict[str, Any]:
        message = Message("replay", {"seed": seed}, {"user_image": photograph(seed)}, person=f"vendor {seed}")
        self.store.record_decision(
            NewDecision(
                Kind.FACE_SEARCH,
                STATUSES[seed % 2],
                score=seed % 101,
                request_id=f"request {seed}",
                vendor_data=f"vendor {seed}",
                answer={"seed": seed},
                outbox=(message,),
            )
        )
        return {}

    def _review(self, request_id: str) -> dict[str, Any]:
        details = {"of": request_id, "decision": "approve"}
        self.store.record_decision(NewDecision(Kind.REVIEW, "Approved", details=details, answer={"reason": "drill"}))
        return {}

    def _forget(self, number: int) -> dict[str, Any]:
        self.store.people.forget(number)
        return {}

    def _sweep(self) -> dict[str, Any]:
        self.store.people.sweep()
        return {}

    def _prune(self) -> dict[str, Any]:
        now = time.time() + 1.0  # everything is old that nothing needs
        retention.prune(
            self.store, now=now, log_s=0.0, outbox_s=0.0, trusts_every_clock=True, batch_rows=ALL, rest=lambda: None
        )
        return {}

    def _note(self, seed: int) -> dict[str, Any]:
        self.store.record_act(NOTED[seed % len(NOTED)], details={"seed": seed})
        return {}

    def _key(self, seed: int) -> dict[str, Any]:
        return {"id": Accounts(self.store, now=time.time).create_key(f"key {seed}", Role.DEVICE)[0].id}

    def _operator(self, seed: int) -> dict[str, Any]:
        account = Accounts(self.store, now=time.time).create_operator(f"name {seed}", Role.ADMIN, f"password {seed}")
        return {"id": account.id}

    def _revoke(self, id: str) -> dict[str, Any]:  # noqa: A002  # the name of the field
        Accounts(self.store, now=time.time).revoke(id)
        return {}

    def _secret(self, seed: int) -> dict[str, Any]:
        self.store.secrets.write("drill", f"secret {seed}")
        return {}

    def _backup(self) -> dict[str, Any]:
        file = backup.write(self.store.database, self.store.vault, self._directory / "backups", now=time.time())
        return {"path": str(file.path)}

    def _restore(self, path: str) -> dict[str, Any]:
        return self._without_store(
            lambda: restore(self._directory, Path(path), read_keys(self._directory), now=time.time, overwrite=True)
        )

    def _rekey(self) -> dict[str, Any]:
        return self._without_store(lambda: rekey(self._directory, read_keys(self._directory), now=time.time))

    def _without_store(self, act: Callable[[], object]) -> dict[str, Any]:
        self.close()
        act()  # the next use opens the store again
        return {}


# ---- what was acknowledged


@dataclass(slots=True)
class Person:
    """What was acknowledged of somebody."""

    name: int  # the seed that it is made of
    seeds: list[int]  # of the references
    images: int = 0
    is_blocklisted: bool = False
    is_allowlisted: bool = False
    status: str = Status.APPROVED.value
    is_due: bool = False


@dataclass(slots=True)
class Known:
    """Everything that was acknowledged in one store."""

    people: dict[int, Person] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)  # request_id → seed
    reviews: list[str] = field(default_factory=list)  # request_ids decided about
    noted: list[int] = field(default_factory=list)  # seeds of acts outside the store
    imports: dict[str, tuple[int, int]] = field(default_factory=dict)  # file → when it changed, its person
    accounts: dict[str, bool] = field(default_factory=dict)  # id → is it good
    secret: str | None = None
    records: int | None = 1  # of the log: INIT. None after a prune, until `hold_against` counts them
    forgotten: set[int] = field(default_factory=set)
    snapshots: dict[str, Known] = field(default_factory=dict)  # backup → what was known when it was made

    def copied(self) -> Known:
        """Return a copy that shares nothing."""
        return copy.deepcopy(self)


def apply(known: Known, act: dict[str, Any], done: dict[str, Any]) -> None:
    """Add an acknowledged act to what is known.

    Args:
        known: is changed.
        act: its name as `act`, and its arguments.
        done: what its caller was told, or what `unsaid` found.
    """
    kind = act["act"]
    _count(known, {"backup": 0, "secret": 0, "sweep": 0, "restore": 0, "rekey": 2, "prune": 0}.get(kind, 1))
    if kind in OF_A_PERSON:
        _change(known, kind, act)
    else:
        EFFECTS[kind](known, act, done)


def _enrolled(known: Known, act: dict[str, Any], done: dict[str, Any]) -> None:
    kind, seed = act["act"], act["seed"]
    known.people[done["number"]] = Person(seed, [seed, seed + 1], images=kind != "import", is_due=kind == "due")
    if kind == "import":
        known.imports[f"{seed}.jpg"] = (seed, done["number"])


def _decided(known: Known, act: dict[str, Any], _: dict[str, Any]) -> None:
    known.decisions[f"request {act['seed']}"] = act["seed"]


def _reviewed(known: Known, act: dict[str, Any], _: dict[str, Any]) -> None:
    known.reviews.append(act["request_id"])


def _noted(known: Known, act: dict[str, Any], _: dict[str, Any]) -> None:
    known.noted.append(act["seed"])


def _count(known: Known, records: int) -> None:
    if known.records is not None:
        known.records += records


def _pruned(known: Known, _: dict[str, Any], __: dict[str, Any]) -> None:
    known.noted.clear()
    known.records = None  # which of them stay is the tests' to say, not the drill's


def _let_in(known: Known, _: dict[str, Any], done: dict[str, Any]) -> None:
    known.accounts[done["id"]] = True


def _revoked(known: Known, act: dict[str, Any], _: dict[str, Any]) -> None:
    known.accounts[act["id"]] = False


def _kept_secret(known: Known, act: dict[str, Any], _: dict[str, Any]) -> None:
    known.secret = f"secret {act['seed']}"


def _backed_up(known: Known, _: dict[str, Any], done: dict[str, Any]) -> None:
    snapshot = known.copied()
    snapshot.snapshots.clear()
    known.snapshots[done["path"]] = snapshot


def _swept(known: Known, _: dict[str, Any], __: dict[str, Any]) -> None:
    _forget(known, {number for number, person in known.people.items() if person.is_due})


def _restored(known: Known, act: dict[str, Any], _: dict[str, Any]) -> None:
    """Know what a backup knew, but nobody who was forgotten since."""
    forgotten, snapshots = known.forgotten, known.snapshots
    snapshot = snapshots[act["path"]].copied()
    for item in fields(Known):
        setattr(known, item.name, getattr(snapshot, item.name))
    _count(known, 1)  # RESTORE
    known.snapshots = snapshots
    _forget(known, forgotten & known.people.keys())
    known.forgotten |= forgotten


def _rekeyed(known: Known, _: dict[str, Any], __: dict[str, Any]) -> None:
    known.imports.clear()  # their keyed hashes cannot be made anew


EFFECTS = {
    "enrol": _enrolled,
    "due": _enrolled,
    "import": _enrolled,
    "decide": _decided,
    "review": _reviewed,
    "note": _noted,
    "key": _let_in,
    "operator": _let_in,
    "revoke": _revoked,
    "secret": _kept_secret,
    "backup": _backed_up,
    "sweep": _swept,
    "prune": _pruned,
    "restore": _restored,
    "rekey": _rekeyed,
}


def _change(known: Known, kind: str, act: dict[str, Any]) -> None:
    person = known.people[act["number"]]
    if kind == "reference":
        person.seeds.append(act["seed"])
        person.images += 1
    elif kind in ("block", "unblock"):
        person.is_blocklisted = kind == "block"
    elif kind in ("allow", "disallow"):
        person.is_allowlisted = kind == "allow"
    elif kind == "patch":
        person.name, person.status = act["seed"], Status.DECLINED.value
    elif kind == "forget":
        _count(known, -1)  # counted with the person
        _forget(known, {act["number"]})


def _forget(known: Known, numbers: set[int]) -> None:
    _count(known, len(numbers))
    known.forgotten |= numbers
    for number in numbers:
        del known.people[number]


def unsaid(store: Store, known: Known, directory: Path) -> dict[str, Any]:
    """Return what the caller of an act would have been told, had it not been cut off."""
    numbers = set(store.references.members().session_numbers.tolist()) - known.people.keys()
    accounts = Accounts(store, now=time.time)
    ids = {one.id for kind in ("key", "operator") for one in accounts.all(kind)} - known.accounts.keys()
    paths = {str(path) for path in (directory / "backups").glob("*.backup")} - known.snapshots.keys()
    return {"number": max(numbers, default=0), "id": max(ids, default=""), "path": max(paths, default="")}


# ---- a store compared with it


def hold_against(
    directory: Path,
    known: Known,
    under_way: dict[str, Any] | None,
    survived: Counter[str],
    later: Sequence[dict[str, Any]] = (),
) -> list[str]:
    """Open the store, compare it with what was acknowledged, and return what does not fit.

    Args:
        directory: of the store.
        known: takes over what was under way where the store has all of it, and what came later.
        under_way: an act that was not acknowledged: all of it may be there, or nothing.
        survived: counts such acts.
        later: acts acknowledged after that one.
    """
    with open_store(directory, read_keys(directory), now=time.time) as store:
        faults = list(store.notices)
        keys = read_keys(directory)  # a rekey cut short was finished just now
        findings = check.inspect(store.database, directory / HEAD_NAME, keys)
        faults += [*findings.damage, *findings.log]
        if under_way is not None and under_way["act"] == "prune":
            known.records = None  # it is several transactions, of which some may be there
        with_it = known.copied()
        for act in later:
            apply(known, act, {})
        found = differences(store, known)
        if under_way is not None and (done := unsaid(store, known, directory)) and under_way["act"] in found_by(done):
            apply(with_it, under_way, done)
            for act in later:
                apply(with_it, act, {})
            if not (found_with_it := differences(store, with_it)):
                found = found_with_it
                survived[under_way["act"]] += 1
                for item in fields(Known):
                    setattr(known, item.name, getattr(with_it, item.name))
        faults += found
        if known.records is None:
            known.records = store.verify_log().records
        for path in sorted((directory / "backups").glob("*.backup"), key=lambda path: path.stat().st_mtime)[-1:]:
            if backup.read_header(path).key_check in {key.check for key in keys}:
                backup.verify(path, keys)
    return faults


def found_by(done: dict[str, Any]) -> tuple[str, ...]:
    """Return the acts that may have been done whole, by what `unsaid` found."""
    wanted = {"enrol": "number", "due": "number", "import": "number", "key": "id", "operator": "id", "backup": "path"}
    return tuple(act for act in (*OF_A_PERSON, *EFFECTS) if act not in wanted or done[wanted[act]])


def differences(store: Store, known: Known) -> list[str]:
    """Compare people, references, lists, decisions, outbox, keys and the log's length with what was acknowledged."""
    faults = _people(store, known) + _references(store, known) + _outbox(store, known) + _imports(store, known)
    reviews = store.decisions(DecisionFilter(kinds=(Kind.REVIEW,)), limit=ALL).decisions
    noted = store.decisions(DecisionFilter(kinds=NOTED), limit=ALL).decisions
    seeds = [row.entry.details["seed"] for row in noted if "seed" in row.entry.details]  # not that a fleet began
    rows = store.decisions(DecisionFilter(kinds=(Kind.FACE_SEARCH,)), limit=ALL).decisions
    accounts = Accounts(store, now=time.time)
    records = store.verify_log().records
    good = {one.id: one.revoked_at is None for kind in ("key", "operator") for one in accounts.all(kind)}
    found: tuple[tuple[str, object, object], ...] = (
        ("number of records in the log", records if known.records is not None else None, known.records),
        ("decisions", {row.entry.request_id: (row.answer or {}).get("seed") for row in rows}, known.decisions),
        ("reviews", sorted(row.entry.details["of"] for row in reviews), sorted(known.reviews)),
        ("acts outside the store", sorted(seeds), sorted(known.noted)),
        ("keys and operators", good, known.accounts),
        ("secret", store.secrets.read("drill"), known.secret),
    )
    return faults + [f"the {what}: {is_}, acknowledged {was}" for what, is_, was in found if is_ != was]


def _outbox(store: Store, known: Known) -> list[str]:
    queued = [row for row in store.outbox.rows(limit=ALL) if row.policy == "replay"]
    faults = [
        f"the outbox has another photograph of {row.request_id}"
        for row in queued
        if store.outbox.photographs(row.id) != {"user_image": photograph(known.decisions.get(row.request_id, 0))}
    ]
    if {row.request_id for row in queued} != known.decisions.keys():
        faults.append("the outbox is not that of the decisions")
    return faults


def _imports(store: Store, known: Known) -> list[str]:
    faults = []
    for path, (modified_ns, number) in known.imports.items():
        wanted = "enrolled" if number in known.people else "forgotten"
        if (said := store.imports.outcome(store.imports.begin(SOURCE), path, modified_ns)) != wanted:
            faults.append(f"the import says {said} of a file that is {wanted}")
    return faults


def _people(store: Store, known: Known) -> list[str]:
    faults = []
    page = store.people.subjects(limit=ALL)
    for subject in page.subjects:
        person = known.people.get(subject.session_number)
        if person is None:
            faults.append(f"{subject.session_number} was never acknowledged, or was forgotten")
        elif (subject.is_blocklisted, subject.is_allowlisted) != (person.is_blocklisted, person.is_allowlisted):
            faults.append(f"{subject.session_number} is on the wrong list")
        elif (subject.details.name, subject.status.value) != (f"name {person.name}", person.status):
            faults.append(f"{subject.session_number} has another name or status")
        elif subject.images != person.images:
            faults.append(f"{subject.session_number} has {subject.images} photographs, not {person.images}")
    found = {subject.session_number for subject in page.subjects}
    return faults + [f"{number} is gone" for number in known.people.keys() - found]


def _references(store: Store, known: Known) -> list[str]:
    """Compare every stored vector, bit for bit."""
    found: dict[int, list[bytes]] = {}
    for chunk in store.references.chunks(MODEL):
        for number, vector in zip(chunk.subjects.tolist(), chunk.vectors, strict=True):
            found.setdefault(number, []).append(vector.tobytes())
    wanted = {
        number: [template(seed).vector.tobytes() for seed in person.seeds] for number, person in known.people.items()
    }
    return [
        f"the references of {number} are not those acknowledged"
        for number in wanted.keys() | found.keys()
        if wanted.get(number) != found.get(number)
    ]


def fleet_faults(directory: Path) -> list[str]:
    """Return whose documents do not say what the store says of them; this kiosk is the fleet's only one."""
    with open_store(directory, read_keys(directory), now=time.time) as store:
        said = {one.person: one.document for one in Shared(store).hubs.own()}
        people = store.people.subjects(limit=ALL).subjects
    faults = [f"{person} is shared and is nobody" for person in said.keys() - {one.session_id for one in people}]
    faults = [fault for fault in faults if said[fault.split()[0]].forgotten is None]
    for one in people:
        document = said.get(one.session_id, EMPTY)
        shown = ((document.value("details") or [None])[0], document.value("status"), document.value("allow"))
        is_same = (
            shown == (one.details.name, one.status.value, one.is_allowlisted)
            and document.is_blocked == one.is_blocklisted
            and len(document.references) == one.references
        )
        faults += [] if is_same else [f"{one.session_number} is not shared as they are here"]
    return faults

"""Everything the store holds about one person, opened: for whoever asks to see it (GDPR Art. 15).

Every table is either one that may speak of a person, and has a reader here, or one that cannot, and has its reason;
a test refuses a table that is neither. A reader returns this person's rows as JSON, and nothing of anybody else: of an
answer that lists several people it keeps their row alone, and of a call made for another's `vendor_data` it keeps no
more than that they were compared. Where several people have one `vendor_data`, it shows of no call whose it is, and
only what names the person otherwise is theirs. Templates are facts (model, date, length): their numbers show nobody
anything.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kiosk.didit import contract
from kiosk.store import subject_rows
from kiosk.store.chain import Kind, parse
from kiosk.store.factors.factors import read_factors
from kiosk.store.fleet import document, document_rows
from kiosk.store.passages.passages import passages_of
from kiosk.store.passes.passes import passes_of
from kiosk.store.subjects import vendor_lookup

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kiosk.store.database import Database
    from kiosk.store.subjects import Subject
    from kiosk.store.vault import Vault
    from kiosk.types import SubjectId

Row = dict[str, Any]

NOT_ABOUT_A_PERSON: Mapping[str, str] = {
    "kiosk": "values of the store itself, such as its number",
    "model": "which networks made the templates",
    "import_run": "that an import was run, from a folder known by a keyed hash",
    "access": "keys of programs, and operators: who works with the kiosk, not who is enrolled",
    "outbox_room": "how many bytes wait to be sent",
    "cloud_write": "when calls were made that the cloud bills",
    "cloud_note": "what is known of the cloud's state",
    "list_pass": "how far a list of the cloud has been read",
    "list_complete": "when a list of the cloud was read whole",
    "fleet_position": "how far the fleet's messages have been read",
    "fleet_roster": "which kiosks belong to the fleet",
    "fleet_health": "how the fleet's kiosks are",
    "fleet_head": "the newest signed head of each kiosk's log",
    "fleet_order": "what the owner ordered of the fleet, such as its settings",
    "reference_block": "copies of a thousand people's templates, in the order of `reference`, for the next start",
    "subject_block": "copies of a thousand people's flags, in the order of `subject`, for the next start",
    "unproven": "samples of ciphertext of people who were erased; who is enrolled has none",
}
"""The tables without a word about anybody enrolled that another table has not, and what they hold."""

MACHINE_ACTORS = frozenset({"cli", "sweep", "import", "door", "screen", "fleet"})
BY_FACE = (Kind.IDENTIFY.value, Kind.VERIFY.value, Kind.REVISION.value)
"""Records whose `vendor_data` is that of the person they found, not a caller's word."""
VECTORS = ("face", "portrait")  # of an open session: templates, until it ends


@dataclass(frozen=True, slots=True)
class Who:
    """Whose rows are wanted, and which records of the log are about them."""

    subject: Subject
    lookup: bytes | None = field(repr=False)  # of their vendor_data
    own: Mapping[int, str] = field(default_factory=dict)  # seq → request_id: made about this person
    named: frozenset[int] = frozenset()  # answers that name them besides
    foreign: frozenset[int] = frozenset()  # of `own` and `named`: made for another's vendor_data
    is_code_shared: bool = False  # others have the same vendor_data, so it tells nobody apart

    @property
    def number(self) -> SubjectId:
        """Their session_number."""
        return self.subject.session_number

    @property
    def seqs(self) -> list[int]:
        """All of these records, in the order of the log."""
        return sorted({*self.own, *self.named})


def holdings(database: Database, vault: Vault, number: SubjectId) -> dict[str, list[Row]]:
    """Return what the store holds about a person, by table; tables that hold nothing about them are left out.

    Raises:
        StoreError: nobody has this number, or a row was changed or damaged.
    """
    with database.read() as connection:
        subject = subject_rows.read(connection, vault, number)
        if subject is None:
            raise subject_rows.nobody(number)
        who = _who(connection, vault, subject)
        return {table: rows for table, reader in READERS.items() if (rows := reader(connection, vault, who))}


def _who(connection: sqlite3.Connection, vault: Vault, subject: Subject) -> Who:
    """Find the records about a person: by number, by vendor_data, by their own session, and what is about those."""
    number, lookup = subject.session_number, vendor_lookup(vault, subject.details.vendor_data)
    (count,) = connection.execute("SELECT count(*) FROM subject WHERE vendor_lookup = ?", (lookup,)).fetchone()
    own = dict(
        connection.execute(
            "SELECT seq, request_id FROM log WHERE session_number = ? OR request_id = ? OR of_id = ?"
            " UNION SELECT seq, request_id FROM log JOIN log_private USING (seq) WHERE vendor_lookup = ?"
            " AND ? AND (session_number IS NULL OR kind NOT IN (SELECT value FROM json_each(?)))",
            (number, subject.session_id, subject.session_id, lookup, count == 1, _listed(BY_FACE)),
        ).fetchall()
    )
    named = {seq for (seq,) in connection.execute("SELECT seq FROM log_subject WHERE subject = ?", (number,))}
    foreign = {
        seq
        for (seq,) in connection.execute(
            "SELECT seq FROM log_private WHERE seq IN (SELECT value FROM json_each(?))"
            " AND vendor_lookup != coalesce(?, x'')",
            (_listed([*own, *named]), lookup),
        )
    }
    new = dict(own)
    while new:  # reviews, revisions, and why an approval opened nothing
        rows = connection.execute(
            "SELECT later.seq, later.request_id, log.seq FROM log JOIN log AS later ON later.of_id = log.request_id"
            " WHERE log.seq IN (SELECT value FROM json_each(?))",
            (_listed(new),),
        ).fetchall()
        new = {seq: request for seq, request, _ in rows if seq not in own}
        foreign |= {seq for seq, _, of in rows if of in foreign}
        own |= new
    return Who(subject, lookup, own, frozenset(named - set(own)), frozenset(foreign), count > 1)


# ---- the person


def _subject(_connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    subject, details = who.subject, who.subject.details
    return [
        {
            "session_number": subject.session_number,
            "session_id": subject.session_id,
            "name": details.name,
            "vendor_data": details.vendor_data,
            **({"others_have_this_vendor_data": True} if who.is_code_shared else {}),
            "document_type": details.document_type,
            "document_number": details.document_number,
            "plan": details.plan,
            "groups": list(details.groups),
            "consent_version": details.consent_version,
            "consent_at": _moment(details.consent_at),
            "consent_language": details.consent_language,
            "status": subject.status.value,
            "is_blocklisted": subject.is_blocklisted,
            "block_reason": details.block_reason,
            "is_allowlisted": subject.is_allowlisted,
            "source": subject.source,
            "external_id": subject.external_id,
            "verification_date": _moment(subject.verification_date),
            "valid_from": _moment(subject.valid_from),
            "valid_until": _moment(subject.valid_until),
            "retention_until": _moment(subject.retention_until),
        }
    ]


def _references(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    found = document_rows.references_of(connection, vault, who.number)
    return [_template_facts(one) for one in found]


def _images(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute("SELECT id, jpeg, created_at FROM image WHERE subject = ? ORDER BY id", (who.number,))
    return [
        {"created_at": _moment(at), "jpeg": _text(subject_rows.unseal(vault, sealed, "image", row))}
        for row, sealed, at in rows.fetchall()
    ]


def _changes(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    (count,) = connection.execute("SELECT count(*) FROM change WHERE subject = ?", (who.number,)).fetchone()
    return [{"lines_that_say_the_person_changed": count}] if count else []


def _import_files(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute(
        "SELECT run, modified_ns, outcome FROM import_file WHERE subject = ? ORDER BY run, file", (who.number,)
    )
    return [{"run": run, "file_modified_at": _moment(ns / 1e9), "outcome": outcome} for run, ns, outcome in rows]


def _list_entries(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute("SELECT list, entry FROM list_entry WHERE subject = ? ORDER BY list", (who.number,))
    return [{"list": name, "entry": entry} for name, entry in rows]


def _list_staged(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute(
        "SELECT id, list, entry, sealed FROM list_staged WHERE entry = ? OR (list, entry) IN"
        " (SELECT list, entry FROM list_entry WHERE subject = ?) ORDER BY id",
        (who.subject.external_id, who.number),
    )
    found = []
    for row, name, entry, sealed in rows.fetchall():
        plain = json.loads(subject_rows.unseal(vault, sealed, "list_staged", row)) if sealed is not None else {}
        found.append({"list": name, "entry": entry, "has_template": "vector" in plain})
    return found


def _factor(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    factors = read_factors(connection, vault, who.number)
    if factors.is_empty:
        return []
    return [
        {
            "card": None if factors.card is None else factors.card.text,
            "has_pin": factors.pins is not None,
            "suspended_until": _moment(factors.suspended_until),
        }
    ]


def _passages(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    return [
        {
            "direction": one.direction.value,
            "at": _moment(one.at),
            "request_id": one.request_id or None,
            "told_by": _actor(one.corrected_by),
        }
        for one in passages_of(connection, vault, who.number)
    ]


def _passes(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    """Tell of the passes that name the person; the table's other rows are passwords, and about nobody."""
    return [
        {
            "visitor_pass": kept.shown.name,
            "label": kept.label or None,
            "valid_from": _moment(kept.shown.valid_from),
            "valid_until": _moment(kept.shown.valid_until),
            "uses": kept.shown.uses or None,
            "used": kept.used,
            "last_used_at": _moment(kept.last_used_at),
            "is_revoked": kept.revoked_at is not None,
        }
        for kept in passes_of(connection, vault, who.subject.session_id)
    ]


# ---- what was decided


def _records(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    found = []
    for seq in who.seqs:
        (text,) = connection.execute("SELECT record FROM log WHERE seq = ?", (seq,)).fetchone()
        entry = parse(text)
        row: Row = {
            "seq": seq,
            "at": _moment(entry.at),
            "clock": entry.clock.value,
            "kind": entry.kind.value,
            "request_id": entry.request_id,
        }
        if seq in who.foreign and seq in who.own:
            row |= {"role": "compared, in a call about somebody else"}
            row |= {"score": entry.score} if entry.session_number == who.number else {}
        elif seq in who.own:
            row |= {
                "status": entry.status,
                "score": entry.score,
                "warnings": list(entry.warnings),
                "thresholds": dict(entry.thresholds),
                "people_compared_with": entry.gallery_size,
                "by": _actor(entry.actor),
                "details": _own(dict(entry.details), who),
            }
        else:
            row["role"] = "compared, in a search about somebody else"
        found.append({name: value for name, value in row.items() if value not in (None, [], {})})
    return found


def _answers(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    found = []
    for seq, sealed in _of_seqs(connection, "seq, sealed", "log_private", who):
        private = json.loads(subject_rows.unseal(vault, sealed, "log_private", seq))
        answer = _own(private["answer"], who)
        if seq in who.foreign or seq not in who.own:
            answer = {"matches": _rows_of(answer, who)}
        row = {"seq": seq, "answer": answer}
        if private["vendor_data"] is not None and private["vendor_data"] == who.subject.details.vendor_data:
            row["vendor_data"] = private["vendor_data"]
        found.append(row)
    return found


def _named_in(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute("SELECT seq FROM log_subject WHERE subject = ? ORDER BY seq", (who.number,))
    return [{"seq": seq} for (seq,) in rows]


def _review_images(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    columns = "seq, name, kept_at, length(sealed)"
    return [
        {
            "seq": seq,
            "name": name,
            "kept_at": _moment(at),
            "bytes": size,
            "note": "nobody has decided yet whose face it is, so it is not handed out",
        }
        for seq, name, at, size in _of_seqs(connection, columns, "review_image", who)
    ]


def _entries(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    """Tell that something was entered, never what: whoever reads along must not learn of an entry under duress."""
    return [{"seq": seq} for (seq,) in _of_seqs(connection, "seq", "factor_note", who) if seq in who.own]


def _erased_calls(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute(
        "SELECT session_id, forgotten_at FROM erasure WHERE session_id IN (SELECT value FROM json_each(?))"
        " ORDER BY seq",
        (_listed(who.own.values()),),
    )
    return [{"request_id": request, "erased_at": _moment(at)} for request, at in rows]


# ---- what waits to be sent, and what others have of it


def _outbox(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    columns = "id, seq, policy, state, created_at, remote_request_id, payload"
    found = []
    for row, seq, policy, state, at, remote, sealed in _of_seqs(connection, columns, "outbox", who):
        told: Row = {
            "seq": seq,
            "policy": policy,
            "state": state,
            "written_at": _moment(at),
            "known_there_as": remote,
        }
        if sealed is not None and seq in who.own and seq not in who.foreign:
            told["payload"] = _own(json.loads(subject_rows.unseal(vault, sealed, "outbox", row)).get("payload"), who)
        found.append(told)
    return found


def _outbox_images(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute(
        "SELECT seq, name, length(sealed) FROM outbox_image JOIN outbox ON outbox.id = outbox_image.outbox"
        " WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY outbox_image.id",
        (_listed(who.seqs),),
    )
    return [{"seq": seq, "name": name, "bytes": size} for seq, name, size in rows]


def _sessions(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    requests = [who.subject.session_id, *who.own.values(), *_about(connection, who)]
    rows = connection.execute(
        "SELECT id, session_id, expires_at, is_over, sealed FROM session"
        " WHERE (vendor_lookup = ? AND ?)"
        " OR (coalesce(vendor_lookup = ?, 1) AND session_id IN (SELECT value FROM json_each(?))) ORDER BY id",
        (who.lookup, not who.is_code_shared, who.lookup, _listed(requests)),
    ).fetchall()
    found = []
    for row, session_id, expires_at, is_over, sealed in rows:
        content = json.loads(subject_rows.unseal(vault, sealed, "session", row))
        content |= {name: {"has_template": True} for name in VECTORS if content.get(name)}
        content["actor"] = _actor(content.get("actor") or "")
        found.append(
            {
                "session_id": session_id,
                "link_valid_until": _moment(expires_at),
                "is_over": bool(is_over),
                "content": _own(content, who),
            }
        )
    return found


def _about(connection: sqlite3.Connection, who: Who) -> Iterator[str]:
    """Return what the person's own records are about: a session, for instance."""
    rows = connection.execute(
        "SELECT of_id FROM log WHERE of_id IS NOT NULL AND seq IN (SELECT value FROM json_each(?))", (_listed(who.own),)
    )
    yield from (of for (of,) in rows)


def _fleet_documents(connection: sqlite3.Connection, vault: Vault, who: Who) -> list[Row]:
    found = []
    for origin, one in sorted(document_rows.read(connection, vault, who.subject.session_id).items()):
        plain = document.plain(one.document)
        plain["references"] = [_template_facts(each) for each in one.document.references.values()]
        found.append({"kiosk": origin, "version": one.version, "is_whole": one.is_whole, "says": plain})
    return found


def _fleet_envelopes(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute(
        "SELECT origin, length(envelope) FROM fleet_envelope WHERE person = ? ORDER BY origin",
        (who.subject.session_id,),
    )
    return [{"kiosk": origin, "bytes_as_it_was_signed": size} for origin, size in rows]


def _fleet_parked(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute(
        "SELECT origin, length(envelope), why FROM fleet_parked WHERE person = ? ORDER BY origin",
        (who.subject.session_id,),
    )
    return [{"kiosk": origin, "bytes_that_cannot_be_opened_yet": size, "why": why} for origin, size, why in rows]


def _fleet_wanted(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    rows = connection.execute("SELECT count(*) FROM fleet_wanted WHERE person = ?", (who.subject.session_id,))
    return [{"is_to_be_read_again": True} for (count,) in rows if count]


def _fleet_duplicates(connection: sqlite3.Connection, _vault: Vault, who: Who) -> list[Row]:
    """Tell that somebody looks like this person, and not who."""
    person = who.subject.session_id
    rows = connection.execute(
        "SELECT score, found_at FROM fleet_duplicate WHERE ? IN (first, second) ORDER BY found_at", (person,)
    )
    return [{"score": score, "found_at": _moment(at)} for score, at in rows]


READERS: Mapping[str, Callable[[sqlite3.Connection, Vault, Who], list[Row]]] = {
    "subject": _subject,
    "reference": _references,
    "image": _images,
    "factor": _factor,
    "passage": _passages,
    "secret": _passes,
    "log": _records,
    "log_private": _answers,
    "log_subject": _named_in,
    "factor_note": _entries,
    "review_image": _review_images,
    "session": _sessions,
    "outbox": _outbox,
    "outbox_image": _outbox_images,
    "import_file": _import_files,
    "list_entry": _list_entries,
    "list_staged": _list_staged,
    "erasure": _erased_calls,
    "change": _changes,
    "fleet_document": _fleet_documents,
    "fleet_envelope": _fleet_envelopes,
    "fleet_parked": _fleet_parked,
    "fleet_wanted": _fleet_wanted,
    "fleet_duplicate": _fleet_duplicates,
}
"""The tables that may speak of a person, in the order in which they are told."""


# ---- what is this person's of something that speaks of several


def _own(value: Any, who: Who) -> Any:
    """Return JSON without what is another's: their rows, their `vendor_data`."""
    if isinstance(value, list):
        return [_own(one, who) for one in value if not _is_others(one, who)]
    if not isinstance(value, dict):
        return value
    if _is_others(value, who):
        return None
    kept = {name: _own(one, who) for name, one in value.items() if name != "vendor_data" or one in _codes(who)}
    if "matches" in kept and isinstance(kept["matches"], list):
        kept.pop("total_matches", None)
        kept["others_left_out"] = len(value["matches"]) - len(kept["matches"])
    return kept


def _is_others(value: Any, who: Who) -> bool:
    """Whether a row of an answer is about somebody else."""
    if not isinstance(value, dict) or value.get("session_number") is None:
        return False
    return bool(value["session_number"] != who.number)


def _codes(who: Who) -> tuple[str | None, ...]:
    return (who.subject.details.vendor_data, None)


def _rows_of(value: Any, who: Who) -> list[Any]:
    """Return the rows of an answer that are this person's, wherever in it they stand."""
    if isinstance(value, list):
        return [row for one in value for row in _rows_of(one, who)]
    if not isinstance(value, dict):
        return []
    if value.get("session_number") == who.number:
        return [value]
    return [row for one in value.values() for row in _rows_of(one, who)]


def _actor(actor: str) -> str | None:
    """Return who acted without naming them: the export is about the person, not about who works here."""
    if not actor or actor in MACHINE_ACTORS:
        return actor or None
    return "the broker" if actor.startswith("mqtt:") else "an operator, or a program with a key"


def _template_facts(one: document.SharedReference) -> Row:
    return {
        "model": one.model,
        "numbers": len(one.vector) // 4,  # float32
        "quality": one.quality,
        "created_at": _moment(one.created_at),
    }


def _of_seqs(connection: sqlite3.Connection, columns: str, table: str, who: Who) -> list[tuple[Any, ...]]:
    return connection.execute(
        f"SELECT {columns} FROM {table} WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY rowid",
        (_listed(who.seqs),),
    ).fetchall()


def _listed(values: Iterable[int | str]) -> str:
    """Return a list as the one value that json_each takes, however long it is."""
    return json.dumps(list(values))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else contract.timestamp(seconds)

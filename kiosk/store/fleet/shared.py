"""The fleet's side of a store: what arrived becomes people, what was done here waits to be sent.

One fetch is one transaction: documents, people, log records and the position up to which was read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from kiosk.errors import KioskError
from kiosk.store import subject_rows
from kiosk.store.chain import Kind
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.capture import capture, say_forgotten
from kiosk.store.fleet.document import EMPTY, Document, Register, SharedReference, digest, fingerprint, join, unpack
from kiosk.store.fleet.document_rows import CURSOR, ME, SINCE, VERSION, Row
from kiosk.store.subjects import Details, Enrolment, Subject
from kiosk.types import Status, Template

if TYPE_CHECKING:
    from kiosk.store.decision_log import Transaction
    from kiosk.store.store import Store

ORIGIN = "fleet"  # in the change table
LONGEST_PARKED = 100_000  # documents that wait for a key or a signer


class ForgedError(KioskError):
    """Something that a member signed cannot be put into the store."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A document that was opened and whose signer is a member."""

    person: str
    origin: str
    version: int
    document: Document
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parked:
    """A document that cannot be opened yet; the position goes on past it."""

    person: str
    origin: str
    envelope: bytes = field(repr=False)
    why: str


@dataclass(frozen=True, slots=True)
class Position:
    """How far a hub was read, and up to which of our versions it has what we said."""

    seq: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One document of this kiosk's, to be sent."""

    person: str
    version: int
    document: Document


@dataclass(frozen=True, slots=True)
class Applied:
    """What a fetch changed."""

    people: int = 0
    forgotten: int = 0
    refused: tuple[str, ...] = ()  # what a member signed and no store can hold, one sentence each


class Shared:
    """The fleet's side of one store. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._store, self._vault = store, store.vault

    # ---- membership

    def me(self) -> str | None:
        """Return the name of this kiosk in its fleet; None where it is in none."""
        with self._store.database.read() as connection:
            return document_rows.value(connection, ME)

    def begin(self, me: str) -> None:
        """Be a kiosk of a fleet: everybody who is here is said to it."""
        with self._store.transaction() as transaction:
            connection = transaction.connection
            document_rows.put(connection, ME, me)
            document_rows.put(connection, CURSOR, document_rows.newest_change(connection))
            for (number,) in connection.execute("SELECT session_number FROM subject ORDER BY 1").fetchall():
                subject_rows.touch(connection, number)  # taken up as the transaction ends
            transaction.record(Kind.SETTINGS, details={"fleet": "begun", "kiosk": me}, actor="fleet")

    def end(self) -> None:
        """Be a kiosk alone again; the people who are here stay."""
        with self._store.transaction() as transaction:
            connection = transaction.connection
            for table in ("document", "envelope", "parked", "position", "roster", "health"):
                connection.execute(f"DELETE FROM fleet_{table}")
            connection.execute("DELETE FROM kiosk WHERE name IN (?, ?, ?, ?)", (ME, CURSOR, VERSION, SINCE))
            transaction.record(Kind.SETTINGS, details={"fleet": "ended"}, actor="fleet")

    # ---- the roster

    def roster(self) -> bytes | None:
        """Return the roster in force, as it was signed."""
        with self._store.database.read() as connection:
            found = connection.execute("SELECT text FROM fleet_roster ORDER BY number DESC LIMIT 1").fetchone()
        return None if found is None else bytes(found[0])

    def take_roster(
        self, number: int, text: bytes, kept: Mapping[str, Collection[bytes] | None], *, since: int, key: bytes = b""
    ) -> bool:
        """Put a roster into force, together with what follows from it for the documents of kiosks that are gone.

        Args:
            number: of the roster; an older one is not taken.
            text: as it was signed.
            kept: by former kiosk, the fingerprints of what was accepted last; None: not known yet, so that everything
                stays as it is.
            since: the roster that this kiosk was first named in.
            key: of the fingerprints.

        Returns:
            False where one as new is here already.
        """
        with self._store.transaction() as transaction:
            connection = transaction.connection
            if document_rows.roster_number(connection) >= number:
                return False
            connection.execute("DELETE FROM fleet_roster")
            connection.execute("INSERT INTO fleet_roster (number, text) VALUES (?, ?)", (number, text))
            document_rows.put(connection, SINCE, since)
            capture(connection, self._vault)
            for origin, digests in kept.items():
                if digests is not None:
                    self._drop(transaction, origin, frozenset(digests), key)
            transaction.record(Kind.SETTINGS, details={"fleet_roster": number}, actor="fleet")
        return True

    def _drop(self, transaction: Transaction, origin: str, kept: Collection[bytes], key: bytes) -> None:
        """Believe nothing of a former kiosk but what was accepted."""
        connection = transaction.connection
        people = connection.execute("SELECT person FROM fleet_document WHERE origin = ?", (origin,)).fetchall()
        for (person,) in people:
            before = document_rows.read(connection, self._vault, person)
            said = before[origin]
            is_receipt = said.document.forgotten is not None  # what was forgotten does not come back
            if is_receipt or fingerprint(key, person, said.version, said.document) in kept:
                continue
            document_rows.remove(connection, person, origin)
            after = {name: row for name, row in before.items() if name != origin}
            self._show(transaction, person, document_rows.whole_of(before), document_rows.whole_of(after), origin)

    # ---- what arrives

    def apply(
        self,
        arrived: Sequence[Arrived],
        *,
        parked: Sequence[Parked] = (),
        source: str | None = None,
        seq: int = 0,
    ) -> Applied:
        """Take what was read, in one transaction with the position up to which it was read.

        Args:
            arrived: documents, in any order, repetitions allowed.
            parked: what cannot be opened yet.
            source: where it was read; None: nowhere that has positions, such as a stick.
            seq: of the last message read there.

        """
        by_person: dict[str, list[Arrived]] = {}
        people = forgotten = 0
        refused: list[str] = []
        with self._store.transaction() as transaction:
            connection = transaction.connection
            capture(connection, self._vault)  # what was done here has not seen what arrives now
            me = document_rows.value(connection, ME) or ""
            sizes = dict(connection.execute("SELECT digest, dimensions FROM model").fetchall())
            for one in arrived:
                try:
                    _check(one.document, sizes)
                except ForgedError as error:
                    refused.append(f"{one.origin}: {error}")
                else:
                    by_person.setdefault(one.person, []).append(one)
            for person, documents in by_person.items():
                change = self._take(transaction, me, person, documents)
                people += change is not None
                forgotten += change == "forgotten"
            for waiting in parked:
                connection.execute(
                    "INSERT OR REPLACE INTO fleet_parked (person, origin, envelope, why) VALUES (?, ?, ?, ?)",
                    (waiting.person, waiting.origin, waiting.envelope, waiting.why),
                )
            if source is not None:
                connection.execute(
                    "INSERT INTO fleet_position (source, seq, sent) VALUES (?, ?, 0)"
                    " ON CONFLICT (source) DO UPDATE SET seq = max(seq, excluded.seq)",
                    (source, seq),
                )
            document_rows.put(connection, CURSOR, document_rows.newest_change(connection))
        if forgotten:
            self._store.people.erasures.prove()
        return Applied(people, forgotten, tuple(refused))

    def _take(self, transaction: Transaction, me: str, person: str, documents: Iterable[Arrived]) -> str | None:
        connection = transaction.connection
        before = document_rows.read(connection, self._vault, person)
        after, envelopes = self._joined(transaction, me, before, documents)
        connection.executemany(
            "DELETE FROM fleet_parked WHERE person = ? AND origin = ?", [(person, one.origin) for one in documents]
        )
        whole = document_rows.whole_of(after)
        if (
            whole.forgotten is None
            and connection.execute("SELECT 1 FROM erasure WHERE session_id = ?", (person,)).fetchone()
        ):  # of a backup that is older than the forgetting
            whole = Document(forgotten=document_rows.roster_number(connection))
        elif after == before:
            return None
        origin, known = min(envelopes, default=me), self._known(transaction, person)
        if whole.forgotten is not None and known is not None:
            self._store.people.erasures.erase_within(
                transaction, known.session_number, actor=f"fleet:{origin}", origin=ORIGIN
            )
        for name, row in after.items():
            if row != before.get(name) and (whole.forgotten is None or row.document.forgotten is not None):
                document_rows.write(connection, self._vault, person, name, row.version, row.document)
                if name in envelopes:
                    connection.execute(
                        "INSERT OR REPLACE INTO fleet_envelope (person, origin, envelope) VALUES (?, ?, ?)",
                        (person, name, envelopes[name]),
                    )
        if whole.forgotten is not None:
            if known is not None or whole.forgotten >= document_rows.number(connection, SINCE):
                say_forgotten(connection, self._vault, me, person)
            return "forgotten" if known is not None else "noted"
        return self._show(transaction, person, document_rows.whole_of(before), whole, origin)

    def _joined(
        self, transaction: Transaction, me: str, before: Mapping[str, Row], documents: Iterable[Arrived]
    ) -> tuple[dict[str, Row], dict[str, bytes]]:
        """Return what is known after documents arrived, and the envelopes of others to be kept."""
        connection, after = transaction.connection, dict(before)
        envelopes: dict[str, bytes] = {}
        for one in documents:
            known = after.get(one.origin, Row(0, EMPTY))
            joined, version = join(known.document, one.document), max(known.version, one.version)
            if one.origin == me and version > document_rows.number(connection, VERSION):
                document_rows.put(connection, VERSION, version)  # a backup had set it back
            if one.origin == me and joined != one.document and one.version >= known.version:
                version = document_rows.next_version(connection)  # what others have of ours is not all of it
            if Row(version, joined) != known:
                after[one.origin] = Row(version, joined)
                if one.origin != me:
                    envelopes[one.origin] = one.envelope
        return after, envelopes

    # ---- documents become people

    def _show(
        self, transaction: Transaction, person: str, before: Document, after: Document, origin: str
    ) -> str | None:
        """Make the person of the store what the documents say together; return what was done, None for nothing."""
        actor, known = f"fleet:{origin}", self._known(transaction, person)
        if not after.is_person:
            if known is not None and before.is_person:  # only a former kiosk knew them
                self._store.people.erasures.erase_within(
                    transaction, known.session_number, actor=actor, origin=ORIGIN, is_for_good=False
                )
            return "gone" if known is not None else None
        if known is None:
            self._enrol(transaction, person, after, actor)
            return "enrolled"
        return self._change(transaction, known, before, after, actor)

    def _known(self, transaction: Transaction, person: str) -> Subject | None:
        connection = transaction.connection
        found = connection.execute("SELECT session_number FROM subject WHERE session_id = ?", (person,)).fetchone()
        return subject_rows.read(connection, self._vault, found[0]) if found else None

    def _enrol(self, transaction: Transaction, person: str, document: Document, actor: str) -> None:
        subject = _described(document)
        references = list(document.references.values())
        enrolment = Enrolment(
            [_template(one) for one in references],
            subject.details,
            status=subject.status,
            source=subject.source,
            external_id=subject.external_id,
            is_blocklisted=subject.is_blocklisted,
            is_allowlisted=subject.is_allowlisted,
            verification_date=subject.verification_date,
            valid_from=subject.valid_from,
            valid_until=subject.valid_until,
        )
        made = subject_rows.insert(
            transaction.connection,
            self._vault,
            enrolment,
            session_id=person,
            now=subject.verification_date,
            retention_until=subject.retention_until,
            origin=ORIGIN,
        )
        transaction.record(
            Kind.ENROL,
            session_number=made.session_number,
            details={
                "references": len(references),
                "source": subject.source,
                "status": subject.status.value,
                "is_blocklisted": subject.is_blocklisted,
                "is_allowlisted": subject.is_allowlisted,
            },
            actor=actor,
        )

    def _change(
        self, transaction: Transaction, known: Subject, before: Document, after: Document, actor: str
    ) -> str | None:
        connection, number, done = transaction.connection, known.session_number, None
        new = replace(
            _described(after),
            session_number=number,
            session_id=known.session_id,
            references=known.references,
            images=known.images,
        )
        if new != known:
            subject_rows.update(connection, self._vault, new, ORIGIN)
            kinds = [Kind.PATCH]
            if new.is_blocklisted != known.is_blocklisted:
                kinds = [Kind.BLOCK if new.is_blocklisted else Kind.UNBLOCK]
            for kind in kinds:
                transaction.record(kind, session_number=number, actor=actor)
            done = kinds[0].value
        for key in after.references.keys() - before.references.keys():
            one = after.references[key]
            row = subject_rows.insert_reference(
                connection, self._vault, number, _template(one), quality=one.quality, now=one.created_at
            )
            transaction.record(
                Kind.REFERENCE, session_number=number, details={"reference": row, "model": one.model}, actor=actor
            )
            done = done or "reference"
        for key in before.references.keys() - after.references.keys():  # of a former kiosk
            self._drop_reference(transaction, number, before.references[key])
            done = done or "reference"
        if done is not None:
            subject_rows.touch(connection, number, ORIGIN)
        return done

    def _drop_reference(self, transaction: Transaction, number: int, gone: SharedReference) -> None:
        connection = transaction.connection
        rows = connection.execute("SELECT id FROM reference WHERE subject = ? ORDER BY id", (number,)).fetchall()
        found = document_rows.references_of(connection, self._vault, number)
        for (row,), one in zip(rows, found, strict=True):
            if one.id == gone.id:
                connection.execute("DELETE FROM reference WHERE id = ?", (row,))

    # ---- what waits

    def parked(self) -> tuple[Parked, ...]:
        """Return what could not be opened yet."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT person, origin, envelope, why FROM fleet_parked").fetchall()
        return tuple(Parked(*row) for row in rows)

    def unpark(self, gone: Iterable[Parked]) -> None:
        """Give up what can never be opened."""
        with self._store.database.write() as connection:
            connection.executemany(
                "DELETE FROM fleet_parked WHERE person = ? AND origin = ? AND envelope = ?",
                [(one.person, one.origin, one.envelope) for one in gone],
            )

    def position(self, source: str) -> Position:
        """Return how far a hub was read and written."""
        with self._store.database.read() as connection:
            found = connection.execute("SELECT seq, sent FROM fleet_position WHERE source = ?", (source,)).fetchone()
        return Position() if found is None else Position(*found)

    def pending(self, source: str, limit: int = 256) -> tuple[Outgoing, ...]:
        """Return what a hub has not had of this kiosk, oldest first."""
        sent = self.position(source).sent
        return self._own("AND version > ? ORDER BY version LIMIT ?", (sent, limit))

    def mark_sent(self, source: str, version: int) -> None:
        """Note that a hub has everything of this kiosk up to a version."""
        with self._store.database.write() as connection:
            connection.execute(
                "INSERT INTO fleet_position (source, seq, sent) VALUES (?, 0, ?)"
                " ON CONFLICT (source) DO UPDATE SET sent = max(sent, excluded.sent)",
                (source, version),
            )

    def rewind(self) -> None:
        """Read and send everything again from the beginning, at every hub."""
        with self._store.database.write() as connection:
            connection.execute("DELETE FROM fleet_position")

    def waiting(self, source: str) -> int:
        """Return how many documents of this kiosk a hub has not had."""
        with self._store.database.read() as connection:
            me = document_rows.value(connection, ME)
            return int(
                connection.execute(
                    "SELECT count(*) FROM fleet_document WHERE origin = ? AND version > coalesce("
                    "(SELECT sent FROM fleet_position WHERE source = ?), 0)",
                    (me, source),
                ).fetchone()[0]
            )

    def positions(self) -> dict[str, Position]:
        """Return how far each hub was read and written."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT source, seq, sent FROM fleet_position ORDER BY source").fetchall()
        return {source: Position(seq, sent) for source, seq, sent in rows}

    def count(self) -> int:
        """Return of how many people something is shared, those forgotten among them."""
        with self._store.database.read() as connection:
            return int(connection.execute("SELECT count(DISTINCT person) FROM fleet_document").fetchone()[0])

    def own(self) -> tuple[Outgoing, ...]:
        """Return everything this kiosk says."""
        return self._own("ORDER BY version", ())

    def _own(self, more: str, values: Sequence[object]) -> tuple[Outgoing, ...]:
        with self._store.database.read() as connection:
            me = document_rows.value(connection, ME)
            rows = connection.execute(
                f"SELECT id, person, version, sealed FROM fleet_document WHERE origin = ? {more}", (me, *values)
            ).fetchall()
        return tuple(
            Outgoing(person, version, unpack(subject_rows.unseal(self._vault, sealed, "fleet_document", row)))
            for row, person, version, sealed in rows
        )

    def envelopes(self) -> tuple[tuple[str, str, bytes], ...]:
        """Return what others said, as they signed it: person, kiosk, envelope."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT person, origin, envelope FROM fleet_envelope ORDER BY 1, 2").fetchall()
        return tuple((person, origin, bytes(envelope)) for person, origin, envelope in rows)

    # ---- to be looked at

    def receipts(self, person: str) -> frozenset[str]:
        """Return the kiosks that said they forgot a person."""
        with self._store.database.read() as connection:
            rows = document_rows.read(connection, self._vault, person)
        return frozenset(origin for origin, row in rows.items() if row.document.forgotten is not None)

    def digests(self) -> dict[str, str]:
        """Return what is known here of each person, as digests: equal on kiosks that have heard the same."""
        with self._store.database.read() as connection:
            people = connection.execute("SELECT DISTINCT person FROM fleet_document ORDER BY person").fetchall()
            return {
                person: digest(document_rows.whole_of(document_rows.read(connection, self._vault, person))).hex()
                for (person,) in people
            }

    # ---- health of the others

    def hear_health(self, kiosk: str, at: float, text: str) -> None:
        """Keep what a kiosk last said of itself."""
        with self._store.database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO fleet_health (kiosk, at, text) VALUES (?, ?, ?)", (kiosk, at, text)
            )

    def health(self) -> dict[str, tuple[float, str]]:
        """Return what each kiosk last said of itself, and when that was heard, s UTC."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT kiosk, at, text FROM fleet_health ORDER BY kiosk").fetchall()
        return {kiosk: (at, text) for kiosk, at, text in rows}


def _check(document: Document, sizes: dict[str, int]) -> None:
    """Refuse a document that no store can hold, whatever it is joined with.

    Args:
        document: opened.
        sizes: of the templates of each model so far; a model that is new is added.

    Raises:
        ForgedError: a register holds what no person has, or a reference is no template.
    """
    stand_in: dict[str, Register] = {
        name: Register(0, "", value)
        for name, value in (("status", Status.APPROVED.value), ("dates", [None, None, 0.0]), ("made", [0.0, "", None]))
    }
    _described(Document({**stand_in, **document.registers}))
    for one in document.references.values():
        size = _template(one).vector.size
        if sizes.setdefault(one.model, size) != size:
            raise ForgedError(f"templates of model {one.model} have {sizes[one.model]} numbers, one has {size}")


def _described(document: Document) -> Subject:
    """Return the person that documents describe; number, session_id and counts are to be filled in.

    Raises:
        ForgedError: a register holds what no person has.
    """
    try:
        name, kind, number, vendor, consent, consent_at = document.value("details") or [None] * 6
        valid_from, valid_until, retention_until = document.value("dates")
        date, source, external = document.value("made")
        for text in (name, kind, number, vendor, consent, external, document.value("plan")):
            if text is not None and not isinstance(text, str):
                raise TypeError(text)
        return Subject(
            session_number=0,
            session_id="",
            verification_date=float(date),
            status=Status(document.value("status")),
            is_blocklisted=document.is_blocked,
            is_allowlisted=bool(document.value("allow")),
            source=str(source),
            external_id=external,
            valid_from=None if valid_from is None else float(valid_from),
            valid_until=None if valid_until is None else float(valid_until),
            retention_until=float(retention_until),
            references=0,
            images=0,
            details=Details(
                name, kind, number, vendor, document.block_reason, document.value("plan"), consent, consent_at
            ),
        )
    except (TypeError, ValueError) as error:
        raise ForgedError(f"a document describes no person ({type(error).__name__})") from None


def _template(one: SharedReference) -> Template:
    try:
        vector = np.frombuffer(one.vector, "<f4").astype(np.float32)
        return Template(vector, one.model, one.quality)
    except ValueError as error:
        raise ForgedError(f"a document holds no template ({error})") from None

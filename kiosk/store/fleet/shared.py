"""The fleet's side of a store: what arrived becomes people, what was done here waits to be sent.

One fetch is one transaction: documents, people, log records and the position up to which was read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiosk.store import subject_rows
from kiosk.store.chain import Kind
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.capture import capture, say_forgotten
from kiosk.store.fleet.document import EMPTY, Document, digest, fingerprint, join
from kiosk.store.fleet.document_rows import CURSOR, ME, SINCE, VERSION, Row
from kiosk.store.fleet.hubs import Hubs
from kiosk.store.fleet.people import ORIGIN, ForgedError, SharedPeople, check

if TYPE_CHECKING:
    from kiosk.store.decision_log import Transaction
    from kiosk.store.store import Store

MOST_PARKED = 100_000  # documents that wait for a key or a signer; `kiosk fleet resync` reads those beyond again


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
class Applied:
    """What a fetch changed."""

    people: int = 0
    forgotten: int = 0
    refused: tuple[str, ...] = ()  # what a member signed and no store can hold, one sentence each


class Shared:
    """The fleet's side of one store. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._store, self._vault = store, store.vault
        self._people, self.hubs = SharedPeople(store), Hubs(store)

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
            self._people.show(
                transaction, person, document_rows.whole_of(before), document_rows.whole_of(after), origin
            )

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
                    check(one.document, sizes)
                except ForgedError as error:
                    refused.append(f"{one.origin}: {error}")
                else:
                    by_person.setdefault(one.person, []).append(one)
            for person, documents in by_person.items():
                change = self._take(transaction, me, person, documents)
                people += change is not None
                forgotten += change == "forgotten"
            (waits,) = connection.execute("SELECT count(*) FROM fleet_parked").fetchone()
            room = max(0, MOST_PARKED - waits)
            if len(parked) > room:
                refused.append(f"{len(parked) - room} documents that cannot be opened yet: too many of them wait")
            for waiting in parked[:room]:
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
        origin, known = min(envelopes, default=me), self._people.known(transaction, person)
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
        return self._people.show(transaction, person, document_rows.whole_of(before), whole, origin)

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

    def count(self) -> int:
        """Return of how many people something is shared, those forgotten among them."""
        with self._store.database.read() as connection:
            return int(connection.execute("SELECT count(DISTINCT person) FROM fleet_document").fetchone()[0])

    def envelopes(self) -> tuple[tuple[str, str, bytes], ...]:
        """Return what others said, as they signed it: person, kiosk, envelope."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT person, origin, envelope FROM fleet_envelope ORDER BY 1, 2").fetchall()
        return tuple((person, origin, bytes(envelope)) for person, origin, envelope in rows)

    # ---- to be looked at

    def speakers(self, person: str) -> frozenset[str]:
        """Return the kiosks that said something of a person; none where the person is not the fleet's."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT origin FROM fleet_document WHERE person = ?", (person,)).fetchall()
        return frozenset(origin for (origin,) in rows)

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

"""The fleet's side of a store: what arrived becomes people, what was done here waits to be sent.

One fetch is one transaction: documents, people, log records and the position up to which was read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiosk.store import outbox, subject_rows
from kiosk.store.chain import Kind
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.capture import capture
from kiosk.store.fleet.document import digest
from kiosk.store.fleet.document_rows import CURSOR, ME, SINCE, VERSION
from kiosk.store.fleet.duplicates import COMPARED
from kiosk.store.fleet.holding import SORTING, read_door, write_door
from kiosk.store.fleet.hubs import Hubs
from kiosk.store.fleet.orders import Orders
from kiosk.store.fleet.people import ForgedError, check
from kiosk.store.fleet.taking import Arrived, Taking

if TYPE_CHECKING:
    from kiosk.store.store import Store

TABLES = (
    *("document", "envelope", "parked", "position", "roster", "health"),
    *("wanted", "duplicate", "order", "head"),
)
SORTED = 50  # people checked against another door in one transaction
MOST_PARKED = 100_000  # documents that wait for a key or a signer; `kiosk fleet resync` reads those beyond again


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


_PARKED = "person, origin, envelope, why"


class Shared:
    """The fleet's side of one store. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._store, self._vault = store, store.vault
        self._taking, self.hubs, self.orders = Taking(store), Hubs(store), Orders(store)

    # ---- membership

    def me(self) -> str | None:
        """Return the name of this kiosk in its fleet; None where it is in none."""
        with self._store.database.read() as connection:
            return document_rows.value(connection, ME)

    def begin(self, me: str) -> None:
        """Be a kiosk of a fleet: everybody who is here is said to it."""
        with self._store.transaction() as transaction:
            connection = transaction.connection
            outbox.supersede_all(connection, outbox.FLEET, "of before this kiosk asked to join")
            document_rows.put(connection, ME, me)
            document_rows.put(connection, CURSOR, document_rows.newest_change(connection))
            for (number,) in connection.execute("SELECT session_number FROM subject ORDER BY 1").fetchall():
                subject_rows.touch(connection, number)  # taken up as the transaction ends
            transaction.record(Kind.SETTINGS, details={"fleet": "begun", "kiosk": me}, actor="fleet")

    def end(self) -> None:
        """Be a kiosk alone again; the people who are here stay, and no other owner reads what was decided."""
        with self._store.transaction() as transaction:
            connection = transaction.connection
            for table in TABLES:
                connection.execute(f"DELETE FROM fleet_{table}")
            for name in (ME, CURSOR, VERSION, SINCE, SORTING, COMPARED):
                connection.execute("DELETE FROM kiosk WHERE name = ?", (name,))
            write_door(connection, self._vault, None)
            outbox.supersede_all(connection, outbox.FLEET, "this kiosk left the fleet")
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
            kept: by former kiosk, the fingerprints of what was accepted last; None: not known, so everything stays.
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
            for table in ("health", "head"):  # of kiosks that are gone: nobody corrects it any more
                connection.executemany(f"DELETE FROM fleet_{table} WHERE kiosk = ?", [(origin,) for origin in kept])
            for origin, digests in kept.items():
                if digests is not None:
                    self._taking.drop(transaction, origin, frozenset(digests), key)
            transaction.record(Kind.SETTINGS, details={"fleet_roster": number}, actor="fleet")
        return True

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
        people = forgotten = erased = 0
        refused: list[str] = []
        with self._store.transaction() as transaction:
            connection = transaction.connection
            capture(connection, self._vault)  # what was done here has not seen what arrives now
            door = read_door(connection, self._vault)
            sizes = dict(connection.execute("SELECT digest, dimensions FROM model").fetchall())
            for one in arrived:
                try:
                    check(one.document, sizes)
                except ForgedError as error:
                    refused.append(f"{one.origin}: {error}")
                else:
                    by_person.setdefault(one.person, []).append(one)
            for person, documents in by_person.items():
                change = self._taking.take(transaction, person, documents, door)
                people += change is not None
                forgotten += change == "forgotten"
                erased += change in {"forgotten", "gone"}
            (waits,) = connection.execute("SELECT count(*) FROM fleet_parked").fetchone()
            room = max(0, MOST_PARKED - waits)
            if len(parked) > room:
                refused.append(f"{len(parked) - room} documents that cannot be opened yet: too many of them wait")
            for waiting in parked[:room]:
                connection.execute(
                    "INSERT INTO fleet_parked (person, origin, envelope, why) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (person, origin) DO UPDATE SET envelope = excluded.envelope, why = excluded.why"
                    " WHERE substr(excluded.envelope, 9, 8) >= substr(envelope, 9, 8)",  # the version, as in taking.py
                    (waiting.person, waiting.origin, waiting.envelope, waiting.why),
                )
            if source is not None:
                connection.execute(
                    "INSERT INTO fleet_position (source, seq, sent) VALUES (?, ?, 0)"
                    " ON CONFLICT (source) DO UPDATE SET seq = max(seq, excluded.seq)",
                    (source, seq),
                )
            document_rows.put(connection, CURSOR, document_rows.newest_change(connection))
        if erased:
            self._store.people.erasures.prove()
        return Applied(people, forgotten, tuple(refused))

    # ---- who is held

    def take_door(self, groups: Collection[str] | None, *, revision: int) -> bool:
        """Let other groups of people through this kiosk's door, at once; `sort_people` then holds whom it wants.

        Args:
            groups: of the owner's policy; None: everybody, as there is none.
            revision: of the policy, for the log.

        Returns:
            False where it was so already.
        """
        with self._store.transaction() as transaction:
            connection = transaction.connection
            if read_door(connection, self._vault) == (None if groups is None else frozenset(groups)):
                return False
            write_door(connection, self._vault, groups)
            document_rows.put(connection, SORTING, "")
            transaction.record(Kind.SETTINGS, details={"fleet_policy": revision}, actor="fleet")
        return True

    def sort_people(self) -> int:
        """Hold whom the door wants, and let go of others, where that is not done; return how many were looked at."""
        looked = 0
        while people := self._sort_some():
            looked += people
        if looked:
            self._store.people.erasures.prove()
        return looked

    def _sort_some(self) -> int:
        """Look at some people in a transaction of their own: a decision at the door waits for no more."""
        with self._store.database.read() as connection:
            if document_rows.value(connection, SORTING) is None:
                return 0
        with self._store.transaction() as transaction:
            connection = transaction.connection
            last = document_rows.value(connection, SORTING)
            people = connection.execute(
                "SELECT DISTINCT person FROM fleet_document WHERE person > ? ORDER BY person LIMIT ?", (last, SORTED)
            ).fetchall()
            door = read_door(connection, self._vault)
            for (person,) in people:
                self._taking.sort(transaction, person, door)
            if people:
                document_rows.put(connection, SORTING, people[-1][0])
            else:
                connection.execute("DELETE FROM kiosk WHERE name = ?", (SORTING,))
        return len(people)

    def wanted(self) -> tuple[str, ...]:
        """Return people of whom all that was said is to be read again."""
        with self._store.database.read() as connection:
            rows = connection.execute("SELECT person FROM fleet_wanted ORDER BY person").fetchall()
        return tuple(person for (person,) in rows)

    def unwant(self, people: Iterable[str]) -> None:
        """Want nothing more of people of whom nothing that was read again is believed."""
        with self._store.database.write() as connection:
            connection.executemany(
                "DELETE FROM fleet_wanted WHERE person = ?"
                " AND NOT EXISTS (SELECT 1 FROM fleet_document WHERE person = fleet_wanted.person)"
                " AND NOT EXISTS (SELECT 1 FROM fleet_parked WHERE person = fleet_wanted.person)",
                [(person,) for person in people],
            )

    # ---- what waits

    def parked(self) -> tuple[Parked, ...]:
        """Return what could not be opened yet."""
        with self._store.database.read() as connection:
            return tuple(Parked(*row) for row in connection.execute(f"SELECT {_PARKED} FROM fleet_parked"))

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
            return document_rows.speakers(connection, person)

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

"""Passages of people through this door, with a keyed check of each row; corrections are rows of their own.

So is what another kiosk of the fleet tells of; where it comes late, after a newer one, it is kept for lists alone and
says nothing of where the person is now.

They are for whoever asks who is inside, and for lists of working hours: session_numbers, times, a direction and the
record that let them through. They go with their person, and with the log's old records.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kiosk.errors import StoreError
from kiosk.rules.passage import Direction
from kiosk.store.subject_rows import damaged, next_id, nobody
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from kiosk.store.database import Database
    from kiosk.store.decision_log import Transaction
    from kiosk.store.vault import Vault
    from kiosk.types import SubjectId

LONGEST_KEY = 100
LAST_S = 1e11  # s UTC, of what may be a time
_CHECKED = struct.Struct(">qqd?")
_COLUMNS = "id, subject, direction, at, request_id, corrected_by, row_check"
FLEET, LATE = "fleet:", "fleet-late:"  # before the kiosk's name, as who says so
_NOT_LATE = f"corrected_by NOT LIKE '{LATE}%'"
_OWN = "corrected_by NOT LIKE 'fleet%'"
_LAST = f"SELECT {_COLUMNS} FROM passage WHERE id IN (SELECT max(id) FROM passage WHERE {_NOT_LATE} GROUP BY subject)"


@dataclass(frozen=True, slots=True)
class Passage:
    """One person, one way, once."""

    number: SubjectId
    direction: Direction
    at: float  # s UTC
    request_id: str  # of the decision; empty for a correction
    corrected_by: str = ""  # whose word it is, where nobody was seen
    corrected_at: float | None = field(default=None, compare=False)  # s UTC, where the log speaks against `at`

    @property
    def counted_at(self) -> float:
        """When it was, s UTC, as far as is known now; inf where no clock that is trusted has said so yet."""
        return self.at if self.corrected_at is None else self.corrected_at


@dataclass(frozen=True, slots=True)
class OwnPassage:
    """A passage of this kiosk, for the others of its fleet."""

    row: int
    person: str  # session_id
    direction: Direction
    at: float | None  # s UTC; None where no clock that is trusted has said so
    request_id: str

    def key(self, kiosk: str) -> str:
        """Return what tells it from every other passage of the fleet."""
        return self.request_id or f"{kiosk}:{self.row}:{0 if self.at is None else round(self.at)}"


@dataclass(frozen=True, slots=True)
class ToldPassage:
    """A passage that another kiosk tells of."""

    key: str
    person: str  # session_id
    direction: Direction
    at: float | None  # s UTC

    def __post_init__(self) -> None:
        """Refuse what is no passage."""
        if not (0 < len(self.key) <= LONGEST_KEY and 0 < len(self.person) <= LONGEST_KEY):
            raise ValueError("want a key and a person")
        if self.at is not None and not 0.0 <= self.at < LAST_S:
            raise ValueError("want a time")


class PassageStore:
    """The passages of one store; `Store.passages` is it."""

    def __init__(
        self, database: Database, vault: Vault, transaction: Callable[[], AbstractContextManager[Transaction]]
    ) -> None:
        self._database, self._vault, self._transaction = database, vault, transaction

    def note(self, passage: Passage) -> None:
        """Keep a passage.

        Raises:
            StoreError: nobody has this number, or the store takes nothing.
        """
        with self._transaction() as transaction:
            connection = transaction.connection
            found = connection.execute("SELECT 1 FROM subject WHERE session_number = ?", (passage.number,)).fetchone()
            if found is None:
                raise nobody(passage.number)
            self._insert(connection, passage)

    def _insert(self, connection: sqlite3.Connection, passage: Passage) -> None:
        row = next_id(connection, "passage")
        connection.execute(
            f"INSERT INTO passage ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                row,
                passage.number,
                passage.direction.value,
                passage.at,
                passage.request_id,
                passage.corrected_by,
                check_of(self._vault, row, passage),
            ),
        )

    # ---- across the kiosks of a fleet

    def newest_own(self) -> int:
        """Return the number of this kiosk's newest passage; 0 where there is none."""
        with self._database.read() as connection:
            found = connection.execute(f"SELECT id FROM passage WHERE {_OWN} ORDER BY id DESC LIMIT 1").fetchone()
            return 0 if found is None else int(found[0])

    def has_own(self, row: int, key: str, kiosk: str) -> bool:
        """Say whether a passage of this kiosk is the one that it told of; not where the store was put back since."""
        with self._database.read() as connection:
            return any(one.key(kiosk) == key for one in self._own(connection, row - 1, 0.0, 1) if one.row == row)

    def own_after(self, row: int, since: float, limit: int) -> tuple[OwnPassage, ...]:
        """Return this kiosk's passages after a row, and since a time, s UTC, the first one first."""
        with self._database.read() as connection:
            return tuple(self._own(connection, row, since, limit))

    def _own(self, connection: sqlite3.Connection, row: int, since: float, limit: int) -> Iterator[OwnPassage]:
        columns = ", ".join(f"passage.{one}" for one in _COLUMNS.split(", "))
        rows = connection.execute(
            f"SELECT {columns} FROM passage WHERE id > ? AND at >= ? AND {_OWN} ORDER BY id LIMIT ?",
            (row, since, limit),
        ).fetchall()
        for found in rows:
            (passage,) = (_counted(connection, one) for one in _read(iter([found]), self._vault))
            (person,) = connection.execute(
                "SELECT session_id FROM subject WHERE session_number = ?", (passage.number,)
            ).fetchone()
            at = passage.counted_at if math.isfinite(passage.counted_at) else None
            yield OwnPassage(found[0], person, passage.direction, at, passage.request_id)

    def hear(
        self, told: Sequence[ToldPassage], *, by: str, now: float, is_clock_trusted: bool = True
    ) -> frozenset[str]:
        """Keep what another kiosk tells of, each once.

        Args:
            told: in the order in which it was.
            by: the kiosk's name.
            now: s UTC; when it was, where nobody knows, and at the latest: what a clock that is years ahead says would
                put away everything after it.
            is_clock_trusted: whether that can be believed.

        Returns:
            Who is not held here, by session_id.

        Raises:
            StoreError: the store takes nothing, or a row of somebody's was changed or damaged.
        """
        missing = set()
        with self._transaction() as transaction:
            connection = transaction.connection
            for one in told:
                found = connection.execute(
                    "SELECT session_number FROM subject WHERE session_id = ?", (one.person,)
                ).fetchone()
                if found is None:
                    missing.add(one.person)
                    continue
                known = connection.execute(
                    "SELECT 1 FROM passage WHERE subject = ? AND request_id = ?", (found[0], one.key)
                )
                if known.fetchone() is not None:
                    continue
                at = now if one.at is None else min(one.at, now) if is_clock_trusted else one.at
                last = next(
                    (
                        _counted(connection, other)
                        for other in _read(
                            connection.execute(
                                f"SELECT {_COLUMNS} FROM passage WHERE subject = ? AND {_NOT_LATE}"
                                " ORDER BY id DESC LIMIT 1",
                                (found[0],),
                            ),
                            self._vault,
                        )
                    ),
                    None,
                )
                is_late = last is not None and one.at is not None and at < last.counted_at
                says = f"{LATE if is_late else FLEET}{by}"
                self._insert(connection, Passage(found[0], one.direction, at, one.key, says))
        return frozenset(missing)

    def last(self, number: SubjectId) -> Passage | None:
        """Return a person's last passage."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM passage WHERE subject = ? AND {_NOT_LATE} ORDER BY id DESC LIMIT 1", (number,)
            )
            return next((_counted(connection, one) for one in _read(rows, self._vault)), None)

    def inside(self) -> tuple[Passage, ...]:
        """Return the last passage of everybody whose last one was inward, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(f"{_LAST} AND direction = 'in' ORDER BY at DESC")
            return tuple(_counted(connection, one) for one in _read(rows, self._vault))

    def page(self, start: float, end: float, *, limit: int, offset: int) -> tuple[int, tuple[Passage, ...]]:
        """Return how many passages there are from a time to before another, s UTC, and a page of them."""
        span = "FROM passage WHERE at >= ? AND at < ?"
        with self._database.read() as connection:
            (total,) = connection.execute(f"SELECT count(*) {span}", (start, end)).fetchone()
            rows = connection.execute(
                f"SELECT {_COLUMNS} {span} ORDER BY subject, at, id LIMIT ? OFFSET ?", (start, end, limit, offset)
            )
            return total, tuple(_read(rows, self._vault))

    def between(self, start: float, end: float) -> tuple[Passage, ...]:
        """Return the passages from a time to before another, s UTC, by person and time."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM passage WHERE at >= ? AND at < ? ORDER BY subject, at, id", (start, end)
            )
            return tuple(_read(rows, self._vault))


def passages_of(connection: sqlite3.Connection, vault: Vault, number: SubjectId) -> tuple[Passage, ...]:
    """Return all passages of a person, the first one first, within the caller's transaction."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM passage WHERE subject = ? ORDER BY id", (number,))
    return tuple(_read(rows, vault))


def move(connection: sqlite3.Connection, vault: Vault, goes: SubjectId, stays: SubjectId) -> None:
    """Give somebody's passages to whoever turned out to be the same person: who is inside stays so.

    Raises:
        StoreError: a row was changed or damaged.
    """
    found = connection.execute(f"SELECT {_COLUMNS} FROM passage WHERE subject = ? ORDER BY id", (goes,)).fetchall()
    checks = [
        check_of(vault, row, replace(passage, number=stays))
        for (row, *_), passage in zip(found, _read(iter(found), vault), strict=True)
    ]
    connection.executemany(
        "UPDATE passage SET subject = ?, row_check = ? WHERE id = ?",
        [(stays, check, row) for check, (row, *_) in zip(checks, found, strict=True)],
    )


def _read(rows: Iterable[tuple[Any, ...]], vault: Vault) -> Iterator[Passage]:
    for row, number, direction, at, request_id, corrected_by, check in rows:
        passage = Passage(number, Direction(direction), at, request_id, corrected_by)
        if check_of(vault, row, passage) != check:
            raise damaged(f"passage {row}")
        yield passage


def _counted(connection: sqlite3.Connection, passage: Passage) -> Passage:
    """Put right what a passage's clock said, by the log; a correction has no record, and is believed.

    Whoever entered by an unsynchronised clock, in 1970 or a year ahead, has been inside since before the first
    good time after it, and whoever entered before the clock went back since before that.
    """
    row = connection.execute(
        "SELECT seq, json_extract(record, '$.clock') FROM log WHERE request_id = ? AND request_id != ''",
        (passage.request_id,),
    ).fetchone()
    if row is None:
        return passage
    seq, clock = row
    if clock == ClockState.UNTRUSTED.value:
        later = connection.execute(
            "SELECT at FROM log WHERE seq > ? AND json_extract(record, '$.clock') != ? ORDER BY seq LIMIT 1",
            (seq, clock),
        ).fetchone()
        return replace(passage, corrected_at=math.inf if later is None else later[0])
    newest = connection.execute("SELECT at FROM log ORDER BY seq DESC LIMIT 1").fetchone()[0]
    if newest < passage.at:
        later = connection.execute(
            "SELECT at FROM log WHERE seq > ? AND at < ? ORDER BY seq LIMIT 1", (seq, passage.at)
        ).fetchone()
        return replace(passage, corrected_at=None if later is None else later[0])
    return passage


def check_of(vault: Vault, row: int, passage: Passage) -> bytes:
    """Return the keyed check of a row."""
    numbers = _CHECKED.pack(row, passage.number, passage.at, passage.direction is Direction.IN)
    return vault.mac(numbers + f"{passage.request_id}\0{passage.corrected_by}".encode())


def faults(connection: sqlite3.Connection, vault: Vault) -> Iterator[str]:
    """Yield which rows were changed or damaged."""
    for row, number, direction, at, request_id, corrected_by, check in connection.execute(
        f"SELECT {_COLUMNS} FROM passage"
    ):
        passage = Passage(number, Direction(direction), at, request_id, corrected_by)
        if check_of(vault, row, passage) != check:
            yield f"passage {row} was changed or damaged"


def reseal(connection: sqlite3.Connection, old: Vault, new: Vault) -> None:
    """Check every row by another key from now on; raises StoreError where one was changed or damaged."""
    for fault in faults(connection, old):
        raise StoreError(f"{fault}; run `kiosk store repair`")
    for row, number, direction, at, request_id, corrected_by, _ in connection.execute(
        f"SELECT {_COLUMNS} FROM passage"
    ).fetchall():
        passage = Passage(number, Direction(direction), at, request_id, corrected_by)
        connection.execute("UPDATE passage SET row_check = ? WHERE id = ?", (check_of(new, row, passage), row))


def drop_older(connection: sqlite3.Connection, before: float) -> int:
    """Delete passages before a time, s UTC, whose record is gone too; return how many.

    One of 1970, by an unsynchronised clock, is not old because the clock was set since.
    """
    return connection.execute(
        "DELETE FROM passage WHERE at < ? AND NOT EXISTS"
        " (SELECT 1 FROM log WHERE log.request_id = passage.request_id AND passage.request_id != '')",
        (before,),
    ).rowcount

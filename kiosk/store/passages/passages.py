"""Passages of people through this door, with a keyed check of each row; corrections are rows of their own.

They are for whoever asks who is inside, and for lists of working hours: session_numbers, times, a direction and the
record that let them through. They go with their person, and with the log's old records.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kiosk.errors import StoreError
from kiosk.rules.passage import Direction
from kiosk.store.subject_rows import damaged, next_id, nobody
from kiosk.types import ClockState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from kiosk.store.database import Database
    from kiosk.store.decision_log import Transaction
    from kiosk.store.vault import Vault
    from kiosk.types import SubjectId

_CHECKED = struct.Struct(">qqd?")
_COLUMNS = "id, subject, direction, at, request_id, corrected_by, row_check"
_LAST = f"SELECT {_COLUMNS} FROM passage WHERE id IN (SELECT max(id) FROM passage GROUP BY subject)"


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

    def last(self, number: SubjectId) -> Passage | None:
        """Return a person's last passage."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM passage WHERE subject = ? ORDER BY id DESC LIMIT 1", (number,)
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


def _read(rows: sqlite3.Cursor, vault: Vault) -> Iterator[Passage]:
    for row, number, direction, at, request_id, corrected_by, check in rows:
        passage = Passage(number, Direction(direction), at, request_id, corrected_by)
        if check_of(vault, row, passage) != check:
            raise damaged(f"passage {row}")
        yield passage


def _counted(connection: sqlite3.Connection, passage: Passage) -> Passage:
    """Put right what a passage's clock said, by the log; a correction has no record, and is believed.

    Whoever entered by a clock that nobody vouched for, in 1970 or a year ahead, has been inside since before the first
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

    One of 1970, by a clock that nobody vouched for, is not old because the clock was set since.
    """
    return connection.execute(
        "DELETE FROM passage WHERE at < ? AND NOT EXISTS"
        " (SELECT 1 FROM log WHERE log.request_id = passage.request_id AND passage.request_id != '')",
        (before,),
    ).rowcount

"""What a search needs, made ready for the next start: a thousand people's flags, or references' codes, sealed as one.

To open a million templates and check a million rows one by one takes ten seconds; a thousand blocks take a tenth. A
block is a copy and never more: no score comes from it (`search.py` fetches the vectors from their rows), and where it
does not hold, its rows are read.

Who keeps a block true:
  - Triggers. A row that comes, goes or changes takes its block along, in its own transaction, whoever writes. So
    whoever is forgotten is in no block any more, and secure_delete zeroes the block's bytes.
  - The seal. A block opens with this store's key, in its own place, as what it is (`_FORM`) and of its model only.
  - The log. A block names the newest record as it was made. An act about one of its people since then, which the
    signed log tells, makes it old, even if somebody put the file's older bytes back.
  - The sums. Rows and blocks together must have as many rows, and the same sums of numbers, as the tables.

Only ranges that no new row can come into have a block; the newest rows are read one by one. `build` runs nightly.
"""

from __future__ import annotations

import struct
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from kiosk.gallery.codes import Coded, encode
from kiosk.store import subject_rows
from kiosk.store.chain import Kind
from kiosk.store.subjects import CodedReferences, Members
from kiosk.store.vault import InvalidTag

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from kiosk.store.database import Database
    from kiosk.store.vault import Vault

SHIFT = 10
ROWS = 1 << SHIFT  # numbers in a block's range: forgetting one person costs the next start so many rows
PAUSE_S = 0.02  # between two blocks built, for whoever waits to write
_FORM = 1  # of a block's bytes and of the codes in them; another number, and older blocks do not open
_CODES_HEAD = struct.Struct("<qqddd")  # rows, features, slant, shortest, longest
_FLAGS_HEAD = struct.Struct("<qq")  # rows, the log's newest record
_LATER = "SELECT kind FROM log INDEXED BY log_person WHERE session_number >= ? AND session_number < ? AND seq > ?"
_ABOUT_PEOPLE = frozenset(
    kind.value
    for kind in (Kind.ENROL, Kind.PATCH, Kind.BLOCK, Kind.UNBLOCK, Kind.ALLOW, Kind.DISALLOW, Kind.REVIEW, Kind.FORGET)
)
_COLUMNS = (np.int64, np.bool_, np.bool_, np.uint8, np.float64, np.float64)  # of Members


def number_of(row: int) -> int:
    """Return the number of the block that a reference or a person belongs to."""
    return row >> SHIFT


def range_of(number: int) -> tuple[int, int]:
    """Return the first number of a block's range and the first behind it."""
    return number << SHIFT, (number + 1) << SHIFT


def numbers(connection: sqlite3.Connection, model: str) -> list[int]:
    """Return which blocks of references of a model there are."""
    rows = connection.execute(
        "SELECT number FROM reference_block WHERE model = (SELECT id FROM model WHERE digest = ?) ORDER BY number",
        (model,),
    )
    return [number for (number,) in rows]


def codes(connection: sqlite3.Connection, vault: Vault, model: str, number: int) -> CodedReferences | None:
    """Return a block of references; None where there is none, or it does not open."""
    row = connection.execute(
        "SELECT sealed FROM reference_block WHERE number = ? AND model = (SELECT id FROM model WHERE digest = ?)",
        (number, model),
    ).fetchone()
    if row is None:
        return None
    if (plain := _opened(vault, row[0], _codes_context(model, number))) is None:
        return None
    count, depth, slant, shortest, longest = _CODES_HEAD.unpack_from(plain)
    ids, subjects, inverse, rest = _columns(plain, _CODES_HEAD.size, count, (np.int64, np.int64, np.float32))
    matrix = np.frombuffer(plain, np.int8, count * depth, rest).reshape(count, depth)
    return CodedReferences(ids, subjects, Coded(matrix, inverse, slant, shortest, longest))


def flags(connection: sqlite3.Connection, vault: Vault, number: int) -> Members | None:
    """Return a block of people; None where there is none, it does not open, or the log has overtaken it."""
    row = connection.execute("SELECT sealed FROM subject_block WHERE number = ?", (number,)).fetchone()
    if row is None:
        return None
    if (plain := _opened(vault, row[0], _flags_context(number))) is None:
        return None
    count, made_seq = _FLAGS_HEAD.unpack_from(plain)
    begin, end = range_of(number)
    later = connection.execute(_LATER, (begin, end, made_seq)).fetchall()
    if any(kind in _ABOUT_PEOPLE for (kind,) in later):
        return None
    return Members(*_columns(plain, _FLAGS_HEAD.size, count, _COLUMNS)[:-1])


def build(
    database: Database,
    vault: Vault,
    models: list[str],
    *,
    rest: Callable[[], None] = lambda: time.sleep(PAUSE_S),  # the kiosk, another process, has the disk meanwhile
) -> int:
    """Make the blocks that are missing or do not hold, one short transaction each; return how many.

    Args:
        database: in use, perhaps.
        vault: of the store.
        models: digests of those whose references there are.
        rest: called between two.

    Raises:
        StoreError: a row is damaged, or the disk is full; what was made so far stays.
    """
    made = 0
    with database.read() as connection:
        people = _complete(connection, "subject")
        references = _complete(connection, "reference")
    for number in range(people):
        with database.read() as connection:
            is_there = flags(connection, vault, number) is not None
        if not is_there:
            with database.write() as connection:
                made += _build_flags(connection, vault, number)
            rest()
    for model in models:
        for number in range(references):
            with database.read() as connection:
                is_there = codes(connection, vault, model, number) is not None
            if not is_there:
                with database.write() as connection:
                    is_built = _build_codes(connection, vault, model, number)
                if is_built:
                    made += 1
                    rest()
    return made


def _complete(connection: sqlite3.Connection, table: str) -> int:
    """Return the number of ranges into which no new row can come."""
    return subject_rows.next_id(connection, table) >> SHIFT


def _build_flags(connection: sqlite3.Connection, vault: Vault, number: int) -> bool:
    found = subject_rows.members_between(connection, vault, *range_of(number))
    newest = connection.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()[0]
    columns = zip(fields(Members), _COLUMNS, strict=True)
    parts = [getattr(found, column.name).astype(kind).tobytes() for column, kind in columns]
    plain = _FLAGS_HEAD.pack(len(found.session_numbers), newest) + b"".join(parts)
    connection.execute(
        "INSERT OR REPLACE INTO subject_block (number, sealed) VALUES (?, ?)",
        (number, vault.seal(plain, _flags_context(number))),
    )
    return True


def _build_codes(connection: sqlite3.Connection, vault: Vault, model: str, number: int) -> bool:
    found = subject_rows.references_between(connection, vault, model, *range_of(number), limit=ROWS)
    if found is None:  # nobody is left in this range: there is nothing to make ready
        return False
    coded = encode(found.vectors)
    head = _CODES_HEAD.pack(*coded.codes.shape, coded.slant, coded.shortest, coded.longest)
    parts = (found.ids, found.subjects, coded.inverse, coded.codes)
    plain = head + b"".join(part.tobytes() for part in parts)
    connection.execute(
        "INSERT OR REPLACE INTO reference_block (model, number, sealed)"
        " VALUES ((SELECT id FROM model WHERE digest = ?), ?, ?)",
        (model, number, vault.seal(plain, _codes_context(model, number))),
    )
    return True


def _opened(vault: Vault, sealed: bytes, context: bytes) -> bytes | None:
    try:
        return vault.open(sealed, context)
    except (InvalidTag, ValueError):  # a ValueError: not even a nonce is left
        return None


def _columns(plain: bytes, at: int, count: int, kinds: tuple[Any, ...]) -> list[Any]:
    """Read columns of `count` values that lie one behind the other; last, where they end."""
    found: list[Any] = []
    for kind in kinds:
        found.append(np.frombuffer(plain, kind, count, at))
        at += count * np.dtype(kind).itemsize
    return [*found, at]


def _codes_context(model: str, number: int) -> bytes:
    return f"reference_block|{_FORM}|{model}|{number}".encode()


def _flags_context(number: int) -> bytes:
    return f"subject_block|{_FORM}|{number}".encode()

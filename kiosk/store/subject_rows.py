"""People, references and images as rows: written and read inside the caller's transaction.

Clear columns (lists, status, dates) carry a keyed check, `row_check`, so that a flipped bit or an
edited flag shows when they are read. It covers the tag of the sealed details too, so neither half
of a row can be put back to an older state alone.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from kiosk.errors import ModelMismatchError, StoreError
from kiosk.store import schema
from kiosk.store.subjects import (
    Details,
    Enrolment,
    Members,
    References,
    Subject,
    SubjectFilter,
    document_lookup,
    pack_details,
    unpack_details,
    vendor_lookup,
)
from kiosk.store.vault import TAG_BYTES, InvalidTag, Vault
from kiosk.types import Status, SubjectId, Template

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

_NUMBERS = struct.Struct(">qdBBdddHBB")
_NAN = float("nan")  # stands for an open date
NUMBER_DIGITS = 18  # a decimal number that surely fits 64 bits
IN_ROWS = 500  # values of one IN (...): well under SQLite's oldest limit of 999
CLEAR = (
    "session_number, session_id, verification_date, status, is_blocklisted, is_allowlisted, "
    "source, external_id, valid_from, valid_until, retention_until, vendor_lookup, document_lookup"
)
_COUNTS = (
    "(SELECT count(*) FROM reference WHERE subject = session_number), "
    "(SELECT count(*) FROM image WHERE subject = session_number)"
)
LARGEST_ROW = 2**63 - 1  # SQLite's; a larger number is an OverflowError of Python's, before anybody is asked
_ALL = f"SELECT {CLEAR}, details, row_check, {_COUNTS} FROM subject"
_MEMBERS = f"SELECT {CLEAR}, details, row_check FROM subject"
_STATUS_PLACE = {status.value: place for place, status in enumerate(Status)}


def nobody(number: SubjectId) -> StoreError:
    """Return the error for a session_number that nobody has."""
    return StoreError(f"nobody has session_number {number}")


def damaged(what: str) -> StoreError:
    """Return the error for a row that does not open or whose check is wrong."""
    return StoreError(f"{what} was changed or damaged; run `kiosk store repair`")


def unseal(vault: Vault, sealed: bytes, table: str, row: int) -> bytes:
    """Open a sealed column, or say which row is damaged."""
    try:
        return vault.open(sealed, schema.row_context(table, row))
    except InvalidTag as error:
        raise damaged(f"{table} {row}") from error


def check_of(vault: Vault, clear: tuple[Any, ...], details: bytes) -> bytes:
    """Return the keyed check of a person's row: the columns of `CLEAR` and the tag of the details."""
    (
        number,
        session_id,
        date,
        status,
        blocked,
        allowed,
        source,
        external,
        begin,
        end,
        until,
        vendor,
        document,
    ) = clear
    texts = f"{session_id}\0{status}\0{source}\0{external}".encode()
    vendor, document = vendor or b"", document or b""
    numbers = _NUMBERS.pack(
        number,
        date,
        blocked,
        allowed,
        _NAN if begin is None else begin,
        _NAN if end is None else end,
        until,
        len(texts),
        len(vendor),
        len(document),
    )  # with the lengths, no two rows give the same bytes
    return vault.mac(numbers + texts + vendor + document + details[-TAG_BYTES:])


def next_id(connection: sqlite3.Connection, table: str) -> int:
    """Return the id of the next row: a value is sealed to its row, so it is needed before."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return (found[0] if found else 0) + 1


def skip_to(connection: sqlite3.Connection, number: SubjectId) -> None:
    """Never give out a session_number up to this one: it was given in a log now lost."""
    if number >= next_id(connection, "subject"):
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'subject'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('subject', ?)", (number,))


def touch(connection: sqlite3.Connection, number: SubjectId, origin: str | None = None) -> None:
    """Tell other processes to look at a person again; `origin` says what brought it where it was no act here."""
    connection.execute("INSERT INTO change (subject, origin) VALUES (?, ?)", (number, origin))


def changes_kept(connection: sqlite3.Connection) -> tuple[int | None, int]:
    """Return the numbers of the first and the newest change that are kept; None and 0 where none is.

    Each is asked for by itself: asked for both in one SELECT, SQLite reads the whole table, 60 ms for a million people.
    """
    first, newest = connection.execute(
        "SELECT (SELECT min(version) FROM change), (SELECT coalesce(max(version), 0) FROM change)"
    ).fetchone()
    return first, newest


def insert(
    connection: sqlite3.Connection,
    vault: Vault,
    enrolment: Enrolment,
    *,
    session_id: str,
    now: float,
    retention_until: float,
    origin: str | None = None,
) -> Subject:
    """Store a person with references and images; `origin` as `touch` takes it."""
    date = enrolment.verification_date
    subject = Subject(
        session_number=next_id(connection, "subject"),
        session_id=session_id,
        verification_date=float(now if date is None else date),
        status=enrolment.status,
        is_blocklisted=enrolment.is_blocklisted,
        is_allowlisted=enrolment.is_allowlisted,
        source=enrolment.source,
        external_id=enrolment.external_id,
        valid_from=_float(enrolment.valid_from),
        valid_until=_float(enrolment.valid_until),
        retention_until=float(retention_until),
        references=len(enrolment.templates),
        images=len(enrolment.images),
        details=enrolment.details,
    )
    values = _values(vault, subject)
    connection.execute(f"INSERT INTO subject ({CLEAR}, details, row_check) VALUES ({_marks(values)})", values)
    unknown: list[float | None] = [None] * len(enrolment.templates)
    qualities = enrolment.qualities or unknown
    for template, quality in zip(enrolment.templates, qualities, strict=True):
        insert_reference(connection, vault, subject.session_number, template, quality=quality, now=now)
    for image in enrolment.images:
        insert_image(connection, vault, subject.session_number, image, now)
    touch(connection, subject.session_number, origin)
    return subject


def update(connection: sqlite3.Connection, vault: Vault, subject: Subject, origin: str | None = None) -> None:
    """Write a person's row anew; `origin` as `touch` takes it."""
    values = _values(vault, subject)
    connection.execute(
        f"UPDATE subject SET ({CLEAR}, details, row_check) = ({_marks(values)}) WHERE session_number = ?",
        [*values, subject.session_number],
    )
    touch(connection, subject.session_number, origin)


def insert_reference(
    connection: sqlite3.Connection,
    vault: Vault,
    number: SubjectId,
    template: Template,
    *,
    quality: float | None,
    now: float,
) -> int:
    """Store one reference of a person; return its id.

    Raises:
        ModelMismatchError: this model's templates had another length so far.
    """
    vector = np.ascontiguousarray(template.vector, dtype="<f4")
    model = connection.execute("SELECT id, dimensions FROM model WHERE digest = ?", (template.model,)).fetchone()
    if model is None:
        model = connection.execute(
            "INSERT INTO model (digest, dimensions) VALUES (?, ?) RETURNING id, dimensions",
            (template.model, vector.size),
        ).fetchone()
    if model[1] != vector.size:
        raise ModelMismatchError(f"model {template.model} has templates of {model[1]} numbers, got {vector.size}")
    row = next_id(connection, "reference")
    context = schema.template_context(template.model)(row, number)
    connection.execute(
        "INSERT INTO reference (id, subject, model, template, quality, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (
            row,
            number,
            model[0],
            vault.seal(vector.tobytes(), context),
            _float(quality),
            float(now),
        ),
    )
    return row


def insert_image(connection: sqlite3.Connection, vault: Vault, number: SubjectId, jpeg: bytes, now: float) -> int:
    """Store one photograph of a person; return its id."""
    row = next_id(connection, "image")
    connection.execute(
        "INSERT INTO image (id, subject, jpeg, created_at) VALUES (?, ?, ?, ?)",
        (row, number, vault.seal(jpeg, schema.row_context("image", row)), float(now)),
    )
    return row


def images(connection: sqlite3.Connection, vault: Vault, number: SubjectId) -> tuple[bytes, ...]:
    """Return the photographs kept of a person, oldest first."""
    rows = connection.execute("SELECT id, jpeg FROM image WHERE subject = ? ORDER BY id", (number,)).fetchall()
    return tuple(unseal(vault, jpeg, "image", row) for row, jpeg in rows)


def read(connection: sqlite3.Connection, vault: Vault, number: SubjectId) -> Subject | None:
    """Return a person; None when nobody has this number."""
    if number > LARGEST_ROW:
        return None
    row = connection.execute(f"{_ALL} WHERE session_number = ?", (number,)).fetchone()
    return None if row is None else _subject(vault, row)


def find(connection: sqlite3.Connection, vault: Vault, text: str) -> tuple[Subject, ...]:
    """Return who has this session_number; where nobody has, who has this session_id or vendor_data.

    A number is a number: it never stands for a person whose vendor_data happens to look like one.
    """
    if not text.strip() or not _is_text(text):
        return ()
    if text.isdecimal():
        subject = read(connection, vault, int(text)) if len(text) <= NUMBER_DIGITS else None
        return () if subject is None else (subject,)
    rows = connection.execute(
        f"{_ALL} WHERE session_id = ? OR vendor_lookup = ? ORDER BY session_number",
        (text, vendor_lookup(vault, text)),
    ).fetchall()
    return tuple(_subject(vault, row) for row in rows)


def taken(connection: sqlite3.Connection, vault: Vault, enrolment: Enrolment) -> str | None:
    """Return which code of a person-to-be somebody has already; None where all are free."""
    vendor, document = enrolment.details.vendor_data, enrolment.details.document_number
    for word, wanted in (
        ("vendor_data", vendor and SubjectFilter(vendor_data=vendor)),
        ("document number", document and SubjectFilter(document_number=document)),
        ("external id", enrolment.external_id and SubjectFilter(external_id=enrolment.external_id)),
    ):
        if wanted and page(connection, vault, wanted, limit=1, offset=0)[0]:
            return word
    # A session_id is a code too; a number never stands for a vendor_data, see `find`.
    is_id = vendor and not vendor.isdecimal() and find(connection, vault, vendor)
    return "vendor_data" if is_id else None


def _is_text(text: str) -> bool:
    """Whether a text can be written down: half a surrogate pair, as a broken code may bring, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def page(
    connection: sqlite3.Connection,
    vault: Vault,
    wanted: SubjectFilter,
    *,
    limit: int,
    offset: int,
) -> tuple[int, tuple[Subject, ...]]:
    """Return how many people fit a filter, and one page of them in the order of enrolment."""
    where, values = _where(vault, wanted)
    total = connection.execute(f"SELECT count(*) FROM subject WHERE {where}", values).fetchone()[0]
    rows = connection.execute(
        f"{_ALL} WHERE {where} ORDER BY session_number LIMIT ? OFFSET ?", [*values, limit, offset]
    ).fetchall()
    return total, tuple(_subject(vault, row) for row in rows)


def _where(vault: Vault, wanted: SubjectFilter) -> tuple[str, list[object]]:
    terms = ["1"]
    values: list[object] = []
    for column, value in (
        ("is_blocklisted", wanted.is_blocklisted),
        ("is_allowlisted", wanted.is_allowlisted),
        ("status", None if wanted.status is None else wanted.status.value),
        ("source", wanted.source),
        ("external_id", wanted.external_id),
        ("vendor_lookup", vendor_lookup(vault, wanted.vendor_data)),
        ("document_lookup", document_lookup(vault, wanted.document_number)),
    ):
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if wanted.ends_by is not None:
        terms.append("(valid_until < ? OR retention_until < ?)")
        values += [wanted.ends_by, wanted.ends_by]
    return " AND ".join(terms), values


def details(
    connection: sqlite3.Connection, vault: Vault, numbers: Sequence[SubjectId] | None
) -> Iterator[tuple[SubjectId, Details]]:
    """Yield what is known of everyone, or of those asked for who are there; the clear columns are not looked at."""
    for number, sealed in _selected(
        connection, "SELECT session_number, details FROM subject", "session_number", numbers
    ):
        yield number, unpack_details(unseal(vault, sealed, "subject", number))


def numbers_where(connection: sqlite3.Connection, vault: Vault, wanted: SubjectFilter) -> frozenset[SubjectId]:
    """Return the numbers of all who fit a filter."""
    where, values = _where(vault, wanted)
    return frozenset(row[0] for row in connection.execute(f"SELECT session_number FROM subject WHERE {where}", values))


def members(connection: sqlite3.Connection, vault: Vault, numbers: Sequence[SubjectId] | None) -> Members:
    """Return what a search must know of everyone, or of those asked for who are there."""
    return _members(vault, _selected(connection, _MEMBERS, "session_number", numbers))


def members_between(connection: sqlite3.Connection, vault: Vault, begin: int, end: int) -> Members:
    """Return what a search must know of everyone whose number is `begin` or more and below `end`."""
    where = "WHERE session_number >= ? AND session_number < ? ORDER BY session_number"
    return _members(vault, connection.execute(f"{_MEMBERS} {where}", (begin, end)))


def _members(vault: Vault, selected: Iterable[tuple[Any, ...]]) -> Members:
    rows = []
    for found in selected:
        clear = found[:-2]
        if check_of(vault, clear, found[-2]) != found[-1]:
            raise damaged(f"subject {found[0]}")
        rows.append(
            (
                clear[0],
                clear[4],
                clear[5],
                _STATUS_PLACE[clear[3]],
                -np.inf if clear[8] is None else clear[8],
                np.inf if clear[9] is None else clear[9],
            )
        )
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * 6
    return Members(
        np.array(columns[0], np.int64),
        np.array(columns[1], np.bool_),
        np.array(columns[2], np.bool_),
        np.array(columns[3], np.uint8),
        np.array(columns[4], np.float64),
        np.array(columns[5], np.float64),
    )


def references_after(
    connection: sqlite3.Connection, vault: Vault, model: str, after: int, limit: int
) -> References | None:
    """Return the next references of a model after an id; None when there are no more."""
    return references_between(connection, vault, model, after + 1, (1 << 62), limit=limit)


def references_between(
    connection: sqlite3.Connection, vault: Vault, model: str, begin: int, end: int, *, limit: int
) -> References | None:
    """Return the first references of a model whose id is `begin` or more and below `end`; None when there are none."""
    rows = connection.execute(
        "SELECT id, subject, template FROM reference WHERE id >= ? AND id < ?"
        " AND model = (SELECT id FROM model WHERE digest = ?) ORDER BY id LIMIT ?",
        (begin, end, model, limit),
    ).fetchall()
    return _references(vault, rows, model) if rows else None


def references_where(
    connection: sqlite3.Connection,
    vault: Vault,
    model: str,
    column: str,
    values: Sequence[int],
) -> References:
    """Return the references of a model by "id" or by "subject", rising by id, each once."""
    rows = sorted(
        _selected(
            connection,
            "SELECT id, subject, template FROM reference WHERE model = (SELECT id FROM model WHERE digest = ?)",
            column,
            values,
            [model],
        )
    )
    return _references(vault, rows, model)


def _references(vault: Vault, rows: list[tuple[int, int, bytes]], model: str) -> References:
    context = schema.template_context(model)
    opened, row = vault.open, 0
    try:
        plain = []
        for row, subject, sealed in rows:  # the error below names the row
            plain.append(opened(sealed, context(row, subject)))
    except InvalidTag as error:
        raise damaged(f"reference {row}") from error
    vectors = np.frombuffer(b"".join(plain), "<f4").reshape(len(rows), -1 if rows else 0)
    return References(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        vectors,
    )


def _selected(
    connection: sqlite3.Connection,
    sql: str,
    column: str,
    values: Sequence[int] | None,
    before: Sequence[object] = (),
) -> Iterator[tuple[Any, ...]]:
    """Run `sql` for the rows whose column has one of the values, IN_ROWS at a time; None: all."""
    if values is None:
        yield from connection.execute(sql, before)  # by row id, as SQLite walks a table
        return
    unique = sorted({int(value) for value in values})
    word = "AND" if "WHERE" in sql else "WHERE"
    for start in range(0, len(unique), IN_ROWS):
        part = unique[start : start + IN_ROWS]
        yield from connection.execute(f"{sql} {word} {column} IN ({_marks(part)})", [*before, *part])


def _subject(vault: Vault, row: tuple[Any, ...]) -> Subject:
    *columns, details, check, references, image_count = row
    clear = tuple(columns)
    number = clear[0]
    if check_of(vault, clear, details) != check:
        raise damaged(f"subject {number}")
    return Subject(
        session_number=number,
        session_id=clear[1],
        verification_date=clear[2],
        status=Status(clear[3]),
        is_blocklisted=bool(clear[4]),
        is_allowlisted=bool(clear[5]),
        source=clear[6],
        external_id=clear[7],
        valid_from=clear[8],
        valid_until=clear[9],
        retention_until=clear[10],
        references=references,
        images=image_count,
        details=unpack_details(unseal(vault, details, "subject", number)),
    )


def _values(vault: Vault, subject: Subject) -> list[object]:
    """Return the row of a person, in the order of `CLEAR`, details and check."""
    clear = (
        subject.session_number,
        subject.session_id,
        subject.verification_date,
        subject.status.value,
        int(subject.is_blocklisted),
        int(subject.is_allowlisted),
        subject.source,
        subject.external_id,
        _float(subject.valid_from),
        _float(subject.valid_until),
        float(subject.retention_until),
        vendor_lookup(vault, subject.details.vendor_data),
        document_lookup(vault, subject.details.document_number),
    )
    context = schema.row_context("subject", subject.session_number)
    details = vault.seal(pack_details(subject.details), context)
    return [*clear, details, check_of(vault, clear, details)]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)  # an int would come back as a float


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))

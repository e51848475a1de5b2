"""Tables that people make with spreadsheets: what their bytes say, whichever separator and encoding they came with."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kiosk.errors import ConfigError

DELIMITERS = (",", ";", "\t", "|")
BLANKS = " \u00a0\u2007\u202f\u3000"  # around a cell; pages and word processors have others than the plain one
MOST_BYTES = 256 << 20
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"%PDF")
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's own line before the header
_AS_TEXT = re.compile(r'="(.*)"', re.DOTALL)  # how Excel is kept from taking a text for a number


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and the lines of the file that it takes."""

    first: int
    last: int
    cells: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A header, and the rows below it that say anything."""

    header: Sequence[str]  # lower case, blanks within as _; empty for a column without a name
    rows: Sequence[Row] = field(repr=False)

    @property
    def columns(self) -> list[str]:
        """Return the columns that have a name: Excel writes empty ones."""
        return [column for column in self.header if column]


def read_table(content: bytes, name: str) -> Table:
    """Return what a CSV says.

    Commas, semicolons, tabs or bars; UTF-8, UTF-16, UTF-32 or Windows-1252; Excel's line "sep=;"; blank lines and
    columns; a header in capitals: all taken.

    Args:
        content: the file's bytes.
        name: of the file, for the sentence where it is no table.

    Raises:
        ConfigError: it cannot be read.
    """
    whole = _text_of(content, name).rstrip("\x1a")  # DOS's mark of the end
    text = whole.lstrip("\ufeff\r\n ")
    first, _, rest = text.partition("\n")
    declared = _SEPARATOR.fullmatch(first)
    if declared is not None:
        text, first = rest, rest.partition("\n")[0]
    while first and not first.strip(",;|\t\r "):
        text = text.partition("\n")[2]
        first = text.partition("\n")[0]
    delimiter = declared[1] if declared is not None else max(DELIMITERS, key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = [re.sub(r"[ -]", "_", column.strip(BLANKS).casefold()) for column in next(reader, [])]
        above = whole.count("\n") - text.count("\n")  # lines that were left out
        rows, line = [], reader.line_num
        for cells in reader:
            rows.append(Row(above + line + 1, above + reader.line_num, [_cell(value) for value in cells]))
            line = reader.line_num
    except (csv.Error, TypeError) as error:  # TypeError: a separator that cannot be one
        raise ConfigError(f"{name} is not CSV that can be read: {error}") from error
    if rows and _ends_in_quotes(text, delimiter):
        raise ConfigError(
            f"{name}, line {rows[-1].first}: a quotation mark there is never closed; all behind it is lost"
        )
    return Table(header, [row for row in rows if any(row.cells)])


def _cell(value: str) -> str:
    value = value.strip(BLANKS)
    as_text = _AS_TEXT.fullmatch(value)
    return value if as_text is None else as_text[1].strip(BLANKS)


def _ends_in_quotes(content: str, delimiter: str) -> bool:
    """Whether the last cell is never closed, so that it may hold many rows."""
    try:
        for _ in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _text_of(content: bytes, name: str) -> str:
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encodings = ["utf-32"]
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0":
        encodings = ["utf-16-le"]
    elif content[:1] == b"\0":
        encodings = ["utf-16-be"]
    elif content.startswith(WORKBOOKS):
        raise ConfigError(f"{name} is a workbook or an archive, no CSV; save it as CSV UTF-8")
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ConfigError(f"{name} is not CSV in UTF-8, UTF-16 or Windows-1252; save it as CSV UTF-8")

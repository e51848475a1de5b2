"""Who is to be imported: a folder tree or a table, as people make them. Every file is somebody's or has a row."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.device.import_names import HEAD_BYTES, is_photograph, name_objection, not_taken, passed_over
from kiosk.errors import ConfigError
from kiosk.rules.text import composed, shown
from kiosk.store.subjects import Details

COLUMNS = ("file", "name", "vendor_data", "document_type", "document_number")
DELIMITERS = (",", ";", "\t", "|")
BLANKS = " \u00a0\u2007\u202f\u3000"  # around a cell; pages and word processors have others than the plain one
MOST_TABLE_BYTES = 256 << 20
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"%PDF")
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's own line before the header
_AS_TEXT = re.compile(r'="(.*)"', re.DOTALL)  # how Excel is kept from taking a text for a number
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.ASCII)  # what it makes of a long one


@dataclass(frozen=True, slots=True)
class Item:
    """One person to be imported."""

    key: str = field(repr=False)  # what resuming goes by
    files: tuple[Path, ...] = field(repr=False)
    details: Details

    @property
    def modified_ns(self) -> int:
        """When the newest file was changed; changed files are looked at again."""
        return max((path.stat().st_mtime_ns for path in self.files if path.exists()), default=0)


@dataclass(frozen=True, slots=True)
class Aside:
    """A row of the report for what is not looked at, and why."""

    file: str = field(repr=False)
    person: str = field(repr=False)
    outcome: str  # "passed_over", "no_photograph", "bad_name"
    sentence: str
    is_person: bool = False  # somebody who was meant to be enrolled, and is not


@dataclass(frozen=True, slots=True)
class Source:
    """The people of a folder or table, and what has a row without being looked at."""

    items: Sequence[Item] = field(repr=False)
    asides: Sequence[Aside] = field(repr=False)


def read_source(path: Path) -> Source:
    """Return who is to be imported.

    Raises:
        ConfigError: it is neither a folder nor a table that can be read.
    """
    return read_csv(path) if path.is_file() else read_tree(path)


# ---- folders


def read_tree(root: Path) -> Source:
    """Return the people of a folder tree: a folder each, and each picture that lies at the top.

    Raises:
        ConfigError: there is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is neither a folder nor a CSV file")
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise ConfigError(f"{root}: {error.strerror}") from error
    items: list[Item] = []
    asides: list[Aside] = []
    seen: dict[tuple[bool, str], str] = {}
    for entry in entries:
        is_folder = entry.is_dir()
        why = passed_over(entry.name)
        if why is not None:
            count = sum(1 for _ in _walk(entry, [])) if is_folder else 0
            asides.append(Aside(str(entry), "", "passed_over", f"{why}{f' ({count} files)' if count else ''}"))
            continue
        files = _photographs(entry, asides) if is_folder else _alone(entry, asides)
        name = entry.name if is_folder else entry.stem
        trouble = name_objection(name)
        twin = seen.setdefault((is_folder, composed(name)), name)
        if not files:
            if is_folder:
                asides.append(Aside(str(entry), name, "no_photograph", "the folder holds no photograph", True))
        elif trouble is not None:
            asides += _refused(files, name, trouble)
        elif twin != name:
            asides += _refused(files, name, "another folder or file has this name in another Unicode form; join them")
        else:
            items.append(Item(entry.name, files, Details(name=composed(name))))
    return Source(items, asides)


def _refused(files: Sequence[Path], name: str, sentence: str) -> Iterator[Aside]:
    for number, path in enumerate(files):
        yield Aside(str(path), name, "bad_name", sentence, is_person=number == 0)


def _walk(folder: Path, asides: list[Aside]) -> Iterator[Path]:
    """Yield the files below a folder; folders that cannot be read, or are links, are told."""

    def failed(error: OSError) -> None:
        asides.append(Aside(str(error.filename), "", "unreadable", error.strerror or "cannot be read"))

    for place, folders, names in os.walk(folder, onerror=failed):
        for name in sorted(folders):
            path = Path(place, name)
            why = passed_over(name) or ("passed over: it is a link to a folder" if path.is_symlink() else None)
            if why is not None:
                asides.append(Aside(str(path), "", "passed_over", why))
                folders.remove(name)
        folders.sort()
        for name in sorted(names):
            yield Path(place, name)


def _photographs(folder: Path, asides: list[Aside]) -> tuple[Path, ...]:
    return tuple(path for one in _walk(folder, asides) for path in _alone(one, asides))


def _alone(path: Path, asides: list[Aside]) -> tuple[Path, ...]:
    """Return a file if it is to be tried as a photograph; else say why not."""
    why = passed_over(path.name)
    if why is not None:
        asides.append(Aside(str(path), "", "passed_over", why))
        return ()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            asides.append(Aside(str(path), "", "passed_over", "passed over: it is not a regular file"))
            return ()
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        asides.append(Aside(str(path), "", "unreadable", error.strerror or "cannot be read"))
        return ()
    if is_photograph(path.name, head):
        return (path,)
    asides.append(Aside(str(path), "", "passed_over", not_taken(head)))
    return ()


# ---- tables


def read_csv(path: Path) -> Source:
    """Return the people of a CSV file; rows that say the same of a person are one person's photographs.

    Commas, semicolons, tabs or bars; UTF-8, UTF-16, UTF-32 or Windows-1252; Excel's line "sep=;"; blank lines and
    columns; a header in capitals: all taken.

    Raises:
        ConfigError: it cannot be read, or lacks the column `file`, or has one that is unknown.
    """
    whole = _table_text(path).rstrip("\x1a")  # DOS's mark of the end
    content = whole.lstrip("\ufeff\r\n ")
    first, _, rest = content.partition("\n")
    declared = _SEPARATOR.fullmatch(first)
    if declared is not None:
        content, first = rest, rest.partition("\n")[0]
    while first and not first.strip(",;|\t\r "):
        content = content.partition("\n")[2]
        first = content.partition("\n")[0]
    delimiter = declared[1] if declared is not None else max(DELIMITERS, key=first.count)
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
        header = [re.sub(r"[ -]", "_", column.strip(BLANKS).casefold()) for column in next(reader, [])]
        known = [column for column in header if column]  # Excel writes empty columns
        if "file" not in known or not set(known) <= set(COLUMNS) or len(set(known)) != len(known):
            raise ConfigError(
                f"{path}: want the columns {', '.join(COLUMNS)}, of which all but file may be left out, "
                f"got {shown(', '.join(known)[:200])}"
            )
        above = whole.count("\n") - content.count("\n")  # lines that were left out
        rows, line = [], reader.line_num
        for row in reader:
            rows.append(((above + line + 1, above + reader.line_num), [_cell(value) for value in row]))
            line = reader.line_num
    except (csv.Error, TypeError) as error:  # TypeError: a separator that cannot be one
        raise ConfigError(f"{path} is not CSV that can be read: {error}") from error
    if rows and _ends_in_quotes(content, delimiter):
        raise ConfigError(
            f"{path}, line {rows[-1][0][0]}: a quotation mark there is never closed; all behind it is lost"
        )
    return _people_of(path, header, [(lines, row) for lines, row in rows if any(row)])


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


def _table_text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_TABLE_BYTES:
            raise ConfigError(f"{path} is larger than {MOST_TABLE_BYTES >> 20} MB; split it")
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encodings = ["utf-32"]
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0":
        encodings = ["utf-16-le"]
    elif content[:1] == b"\0":
        encodings = ["utf-16-be"]
    elif content.startswith(WORKBOOKS):
        raise ConfigError(f"{path} is a workbook or an archive, no CSV; save it as CSV UTF-8")
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ConfigError(f"{path} is not CSV in UTF-8, UTF-16 or Windows-1252; save it as CSV UTF-8")


def _people_of(path: Path, header: list[str], rows: list[tuple[tuple[int, int], list[str]]]) -> Source:
    files_by_details: dict[tuple[str | None, ...], list[Path]] = {}
    asides: list[Aside] = []
    for (line, last), row in rows:
        said = {column: value for column, value in zip(header, row, strict=False) if column}
        told = tuple(composed(said[column]) if said.get(column) else None for column in COLUMNS[1:])
        name = told[0] or ""
        trouble = next((name_objection(one) for one in told if one and name_objection(one)), None)
        if any(row[len(header) :]):
            trouble = "more fields than columns; put quotes around a text with the separator in it"
        elif not said.get("file"):
            trouble = "no file is named"
        elif shortened := next((one for one in told[1:] if one and _SHORTENED.fullmatch(one)), None):
            trouble = f"{shortened} is a number that a spreadsheet shortened; format the column as text"
        if last > line:
            trouble = "a text goes over several lines; is a quotation mark missing?"
        if trouble is not None:
            where = f"line {line}" if line == last else f"lines {line} to {last}"
            asides.append(Aside(f"{path}, line {line}", name, "bad_row", f"{where}: {trouble}", is_person=True))
            continue
        # Rows that say nothing of a person are people of their own.
        key = told if any(told) else (said["file"],)
        files_by_details.setdefault(key, []).append(_found(path.parent, said["file"]))
    items = [
        Item(
            "\0".join(part or "" for part in key),
            tuple(dict.fromkeys(files)),
            _details(key) if len(key) > 1 else Details(),
        )
        for key, files in files_by_details.items()
    ]
    return Source(items, asides)


def _found(folder: Path, named: str) -> Path:
    """Return the file a table names, also where it is written as Windows or macOS write it."""
    for name in (named, composed(named), named.replace("\\", "/"), composed(named).replace("\\", "/")):
        if "\0" not in name and (folder / name).exists():
            return folder / name
    return folder / named.replace("\0", "")


def _details(columns: tuple[str | None, ...]) -> Details:
    name, vendor_data, document_type, document_number = columns
    return Details(name=name, vendor_data=vendor_data, document_type=document_type, document_number=document_number)

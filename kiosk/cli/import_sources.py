"""Who is to be imported: a folder tree or a table, as people make them. Every file is somebody's or has a row."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.device.import_names import HEAD_BYTES, is_photograph, name_objection, not_taken, passed_over
from kiosk.errors import ConfigError
from kiosk.rules.table import MOST_BYTES, Table, read_table
from kiosk.rules.text import composed, shown
from kiosk.store.subjects import Details

COLUMNS = ("file", "name", "vendor_data", "document_type", "document_number")
EXPORTED = "people.csv"  # what `gallery unseal` writes beside the photographs
_NUMBERED = re.compile(r"[0-9]+-[0-9]+\.jpg")  # and how it calls these
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
    if (root / EXPORTED).is_file() and any(_NUMBERED.fullmatch(entry.name) for entry in entries):
        raise ConfigError(
            f"{root} is an export that was unsealed, and its photographs are called by numbers: everybody would be "
            f"enrolled under one. Make a table of {', '.join(COLUMNS)} from its {EXPORTED} and import that"
        )
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

    Raises:
        ConfigError: it cannot be read, or lacks the column `file`, or has one that is unknown.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} is larger than {MOST_BYTES >> 20} MB; split it")
        found = read_table(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    known = found.columns
    if "file" not in known or not set(known) <= set(COLUMNS) or len(set(known)) != len(known):
        raise ConfigError(
            f"{path}: want the columns {', '.join(COLUMNS)}, of which all but file may be left out, "
            f"got {shown(', '.join(known)[:200])}"
        )
    return _people_of(path, found)


def _people_of(path: Path, found: Table) -> Source:
    files_by_details: dict[tuple[str | None, ...], list[Path]] = {}
    asides: list[Aside] = []
    for each in found.rows:
        line, last, row = each.first, each.last, each.cells
        said = {column: value for column, value in zip(found.header, row, strict=False) if column}
        told = tuple(composed(said[column]) if said.get(column) else None for column in COLUMNS[1:])
        name = told[0] or ""
        trouble = next((name_objection(one) for one in told if one and name_objection(one)), None)
        if any(row[len(found.header) :]):
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

"""Photographs whose truth is known: a folder a person, and who belongs to which group."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from kiosk.device.import_names import HEAD_BYTES, SUFFIXES, is_photograph, passed_over
from kiosk.errors import ConfigError, ImageError
from kiosk.recognition.photo import decode
from kiosk.rules.table import read_table
from kiosk.rules.text import composed, shown
from kiosk.types import RgbImage

PORTABLE = frozenset({".pgm", ".ppm", ".pnm"})  # in which sets for research come; the API does not take them
COLUMNS = {"person", "group"}


@dataclass(frozen=True, slots=True)
class Photograph:
    """One picture, and who is in it."""

    person: str
    path: Path = field(repr=False)


def read_people(root: Path) -> list[Photograph]:
    """Return the photographs of DIR/PERSON/…, sorted by person and path.

    Pictures that lie beside the folders are nobody's and are left out; so are folders without a picture, and what an
    import passes over: hidden folders and those of thumbnails would be more people, who look like these.

    Raises:
        ConfigError: there is no such folder, it holds no photographs of anybody, or a part of it cannot be read.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is not a folder; want one that has a folder for each person")
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and passed_over(entry.name) is None)
    except OSError as error:
        raise ConfigError(f"{root}: {error.strerror}") from error
    found = [Photograph(composed(folder.name), path) for folder in folders for path in sorted(_photographs(folder))]
    if not found:
        kinds = ", ".join(sorted(SUFFIXES | PORTABLE))
        raise ConfigError(
            f"{root} has no folder with photographs of a person; want {root.name}/PERSON/photographs ({kinds})"
        )
    return found


def _photographs(folder: Path) -> Iterator[Path]:
    """Yield the pictures below a folder; links to folders are not followed, as they may lead around in a ring."""

    def failed(error: OSError) -> None:
        # Nobody may vanish from the rates unsaid.
        raise ConfigError(f"{error.filename}: {error.strerror}; run the command as an account that may read it")

    for place, folders, names in os.walk(folder, onerror=failed):
        folders[:] = [name for name in folders if passed_over(name) is None]
        yield from (Path(place, name) for name in names if passed_over(name) is None and _is_photograph(place, name))


def _is_photograph(place: str, name: str) -> bool:
    """Say whether a file is to be tried; one that cannot be opened is, if it is called like one: it is missing."""
    path = Path(place, name)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        head = b""
    return path.suffix.lower() in PORTABLE or is_photograph(name, head)


def read_picture(path: Path) -> RgbImage:
    """Return the pixels of a photograph, as an import would read them.

    Raises:
        ImageError: it cannot be read, or is no picture.
    """
    try:
        data = path.read_bytes()
        if path.suffix.lower() in PORTABLE:
            with Image.open(io.BytesIO(data), formats=["PPM"]) as picture:
                return np.asarray(picture.convert("RGB"), np.uint8).copy()
    except OSError as error:
        raise ImageError(f"Invalid image: {error.strerror or error}") from error
    except (ValueError, SyntaxError) as error:  # Pillow's words for a damaged file
        raise ImageError(f"Invalid image: {error}") from error
    return decode(data, with_heic=True)


def read_groups(path: Path, people: set[str]) -> Mapping[str, str]:
    """Return the group of each of `people` whom a CSV with the columns person and group names.

    Raises:
        ConfigError: it cannot be read, lacks a column, puts one person into two groups, or names none of the people.
    """
    try:
        found = read_table(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    columns = found.columns
    if not COLUMNS <= set(columns) or len(set(columns)) != len(columns):
        raise ConfigError(f"{path}: want the columns person, group, got {shown(', '.join(columns)[:200]) or 'none'}")
    groups: dict[str, str] = {}
    for row in found.rows:
        said = dict(zip(found.header, row.cells, strict=False))
        person, group = composed(said.get("person", "")), composed(said.get("group", ""))
        if not person or not group:
            raise ConfigError(f"{path}, line {row.first}: want a person and a group")
        if groups.setdefault(person, group) != group:
            raise ConfigError(f"{path}, line {row.first}: {person} is in two groups, {groups[person]} and {group}")
    known = {person: group for person, group in groups.items() if person in people}
    if not known:
        raise ConfigError(f"{path} names none of the people of the folder; person is the name of a person's folder")
    return known

"""Photographs whose truth is known: a folder a person, and who belongs to which group."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from kiosk.errors import ConfigError, ImageError
from kiosk.recognition.photo import decode
from kiosk.types import RgbImage

PORTABLE = frozenset({".pgm", ".ppm", ".pnm"})  # in which sets for research come; the API does not take them
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}) | PORTABLE
COLUMNS = {"person", "group"}


@dataclass(frozen=True, slots=True)
class Photograph:
    """One picture, and who is in it."""

    person: str
    path: Path = field(repr=False)


def read_people(root: Path) -> list[Photograph]:
    """Return the photographs of DIR/PERSON/…, sorted by person and path.

    Pictures that lie beside the folders are nobody's and are left out; so are folders without a picture.

    Raises:
        ConfigError: there is no such folder, or it holds no photographs of anybody.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is not a folder; want one that has a folder for each person")
    found = [
        Photograph(folder.name, path)
        for folder in sorted(entry for entry in root.iterdir() if entry.is_dir())
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise ConfigError(
            f"{root} has no folder with photographs of a person; want {root.name}/PERSON/photographs ({kinds})"
        )
    return found


def read_picture(path: Path) -> RgbImage:
    """Return the pixels of a photograph, as the API would read them.

    Raises:
        ImageError: it cannot be read, or is no picture.
    """
    try:
        data = path.read_bytes()
        if path.suffix.lower() in PORTABLE:
            with Image.open(io.BytesIO(data), formats=["PPM"]) as picture:
                return np.asarray(picture.convert("RGB"), np.uint8).copy()
    except (OSError, ValueError, SyntaxError) as error:  # Pillow's words for a damaged file
        raise ImageError(f"Invalid image: {error}") from error
    return decode(data)


def read_groups(path: Path, people: set[str]) -> Mapping[str, str]:
    """Return the group of each of `people` whom a CSV with the columns person and group names.

    Raises:
        ConfigError: it cannot be read, lacks a column, puts one person into two groups, or names none of the people.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is not CSV in UTF-8: {error}") from error
    if not columns >= COLUMNS:
        raise ConfigError(
            f"{path}: want the columns person, group, got {', '.join(map(str, sorted(columns))) or 'none'}"
        )
    groups: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        person, group = (row["person"] or "").strip(), (row["group"] or "").strip()
        if not person or not group:
            raise ConfigError(f"{path}, line {number}: want a person and a group")
        if groups.setdefault(person, group) != group:
            raise ConfigError(f"{path}, line {number}: {person} is in two groups, {groups[person]} and {group}")
    known = {person: group for person, group in groups.items() if person in people}
    if not known:
        raise ConfigError(f"{path} names none of the people of the folder; person is the name of a person's folder")
    return known

"""What `kiosk gallery edit`, `kiosk gallery export` and `kiosk privacy` take; imports nothing that costs time."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

STATUSES = ("Approved", "In Review", "Declined")


def add_keeping(gallery: Callable[..., argparse.ArgumentParser], who: str) -> None:
    """Add the commands to the group `gallery`; `who` says how a person is named."""
    edit = gallery(
        "gallery edit",
        "people.keep",
        "change what is known of a person",
        more="Only what is given is changed; an empty text empties a field, an empty date opens it.",
    )
    edit.add_argument("subject", metavar="ID", help=who)
    edit.add_argument("--name", help="the person's name")
    edit.add_argument("--vendor-data", metavar="X", help="your identifier for the person")
    edit.add_argument("--document-type", metavar="T", help='for example "Identity Card"')
    edit.add_argument("--document-number", metavar="N", help="number of the document")
    edit.add_argument("--plan", metavar="P", help="name of the hours in which the person may enter")
    edit.add_argument("--valid-from", metavar="DATE", help="first day on which the person may enter, YYYY-MM-DD (UTC)")
    edit.add_argument("--valid-until", metavar="DATE", help="first day on which the person may no longer enter")
    edit.add_argument("--retain-until", metavar="DATE", help="day on which the person is erased")
    edit.add_argument("--status", choices=STATUSES, help="Approved lets in somebody who enrolled without an operator")
    add_photo = gallery(
        "gallery add-photo",
        "people.keep",
        "add photographs to somebody enrolled",
        more="Each has to be of this person: one that is not like those known is refused, and so is a blocked face. "
        "Exit 3 where one was refused; those before it are kept.",
    )
    add_photo.add_argument("subject", metavar="ID", help=who)
    add_photo.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="photographs of this person alone")
    add_photo.add_argument("--rotate", action="store_true", help="try quarter turns until the face is upright")
    add_photo.add_argument("--largest", action="store_true", help="of several faces in a photograph take the largest")
    export = gallery(
        "gallery export",
        "people.keep",
        "write the people as a table, without faces",
        more="CSV on stdout, or JSON with --json. It holds names and whole document numbers.",
    )
    export.add_argument("--to", type=Path, metavar="FILE", help="a new file for it, which only you may read")
    export.add_argument("--find", metavar="TEXT", help="only people of this name, code, document or number")


def add_privacy(
    add: Callable[..., argparse.ArgumentParser],
    group: Callable[..., Callable[..., argparse.ArgumentParser]],
    who: str,
) -> None:
    """Add the commands about people's data."""
    privacy = group(add, "privacy", "write what is kept about people, and what is held about one person")
    report = privacy(
        "privacy report",
        "people.papers",
        "write what the settings in force keep, for how long, who may see it and what leaves the device",
        more="For a notice (GDPR Art. 13), a record of processing (Art. 30), an impact assessment (Art. 35) or a "
        "written biometric policy (BIPA). It says what only you can add.",
    )
    report.add_argument("--html", type=Path, metavar="FILE", help="write it as a page to print")
    export = privacy(
        "privacy export",
        "people.papers",
        "give one person everything that is held about them, and nothing of anybody else (GDPR Art. 15)",
        more="Without --html or --json it writes both into the current folder, readable by you alone.",
    )
    export.add_argument("subject", metavar="SUBJECT", help=who)
    export.add_argument("--html", type=Path, metavar="FILE", help="write it as a page to print: a new file")
    for command in (report, export):
        command.add_argument("--language", choices=("en", "de"), default="en", help="of the paper (default: en)")

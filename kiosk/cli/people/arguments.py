"""What `kiosk gallery edit`, `export` and `unseal` take; imports nothing that costs time."""

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
    export = gallery(
        "gallery export",
        "people.keep",
        "write the people as a table, without faces",
        more="CSV on stdout, or JSON with --json. It holds names and whole document numbers.",
    )
    export.add_argument("--to", type=Path, metavar="FILE", help="a new file for it, which only you may read")
    export.add_argument(
        "--sealed",
        action="store_true",
        help="with the photographs that are kept, sealed with a passphrase that is asked for, or read from stdin",
    )
    export.add_argument("--find", metavar="TEXT", help="only people of this name, code, document or number")
    unseal = gallery(
        "gallery unseal",
        "people.keep",
        "open a sealed file of people, on any machine",
        more="Asks for the passphrase, or reads it from stdin; writes people.csv and photographs into a new folder.",
    )
    unseal.add_argument("file", type=Path, metavar="FILE", help="what `gallery export --sealed` or the page gave")
    unseal.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder for what is in it")

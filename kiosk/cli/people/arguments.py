"""What commands on people take beside those of every day: gallery edit, export, unseal; passage, privacy."""

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
        more="Only what is given is changed; an empty text clears a field, an empty date removes that limit.",
    )
    edit.add_argument("subject", metavar="ID", help=who)
    edit.add_argument("--name", help="the person's name")
    edit.add_argument("--vendor-data", metavar="X", help="your identifier for the person")
    edit.add_argument("--document-type", metavar="T", help='for example "Identity Card"')
    edit.add_argument("--document-number", metavar="N", help="number of the document")
    edit.add_argument(
        "--plan", metavar="P", help="name of the hours in which the person may enter, see [schedule] week"
    )
    edit.add_argument(
        "--groups",
        metavar="G,…",
        help="groups of the person, with commas between; the policy of a fleet says which groups go through which door",
    )
    edit.add_argument("--valid-from", metavar="DATE", help="first day on which the person may enter, YYYY-MM-DD (UTC)")
    edit.add_argument(
        "--valid-until", metavar="DATE", help="first day on which the person may no longer enter, as above"
    )
    edit.add_argument("--retain-until", metavar="DATE", help="day on which the person is erased, as above")
    edit.add_argument(
        "--status",
        choices=STATUSES,
        help="Approved lets in somebody who enrolled without an operator; In Review and Declined let nobody in",
    )
    factors = gallery(
        "gallery factors",
        "people.factors",
        "give a person a card or a PIN, or take them away",
        more="Without an option it says what the person has. A PIN is asked for, or read from a pipe, and in a "
        "second line the PIN to enter under duress, which opens and raises a silent alarm.",
    )
    factors.add_argument("subject", metavar="ID", help=who)
    factors.add_argument(
        "--card",
        metavar="CARD",
        help="facility and number of a card of 26 bits, such as 12-3456; of another card first its length in bits: "
        "34:12-3456, 37:12-3456; a card of any other length is one number, such as 56:123456",
    )
    factors.add_argument("--pin", action="store_true", help="give a PIN of 4 to 12 digits, in place of an older one")
    factors.add_argument(
        "--suspend-until", metavar="DATE", help="keep the person outside until a day, YYYY-MM-DD (UTC); empty to end it"
    )
    factors.add_argument("--no-card", action="store_true", help="take the card away")
    factors.add_argument("--no-pin", action="store_true", help="take the PINs away, that for duress too")
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
    add_photo.add_argument(
        "--largest", action="store_true", help="if a photograph shows several faces, take the largest"
    )
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
    export.add_argument("--find", metavar="TEXT", help="only people of this name, vendor_data, document or number")
    unseal = gallery(
        "gallery unseal",
        "people.keep",
        "open a sealed file of people, on any machine",
        more="Asks for the passphrase, or reads it from stdin; writes people.csv and photographs into a new folder.",
    )
    unseal.add_argument("file", type=Path, metavar="FILE", help="what `gallery export --sealed` or the page gave")
    unseal.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder for what is in it")


def add_passages(passage: Callable[..., argparse.ArgumentParser], who: str) -> None:
    """Add the commands to the group `passage`; `who` says how a person is named."""
    passage("passage inside", "people.passages", "print who is inside", more="See [passage] direction and forget_h.")
    for name, sentence in (
        ("passage list", "print who went through, oldest first"),
        ("passage export", "write working hours as CSV: in and out paired, in the door's time zone"),
    ):
        listed = passage(name, "people.passages", sentence, json=False)
        listed.add_argument(
            "--since", metavar="DATE", help="first day, YYYY-MM-DD (UTC); by default 31 days before --until"
        )
        listed.add_argument(
            "--until", metavar="DATE", help="first day that is left out, YYYY-MM-DD (UTC); by default tomorrow"
        )
    correct = passage(
        "passage correct",
        "people.passages",
        "record that somebody went in or out unseen, so that who is inside is right again",
        json=False,
    )
    correct.add_argument("subject", metavar="ID", help=who)
    correct.add_argument("direction", choices=("in", "out"), help="which way they went")


def add_passes(group: Callable[..., argparse.ArgumentParser], who: str) -> None:
    """Add the commands to the group `pass`; `who` says how a person is named."""
    issue = group(
        "pass issue",
        "people.passes",
        "issue a visitor pass, a QR code that the camera reads",
        more="See section [passes]. Days and times are those of the door's time zone.",
    )
    issue.add_argument("--label", default="", metavar="TEXT", help="whom it is for; kept in the list, not in the code")
    issue.add_argument(
        "--from", dest="since", metavar="TIME", help="when it begins, such as 2027-01-31T09:00; by default now"
    )
    issue.add_argument(
        "--until", required=True, metavar="TIME", help="when it ends, such as 2027-01-31T18:00, or a day: its end"
    )
    issue.add_argument(
        "--uses", type=int, default=1, metavar="N", help="how often it opens, by default once; 0: any number of times"
    )
    issue.add_argument("--visitor", metavar="ID", help=f"the enrolled visitor whose face is asked for; {who}")
    issue.add_argument(
        "--door",
        action="append",
        default=[],
        metavar="NAME",
        help="a kiosk of the fleet at whose door it counts, or * for all of them; may be repeated (default: this one)",
    )
    _add_files(issue)
    group("pass list", "people.passes", "print the passes that are kept here, without their codes")
    show = group("pass show", "people.passes", "print or save a pass again")
    show.add_argument("name", metavar="PASS", help="16 hexadecimal digits, of `kiosk pass list`")
    _add_files(show)
    revoke = group("pass revoke", "people.passes", "end a pass, here at once, at the others of a fleet in seconds")
    revoke.add_argument(
        "name",
        metavar="PASS",
        help="its 16 hexadecimal digits, see `kiosk pass list`, or the text of its code, FKP1:…, of any kiosk's pass",
    )


def _add_files(command: argparse.ArgumentParser) -> None:
    for kind, what in (("svg", "the code as SVG"), ("png", "the code as PNG"), ("page", "a page to print, as HTML")):
        command.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"write {what} into a new file")


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

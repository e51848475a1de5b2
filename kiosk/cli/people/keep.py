"""Commands that look after people: gallery edit, add-photo, export, unseal."""

from __future__ import annotations

import argparse
import getpass
import io
import json
import os
import sys
import time
from base64 import b64decode
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from kiosk import assembly
from kiosk.cli import faces
from kiosk.cli.main import REFUSED
from kiosk.device.enrol import EnrolmentResult
from kiosk.device.more_photographs import add_photograph
from kiosk.device.people_finder import PeopleFinder
from kiosk.device.people_table import ARCHIVE, TEXTS, archived, as_csv, rows
from kiosk.device.sealed_file import Sealer, unseal
from kiosk.errors import ConfigError, ImageError, StoreError
from kiosk.rules.doors import read_groups
from kiosk.rules.text import counted, objection
from kiosk.store.store import Store
from kiosk.store.subjects import Subject, SubjectFilter
from kiosk.types import Status

DATES = {"valid_from": "valid_from", "valid_until": "valid_until", "retain_until": "retention_until"}


def gallery_edit(chosen: argparse.Namespace) -> None:
    """Change a person."""
    texts = _given_details(chosen)
    dates: dict[str, Any] = {}
    for option, field in DATES.items():
        if (given := getattr(chosen, option)) is not None:
            dates[field] = faces.read_day(given, f"--{option.replace('_', '-')}") if given else None
    if dates.get("retention_until", 1.0) is None:
        raise ConfigError("--retain-until: want a day; without one nobody would ever be erased")
    if not texts and not dates and chosen.status is None:
        raise ConfigError("say what to change, such as --name; `kiosk gallery edit --help` lists all")

    def changed(known: Subject) -> Subject:
        new = replace(known, details=replace(known.details, **texts), **dates)
        new = replace(new, status=Status(chosen.status)) if chosen.status else new
        if new.valid_from is not None and new.valid_until is not None and new.valid_until <= new.valid_from:
            raise ConfigError("--valid-until: want a day after --valid-from")
        if "retention_until" in dates and new.retention_until <= time.time():
            raise ConfigError("--retain-until: want a day to come; the next sweep would forget the person")
        return new

    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        number = faces.find_one(store, chosen.subject).session_number
        _refuse_codes_of_others(store, number, texts)
        faces.print_subject(chosen, store.people.patch(number, changed, actor="cli"), "changed")


def _given_details(chosen: argparse.Namespace) -> dict[str, Any]:
    texts: dict[str, Any] = {name: getattr(chosen, name) or None for name in TEXTS if getattr(chosen, name) is not None}
    for name, text in texts.items():
        if trouble := objection(text or ""):
            raise ConfigError(f"--{name.replace('_', '-')} {trouble}, such as line ends; leave them out")
    if chosen.groups is not None:
        try:
            texts["groups"] = read_groups(chosen.groups.split(","))
        except ValueError as error:
            raise ConfigError(f"--groups: {error}") from None
    return texts


def _refuse_codes_of_others(store: Store, number: int, texts: dict[str, Any]) -> None:
    """Refuse a code by which somebody else is found; a card would then stand for two people."""
    for name in ("vendor_data", "document_number"):
        if not texts.get(name):
            continue
        found = store.people.subjects(SubjectFilter(**{name: texts[name]}), limit=2).subjects
        if any(one.session_number != number for one in found):
            raise StoreError(f"somebody else has this {name}; `kiosk gallery list --find` shows who")


def gallery_add_photo(chosen: argparse.Namespace) -> int:
    """Add photographs to a person."""
    photographs = [(path, faces.read_photograph(path)) for path in chosen.images]
    with assembly.open_device(chosen) as device:
        subject = faces.find_one(device.store, chosen.subject)
        for path, photograph in photographs:
            try:
                done = add_photograph(
                    device, subject, photograph, rotate=chosen.rotate, take_largest=chosen.largest, actor="cli"
                )
            except ImageError as error:
                raise ImageError(f"{path}: {error}") from error
            if isinstance(done, EnrolmentResult):
                faces.print_refusal(chosen, replace(done, sentence=f"{path}: {done.sentence}"))
                return REFUSED
            subject = done
    added = f"{len(photographs)} photograph{'s' if len(photographs) > 1 else ''} added"
    faces.print_subject(chosen, subject, added)
    return 0


def gallery_export(chosen: argparse.Namespace) -> None:
    """Write the people as a table."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        people = list(rows(store.people, PeopleFinder(store), chosen.find))
        if chosen.sealed:
            _seal(chosen, store, people)
            return
    text = io.StringIO()
    if chosen.json:
        json.dump(people, text, indent=2, ensure_ascii=False)
        text.write("\n")
    else:
        text.writelines(as_csv(iter(people)))
    if chosen.to is None:
        print(text.getvalue(), end="")
        return
    with os.fdopen(os.open(chosen.to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text.getvalue())
    assembly.note(f"{counted(len(people), 'person', 'people')} in {chosen.to}, not encrypted, with names and documents")


def _seal(chosen: argparse.Namespace, store: Store, people: list[dict[str, Any]]) -> None:
    if chosen.to is None:
        raise ConfigError("--sealed: say with --to which new file it becomes")
    sealer = Sealer(_passphrase(is_new=True), ARCHIVE)
    with os.fdopen(os.open(chosen.to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.writelines(sealer.seal(archived(store.people, iter(people))))
    assembly.note(f"{counted(len(people), 'person', 'people')} in {chosen.to}, sealed; `kiosk gallery unseal` opens it")


def gallery_unseal(chosen: argparse.Namespace) -> None:
    """Open a sealed file of people."""
    passphrase = _passphrase(is_new=False)
    people = []
    try:
        with chosen.file.open("rb") as file:
            records = unseal(file, passphrase, ARCHIVE)
            first = list(islice(records, 1))  # before anything is made: the passphrase may be wrong
            chosen.to.mkdir(mode=0o700)
            for record in chain(first, records):
                if "photograph" not in record:
                    people.append(record)
                    continue
                name = f"{int(record['session_number'])}-{int(record['place'])}.jpg"
                (chosen.to / name).write_bytes(b64decode(record["photograph"]))
        (chosen.to / "people.csv").write_text("".join(as_csv(iter(people))), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    assembly.note(f"{counted(len(people), 'person', 'people')} in {chosen.to}, not encrypted")


def _passphrase(*, is_new: bool) -> str:
    """Ask for a passphrase, or read a line from a pipe; never an argument, which other users could see."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    passphrase = getpass.getpass("Passphrase of the file: ")
    if is_new and getpass.getpass("Again: ") != passphrase:
        raise ConfigError("the passphrases differ; nothing was written")
    return passphrase

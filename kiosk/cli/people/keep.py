"""Commands that look after people: gallery edit, gallery add-photo, gallery export."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kiosk import assembly
from kiosk.cli import faces
from kiosk.cli.main import REFUSED
from kiosk.device.enrol import EnrolmentResult
from kiosk.device.more_photographs import add_photograph
from kiosk.device.people_finder import PeopleFinder
from kiosk.didit import contract
from kiosk.errors import ConfigError, ImageError, StoreError
from kiosk.rules.text import cell, objection
from kiosk.store.store import Store
from kiosk.store.subjects import Subject, SubjectFilter
from kiosk.types import Status

TEXTS = ("name", "vendor_data", "document_type", "document_number", "plan")
DATES = {"valid_from": "valid_from", "valid_until": "valid_until", "retain_until": "retention_until"}
PAGE = 500
COLUMNS = (
    "session_number",
    "session_id",
    *TEXTS,
    "status",
    "is_blocklisted",
    "is_allowlisted",
    "source",
    "verification_date",
    "valid_from",
    "valid_until",
    "retention_until",
    "references",
    "images",
)


def gallery_edit(chosen: argparse.Namespace) -> None:
    """Change a person."""
    texts: dict[str, Any] = {name: getattr(chosen, name) or None for name in TEXTS if getattr(chosen, name) is not None}
    for name, text in texts.items():
        if trouble := objection(text or ""):
            raise ConfigError(f"--{name.replace('_', '-')} {trouble}, such as line ends; leave them out")
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
        people = list(_rows(store, chosen.find))
    text = io.StringIO()
    if chosen.json:
        json.dump(people, text, indent=2, ensure_ascii=False)
        text.write("\n")
    else:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows([cell(row[name]) for name in COLUMNS] for row in people)
    if chosen.to is None:
        print(text.getvalue(), end="")
        return
    with os.fdopen(os.open(chosen.to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text.getvalue())
    assembly.note(f"{len(people)} people in {chosen.to}, in the clear: with names and documents")


def _rows(store: Store, text: str | None) -> Iterator[dict[str, Any]]:
    finder, offset = PeopleFinder(store), 0
    while True:
        if text is None:
            page = store.people.subjects(limit=PAGE, offset=offset)
        else:
            page = finder.find(text, limit=PAGE, offset=offset)
        yield from map(_row, page.subjects)
        offset += PAGE
        if offset >= page.total:
            return


def _row(subject: Subject) -> dict[str, Any]:
    def moment(seconds: float | None) -> str | None:
        return None if seconds is None else contract.timestamp(seconds)

    return {
        "session_number": subject.session_number,
        "session_id": subject.session_id,
        **{name: getattr(subject.details, name) for name in TEXTS},
        "status": subject.status.value,
        "is_blocklisted": subject.is_blocklisted,
        "is_allowlisted": subject.is_allowlisted,
        "source": subject.source,
        "verification_date": moment(subject.verification_date),
        "valid_from": moment(subject.valid_from),
        "valid_until": moment(subject.valid_until),
        "retention_until": moment(subject.retention_until),
        "references": subject.references,
        "images": subject.images,
    }

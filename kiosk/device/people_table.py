"""People as a table: what `kiosk gallery export` and the page's export write. No face, template or photograph."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from kiosk.device.people_finder import PeopleFinder
from kiosk.didit import contract
from kiosk.rules.text import cell
from kiosk.store.people import People
from kiosk.store.subjects import Subject, SubjectFilter

TEXTS = ("name", "vendor_data", "document_type", "document_number", "plan")
PAGE = 500
ARCHIVE = "kiosk-people-1"  # format of the sealed file
COLUMNS = (
    "session_number",
    "session_id",
    *TEXTS,
    "groups",
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


def rows(
    people: People,
    finder: PeopleFinder,
    text: str | None,
    wanted: SubjectFilter | None = None,
    *,
    group: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield everybody who has these words and fits filter and group, with the document number in full."""
    offset = 0
    while True:
        if text is None and group is None:
            page = people.subjects(wanted, limit=PAGE, offset=offset)
        else:
            page = finder.find(text, wanted, limit=PAGE, offset=offset, group=group)
        yield from map(_row, page.subjects)
        offset += PAGE
        if offset >= page.total:
            return


def archived(people: People, found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the records of an archive: each row, then a record for each photograph that is kept of the person.

    A photograph is base64, and a record of its own: ten of one person would be larger than what a record may be.
    """
    for row in found:
        yield row
        number = row["session_number"]
        for place, image in enumerate(people.images(number), 1):
            yield {"session_number": number, "place": place, "photograph": b64encode(image).decode()}


def as_csv(found: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table, headings first; no text in it is run by a spreadsheet."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    for row in found:
        writer.writerow([cell(_flat(row[name])) for name in COLUMNS])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()  # the headings, where nobody was found


def _flat(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value


def _row(subject: Subject) -> dict[str, Any]:
    def moment(seconds: float | None) -> str | None:
        return None if seconds is None else contract.timestamp(seconds)

    return {
        "session_number": subject.session_number,
        "session_id": subject.session_id,
        **{name: getattr(subject.details, name) for name in TEXTS},
        "groups": list(subject.details.groups),
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

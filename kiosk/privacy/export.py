"""One person's data (GDPR Art. 15): everything held about them, and what the law wants said with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from kiosk.didit import contract
from kiosk.evaluation.acceptance.journal import NAME as ACCEPTANCE_NAME
from kiosk.evaluation.acceptance.plan import Step
from kiosk.privacy.page import as_page, bullets, facts, section
from kiosk.privacy.statements import Section, Surroundings, sections
from kiosk.privacy.words import Words
from kiosk.settings.config import Config
from kiosk.store.erasure import BACKUPS_NAME
from kiosk.store.store import Store
from kiosk.store.upkeep.holdings import holdings
from kiosk.types import SubjectId

TOLD = ("purpose", "kept", "leaves", "ends", "rights", "automated")
"""The parts of the report that Art. 15(1) asks for beside the data."""


def export(
    store: Store, number: SubjectId, config: Config, place: Surroundings, words: Words, *, at: float
) -> dict[str, Any]:
    """Return everything held about a person as JSON; `at` is s UTC.

    Raises:
        StoreError: nobody has this number, or a row was changed or damaged.
    """
    return {
        "made_at": contract.timestamp(at),
        "session_number": number,
        "held": holdings(store.database, store.vault, number),
        "files": {
            "acceptance": list(_noted(store.directory / ACCEPTANCE_NAME, number)),
            "backups": sorted(path.name for path in (store.directory / BACKUPS_NAME).glob("*.backup")),
        },
        "told": {part.id: [one.text for one in part.statements] for part in _told(config, place, words)},
    }


def as_html(told: dict[str, Any], config: Config, place: Surroundings, words: Words) -> str:
    """Return an export as a page to print."""
    at = str(told["made_at"])[:16].replace("T", " ") + " UTC"
    about = (words("export.subject", number=told["session_number"]), words("export.made", at=at))
    files = told["files"]
    beside = [
        (words("export.acceptance", count=len(files["acceptance"])), ""),
        (
            words("export.backups", names=", ".join(files["backups"]))
            if files["backups"]
            else words("export.no_backups"),
            "",
        ),
    ]
    parts = [
        f'<p class="box">{escape(words("export.note"))}</p>',
        *(section(words(f"table.{table}"), _rows(rows, words)) for table, rows in told["held"].items()),
        section(words("export.files"), bullets(beside) + facts(files["acceptance"], words)),
        *(
            section(part.title, bullets((one.text, "") for one in part.statements))
            for part in _told(config, place, words)
        ),
    ]
    return as_page(words, words("export.title"), about, parts)


def _told(config: Config, place: Surroundings, words: Words) -> list[Section]:
    return [part for part in sections(config, place, words) if part.id in TOLD]


def _rows(rows: list[dict[str, Any]], words: Words) -> str:
    return "".join(f'<section class="one">{facts(row, words)}</section>' for row in rows)


def _noted(path: Path, number: SubjectId) -> Iterator[dict[str, Any]]:
    """Return the acceptance's notes of when this person stepped up, and of when the door took somebody for them."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            note = json.loads(line)
        except ValueError:
            continue  # a last line that was cut
        if note.get("step") == Step.PEOPLE.value and str(note.get("who")) == str(number):
            yield note
        seen = [one for one in note.get("seen") or [] if one["session_number"] == number]
        if seen:
            yield {**note, "seen": seen}

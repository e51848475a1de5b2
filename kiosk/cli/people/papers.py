"""Commands about people's data: privacy report, privacy export."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from kiosk import assembly
from kiosk.cli import faces
from kiosk.errors import StoreError
from kiosk.privacy import export, report
from kiosk.privacy.statements import Surroundings
from kiosk.privacy.words import words_of
from kiosk.store.directory import DATABASE_NAME
from kiosk.store.keys import KEY_NAME
from kiosk.store.store import Store


def privacy_report(chosen: argparse.Namespace) -> None:
    """Write what the settings in force keep."""
    config, words = assembly.load_settings(chosen), words_of(chosen.language)
    directory = assembly.state_of(chosen)
    if (directory / DATABASE_NAME).exists():
        with assembly.open_store(chosen, config, create=False) as store:
            place = _place(directory, store)
    else:
        place = _place(directory, None)
    if chosen.html is not None:
        chosen.html.write_text(report.as_html(config, place, words, at=time.time()), encoding="utf-8")
    if chosen.json:
        print(json.dumps(report.report(config, place, words, at=time.time()), indent=2, ensure_ascii=False))
    elif chosen.html is None:
        print(report.as_text(config, place, words), end="")
    else:
        print(chosen.html)


def privacy_export(chosen: argparse.Namespace) -> None:
    """Give one person everything that is held about them."""
    config, words = assembly.load_settings(chosen), words_of(chosen.language)
    directory = assembly.state_of(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        place = _place(directory, store)
        try:
            number = faces.find_one(store, chosen.subject).session_number
        except StoreError:
            if store.people.erasures.receipt(chosen.subject) is not None:
                raise StoreError(
                    f"person {chosen.subject} was erased; `kiosk receipt {chosen.subject}` gives the receipt"
                ) from None
            raise
        told = export.export(store, number, config, place, words, at=time.time())
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    page = export.as_html(told, config, place, words)
    if chosen.html is not None:
        _write(chosen.html, page)
    if chosen.json:
        print(text, end="")
    elif chosen.html is None:
        name = f"person-{number}"
        for path, content in ((Path(f"{name}.json"), text), (Path(f"{name}.html"), page)):
            _write(path, content)
            print(path)
    else:
        print(chosen.html)
    assembly.note(
        "it is not encrypted; read what reviewers wrote before you hand it out, and delete your copy afterwards"
    )


def _place(directory: Path, store: Store | None) -> Surroundings:
    return Surroundings(
        str(directory),
        is_key_credential=assembly.credentials_directory() is not None and not (directory / KEY_NAME).exists(),
        is_in_fleet=store is not None and store.is_in_fleet,
    )


def _write(path: Path, content: str) -> None:
    """Write a new file that only this user may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)

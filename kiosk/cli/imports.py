"""Commands over many people: gallery import, gallery audit."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from kiosk import assembly
from kiosk.device.device import Device
from kiosk.device.enrol import EnrolmentResult, Reference, admit, assess
from kiosk.device.lookalikes import audit
from kiosk.errors import ConfigError, ImageError
from kiosk.gallery.audit_report import as_html, as_text
from kiosk.recognition.photo import MAX_BYTES, TOO_LARGE
from kiosk.store.subjects import Details, Enrolment, ImportedFile

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})
COLUMNS = ("file", "name", "vendor_data", "document_type", "document_number")
REPORT_COLUMNS = ("file", "person", "outcome", "session_number", "detail")
AHEAD = 4  # people analysed before the oldest is stored, per worker


@dataclass(frozen=True, slots=True)
class Item:
    """One person to be imported."""

    key: str = field(repr=False)  # what resuming goes by
    files: tuple[Path, ...] = field(repr=False)
    details: Details

    @property
    def modified_ns(self) -> int:
        """When the newest file was changed; changed files are looked at again."""
        return max((path.stat().st_mtime_ns for path in self.files if path.exists()), default=0)


Assessed = list["tuple[Path, Reference | EnrolmentResult]"]


def gallery_import(chosen: argparse.Namespace) -> int:
    """Enrol many people; go on where an earlier run was stopped."""
    items = read_csv(chosen.source) if chosen.source.is_file() else read_tree(chosen.source)
    if not items:
        raise ConfigError(f"{chosen.source} holds no photographs ({', '.join(sorted(SUFFIXES))})")
    workers = chosen.workers or os.cpu_count() or 1
    path = chosen.report or chosen.source.resolve().with_name(chosen.source.resolve().name + "-import.csv")
    if path.resolve() == chosen.source.resolve():
        raise ConfigError(f"{path} is the source; the report would overwrite it")
    counts: Counter[str] = Counter()
    total = sum(len(item.files) for item in items)
    # One thread a network: photographs run side by side, not one on many threads.
    with assembly.open_device(chosen, threads=1) as device, path.open("w", newline="", encoding="utf-8") as file:
        run = device.store.imports.begin(str(chosen.source.resolve()))
        report = csv.writer(file)
        report.writerow(REPORT_COLUMNS)
        with tqdm(total=total, unit="photo", file=sys.stderr, disable=chosen.json) as bar:
            for item, rows in _run(device, items, run, workers, chosen):
                report.writerows(rows)
                counts.update(str(row[2]) for row in rows)
                bar.update(len(item.files))
        device.store.imports.end(run)
    if chosen.json:
        print(json.dumps({"report": str(path), "people": len(items), "photographs": dict(counts)}, indent=2))
    else:
        for outcome, count in counts.most_common():
            print(f"{count:>7}  {outcome}")
        print(f"--- {len(items)} people; report in {path} ---")
    return 0


def read_tree(root: Path) -> list[Item]:
    """Return the people of a folder tree: a folder each, and each picture that lies at the top.

    Raises:
        ConfigError: there is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is neither a folder nor a CSV file")
    items = []
    for entry in sorted(root.iterdir()):
        if entry.is_dir():
            files = tuple(sorted(path for path in entry.rglob("*") if path.suffix.lower() in SUFFIXES))
            if files:
                items.append(Item(entry.name, files, Details(name=entry.name)))
        elif entry.suffix.lower() in SUFFIXES:
            items.append(Item(entry.name, (entry,), Details(name=entry.stem)))
    return items


def read_csv(path: Path) -> list[Item]:
    """Return the people of a CSV file; rows that say the same of a person are one person's photographs.

    Raises:
        ConfigError: it cannot be read, or lacks the column `file`, or has one that is unknown.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            found = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is no CSV in UTF-8: {error}") from error
    if "file" not in found or not set(found) <= set(COLUMNS):
        raise ConfigError(
            f"{path}: want the columns {', '.join(COLUMNS)}, of which all but file may be left out, "
            f"got {', '.join(map(str, found))}"
        )
    files_by_details: dict[tuple[str | None, ...], list[Path]] = {}
    for number, row in enumerate(rows, 2):
        if not row["file"] or None in row:
            raise ConfigError(f"{path}, line {number}: no file named, or more fields than columns")
        said = tuple(row.get(column) or None for column in COLUMNS[1:])
        # Rows that say nothing of a person are people of their own.
        key = said if any(said) else (row["file"],)
        files_by_details.setdefault(key, []).append(path.parent / row["file"])
    return [
        Item(
            "\0".join(part or "" for part in key),
            tuple(files),
            _details(key) if len(key) > 1 else Details(),
        )
        for key, files in files_by_details.items()
    ]


def _details(columns: tuple[str | None, ...]) -> Details:
    name, vendor_data, document_type, document_number = columns
    return Details(name=name, vendor_data=vendor_data, document_type=document_type, document_number=document_number)


def _run(
    device: Device, items: Sequence[Item], run: int, workers: int, chosen: argparse.Namespace
) -> Iterator[tuple[Item, list[Sequence[object]]]]:
    """Yield each item with its rows of the report, in order; analysis runs ahead, storing does not."""
    waiting: deque[tuple[Item, Future[Assessed] | str]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                earlier = device.store.imports.outcome(run, item.key, item.modified_ns)
                waiting.append((item, earlier or pool.submit(_assess, device, item, chosen.rotate)))
                if len(waiting) > AHEAD * workers:
                    yield _settle(device, *waiting.popleft(), run, chosen)
            while waiting:
                yield _settle(device, *waiting.popleft(), run, chosen)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _assess(device: Device, item: Item, rotate: bool) -> Assessed:  # noqa: FBT001  one caller, above
    assessed: Assessed = []
    for path in item.files:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ImageError(TOO_LARGE)
            assessed.append((path, assess(device, path.read_bytes(), rotate=rotate)))
        except (ImageError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            assessed.append((path, EnrolmentResult("unreadable", reason)))
    return assessed


def _settle(
    device: Device, item: Item, result: Future[Assessed] | str, run: int, chosen: argparse.Namespace
) -> tuple[Item, list[Sequence[object]]]:
    name = item.details.name or ""
    if isinstance(result, str):
        return item, [(path, name, "earlier", "", result) for path in item.files]
    assessed = result.result()
    references = [one for _, one in assessed if isinstance(one, Reference)]
    outcome = None
    if references:
        imported = ImportedFile(run, item.key, item.modified_ns, "added")
        outcome = admit(
            device,
            references,
            Enrolment(templates=(), details=item.details, source="import"),
            allow_duplicate=chosen.allow_duplicate,
            imported=imported,
            actor="import",
        )
    if outcome is None or not outcome.is_stored:
        kind = outcome.kind if outcome else next(one.kind for _, one in assessed if isinstance(one, EnrolmentResult))
        device.store.imports.mark(ImportedFile(run, item.key, item.modified_ns, kind))
    rows: list[Sequence[object]] = []
    for path, one in assessed:
        told = one if isinstance(one, EnrolmentResult) else outcome
        assert told is not None  # a Reference was admitted
        number = told.subject.session_number if told.subject else told.of.subject if told.of else ""
        rows.append((path, name, told.kind, number, "" if told.is_stored else told.sentence))
    return item, rows


def gallery_audit(chosen: argparse.Namespace) -> None:
    """Compare everyone with everyone."""
    config = assembly.load_settings(chosen)
    with Device(
        assembly.open_recogniser(config), assembly.open_store(chosen, config, create=False), config, now=time.time
    ) as device:
        report = audit(device, chosen.limit)
    if chosen.html is not None:
        chosen.html.write_text(as_html(report), encoding="utf-8")
    print(json.dumps(report.as_dict(), indent=2) if chosen.json else as_text(report))
    if chosen.html is not None and not chosen.json:
        print(f"Written to {chosen.html}")

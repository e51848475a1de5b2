"""Commands over many people: gallery import, gallery audit."""

from __future__ import annotations

import argparse
import csv
import json
import os
import stat
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kiosk import assembly
from kiosk.cli.import_sources import Item, read_source
from kiosk.device.device import Device
from kiosk.device.enrol import EnrolmentResult, Reference, admit, assess
from kiosk.device.import_names import SUFFIXES
from kiosk.device.lookalikes import audit
from kiosk.errors import ConfigError, ImageError
from kiosk.gallery.audit_report import as_html, as_text
from kiosk.recognition.photo import MAX_BYTES, TOO_LARGE
from kiosk.rules.text import cell, shown
from kiosk.store.import_runs import Earlier
from kiosk.store.subjects import Enrolment, ImportedFile

REPORT_COLUMNS = ("file", "person", "outcome", "session_number", "detail")
AHEAD = 4  # people analysed before the oldest is stored, per worker

Assessed = list["tuple[Path, Reference | EnrolmentResult]"]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one person, with a row of the report for each photograph."""

    item: Item
    outcome: str
    rows: Sequence[Sequence[object]] = field(repr=False)


def gallery_import(chosen: argparse.Namespace) -> int:
    """Enrol many people; go on where an earlier run was stopped."""
    source = read_source(chosen.source)
    if not source.items and not any(aside.is_person for aside in source.asides):
        raise ConfigError(f"{chosen.source} holds no photographs ({', '.join(sorted(SUFFIXES))})")
    workers = chosen.workers or os.cpu_count() or 1
    path = chosen.report or chosen.source.resolve().with_name(chosen.source.resolve().name + "-import.csv")
    if path.resolve() == chosen.source.resolve():
        raise ConfigError(f"{path} is the source; the report would overwrite it")
    people, photographs, aside_counts = Counter[str](), Counter[str](), Counter[str]()
    total = sum(len(item.files) for item in source.items)
    # One thread a network: photographs run side by side, not one on many threads.
    with assembly.open_device(chosen, threads=1) as device, path.open("w", newline="", encoding="utf-8") as file:
        run = device.store.imports.begin(str(chosen.source.resolve()).encode("utf-8", "backslashreplace").decode())
        report = csv.writer(file)
        report.writerow(REPORT_COLUMNS)
        for aside in source.asides:
            report.writerow(map(cell, (aside.file, aside.person, aside.outcome, "", aside.sentence)))
            aside_counts[aside.outcome] += 1
            people[aside.outcome] += aside.is_person
        with tqdm(total=total, unit="photo", file=sys.stderr, disable=chosen.json) as bar:
            for settled in _run(device, source.items, run, workers, chosen):
                report.writerows(map(cell, row) for row in settled.rows)
                people[settled.outcome] += 1
                photographs.update(str(row[2]) for row in settled.rows)
                bar.update(len(settled.rows))
        device.store.imports.end(run)
    counted = {name: dict(+counts) for name, counts in (("people", people), ("photographs", photographs))}
    told = {"report": str(path), **counted, "not_looked_at": dict(aside_counts)}
    if chosen.json:
        print(json.dumps(told, indent=2))
    else:
        _print_counts(told, shown(str(path)))
    return 0


def _print_counts(told: Mapping[str, Any], path: str) -> None:
    for name, counts in told.items():
        if isinstance(counts, dict) and counts:
            print(f"{sum(counts.values()):>7}  {name.replace('_', ' ')}")
            for outcome, count in sorted(counts.items(), key=lambda one: -one[1]):
                print(f"{count:>11}  {outcome}")
    print(f"--- report in {path} ---")


def _run(
    device: Device, items: Sequence[Item], run: int, workers: int, chosen: argparse.Namespace
) -> Iterator[Settled]:
    """Yield what became of each person, in order; analysis runs ahead, storing does not."""
    waiting: deque[tuple[Item, Future[Assessed] | Earlier]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                earlier = device.store.imports.earlier(run, _key(item), item.modified_ns)
                waiting.append((item, earlier or pool.submit(_assess, device, item, chosen.rotate)))
                if len(waiting) > AHEAD * workers:
                    yield _settle(device, *waiting.popleft(), run, chosen)
            while waiting:
                yield _settle(device, *waiting.popleft(), run, chosen)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _key(item: Item) -> str:
    return item.key.encode("utf-8", "backslashreplace").decode()


def _assess(device: Device, item: Item, rotate: bool) -> Assessed:  # noqa: FBT001  one caller, above
    assessed: Assessed = []
    for path in item.files:
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                raise ImageError("it is not a regular file")
            if about.st_size > MAX_BYTES:
                raise ImageError(TOO_LARGE)
            assessed.append((path, assess(device, path.read_bytes(), rotate=rotate, with_heic=True).outcome))
        except (ImageError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            assessed.append((path, EnrolmentResult("unreadable", reason)))
    return assessed


def _settle(
    device: Device, item: Item, result: Future[Assessed] | Earlier, run: int, chosen: argparse.Namespace
) -> Settled:
    name = item.details.name or ""
    if isinstance(result, Earlier):
        number = result.subject or ""
        rows = [(path, name, "earlier", number, f"in the run before: {result.outcome}") for path in item.files]
        return Settled(item, "earlier", [(str(path), *rest) for path, *rest in rows])
    assessed = result.result()
    references = [one for _, one in assessed if isinstance(one, Reference)]
    outcome = None
    if references:
        imported = ImportedFile(run, _key(item), item.modified_ns, "added")
        outcome = admit(
            device,
            references,
            Enrolment(templates=(), details=item.details, source="import"),
            allow_duplicate=chosen.allow_duplicate,
            imported=imported,
            actor="import",
        )
    kind = outcome.kind if outcome else next(one.kind for _, one in assessed if isinstance(one, EnrolmentResult))
    if outcome is None or not outcome.is_stored:
        of = outcome.of.subject if outcome is not None and outcome.of is not None else None
        device.store.imports.mark(ImportedFile(run, _key(item), item.modified_ns, kind), of)
    told_rows: list[Sequence[object]] = []
    for path, one in assessed:
        told = one if isinstance(one, EnrolmentResult) else outcome
        assert told is not None  # a Reference was admitted
        number = told.subject.session_number if told.subject else told.of.subject if told.of else ""
        told_rows.append((str(path), name, told.kind, number, "" if told.is_stored else told.sentence))
    return Settled(item, kind, told_rows)


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

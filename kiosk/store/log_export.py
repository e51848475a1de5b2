"""The decision log as text that leaves the store: one record a line, or a table for people."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from kiosk.rules.text import cell
from kiosk.store import chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kiosk.store.chain import Signed

EXPORT_COLUMNS = (
    "seq",
    "at",
    "kind",
    "status",
    "score",
    "request_id",
    "session_number",
    "warnings",
    "thresholds",
    "model",
    "gallery_size",
    "clock",
    "actor",
    "details",
    "hash",
    "signature",
)


def export(records: Iterable[Signed], kind: str) -> Iterator[str]:
    """Return records of the log as pieces of text.

    Args:
        records: in order.
        kind: "json": one record a line, with hash and signature, so that `chain.verify` can
            walk it elsewhere; "csv": a table for people.
    """
    if kind == "json":
        for signed in records:
            line = {
                "seq": signed.seq,
                "record": signed.record,
                "hash": signed.hash.hex(),
                "signature": signed.signature.hex(),
            }
            yield chain.canonical(line) + "\n"
    elif kind == "csv":
        yield _csv_row(EXPORT_COLUMNS)
        for signed in records:
            yield _csv_row(_export_row(signed))
    else:
        raise ValueError(f"want csv or json, got {kind}")


def _export_row(signed: Signed) -> list[object]:
    entry = signed.entry
    at = datetime.fromtimestamp(entry.at, timezone.utc).isoformat(timespec="milliseconds")
    return [
        entry.seq,
        at.replace("+00:00", "Z"),
        entry.kind.value,
        entry.status,
        entry.score,
        entry.request_id,
        entry.session_number,
        " ".join(entry.warnings),
        chain.canonical(entry.thresholds) if entry.thresholds else None,
        entry.model,
        entry.gallery_size,
        entry.clock.value,
        entry.actor,
        chain.canonical(entry.details) if entry.details else None,
        signed.hash.hex(),
        signed.signature.hex(),
    ]


def _csv_row(values: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(map(cell, values))
    return line.getvalue()

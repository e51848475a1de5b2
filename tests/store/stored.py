"""What the tests of the store share: people to enrol, a clock, and an attacker's view of the files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from kiosk.store.directory import DATABASE_NAME
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Template
from tests.patience import LIMIT_S

MODEL = "a" * 64
OTHER_MODEL = "b" * 64
D = 32
ANN = Details(
    name="Ann Example-Übermut",
    document_type="Passport",
    document_number="AB-123 456",
    vendor_data="vendor-ann",
)
NOW = 1_800_000_000.0
DAY = 86400.0


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def template(seed: int, model: str = MODEL, size: int = D) -> Template:
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), model)


def enrolment(seed: int, details: Details | None = None) -> Enrolment:
    return Enrolment([template(seed)], details or Details(vendor_data=f"v{seed}"))


@contextmanager
def raw(directory: Path) -> Iterator[sqlite3.Connection]:
    """Open the database as an attacker or a broken disk would."""
    with closing(sqlite3.connect(directory / DATABASE_NAME, timeout=LIMIT_S, isolation_level=None)) as connection:
        yield connection


@contextmanager
def refusing(directory: Path, *acts: str, saying: str = "database or disk is full") -> Iterator[None]:
    """Have the database take none of these acts, such as "INSERT ON log", and say why: a disk that is full, or fails.

    An act may name a case: "INSERT ON subject WHEN NEW.session_number = 3".
    """
    with raw(directory) as disk:
        for number, act in enumerate(acts):
            disk.execute(f"CREATE TRIGGER refuses_{number} BEFORE {act} BEGIN SELECT RAISE(ABORT, '{saying}'); END")
        try:
            yield
        finally:
            for number in range(len(acts)):
                disk.execute(f"DROP TRIGGER refuses_{number}")


def files_with(directory: Path, needle: bytes) -> list[str]:
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and needle in path.read_bytes()
    ]


def needles() -> list[bytes]:
    vector = template(1).vector
    return [
        vector.tobytes()[:16],
        vector.tobytes()[-16:],
        vector.astype(">f4").tobytes()[:16],
        b"Example-",
        "Übermut".encode(),
        b"AB-123",
        b"AB123456",
        b"vendor-ann",
        b"photograph",
    ]

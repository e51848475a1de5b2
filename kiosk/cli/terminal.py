"""What only a person at a terminal sees: emphasis, and a question before something that cannot be undone."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

GOOD, BAD, MAYBE, PLAIN = "32", "31", "33", ""
"""Colours, as terminals number them; each beside a word that says the same."""

GAP = 2  # blanks between two columns of a table
LEAST_WIDTH = 4  # of a column, however narrow the terminal is
BY_STATUS = {"Approved": GOOD, "Declined": BAD, "In Review": MAYBE}


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person reads what is printed."""
    return (stream or sys.stdout).isatty()


def emphasised(text: str, colour: str = PLAIN, stream: TextIO | None = None) -> str:
    """Return a text bold and in a colour on a terminal that shows some; NO_COLOR and pipes leave it as it is."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    if is_plain or not is_terminal(stream):
        return text
    return f"\033[1{';' + colour if colour else ''}m{text}\033[0m"


def confirmed(question: str) -> bool:
    """Ask a person at the terminal; anything but a clear yes is a no. --quiet hushes no question."""
    print(f"{question} [y/N] ", end="", file=_questions(), flush=True)
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def can_ask() -> bool:
    """Whether somebody is there to answer: scripts are not asked, and go on."""
    return sys.stdin.isatty() and _questions().isatty()


def _questions() -> TextIO:
    """Return where questions go: stderr, also while --quiet sends its notes nowhere."""
    return (sys.__stderr__ if isinstance(sys.stderr, _Nowhere) else None) or sys.stderr


class _Nowhere(io.TextIOBase):
    """Takes whatever is printed, and keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


REPORTING = frozenset(
    {
        "init", "backup", "restore", "enrol", "blocklist add", "blocklist remove", "gallery remove", "gallery allow",
        "gallery disallow", "gallery edit", "gallery add-photo", "gallery import", "forget", "store check",
        "store repair", "store rekey", "store sweep", "log verify", "models check", "models pull", "models import",
        "config check", "key revoke", "operator add", "operator password", "operator remove", "door release",
        "door lockdown", "door lift",
        "doctor", "shard key",
    }
)  # fmt: skip
"""The commands whose output only says that it is done, which --quiet leaves out; others print what they are for."""


@contextmanager
def hushed(chosen: argparse.Namespace) -> Iterator[None]:
    """With --quiet print no notes, and no report of a command that only did something; errors and JSON stay."""
    if not chosen.quiet:
        yield
        return
    says_something = chosen.command not in REPORTING or getattr(chosen, "json", False)
    with redirect_stderr(_Nowhere()), redirect_stdout(sys.stdout if says_something else _Nowhere()):
        yield


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO | None = None) -> Iterator[str]:
    """Yield a table's lines; on a terminal without empty columns, and with the widest ones cut until it fits.

    >>> list(table(("no.", "name"), [("1", "Person A"), ("12", "B")]))
    ['no.  name', '1    Person A', '12   B']
    """
    if is_terminal(stream):
        kept = [at for at in range(len(headers)) if any(row[at] for row in rows)] or range(len(headers))
        headers, rows = [headers[at] for at in kept], [[row[at] for at in kept] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    if is_terminal(stream):
        room = max(shutil.get_terminal_size().columns - GAP * (len(widths) - 1), len(widths) * LEAST_WIDTH)
        while sum(widths) > room:
            widths[widths.index(max(widths))] -= 1
    for row in (headers, *rows):
        yield (" " * GAP).join(_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def print_code(text: str) -> None:
    """Print a text as a QR code, for a telephone to photograph."""
    import segno  # noqa: PLC0415  30 ms, which few commands need

    segno.make(text, error="l").terminal(sys.stdout, compact=True)

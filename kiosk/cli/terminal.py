"""What only a person at a terminal sees: emphasis, and a question before something that cannot be undone."""

from __future__ import annotations

import os
import sys
from typing import TextIO

GOOD, BAD, MAYBE, PLAIN = "32", "31", "33", ""
"""Colours, as terminals number them; each beside a word that says the same."""

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
    """Ask a person at the terminal; anything but a clear yes is a no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def can_ask() -> bool:
    """Whether somebody is there to answer: scripts are not asked, and go on."""
    return sys.stdin.isatty() and sys.stderr.isatty()

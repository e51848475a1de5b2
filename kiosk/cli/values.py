"""Values in a command's arguments: each function reads one kind, and says what it wants where it got another."""

from __future__ import annotations

import argparse


def read_threshold(text: str) -> float:
    """Read a decline threshold, 0 to 100."""
    from kiosk.didit.contract import parse_threshold  # noqa: PLC0415  needs NumPy, and every command's `--help` us

    try:
        return parse_threshold(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_vendor_data(text: str) -> str | None:
    """Read the caller's name for a person; blank is none."""
    from kiosk.didit.contract import parse_vendor_data  # noqa: PLC0415  as above

    try:
        return parse_vendor_data(text) if text.strip() else None
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_seconds(text: str) -> float:
    """Read the length of a clip, s."""
    try:
        length_s = float(text)
    except ValueError:
        length_s = 0.0
    if not 2.0 <= length_s <= 60.0:  # noqa: PLR2004  long enough for an answer, short enough for a disk
        raise argparse.ArgumentTypeError(f"want 2 to 60 seconds, got {text!r}")
    return length_s


def read_count(text: str) -> int:
    """Read a number of rows: 1 to the largest that SQLite takes."""
    if not text.isdecimal() or not 1 <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"want a whole number of 1 or more, got {text!r}")
    return int(text)


def read_skip(text: str) -> int:
    """Read a number that may be 0."""
    return 0 if text == "0" else read_count(text)


def read_port(text: str) -> int:
    """Read a port; 0 stands for any free one."""
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004  the largest port there is
        raise argparse.ArgumentTypeError(f"want a port, 0 to 65535, got {text!r}")
    return int(text)


def read_days(text: str) -> int:
    """Read a number of days, a century at most."""
    if not text.isdecimal() or not 1 <= int(text) <= 36_525:  # noqa: PLR2004  a century
        raise argparse.ArgumentTypeError(f"want 1 to 36525 days, got {text!r}")
    return int(text)


def read_minutes(text: str) -> int:
    """Read a number of minutes, a week at most."""
    if not text.isdecimal() or not 1 <= int(text) <= 10_080:  # noqa: PLR2004  a week
        raise argparse.ArgumentTypeError(f"want 1 to 10080 minutes, got {text!r}")
    return int(text)


def read_part(text: str) -> tuple[int, int]:
    """Read which part of how many, such as 1/4."""
    part, slash, of = text.partition("/")
    if not (slash and part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise argparse.ArgumentTypeError(f"want a part such as 1/4, got {text!r}")
    return int(part), int(of)

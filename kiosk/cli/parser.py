"""The parser of the command line: argparse with a guess at what was meant, and completion where it is installed."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Sequence
from typing import Any, NoReturn

ALIKE = 0.6  # of two words, from which one may be meant by the other
COMPLETING = "_ARGCOMPLETE"  # set by the shell that asks for completions


class Parser(argparse.ArgumentParser):
    """Says what a wrong word may have been meant to be."""

    def error(self, message: str) -> NoReturn:
        """End with what was wrong, and with the nearest right word."""
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong is not None:
            message = f"{message}{_guess(wrong[1], re.findall(r'[A-Za-z][A-Za-z_-]*', wrong[2]))}"
        super().error(message)

    def parse_known_args(  # type: ignore[override]  # typeshed's overloads say no more than this
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Refuse an option that is none at the command that was given it, whose options are the ones to guess from."""
        chosen, rest = super().parse_known_args(args, namespace)
        unknown = [word for word in rest if word.startswith("--") and len(word) > len("--")]
        if unknown:
            known = re.findall(r"--[a-z-]+", self.format_help())
            self.error(f"unrecognized arguments: {' '.join(rest)}{_guess(unknown[0].partition('=')[0], known)}")
        return chosen, rest


def _guess(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1, cutoff=ALIKE)
    return f"; did you mean {found[0]}?" if found else ""


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions; only it sets the variable, so nobody else waits for the import."""
    if COMPLETING not in os.environ:
        return
    try:
        import argcomplete  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  the extra `completion`
    except ImportError:
        return
    argcomplete.autocomplete(parser)

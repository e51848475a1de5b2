"""The report's words in one of the pages' languages, and numbers as people of it write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

TEXTS = Path(__file__).parents[2] / "web" / "common"
LANGUAGES = ("en", "de")
POINT = {"en": ".", "de": ","}
GROUP = {"en": ",", "de": "."}  # between thousands


@dataclass(frozen=True, slots=True)
class Wording:
    """One language; a key that is not there is a mistake in our own files."""

    language: str
    texts: Mapping[str, str] = field(repr=False)

    def __call__(self, key: str, **values: object) -> str:
        """Return the report's words for a key, with values put in."""
        return self.texts[f"report.{key}"].format(**values)

    def step(self, name: str) -> str:
        """Return the name of a step, as the page has it."""
        return self.texts[f"accept.{name}"]

    def number(self, value: float, digits: int | None = None) -> str:
        """Write a number.

        >>> words_of("de").number(33000, 0), words_of("en").number(76.5), words_of("de").number(1.25, 1)
        ('33.000', '76.5', '1,2')
        """
        written = f"{value:g}" if digits is None else f"{value:,.{digits}f}"
        return written.translate(str.maketrans(".,", POINT[self.language] + GROUP[self.language]))

    def percent(self, share: float | None) -> str:
        """Write a rate.

        >>> words_of("en").percent(0.0487), words_of("de").percent(0.00512), words_of("de").percent(None)
        ('4.9 %', '0,51 %', '-')
        """
        if share is None:
            return "-"
        few = 0.0 < share < 0.01  # noqa: PLR2004  one digit would be 0
        return f"{self.number(100 * share, 2 if few else 1)} %"


@lru_cache
def words_of(language: str) -> Wording:
    """Return the words of a language; of one that nobody wrote, the English ones."""
    known = language if language in LANGUAGES else LANGUAGES[0]
    return Wording(known, json.loads((TEXTS / f"{known}.json").read_text(encoding="utf-8")))

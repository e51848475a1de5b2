"""The papers' words in one of their languages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "de")


@dataclass(frozen=True, slots=True)
class Words:
    """One language; a key that is not there is a mistake in our own files."""

    language: str
    texts: Mapping[str, str] = field(repr=False)

    def __call__(self, key: str, **values: object) -> str:
        """Return the words of a key, with values put in."""
        return self.texts[key].format(**values)

    def keys(self, part: str) -> tuple[str, ...]:
        """Return the keys of a part, in their order."""
        return tuple(key for key in self.texts if key.startswith(f"{part}."))

    def days(self, count: float) -> str:
        """Write a number of days.

        >>> words_of("en").days(1.0), words_of("en").days(1095.75), words_of("de").days(0.5)
        ('1 day', '1,095.75 days', '0,5 Tage')
        """
        return self._counted("days", count)

    def hours(self, count: float) -> str:
        """Write a number of hours."""
        return self._counted("hours", count)

    def _counted(self, unit: str, count: float) -> str:
        written = f"{count:,.10g}"
        if self.language == "de":
            written = written.translate(str.maketrans(".,", ",."))
        return self(f"{unit}.{'one' if count == 1 else 'other'}", n=written)


@lru_cache
def words_of(language: str) -> Words:
    """Return the words of a language; of one that nobody wrote, the English ones."""
    known = language if language in LANGUAGES else LANGUAGES[0]
    return Words(known, json.loads((Path(__file__).parent / f"{known}.json").read_text(encoding="utf-8")))

"""Every mistake in the settings at once, each with its line and the nearest right name; `load_config` stops at one.

The same checks decide here as at a start, so that nothing passes one and fails the other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kiosk.errors import ConfigError
from kiosk.settings.config import (
    PREFIX,
    Config,
    Sources,
    checked_setting,
    listed,
    read_toml,
    read_variable,
    shown_value,
    types_of,
)

_SECTION = re.compile(r"\s*\[\s*[\"']?([\w-]+)[\"']?\s*\]")
_SETTING = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*=")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to mend."""

    sentence: str
    file: Path | None = None  # None for a variable, or where no file is at fault
    line: int = 0  # from 1; 0 where there is none

    def __str__(self) -> str:
        """Return it as compilers write it."""
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return place + self.sentence


@dataclass(slots=True)
class Found:
    """What was found: the mistakes, and the settings with the default in place of each wrong one."""

    config: Config = field(default_factory=Config)
    mistakes: list[Mistake] = field(default_factory=list)
    places: dict[tuple[str, str], tuple[Path, int]] = field(default_factory=dict)

    def add(self, sentence: str, section: str = "", setting: str = "") -> None:
        """Note a mistake; where the file names the setting or its section, with that line."""
        file, line = self.places.get((section, setting)) or self.places.get((section, "")) or (None, 0)
        self.mistakes.append(Mistake(sentence, file, line))


def find_mistakes(sources: Sources) -> Found:
    """Check all settings, and go on behind each mistake."""
    found = Found()
    known = types_of(Config)
    values: dict[str, dict[str, Any]] = {name: {} for name in known}
    for path in filter(None, (sources.file, sources.changes, sources.orders)):
        if path is not sources.file and not path.is_file():
            continue
        try:
            told = read_toml(path)
        except ConfigError as error:
            found.mistakes.append(Mistake(str(error).removeprefix(f"{path} "), path, _line_in(str(error))))
            continue
        found.places |= _places(path)
        for name, section in told.items():
            if name not in known:
                others = [one for one, kind in known.items() if name in {two.name for two in fields(kind)}]
                found.add(f"there is no section [{name}]{_nearest(name, known, others)}", name)
            elif not isinstance(section, dict):
                found.add(f"want a section [{name}], got {name} = {shown_value(section)}", "", name)
            else:
                values[name] |= section
    built = {name: _section(found, name, kind, values[name], sources.environment) for name, kind in known.items()}
    found.config = replace(found.config, **built)
    return found


def explained(error: ConfigError, sources: Sources) -> str:
    """Return what to mend first, with its file, line and what was probably meant; else the error's own words."""
    mistakes = find_mistakes(sources).mistakes
    more = f"; `kiosk config check` shows {len(mistakes) - 1} more" if len(mistakes) > 1 else ""
    return f"{mistakes[0]}{more}" if mistakes else str(error)


def _section(found: Found, name: str, kind: Any, values: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    """Return a section; where a setting of it is wrong, with that one's default."""
    settings, types, chosen = {one.name: one for one in fields(kind)}, types_of(kind), {}
    for unknown in sorted(set(values) - set(settings)):
        others = [one for one, of in types_of(Config).items() if unknown in {two.name for two in fields(of)}]
        found.add(f"[{name}] has no {unknown}{_nearest(unknown, settings, others)}", name, unknown)
    variables = {f"{PREFIX}{name}_{one}".upper(): one for one in settings}
    for variable in sorted(v for v in environment if v.startswith(f"{PREFIX}{name}_".upper()) and v not in variables):
        found.add(f"{variable} names no setting{_nearest(variable, variables, ())}")
    for one in settings.values():
        variable = f"{PREFIX}{name}_{one.name}".upper()
        try:
            if variable in environment:
                value = read_variable(variable, types[one.name], environment[variable])
                chosen[one.name] = checked_setting(variable, one, types[one.name], value)
            elif one.name in values:
                where = f"[{name}] {one.name}"
                chosen[one.name] = checked_setting(where, one, types[one.name], values[one.name])
        except ConfigError as error:
            place = () if variable in environment else (name, one.name)
            found.add(str(error), *place)
    try:
        return kind(**chosen)
    except ValueError as error:  # a section that is a rule refuses as rules do
        found.add(f"[{name}]: {error}", name)
    except ConfigError as error:
        found.add(str(error), name, next((one for one in chosen if f"] {one}:" in str(error)), ""))
    return kind()


def _nearest(name: str, known: Mapping[str, Any], others: Sequence[str]) -> str:
    """Return what was probably meant, for the end of a sentence."""
    if close := difflib.get_close_matches(name, known, 1):
        return f"; did you mean {close[0]}?"
    if others:
        return f"; it belongs into [{'] or ['.join(others)}]"
    return f"; there are {listed(sorted(known))}"


def _line_in(sentence: str) -> int:
    """Return the line that a reader of TOML names."""
    found = re.search(r"at line (\d+)", sentence)
    return int(found[1]) if found else 0


def _places(path: Path) -> dict[tuple[str, str], tuple[Path, int]]:
    """Return where the file names each section and setting; a line is found as people write it, one a line."""
    places: dict[tuple[str, str], tuple[Path, int]] = {}
    section = ""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if head := _SECTION.match(line):
            section = head[1]
            places.setdefault((section, ""), (path, number))
        elif one := _SETTING.match(line):
            places.setdefault((section, one[1]), (path, number))
    return places

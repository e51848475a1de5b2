"""kiosk.toml and the environment → one frozen `Config`, checked once.

Each setting has a default, a range and a sentence, all beside it here; `kiosk config docs` prints them. An
unknown or wrong setting refuses the start and says what would be right. `KIOSK_<SECTION>_<SETTING>` in the
environment overrides the file, for instance KIOSK_SEARCH_SIMILARITY_THRESHOLD=80.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from kiosk.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "KIOSK_"
SYSTEM_STATE = Path("/var/lib/kiosk")
SYSTEM_FILE = Path("/etc/kiosk/kiosk.toml")


def _setting(default: Any, sentence: str, *, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    """Declare a setting: default, what it does, its range, and `unit` or `choices`."""
    metadata = MappingProxyType({"sentence": sentence, "low": low, "high": high, **more})
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Models:
    """[models]: which networks, and what runs them."""

    pack: str = _setting("", "Folder of another model pack; empty for the one that travels with the kiosk.")
    accept_non_commercial: bool = _setting(
        False, "Load models whose licence forbids commercial use; say true only if yours is none."
    )
    threads: int = _setting(0, "Threads one network may use; 0 for one a core, at most four.", low=0, high=64)
    providers: tuple[str, ...] = _setting(
        ("CPUExecutionProvider",), "onnxruntime execution providers, best first; a Jetson may list TensorRT and CUDA."
    )
    finder_runtime: str = _setting(
        "onnx", "What runs the face detector: onnxruntime or LiteRT.", choices=("onnx", "tflite")
    )


@dataclass(frozen=True, slots=True)
class Match:
    """[match]: 1:1 comparisons, Didit's Face Match."""

    decline_threshold: int = _setting(
        30, "Score below which a match is declined when the request does not say.", low=0, high=100, unit="score"
    )
    review_threshold: int = _setting(
        0, "Score below which an approved match goes to review instead; 0 for never.", low=0, high=100, unit="score"
    )


@dataclass(frozen=True, slots=True)
class Search:
    """[search]: 1:N searches, Didit's Face Search."""

    similarity_threshold: float = _setting(
        70.0, "Similarity at which a person is listed.", low=0.0, high=100.0, unit="score"
    )
    blocklist_threshold: float = _setting(
        -1.0,
        "Similarity at which a blocklisted person declines; -1 for the same as similarity_threshold.",
        low=-1.0,
        high=100.0,
        unit="score",
    )
    hold_fpir: float = _setting(
        0.0,
        "Chance that a stranger's search lists anybody, held by raising the threshold as the gallery grows; 0 for off.",
        low=0.0,
        high=0.5,
        unit="share",
    )
    warn_fpir: float = _setting(
        0.1, "Chance that a stranger's search lists anybody from which health warns.", low=0.0, high=1.0, unit="share"
    )
    allow_multiple_faces: bool = _setting(
        False, "Only mention several faces in a picture instead of asking for review."
    )
    max_matches: int = _setting(5, "Most people in an answer.", low=1, high=100, unit="people")


@dataclass(frozen=True, slots=True)
class Store:
    """[store]: what is kept, and how long."""

    retention_days: float = _setting(
        1095.75, "How long a person is kept when the enrolment does not say.", low=1.0, high=36525.0, unit="days"
    )
    keep_images: bool = _setting(False, "Keep the enrolment photographs, sealed like everything personal.")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set."""

    models: Models = field(default_factory=Models)
    match: Match = field(default_factory=Match)
    search: Search = field(default_factory=Search)
    store: Store = field(default_factory=Store)


def load_config(path: Path | None = None, environment: Mapping[str, str] = MappingProxyType({})) -> Config:
    """Read settings from a file and the environment.

    Args:
        path: kiosk.toml; None for defaults and environment only.
        environment: such as os.environ; only names that begin with KIOSK_<SECTION>_ count.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong kind or out of range.
    """
    sections = _read(path) if path is not None else {}
    known = get_type_hints(Config)
    if unknown := sorted(set(sections) - set(known)):
        raise ConfigError(f"{path} has no use for {_list(unknown)}; its sections are {_list(sorted(known))}")
    built = {}
    for name, kind in known.items():
        values = sections.get(name, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: want a section [{name}], got {name} = {values!r}")
        built[name] = _section(name, kind, values, environment)
    return Config(**built)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _section(name: str, kind: type, values: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    settings = {one.name: one for one in fields(kind)}
    if unknown := sorted(set(values) - set(settings)):
        raise ConfigError(f"[{name}] has no {_list(unknown)}; it knows {_list(sorted(settings))}")
    types = get_type_hints(kind)
    chosen = {}
    for one in settings.values():
        where = f"[{name}] {one.name}"
        variable = f"{PREFIX}{name}_{one.name}".upper()
        value = values.get(one.name, one.default)
        if variable in environment:
            where, value = variable, _from_text(variable, types[one.name], environment[variable])
        chosen[one.name] = _checked(where, one, types[one.name], value)
    return kind(**chosen)


def _from_text(where: str, kind: Any, text: str) -> Any:
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{where}: want {_word(kind)}, got {text!r}") from None
    return [part.strip() for part in text.split(",") if part.strip()] if kind == tuple[str, ...] else text


def _checked(where: str, one: Field[Any], kind: Any, value: Any) -> Any:
    if kind == tuple[str, ...]:
        if not (isinstance(value, (list, tuple)) and value and all(isinstance(part, str) for part in value)):
            raise ConfigError(f"{where}: want a list of one or more texts, got {value!r}")
        return tuple(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:  # a bool is an int to isinstance, and is not one to whoever wrote it
        raise ConfigError(f"{where}: want {_word(kind)}, got {value!r}")
    low, high, choices = one.metadata["low"], one.metadata["high"], one.metadata.get("choices")
    if low is not None and not low <= value <= high:  # a NaN fails this too
        raise ConfigError(f"{where}: want {low} to {high}, got {value}")
    if choices and value not in choices:
        raise ConfigError(f"{where}: want {' or '.join(choices)}, got {value!r}")
    return value


def describe() -> str:
    """Return every setting as a kiosk.toml with the defaults commented out."""
    lines = ["# Settings of the kiosk. Every line is a default; uncomment one to change it."]
    for section in fields(Config):
        kind = get_type_hints(Config)[section.name]
        lines += ["", f"# {kind.__doc__.split(':', 1)[1].strip().capitalize()}", f"[{section.name}]"]
        for one in fields(kind):
            about = one.metadata
            limits = f" {about['low']} to {about['high']}" if about["low"] is not None else ""
            limits = f" {' or '.join(about['choices'])}" if about.get("choices") else limits
            unit = f" {about['unit']}" if about.get("unit") else ""
            detail = f" ({(limits + unit).strip()})" if limits or unit else ""
            lines += [f"# {about['sentence']}{detail}", f"# {one.name} = {_toml(one.default)}"]
    return "\n".join(lines) + "\n"


def show(config: Config) -> str:
    """Return the settings in force as TOML."""
    lines = []
    for section in fields(config):
        lines.append(f"[{section.name}]")
        values = getattr(config, section.name)
        lines += [f"{one.name} = {_toml(getattr(values, one.name))}" for one in fields(values)] + [""]
    return "\n".join(lines)


def state_directory(chosen: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the state lives: --state, KIOSK_STATE, /var/lib/kiosk where writable, else the home's share."""
    named = chosen or environment.get("KIOSK_STATE")
    if named:
        return Path(named).expanduser()
    nearest = SYSTEM_STATE if SYSTEM_STATE.exists() else SYSTEM_STATE.parent
    if os.access(nearest, os.W_OK):
        return SYSTEM_STATE
    home = environment.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "kiosk"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return str(value)


def _word(kind: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]


def _list(names: list[str]) -> str:
    return ", ".join(names)

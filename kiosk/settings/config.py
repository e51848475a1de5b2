"""kiosk.toml and the environment → one frozen `Config`, checked once.

The sections, with default, range and sentence of each setting, are sections.py's, network.py's and neighbours.py's;
`kiosk config docs` prints them. An unknown or wrong setting refuses the start and says what would be right.
`KIOSK_<SECTION>_<SETTING>` in the environment overrides the file, for instance
KIOSK_SEARCH_SIMILARITY_THRESHOLD=80.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import re
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from kiosk.errors import ConfigError
from kiosk.rules.limits import Limits
from kiosk.rules.passage import PassageRule
from kiosk.rules.passes import PassRule
from kiosk.rules.patience import Patience
from kiosk.settings.door import DoorSettings
from kiosk.settings.neighbours import FactorSettings, MqttSettings, OsdpSettings, SyslogSettings, WiegandSettings
from kiosk.settings.network import ApiSettings, CloudSettings, FleetSettings
from kiosk.settings.sections import (
    CameraSettings,
    DegradedSettings,
    EnrolmentSettings,
    EntranceSettings,
    HealthSettings,
    MatchSettings,
    ModelSettings,
    PadSettings,
    ReviewSettings,
    ScheduleSettings,
    SearchSettings,
    StoreSettings,
)
from kiosk.settings.workflows import SessionSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "KIOSK_"
CHANGES_NAME = "settings.toml"  # in the state directory: what operators changed in the page
ORDERED_NAME = "fleet.toml"  # there: what the owner of a fleet ordered for every kiosk
SYSTEM_STATE = Path("/var/lib/kiosk")
SYSTEM_FILE = Path("/etc/kiosk/kiosk.toml")
LONGEST_INT_BITS = 200
LONGEST_SENTENCE = 600
log = logging.getLogger("kiosk.settings")
_USER_INFO = re.compile(r"(?<=//)[^/@\s]+(?=@)")
_QUERY = re.compile(r"(?<=\?).*", re.DOTALL)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 2


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set."""

    models: ModelSettings = field(default_factory=ModelSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    presentation: Limits = field(default_factory=Limits)
    pad: PadSettings = field(default_factory=PadSettings)
    entrance: EntranceSettings = field(default_factory=EntranceSettings)
    enrolment: EnrolmentSettings = field(default_factory=EnrolmentSettings)
    review: ReviewSettings = field(default_factory=ReviewSettings)
    attempts: Patience = field(default_factory=Patience)
    degraded: DegradedSettings = field(default_factory=DegradedSettings)
    door: DoorSettings = field(default_factory=DoorSettings)
    factors: FactorSettings = field(default_factory=FactorSettings)
    passage: PassageRule = field(default_factory=PassageRule)
    passes: PassRule = field(default_factory=PassRule)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    cloud: CloudSettings = field(default_factory=CloudSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    syslog: SyslogSettings = field(default_factory=SyslogSettings)
    osdp: OsdpSettings = field(default_factory=OsdpSettings)
    wiegand: WiegandSettings = field(default_factory=WiegandSettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)


def load_config(
    path: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    changes: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Config:
    """Read settings from a file, what operators changed, and the environment; the later go before the earlier.

    Args:
        path: kiosk.toml; None for defaults and environment only.
        environment: such as os.environ; only names that begin with KIOSK_<SECTION>_ count.
        changes: settings by section, see `Sources`.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong kind or out of range.
    """
    sections = read_toml(path) if path is not None else {}
    known = types_of(Config)
    if unknown := sorted((set(sections) | set(changes)) - set(known)):
        raise ConfigError(f"{path} has the unknown section {listed(unknown)}; the sections are {listed(sorted(known))}")
    built = {}
    for name, kind in known.items():
        values = sections.get(name, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: want a section [{name}], got {name} = {shown_value(values)}")
        built[name] = _section(name, kind, {**values, **changes.get(name, {})}, environment)
    return Config(**built)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings come from; the later goes before: kiosk.toml, operators, a fleet's owner, the environment."""

    file: Path | None = None
    changes: Path | None = None  # settings.toml in the state directory; only the kiosk writes it
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    orders: Path | None = None  # fleet.toml in the state directory; only the kiosk writes it

    def ordered(self) -> dict[str, dict[str, Any]]:
        """Return what the owner of the fleet ordered, by section."""
        return read_toml(self.orders) if self.orders is not None and self.orders.is_file() else {}

    def changed(self) -> dict[str, dict[str, Any]]:
        """Return what operators changed, by section."""
        return read_toml(self.changes) if self.changes is not None and self.changes.is_file() else {}

    def load(self, more: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> Config:
        """Read all settings; `more` are changes not written yet.

        Raises:
            ConfigError: a setting is wrong; the message says what would be right.
        """
        changed = _merged(self.changed(), more)
        try:
            return load_config(self.file, self.environment, _merged(changed, self.ordered()))
        except ConfigError:
            fitting, reason = self.fitting()
            if reason is None:  # what is wrong is not the owner's
                raise
            config = load_config(self.file, self.environment, _merged(changed, fitting))
        log.warning("fleet settings left out in part reason=%r", reason)
        return config

    def fitting(self) -> tuple[dict[str, dict[str, Any]], str | None]:
        """Return what this program can start with of what the owner ordered, and why that is not all of it.

        An order was checked when it was taken; another program, or another kiosk.toml, may refuse it, and a kiosk that
        does not start hears of no better one.
        """
        try:
            ordered = self.ordered()
        except ConfigError as error:
            return {}, str(error)
        changed = self.changed()

        def refused(orders: Mapping[str, Mapping[str, Any]]) -> str | None:
            try:
                load_config(self.file, self.environment, _merged(changed, orders))
            except ConfigError as error:
                return str(error)
            return None

        reason, fitting = refused(ordered), ordered
        if reason is not None:
            fitting = {}
            for section, values in ordered.items():
                parts = ({section: {name: value}} for name, value in dict(values).items())
                for part in ({section: values}, *parts):  # a section as a whole, or what of it fits
                    more = _merged(fitting, part)
                    if refused(more) is None:
                        fitting = more
        return fitting, reason

    def load_section(self, name: str) -> Any:
        """Read one section alone, whatever is wrong with the others; the door opens by its own.

        Raises:
            ConfigError: this section is wrong, or no file can be read.
        """
        values = (read_toml(self.file) if self.file is not None else {}).get(name, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{self.file}: want a section [{name}], got {name} = {shown_value(values)}")
        try:
            changed = self.changed().get(name, {})
        except ConfigError:  # what operators changed cannot be read: `load` says so; the door has the installer's
            changed = {}
        return _section(name, types_of(Config)[name], {**values, **changed}, self.environment)

    def overrides(self, section: str, setting: str) -> bool:
        """Say whether the environment has this setting, so that a change would change nothing."""
        return f"{PREFIX}{section}_{setting}".upper() in self.environment

    def keep(self, more: Mapping[str, Mapping[str, Any]]) -> None:
        """Write changes that `load` took, whole or not at all.

        Raises:
            ConfigError: there is no place to write them, or it cannot be written.
        """
        if self.changes is None:
            raise ConfigError("settings cannot be changed here: no state directory to keep them in")
        head = "# Written by the kiosk: what operators changed. It goes before kiosk.toml."
        part = self.changes.with_name(f".{self.changes.name}.part")
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(written(head, _merged(self.changed(), more)))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.changes)
        except OSError as error:
            raise ConfigError(f"cannot write {self.changes}: {error.strerror}") from error


def written(head: str, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Return settings as TOML, below a comment."""
    lines = [head]
    for name, values in sorted(sections.items()):
        lines += ["", f"[{name}]", *(f"{one} = {_toml(value)}" for one, value in sorted(values.items()))]
    return "\n".join(lines) + "\n"


def _merged(one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**one.get(name, {}), **other.get(name, {})} for name in {*one, *other}}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        content = path.read_bytes()
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ConfigError(f"{path} is in UTF-16; save it as UTF-8")
        return tomllib.loads(content.decode("utf-8-sig"))  # Windows' editors begin with a mark
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except RecursionError:
        raise ConfigError(f"{path} is not TOML the kiosk reads: brackets within brackets, too deep") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: byte {error.start + 1} is not UTF-8; save it as UTF-8") from error
    except ValueError as error:  # not TOML, or a number of thousands of digits
        raise ConfigError(f"{path} is not TOML: {error}") from error


@functools.cache
def types_of(kind: type) -> Mapping[str, Any]:
    """Return the type of each field of a section, or of each section of `Config`; finding them costs more than a check.

    Read-only: all callers share one.
    """
    return MappingProxyType(get_type_hints(kind))


def _section(name: str, kind: type, values: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    settings = {one.name: one for one in fields(kind)}
    if unknown := sorted(set(values) - set(settings)):
        raise ConfigError(f"[{name}] has no {listed(unknown)}; it knows {listed(sorted(settings))}")
    variables = {f"{PREFIX}{name}_{one}".upper() for one in settings}
    if unknown := sorted(v for v in environment if v.startswith(f"{PREFIX}{name}_".upper()) and v not in variables):
        raise ConfigError(f"{listed(unknown)} names no setting; [{name}] knows {listed(sorted(settings))}")
    types = types_of(kind)
    chosen = {}
    for one in settings.values():
        where = f"[{name}] {one.name}"
        variable = f"{PREFIX}{name}_{one.name}".upper()
        value = values.get(one.name, one.default)
        if variable in environment:
            where, value = variable, read_variable(variable, types[one.name], environment[variable])
        chosen[one.name] = checked_setting(where, one, types[one.name], value)
    try:
        return kind(**chosen)
    except ConfigError as error:
        raise ConfigError(_clipped(str(error))) from None
    except ValueError as error:  # a section that is a rule refuses as rules do
        raise ConfigError(_clipped(f"[{name}]: {error}")) from None


def read_variable(where: str, kind: Any, text: str) -> Any:
    """Return what a variable of the environment says, still to be checked."""
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{where}: want {_word(kind)}, got {shown_value(text)}") from None
    return [part.strip() for part in text.split(",") if part.strip()] if kind == tuple[str, ...] else text


def checked_setting(where: str, one: Field[Any], kind: Any, value: Any) -> Any:
    """Return a setting's value; `where` names it in the ConfigError that refuses it."""
    if kind == tuple[str, ...]:
        if not (isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value)) or not (
            value or one.metadata.get("may_be_empty")
        ):
            raise ConfigError(f"{where}: want a list of one or more texts, got {shown_value(value)}")
        return tuple(value)
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise ConfigError(f"{where}: want a number that is less than 1e308, got {shown_value(value)}") from None
    if type(value) is not kind:  # a bool is an int to isinstance, and is not one to whoever wrote it
        raise ConfigError(f"{where}: want {_word(kind)}, got {shown_value(value)}")
    low, high, choices = one.metadata["low"], one.metadata["high"], one.metadata.get("choices")
    if kind is float and low is None and not math.isfinite(value):
        raise ConfigError(f"{where}: want a finite number, got {value}")
    if low is not None and not low <= value <= high:  # a NaN fails this too
        raise ConfigError(f"{where}: want {low} to {high}, got {shown_value(value)}")
    if choices and value not in choices:
        raise ConfigError(f"{where}: want {' or '.join(map(str, choices))}, got {shown_value(value)}")
    return value


def describe() -> str:
    """Return every setting as a kiosk.toml with the defaults commented out."""
    lines = ["# Settings of the kiosk. Every line is a default; uncomment one to change it."]
    for section in fields(Config):
        kind = types_of(Config)[section.name]
        sentence = kind.__doc__.split(":", 1)[1].strip()
        lines += ["", f"# {sentence[0].upper()}{sentence[1:]}", f"[{section.name}]"]
        for one in fields(kind):
            about = one.metadata
            limits = f" {about['low']} to {about['high']}" if about["low"] is not None else ""
            limits = f" {' or '.join(map(str, about['choices']))}" if about.get("choices") else limits
            unit = f" {about['unit']}" if about.get("unit") else ""
            detail = f" ({(limits + unit).strip()})" if limits or unit else ""
            lines += [f"# {about['sentence']}{detail}", f"# {one.name} = {_toml(one.default)}"]
    return "\n".join(lines) + "\n"


def show(config: Config) -> str:
    """Return the settings in force as TOML, without the passwords in addresses."""
    lines = []
    for section in fields(config):
        lines.append(f"[{section.name}]")
        values = getattr(config, section.name)
        shown = {one.name: getattr(values, one.name) for one in fields(values)}
        lines += [
            f"{name} = {_toml(without_secrets(value) if isinstance(value, str) else value)}"
            for name, value in shown.items()
        ]
        lines.append("")
    return "\n".join(lines)


def sources_of(file: Path | None, state: Path, environment: Mapping[str, str] = os.environ) -> Sources:
    """Return where settings come from: --config, KIOSK_CONFIG or /etc/kiosk/kiosk.toml; operators; KIOSK_ variables."""
    named = file or (Path(environment["KIOSK_CONFIG"]) if environment.get("KIOSK_CONFIG") else None)
    path = named or (SYSTEM_FILE if SYSTEM_FILE.is_file() else None)
    return Sources(path, state / CHANGES_NAME, environment, state / ORDERED_NAME)


def state_directory(
    chosen: str | None, environment: Mapping[str, str] = os.environ, *, system: Path = SYSTEM_STATE
) -> Path:
    """Return where the state lives: --state, KIOSK_STATE, /var/lib/kiosk where writable, else the home's share."""
    named = chosen or environment.get("KIOSK_STATE")
    if named:
        return Path(named).expanduser()
    if os.access(system if system.exists() else system.parent, os.W_OK):
        return system
    home = environment.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "kiosk"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return text.replace("\x7f", "\\u007f")  # but for DEL, JSON's texts are TOML's
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return str(value)


def shown_value(value: Any) -> str:
    """Return a value for a sentence: short, whatever somebody wrote, and without control characters."""
    if isinstance(value, int) and value.bit_length() > LONGEST_INT_BITS:
        return "a number of very many digits"
    return _SHORT.repr(value)


def _clipped(sentence: str) -> str:
    """Return a sentence that quotes a setting: short, and without control characters."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in sentence)
    return shown if len(shown) <= LONGEST_SENTENCE else f"{shown[:400]} … {shown[-150:]}"


def without_secrets(value: str) -> str:
    """Return a setting's text without the name, password and query of an address in it.

    >>> without_secrets("rtsp://anna:s3cret@camera/live?token=1"), without_secrets("dir:frames?fps=10")
    ('rtsp://***@camera/live?***', 'dir:frames?fps=10')
    """
    return _QUERY.sub("***", _USER_INFO.sub("***", value)) if "://" in value else value


def _word(kind: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]


def listed(names: list[str]) -> str:
    """Return names for a sentence."""
    return ", ".join(names)

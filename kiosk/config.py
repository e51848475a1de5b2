"""kiosk.toml and the environment → one frozen `Config`, checked once.

Each setting has a default, a range and a sentence, all beside it here; `kiosk config docs` prints them. An
unknown or wrong setting refuses the start and says what would be right. `KIOSK_<SECTION>_<SETTING>` in the
environment overrides the file, for instance KIOSK_SEARCH_SIMILARITY_THRESHOLD=80.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from kiosk.errors import ConfigError
from kiosk.grant import Patience, policy
from kiosk.limits import Limits
from kiosk.schedule import read_schedule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "KIOSK_"
SYSTEM_STATE = Path("/var/lib/kiosk")
SYSTEM_FILE = Path("/etc/kiosk/kiosk.toml")


def _setting(default: Any, sentence: str, *, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    """Declare a setting: default, what it does, its range, and `unit`, `choices` or `may_be_empty`."""
    metadata = MappingProxyType({"sentence": sentence, "low": low, "high": high, **more})
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Models:
    """[models]: which networks, and what runs them."""

    pack: str = _setting("", "Folder of another model pack; empty for the one that travels with the kiosk.")
    accept_non_commercial: bool = _setting(
        False, "Load models whose licence forbids commercial use; say true only if yours is none."
    )
    threads: int = _setting(0, "Threads one network may use; 0 for half the cores, at most two.", low=0, high=64)
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
class Camera:
    """[camera]: where pictures come from, and when they are not to be trusted."""

    source: str = _setting(
        "v4l2:/dev/video0",
        "picamera2:0, v4l2:/dev/video0, rtsp://…, http(s)://… (MJPEG), file:video.mp4, dir:frames/ or demo:; "
        "options follow as ?width=1280&height=720&fps=30 or ?fps=10&loop=1.",
    )
    rotation: int = _setting(
        0, "Turn the picture clockwise, for a camera mounted on its side.", choices=(0, 90, 180, 270), unit="degrees"
    )
    mirror: bool = _setting(False, "Swap left and right after turning, for a camera that shows a mirror image.")
    warmup_frames: int = _setting(
        10,
        "Frames dropped after a camera opens, while it finds its exposure; recordings lose none.",
        low=0,
        high=300,
        unit="frames",
    )
    max_pixels: int = _setting(
        8_294_400, "Largest frame taken; a larger one counts as no frame.", low=4_096, high=33_177_600, unit="px"
    )
    open_within_s: float = _setting(
        10.0, "Time a camera has from its start to its first frame.", low=1.0, high=120.0, unit="s"
    )
    lost_after_s: float = _setting(1.5, "Time without a new frame until it is lost.", low=0.1, high=60.0, unit="s")
    frozen_after_s: float = _setting(
        1.5,
        "Time with exactly the same pixels until it is frozen; 0 for never: some network cameras repeat a still scene.",
        low=0.0,
        high=3600.0,
        unit="s",
    )
    blind_after_s: float = _setting(
        1.0,
        "Time with frames too black, too white or too even until it counts as covered.",
        low=0.0,
        high=60.0,
        unit="s",
    )
    black_below: float = _setting(
        12.0, "Mean brightness below which a frame is black.", low=0.0, high=128.0, unit="of 255"
    )
    white_above: float = _setting(
        248.0, "Mean brightness above which a frame is white.", low=128.0, high=255.0, unit="of 255"
    )
    even_below: float = _setting(
        2.0, "Standard deviation of brightness below which a frame shows nothing.", low=0.0, high=64.0, unit="of 255"
    )
    reopen_first_s: float = _setting(
        0.5, "Wait before a camera is opened anew, doubled with each failure.", low=0.05, high=60.0, unit="s"
    )
    reopen_longest_s: float = _setting(
        30.0, "Longest wait before a camera is opened anew.", low=0.05, high=3600.0, unit="s"
    )


def _hold(section: str, check: Callable[[], object]) -> None:
    """Hold settings that must fit together against the rule of whoever uses them."""
    try:
        check()
    except ValueError as error:
        raise ConfigError(f"[{section}]: {error}") from None


@dataclass(frozen=True, slots=True)
class Presentation:
    """[presentation]: when a face is good enough to be judged, and how one person is followed."""

    face_low_px: float = _setting(
        72.0, "Edge of a face below which its owner should come closer.", low=20.0, high=2000.0, unit="px"
    )
    face_high_share: float = _setting(
        0.85, "Edge of a face above which its owner should step back.", low=0.1, high=2.0, unit="of the shorter edge"
    )
    bystander_px: float = _setting(
        36.0, "Edge of a face below which it is too far away to count as a person.", low=0.0, high=2000.0, unit="px"
    )
    luminance_low: float = _setting(
        40.0, "Mean brightness of the face below which it is too dark.", low=0.0, high=255.0, unit="of 255"
    )
    luminance_high: float = _setting(
        220.0, "Mean brightness of the face above which it is too bright.", low=0.0, high=255.0, unit="of 255"
    )
    contrast_low: float = _setting(
        10.0, "Least standard deviation of the face's brightness.", low=0.0, high=128.0, unit="of 255"
    )
    sharpness_low: float = _setting(
        20.0, "Least variance of the Laplacian of the face; below, it is blurred.", low=0.0, high=10000.0
    )
    frontality_low: float = _setting(
        0.3, "Least frontality: 1 looking straight ahead, 0 in profile.", low=0.0, high=1.0
    )
    speed_high: float = _setting(
        3.0, "Fastest movement across the picture that is judged.", low=0.1, high=100.0, unit="face widths a second"
    )
    frames: int = _setting(3, "Good frames whose templates make one probe.", low=1, high=20, unit="frames")
    gather_s: float = _setting(0.25, "Least time over which these frames are gathered.", low=0.0, high=5.0, unit="s")
    keep_s: float = _setting(1.5, "Longest age of a frame in a decision.", low=0.1, high=10.0, unit="s")
    blink_s: float = _setting(
        0.5, "Longest time that a face may be missing within one presentation.", low=0.05, high=3.0, unit="s"
    )
    overlap_low: float = _setting(
        0.3, "Least intersection over union of a face's boxes in two frames.", low=0.05, high=1.0, unit="share"
    )
    shift_high: float = _setting(
        0.6, "Longest way of a face between two frames.", low=0.05, high=5.0, unit="face widths"
    )
    same_person_score: float = _setting(
        70.0, "Least score between all frames of a presentation; below, it is two people.", low=0.0, high=100.0
    )
    other_person_score: float = _setting(
        50.0, "Score with the judged person below which somebody is clearly another.", low=0.0, high=100.0
    )
    rearm_s: float = _setting(
        1.0, "Time the judged person must be away before anybody is judged again.", low=0.1, high=60.0, unit="s"
    )
    recheck_s: float = _setting(
        0.25, "How often a face that stays is held against the judged person.", low=0.01, high=10.0, unit="s"
    )
    patience_s: float = _setting(
        15.0, "Time without a decision until the screen offers another way in.", low=1.0, high=600.0, unit="s"
    )

    def __post_init__(self) -> None:
        """Refuse numbers with which nobody, or anybody, would pass."""
        _hold("presentation", lambda: Limits(**asdict(self)))


@dataclass(frozen=True, slots=True)
class Attempts:
    """[attempts]: how repeated declines slow the kiosk down and then lock it."""

    free_tries: int = _setting(3, "Declines in a row without any wait.", low=0, high=100, unit="tries")
    wait_s: float = _setting(2.0, "Wait after the next decline.", low=0.0, high=600.0, unit="s")
    wait_growth: float = _setting(2.0, "How many times longer each further wait is.", low=1.0, high=10.0)
    lockout_tries: int = _setting(8, "Declines in a row that lock the kiosk.", low=1, high=1000, unit="tries")
    lockout_s: float = _setting(300.0, "How long it stays locked.", low=0.0, high=86400.0, unit="s")
    forget_s: float = _setting(
        900.0, "Quiet time after which declines no longer count.", low=1.0, high=604800.0, unit="s"
    )

    def __post_init__(self) -> None:
        """Refuse numbers that contradict each other."""
        _hold("attempts", lambda: Patience(**asdict(self)))


_LEFT = ("open", "log_only", "closed")


@dataclass(frozen=True, slots=True)
class Degraded:
    """[degraded]: what is still allowed when something is wrong; what is not listed here closes in any case."""

    clock_untrusted: str = _setting(
        "log_only", "The time is not known; hours and holidays stay closed in any case.", choices=_LEFT
    )
    disk_full: str = _setting("closed", "Decisions cannot be recorded.", choices=_LEFT)
    gallery_stale: str = _setting("log_only", "The list of people is not up to date.", choices=_LEFT)
    pad_failed: str = _setting("log_only", "The detection of photographs and masks is wanted but fails.", choices=_LEFT)
    pad_off: str = _setting("open", "The detection of photographs and masks is switched off.", choices=_LEFT)
    throttled: str = _setting("open", "Heat or a weak supply slows the processor down.", choices=_LEFT)

    def __post_init__(self) -> None:
        """Refuse what the guard would refuse."""
        _hold("degraded", lambda: policy(asdict(self)))


_LINES = ("relay", "green", "yellow", "red", "buzzer", "contact", "exit")


@dataclass(frozen=True, slots=True)
class Door:
    """[door]: the lines of the relay, the lamps and the door contact, and their times."""

    chip: str = _setting("", "GPIO device of the door, for instance /dev/gpiochip0; empty for no door.")
    relay: int = _setting(-1, "Line of the relay; -1 for none, as for all lines.", low=-1, high=1023, unit="offset")
    green: int = _setting(-1, "Line of the green lamp.", low=-1, high=1023, unit="offset")
    yellow: int = _setting(-1, "Line of the yellow lamp.", low=-1, high=1023, unit="offset")
    red: int = _setting(-1, "Line of the red lamp.", low=-1, high=1023, unit="offset")
    buzzer: int = _setting(-1, "Line of the buzzer.", low=-1, high=1023, unit="offset")
    contact: int = _setting(
        -1, "Line of the door contact; on while the door is open.", low=-1, high=1023, unit="offset"
    )
    exit: int = _setting(-1, "Line of the exit button; on while it is pressed.", low=-1, high=1023, unit="offset")
    active_low: tuple[str, ...] = _setting(
        ("exit",), "Names of the lines that are on at low level; inputs are pulled up.", may_be_empty=True
    )
    pulse_s: float = _setting(3.0, "How long a grant keeps the relay on.", low=0.1, high=30.0, unit="s")
    longest_pulse_s: float = _setting(
        10.0, "Hard maximum of the relay's time on, whatever is granted meanwhile.", low=0.1, high=60.0, unit="s"
    )
    exit_opens: bool = _setting(True, "The exit button drives the relay; false where it only excuses the opening.")
    debounce_s: float = _setting(0.05, "How long an input must keep still.", low=0.0, high=1.0, unit="s")
    grace_s: float = _setting(
        1.0, "Time after the relay fell in which an opening door is not forced.", low=0.0, high=30.0, unit="s"
    )
    held_open_s: float = _setting(30.0, "Time from which a door is open too long.", low=1.0, high=3600.0, unit="s")

    @property
    def offsets(self) -> dict[str, int]:
        """The lines that are wired."""
        return {name: getattr(self, name) for name in _LINES if getattr(self, name) >= 0}

    def __post_init__(self) -> None:
        """Refuse a wiring that cannot be."""
        used = list(self.offsets.values())
        if bool(self.chip) != bool(used):
            raise ConfigError("[door]: want both a chip and at least one line, or neither")
        if len(set(used)) < len(used):
            raise ConfigError(f"[door]: two lines have the same offset: {self.offsets}")
        if unknown := sorted(set(self.active_low) - set(_LINES)):
            raise ConfigError(f"[door] active_low: no line {_list(unknown)}; the lines are {_list(list(_LINES))}")
        if self.pulse_s > self.longest_pulse_s:
            raise ConfigError(f"[door]: want pulse_s <= longest_pulse_s, got {self.pulse_s} and {self.longest_pulse_s}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """[schedule]: who may enter when; hours are local, from the first minute to before the last."""

    time_zone: str = _setting("UTC", "Time zone of the door, for instance Europe/Berlin.")
    week: tuple[str, ...] = _setting(
        ("mon-sun 00:00-24:00",),
        "Lines like mon-fri 07:00-19:00, or cleaners: sat 22:00-02:00 for people with a plan of that name.",
    )
    holidays: tuple[str, ...] = _setting(
        (), "Days like 2026-12-25, or 2026-12-24 07:00-12:00 for other hours than the week's.", may_be_empty=True
    )

    def __post_init__(self) -> None:
        """Refuse lines that cannot be read."""
        _hold("schedule", lambda: read_schedule(self.time_zone, self.week, self.holidays))


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set."""

    models: Models = field(default_factory=Models)
    match: Match = field(default_factory=Match)
    search: Search = field(default_factory=Search)
    store: Store = field(default_factory=Store)
    camera: Camera = field(default_factory=Camera)
    presentation: Presentation = field(default_factory=Presentation)
    attempts: Attempts = field(default_factory=Attempts)
    degraded: Degraded = field(default_factory=Degraded)
    door: Door = field(default_factory=Door)
    schedule: Schedule = field(default_factory=Schedule)


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
    variables = {f"{PREFIX}{name}_{one}".upper() for one in settings}
    if unknown := sorted(v for v in environment if v.startswith(f"{PREFIX}{name}_".upper()) and v not in variables):
        raise ConfigError(f"{_list(unknown)} overrides nothing; [{name}] knows {_list(sorted(settings))}")
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
        if not (isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value)) or not (
            value or one.metadata.get("may_be_empty")
        ):
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
        raise ConfigError(f"{where}: want {' or '.join(map(str, choices))}, got {value!r}")
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
            limits = f" {' or '.join(map(str, about['choices']))}" if about.get("choices") else limits
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

"""Recorded presentations on disk: DIR/bona_fide/PERSON/CLIP/ and DIR/SPECIES/INSTRUMENT/CLIP/.

A clip holds its frames as NN.png, the frames a second in fps.txt and, where a challenge was asked, challenge.json:
{"kind": "turn", "side": "left", "order": 1, "shown": [{"at_s": 0.5, "colour": "#ff0000"}]}, or a list of such objects,
asked in their order. about.json may say camera, light and day. An instrument whose folder holds frames itself is one
clip.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from kiosk.device.import_names import passed_over
from kiosk.errors import ConfigError
from kiosk.recognition.challenges import Challenge, Kind, Side
from kiosk.recognition.flash import COLOURS, Shown
from kiosk.rules import text

BONA_FIDE = "bona_fide"
LEAST_FPS, MOST_FPS = 4.0, 240.0  # slower, and a face that stays seems to be gone between two frames
KINDS = {"turn": Kind.TURN, "mouth": Kind.MOUTH, "flash": Kind.FLASH}
LAYOUT = "want DIR/bona_fide/PERSON/CLIP/NN.png and DIR/SPECIES/INSTRUMENT/CLIP/NN.png"
HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recorded presentation."""

    path: Path
    species: str  # "bona_fide", or the kind of attack
    source: str  # the person, or the instrument of the attack
    frames: tuple[Path, ...] = field(repr=False)  # in their order
    fps: float
    challenges: tuple[Challenge, ...] = ()  # in the order in which they were asked
    shown: tuple[Shown, ...] = ()  # colours of a flash; s from the clip's first frame
    about: Mapping[str, str] = field(default_factory=dict)  # "camera", "light", "day"

    @property
    def is_attack(self) -> bool:
        """Whether it shows an attack."""
        return self.species != BONA_FIDE


def find_clips(directory: Path) -> list[Clip]:
    """Return every clip of a folder, sorted by species, source and name.

    Raises:
        ConfigError: there is none, or a clip cannot be read; the sentence says which, and what would be right.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a folder; {LAYOUT}")
    clips = []
    for species in _folders(directory):
        for source in _folders(species):
            places = [source] if _frames(source) else _folders(source)
            clips += [read_clip(place, text.shown(species.name), text.shown(source.name)) for place in places]
    if not clips:
        raise ConfigError(f"{directory} holds no clip; {LAYOUT}")
    return clips


def read_clip(path: Path, species: str, source: str) -> Clip:
    """Read what is said of one clip; its pictures are read when they are judged.

    Raises:
        ConfigError: see `find_clips`.
    """
    frames = _frames(path)
    if not frames:
        raise ConfigError(f"{path} holds no frames; {LAYOUT}")
    challenges, shown = read_challenges(path / "challenge.json")
    return Clip(path, species, source, frames, _fps(path / "fps.txt"), challenges, shown, _about(path / "about.json"))


def read_challenges(path: Path) -> tuple[tuple[Challenge, ...], tuple[Shown, ...]]:
    """Return the challenges of a clip and the colours shown; nothing of both where the file is not there.

    Raises:
        ConfigError: it says something that no kiosk asks.
    """
    if not path.exists():
        return (), ()
    content = _json(path)
    rows = content if isinstance(content, list) else [content]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{path}: want an object with kind, side, order and shown, or a list of them")
    if all(isinstance(row.get("order"), int) for row in rows):
        rows = sorted(rows, key=lambda row: int(row["order"]))
    challenges, shown = [], []
    for row in rows:
        kind, side = row.get("kind"), row.get("side")
        if kind not in KINDS:
            raise ConfigError(f"{path}: kind {kind!r} is none of {', '.join(KINDS)}")
        if KINDS[kind] is Kind.TURN and side not in {"left", "right"}:
            raise ConfigError(f"{path}: a turn needs a side, left or right (the person's own), got {side!r}")
        challenges.append(Challenge(KINDS[kind], Side(side) if KINDS[kind] is Kind.TURN else None))
        if KINDS[kind] is Kind.FLASH:
            shown += _shown(path, row.get("shown"))
    return tuple(challenges), tuple(shown)


def _shown(path: Path, rows: Any) -> list[Shown]:
    if not isinstance(rows, list) or len(rows) < 2:  # noqa: PLR2004  one colour changes nothing
        raise ConfigError(f"{path}: a flash needs shown, a list of two or more of {{at_s, colour}}")
    found = []
    for row in rows:
        at_s = row.get("at_s") if isinstance(row, dict) else None
        if isinstance(at_s, bool) or not isinstance(at_s, (int, float)) or not math.isfinite(at_s) or at_s < 0.0:
            raise ConfigError(f"{path}: want at_s, seconds from the clip's first frame, got {at_s!r}")
        found.append(Shown(float(at_s), _colour(path, row.get("colour"))))
    if any(later.at_s <= sooner.at_s for sooner, later in pairwise(found)):
        raise ConfigError(f"{path}: want the colours in the order of their times")
    return found


def _colour(path: Path, value: Any) -> tuple[int, int, int]:
    if isinstance(value, str) and value in COLOURS:
        return COLOURS[value]
    if isinstance(value, str) and HEX.fullmatch(value):
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
    if isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):  # noqa: PLR2004  RGB
        return value[0], value[1], value[2]
    raise ConfigError(f"{path}: colour {value!r} is no #rrggbb, no [r, g, b] and none of {', '.join(COLOURS)}")


def challenge_rows(challenges: Iterable[Challenge], shown: Iterable[Shown] = ()) -> Any:
    """Return what challenge.json says: one object, or a list where several challenges were asked."""
    colours = [{"at_s": round(one.at_s, 3), "colour": "#{:02x}{:02x}{:02x}".format(*one.colour)} for one in shown]
    rows = [
        {
            "kind": one.kind.value,
            "side": one.side.value if one.side else None,
            "order": order,
            "shown": colours if one.kind is Kind.FLASH else [],
        }
        for order, one in enumerate(challenges, 1)
    ]
    return rows[0] if len(rows) == 1 else rows


def _frames(path: Path) -> tuple[Path, ...]:
    found = [file for file in path.glob("*.png") if file.stem.isdecimal()]
    return tuple(sorted(found, key=lambda file: int(file.stem)))


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and passed_over(one.name) is None)


def _fps(path: Path) -> float:
    try:
        fps = float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        fps = math.nan
    if not LEAST_FPS <= fps <= MOST_FPS:
        raise ConfigError(f"{path}: want one number, {LEAST_FPS:g} to {MOST_FPS:g} frames a second")
    return fps


def _about(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    content = _json(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: want an object")
    return {str(key): str(value) for key, value in content.items()}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error

"""Labelled presentations through the real camera, in the layout that `pad_clips` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2

from kiosk.errors import CameraLostError, ConfigError
from kiosk.evaluation.pad_clips import LEAST_FPS, challenge_rows
from kiosk.recognition.challenges import Challenge, Kind, Side
from kiosk.types import Frame

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LEAST_FRAMES = 8
WORDS = {
    (Kind.TURN, Side.LEFT): "Turn the head to its own left, and back to the camera.",
    (Kind.TURN, Side.RIGHT): "Turn the head to its own right, and back to the camera.",
    (Kind.MOUTH, None): "Open the mouth wide, and close it.",
}
AHEAD = "Look into the camera."


def check_name(text: str, what: str) -> str:
    """Return a name that makes a folder.

    Raises:
        ConfigError: it does not.
    """
    if not NAME.fullmatch(text):
        raise ConfigError(f"{what} {text!r}: want letters, digits, _ and -, at most 64")
    return text


def clip_folder(directory: Path, species: str, source: str) -> Path:
    """Return the folder of the next clip; it is not there yet."""
    parent = directory / check_name(species, "--species") / check_name(source, "--person or --instrument")
    taken = [int(one.name) for one in parent.glob("*") if one.name.isdecimal()]
    return parent / f"{max(taken, default=0) + 1:03d}"


def record_clip(  # noqa: PLR0917  what a recording is made of
    frames: Iterator[Frame],
    folder: Path,
    seconds: float,
    challenge: Challenge | None,
    about: Mapping[str, str],
    say: Callable[[str], None],
) -> int:
    """Record one clip; the challenge is said after the first second, so that frontal frames come before it.

    Args:
        frames: from the camera; ends where it is lost.
        folder: made here; written whole or not at all.
        seconds: of the clip.
        challenge: what the person is asked; None for nothing.
        about: camera, light, day.
        say: shows a sentence to whoever stands there.

    Returns:
        How many frames were written.

    Raises:
        CameraLostError: the camera gave too few frames.
        ConfigError: the disk took no picture.
    """
    unfinished = folder.with_name(folder.name + ".part")
    unfinished.mkdir(parents=True, exist_ok=True)
    for leftover in unfinished.glob("*"):
        leftover.unlink()
    say(AHEAD)
    times: list[float] = []
    is_asked = challenge is None
    for frame in frames:
        if times and frame.captured_at - times[0] > seconds:
            break
        if not cv2.imwrite(str(unfinished / f"{len(times):03d}.png"), frame.image[:, :, ::-1]):
            raise ConfigError(f"{unfinished}: a picture could not be written; is the disk full?")
        times.append(frame.captured_at)
        if challenge is not None and not is_asked and times[-1] - times[0] >= 1.0:
            say(WORDS[challenge.kind, challenge.side])
            is_asked = True
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0
    if len(times) < LEAST_FRAMES or rate < LEAST_FPS:
        raise CameraLostError(
            f"the camera gave {len(times)} frames in {seconds:g} s; want {LEAST_FRAMES} or more, {LEAST_FPS:g} a second"
        )
    (unfinished / "fps.txt").write_text(f"{rate:.3f}\n", encoding="utf-8")
    (unfinished / "about.json").write_text(json.dumps(dict(about), indent=2) + "\n", encoding="utf-8")
    if challenge is not None:
        rows = challenge_rows([challenge])
        (unfinished / "challenge.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(folder)
    return len(times)

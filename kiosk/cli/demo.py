"""The demo of `kiosk run --demo`: people from portraits walk up, and what is decided is printed."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from kiosk.capture.sources import PICTURES
from kiosk.daemon.kiosk import Kiosk
from kiosk.entrance.news import News, Topic
from kiosk.errors import ConfigError
from kiosk.recognition.pad_levels import SENTENCES, Level
from kiosk.settings.config import Config

DEMO_FACE_PX = 56.0  # a portrait of 480 px shows a smaller face than somebody at a door


ONCE = "the output is no terminal, so the visitors come once and the demo ends; with --loop they come again."


def demo_settings(config: Config, *, detects: bool = False, is_looped: bool = False) -> Config:
    """Let people from portraits walk up where no other camera was chosen; nobody keeps a demo's clock.

    Args:
        config: as it was set.
        is_looped: let them come again and again, whoever reads the output.
        detects: look for photographs, and ask for a movement. A demo's people are photographs, so else it does not.
    """
    camera = config.camera
    if camera.source == type(camera)().source:
        loop = "&loop=1" if is_looped or sys.stdout.isatty() else ""
        camera = replace(camera, source=f"demo:?width=640&height=480&fps=15&wait=1{loop}")
    near = min(config.presentation.face_low_px, DEMO_FACE_PX)
    pad = config.pad
    if detects:  # one short try: nobody in a demo can do what is asked
        pad = replace(pad, level="active", screen=True, answer_s=2.0, tries=1)
    elif pad.level == "auto":
        pad = replace(pad, level="off")
    return replace(
        config,
        camera=camera,
        pad=pad,
        presentation=replace(config.presentation, face_low_px=near),
        degraded=replace(config.degraded, clock_untrusted="open"),
    )


def level_said_aloud(config: Config) -> str:
    """Return what a demo says of the detection of photographs before anybody walks up."""
    level = Level(config.pad.chosen_level)
    about = "They are told from people here" if level is not Level.OFF else "That is off here"
    return f"The visitors of this demo are photographs. {about} ([pad] level {level.value}): {SENTENCES[level]}"


def portraits_in(folder: Path) -> list[Path]:
    """Return the portraits of a folder, by name.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; --demo wants a folder of portraits") from None
    if not found:
        raise ConfigError(f"{folder} holds no portraits; want {', '.join(PICTURES)}")
    return found


class DecisionPrinter:
    """Prints what is decided, for somebody who watches a demo."""

    def __call__(self, news: News) -> None:
        """Print a decision, or what the door did; other news are passed over."""
        told = news.data
        moment = time.strftime("%H:%M:%S", time.localtime(news.at))
        if news.topic is Topic.DECISION:
            who = told["name"] or ("somebody known" if told["session_number"] else "somebody unknown")
            score = "" if told["score"] is None else f"  similarity {told['score']:g}"
            alarm = "  ALARM: on the blocklist" if told["is_alarm"] else ""
            door = "  the door opens" if told["opened"] else ""
            print(
                f"{moment}  {who:<18} {told['status']:<10}{score}{alarm}{door}  ({', '.join(told['reasons'])})",
                flush=True,
            )
        elif news.topic is Topic.DOOR:
            print(f"{moment}  door: {told['what']}", flush=True)


class DemoCue:
    """Tells the people of a demo when they were decided about, and when the next may come."""

    def __init__(self, kiosk: Kiosk) -> None:
        """Take the kiosk whose camera shows the demo."""
        self._kiosk = kiosk
        self._decisions, self._is_idle = 0, False

    def __call__(self, news: News) -> None:
        """Take note of a decision, and of whether nobody is there."""
        if news.topic is Topic.DECISION:
            self._decisions += 1
        elif news.topic is Topic.SCREEN:
            self._is_idle = news.data["state"] == "idle"
        else:
            return
        self._kiosk.camera.cue(self._decisions, is_idle=self._is_idle)

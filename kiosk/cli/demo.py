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
from kiosk.settings.config import Config

DEMO_FACE_PX = 56.0  # a portrait of 480 px shows a smaller face than somebody at a door


def demo_settings(config: Config) -> Config:
    """Let people from portraits walk up where no other camera was chosen; nobody keeps a demo's clock."""
    camera = config.camera
    if camera.source == type(camera)().source:
        loop = "&loop=1" if sys.stdout.isatty() else ""
        camera = replace(camera, source=f"demo:?width=640&height=480&fps=15&wait=1{loop}")
    near = min(config.presentation.face_low_px, DEMO_FACE_PX)
    return replace(
        config,
        camera=camera,
        presentation=replace(config.presentation, face_low_px=near),
        degraded=replace(config.degraded, clock_untrusted="open"),
    )


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

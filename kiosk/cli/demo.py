"""The demo of `kiosk run --demo`: people from portraits walk up, and what is decided is printed."""

from __future__ import annotations

import queue
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from kiosk.capture.sources import PICTURES
from kiosk.daemon.kiosk import Kiosk
from kiosk.entrance.news import News, RunningKiosk, Topic
from kiosk.errors import ConfigError, KioskError
from kiosk.recognition.pad_levels import SENTENCES, Level
from kiosk.settings.config import Config

DEMO_FACE_PX = 56.0  # a portrait of 480 px shows a smaller face than somebody at a door


ONCE = "the output is not a terminal, so the visitors come once and the demo ends; with --loop they come again."


def demo_settings(config: Config, *, detects: bool = False, is_looped: bool = False) -> Config:
    """Let people from portraits walk up where no other camera was chosen; a demo opens by any clock.

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
    about = "on" if level is not Level.OFF else "off"
    return (
        f"The visitors of this demo are photographs; attack detection is {about} here ([pad] level {level.value}). "
        f"{SENTENCES[level]}"
    )


def portraits_in(folder: Path) -> list[Path]:
    """Return the portraits of a folder, by name.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; --demo needs a folder of portraits") from None
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


class DemoHands:
    """Gives what the people of a demo are asked for beside their face: one card, one PIN, the same for all of them.

    In mode verify the card is shown before each of them comes. It works in a thread of its own, as news must not wait.
    """

    def __init__(self, kiosk: RunningKiosk, mode: str, *, card: str | None, pin: str | None) -> None:
        """Take the kiosk, [entrance] mode, and what the people have."""
        self._kiosk, self._mode, self._card, self._pin = kiosk, mode, card, pin
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._wanted = ""  # what the screen asked for last
        threading.Thread(target=self._give, name="demo hands", daemon=True).start()

    def __call__(self, news: News) -> None:
        """Take note of what the screen asks for."""
        if news.topic is not Topic.SCREEN:
            return
        factor, state = news.data["factor"], news.data["state"]
        wants = factor["wants"] if factor is not None else "card" if state == "idle" and self._mode == "verify" else ""
        if wants and wants != self._wanted:  # once: who has the wrong one is declined
            self._asked.put(wants)
        self._wanted = wants

    def _give(self) -> None:
        while True:
            wants = self._asked.get()
            try:
                if wants == "pin" and self._pin is not None:
                    self._kiosk.enter_pin(self._pin)
                    print("          a PIN is entered", flush=True)
                elif wants == "card" and self._card is not None and self._kiosk.show_card(self._card):
                    print("          a card is held to the reader", flush=True)
            except KioskError as error:
                print(f"          not taken: {error}", flush=True)

"""`kiosk door simulate`: the kiosk and no hardware; panel, reader, door and fire alarm are driven from a terminal.

The kiosk is a process of its own, as at a door, with the settings in force; what they name of hardware is put at the
other end by stand-ins: the door's lines in a file, panel or reader at a pseudo-terminal, a Wiegand reader at a socket.
The stand-ins know the keys that this kiosk keeps. Nothing of it touches a real line.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk import assembly
from kiosk.cli.neighbours.osdp import read_line_key
from kiosk.door.lines import Input, Output
from kiosk.errors import ConfigError
from kiosk.rules.cards import read_card
from kiosk.settings.config import Config
from kiosk.testing import pulse_socket
from kiosk.testing.line_file import SIMULATED, LineFile

if TYPE_CHECKING:
    from kiosk.testing.fake_osdp import FakePanel, FakeReader

PRESSED_S = 0.3  # longer than any setting debounces
LOOK_S = 0.05
END_S = 10.0
HELP = """  card 12-3456    hold a card to the reader, as Wiegand or as OSDP has it
  pin 4711        enter a PIN at the keypad: the reader's, or the screen's
  open, shut      the door contact
  exit            press the exit button
  fire on, fire off
  cut, plug       the line to the panel or the reader
  status          what is on, and who answers
  wait 5          seconds, for a script
  quit"""


class Bench:
    """The other ends of the kiosk's lines."""

    def __init__(self, config: Config, key: str | None, place: Path, enter_pin: Callable[[str], str]) -> None:
        """Set up what the settings name; a reader by Wiegand where they name none at all.

        Raises:
            ConfigError: OSDP is set, and there is no key for it.
        """
        self._enter_pin = enter_pin
        self._lines_file, self._wiegand = place / "lines", place / "wiegand"
        self.panel: FakePanel | None = None
        self.reader: FakeReader | None = None
        self.environment = self._door(config)
        if config.osdp.is_used:
            self._osdp(config, key)
        if config.wiegand.is_used or not config.osdp.is_used:
            named = {"CHIP": f"{SIMULATED}{self._wiegand}", "D0": "0", "D1": "1"}
            self.environment |= {f"KIOSK_WIEGAND_{name}": value for name, value in named.items()}
        self.lines = LineFile(self._lines_file, [one.value for one in Input])

    def _door(self, config: Config) -> dict[str, str]:
        """Wire every line of the door; those of the settings keep their offsets."""
        used = set(config.door.offsets.values())
        free = (number for number in range(100) if number not in used)
        names = [one.value for one in (*Output, *Input) if one.value not in config.door.offsets]
        wired = {f"KIOSK_DOOR_{name.upper()}": str(next(free)) for name in names}
        return {**wired, "KIOSK_DOOR_CHIP": f"{SIMULATED}{self._lines_file}"}

    def _osdp(self, config: Config, key: str | None) -> None:
        from kiosk.integrations.osdp import read_key  # noqa: PLC0415  a kiosk without a line loads none of it
        from kiosk.testing.fake_osdp import FakePanel, FakeReader  # noqa: PLC0415

        secret = read_key(key)
        if config.osdp.role == "panel":
            self.reader = FakeReader(secret, address=config.osdp.addresses[0])
            line = self.reader.line
            self.environment["KIOSK_OSDP_READERS"] = str(config.osdp.addresses[0])
        else:
            self.panel = FakePanel(secret, address=config.osdp.address)
            line = self.panel.line
        self.environment["KIOSK_OSDP_PORT"] = line.path

    def close(self) -> None:
        """Take it apart."""
        for one in (self.panel, self.reader):
            if one is not None:
                one.close()

    # ---- what somebody does

    def do(self, line: str) -> str:
        """Do what a line of the terminal says; return what came of it."""
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if word == "card":
            return self._card(rest)
        if word == "pin":
            return self._pin(rest)
        if word in {"cut", "plug"}:
            return self._plug(is_cut=word == "cut")
        turns: Mapping[str, tuple[Input, bool]] = {
            "open": (Input.CONTACT, True),
            "shut": (Input.CONTACT, False),
            "fire on": (Input.FIRE, True),
            "fire off": (Input.FIRE, False),
        }
        if line.strip() in turns:
            name, on = turns[line.strip()]
            self.lines.turn(name, on=on)
            return f"{name.value} is {'on' if on else 'off'}"
        if word == "exit":
            self.lines.turn(Input.EXIT, on=True)
            time.sleep(PRESSED_S)  # as long as a finger: the door's own thread has to see it down, and up again
            self.lines.turn(Input.EXIT, on=False)
            return "the exit button was pressed"
        return self.status() if word == "status" else HELP

    def _card(self, text: str) -> str:
        try:
            card = read_card(text)
        except ValueError as error:
            return str(error)
        if self.reader is not None:
            return "the reader heard it" if self.reader.hold(card.bits) else "the panel does not ask the reader"
        is_read = pulse_socket.hold(self._wiegand, card)
        return "the reader heard it" if is_read else "no kiosk reads the lines: is it running, or is its line OSDP?"

    def _pin(self, digits: str) -> str:
        if not (digits.isascii() and digits.isdigit()):
            return "want digits"
        if self.reader is None:
            return self._enter_pin(digits)
        keys = digits.encode() + b"\r"
        return "the keypad took it" if self.reader.press(keys) else "the panel does not ask the keypad"

    def _plug(self, *, is_cut: bool) -> str:
        other = self.panel or self.reader
        if other is None:
            return "there is no line by OSDP: set [osdp]"
        other.line.is_cut = is_cut
        return f"the line is {'cut' if is_cut else 'plugged in'}"

    # ---- what can be seen

    def status(self) -> str:
        """Return what is on, and who answers."""
        told = [f"on: {', '.join(sorted(one.value for one in self.lines.lit)) or 'nothing'}"]
        told.append(f"the relay switched {self.lines.pulses} times")
        other = self.panel or self.reader
        if other is not None:
            name = "panel" if self.panel is not None else "reader"
            told.append(f"{name}: {'secure channel' if other.is_secure else 'no secure channel'}")
        if self.panel is not None:
            told.append(f"the panel was told {len(self.panel.cards())} cards")
        return "; ".join(told)

    def changes(self) -> Iterator[str]:
        """Yield what has changed since the last look; endless, and nothing where nothing has."""
        lit, cards = frozenset[Output](), 0
        while True:
            now = self.lines.lit
            yield from (f"{one.value} on" for one in sorted(now - lit))
            yield from (f"{one.value} off" for one in sorted(lit - now))
            lit = now
            if self.panel is not None and (heard := len(self.panel.cards())) > cards:
                cards = heard
                yield "the panel was told a card"
            yield ""


def door_simulate(chosen: argparse.Namespace) -> int:
    """Run the kiosk on a bench, and do what is typed."""
    config = assembly.load_settings(chosen)
    if chosen.demo is not None:
        from kiosk.cli.demo import portraits_in  # noqa: PLC0415  loads all that a kiosk loads

        portraits_in(chosen.demo)  # here, as the kiosk's own words would come behind the help
    key = read_line_key(chosen, config) if config.osdp.is_used else None
    with ExitStack() as parts:
        place = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="kiosk-bench-")))
        bench = Bench(config, key, place, lambda digits: _at_the_screen(chosen, config, digits))
        parts.callback(bench.close)
        kiosk = subprocess.Popen(  # noqa: S603  this program
            _command(chosen), stdin=subprocess.DEVNULL, env={**os.environ, **bench.environment}
        )
        parts.callback(_end, kiosk)
        over = threading.Event()
        watching = threading.Thread(target=_watch, args=(bench, kiosk, over), daemon=True)
        watching.start()
        parts.callback(watching.join, 1.0)
        parts.callback(over.set)
        print(HELP, flush=True)
        for line in sys.stdin:
            if line.strip() == "quit" or kiosk.poll() is not None:
                break
            word, _, rest = line.strip().partition(" ")
            if word == "wait" and rest.strip().isdecimal():
                over.wait(float(rest))
            elif word:
                print(f"> {bench.do(line)}", flush=True)
        if (code := kiosk.poll()) is not None and code != 0:
            raise ConfigError(f"the kiosk ended with code {code}; its output is above")
    return 0


def _command(chosen: argparse.Namespace) -> list[str]:
    state = ["--state", str(assembly.state_of(chosen))]
    config = ["--config", str(chosen.config)] if chosen.config is not None else []
    demo = ["--demo", str(chosen.demo), "--loop"] if chosen.demo is not None else []
    return [sys.executable, "-m", "kiosk", *state, *config, "run", *demo]


def _watch(bench: Bench, kiosk: subprocess.Popen[bytes], over: threading.Event) -> None:
    for change in bench.changes():
        if change:
            print(f"  {change}", flush=True)
        elif over.wait(LOOK_S):
            return
        elif kiosk.poll() is not None:
            print("the kiosk has ended; press Enter", flush=True)
            return


def _at_the_screen(chosen: argparse.Namespace, config: Config, digits: str) -> str:
    """Enter a PIN at the kiosk's own screen, over its API."""
    import httpx  # noqa: PLC0415  0.1 s, and only for this

    from kiosk.api.screen_token import COOKIE, screen_token  # noqa: PLC0415

    scheme = "https" if config.api.tls_certificate else "http"
    address = f"{scheme}://127.0.0.1:{config.api.port}/device/screen/pin"
    cookies = {COOKIE: screen_token(assembly.state_of(chosen))}
    try:
        answer = httpx.post(address, json={"digits": digits}, cookies=cookies, verify=False)  # noqa: S501  this machine
    except httpx.HTTPError as error:
        return f"the kiosk's screen does not answer: {error}"
    return "the screen took it" if answer.is_success else str(answer.json().get("detail", answer.status_code))


def _end(kiosk: subprocess.Popen[bytes]) -> None:
    kiosk.terminate()
    try:
        kiosk.wait(END_S)
    except subprocess.TimeoutExpired:
        kiosk.kill()
        kiosk.wait()

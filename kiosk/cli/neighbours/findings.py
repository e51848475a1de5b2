"""What `kiosk doctor` says of the door's neighbours: what is wired wrongly or missing, and how to mend it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from kiosk.cli.finding import Finding
from kiosk.decoding.codes import ABSENT, can_read_codes
from kiosk.errors import KioskError
from kiosk.rules.passage import Direction
from kiosk.settings.config import Config
from kiosk.testing.line_file import SIMULATED

MODES_OF_PASSES = ("identify", "verify")


def neighbour_findings(chosen: argparse.Namespace, config: Config) -> Iterator[Finding]:
    """Look at the sections osdp, wiegand, factors, passage and passes; what is off is not mentioned."""
    if config.osdp.is_used:
        yield _line(chosen, config)
    if config.wiegand.is_used:
        yield from _wires(config)
    yield from _factors(config)
    yield from _passage(config)
    if config.passes.enabled:
        yield from _passes(config)


def _line(chosen: argparse.Namespace, config: Config) -> Finding:
    """Look whether the line to a panel or to readers can be opened; whether the other end answers is `osdp check`."""
    from kiosk.cli.neighbours.osdp import read_line_key  # noqa: PLC0415  a kiosk without a line loads none of it
    from kiosk.integrations.osdp import load_library, read_key  # noqa: PLC0415

    port = config.osdp.port
    try:
        load_library()
        read_key(read_line_key(chosen, config))
    except KioskError as error:
        return Finding("osdp", False, str(error), "see `kiosk osdp --help`")
    if not Path(port).exists():
        cure = "plug the RS-485 adapter in; `ls /dev/serial/by-id` has the ports that are there"
        return Finding("osdp", False, f"{port} is not there", cure)
    if not os.access(port, os.R_OK | os.W_OK):
        cure = "put the kiosk's account into the group dialout, and let the unit use it (kiosk/integrations/README.md)"
        return Finding("osdp", False, f"{port} may not be used", cure)
    return Finding("osdp", True, f"{port} is there, as {config.osdp.role}; `kiosk osdp check` asks the other end")


def _wires(config: Config) -> Iterator[Finding]:
    """Look whether the lines of a Wiegand reader can be opened, and are nobody else's."""
    wires, door = config.wiegand, config.door
    if wires.chip.startswith(SIMULATED):
        yield Finding("wiegand", True, f"a stand-in at {wires.chip}")
        return
    taken = {number: name for name, number in door.offsets.items()} if door.chip == wires.chip else {}
    for name, number in (("d0", wires.d0), ("d1", wires.d1)):
        if number in taken:
            told = f"line {number} is both {name} of the reader and [door] {taken[number]}"
            yield Finding("wiegand", False, told, "wire one of them to another line, and name it in kiosk.toml")
            return
    if not Path(wires.chip).exists():
        yield Finding("wiegand", False, f"{wires.chip} is not there", "`gpiodetect` lists the chips of this machine")
    elif not os.access(wires.chip, os.R_OK | os.W_OK):
        yield Finding("wiegand", False, f"{wires.chip} may not be used", "put the kiosk's account into the group gpio")
    elif find_spec("gpiod") is None:
        yield Finding("wiegand", False, "libgpiod's Python package is missing", "pip install 'face-kiosk[gpio]'")
    else:
        yield Finding("wiegand", True, f"{wires.chip} is there, lines {wires.d0} and {wires.d1}")


def _factors(config: Config) -> Iterator[Finding]:
    """Look whether what is asked for beside the face can be given."""
    rule, has_panel = config.factors, config.osdp.is_used and config.osdp.role == "panel"
    asked = [name for name in ("pin", "card") if getattr(rule, name)]
    is_mute = bool(rule.card) and not (has_panel or config.wiegand.is_used)
    if is_mute:
        told = "a card is asked for, and no reader is set up: nobody would come in"
        yield Finding("factors", False, told, 'set [wiegand], or [osdp] role = "panel", or empty [factors] card')
    is_blind = bool(rule.pin) and not (has_panel or config.api.enabled)
    if is_blind:
        told = "a PIN is asked for, and there is neither a screen nor a keypad: nobody would come in"
        yield Finding("factors", False, told, 'set [api] enabled for the screen, or [osdp] role = "panel"')
    if asked and config.entrance.mode not in MODES_OF_PASSES:
        told = f"mode {config.entrance.mode} lets nobody in, so {' and '.join(asked)} are never asked for"
        yield Finding("factors", False, told, "set [entrance] mode to identify or verify")
    elif asked and not (is_mute or is_blind):
        told = f"{' and '.join(asked)} beside the face, by hours; `kiosk gallery factors` gives them"
        yield Finding("factors", True, told)


def _passage(config: Config) -> Iterator[Finding]:
    """Say what the rules of passage hold, and where a rule would hold for nobody."""
    rule = config.passage
    if rule.direction == "none" and not rule.two_persons:
        return
    if rule.direction == Direction.OUT.value and (rule.antipassback != "off" or rule.occupancy or rule.two_persons):
        told = (
            "this kiosk is a way out, where no rule holds anybody: antipassback, occupancy and two_persons do nothing"
        )
        yield Finding("passage", False, told, "set them at the kiosk that lets people in")
        return
    if config.entrance.mode not in MODES_OF_PASSES:
        told = f"mode {config.entrance.mode} lets nobody through, so no passage is kept"
        yield Finding("passage", False, told, "set [entrance] mode to identify or verify")
        return
    two = ", two persons" if rule.two_persons else ""
    most = f", {rule.occupancy} people at most" if rule.occupancy else ""
    yield Finding("passage", True, f"direction {rule.direction}, anti-passback {rule.antipassback}{most}{two}")


def _passes(config: Config) -> Iterator[Finding]:
    """Look whether visitor passes can be read, and would open anything."""
    rule, ask = config.passage, config.passes.ask
    counts = rule.antipassback != "off" or bool(rule.occupancy) or rule.two_persons
    if not can_read_codes():
        yield Finding("passes", False, ABSENT.partition(";")[0], "pip install 'face-kiosk[documents]'")
    elif config.entrance.mode not in MODES_OF_PASSES:
        told = f"mode {config.entrance.mode} looks at no passes"
        yield Finding("passes", False, told, "set [entrance] mode to identify or verify")
    elif ask != "face" and counts and rule.direction != Direction.OUT.value:
        told = "the rules of [passage] count people, so a pass without a face is refused"
        yield Finding("passes", False, told, 'set [passes] ask = "face", or lift the rules')
    else:
        about = {
            "face": "with the visitor's face",
            "staff": "staff open",
            "nothing": "whoever shows a photograph of one comes in",
        }
        yield Finding("passes", True, f"looked for {config.passes.looks_per_s:g} times a second; {about[ask]}")

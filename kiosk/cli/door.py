"""Commands of the door: release, wiring; for `kiosk doctor` what is wired, and a try of each line."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kiosk.cli.finding import Finding
from kiosk.cli.terminal import can_ask
from kiosk.daemon.door_socket import SYSTEM, ask_door, runtime_directory
from kiosk.door.boards import BOARDS, board_of
from kiosk.door.lines import Lines, Output, open_lines
from kiosk.door.wiring import ON, Connection, as_text, connections, faults, remarks
from kiosk.door.wiring_svg import as_svg
from kiosk.errors import ConfigError, DoorError
from kiosk.settings.config import SYSTEM_STATE, state_directory
from kiosk.settings.door import DoorSettings

MODEL = Path("/proc/device-tree/model")
TRIED_S = 0.5  # an output is on for a try
WAIT_S = 15.0  # for a button to be pressed
LOOK_S = 0.05


def door_release(chosen: argparse.Namespace) -> None:
    """Have the running kiosk open its door for one pulse."""
    ask_door(door_places(chosen))
    print(json.dumps({"is_released": True}) if chosen.json else "the door was released for one pulse")


def door_places(chosen: argparse.Namespace) -> list[Path]:
    """Return where the running kiosk's socket may lie, the likeliest first."""
    state = state_directory(chosen.state)
    places = [runtime_directory(os.environ, state), state]
    if state == SYSTEM_STATE:
        places.insert(0, SYSTEM)
    return list(dict.fromkeys(places))


def door_wiring(chosen: argparse.Namespace) -> None:
    """Say, and draw, what is to be wired where."""
    from kiosk import assembly  # noqa: PLC0415  a release in need loads none of it

    settings, board = (
        assembly.load_settings(chosen).door,
        BOARDS[chosen.board] if chosen.board else board_of(machine_model()),
    )
    if chosen.svg is not None:
        chosen.svg.write_text(as_svg(settings, board, chosen.lock), encoding="utf-8")
    if chosen.json:
        lines = [
            {
                "name": one.name.value,
                "line": one.line,
                "pin": one.pin,
                "ground_pin": one.ground,
                "is_active_low": one.is_active_low,
                "wires": list(one.wires),
            }
            for one in connections(settings, board)
        ]
        wrong = [{"sentence": one.sentence, "cure": one.cure} for one in faults(settings, board)]
        about = {"board": board.name, "chip": settings.chip, "lock": chosen.lock, "lines": lines, "faults": wrong}
        print(json.dumps({**about, "remarks": list(remarks(settings))}, indent=2))
    else:
        print(as_text(settings, board, chosen.lock), end="")


def machine_model(path: Path = MODEL) -> str:
    """Return what the device tree calls this machine; empty where there is none, as on a PC."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def wiring_findings(settings: DoorSettings, model: str) -> Iterator[Finding]:
    """Say for `kiosk doctor` which line is what, and on a board we know what would go wrong."""
    if not settings.chip:
        yield Finding("door", True, "none is set up: nothing is driven")
        return
    board = board_of(model)
    told = [
        f"line {one.line} is the {one.title.lower()} (pin {one.pin or 'none'})" for one in connections(settings, board)
    ]
    yield Finding("door", True, f"{settings.chip}: {', '.join(told)}; kiosk doctor --door tries each")
    for one in faults(settings, board) if model else ():
        yield Finding("wiring", False, one.sentence, one.cure)
    for remark in remarks(settings):
        yield Finding("wiring", True, remark)


def try_lines(
    settings: DoorSettings,
    *,
    ask: Callable[[str], bool],
    take: Callable[[DoorSettings], Lines] = open_lines,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Finding]:
    """Try each line with somebody who looks: outputs go on once they agreed, inputs are waited for.

    Args:
        settings: of the door.
        ask: puts a question, and returns whether the answer was yes.
        take: opens the lines.
        sleep: waits, s.
        now: monotonic, s.
    """
    try:
        lines = take(settings)
    except DoorError as error:
        cure = "stop the kiosk first (systemctl stop kiosk): it holds the lines while it runs"
        yield Finding("door lines", False, str(error), cure)
        return
    try:
        for one in connections(settings, board_of(machine_model())):
            what = f"line {one.line} is the {one.title.lower()}"
            if not ask(f"{what}. Try it now{', which opens the door' if one.name is Output.RELAY else ''}?"):
                yield Finding("door lines", True, f"{what}: not tried")
            elif isinstance(one.name, Output):
                lines.set({one.name: True})
                sleep(TRIED_S)
                lines.set({one.name: False})
                works = ask(f"It was on for {TRIED_S:g} s. Was it so that {ON[one.name].rpartition(': ')[2]}?")
                cure = "" if works else f"look at its wires ({'; '.join(one.wires)}) and at [door] active_low"
                yield Finding("door lines", works, f"{what}: {'works' if works else 'nobody saw or heard it'}", cure)
            else:
                yield _waited(lines, one, what, sleep, now)
    finally:
        lines.close()


def _waited(
    lines: Lines, one: Connection, what: str, sleep: Callable[[float], None], now: Callable[[], float]
) -> Finding:
    """Wait until an input changes and changes back."""
    assert not isinstance(one.name, Output)
    act = "open the door and shut it" if one.name.value == "contact" else "press it and let go"
    print(f"  {act} within {WAIT_S:g} s")
    first, seen, until = lines.read()[one.name], 0, now() + WAIT_S
    while now() < until:
        if lines.read()[one.name] != (first if seen % 2 == 0 else not first):
            seen += 1
        if seen == 2:  # noqa: PLR2004  there and back
            return Finding("door lines", True, f"{what}: works")
        sleep(LOOK_S)
    state = "on" if first else "off"
    wrong = f"it stayed {state}" if seen == 0 else f"it went {'off' if first else 'on'} and did not come back"
    cure = f"look at its wires ({'; '.join(one.wires)}) and at [door] active_low"
    return Finding("door lines", False, f"{what}: {wrong}", cure)


def asked_lines(settings: DoorSettings, ask: Callable[[str], bool]) -> Iterator[Finding]:
    """Do `try_lines` where somebody sits at a terminal, and nowhere else.

    Raises:
        ConfigError: nobody is there to ask, or no door is set up.
    """
    if not can_ask():
        raise ConfigError("--door asks before it switches anything, so it needs a terminal")
    if not settings.chip:
        raise ConfigError("--door: no door is set up, [door] chip is empty")
    yield from try_lines(settings, ask=ask)

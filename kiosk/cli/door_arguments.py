"""What the commands of the door take; declared apart, as their module loads what takes its time."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_door(door: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to the group `door`."""
    door(
        "door release",
        "door",
        "open the door once, for [door] pulse_s seconds, whatever state the kiosk is in",
        more="For root and the kiosk's own account; works also when the store, its key or the networks fail.",
    )
    lockdown = door(
        "door lockdown",
        "lockdown",
        "close the door to all but the groups in [passage] lockdown_groups, until somebody lifts the lockdown",
        more="It lasts through a power cut. The exit button, a kiosk at the way out, the fire alarm and an operator's "
        "release still open the door.",
    )
    lockdown.add_argument("--reason", metavar="TEXT", default="", help="kept in the log, and shown to operators")
    lockdown.add_argument("--fleet", action="store_true", help="close every door of the fleet, not this one alone")
    lift = door(
        "door lift",
        "lockdown",
        "lift a lockdown, in the name of an operator whose password is asked for, or read from a pipe",
        more="A lockdown of the whole fleet ends at every kiosk.",
    )
    lift.add_argument("--by", metavar="NAME", required=True, help="name of the operator, see `kiosk operator list`")
    wiring = door(
        "door wiring",
        "door",
        "say what is to be wired to which pin, by the settings in force",
        more="Names each line's pin on the board's header, and what would go wrong.",
    )
    wiring.add_argument("--svg", metavar="FILE", type=Path, help="also draw it into this file, with the lock's circuit")
    wiring.add_argument("--board", choices=("pi", "jetson"), help="whose pins (default: this machine's, else pi's)")
    wiring.add_argument(
        "--lock",
        choices=("fail-secure", "fail-safe"),
        default="fail-secure",
        help="without power the door stays shut (fail-secure, default) or is open (fail-safe)",
    )

"""The command of the clock: clock."""

from __future__ import annotations

import argparse
import json

from kiosk import assembly
from kiosk.didit.contract import timestamp
from kiosk.types import ClockState

STATES = {
    ClockState.SYNCED: "this time is trusted",
    ClockState.HOLDOVER: "this time is trusted for a while: the clock was synchronised, and now runs by itself",
    ClockState.UNTRUSTED: "the clock is not synchronised: timedatectl set-ntp true, or set it",
}


def clock(chosen: argparse.Namespace) -> None:
    """Say what time it is, or take an operator's word for it; a running kiosk hears of that within a second or two."""
    config = assembly.load_settings(chosen)
    told_by = assembly.make_clock(config)
    with assembly.open_store(chosen, config, create=False, clock=told_by) as store:
        if chosen.act == "confirm":
            assembly.confirm_clock(store, told_by, actor="cli")
        newest = store.newest_time()
    told = {
        "time": timestamp(told_by.wall_time),
        "state": told_by.state().value,
        "newest_record": timestamp(newest) if newest else None,
        "trouble": told_by.trouble(),
    }
    if chosen.json:
        print(json.dumps(told, indent=2))
        return
    newest_record = f"; the newest record is of {told['newest_record']}" if newest else ""
    print(f"{told['time']}, {told['state']}{newest_record}")
    said = told["trouble"] or STATES[told_by.state()]
    print(f"confirmed; {said}" if chosen.act == "confirm" else said)

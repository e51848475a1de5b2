"""Commands of the door: door release."""

from __future__ import annotations

import argparse
import json
import os

from kiosk.daemon.door_socket import SYSTEM, ask_release, runtime_directory
from kiosk.settings.config import SYSTEM_STATE, state_directory


def door_release(chosen: argparse.Namespace) -> None:
    """Have the running kiosk open its door for one pulse."""
    state = state_directory(chosen.state)
    places = [runtime_directory(os.environ, state), state]
    if state == SYSTEM_STATE:
        places.insert(0, SYSTEM)
    ask_release(list(dict.fromkeys(places)))
    print(json.dumps({"is_released": True}) if chosen.json else "the door was released for one pulse")

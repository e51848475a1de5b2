"""The commands of cameras: camera list."""

from __future__ import annotations

import argparse
import json

from kiosk.capture.attached import attached
from kiosk.rules.text import shown


def camera_list(chosen: argparse.Namespace) -> None:
    """List the cameras of this machine, by names that stay the same after a boot."""
    cameras = attached()
    if chosen.json:
        print(json.dumps([one.as_dict() for one in cameras], indent=2))
        return
    if not cameras:
        print("No camera was found. Is it plugged in? A network camera is named by its address, such as rtsp://…")
    for one in cameras:
        print(f"{one.source}  ({shown(one.name)})")
        for other in one.others:
            print(f"     also {other}")
        if not one.is_lasting:
            print("     its number may be another camera's after the next boot: udev gives it no lasting name")

"""Which cameras are there, do they give frames, and what to write into kiosk.toml for each.

Run by camera_check.sh with the kiosk's own Python. Frames are taken as the kiosk takes them, in a process of its own,
so that a camera that hangs is found and not waited for.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from kiosk.capture.attached import attached
from kiosk.capture.process import Camera
from kiosk.errors import KioskError
from kiosk.settings.sections import CameraSettings

LOOK_S = 12.0  # more than a slow camera needs for its first picture
COUNT_S = 2.0


def check(source: str) -> str | None:
    """Print what a camera gives; return why it gives nothing."""
    settings = replace(CameraSettings(), source=source)
    try:
        with Camera(settings) as camera:
            ends = time.monotonic() + LOOK_S
            frame = None
            while frame is None and time.monotonic() < ends:
                frame = camera.latest(0, 0.5)
            if frame is None:
                return camera.report.sentence
            began, first, newest = time.monotonic(), frame.number, frame
            while time.monotonic() - began < COUNT_S:
                newest = camera.latest(newest.number, 0.5) or newest
            rate = (newest.number - first) / (time.monotonic() - began)
            height, width = newest.image.shape[:2]
            light = newest.image.mean()
    except KioskError as error:
        return str(error)
    print(f"     {width}x{height}, {rate:.0f} frames/s, mean brightness {light:.0f} of 255")
    return None


def main() -> int:
    """Check every camera, or those named; exit 3 when none gives frames."""
    cameras = [(source, "as named") for source in sys.argv[1:]] or [(one.source, one.name) for one in attached()]
    if not cameras:
        print("No camera was found. Is it plugged in? `ls /dev/video*`; on a Pi also `rpicam-hello --list-cameras`.")
        print('A network camera is named by its address: camera_check.sh "rtsp://…"')
        return 3
    good = []
    for source, name in cameras:
        print(f"{source}  ({name})")
        why = check(source)
        if why is None:
            good.append(source)
        else:
            print(f"     no frames: {why}")
    if not good:
        return 3
    print(f'\nFor /etc/kiosk/kiosk.toml:\n\n  [camera]\n  source = "{good[0]}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())

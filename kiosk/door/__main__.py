"""`python -m kiosk.door --safe`: put every line into its safe state, for systemd's ExecStopPost after a crash."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kiosk.door.lines import make_safe
from kiosk.errors import KioskError
from kiosk.settings import config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m kiosk.door --safe`."""
    parser = argparse.ArgumentParser(prog="python -m kiosk.door", description="Put the door into its safe state.")
    parser.add_argument("--safe", action="store_true", required=True, help="switch every output off, then end")
    parser.add_argument("--config", type=Path, help="kiosk.toml; else KIOSK_CONFIG, else /etc/kiosk/kiosk.toml")
    named = parser.parse_args(arguments).config or os.environ.get("KIOSK_CONFIG")
    path = Path(named) if named else config.SYSTEM_FILE if config.SYSTEM_FILE.is_file() else None
    try:
        print(make_safe(config.load_config(path, os.environ).door))
    except KioskError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

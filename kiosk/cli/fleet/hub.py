"""`kiosk fleet hub`: the hub, until it is told to stop."""

from __future__ import annotations

import argparse
import signal

from kiosk.fleet.hub import Address, Hub
from kiosk.health.supervisor import Flag, Supervisor, log_to_stderr


def fleet_hub(chosen: argparse.Namespace) -> None:
    """Run the hub."""
    log_to_stderr()
    stopping, supervisor = Flag(), Supervisor()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    hub = Hub(chosen.folder, Address(chosen.bind, chosen.port, chosen.monitor_port))
    hub.start()
    try:
        hub.run(stopping.is_set, ready=lambda: supervisor.tell(READY=1, STATUS=f"roster {hub.roster.number}"))
    finally:
        supervisor.tell(STOPPING=1)
        hub.close()

"""Can somebody at the door, or at the network, tell an entry under duress by how long it takes?

    python benchmarks/duress_timing.py [--pairs 40]

The number that would change a decision: a difference of the medians of more than 20 ms. One person enters again and
again, with the PIN and the one under duress in turn, while the silent alarm has somewhere to go: a webhook that a
server on this machine takes, and a log server that is away. Faces are scripted; verifiers, store, records and relay are
the real ones. Measured is what passes from the last digit to the relay. `told_apart` is the chance that of one entry of
each kind the longer one is the one under duress: one half where nobody can tell.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.about import about_device, about_run, store, timing
from kiosk.integrations.duress import DuressWebhook
from kiosk.integrations.syslog import Syslog
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.settings.neighbours import SyslogSettings
from kiosk.store.factors.pins import make_pins
from tests.entrance.staged import FPS, Stage, template
from tests.entrance.test_factors import ALWAYS, DURESS, PIN, stage_of
from tests.patience import until

PERSON, PAIRS, WARM_UP = template(1), 40, 3
MOST_MS = 20.0


class Taker(BaseHTTPRequestHandler):
    """Takes every alarm."""

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()
        taken.append(1)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


taken: list[int] = []


def enter(stage: Stage, digits: str) -> float:
    """Have the person come, enter a PIN and leave; return how long the relay took, s."""
    stage.show(PERSON, seconds=1.0)
    before, began = stage.lines.pulses, time.perf_counter()
    stage.judge.factors.enter(digits)
    while stage.lines.pulses == before:
        stage.show(PERSON, seconds=1 / FPS)
    took = time.perf_counter() - began
    stage.show(seconds=4.0)
    return took


def measure(pairs: int) -> dict[str, list[float]]:
    """Return how long entries took, s."""
    with ExitStack() as parts:
        stage = stage_of(Path(parts.enter_context(tempfile.TemporaryDirectory())), pin=ALWAYS)
        parts.callback(stage.close)
        stage.store.factors.give(stage.enrol(PERSON).session_number, pins=make_pins(PIN, DURESS))
        server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        parts.callback(server.shutdown)
        webhook = DuressWebhook(
            stage.broadcast, f"http://127.0.0.1:{server.server_port}/", secret=lambda: "a secret of the webhook"
        )
        syslog = Syslog(stage.broadcast, SyslogSettings(host="127.0.0.1", port=9, protocol="tcp"))
        for one in (webhook, syslog):
            one.start()
            parts.callback(one.close)
        took: dict[str, list[float]] = {"normal": [], "duress": []}
        for number in range(WARM_UP + pairs):
            for name, digits in (("normal", PIN), ("duress", DURESS)):
                seconds = enter(stage, digits)
                if number >= WARM_UP:
                    took[name].append(seconds)
        until(lambda: len(taken) == WARM_UP + pairs)
        return took


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="entries of each kind")
    took = measure(parser.parse_args().pairs)
    normal, duress = (np.array(took[name]) for name in ("normal", "duress"))
    longer = (duress[:, None] > normal[None, :]).mean() + 0.5 * (duress[:, None] == normal[None, :]).mean()
    difference_ms = 1000.0 * float(np.median(duress) - np.median(normal))
    result = {
        "entries": {name: timing(seconds) for name, seconds in took.items()},
        "difference_of_medians_ms": round(difference_ms, 2),
        "told_apart": round(float(longer), 3),
        "alarms_taken": len(taken) - WARM_UP,
        "held": abs(difference_ms) <= MOST_MS,
    }
    print(json.dumps(result, indent=2))
    about = about_run(
        __doc__.partition("\n")[0], read_pack(standard_pack()), command="python benchmarks/duress_timing.py"
    )
    store("duress_timing", {**about, **about_device(["httpx"]), **result})


if __name__ == "__main__":
    main()

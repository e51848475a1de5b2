"""The short form of the fleet's drill: partition, hub killed, kiosk killed, clocks wrong by days, everything again."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.fleet.keys import want_server
from tests.patience import LIMIT_S

pytest.importorskip("nats", reason="nats-py of the extra fleet is not installed")
STEPS = ("enrolled", "partition", "hub_killed", "kiosk_killed", "everything_again", "one_more_level", "taken_off")


def test_three_kiosks_come_to_hold_the_same_through_whatever_happens_to_a_fleet():
    want_server()
    command = [sys.executable, str(ROOT / "benchmarks" / "fleet_drill.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20 * LIMIT_S, cwd=ROOT)

    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert {step: (found[step]["lost"], found[step]["doubled"]) for step in STEPS} == dict.fromkeys(STEPS, (0, 0))
    assert found["hub_files"]["found"] == 0

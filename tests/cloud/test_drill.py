"""Short forms of the drills of the cloud: faults and kill -9 of the kiosk, and a month without a network."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.patience import LIMIT_S


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("drill", {"decisions": 30, "in_cloud": 30, "billed": 30, "lost": 0, "twice": 0, "out_of_order": 0}),
        ("month", {"waited": 120, "in_cloud": 120, "is_oldest_first": True, "most_writes_in_a_minute": 60}),
    ],
)
def test_every_decision_reaches_the_cloud_once_and_in_order(part, expected):
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "benchmarks" / "cloud_drill.py"),
            "--quick",
            "--part",
            part,
            "--within",
            str(10 * LIMIT_S),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=12 * LIMIT_S,
        cwd=ROOT,
    )

    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)[part]
    assert {name: found[name] for name in expected} == expected

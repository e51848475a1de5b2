"""The soak's short form: some hundred frames of a day with faults. The long one is benchmarks/soak.py."""

import json
import subprocess
import sys

from tests.conftest import ROOT

SOAK = """
import json, sys
from pathlib import Path
from benchmarks.soak import soak
print(json.dumps(soak(Path(sys.argv[1]), 700, seed=3)))
"""  # in a process of its own: it counts threads, descriptors and memory, and other tests leave and free some


def test_a_short_day_with_faults_loses_no_decision_and_opens_for_nobody_unapproved(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SOAK, str(tmp_path / "state")], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    result, wrong = json.loads(done.stdout)
    assert wrong == []
    assert result["frames"] >= 700
    assert result["decisions_logged"] == result["decisions_announced"] == result["presentations"] > 0
    assert any(what.startswith("fault") for what in result["visits_and_faults"])

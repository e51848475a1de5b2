"""Does hostile input end nothing, within the memory that the kiosk's unit has?

The number that would change a decision: a single crash, or a peak at the limit.

    python benchmarks/fuzz.py [--inputs 2000] [--calls 20]

Runs the tests that send by chance (photographs, multipart, settings, codes, zones of documents, answers of the cloud,
webhooks, words of other kiosks, records, anchors, backups, exports, JSON bodies over a socket) with so many inputs of
each kind, in a memory cgroup with the MemoryMax of systemd/kiosk.service and no swap. It is made below this process's
own, in the hierarchy that the machine has (v2, else v1), and removed at the end; that needs the right to do so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import ROOT, about_device, about_run, command_line
from benchmarks.about import store as store_result
from benchmarks.cgroups import Group, group
from kiosk.networks.inference import read_pack, standard_pack

UNIT = ROOT / "systemd" / "kiosk.service"
TESTS = ("tests/test_hostile_input.py", "tests/decoding/test_decoder.py", "tests/api/test_hostile_pictures.py")
SOCKET_TEST = "test_any_json_body"
PHOTOGRAPH_TEST = "test_a_picture_with_bytes_changed"


def memory_max(unit: str) -> int:
    """Return the bytes that a unit may take.

    >>> memory_max("MemoryMax=1G")
    1073741824
    """
    found = re.search(r"^MemoryMax=(\d+)([MG])$", unit, re.MULTILINE)
    if found is None:
        raise SystemExit("the unit has no MemoryMax in M or G")
    return int(found[1]) << {"M": 20, "G": 30}[found[2]]


def run(limited: Group, most: int, settings: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """Run the tests in a group; return pytest's exit code, and what became of each test."""
    limited.limit_memory(most)
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", *TESTS]
        done = subprocess.run(limited.within(command), cwd=ROOT, env={**os.environ, **settings}, check=False)
        cases = ET.parse(report).iter("testcase") if report.exists() else ()
        told = {case.get("name", ""): next((child.tag for child in case), "passed") for case in cases}
    return done.returncode, told


def main() -> int:
    """Run, and keep the result; 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000, help="of each kind; photographs: a third")
    parser.add_argument("--calls", type=int, default=20, help="of each route that takes JSON")
    parser.add_argument("--seed", type=int, default=12, help="of the photographs")
    chosen = parser.parse_args()
    most = memory_max(UNIT.read_text())
    names = ("KIOSK_TEST_INPUTS", "KIOSK_TEST_CALLS", "KIOSK_TEST_SEED")
    settings = dict(zip(names, map(str, (chosen.inputs, chosen.calls, chosen.seed)), strict=True))
    begun = time.monotonic()
    with group("memory") as limited:
        code, told = run(limited, most, settings)
        peak_mb, killed = limited.peak_mb(), limited.killed()
    by_chance = {
        name: chosen.calls if SOCKET_TEST in name else chosen.inputs // 3 if PHOTOGRAPH_TEST in name else chosen.inputs
        for name in told
        if name.startswith("test_any_") or PHOTOGRAPH_TEST in name
    }
    result = {
        "inputs_by_test": by_chance,
        "inputs": sum(by_chance.values()),
        "tests": len(told),
        "failed": sorted(name for name, end in told.items() if end in {"failure", "error"}),
        "exit_code": code,
        "limit_mb": most >> 20,
        "cgroup": f"v{limited.version}",
        "peak_mb_with_page_cache": peak_mb,
        "ended_by_the_limit": killed,
        "wall_s": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(result, indent=2))
    about = about_run(__doc__.splitlines()[0], read_pack(standard_pack()), command=command_line(), seed=chosen.seed)
    store_result("fuzz", {**about, **about_device(["hypothesis", "pillow"]), **result})
    return int(bool(code or killed))


if __name__ == "__main__":
    sys.exit(main())

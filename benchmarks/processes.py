"""What one process takes from its start to its answer: time and memory, as an operator would see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.about import ROOT, timing

LAUNCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
child.stdout.read(1)
answered = time.perf_counter()
child.stdout.read()
_, status, usage = os.wait4(child.pid, 0)
ended = time.perf_counter()
print(json.dumps([answered - started, ended - started, usage.ru_maxrss, status]))
"""
"""Starts a command. The kernel counts the starting process's memory as the command's, so a small one has to do it."""

Command = Callable[[int], Sequence[str]]
"""Gives the words of the command for a turn."""


def started(commands: Mapping[str, Command], turns: int) -> dict[str, Any]:
    """Start each command in turn, the files in the system's cache, and summarise.

    Raises:
        SystemExit: a command failed.
    """
    figures: dict[str, list[list[float]]] = {name: [] for name in commands}
    launch = [sys.executable, "-I", "-S", "-c", LAUNCH]
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}  # so that the answer is seen when it is given
    for turn in range(turns + 1):
        for name, command in commands.items():
            run = subprocess.run(
                [*launch, *command(turn)], cwd=ROOT, env=unbuffered, capture_output=True, check=True, text=True
            )
            *figure, status = json.loads(run.stdout)
            if status != 0:
                raise SystemExit(f"{name} failed with status {status}")
            if turn > 0:  # the first brings the files into the cache
                figures[name].append(figure)
    return {
        name: {
            "first_answer": timing([row[0] for row in rows]),
            "end": timing([row[1] for row in rows]),
            "peak_resident_mb": round(max(row[2] for row in rows) / 1024, 1),
        }
        for name, rows in figures.items()
    }

"""What a result says of the run that made it, and how times are told: the same words in every result file."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kiosk.networks.inference import Pack

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def about_run(question: str, pack: Pack, *, command: str, seed: int = 0) -> dict[str, Any]:
    """Return what a reader needs to repeat a run; no name of this machine or of its folders."""
    return {
        "question": question,
        "git_commit": git("rev-parse", "HEAD") or "none",
        "models": {model.path.name: model.sha256 for model in pack.models},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cv2": cv2.__version__,
        "machine": platform.machine(),
        "command": command,
        "seed": seed,
    }


def about_device(packages: Iterable[str]) -> dict[str, Any]:
    """Return what times depend on beside the code: processor, system, libraries, changes since the commit."""
    return {
        "device": device(),
        "os": platform.system(),
        "versions": {name: version(name) for name in packages},
        "changed_since_commit": [line[3:] for line in git("status", "--porcelain", "kiosk", "models").splitlines()],
    }


def git(*arguments: str) -> str:
    """Return what git says, trimmed at its end; nothing where this is no clone."""
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.rstrip() if run.returncode == 0 else ""


def version(package: str) -> str:
    """Return the version of an installed package, else "not installed"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def device() -> str:
    """Name the processor, or the board where the kernel knows it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", info.read_text() if info.exists() else "", re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def device_slug() -> str:
    """Return the processor's name as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", device().lower()).strip("-")


def command_line(arguments: Sequence[str] = tuple(sys.argv)) -> str:
    """Return the command that was given, files and folders without the way to them."""
    words = [Path(word).name if Path(word).exists() else word for word in arguments[1:]]
    return shlex.join(["python", f"benchmarks/{Path(arguments[0]).name}", *words])


def timing(seconds: Sequence[float]) -> dict[str, float]:
    """Summarise the times of one step in milliseconds."""
    p50, p95, worst = (round(float(value) * 1000, 2) for value in np.percentile(seconds, [50, 95, 100]))
    return {"p50_ms": p50, "p95_ms": p95, "worst_ms": worst, "count": len(seconds)}


def store(name: str, result: dict[str, Any]) -> None:
    """Write a result file and say where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(path.relative_to(ROOT))


def newest(pattern: str) -> dict[str, Any] | None:
    """Return the result whose name fits; None where there is none."""
    paths = sorted(RESULTS.glob(pattern))
    return json.loads(paths[-1].read_text(encoding="utf-8")) if paths else None

"""Node and pinned packages of npm, for the clients that are written in JavaScript; without them their tests skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NODE, NPM = shutil.which("node"), shutil.which("npm")
NEEDED = pytest.mark.skipif(NODE is None, reason="no Node on this machine; apt-get install nodejs npm")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "face-kiosk-tests"
INSTALL_S = 300


def installed(package: str, version: str) -> Path:
    """Return the folder of a package, installed once into the cache; skip the test where it cannot be had."""
    folder = CACHE / f"{package.replace('/', '+')}-{version}"
    found = folder / "node_modules" / package
    if found.is_dir():
        return found
    if NPM is None:
        pytest.skip("no npm on this machine; apt-get install npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=CACHE))
    command = [NPM, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(fresh)]
    try:
        run = subprocess.run(
            [*command, f"{package}@{version}"], capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
        if run.returncode:
            pytest.skip(f"npm could not install {package}@{version}: {run.stderr.strip().splitlines()[-1:]}")
        if not found.is_dir():  # another process may have been faster
            fresh.rename(folder)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {package}@{version} within {INSTALL_S} s")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return found

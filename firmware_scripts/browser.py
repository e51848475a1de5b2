"""The browser of this machine, for pictures, measurements and tests of the pages."""

from __future__ import annotations

import os
import shutil

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Programs that will do, best first: without a window Chromium takes two thirds of the processor."""

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
"""Its path; None where there is none, and Playwright says so."""

FLAGS = [
    *(["--no-sandbox"] if os.geteuid() == 0 else []),  # as root Chromium starts no other way
    "--disable-gpu",
]

"""Take the README's two pictures, of a kiosk that decides about the public-domain portraits of tests/golden.

    .venv/bin/python firmware_scripts/pictures.py [FOLDER]

Wants Chromium and the extra `test`. FOLDER is .github/pictures when left out: screen.png and operator.png.
"""

from __future__ import annotations

import argparse
import os
import pty
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
from playwright import sync_api as playwright

from firmware_scripts.browser import CHROMIUM, FLAGS

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
WAIT_MS = 120_000  # a busy machine takes its time for three visitors
COLOURS = 64  # of a PNG with a palette; the pages use few, and the camera's picture bears it
WELCOMED = """() => document.querySelector("main[data-state=result][data-kind=good]")
    && [...document.images].some(one => one.naturalWidth > 0 && one.getClientRects().length > 0)"""


def kiosk(*words: str, given: str | None = None) -> str:
    """Run a command of the kiosk; return what it printed."""
    command = [sys.executable, "-m", "kiosk", *words]
    return subprocess.run(command, input=given, text=True, check=True, capture_output=True).stdout.strip()


@contextmanager
def running(visitors: Path) -> Iterator[None]:
    """Run the kiosk in front of visitors, who come again and again as it writes to a terminal."""
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "kiosk", "run", "--demo", str(visitors)]
    with subprocess.Popen(command, stdout=writer, stderr=writer) as process:
        os.close(writer)
        said = b""
        while b"http://" not in said:
            said += os.read(reader, 4096)
        try:
            yield
        finally:
            process.terminate()
            process.wait()
            os.close(reader)


def take(page: Any, path: Path) -> None:
    """Take a picture of a page and keep it small."""
    page.screenshot(path=path, animations="disabled")
    image = cv2.imread(str(path))
    assert image is not None
    from PIL import Image  # noqa: PLC0415  cv2 writes no palettes

    Image.fromarray(image[:, :, ::-1].copy()).quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size} bytes")


def take_both(url: str, password: str, folder: Path) -> None:
    """Take the screen when somebody is let in, and the operator's page when all three were there."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--hide-scrollbars"])
        page = browser.new_context(locale="en-GB", viewport={"width": 800, "height": 480}).new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(kiosk("screen"))
        page.wait_for_function(WELCOMED)
        take(page, folder / "screen.png")
        page = browser.new_context(locale="en-GB", viewport={"width": 1100, "height": 660}).new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{url}/")
        page.get_by_label("Name").fill("demo")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Today").wait_for()
        page.evaluate("location.hash = '#/decisions'")
        page.get_by_role("cell", name="Person B").first.wait_for()
        page.locator(".alarm-seen").click()  # else the alarm of the blocked person covers the decisions
        page.locator(".filter-box > summary").click()
        page.evaluate("scrollTo(0, 0)")
        take(page, folder / "operator.png")
        browser.close()


def main() -> None:
    """Make a store, run the kiosk, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / ".github" / "pictures")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password = secrets.token_urlsafe(9)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"KIOSK_STATE": f"{scratch}/state", "KIOSK_API_PORT": str(port), "TZ": "UTC"}
        visitors = Path(scratch) / "visitors"
        visitors.mkdir()
        for name, file in (("1_known", "a_2"), ("2_stranger", "c_1"), ("3_blocked", "b_1")):
            shutil.copy(GOLDEN / f"person_{file}.jpg", visitors / f"{name}.jpg")
        kiosk("init")
        kiosk("enrol", str(GOLDEN / "person_a_1.jpg"), "--name", "Person A")
        kiosk("blocklist", "add", str(GOLDEN / "person_b_1.jpg"), "--name", "Person B", "--reason", "a demonstration")
        kiosk("operator", "add", "demo", "--role", "admin", given=f"{password}\n")
        with running(visitors):
            take_both(f"http://127.0.0.1:{port}", password, folder)


if __name__ == "__main__":
    main()

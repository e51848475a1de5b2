"""What the tests of the pages share: a Chromium, a page that is watched, and axe-core."""

from __future__ import annotations

import functools
import time
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from firmware_scripts.browser import CHROMIUM, FLAGS
from tests.patience import PROCESS_S

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is in the extra `test`")

LIMIT_MS = PROCESS_S * 1000.0  # a busy machine takes seconds for a page, and for what a page waits for
playwright.expect.set_options(timeout=LIMIT_MS)  # a context's own limit is not for these
NEEDED = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; apt-get install chromium-headless-shell"),
]
# What keeps it from looking for its maker's hosts, lets a page speak that nobody has touched yet, and is cheaper.
QUIET = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    # One process instead of three: a seventh of what a page costs is talk between them.
    "--in-process-gpu",
    "--enable-features=NetworkServiceInProcess2",
]
SETTLED = """async () => {
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  await Promise.allSettled(document.getAnimations().filter(one => one.transitionProperty).map(one => one.finished));
}"""  # colours half-way through a change are nobody's choice
FOUND = """async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
}"""  # what matters alone: to carry over all that axe returns takes half as long as to find it
CRASHES = 4  # in a row, that are too many
DESKTOP, PHONE = {"width": 1360, "height": 850}, {"width": 360, "height": 740}


class Watch:
    """What went wrong on a page that nobody expected."""

    def __init__(self, page, url: str) -> None:
        self.faults: list[str] = []
        self._url = url
        self._expected: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._asked)

    def expects(self, status: int) -> None:
        """Take answers of this status: Chromium's console calls each an error."""
        self._expected.append(f"status of {status}")

    def _heard(self, message) -> None:
        if message.type in {"error", "warning"} and not any(part in message.text for part in self._expected):
            self.faults.append(message.text)

    def _asked(self, request) -> None:
        if not request.url.startswith((f"{self._url}/", f"blob:{self._url}/", "data:")):
            self.faults.append(f"a request left for {request.url}")


def despite_crashes(test):
    """Run a test again, in a folder of its own, when Chromium itself crashed: it does now and then as a server goes."""

    @functools.wraps(test)
    def run(chromium, tmp_path):
        for turn in range(CRASHES):
            folder = tmp_path / str(turn)
            folder.mkdir()
            try:
                return test(chromium, folder)
            except playwright.Error as error:
                if "Target crashed" not in str(error):
                    raise
        return pytest.fail(f"Chromium crashed {CRASHES} times")

    return run


class Driver:
    """Playwright's driver and one Chromium, for all the pages that a process tests.

    It runs an event loop in the thread, which is this thread's running one only while pages are tested: the tests of
    other modules, between those of pages, run loops of their own.
    """

    def __init__(self, driver) -> None:
        self._driver = driver
        self._loop = _get_running_loop()
        self._chromium: Any = None
        _set_running_loop(None)

    @contextmanager
    def lent(self, *flags: str) -> Iterator[Any]:
        """Give a module the Chromium; with flags, one of its own."""
        _set_running_loop(self._loop)
        try:
            if flags:
                browser = self._launched(*flags)
                yield browser
                browser.close()
            else:
                if self._chromium is None or not self._chromium.is_connected():  # it may have crashed
                    self._chromium = self._launched()
                yield self._chromium
        finally:
            _set_running_loop(None)

    def _launched(self, *flags: str) -> Any:
        arguments = [*FLAGS, *QUIET, *flags]
        return self._driver.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=LIMIT_MS)

    def close(self) -> None:
        """End Chromium, and let the driver end."""
        _set_running_loop(self._loop)
        if self._chromium is not None:
            self._chromium.close()


@contextmanager
def driving() -> Iterator[Driver]:
    """Run a driver."""
    with playwright.sync_playwright() as started:
        driver = Driver(started)
        yield driver
        driver.close()


@contextmanager
def opened(chromium, url: str, **options) -> Iterator[tuple[Any, Watch]]:
    """Give a page of its own browser profile, and fail if anything goes wrong on it."""
    context = chromium.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    watch = Watch(page, url)
    try:
        yield page, watch
        assert watch.faults == [], watch.faults  # pytest spells out only what stands in a test
    finally:
        context.close()


def serious(page) -> list[str]:
    """Return what axe finds that is serious, once nothing of the page is on its way any more: half a table is none."""
    end = time.monotonic() + PROCESS_S
    while (found := _serious(page)) and time.monotonic() < end:
        page.evaluate(SETTLED)
    return found


def _serious(page) -> list[str]:
    playwright.expect(page.locator('[aria-busy="true"]')).to_have_count(0)  # what is on its way has no names yet
    page.evaluate(SETTLED)
    if not page.evaluate("'axe' in window"):  # half a megabyte, for a page to read once
        library = pytest.importorskip("axe_playwright_python.base", reason="axe is in the extra `test`")
        page.evaluate(library.AXE_SCRIPT)
    found: list[str] = page.evaluate(FOUND)
    return found


def speak(page: Any, language: str) -> None:
    """Choose a language at the kiosk's screen, by its own name."""
    page.locator(".languages summary").click()
    page.locator(".languages").get_by_role("button", name=language).click()
    code = {"Deutsch": "de", "English": "en", "Español": "es", "Français": "fr", "العربية": "ar"}[language]
    playwright.expect(page.locator("html")).to_have_attribute("lang", code)  # its words are fetched first

"""How many clicks do five tasks take a new operator, and how long?

The number that would change a decision: a task that takes more clicks than it did.

    python benchmarks/page_tasks.py [--tree DIR] [--name NAME]

Chromium does each task by the words that stand on the page, without a shortcut that a newcomer cannot know: enrol
somebody, find somebody, decide a review, block somebody, change a threshold. Counted are clicks (a file's dialog counts
two), keys, and screens scrolled to what is clicked. `by_hand_s` is what they take people by the keystroke-level model
(Card, Moran, Newell 1980: 0.28 s a key, 1.1 s to point, 0.2 s to press, 1.35 s to think before a click; 1.5 s a screen
is ours); `page_s` is how long the page itself took. DIR is a checkout of another commit, to compare with.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright import sync_api as playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
GOLDEN = ROOT / "tests" / "golden"
NAME, PASSWORD = "Person C", "correct horse battery"
PEOPLE, DECISIONS = 200, 600
KEY_S, POINT_S, PRESS_S, THINK_S, SCREEN_S = 0.28, 1.1, 0.2, 1.35, 1.5
LIMIT_MS = 120_000
CLICKS_MOST = 3
SWALLOWED_MS = 5_000  # after which somebody clicks again
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")  # as the tests look for one
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = [*(["--no-sandbox"] if os.geteuid() == 0 else []), "--disable-gpu", "--hide-scrollbars"]


class Hand:
    """A page, and what is done to it."""

    def __init__(self, page: Any) -> None:
        """Take a page on which somebody is signed in."""
        self.page = page
        self.clicks = self.keys = self.screens = 0

    def click(self, where: Any, count: int = 1) -> None:
        """Scroll to an element and click it."""
        self._scroll(where)
        where.click()
        self.clicks += count

    def type(self, where: Any, text: str) -> None:
        """Type into a field; a click more where it has not the focus already."""
        where.wait_for()
        if not where.evaluate("one => one === document.activeElement"):
            self._scroll(where)
            where.click()
            self.clicks += 1
        where.fill("")
        where.press_sequentially(text)
        self.keys += len(text)

    def press(self, key: str) -> None:
        """Press a key in the field that has the focus."""
        self.page.keyboard.press(key)
        self.keys += 1

    def choose_file(self, where: Any, path: Path) -> None:
        """Choose a file: the button, and the file in the browser's dialog."""
        where.set_input_files(path)
        self.clicks += 2

    def _scroll(self, where: Any) -> None:
        where.wait_for()
        away = where.evaluate(
            "one => { const { top, bottom } = one.getBoundingClientRect();"
            " return Math.max(0, -top, bottom - innerHeight) / innerHeight; }"
        )
        self.screens += math.ceil(away)


def everywhere_on(page: Any) -> Any:
    """Return the field over every view that finds a person; None in a page that has none."""
    return page.locator("#find-person") if page.locator("#find-person").count() else None


def to_person(hand: Hand, name: str) -> None:
    """Come to a person's own page by their name."""
    page = hand.page
    everywhere = everywhere_on(page)
    if everywhere is not None:
        hand.type(everywhere, name)
        hand.press("Enter")
    else:
        hand.click(page.get_by_role("link", name="People", exact=True))
        hand.type(page.locator("input[name=q]"), name)
        until_shown(hand, page.get_by_role("link", name=name), page.get_by_role("heading", name=name))
    page.get_by_role("heading", name=name).wait_for()


def until_shown(hand: Hand, link: Any, heading: Any) -> None:
    """Click until what it leads to is shown: a page that redraws as the field is left swallows the first click."""
    for _ in range(CLICKS_MOST):
        hand.click(link)
        try:
            heading.wait_for(timeout=SWALLOWED_MS)
        except playwright.TimeoutError:
            continue
        return


def enrol(hand: Hand) -> None:
    """Enrol somebody from a photograph."""
    page = hand.page
    there = page.locator("main").get_by_role("link", name="Enrol somebody")
    if not there.count():
        hand.click(page.get_by_role("link", name="People", exact=True))
    hand.click(there.first)
    hand.choose_file(page.locator("#photographs"), GOLDEN / "person_b_1.jpg")
    page.get_by_text("Good enough").wait_for()
    hand.type(page.get_by_label("Name", exact=True), "Person B")
    hand.click(page.get_by_role("button", name="Enrol", exact=True))
    page.get_by_role("heading", name="Person B").wait_for()


def find(hand: Hand) -> None:
    """Find somebody by their name."""
    to_person(hand, "Person A")


def review(hand: Hand) -> None:
    """Approve a decision that waits."""
    page = hand.page
    hand.click(page.get_by_role("link", name="Reviews"))
    first = page.locator(".review").first
    first.wait_for()
    template = first.locator(".template")
    if template.count():
        hand.click(template.first)
    else:
        hand.type(first.locator("input[name=reason]"), "I know this person")
    hand.click(first.get_by_role("button", name="Approve"))
    page.get_by_text("Approved, and signed into the log.").first.wait_for()


def block(hand: Hand) -> None:
    """Block somebody for a reason."""
    page = hand.page
    to_person(hand, "Person A")
    hand.click(page.get_by_role("button", name="Block", exact=True))
    dialog = page.get_by_role("dialog")
    hand.type(dialog.get_by_label("Reason"), "left in a dispute")
    hand.click(dialog.get_by_role("button", name="Block"))
    page.get_by_text("left in a dispute").wait_for()


def threshold(hand: Hand) -> None:
    """Change from which score somebody enters."""
    page = hand.page
    hand.click(page.get_by_role("link", name="Settings", exact=True))
    wanted = page.locator("[name='entrance.identify_threshold']")
    wanted.wait_for(state="attached")
    search = page.locator("input[name=find]")
    if search.count():
        hand.type(search, "enter from")
    hand.type(wanted, "82")
    hand.press("Enter")
    page.get_by_text("Applied.").first.wait_for()


TASKS: dict[str, Callable[[Hand], None]] = {
    "enrol": enrol,
    "find": find,
    "review": review,
    "block": block,
    "threshold": threshold,
}


@contextmanager
def served(tree: Path, state: Path) -> Iterator[str]:
    """Serve a fresh store with the program of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "KIOSK_STATE": str(state)}

    def run(*words: str, given: str = "") -> None:
        subprocess.run([sys.executable, *words], env=environment, input=given, text=True, check=True, cwd=tree)

    run(str(HERE / "page_store.py"), str(state), str(PEOPLE), str(DECISIONS))
    run("-m", "kiosk", "enrol", str(GOLDEN / "person_a_1.jpg"), "--name", "Person A")
    command = [sys.executable, "-m", "kiosk", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, cwd=tree, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def signed_in(browser: Any, url: str) -> Any:
    """Return a page on which an administrator is signed in and sees today."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    page.goto(f"{url}/")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Today").wait_for()
    playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0, timeout=LIMIT_MS)
    return page


def measure(tree: Path) -> dict[str, Any]:
    """Do each task on a page of its own; return what each took."""
    taken = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        served(tree, Path(folder) / "state") as url,
        playwright.sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, task in TASKS.items():
            page = signed_in(browser, url)
            hand, begun = Hand(page), time.perf_counter()
            task(hand)
            page_s = time.perf_counter() - begun
            by_hand = hand.clicks * (THINK_S + POINT_S + PRESS_S) + hand.keys * KEY_S + hand.screens * SCREEN_S
            taken[name] = {
                "clicks": hand.clicks,
                "keys": hand.keys,
                "screens": hand.screens,
                "by_hand_s": round(by_hand, 1),
                "page_s": round(page_s, 2),
            }
            page.context.close()
        browser.close()
    return taken


def main() -> None:
    """Measure, and keep the result beside those of other trees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=ROOT, help="a checkout whose program is served")
    parser.add_argument("--name", default="now", help="under which the result is kept, such as a commit")
    parser.add_argument("--quick", action="store_true", help="keep no result")
    chosen = parser.parse_args()
    path = RESULTS / "page_tasks.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept["question"] = str(__doc__).splitlines()[0]
    kept["load"] = [round(one, 1) for one in os.getloadavg()]
    kept.setdefault("trees", {})[chosen.name] = measure(chosen.tree.resolve())
    print(json.dumps(kept["trees"], indent=2))
    if not chosen.quick:
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

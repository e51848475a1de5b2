"""Take every view and dialog of the pages in every size, colour and language, onto contact sheets.

    .venv/bin/python firmware_scripts/contact_sheet.py http://127.0.0.1:8080 NAME [FOLDER] [--screen "$(kiosk screen)"]

For a kiosk that runs; NAME is an operator's, the password is read from stdin. Wants Chromium and the extra `test`.
With --screen, the address that `kiosk screen` prints, the visitor's screen is taken too. FOLDER (./sheets when left
out) gets one PNG for each view, a sheet for each size, colour and language, all of them small on `sheet.png`, and
`views.json`: how long each view took, what axe found, how much moved while it appeared (web vitals' layout shift),
how soon the page was painted first, and whether anything was wider than its screen.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from playwright import sync_api as playwright

from firmware_scripts.browser import CHROMIUM, FLAGS

SIZES = {"desk": (1280, 800), "panel": (800, 480), "phone": (390, 844)}
COLOURS: tuple[str, ...] = ("light", "dark")
VIEWS = (
    "today",
    "live",
    "guard",
    "decisions",
    "decisions?status=Declined",
    "reviews",
    "people",
    "people/new",
    "people/import",
    "people/inside",
    "people/passes",
    "people/groups",
    "audit",
    "cloud",
    "fleet",
    "settings",
    "keys",
    "operators",
    "setup",
    "acceptance",
)
OWN_NAMES = {
    "people/new": "enrol",
    "people/import": "import",
    "people/inside": "inside",
    "people/passes": "passes",
    "people/groups": "groups",
    "fleet/pairs": "pairs",
}
"""Views whose class is not the first part of their address."""
ONE_CHOSEN = "tbody input[type=checkbox]"
DIALOGS = (
    ("today", "door.open", None),
    ("today", "shortcut.title", None),
    ("people", "people.csv", None),
    ("people", "people.archive", None),
    ("people", "person.block", ONE_CHOSEN),
    ("people", "bulk.until", ONE_CHOSEN),
    ("people", "bulk.groups", ONE_CHOSEN),
    ("people", "bulk.forget", ONE_CHOSEN),
    ("people-one", "person.block", None),
    ("people-one", "person.unblock", None),
    ("people-one", "person.forget", None),
    ("decisions?status=Declined", "saved.save", None),
    ("keys", "keys.revoke", None),
    ("operators", "operators.role", None),
    ("operators", "operators.password", None),
    ("operators", "operators.factor_remove", None),
    ("operators", "operators.end", None),
    ("operators", "operators.remove", None),
    ("operators", "account.factor_set", None),
    ("operators", "account.password", None),
    ("acceptance", "acceptance.restart", None),
)
"""What opens a dialog: the view, the words of its button, and what is ticked before; no button, no such dialog."""

WATCH = """() => {
  window.moved = [];
  new PerformanceObserver((list) => window.moved.push(...list.getEntries().map((one) => one.value)))
    .observe({ type: "layout-shift", buffered: true });
}"""
PAINTED = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null"""

SCREEN_VIEWS = ("idle", "languages", "consent", "details")
SETTLED = """async () => {
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  await Promise.allSettled(document.getAnimations().filter(one => one.transitionProperty).map(one => one.finished));
}"""
TILE = 420  # px, width of one picture on a sheet
MOST_HIGH = 2.2  # times as high as wide: the rest of a long page is on its own picture
ACROSS = 4
SMALL = 640  # px, width of one sheet among all


def first_of(page: Any, kind: str) -> str | None:
    """Return the address of one person or decision, so that its own view is taken too."""
    found = page.evaluate(
        """async (kind) => {
          const answer = await fetch(kind === "people" ? "/device/subjects?limit=1" : "/device/decisions?limit=1");
          const rows = await answer.json();
          return String(kind === "people" ? rows.subjects[0]?.session_number : rows.decisions[0]?.request_id);
        }""",
        kind,
    )
    return None if found == "undefined" else f"{kind}/{found}"


def shown(page: Any, view: str) -> float:
    """Show a view; return how long it took until everything stood, ms."""
    begun = time.monotonic()
    page.evaluate("view => { window.moved.length = 0; location.hash = `#/${view}` }", view)
    name = view.partition("?")[0].split("/", maxsplit=1)[0]
    place = {"people": "person", "decisions": "decision"}.get(name, name) if "/" in view else name
    place = OWN_NAMES.get(view, place)
    page.locator(f".view-{place}").wait_for()
    playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)
    return (time.monotonic() - begun) * 1000.0


def found_by_axe(page: Any) -> list[str]:
    """Return what axe-core finds wrong with the view, of any weight; nothing where axe is not installed."""
    try:
        from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # noqa: PLC0415  the extra `test` has it
    except ImportError:
        return []
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']}: {node['html'][:100]}" for one in found for node in one["nodes"]]


def sheet(pictures: Sequence[tuple[str, Path]], path: Path) -> None:
    """Put pictures beside one another, each with its view's name."""
    shrunk = []
    for name, one in pictures:
        image = Image.open(one).convert("RGB")
        image = image.crop((0, 0, image.width, min(image.height, round(image.width * MOST_HIGH))))
        shrunk.append((name, image.resize((TILE, round(image.height * TILE / image.width)))))
    rows = [shrunk[at : at + ACROSS] for at in range(0, len(shrunk), ACROSS)]
    heights = [max(image.height for _, image in row) + 24 for row in rows]
    whole = Image.new("RGB", (ACROSS * (TILE + 8), sum(heights)), "#888888")
    pen, y = ImageDraw.Draw(whole), 0
    for row, height in zip(rows, heights, strict=True):
        for place, (name, image) in enumerate(row):
            pen.text((place * (TILE + 8) + 4, y + 4), name, fill="white")
            whole.paste(image, (place * (TILE + 8), y + 22))
        y += height
    whole.save(path)


def together(sheets: Sequence[Path], path: Path) -> None:
    """Put all sheets, small, onto one."""
    small = [Image.open(one).convert("RGB") for one in sheets]
    small = [one.resize((SMALL, round(one.height * SMALL / one.width))) for one in small]
    whole = Image.new("RGB", ((SMALL + 8) * len(small), max(one.height for one in small) + 20), "#555555")
    pen = ImageDraw.Draw(whole)
    for place, (one, name) in enumerate(zip(small, sheets, strict=True)):
        pen.text((place * (SMALL + 8) + 4, 4), name.stem, fill="white")
        whole.paste(one, (place * (SMALL + 8), 20))
    whole.save(path)


def looks(chosen: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield size, colour and language of each sheet."""
    for language in chosen.language:
        for size in chosen.size:
            for colour in chosen.colour:
                yield size, colour, language


def sign_in(page: Any, name: str, password: str) -> None:
    """Sign in, and wait for the first view."""
    page.locator("input[name=name]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.locator("form button[type=submit]").click()
    page.locator(".view-today").wait_for()


def take(browser: Any, chosen: argparse.Namespace, password: str, look: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Take all views in one look; return what was measured of each."""
    size, colour, language = look
    width, height = SIZES[size]
    options = {"viewport": {"width": width, "height": height}, "color_scheme": colour, "reduced_motion": "reduce"}
    context = browser.new_context(locale="en-GB", **options)
    context.set_default_timeout(120_000)
    context.add_init_script(f"localStorage.setItem('kiosk.language', '{language}')")
    context.add_init_script(f"({WATCH})()")
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda told: faults.append(told.text) if told.type in {"error", "warning"} else None)
    pictures: list[tuple[str, Path]] = []
    measured: list[dict[str, Any]] = []

    def note(name: str, *, full: bool = False, **more: Any) -> None:
        """Take a picture, and note what was measured of it."""
        page.evaluate(SETTLED)
        path = chosen.folder / f"{name.replace('?', '-').replace(', ', '-')}-{size}-{colour}-{language}.png"
        page.screenshot(path=path, animations="disabled", full_page=full)
        pictures.append((name, path))
        axe = found_by_axe(page) if chosen.axe else []
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        row = {"view": name, "size": size, "colour": colour, "language": language, "ms": 0, "moved": 0.0}
        measured.append({**row, "overflow_px": max(0, overflow), "axe": axe, "console": list(faults), **more})
        faults.clear()

    page.goto(f"{chosen.url}/")
    page.locator("input[name=name]").wait_for()
    note("sign-in", painted_ms=page.evaluate(PAINTED))
    sign_in(page, chosen.name, password)
    views = [
        *(chosen.view or VIEWS),
        *([] if chosen.view else filter(None, (first_of(page, "people"), first_of(page, "decisions")))),
    ]
    words = page.evaluate(f"fetch('/web/common/{language}.json').then(answer => answer.json())")
    words = {**page.evaluate("fetch('/web/common/en.json').then(answer => answer.json())"), **words}
    for view in views:
        took_ms = shown(page, view)
        name = view.split("/", maxsplit=1)[0] + (
            "-one" if "/" in view and view not in VIEWS else view.partition("/")[2]
        )
        page.evaluate(SETTLED)
        moved = round(page.evaluate("window.moved.reduce((sum, one) => sum + one, 0)"), 4)
        note(name, full=size != "phone" or chosen.whole, ms=round(took_ms), moved=moved)
        for opener, ticked in [(key, before) for of, key, before in DIALOGS if of == name]:
            if dialog(page, words[opener], ticked) is not None:
                note(f"{name}, {opener}")
                page.keyboard.press("Escape")
                playwright.expect(page.locator("dialog")).to_have_count(0)
    page.reload()
    page.locator(".view").wait_for()
    measured[-1]["painted_ms"] = page.evaluate(PAINTED)
    if chosen.screen:
        for name, path, axe in screen(context, chosen, look):
            pictures.append((f"screen, {name}", path))
            row = {"view": f"screen, {name}", "size": size, "colour": colour, "language": language, "ms": 0}
            measured.append({**row, "moved": 0.0, "overflow_px": 0, "axe": axe, "console": []})
    sheet(pictures, chosen.folder / f"sheet-{size}-{colour}-{language}.png")
    context.close()
    return measured


def dialog(page: Any, words: str, ticked: str | None = None) -> bool | None:
    """Open a dialog by its button; None where the view has no such button to press."""
    if ticked is not None and page.locator(ticked).count() and not page.locator(f"{ticked}:checked").count():
        page.locator(ticked).first.check()
    whole = re.compile(rf"^\W*{re.escape(words)}\W*$")  # a part would be found in another button's words
    button = page.locator("button:visible", has_text=whole).first
    if not button.count() or not button.is_enabled():
        return None
    button.click()
    page.locator("dialog[open]").wait_for()
    return True


def screen(
    context: Any, chosen: argparse.Namespace, look: tuple[str, str, str]
) -> Iterator[tuple[str, Path, list[str]]]:
    """Take the visitor's screen: while nobody is there, its languages, and where it enrols consent and details."""
    size, colour, language = look
    page = context.new_page()
    page.goto(chosen.screen)
    page.locator("main[data-state]").wait_for()
    page.locator(".languages summary").click()
    page.locator(f".languages button[lang={language}]").click()
    page.locator(f"html[lang={language}]").wait_for()
    for name in SCREEN_VIEWS:
        if name == "languages":
            page.locator(".languages summary").click()
        elif name == "consent":
            page.locator(".languages summary").click()
            begin = page.locator(".invite button")
            if not begin.count():
                break  # this kiosk enrols nobody
            begin.click()
            page.locator(".flow-card").wait_for()
        elif name == "details":
            page.locator("input[name=agree]").check()
            page.locator(".flow-card button[type=submit]").click()
            page.locator("input[name=name]").wait_for()
        page.evaluate(SETTLED)
        path = chosen.folder / f"screen-{name}-{size}-{colour}-{language}.png"
        page.screenshot(path=path, animations="disabled")
        yield name, path, found_by_axe(page) if chosen.axe else []
    page.close()


def main() -> int:
    """Take all sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("name")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("sheets"))
    parser.add_argument("--size", nargs="*", choices=tuple(SIZES), default=tuple(SIZES))
    parser.add_argument("--colour", nargs="*", choices=COLOURS, default=COLOURS)
    parser.add_argument("--language", nargs="*", default=("en", "de", "ar"))
    parser.add_argument(
        "--screen", metavar="ADDRESS", help="also take the visitor's screen; as `kiosk screen` prints it"
    )
    parser.add_argument("--view", nargs="*", help="only these, such as reviews")
    parser.add_argument("--axe", action="store_true", help="also run axe-core over each view")
    parser.add_argument("--whole", action="store_true", help="the whole page on a phone too, not its first screen")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    password = sys.stdin.readline().strip()
    measured: list[dict[str, Any]] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--hide-scrollbars"])
        for look in looks(chosen):
            measured += take(browser, chosen, password, look)
        browser.close()
    together([chosen.folder / f"sheet-{'-'.join(look)}.png" for look in looks(chosen)], chosen.folder / "sheet.png")
    (chosen.folder / "views.json").write_text(json.dumps(measured, indent=2) + "\n")
    wrong = [one for one in measured if one["overflow_px"] or one["axe"] or one["console"]]
    for one in wrong:
        print(one)
    painted = [one["painted_ms"] for one in measured if one.get("painted_ms") is not None]
    most = max(measured, key=lambda one: one["moved"])
    print(
        f"{len(measured)} views, {len(wrong)} with something wrong; slowest {max(one['ms'] for one in measured)} ms; "
        f"painted first after at most {max(painted, default=0):.0f} ms; most moved {most['moved']} ({most['view']})"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

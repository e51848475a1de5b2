"""How long does each view of the operator's page take with 100,000 people and 100,000 decisions?

The number that would change a decision: a view or a route that takes more than a second once it is warm, or people by a
part of their name more than 2 s the first time and 0.3 s after.

    python benchmarks/page_views.py [--people N] [--decisions N] [--store DIR]

A store is made (or one that --store names is taken, and made where there is none), `kiosk serve` serves it, and first
each route that a view asks is called by HTTP, the first call apart, then Chromium shows each view, twice. `processor_s`
beside a first call is what the server's process computed for it, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright import sync_api as playwright

from benchmarks.about import RESULTS, about_device, about_run
from benchmarks.page_store import NAME, PASSWORD, fill
from firmware_scripts.browser import CHROMIUM, FLAGS
from kiosk.networks.inference import read_pack, standard_pack

WARM = 5
ONE = 777  # the number of the person who is looked at, where there are so many
ROUTES = {
    "people": "/device/subjects?limit=25",
    "people, the last page": "/device/subjects?limit=25&offset={last}",
    "people blocked": "/device/subjects?limit=25&is_blocklisted=true",
    "people whose time ends": "/device/subjects?limit=25&ends_within_days=30",
    "people by a part of their name": "/device/subjects?limit=25&q=marka",
    "people by two words": "/device/subjects?limit=25&q=marka+dor",
    "people by code": "/device/subjects?limit=25&q=staff-777",
    "people by document": "/device/subjects?limit=25&q=AB000777",
    "people of a group": "/device/subjects?limit=25&group=staff",
    "groups": "/device/groups",
    "one person": "/device/subjects/{one}",
    "decisions": "/device/decisions?limit=25",
    "decisions, the last page": "/device/decisions?limit=25&offset={last_decision}",
    "decisions declined": "/device/decisions?limit=25&status=Declined",
    "decisions of one person": "/device/decisions?limit=25&session_number={one}",
    "decisions by reason": "/device/decisions?limit=25&why=borderline",
    "reviews": "/device/reviews?limit=20",
    "reviews by reason": "/device/reviews?limit=20&why=borderline",
    "statistics of a day": "/device/statistics?hours=24",
    "statistics of a week": "/device/statistics?hours=168",
    "hours of the week": "/device/statistics/week",
    "scores of 30 days": "/device/statistics/scores?days=30",
    "health": "/device/health",
    "settings": "/device/settings",
    "keys": "/device/keys",
    "operators": "/device/operators",
}
VIEWS = (
    "today",
    "live",
    "decisions",
    "reviews",
    "people",
    "people/groups",
    "people/{one}",
    "audit",
    "settings",
    "operators",
)
LIMIT_MS = 300_000


@contextmanager
def served(state: Path) -> Iterator[tuple[str, int]]:
    """Serve a store; give the address and the server's process id."""
    environment = {**os.environ, "KIOSK_STATE": str(state), "KIOSK_API_READS_PER_MINUTE": "100000"}
    command = [sys.executable, "-m", "kiosk", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.terminate()


def processor_s(pid: int) -> float:
    """Return how long a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def routes(url: str, pid: int, people: int, decisions: int) -> dict[str, Any]:
    """Call each route; return what each took, ms."""
    taken: dict[str, Any] = {}
    places = {"last": max(0, people - 25), "last_decision": max(0, decisions - 25), "one": min(ONE, people)}
    with httpx.Client(base_url=url, timeout=LIMIT_MS / 1000, trust_env=False) as client:
        client.post("/device/session", json={"name": NAME, "password": PASSWORD}).raise_for_status()
        for name, path in ROUTES.items():
            times = []
            before = processor_s(pid)
            for turn in range(WARM + 1):
                begun = time.perf_counter()
                found = client.get(path.format(**places))
                times.append((time.perf_counter() - begun) * 1000)
                found.raise_for_status()
                if turn == 0:
                    spent = processor_s(pid) - before
            taken[name] = {
                "first_ms": round(times[0], 1),
                "processor_s": round(spent, 2),
                "warm_ms": round(float(np.median(times[1:])), 1),
                "bytes": len(found.content),
            }
            print(f"{name}: {taken[name]}", flush=True)
    return taken


def views(url: str, one: int) -> dict[str, Any]:
    """Show each view; return what each took until all of it stood, ms."""
    taken: dict[str, Any] = {}
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(LIMIT_MS)
        page.goto(f"{url}/")
        page.get_by_label("Name").fill(NAME)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Today").wait_for()
        for view in (each.format(one=one) for each in VIEWS):
            times = []
            for _ in range(2):
                page.evaluate("location.hash = '#/keys'")
                page.locator(".view-keys").wait_for()
                stands(page)
                begun = time.perf_counter()
                page.evaluate("view => { location.hash = `#/${view}` }", view)
                page.locator(".view:not(.view-keys)").wait_for()
                stands(page)
                times.append((time.perf_counter() - begun) * 1000)
            taken[view] = {"first_ms": round(times[0]), "warm_ms": round(times[1])}
            print(f"{view}: {taken[view]}", flush=True)
        browser.close()
    return taken


def stands(page: Any) -> None:
    """Wait until nothing of a view is on its way."""
    playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0, timeout=LIMIT_MS)


def main() -> None:
    """Measure, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--store", type=Path, help="a folder to keep the store in")
    parser.add_argument("--quick", action="store_true", help="a hundred of each, and no result kept")
    chosen = parser.parse_args()
    people, decisions = (100, 100) if chosen.quick else (chosen.people, chosen.decisions)
    with tempfile.TemporaryDirectory() as scratch:
        state = chosen.store or Path(scratch) / "state"
        if not (state / "kiosk.db").exists():
            fill(state, people, decisions)
        with served(state) as (url, pid):
            result = {"people": people, "decisions": decisions, "routes": routes(url, pid, people, decisions)}
            result["views"] = views(url, min(ONE, people))
    if not chosen.quick:
        about = about_run(str(__doc__).splitlines()[0], read_pack(standard_pack()), command="page_views.py")
        about |= about_device(["numpy", "playwright", "uvicorn"]) | {"load": [round(one, 1) for one in os.getloadavg()]}
        (RESULTS / "page_views.json").write_text(json.dumps(about | result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

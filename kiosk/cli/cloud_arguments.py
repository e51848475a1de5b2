"""What `kiosk cloud` and `kiosk fake-cloud` understand; their code is in cloud.py, imported when one of them runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from kiosk.cli.values import read_count, read_port, read_skip

Adder = Callable[..., argparse.ArgumentParser]


def add_cloud(add: Adder, group: Callable[[Adder, str, str], Adder]) -> None:
    """Add the commands; `group` makes one that has others below it."""
    cloud = group(add, "cloud", "manage your account at Didit, and what is sent from this device")
    for name, sentence in (
        ("register", "open an account at Didit, which then e-mails a code"),
        ("verify", "confirm the e-mail address with that code, and keep the API key"),
        ("login", "fetch the API key of an existing account"),
    ):
        command = cloud(f"cloud {name}", "cloud", sentence, more="Passwords are asked for, or read from a pipe.")
        command.add_argument("--email", required=True, metavar="ADDRESS", help="e-mail address of the account")
        if name == "verify":
            command.add_argument("--code", required=True, metavar="CODE", help="the six characters in the e-mail")
    cloud("cloud key", "cloud", "store an API key from Didit's console; it is asked for, or read from a pipe")
    cloud("cloud secret", "cloud", "store the secret that signs webhooks; it is asked for, or read from a pipe")
    cloud("cloud balance", "cloud", "print the credits of the account")
    top_up = cloud("cloud top-up", "cloud", "print a link, and its QR code, with which a person can pay")
    top_up.add_argument(
        "--amount", type=read_count, default=50, metavar="DOLLARS", help="amount, 50 or more (default 50)"
    )
    cloud("cloud status", "cloud", "say what waits to be sent, and whether sending works; exit 3 when it has stopped")
    confirm = cloud(
        "cloud confirm-list", "cloud", "say that a list of the cloud was shortened on purpose; unblocks those taken off"
    )
    confirm.add_argument("list", metavar="LIST", help="id of the list, see `kiosk cloud status`")
    rows = cloud("cloud outbox", "cloud", "list what waits to be sent, what arrived and what was refused")
    rows.add_argument(
        "--which",
        choices=("waiting", "sending", "sent", "rejected", "superseded"),
        help="only rows in this state; superseded: dropped, as their person was forgotten or they waited too long",
    )
    rows.add_argument("--limit", type=read_count, default=100, metavar="N", help="most rows to print (default 100)")
    rows.add_argument("--offset", type=read_skip, default=0, metavar="N", help="rows to skip (default 0)")
    retry = cloud("cloud retry", "cloud", "queue a refused row again")
    retry.add_argument("row", type=read_count, metavar="ROW", help="number of the row, see `kiosk cloud outbox`")
    send = cloud("cloud send", "cloud", "send what waits, when no kiosk is running; exit 3 if something is left")
    send.add_argument(
        "--within", type=read_count, default=600, metavar="S", help="seconds to spend at most (default 600)"
    )
    export = cloud(
        "cloud export",
        "cloud",
        "write what was not sent to a USB stick, encrypted; it also stays queued",
        more="Asks for a passphrase, which `kiosk cloud decrypt` needs.",
    )
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder of the stick")
    decrypt = cloud(
        "cloud decrypt", "cloud", "decrypt an exported file, on any machine", more="Asks for the export's passphrase."
    )
    decrypt.add_argument("file", type=Path, metavar="FILE", help="file that `kiosk cloud export` wrote")
    decrypt.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for its rows and photographs")
    fake = add(
        "fake-cloud",
        "cloud",
        "run a stand-in for Didit on this machine, for trials",
        more="Of its faults, hang never answers, half cuts the answer off, html answers a web page, wrong answers "
        "another JSON, late shows a call in the list of calls only later, duplicate lists one twice.",
        json=False,
    )
    fake.add_argument("--port", type=read_port, default=0, metavar="N", help="port to listen on (default: a free one)")
    fake.add_argument(
        "--generation",
        choices=("seed", "newer"),
        default="newer",
        help="form of the answers: newer, as Didit's documentation has them (default), or seed, an older form of them",
    )
    fake.add_argument("--credits", default="100.00", metavar="DOLLARS", help="credits of the account (default 100.00)")
    fake.add_argument(
        "--fault",
        action="append",
        metavar="NAME[:N]",
        help="let the next N calls fail in this way: reset, hang, half, html, wrong, redirect, 429, 500, late or "
        "duplicate; with done- before it the call is carried out, and only its answer fails; may be repeated",
    )

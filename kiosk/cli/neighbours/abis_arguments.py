"""`kiosk abis`: its arguments. Apart from what they start, as every command's `--help` reads them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from kiosk.cli.values import read_port

Adder = Callable[..., argparse.ArgumentParser]
STOMP_PORT = 61613


def add_abis(add: Adder, group: Callable[[Adder, str, str], Adder]) -> None:
    """Add the commands; `group` makes one that has others below it."""
    abis = group(add, "abis", "serve MOSIP (an identity platform) as its ABIS, the system that finds duplicate people")
    abis(
        "abis password",
        "neighbours.abis",
        "store the password of the broker's user; it is asked for, or read from a pipe",
    )
    abis(
        "abis secret", "neighbours.abis", "store the secret key of MOSIP's client; it is asked for, or read from a pipe"
    )
    run = abis(
        "abis run",
        "neighbours.abis",
        "answer MOSIP's insert, identify and delete, until stopped",
        more="Use a state directory of its own: whoever MOSIP inserts is enrolled in it. With [search] shards those "
        "are searched. Speaks STOMP 1.2 to ActiveMQ.",
        json=False,
    )
    run.add_argument("--broker", metavar="HOST", required=True, help="host of MOSIP's message broker, ActiveMQ")
    run.add_argument("--port", type=read_port, metavar="N", default=STOMP_PORT, help=f"its port (default {STOMP_PORT})")
    run.add_argument(
        "--inbound", metavar="QUEUE", default="mosip-to-abis", help="where MOSIP writes (default mosip-to-abis)"
    )
    run.add_argument(
        "--outbound", metavar="QUEUE", default="abis-to-mosip", help="where MOSIP reads (default abis-to-mosip)"
    )
    run.add_argument("--user", metavar="NAME", default="", help="the broker's user (default: none)")
    run.add_argument(
        "--ca",
        metavar="FILE",
        type=Path,
        help="authorities, PEM, whose certificates are accepted (default: the system's)",
    )
    run.add_argument("--plain", action="store_true", help="without TLS: for a broker on this machine")
    run.add_argument("--text", action="store_true", help="answer with text messages instead of bytes")
    run.add_argument(
        "--mosip", metavar="URL", required=True, help="address from which biometrics are fetched, and from nowhere else"
    )
    run.add_argument("--client", metavar="ID", required=True, help="MOSIP's client id of this ABIS")
    run.add_argument("--app", metavar="ID", default="regproc", help="its application id (default regproc)")
    run.add_argument(
        "--key", metavar="FILE", type=Path, help="private key, PEM, of the certificate that MOSIP seals biometrics for"
    )

"""`kiosk osdp`: the key of the line to a panel or to readers, and whether the other end answers; declared here too."""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError

if TYPE_CHECKING:
    from kiosk.settings.config import Config

Adder = Callable[..., argparse.ArgumentParser]
LONGEST_S = 3600.0  # of an installation: the line is open meanwhile
ANSWER_S = 15.0  # a panel looks for new readers every few seconds


def add_osdp(add: Adder, group: Callable[[Adder, str, str], Adder]) -> None:
    """Add the commands; `group` makes one that has others below it."""
    osdp = group(add, "osdp", "connect this kiosk to an access control panel, or readers to this kiosk")
    key = osdp(
        "osdp key",
        "neighbours.osdp",
        "store the key of the secure channel; it is asked for, or read from a pipe",
        more="OSDP is the serial line between readers and access control panels. The key has 32 hexadecimal digits, "
        "the same at both ends.",
    )
    key.add_argument("--new", action="store_true", help="make a key and print it once, to be entered at the other end")
    install = osdp(
        "osdp install",
        "neighbours.osdp",
        "be a reader without a key until the panel has set one, and store that key",
        more="For role reader, with the panel in its installation mode and the kiosk stopped. Until then the "
        "channel has a key that everybody knows: whoever listens at the line reads the new one.",
    )
    install.add_argument(
        "--within", metavar="S", type=float, default=120.0, help="seconds to wait, 3600 at most (default 120)"
    )
    osdp(
        "osdp check",
        "neighbours.osdp",
        "answer at the line as the settings say, and say whether the secure channel is set up",
        more="The kiosk must not be running: one process has the line. Exit code 1 when it is not within 15 s.",
    )


def add_simulate(door: Adder) -> None:
    """Add the command that puts stand-ins at the other end of every line; `door` adds to the door's group."""
    simulate = door(
        "door simulate",
        "neighbours.simulate",
        "run the kiosk without hardware: panel, reader, keypad, door and fire alarm are driven from this terminal",
        more="With the settings in force. Lines are read from a pipe too; `wait 2` waits two seconds.",
        json=False,
    )
    simulate.add_argument(
        "--demo", metavar="DIR", type=Path, help="a folder of portraits, whose people walk up instead of the camera's"
    )


def osdp_key(chosen: argparse.Namespace) -> None:
    """Keep the key of the secure channel, sealed."""
    from kiosk import assembly  # noqa: PLC0415  this module is read for every command's `--help`
    from kiosk.cli.cloud import read_secret  # noqa: PLC0415  as secrets of the cloud are kept
    from kiosk.cloud.credentials import OSDP_KEY, Credentials  # noqa: PLC0415
    from kiosk.integrations.osdp import KEY_BYTES, read_key  # noqa: PLC0415

    text = secrets.token_hex(KEY_BYTES) if chosen.new else read_secret("Key of the secure channel").strip()
    key = read_key(text).hex()
    with assembly.open_store(chosen, assembly.load_settings(chosen)) as store:
        Credentials(store, assembly.credentials_directory()).write(OSDP_KEY, key)
    if chosen.json:
        print(json.dumps({"kept": OSDP_KEY, **({"key": key} if chosen.new else {})}))
    else:
        print("Key of the secure channel kept, sealed.")
        if chosen.new:
            print(f"Enter it at the other end; it is not shown again: {key}")


def osdp_install(chosen: argparse.Namespace) -> None:
    """Take a key from the panel, and keep it sealed."""
    from kiosk import assembly  # noqa: PLC0415
    from kiosk.cloud.credentials import OSDP_KEY, Credentials  # noqa: PLC0415
    from kiosk.integrations.osdp_reader import install  # noqa: PLC0415

    config = assembly.load_settings(chosen)
    if not config.osdp.is_used or config.osdp.role != "reader":
        raise ConfigError(
            '[osdp]: want port and role = "reader"; as role "panel" make the key here with `kiosk osdp key --new`'
        )
    if not 0.0 < chosen.within <= LONGEST_S:
        raise ConfigError(f"--within: want more than 0 s and at most {LONGEST_S:g} s")
    with assembly.open_store(chosen, config) as store:
        credentials = Credentials(store, assembly.credentials_directory())
        credentials.write(OSDP_KEY, install(config.osdp, wait_s=chosen.within))
    print(json.dumps({"kept": OSDP_KEY}) if chosen.json else "The panel has set a key; it is kept, sealed.")


def osdp_check(chosen: argparse.Namespace) -> None:
    """Answer at the line, as the kiosk will."""
    from kiosk import assembly  # noqa: PLC0415

    config = assembly.load_settings(chosen)
    if not config.osdp.is_used:
        raise ConfigError("[osdp] port is empty: name the serial port in kiosk.toml")
    key = read_line_key(chosen, config)
    if config.osdp.role == "panel":
        _check_readers(chosen, config, key)
        return
    from kiosk.integrations.osdp_reader import try_line  # noqa: PLC0415

    found = try_line(config.osdp, key=key, wait_s=ANSWER_S).figures()
    seconds = found["secured_after_s"]
    if chosen.json:
        print(json.dumps({"port": config.osdp.port, "secured_after_s": seconds, "reason": found["reason"]}))
    if seconds is None:
        raise ConfigError(found["reason"])
    if not chosen.json:
        print(f"{config.osdp.port}: the panel asks, and the secure channel stood after {seconds:g} s")


def _check_readers(chosen: argparse.Namespace, config: Config, key: str | None) -> None:
    from kiosk.integrations.osdp_panel import try_readers  # noqa: PLC0415

    found = try_readers(config.osdp, key=key, wait_s=ANSWER_S)
    if chosen.json:
        print(json.dumps({"port": config.osdp.port, "readers": found}))
    if not all(found.values()):
        missing = ", ".join(address for address, answers in found.items() if not answers)
        raise ConfigError(f"{config.osdp.port}: no secure channel with reader {missing}")
    if not chosen.json:
        print(f"{config.osdp.port}: every reader answers over the secure channel ({', '.join(found)})")


def read_line_key(chosen: argparse.Namespace, config: Config) -> str | None:
    """Return the key of the line; None where none is kept."""
    from kiosk import assembly  # noqa: PLC0415
    from kiosk.cloud.credentials import OSDP_KEY, Credentials  # noqa: PLC0415

    with assembly.open_store(chosen, config) as store:
        return Credentials(store, assembly.credentials_directory()).read(OSDP_KEY)

"""`kiosk abis`: stand behind a MOSIP as its ABIS."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk import assembly
from kiosk.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from kiosk.integrations.abis.stomp_queue import Broker
    from kiosk.store.store import Store


def abis_password(chosen: argparse.Namespace) -> None:
    """Keep the password of the broker's user, sealed."""
    from kiosk.cli.cloud import keep_secret  # noqa: PLC0415  as secrets of the cloud are kept
    from kiosk.cloud.credentials import ABIS_PASSWORD  # noqa: PLC0415

    keep_secret(chosen, ABIS_PASSWORD, "Password of the broker")


def abis_secret(chosen: argparse.Namespace) -> None:
    """Keep the secret key of MOSIP's client, sealed."""
    from kiosk.cli.cloud import keep_secret  # noqa: PLC0415  as above
    from kiosk.cloud.credentials import ABIS_SECRET  # noqa: PLC0415

    keep_secret(chosen, ABIS_SECRET, "Secret key of the client")


def abis_run(chosen: argparse.Namespace) -> None:
    """Answer until SIGINT or SIGTERM."""
    from kiosk.cloud.credentials import ABIS_SECRET  # noqa: PLC0415
    from kiosk.health.supervisor import Flag, log_to_stderr  # noqa: PLC0415
    from kiosk.integrations.abis.engine import Abis  # noqa: PLC0415
    from kiosk.integrations.abis.share import Login, Share  # noqa: PLC0415
    from kiosk.integrations.abis.stomp_queue import AbisQueue  # noqa: PLC0415

    log_to_stderr()
    key = None if chosen.key is None else _private_key(chosen.key)
    stopped = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with assembly.open_device(chosen, threads=1, clock=assembly.make_clock(assembly.load_settings(chosen))) as device:
        secret = _kept(device.store, ABIS_SECRET, "kiosk abis secret")
        share = Share(Login(chosen.mosip, chosen.client, chosen.app, secret), key)
        broker = _broker(chosen, device.store)
        answers = AbisQueue(lambda pending: Abis(device, share, pending=pending).answer, broker)
        print(f"Answers {broker.inbound} of {broker.host}:{broker.port} with {broker.outbound}", flush=True)
        answers.run(stopped.is_set, stopped.wait)


def _broker(chosen: argparse.Namespace, store: Store) -> Broker:
    from kiosk.cloud.credentials import ABIS_PASSWORD  # noqa: PLC0415
    from kiosk.integrations.abis.stomp_queue import Broker  # noqa: PLC0415

    return Broker(
        chosen.broker,
        chosen.port,
        chosen.inbound,
        chosen.outbound,
        chosen.user,
        _kept(store, ABIS_PASSWORD, "kiosk abis password") if chosen.user else "",
        None if chosen.ca is None else str(chosen.ca),
        is_plain=chosen.plain,
        is_text=chosen.text,
    )


def _kept(store: Store, name: str, command: str) -> str:
    from kiosk.cloud.credentials import Credentials  # noqa: PLC0415

    found = Credentials(store, assembly.credentials_directory()).read(name)
    if found is None:
        raise ConfigError(f"no {name} is kept; `{command}` stores it")
    return found


def _private_key(path: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415  0.05 s
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(assembly.read_file(path), None)
    except (ValueError, TypeError):
        raise ConfigError(f"{path} is not a private key in PEM without a passphrase") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"{path} is no RSA key; MOSIP seals for RSA alone")
    return key

"""`kiosk mqtt`: the broker's password, and whether the broker takes this kiosk; declared here too."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kiosk.errors import ConfigError

if TYPE_CHECKING:
    from kiosk.settings.config import Config

Adder = Callable[..., argparse.ArgumentParser]
ANSWER_S = 10.0  # a broker behind a slow link


def add_mqtt(add: Adder, group: Callable[[Adder, str, str], Adder]) -> None:
    """Add the commands; `group` makes one that has others below it."""
    mqtt = group(add, "mqtt", "connect this kiosk to an MQTT broker, and through it to Home Assistant")
    mqtt("mqtt password", "neighbours.mqtt", "store the password of [mqtt] user; it is asked for, or read from a pipe")
    mqtt(
        "mqtt check",
        "neighbours.mqtt",
        "connect to the broker as the settings say, publish nothing, and say what it answered",
        more="Also lists the topics that the kiosk will publish. Exit code 1 when the broker refuses or is silent.",
    )


def mqtt_password(chosen: argparse.Namespace) -> None:
    """Keep the password of the broker's user, sealed."""
    from kiosk.cli.cloud import keep_secret  # noqa: PLC0415  as secrets of the cloud are kept
    from kiosk.cloud.credentials import MQTT_PASSWORD  # noqa: PLC0415

    keep_secret(chosen, MQTT_PASSWORD, "Password of the broker")


def mqtt_check(chosen: argparse.Namespace) -> None:
    """Connect once, as the kiosk will."""
    from kiosk import assembly  # noqa: PLC0415  this module is read for every command's `--help`
    from kiosk.integrations.home_assistant import discovery, topic  # noqa: PLC0415
    from kiosk.integrations.mqtt import try_connection  # noqa: PLC0415

    config = assembly.load_settings(chosen)
    if not config.mqtt.is_used:
        raise ConfigError("[mqtt] host is empty: name the broker in kiosk.toml")
    said = try_connection(config.mqtt, password=read_password(chosen, config), wait_s=ANSWER_S)
    topics = [topic(config.mqtt, leaf) for leaf in ("availability", "state", "decision")]
    found: dict[str, Any] = {
        "host": config.mqtt.host,
        "port": config.mqtt.port,
        "answer": said,
        "topics": topics,
        "entities": [place for place, text in discovery(config.mqtt) if text],
    }
    if chosen.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{config.mqtt.host}:{config.mqtt.port} takes this kiosk: {said}")
        print(f"publishes {', '.join(topics)}")
        print(f"announces {len(found['entities'])} entities below {config.mqtt.discovery_topic or 'nothing'}")


def read_password(chosen: argparse.Namespace, config: Config) -> str | None:
    """Return the password of the settings' user; None where there is none."""
    from kiosk import assembly  # noqa: PLC0415
    from kiosk.cloud.credentials import MQTT_PASSWORD, Credentials  # noqa: PLC0415

    if not config.mqtt.user:
        return None
    with assembly.open_store(chosen, config) as store:
        return Credentials(store, assembly.credentials_directory()).read(MQTT_PASSWORD)

"""Commands of a gallery in parts: shard key, shard run."""

from __future__ import annotations

import argparse
import json
import signal

from kiosk import assembly
from kiosk.device.live_gallery import LiveGallery
from kiosk.errors import CloudError, ConfigError
from kiosk.health.supervisor import Flag
from kiosk.shards.shard import Service, Shard
from kiosk.store.keys import new_key


def shard_key(chosen: argparse.Namespace) -> None:
    """Make the key that shards and whoever asks them share."""
    path = assembly.state_of(chosen) / assembly.SHARDS_KEY_NAME
    new_key().write(path)
    if chosen.json:
        print(json.dumps({"key": str(path)}))
    else:
        print(f"Made {path}; copy it, by a way you trust, into the state directory of everyone who asks or answers")


def shard_run(chosen: argparse.Namespace) -> None:
    """Hold one part of the people and answer, until SIGINT or SIGTERM."""
    config = assembly.load_settings(chosen)
    part, of = chosen.part
    address = chosen.hub or config.search.shards_hub
    if not address:
        raise ConfigError("no hub is set: give --hub nats://HOST:4222, or set [search] shards_hub")
    recogniser, seal = assembly.open_recogniser(config, threads=1), assembly.shards_seal(chosen)
    stopped = Flag()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with assembly.open_store(chosen, config, create=False) as store:
        live = LiveGallery(recogniser, store, part=part - 1, of=of)
        held = live.latest()
        service = Service(Shard(live.latest, seal, part - 1, of), address)
        try:
            print(f"Shard {part} of {of} holds {held.subjects} people, {held.references} references", flush=True)
            while service.is_alive and not stopped.wait(0.2):
                pass
            if not service.is_alive:
                raise CloudError("the shard no longer answers; start it again")
        finally:
            service.close()

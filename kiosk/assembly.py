"""From a command's options to settings, recogniser, store and device: the shell's one place that builds edges."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kiosk.errors import ConfigError, ModelFileError, StoreError
from kiosk.health.clock import Clock
from kiosk.settings.config import Config, Sources, sources_of, state_directory
from kiosk.shards.wire import Seal
from kiosk.store import directory as stores
from kiosk.store.chain import Kind
from kiosk.store.directory import DATABASE_NAME, initialise
from kiosk.store.erasure import BACKUPS_NAME, ERASURES_NAME
from kiosk.store.keys import KEY_NAME, Key, read_key, read_keys
from kiosk.store.store import Store
from kiosk.store.upkeep.backup import backups, scrub

# Most commands look at no photograph: what does is imported where it is made (OpenCV alone takes a Pi a second).
if TYPE_CHECKING:
    from kiosk.decoding.decoder import Decoder
    from kiosk.device.device import Device
    from kiosk.device.outgoing import Outgoing
    from kiosk.device.passes.keys import PassKeys
    from kiosk.networks.detection import Detection
    from kiosk.networks.documents import ZoneNetwork
    from kiosk.networks.inference import Pack
    from kiosk.recognition.cues import SpoofNetwork
    from kiosk.recognition.match import ScoreScale
    from kiosk.recognition.pipeline import Recogniser

SHARDS_KEY_NAME = "shards.key"
MOST_THREADS = 2  # more gained nothing measurable on networks this small
DAY_S, HOUR_S = 86400.0, 3600.0


def _decoder() -> Decoder:
    from kiosk.decoding.decoder import Decoder

    return Decoder()


def _recogniser(pack: Pack, **options: Any) -> Recogniser:
    from kiosk.networks.inference import load_recogniser

    return load_recogniser(pack, **options)


def _spoof_network(pack: Pack) -> SpoofNetwork:
    from kiosk.networks.liveness import load_spoof_network

    return load_spoof_network(pack)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a caller of many commands loads once for all of them; a command of its own process loads it anew."""

    decoder: Callable[[], Decoder] = _decoder  # the command closes it
    recogniser: Callable[..., Recogniser] = _recogniser
    spoof_network: Callable[[Pack], SpoofNetwork] = _spoof_network


def loaded_for(chosen: argparse.Namespace) -> Loaded:
    """Return what `cli.main` was lent, or what loads anew."""
    loaded: Loaded | None = getattr(chosen, "loaded", None)
    return loaded or Loaded()


def note(sentence: str) -> None:
    """Tell the operator something on stderr, beside whatever the command prints."""
    print(f"Note: {sentence}", file=sys.stderr)


def load_settings(chosen: argparse.Namespace) -> Config:
    """Return the settings in force, see `sources`.

    Raises:
        ConfigError: one is wrong; it names the file, the line and what was probably meant.
    """
    sources = settings_sources(chosen)
    try:
        return sources.load()
    except ConfigError as error:
        from kiosk.settings.mistakes import explained

        raise ConfigError(explained(error, sources)) from None


def settings_sources(chosen: argparse.Namespace) -> Sources:
    """Return where settings come from, see `settings.config.sources_of`."""
    return sources_of(chosen.config, state_of(chosen))


def state_of(chosen: argparse.Namespace) -> Path:
    """Return the state directory."""
    return state_directory(chosen.state)


def load_pack(config: Config, *, unmeasured: ScoreScale | None = None) -> Pack:
    """Return the model pack of the settings.

    Args:
        config: settings.
        unmeasured: the scale of a pack that has none yet, see `read_pack`.

    Raises:
        ModelFileError: a licence forbids commercial use and nobody accepted that.
    """
    from kiosk.networks.inference import read_pack, standard_pack

    directory = Path(config.models.pack).expanduser() if config.models.pack else standard_pack()
    found = read_pack(directory, unmeasured=unmeasured)
    closed = [model for model in found.models if not model.is_commercial]
    if closed and not config.models.accept_non_commercial:
        raise ModelFileError(
            f"{closed[0].path.name} is licensed {closed[0].licence!r}, not for commercial use; "
            "set [models] accept_non_commercial = true only if yours is none"
        )
    return found


def holds_from_age(config: Config) -> float | None:
    """Return from which age the scores of the pack hold, years; None where it does not say."""
    years = scale_measured(config).get("holds_from_age")
    return None if years is None else float(years)


def scale_measured(config: Config) -> Mapping[str, Any]:
    """Return what the pack's manifest says of how its scale was measured: counts, groups, from which age it holds."""
    return load_pack(config).measured


def thread_count() -> int:
    """Return how many threads a network gets where nothing is set."""
    return min(MOST_THREADS, max(1, (os.cpu_count() or 1) // 2))


def open_recogniser(
    config: Config,
    *,
    threads: int = 0,
    pack: Pack | None = None,
    load: Callable[..., Recogniser] = _recogniser,
) -> Recogniser:
    """Load the networks; `threads` goes before the setting where it is not 0, and `pack` before the setting's."""
    models = config.models
    count = threads or models.threads or thread_count()
    return load(
        pack or load_pack(config),
        threads=count,
        providers=models.providers,
        finder_runtime=models.finder_runtime,
        note=note,
    )


def make_detection(config: Config, recogniser: Recogniser) -> Detection:
    """Return what tells photographs from people, untested."""
    from kiosk.networks.detection import Detection
    from kiosk.networks.liveness import liveness_limits

    models = config.models
    return Detection(
        lambda: load_pack(config),
        recogniser.detect,
        liveness_limits(config.pad).cues,
        threads=models.threads or thread_count(),
        providers=models.providers,
        note=note,
    )


def make_zone_network(config: Config) -> ZoneNetwork:
    """Return what reads documents; nothing is loaded before the first."""
    from kiosk.networks.documents import ZoneNetwork

    models = config.models
    return ZoneNetwork(lambda: load_pack(config), threads=models.threads or thread_count(), providers=models.providers)


def credentials_directory() -> Path | None:
    """Return systemd's folder of credentials, where the unit names one."""
    named = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(named) if named else None


def load_keys(directory: Path) -> tuple[Key, ...]:
    """Return the keys of a state directory, from systemd's credential or the 0600 file."""
    return read_keys(directory, credentials_directory())


def make_clock(config: Config) -> Clock:
    """Return the wall clock with its standing."""
    return Clock(config.health.holdover_h * HOUR_S)


def open_store(chosen: argparse.Namespace, config: Config, *, create: bool = True, clock: Clock | None = None) -> Store:
    """Open the store; on the very first call of a new machine make it.

    Args:
        chosen: the command's options.
        config: settings.
        create: make a store where there is neither one nor a trace of one.
        told_by: the clock of its records; None for a new one.
    """
    clock = clock or make_clock(config)
    directory = state_of(chosen)
    retention_s = config.store.retention_days * DAY_S
    if not (directory / DATABASE_NAME).exists():
        if not create or (directory / KEY_NAME).exists() or (directory / "backups").exists():
            raise StoreError(
                f"there is no store in {directory}; make one with `kiosk init`, "
                "or put a backup back with `kiosk store repair`"
            )
        held = credentials_directory()
        key = read_keys(directory, held)[0] if held else None
        initialise(directory, now=clock, key=key, clock_state=clock.state).close()
        note(f"made a new store in {directory}")
    opened = stores.open_store(
        directory, load_keys(directory), now=clock, clock_state=clock.state, retention_s=retention_s
    )
    clock.hold(opened.newest_time())
    for notice in opened.notices:
        note(notice)
    return opened


def confirm_clock(store: Store, clock: Clock, *, actor: str) -> float:
    """Take an operator's word that the machine's clock is right: recorded first; return the time, s UTC.

    Raises:
        StoreError: it cannot be recorded, so nothing is confirmed.
    """
    store.record_act(Kind.CLOCK, details={"confirmed_at": round(clock.wall_time, 3)}, actor=actor)
    return clock.confirm()


def scrub_backups(opened: Store) -> None:
    """Take everyone who was forgotten out of the backups beside the store."""
    directory = opened.directory
    for path in scrub(opened.database, directory / BACKUPS_NAME, directory / ERASURES_NAME, load_keys(directory)):
        note(f"rewrote {path.name} without the people forgotten")
    closed = [
        file.path.name for file in backups(directory / BACKUPS_NAME, load_keys(directory)) if not file.is_readable
    ]
    if closed:
        note(f"made with an older key, so not rewritten: {', '.join(closed)}; remove them to forget there too")


def open_device(chosen: argparse.Namespace, *, threads: int = 0, clock: Clock | None = None) -> Device:
    """Build the whole device; `clock` tells it and its store the time."""
    from kiosk.device.device import Device

    config = load_settings(chosen)
    clock = clock or make_clock(config)
    loaded = loaded_for(chosen)
    with ExitStack() as parts:
        decoder = parts.enter_context(loaded.decoder())
        decoder.warm()  # while the networks are loaded
        # first: where models fail, no store is made
        networks = open_recogniser(config, threads=threads, load=loaded.recogniser)
        opened = open_store(chosen, config, clock=clock)
        outgoing = make_outgoing(opened, config, now=clock)
        parts.pop_all()  # the device ends it
    zones = make_zone_network(config)
    device = Device(networks, opened, config, now=clock, outgoing=outgoing, decoder=decoder, zones=zones)
    ask_shards(chosen, device)
    return device


def ask_shards(chosen: argparse.Namespace, device: Device) -> None:
    """Have the searches of calls ask the shards of a large gallery, where the settings name any.

    Raises:
        ConfigError: there is no key to seal questions with.
    """
    wanted = device.config.search
    if wanted.shards:
        from kiosk.shards.front import Front  # needs the extra fleet

        device.elsewhere = Front(wanted.shards_hub, shards_seal(chosen), wanted.shards)


def shards_seal(chosen: argparse.Namespace) -> Seal:
    """Return what seals questions to the shards, by the key in the state directory.

    Raises:
        ConfigError: there is none.
    """
    path = state_of(chosen) / SHARDS_KEY_NAME
    if not path.exists():
        raise ConfigError(f"there is no {path}; make it with `kiosk shard key` and copy it to all that ask or answer")
    return Seal(read_key(path))


def make_outgoing(opened: Store, config: Config, *, now: Callable[[], float]) -> Outgoing:
    """Return what says of each decision whether something of it leaves the device; by default nothing does."""
    from kiosk.cloud.policy import Policy

    policy = Policy(opened, config.cloud, now=now)
    return with_fleet(policy, opened, config) or policy


def pass_keys(opened: Store) -> PassKeys:
    """Return whose visitor passes count here: this device's, or those of its fleet.

    Raises:
        StoreError: that cannot be read.
    """
    from kiosk.device.passes.keys import DeviceKeys

    if not opened.is_in_fleet:
        return DeviceKeys(opened)
    from kiosk.fleet.doors.pass_keys import FleetPassKeys

    return FleetPassKeys(opened)


def with_fleet(others: Outgoing | None, opened: Store, config: Config) -> Outgoing | None:
    """Return what leaves, with the decisions that a fleet wants; None: nothing does."""
    if not (config.fleet.enabled and config.fleet.decisions and opened.is_in_fleet):
        return others
    from kiosk.device.outgoing import NothingLeaves
    from kiosk.fleet.outgoing import FleetOutgoing

    return FleetOutgoing(opened, others or NothingLeaves())


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error

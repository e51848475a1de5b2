"""From a command's options to settings, recogniser, store and device: the shell's one place that builds edges."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kiosk.cloud.policy import Policy
from kiosk.device.device import Device
from kiosk.errors import ConfigError, ModelFileError, StoreError
from kiosk.health.clock import Clock
from kiosk.networks.inference import Pack, load_recogniser, read_pack, standard_pack
from kiosk.recognition.pipeline import Recogniser
from kiosk.settings.config import SYSTEM_FILE, Config, Sources, state_directory
from kiosk.store import directory as stores
from kiosk.store.directory import DATABASE_NAME, initialise
from kiosk.store.erasure import BACKUPS_NAME, ERASURES_NAME
from kiosk.store.keys import KEY_NAME, Key, read_keys
from kiosk.store.store import Store
from kiosk.store.upkeep.backup import backups, scrub

CHANGES_NAME = "settings.toml"  # what operators changed in the page
MOST_THREADS = 2  # more gained nothing measurable on networks this small
DAY_S, HOUR_S = 86400.0, 3600.0


def note(sentence: str) -> None:
    """Tell the operator something on stderr, beside whatever the command prints."""
    print(f"Note: {sentence}", file=sys.stderr)


def load_settings(chosen: argparse.Namespace) -> Config:
    """Return the settings in force, see `sources`."""
    return settings_sources(chosen).load()


def settings_sources(chosen: argparse.Namespace) -> Sources:
    """Return where settings come from: --config, KIOSK_CONFIG or /etc/kiosk/kiosk.toml; operators; KIOSK_ variables."""
    named = chosen.config or (Path(os.environ["KIOSK_CONFIG"]) if os.environ.get("KIOSK_CONFIG") else None)
    path = named or (SYSTEM_FILE if SYSTEM_FILE.is_file() else None)
    return Sources(path, state_of(chosen) / CHANGES_NAME, os.environ)


def state_of(chosen: argparse.Namespace) -> Path:
    """Return the state directory."""
    return state_directory(chosen.state)


def load_pack(config: Config) -> Pack:
    """Return the model pack of the settings.

    Raises:
        ModelFileError: a licence forbids commercial use and nobody accepted that.
    """
    directory = Path(config.models.pack).expanduser() if config.models.pack else standard_pack()
    found = read_pack(directory)
    closed = [model for model in found.models if not model.is_commercial]
    if closed and not config.models.accept_non_commercial:
        raise ModelFileError(
            f"{closed[0].path.name} is licensed {closed[0].licence!r}, not for commercial use; "
            "set [models] accept_non_commercial = true only if yours is none"
        )
    return found


def open_recogniser(config: Config, *, threads: int = 0) -> Recogniser:
    """Load the networks; `threads` goes before the setting where it is not 0."""
    models = config.models
    count = threads or models.threads or min(MOST_THREADS, max(1, (os.cpu_count() or 1) // 2))
    return load_recogniser(
        load_pack(config), threads=count, providers=models.providers, finder_runtime=models.finder_runtime, note=note
    )


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
    for notice in opened.notices:
        note(notice)
    return opened


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


def open_device(chosen: argparse.Namespace, *, threads: int = 0) -> Device:
    """Build the whole device."""
    config = load_settings(chosen)
    networks = open_recogniser(config, threads=threads)  # first: where models fail, no store is made
    opened = open_store(chosen, config)
    return Device(networks, opened, config, now=time.time, outgoing=make_outgoing(opened, config, now=time.time))


def make_outgoing(opened: Store, config: Config, *, now: Callable[[], float]) -> Policy:
    """Return what says of each decision whether something of it leaves the device; by default nothing does."""
    return Policy(opened, config.cloud, now=now)


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error

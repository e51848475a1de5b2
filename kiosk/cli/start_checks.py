"""What `kiosk run` refuses at its start, found out beforehand: settings, camera, address, model pack, key."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kiosk import assembly
from kiosk.capture.sources import parse_source
from kiosk.errors import KioskError
from kiosk.rules.addresses import is_loopback
from kiosk.settings.config import Config
from kiosk.settings.mistakes import Found, Mistake, find_mistakes
from kiosk.store.accounts import Accounts
from kiosk.store.directory import DATABASE_NAME
from kiosk.store.keys import KEY_NAME


def list_mistakes(chosen: argparse.Namespace, *, ordered: Path | None = None) -> list[Mistake]:
    """Return everything that keeps the kiosk from starting with these settings; nothing is changed.

    Args:
        chosen: the options.
        ordered: another file in the place of what the owner of the fleet ordered.
    """
    sources = assembly.settings_sources(chosen)
    found = find_mistakes(sources if ordered is None else replace(sources, orders=ordered))
    config = found.config
    _try(found, "camera", "source", lambda: parse_source(config.camera.source))
    _try(found, "models", "pack", lambda: assembly.load_pack(config))
    state = assembly.state_of(chosen)
    has_store = (state / DATABASE_NAME).exists()
    is_key_good = not (has_store or (state / KEY_NAME).exists()) or _try(
        found, "", "", lambda: assembly.load_keys(state)
    )
    if config.api.enabled:
        _check_address(found, config, chosen, can_open=has_store and is_key_good)
    return sorted(found.mistakes, key=lambda one: (str(one.file or ""), one.line))


def _check_address(found: Found, config: Config, chosen: argparse.Namespace, *, can_open: bool) -> None:
    """Check where the API listens, and where others can reach it, that somebody has a key."""
    from kiosk.api.server import check_encryption, check_exposure  # noqa: PLC0415  0.3 s

    if not _try(found, "api", "bind", lambda: check_encryption(config.api)) or is_loopback(config.api.bind):
        return

    def check_accounts() -> None:
        store = assembly.open_store(chosen, config, create=False)
        try:
            accounts = Accounts(store, now=time.time)
            check_exposure(config.api, accounts, is_claimable=accounts.is_unclaimed())
        finally:
            store.close()

    if can_open:
        _try(found, "api", "bind", check_accounts)


def _try(found: Found, section: str, setting: str, check: Callable[[], object]) -> bool:
    """Run one check; note what it refuses."""
    try:
        check()
    except KioskError as error:
        sentence = str(error)
        if not any(one.sentence == sentence for one in found.mistakes):
            found.add(sentence, section, setting)
        return False
    return True

"""`kiosk pass`: visitor passes issued, listed, shown again and revoked; a pass is a key, so its files are private."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from kiosk import assembly
from kiosk.cli import faces
from kiosk.errors import ConfigError, RefusedError
from kiosk.rules.passes import PREFIX, read_pass
from kiosk.rules.text import counted
from kiosk.rules.text import shown as visible

if TYPE_CHECKING:
    from kiosk.device.passes.keys import PassKeys
    from kiosk.settings.config import Config
    from kiosk.store.passes.passes import KeptPass
    from kiosk.store.store import Store

WARNING = "Whoever shows this code, or a photograph of it, holds the pass."


def pass_issue(chosen: argparse.Namespace) -> None:
    """Issue a pass."""
    from kiosk.device.passes.issue import issue_pass  # noqa: PLC0415  what draws codes is loaded where one is made

    config = assembly.load_settings(chosen)
    clock = assembly.make_clock(config)
    until = _moment(chosen.until, config, "--until", is_end=True)
    since = clock() if chosen.since is None else _moment(chosen.since, config, "--from")
    with assembly.open_store(chosen, config, clock=clock, create=False) as store:
        visitor = faces.find_one(store, chosen.visitor).session_number if chosen.visitor else None
        keys = assembly.pass_keys(store)
        kept = issue_pass(
            store,
            keys,
            config.passes,
            label=chosen.label,
            valid_from=since,
            valid_until=until,
            uses=chosen.uses,
            visitor=visitor,
            doors=chosen.door,
            now=clock(),
            actor="cli",
        )
        _say(chosen, config, store, keys, kept)
    if not config.passes.enabled:
        assembly.note("the camera does not look for passes yet: set [passes] enabled = true")


def pass_show(chosen: argparse.Namespace) -> None:
    """Print a pass again."""
    config = assembly.load_settings(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        _say(chosen, config, store, assembly.pass_keys(store), _named(store, chosen.name))


def pass_list(chosen: argparse.Namespace) -> None:
    """Print the passes."""
    from kiosk.device.passes.table import row_of  # noqa: PLC0415  as above

    config = assembly.load_settings(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        keys, kept = assembly.pass_keys(store), store.passes.every()
        rows = [row_of(store, keys, one, time.time()) for one in kept]
    if chosen.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for one, row in zip(kept, rows, strict=True):
        uses = f"{row['used']} of {row['uses']}" if row["uses"] else counted(row["used"], "use", "uses")
        about = ", ".join(visible(text) for text in (row["label"], row["visitor"]) if text)
        print(f"{row['pass']}  {row['state']:<8}  {uses:>10}  until {_told(one.shown.valid_until, config)}  {about}")
    print(counted(len(rows), "pass", "passes"))


def pass_revoke(chosen: argparse.Namespace) -> None:
    """End a pass."""
    config = assembly.load_settings(chosen)
    now = assembly.make_clock(config)()
    with assembly.open_store(chosen, config, create=False) as store:
        if chosen.name.startswith(PREFIX):
            try:
                shown, _ = read_pass(chosen.name)
            except ValueError:
                raise RefusedError("this is no code of a pass, or part of it is missing") from None
            kept = store.passes.revoke_shown(shown, chosen.name, now=now, actor="cli")
        else:
            kept = store.passes.revoke(chosen.name, now=now, actor="cli")
        others = len(assembly.pass_keys(store).doors()) - 1
    name = kept.shown.name
    told = f"; the other {others} of the fleet hear it as they are connected" if others else ""
    print(json.dumps({"pass": name, "is_revoked": True}) if chosen.json else f"{name}: revoked at this kiosk{told}")


def _named(store: Store, name: str) -> KeptPass:
    found = store.passes.named(name)
    if found is None:
        raise RefusedError(f"there is no pass {visible(name)} here; `kiosk pass list` has them")
    return found


def _say(chosen: argparse.Namespace, config: Config, store: Store, keys: PassKeys, kept: KeptPass) -> None:
    from kiosk.device.passes import picture  # noqa: PLC0415  as above
    from kiosk.device.passes.table import row_of  # noqa: PLC0415

    row = dict(row_of(store, keys, kept, time.time()))
    span = f"{_told(kept.shown.valid_from, config)} to {_told(kept.shown.valid_until, config)}"
    about = [kept.label, span, "" if row["doors"] == ["*"] else ", ".join(row["doors"])]
    if chosen.svg is not None:
        _write(chosen.svg, picture.as_svg(kept).encode())
    if chosen.png is not None:
        _write(chosen.png, picture.as_png(kept))
    if chosen.page is not None:
        page = picture.as_page(kept, title="Visitor pass", lines=about, warning=WARNING)
        _write(chosen.page, page.encode())
    if chosen.json:
        print(json.dumps({**row, "code": kept.text}, indent=2, ensure_ascii=False))
        return
    uses = counted(row["uses"], "use", "uses") if row["uses"] else "any number of uses"
    print(f"{row['pass']}: {row['state']}, {span}, {uses}")
    if sys.stdout.isatty() and not (chosen.svg or chosen.png or chosen.page):
        picture.print_code(kept, sys.stdout)
        print(WARNING)


def _write(path: Path, content: bytes) -> None:
    """Write a new file that nobody else may read; an older one is not overwritten."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; name a new file") from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _moment(text: str, config: Config, option: str, *, is_end: bool = False) -> float:
    """Read a time of the door's zone, s UTC; a day alone is its beginning, or its end."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: want a time such as 2027-01-31T18:00, or a day, got {text!r}") from None
    if is_end and len(text) == len("2027-01-31"):
        read = read.replace(hour=23, minute=59, second=59)
    zone = ZoneInfo(config.schedule.time_zone)
    return (read if read.tzinfo else read.replace(tzinfo=zone)).timestamp()


def _told(at: float, config: Config) -> str:
    moment: Any = datetime.fromtimestamp(at, ZoneInfo(config.schedule.time_zone))
    return str(moment.strftime("%Y-%m-%d %H:%M"))

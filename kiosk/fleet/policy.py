"""Which groups of people go through which doors: the owner's order of that name, read and written.

    [doors]
    "Front door" = ["*"]            # everybody
    "Server room" = ["it", "board"]
    "*" = ["staff"]                 # every kiosk that is not named; without this line nobody goes in there

Without a policy everybody goes everywhere, as before there was one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.orders import POLICY, Order
from kiosk.fleet.roster import Roster
from kiosk.rules.doors import ANYBODY, read_groups
from kiosk.rules.text import shown
from kiosk.settings.config import read_toml

OTHERS = "*"
"""In the place of a kiosk: every one that is not named."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The groups of each door."""

    revision: int  # 0: not ordered yet
    doors: Mapping[str, tuple[str, ...]]  # by the kiosk's id, or OTHERS

    def of(self, kiosk: str) -> tuple[str, ...]:
        """Return the groups that go through a kiosk's door; none: nobody."""
        return self.doors.get(kiosk, self.doors.get(OTHERS, ()))

    def plain(self) -> dict[str, Any]:
        """Return it as an order carries it."""
        return {"doors": {kiosk: list(groups) for kiosk, groups in self.doors.items()}}


def policy_of(order: Order) -> Policy:
    """Read an order.

    Raises:
        RefusedError: it is no policy that this program knows.
    """
    try:
        return Policy(order.revision, {str(kiosk): _groups(names) for kiosk, names in order.body["doors"].items()})
    except (KeyError, AttributeError, TypeError, ValueError):
        raise RefusedError(f"the fleet's {POLICY} {order.revision} is none that this program knows") from None


def read_policy(path: Path, roster: Roster) -> Policy:
    """Read the owner's file.

    Raises:
        ConfigError: it cannot be read, names a kiosk that is none or several, or something else than groups.
    """
    whole = read_toml(path)
    doors = whole.pop("doors", None)
    if whole or not isinstance(doors, dict):
        raise ConfigError(f'{path}: want one section [doors] with lines such as "Front door" = ["staff"]')
    found: dict[str, tuple[str, ...]] = {}
    for name, groups in doors.items():
        kiosk = OTHERS if name == OTHERS else _kiosk(path, name, roster)
        if kiosk in found:
            raise ConfigError(f"{path}: {shown(name)} is named twice, by name and by id")
        try:
            found[kiosk] = _groups(groups)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}, {shown(name)}: {error}") from None
    return Policy(0, found)


def write_policy(policy: Policy, roster: Roster) -> str:
    """Return a policy as `read_policy` reads it."""
    names = {kiosk: one.card.name for kiosk, one in roster.members.items()}
    single = {kiosk: name for kiosk, name in names.items() if list(names.values()).count(name) == 1}
    lines = ["[doors]"]
    for kiosk, groups in sorted(policy.doors.items()):
        inside = ", ".join(map(_text, groups))
        about = "" if kiosk in single or kiosk == OTHERS else f"  # {shown(names.get(kiosk, 'belongs no more'))}"
        lines.append(f"{_text(single.get(kiosk, kiosk))} = [{inside}]{about}")
    return "\n".join(lines) + "\n"


def shut(policy: Policy, roster: Roster) -> tuple[str, ...]:
    """Return the names of kiosks through which nobody goes."""
    return tuple(one.card.name for kiosk, one in roster.members.items() if not policy.of(kiosk))


def _groups(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise TypeError('want a list of groups, such as ["staff"]')
    if ANYBODY in names:
        return (ANYBODY,)
    return read_groups(names)


def _kiosk(path: Path, name: str, roster: Roster) -> str:
    found = [kiosk for kiosk, one in roster.members.items() if name in {kiosk, one.card.name}]
    if len(found) != 1:
        how = "no kiosk" if not found else f"{len(found)} kiosks"
        raise ConfigError(f"{path}: {how} of the fleet is called {shown(name)}; `kiosk fleet members` lists them")
    return found[0]


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

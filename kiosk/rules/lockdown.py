"""A lockdown: an act that closes a door for all but the people the settings name, until a named account lifts it. Pure.

What opens meanwhile: the way out, the exit button, a fire alarm, an operator's release by hand, and people of the
groups in [passage] lockdown_groups. A lockdown of the whole fleet is the same act with a word on how far it goes.

What is known is a set of acts begun and a set of acts lifted, and both only grow. So order, repetition and loss of what
other kiosks say change nothing: an act is in force that was begun and not lifted, and a lift names acts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from kiosk.rules.text import objection, shown

MOST_ACTS = 50  # that are remembered; the oldest lifted ones go first
MOST_LIFTED = 1000
LONGEST_TEXT = 200
LATEST = 1e11  # s UTC, of what a page can show
UNREADABLE = "unreadable"
"""Begins the id of the act that stands for what could not be read: in force until somebody lifts it."""


@dataclass(frozen=True, slots=True)
class Lockdown:
    """One act."""

    id: str
    by: str  # an account's id, "input" for a wire, or who it was at another kiosk
    at: float  # s UTC, by the clock of the kiosk it was begun at
    kiosk: str = ""  # of the fleet, where it was begun; empty: here
    is_fleet_wide: bool = False
    reason: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse what a screen could not show."""
        texts = (self.id, self.by, self.kiosk, self.reason)
        if not self.id or not self.by or any(len(one) > LONGEST_TEXT or objection(one) for one in texts):
            raise ValueError(f"want an id, an account, and texts of at most {LONGEST_TEXT} characters that can be seen")

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "id": self.id,
            "by": self.by,
            "at": self.at,
            "kiosk": self.kiosk,
            "is_fleet_wide": self.is_fleet_wide,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Lockdowns:
    """What was begun and what was lifted, as far as is known here."""

    begun: Mapping[str, Lockdown] = field(default_factory=lambda: MappingProxyType({}))
    lifted: frozenset[str] = frozenset()

    @property
    def in_force(self) -> tuple[Lockdown, ...]:
        """The acts that hold now, by id."""
        return tuple(self.begun[one] for one in sorted(self.begun.keys() - self.lifted))

    @property
    def is_locked(self) -> bool:
        """Whether any holds."""
        return bool(self.begun.keys() - self.lifted)

    def with_act(self, act: Lockdown) -> Lockdowns:
        """Return it with one act more."""
        return replace(self, begun=MappingProxyType({**self.begun, act.id: act}))

    def lift(self, ids: Iterable[str]) -> Lockdowns:
        """Return it with acts lifted; one that was not heard of yet is lifted before it comes."""
        return replace(self, lifted=self.lifted | frozenset(ids))

    def join(self, other: Lockdowns) -> Lockdowns:
        """Return what both know.

        >>> one = Lockdowns().with_act(Lockdown("a", "operator", 1.0))
        >>> [both.is_locked for both in (one.join(Lockdowns()), one.join(Lockdowns().lift(["a"])))]
        [True, False]
        """
        begun = {**other.begun, **self.begun}
        return replace(self, begun=MappingProxyType(begun), lifted=self.lifted | other.lifted)

    def pruned(self) -> Lockdowns:
        """Return it without the oldest acts that were lifted; their ids stay lifted, so none of them comes back."""
        over = [one for one in sorted(self.begun, key=lambda one: self.begun[one].at) if one in self.lifted]
        gone = set(over[: max(0, len(self.begun) - MOST_ACTS)])
        begun = {name: one for name, one in self.begun.items() if name not in gone}
        others = sorted(self.lifted - begun.keys())[:MOST_LIFTED]
        return Lockdowns(MappingProxyType(begun), frozenset(others) | (self.lifted & begun.keys()))

    def fitted(self, most: int) -> Lockdowns:
        """Return it with what it takes as JSON, of at most so many bytes; what is locked down stays so.

        What goes first is the acts that were lifted, then ids that only tell that, then the oldest acts but one.

        >>> many = Lockdowns()
        >>> for number in range(9):
        ...     many = many.with_act(Lockdown(str(number), "operator", float(number)))
        >>> [one.id for one in many.fitted(200).in_force], len(many.fitted(2000).begun)
        (['8'], 9)
        """
        left = self.pruned()
        lifted = _oldest(left.begun[one] for one in left.lifted & left.begun.keys())
        left = _without(left, lifted[: _over(left, most, [one.as_dict() for one in lifted])])
        ids = sorted(left.lifted - left.begun.keys())
        left = replace(left, lifted=left.lifted - frozenset(ids[: _over(left, most, ids)]))
        held = _oldest(left.in_force)[:-1]
        return _without(left, held[: _over(left, most, [one.as_dict() for one in held])])

    @property
    def shared(self) -> Lockdowns:
        """What other kiosks of the fleet are told: acts of the whole fleet, and what of any kiosk's was lifted."""
        begun = {name: one for name, one in self.begun.items() if one.is_fleet_wide}
        return Lockdowns(MappingProxyType(begun), self.lifted)

    def said_by(self, kiosk: str) -> Lockdowns:
        """Return it with the name of the kiosk that says it, on what it began itself.

        >>> Lockdowns().with_act(Lockdown("a", "b", 1.0)).said_by("Back door").in_force[0].kiosk
        'Back door'
        """
        said = shown(kiosk)[:LONGEST_TEXT]  # whatever it is called, the door is locked down
        begun = {name: replace(one, kiosk=one.kiosk or said) for name, one in self.begun.items()}
        return replace(self, begun=MappingProxyType(begun))

    @property
    def is_spoilt(self) -> bool:
        """Whether one holds because what was kept could not be read."""
        return any(one.id.startswith(UNREADABLE) for one in self.in_force)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"begun": [one.as_dict() for one in self.begun.values()], "lifted": sorted(self.lifted)}


def _oldest(acts: Iterable[Lockdown]) -> list[Lockdown]:
    return sorted(acts, key=lambda one: (one.at, one.id))


def _without(known: Lockdowns, acts: Collection[Lockdown]) -> Lockdowns:
    gone = {one.id for one in acts}
    return replace(known, begun=MappingProxyType({name: one for name, one in known.begun.items() if name not in gone}))


def _over(known: Lockdowns, most: int, parts: Iterable[Any]) -> int:
    """Return how many parts of it are to go until the rest has at most so many bytes as JSON."""
    over, count = len(json.dumps(known.as_dict())) - most, 0
    for part in parts:
        if over <= 0:
            break
        over, count = over - len(json.dumps(part)), count + 1
    return count


def read_lockdowns(told: Any) -> Lockdowns:
    """Read what `as_dict` gave.

    Raises:
        ValueError: it is none.

    >>> read_lockdowns(Lockdowns().with_act(Lockdown("a", "b", 1.0)).as_dict()).in_force[0].by
    'b'
    """
    try:
        acts = [Lockdown(**{**one, **_visible(one), "at": _time(one["at"])}) for one in told["begun"]]
        lifted = frozenset(told["lifted"])
        are_texts = all(isinstance(one, str) for act in acts for one in (act.id, act.by, act.kiosk, act.reason))
        are_right = are_texts and all(isinstance(act.is_fleet_wide, bool) for act in acts)
        if not are_right or not all(isinstance(one, str) and 0 < len(one) <= LONGEST_TEXT for one in lifted):
            raise TypeError
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("this says nothing of lockdowns") from error
    return Lockdowns(MappingProxyType({one.id: one for one in acts}), lifted)


def _visible(told: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts beside an act as a screen can show them: a sign of a newer Python is none to an older one."""
    texts = {name: told[name] for name in ("by", "kiosk", "reason") if isinstance(told.get(name), str)}
    return {name: shown(text)[:LONGEST_TEXT] for name, text in texts.items()}


def _time(told: Any) -> float:
    """Return when an act was begun; 1970 for a number that is no time, as the door is locked down all the same."""
    if not isinstance(told, float | int):
        raise TypeError
    return told if 0.0 <= told < LATEST else 0.0


def read_names(told: Any) -> dict[str, str]:
    """Read the names of accounts that come beside lockdowns; a program before this one sends none.

    Raises:
        ValueError: a page could not show them.

    >>> read_names({"begun": [], "lifted": [], "names": {"0011aabbccdd": "Person C"}})
    {'0011aabbccdd': 'Person C'}
    """
    names = told.get("names", {}) if isinstance(told, dict) else None
    if not isinstance(names, dict) or len(names) > MOST_ACTS:
        raise ValueError("this names nobody")
    for text in (*names, *names.values()):
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TEXT or objection(text):
            raise ValueError("want names that can be seen")
    return dict(names)


def passes(groups: Collection[str], staff: Collection[str], *, is_outward: bool) -> bool:
    """Say whether a lockdown lets a person through who may enter otherwise.

    Args:
        groups: of the person.
        staff: groups that go in all the same; none: nobody.
        is_outward: whether they go out, where nothing holds anybody.

    >>> passes(("it",), ("guards",), is_outward=False), passes(("guards",), ("guards",), is_outward=False)
    (False, True)
    >>> passes((), (), is_outward=True)
    True
    """
    return is_outward or not frozenset(groups).isdisjoint(staff)

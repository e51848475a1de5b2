"""Who is inside, and working hours: passages of the store with names, and paired into stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from kiosk.rules.passage import Direction, PassageRule, Seen, is_inside
from kiosk.store.passages.passages import Passage
from kiosk.store.store import Store
from kiosk.types import SubjectId


@dataclass(frozen=True, slots=True)
class Inside:
    """Somebody who counts as inside."""

    number: SubjectId
    name: str | None = field(repr=False)
    since: float  # s UTC


@dataclass(frozen=True, slots=True)
class Stay:
    """From one passage in to the next one out; an end that was not seen is None, and nothing is guessed."""

    number: SubjectId
    entered: Passage | None
    left: Passage | None

    @property
    def seconds(self) -> float | None:
        """How long it was; None where an end is not known."""
        return None if self.entered is None or self.left is None else self.left.at - self.entered.at


def inside(store: Store, rule: PassageRule, *, now: float, is_clock_trusted: bool) -> tuple[Inside, ...]:
    """Return who counts as inside, by name.

    Raises:
        StoreError: a passage was changed or damaged.
    """
    seen = Seen(now, is_clock_trusted)
    there = [
        one for one in store.passages.inside() if is_inside(rule, replace(seen, last=(one.direction, one.counted_at)))
    ]
    names = dict(store.people.details([one.number for one in there])) if there else {}
    people = (Inside(one.number, names[one.number].name if one.number in names else None, one.at) for one in there)
    return tuple(sorted(people, key=lambda one: (one.name is None, (one.name or "").casefold(), one.number)))


def stays(passages: Sequence[Passage]) -> Iterator[Stay]:
    """Pair passages into stays.

    Args:
        passages: by person and time, as `PassageStore.between` returns them.

    >>> way = lambda at, to: Passage(1, Direction(to), at, "")
    >>> [stay.seconds for stay in stays([way(1.0, "in"), way(5.0, "out"), way(6.0, "out"), way(7.0, "in")])]
    [4.0, None, None]
    """
    for number, theirs in groupby(passages, key=lambda one: one.number):
        entered: Passage | None = None
        for passage in theirs:
            if passage.direction is Direction.OUT:
                yield Stay(number, entered, passage)
                entered = None
            elif entered is not None:
                yield Stay(number, entered, None)
                entered = passage
            else:
                entered = passage
        if entered is not None:
            yield Stay(number, entered, None)

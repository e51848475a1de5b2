"""A gallery in parts, each searched by itself: joined, they answer as one; where one is missing, nobody is unknown.

A part holds some of the people, all references of each. Pure; `kiosk/shards` carries question and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kiosk.gallery.search import Query
from kiosk.types import Candidate, SubjectId


@dataclass(frozen=True, slots=True)
class Part:
    """What one shard knows."""

    part: int  # from 0
    of: int
    references: int
    candidates: tuple[tuple[Candidate, ...], ...]  # for each query, best first
    blocklisted: frozenset[SubjectId]  # of the candidates


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the shards that answered know together."""

    answered: int
    of: int
    references: int
    candidates: tuple[tuple[Candidate, ...], ...]  # for each query, best first
    blocklisted: frozenset[SubjectId]

    @property
    def is_complete(self) -> bool:
        """Whether everybody was searched; else nobody is unknown."""
        return self.answered == self.of


def gather(parts: Sequence[Part], queries: Sequence[Query], of: int) -> Gathered:
    """Join the answers of shards, each part counted once, into what one gallery would answer."""
    each = {part.part: part for part in parts if part.of == of and 0 <= part.part < of}
    merged = []
    for at, query in enumerate(queries):
        found = [one for part in each.values() for one in part.candidates[at]]
        found.sort(key=lambda one: (-one.cosine, one.subject))
        merged.append(tuple(found[: query.limit]))
    return Gathered(
        len(each),
        of,
        sum(part.references for part in each.values()),
        tuple(merged),
        frozenset().union(*(part.blocklisted for part in each.values())),
    )

"""Whose turn it is with an update: the first kiosk's, then the others', until one of them goes back. Pure.

Each kiosk decides for itself, by what every kiosk says of itself, signed: nobody has to sit at the owner's machine, and
the owner's key stays where it is. Only words count, never their absence: a kiosk begins when the first says that the
release runs there, nobody says otherwise, and nobody who began has gone silent. No kiosk's clock is asked: time is how
long this kiosk itself has listened, with everything read that there was to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kiosk.fleet.updates.order import Update


class Stage(str, Enum):
    """How far a kiosk is with an update."""

    FETCHING = "fetching"  # the bundle's bytes arrive
    STAGED = "staged"  # they are here, are those that were ordered, and wait for their turn
    INSTALLING = "installing"  # handed to the device's updater, which may have switched already
    RUNS = "runs"  # the release has proved itself here
    GONE_BACK = "gone_back"  # it did not, and the one before runs again
    FAILED = "failed"  # it was refused, or its self-test failed: nothing was changed
    STOPPED = "stopped"  # another kiosk failed or went silent: this one does not begin
    UNFIT = "unfit"  # there is no bundle for this machine, or nothing here that installs one


BAD = frozenset({Stage.GONE_BACK, Stage.FAILED, Stage.STOPPED})
ENDED = frozenset({Stage.RUNS, Stage.GONE_BACK, Stage.FAILED})


@dataclass(frozen=True, slots=True)
class Word:
    """What a kiosk says of an update."""

    revision: int  # of the order
    stage: Stage
    count: int = 0  # rises with each change, so that of two words of one kiosk the later is known


@dataclass(frozen=True, slots=True)
class Turn:
    """What a kiosk is to do."""

    goes: bool = False
    culprit: str | None = None  # the kiosk for which nobody begins any more
    why: str = ""  # of it: a stage, "silent" or "taken_off"; of a wait: "first", "others" or "reading"


GO = Turn(goes=True)


class Rollout:
    """One kiosk's view of one update. For one thread."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._revision = 0
        self._waited_since: dict[str, float] = {}
        self._alone_since: float | None = None
        self._listened_s = 0.0
        self._looked_at: float | None = None

    def pause(self) -> None:
        """Do not count the time until the next `turn`: not everything was read that there is to read."""
        self._looked_at = None

    def turn(
        self,
        update: Update,
        words: Mapping[str, Word],
        *,
        members: AbstractSet[str],
        fresh: AbstractSet[str],
        now: float,
        settle_s: float,
    ) -> Turn:
        """Return what this kiosk, which has the bundle, is to do.

        Args:
            update: as ordered.
            words: what each kiosk last said, without this one's.
            members: who belongs to the fleet.
            fresh: who was heard lately; others are not waited for in the queue.
            now: monotonic, s.
            settle_s: how long it waits in the queue, so that others with as much right have said so.
        """
        if self._looked_at is not None:
            self._listened_s += max(0.0, now - self._looked_at)
        self._looked_at, listened_s = now, self._listened_s
        if update.revision != self._revision:
            self._revision, self._waited_since, self._alone_since = update.revision, {}, None
        at = {
            kiosk: word.stage
            for kiosk, word in words.items()
            if kiosk in members and kiosk != self._me and word.revision == update.revision
        }
        is_first = self._me == update.first
        is_proven = is_first or at.get(update.first) is Stage.RUNS
        under_way = {kiosk for kiosk, stage in at.items() if stage is Stage.INSTALLING}
        waited = under_way if is_proven else under_way | {update.first}
        self._waited_since = {one: self._waited_since.get(one, listened_s) for one in sorted(waited)}
        if (stop := self._stop(update, at, members=members | {self._me})) is not None:
            return stop
        if is_first:
            return GO
        queue = sorted({self._me} | {kiosk for kiosk, stage in at.items() if stage is Stage.STAGED and kiosk in fresh})
        if not is_proven or queue.index(self._me) >= update.at_once - len(under_way):
            self._alone_since = None
            return Turn(why="others" if is_proven else "first")
        self._alone_since = listened_s if self._alone_since is None else self._alone_since
        return GO if listened_s - self._alone_since >= settle_s else Turn(why="others")

    def _stop(self, update: Update, at: Mapping[str, Stage], *, members: AbstractSet[str]) -> Turn | None:
        """Say for whom nobody begins any more; None: for nobody."""
        if update.first not in members:
            return Turn(culprit=update.first, why="taken_off")
        if at.get(update.first) is Stage.UNFIT:
            return Turn(culprit=update.first, why=Stage.UNFIT.value)
        for kiosk, stage in sorted(at.items()):
            if stage in BAD:
                return Turn(culprit=kiosk, why=stage.value)
        late = (kiosk for kiosk, since in self._waited_since.items() if self._listened_s - since > update.within_s)
        found = next(late, None)
        return None if found is None else Turn(culprit=found, why="silent")


def word_of(said: Any) -> Word | None:
    """Read what a kiosk says in its health; None: nothing of an update, or nothing that this program knows."""
    if not isinstance(said, dict):
        return None
    revision, count = said.get("revision"), said.get("count", 0)
    if not isinstance(revision, int) or not isinstance(count, int):
        return None
    try:
        return Word(revision, Stage(said.get("stage")), count)
    except (ValueError, TypeError):
        return None

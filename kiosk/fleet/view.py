"""What the operator's page shows of the fleet: its kiosks at a glance, and which of them know of a person."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeGuard

from kiosk.didit.contract import timestamp
from kiosk.errors import RefusedError
from kiosk.fleet.health import SILENT_AFTER, health_s
from kiosk.fleet.orders import UPDATE
from kiosk.fleet.pairs import Pairs
from kiosk.fleet.roster import Roster
from kiosk.fleet.sync import FleetSync
from kiosk.fleet.updates.order import update_of
from kiosk.fleet.updates.rollout import word_of
from kiosk.rules.doors import ANYBODY, is_for
from kiosk.store.store import Store

CLOCK_OFF_S = 60.0
MOST_WORDS = 20  # of a list that another kiosk sent
LONGEST_WORD = 60
LONGEST_WHY = 200


class View:
    """The fleet as this kiosk sees it. Safe in any thread; asks nobody."""

    def __init__(self, sync: FleetSync, store: Store, *, now: Callable[[], float] = time.time) -> None:
        """Take the thread that keeps in touch, the store and the clock, s UTC."""
        self._sync, self._store, self._now = sync, store, now
        self._pairs = Pairs(sync.member, store)

    def overview(self) -> dict[str, Any]:
        """Return the fleet at a glance: JSON."""
        member, roster = self._sync.member, self._sync.member.roster
        kiosks = [] if roster is None else [self._row(roster, name, said) for name, said in self._said(roster).items()]
        former = {} if roster is None else roster.former
        update = self._update()
        return {
            "fleet": member.invitation.name,
            "kiosk": member.id,
            "name": member.identity.card.name,
            "is_let_in": member.is_let_in,
            "is_taken_off": member.is_taken_off,
            "roster": 0 if roster is None else roster.number,
            "people": member.shared.count(),
            "fault": self._sync.fault,
            "hubs": [link.state() for link in self._sync.links],
            "kiosks": sorted(kiosks, key=lambda row: (not row["is_me"], row["name"].casefold(), row["kiosk"])),
            "update": update,
            "former": [
                {"kiosk": name, "name": one.card.name, "until_roster": one.until} for name, one in former.items()
            ],
        }

    def person(self, session_id: str) -> dict[str, Any]:
        """Return which kiosks know what is known here of a person, and which have forgotten them: JSON."""
        member, roster = self._sync.member, self._sync.member.roster
        receipts, is_shared = member.shared.receipts(session_id), bool(member.shared.speakers(session_id))
        goes_in = self._doors(session_id)
        rows = []
        for name, said in ({} if roster is None else self._said(roster)).items():
            assert roster is not None
            rows.append(
                {
                    "kiosk": name,
                    "name": roster.members[name].card.name,
                    "is_me": name == member.id,
                    "knows": name == member.id or name in receipts or (is_shared and self._knows(said, session_id)),
                    "has_forgotten": name in receipts,
                    "goes_in": goes_in(name),
                }
            )
        return {
            "session_id": session_id,
            "of": len(rows),
            "known_by": sum(row["knows"] for row in rows),
            "is_forgotten": bool(receipts),
            "forgotten_on": sum(row["has_forgotten"] for row in rows),
            "kiosks": sorted(rows, key=lambda row: (not row["is_me"], str(row["name"]).casefold(), row["kiosk"])),
        }

    def duplicates(self) -> list[dict[str, Any]]:
        """Return who may be one person, see `Pairs.open`: JSON."""
        return self._pairs.open()

    def decide(self, first: str, second: str, *, details_of: str | None, actor: str) -> dict[str, Any] | None:
        """Say that two people are one, or two; see `Pairs.decide`."""
        return self._pairs.decide(first, second, details_of=details_of, actor=actor)

    def _doors(self, session_id: str) -> Callable[[str], bool | None]:
        """Return what says whether a person goes through a kiosk's door; None where that is not known."""
        found = self._store.people.find(session_id)
        try:
            policy = self._sync.member.policy()
        except RefusedError:  # of a newer program
            return lambda _: None
        if not found:
            return lambda _: None
        groups = found[0].details.groups
        return lambda kiosk: is_for(groups, None if policy is None else policy.of(kiosk))

    def _said(self, roster: Roster) -> dict[str, dict[str, Any]]:
        """Return what each member last said of itself; an empty word where nothing was heard."""
        heard = self._sync.member.shared.hubs.health()
        said = {name: json.loads(heard[name][1]) if name in heard else {} for name in roster.members}
        if self._sync.member.id in said:
            waiting = sum(int(str(link.state()["waiting"])) for link in self._sync.links)
            said[self._sync.member.id] = {**self._sync.health(), "waiting": waiting}
        return said

    def _knows(self, said: dict[str, Any], person: str) -> bool:
        """Whether a kiosk has certainly read what is known here of a person, at any hub that both read.

        One that could not open something that it read, or has to read something again as its door is now another's,
        may not know: nothing is said for it.
        """
        read = said.get("read")
        if not isinstance(read, dict) or said.get("parked") != 0 or said.get("wanted", 0) != 0:
            return False
        for link in self._sync.links:
            needed, reached = link.seen.needed(person), read.get(link.source)
            is_sent = needed is not None and self._sync.member.shared.hubs.is_sent(link.source, person)
            if needed is not None and is_sent and isinstance(reached, int) and reached >= needed:
                return True
        return False

    def _row(self, roster: Roster, name: str, said: dict[str, Any]) -> dict[str, Any]:
        is_me, now = name == self._sync.member.id, self._now()
        heard = [s for link in self._sync.links if (s := link.seen.heard_s(name, self._sync.clock())) is not None]
        row: dict[str, Any] = {
            "kiosk": name,
            "name": roster.members[name].card.name,
            "is_me": is_me,
            "since_roster": roster.members[name].since,
            "heard_s": 0 if is_me else round(min(heard)) if heard else None,
            "said_at": timestamp(now) if is_me else timestamp(said["at"]) if is_time(said.get("at")) else None,
            "version": _word(said.get("version")),
            "roster": _whole(said.get("roster")),
            "behind": 0 if is_me else self._behind(said),
            "waiting": _whole(said.get("waiting")),
            "parked": _whole(said.get("parked")),
            "clock_off_s": self._clock_off(name, said, is_me=is_me),
            "is_armed": said["is_armed"] if isinstance(said.get("is_armed"), bool) else None,
            "states": _words(said.get("states")),
            "doors": self._groups_of(name),
            "duplicates": _whole(said.get("duplicates")),
            "update": self._stage_of(said),
        }
        return row | {"alarms": self._alarms(roster, row)}

    def _update(self) -> dict[str, Any] | None:
        """Return the update that was ordered last; None: none, or one of a newer program."""
        order = self._sync.member.order(UPDATE)
        try:
            found = None if order is None else update_of(order)
        except RefusedError:
            return None
        names = ("revision", "version", "first", "is_stopped")
        return None if found is None else {name: getattr(found, name) for name in names}

    def _stage_of(self, said: dict[str, Any]) -> dict[str, Any] | None:
        """Return how far a kiosk is with the update that was ordered last; None: it has not said so."""
        told, order = said.get("update"), self._sync.member.order(UPDATE)
        word = word_of(told)
        if word is None or order is None or word.revision != order.revision or not isinstance(told, dict):
            return None
        roster, culprit = self._sync.member.roster, told.get("culprit")
        member = roster.members.get(culprit) if roster is not None and isinstance(culprit, str) else None
        return {
            "stage": word.stage.value,
            "why": why[:LONGEST_WHY] if isinstance(why := told.get("why"), str) else "",
            "culprit": None if member is None else member.card.name,
            "done": _whole(told.get("done")),
            "of": _whole(told.get("of")),
        }

    def _groups_of(self, kiosk: str) -> list[str] | None:
        """Return which groups go through a kiosk's door; None: everybody, or not known."""
        try:
            policy = self._sync.member.policy()
        except RefusedError:
            return None
        return None if policy is None or ANYBODY in policy.of(kiosk) else sorted(policy.of(kiosk))

    def _behind(self, said: dict[str, Any]) -> int | None:
        """Return how many messages another kiosk has not read that were read here; None: not known."""
        read = said.get("read")
        counts = [
            link.seen.read_to - reached
            for link in self._sync.links
            if isinstance(read, dict) and isinstance(reached := read.get(link.source, None if read else 0), int)
        ]  # who has read nothing anywhere has read up to 0; who reads another hub than we do cannot be compared
        return max(0, min(counts)) if counts else None

    def _clock_off(self, name: str, said: dict[str, Any], *, is_me: bool) -> int | None:
        """Return how far a kiosk's clock is ahead of the hub's, s, when it last spoke."""
        for link in self._sync.links:
            at, ahead = link.seen.heard_at(name), link.seen.ahead_s(self._sync.clock(), self._now())
            if is_me and ahead is not None:
                return round(-ahead)
            if not is_me and at is not None and is_time(said.get("at")):
                return round(float(said["at"]) - at)
        return None

    def _alarms(self, roster: Roster, row: dict[str, Any]) -> list[str]:
        silent_s = SILENT_AFTER * health_s(len(roster.members))
        found = {
            "silent": not row["is_me"] and (row["heard_s"] is None or row["heard_s"] > silent_s),
            "old_roster": row["roster"] is not None and row["roster"] < roster.number,
            "parked": bool(row["parked"]),
            "clock": row["clock_off_s"] is not None and abs(row["clock_off_s"]) > CLOCK_OFF_S,
        }
        return [name for name, is_so in found.items() if is_so]


# What another kiosk signed may still be of another version, or made up.


def is_time(value: object) -> TypeGuard[float]:
    """Whether what another kiosk calls a time is one, s UTC."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e11  # noqa: PLR2004  year 5138


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53 else None


def _word(value: object) -> str | None:
    return value[:LONGEST_WORD] if isinstance(value, str) else None


def _words(value: object) -> list[str]:
    return [one[:LONGEST_WORD] for one in value[:MOST_WORDS] if isinstance(one, str)] if isinstance(value, list) else []

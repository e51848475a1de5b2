"""The pairs of people who may be one, as the operator's page shows them and decides about them."""

from __future__ import annotations

from typing import Any

from kiosk.didit.contract import timestamp
from kiosk.errors import RefusedError
from kiosk.fleet.member import Member
from kiosk.store.fleet.duplicates import Duplicate, Duplicates
from kiosk.store.store import Store
from kiosk.store.subjects import Subject


class Pairs:
    """The open pairs of one kiosk. Safe in any thread."""

    def __init__(self, member: Member, store: Store) -> None:
        """Take the kiosk and its store."""
        self._member, self._store, self._duplicates = member, store, Duplicates(store)

    def open(self) -> list[dict[str, Any]]:
        """Return who may be one person, most alike first: JSON."""
        shown = [(one, self._about(one.first), self._about(one.second)) for one in self._duplicates.open()]
        return [
            {"score": one.score, "found_at": timestamp(one.found_at), "first": first, "second": second}
            for one, first, second in shown
            if first is not None and second is not None  # whoever was forgotten meanwhile is asked about no more
        ]

    def decide(self, first: str, second: str, *, details_of: str | None, actor: str) -> dict[str, Any] | None:
        """Say that two people are one, or two, for every kiosk.

        Args:
            first: session_id of one.
            second: of the other.
            details_of: whose particulars the one person has; None: they are two people.
            actor: who says so.

        Returns:
            The person who stays; None where they are two.

        Raises:
            RefusedError: nobody is asked about these two, here or any more.
        """
        pair = self._pair(first, second)
        if details_of is None:
            self._duplicates.different(pair.first, pair.second, actor=actor)
            return None
        stays = self._duplicates.same(pair.first, pair.second, details_of=details_of, actor=actor)
        return self._about(stays.session_id)

    def _pair(self, first: str, second: str) -> Duplicate:
        for one in self._duplicates.open():
            if {one.first, one.second} == {first, second}:
                return one
        raise RefusedError("Nobody is asked about these two any more: it was decided, here or at another kiosk.")

    def _about(self, person: str) -> dict[str, Any] | None:
        found = self._store.people.find(person)
        subject = next((one for one in found if one.session_id == person), None)
        return None if subject is None else {**_plain(subject), "kiosk": self._kiosk(person)}

    def _kiosk(self, person: str) -> str | None:
        """Return the name of the kiosk at which somebody was enrolled; None where that is not known."""
        kiosk, roster = self._duplicates.maker(person), self._member.roster
        if kiosk is None or roster is None:
            return None
        belongs = roster.members.get(kiosk) or roster.former.get(kiosk)
        return None if belongs is None else belongs.card.name


def _plain(subject: Subject) -> dict[str, Any]:
    return {
        "session_id": subject.session_id,
        "session_number": subject.session_number,
        "name": subject.details.name,
        "vendor_data": subject.details.vendor_data,
        "status": subject.status.value,
        "is_blocklisted": subject.is_blocklisted,
        "verification_date": timestamp(subject.verification_date),
        "references": subject.references,
        "has_photograph": bool(subject.images),
    }

"""What passed on the way to one hub: up to where a kiosk must have read to know what is known here of a person.

The hub's stream numbers its messages. A kiosk says in its health up to which number it has read, so that "5 of 5 know
that this person is blocked" needs no receipts. Only what is certain counts: of what this kiosk cannot number, nobody is
said to know.
"""

from __future__ import annotations

from collections import OrderedDict

MOST_PEOPLE = 10_000  # whose newest number is kept; of others the newest of those dropped stands for it


class Seen:
    """Written by the fleet's thread, read by any."""

    def __init__(self, most: int = MOST_PEOPLE) -> None:
        self._most = most
        self.source = ""
        self.read_to = 0
        """Number of the last message that was read in this run; 0: none yet."""
        self._people: OrderedDict[str, int] = OrderedDict()
        self._rest: int | None = None
        self._heard: dict[str, float] = {}
        self._ahead_s: float | None = None  # hub's clock, s UTC, less monotonic s: no jump of ours is in it
        self._own_at = 0.0
        self.has_all_words = False
        """Whether the last word of every kiosk that the hub had at the session's beginning was heard."""

    def begin(self, source: str) -> None:
        """Begin a session; a hub that was made anew numbers from the beginning."""
        if source != self.source:
            self.source, self._rest, self.read_to = source, None, 0
            self._people.clear()
        self._ahead_s, self.has_all_words = None, False

    def level(self, seq: int) -> None:
        """Everything that the hub had was read up to here: whoever has no number of their own has none above."""
        if self._rest is None:
            self._rest = seq
        self.read_to = max(self.read_to, seq)

    def note(self, person: str, seq: int) -> None:
        """Keep the number of a message on a person."""
        self._people[person] = max(seq, self._people.pop(person, 0))
        if len(self._people) > self._most:
            _, dropped = self._people.popitem(last=False)
            self._rest = None if self._rest is None else max(self._rest, dropped)

    def needed(self, person: str) -> int | None:
        """Return up to where somebody must have read to know of a person what is known here; None: not known yet."""
        return None if self._rest is None else self._people.get(person, self._rest)

    def hear(self, kiosk: str, at: float, now: float, *, is_me: bool) -> None:
        """Keep when the hub took a kiosk's last word on its health.

        Args:
            kiosk: whose word it is.
            at: when the hub took it, s UTC by the hub's clock.
            now: monotonic s.
            is_me: our own word, which comes back at once: it tells how far the hub's clock is ahead of ours. One that
                the hub kept from before tells too little; the largest counts.
        """
        self._heard[kiosk] = at
        if not is_me:
            return
        if self._ahead_s is not None and at < self._own_at:  # the hub's clock went back: nobody spoke after this
            self._heard = {one: min(heard, at) for one, heard in self._heard.items()}
            self._ahead_s = None
        self._own_at = at
        self._ahead_s = at - now if self._ahead_s is None else max(self._ahead_s, at - now)

    def heard_s(self, kiosk: str, now: float) -> float | None:
        """Return how long before `now`, monotonic s, a kiosk spoke of its health, s; None: not known."""
        if kiosk not in self._heard or self._ahead_s is None:
            return None
        return max(0.0, now + self._ahead_s - self._heard[kiosk])

    def heard_at(self, kiosk: str) -> float | None:
        """Return when a kiosk last spoke, s UTC by the hub's clock; None: not heard here."""
        return self._heard.get(kiosk)

    def ahead_s(self, now: float, utc: float) -> float | None:
        """Return how far the hub's clock is ahead of this kiosk's, s; None: not known yet.

        Args:
            now: monotonic s.
            utc: s UTC by this kiosk's clock at that moment.
        """
        return None if self._ahead_s is None else now + self._ahead_s - utc

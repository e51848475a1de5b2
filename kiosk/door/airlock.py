"""The inner door of an airlock: which door follows which, and when. Guarded by the door's lock.

Whoever comes in is let through the outer door, and through the inner one once the outer is shut again. Whoever goes out
presses the exit button: the inner door opens, then the outer one; where a contact says nothing, both at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from kiosk.door.inputs import INNER, Contact, Happened
from kiosk.door.lines import Input
from kiosk.door.relays import Relays
from kiosk.rules.grant import Grant
from kiosk.rules.interlock import Follow, Leaf, Step, keeps_shut, step
from kiosk.settings.door import DoorSettings


class Airlock:
    """Two doors, one of which is shut while the other opens."""

    def __init__(self, settings: DoorSettings, relays: Relays, may_go_on: Callable[[frozenset[str]], bool]) -> None:
        """Take the parts.

        Args:
            settings: section [door].
            relays: of which there are two.
            may_go_on: whether the degraded states, but for these, let whoever came in go on.
        """
        self._settings, self._relays, self._may_go_on = settings, relays, may_go_on
        self.contact = Contact(settings)
        self._follow: Follow | None = None

    @property
    def leaf(self) -> Leaf:
        """What is known of the inner door; one that is about to open is open."""
        inner = self._relays.inner
        is_moving = self._follow is not None or (inner is not None and inner.is_on)
        return Leaf.OPEN if is_moving and self.contact.leaf is Leaf.SHUT else self.contact.leaf

    def keeps_shut(self, outer: Leaf) -> bool:
        """Say whether nobody is let in now; the outer door is to be shut too, as people come in one at a time."""
        return any(keeps_shut(one, is_outward=False) for one in (self.leaf, outer))

    def let_in(self, grant: Grant, now: float) -> None:
        """Have the inner door follow the outer one, which a decision has opened."""
        self._follow = Follow(grant.decision, now + self._settings.airlock_s, is_outward=False, exempt=grant.exempt)

    def let_out(self, now: float) -> None:
        """Open the inner door, and have the outer one follow."""
        relays = self._relays
        assert relays.inner is not None
        relays.begin(relays.inner, now, is_kept=True)
        self._follow = Follow("", now + self._settings.airlock_s, is_outward=True)

    def watch(self, inputs: Mapping[Input, bool], now: float, excused_until: float) -> Happened | None:
        """Take the inner contact's reading; say what it means. An opening up to `excused_until` is nobody's force."""
        told = self.contact.watch(inputs.get(Input.SECOND_CONTACT), now, excused_until)
        return None if told is None else INNER[told]

    def look(self, outer: Leaf, now: float, *, is_faulty: bool) -> Happened | None:
        """Open the door that is to follow, where it is time; say what is worth a record.

        Args:
            outer: what is known of the outer door.
            now: monotonic s.
            is_faulty: whether the lines cannot be driven or read.
        """
        relays, follow = self._relays, self._follow
        if follow is None or relays.inner is None:
            return None
        first = self.contact.leaf if follow.is_outward else outer
        if first is Leaf.OPEN and not follow.has_opened:
            follow = self._follow = replace(follow, has_opened=True)
        is_first_on = relays.inner.is_on if follow.is_outward else relays.outer.is_on
        next_step = step(follow, Leaf.UNKNOWN if is_faulty else first, now, is_first_on=is_first_on)
        if next_step is Step.WAIT:
            return None
        self._follow = None
        if follow.is_outward:
            relays.begin(relays.outer, now, is_kept=True)
            return None
        is_free = next_step is Step.OPEN and not keeps_shut(self.contact.leaf, is_outward=False)
        if not is_free or not self._may_go_on(follow.exempt):
            return Happened.INNER_KEPT_SHUT
        relays.begin(relays.inner, now, follow.decision)
        return None

"""A visitor pass made: what may stand in it is checked, it is signed, and it is kept before anybody sees it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kiosk.device.passes.keys import PassKeys
from kiosk.errors import RefusedError
from kiosk.rules.passes import NUMBER_BYTES, SIGNED, PassRule, VisitorPass
from kiosk.rules.text import objection, shown
from kiosk.store.passes.passes import LONGEST_LABEL, KeptPass
from kiosk.store.store import Store
from kiosk.types import SubjectId

DAY_S = 86400.0
EVERY = "*"
"""In the place of a door's name: every door of the fleet."""


def issue_pass(
    store: Store,
    keys: PassKeys,
    rule: PassRule,
    *,
    label: str,
    valid_from: float,
    valid_until: float,
    uses: int,
    visitor: SubjectId | None,
    doors: Sequence[str],
    now: float,
    actor: str,
) -> KeptPass:
    """Make and keep a pass.

    Args:
        store: of this kiosk.
        keys: by which it signs.
        rule: section [passes].
        label: whom it is for, in the operator's words; not in the pass.
        valid_from: s UTC.
        valid_until: s UTC, exclusive.
        uses: how often it opens; 0 for any number.
        visitor: the enrolled person whose face is asked for beside it; None: it names nobody.
        doors: by name; none: this door, `EVERY`: all of the fleet.
        now: s UTC.
        actor: for the log.

    Raises:
        RefusedError: there cannot be such a pass; the sentence says what would be right.
    """
    if len(label) > LONGEST_LABEL or objection(label):
        raise RefusedError(f"want a label of at most {LONGEST_LABEL} visible characters")
    if not valid_until > now:
        raise RefusedError("the pass would have ended already: want a time to come")
    if valid_until - valid_from > rule.longest_days * DAY_S:
        raise RefusedError(f"a pass is valid for {rule.longest_days:g} days at most ([passes] longest_days)")
    person = None
    if visitor is not None:
        subject = store.people.subject(visitor)
        if subject is None:
            raise RefusedError("nobody has this number")
        person = subject.session_id
    elif rule.ask == "face":
        raise RefusedError(
            "the door asks for a face beside a pass, so want the visitor it is for: enrol them first, or set "
            "[passes] ask"
        )
    try:
        made = VisitorPass(
            keys.issuer,
            os.urandom(NUMBER_BYTES),
            int(now),
            int(valid_from),
            int(valid_until),
            uses,
            person,
            doors_named(keys, doors),
        )
    except ValueError as error:
        raise RefusedError(str(error)) from None
    kept = KeptPass(made, made.text(keys.sign(SIGNED + made.body)), label, actor, is_issued_here=True)
    store.passes.issue(kept, actor=actor)
    return kept


def doors_named(keys: PassKeys, names: Sequence[str]) -> tuple[bytes, ...]:
    """Return the ids of doors; none for every door of the fleet.

    Raises:
        RefusedError: a name is no door's, or several doors'.
    """
    if not names:
        return (keys.issuer,)
    known = keys.doors()
    if list(names) == [EVERY]:
        if len(known) == 1:  # a kiosk by itself
            return (keys.issuer,)
        return ()
    found = []
    for name in names:
        ids = [one for one, known_name in known.items() if known_name == name]
        if len(ids) != 1:
            doors = ", ".join(sorted(map(shown, known.values())))
            what = "several doors are" if ids else "no door is"
            raise RefusedError(f"{what} called {shown(name)}; there are: {doors}")
        found.append(ids[0])
    return tuple(dict.fromkeys(found))


def door_names(keys: PassKeys, made: VisitorPass) -> list[str]:
    """Return what the doors of a pass are called; none: every door of the fleet."""
    known = keys.doors()
    return [known.get(one, one.hex()) for one in made.doors]

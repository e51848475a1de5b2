"""Groups of people, and the doors that they go through. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from kiosk.rules.text import objection

ANYBODY = "*"
"""Among the groups of a door: everybody goes through it. No group is called so."""

LONGEST_GROUP = 60
MOST_GROUPS = 20


def read_groups(names: Iterable[str]) -> tuple[str, ...]:
    """Return the groups of a person in order, each once, without blanks around them.

    Raises:
        ValueError: one is too long, or is no name; or there are too many.

    >>> read_groups([" staff", "cleaners ", "staff", ""])
    ('cleaners', 'staff')
    """
    found = sorted({name.strip() for name in names} - {""})
    for name in found:
        if len(name) > LONGEST_GROUP or name == ANYBODY or "," in name or objection(name):
            raise ValueError(
                f"want names of groups of at most {LONGEST_GROUP} characters, without commas, line ends and {ANYBODY}"
            )
    if len(found) > MOST_GROUPS:
        raise ValueError(f"want at most {MOST_GROUPS} groups, got {len(found)}")
    return tuple(found)


def is_for(groups: Collection[str], door: Collection[str] | None) -> bool:
    """Say whether a person of these groups goes through a door.

    Args:
        groups: of the person.
        door: groups that go through it; None: nobody said, so everybody does.

    >>> is_for((), None), is_for((), {"*"}), is_for(("staff",), {"staff", "it"}), is_for(("staff",), set())
    (True, True, True, False)
    """
    return door is None or ANYBODY in door or any(group in door for group in groups)

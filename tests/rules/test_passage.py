"""Rules of passage by degraded states, cell by cell: what opens inward, and that outward always does."""

from typing import Any

import pytest

from kiosk.rules.grant import RefusalReason
from kiosk.rules.passage import Direction, PassageRule, Seen, is_inside, refuses

NOW = 1_800_000_000.0
INSIDE, LEFT = (Direction.IN, NOW - 60.0), (Direction.OUT, NOW - 60.0)
R = RefusalReason
RULES: dict[str, dict[str, Any]] = {
    "off": {},
    "soft": {"antipassback": "soft"},
    "timed": {"antipassback": "timed"},
    "hard": {"antipassback": "hard"},
    "occupancy": {"occupancy": 2},
    "two persons": {"two_persons": True},
}
STATES: dict[str, dict[str, Any]] = {
    "outside": {},
    "inside": {"last": INSIDE},
    "left": {"last": LEFT},
    "inside long ago": {"last": (Direction.IN, NOW - 20 * 3600.0)},
    "full": {"inside": 2},
    "first waits": {"first": True},
    "suspended": {"suspended_until": NOW + 60.0},
    "suspension over": {"suspended_until": NOW - 60.0},
    "clock untrusted, outside": {"is_clock_trusted": False},
    "clock untrusted, inside": {"last": INSIDE, "is_clock_trusted": False},
    "clock untrusted, inside long ago": {"last": (Direction.IN, NOW - 20 * 3600.0), "is_clock_trusted": False},
    "clock untrusted, suspension over": {"suspended_until": NOW - 60.0, "is_clock_trusted": False},
    "clock went back": {"last": (Direction.IN, NOW + 60.0)},
    "passages unreadable": {"is_readable": False},
}
# What keeps a person outside; "" where the rule lets in. A column for each rule, in the order of RULES.
TABLE = {
    "outside": ("", "", "", "", "", R.SECOND_PERSON),
    "inside": ("", "", R.PASSBACK, R.PASSBACK, "", R.SECOND_PERSON),
    "left": ("", "", "", "", "", R.SECOND_PERSON),
    "inside long ago": ("", "", "", "", "", R.SECOND_PERSON),
    "full": ("", "", "", "", R.FULL, R.SECOND_PERSON),
    "first waits": ("", "", "", "", "", ""),
    "suspended": (R.SUSPENDED,) * 6,
    "suspension over": ("", "", "", "", "", R.SECOND_PERSON),
    "clock untrusted, outside": ("", "", "", "", "", R.SECOND_PERSON),
    "clock untrusted, inside": ("", "", R.PASSBACK, R.PASSBACK, "", R.SECOND_PERSON),
    "clock untrusted, inside long ago": ("", "", R.PASSBACK, R.PASSBACK, "", R.SECOND_PERSON),
    "clock untrusted, suspension over": (R.SUSPENDED,) * 6,
    "clock went back": ("", "", R.PASSBACK, R.PASSBACK, "", R.SECOND_PERSON),
    "passages unreadable": (R.PASSAGES_UNKNOWN,) * 6,
}
CELLS = [
    pytest.param(rule, state, cell or None, id=f"{rule}: {state}")
    for state, row in TABLE.items()
    for rule, cell in zip(RULES, row, strict=True)
]


def seen_in(state):
    return Seen(**{"now": NOW, "is_clock_trusted": True, **STATES[state]})


def test_the_table_has_every_state():
    assert TABLE.keys() == STATES.keys()


@pytest.mark.parametrize(("rule", "state", "kept"), CELLS)
def test_inward(rule, state, kept):
    seen = seen_in(state)

    assert refuses(PassageRule(direction="in", **RULES[rule]), seen) is kept


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("state", STATES)
def test_nothing_keeps_anybody_in(rule, state):
    seen = seen_in(state)

    assert refuses(PassageRule(direction="out", **RULES[rule]), seen) is None


def test_timed_ends_with_its_time_and_hard_does_not():
    seen = Seen(NOW, is_clock_trusted=True, last=(Direction.IN, NOW - 300.0))

    assert refuses(PassageRule(direction="in", antipassback="timed"), seen) is None
    assert refuses(PassageRule(direction="in", antipassback="hard"), seen) is R.PASSBACK


def test_somebody_who_never_left_is_inside_forever_only_where_that_is_set():
    seen = Seen(NOW, is_clock_trusted=True, last=(Direction.IN, 0.0))

    assert not is_inside(PassageRule(direction="in"), seen)
    assert is_inside(PassageRule(direction="in", forget_h=0.0), seen)


@pytest.mark.parametrize("more", [{"antipassback": "hard"}, {"occupancy": 1}])
def test_a_rule_that_nothing_would_feed_is_refused(more):
    with pytest.raises(ValueError, match="direction"):
        PassageRule(**more)

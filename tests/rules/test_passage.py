"""Rules of passage by degraded states, cell by cell: what opens inward, and that outward always does."""

from dataclasses import replace
from typing import Any

import pytest

from kiosk.rules.grant import RefusalReason
from kiosk.rules.interlock import Leaf
from kiosk.rules.lockdown import Lockdown, Lockdowns, passes, read_lockdowns
from kiosk.rules.passage import Direction, PassageRule, Seen, is_inside, read_first_in, refuses, stays_free

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
    "timed, by others": {"antipassback": "timed", "doors": ("Way out",)},
    "hard, by others": {"antipassback": "hard", "doors": ("Way out",)},
    "occupancy, by others": {"occupancy": 2, "doors": ("Way out",)},
    "interlock": {"interlock": "Inner door"},
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
    "neighbour not heard": {"are_others_heard": False},
    "other door open": {"other": Leaf.OPEN},
    "other door unknown": {"other": Leaf.UNKNOWN},
    "locked down": {"is_locked_down": True},
    "locked down, exempt": {"is_locked_down": True, "is_exempt": True},
    "locked down, exempt, inside": {"is_locked_down": True, "is_exempt": True, "last": INSIDE},
    "locked down, suspended": {"is_locked_down": True, "suspended_until": NOW + 60.0},
}
# What keeps a person outside; "" where the rule lets in. A column for each rule, in the order of RULES.
TABLE = {
    "outside": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", ""),
    "inside": ("", "", R.PASSBACK, R.PASSBACK, "", R.SECOND_PERSON, R.PASSBACK, R.PASSBACK, "", ""),
    "left": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", ""),
    "inside long ago": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", ""),
    "full": ("", "", "", "", R.FULL, R.SECOND_PERSON, "", "", R.FULL, ""),
    "first waits": ("", "", "", "", "", "", "", "", "", ""),
    "suspended": (R.SUSPENDED,) * 10,
    "suspension over": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", ""),
    "clock untrusted, outside": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", ""),
    "clock untrusted, inside": ("", "", R.PASSBACK, R.PASSBACK, "", R.SECOND_PERSON, R.PASSBACK, R.PASSBACK, "", ""),
    "clock untrusted, inside long ago": (
        "",
        "",
        R.PASSBACK,
        R.PASSBACK,
        "",
        R.SECOND_PERSON,
        R.PASSBACK,
        R.PASSBACK,
        "",
        "",
    ),
    "clock untrusted, suspension over": (R.SUSPENDED,) * 10,
    "clock went back": ("", "", R.PASSBACK, R.PASSBACK, "", R.SECOND_PERSON, R.PASSBACK, R.PASSBACK, "", ""),
    "passages unreadable": (R.PASSAGES_UNKNOWN,) * 10,
    "neighbour not heard": (
        "",
        "",
        "",
        "",
        "",
        R.SECOND_PERSON,
        R.NEIGHBOUR_LOST,
        R.NEIGHBOUR_LOST,
        R.NEIGHBOUR_LOST,
        "",
    ),
    "other door open": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", R.INTERLOCK),
    "other door unknown": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", R.INTERLOCK),
    "locked down": (R.LOCKDOWN,) * 10,
    "locked down, exempt": ("", "", "", "", "", R.SECOND_PERSON, "", "", "", ""),
    "locked down, exempt, inside": (
        "",
        "",
        R.PASSBACK,
        R.PASSBACK,
        "",
        R.SECOND_PERSON,
        R.PASSBACK,
        R.PASSBACK,
        "",
        "",
    ),
    "locked down, suspended": (R.LOCKDOWN,) * 10,
}
CELLS = [
    pytest.param(rule, state, cell or None, id=f"{rule}: {state}")
    for state, row in TABLE.items()
    for rule, cell in zip(RULES, row, strict=True)
]


def seen_in(state):
    return Seen(**{"now": NOW, "is_clock_trusted": True, "other": Leaf.SHUT, **STATES[state]})


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


# What holds the door free to everybody, by [passage] first_in: a cell each.
FREE_AT = 1_800_014_400.0  # Friday 2027-01-15, 12:00 UTC
HOURS = read_first_in("UTC", ["mon-fri 08:00-18:00"], ["2027-01-18", "2027-01-19 08:00-12:00"])
DAY_S = 86400.0
FREE = {
    "somebody came in": (FREE_AT - 60.0, FREE_AT, {}, True),
    "nobody came in, or since a restart": (None, FREE_AT, {}, False),
    "came before the hours": (FREE_AT - 5 * 3600.0, FREE_AT, {}, False),
    "hours are over": (FREE_AT, FREE_AT + 6 * 3600.0, {}, False),
    "holiday": (FREE_AT + 3 * DAY_S, FREE_AT + 3 * DAY_S + 60.0, {}, False),
    "holiday with hours for people": (FREE_AT + 4 * DAY_S - 7200.0, FREE_AT + 4 * DAY_S - 3600.0, {}, False),
    "clock untrusted": (FREE_AT - 60.0, FREE_AT, {"is_clock_trusted": False}, False),
    "clock went back": (FREE_AT + 60.0, FREE_AT, {}, False),
    "locked down, or any state that closes": (FREE_AT - 60.0, FREE_AT, {"is_open": False}, False),
}


@pytest.mark.parametrize("state", FREE)
def test_the_door_stays_free_only_after_somebody_came_in(state):
    came_at, now, more, is_free = FREE[state]

    assert stays_free(HOURS, came_at, now, **{"is_clock_trusted": True, "is_open": True, **more}) is is_free


def test_without_hours_the_door_is_never_free():
    assert read_first_in("UTC", []) is None
    assert not stays_free(None, FREE_AT, FREE_AT, is_clock_trusted=True, is_open=True)


@pytest.mark.parametrize(
    "more",
    [{"first_in": ("noon",)}, {"first_in": ("mon 08:00-09:00",), "two_persons": True}, {"doors": ("B",)}],
    ids=["no hours", "beside a rule it would defeat", "doors without a direction"],
)
def test_settings_that_would_mean_nothing_are_refused(more):
    with pytest.raises(ValueError, match=r"want|first_in|direction"):
        PassageRule(**more)


def test_a_lockdown_lets_the_named_groups_in_and_everybody_out():
    assert passes(("guards", "staff"), ("guards",), is_outward=False)
    assert not passes(("staff",), ("guards",), is_outward=False)
    assert not passes((), (), is_outward=False)
    assert passes((), (), is_outward=True)


VAGUE = {"begun": [{"id": "a", "by": "b", "at": 1.0, "is_fleet_wide": "no"}], "lifted": []}
ONE, TWO = Lockdown("one", "operator", 1.0), Lockdown("two", "root", 2.0, is_fleet_wide=True)


def test_lockdowns_come_to_the_same_in_every_order_and_however_often():
    begun, lifted = Lockdowns().with_act(ONE).with_act(TWO), Lockdowns().lift(["one"])

    assert begun.join(lifted) == lifted.join(begun) == lifted.join(begun).join(lifted).join(begun)
    assert [one.id for one in begun.join(lifted).in_force] == ["two"]
    assert not lifted.with_act(ONE).is_locked  # the lift came first
    assert [one.id for one in begun.shared.in_force] == ["two"]
    assert read_lockdowns(begun.as_dict()) == begun


def test_the_oldest_lifted_lockdowns_are_forgotten_and_none_of_them_comes_back():
    known = Lockdowns()
    for number in range(60):
        known = known.with_act(replace(ONE, id=str(number), at=float(number))).lift([str(number)])
    pruned = known.with_act(TWO).pruned()

    assert len(pruned.begun) == 50
    assert [one.id for one in pruned.in_force] == ["two"]
    assert [one.id for one in pruned.join(known).in_force] == ["two"]


@pytest.mark.parametrize("text", ["Haupt\u00adeingang", "\u202eeb", "a\nb", "\ud83d", "\U000e0041", "x" * 300])
def test_a_lockdown_holds_whatever_the_kiosk_is_called_and_the_reason_says(text):
    """A sign of a newer Unicode is none to an older Python, and a soft hyphen comes with a name that was copied."""
    told = {"begun": [ONE.as_dict() | {"by": text, "reason": text}], "lifted": []}

    assert [one.id for one in read_lockdowns(told).said_by(text).in_force] == ["one"]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -1.0, 1e300, 10**400])
def test_a_lockdown_holds_whatever_its_time_is(at):
    read = read_lockdowns({"begun": [ONE.as_dict() | {"at": at}], "lifted": []})

    assert [(one.id, one.at) for one in read.in_force] == [("one", 0.0)]


@pytest.mark.parametrize(
    "told", [None, [], {"begun": 1, "lifted": []}, {"begun": [{"id": 1}], "lifted": []}, {}, VAGUE]
)
def test_what_says_nothing_of_lockdowns_is_refused(told):
    with pytest.raises(ValueError, match="lockdown"):
        read_lockdowns(told)

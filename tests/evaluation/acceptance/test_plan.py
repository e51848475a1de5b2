"""Facts about how many presentations a figure needs: stopping early never flatters."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.evaluation.acceptance.plan import (
    DEFAULT_GOALS,
    MOST_ERRORS,
    Goal,
    Verdict,
    chance_of,
    look_at,
    looks,
    rule_of_three,
)

goals = st.floats(0.01, 0.5).map(Goal)


def ways_to_enough(goal: Goal) -> float:
    """Return the probability that a trial at exactly the goal's rate ends with ENOUGH, whenever it is stopped."""
    plan = looks(goal)
    undecided, passed = {0: 1.0}, 0.0  # probability of each number of errors, among trials that go on
    for presented in range(1, plan[-1] + 1):
        after: dict[int, float] = {}
        for errors, chance in undecided.items():
            for more, share in ((0, 1.0 - goal.rate), (1, goal.rate)):
                after[errors + more] = after.get(errors + more, 0.0) + chance * share
        undecided = {}
        for errors, chance in after.items():
            if presented in plan and errors <= plan.index(presented):
                passed += chance
            elif errors <= MOST_ERRORS:
                undecided[errors] = chance
    return passed


@pytest.mark.parametrize("goal", [*DEFAULT_GOALS.values(), Goal(0.01), Goal(0.3)], ids=lambda goal: str(goal.rate))
def test_a_door_that_is_as_bad_as_the_goal_passes_at_most_once_in_twenty_however_often_somebody_looks(goal):
    assert 0.02 < ways_to_enough(goal) <= 0.05


def test_the_first_look_is_near_the_rule_of_three():
    for goal in (Goal(0.01), Goal(0.05), Goal(0.15)):
        assert rule_of_three(goal.rate) * 0.95 <= looks(goal)[0] <= rule_of_three(goal.rate) * 1.12


@given(goals)
def test_each_look_needs_more_presentations_than_the_one_before_and_no_fewer_would_do(goal):
    plan = looks(goal)

    assert list(plan) == sorted(set(plan))
    for errors, needed in enumerate(plan):
        share = 0.05 * 0.8 * 0.2**errors
        assert chance_of(errors, needed, goal.rate) <= share < chance_of(errors, needed - 1, goal.rate)


@given(goals, st.lists(st.booleans(), max_size=400))
def test_a_trial_that_has_enough_stays_so_and_one_that_has_not_says_how_many_are_missing(goal, errors):
    look = look_at(errors, goal)

    assert (look.presented, look.errors) == (len(errors), sum(errors))
    match look.verdict:
        case Verdict.MORE:
            assert look.missing > 0
            assert look_at([*errors, *[False] * look.missing], goal).verdict is Verdict.ENOUGH
            assert look_at([*errors, *[False] * (look.missing - 1)], goal).verdict is Verdict.MORE
        case Verdict.ENOUGH:
            assert look_at([*errors, True, True, True, True], goal).verdict is Verdict.ENOUGH
        case Verdict.MISSED:
            assert look.errors > MOST_ERRORS or look.presented >= looks(goal)[look.errors]
            assert look_at([*errors, *[False] * 400], goal).verdict is Verdict.MISSED


def test_chances_add_up_to_one():
    rng = Random(0)
    for _ in range(20):
        of, rate = rng.randint(1, 300), rng.uniform(0.001, 0.6)
        assert math.isclose(chance_of(of, of, rate), 1.0, rel_tol=1e-9)


@pytest.mark.parametrize("rate", [0.0, 0.0009, 0.51, 1.0, -1.0, math.nan, math.inf])
def test_a_goal_that_nobody_can_reach_or_that_says_nothing_is_refused(rate):
    with pytest.raises(ValueError, match="want a rate"):
        Goal(rate)

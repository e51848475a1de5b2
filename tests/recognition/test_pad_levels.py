"""What each level asks, and how often a recording meets it by chance."""

from collections import Counter
from random import Random

import pytest

from kiosk.recognition.challenges import FLASH, MOVEMENTS, Challenge, Kind
from kiosk.recognition.pad_levels import (
    CHALLENGES,
    Level,
    RandomAsker,
    Tried,
    guessing_chance,
)

LEFT, RIGHT, MOUTH = MOVEMENTS


def asked(asker, *, can_open=True):
    """Return what is asked of somebody who answers everything."""
    met: tuple[Challenge, ...] = ()
    for _ in range(asker.count):
        met = (*met, asker.next(Tried(met=met), can_open=can_open))
    return met


def test_active_asks_for_one_movement_each_as_often():
    counts = Counter(asked(RandomAsker(Level.ACTIVE, Random(seed)))[0] for seed in range(3000))

    assert set(counts) == set(MOVEMENTS)
    assert all(count > 900 for count in counts.values())


def test_strict_asks_for_colours_and_a_movement_in_either_order():
    orders = [asked(RandomAsker(Level.STRICT, Random(seed))) for seed in range(200)]

    assert all(len(order) == 2 and order.count(FLASH) == 1 for order in orders)
    assert {order.index(FLASH) for order in orders} == {0, 1}


def test_without_colours_strict_asks_for_three_movements_of_both_kinds():
    for seed in range(200):
        order = asked(RandomAsker(Level.STRICT, Random(seed), has_flashes=False))

        assert len(order) == 3
        assert {one.kind for one in order} == {Kind.TURN, Kind.MOUTH}


def test_colours_that_failed_are_asked_for_again_and_never_left_out():
    for seed in range(50):
        asker = RandomAsker(Level.STRICT, Random(seed))

        second = asker.next(Tried(failed=(FLASH,)), can_open=True)
        last = asker.next(Tried(met=(second,), failed=(FLASH,)), can_open=True)

        assert second in MOVEMENTS
        assert last == FLASH


def test_a_smile_that_shows_teeth_is_asked_to_turn():
    drawn = {asked(RandomAsker(Level.ACTIVE, Random(seed)), can_open=False)[0] for seed in range(50)}

    assert drawn == {LEFT, RIGHT}


@pytest.mark.parametrize("level", [Level.OFF, Level.PASSIVE])
def test_off_and_passive_ask_for_nothing(level):
    assert RandomAsker(level, Random(0)).count == CHALLENGES[level] == 0


def test_the_face_is_held_for_a_time_that_nobody_knows():
    asker = RandomAsker(Level.ACTIVE, Random(0))

    holds = [asker.hold_s() for _ in range(100)]

    assert len(set(holds)) == 100
    assert min(holds) >= 0.2
    assert max(holds) <= 0.8


@pytest.mark.parametrize(("movements", "tries"), [(1, 1), (1, 2), (2, 2), (3, 2), (3, 1)])
def test_the_guessing_chance_is_that_of_a_simulation(movements, tries):
    rng = Random(1)

    def passes():
        met = lost = 0
        while met < movements and lost < tries:
            if rng.randrange(3) == 0:
                met += 1
            else:
                lost += 1
        return met == movements

    share = sum(passes() for _ in range(40_000)) / 40_000
    assert share == pytest.approx(guessing_chance(movements, tries), abs=0.01)

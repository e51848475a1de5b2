import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.rules.patience import Patience, Tries


def declined(patience, times, tries=None, *, now=0.0):
    tries = tries or Tries()
    for _ in range(times):
        now = max(now, tries.held_until)
        tries = patience.after(tries, is_granted=False, now=now)
    return tries, now


@pytest.mark.parametrize(
    ("declines", "held_s"),
    [(0, 0.0), (1, 0.0), (3, 0.0), (4, 2.0), (5, 4.0), (6, 8.0), (7, 16.0), (8, 300.0), (9, 300.0), (50, 300.0)],
)
def test_declines_slow_down_and_then_lock(declines, held_s):
    tries, now = declined(Patience(), declines)

    assert max(0.0, tries.held_until - now) == held_s
    assert tries.is_held(now) is (held_s > 0)
    assert not tries.is_held(now + held_s)


def test_waits_that_no_float_holds_are_as_long_as_a_lock_out():
    patience = Patience(free_tries=0, lockout_tries=1000, wait_growth=10.0, lockout_s=5.0)

    assert [patience.hold_s(declines) for declines in (1, 308, 309, 310, 999)] == [2.0, 5.0, 5.0, 5.0, 5.0]


def test_a_grant_gives_all_tries_back():
    tries, now = declined(Patience(), 7)

    assert Patience().after(tries, is_granted=True, now=now) == Tries()


def test_the_end_of_a_lock_out_gives_none_back():
    tries, now = declined(Patience(), 9)

    assert tries.held_until - now == 300.0
    assert tries.declines == 9


def test_quiet_time_does():
    tries, now = declined(Patience(), 9)

    again = Patience().after(tries, is_granted=False, now=tries.held_until + 900.0)
    soon = Patience().after(tries, is_granted=False, now=tries.held_until + 899.0)

    assert (again.declines, soon.declines) == (1, 10)
    assert now < again.forgotten_at


@given(st.integers(0, 30), st.floats(0, 1e6), st.floats(0, 1e4))
def test_a_lock_out_survives_a_restart(declines, restarted_at, passed_s):
    patience = Patience()
    tries, now = declined(patience, declines)
    saved = json.loads(json.dumps(patience.save(tries, now + passed_s)))

    again = patience.restore(saved, restarted_at)

    assert again.declines == tries.declines
    remains = max(0.0, tries.held_until - now - passed_s)
    assert max(0.0, again.held_until - restarted_at) == pytest.approx(remains, abs=1e-6)


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"declines": 1, "held_s": math.nan, "forgotten_s": 0},
        {"declines": -1, "held_s": 0, "forgotten_s": 0},
        {"declines": 9, "held_s": 1e12, "forgotten_s": 0},
        {"declines": "9", "held_s": 0, "forgotten_s": 0},
    ],
)
def test_a_spoilt_count_locks_once_and_not_for_ever(saved):
    tries = Patience().restore(saved, 50.0)

    assert tries.is_held(349.0)
    assert not tries.is_held(350.0)


def test_a_kiosk_that_never_declined_starts_free():
    assert Patience().restore(None, 50.0) == Tries()
    assert Patience().restore(Patience().save(Tries(), 7.0), 50.0) == Tries()


@pytest.mark.parametrize("wrong", [{"free_tries": 8}, {"wait_growth": 0.5}, {"wait_s": 301.0}, {"lockout_s": math.nan}])
def test_a_patience_without_end_is_refused(wrong):
    with pytest.raises(ValueError, match="want"):
        Patience(**wrong)

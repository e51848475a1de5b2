import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.rules.conditions import POLICY, Condition
from kiosk.rules.grant import Refusal, RefusalReason, may_grant

anything = st.floats(allow_nan=True, allow_infinity=True)
HARMLESS = {  # each has its reason in the table
    Condition.PAD_OFF,
    Condition.PAD_PASSIVE,
    Condition.PAD_UNCALIBRATED,
    Condition.PAD_TOO_BRIGHT,
    Condition.THROTTLED,
    Condition.LIST_HELD,
    Condition.NEIGHBOUR_LOST,  # what goes by it refuses inward
    Condition.READER_LOST,  # whoever is asked for a card is refused without one
}


@pytest.mark.parametrize(
    ("captured_at", "now", "reason"),
    [
        pytest.param(10.0, 10.0, None, id="at once"),
        pytest.param(10.0, 10.5, None, id="exactly at the limit"),
        pytest.param(10.0, 10.501, RefusalReason.FRAME_TOO_OLD, id="over it"),
        pytest.param(10.0, 11.0, RefusalReason.FRAME_TOO_OLD, id="long over it"),
        pytest.param(10.0, 9.999, RefusalReason.CLOCK_JUMPED, id="from the future"),
        pytest.param(math.nan, 10.0, RefusalReason.CLOCK_JUMPED, id="no time"),
        pytest.param(10.0, math.inf, RefusalReason.CLOCK_JUMPED, id="no clock"),
    ],
)
def test_a_grant_needs_a_frame_no_older_than_half_a_second(captured_at, now, reason):
    refusal = may_grant(captured_at, now)

    assert (refusal and refusal.reason) == reason


@given(anything, anything, st.lists(st.sampled_from([*POLICY, "on_fire"])))
def test_whatever_the_numbers_a_grant_is_fresh_and_no_state_forbids_it(captured_at, now, states):
    if may_grant(captured_at, now, states) is None:
        assert 0.0 <= now - captured_at <= 0.5
        assert set(states) <= {condition.value for condition in HARMLESS}


@pytest.mark.parametrize("condition", list(Condition))
def test_nothing_opens_by_default_but_what_has_a_reason_to(condition):
    refusal = may_grant(10.0, 10.0, states=[condition])

    if condition in HARMLESS:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.states == (condition.value,)


def test_an_unknown_state_closes_and_is_named():
    assert may_grant(10.0, 10.0, states={"on_fire", "throttled"}) == Refusal(RefusalReason.CLOSED, ("on_fire",))

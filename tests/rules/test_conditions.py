from dataclasses import asdict

import pytest

from kiosk.rules.conditions import FIXED, POLICY, Allowed, Condition, allowed, policy
from kiosk.rules.grant import Refusal, RefusalReason, may_grant
from kiosk.settings.sections import DegradedSettings


def test_every_condition_has_a_row():
    assert set(POLICY) == {condition.value for condition in Condition}


def test_the_strictest_state_counts():
    assert allowed({"throttled", "gallery_stale", "disk_full"}) is Allowed.CLOSED
    assert allowed({"throttled", "gallery_stale"}) is Allowed.LOG_ONLY
    assert allowed(()) is Allowed.OPEN


def test_settings_change_the_table_but_not_what_cannot_work():
    table = policy({"gallery_stale": "open", "throttled": "closed"})

    assert may_grant(10.0, 10.0, states=["gallery_stale"], table=table) is None
    assert may_grant(10.0, 10.0, states=["throttled"], table=table) == Refusal(RefusalReason.CLOSED, ("throttled",))
    for condition in FIXED:
        with pytest.raises(ValueError, match="cannot be set"):
            policy({condition.value: "open"})
    with pytest.raises(ValueError, match="on_fire"):
        policy({"on_fire": "open"})


def test_the_settings_are_the_tables():
    assert policy(asdict(DegradedSettings())) == POLICY
    assert {Condition(name) for name in asdict(DegradedSettings())} == set(Condition) - FIXED

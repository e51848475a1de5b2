"""Facts about who may come in."""

import math

import pytest

from kiosk.rules.admission import DoorReason, hold_for_age, weigh, weigh_claim
from kiosk.types import Status

RULES = {"threshold": 80.0, "review_margin": 10.0, "lead": 5.0}


@pytest.mark.parametrize(
    ("best", "second", "status", "why"),
    [
        (80.0, None, Status.APPROVED, DoorReason.MATCHED),
        (79.9, None, Status.IN_REVIEW, DoorReason.BORDERLINE),
        (70.0, None, Status.IN_REVIEW, DoorReason.BORDERLINE),
        (69.9, None, Status.DECLINED, DoorReason.UNKNOWN),
        (None, None, Status.DECLINED, DoorReason.UNKNOWN),
        (math.nan, None, Status.DECLINED, DoorReason.UNKNOWN),
        (90.0, 85.0, Status.APPROVED, DoorReason.MATCHED),
        (90.0, 85.1, Status.IN_REVIEW, DoorReason.CLOSE_SECOND),
        (90.0, math.nan, Status.IN_REVIEW, DoorReason.CLOSE_SECOND),
    ],
)
def test_only_a_clear_likeness_comes_in(best, second, status, why):
    assert weigh(best, second, **RULES) == (status, why)


def test_a_review_margin_of_nothing_declines_at_once():
    assert weigh(79.9, None, threshold=80.0, review_margin=0.0, lead=0.0) == (Status.DECLINED, DoorReason.UNKNOWN)


def test_no_reference_is_no_likeness():
    assert weigh_claim(None, threshold=70.0, review_margin=10.0) == (Status.DECLINED, DoorReason.NO_REFERENCE)


@pytest.mark.parametrize(
    ("seen", "age", "expected"),
    [
        pytest.param(
            (Status.APPROVED, DoorReason.MATCHED), 14.9, (Status.IN_REVIEW, DoorReason.AGE_BELOW_SCALE), id="too young"
        ),
        pytest.param(
            (Status.APPROVED, DoorReason.MATCHED), 15.0, (Status.APPROVED, DoorReason.MATCHED), id="just old enough"
        ),
        pytest.param(
            (Status.APPROVED, DoorReason.MATCHED), None, (Status.APPROVED, DoorReason.MATCHED), id="nobody estimated it"
        ),
        pytest.param(
            (Status.APPROVED, DoorReason.MATCHED),
            math.nan,
            (Status.IN_REVIEW, DoorReason.AGE_BELOW_SCALE),
            id="no number",
        ),
        pytest.param(
            (Status.IN_REVIEW, DoorReason.BORDERLINE),
            9.0,
            (Status.IN_REVIEW, DoorReason.AGE_BELOW_SCALE),
            id="borderline: the cloud may not say yes",
        ),
        pytest.param(
            (Status.DECLINED, DoorReason.UNKNOWN), 9.0, (Status.DECLINED, DoorReason.UNKNOWN), id="declined stays"
        ),
        pytest.param(
            (Status.IN_REVIEW, DoorReason.NOT_APPROVED),
            9.0,
            (Status.IN_REVIEW, DoorReason.NOT_APPROVED),
            id="another reason stays",
        ),
    ],
)
def test_somebody_younger_than_scores_hold_for_goes_to_review(seen, age, expected):
    status, why = seen
    assert hold_for_age(status, why, age, age_low=15.0) == expected


def test_an_age_of_zero_holds_nobody():
    assert hold_for_age(Status.APPROVED, DoorReason.MATCHED, 3.0, age_low=0.0) == (Status.APPROVED, DoorReason.MATCHED)

"""Facts about who may come in."""

import math

import pytest

from kiosk.rules.admission import DoorReason, weigh, weigh_claim
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

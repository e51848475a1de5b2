"""Who may come in: from the likeness that was found to a status and its reason. The door's rules, not Didit's.

At a door being known is what lets one in, while in Didit's Face Search it is what calls for review; and whatever is
not clear opens nothing. Pure: likenesses are scores 0..100 as they are shown, decided on as in match.py.
"""

from __future__ import annotations

from enum import Enum

from kiosk.types import Status


class DoorReason(str, Enum):
    """Why a decision at the door is what it is."""

    MATCHED = "matched"
    UNKNOWN = "unknown"  # nobody in the gallery is alike enough
    OTHER_PERSON = "other_person"  # not the one of the code
    BORDERLINE = "borderline"  # within the review margin below the threshold
    CLOSE_SECOND = "close_second"  # somebody else is nearly as alike
    BLOCKLISTED = "blocklisted"
    NOT_APPROVED = "not_approved"  # the person's own record is in review or declined
    NOT_VALID = "not_valid"  # before the first day or after the last
    NO_REFERENCE = "no_reference"  # nothing to compare the person of the code with
    OUTSIDE_HOURS = "outside_hours"
    HOLIDAY = "holiday"
    UNKNOWN_PLAN = "unknown_plan"
    NOT_THIS_DOOR = "not_this_door"  # the fleet's owner lets other groups through it
    CLOCK_UNTRUSTED = "clock_untrusted"
    SECOND_OPINION = "second_opinion"  # the cloud was asked about a borderline likeness, and answered
    AGE_BELOW_SCALE = "age_below_scale"  # estimated younger than the people that scores were measured on
    ATTACK_SUSPECTED = "attack_suspected"  # the detection of photographs and masks said so
    FACTOR_MISSING = "factor_missing"  # the card or PIN that is asked for beside the face was not given
    WRONG_PIN = "wrong_pin"
    WRONG_CARD = "wrong_card"
    LIVENESS_UNDETERMINED = "liveness_undetermined"  # it could not tell: no challenge was met, or too little was seen


def weigh(
    best: float | None, second: float | None, *, threshold: float, review_margin: float, lead: float
) -> tuple[Status, DoorReason]:
    """Decide on the most alike person of a gallery.

    Args:
        best: likeness of the most alike person who may be listed; None for nobody.
        second: of the next person, if anybody.
        threshold: from which somebody may come in.
        review_margin: how far below it goes to review.
        lead: how far `best` must be ahead of `second`.

    >>> weigh(85.0, 79.0, threshold=80, review_margin=10, lead=5)[0].value
    'Approved'
    >>> [weigh(*seen, threshold=80, review_margin=10, lead=5)[1].value for seen in ((85.0, 81.0), (75.0, None))]
    ['close_second', 'borderline']
    """
    if best is None or not best >= threshold - review_margin:  # a NaN is nobody
        return Status.DECLINED, DoorReason.UNKNOWN
    if best < threshold:
        return Status.IN_REVIEW, DoorReason.BORDERLINE
    if second is not None and not best - second >= lead:
        return Status.IN_REVIEW, DoorReason.CLOSE_SECOND
    return Status.APPROVED, DoorReason.MATCHED


def weigh_claim(likeness: float | None, *, threshold: float, review_margin: float) -> tuple[Status, DoorReason]:
    """Decide on the likeness with the one person who was claimed; None where there is nothing to compare with.

    >>> [weigh_claim(score, threshold=70, review_margin=10)[1].value for score in (70.0, 69.9, 59.9, None)]
    ['matched', 'borderline', 'other_person', 'no_reference']
    """
    if likeness is None:
        return Status.DECLINED, DoorReason.NO_REFERENCE
    status, why = weigh(likeness, None, threshold=threshold, review_margin=review_margin, lead=0.0)
    return status, DoorReason.OTHER_PERSON if why is DoorReason.UNKNOWN else why


def hold_for_age(status: Status, why: DoorReason, age: float | None, *, age_low: float) -> tuple[Status, DoorReason]:
    """Send somebody who would be let in to review where scores do not hold for their age; leave all else as it is.

    A borderline likeness stays in review, by this reason: nothing but a person may say yes to it then.

    Args:
        status: so far.
        why: its reason.
        age: years, estimated; None where nothing estimated it, which holds nobody up.
        age_low: years from which the scale holds; 0 for never.

    >>> [hold_for_age(Status.APPROVED, DoorReason.MATCHED, age, age_low=15.0)[0].value for age in (14.9, 15.0, None)]
    ['In Review', 'Approved', 'Approved']
    """
    may_enter = status is Status.APPROVED or why is DoorReason.BORDERLINE
    if may_enter and age_low > 0.0 and age is not None and not age >= age_low:  # a NaN is no age
        return Status.IN_REVIEW, DoorReason.AGE_BELOW_SCALE
    return status, why

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.errors import ModelMismatchError
from kiosk.recognition.match import ANCHORS, ScoreScale, compare, decide_match, decide_search, warn_of_age
from kiosk.types import Entity, LogType, Risk, Sample, Status, Template

SCALE = ScoreScale((-0.1, 0.1, 0.25, 0.34, 0.45, 0.54), (0.01, 0.3, 1.0, 2.0, 4.0, 6.0))
cosines = st.floats(-1.0, 1.0)


def template(*values, model="m"):
    vector = np.array(values, np.float32)
    return Template(vector / np.linalg.norm(vector), model)


def risks(decision):
    return [(warned.risk, warned.log_type) for warned in decision.warnings]


@given(cosines, cosines)
def test_a_higher_cosine_never_scores_less(one, other):
    low, high = sorted((one, other))

    assert SCALE.score(low) <= SCALE.score(high)
    assert SCALE.similarity_percentage(low) <= SCALE.similarity_percentage(high)
    assert SCALE.fmr(low) >= SCALE.fmr(high)


@given(cosines)
def test_scores_stay_between_0_and_100(cosine):
    assert 0 <= SCALE.score(cosine) <= 100
    assert SCALE.score(cosine) <= SCALE.similarity_percentage(cosine) < SCALE.score(cosine) + 1


@pytest.mark.parametrize(("rarity", "score"), ANCHORS[1:])
def test_the_anchors_lie_where_the_contract_of_the_scale_says(rarity, score):
    cosine = SCALE.cosine_at_rarity(rarity)

    assert SCALE.score(cosine) == score
    assert SCALE.fmr(cosine) == pytest.approx(10.0**-rarity)


@pytest.mark.parametrize("score", range(1, 101))
def test_the_cosine_of_a_score_has_that_score_and_no_less_will_do(score):
    cosine = SCALE.cosine(score)

    assert SCALE.score(cosine) == score
    assert SCALE.score(cosine - 1e-4) == score - 1


def test_a_face_compared_with_itself_scores_100():
    assert SCALE.score(1.0) == 100


@pytest.mark.parametrize(
    ("cosine", "rarity"),
    [
        pytest.param((0.1, 0.1, 0.5), (0.0, 1.0, 6.0), id="cosines that do not rise"),
        pytest.param((0.1, 0.2, 0.5), (0.0, 3.0, 2.0), id="rarities that fall"),
        pytest.param((0.1, 0.5), (0.0, 5.0), id="a curve that ends before 1e-6"),
        pytest.param((0.1, 1.0), (0.0, 6.0), id="1e-6 only at cosine 1"),
        pytest.param((0.1,), (6.0,), id="a point"),
        pytest.param((math.nan, 0.5), (0.0, 6.0), id="not a number"),
    ],
)
def test_a_curve_that_is_none_is_refused(cosine, rarity):
    with pytest.raises(ValueError, match="want"):
        ScoreScale(cosine, rarity)


def test_templates_of_two_models_never_compare():
    with pytest.raises(ModelMismatchError, match="enrol the person again"):
        compare(template(1, 0), template(1, 0, model="other"))


def test_the_cosine_does_not_change_when_the_two_are_swapped():
    rng = np.random.default_rng(0)
    for _ in range(100):
        one, other = template(*rng.normal(size=128)), template(*rng.normal(size=128))

        assert compare(one, other) == compare(other, one)


@pytest.mark.parametrize(
    ("score", "threshold", "review", "status", "warned"),
    [
        pytest.param(30, 30, None, Status.APPROVED, [], id="exactly at the threshold approves"),
        pytest.param(
            29, 30, None, Status.DECLINED, [(Risk.LOW_FACE_MATCH_SIMILARITY, LogType.ERROR)], id="one below declines"
        ),
        pytest.param(0, 0, None, Status.APPROVED, [], id="a threshold of 0 approves everything"),
        pytest.param(
            99, 100, None, Status.DECLINED, [(Risk.LOW_FACE_MATCH_SIMILARITY, LogType.ERROR)], id="100 wants 100"
        ),
        pytest.param(100, 100, None, Status.APPROVED, [], id="100 at 100 approves"),
        pytest.param(
            49, 30, 50, Status.IN_REVIEW, [(Risk.LOW_FACE_MATCH_SIMILARITY, LogType.WARNING)], id="below review waits"
        ),
        pytest.param(50, 30, 50, Status.APPROVED, [], id="at review approves"),
    ],
)
def test_a_match_is_decided_on_the_number_shown(score, threshold, review, status, warned):
    decision = decide_match(score, decline_threshold=threshold, review_threshold=review)

    assert (decision.status, decision.score, risks(decision)) == (status, score, warned)


def test_a_missing_face_declines_without_a_score_and_says_whose():
    no_face = (Risk.NO_FACE_DETECTED, LogType.ERROR)

    user, reference = (decide_match(None, decline_threshold=0, reference_has_face=there) for there in (True, False))

    assert (user.status, user.score, risks(user)) == (Status.DECLINED, None, [no_face])
    assert risks(reference) == [no_face, (Risk.NO_REFERENCE_IMAGE, LogType.ERROR)]


@pytest.mark.parametrize(
    ("faces", "blocked", "known", "allow", "status", "warned"),
    [
        pytest.param(0, False, False, False, Status.DECLINED, [(Risk.NO_FACE_DETECTED, LogType.ERROR)], id="no face"),
        pytest.param(1, False, False, False, Status.APPROVED, [], id="a stranger"),
        pytest.param(1, False, True, False, Status.IN_REVIEW, [], id="somebody known"),
        pytest.param(1, True, False, False, Status.DECLINED, [(Risk.FACE_IN_BLOCKLIST, LogType.ERROR)], id="blocked"),
        pytest.param(
            2, False, False, False, Status.IN_REVIEW, [(Risk.MULTIPLE_FACES_DETECTED, LogType.WARNING)], id="two faces"
        ),
        pytest.param(
            2,
            False,
            False,
            True,
            Status.APPROVED,
            [(Risk.MULTIPLE_FACES_DETECTED, LogType.INFORMATION)],
            id="two allowed",
        ),
        pytest.param(
            2,
            True,
            True,
            False,
            Status.DECLINED,
            [(Risk.FACE_IN_BLOCKLIST, LogType.ERROR), (Risk.MULTIPLE_FACES_DETECTED, LogType.WARNING)],
            id="the worst status wins",
        ),
    ],
)
def test_a_search_is_decided_by_the_contracts_table(faces, blocked, known, allow, status, warned):
    decision = decide_search(faces=faces, is_blocklisted=blocked, is_known=known, allow_multiple_faces=allow)

    assert (decision.status, risks(decision)) == (status, warned)


def aged(*years):
    return Sample(tuple(Entity((0, 0, 9, 9), 0.9, age, "female") for age in years), 0, None)


@pytest.mark.parametrize(
    ("user", "reference", "is_warned"),
    [
        pytest.param(aged(30.0), aged(14.9), True, id="a young reference"),
        pytest.param(aged(9.0), aged(30.0), True, id="a young user"),
        pytest.param(aged(15.0), aged(15.0), False, id="both just old enough"),
        pytest.param(aged(30.0, 4.0), aged(30.0), False, id="a child behind the largest face"),
    ],
)
def test_a_match_of_somebody_younger_than_scores_hold_for_says_so(user, reference, is_warned):
    decided = decide_match(85, decline_threshold=30)

    warned = warn_of_age(decided, user, reference, age_low=15.0)

    assert warned.status is Status.APPROVED
    assert risks(warned) == ([(Risk.AGE_BELOW_SCALE, LogType.INFORMATION)] if is_warned else [])


def test_no_age_is_warned_of_where_nothing_was_compared_or_the_setting_says_never():
    nothing = decide_match(None, decline_threshold=30)

    assert warn_of_age(nothing, aged(9.0), aged(), age_low=15.0) is nothing
    assert warn_of_age(decide_match(85, decline_threshold=30), aged(9.0), aged(9.0), age_low=0.0).warnings == ()

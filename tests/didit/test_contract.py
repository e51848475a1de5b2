import json

import numpy as np
import pytest

from kiosk.didit import contract
from kiosk.recognition.match import MatchDecision, SearchDecision, decide_match
from kiosk.types import Entity, LogType, Risk, Sample, Status, Warned

FACE = Entity((40, 41, 100, 101), 0.71749, 27.634, "male")
ONE = Sample((FACE,), 90, None)
NONE = Sample((), 0, None)

ROW = contract.MatchRow(
    session_id="5a69ef07-27cb-4d50-854e-705a1cb36dc8",
    session_number=1234,
    similarity_percentage=95.2,
    verification_date=1749551400.0,
    status="Approved",
    is_blocklisted=False,
    is_allowlisted=True,
    source="enrolment",
    vendor_data="user-456",
    name="Person A",
    document_type="Identity Card",
    document_number="AB123456",
)


def test_a_match_answers_in_the_seeds_shape():
    decision = MatchDecision(Status.APPROVED, 80)

    answer = contract.match_answer(decision, ONE, NONE, request_id="r", created_at=1746105191.977806)

    assert answer == {
        "request_id": "r",
        "face_match": {
            "status": "Approved",
            "score": 80,
            "user_image": {
                "entities": [{"age": 27.63, "bbox": [40, 41, 100, 101], "confidence": 0.717, "gender": "male"}],
                "best_angle": 90,
            },
            "ref_image": {"entities": [], "best_angle": 0},
            "warnings": [],
        },
        "created_at": "2025-05-01T13:13:11.977806Z",
    }


def test_an_age_estimation_answers_in_the_contracts_shape():
    warned = [Warned(Risk.AGE_BELOW_MINIMUM, LogType.ERROR)]

    answer = contract.age_answer(
        Status.DECLINED, 91.25, ONE, warned, age=17.99, request_id="r", created_at=0.0, vendor_data="v"
    )

    assert answer == {
        "request_id": "r",
        "age_estimation": {
            "status": "Declined",
            "method": "PASSIVE",
            "score": 91.25,
            "user_image": {
                "entities": [{"age": 27.63, "bbox": [40, 41, 100, 101], "confidence": 0.717, "gender": "male"}],
                "best_angle": 90,
            },
            "warnings": [
                {
                    "risk": "AGE_BELOW_MINIMUM",
                    "log_type": "error",
                    "short_description": "Age below minimum",
                    "long_description": "The age of the face is below the minimum age threshold for the application.",
                }
            ],
            "age_estimation": 17.99,
        },
        "created_at": "1970-01-01T00:00:00.000000Z",
        "vendor_data": "v",
    }


def test_a_search_answers_in_the_seeds_shape_with_age_as_text():
    decision = SearchDecision(Status.IN_REVIEW)

    answer = contract.search_answer(
        decision, ONE, [ROW], request_id="r", created_at=0.0, vendor_data="v", metadata={"a": 1}
    )

    found = answer["face_search"]
    assert found["total_matches"] == 1
    assert found["user_image"]["entities"][0]["age"] == "27.6"
    assert found["matches"] == [
        {
            "session_id": "5a69ef07-27cb-4d50-854e-705a1cb36dc8",
            "session_number": 1234,
            "similarity_percentage": 95.2,
            "vendor_data": "user-456",
            "verification_date": "2025-06-10T10:30:00.000000Z",
            "user_details": {"name": "Person A", "document_type": "Identity Card", "document_number": "***456"},
            "match_image_url": None,
            "status": "Approved",
            "is_blocklisted": False,
            "is_allowlisted": True,
            "source": "enrolment",
        }
    ]
    assert (answer["vendor_data"], answer["metadata"]) == ("v", {"a": 1})
    json.dumps(answer)


@pytest.mark.parametrize("risk", list(Risk))
def test_every_warning_has_its_two_sentences(risk):
    decision = MatchDecision(Status.DECLINED, None, (Warned(risk, LogType.ERROR),))

    (warning,) = contract.match_answer(decision, NONE, NONE, request_id="r", created_at=0.0)["face_match"]["warnings"]

    assert list(warning) == ["risk", "log_type", "short_description", "long_description"]
    assert warning["risk"] == risk.value
    assert warning["short_description"]
    assert warning["long_description"].endswith(".")


def test_two_missing_faces_warn_twice():
    decision = decide_match(None, decline_threshold=30, reference_has_face=False)

    found = contract.match_answer(decision, NONE, NONE, request_id="r", created_at=0.0)["face_match"]

    assert found["score"] is None
    assert [warning["risk"] for warning in found["warnings"]] == ["NO_FACE_DETECTED", "NO_REFERENCE_IMAGE"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("50", "50"),
        ("50.0", "50"),
        ("100", "100"),
        (" 7 ", "7"),
        ("30.5", "30.5"),
        ("007.", "7"),
        (".5", "0.5"),
    ],
)
def test_a_threshold_is_a_number_and_a_whole_one_stays_whole(text, value):
    assert str(contract.parse_threshold(text)) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-1", "between 0 and 100"),
        ("101", "between 0 and 100"),
        ("100.5", "between 0 and 100"),
        ("9" * 400, "between 0 and 100"),
        ("nan", "valid number"),
        ("inf", "valid number"),
        ("1e1", "valid number"),
        ("1_0", "valid number"),
        ("\u0665\u0660", "valid number"),
        ("\uff15\uff10", "valid number"),
        ("0x10", "valid number"),
        ("5 0", "valid number"),
        ("50,5", "valid number"),
        ("fifty", "valid number"),
        ("", "valid number"),
    ],
)
def test_another_threshold_is_refused_in_the_contracts_words(text, said):
    with pytest.raises(ValueError, match=said):
        contract.parse_threshold(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("TRUE", True),
        ("1", True),
        ("Yes", True),
        ("on", True),
        ("False", False),
        ("0", False),
        ("no", False),
        (" OFF ", False),
    ],
)
def test_a_flag_is_read_in_any_case(text, value):
    assert contract.parse_boolean(text) is value


@pytest.mark.parametrize("text", ["y", "", "2", "ja", "\uff11"])
def test_another_flag_is_refused(text):
    with pytest.raises(ValueError, match="boolean"):
        contract.parse_boolean(text)


@pytest.mark.parametrize("text", ["[1]", "1", "nonsense", "", "[" * 100_000])
def test_metadata_is_an_object(text):
    with pytest.raises(ValueError, match="JSON"):
        contract.parse_metadata(text)


def test_metadata_comes_back_as_it_was():
    assert contract.parse_metadata('{"a": {"b": [1, null]}}') == {"a": {"b": [1, None]}}


def test_short_document_numbers_are_hidden_whole():
    assert [contract.mask("A" * n) for n in range(1, 8)] == ["***"] * 5 + ["***AAA"] * 2


def test_bounding_boxes_are_plain_numbers():
    answer = contract.match_answer(MatchDecision(Status.APPROVED, 1), ONE, ONE, request_id="r", created_at=0.0)

    box = answer["face_match"]["user_image"]["entities"][0]["bbox"]
    assert all(type(side) is int for side in box)
    assert not any(isinstance(side, np.integer) for side in box)

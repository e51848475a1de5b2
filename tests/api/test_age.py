"""Facts about POST /v3/age-estimation/: real networks, a real server, the golden presentations of the pack."""

import cv2
import numpy as np
import pytest

from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.scripted_liveness import ScriptedDetector
from tests.api.served import serving
from tests.api.test_liveness import PERSON, PERSON_FILE, PRINT
from tests.conftest import networks, read


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("age") / "state") as served:
        yield served


def ask(served, photograph, **fields):
    return served.call("POST", "/v3/age-estimation/", "device", files={"user_image": photograph}, data=fields)


def judged(served, photograph, **fields):
    return ask(served, photograph, **fields).json()["age_estimation"]


def risks(found):
    return [one["risk"] for one in found["warnings"]]


def test_a_grown_up_is_approved_and_saved_with_the_age_of_the_largest_face(served):
    answer = ask(served, PERSON, vendor_data="age-1", metadata='{"step": 1}').json()

    found = answer["age_estimation"]
    assert (found["status"], found["method"], found["warnings"]) == ("Approved", "PASSIVE", [])
    assert found["age_estimation"] == found["user_image"]["entities"][0]["age"] > 18.0
    assert 30.0 < found["score"] <= 100.0
    assert (answer["vendor_data"], answer["metadata"]) == ("age-1", {"step": 1})
    saved = served.call("GET", f"/v3/session/{answer['request_id']}/decision/", "device").json()
    assert (saved["api_service"], saved["features"]) == ("AGE_ESTIMATION", ["AGE_ESTIMATION"])
    assert saved["liveness_checks"] == [found]
    listed = served.call("GET", "/v3/sessions/?api_service=AGE_ESTIMATION&vendor_data=age-1", "device").json()
    assert [one["session_id"] for one in listed["results"]] == [answer["request_id"]]


def test_exactly_at_the_threshold_is_approved_and_a_hundredth_above_is_declined(served):
    age = judged(served, PERSON, age_estimation_decline_threshold="0", save_api_request="false")["age_estimation"]

    above = judged(served, PERSON, age_estimation_decline_threshold=f"{age + 0.01:.2f}", save_api_request="false")
    below = judged(served, PERSON, age_estimation_decline_threshold=f"{age - 0.01:.2f}", save_api_request="false")

    assert (above["status"], risks(above)) == ("Declined", ["AGE_BELOW_MINIMUM"])
    assert (below["status"], risks(below)) == ("Approved", [])


def test_a_threshold_of_0_asks_for_no_age_and_still_for_a_person(served):
    found = judged(served, PRINT, age_estimation_decline_threshold="0", save_api_request="false")

    assert found["status"] == "Declined"
    assert risks(found) == ["LOW_LIVENESS_SCORE", "LIVENESS_FACE_ATTACK"]


@pytest.mark.parametrize("threshold", ["0", "18"])
def test_no_face_is_declined_without_an_age_whatever_the_threshold(served, threshold):
    wall = cv2.imencode(".png", np.full((200, 200, 3), 90, np.uint8))[1].tobytes()

    found = judged(served, wall, age_estimation_decline_threshold=threshold, save_api_request="false")

    assert (found["status"], found["age_estimation"], found["score"]) == ("Declined", None, 0)
    assert risks(found) == ["NO_FACE_DETECTED", "AGE_NOT_DETECTED"]


def test_any_warning_declines_also_one_that_is_only_information_elsewhere(tmp_path):
    template = networks().analyse(read(PERSON_FILE)).template
    assert template is not None
    with serving(tmp_path / "state") as served:
        served.device.store.people.enrol(Enrolment([template], Details(vendor_data="v-1")))

        other = judged(served, PERSON, save_api_request="false", vendor_data="v-2")
        own = judged(served, PERSON, save_api_request="false", vendor_data="v-1")

        assert (other["status"], risks(other)) == ("Declined", ["DUPLICATED_FACE"])
        assert (own["status"], risks(own)) == ("Approved", [])
        assert served.device.store.decisions(DecisionFilter(kinds=(Kind.AGE_ESTIMATION,))).total == 0


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("age_estimation_decline_threshold", "-1"),
        ("age_estimation_decline_threshold", "100.5"),
        ("age_estimation_decline_threshold", "1e1"),
        ("age_estimation_decline_threshold", "٢١"),
        ("face_liveness_score_decline_threshold", "many"),
    ],
)
def test_a_threshold_that_is_none_is_refused(served, field, wrong):
    answer = ask(served, PERSON, **{field: wrong})

    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_what_is_no_picture_is_refused_in_the_contracts_words(served):
    answer = ask(served, b"no picture")

    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid user image format."})


def test_without_a_network_that_passed_its_test_no_age_is_told(tmp_path):
    detector = ScriptedDetector()
    detector.fault = "liveness.onnx: the digest differs"
    with serving(tmp_path / "state", detector=detector) as served:
        answer = ask(served, PERSON)

    assert answer.status_code == 503
    assert "age_estimation" not in answer.json()

"""Facts about POST /v3/passive-liveness/: real networks, a real server, the golden presentations of the pack."""

import base64

import cv2
import numpy as np
import pytest

from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.documents import Specimen
from kiosk.testing.scripted_liveness import ScriptedDetector
from tests.api.served import serving
from tests.conftest import GOLDEN, MODELS, networks, read
from tests.documents.cards import jpeg, picture_of

PERSON_FILE = MODELS / "golden" / "presentation_bona_fide_1.jpg"
PERSON, PRINT = PERSON_FILE.read_bytes(), (MODELS / "golden" / "presentation_print.jpg").read_bytes()
PASSPORT = Specimen(expiry="350415", optional="ZE184226B")


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state") as served:
        yield served


def ask(served, photograph, **fields):
    return served.call(
        "POST", "/v3/passive-liveness/", "device", files={"user_image": ("a.jpg", photograph)}, data=fields
    )


def tight_crop():
    image = read(GOLDEN / "person_a_1.jpg")
    face = networks().detect(image)[0]
    x1, y1, x2, y2 = (round(float(side)) for side in face.box)
    crop = image[max(0, y1 - 20) : y2 + 20, max(0, x1 - 20) : x2 + 20]
    return cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes()


def test_a_person_is_approved_and_saved_with_what_was_judged(served):
    answer = ask(served, PERSON, vendor_data="v-1", metadata='{"step": 1}').json()

    judged = answer["liveness"]
    assert (judged["status"], judged["method"], judged["warnings"]) == ("Approved", "PASSIVE", [])
    assert 30.0 < judged["score"] <= 100.0
    assert len(judged["user_image"]["entities"]) == 1
    assert 25.0 < judged["face_quality"] <= 100.0  # good enough for a reference
    quality = served.device.analyse(PERSON).template.quality
    assert judged["face_quality"] == pytest.approx(quality, abs=0.051)
    assert 0.0 < judged["face_luminance"] < 100.0
    assert (answer["vendor_data"], answer["metadata"]) == ("v-1", {"step": 1})
    saved = served.call("GET", f"/v3/session/{answer['request_id']}/decision/", "device").json()
    assert saved["liveness_checks"] == [judged]
    assert saved["api_service"] == "PASSIVE_LIVENESS"


def test_a_print_is_declined_for_its_score_and_as_an_attack(served):
    judged = ask(served, PRINT).json()["liveness"]

    assert judged["status"] == "Declined"
    assert judged["score"] <= 30.0
    assert [(one["risk"], one["log_type"]) for one in judged["warnings"]] == [
        ("LOW_LIVENESS_SCORE", "error"),
        ("LIVENESS_FACE_ATTACK", "error"),
    ]
    assert judged["warnings"][0]["short_description"] == "Low liveness score"
    assert judged["warnings"][1]["long_description"].startswith("The system detected a potential attempt")


def test_a_face_that_cannot_be_judged_is_declined_with_its_reason_and_never_approved(served):
    judged = ask(served, tight_crop(), face_liveness_score_decline_threshold="0").json()["liveness"]

    assert (judged["status"], judged["score"]) == ("Declined", 0)
    assert [(one["risk"], one["additional_data"]) for one in judged["warnings"]] == [
        ("LOW_LIVENESS_SCORE", {"reason": "face_too_large"})
    ]


def test_the_threshold_is_the_score_up_to_which_it_is_declined(served):
    score = ask(served, PERSON).json()["liveness"]["score"]

    judged = ask(served, PERSON, face_liveness_score_decline_threshold=str(score)).json()["liveness"]

    assert judged["status"] == "Declined"
    assert [one["risk"] for one in judged["warnings"]] == ["LOW_LIVENESS_SCORE"]


def test_no_face_is_declined(served):
    wall = cv2.imencode(".png", np.full((200, 200, 3), 90, np.uint8))[1].tobytes()

    judged = ask(served, wall).json()["liveness"]

    assert (judged["status"], judged["score"]) == ("Declined", 0)
    assert [one["risk"] for one in judged["warnings"]] == ["NO_FACE_DETECTED"]
    assert (judged["face_quality"], judged["face_luminance"]) == (None, None)


def test_somebody_on_the_blocklist_is_declined_even_where_nothing_is_saved_but_not_under_their_own_code(served):
    template = networks().analyse(read(PERSON_FILE)).template
    assert template is not None
    served.device.store.people.enrol(Enrolment([template], Details(vendor_data="v-1"), is_blocklisted=True))

    other = ask(served, PERSON, save_api_request="false", vendor_data="v-2").json()["liveness"]
    own = ask(served, PERSON, vendor_data="v-1").json()["liveness"]

    assert [one["risk"] for one in other["warnings"]] == ["FACE_IN_BLOCKLIST"]
    assert (other["status"], own["status"]) == ("Declined", "Approved")
    kinds = DecisionFilter(kinds=(Kind.PASSIVE_LIVENESS,))
    assert served.device.store.decisions(kinds).total == 1


def test_somebody_known_by_another_identifier_is_told_and_changes_nothing(served):
    template = networks().analyse(read(PERSON_FILE)).template
    assert template is not None
    served.device.store.people.enrol(Enrolment([template], Details(vendor_data="v-1")))

    other = ask(served, PERSON, save_api_request="false", vendor_data="v-2").json()["liveness"]
    nameless = ask(served, PERSON).json()["liveness"]
    own = ask(served, PERSON, vendor_data="v-1").json()["liveness"]

    for judged in (other, nameless):
        assert [(one["risk"], one["log_type"]) for one in judged["warnings"]] == [("DUPLICATED_FACE", "information")]
        assert judged["warnings"][0]["short_description"] == "Duplicated face"
        assert judged["status"] == "Approved"
    assert own["warnings"] == []


def test_a_poor_picture_of_a_face_has_a_lower_quality(served):
    image = cv2.cvtColor(read(PERSON_FILE), cv2.COLOR_RGB2BGR)
    small = cv2.resize(image, None, fx=0.08, fy=0.08, interpolation=cv2.INTER_AREA)
    poor = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)

    qualities = [
        ask(served, cv2.imencode(".png", one)[1].tobytes()).json()["liveness"]["face_quality"] for one in (image, poor)
    ]

    assert qualities[1] < qualities[0] - 5.0


@pytest.mark.parametrize("wrong", ["-1", "100.5", "nan", "many"])
def test_a_threshold_that_is_none_is_refused(served, wrong):
    answer = ask(served, PERSON, face_liveness_score_decline_threshold=wrong)

    assert answer.status_code == 400
    assert "face_liveness_score_decline_threshold" in answer.json()


def test_what_is_no_picture_is_refused_in_the_contracts_words(served):
    answer = ask(served, b"no picture")

    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid user image format."})


def test_without_a_network_that_passed_its_test_nothing_is_approved(tmp_path):
    detector = ScriptedDetector()
    detector.fault = "liveness.onnx: the digest differs"
    with serving(tmp_path / "state", detector=detector) as served:
        answer = ask(served, PERSON)

    assert answer.status_code == 503
    assert "liveness" not in answer.json()


# ---- the order of onboarding: is it a person, are they new, the document, is it theirs


def onboard(served, selfie, vendor_data):
    """Take the steps that Didit's description names, each with the selfie; return the answers by step."""

    def post(path, **files):
        parts = {name: (f"{name}.jpg", content) for name, content in files.items()}
        return served.call("POST", path, "device", files=parts, data={"vendor_data": vendor_data})

    answers = {
        "liveness": post("/v3/passive-liveness/", user_image=selfie),
        "search": post("/v3/face-search/", user_image=selfie),
        "document": post("/v3/id-verification/", front_image=jpeg(picture_of(PASSPORT))),
    }
    portrait = answers["document"].json()["id_verification"]["portrait_image"]
    answers["match"] = post("/v3/face-match/", user_image=selfie, ref_image=base64.b64decode(portrait))
    return answers


def test_the_order_of_onboarding_can_be_walked_through_and_ends_with_a_new_real_person(served):
    answers = onboard(served, PERSON, "user-1")

    assert answers["liveness"].json()["liveness"]["status"] == "Approved"
    search = answers["search"].json()["face_search"]
    assert (search["status"], search["total_matches"]) == ("Approved", 0)
    document = answers["document"].json()["id_verification"]
    assert (document["status"], document["full_name"]) == ("Approved", "ANNA MARIA ERIKSSON")
    assert answers["match"].json()["face_match"]["status"] == "Approved"
    saved = served.call("GET", "/v3/sessions/?vendor_data=user-1", "device").json()["results"]
    assert {one["session_id"] for one in saved} >= {
        answers[step].json()["request_id"] for step in ("liveness", "search", "document", "match")
    }


def test_the_order_of_onboarding_ends_at_its_first_step_for_a_print_and_at_its_second_for_a_known_person(served):
    template = networks().analyse(read(PERSON_FILE)).template
    assert template is not None
    served.device.store.people.enrol(Enrolment([template], Details(vendor_data="user-1")))

    printed, known = onboard(served, PRINT, "user-2"), onboard(served, PERSON, "user-3")

    assert printed["liveness"].json()["liveness"]["status"] == "Declined"
    assert known["liveness"].json()["liveness"]["status"] == "Approved"
    search = known["search"].json()["face_search"]
    assert search["total_matches"] == 1
    assert search["matches"][0]["vendor_data"] == "user-1"
    assert search["matches"][0]["similarity_percentage"] >= 90.0


# ---- a person enrolled from the page, by a camera


def enrol(served, photograph, **fields):
    return served.call("POST", "/device/subjects", "operator", files={"image": ("a.jpg", photograph)}, data=fields)


def test_a_photograph_held_up_to_the_camera_is_not_enrolled_from_the_page(served):
    answer = enrol(served, PRINT, from_camera="true", name="Person A")

    assert (answer.status_code, answer.json()["outcome"]) == (409, "not_live")
    assert served.device.store.people.subjects().total == 0


def test_a_person_before_the_camera_is_enrolled_from_the_page(served):
    assert enrol(served, PERSON, from_camera="true", name="Person A").status_code == 201


def test_a_face_that_fills_the_cameras_picture_is_not_enrolled_unjudged(served):
    answer = enrol(served, tight_crop(), from_camera="true")

    assert (answer.status_code, answer.json()["outcome"]) == (409, "not_live")


def test_a_reference_taken_by_the_camera_must_show_a_person_too(served):
    number = enrol(served, PERSON, from_camera="true").json()["subject"]["session_number"]

    answer = served.call(
        "POST",
        f"/device/subjects/{number}/references",
        "operator",
        files={"image": ("a.jpg", PRINT)},
        data={"from_camera": "true"},
    )

    assert (answer.status_code, answer.json()["outcome"]) == (409, "not_live")


def test_a_photograph_that_is_uploaded_as_one_is_enrolled_as_ever(served):
    assert enrol(served, PRINT).status_code == 201


def test_where_the_detection_fails_nobody_is_enrolled_by_the_camera(tmp_path):
    detector = ScriptedDetector()
    detector.fault = "liveness.onnx: the digest differs"
    with serving(tmp_path / "state", detector=detector) as served:
        assert enrol(served, PERSON, from_camera="true").status_code == 503
        assert served.device.store.people.subjects().total == 0


# ---- the kiosk's own screen


def test_the_screen_says_when_its_colours_began_and_nobody_else_may(served):
    with served.screen() as screen:
        said = screen.post("/device/screen/colours", json={"attempt": 2})
        wrong = screen.post("/device/screen/colours", json={"attempt": True})

    assert (said.status_code, wrong.status_code) == (204, 400)
    assert served.kiosk.asked == [("colours", 2)]
    assert served.call("POST", "/device/screen/colours", json={"attempt": 2}).status_code in {401, 403}

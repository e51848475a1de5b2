"""Facts about sessions of several steps: real networks, a real server; documents are read by a scripted reader."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from kiosk.settings.config import Config
from kiosk.settings.sections import StoreSettings
from kiosk.settings.workflows import SessionSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.scripted_documents import SPECIMEN, ScriptedDocumentReader
from kiosk.testing.scripted_liveness import ScriptedDetector
from tests.api.served import B1, serving
from tests.api.test_liveness import PERSON, PERSON_FILE, PRINT
from tests.conftest import networks, read

WORKFLOWS = (
    "onboarding: liveness > face_search > id_verification > face_match",
    "selfie: liveness",
    "returning: liveness > face_match",
    "grown-up: age_estimation > face_search",
)
SETTINGS = SessionSettings(workflows=WORKFLOWS, attempts=2)


def configured(**more):
    return replace(Config(), sessions=SETTINGS, **more)


READER = ScriptedDocumentReader()


@pytest.fixture
def reader():
    """Give the reader, as it is at first."""
    READER.answers, READER.fault, READER.has_portrait = [SPECIMEN], None, True
    READER.backs.clear()
    return READER


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("sessions") / "state", config=configured(), read_document=READER) as served:
        yield served


@pytest.fixture
def served(house, reader):  # noqa: ARG001  the reader as it is at first
    """Give the server, without people and with nobody waiting."""
    store = house.device.store
    for person in store.people.subjects().subjects:
        store.people.forget(person.session_number)
    for session in store.sessions.waiting():
        store.erase_call(session.session_id)
    return house


def create(served, workflow_id="onboarding", **more):
    answer = served.call("POST", "/v3/session/", "device", json={"workflow_id": workflow_id, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def page(served, made, path, **files):
    address = f"/session/{made['session_token']}/{path}/"
    return served.call("POST", address, files={name: ("a.jpg", content) for name, content in files.items()} or None)


def begun(served, workflow_id="onboarding", **more):
    made = create(served, workflow_id, **more)
    assert page(served, made, "begin").json()["status"] == "In Progress"
    return made


def decided(served, made):
    return served.call("GET", f"/v3/session/{made['session_id']}/decision/", "device").json()


def onboard(served, made, selfie=PERSON, front=PERSON, **more):
    first = page(served, made, "selfie", user_image=selfie)
    assert first.json()["next"] == "document", first.text
    return page(served, made, "document", front_image=front, **more)


def of_person(served, **details):
    template = networks().analyse(read(PERSON_FILE)).template
    assert template is not None
    return served.device.store.people.enrol(Enrolment([template], Details(**details)))


# ---- made


def test_a_session_is_made_as_the_sdk_models_it(served):
    made = create(served, vendor_data="user-1", callback="https://app.example/done", metadata={"a": 1}, language="de")

    assert made["url"] == f"{served.url}/session/{made['session_token']}"
    assert len(made["session_token"]) >= 43  # 256 bits
    assert (made["status"], made["workflow_id"], made["vendor_data"]) == ("Not Started", "onboarding", "user-1")
    assert (made["callback"], made["metadata"]) == ("https://app.example/done", {"a": 1})
    so_far = decided(served, made)
    assert (so_far["status"], so_far["session_number"]) == ("Not Started", made["session_number"])
    assert so_far["liveness_checks"] == so_far["face_matches"] == so_far["id_verifications"] == []
    listed = served.call("GET", "/v3/sessions/?vendor_data=user-1&status=Not Started,Expired", "device").json()
    assert (listed["count"], listed["results"][0]["session_id"]) == (1, made["session_id"])
    assert served.call("GET", "/v3/sessions/?status=Approved", "device").json()["count"] == 0
    assert "session_token" not in json.dumps(so_far) + json.dumps(listed)  # whoever may read it may not take it


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "workflow_id"),
        ({"workflow_id": "another"}, "workflow_id"),
        ({"workflow_id": "selfie", "callback": "javascript:alert(1)"}, "callback"),
        ({"workflow_id": "selfie", "callback": "nowhere"}, "callback"),
        ({"workflow_id": "selfie", "callback_method": "nobody"}, "callback_method"),
        ({"workflow_id": "selfie", "metadata": [1]}, "metadata"),
        ({"workflow_id": "selfie", "vendor_data": "x" * 1001}, "vendor_data"),
        ({"workflow_id": "selfie", "expected_details": "Person A"}, "expected_details"),
        ({"workflow_id": "selfie", "expected_details": {"first_name": []}}, "expected_details"),
        ({"workflow_id": "selfie", "portrait_image": {}}, "portrait_image"),
        ({"workflow_id": "returning"}, "portrait_image"),
        ({"workflow_id": "returning", "portrait_image": "https://elsewhere.example/a.jpg"}, "portrait_image"),
        ({"workflow_id": "returning", "portrait_image": "bm8gcGljdHVyZQ=="}, "portrait_image"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_by_field(served, body, field):
    answer = served.call("POST", "/v3/session/", "device", json=body)

    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert served.device.store.sessions.count() == 0


def test_what_is_not_served_is_passed_over(served):
    made = create(served, "selfie", contact_details={"email": "a@b.example"}, sandbox_scenario="approve", another=1)

    assert decided(served, made)["status"] == "Not Started"


def test_without_a_reader_of_documents_no_session_with_that_step_is_made_and_others_are(tmp_path):
    with serving(tmp_path / "state", config=configured()) as served:
        refused = served.call("POST", "/v3/session/", "device", json={"workflow_id": "onboarding"})
        workflows = {one["uuid"]: one for one in served.call("GET", "/v3/workflows/", "device").json()}

        assert refused.json() == {"workflow_id": ["document step not available: model not installed"]}
        assert create(served, "selfie")["status"] == "Not Started"
        assert not workflows["onboarding"]["is_available"]
        assert workflows["selfie"]["is_available"]


def test_more_sessions_than_may_wait_are_refused(tmp_path):
    few = replace(SETTINGS, most_open=1)
    with serving(tmp_path / "state", config=replace(Config(), sessions=few)) as served:
        create(served, "selfie")

        assert served.call("POST", "/v3/session/", "device", json={"workflow_id": "selfie"}).status_code == 409


# ---- taken


def test_a_back_that_nobody_chose_in_the_form_is_none(served, reader):
    made = begun(served)
    assert page(served, made, "selfie", user_image=PERSON).json()["next"] == "document"
    body = b"".join(
        b'--mark\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n' % part
        for part in ((b"front_image", b"a.jpg", PERSON), (b"back_image", b"", b""))
    )

    kind = {"content-type": "multipart/form-data; boundary=mark"}
    address = f"/session/{made['session_token']}/document/"
    answer = served.call("POST", address, content=body + b"--mark--\r\n", headers=kind)

    assert answer.json()["status"] == "Approved"
    assert reader.backs == [None]


def test_the_onboarding_ends_approved_with_a_block_for_each_step(served, reader):
    made = begun(served, vendor_data="user-1")

    end = onboard(served, made, back_image=PRINT).json()

    assert (end["status"], end["next"], end["reason"]) == ("Approved", None, None)
    found = decided(served, made)
    assert found["status"] == "Approved"
    assert found["features"] == ["LIVENESS", "FACE_SEARCH", "ID_VERIFICATION", "FACE_MATCH"]
    assert found["session_number"] == made["session_number"]
    assert [found[name][0]["status"] for name in ("liveness_checks", "face_searches", "id_verifications")] == (
        ["Approved"] * 3
    )
    assert (found["face_matches"][0]["score"], found["face_matches"][0]["node_id"]) == (100, "feature_face_match")
    assert found["liveness_checks"][0]["matches"] == []
    assert found["id_verifications"][0]["document_number"] == SPECIMEN["document_number"]
    assert found["id_verifications"][0]["portrait_image"] is None  # no picture is kept
    assert reader.backs == [PRINT]
    assert served.device.store.people.subjects().total == 0
    listed = served.call("GET", "/v3/sessions/?status=Approved&vendor_data=user-1", "device").json()
    assert [one["session_id"] for one in listed["results"]] == [made["session_id"]]


def test_another_persons_document_declines(served):
    made = begun(served)

    assert onboard(served, made, front=B1).json()["status"] == "Declined"
    found = decided(served, made)
    assert found["status"] == "Declined"
    assert [one["risk"] for one in found["face_matches"][0]["warnings"]] == ["LOW_FACE_MATCH_SIMILARITY"]


def test_a_document_without_a_portrait_declines(served, reader):
    reader.has_portrait = False
    made = begun(served)

    assert onboard(served, made).json()["status"] == "Declined"
    assert "NO_REFERENCE_IMAGE" in [one["risk"] for one in decided(served, made)["face_matches"][0]["warnings"]]


def test_a_print_may_be_tried_again_and_ends_declined_after_the_last_attempt(served):
    made = begun(served)

    first = page(served, made, "selfie", user_image=PRINT).json()
    second = page(served, made, "selfie", user_image=PRINT).json()

    assert (first["status"], first["next"], first["attempts_left"]) == ("In Progress", "selfie", 1)
    assert first["reason"] == "LOW_LIVENESS_SCORE"
    assert (second["status"], second["next"]) == ("Declined", None)
    found = decided(served, made)
    assert found["liveness_checks"][0]["status"] == "Declined"
    assert found["face_matches"] == found["id_verifications"] == []


def test_a_failed_attempt_does_not_stand_in_the_way_of_the_next(served):
    made = begun(served, "selfie")

    page(served, made, "selfie", user_image=PRINT)

    assert page(served, made, "selfie", user_image=PERSON).json()["status"] == "Approved"


def test_somebody_known_goes_to_review_and_an_operator_decides(served):
    known = of_person(served, name="Person A", vendor_data="user-0")
    made = begun(served, vendor_data="user-1")

    assert onboard(served, made).json()["status"] == "In Review"
    found = decided(served, made)
    assert found["liveness_checks"][0]["matches"][0]["session_id"] == known.session_id
    address = f"/v3/session/{made['session_id']}/update-status/"
    assert served.call("PATCH", address, "device", json={"new_status": "Approved"}).status_code == 403
    served.call("PATCH", address, "operator", json={"new_status": "Approved", "comment": "twins"})
    assert decided(served, made)["status"] == "Approved"
    waiting = served.call("GET", "/device/reviews", "operator").json()
    assert made["session_id"] not in json.dumps(waiting)


def test_somebody_blocked_is_declined_at_once_and_not_asked_again(served):
    number = of_person(served).session_number
    served.device.store.people.block(number)
    made = begun(served)

    end = page(served, made, "selfie", user_image=PERSON).json()

    assert (end["status"], end["next"]) == ("Declined", None)
    assert end["reason"] is None  # whom it concerns is not told why
    assert "FACE_IN_BLOCKLIST" in [one["risk"] for one in decided(served, made)["liveness_checks"][0]["warnings"]]


def test_an_unreadable_document_may_be_tried_again(served, reader):
    reader.answers = [None, SPECIMEN]
    made = begun(served)

    first = onboard(served, made).json()
    second = page(served, made, "document", front_image=PERSON).json()

    assert (first["next"], first["reason"]) == ("document", "COULD_NOT_RECOGNIZE_DOCUMENT")
    assert second["status"] == "Approved"


@pytest.mark.parametrize(
    ("expected", "status"),
    [
        ({"first_name": "Person", "last_name": "a", "identification_number": "specimen-00123"}, "Approved"),
        ({"first_name": "Person", "last_name": "B"}, "In Review"),
        ({"nationality": "UTO"}, "In Review"),  # the document does not say
    ],
)
def test_a_document_that_says_otherwise_than_expected_goes_to_review(served, expected, status):
    made = begun(served, expected_details=expected)

    assert onboard(served, made).json()["status"] == status
    risks = [one["risk"] for one in decided(served, made)["warnings"]]
    assert risks == ([] if status == "Approved" else ["EXPECTED_DETAILS_MISMATCH"])


def test_a_portrait_given_by_the_caller_is_compared_with(served):
    own = begun(served, "returning", portrait_image=base64.b64encode(PERSON).decode())
    other = begun(served, "returning", portrait_image="data:image/jpeg;base64," + base64.b64encode(B1).decode())

    assert page(served, own, "selfie", user_image=PERSON).json()["status"] == "Approved"
    assert page(served, other, "selfie", user_image=PERSON).json()["status"] == "Declined"


def test_a_workflow_may_ask_for_an_age(served):
    made = begun(served, "grown-up")

    assert page(served, made, "selfie", user_image=PERSON).json()["status"] == "Approved"
    assert decided(served, made)["liveness_checks"][0]["age_estimation"] > 18


# ---- closed where anything is missing


def test_nothing_is_taken_before_the_person_agreed_or_out_of_order(served):
    made = create(served)

    early = page(served, made, "selfie", user_image=PERSON)
    page(served, made, "begin")
    wrong = page(served, made, "document", front_image=PERSON)

    assert (early.status_code, wrong.status_code) == (409, 409)
    assert decided(served, made)["status"] == "In Progress"


def test_a_session_that_is_over_takes_nothing_more(served):
    made = begun(served, "selfie")
    page(served, made, "selfie", user_image=PERSON)

    assert page(served, made, "selfie", user_image=PRINT).status_code == 409
    assert page(served, made, "begin").status_code == 409
    assert decided(served, made)["status"] == "Approved"


def test_networks_that_fail_leave_the_session_open_and_cost_no_attempt(tmp_path):
    detector = ScriptedDetector()
    detector.fault = "liveness.onnx: the digest differs"
    with serving(tmp_path / "state", config=configured(), detector=detector) as served:
        made = begun(served, "selfie")

        failed = page(served, made, "selfie", user_image=PERSON)

        assert failed.status_code == 503
        state = served.call("GET", f"/session/{made['session_token']}/state/").json()
        assert (state["status"], state["attempts_left"], state["keeps_face"]) == ("In Progress", 2, False)


def test_a_reader_that_fails_leaves_the_session_open(served, reader):
    reader.fault = "ocr.onnx: the digest differs"
    made = begun(served)

    assert onboard(served, made).status_code == 503
    assert decided(served, made)["status"] == "In Progress"


def test_what_is_no_picture_costs_no_attempt(served):
    made = begun(served, "selfie")

    answer = page(served, made, "selfie", user_image=b"no picture")

    assert (answer.status_code, list(answer.json())) == (400, ["user_image"])
    assert served.call("GET", f"/session/{made['session_token']}/state/").json()["attempts_left"] == 2


def test_no_face_is_told_as_the_reason(served):
    wall = cv2.imencode(".png", np.full((200, 200, 3), 90, np.uint8))[1].tobytes()
    made = begun(served, "selfie")

    assert page(served, made, "selfie", user_image=wall).json()["reason"] == "NO_FACE_DETECTED"


def test_a_link_that_has_expired_opens_nothing_and_its_session_ends_expired(served):
    made = begun(served, vendor_data="user-1")
    page(served, made, "selfie", user_image=PERSON)
    served.wall.advance(24 * 3600.0)

    late = page(served, made, "document", front_image=PERSON)
    served.application.context.sessions.expire()

    assert late.status_code == 404
    found = decided(served, made)
    assert (found["status"], found["id_verifications"]) == ("Expired", [])
    assert found["liveness_checks"][0]["status"] == "Approved"
    assert served.device.store.sessions.by_id(made["session_id"]) is None


def test_of_two_devices_that_send_the_same_step_one_is_refused(served):
    made = begun(served, "selfie")
    sessions = served.application.context.sessions
    seen = sessions.find(made["session_token"])

    sessions.take_selfie(seen, PRINT)

    with pytest.raises(Exception, match="went on elsewhere"):
        sessions.take_selfie(seen, PERSON)


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 5000, "%00", "..%2f"])
def test_a_token_that_is_none_finds_nothing(served, token):
    create(served)

    assert served.call("GET", f"/session/{token}/state/").status_code == 404
    assert served.call("GET", f"/session/{token}/code.svg").status_code == 404


def test_a_token_opens_its_own_session_and_no_call_of_the_api(served):
    made, other = begun(served, "selfie"), create(served, "selfie")
    token = made["session_token"]

    page(served, made, "selfie", user_image=PERSON)

    assert decided(served, other)["status"] == "Not Started"
    for address in (f"/v3/session/{made['session_id']}/decision/", "/v3/sessions/"):
        answer = served.call("GET", address, headers={"x-api-key": token})
        assert answer.status_code == 401


# ---- kept, sealed, erased


def test_no_name_no_token_and_no_template_lies_in_the_files(served):
    made = begun(served, vendor_data="user-of-secret-name", metadata={"note": "of-secret-name"})
    page(served, made, "selfie", user_image=PERSON)

    lying = b"".join(path.read_bytes() for path in served.device.store.directory.rglob("*") if path.is_file())
    assert b"of-secret-name" not in lying
    assert made["session_token"].encode() not in lying


def test_a_session_that_ended_keeps_no_template_and_is_deleted_by_an_operator_alone(served):
    made = begun(served, vendor_data="user-1")
    onboard(served, made)
    left = served.device.store.sessions.by_id(made["session_id"])
    assert left is not None
    assert (left.content["face"], left.content["results"], left.content["vendor_data"]) == (None, {}, None)
    address = f"/v3/session/{made['session_id']}/delete/"

    assert served.call("DELETE", address, "device").status_code == 403
    assert served.call("DELETE", address, "operator").status_code == 204
    assert served.call("DELETE", address, "operator").status_code == 404
    assert served.call("GET", f"/v3/session/{made['session_id']}/decision/", "device").status_code == 404
    assert served.call("GET", f"/session/{made['session_token']}/state/").status_code == 404
    log = served.device.store.decisions(DecisionFilter(kinds=(Kind.SESSION,)))
    assert log.decisions[0].answer is None  # status and score stay
    assert served.device.store.verify_log().faults == ()


def test_an_open_session_is_deleted_too(served):
    made = begun(served, vendor_data="user-1")
    page(served, made, "selfie", user_image=PERSON)

    assert served.call("DELETE", f"/v3/session/{made['session_id']}/delete/", "operator").status_code == 204
    assert page(served, made, "document", front_image=PERSON).status_code == 404


def test_an_operator_does_not_decide_about_a_session_that_is_not_over(served):
    made = begun(served)

    answer = served.call(
        "PATCH", f"/v3/session/{made['session_id']}/update-status/", "operator", json={"new_status": "Approved"}
    )

    assert answer.status_code == 409
    assert decided(served, made)["status"] == "In Progress"


def test_whoever_is_forgotten_leaves_no_open_session_and_no_answer(served):
    person = of_person(served, vendor_data="user-1")
    started, ended = begun(served, vendor_data="user-1"), begun(served, vendor_data="user-2")
    onboard(served, ended)

    served.device.store.people.forget(person.session_number)

    assert served.call("GET", f"/session/{started['session_token']}/state/").status_code == 404
    log = served.device.store.decisions(DecisionFilter(request_id=ended["session_id"], kinds=(Kind.SESSION,)))
    assert log.decisions[0].answer is None  # it named the person


def test_where_calls_become_sessions_an_approved_session_is_found_later_with_its_documents_details(tmp_path, reader):
    config = configured(store=StoreSettings(keep_calls=True))
    with serving(tmp_path / "state", config=config, read_document=reader) as served:
        made = begun(served, vendor_data="user-1")
        state = served.call("GET", f"/session/{made['session_token']}/state/").json()
        onboard(served, made)

        answer = served.call("POST", "/v3/face-search/", "device", files={"user_image": PERSON}).json()

        (row,) = answer["face_search"]["matches"]
        assert (row["session_id"], row["vendor_data"]) == (made["session_id"], "user-1")
        assert row["user_details"] == {
            "name": "PERSON A",
            "document_type": "Identity Card",
            "document_number": "***123",
        }
        opened = served.call("GET", f"/v3/session/{row['session_id']}/decision/", "device").json()
        assert opened["session_number"] == row["session_number"]
        assert state["keeps_face"] is True  # who agrees is told so


def test_a_code_leads_a_telephone_to_the_page(served):
    made = create(served)

    code = served.call("GET", f"/session/{made['session_token']}/code.svg")

    assert code.headers["content-type"].startswith("image/svg+xml")
    assert code.text.startswith("<?xml")

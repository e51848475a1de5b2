"""Facts about approved calls that become sessions: Didit's registration recipe runs with Didit's calls alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from kiosk.settings.config import Config
from kiosk.settings.sections import StoreSettings
from tests.api.served import A1, A2, B1, C1, match_files, serving


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state", config=Config(store=StoreSettings(keep_calls=True, keep_images=True))) as served:
        yield served


def searched(served, photograph, **data):
    answer = served.call("POST", "/v3/face-search/", "device", files={"user_image": photograph}, data=data)
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(served, session_id):
    return served.call("GET", f"/v3/session/{session_id}/decision/", "device").json()


def test_the_seeds_registration_finds_a_second_account_of_one_person(served):
    first = searched(served, A1, vendor_data="user-1")
    other = searched(served, B1, vendor_data="user-2")
    again = searched(served, A2, vendor_data="user-3")

    assert [one["face_search"]["total_matches"] for one in (first, other, again)] == [0, 0, 1]
    (row,) = again["face_search"]["matches"]
    assert (row["session_id"], row["vendor_data"], row["status"]) == (first["request_id"], "user-1", "Approved")
    assert row["source"] == "session"
    assert again["face_search"]["status"] == "In Review"
    session = shown(served, row["session_id"])
    assert (session["session_number"], session["face_search"]) == (row["session_number"], first["face_search"])
    assert served.call("GET", row["match_image_url"]).content == A1


def test_an_approved_match_becomes_a_session_once(served):
    for _ in range(2):
        served.call("POST", "/v3/face-match/", "device", files=match_files(A1, A2), data={"vendor_data": "user-1"})

    assert served.device.store.people.subjects().total == 1
    assert searched(served, A2)["face_search"]["total_matches"] == 1


def test_two_calls_at_once_with_one_face_are_one_session(served):
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda photograph: searched(served, photograph), (A1, A2)))

    assert served.device.store.people.subjects().total == 1


@pytest.mark.parametrize(
    ("path", "files", "data"),
    [
        pytest.param("/v3/face-search/", {"user_image": A1}, {"save_api_request": "false"}, id="a call not saved"),
        pytest.param("/v3/face-match/", match_files(A1, B1), {}, id="a match declined"),
        pytest.param("/v3/passive-liveness/", {"user_image": A1}, {}, id="liveness"),
    ],
)
def test_other_calls_become_none(served, path, files, data):
    threshold = {"face_match_score_decline_threshold": "60"} if "match" in path else {}
    assert served.call("POST", path, "device", files=files, data={**data, **threshold}).status_code == 200

    assert served.device.store.people.subjects().total == 0


def test_by_default_no_call_becomes_one(tmp_path):
    with serving(tmp_path / "state") as served:
        searched(served, A1)

        assert searched(served, A2)["face_search"]["total_matches"] == 0


def test_a_session_follows_the_status_that_its_call_is_given(served):
    first = searched(served, C1)
    path = f"/v3/session/{first['request_id']}/update-status/"

    answer = served.call("PATCH", path, "operator", json={"new_status": "Declined"})

    assert answer.status_code == 200
    assert shown(served, first["request_id"])["status"] == "Declined"
    assert searched(served, C1)["face_search"]["matches"][0]["status"] == "Declined"


def test_a_session_is_blocked_by_its_call_and_forgotten_with_it(served):
    first = searched(served, A1, vendor_data="user-1")
    session_id = first["request_id"]
    body = {"session_id": session_id, "blocklist_face": True}

    assert served.call("POST", "/v3/blocklist/add/", "operator", json=body).status_code == 200
    assert searched(served, A2)["face_search"]["status"] == "Declined"
    deleted = served.call("DELETE", f"/v3/session/{session_id}/delete/", "operator")

    assert deleted.json()["receipt"]["session_id"] == session_id
    assert shown(served, session_id) == {"detail": "Not found."}
    listed = served.call("GET", "/v3/sessions/?vendor_data=user-1", "device").json()
    assert listed["count"] == 0
    assert searched(served, A2)["face_search"]["total_matches"] == 0


def test_a_session_is_kept_as_long_as_an_enrolment(served):
    searched(served, A1)

    served.wall.advance(1096 * 86400)
    receipts = served.device.store.people.sweep()

    assert [one.is_complete for one in receipts] == [True]
    assert served.device.store.people.subjects().total == 0

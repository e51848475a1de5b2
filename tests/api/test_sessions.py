"""Facts about sessions: each id opens, each number means one, operators change and erase them, devices do not."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from kiosk.cloud.credentials import API_KEY, Credentials
from kiosk.cloud.policy import Policy
from kiosk.cloud.sync import Sync
from kiosk.device.enrol import enrol_person
from kiosk.settings.config import Config
from kiosk.settings.network import CloudSettings
from kiosk.settings.sections import SearchSettings
from kiosk.store.chain import receipt_holds
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fake_cloud import FakeCloud
from tests.api.served import A1, A2, B1, match_files, serving
from tests.cloud.cloudy import QUICK, drain

NOT_FOUND = {"detail": "Not found."}
REFUSED = {"detail": "You do not have permission to perform this action."}


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state", config=Config(search=SearchSettings(allow_multiple_faces=True))) as served:
        yield served


def matched(served, user=A1, reference=A2, **data):
    answer = served.call("POST", "/v3/face-match/", "device", files=match_files(user, reference), data=data)
    assert answer.status_code == 200, answer.text
    return answer.json()


def searched(served, photograph=A2):
    return served.call("POST", "/v3/face-search/", "device", files={"user_image": photograph}).json()


def known(served, photograph=A1, **more):
    details = Details(name="Person A", document_number="AB123456", vendor_data="user-1")
    return enrol_person(served.device, [photograph], Enrolment(templates=(), details=details, **more)).subject


def shown(served, session_id):
    return served.call("GET", f"/v3/session/{session_id}/decision/", "device")


def listed(served, query=""):
    return served.call("GET", f"/v3/sessions/{query}", "device").json()


def judged(served, session_id, status, role="operator", **more):
    return served.call("PATCH", f"/v3/session/{session_id}/update-status/", role, json={"new_status": status, **more})


def deleted(served, session_id, role="operator"):
    return served.call("DELETE", f"/v3/session/{session_id}/delete/", role)


# ---- what a match names


def test_the_session_of_a_match_opens_and_shows_what_the_match_shows(served):
    known(served)
    row = searched(served)["face_search"]["matches"][0]

    session = shown(served, row["session_id"]).json()

    for name in ("session_id", "session_number", "vendor_data", "user_details", "status", "is_blocklisted", "source"):
        assert session[name] == row[name]
    assert session["created_at"] == row["verification_date"]
    assert session["user_details"]["document_number"] == "***456"


@pytest.mark.parametrize("text", ["1", "user-1", "AB123456"])
def test_a_session_opens_by_its_id_and_by_nothing_else_that_finds_a_person(served, text):
    known(served)

    assert shown(served, text).json() == NOT_FOUND


def test_no_session_number_means_both_a_person_and_a_call(served):
    people = {known(served).session_number, known(served, B1).session_number}

    calls = {shown(served, searched(served)["request_id"]).json()["session_number"] for _ in range(5)}
    calls |= {one["session_number"] for one in listed(served)["results"]}

    assert len(calls) == 5
    assert not people & calls
    assert max(calls) < 2**31


def test_a_saved_search_has_its_matches_where_didits_sessions_have_them(served):
    known(served)
    given = searched(served)

    session = shown(served, given["request_id"]).json()

    assert session["features"] == ["FACE_SEARCH"]
    assert session["liveness_checks"][0]["matches"] == given["face_search"]["matches"]
    assert session["face_searches"] == [given["face_search"]]


def test_a_call_has_one_time_in_its_answer_in_the_list_and_alone(served):
    served.wall.advance(0.123456)

    given = matched(served)

    assert listed(served)["results"][0]["created_at"] == given["created_at"]
    assert shown(served, given["request_id"]).json()["created_at"] == given["created_at"]
    assert given["created_at"].endswith(".123456Z")


# ---- another status


def test_the_filter_goes_by_the_status_that_is_shown(served):
    given = matched(served)
    other = matched(served, A1, B1, face_match_score_decline_threshold="50")
    judged(served, given["request_id"], "Declined")

    declined, approved = listed(served, "?status=Declined"), listed(served, "?status=Approved")

    assert {one["session_id"] for one in declined["results"]} == {given["request_id"], other["request_id"]}
    assert {one["status"] for one in declined["results"]} == {"Declined"}
    assert approved["count"] == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("Approved,Declined", 2, id="two"),
        pytest.param(" Approved , Declined ,", 2, id="with blanks"),
        pytest.param("Approved,Expired", 1, id="one that no call has"),
        pytest.param("Anything", 0, id="no status at all"),
        pytest.param("approved", 0, id="another spelling"),
        pytest.param("", 2, id="blank"),
        pytest.param(",", 2, id="a comma"),
    ],
)
def test_the_status_filter_takes_a_list_and_unknown_values_match_nothing(served, text, count):
    matched(served)
    matched(served, A1, B1, face_match_score_decline_threshold="50")

    assert listed(served, f"?status={text}")["count"] == count


def test_a_session_gets_another_status_with_who_said_so_and_why(served):
    given = matched(served)

    answer = judged(served, given["request_id"], "Declined", comment="A photograph of a photograph")

    session = shown(served, given["request_id"]).json()
    assert (answer.status_code, answer.json()) == (200, {"session_id": given["request_id"]})
    assert session["status"] == "Declined"
    assert session["face_match"] == given["face_match"]
    assert session["reviews"][0]["comment"] == "A photograph of a photograph"
    assert session["reviews"][0]["user"] == served.accounts["operator"].id
    assert served.device.store.verify_log().is_intact


def test_the_same_status_again_is_refused_in_the_contracts_words(served):
    given = matched(served)
    judged(served, given["request_id"], "Resubmitted")

    again = judged(served, given["request_id"], "Resubmitted")
    first = judged(served, matched(served)["request_id"], "Approved")

    for answer in (again, first):
        assert (answer.status_code, answer.json()) == (400, ["The new status is the same as the current status."])


def test_a_session_that_is_sent_back_is_shown_and_found_as_such(served):
    given = matched(served)

    judged(served, given["request_id"], "Resubmitted", comment=" ")

    assert shown(served, given["request_id"]).json()["reviews"][0]["comment"] is None
    assert listed(served, "?status=Resubmitted")["count"] == 1


def test_an_enrolment_gets_another_status_and_keeps_the_comment_until_it_is_forgotten(served):
    person = known(served)

    answer = judged(served, person.session_id, "Declined", comment="Left the company")

    session = shown(served, person.session_id).json()
    assert (answer.status_code, session["status"]) == (200, "Declined")
    assert session["reviews"][0]["comment"] == "Left the company"
    assert judged(served, person.session_id, "Resubmitted").status_code == 400
    assert searched(served)["face_search"]["matches"][0]["status"] == "Declined"
    served.device.store.people.forget(person.session_number)
    assert served.device.store.log.review_of(person.session_id).answer is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "new_status", id="nothing"),
        pytest.param({"new_status": ""}, "new_status", id="blank"),
        pytest.param({"new_status": "In Review"}, "new_status", id="a status that no operator gives"),
        pytest.param({"new_status": ["Approved"]}, "new_status", id="a list"),
        pytest.param({"new_status": "Declined", "comment": 1}, "comment", id="a number as comment"),
        pytest.param({"new_status": "Declined", "comment": "x" * 1001}, "comment", id="a comment too long"),
    ],
)
def test_a_status_that_is_none_is_refused_by_field(served, body, field):
    session_id = matched(served)["request_id"]

    answer = served.call("PATCH", f"/v3/session/{session_id}/update-status/", "operator", json=body)

    assert (answer.status_code, list(answer.json())) == (400, [field])


# ---- erased


def stored(directory):
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file())


def test_a_deleted_call_is_gone_and_nothing_of_its_answer_stays_on_the_disk(served):
    given = matched(served, vendor_data="user-7")
    judged(served, given["request_id"], "Declined", comment="Person A again")
    store = served.device.store
    with store.database.read() as connection:
        sealed = [row for (row,) in connection.execute("SELECT sealed FROM log_private")]

    answer = deleted(served, given["request_id"])

    assert (answer.status_code, answer.content) == (204, b"")
    assert deleted(served, given["request_id"]).json() == NOT_FOUND
    assert shown(served, given["request_id"]).json() == NOT_FOUND
    assert judged(served, given["request_id"], "Approved").json() == NOT_FOUND
    assert (listed(served)["count"], listed(served, "?vendor_data=user-7")["count"]) == (0, 0)
    content = stored(store.directory)
    assert len(sealed) == 2
    assert not any(one[:16] in content for one in sealed)
    assert store.verify_log().is_intact


def test_a_deleted_enrolment_is_forgotten_with_a_receipt_that_holds(served):
    person = known(served)

    answer = deleted(served, person.session_id)

    body = answer.json()
    assert answer.status_code == 200
    assert body["receipt"]["session_id"] == person.session_id
    assert receipt_holds(answer.text, bytes.fromhex(body["receipt"]["public_key"]))
    assert searched(served)["face_search"]["matches"] == []
    assert deleted(served, person.session_id).json() == NOT_FOUND


# ---- the blocklist


def test_a_person_is_blocked_by_the_session_of_a_match_listed_and_unblocked(served):
    known(served)
    session_id = searched(served)["face_search"]["matches"][0]["session_id"]
    add = {"session_id": session_id, "blocklist_face": True}

    blocked = served.call("POST", "/v3/blocklist/add/", "operator", json=add)
    while_blocked = searched(served)["face_search"]
    items = served.call("GET", "/v3/blocklist/?item_type=face", "operator").json()
    remove = {"session_id": session_id, "unblock_face": True}
    unblocked = served.call("POST", "/v3/blocklist/remove/", "operator", json=remove)

    assert blocked.json() == unblocked.json() == {"message": "Successfully updated blocklist."}
    assert while_blocked["status"] == "Declined"
    assert while_blocked["warnings"][0]["risk"] == "FACE_IN_BLOCKLIST"
    assert [one["session_id"] for one in items["results"]] == [session_id]
    assert served.call("GET", "/v3/blocklist/", "operator").json()["count"] == 0


def test_the_blocklist_is_read_in_pages(served):
    for photograph in (A1, B1):
        known(served, photograph, is_blocklisted=True)

    with served.client("operator") as client:
        page = client.get("/v3/blocklist/?item_type=face&limit=1").json()
        rest = client.get(page["next"]).json()

    found = [one["session_number"] for one in (*page["results"], *rest["results"])]
    assert (page["count"], found, rest["next"]) == (2, [1, 2], None)


def test_a_kind_of_item_that_is_not_served_lists_nothing(served):
    known(served, is_blocklisted=True)

    assert served.call("GET", "/v3/blocklist/?item_type=document", "operator").json()["count"] == 0


@pytest.mark.parametrize("path", ["/v3/blocklist/add/", "/v3/blocklist/remove/"])
def test_what_cannot_be_blocked_is_said_by_field(served, path):
    flag = "blocklist_face" if "add" in path else "unblock_face"
    call, person = matched(served)["request_id"], known(served).session_id

    def asked(body):
        answer = served.call("POST", path, "operator", json=body)
        return answer.status_code, list(answer.json())

    assert asked({}) == (400, ["session_id", flag])
    assert asked({"session_id": person, flag: False}) == (400, [flag])
    assert asked({"session_id": call, flag: True}) == (400, ["session_id"])
    assert asked({"session_id": str(uuid.uuid4()), flag: True}) == (404, ["detail"])


# ---- who may


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v3/session/{id}/update-status/"),
        ("DELETE", "/v3/session/{id}/delete/"),
        ("POST", "/v3/blocklist/add/"),
        ("POST", "/v3/blocklist/remove/"),
        ("GET", "/v3/blocklist/?item_type=face"),
    ],
)
def test_a_devices_key_neither_changes_nor_erases_nor_blocks(served, method, path):
    person = known(served)
    body = {"new_status": "Declined", "session_id": person.session_id, "blocklist_face": True, "unblock_face": True}
    options = {} if method == "GET" else {"content": json.dumps(body), "headers": {"content-type": "application/json"}}

    answer = served.call(method, path.format(id=person.session_id), "device", **options)

    assert (answer.status_code, answer.json()) == (403, REFUSED)
    assert served.call(method, path.format(id=person.session_id), **options).status_code == 401
    assert served.device.store.people.subject(person.session_number) == person
    assert served.call(method, path.format(id=person.session_id), "admin", **options).status_code == 200


# ---- the balance


def test_the_balance_is_the_cloud_accounts_where_one_is_set_up(tmp_path):
    with FakeCloud(credits_="12.50") as fake, serving(tmp_path / "state") as served:
        assert served.call("GET", "/v3/billing/balance/", "device").status_code == 404
        Credentials(served.device.store).write(API_KEY, fake.api_key)
        settings = CloudSettings(base_url=fake.url, policy="replay")
        syncing = Sync(served.device, settings, now=served.wall)
        served.application.context.cloud = syncing.view
        try:
            answer = served.call("GET", "/v3/billing/balance/", "device")
            fake.fail("500", path="/v3/billing/")
            away = served.call("GET", "/v3/billing/balance/", "device")
        finally:
            syncing.close()

    assert Decimal(answer.json()["balance"]) == Decimal("12.5")
    assert (away.status_code, list(away.json())) == (503, ["detail"])


# ---- up to the cloud


@pytest.mark.parametrize("fault", ["reset", "done-reset", "500"])
def test_reviews_made_by_either_call_arrive_at_didit_once_each(tmp_path, fault):
    with FakeCloud() as fake, serving(tmp_path / "state") as served:
        device = served.device
        settings = CloudSettings(base_url=fake.url, policy="replay", api_consent="owner", send_reviews=True)
        device.config = replace(
            device.config,
            cloud=settings,
            match=replace(device.config.match, review_threshold=100, decline_threshold=30),
        )
        device.outgoing = Policy(device.store, settings, now=served.wall)
        Credentials(device.store).write(API_KEY, fake.api_key)
        fake.fail(fault, path="/v3/session/")
        first, second = matched(served)["request_id"], matched(served)["request_id"]

        on_page = served.call(
            "POST", f"/device/reviews/{first}", "operator", json={"decision": "approve", "reason": "Known to me"}
        )
        by_didits = judged(served, second, "Approved", comment="Known to me")
        began = time.monotonic()  # the server's own clock stands; what sends must see its pauses pass
        syncing = Sync(device, settings, now=lambda: served.wall() + time.monotonic() - began, pace=QUICK)
        drain(syncing, within_s=60.0)
        syncing.close()
        rows = served.device.store.outbox.rows()

    assert (on_page.status_code, by_didits.status_code) == (200, 200)
    by_id = {one.id: (one.metadata or {})["request_id"] for one in fake.sessions}
    assert sorted(by_id[session] for session, *_ in fake.reviews) == sorted([first, second])
    assert {row.state.value for row in rows} == {"sent"}
    assert sorted(row.policy for row in rows) == ["replay", "replay", "review", "review"]

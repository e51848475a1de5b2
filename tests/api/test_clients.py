"""Facts about independent clients: the SDK from PyPI, curl, and scripts written from Didit's description."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from kiosk.device.enrol import enrol_person
from kiosk.settings.config import Config
from kiosk.settings.workflows import SessionSettings
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, serving
from tests.api.test_liveness import PERSON
from tests.conftest import GOLDEN
from tests.patience import LIMIT_S, PROCESS_S

USER, REFERENCE = str(GOLDEN / "person_a_1.jpg"), str(GOLDEN / "person_a_2.jpg")

SCRIPT = """
import json, os, sys
import httpx

BASE = os.environ["BASE"]

def post(path, files, data):
    files = {name: (name, open(file, "rb").read()) for name, file in files.items()}
    answer = httpx.post(BASE + path, headers={"x-api-key": os.environ["DIDIT_API_KEY"]}, files=files, data=data,
                        timeout=30)
    if answer.status_code != 200:
        sys.exit(f"Error: {answer.status_code} {answer.text}")
    print(json.dumps(answer.json(), indent=2))
    return answer.json()

if sys.argv[1] == "match":
    data = {"face_match_score_decline_threshold": "50", "rotate_image": "true", "vendor_data": "user-123"}
    found = post("/v3/face-match/", {"user_image": sys.argv[2], "ref_image": sys.argv[3]}, data)["face_match"]
    print(f"\\n--- Result: {found['status']} | Score: {found['score']}/100 ---")
else:
    found = post("/v3/face-search/", {"user_image": sys.argv[2]}, {"rotate_image": "true"})["face_search"]
    print(f"\\n--- {found['total_matches']} match(es) found ---")
    for row in found["matches"]:
        print(row["similarity_percentage"], row["session_number"], row["user_details"]["name"], row["is_blocklisted"])
"""


@pytest.fixture(scope="module")
def didit():
    """Give the independent client, which takes a second to load, to whoever runs these tests."""
    return pytest.importorskip("didit", reason="the independent client is not installed")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    config = replace(Config(), sessions=SessionSettings(workflows=("selfie: liveness",)))
    with serving(tmp_path_factory.mktemp("clients") / "state", config=config) as served:
        enrol_person(
            served.device, [A1], Enrolment(templates=(), details=Details(name="Person A", vendor_data="user-1"))
        )
        yield served


@pytest.fixture
def client(didit, served):
    with didit.Didit(served.keys["device"], base_url=f"{served.url}/v3", max_retries=0, timeout=LIMIT_S) as client:
        yield client


def environment(served):
    return {**os.environ, "DIDIT_API_KEY": served.keys["device"], "BASE": served.url}


def test_the_sdk_drives_a_match(client):
    files = {
        name: (name, Path(path).read_bytes(), "image/jpeg")
        for name, path in (("user_image", USER), ("ref_image", REFERENCE))
    }

    answer = client.requestor.request(
        "POST", "/face-match/", files=files, data={"face_match_score_decline_threshold": 50}
    )

    assert answer.json()["face_match"]["status"] == "Approved"


def test_the_sdk_drives_a_search(client):
    answer = client.requestor.request("POST", "/face-search/", files={"user_image": A1}, data={"rotate_image": "true"})

    assert answer.json()["face_search"]["matches"][0]["vendor_data"] == "user-1"


def test_the_sdk_reads_what_was_saved(client):
    given = client.requestor.request(
        "POST", "/face-match/", files={"user_image": A1, "ref_image": A1}, data={"vendor_data": "x"}
    ).json()

    listed = client.sessions.list(vendor_data="x")
    decision = client.sessions.get_decision(given["request_id"])

    assert given["request_id"] in [one.session_id for one in listed.results]
    assert decision.status == "Approved"
    assert decision.face_matches[0].score == given["face_match"]["score"]


def test_the_sdk_opens_whom_a_search_found(client):
    found = client.requestor.request("POST", "/face-search/", files={"user_image": A1}).json()

    row = found["face_search"]["matches"][0]
    decision = client.sessions.get_decision(row["session_id"])

    assert (decision.session_id, decision.vendor_data, decision.status.value) == (
        row["session_id"],
        "user-1",
        "Approved",
    )
    searched = client.sessions.get_decision(found["request_id"])
    assert searched.liveness_checks[0].matches[0]["session_id"] == row["session_id"]


def test_the_sdk_changes_a_status_with_an_operators_key_alone(didit, served, client):
    given = client.requestor.request("POST", "/face-match/", files={"user_image": A1, "ref_image": A1}).json()
    session_id = given["request_id"]

    with didit.Didit(served.keys["operator"], base_url=f"{served.url}/v3", max_retries=0, timeout=LIMIT_S) as operator:
        operator.sessions.update_status(session_id, "Declined", comment="A photograph of a photograph")
        with pytest.raises(didit.DiditAPIError) as again:
            operator.sessions.update_status(session_id, "Declined")
    with pytest.raises(didit.DiditAPIError) as refused:
        client.sessions.update_status(session_id, "Approved")

    assert client.sessions.get_decision(session_id).status == "Declined"
    assert session_id in [one.session_id for one in client.sessions.list(status="Declined").results]
    assert (again.value.status_code, refused.value.status_code) == (400, 403)


def test_the_sdk_makes_a_session_and_reads_it_until_it_is_over(didit, served, client):
    made = client.sessions.create(
        "user-9", workflow_id="selfie", callback="https://app.example/", callback_method="both", metadata={"a": 1}
    )
    before = client.sessions.get(made.session_id)
    listed = client.sessions.list(vendor_data="user-9", status="Not Started")
    served.call("POST", f"/session/{made.session_token}/begin/")
    served.call("POST", f"/session/{made.session_token}/selfie/", files={"user_image": PERSON})
    decision = client.sessions.get_decision(made.session_id)

    assert made.url == f"{served.url}/session/{made.session_token}"
    assert (made.status.value, made.workflow_id, made.callback) == ("Not Started", "selfie", "https://app.example/")
    assert (before.status.value, [one.session_id for one in listed.results]) == ("Not Started", [made.session_id])
    assert (decision.status.value, decision.workflow_id) == ("Approved", "selfie")
    assert decision.liveness_checks[0].status == "Approved"
    with pytest.raises(didit.DiditAPIError) as refused:
        client.sessions.create("user-9", workflow_id="of-another-kiosk")
    assert refused.value.status_code == 400


def test_the_sdk_finds_the_kiosk_healthy(client):
    assert client.healthcheck().is_healthy


def test_the_sdk_tells_a_wrong_key_and_a_wrong_field_apart(didit, served, client):
    stranger = didit.Didit("wrong", base_url=f"{served.url}/v3", max_retries=0, timeout=LIMIT_S)
    with stranger, pytest.raises(didit.DiditAuthenticationError):
        stranger.requestor.request("POST", "/face-search/", files={"user_image": A1})
    with pytest.raises(didit.DiditAPIError) as refused:
        client.requestor.request("POST", "/face-match/", files={"user_image": A1})
    assert refused.value.status_code == 400


def test_the_sdks_doctor_is_content(didit, served):  # noqa: ARG001  there must be one
    command = [
        *(sys.executable, "-c", "import sys; from didit.cli import main; sys.exit(main())"),
        "doctor",
        "--strict",
        "--json",
        "--base-url",
        f"{served.url}/v3",
    ]

    run = subprocess.run(
        command, env=environment(served), capture_output=True, text=True, timeout=PROCESS_S, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["authenticated"] is True


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_uploads_two_files(served):
    command = ["curl", "-sS", "--noproxy", "*", "-H", f"x-api-key: {served.keys['device']}"]
    command += ["-F", f"user_image=@{USER}", "-F", f"ref_image=@{REFERENCE}", f"{served.url}/v3/face-match/"]

    run = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_S, check=True)

    assert json.loads(run.stdout)["face_match"]["status"] == "Approved"


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        pytest.param(["match", USER, REFERENCE], "--- Result: Approved | Score: ", id="match_faces"),
        pytest.param(["search", REFERENCE], "1 Person A False", id="search_faces"),
    ],
)
def test_a_script_as_the_seeds_describe_it_runs_unchanged(served, arguments, last):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=environment(served),
        capture_output=True,
        text=True,
        timeout=PROCESS_S,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert last in run.stdout.splitlines()[-1]


def test_the_seeds_multipart_sample_with_types_on_its_parts(served):
    with Path(USER).open("rb") as user, Path(REFERENCE).open("rb") as reference:
        answer = httpx.post(
            f"{served.url}/v3/face-match/",
            headers={"x-api-key": served.keys["device"]},
            files={
                "user_image": ("selfie.jpg", user, "image/jpeg"),
                "ref_image": ("id_photo.jpg", reference, "image/jpeg"),
            },
            data={"face_match_score_decline_threshold": "50"},
            trust_env=False,
            timeout=30.0,
        )

    assert answer.json()["face_match"]["score"] >= 50

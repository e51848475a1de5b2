"""Facts about Didit's official MCP server, over stdio, against a real kiosk: which of its tools work, and how."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from kiosk.device.enrol import enrol_person
from kiosk.settings.config import Config
from kiosk.settings.workflows import SessionSettings
from kiosk.store.subjects import Details, Enrolment
from tests.api.node import NEEDED, NODE, installed
from tests.api.served import A1, serving
from tests.api.test_liveness import PERSON_FILE
from tests.conftest import GOLDEN
from tests.patience import PROCESS_S

pytestmark = NEEDED
USER, REFERENCE, STRANGER = (str(GOLDEN / f"person_{name}.jpg") for name in ("a_1", "a_2", "b_1"))
PERSON = str(PERSON_FILE)


class Mcp:
    """The server as a process, asked one thing after the other."""

    def __init__(self, entry: str, url: str, key: str) -> None:
        self._process = subprocess.Popen(
            [str(NODE), entry],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "DIDIT_API_BASE_URL": f"{url}/v3", "DIDIT_API_KEY": key},
        )
        self._id = 0
        hello = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        self.about = self.ask("initialize", hello)
        self._send({"method": "notifications/initialized"})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._id += 1
        self._send({"id": self._id, "method": method, "params": params})
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())["result"]
        return found

    def tool(self, name: str, **arguments: object) -> tuple[bool, str]:
        """Call a tool; return whether it worked, and what it said."""
        found = self.ask("tools/call", {"name": name, "arguments": arguments})
        return not found.get("isError", False), found["content"][0]["text"]

    def answer(self, name: str, **arguments: object):
        works, said = self.tool(name, **arguments)
        assert works, said
        return json.loads(said)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=PROCESS_S)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    config = replace(Config(), sessions=SessionSettings(workflows=("selfie: liveness",)))
    with serving(tmp_path_factory.mktemp("mcp") / "state", config=config) as served:
        enrol_person(
            served.device, [A1], Enrolment(templates=(), details=Details(name="Person A", vendor_data="user-1"))
        )
        yield served


@pytest.fixture(scope="module")
def mcp(served):
    """Give the server with an operator's key: a device's may not review or delete."""
    package = installed("@didit-protocol/mcp-server", "4.0.0")
    server = Mcp(str(package / "dist" / "index.js"), served.url, served.keys["operator"])
    yield server
    server.close()


def test_it_is_the_version_that_the_documents_name(mcp):
    assert mcp.about["serverInfo"]["version"] == "4.0.0"


def test_it_matches_searches_and_judges(mcp):
    match = mcp.answer("didit_face_match", image_1_path=USER, image_2_path=REFERENCE, vendor_data="mcp-1")
    other = mcp.answer("didit_face_match", image_1_path=USER, image_2_path=STRANGER)
    search = mcp.answer("didit_face_search", image_path=REFERENCE)
    live = mcp.answer("didit_passive_liveness", image_path=PERSON)
    age = mcp.answer("didit_age_estimation", image_path=PERSON)

    assert (match["face_match"]["status"], match["vendor_data"]) == ("Approved", "mcp-1")
    assert other["face_match"]["status"] == "Declined"
    assert search["face_search"]["matches"][0]["vendor_data"] == "user-1"
    assert live["liveness"]["status"] == "Approved"
    assert age["age_estimation"]["age_estimation"] > 18


def test_it_makes_lists_reads_reviews_and_deletes_sessions(mcp, served):
    (workflow,) = mcp.answer("didit_list_workflows")
    assert mcp.answer("didit_get_workflow", workflow_id=workflow["uuid"])["features"] == ["LIVENESS"]
    made = mcp.answer("didit_create_session", workflow_id=workflow["uuid"], vendor_data="mcp-2", metadata={"a": 1})
    token = made["session_token"]
    served.call("POST", f"/session/{token}/begin/")
    served.call("POST", f"/session/{token}/selfie/", files={"user_image": PERSON_FILE.read_bytes()})

    listed = mcp.answer("didit_list_sessions", vendor_data="mcp-2", status="Approved", limit="5")
    decided = mcp.answer("didit_get_session_decision", session_id=made["session_id"])
    mcp.answer("didit_update_session_status", session_id=made["session_id"], new_status="Declined", comment="no")
    reviewed = mcp.answer("didit_get_session_decision", session_id=made["session_id"])
    gone = mcp.answer("didit_delete_session", session_id=made["session_id"])
    works, said = mcp.tool("didit_get_session_decision", session_id=made["session_id"])

    assert [one["session_id"] for one in listed["results"]] == [made["session_id"]]
    assert (decided["status"], decided["liveness_checks"][0]["status"]) == ("Approved", "Approved")
    assert (reviewed["status"], reviewed["reviews"][0]["comment"]) == ("Declined", "no")
    assert gone == {"success": True}
    assert not works
    assert "404" in said


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("didit_get_balance", {}),  # no cloud is set up
        ("didit_list_session_reviews", {"session_id": "x"}),
        ("didit_list_lists", {}),
        ("didit_list_users", {}),
        ("didit_aml_screening", {"full_name": "Person A"}),
        ("didit_list_webhook_destinations", {}),
    ],
)
def test_what_the_kiosk_does_not_serve_is_an_error_that_says_so_and_never_a_result(mcp, tool, arguments):
    works, said = mcp.tool(tool, **arguments)

    assert not works
    assert "404" in said

"""Visitor passes over the API: who may, what is wrong, and that a code is in no list."""

import pytest

from kiosk.rules.passes import MOST_USES, read_pass
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import NOW, serving

DAY = 86400.0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("passes") / "state") as served:
        yield served


def wanted(served, **more):
    number = served.device.store.people.enrol(Enrolment((), Details(name="Person A"))).session_number
    return {"label": "a plumber", "valid_until": "2027-01-16T08:00:00Z", "session_number": number, **more}


def test_a_pass_is_issued_shown_and_revoked_by_operators(served):
    body = wanted(served, uses=2)

    made = served.call("POST", "/device/passes", "operator", json=body)
    row = made.json()
    shown, _ = read_pass(row["code"])
    again = served.call("GET", f"/device/passes/{row['pass']}", "operator").json()
    listed = served.call("GET", "/device/passes", "operator")

    assert made.status_code == 201
    assert (shown.uses, shown.valid_from, shown.valid_until) == (2, int(NOW), int(NOW + DAY))
    assert again == row
    assert row["svg"].startswith("<svg")
    assert (row["state"], row["visitor"], row["doors"]) == ("valid", "Person A", ["this door"])
    assert [one["pass"] for one in listed.json()["passes"]] == [row["pass"]]
    assert row["code"] not in listed.text
    ended = served.call("POST", f"/device/passes/{row['pass']}/revoke", "operator").json()
    assert ended["state"] == "revoked"
    acts = served.device.store.decisions(DecisionFilter(kinds=(Kind.KEY,))).decisions
    told = [one.entry.details for one in acts if str(one.entry.details.get("what", "")).startswith("pass")]
    assert [one["what"] for one in told] == ["pass_revoked", "pass_issued"]
    assert "plumber" not in str(told)


def test_devices_and_strangers_issue_nothing(served):
    body = wanted(served)

    assert served.call("POST", "/device/passes", "device", json=body).status_code == 403
    assert served.call("GET", "/device/passes", "device").status_code == 403
    assert served.call("GET", "/device/passes/00", "operator").status_code == 404
    assert served.call("POST", "/device/passes/00/revoke", "operator").status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"valid_until": None}, "valid_until"),
        ({"valid_until": "soon"}, "valid_until"),
        ({"valid_until": "2020-01-01"}, "pass"),
        ({"valid_until": "2028-01-01"}, "pass"),
        ({"valid_from": "2027-01-17"}, "pass"),
        ({"uses": -1}, "uses"),
        ({"uses": MOST_USES + 1}, "uses"),
        ({"uses": True}, "uses"),
        ({"session_number": 10**9}, "pass"),
        ({"session_number": "1"}, "session_number"),
        ({"session_number": None}, "pass"),  # the door asks for a face
        ({"label": "x" * 81}, "pass"),
        ({"label": 3}, "label"),
        ({"doors": "here"}, "doors"),
        ({"doors": ["no such door"]}, "pass"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_pass_that_cannot_be_is_refused_by_the_field(served, wrong, field):
    before = served.device.store.passes.every()

    answer = served.call("POST", "/device/passes", "operator", json=wanted(served, **wrong))

    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert served.device.store.passes.every() == before

"""A PIN over the API, and who may know of one under duress."""

import pytest

from kiosk.api.operation import MOST_ROWS
from kiosk.entrance.news import Topic
from kiosk.rules.passage import Direction
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.factors.pins import Entered
from kiosk.store.passages.passages import Passage
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import serving


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("factors") / "state") as served:
        yield served


def test_the_screen_enters_a_pin_and_the_answer_tells_nothing(served):
    with served.screen() as screen:
        said = screen.post("/device/screen/pin", json={"digits": "4711"})
        wrong = [screen.post("/device/screen/pin", json={"digits": one}) for one in ("", "47a1", "1" * 13, 4711)]

    assert (said.status_code, said.content) == (204, b"")
    assert {one.status_code for one in wrong} == {400}
    assert served.kiosk.asked == [("pin", 4)]
    assert served.call("POST", "/device/screen/pin", json={"digits": "4711"}).status_code in {401, 403}


def test_a_kiosk_that_asks_nobody_answers_so(served):
    served.kiosk.refusal = "nobody is asked for a PIN now"
    with served.screen() as screen:
        assert screen.post("/device/screen/pin", json={"digits": "4711"}).status_code == 409
    served.kiosk.refusal = None


def test_administrators_alone_learn_of_duress(served):
    store = served.device.store
    forced, normal = (
        store.record_decision(NewDecision(Kind.IDENTIFY, "Approved", score=90.0, entered=entered)).request_id
        for entered in (Entered.DURESS, Entered.PIN)
    )

    entries = served.call("GET", "/device/duress", "admin").json()["entries"]

    assert [one["request_id"] for one in entries] == [forced]
    assert served.call("GET", "/device/duress", "operator").status_code == 403
    for address in ("/device/decisions", f"/device/decisions/{forced}"):
        assert "duress" not in served.call("GET", address, "operator").text
    shown = [served.call("GET", f"/device/decisions/{one}", "operator").json() for one in (forced, normal)]
    assert shown[0].keys() == shown[1].keys()


def test_an_operator_cannot_follow_the_silent_alarm(served):
    answer = served.call("GET", f"/device/events?topics={Topic.DURESS.value}", "operator")

    assert answer.status_code == 400
    assert "duress" not in answer.text.split("the topics are")[1]


def test_another_door_tells_of_a_passage_and_a_roll_call_names_who_is_inside(served):
    number = served.device.store.people.enrol(Enrolment((), Details(name="Person A"))).session_number

    told = served.call("POST", "/device/passages", "operator", json={"session_number": number, "direction": "in"})
    inside = served.call("GET", "/device/passages/inside", "operator").json()["people"]
    (passage,) = served.call("GET", "/device/passages", "operator").json()["passages"]

    assert told.status_code == 201
    assert [(one["session_number"], one["name"]) for one in inside] == [(number, "Person A")]
    assert passage["request_id"] is None
    assert passage["corrected_by"]
    served.call("POST", "/device/passages", "operator", json={"session_number": number, "direction": "out"})
    assert served.call("GET", "/device/passages/inside", "operator").json()["people"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"session_number": 999, "direction": "in"},
        {"session_number": 2**63, "direction": "in"},  # more than the store's numbers can be
        {"session_number": 1, "direction": "up"},
        {"session_number": True},
    ],
)
def test_a_passage_that_cannot_be_is_refused(served, body):
    assert served.call("POST", "/device/passages", "operator", json=body).status_code == 400


def test_passages_are_listed_a_page_at_a_time_however_far_back(served):
    store = served.device.store
    number = store.people.enrol(Enrolment((), Details(name="Person C"))).session_number
    for at in (1.0, 2.0, 3.0):
        store.passages.note(Passage(number, Direction.IN, at, ""))
    old = {"params": {"since": "1970-01-01T00:00:00Z", "until": "1971-01-01T00:00:00Z", "limit": 2}}

    first = served.call("GET", "/device/passages", "operator", **old).json()
    old["params"]["offset"] = 2
    rest = served.call("GET", "/device/passages", "operator", **old).json()
    usual = served.call("GET", "/device/passages?limit=1000000", "operator").json()

    assert (first["total"], first["limit"], len(first["passages"])) == (3, 2, 2)
    assert [one["at"][17:19] for one in (*first["passages"], *rest["passages"])] == ["01", "02", "03"]
    assert usual["limit"] == MOST_ROWS


def test_a_device_key_sees_and_tells_no_passages(served):
    assert served.call("GET", "/device/passages", "device").status_code == 403
    assert served.call("GET", "/device/passages?since=yesterday", "operator").status_code == 400


def test_an_operator_gives_and_takes_card_and_pin_and_no_answer_has_a_pin(served):
    number = served.device.store.people.enrol(Enrolment((), Details(name="Person B"))).session_number
    address = f"/device/subjects/{number}/factors"

    given = served.call("PATCH", address, "operator", json={"card": "12-77", "pin": "4711", "duress_pin": "4829"})
    nothing_wrong = {"wrong_pins": 0, "pin_locked_s": 0}
    assert given.json() == {"card": "26:12-77", "has_pin": True, "suspended_until": None, **nothing_wrong}
    assert served.device.store.factors.read(number).pins.check("4829") is Entered.DURESS
    plain = served.call("PATCH", address, "operator", json={"pin": "4711"})
    assert plain.json() == given.json()  # whether there is a duress PIN is nobody's to see
    until = served.call("PATCH", address, "operator", json={"suspended_until": "2030-01-02T00:00:00Z"}).json()
    assert until["suspended_until"].startswith("2030-01-02T00:00:00")
    taken = served.call("PATCH", address, "operator", json={"card": None, "pin": None, "suspended_until": None})

    assert taken.json() == {"card": None, "has_pin": False, "suspended_until": None, **nothing_wrong}
    assert served.call("GET", address, "operator").json() == taken.json()
    assert served.call("GET", address, "device").status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"card": "12"}, "card"),
        ({"pin": "1234"}, "pin"),
        ({"duress_pin": "4829"}, "duress_pin"),
        ({"suspended_until": "soon"}, "suspended_until"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_given_is_said_by_its_field_and_changes_nothing(served, body, field):
    number = served.device.store.people.enrol(Enrolment((), Details(name="Person C"))).session_number

    refused = served.call("PATCH", f"/device/subjects/{number}/factors", "operator", json={"card": "9-9", **body})

    assert refused.status_code == 400
    assert field in refused.text
    assert served.device.store.factors.read(number).is_empty


def test_a_card_of_somebody_else_is_refused(served):
    first, second = (
        served.device.store.people.enrol(Enrolment((), Details(name=name))).session_number for name in "AB"
    )
    served.call("PATCH", f"/device/subjects/{first}/factors", "operator", json={"card": "1-1"})

    assert (
        served.call("PATCH", f"/device/subjects/{second}/factors", "operator", json={"card": "1-1"}).status_code == 409
    )

"""Facts about the acceptance over the API: the real server, real models and the signed log. The still is set."""

from __future__ import annotations

import shutil
import subprocess
import threading

import pytest

from kiosk.door.inputs import Happened
from kiosk.entrance.news import Still, Topic
from kiosk.evaluation.acceptance import signature
from kiosk.evaluation.acceptance.plan import Step
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Template
from tests.api.served import A1, B1, serving
from tests.conftest import GOLDEN, networks, read

PATH = "/device/acceptance"
STEPS = {step.value: place for place, step in enumerate(Step)}


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state") as served:
        served.kiosk.picture = Still(A1, (480, 640), 0.1, ())
        yield served


def enrolled(served):
    template = networks().analyse(read(GOLDEN / "person_a_1.jpg")).template
    assert isinstance(template, Template)
    return served.device.store.people.enrol(Enrolment([template], Details(name="Person A"))).session_number


def decide(served, status: str = "Approved", number: int | None = None, score: float | None = 93.0, reason="matched"):
    """Have the door decide, as its judge does: into the log, then told, then the relay."""
    entry = served.device.save(
        NewDecision(
            kind=Kind.IDENTIFY,
            status=status,
            score=score,
            session_number=number,
            details={"reasons": [reason]},
            actor="door",
        )
    )
    news = served.kiosk.news
    news.publish(Topic.SCREEN, {"state": "idle"})
    news.publish(Topic.SCREEN, {"state": "guide"})
    served.wall.advance(1.5)
    news.publish(Topic.DECISION, {"request_id": entry.request_id, "at": served.wall()})
    if status == "Approved":
        told = {"what": Happened.RELAY_ON.value, "decision": entry.request_id, "at": served.wall() + 0.25}
        news.publish(Topic.DOOR, told)
    return entry


def noted(served, role: str = "admin", **body):
    answer = served.call("POST", PATH, role, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_only_an_administrator_begins_and_nobody_without_a_key_sees_anything(served):
    assert served.call("GET", PATH).status_code == 401
    assert served.call("GET", PATH, "device").status_code == 403
    assert served.call("POST", PATH, "operator", json={"act": "begin"}).status_code == 403
    assert served.call("GET", PATH, "operator").json()["is_begun"] is False

    assert noted(served, act="begin")["next"] == "camera"
    assert served.call("POST", PATH, "admin", json={"act": "begin"}).status_code == 409


def test_a_presentation_counts_what_the_door_decided_about_it_and_how_long_that_took(served):
    number = enrolled(served)
    noted(served, act="begin")
    decide(served, number=number)  # before: counts for nothing

    told = noted(served, "operator", act="present", step="people", who=str(number))
    assert (told["under_way"]["who"], told["decided"]) == (str(number), [])
    early = served.call("POST", PATH, "operator", json={"act": "end"})
    assert (early.status_code, "nothing was decided" in early.text) == (409, True)
    decide(served, number=number)
    told = noted(served, "operator", act="end")

    step = told["steps"][STEPS["people"]]
    assert (step["presented"], step["errors"], step["needed"]) == (1, 0, 63)
    assert step["latest"][0]["seen"][0]["took_s"] == 1.5
    timing = told["steps"][STEPS["timing"]]
    assert (timing["state"], timing["decision"]["median_s"], timing["relay"]["median_s"]) == ("done", 1.5, 0.25)


def test_strangers_and_attacks_that_are_let_in_are_errors_and_no_response_is_counted(served):
    noted(served, act="begin")
    for step, more in (("strangers", {}), ("attacks", {"species": "print"})):
        noted(served, act="present", step=step, who="1", **more)
        decide(served, number=1)
        noted(served, act="end")
        noted(served, act="present", step=step, who="2", **more)
        told = noted(served, act="unseen")
    strangers, attacks = told["steps"][STEPS["strangers"]], told["steps"][STEPS["attacks"]]["species"][0]
    assert (strangers["presented"], strangers["errors"], strangers["unseen"]) == (2, 1, 1)
    assert (attacks["species"], attacks["presented"], attacks["errors"]) == ("print", 2, 1)
    assert told["recommended"]["threshold"] == 94.0


def test_a_wrong_presentation_is_taken_back_and_the_report_says_so(served):
    noted(served, act="begin")
    noted(served, act="present", step="strangers", who="1")
    decide(served, "Declined", None, None, "unknown")
    number = noted(served, act="end")["steps"][STEPS["strangers"]]["latest"][0]["number"]
    told = noted(served, act="withdraw", number=number)

    assert told["steps"][STEPS["strangers"]]["presented"] == 0
    assert told["withdrawn"] == 1
    noted(served, act="present", step="strangers", who="1")
    assert noted(served, act="drop")["withdrawn"] == 2


def test_camera_and_light_are_measured_on_the_running_kiosks_picture(served):
    noted(served, act="begin")
    light = noted(served, act="light")["steps"][STEPS["light"]]
    camera = noted(served, act="camera")["steps"][STEPS["camera"]]

    assert light["state"] == "under_way"
    assert 20 < light["readings"][0]["luminance"] < 240
    assert (camera["camera"]["width"], camera["camera"]["height"]) == (480, 640)
    assert camera["camera"]["fps"] > 5


def test_a_picture_without_a_face_gives_no_reading_and_a_kiosk_without_a_picture_no_measurement(served):
    noted(served, act="begin")
    served.kiosk.picture = None
    assert served.call("POST", PATH, "admin", json={"act": "light"}).status_code == 409
    assert served.call("POST", PATH, "admin", json={"act": "camera"}).status_code == 409
    served.kiosk.picture = Still(b"\xff\xd8\xff\xd9", (640, 480), 0.1, ())
    assert served.call("POST", PATH, "admin", json={"act": "light"}).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"act": "nothing"},
        {"act": "begin", "goals": {"people": 0.9}},
        {"act": "begin", "goals": {"camera": 0.1}},
        {"act": "begin", "goals": ["people"]},
        {"act": "present", "step": "people"},
        {"act": "present", "step": "nowhere", "who": "1"},
        {"act": "word", "step": "power", "worked": "yes"},
        {"act": "stopwatch", "seconds": True},
        {"act": "withdraw"},
        {"act": "skip", "step": "power", "reason": "x" * 201},
    ],
    ids=str,
)
def test_a_note_that_is_none_is_refused_with_its_field(served, body):
    answer = served.call("POST", PATH, "admin", json=body)

    assert answer.status_code == 400
    assert set(answer.json()) <= {"act", "goals", "who", "step", "worked", "seconds", "number", "reason"}


@pytest.mark.parametrize(
    "body",
    [
        {"act": "present", "step": "people", "who": "99"},
        {"act": "present", "step": "people", "who": "Ann"},
        {"act": "present", "step": "camera", "who": "1"},
        {"act": "present", "step": "attacks", "who": "1"},
        {"act": "present", "step": "strangers", "who": " "},
        {"act": "present", "step": "strangers", "who": "a\nb"},
        {"act": "word", "step": "light", "worked": True},
        {"act": "stopwatch", "seconds": -1},
        {"act": "end"},
        {"act": "drop"},
        {"act": "withdraw", "number": 7},
        {"act": "skip", "step": "power", "reason": ""},
    ],
    ids=str,
)
def test_a_note_that_does_not_fit_is_refused_with_a_sentence_and_notes_nothing(served, body):
    before = noted(served, act="begin")
    answer = served.call("POST", PATH, "admin", json=body)

    assert answer.status_code == 409
    assert answer.json()["detail"]
    assert served.call("GET", PATH, "admin").json()["newest_at"] == before["newest_at"]


def test_a_word_that_the_kiosk_does_not_bear_out_shows_nothing(served):
    noted(served, act="begin")
    noted(served, act="try", step="watchdog")
    told = noted(served, act="word", step="watchdog", worked=True, text="screen went dark, came back")

    word = told["steps"][STEPS["watchdog"]]["word"]
    assert told["steps"][STEPS["watchdog"]]["state"] == "missed"
    assert word["worked"] is True
    assert word["is_new_process"] is False  # nothing was started anew in this test, and the report says it
    assert word["is_log_intact"] is True
    page = served.call("GET", f"{PATH}/report", "operator").text
    assert "process is the same one" in page.replace("&#x27;", "'")
    assert "✗ by word" in page


def test_the_report_is_signed_and_any_minisign_checks_it(served, tmp_path):
    refused = served.call("GET", f"{PATH}/report", "operator")
    assert refused.status_code == 409
    noted(served, act="begin")
    noted(served, act="skip", step="power", reason="no plug <b>here</b>")
    shown = served.call("GET", f"{PATH}/report", "operator")

    assert "script" not in shown.headers["content-security-policy"]
    assert "no plug &lt;b&gt;here&lt;/b&gt;" in shown.text
    files = [served.call("GET", f"{PATH}/files/acceptance-report.html{end}", "operator") for end in ("", ".minisig")]
    assert files[0].content == shown.content
    assert "attachment" in files[1].headers["content-disposition"]
    signature.check(shown.content, files[1].text, served.device.store.vault.public_key)
    assert served.call("GET", f"{PATH}/files/kiosk.key", "admin").status_code == 404
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed; our own check passed")
    report = tmp_path / "report.html"
    report.write_bytes(shown.content)
    report.with_name("report.html.minisig").write_bytes(files[1].content)
    key = served.call("GET", PATH, "operator").json()["key"]
    checked = ["minisign", "-Vm", str(report), "-P", key]
    assert subprocess.run(checked, check=False, capture_output=True).returncode == 0
    report.write_bytes(shown.content + b" ")
    assert subprocess.run(checked, check=False, capture_output=True).returncode != 0


def test_beginning_anew_keeps_what_was_noted(served):
    noted(served, act="begin")
    noted(served, act="stopwatch", seconds=2.5)
    told = noted(served, act="restart", goals={"people": 0.1})

    assert told["steps"][STEPS["people"]]["needed"] == 31
    assert told["steps"][STEPS["timing"]]["state"] == "open"
    (kept,) = served.device.store.directory.glob("acceptance-*.jsonl")
    assert b"stopwatch" in kept.read_bytes()


def test_of_two_phones_that_begin_a_presentation_at_once_one_is_refused(served):
    noted(served, act="begin")
    answers = []

    def present(who):
        body = {"act": "present", "step": "strangers", "who": who}
        answers.append(served.call("POST", PATH, "admin", json=body).status_code)

    threads = [threading.Thread(target=present, args=(str(place),)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409, 409, 409]


def test_a_face_of_somebody_else_on_the_picture_is_no_fault_of_the_light(served):
    served.kiosk.picture = Still(B1, (480, 640), 0.1, ())
    noted(served, act="begin")

    assert len(noted(served, act="light")["steps"][STEPS["light"]]["readings"]) == 1


def test_a_kiosk_that_judges_nobody_after_declines_in_a_row_says_so(served):
    noted(served, act="begin")
    assert noted(served, act="present", step="strangers", who="9")["held_s"] is None
    served.kiosk.news.publish(Topic.SCREEN, {"state": "locked", "held_s": 299})

    assert served.call("GET", PATH, "operator").json()["held_s"] == 299

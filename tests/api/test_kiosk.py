"""Facts about the device's own routes: people, decisions, reviews, door, live news, settings and keys."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
import json
import re
import threading
import time
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kiosk.api import app
from kiosk.api.routes.events import AGAIN_S, Listener
from kiosk.device.enrol import enrol_person
from kiosk.entrance.news import Broadcast, Still, Topic
from kiosk.rules.conditions import Degradation
from kiosk.settings.config import Sources
from kiosk.store.accounts import Role
from kiosk.store.chain import Kind, receipt_holds
from kiosk.store.database import Database
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.remote_lists import Lists
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.scripted_kiosk import JPEG
from kiosk.types import Status, Template
from tests.api.served import A1, A2, B1, C1, NOW, PASSWORD, serving
from tests.patience import BUSY_S, LIMIT_S, stands_in, until
from tests.store.stored import refusing


@pytest.fixture
def served(tmp_path):
    environment = {"KIOSK_SEARCH_MAX_MATCHES": "3"}
    sources = Sources(None, tmp_path / "settings.toml", environment, tmp_path / "fleet.toml")
    with serving(tmp_path / "state", sources=sources) as served:
        yield served


def enrol(served, photograph=A1, **data):
    return served.call("POST", "/device/subjects", "operator", files={"image": photograph}, data=data)


def decided(served, status="In Review", **more):
    return served.device.store.record_decision(NewDecision(Kind.IDENTIFY, status, score=75.0, **more)).request_id


def finished(served, path):
    until(lambda: served.call("GET", path, "operator").json()["state"] != "running")
    return served.call("GET", path, "operator").json()


# ---- people


def test_who_is_enrolled_is_shown_found_changed_and_forgotten_with_a_receipt(served):
    made = enrol(served, name="Person A", document_number="AB-123 456", vendor_data="v", plan="cleaners")
    assert made.status_code == 201
    path = f"/device/subjects/{made.json()['subject']['session_number']}"

    assert served.call("GET", path, "operator").json()["document_number"] == "AB-123 456"
    for asked in ("1", "v", "ab123456", made.json()["subject"]["session_id"]):
        listed = served.call("GET", "/device/subjects", "operator", params={"q": asked}).json()
        assert [one["document_number"] for one in listed["subjects"]] == ["***456"]
    changed = served.call("PATCH", path, "operator", json={"name": "Person B", "plan": None}).json()
    assert (changed["name"], changed["plan"], changed["vendor_data"]) == ("Person B", None, "v")

    grouped = served.call("PATCH", path, "operator", json={"groups": ["staff", " it ", "staff"]}).json()
    assert (grouped["groups"], grouped["name"]) == (["it", "staff"], "Person B")
    for wrong in ("staff", [1], ["a, b"], ["*"], ["x" * 61]):
        refused = served.call("PATCH", path, "operator", json={"groups": wrong})
        assert (refused.status_code, list(refused.json())) == (400, ["groups"])
    assert served.call("PATCH", path, "operator", json={"groups": None}).json()["groups"] == []

    receipt = served.call("DELETE", path, "operator").text
    assert receipt_holds(receipt, served.device.store.vault.public_key)
    assert served.call("GET", path, "operator").status_code == 404


def test_whoever_does_not_wait_for_the_proof_asks_for_the_receipt_later(served):
    enrol(served, name="Person A")
    path = "/device/subjects/1"
    assert served.call("GET", path + "/receipt", "operator").status_code == 404

    erased = served.call("DELETE", path, "operator", params={"wait": "false"})

    assert erased.status_code == 202
    assert served.call("GET", path, "operator").status_code == 404
    address = erased.json()["receipt"]
    assert served.call("GET", address, "operator").status_code in {200, 202}
    until(lambda: served.call("GET", address, "operator").status_code == 200)
    receipt = served.call("GET", address, "operator").text
    assert receipt_holds(receipt, served.device.store.vault.public_key)
    assert json.loads(receipt)["receipt"]["session_id"] == erased.json()["session_id"]
    assert served.call("DELETE", path, "operator", params={"wait": "perhaps"}).status_code == 400


def test_a_proof_that_an_earlier_process_left_is_done_at_the_start(served):
    enrol(served, name="Person A")
    served.device.store.people.erasures.erase(1)
    assert served.call("GET", "/device/subjects/1/receipt", "operator").status_code == 202

    second = app.build(served.device)

    until(lambda: served.call("GET", "/device/subjects/1/receipt", "operator").status_code == 200)
    second.close()


def test_a_change_of_one_field_undoes_nothing_that_another_call_changed_meanwhile(served):
    enrol(served, name="Person A")
    store, answers = served.device.store, []

    def rename():
        answers.append(served.call("PATCH", "/device/subjects/1", "operator", json={"name": "Person B"}))

    calling = threading.Thread(target=rename)
    with store.transaction() as transaction:
        store.people.patch_within(
            transaction, 1, lambda one: replace(one, status=Status.DECLINED, valid_until=NOW + 60), actor=""
        )
        calling.start()
        until(lambda: stands_in(Database.write))  # it has read the person as they were, and may not write yet
    calling.join()

    kept = store.people.subject(1)
    (answer,) = answers
    assert answer.status_code == 200
    assert (kept.details.name, kept.status, kept.valid_until) == ("Person B", Status.DECLINED, NOW + 60)


def test_a_face_that_is_known_is_a_409_that_says_whose(served):
    enrol(served, name="Person A")

    again = enrol(served, A2, name="Person A again")

    assert (again.status_code, again.json()["outcome"]) == (409, "duplicate")
    assert again.json()["of"]["session_number"] == 1
    assert "--" not in again.json()["sentence"]
    assert enrol(served, A2, allow_duplicate="true").status_code == 201


def test_several_photographs_make_several_references(served):
    answer = served.call("POST", "/device/subjects", "operator", files=[("image", A1), ("image", A2)])

    assert answer.json()["subject"]["references"] == 2


@pytest.mark.parametrize(
    ("files", "data", "field"),
    [
        pytest.param([], {"name": "x"}, "image", id="no photograph"),
        pytest.param([("image", A1)] * 6, {}, "image", id="six photographs"),
        pytest.param([("image", b"GIF89a")], {}, "image", id="no picture"),
        pytest.param([("image", A1)], {"name": "x" * 1001}, "name", id="an endless name"),
        pytest.param([("image", A1)], {"valid_from": "tomorrow"}, "valid_from", id="no time"),
        pytest.param(
            [("image", A1)], {"valid_from": "2030-02-01", "valid_until": "2030-01-01"}, "valid_until", id="order"
        ),
        pytest.param([("image", A1)], {"retain_until": "2020-01-01"}, "retain_until", id="a past"),
    ],
)
def test_a_wrong_enrolment_stores_nobody_and_names_the_field(served, files, data, field):
    answer = served.call("POST", "/device/subjects", "operator", files=files or {"x": b""}, data=data)

    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert served.device.store.people.subjects().total == 0


def test_somebody_elses_photograph_becomes_no_reference(served):
    enrol(served)

    mine = served.call("POST", "/device/subjects/1/references", "operator", files={"image": A2})
    other = served.call("POST", "/device/subjects/1/references", "operator", files={"image": B1})

    assert (mine.status_code, mine.json()["references"]) == (201, 2)
    assert (other.status_code, other.json()["outcome"]) == (409, "mixed")
    assert served.device.store.references.count() == 2


def test_blocking_holds_at_once_and_its_reason_is_for_operators(served):
    enrol(served)

    blocked = served.call("POST", "/device/subjects/1/block", "operator", json={"reason": "stole"}).json()
    found = served.call("POST", "/v3/face-search/", "device", files={"user_image": A2})
    freed = served.call("DELETE", "/device/subjects/1/block", "operator").json()

    assert (blocked["is_blocklisted"], blocked["block_reason"]) == (True, "stole")
    assert found.json()["face_search"]["status"] == "Declined"
    assert "stole" not in found.text
    assert not freed["is_blocklisted"]


def test_a_strangers_face_goes_straight_onto_the_blocklist(served):
    answer = served.call("POST", "/device/blocklist", "operator", files={"image": C1}, data={"reason": "r"})

    assert (answer.status_code, answer.json()["subject"]["is_blocklisted"]) == (201, True)


def test_a_photographs_worth_is_told_and_nothing_stored(served):
    enrol(served, name="Person A")

    told = served.call("POST", "/device/quality", "operator", files={"image": A2}).json()

    assert (told["faces"], told["ok"]) == (1, True)
    assert told["looks_like"][0]["name"] == "Person A"
    assert served.device.store.references.count() == 1


def group_photograph():
    """Return Person B beside a larger Person A."""
    both = Image.new("RGB", (700, 500))
    both.paste(Image.open(io.BytesIO(A2)).resize((400, 500)), (0, 0))
    both.paste(Image.open(io.BytesIO(B1)).resize((280, 350)), (410, 0))
    return both


@pytest.mark.parametrize(
    ("picture", "kind", "previewed", "enrolled", "alike"),
    [
        pytest.param(
            Image.new("RGB", (200, 200), "grey"),
            "no_face",
            (0, "no face could be found"),
            r"no face could be found",
            [],
            id="no face",
        ),
        pytest.param(
            group_photograph(),
            "several_faces",
            (2, "2 faces; give a photograph of one person"),
            r"2 faces \(boxes \d+,\d+,\d+,\d+; \d+,\d+,\d+,\d+\); give a photograph of one person",
            ["Person A"],
            id="two faces",
        ),
        pytest.param(
            Image.open(io.BytesIO(A2)).point(lambda level: level // 16),
            "poor",
            (1, "the face is too dark; put light in front of it"),
            r"the face is too dark; put light in front of it",
            ["Person A"],
            id="too dark",
        ),
    ],
)
def test_a_refused_photograph_is_told_by_preview_and_enrolment_each_in_its_words(
    served, picture, kind, previewed, enrolled, alike
):
    enrol(served, name="Person A")
    held = io.BytesIO()
    picture.save(held, "PNG")

    told = served.call("POST", "/device/quality", "operator", files={"image": held.getvalue()}).json()
    refusal = enrol(served, held.getvalue())
    added = served.call("POST", "/device/subjects/1/references", "operator", files={"image": held.getvalue()})

    assert (told["faces"], told["sentence"]) == previewed
    assert not told["ok"]
    assert (told["quality"] is None) == (kind == "no_face")
    assert [one["name"] for one in told["looks_like"]] == alike
    assert (refusal.status_code, refusal.json()["outcome"]) == (409, kind)
    assert re.fullmatch(enrolled, refusal.json()["sentence"])
    assert (added.status_code, added.json()) == (409, refusal.json())
    assert served.device.store.references.count() == 1


def test_a_zip_of_folders_is_imported_and_reported(served):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in (("A/1.jpg", A1), ("A/2.jpg", A2), ("B/1.jpg", B1), ("C/1.jpg", b"x"), ("../e.txt", b"y")):
            archive.writestr(name, data)

    begun = served.call("POST", "/device/imports", "operator", files={"file": ("p.zip", content.getvalue())})
    state = finished(served, f"/device/imports/{begun.json()['id']}")

    assert begun.status_code == 202
    assert state["outcomes"] == {"added": 3, "unreadable": 1, "passed_over": 1}
    assert state["people"] == {"added": 2, "unreadable": 1}
    assert [one.details.name for one in served.device.store.people.subjects().subjects] == ["A", "B"]


def test_the_audit_finds_who_is_enrolled_twice(served):
    enrol(served)
    enrol(served, A2, allow_duplicate="true")

    begun = served.call("POST", "/device/audit", "operator").json()
    state = finished(served, f"/device/audit/{begun['id']}")

    assert [row[1:] for row in state["report"]["duplicates"]] == [[1, 2]]


# ---- decisions


def test_a_decision_is_shown_with_a_receipt_that_holds(served):
    request_id = decided(served, vendor_data="v")

    told = served.call("GET", f"/device/decisions/{request_id}", "operator").json()

    assert (told["record"]["status"], told["record"]["vendor_data"]) == ("In Review", "v")
    assert told["receipt"]["holds"] is True


def test_the_table_of_decisions_runs_no_formula(served):
    decided(served, vendor_data='=HYPERLINK("http://evil")')
    decided(served, "Approved")

    answer = served.call("GET", "/device/decisions?format=csv", "operator")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["status"] for row in rows] == ["Approved", "In Review"]
    assert rows[1]["vendor_data"].startswith("'=")


def test_counts_over_time_fall_into_the_hours_they_were_made_in(served):
    decided(served, "Approved")
    served.wall.advance(3600)
    decided(served, "Declined")

    told = served.call("GET", "/device/statistics?hours=3", "operator").json()

    assert [(one["approved"], one["declined"]) for one in told["buckets"]] == [(0, 0), (1, 0), (0, 1)]
    assert (told["approved"], told["in_review"], told["declined"]) == (1, 0, 1)


def test_a_review_is_decided_once_signed_and_its_reason_sealed(served):
    request_id = decided(served)
    asked = served.call("GET", "/device/reviews", "operator").json()
    verdict = {"decision": "approve", "reason": "known to me"}

    first = served.call("POST", f"/device/reviews/{request_id}", "operator", json=verdict)
    second = served.call("POST", f"/device/reviews/{request_id}", "operator", json={**verdict, "decision": "decline"})

    assert [one["request_id"] for one in asked["reviews"]] == [request_id]
    assert (first.status_code, second.status_code) == (200, 409)
    assert served.call("GET", "/device/reviews", "operator").json()["total"] == 0
    (record,) = served.device.store.decisions(DecisionFilter(kinds=(Kind.REVIEW,))).decisions
    assert record.entry.details == {"of": request_id, "decision": "approve"}
    assert record.entry.actor == served.accounts["operator"].id
    assert "known to me" not in "".join(served.device.store.export_log("json"))
    assert served.device.store.verify_log().is_intact


def test_of_two_reviewers_at_once_one_is_told(served):
    request_id = decided(served)
    statuses = []
    threads = [
        threading.Thread(
            target=lambda word=word: statuses.append(
                served.call(
                    "POST", f"/device/reviews/{request_id}", "operator", json={"decision": word, "reason": "r"}
                ).status_code
            )
        )
        for word in ("approve", "decline") * 4
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] + [409] * 7


def test_what_nobody_was_asked_about_is_no_review(served):
    request_id = decided(served, "Approved")

    answer = served.call(
        "POST", f"/device/reviews/{request_id}", "operator", json={"decision": "decline", "reason": "r"}
    )

    assert answer.status_code == 409


# ---- the running kiosk


@pytest.mark.parametrize(
    ("method", "path", "role", "body", "asked"),
    [
        ("POST", "/device/door/claim", "device", {"code": "user-1"}, ("claim", "user-1")),
        ("POST", "/device/door/release", "operator", None, ("release",)),
        ("POST", "/device/door/alarm", "operator", {"is_armed": True}, ("alarm", True)),
    ],
)
def test_the_door_is_asked_in_the_callers_name_and_may_refuse(served, method, path, role, body, asked):
    options = {"json": body} if body else {}

    done = served.call(method, path, role, **options)
    served.kiosk.refusal = "not in this mode"
    refused = served.call(method, path, role, **options)

    assert done.status_code == 200
    assert served.kiosk.asked == [(*asked, served.accounts[role].id)]
    assert (refused.status_code, refused.json()) == (409, {"detail": "not in this mode"})


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/device/door/release"), ("GET", "/device/camera/still.jpg"), ("GET", "/device/events")],
)
def test_without_a_running_kiosk_its_routes_answer_409(tmp_path, method, path):
    with serving(tmp_path / "state", with_desk=False) as served:
        answer = served.call(method, path, "operator")

        assert answer.status_code == 409
        assert "kiosk run" in answer.json()["detail"]
        assert served.call("GET", "/device/health", "device").json()["mode"] == "serve"
        assert served.call("GET", "/readyz").status_code == 200


def test_the_cameras_still_is_a_jpeg_or_a_503(served):
    shown = served.call("GET", "/device/camera/still.jpg", "operator")
    served.kiosk.picture = None

    assert (shown.content, shown.headers["content-type"]) == (JPEG, "image/jpeg")
    assert served.call("GET", "/device/camera/still.jpg", "operator").status_code == 503


def test_a_still_tells_where_the_faces_of_the_same_look_are(served):
    served.kiosk.picture = Still(JPEG, (200, 100), 0.1, ((100, 25, 150, 75), (0, 0, 20, 10)))

    shown = served.call("GET", "/device/camera/still.jpg", "operator")

    assert json.loads(shown.headers["X-Kiosk-Faces"]) == [[0.5, 0.25, 0.75, 0.75], [0.0, 0.0, 0.1, 0.1]]


def test_not_armed_is_not_ready_and_says_why(served):
    served.kiosk.states = (Degradation("camera_lost", "plug it in", "closed", 0.0),)

    answer = served.call("GET", "/readyz")

    assert (answer.status_code, answer.json()["reasons"]) == (503, ["camera_lost"])
    assert 'kiosk_degraded{condition="camera_lost"} 1' in served.call("GET", "/metrics").text


def events(stream, count):
    """Return the next events of a stream as (topic, data)."""
    found, topic = [], ""
    for line in stream.iter_lines():
        if line.startswith("event: "):
            topic = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((topic, json.loads(line.removeprefix("data: "))))
            if len(found) == count:
                break
    return found


def test_operators_hear_news_as_they_come_after_the_newest_health(served):
    served.kiosk.news.publish(Topic.HEALTH, {"is_armed": True})
    with served.client("operator") as client, client.stream("GET", "/device/events?topics=health,decision") as stream:
        first = events(stream, 1)

    assert first == [("health", {"is_armed": True})]


def test_news_reach_several_listeners_in_order(served):
    heard: dict[int, list[Any]] = {}
    ready = threading.Barrier(3)

    def listen(number):
        with served.client("operator") as client, client.stream("GET", "/device/events?topics=decision") as stream:
            lines = stream.iter_lines()
            next(lines)  # the server listens before it says its first word
            ready.wait(LIMIT_S)
            numbers = (json.loads(line[6:])["n"] for line in lines if line.startswith("data: "))
            heard[number] = [next(numbers) for _ in range(20)]

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    ready.wait(LIMIT_S)
    for number in range(20):
        served.kiosk.news.publish(Topic.DECISION, {"n": number})
    for thread in threads:
        thread.join(LIMIT_S)

    assert heard == {0: list(range(20)), 1: list(range(20))}


def test_a_reader_who_does_not_read_holds_up_nobody(served):
    with served.client("operator") as client, client.stream("GET", "/device/events") as stream:
        next(stream.iter_raw())
        began = time.monotonic()
        for number in range(5_000):
            served.kiosk.news.publish(Topic.DECISION, {"n": number, "text": "x" * 1000})
        took = time.monotonic() - began

        assert served.call("GET", "/healthz").status_code == 200
    assert took < BUSY_S


def test_the_kiosks_own_screen_hears_of_nobody_else(served):
    for told in ({"state": "duplicate", "session_number": 7}, {"state": "added", "session_number": 8}):
        news = {"id": "e1", "sentence": "already enrolled as number 7", **told}
        with served.screen() as client, client.stream("GET", "/device/screen/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            served.kiosk.news.publish(Topic.DECISION, {"name": "Person A"})
            served.kiosk.news.publish(Topic.ENROLMENT, news)
            data = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
        shown = {"session_number": 8} if told["state"] == "added" else {}
        assert data == {"id": "e1", "state": told["state"], **shown}


ENDINGS = {
    "the account is removed": lambda access, person: access.accounts.remove(person.id),
    "a lower role": lambda access, person: access.accounts.set_role(person.id, Role.OPERATOR),
    "another password": lambda access, person: access.accounts.set_password(person.name, PASSWORD[::-1]),
    "its sessions are ended": lambda access, person: access.close_sessions(person.id),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_stream_ends_with_what_let_it_in(served, ending):
    access = served.application.context.access
    access.accounts.create_operator("Person B", Role.ADMIN, PASSWORD)
    with served.signed_in() as (client, _), client.stream("GET", "/device/events?topics=decision,duress") as stream:
        lines = stream.iter_lines()
        next(lines)  # as above
        ending(access, served.accounts["person"])
        served.monotonic.advance(AGAIN_S)
        served.kiosk.news.publish(Topic.DECISION, {"name": "Person A"})

        assert not any("Person A" in line for line in lines)


def test_what_is_said_while_a_listener_looks_up_the_newest_is_heard_once_and_nothing_older_after_it():
    class Going(Broadcast):
        """News that go on while somebody begins to listen."""

        def latest(self, topic):
            for state in ("older", "newest"):
                self.publish(topic, {"state": state})
            return super().latest(topic)

    async def heard():
        listener = Listener(Going(lambda: NOW), [Topic.SCREEN])
        found, news = [], await listener.next(LIMIT_S)
        await asyncio.sleep(0.0)  # what was said meanwhile is handed over by the loop
        while news is not None:
            found.append(news.data["state"])
            news = await listener.next(0.0)
        return found

    assert asyncio.run(heard()) == ["newest"]


def test_a_keys_stream_goes_on_until_the_key_is_revoked(served):
    with served.client("operator") as client, client.stream("GET", "/device/events?topics=decision") as stream:
        lines = stream.iter_lines()
        next(lines)
        served.monotonic.advance(AGAIN_S)
        served.kiosk.news.publish(Topic.DECISION, {"n": 1})
        before = next(line for line in lines if line.startswith("data: "))
        served.application.context.access.accounts.revoke(served.accounts["operator"].id)
        served.monotonic.advance(AGAIN_S)
        served.kiosk.news.publish(Topic.DECISION, {"n": 2})
        after = next((line for line in lines if line.startswith("data: ")), None)

    assert (before, after) == ('data: {"n":1}', None)


def test_the_picture_ends_with_the_key_that_let_it_in(served):
    with served.client("operator") as client, client.stream("GET", "/device/screen/preview.mjpg") as stream:
        parts = stream.iter_raw()
        next(parts)
        served.application.context.access.accounts.revoke(served.accounts["operator"].id)
        served.monotonic.advance(AGAIN_S)

        assert len(list(itertools.islice(parts, 200))) < 200


def test_the_preview_is_a_row_of_jpegs(served):
    with served.screen() as client, client.stream("GET", "/device/screen/preview.mjpg") as stream:
        assert stream.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        assert JPEG in next(stream.iter_raw())


# ---- settings and keys


def test_what_the_owner_of_the_fleet_set_is_changed_by_nobody_here(served, tmp_path):
    (tmp_path / "fleet.toml").write_text("[match]\ndecline_threshold = 50\n")

    refused = served.call("PATCH", "/device/settings", "admin", json={"match.decline_threshold": 20})
    told = served.call("GET", "/device/settings", "operator").json()["settings"]

    assert refused.status_code == 400
    assert refused.json() == {"match.decline_threshold": ["The owner of the fleet has set it, for every kiosk."]}
    named = {one["name"]: one["is_changeable"] for one in told}
    assert (named["match.decline_threshold"], named["match.review_threshold"]) == (False, True)


def test_changed_settings_hold_at_once_and_after_a_restart(served, tmp_path):
    body = {"match.decline_threshold": 100, "api.language": "de"}

    answer = served.call("PATCH", "/device/settings", "admin", json=body)

    assert answer.status_code == 200
    assert served.device.config.match.decline_threshold == 100
    assert Sources(None, tmp_path / "settings.toml", {}).load().api.language == "de"
    (record,) = served.device.store.decisions(DecisionFilter(kinds=(Kind.SETTINGS,))).decisions
    assert record.entry.details == {"changed": sorted(body)}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"match.decline_threshold": 101}, id="out of range"),
        pytest.param({"match.decline_threshold": "50"}, id="a text for a number"),
        pytest.param({"door.relay": 3}, id="not a safe one"),
        pytest.param({"api.bind": "0.0.0.0"}, id="reach beyond the kiosk"),
        pytest.param({"nothing": 1}, id="unknown"),
        pytest.param({"search.max_matches": 4}, id="the environment has it"),
    ],
)
def test_a_change_with_one_wrong_setting_changes_nothing(served, tmp_path, body):
    answer = served.call("PATCH", "/device/settings", "admin", json={"match.review_threshold": 50, **body})

    assert (answer.status_code, list(answer.json())) == (400, list(body))
    assert served.device.config.match.review_threshold == 0
    assert not (tmp_path / "settings.toml").exists()


def test_a_key_made_over_the_api_opens_and_ends(served):
    made = served.call("POST", "/device/keys", "admin", json={"name": "gate", "role": "device", "expires_days": 1})
    key = made.json()
    with served.client() as client:
        opened = client.get("/v3/sessions/", headers={"x-api-key": key["key"]})
        assert served.call("DELETE", f"/device/keys/{key['id']}", "admin").status_code == 204
        ended = client.get("/v3/sessions/", headers={"x-api-key": key["key"]})

    listed = served.call("GET", "/device/keys", "admin").json()["keys"]
    assert (made.status_code, opened.status_code, ended.status_code) == (201, 200, 401)
    assert {one["id"]: one["is_revoked"] for one in listed}[key["id"]] is True
    assert all("key" not in one for one in listed)


def test_without_a_cloud_there_is_nothing_to_see(served):
    assert served.call("GET", "/device/cloud", "operator").status_code == 404


def test_who_is_enrolled_elsewhere_is_found_by_the_next_search(served):
    assert (
        served.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"]["matches"]
        == []
    )

    enrol_person(served.device, [A1], Enrolment(templates=(), details=Details(name="Person A")))

    assert (
        served.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"][
            "total_matches"
        ]
        == 1
    )


def test_an_operator_confirms_that_a_list_shrank_and_nobody_confirms_what_is_not_held(served):
    absent = served.call("POST", "/device/cloud/lists/none/confirm", "operator")
    lists = Lists(served.device.store)
    template = Template(np.eye(1, 128, dtype=np.float32)[0], served.device.recogniser.model)
    lists.begin("a-list", 1)
    lists.stage("a-list", "e1", template, outcome="blocked")
    lists.put_into_force("a-list", 1.0)
    lists.begin("a-list", 0)
    lists.put_into_force("a-list", 2.0)
    refused = served.call("POST", "/device/cloud/lists/a-list/confirm", "device")
    confirmed = served.call("POST", "/device/cloud/lists/a-list/confirm", "operator")

    assert (absent.status_code, refused.status_code) == (409, 403)
    assert (confirmed.status_code, confirmed.json()) == (200, {"list": "a-list", "vanished": 1})
    assert lists.held()[0].is_confirmed


def test_an_operator_confirms_the_clock_and_a_device_key_does_not(tmp_path):
    heard = []
    with serving(tmp_path / "state", confirm_clock=lambda actor: heard.append(actor) or NOW) as served:
        refused = served.call("POST", "/device/clock/confirm", "device")
        confirmed = served.call("POST", "/device/clock/confirm", "operator")
        actor = served.accounts["operator"].id

    assert (refused.status_code, confirmed.status_code) == (403, 200)
    assert confirmed.json()["confirmed_at"].startswith("2027-01-15")
    assert heard == [actor]


def test_a_change_of_settings_that_cannot_be_recorded_does_not_happen(served, tmp_path):
    with refusing(served.device.store.directory, "INSERT ON log"):
        answer = served.call("PATCH", "/device/settings", "admin", json={"match.decline_threshold": 55})

    assert answer.status_code == 503
    assert served.device.config.match.decline_threshold != 55
    assert not (tmp_path / "settings.toml").exists()


def test_readiness_and_metrics_say_the_same_with_and_without_a_door(served, tmp_path):
    with serving(tmp_path / "other", with_desk=False) as serve_only:
        ready = serve_only.call("GET", "/readyz").json()["is_ready"]
        lines = serve_only.call("GET", "/metrics", "device").text.splitlines()
    armed = served.call("GET", "/metrics", "device").text.splitlines()

    assert ready is True
    assert "kiosk_ready 1" in lines
    assert not any(line.startswith("kiosk_armed") for line in lines)
    assert {"kiosk_ready 1", "kiosk_armed 1"} <= set(armed)


def test_scores_are_counted_in_whole_points_beside_the_scales_rates(served):
    for kind, score in (
        (Kind.IDENTIFY, 79.9),
        (Kind.IDENTIFY, 79.0),
        (Kind.FACE_MATCH, 100.0),
        (Kind.FACE_MATCH, None),
    ):
        served.device.save(NewDecision(kind=kind, status="Declined", score=score))

    counted = served.call("GET", "/device/statistics/scores?days=30", "operator").json()
    served.wall.advance(31 * 86400)
    later = served.call("GET", "/device/statistics/scores?days=30", "operator").json()

    assert {
        kind: {at: many for at, many in enumerate(counts) if many} for kind, counts in counted["kinds"].items()
    } == {
        "IDENTIFY": {79: 2},
        "FACE_MATCH": {100: 1},
    }
    assert [counted["fmr"][score] for score in (30, 50, 70)] == pytest.approx([0.1, 0.01, 0.0001])
    assert len(counted["fmr"]) == 101
    assert later["kinds"] == {}


# ---- lockdown


def test_an_operator_locks_the_door_down_and_lifts_that(served):
    begun = served.call("POST", "/device/door/lockdown", "operator", json={"reason": " a drill "})
    assert begun.status_code == 201
    (act,) = begun.json()["acts"]
    assert (act["reason"], act["is_fleet_wide"], act["by_name"] is not None) == ("a drill", False, True)
    assert served.call("GET", "/device/door/lockdown", "operator").json() == begun.json()
    lifted = served.call("DELETE", "/device/door/lockdown", "operator")

    assert lifted.json() == {"is_locked_down": False, "acts": []}
    assert served.call("DELETE", "/device/door/lockdown", "operator").status_code == 409


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_device_key_has_nothing_to_do_with_lockdowns(served, method):
    body: dict[str, Any] = {"json": {}} if method == "POST" else {}

    assert served.call(method, "/device/door/lockdown", "device", **body).status_code == 403
    assert not served.kiosk.locked_down


@pytest.mark.parametrize("body", [{"reason": 1}, {"reason": "x" * 201}, {"reason": "a\nb"}, {"is_fleet_wide": "yes"}])
def test_a_lockdown_without_sense_is_refused(served, body):
    assert served.call("POST", "/device/door/lockdown", "operator", json=body).status_code == 400
    assert not served.kiosk.locked_down

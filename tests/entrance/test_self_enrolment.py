"""Facts about people who make themselves known: nobody opens a door before an operator approves."""

from dataclasses import replace
from typing import Any

import pytest

from kiosk.entrance.news import Consent, Topic
from kiosk.errors import RefusedError
from kiosk.store.subjects import Details
from kiosk.types import Status
from tests.entrance.staged import NOW, Stage, config, template

CONSENT = Consent("2026-11", NOW)
A, B = template(1), template(2)


def enrolling(tmp_path, **more):
    settings = config(entrance={"mode": "enrol"}, enrolment={"consent_version": "2026-11", "gather_s": 0.3, **more})
    return Stage(tmp_path, settings)


def begin(stage, *, is_attended=False, **details):
    return stage.judge.expected.begin_enrolment(
        Details(**details), CONSENT, is_allowlisted=False, is_attended=is_attended
    )


def test_whoever_enrols_alone_is_in_review_and_opens_the_door_once_an_operator_has_approved(tmp_path):
    stage = enrolling(tmp_path)
    begin(stage, name="Person A", vendor_data="a")
    stage.show(A, seconds=3.0)
    (subject,) = stage.store.people.subjects().subjects
    stage.show(seconds=2.0)

    door = config(enrolment={"consent_version": "2026-11"})
    stage.judge.reload(door, stage.schedule(door))
    stage.show(A, seconds=2.0)
    before = stage.lines.pulses
    stage.show(seconds=2.0)
    stage.store.people.patch(subject.session_number, lambda one: replace(one, status=Status.APPROVED), actor="operator")
    stage.show(A, seconds=2.0)
    stage.close()

    assert subject.status is Status.IN_REVIEW
    assert (before, stage.lines.pulses) == (0, 1)
    assert [(one["status"], one["reasons"]) for one in stage.decisions[:1]] == [("In Review", ["not_approved"])]


def test_whoever_an_operator_enrols_is_approved(tmp_path):
    stage = enrolling(tmp_path)
    begin(stage, name="Person A", is_attended=True)
    stage.show(A, seconds=3.0)
    (subject,) = stage.store.people.subjects().subjects
    stage.close()

    assert subject.status is Status.APPROVED


def test_the_score_of_the_face_with_the_documents_portrait_is_told_with_the_enrolment(tmp_path):
    stage = enrolling(tmp_path)
    stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, portrait=B)
    stage.show(A, seconds=3.0)
    stage.show(seconds=2.0)
    stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, portrait=A)
    stage.show(A, seconds=3.0)
    total = stage.store.people.subjects().total
    stage.close()

    told = [one for one in stage.told(Topic.ENROLMENT) if one["state"] in {"added", "document"}]
    assert [one["state"] for one in told] == ["document", "added"]
    assert told[0]["portrait_score"] < stage.device.config.match.decline_threshold <= told[1]["portrait_score"]
    assert total == 1


@pytest.mark.parametrize(
    ("taken", "word"),
    [
        ({"vendor_data": "a-1"}, "vendor_data"),
        ({"document_number": "x 12-3"}, "document number"),
        ({"vendor_data": "session"}, "vendor_data"),
    ],
)
@pytest.mark.parametrize("is_attended", [False, True])
def test_a_code_that_somebody_has_is_not_given_away(tmp_path, taken, word, is_attended):
    stage = enrolling(tmp_path)
    begin(stage, name="Person A", vendor_data="a-1", document_number="X123", is_attended=True)
    stage.show(A, seconds=3.0)
    (known,) = stage.store.people.subjects().subjects
    wanted = {name: known.session_id if code == "session" else code for name, code in taken.items()}

    with pytest.raises(RefusedError, match=f"this {word} belongs to somebody else"):
        begin(stage, name="Person B", is_attended=is_attended, **wanted)
    stage.close()


def test_a_code_that_is_taken_meanwhile_is_not_stored_twice(tmp_path):
    stage = enrolling(tmp_path)
    begin(stage, name="Person B", vendor_data="a-1")
    stage.enrol(A, name="a-1")  # from the operator's page, while Person B steps up
    stage.show(B, seconds=3.0)
    total = stage.store.people.subjects().total
    stage.close()

    assert total == 1
    assert stage.told(Topic.ENROLMENT)[-1]["state"] == "duplicate"


def test_where_operators_enrol_nobody_begins_alone(tmp_path):
    stage = enrolling(tmp_path, by="operator")
    with pytest.raises(RefusedError, match="only operators enrol"):
        begin(stage, name="Person A")
    begin(stage, name="Person A", is_attended=True)
    stage.close()


@pytest.mark.parametrize("act", ["block", "decline", "forget"])
def test_whoever_loses_their_standing_while_the_decision_is_saved_gets_no_pulse(tmp_path, act):
    stage = Stage(tmp_path)
    number = stage.enrol(A).session_number
    saving, people = stage.device.save, stage.store.people

    def save(*what):
        entry = saving(*what)
        if act == "block":
            people.block(number, actor="operator")
        elif act == "decline":
            people.patch(number, lambda one: replace(one, status=Status.DECLINED), actor="operator")
        else:
            people.forget(number, actor="operator")
        return entry

    device: Any = stage.device
    device.save = save
    stage.show(A, seconds=2.0)
    stage.close()

    assert stage.lines.pulses == 0
    assert stage.decisions[0]["status"] == "Approved"  # as it was saved; the relay is what was refused
    assert "withdrawn" in stage.decisions[0]["reasons"]

"""Facts about the line from frames to the relay: scripted faces, a real store, a real door."""

from dataclasses import replace
from typing import Any

import pytest

from kiosk.door.lines import Output
from kiosk.entrance.expected import ENROLMENT_S
from kiosk.entrance.news import Consent, Topic
from kiosk.entrance.screen import UNOPENED
from kiosk.errors import ModelFileError, RefusedError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Refusal, RefusalReason
from kiosk.rules.patience import Patience, Tries
from kiosk.rules.presentation import Ready
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.subjects import Details
from kiosk.types import Origin, Status
from tests.entrance.staged import NOW, Stage, config, template
from tests.store.stored import refusing

CONSENT = Consent("2026-11", NOW)
A, B, STRANGER = template(1), template(2), template(3)


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path)
    yield made
    made.close()


def stage_for(tmp_path, mode, **sections):
    return Stage(tmp_path, config(entrance={"mode": mode}, **sections))


def logged(stage):
    return [one.entry for one in reversed(stage.store.decisions().decisions)]


def pulses(stage):
    return stage.lines.pulses


# ---- a door's day


def test_a_known_person_opens_the_door_once_and_must_leave_before_the_next_turn(stage):
    stage.enrol(A)

    stage.show(A, seconds=10.0)
    once = pulses(stage)
    stage.show(seconds=2.0)
    stage.show(A, seconds=2.0)

    assert (once, pulses(stage)) == (1, 2)
    assert [one["opened"] for one in stage.decisions] == [True, True]
    assert [entry.status for entry in logged(stage)] == ["Approved", "Approved"]


def test_a_stranger_and_a_blocked_person_open_nothing_and_only_one_of_them_is_an_alarm(stage):
    stage.enrol(A)
    stage.enrol(B, name="Person B", is_blocklisted=True)

    stage.show(STRANGER, seconds=2.0)
    stage.show(seconds=2.0)
    stage.show(B, seconds=2.0)

    assert pulses(stage) == 0
    assert [(one["status"], one["is_alarm"]) for one in stage.decisions] == [("Declined", False), ("Declined", True)]


def test_the_screen_shows_a_blocked_person_what_it_shows_a_stranger(stage):
    stage.enrol(B, name="Person B", is_blocklisted=True)

    stage.show(STRANGER, seconds=1.0)
    stranger = stage.screen
    stage.show(seconds=2.0)
    stage.show(B, seconds=1.0)
    blocked = stage.screen

    assert {**stranger, "face": None} == {**blocked, "face": None}
    assert stranger["result"] == "declined"
    assert "Person B" not in str(stage.told(Topic.SCREEN))


def test_two_people_at_once_are_asked_to_come_one_at_a_time(stage):
    stage.enrol(A)

    stage.show(A, STRANGER, seconds=3.0)

    assert stage.screen["guidance"] == "one_at_a_time"
    assert stage.decisions == []


def test_the_decision_is_on_the_disk_before_the_relay_moves(stage):
    stage.enrol(A)
    seen = []
    opening = stage.door.open
    stage.door.open = lambda grant: (seen.append(stage.store.decisions().total), opening(grant))[1]

    stage.show(A, seconds=1.0)

    assert seen == [1]
    assert pulses(stage) == 1


def slow_disk(stage):
    saving = stage.device.save
    stage.device.save = lambda *what: (stage.clock.advance(0.6), saving(*what))[1]


def show_until_decided(stage, person):
    for _ in range(50):
        if isinstance(stage.show(person, seconds=0.1)[-1], Ready):
            return
    pytest.fail("nobody was judged")


def test_a_disk_that_takes_its_time_opens_by_a_frame_of_now_and_tells_of_one_decision(stage):
    stage.enrol(A)
    slow_disk(stage)
    ages = []
    opening = stage.door.open
    stage.door.open = lambda grant: (ages.append(round(stage.clock.now - grant.captured_at, 1)), opening(grant))[1]

    stage.show(A, seconds=3.0)

    assert pulses(stage) == 1
    assert ages == [0.6, 0.0]
    assert [(one["reasons"], one["opened"]) for one in stage.decisions] == [(["matched"], True)]
    assert [entry.status for entry in logged(stage)] == ["Approved"]
    assert stage.screen["result"] == "welcome"


@pytest.mark.parametrize("others", [(), (STRANGER,), (A, STRANGER)], ids=["nobody", "another", "two"])
def test_a_disk_that_takes_its_time_opens_nothing_once_its_person_stands_there_no_longer(stage, others):
    stage.enrol(A)
    slow_disk(stage)
    show_until_decided(stage, A)

    waiting = stage.screen["state"]
    stage.show(*others, seconds=2.5)

    assert waiting == "busy"
    assert pulses(stage) == 0
    assert stage.decisions[0]["reasons"] == ["matched", "frame_too_old"]


def unopened(stage):
    return stage.store.unopened(stage.store.decisions().decisions[0].entry.request_id)


def test_an_approval_that_came_too_late_asks_its_person_to_look_again_and_leaves_a_record_of_why(stage):
    stage.enrol(A)
    slow_disk(stage)
    stage.door.open = lambda _grant: Refusal(RefusalReason.FRAME_TOO_OLD)
    show_until_decided(stage, A)

    stage.show(A, seconds=0.5)
    stage.judge._pending.give_up()
    stage.show(A, seconds=0.1)

    assert (stage.screen["result"], stage.screen["other_way"]) == ("again", False)
    record = unopened(stage)
    assert (record.kind, record.details["why"]) == (Kind.DOOR, "frame_too_old")
    assert stage.store.verify_log().is_intact
    assert stage.decisions[0]["status"] == "Approved"  # as it was saved; nothing rewrites it


@pytest.mark.parametrize("reason", list(RefusalReason), ids=lambda one: one.value)
def test_whatever_keeps_an_approval_from_opening_is_said_at_the_screen_and_recorded(stage, reason):
    stage.enrol(A)
    stage.door.open = lambda _grant: Refusal(reason, ("clock_untrusted",))

    stage.show(A, seconds=1.0)
    stage.judge._pending.end()
    stage.show(A, seconds=0.1)

    assert stage.screen["result"] == UNOPENED[reason].value
    assert unopened(stage).details["why"] == reason.value


def test_a_log_that_takes_no_record_of_it_leaves_the_door_shut_and_the_person_told(stage):
    def fail(*_, **__):
        raise StoreError("the disk is full")

    stage.enrol(A)
    stage.door.open = lambda _grant: Refusal(RefusalReason.LOG_ONLY)
    stage.store.record_act = fail

    stage.show(A, seconds=1.0)

    assert stage.screen["result"] == "not_opened"
    assert pulses(stage) == 0
    assert unopened(stage) is None


def test_a_decision_that_opened_has_no_such_record(stage):
    stage.enrol(A)

    stage.show(A, seconds=1.0)

    assert pulses(stage) == 1
    assert unopened(stage) is None


def decline(stage, number):
    stage.store.people.patch(number, lambda one: replace(one, status=Status.DECLINED))


def end_today(stage, number):
    stage.store.people.patch(number, lambda one: replace(one, valid_until=NOW))


WITHDRAWN = [
    pytest.param(lambda stage, number: stage.store.people.block(number), "blocklisted", id="blocked"),
    pytest.param(decline, "not_approved", id="declined"),
    pytest.param(end_today, "not_valid", id="out of date"),
]


@pytest.mark.parametrize(
    "withdraw",
    [*(one.values[0] for one in WITHDRAWN), lambda stage, number: stage.store.people.forget(number)],
    ids=["blocked", "declined", "out of date", "forgotten"],
)
def test_a_late_approval_opens_nothing_for_somebody_who_may_not_come_in_any_more(stage, withdraw):
    number = stage.enrol(A).session_number
    slow_disk(stage)
    show_until_decided(stage, A)

    withdraw(stage, number)
    stage.show(A, seconds=2.5)

    assert pulses(stage) == 0
    assert stage.decisions[0]["reasons"] == ["matched", "withdrawn"]


@pytest.mark.parametrize("event", ["settings", "camera"])
def test_what_makes_the_kiosk_begin_anew_ends_a_late_approval_too(stage, event):
    stage.enrol(A)
    slow_disk(stage)
    show_until_decided(stage, A)

    if event == "settings":
        stage.judge.reload(stage.config, stage.schedule(stage.config))
        stage.show(seconds=0.1)
    else:
        stage.judge.interrupt()

    assert stage.decisions[0]["reasons"] == ["matched", "frame_too_old"]
    assert pulses(stage) == 0


# ---- what is wrong


@pytest.mark.parametrize(
    "condition", [one for one in Condition if one.value in {"camera_lost", "disk_full", "starting"}]
)
def test_a_state_that_closes_judges_nobody_and_says_so(stage, condition):
    stage.enrol(A)
    stage.monitor.hold(condition, "it is so")

    stage.show(A, seconds=3.0)

    assert stage.decisions == []
    assert (stage.screen["state"], stage.screen["reasons"]) == ("closed", [condition.value])
    stage.monitor.end(condition)
    stage.show(A, seconds=2.0)
    assert pulses(stage) == 1


def test_a_state_that_leaves_the_log_judges_and_opens_nothing(stage):
    stage.enrol(A)
    stage.monitor.hold(Condition.CLOCK_UNTRUSTED, "nobody knows")

    stage.show(A, seconds=2.0)

    assert pulses(stage) == 0
    assert stage.decisions[0]["reasons"] == ["matched", "log_only", "clock_untrusted"]
    assert logged(stage)[0].details["states"] == ["clock_untrusted"]


@pytest.mark.parametrize(
    ("error", "condition"),
    [(StoreError("disk full"), "store_unreadable"), (ModelFileError("broken"), "self_test_failed")],
)
def test_whatever_fails_in_a_decision_opens_nothing_and_closes_the_kiosk(stage, error, condition):
    stage.enrol(A)

    def fail(*_):
        raise error

    stage.device.save = fail
    stage.show(A, seconds=3.0)

    assert pulses(stage) == 0
    assert stage.monitor.states() == (condition,)
    assert stage.screen["state"] == "closed"
    assert logged(stage) == []


def test_a_network_that_fails_while_a_face_is_followed_closes_the_kiosk_too(stage):
    def fail(*_):
        raise ModelFileError("the recogniser gave no numbers")

    stage.device.recogniser = replace(stage.device.recogniser, extract=fail)
    stage.show(A, seconds=1.0)

    assert stage.monitor.states() == ("self_test_failed",)
    assert stage.decisions == []


def test_other_errors_are_not_swallowed(stage):
    def fail(*_):
        raise ZeroDivisionError

    stage.device.recogniser = replace(stage.device.recogniser, extract=fail)
    with pytest.raises(ZeroDivisionError):
        stage.show(A, seconds=1.0)


# ---- repeated declines


def test_declines_in_a_row_slow_the_kiosk_down_then_lock_it_and_a_grant_forgives(tmp_path):
    quick = {"free_tries": 1, "wait_s": 5.0, "lockout_tries": 3, "lockout_s": 60.0}
    stage = Stage(tmp_path, config(attempts=quick))
    stage.enrol(A)
    for _ in range(2):
        stage.show(STRANGER, seconds=1.0)
        stage.show(seconds=2.0)
    waiting = stage.screen
    stage.show(A, seconds=1.0)
    held = len(stage.decisions)
    stage.show(seconds=5.0)
    stage.show(A, seconds=1.0)
    stage.close()

    assert (waiting["state"], waiting["other_way"]) == ("locked", True)
    assert 0 < waiting["held_s"] <= 5
    assert held == 2
    assert stage.decisions[-1]["opened"]
    assert [kept.declines for kept in stage.kept] == [1, 2, 0]


def test_a_kiosk_that_was_locked_is_locked_after_a_restart(tmp_path):
    stage = Stage(tmp_path, tries=Patience().restore({"declines": 9, "held_s": 30.0, "forgotten_s": 900.0}, 1000.0))
    stage.enrol(A)

    stage.show(A, seconds=5.0)
    locked = stage.screen["state"]
    stage.show(A, seconds=30.0)
    stage.close()

    assert locked == "locked"
    assert pulses(stage) == 1


# ---- a second opinion


class Counsel:
    """Somebody who is asked about borderline decisions."""

    def __init__(self, status="Approved", *, answers=True):
        self.status, self.answers, self.asked = status, answers, []

    def wants_photographs(self, _decision):
        return False

    def __call__(self, _decision, _photographs):
        return ()

    def asks(self, _decision):
        return True

    def second(self, decision, photographs):
        self.asked.append((decision.kind, decision.thresholds, photographs["user_image"][:2]))
        if not self.answers:
            return decision
        details = {**decision.details, "remote_request_id": "r-1"}
        return replace(decision, status=self.status, score=88.0, details=details, origin=Origin.CLOUD)


BORDERLINE = template(9, like=1, similarity=75.0)


def stage_with(tmp_path, counsel, *, is_answering=True):
    tasks = []
    stage: Any = Stage(tmp_path, outgoing=counsel, beside=lambda task: task() if is_answering else tasks.append(task))
    stage.enrol(A)
    stage.tasks = tasks
    return stage


def test_a_borderline_person_whom_the_cloud_knows_comes_in_by_a_fresh_frame_and_both_decisions_are_kept(tmp_path):
    counsel = Counsel()
    stage = stage_with(tmp_path, counsel)

    stage.show(BORDERLINE, seconds=2.0)
    entries = logged(stage)
    intact = stage.store.verify_log().is_intact
    stage.close()

    assert pulses(stage) == 1
    assert counsel.asked == [(Kind.VERIFY, {"verify": 76.0}, b"\xff\xd8")]
    assert [(entry.kind, entry.status) for entry in entries] == [
        (Kind.IDENTIFY, "In Review"),
        (Kind.REVISION, "Approved"),
    ]
    assert entries[0].details["asked_cloud"] is True
    assert entries[1].details["of"] == entries[0].request_id
    assert (entries[1].details["decided_by"], entries[1].details["remote_request_id"]) == ("cloud", "r-1")
    assert intact


def test_a_late_answer_opens_nothing_once_the_person_has_gone_or_another_stands_there(tmp_path):
    stage = stage_with(tmp_path, Counsel(), is_answering=False)

    stage.show(BORDERLINE, seconds=1.0)
    waiting = stage.screen["state"]
    stage.show(STRANGER, seconds=0.3)
    stage.tasks.pop()()
    stage.show(STRANGER, seconds=4.0)
    stage.close()

    assert waiting == "busy"
    assert pulses(stage) == 0


def test_an_answer_about_one_person_opens_for_nobody_else_after_the_settings_were_read_anew(tmp_path):
    stage = stage_with(tmp_path, Counsel(), is_answering=False)

    stage.show(BORDERLINE, seconds=1.0)
    stage.judge.reload(stage.config, stage.schedule(stage.config))
    stage.show(seconds=0.3)
    stage.show(STRANGER, seconds=1.0)
    stage.tasks.pop(0)()
    stage.show(STRANGER, seconds=1.0)
    stage.close()

    assert pulses(stage) == 0
    assert [one["status"] for one in stage.decisions] == ["In Review", "Declined"]


@pytest.mark.parametrize(("withdraw", "why"), WITHDRAWN)
def test_the_clouds_yes_opens_nothing_for_somebody_who_may_not_come_in_any_more(tmp_path, withdraw, why):
    stage = stage_with(tmp_path, Counsel(), is_answering=False)

    stage.show(BORDERLINE, seconds=1.0)
    withdraw(stage, 1)
    stage.tasks.pop(0)()
    stage.show(BORDERLINE, seconds=1.0)
    last = logged(stage)[-1]
    stage.close()

    assert pulses(stage) == 0
    assert (last.kind, last.details["reasons"]) == (Kind.REVISION, [why])


def test_while_the_cloud_is_silent_nothing_opens_and_the_frames_go_on(tmp_path):
    stage = stage_with(tmp_path, Counsel(), is_answering=False)

    outcomes = stage.show(BORDERLINE, seconds=4.0)
    stage.close()

    assert len(outcomes) == 40
    assert pulses(stage) == 0
    assert [one["kind"] for one in stage.decisions] == ["IDENTIFY"]


@pytest.mark.parametrize(
    ("counsel", "expected"),
    [
        (Counsel("Declined"), [("IDENTIFY", "In Review"), ("REVISION", "Declined")]),
        (Counsel(answers=False), [("IDENTIFY", "In Review")]),
    ],
)
def test_a_no_or_no_answer_opens_nothing(tmp_path, counsel, expected):
    stage = stage_with(tmp_path, counsel)
    stage.show(BORDERLINE, seconds=3.0)
    stage.close()

    assert pulses(stage) == 0
    assert [(one["kind"], one["status"]) for one in stage.decisions] == expected


def test_somebody_blocked_meanwhile_does_not_come_in_by_the_clouds_word(tmp_path):
    stage = stage_with(tmp_path, Counsel(), is_answering=False)
    stage.show(BORDERLINE, seconds=1.0)
    stage.store.people.block(1)
    stage.tasks.pop()()
    stage.show(BORDERLINE, seconds=1.0)
    stage.close()

    assert pulses(stage) == 0
    assert stage.decisions[-1]["reasons"] == ["blocklisted"]


# ---- verify


def test_without_a_code_nobody_is_judged_and_with_one_only_its_person_comes_in(tmp_path):
    stage = stage_for(tmp_path, "verify")
    a = stage.enrol(A).session_number
    stage.show(A, seconds=2.0)
    before = stage.screen["guidance"], len(stage.decisions)
    stage.judge.expected.claim(a)
    stage.show(STRANGER, seconds=2.0)
    stage.show(seconds=2.0)
    stage.judge.expected.claim(a)
    stage.show(A, seconds=2.0)
    stage.close()

    assert before == ("wait", 0)
    assert [(one["kind"], one["status"]) for one in stage.decisions] == [("VERIFY", "Declined"), ("VERIFY", "Approved")]
    assert pulses(stage) == 1


def test_a_code_serves_once_and_runs_out(tmp_path):
    stage = stage_for(tmp_path, "verify")
    a = stage.enrol(A).session_number

    seconds = stage.judge.expected.claim(a)
    stage.show(seconds=seconds + 1)
    stage.show(A, seconds=2.0)
    ran_out = len(stage.decisions)
    stage.judge.expected.claim(a)
    stage.show(seconds=1.0)
    stage.show(A, seconds=2.0)
    stage.show(seconds=2.0)
    stage.show(A, seconds=2.0)
    stage.close()

    assert (ran_out, len(stage.decisions)) == (0, 1)


def test_an_opening_is_announced_even_where_the_declines_cannot_be_kept(tmp_path):
    def fail(_tries):
        raise StoreError("the disk is full")

    stage = Stage(tmp_path, tries=Tries(1, 0.0, 1e9), keep=fail)
    stage.enrol(A)
    stage.show(A, seconds=1.0)
    stage.close()

    assert pulses(stage) == 1
    assert [one["opened"] for one in stage.decisions] == [True]
    assert stage.monitor.states() == ("store_unreadable",)


def test_a_code_in_another_mode_is_refused(stage):
    with pytest.raises(RefusedError, match="mode verify"):
        stage.judge.expected.claim(1)


# ---- enrol and screen


ENROLLING = {"enrolment": {"consent_version": "2026-11", "gather_s": 0.3}}


def test_a_guided_enrolment_stores_the_person_who_steps_up(tmp_path):
    stage = stage_for(tmp_path, "enrol", **ENROLLING)
    stage.show(A, seconds=2.0)
    nobody_asked = stage.store.people.subjects().total
    stage.show(seconds=2.0)

    enrolment = stage.judge.expected.begin_enrolment(
        Details(name="Person A"), CONSENT, is_allowlisted=False, is_attended=True
    )
    stage.show(A, seconds=3.0)
    (subject,) = stage.store.people.subjects().subjects
    news = stage.told(Topic.ENROLMENT)
    stage.close()

    assert nobody_asked == 0
    assert (subject.details.name, subject.references, subject.details.consent_version) == ("Person A", 3, "2026-11")
    assert {one["id"] for one in news} == {enrolment}
    assert [one["state"] for one in news if one["state"] != "waiting"] == ["added"]
    assert stage.screen["result"] == "enrolled"
    assert pulses(stage) == 0


def test_a_duplicate_is_told_and_not_stored(tmp_path):
    stage = stage_for(tmp_path, "enrol", **ENROLLING)
    stage.enrol(A)
    stage.judge.expected.begin_enrolment(Details(name="Person B"), CONSENT, is_allowlisted=False, is_attended=True)
    stage.show(A, seconds=3.0)
    stage.close()

    assert stage.told(Topic.ENROLMENT)[-1]["state"] == "duplicate"
    assert stage.screen["result"] == "not_enrolled"


def test_an_enrolment_that_was_cancelled_stores_nobody(tmp_path):
    stage = stage_for(tmp_path, "enrol", **ENROLLING)
    enrolment = stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, is_attended=True)
    stage.judge.expected.cancel_enrolment(enrolment)
    stage.judge.expected.cancel_enrolment(enrolment)
    stage.show(A, seconds=3.0)
    total = stage.store.people.subjects().total
    stage.close()

    assert total == 0
    assert [one["state"] for one in stage.told(Topic.ENROLMENT)] == ["waiting", "cancelled"]


def test_an_enrolment_that_is_being_stored_cannot_be_cancelled_and_is_not_said_to_be(tmp_path):
    stage = stage_for(tmp_path, "enrol", **ENROLLING)
    enrolment = stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, is_attended=True)
    storing, refused = stage.store.people.enrol, []

    def store(*given, **named):
        with pytest.raises(RefusedError, match="is being stored") as refusal:
            stage.judge.expected.cancel_enrolment(enrolment)
        refused.append(refusal)
        return storing(*given, **named)

    stage.store.people.enrol = store
    stage.show(A, seconds=3.0)
    total = stage.store.people.subjects().total
    stage.close()

    states = [one["state"] for one in stage.told(Topic.ENROLMENT)]
    assert (len(refused), total) == (1, 1)
    assert "cancelled" not in states
    assert states[-1] == "added"


@pytest.mark.parametrize("meanwhile", ["nobody_came", "the_mode_changed"])
def test_an_enrolment_that_was_left_alone_takes_nobody_who_comes_later(tmp_path, meanwhile):
    stage = stage_for(tmp_path, "enrol", **ENROLLING)
    stage.judge.expected.begin_enrolment(Details(name="Person A"), CONSENT, is_allowlisted=False, is_attended=True)

    if meanwhile == "nobody_came":
        stage.clock.advance(ENROLMENT_S)
    else:
        other = config(**ENROLLING)
        stage.judge.reload(other, stage.schedule(other))
        stage.show(seconds=0.2)
        stage.judge.reload(stage.config, stage.schedule(stage.config))
    stage.show(STRANGER, seconds=3.0)
    stored = stage.store.people.subjects().total
    stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, is_attended=True)
    stage.close()

    assert stored == 0
    assert [one["state"] for one in stage.told(Topic.ENROLMENT)] == ["waiting", "cancelled", "waiting"]


def test_an_enrolment_whose_store_fails_is_told_so(tmp_path):
    stage = stage_for(tmp_path, "enrol", **ENROLLING)
    stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, is_attended=True)

    with refusing(stage.store.directory, "INSERT ON subject"):
        stage.show(A, seconds=3.0)
    stage.close()

    assert stage.told(Topic.ENROLMENT)[-1]["state"] == "failed"
    assert stage.monitor.states() == ("store_unreadable",)


@pytest.mark.parametrize(
    ("mode", "enrolling", "version", "said"),
    [
        ("identify", {"consent_version": "2026-11"}, "2026-11", "mode identify"),
        ("enrol", {}, "2026-11", "consent_version"),
        ("enrol", {"consent_version": "2026-12"}, "2026-11", "in force is 2026-12"),
    ],
)
def test_nobody_is_enrolled_without_the_consent_in_force(tmp_path, mode, enrolling, version, said):
    stage = stage_for(tmp_path, mode, enrolment=enrolling)
    with pytest.raises(RefusedError, match=said):
        stage.judge.expected.begin_enrolment(Details(), Consent(version, NOW), is_allowlisted=False, is_attended=True)
    stage.close()


def test_one_enrolment_at_a_time(tmp_path):
    stage = stage_for(tmp_path, "enrol", **ENROLLING)
    stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, is_attended=True)
    with pytest.raises(RefusedError, match="another enrolment"):
        stage.judge.expected.begin_enrolment(Details(), CONSENT, is_allowlisted=False, is_attended=True)
    stage.close()


def test_screening_decides_by_didits_search_and_opens_nothing(tmp_path):
    stage = stage_for(tmp_path, "screen")
    stage.enrol(A)
    stage.show(A, seconds=2.0)
    stage.show(seconds=2.0)
    stage.show(STRANGER, seconds=2.0)
    stage.close()

    assert [(one["kind"], one["status"]) for one in stage.decisions] == [
        ("FACE_SEARCH", "In Review"),
        ("FACE_SEARCH", "Approved"),
    ]
    assert pulses(stage) == 0
    assert stage.screen["result"] == "checked"


# ---- settings, camera, lamps


def test_other_settings_hold_from_the_next_frame_on(stage):
    stage.enrol(A)
    strict = config(entrance={"identify_threshold": 100.0, "review_margin": 0.0, "hold_fpir": 0.0})
    stage.judge.reload(strict, stage.schedule(strict))

    stage.show(template(8, like=1, similarity=90.0), seconds=2.0)

    assert [one["status"] for one in stage.decisions] == ["Declined"]


def test_a_camera_whose_pictures_are_all_too_late_closes_the_kiosk_until_they_are_not(stage):
    stage.enrol(A)

    stage.show(A, seconds=0.3, late_s=0.6)
    soon = stage.monitor.states()
    stage.show(A, seconds=1.0, late_s=0.6)
    late, nobody = stage.monitor.states(), stage.decisions
    stage.show(A, seconds=1.0)

    assert (soon, late, stage.monitor.states()) == ((), ("frames_late",), ())
    assert (nobody, pulses(stage)) == ([], 1)


def test_frames_of_a_camera_opened_anew_begin_a_new_presentation(stage):
    stage.enrol(A)
    stage.show(A, seconds=0.2)
    stage.judge.interrupt()

    outcomes = stage.show(A, seconds=0.3)

    assert not any(isinstance(one, Ready) for one in outcomes[:2])


def test_lamps_say_what_the_screen_says(stage):
    stage.enrol(A)
    stage.show(A, seconds=1.0)
    welcome = stage.lines.lit
    stage.show(seconds=6.0)
    stage.show(STRANGER, seconds=0.6)

    assert {Output.RELAY, Output.GREEN} <= welcome
    assert Output.RED in stage.lines.lit


def test_every_decision_is_logged_once_over_many_visits(stage):
    stage.enrol(A)
    for seed in range(40):
        stage.show(A if seed % 2 else template(1000 + seed), seconds=0.6)
        stage.show(seconds=1.5)
        stage.wall.advance(1000)
        stage.clock.advance(1000)

    entries = logged(stage)

    assert len(entries) == len(stage.decisions) == stage.judge.decided == 40
    assert {entry.request_id for entry in entries} == {one["request_id"] for one in stage.decisions}
    assert all(entry.kind is Kind.IDENTIFY for entry in entries)
    assert pulses(stage) == sum(entry.status == "Approved" for entry in entries) == 20
    assert stage.store.verify_log().is_intact
    assert stage.store.decisions(DecisionFilter(status="Declined")).total == 20


def test_a_kiosk_without_a_door_decides_all_the_same(tmp_path):
    stage = Stage(tmp_path, has_door=False)
    stage.enrol(A)
    stage.show(A, seconds=2.0)
    stage.close()

    assert [(one["status"], one["opened"]) for one in stage.decisions] == [("Approved", False)]
    assert stage.judge._tries == Tries()

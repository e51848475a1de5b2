"""Facts about one decision at the door: who may come in, and what is saved of it."""

from dataclasses import replace

import pytest

from kiosk.device.outgoing import NothingLeaves
from kiosk.entrance.expected import store_person
from kiosk.entrance.news import Consent
from kiosk.recognition.quality import Quality
from kiosk.rules.admission import DoorReason
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.outbox import Message
from kiosk.store.subjects import SESSION, Details
from kiosk.types import Entity, Status, Template
from tests.entrance.staged import GOOD, NOW, Stage, config, ready, template

CONSENT = Consent("2026-11", NOW)


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path)
    yield made
    made.close()


def ruled(verdict):
    return verdict.status.value, verdict.reasons[0]


def likeness(similarity):
    return ready(template(77, like=1, similarity=similarity))


# ---- who is it?


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        (100.0, ("Approved", "matched")),
        (80.0, ("Approved", "matched")),
        (79.0, ("In Review", "borderline")),
        (70.1, ("In Review", "borderline")),
        (69.0, ("Declined", "unknown")),
    ],
)
def test_a_known_person_comes_in_and_a_borderline_one_is_reviewed(stage, similarity, expected):
    stage.enrol(template(1))

    assert ruled(stage.entrance.identify(likeness(similarity))) == expected


def test_an_empty_gallery_knows_nobody(stage):
    assert ruled(stage.entrance.identify(ready(template(1)))) == ("Declined", "unknown")


def test_two_people_who_look_alike_are_for_a_person_to_tell_apart(stage):
    stage.enrol(template(1))
    stage.enrol(template(2, like=1, similarity=97.0), name="Person B")

    verdict = stage.entrance.identify(ready(template(1)))

    assert ruled(verdict) == ("In Review", "close_second")
    assert not verdict.may_open


def test_two_references_of_one_person_are_no_second_person(stage):
    stage.enrol(template(1), template(2, like=1, similarity=99.0))

    assert ruled(stage.entrance.identify(ready(template(1)))) == ("Approved", "matched")


def test_the_threshold_rises_with_the_gallery(tmp_path):
    stage = Stage(tmp_path, config(entrance={"hold_fpir": 1e-4}))
    for seed in range(100, 200):
        stage.enrol(template(seed), name=f"Person {seed}")
    stage.enrol(template(1))

    verdict = stage.entrance.identify(likeness(84.0))
    saved = stage.store.decisions(DecisionFilter(request_id=verdict.request_id)).decisions[0].entry
    stage.close()

    assert ruled(verdict) == ("In Review", "borderline")
    assert saved.thresholds["identify"] > 84.0
    assert saved.gallery_size == 101


def test_a_blocked_person_raises_the_alarm_whoever_else_they_look_like(stage):
    stage.enrol(template(1))
    blocked = stage.enrol(template(2, like=1, similarity=97.0), name="Person B", is_blocklisted=True)

    verdict = stage.entrance.identify(ready(template(1)))

    assert ruled(verdict) == ("Declined", "blocklisted")
    assert verdict.is_alarm
    assert verdict.subject.session_number == blocked.session_number


def test_a_blocked_person_is_found_in_mode_verify_too(stage):
    number = stage.enrol(template(1)).session_number
    stage.enrol(template(2, like=1, similarity=97.0), name="Person B", is_blocklisted=True)

    assert ruled(stage.entrance.verify(ready(template(1)), number)) == ("Declined", "blocklisted")


@pytest.mark.parametrize("status", [Status.IN_REVIEW, Status.DECLINED])
def test_somebody_whose_own_record_is_not_approved_does_not_come_in(stage, status):
    stage.enrol(template(1), status=status)

    verdict = stage.entrance.identify(ready(template(1)))

    assert (verdict.status, verdict.reasons) == (status, ("not_approved",))


def test_whoever_a_call_made_known_does_not_come_in_by_face_nor_by_code(stage):
    number = stage.enrol(template(1), source=SESSION).session_number

    assert ruled(stage.entrance.identify(ready(template(1)))) == ("In Review", "not_approved")
    assert ruled(stage.entrance.verify(ready(template(1)), number)) == ("In Review", "not_approved")


@pytest.mark.parametrize(("dates", "is_let_in"), [((-1, 1), True), ((1, 2), False), ((-2, -1), False)])
def test_nobody_comes_in_before_the_first_day_or_after_the_last(stage, dates, is_let_in):
    begin, end = (NOW + 86400 * day for day in dates)
    number = stage.enrol(template(1), valid_from=begin, valid_until=end).session_number

    identified, verified = (
        stage.entrance.identify(ready(template(1))),
        stage.entrance.verify(ready(template(1)), number),
    )

    expected = ("Approved", "matched") if is_let_in else ("Declined", "not_valid")
    assert ruled(identified) == ruled(verified) == expected


def test_dates_hold_nobody_up_and_let_nobody_in_where_the_clock_is_not_believed(stage):
    stage.enrol(template(1))
    stage.enrol(template(2), name="Person B", valid_until=NOW + 86400)
    stage.is_clock_trusted = False

    assert ruled(stage.entrance.identify(ready(template(1)))) == ("Approved", "matched")
    assert ruled(stage.entrance.identify(ready(template(2)))) == ("Declined", "clock_untrusted")


def test_hours_close_the_door_for_those_they_are_meant_for(tmp_path):
    hours = ("mon-fri 09:00-17:00", "guards: mon-sun 00:00-24:00")
    stage = Stage(tmp_path, config(schedule={"week": hours}))  # it is Friday, 08:00
    stage.enrol(template(1))
    stage.enrol(template(2), name="Person B", plan="guards")
    stage.enrol(template(3), name="Person C", plan="nobody-knows")

    early, guard, lost = (ruled(stage.entrance.identify(ready(template(seed)))) for seed in (1, 2, 3))
    stage.wall.advance(3600)
    on_time = ruled(stage.entrance.identify(ready(template(1))))
    stage.is_clock_trusted = False
    unknown_time = ruled(stage.entrance.identify(ready(template(1))))
    stage.close()

    assert (early, guard, lost) == (
        ("Declined", "outside_hours"),
        ("Approved", "matched"),
        ("Declined", "unknown_plan"),
    )
    assert (on_time, unknown_time) == (("Approved", "matched"), ("Declined", "clock_untrusted"))


def test_a_person_of_another_doors_groups_does_not_come_in_by_face_nor_by_code(stage):
    from kiosk.store.fleet.shared import Shared

    ann = stage.enrol(template(1), groups=("it",)).session_number
    bob = stage.enrol(template(2), name="Person B").session_number
    door = Shared(stage.store).take_door
    assert ruled(stage.entrance.identify(ready(template(2)))) == ("Approved", "matched")
    door(["it", "board"], revision=1)

    assert ruled(stage.entrance.identify(ready(template(1)))) == ("Approved", "matched")
    assert ruled(stage.entrance.identify(ready(template(2)))) == ("Declined", "not_this_door")
    assert ruled(stage.entrance.verify(ready(template(2)), bob)) == ("Declined", "not_this_door")
    let_in = stage.entrance.verify(ready(template(1)), ann)
    door([], revision=2)
    assert not stage.entrance.still_stands(let_in)
    door(["*"], revision=3)
    assert stage.entrance.still_stands(let_in)


# ---- is it the person of the code?


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        (76.0, ("Approved", "matched")),
        (75.0, ("In Review", "borderline")),
        (65.0, ("Declined", "other_person")),
    ],
)
def test_a_claim_is_held_against_the_persons_best_reference(stage, similarity, expected):
    number = stage.enrol(template(9), template(1)).session_number

    assert ruled(stage.entrance.verify(likeness(similarity), number)) == expected


def test_somebody_younger_than_scores_hold_for_goes_to_review_by_either_way(stage):
    number = stage.enrol(template(1)).session_number

    found = stage.entrance.identify(ready(template(1)), age=lambda: 9.0)
    claimed = stage.entrance.verify(ready(template(1)), number, age=lambda: 9.0)
    grown = stage.entrance.identify(ready(template(1)), age=lambda: 30.0)

    assert ruled(found) == ruled(claimed) == ("In Review", "age_below_scale")
    assert ruled(grown) == ("Approved", "matched")


def test_nobodys_age_is_estimated_where_it_changes_nothing(stage):
    def never():
        raise AssertionError("this must not be called")

    assert ruled(stage.entrance.identify(ready(template(1)), age=never)) == ("Declined", "unknown")


def test_a_claim_of_somebody_forgotten_or_of_another_model_is_declined(stage):
    number = stage.enrol(Template(template(1).vector, "b" * 64)).session_number

    assert ruled(stage.entrance.verify(ready(template(1)), number)) == ("Declined", "no_reference")
    stage.store.people.forget(number)
    assert ruled(stage.entrance.verify(ready(template(1)), number)) == ("Declined", "no_reference")


# ---- what is saved


def test_a_decision_is_in_the_log_with_its_reasons_states_and_thresholds(stage):
    subject = stage.enrol(template(1))
    stage.monitor.hold(_condition("pad_off"), "there is none")

    verdict = stage.entrance.identify(ready(template(1)))

    (logged,) = stage.store.decisions(DecisionFilter(request_id=verdict.request_id)).decisions
    entry = logged.entry
    assert (entry.kind, entry.status, entry.session_number) == (Kind.IDENTIFY, "Approved", subject.session_number)
    assert entry.details == {"mode": "identify", "reasons": ["matched"], "states": ["pad_off"], "frames": 3}
    assert entry.thresholds["blocklist"] == 70.0
    assert logged.answer["identify"]["match"]["user_details"]["name"] == "Person A"
    assert "Person A" not in str(entry)


def test_what_names_a_person_is_gone_when_the_person_is_forgotten(stage):
    number = stage.enrol(template(1)).session_number
    verdict = stage.entrance.identify(ready(template(1)))

    stage.store.people.forget(number)

    (logged,) = stage.store.decisions(DecisionFilter(request_id=verdict.request_id)).decisions
    assert logged.answer is None
    assert stage.store.verify_log().is_intact


class Wanting(NothingLeaves):
    def __init__(self, *, wants):
        self.wants, self.photographs = wants, []

    def wants_photographs(self, decision):
        return self.wants and decision.kind is Kind.IDENTIFY

    def __call__(self, decision, photographs):
        self.photographs.append(dict(photographs))
        return [Message("summary", {"status": decision.status})]


@pytest.mark.parametrize("wants", [True, False])
def test_a_photograph_is_made_only_where_it_is_to_leave_with_the_decision(tmp_path, wants):
    outgoing, made = Wanting(wants=wants), []
    stage = Stage(tmp_path, outgoing=outgoing)

    stage.entrance.identify(ready(template(1)), lambda: (made.append(1), b"jpeg")[1])
    waiting = stage.store.outbox.counts()
    stage.close()

    assert outgoing.photographs == [{"user_image": b"jpeg"} if wants else {}]
    assert made == [1] * wants
    assert sum(waiting.values()) == 1


# ---- screening and enrolment


def test_screening_speaks_didits_words_and_lets_nobody_in(stage):
    stage.enrol(template(1))
    entity = Entity((0, 0, 9, 9), 0.9, 30.0, "male")

    known, stranger = (stage.entrance.screen(ready(template(seed)), entity) for seed in (1, 2))

    assert (known.status, stranger.status) == (Status.IN_REVIEW, Status.APPROVED)
    assert not known.may_open
    assert not stranger.may_open


def test_an_enrolment_keeps_every_good_frame_and_the_consent(stage):
    frames = ready(template(1))
    frames = replace(frames, templates=tuple(template(seed, like=1, similarity=95.0) for seed in (11, 12, 13)))

    outcome = store_person(
        stage.device,
        frames,
        Details(name="Person C"),
        CONSENT,
        is_allowlisted=False,
        is_attended=True,
        photograph=b"jpeg",
    )

    assert outcome.subject is not None
    subject = stage.store.people.subject(outcome.subject.session_number)
    assert subject is not None
    assert (outcome.kind, subject.references, subject.images) == ("added", 3, 1)
    assert (subject.details.consent_version, subject.details.consent_at) == ("2026-11", NOW)


def test_an_enrolment_finds_duplicates_blocked_people_two_people_and_poor_frames(stage):
    stage.enrol(template(1))
    stage.enrol(template(2), name="Person B", is_blocklisted=True)
    mixed = replace(ready(template(3)), templates=(template(3), template(4), template(3)))
    poor = replace(ready(template(5)), qualities=(GOOD, Quality(9.0, 120.0, 40.0, 300.0, 0.9), GOOD))

    kinds = [
        store_person(
            stage.device, one, Details(), CONSENT, is_allowlisted=False, is_attended=True, photograph=None
        ).kind
        for one in (ready(template(1)), ready(template(2)), mixed, poor)
    ]

    assert kinds == ["duplicate", "blocklisted", "mixed", "poor"]
    assert stage.store.people.subjects().total == 2


@pytest.mark.parametrize(("seed", "kind"), [(1, "added"), (2, "document")])
def test_a_documents_portrait_is_compared_with_the_live_face_and_somebody_elses_enrols_nobody(stage, seed, kind):
    outcome = store_person(
        stage.device,
        ready(template(1)),
        Details(),
        CONSENT,
        is_allowlisted=False,
        is_attended=True,
        photograph=None,
        portrait=template(seed),
    )

    decline = stage.device.config.match.decline_threshold
    assert (outcome.kind, outcome.portrait_score >= decline) == (kind, kind == "added")
    assert stage.store.people.subjects().total == (kind == "added")


def test_a_suspected_attack_is_declined_and_saved(stage):
    judged = {"verdict": "attack", "score": 2.5}
    verdict = stage.entrance.suspect(replace(ready(template(1)), liveness=judged), DoorReason.ATTACK_SUSPECTED)

    assert ruled(verdict) == ("Declined", "attack_suspected")
    (one,) = stage.store.decisions().decisions
    assert one.entry.details["liveness"] == judged


def _condition(name):
    from kiosk.rules.conditions import Condition

    return Condition(name)


# ---- what its reviewer will see


@pytest.mark.parametrize("keeps", [True, False], ids=["allowed", "not allowed"])
def test_the_face_of_a_decision_in_review_is_kept_only_where_a_setting_says_so(tmp_path, keeps):
    stage = Stage(tmp_path, config(review={"keep_probe": keeps}))
    stage.enrol(template(1))
    stage.show(template(9, like=1, similarity=76.0), seconds=1.0)

    (waits,) = stage.store.log.waiting(limit=5, offset=0).decisions
    kept = stage.store.review_images.read(waits.entry.seq, "probe")
    stage.close()

    assert (kept is not None and kept.startswith(b"\xff\xd8")) is keeps


def test_nobody_who_is_let_in_or_declined_leaves_a_picture(tmp_path):
    stage = Stage(tmp_path, config(review={"keep_probe": True}))
    stage.enrol(template(1))
    stage.show(template(1), seconds=1.0)
    stage.show(seconds=2.0)
    stage.show(template(3), seconds=1.0)

    kept = [stage.store.review_images.names(one.entry.seq) for one in stage.store.decisions().decisions]
    stage.close()

    assert kept == [(), ()]


def test_a_decision_between_two_people_names_both_and_is_erased_with_either(tmp_path):
    stage = Stage(tmp_path)
    stage.enrol(template(1), name="Person A")
    second = stage.enrol(template(2, like=1, similarity=97.0), name="Person B")
    stage.show(template(1), seconds=1.0)
    (waits,) = stage.store.log.waiting(limit=5, offset=0).decisions
    assert waits.answer is not None
    answer = waits.answer["identify"]

    stage.store.people.forget(second.session_number)
    (after,) = stage.store.log.waiting(limit=5, offset=0).decisions
    stage.close()

    assert answer["reasons"] == ["close_second"]
    assert [row["user_details"]["name"] for row in (answer["match"], *answer["others"])] == ["Person A", "Person B"]
    assert after.answer is None

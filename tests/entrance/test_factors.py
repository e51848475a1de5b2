"""A face and a PIN or a card: what opens, what is recorded, and that duress shows nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from kiosk.entrance.factor_step import FactorStep
from kiosk.entrance.news import Topic
from kiosk.errors import RefusedError
from kiosk.integrations.log_lines import event_of
from kiosk.rules.admission import DoorReason
from kiosk.rules.cards import read_card
from kiosk.rules.factors import Factor, read_factors
from kiosk.rules.presentation import Left, Nobody
from kiosk.store.factors.factors import FactorStore
from kiosk.store.factors.pins import Entered, make_pins
from tests.entrance.staged import FPS, Stage, config, ready, template

A, B = template(1), template(2)
CARD, OTHER = read_card("12-3456"), read_card("12-3457")
ALWAYS = ("mon-sun 00:00-24:00",)
PIN, DURESS, WRONG = "4711", "4829", "1379"


def stage_of(directory: Path, *, mode: str = "identify", **factors: Any) -> Stage:
    settings = config(entrance={"mode": mode}, factors=factors)
    made = Stage(directory, settings)
    made.entrance.apply(
        settings.entrance,
        made.schedule(settings),
        read_factors("UTC", pin=settings.factors.pin, card=settings.factors.card),
    )
    return made


@pytest.fixture(scope="module")
def pins():
    return make_pins(PIN, DURESS)


@pytest.fixture
def stage(tmp_path, pins):
    made = stage_of(tmp_path, pin=ALWAYS)
    made.store.factors.give(made.enrol(A).session_number, pins=pins)
    made.store.factors.give(made.enrol(B, name="Person B").session_number, card=OTHER)
    yield made
    made.close()


def reasons(stage):
    return [one["reasons"] for one in stage.decisions]


def visit(stage, digits=None, person=A):
    """Have a person come, be asked, enter something and leave; return what the screen and the operators were told."""
    before = len(stage.news)
    stage.show(person, seconds=1.0)
    assert stage.screen["state"] == "factor"
    if digits is not None:
        stage.judge.factors.enter(digits)
    stage.show(person, seconds=1.0)
    stage.show(seconds=4.0)
    return stage.news[before:]


def test_a_face_alone_opens_nothing_and_saves_nothing_while_the_pin_is_awaited(stage):
    stage.show(A, seconds=3.0)

    assert stage.lines.pulses == 0
    assert stage.decisions == []
    assert stage.screen["factor"] == {"wants": "pin", "tries_left": 3, "wrong": 0}


def test_face_and_pin_open_once_with_one_record(stage):
    visit(stage, PIN)

    assert stage.lines.pulses == 1
    assert reasons(stage) == [["matched"]]
    (entry,) = (one.entry for one in stage.store.decisions().decisions)
    assert entry.details["factors"] == ["pin"]


def test_whoever_leaves_without_a_pin_is_declined(stage):
    visit(stage)

    assert stage.lines.pulses == 0
    assert reasons(stage) == [["factor_missing"]]


def test_a_person_without_a_pin_cannot_enter_one_and_the_third_try_ends_it(stage):
    stage.show(B, seconds=1.0)
    for _ in range(3):
        stage.judge.factors.enter("2580")  # also not what stands in the place of their verifiers
    stage.show(B, seconds=1.0)

    assert stage.lines.pulses == 0
    assert reasons(stage) == [["wrong_pin"]]
    with pytest.raises(RefusedError):
        stage.judge.factors.enter("2580")


def guess(stage, digits, times=1):
    """Have A asked anew, and enter something so many times, at most three."""
    stage.show(seconds=4.0)
    stage.clock.advance(400.0)  # the kiosk's own lock-out is over
    stage.show(A, seconds=1.0)
    for _ in range(times):
        stage.judge.factors.enter(digits)
    stage.show(A, seconds=1.0)


def test_wrong_pins_lock_their_person_whoever_comes_in_between_and_across_a_restart(stage, tmp_path):
    for _ in range(3):
        guess(stage, WRONG, 2)
        stage.show(seconds=4.0)
        stage.judge._count(True)  # somebody else was let in
    guess(stage, WRONG, 3)
    guess(stage, WRONG)
    assert stage.store.factors.read(1).wrong == 10
    stage.judge.factors.enter(PIN)  # at once: locked
    stage.show(A, seconds=1.0)
    stage.close()
    again = stage_of(tmp_path, pin=ALWAYS)

    again.show(A, seconds=1.0)
    again.judge.factors.enter(PIN)
    again.judge.factors.enter(DURESS)
    again.show(A, seconds=1.0)
    assert again.screen["factor"] == {"wants": "pin", "tries_left": 1, "wrong": 2}
    again.show(seconds=4.0)
    assert len(again.told(Topic.DURESS)) == 1  # a forced person is heard all the same
    again.clock.advance(300.0)
    visit(again, PIN)

    assert stage.lines.pulses == 0
    assert again.lines.pulses == 1
    assert again.store.factors.read(1).wrong == 0
    again.close()


def test_another_pin_from_an_operator_ends_a_lock(stage, pins):
    for _ in range(12):
        stage.store.factors.count(1, is_wrong=True)

    stage.store.factors.give(1, pins=pins)
    visit(stage, PIN)

    assert stage.lines.pulses == 1


def test_a_wrong_try_is_shown_and_the_next_may_be_right(stage):
    stage.show(A, seconds=1.0)
    stage.judge.factors.enter(WRONG)
    stage.show(A, seconds=1 / FPS)
    assert stage.screen["factor"] == {"wants": "pin", "tries_left": 2, "wrong": 1}

    stage.judge.factors.enter(PIN)
    stage.show(A, seconds=1.0)

    assert reasons(stage) == [["matched"]]


def test_whoever_gave_everything_is_asked_for_nothing_more_while_their_face_is_awaited(stage):
    stage.show(A, seconds=1.0)
    stage.judge.factors.enter(PIN)
    stage.show(A, B, seconds=0.5)  # somebody beside them: no frame to decide by

    assert (stage.screen["state"], stage.screen["factor"]) == ("busy", None)
    stage.show(A, seconds=0.5)
    assert reasons(stage) == [["matched"]]


def test_a_face_hidden_while_a_card_comes_out_of_a_bag_is_still_awaited(stage):
    stage.show(A, seconds=1.0)
    stage.show(seconds=2.5)
    stage.judge.factors.enter(PIN)
    stage.show(A, seconds=1.0)

    assert reasons(stage) == [["matched"]]
    assert stage.lines.pulses == 1


def test_time_runs_out(stage):
    stage.show(A, seconds=32.0)

    assert reasons(stage)[0] == ["factor_missing"]
    assert stage.lines.pulses == 0


def test_a_pin_counts_for_the_one_who_was_asked_and_not_for_who_stands_there_then(stage):
    stage.show(A, seconds=1.0)
    stage.judge.factors.enter(PIN)
    stage.show(B, seconds=3.0)

    assert stage.lines.pulses == 0
    assert reasons(stage)[0] == ["factor_missing"]


def test_whoever_is_blocked_while_they_enter_stays_outside(stage):
    stage.show(A, seconds=1.0)
    stage.store.people.block(1)
    stage.judge.factors.enter(PIN)
    stage.show(A, seconds=1.0)

    assert stage.lines.pulses == 0
    assert reasons(stage) == [["blocklisted"]]


def test_a_stranger_is_not_asked(stage):
    stage.show(template(9), seconds=2.0)

    assert reasons(stage) == [["unknown"]]
    with pytest.raises(RefusedError):
        stage.judge.factors.enter(PIN)


def test_nothing_but_the_silent_alarm_tells_duress_from_a_normal_entry(stage):
    def seen(news):
        """All that a screen or an operator without the right hears, its numbers by the first of them."""
        first = next(one.number for one in news if one.topic is not Topic.DURESS)
        return [
            (
                one.number - first,
                one.topic,
                {key: value for key, value in one.data.items() if key not in {"request_id", "at", "score"}},
            )
            for one in news
            if one.topic is not Topic.DURESS
        ]

    normal = visit(stage, PIN)
    forced = visit(stage, DURESS)

    assert stage.lines.pulses == 2
    assert seen(normal) == seen(forced)
    assert [one.topic for one in normal].count(Topic.DURESS) == 0
    (alarm,) = (one for one in forced if one.topic is Topic.DURESS)
    line = event_of(alarm)
    assert line is not None
    assert (line.kind, line.severity, line.facts) == ("duress", 1, {"request_id": alarm.data["request_id"]})
    entries = [one.entry for one in stage.store.decisions().decisions]
    first, second = (json.dumps([one.details, one.status, one.warnings]) for one in entries)
    assert first == second
    assert [(one.request_id, one.entered) for one in stage.store.factors.notes()] == [
        (entries[0].request_id, Entered.DURESS)
    ]
    note = stage.store.factors.notes()[0]  # what a webhook says after a restart is what it said before
    assert alarm.data == {"request_id": note.request_id, "session_number": note.session_number, "at": note.at}


def test_an_entry_under_duress_is_an_alarm_also_where_nothing_opens(tmp_path, pins):
    stage = stage_of(tmp_path, pin=ALWAYS, card=ALWAYS)
    stage.store.factors.give(stage.enrol(A).session_number, pins=pins, card=CARD)

    visit(stage, DURESS)

    assert reasons(stage) == [["factor_missing"]]
    assert len(stage.told(Topic.DURESS)) == 1
    stage.close()


@pytest.mark.parametrize(
    ("card", "opens", "why"), [(CARD, 1, ["matched"]), (OTHER, 0, ["wrong_card"]), (None, 0, ["factor_missing"])]
)
def test_a_face_and_a_card(tmp_path, card, opens, why):
    stage = stage_of(tmp_path, card=ALWAYS, tries=1)
    stage.store.factors.give(stage.enrol(A).session_number, card=CARD)
    stage.store.factors.give(stage.enrol(B, name="Person B").session_number, card=OTHER)

    stage.show(A, seconds=1.0)
    assert stage.screen["factor"]["wants"] == "card"
    if card is not None:
        assert stage.judge.factors.offer(card)
    stage.show(A, seconds=1.0)
    stage.show(seconds=4.0)

    assert stage.lines.pulses == opens
    assert reasons(stage) == [why]
    stage.close()


def test_a_code_then_a_face_then_a_pin_stays_a_comparison_with_that_person(tmp_path, pins):
    stage = stage_of(tmp_path, mode="verify", pin=ALWAYS)
    ann = stage.enrol(A).session_number
    stage.store.factors.give(ann, pins=pins)
    stage.judge.expected.claim(ann)

    stage.show(A, seconds=1.0)
    stage.judge.factors.enter(PIN)
    stage.show(A, seconds=1.0)

    assert [(one["kind"], one["status"]) for one in stage.decisions] == [("VERIFY", "Approved")]
    assert stage.lines.pulses == 1
    stage.close()


def test_other_settings_end_the_asking_with_a_record(stage):
    stage.show(A, seconds=1.0)
    stage.judge.reload(stage.config, stage.schedule(stage.config))
    stage.show(A, seconds=1 / FPS)

    assert reasons(stage) == [["factor_missing"]]
    assert stage.lines.pulses == 0


def test_an_entry_under_duress_is_an_alarm_also_where_nothing_can_be_saved(stage):
    stage.show(A, seconds=1.0)
    stage.judge.factors.enter(DURESS)
    with stage.store.database.alone() as connection:
        connection.execute("PRAGMA query_only = ON")
    stage.show(A, seconds=1.0)

    (alarm,) = stage.told(Topic.DURESS)
    assert (alarm["request_id"], alarm["session_number"]) == (None, 1)
    assert stage.decisions == []
    assert stage.lines.pulses == 0


class _Meanwhile(FactorStore):
    """A store of cards and PINs in which something happens while a PIN is looked at."""

    def __init__(self, store, happens):
        self._store, self._happens = store, happens

    def count(self, *given, **more):
        return self._store.count(*given, **more)

    def read(self, number):
        self._happens()
        return self._store.read(number)


def test_an_entry_under_duress_is_not_lost_to_a_frame_that_ends_the_asking(stage):
    frames: list[object] = []
    nothing: Any = None

    def leave():
        frames.append(step.follow(Left(was_decided=True), nothing, 1.0, lambda *_: True))

    settings = stage.config.factors
    step = FactorStep(_Meanwhile(stage.store.factors, leave), settings, stage.config.attempts, clock=lambda: 0.0)
    step.begin(ready(A), (nothing, nothing), 1, frozenset({Factor.PIN}), None)

    step.enter(DURESS)
    with pytest.raises(RefusedError):
        step.enter(PIN)
    ended = step.follow(Nobody(), nothing, 1.1, lambda *_: True)

    assert frames == [None]
    assert ended is not None
    assert ended.given is not None
    assert ended.given.entered is Entered.DURESS
    assert ended.given.failed is DoorReason.FACTOR_MISSING
    assert step.asked is None


def test_a_clock_that_nobody_trusts_asks_for_everything_that_is_ever_asked():
    rule = read_factors("UTC", pin=["mon 00:00-00:01"], card=["cleaners: tue 00:00-00:01"])

    assert rule.wanted(1_800_000_000.0, None, is_clock_trusted=True) == frozenset()
    assert {one.value for one in rule.wanted(1_800_000_000.0, None, is_clock_trusted=False)} == {"pin", "card"}

"""A visitor pass at a door on a stage: what opens, what is counted and kept, and what the screen says."""

import math
import os
from dataclasses import replace

import pytest

from kiosk.device.passes.issue import issue_pass
from kiosk.device.passes.keys import DeviceKeys
from kiosk.entrance.news import Topic
from kiosk.entrance.passing import Asked
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Refusal, RefusalReason
from kiosk.rules.interlock import Leaf
from kiosk.rules.passes import SIGNED, PassRule
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from tests.entrance.staged import FPS, NOW, Stage, config, template

A, B = template(1), template(2)
DAY = 86400.0


@pytest.fixture
def stage_with(tmp_path):
    made = []

    def make(*, has_door=True, **sections):
        passes = {"enabled": True, "ask": "nothing", **sections.pop("passes", {})}
        made.append(Stage(tmp_path, config(passes=passes, **sections), has_door=has_door))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def stage(stage_with):
    return stage_with()


def issued(stage, *, days=1.0, uses=1, start=0.0, visitor=None, **more):
    now = stage.wall.now
    return issue_pass(
        stage.store,
        DeviceKeys(stage.store),
        replace(PassRule(ask="nothing"), longest_days=366.0),
        label="a plumber",
        valid_from=now + start,
        valid_until=now + start + days * DAY,
        uses=uses,
        visitor=visitor.session_number if visitor is not None else None,
        doors=(),
        now=now,
        actor="operator",
        **more,
    )


def hold_up(stage, text, *people, seconds=1.0, old_s=0.0):
    """Hold a pass to the camera for a time, searched twice a second; return what the screen said."""
    said = []
    for number in range(round(seconds * FPS)):
        if number % 5 == 0:
            stage.judge.passes.show(text, stage.clock.now + 1 / FPS - old_s)
        stage.show(*people, seconds=1 / FPS)
        said.append(stage.screen["result"])
    return next((one for one in said if one is not None), None)


def acts(stage):
    found = stage.store.decisions(DecisionFilter(kinds=(Kind.DOOR,))).decisions
    return [(one.entry.details["what"], one.entry.details.get("why")) for one in reversed(found)]


def test_a_pass_opens_once_and_its_photograph_never_again(stage):
    kept = issued(stage)

    assert hold_up(stage, kept.text, seconds=4.0) == "welcome"
    assert stage.lines.pulses == 1  # held up for four seconds, it is one showing
    stage.show(seconds=10.0)
    assert hold_up(stage, kept.text) == "pass_used_up"

    assert stage.lines.pulses == 1
    assert acts(stage) == [("pass_opened", None), ("pass_refused", "pass_used_up")]
    assert stage.store.passes.find(kept.shown).used == 1


def test_a_use_that_opened_nothing_is_taken_back(stage):
    kept = issued(stage)
    stage.monitor.hold(Condition.PANEL_LOST, "judged, and nothing opens")

    assert hold_up(stage, kept.text) == "not_opened"
    assert stage.store.passes.find(kept.shown).used == 0
    assert acts(stage) == [("pass_opened", None), ("not_opened", "log_only")]
    stage.monitor.end(Condition.PANEL_LOST)
    stage.show(seconds=6.0)
    assert hold_up(stage, kept.text) == "welcome"


def test_a_pass_in_an_old_frame_opens_nothing_and_the_next_look_does(stage):
    kept = issued(stage)

    assert hold_up(stage, kept.text, seconds=0.1, old_s=0.6) == "again"
    assert stage.lines.pulses == 0
    stage.show(seconds=2.0)
    hold_up(stage, kept.text)
    assert stage.lines.pulses == 1


def refused(stage, text, why):
    assert hold_up(stage, text) == why
    assert stage.lines.pulses == 0
    assert acts(stage)[-1] == ("pass_refused", why)


def test_a_pass_that_ended_is_refused(stage):
    kept = issued(stage, days=0.5)
    stage.wall.advance(DAY)
    refused(stage, kept.text, "pass_expired")


def test_a_pass_that_has_not_begun_is_refused(stage):
    refused(stage, issued(stage, start=DAY).text, "pass_not_yet")


def test_a_pass_that_is_longer_than_the_setting_allows_is_refused(stage):
    refused(stage, issued(stage, days=60.0).text, "pass_too_long")


def test_a_pass_that_was_revoked_is_refused(stage):
    kept = issued(stage)
    stage.store.passes.revoke(kept.shown.name, now=stage.wall.now, actor="operator")
    refused(stage, kept.text, "pass_revoked")


def test_a_pass_is_refused_while_the_clock_is_not_trusted(stage):
    stage.is_clock_trusted = False
    refused(stage, issued(stage).text, "pass_clock")


def test_a_pass_of_another_device_is_refused(stage, tmp_path):
    other = Stage(tmp_path / "other", stage.config)
    kept = issued(other)
    other.close()
    refused(stage, kept.text, "pass_forged")


def test_a_pass_whose_end_was_changed_is_refused(stage):
    kept = issued(stage)
    signature = stage.store.vault.sign(SIGNED + kept.shown.body)
    later = replace(kept.shown, valid_until=kept.shown.valid_until + 1)
    refused(stage, later.text(signature), "pass_forged")


def test_the_signature_of_a_record_is_none_of_a_pass(stage):
    kept = issued(stage)
    refused(stage, kept.shown.text(stage.store.vault.sign(kept.shown.body)), "pass_forged")


def test_a_pass_that_was_signed_here_and_stands_in_no_list_is_refused(stage):
    kept = issued(stage)
    other = replace(kept.shown, number=os.urandom(8))
    refused(stage, other.text(stage.store.vault.sign(SIGNED + other.body)), "pass_revoked")


def test_a_pass_for_another_door_is_refused(stage):
    kept = issued(stage)
    other = replace(kept.shown, doors=(bytes(10),))
    refused(stage, other.text(stage.store.vault.sign(SIGNED + other.body)), "pass_wrong_door")


def test_a_pass_that_was_damaged_is_refused(stage):
    refused(stage, issued(stage).text[:-3], "pass_damaged")


def test_a_pass_of_before_a_backup_was_put_back_is_refused(stage):
    kept = issued(stage, uses=0)
    stage.store.record_act(Kind.RESTORE)
    refused(stage, kept.text, "pass_restored")


def test_a_backup_that_was_put_back_by_a_clock_of_1970_takes_passes_of_before_away_all_the_same(stage):
    kept = issued(stage, uses=0)
    stage.is_clock_trusted, stage.wall.now = False, 100.0
    stage.store.record_act(Kind.RESTORE)
    stage.is_clock_trusted, stage.wall.now = True, NOW + 60.0
    assert stage.store.passes.restored_at() == math.inf
    refused(stage, kept.text, "pass_restored")
    stage.show(seconds=5.0)

    assert hold_up(stage, issued(stage, uses=0).text) == "welcome"


def test_a_pass_is_refused_outside_the_hours(stage_with):
    stage = stage_with(schedule={"week": ("sat 10:00-11:00",)})
    refused(stage, issued(stage).text, "pass_outside_hours")


@pytest.mark.parametrize("rule", [{"occupancy": 5}, {"antipassback": "hard"}, {"two_persons": True}])
@pytest.mark.parametrize("direction", ["in", "out"])
def test_where_people_are_counted_a_pass_without_a_face_opens_only_outward(stage_with, rule, direction):
    stage = stage_with(passage={"direction": direction, **rule})
    kept = issued(stage)

    assert hold_up(stage, kept.text) == ("pass_not_counted" if direction == "in" else "welcome")
    assert stage.lines.pulses == (direction == "out")


def test_a_store_that_cannot_say_refuses_and_closes(stage):
    kept = issued(stage)
    with stage.store.database.write() as connection:
        connection.execute("UPDATE secret SET sealed = zeroblob(length(sealed))")

    hold_up(stage, kept.text)

    assert stage.lines.pulses == 0
    assert stage.told(Topic.DOOR)[-1]["why"] == "pass_unreadable"
    assert Condition.STORE_UNREADABLE.value in stage.monitor.states()


def test_a_use_that_cannot_be_kept_opens_nothing(stage):
    kept = issued(stage)
    with stage.store.database.write() as connection:
        connection.execute("CREATE TRIGGER full BEFORE UPDATE ON secret BEGIN SELECT RAISE(ABORT, 'full'); END")

    hold_up(stage, kept.text)

    assert stage.lines.pulses == 0
    assert stage.told(Topic.DOOR)[-1]["why"] == "pass_unreadable"
    assert acts(stage) == []


@pytest.mark.parametrize("mode", ["enrol", "screen"])
def test_other_modes_know_no_passes(stage_with, mode):
    stage = stage_with(entrance={"mode": mode})
    assert hold_up(stage, issued(stage).text) is None
    assert acts(stage) == []


def test_without_the_setting_nothing_of_a_pass_is_looked_at(stage_with):
    stage = stage_with(passes={"enabled": False})
    assert hold_up(stage, issued(stage).text) is None
    assert acts(stage) == []


def test_while_the_kiosk_is_closed_no_pass_is_judged(stage):
    stage.monitor.hold(Condition.ALARM_ARMED, "armed")
    hold_up(stage, issued(stage).text)
    assert (stage.lines.pulses, acts(stage)) == (0, [])


def test_other_codes_are_nobodys_business(stage):
    assert hold_up(stage, "https://example.org/menu") is None
    assert acts(stage) == []


def test_staff_are_asked_and_nothing_opens(stage_with):
    stage = stage_with(passes={"ask": "staff"})
    kept = issued(stage)

    assert hold_up(stage, kept.text) == "review"
    assert stage.lines.pulses == 0
    assert acts(stage) == [("pass_waits", "staff")]
    stage.show(seconds=10.0)
    assert hold_up(stage, kept.text) == "pass_used_up"


@pytest.mark.parametrize("mode", ["identify", "verify"])
def test_the_visitors_face_opens_by_the_pass_and_counts_it(stage_with, mode):
    stage = stage_with(passes={"ask": "face"}, entrance={"mode": mode})
    visitor = stage.enrol(A)
    kept = issued(stage, visitor=visitor)

    assert hold_up(stage, kept.text) == "pass_look"
    stage.show(A, seconds=2.0)

    assert stage.lines.pulses == 1
    assert stage.decisions[-1]["kind"] == "VERIFY"
    assert acts(stage) == [("pass_used", None)]
    assert stage.store.passes.find(kept.shown).used == 1


def test_another_persons_face_does_not_open_by_the_pass(stage_with):
    stage = stage_with(passes={"ask": "face"})
    kept = issued(stage, visitor=stage.enrol(A))
    stage.enrol(B, name="Person B")

    hold_up(stage, kept.text)
    stage.show(B, seconds=2.0)

    assert stage.lines.pulses == 0
    assert stage.decisions[-1]["reasons"] == ["other_person"]
    assert stage.store.passes.find(kept.shown).used == 0


def test_a_pass_that_names_nobody_opens_nothing_where_a_face_is_asked_for(stage_with):
    stage = stage_with(passes={"ask": "face"})
    refused(stage, issued(stage).text, "pass_no_person")


def test_a_pass_of_somebody_who_was_forgotten_is_gone_with_them(stage_with):
    stage = stage_with(passes={"ask": "face"})
    visitor = stage.enrol(A)
    kept = issued(stage, visitor=visitor)
    assert stage.store.people.forget(visitor.session_number).is_complete

    refused(stage, kept.text, "pass_revoked")
    assert stage.store.passes.every() == ()


def test_a_pass_that_ends_while_its_visitor_is_looked_at_opens_nothing(stage_with):
    stage = stage_with(passes={"ask": "face"})
    kept = issued(stage, days=0.01, visitor=stage.enrol(A))  # 864 s

    hold_up(stage, kept.text)
    stage.wall.advance(900.0)
    stage.show(A, seconds=2.0)

    assert stage.lines.pulses == 0
    assert stage.decisions[-1]["reasons"] == ["matched", "withdrawn"]


def test_a_face_that_opened_nothing_leaves_the_pass_its_use(stage_with):
    stage = stage_with(passes={"ask": "face"})
    kept = issued(stage, visitor=stage.enrol(A))
    stage.monitor.hold(Condition.PANEL_LOST, "judged, and nothing opens")

    hold_up(stage, kept.text)
    stage.show(A, seconds=2.0)

    assert stage.decisions[-1]["reasons"] == ["matched", "log_only", "panel_lost"]
    assert stage.store.passes.find(kept.shown).used == 0


def test_a_panel_that_opens_for_cards_opens_for_no_pass(stage_with):
    class Strike:
        is_ours, is_asking = False, False

        def ready(self, _number):
            raise AssertionError("nobody is asked for")

        def present(self, _number, _grant):
            raise AssertionError("nobody is told of")

    stage = stage_with()
    stage.judge.opening.connect(Strike())

    assert hold_up(stage, issued(stage).text) == "not_opened"
    assert stage.told(Topic.DOOR)[-1]["why"] == "no_card"


@pytest.mark.parametrize("lacks", [None, Refusal(RefusalReason.LOG_ONLY, ("reader_lost",))])
def test_a_readers_relay_opens_for_a_pass(stage_with, lacks):
    class Relay:
        is_ours, is_asking = True, False
        pulses = 0

        def ready(self, _number):
            return lacks

        def present(self, _number, _grant):
            self.pulses += 1

    stage, relay = stage_with(has_door=False), Relay()
    stage.judge.opening.connect(relay)

    assert hold_up(stage, issued(stage).text) == ("welcome" if lacks is None else "not_opened")
    assert relay.pulses == (lacks is None)


def test_of_two_that_spend_the_last_use_at_once_one_does(stage):
    kept = issued(stage)
    record = NewDecision(Kind.DOOR, "", details={"what": "pass_opened"})

    spent = [stage.store.passes.use(kept.shown, kept.text, now=NOW, record=record) for _ in range(2)]

    assert [one is not None for one in spent] == [True, False]


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_lockdown_holds_for_a_pass_inward_and_lets_it_out(stage_with, direction):
    stage = stage_with(passage={"direction": direction})
    stage.monitor.hold(Condition.LOCKDOWN, "a drill")
    kept = issued(stage)

    assert hold_up(stage, kept.text) == ("not_opened" if direction == "in" else "welcome")
    assert stage.lines.pulses == (direction == "out")
    assert stage.store.passes.find(kept.shown).used == (direction == "out")


@pytest.mark.parametrize("leaf", Leaf)
@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_pass_opens_one_door_of_an_airlock_while_the_other_is_shut(stage_with, leaf, direction):
    class Other:
        is_settled = False

        def ask(self):
            return Asked(are_heard=True, other=leaf)

        def settle(self):
            self.is_settled = True

        def lost(self):
            return ()

    stage, other = stage_with(passage={"direction": direction, "interlock": "inner"}), Other()
    stage.judge.opening.ask(other)
    opens = leaf is Leaf.SHUT or direction == "out"

    assert hold_up(stage, issued(stage).text) == ("welcome" if opens else "not_opened")
    assert stage.lines.pulses == opens
    assert other.is_settled

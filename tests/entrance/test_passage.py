"""Rules of passage at a door on a stage: what opens, what is kept, and what whoever stands there is told."""

from dataclasses import replace

import pytest

from kiosk.rules.conditions import Condition
from kiosk.rules.passage import Direction
from kiosk.rules.patience import Tries
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.passages.passages import Passage, ToldPassage
from kiosk.types import Status
from tests.entrance.staged import NOW, Stage, config, template

A, B, C, D = (template(seed) for seed in (1, 2, 3, 4))


@pytest.fixture
def stage_with(tmp_path):
    made = []

    def make(**passage):
        made.append(Stage(tmp_path, config(passage=passage)))
        made[-1].enrol(A)
        made[-1].enrol(B, name="Person B")
        return made[-1]

    yield make
    for one in made:
        one.close()


def visit(stage, person):
    """Return why nothing opened; None where it did."""
    pulses = stage.lines.pulses
    stage.show(person, seconds=1.0)
    shown = stage.screen["result"]
    stage.show(seconds=2.0)
    return None if stage.lines.pulses > pulses else (stage.decisions[-1]["reasons"][-1], shown)


def test_nobody_enters_twice_without_leaving(stage_with):
    stage = stage_with(direction="in", antipassback="hard")

    assert visit(stage, A) is None
    assert visit(stage, A) == ("passback", "not_opened")
    assert visit(stage, B) is None
    stage.store.passages.note(Passage(1, Direction.OUT, stage.wall.now, "", "operator"))
    assert visit(stage, A) is None

    assert [(one.number, one.direction.value) for one in stage.store.passages.between(0.0, NOW * 2)] == [
        (1, "in"),
        (1, "out"),
        (1, "in"),
        (2, "in"),
    ]


def test_soft_lets_in_and_says_so(stage_with):
    stage = stage_with(direction="in", antipassback="soft")

    assert visit(stage, A) is None
    assert visit(stage, A) is None

    acts = stage.store.decisions(DecisionFilter(kinds=(Kind.DOOR,))).decisions
    assert [one.entry.details["what"] for one in acts] == ["passback"]


def test_as_many_are_inside_as_may_be(stage_with):
    stage = stage_with(direction="in", occupancy=1)

    assert visit(stage, A) is None
    assert visit(stage, B) == ("full", "full")
    assert [one.number for one in stage.store.passages.inside()] == [1]


def test_two_different_people_open_and_one_twice_does_not(stage_with):
    stage = stage_with(two_persons=True)

    assert visit(stage, A) == ("second_person", "second")
    assert visit(stage, A) == ("second_person", "second")
    assert visit(stage, B) is None
    assert visit(stage, B) == ("second_person", "second")


def test_the_first_of_two_does_not_wait_for_ever(stage_with):
    stage = stage_with(two_persons=True, second_s=5.0)

    visit(stage, A)
    stage.show(seconds=6.0)

    assert visit(stage, B) == ("second_person", "second")


@pytest.mark.parametrize(
    "act",
    [
        lambda stage: stage.store.people.block(1, reason="lost badge"),
        lambda stage: stage.store.people.forget(1),
        lambda stage: stage.store.people.patch(1, lambda one: replace(one, status=Status.DECLINED)),
        lambda stage: stage.store.people.patch(1, lambda one: replace(one, valid_until=stage.wall.now)),
        lambda stage: stage.store.factors.suspend(1, stage.wall.now + 60.0),
        lambda stage: stage.store.passages.note(Passage(1, Direction.IN, stage.wall.now, "", "by another door")),
    ],
    ids=["blocked", "forgotten", "declined", "over", "suspended", "inside meanwhile"],
)
def test_the_first_of_two_who_may_come_in_no_more_opens_for_nobody(stage_with, act):
    stage = stage_with(two_persons=True, direction="in", antipassback="hard")

    assert visit(stage, A) == ("second_person", "second")
    act(stage)

    assert visit(stage, B) == ("second_person", "second")


def test_both_of_two_are_inside_and_both_have_room(stage_with):
    stage = stage_with(two_persons=True, direction="in", antipassback="hard", occupancy=3)
    stage.enrol(C, name="Person C")
    stage.enrol(D, name="Person D")

    visit(stage, A)
    assert visit(stage, B) is None
    assert {one.number for one in stage.store.passages.inside()} == {1, 2}
    assert visit(stage, A) == ("passback", "not_opened")
    visit(stage, C)
    assert visit(stage, D) == ("full", "full")
    assert {one.number for one in stage.store.passages.inside()} == {1, 2}


def test_whoever_is_suspended_is_told_what_a_stranger_is_told(stage_with):
    stage = stage_with()

    stage.store.factors.suspend(1, NOW + 10.0)
    assert visit(stage, A) == ("suspended", "declined")
    stage.show(seconds=10.0)
    assert visit(stage, A) is None


def test_an_edited_passage_lets_nobody_in(stage_with):
    stage = stage_with(direction="in", antipassback="hard")
    assert visit(stage, A) is None

    with stage.store.database.write() as connection:
        connection.execute("UPDATE passage SET direction = 'out'")

    assert visit(stage, A) == ("passages_unknown", "not_opened")
    assert stage.store.people.forget(1).is_complete
    assert stage.store.passages.inside() == ()


@pytest.mark.parametrize("direction", ["none", "in", "out"])
def test_a_damaged_row_keeps_one_person_outside_and_nobody_in(stage_with, direction):
    stage = stage_with(direction=direction)
    stage.store.factors.suspend(1, NOW - 10.0)
    with stage.store.database.write() as connection:
        connection.execute("UPDATE factor SET sealed = zeroblob(length(sealed))")

    assert visit(stage, A) == (None if direction == "out" else ("passages_unknown", "not_opened"))
    assert visit(stage, B) is None
    assert stage.monitor.states() == ()


def test_nothing_is_the_matter_where_somebody_was_deleted_while_they_went_through(stage_with):
    stage = stage_with(direction="in")

    class Forgets:
        is_ours = True
        is_asking = False

        def ready(self, _number):
            return None

        def present(self, number, _grant):
            stage.store.people.forget(number)

    stage.judge.opening.connect(Forgets())

    assert visit(stage, A) is None
    assert stage.monitor.states() == ()
    assert stage.store.passages.inside() == ()


def test_a_door_without_such_rules_keeps_no_passages(stage_with):
    stage = stage_with()

    assert visit(stage, A) is None
    assert stage.store.passages.inside() == ()


def test_an_approval_that_opens_nothing_forgives_no_declines(tmp_path):
    stage = Stage(tmp_path, config(passage={"two_persons": True}), tries=Tries(3, 0.0, 1e9))
    stage.store.factors.suspend(stage.enrol(A).session_number, NOW + 1e6)
    stage.enrol(B, name="Person B")
    stage.enrol(template(3), name="Person C")

    assert visit(stage, A) == ("suspended", "declined")
    assert visit(stage, B) == ("second_person", "second")
    assert stage.kept == []
    assert visit(stage, template(3)) is None
    assert stage.kept == [Tries()]
    stage.close()


@pytest.mark.parametrize("wrong_by_s", [-1.7e9, 3.15e7])
def test_an_entry_by_a_wrong_clock_counts_from_the_first_good_time_after_it(stage_with, wrong_by_s):
    stage = stage_with(direction="in", antipassback="hard", forget_h=1.0)
    stage.is_clock_trusted = False
    stage.wall.advance(wrong_by_s)
    assert visit(stage, A) is None

    stage.is_clock_trusted = True
    stage.wall.advance(-wrong_by_s)
    assert visit(stage, A) == ("passback", "not_opened")
    stage.wall.advance(3000.0)
    assert visit(stage, A) == ("passback", "not_opened")
    stage.wall.advance(600.0)
    assert visit(stage, A) is None


def test_an_entry_before_the_clock_went_back_does_not_count_for_ever(stage_with):
    stage = stage_with(direction="in", antipassback="hard", forget_h=1.0)
    stage.wall.advance(3.15e7)
    assert visit(stage, A) is None

    stage.wall.advance(-3.15e7)
    assert visit(stage, A) == ("passback", "not_opened")
    stage.wall.advance(3600.0)
    assert visit(stage, A) is None


def test_a_lockdown_lets_in_the_groups_that_are_named_and_nobody_else(stage_with):
    stage = stage_with(lockdown_groups=("guards",))
    guard = template(3)
    stage.enrol(guard, name="Person C", groups=("guards",))
    stage.door.connect(stage.monitor.states)
    stage.monitor.hold(Condition.LOCKDOWN, "The door is locked down.")

    assert visit(stage, A) == ("lockdown", "not_opened")
    assert stage.screen["is_locked_down"]
    assert visit(stage, guard) is None
    stage.monitor.end(Condition.LOCKDOWN)
    assert visit(stage, A) is None
    assert not stage.screen["is_locked_down"]


def test_a_lockdown_holds_nobody_at_the_way_out(stage_with):
    stage = stage_with(direction="out")
    stage.door.connect(stage.monitor.states)
    stage.monitor.hold(Condition.LOCKDOWN, "The door is locked down.")

    assert visit(stage, A) is None


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"direction": "in", "antipassback": "hard", "doors": ("Way out",)}, ("neighbour_lost", "not_opened")),
        ({"direction": "in", "occupancy": 5, "doors": ("Way out",)}, ("neighbour_lost", "not_opened")),
        ({"interlock": "Inner door"}, ("interlock", "again")),
        ({"direction": "in", "antipassback": "soft", "doors": ("Way out",)}, None),
        ({"direction": "out", "doors": ("Way in",), "interlock": "Inner door"}, None),
    ],
    ids=["anti-passback", "occupancy", "interlock", "soft", "out"],
)
def test_a_kiosk_of_no_fleet_lets_nobody_in_by_rules_of_one(stage_with, rule, reason):
    stage = stage_with(**rule)

    assert visit(stage, A) == reason
    assert stage.judge.opening.lost_neighbours() == tuple(
        sorted({*rule.get("doors", ()), *{rule.get("interlock")} - {None}})
    )


def test_the_door_is_free_from_the_first_person_on_until_the_hours_are_over_or_the_clock_is_not_believed(stage_with):
    stage = stage_with(first_in=("mon-fri 07:00-09:00",))
    opening = stage.judge.opening
    assert not opening.is_free(is_open=True)  # 08:00, and nobody came in

    assert visit(stage, A) is None
    assert opening.is_free(is_open=True)
    assert not opening.is_free(is_open=False)
    assert opening.is_free(is_open=True)  # a state that is over leaves the door free
    stage.wall.advance(3600.0)
    assert not opening.is_free(is_open=True)
    stage.wall.advance(23 * 3600.0 + 60.0)  # Saturday, and then none of it is left
    assert not opening.is_free(is_open=True)


@pytest.mark.parametrize("leap_s", [7 * 86400.0, 364 * 86400.0, -7 * 86400.0, 600.0])
def test_a_clock_that_leaps_from_hours_into_hours_leaves_nothing_free(stage_with, leap_s):
    stage = stage_with(first_in=("mon-fri 07:00-09:00",))
    assert visit(stage, A) is None
    assert stage.judge.opening.is_free(is_open=True)
    stage.wall.now += leap_s

    assert not stage.judge.opening.is_free(is_open=True)
    assert visit(stage, A) is None
    assert stage.judge.opening.is_free(is_open=True)


def test_a_clock_that_is_not_believed_ends_it_for_good(stage_with):
    stage = stage_with(first_in=("mon-fri 07:00-09:00",))
    assert visit(stage, A) is None
    stage.is_clock_trusted = False
    assert not stage.judge.opening.is_free(is_open=True)
    stage.is_clock_trusted = True

    assert not stage.judge.opening.is_free(is_open=True)


def test_a_neighbour_whose_clock_is_years_ahead_keeps_nobody_outside_for_so_long(stage_with):
    stage = stage_with(direction="in", antipassback="hard")
    ann = stage.store.people.subject(1).session_id
    passages = stage.store.passages
    passages.hear([ToldPassage("a", ann, Direction.IN, NOW + 20 * 365 * 86400.0)], by="Back door", now=NOW)
    assert visit(stage, A) == ("passback", "not_opened")
    passages.hear([ToldPassage("b", ann, Direction.OUT, NOW + 60.0)], by="Side door", now=NOW + 60.0)

    assert visit(stage, A) is None


def test_a_clock_of_1970_here_dates_no_neighbours_passage(stage_with):
    stage = stage_with(direction="in", antipassback="hard")
    ann = stage.store.people.subject(1).session_id
    told = [ToldPassage("a", ann, Direction.IN, NOW)]
    stage.store.passages.hear(told, by="Back door", now=100.0, is_clock_trusted=False)

    assert visit(stage, A) == ("passback", "not_opened")

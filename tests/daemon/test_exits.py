"""Facts about the door of a running kiosk: its exit outlives the kiosk, and acts are recorded once that can be."""

import time
from typing import Any

import pytest

from kiosk.cli.main import main
from kiosk.daemon.doorway import open_doorway
from kiosk.door.lines import Input
from kiosk.errors import RefusedError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant, RefusalReason
from kiosk.settings.config import Config
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.unrecorded import NAME, Act, UnrecordedActs
from kiosk.store.upkeep import rollback
from kiosk.testing.fakes import RecordedLines
from tests.daemon.test_kiosk import BRISK, EVERYTHING, World, scene  # noqa: F401  a fixture
from tests.patience import LIMIT_S, until
from tests.store.stored import refusing


@pytest.fixture
def doorway(tmp_path):
    lines = RecordedLines()
    opened: Any = open_doorway(lines, Config().door, tmp_path / "state", clock=time.time, is_shared=False)
    opened.lines = lines
    yield opened
    opened.close()


def press(lines):
    before = lines.pulses
    lines.turn(Input.EXIT, on=True)
    until(lambda: lines.pulses == before + 1)
    lines.turn(Input.EXIT, on=False)
    until(lambda: not lines.lit, 2 * LIMIT_S)


def test_a_kiosk_that_has_stopped_still_lets_out_and_takes_no_decision(tmp_path, scene, doorway):  # noqa: F811
    until(lambda: doorway.door._mechanics._exit.state is False)
    with World(tmp_path, scene, pace=BRISK, doorway=doorway) as world:
        world.armed()
        press(doorway.lines)

    refusal = doorway.door.open(Grant("made-up", time.monotonic()))
    assert refusal.reason is RefusalReason.CLOSED
    press(doorway.lines)
    doorway.release(actor="root")
    until(lambda: doorway.lines.pulses == 3)
    assert len(doorway.acts) > 0

    with World(tmp_path, scene, pace=BRISK, doorway=doorway) as world:  # the next start records it
        until(lambda: world.acts(Kind.RELEASE) == [{}])
        until(lambda: [one["what"] for one in world.acts(Kind.DOOR)].count("exit_pressed") == 2)


def test_while_the_self_test_fails_and_the_store_takes_nothing_an_operator_releases(tmp_path, scene, doorway):  # noqa: F811
    world = World(tmp_path, scene, pace=BRISK, doorway=doorway)
    world.verdict["error"] = StoreError("the golden faces cannot be read")
    with world:
        with refusing(world.store.directory, *EVERYTHING):
            world.kiosk.requests.release(actor="operator-1")
            assert doorway.lines.pulses == 1
            until(lambda: "store_unreadable" in world.kiosk.monitor.states())
            kept = UnrecordedActs(tmp_path / "state")
            assert Kind.RELEASE in [act.kind for act in kept._acts]
        until(lambda: world.acts(Kind.RELEASE) == [{}])
        until(lambda: len(UnrecordedActs(tmp_path / "state")) == 0)


def test_disarming_without_a_record_does_not_happen_and_arming_without_one_does(tmp_path, scene):  # noqa: F811
    with World(tmp_path, scene, pace=BRISK) as world:
        world.armed()
        with refusing(world.store.directory, *EVERYTHING):
            world.kiosk.requests.set_alarm(is_armed=True, actor="panel")
            with pytest.raises(StoreError, match="disk full"):
                world.kiosk.requests.set_alarm(is_armed=False, actor="panel")
            assert world.kiosk.restart.state.is_alarm_armed
            assert "alarm_armed" in world.kiosk.monitor.states()
        world.kiosk.requests.set_alarm(is_armed=False, actor="panel")
        assert world.acts(Kind.POLICY) == [{"is_alarm_armed": False}, {"is_alarm_armed": True}]


def test_an_act_that_was_recorded_just_before_a_power_cut_is_not_recorded_twice(tmp_path, scene):  # noqa: F811
    with World(tmp_path, scene) as world:
        acts, act = UnrecordedActs(tmp_path / "state"), Act(Kind.RELEASE, time.time(), actor="root")
        acts.add(act)
        acts.keep()
        world.store.record_act(act.kind, actor=act.actor, request_id=act.request_id)  # and the file still has it
        UnrecordedActs(tmp_path / "state").record(world.store, time.time())

        assert world.acts(Kind.RELEASE) == [{}]


def test_an_act_of_long_ago_says_when_it_was(tmp_path, scene):  # noqa: F811
    with World(tmp_path, scene) as world:
        acts = UnrecordedActs(tmp_path / "state")
        acts.add(Act(Kind.RELEASE, 1_800_000_000.0, actor="root"))
        acts.record(world.store, 1_800_000_060.0)

        assert world.acts(Kind.RELEASE) == [{"at": 1_800_000_000.0}]


def test_acts_that_half_a_write_spoilt_are_those_of_the_write_before(tmp_path):
    acts = UnrecordedActs(tmp_path)
    acts.prepare()
    for actor in ("first", "second"):
        acts.add(Act(Kind.RELEASE, 1.0, actor=actor))
        acts.keep()
    whole = bytearray((tmp_path / NAME).read_bytes())
    place = whole.index(b"second")
    whole[place : place + 3] = b"\0\0\0"
    (tmp_path / NAME).write_bytes(whole)

    assert [act.actor for act in UnrecordedActs(tmp_path)._acts] == ["first"]


def test_acts_that_the_disk_does_not_give_back_now_are_recorded_later_and_not_written_over(tmp_path, scene):  # noqa: F811
    with World(tmp_path, scene) as world:
        state = tmp_path / "state"
        early = UnrecordedActs(state)
        early.add(Act(Kind.RELEASE, time.time(), actor="first"))
        early.keep()
        (state / NAME).rename(state / "aside")
        (state / NAME).mkdir()  # nobody reads a folder
        acts = UnrecordedActs(state)
        acts.add(Act(Kind.RELEASE, time.time(), actor="second"))
        is_kept = acts.keep()
        (state / NAME).rmdir()
        (state / "aside").rename(state / NAME)
        acts.record(world.store, time.time())

        assert not is_kept
        found = world.store.decisions(DecisionFilter(kinds=(Kind.RELEASE,))).decisions
        assert [one.entry.actor for one in reversed(found)] == ["first", "second"]


def test_a_kiosk_without_a_door_says_so_when_it_is_released(tmp_path):
    doorway = open_doorway(None, Config().door, tmp_path, clock=time.time, is_shared=False)

    with pytest.raises(RefusedError, match="drives no door"):
        doorway.release(actor="root")


@pytest.mark.parametrize("has_door", [True, False])
def test_a_release_goes_by_a_readers_relay_too_and_says_where_no_reader_hears_it(tmp_path, has_door):
    lines = RecordedLines() if has_door else None
    doorway = open_doorway(lines, Config().door, tmp_path, clock=time.time, is_shared=False)
    heard = [True, False]
    doorway.release_too(lambda: heard.pop(0))

    doorway.release(actor="root")
    with pytest.raises(RefusedError, match="reader_lost"):
        doorway.release(actor="root")

    assert heard == []
    doorway.close()


def test_a_clock_before_the_newest_record_is_a_state_until_somebody_confirms_it(tmp_path, scene, capsys):  # noqa: F811
    with World(tmp_path, scene, pace=BRISK) as world:
        world.armed()
        world.clock.hold(time.time() + 86400.0)
        until(lambda: "clock_untrusted" in world.kiosk.monitor.states())
        (state,) = [one for one in world.kiosk.requests.health().states if one.condition == "clock_untrusted"]
        assert "before the newest record" in state.sentence
        assert main(["--state", str(tmp_path / "state"), "clock", "confirm"]) == 0
        world.armed()
        assert [round(one["confirmed_at"] - time.time(), -2) for one in world.acts(Kind.CLOCK)] == [0.0]
    assert "confirmed" in capsys.readouterr().out


def test_a_list_of_the_cloud_that_is_held_back_is_a_state_that_closes_nothing(tmp_path, scene):  # noqa: F811
    with World(tmp_path, scene, pace=BRISK) as world:
        world.armed()
        held_list(world.store, "a-list")
        until(lambda: Condition.LIST_HELD.value in world.kiosk.monitor.states())
        (state,) = [one for one in world.kiosk.requests.health().states if one.condition == "list_held"]
        world.armed()
        assert "a-list (3 entries)" in state.sentence


def test_a_store_that_was_put_back_opens_nothing_until_an_operator_has_looked(tmp_path, scene, capsys):  # noqa: F811
    with World(tmp_path, scene, pace=BRISK) as world:
        world.armed()
        rollback.hold_against(world.store, 10_000, "00" * 32)
        until(lambda: Condition.LOG_ROLLED_BACK.value in world.kiosk.monitor.states())
        health = world.kiosk.requests.health()
        (state,) = [one for one in health.states if one.condition == "log_rolled_back"]
        assert (health.is_armed, state.leaves) == (False, "log_only")
        assert main(["--state", str(tmp_path / "state"), "log", "accept"]) == 0
        world.armed()
    assert "record 10000" in capsys.readouterr().out


def held_list(store, name):
    """Have a list of three lose them all, as an empty answer of the cloud does."""
    from kiosk.store.remote_lists import Lists
    from tests.entrance.staged import template

    lists = Lists(store)
    lists.begin(name, 3)
    for seed in range(3):
        lists.stage(name, f"e{seed}", template(50 + seed), outcome="blocked")
    lists.put_into_force(name, 1.0)
    lists.begin(name, 0)
    lists.put_into_force(name, 2.0)

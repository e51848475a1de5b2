"""Lockdowns of a kiosk: at once, in somebody's name, over a power cut and a spoilt file, lifted by an account."""

import json
import resource
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from kiosk.daemon.door_socket import DoorSocket, ask_door
from kiosk.daemon.doorway import open_doorway
from kiosk.daemon.lockdown import NAME
from kiosk.door.lines import Input
from kiosk.errors import RefusedError, StoreError
from kiosk.health.monitor import Monitor
from kiosk.rules.conditions import Condition, policy
from kiosk.rules.grant import Grant, RefusalReason
from kiosk.rules.lockdown import Lockdown, Lockdowns, read_names
from kiosk.settings.config import Config
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.testing.fakes import RecordedLines
from tests.patience import LIMIT_S, until

LOCKDOWN = Condition.LOCKDOWN.value


class Site:
    """A doorway, a store and the degraded states, as a kiosk has them; `start` again is another process."""

    def __init__(self, tmp_path):
        self.state = tmp_path / "state"
        initialise(self.state, now=time.time).close()
        self.store = open_store(self.state, read_keys(self.state), now=time.time)
        self.doorway: Any = None
        self.start()

    def start(self):
        if self.doorway is not None:
            self.doorway.close()
        self.lines, self.monitor = RecordedLines(), Monitor({}, policy({}), now=time.time)
        self.doorway = open_doorway(self.lines, Config().door, self.state, clock=time.time, is_shared=False)
        self.doorway.connect(self.store)
        self.doorway.door.connect(self.monitor.states)
        self.doorway.lockdown.connect(self.monitor)
        until(lambda: self.doorway.door.beat > 0)

    def close(self):
        self.doorway.close()
        self.store.close()

    @property
    def lockdown(self):
        return self.doorway.lockdown

    @property
    def is_locked(self):
        return LOCKDOWN in self.monitor.states()

    def acts(self):
        found = self.store.decisions(DecisionFilter(kinds=(Kind.POLICY,))).decisions
        return [(one.entry.details["is_locked_down"], one.entry.actor) for one in reversed(found)]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def test_a_lockdown_holds_at_once_and_over_a_power_cut_until_an_account_lifts_it(site):
    act = site.lockdown.begin(actor="guard", reason="a drill")
    assert site.is_locked
    refusal = site.doorway.door.open(Grant("a", time.monotonic()))
    assert (refusal.reason, refusal.states) == (RefusalReason.LOG_ONLY, (LOCKDOWN,))
    site.start()
    assert site.is_locked
    assert site.lockdown.known.in_force == (act,)
    assert site.doorway.lift_lockdown(actor="boss") == (act,)
    assert not site.is_locked
    site.start()

    assert not site.is_locked
    assert site.acts() == [(True, "guard"), (False, "boss")]
    with pytest.raises(RefusedError, match="not locked down"):
        site.doorway.lift_lockdown(actor="boss")


@pytest.mark.parametrize("spoil", [b"x" * 500, b"\x01" + bytes(400_000)], ids=["short", "long"])
def test_a_file_that_cannot_be_read_is_a_lockdown_and_lifting_it_mends_it(site, spoil):
    (site.state / NAME).write_bytes(spoil)
    site.start()
    assert site.is_locked
    assert site.lockdown.known.is_spoilt
    site.doorway.lift_lockdown(actor="boss")
    site.start()

    assert not site.is_locked


def test_one_slot_that_a_power_cut_tore_leaves_the_word_before(site):
    site.lockdown.begin(actor="guard")
    path = site.state / NAME
    whole = bytearray(path.read_bytes())
    site.doorway.lift_lockdown(actor="boss")
    torn = bytearray(path.read_bytes())
    changed = [place for place, (one, other) in enumerate(zip(whole, torn, strict=True)) if one != other]
    torn[changed[-1]] ^= 0xFF
    path.write_bytes(torn)
    site.start()

    assert site.is_locked  # the lift was not whole, so the lockdown before it holds


def test_a_disk_that_takes_nothing_ends_no_lockdown_and_lifts_none(site):
    (site.state / NAME).unlink(missing_ok=True)
    (site.state / NAME).mkdir()  # what is no file cannot be written
    with pytest.raises(StoreError):
        site.lockdown.begin(actor="guard")
    assert site.is_locked

    with pytest.raises(StoreError):
        site.doorway.lift_lockdown(actor="boss")
    assert site.is_locked


def test_the_wired_switch_locks_down_in_the_log_and_has_to_be_off_before_a_lift(site):
    site.lines.turn(Input.LOCKDOWN, on=False)
    time_of_lines = site.doorway.door.beat
    until(lambda: site.doorway.door.beat > time_of_lines + 0.2)
    site.lines.turn(Input.LOCKDOWN, on=True)
    until(lambda: site.doorway.door.is_switched)
    site.doorway.events()  # as the kiosk does once a second
    assert site.is_locked
    with pytest.raises(RefusedError, match="switch"):
        site.doorway.lift_lockdown(actor="boss")
    site.lines.turn(Input.LOCKDOWN, on=False)
    until(lambda: not site.doorway.door.is_switched)
    assert site.is_locked  # to let go of it lifts nothing
    site.doorway.lift_lockdown(actor="boss")

    assert not site.is_locked
    assert site.acts() == [(True, "switch"), (False, "boss")]


def test_what_the_fleet_says_holds_here_and_is_kept_and_a_lift_comes_back_no_more(site):
    told = Lockdowns().with_act(Lockdown("one", "guard", 1.0, is_fleet_wide=True))
    site.lockdown.hear(told, kiosk="Back door")
    site.lockdown.hear(told, kiosk="Back door")
    assert site.is_locked
    site.start()
    assert site.is_locked
    site.lockdown.hear(Lockdowns().lift(["one"]), kiosk="Side door")
    site.lockdown.hear(told, kiosk="Back door")  # said before it heard of the lift

    assert not site.is_locked
    assert site.acts() == [(True, "fleet:Back door"), (False, "fleet:Side door")]


def test_more_lockdowns_than_there_is_room_for_hold_over_a_restart_and_are_lifted(site):
    """A member that says too much, or a switch whose wire is loose, must not lock a door for good."""
    told = Lockdowns()
    for number in range(600):
        told = told.with_act(Lockdown(f"{number:0200}", "guard", 1.0, is_fleet_wide=True, reason="\U0001f6a8" * 50))
    site.lockdown.hear(told, kiosk="Back door")
    site.lockdown.hear(Lockdowns().lift(f"{number:0200}" for number in range(600, 1600)), kiosk="Back door")
    site.start()
    assert site.is_locked
    site.lockdown.lift(actor="boss")
    assert not site.is_locked
    site.start()

    assert not site.is_locked


def test_who_locked_down_at_another_kiosk_has_a_name_here_that_is_nowhere_kept(site):
    told = Lockdowns().with_act(Lockdown("one", "0011aabbccdd", 1.0, is_fleet_wide=True))
    site.lockdown.hear(told, kiosk="Back door", names={"0011aabbccdd": "Person C"})
    (act,) = site.lockdown.known.in_force

    assert (act.kiosk, site.lockdown.heard_name(act.by)) == ("Back door", "Person C")
    assert not any(b"Person C" in path.read_bytes() for path in site.state.rglob("*") if path.is_file())
    site.start()
    (act,) = site.lockdown.known.in_force
    assert (act.kiosk, site.lockdown.heard_name(act.by)) == ("Back door", None)  # until the hub says it again


@pytest.mark.parametrize("names", [{"a": 1}, {"a": ""}, {"a": "two\nlines"}, ["a"], {str(n): "x" for n in range(51)}])
def test_names_that_no_page_could_show_are_refused(names):
    with pytest.raises(ValueError, match="name"):
        read_names({"begun": [], "lifted": [], "names": names})


def test_many_at_once_leave_what_was_done(site):
    threads = [threading.Thread(target=site.lockdown.begin, kwargs={"actor": f"g{n}"}) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(LIMIT_S)
    site.start()

    assert len(site.lockdown.known.in_force) == 8


def test_the_command_on_the_device_locks_down_and_lifts_and_knows_nothing_else(site, tmp_path):
    place = tmp_path / "run"
    place.mkdir()
    with DoorSocket(place, site.doorway):
        ask_door([place], json.dumps({"lockdown": {"reason": "a drill", "is_fleet_wide": False}}))
        assert site.lockdown.known.in_force[0].reason == "a drill"
        ask_door([place], json.dumps({"lift": {"by": "boss"}}))
        assert not site.is_locked
        for wrong in ('{"lift": {}}', '{"lockdown": true}', "[1]", "{", '{"lockdown": {"reason": "a\\nb"}}'):
            with pytest.raises(RefusedError):
                ask_door([place], wrong)
    assert not site.is_locked


def test_a_process_that_ran_out_of_descriptors_takes_a_release_once_it_has_some(site, tmp_path, caplog):
    def refused():
        return [one for one in caplog.messages if "Too many open files" in one]

    with ExitStack() as open_:
        open_.enter_context(DoorSocket(tmp_path, site.doorway))
        both = [open_.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) for _ in range(2)]
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))  # what is open stays so
        try:
            for asking in both:  # the kernel may have put a descriptor aside for the first
                asking.settimeout(LIMIT_S)
                asking.connect(str(tmp_path / "door.sock"))
                asking.sendall(b"release\n")
            until(refused)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

        assert [json.loads(asking.recv(1000)) for asking in both] == [{"is_done": True}] * 2

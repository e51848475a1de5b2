"""Facts about the running kiosk: real threads, a real camera process, a real store; faces are scripted."""

import errno
import json
import logging
import os
import shutil
import threading
import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from kiosk.capture.process import Camera
from kiosk.capture.slot import Exposure
from kiosk.daemon.kiosk import Kiosk, serve
from kiosk.daemon.pace import Pace
from kiosk.daemon.requests import Requests
from kiosk.daemon.wiring import patience_of
from kiosk.device.device import Device
from kiosk.door.lines import Input, Output
from kiosk.entrance.news import Consent, Topic
from kiosk.entrance.restart import read_restart
from kiosk.errors import ModelFileError, RefusedError, StoreError
from kiosk.health.clock import Clock
from kiosk.health.supervisor import Flag
from kiosk.rules.patience import Tries
from kiosk.settings.sections import CameraSettings
from kiosk.store.chain import Kind
from kiosk.store.database import Database
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fakes import RecordedLines
from kiosk.testing.scripted_liveness import ScriptedDetector
from kiosk.types import Face, Template
from tests.entrance.staged import POINTS, Stage, config, template
from tests.patience import BUSY_S, LIMIT_S, PROCESS_S, stands_in, until
from tests.store.stored import refusing

A = template(1)


PATIENT = Pace(supervisor_late_s=LIMIT_S, judge_late_s=LIMIT_S, door_late_s=LIMIT_S)
"""Calls no thread of a busy machine late, and takes grants from a door whose supervisor is late.

tests/door/test_door.py says when it must not.
"""

EVERYTHING = ("INSERT ON log", "INSERT ON kiosk")
"""What a store that takes nothing refuses: facts, and the probe of whether it takes any."""

BRISK = replace(PATIENT, round_s=0.05, figures_s=0.05, retest_s=0.1, store_probe_s=0.1)


@pytest.fixture
def scene(tmp_path):
    """Pictures that differ, in a folder that a camera plays indefinitely."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        rng = np.random.default_rng(number)  # another wall each time, and not noise alone, which is no motion
        picture = np.kron(rng.integers(60, 170, (12, 16, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
        picture += rng.integers(0, 30, picture.shape, np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


class World:
    """A kiosk in front of a scene in which people appear when told."""

    def __init__(self, tmp_path, scene, settings=None, *, pace=PATIENT, **more):
        self.people: list[Template] = []
        self.settings = settings or config()
        base = Stage(tmp_path / "unused")
        base.close()
        face = Face(np.array([80, 40, 240, 200], np.float32), POINTS * 120 + np.array((160.0, 120.0), np.float32), 0.9)
        self.may_look = threading.Event()  # the networks hang until then
        self.may_look.set()
        self.broken: list[Exception] = []  # what they raise

        def glance(_image):
            assert self.may_look.wait(LIMIT_S)
            for error in self.broken:
                raise error
            return [face] * len(self.people)

        self.recogniser = replace(
            base.device.recogniser,
            glance=glance,
            extract=lambda _image, _face: self.people[0] if self.people else template(0),
        )
        directory = tmp_path / "state"
        if not directory.exists():
            initialise(directory, now=time.time).close()
        self.clock = Clock(1e6, is_synced=lambda: True)
        self.store = open_store(directory, read_keys(directory), now=self.clock, clock_state=self.clock.state)
        self.device = Device(self.recogniser, self.store, self.settings, now=self.clock)
        self.lines = RecordedLines()
        self.verdict: dict[str, Exception | None] = {"error": None}
        self.may_pass = threading.Event()
        self.may_pass.set()
        camera = CameraSettings(
            source=f"dir:{scene}?fps=30&loop=1",
            reopen_first_s=0.05,
            reopen_longest_s=0.1,
            lost_after_s=60.0,  # a machine that runs other tests stands still now and then
            open_within_s=60.0,
        )
        self.kiosk = Kiosk(
            self.device,
            lambda tell: Camera(camera, tell=tell),
            lines=self.lines,
            clock=self.clock,
            self_test=self.self_test,
            pace=pace,
            **more,
        )

    def self_test(self):
        self.may_pass.wait(LIMIT_S)
        if self.verdict["error"] is not None:
            raise self.verdict["error"]
        return "all came out as stored"

    def __enter__(self):
        self.kiosk.start()
        return self

    def __exit__(self, *_):
        self.kiosk.close()
        self.store.close()

    def armed(self):
        until(lambda: self.kiosk.requests.health().is_armed, PROCESS_S)  # the camera's process starts
        return self

    def enrol(self, seed, name="Person A"):
        details = Details(name=name, vendor_data=name)
        return self.store.people.enrol(Enrolment([template(seed)], details)).session_number

    def acts(self, kind):
        return [one.entry.details for one in self.store.decisions(DecisionFilter(kinds=(kind,))).decisions]


def test_the_cameras_process_hears_that_its_exposure_is_to_be_held_while_colours_may_come(tmp_path, scene):
    """This camera is a folder, which cannot: it says so, and hears when it is over."""
    settings = config(pad={"level": "strict", "screen": True, "face_share_high": 0.8})
    with World(tmp_path, scene, settings, detector=ScriptedDetector()) as world:
        world.armed()
        before = world.kiosk.camera.exposure
        world.people.append(A)
        until(lambda: world.kiosk.camera.exposure is Exposure.CANNOT)
        world.people.clear()
        until(lambda: world.kiosk.camera.exposure is Exposure.AUTOMATIC)

    assert before is Exposure.AUTOMATIC


def test_a_kiosk_is_armed_after_its_self_test_and_lets_a_known_person_in(tmp_path, scene):
    world = World(tmp_path, scene)
    world.may_pass.clear()
    with world:
        world.enrol(1)
        assert not world.kiosk.requests.health().is_armed
        world.may_pass.set()
        world.armed()
        world.people.append(A)
        until(lambda: world.lines.pulses == 1)
        until(lambda: world.acts(Kind.DOOR))

        (decision,) = world.store.decisions(DecisionFilter(kinds=(Kind.IDENTIFY,))).decisions
        assert decision.entry.status == "Approved"
        assert world.acts(Kind.DOOR) == [{"what": "relay_on", "of": decision.entry.request_id}]
        assert not world.kiosk.hanging
        until(lambda: (still := world.kiosk.requests.still()) and still.size_wh == (320, 240))
    assert Output.RELAY not in world.lines.lit


def test_without_a_passed_self_test_nobody_is_judged_and_it_is_tried_again(tmp_path, scene):
    world = World(tmp_path, scene, pace=BRISK)
    world.verdict["error"] = ModelFileError("two people came together")
    with world:
        world.people.append(A)
        until(lambda: "self_test_failed" in world.kiosk.monitor.states())
        until(lambda: world.kiosk.judge.newest is not None, PROCESS_S)
        assert world.store.decisions().total == 0
        world.verdict["error"] = None
        world.armed()
        until(lambda: world.store.decisions().total == 1)


def test_a_store_that_failed_closes_until_it_takes_facts_again(tmp_path, scene):
    with World(tmp_path, scene, pace=BRISK) as world:
        world.armed()
        with refusing(world.store.directory, *EVERYTHING):
            world.people.append(A)
            until(lambda: "store_unreadable" in world.kiosk.monitor.states())
            (state,) = [one for one in world.kiosk.requests.health().states if one.condition == "store_unreadable"]
            assert "disk full" in state.sentence
            assert not world.kiosk.requests.health().is_armed
        world.armed()
        assert world.lines.pulses == 0


def test_a_disk_that_does_not_answer_closes_the_kiosk_and_ends_no_thread(tmp_path, scene, monkeypatch):
    with World(tmp_path, scene, pace=BRISK) as world:
        world.armed()

        def failing(_path):
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(shutil, "disk_usage", failing)
            until(lambda: {"disk_full", "store_unreadable"} <= set(world.kiosk.monitor.states()))
        world.armed()
        assert not world.kiosk.is_broken


def test_what_the_door_did_while_the_store_failed_is_recorded_afterwards(tmp_path, scene):
    with World(tmp_path, scene, pace=BRISK) as world:
        world.armed()
        until(
            lambda: world.kiosk.door._mechanics._exit.state is False
        )  # a button that is down at the start counts as shorted
        with refusing(world.store.directory, *EVERYTHING):
            world.lines.turn(Input.EXIT, on=True)
            until(lambda: "store_unreadable" in world.kiosk.monitor.states())
        until(lambda: {"what": "exit_pressed"} in world.acts(Kind.DOOR))


def test_an_alarm_switches_the_kiosk_off_over_a_restart(tmp_path, scene):
    with World(tmp_path, scene) as world:
        world.armed()
        world.kiosk.requests.set_alarm(is_armed=True, actor="key-1")
        world.people.append(A)
        until(lambda: world.kiosk.judge.newest is not None, PROCESS_S)
        assert world.kiosk.monitor.states().count("alarm_armed") == 1
    assert read_restart(tmp_path / "state").is_alarm_armed

    with World(tmp_path, scene) as world:
        until(lambda: "starting" not in world.kiosk.monitor.states())
        assert not world.kiosk.requests.health().is_armed
        world.kiosk.requests.set_alarm(is_armed=False, actor="key-1")
        world.armed()
        assert world.acts(Kind.POLICY) == [{"is_alarm_armed": False}, {"is_alarm_armed": True}]


def test_a_kiosk_whose_notes_are_spoilt_stays_off_and_says_how_to_go_on(tmp_path, scene):
    world = World(tmp_path, scene)
    world.kiosk.close()
    world.store.close()
    (tmp_path / "state" / "standing.json").write_bytes(b"\0" * 60)

    with World(tmp_path, scene) as world:
        until(lambda: "starting" not in world.kiosk.monitor.states())
        (state,) = [one for one in world.kiosk.requests.health().states if one.condition == "alarm_armed"]
        assert "standing.json" in state.sentence
        assert "/device/door/alarm" in state.sentence
        world.kiosk.requests.set_alarm(is_armed=False, actor="operator-1")
        world.armed()
    assert not read_restart(tmp_path / "state").is_spoilt


def test_an_alarm_that_is_armed_while_declines_are_kept_is_kept_too(tmp_path, scene, monkeypatch):
    world = World(tmp_path, scene)
    is_writing, may_go_on = threading.Event(), threading.Event()
    syncing = os.fsync

    def slow(handle):  # the judge's write is on its way to a slow card when the alarm system calls
        if not is_writing.is_set():
            is_writing.set()
            assert may_go_on.wait(LIMIT_S)
        syncing(handle)

    monkeypatch.setattr("kiosk.store.durable.os.fsync", slow)
    failed, tries = [], patience_of(world.settings).save(Tries(5, 0.0, 1e9), time.monotonic())

    def told(work):
        try:
            work()
        except StoreError as error:
            failed.append(error)

    judging = threading.Thread(target=told, args=(lambda: world.kiosk.restart.keep(tries=tries),))
    arming = threading.Thread(target=told, args=(lambda: world.kiosk.requests.set_alarm(is_armed=True, actor="key-1"),))
    judging.start()
    assert is_writing.wait(LIMIT_S)
    arming.start()
    until(lambda: stands_in(Requests.set_alarm))
    may_go_on.set()
    judging.join()
    arming.join()
    world.store.close()
    world.kiosk.close()

    kept = read_restart(tmp_path / "state")
    assert kept.tries is not None
    assert (failed, kept.is_alarm_armed, kept.tries["declines"]) == ([], True, 5)


def test_an_alarm_armed_while_it_is_being_disarmed_stays_armed(tmp_path, scene):
    world = World(tmp_path, scene)
    alarm = world.kiosk.requests
    alarm.set_alarm(is_armed=True, actor="key-1")
    disarming, arming = (
        threading.Thread(target=alarm.set_alarm, kwargs={"is_armed": is_armed, "actor": "key-1"})
        for is_armed in (False, True)
    )
    with world.store.transaction():  # somebody else writes, so the record of the one that disarms has to wait
        disarming.start()
        until(lambda: stands_in(Database.write))
        arming.start()
        until(lambda: stands_in(Requests.set_alarm, times=2))
    disarming.join()
    arming.join()
    states = world.kiosk.monitor.states()
    world.kiosk.close()
    world.store.close()

    assert "alarm_armed" in states
    assert read_restart(tmp_path / "state").is_alarm_armed


def test_an_operator_opens_the_door_even_of_a_kiosk_that_is_closed_and_it_is_in_the_log(tmp_path, scene):
    with World(tmp_path, scene) as world:
        until(lambda: world.kiosk.door.beat > 0)
        world.kiosk.requests.set_alarm(is_armed=True, actor="key-1")
        world.kiosk.requests.release(actor="operator-1")

        assert world.lines.pulses == 1
        (entry,) = (one.entry for one in world.store.decisions(DecisionFilter(kinds=(Kind.RELEASE,))).decisions)
        assert entry.actor == "operator-1"
        until(lambda: {"what": "relay_on", "of": entry.request_id} in world.acts(Kind.DOOR))


@pytest.mark.parametrize(("people", "said"), [(0, "nobody has this code"), (2, "several people")])
def test_a_code_must_be_one_persons(tmp_path, scene, people, said):
    world = World(tmp_path, scene, config(entrance={"mode": "verify"}))
    with world:
        for seed in range(people):
            world.enrol(seed + 1, name="same-code")
        with pytest.raises(RefusedError, match=said):
            world.kiosk.requests.claim("same-code", actor="key-1")


def test_a_code_lets_its_person_in(tmp_path, scene):
    with World(tmp_path, scene, config(entrance={"mode": "verify"})) as world:
        world.enrol(1, name="card-7")
        world.armed()
        assert world.kiosk.requests.claim("card-7", actor="key-1") == 30.0
        world.people.append(A)
        until(lambda: world.lines.pulses == 1)


def test_a_guided_enrolment_goes_through_the_desk(tmp_path, scene):
    settings = config(entrance={"mode": "enrol"}, enrolment={"consent_version": "2026-11", "gather_s": 0.1})
    with World(tmp_path, scene, settings) as world:
        heard = []
        world.kiosk.news.listen(lambda news: heard.append(news) if news.topic is Topic.ENROLMENT else None)
        world.armed()
        consent = Consent("2026-11", time.time())
        world.kiosk.requests.begin_enrolment(
            Details(name="Person C"), consent, is_allowlisted=True, is_attended=True, actor="operator-1"
        )
        world.people.append(template(3))
        until(lambda: heard and heard[-1].data["state"] == "added")

        (subject,) = world.store.people.subjects().subjects
        assert subject.is_allowlisted
        assert subject.details.consent_version == "2026-11"


def test_settings_that_can_are_taken_while_it_runs_and_the_others_want_a_new_start(tmp_path, scene):
    with World(tmp_path, scene) as world:
        world.armed()
        world.enrol(1)
        stricter = config(entrance={"identify_threshold": 100.0, "review_margin": 0.0}, degraded={"pad_off": "closed"})
        assert world.kiosk.reload(stricter)
        assert not world.kiosk.requests.health().is_armed
        assert not world.kiosk.reload(config(camera={"rotation": 90}))
        assert not world.kiosk.reload(config(api={"port": 8081}))
        assert not world.kiosk.reload(config(health={"holdover_h": 1.0}))
        assert world.device.config is stricter
        assert world.kiosk.reload(config(api={"language": "de"}))
        world.armed()


def test_a_thread_that_hangs_or_ends_is_named(tmp_path, scene, caplog):
    with World(tmp_path, scene, pace=replace(PATIENT, judge_late_s=0.3)) as world:
        world.armed()
        world.may_look.clear()
        until(lambda: world.kiosk.hanging == "judge")
        world.broken.append(ZeroDivisionError())
        world.may_look.set()
        with caplog.at_level(logging.CRITICAL):
            until(lambda: world.kiosk.is_broken)
    assert world.kiosk.hanging == "judge ended: ZeroDivisionError"


class Heard:
    """A supervisor that remembers."""

    def __init__(self, watchdog_s=0.2):
        self.watchdog_s, self.facts = watchdog_s, []

    def tell(self, **facts):
        self.facts.append(facts)

    def fed(self):
        return sum("WATCHDOG" in facts for facts in self.facts)


def test_the_watchdog_is_fed_only_while_everything_comes_round(tmp_path, scene):
    supervisor: Any = Heard()
    with World(tmp_path, scene, pace=replace(PATIENT, judge_late_s=0.3)) as world:
        world.armed()
        stopping = Flag()
        main = threading.Thread(target=serve, args=(world.kiosk, supervisor, stopping, lambda: False))
        main.start()
        until(lambda: supervisor.fed() > 3)
        world.may_look.clear()
        until(lambda: world.kiosk.hanging == "judge")
        before = supervisor.fed()
        stopping.wait(0.5)
        hungry = supervisor.fed() - before
        world.may_look.set()
        stopping.set()
        main.join()

    assert supervisor.facts[0] == {"READY": 1}
    assert hungry <= 1
    assert any("armed" in str(facts.get("STATUS")) for facts in supervisor.facts)


def test_the_status_file_tells_the_state_and_names_nobody(tmp_path, scene):
    path = tmp_path / "status.json"
    world = World(tmp_path, scene, status_file=path)
    world.enrol(1)
    with world:
        world.armed()
        until(path.exists)
        told = []

        def is_whole():
            told.append(path.read_text())
            status = json.loads(told[-1])
            camera = status["figures"].get("camera", {})
            return status["is_armed"] and "gallery" in status["figures"] and camera.get("state") == "live"

        until(is_whole)
    text = told[-1]
    status = json.loads(text)
    assert not path.exists()  # nobody is armed by a kiosk that has ended
    assert status["figures"]["gallery"]["people"] == 1
    assert "Person A" not in text


def test_a_look_that_a_stop_overtook_tells_no_more_that_anybody_is_armed(tmp_path, scene):
    path = tmp_path / "status.json"
    is_slow, is_counting, may_go_on = threading.Event(), threading.Event(), threading.Event()

    def figures():
        if is_slow.is_set():
            is_counting.set()
            assert may_go_on.wait(LIMIT_S)
        return {}

    with World(tmp_path, scene, pace=BRISK, status_file=path, more_figures=figures) as world:
        world.armed()
        until(path.exists)
        is_slow.set()
        assert is_counting.wait(LIMIT_S)
        world.kiosk.close()
        may_go_on.set()
        until(lambda: world.kiosk.is_stopped)

        assert not path.exists()


def test_a_status_file_that_could_not_be_written_is_written_once_there_is_room(tmp_path, scene):
    path = tmp_path / "run" / "status.json"
    with World(tmp_path, scene, status_file=path, pace=BRISK) as world:
        world.armed()
        assert not path.parent.exists()
        path.parent.mkdir()
        until(path.exists)


def test_closing_is_quick_and_leaves_the_relay_off(tmp_path, scene):
    with World(tmp_path, scene) as world:
        world.enrol(1)
        world.armed()
        world.people.append(A)
        until(lambda: world.lines.pulses == 1)
        began = time.monotonic()
        world.kiosk.close()

        assert time.monotonic() - began < BUSY_S
        assert Output.RELAY not in world.lines.lit
        assert {"what": "relay_on"}.items() <= world.acts(Kind.DOOR)[0].items()


# ---- the detection of photographs


def guarded(tmp_path, scene, detector, **pad):
    settings = config(pad={"level": "passive", "face_share_high": 0.8, **pad})  # the scripted face is large
    return World(tmp_path, scene, settings, pace=BRISK, detector=detector)


def test_a_level_has_a_state_of_its_own_and_so_has_a_site_that_is_not_calibrated(tmp_path, scene):
    with guarded(tmp_path, scene, ScriptedDetector()) as world:
        world.armed()

        until(lambda: set(world.kiosk.monitor.states()) == {"pad_passive", "pad_uncalibrated"})

    with guarded(tmp_path, scene, ScriptedDetector(), calibrated_for="scripted") as world:
        world.armed()
        until(lambda: world.kiosk.monitor.states() == ("pad_passive",))


def test_without_a_network_that_passes_its_test_nobody_is_judged_and_it_is_tried_again(tmp_path, scene):
    detector = ScriptedDetector()
    detector.fault = "liveness.onnx: no such file"
    with guarded(tmp_path, scene, detector) as world:
        world.enrol(1)
        world.people.append(A)
        until(lambda: detector.tests >= 2 and "starting" not in world.kiosk.monitor.states())
        seen = world.kiosk.requests.health()
        assert world.store.decisions(DecisionFilter(kinds=(Kind.IDENTIFY,))).total == 0

        detector.fault = None
        world.armed()
        until(lambda: world.lines.pulses == 1)  # Person A stands there still, and is judged now

    assert not seen.is_armed
    assert [state.sentence for state in seen.states if state.condition == "pad_failed"] == [
        "liveness.onnx: no such file"
    ]


def test_a_detection_that_the_settings_want_and_nobody_wired_closes(tmp_path, scene):
    with guarded(tmp_path, scene, None) as world:
        until(lambda: "starting" not in world.kiosk.monitor.states())

        assert "pad_failed" in world.kiosk.monitor.states()
        assert not world.kiosk.requests.health().is_armed

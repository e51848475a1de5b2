"""`kiosk run --demo` as a process: camera, judge, door and store together, in real time."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kiosk.cli import running as started
from kiosk.cli.demo import DemoCue
from kiosk.entrance.news import Broadcast, Topic
from kiosk.health.supervisor import Flag, Supervisor
from kiosk.settings.config import Config
from kiosk.store.directory import open_store, run_alone
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from tests.conftest import GOLDEN, networks, read
from tests.patience import BUSY_S, PROCESS_S

DEMO_S = 2 * PROCESS_S  # a start, and three visitors after one another, on a machine that runs other tests
TURNS = 5
SLOWER = {"KIOSK_CAMERA_SOURCE": "demo:?width=640&height=480&fps=6&wait=1"}
"""Fewer pictures a second than a demo has, where one test has played that: each costs a processor its time."""
DECIDED = re.compile(r"^\d\d:\d\d:\d\d  (.{18}) (\S+( Review)?) ")


@pytest.fixture
def demo(tmp_path):
    """A store that knows Person A and blocks Person B, and a folder of those who walk up."""
    from kiosk.store.directory import initialise

    with initialise(tmp_path / "state", now=time.time) as store:
        for name, file, is_blocked in (("Person A", "a_2", False), ("Person B", "b_1", True)):
            template = networks().analyse(read(GOLDEN / f"person_{file}.jpg")).template
            assert template is not None
            store.people.enrol(Enrolment([template], Details(name=name), is_blocklisted=is_blocked))
    (tmp_path / "visitors").mkdir()
    for place, name in enumerate(("a_1", "c_1", "b_1")):
        shutil.copy(GOLDEN / f"person_{name}.jpg", tmp_path / "visitors" / f"{place}.jpg")
    return tmp_path


@contextlib.contextmanager
def unread():
    """Give a pipe that is full, as of a journal that takes no more; nobody reads it."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x")
        os.set_blocking(writing, True)
        yield writing
    finally:
        os.close(reading)
        os.close(writing)


@contextlib.contextmanager
def running(demo, *, options=(), stderr=subprocess.DEVNULL, **settings):
    """Run the demo; it is over with the test, whatever becomes of that."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIOSK_")}
    environment |= {"KIOSK_STATE": str(demo / "state"), "KIOSK_API_ENABLED": "false"}
    environment |= {"KIOSK_CAMERA_LOST_AFTER_S": "60", "KIOSK_CAMERA_OPEN_WITHIN_S": "60", **settings}  # it plays once
    with subprocess.Popen(
        [sys.executable, "-m", "kiosk", "run", "--demo", str(demo / "visitors"), *options],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def logged(demo):
    with open_store(demo / "state", read_keys(demo / "state"), now=time.time) as store:
        assert store.verify_log().is_intact
        return [one.entry.status for one in reversed(store.decisions().decisions)]


def played(demo):
    """Play the demo to its end, as often as the machine stood still for the half second after which no door opens."""
    for _ in range(TURNS):
        with running(demo, stderr=subprocess.PIPE) as process:
            told, imported = process.communicate(timeout=DEMO_S)
        assert process.returncode == 0
        if "the door opens" in told:
            break
    return told, imported


def test_the_demo_lets_in_whom_it_knows_turns_away_the_others_and_ends(demo, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # names on stderr every module that is imported
    told, imported = played(demo)

    decided = [(found[1].strip(), found[2]) for line in told.splitlines() if (found := DECIDED.match(line))]
    assert decided == [("Person A", "Approved"), ("somebody unknown", "Declined"), ("Person B", "Declined")]
    assert told.count("door: relay_on") == told.count("the door opens") == 1
    assert told.count("ALARM") == 1
    assert logged(demo)[-3:] == ["Approved", "Declined", "Declined"]
    modules = {line.rpartition("|")[2].strip() for line in imported.splitlines() if line.startswith("import time:")}
    assert "kiosk.store.people" in modules
    assert [one for one in modules if one.startswith(("kiosk.fleet", "kiosk.store.fleet", "nats", "nkeys"))] == []


def test_the_demo_goes_on_though_nobody_takes_its_log(demo):
    with unread() as pipe, running(demo, options=["--verbose"], stderr=pipe, **SLOWER) as process:
        told, _ = process.communicate(timeout=DEMO_S)

    assert process.returncode == 0
    assert [found[1].strip() for line in told.splitlines() if (found := DECIDED.match(line))] == [
        "Person A",
        "somebody unknown",
        "Person B",
    ]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_decision_that_was_told_of_is_in_the_log_however_the_kiosk_ends(demo, sent, code):
    with running(demo, **SLOWER) as process:
        assert "are photographs" in process.stdout.readline()
        line = process.stdout.readline()
        began = time.monotonic()
        process.send_signal(sent)
        process.communicate(timeout=PROCESS_S)
        took_s = time.monotonic() - began

    assert "Person A" in line
    assert process.returncode == code
    assert took_s < BUSY_S
    assert logged(demo) == ["Approved"]


def test_settings_are_read_and_put_into_force_while_no_page_changes_them():
    seen, changing = [], threading.Lock()

    def settings(_chosen):
        seen.append(changing.locked())
        return Config()

    def reload(_config):
        seen.append(changing.locked())
        return True

    camera = SimpleNamespace(source=SimpleNamespace(portraits=()))
    kiosk: Any = SimpleNamespace(changing=changing, reload=reload, camera=camera)

    asked_for_a_new_start = started._reload(argparse.Namespace(demo=None), kiosk, Supervisor({}), Flag(), load=settings)

    assert not asked_for_a_new_start
    assert (seen, changing.locked()) == ([True, True], False)


def test_the_people_of_a_demo_hear_of_each_decision_and_of_an_idle_screen():
    told, news = [], Broadcast(time.time)
    camera = SimpleNamespace(cue=lambda decisions, *, is_idle: told.append((decisions, is_idle)))
    kiosk: Any = SimpleNamespace(camera=camera)
    news.listen(DemoCue(kiosk))

    for topic, data in (
        (Topic.SCREEN, {"state": "idle"}),
        (Topic.SCREEN, {"state": "guide"}),
        (Topic.DECISION, {}),
        (Topic.DOOR, {}),
        (Topic.SCREEN, {"state": "result"}),
        (Topic.SCREEN, {"state": "idle"}),
    ):
        news.publish(topic, data)

    assert told == [(0, True), (0, False), (1, False), (1, False), (1, True)]


def test_a_second_kiosk_on_the_same_state_directory_is_refused(demo):
    with run_alone(demo / "state"), running(demo, stderr=subprocess.PIPE) as process:
        told, said = process.communicate(timeout=DEMO_S)

    assert process.returncode == 1
    assert "a kiosk runs from" in said
    assert "opens" not in told


def test_settings_of_the_start_are_taken_by_a_new_start_of_the_same_process_and_it_is_no_stop(demo, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.bind(str(tmp_path / "notify"))
        wire.settimeout(DEMO_S)
        told: list[str] = []

        def await_fact(fact):
            while not any(line.startswith(fact) for line in told[-1:] for line in line.splitlines()):
                told.append(wire.recv(4096).decode())

        settings = tmp_path / "kiosk.toml"
        settings.write_text("")
        environment = {"KIOSK_CONFIG": str(settings), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with (
            Path("/dev/full").open("w") as full,  # a log on a disk without room
            running(demo, options=["--verbose"], stderr=full, **environment) as process,
        ):
            await_fact("READY=1")
            settings.write_text("[camera]\nrotation = 180\n")
            process.send_signal(signal.SIGHUP)
            await_fact("RELOADING=1")
            await_fact("READY=1")
            before, told[:] = told[:], []
            process.send_signal(signal.SIGTERM)
            await_fact("STOPPING=1")
            process.communicate(timeout=PROCESS_S)

    assert process.returncode == 0
    assert not any("STOPPING" in line for line in before)


def test_the_demo_says_aloud_that_its_photographs_are_not_detected_and_with_detection_refuses_them(demo):
    with running(demo) as process:
        said = process.stdout.readline()
        process.kill()
    for stranger in sorted((demo / "visitors").iterdir())[1:]:
        stranger.unlink()

    with running(demo, options=("--detect",)) as process:
        told = process.communicate(timeout=DEMO_S)[0]

    assert "attack detection is off here ([pad] level off)" in said
    assert "level active" in told
    assert "Declined" in told
    assert "liveness_undetermined" in told or "attack_suspected" in told
    assert "the door opens" not in told
    assert logged(demo)[-1:] == ["Declined"]

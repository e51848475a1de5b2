"""Two kiosks as processes and a real hub: in by the one, out by the other, a lockdown, and one that falls silent."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from kiosk.cli.main import main
from kiosk.door.lines import Input
from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.line_file import LineFile
from tests.conftest import GOLDEN, networks, read
from tests.fleet.keys import want_server
from tests.fleet.test_hub import RunningHub
from tests.patience import LIMIT_S, PROCESS_S, until

pytest.importorskip("nats", reason="nats-py of the extra fleet is not installed")

WAY_IN, WAY_OUT = "Way in", "Way out"
COMES_S = 3 * PROCESS_S  # until somebody was seen, decided about, and neither was late, on a busy machine
PASSWORD = "a long password of nobody"
FPS = 5  # a third of a demo's, and of what its pictures cost; the door wants one of the last half second


class Kiosk:
    """A device with its process: Person A walks up to it, again and again."""

    def __init__(self, directory, name, passage):
        self.directory, self.name = directory, name
        self.state, self.runtime = directory / "state", directory / "run"
        self.runtime.mkdir(parents=True)
        initialise(self.state, now=time.time).close()
        (directory / "visitors").mkdir()
        shutil.copy(GOLDEN / "person_a_1.jpg", directory / "visitors" / "0.jpg")
        self.lines = LineFile(directory / "lines")
        (directory / "kiosk.toml").write_text(
            f'[door]\nchip = "simulated:{directory / "lines"}"\nrelay = 1\nexit = 2\npulse_s = 0.2\n'
            f"[api]\nenabled = false\n[passage]\n{passage}\n"
        )

    @property
    def environment(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KIOSK_")}
        return clean | {
            "KIOSK_STATE": str(self.state),
            "KIOSK_CONFIG": str(self.directory / "kiosk.toml"),
            "RUNTIME_DIRECTORY": str(self.runtime),
            "KIOSK_CAMERA_SOURCE": f"demo:?width=640&height=480&fps={FPS}&wait=1&loop=1",
            "KIOSK_CAMERA_LOST_AFTER_S": "60",  # a machine that runs other tests stands still now and then
            "KIOSK_CAMERA_OPEN_WITHIN_S": "60",
        }

    @contextlib.contextmanager
    def running(self):
        arguments = [sys.executable, "-m", "kiosk", "run", "--demo", str(self.directory / "visitors"), "--loop"]
        with (self.directory / "log").open("w") as log:
            arguments.append("--verbose")
            with subprocess.Popen(arguments, env=self.environment, stdout=subprocess.DEVNULL, stderr=log) as process:
                self.process = process
                try:
                    yield self
                finally:
                    process.send_signal(signal.SIGCONT)
                    process.kill()

    @property
    def states(self):
        """The degraded states by the status file; None where there is none."""
        try:
            return {one["condition"] for one in json.loads((self.runtime / "status.json").read_text())["states"]}
        except (OSError, ValueError):
            return None

    def is_in(self, state):
        return state in (self.states or ())

    def store(self):
        return open_store(self.state, read_keys(self.state), now=time.time)

    def refusals(self):
        """Why nothing opened for approvals, the newest first."""
        with self.store() as store:
            acts = store.decisions(DecisionFilter(kinds=(Kind.DOOR,)), limit=500).decisions
            return [one.entry.details["why"] for one in acts if "why" in one.entry.details]

    def command(self, *arguments, given=""):
        done = subprocess.run(
            [sys.executable, "-m", "kiosk", *arguments],
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PROCESS_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def owner(tmp_path, port, monkeypatch, capsys):
    """Give what runs a command of the owner, who has a fleet and its hub."""

    def run(*arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO("a passphrase\n"))
        assert main([str(one) for one in arguments]) == 0
        return capsys.readouterr().out

    want_server()
    run("fleet", "init", tmp_path / "owner", "--name", "House", "--hub", f"tls://127.0.0.1:{port}")
    hub = RunningHub(tmp_path / "owner" / "hub", port)
    until(hub.ready.is_set)
    yield run
    hub.kill()


def test_in_by_one_kiosk_and_out_by_the_other(owner, tmp_path):
    a = Kiosk(tmp_path / "a", WAY_IN, f'direction = "in"\nantipassback = "hard"\ndoors = ["{WAY_OUT}"]')
    b = Kiosk(tmp_path / "b", WAY_OUT, f'direction = "out"\ndoors = ["{WAY_IN}"]')
    template = networks().analyse(read(GOLDEN / "person_a_2.jpg")).template
    assert template is not None
    for one in (a, b):
        told = owner(
            "--state", one.state, "fleet", "join", tmp_path / "owner" / "fleet.json", "--name", one.name, "--json"
        )
        owner("fleet", "approve", json.loads(told)["code"], "--owner", tmp_path / "owner", "--yes")
    with a.store() as store:
        store.people.enrol(Enrolment([template], Details(name="Person A")))
        accounts = Accounts(store, now=time.time)
        accounts.create_operator("guard", Role.OPERATOR, PASSWORD)

    with a.running():
        # alone nobody is let in: whether somebody is inside already is not known
        until(lambda: a.is_in("neighbour_lost"), PROCESS_S)
        until(lambda: "neighbour_lost" in a.refusals(), COMES_S)
        assert a.lines.pulses == 0
        with b.running():
            until(lambda: b.lines.pulses >= 1, COMES_S)  # out, also of somebody who never came in
            until(lambda: a.lines.pulses >= 2, COMES_S)  # in again and again, as they leave by the other
            assert b.lines.pulses >= 1
            until(
                lambda: a.states is not None and not a.is_in("neighbour_lost")
            )  # a busy machine loses it now and then

            lock_down(a, b)
            b.process.kill()
            b.process.wait()
        with b.running():
            lift(a, b)

            # a neighbour that stands still is silent, however good its connection was
            b.process.send_signal(signal.SIGSTOP)
            until(lambda: a.is_in("neighbour_lost"), PROCESS_S)

    check_log(a, b)


def lock_down(a, b):
    """Lock every door of the fleet down by the command at one kiosk; the exit button lets out still."""
    code, said = a.command("door", "lockdown", "--fleet", "--reason", "a drill")
    assert (code, said.strip()) == (0, "every door of the fleet is locked down until somebody lifts that")
    until(lambda: a.is_in("lockdown") and b.is_in("lockdown"), LIMIT_S)
    until(lambda: not a.lines.lit)
    before = a.lines.pulses
    a.lines.turn(Input.EXIT, on=True)
    until(lambda: a.lines.pulses == before + 1)  # out, as ever
    a.lines.turn(Input.EXIT, on=False)


def lift(a, b):
    """Lift it in the name of an account; the other kiosk has been started anew meanwhile, and is locked down still."""
    until(lambda: b.is_in("lockdown"), PROCESS_S)
    assert a.command("door", "lift", "--by", "guard", given="wrong\n")[0] != 0
    assert a.is_in("lockdown")
    code, said = a.command("door", "lift", "--by", "guard", given=f"{PASSWORD}\n")
    assert (code, said.strip()) == (0, "the lockdown is lifted")
    until(lambda: not a.is_in("lockdown") and b.states is not None and not b.is_in("lockdown"), PROCESS_S)


def check_log(a, b):
    """Each kiosk's log says who locked it down, and who lifted that."""
    with a.store() as store:
        acts = store.decisions(DecisionFilter(kinds=(Kind.POLICY,)), limit=100).decisions
        told = [(one.entry.details["is_locked_down"], one.entry.actor) for one in reversed(acts)]
        guard = next(one.id for one in Accounts(store, now=time.time).all("operator") if one.name == "guard")
        assert [one for one, _ in told] == [True, False]
        assert told[1][1] == guard
    with b.store() as store:
        acts = store.decisions(DecisionFilter(kinds=(Kind.POLICY,)), limit=100).decisions
        assert [one.entry.actor for one in acts] == [f"fleet:{WAY_IN}"] * 2

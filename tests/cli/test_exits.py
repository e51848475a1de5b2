"""Getting out of the door in every state of the kiosk: real processes, lines in a file, a full and a read-only disk."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from kiosk.door.lines import Input, Output
from kiosk.networks.inference import standard_pack
from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.testing.line_file import LineFile
from tests.conftest import GOLDEN
from tests.patience import BUSY_S, LIMIT_S, reserved_port, until

START_S = 3 * LIMIT_S  # a whole kiosk, on a machine that runs other tests
PULSE_S = 0.2


class Site:
    """A device: state directory, settings, lines, an operator's key, and the process of its kiosk."""

    def __init__(self, tmp_path, port, state=None):
        self.state = state or tmp_path / "state"
        self.runtime = tmp_path / "run"
        self.runtime.mkdir()
        with initialise(self.state, now=time.time) as store:
            _, self.key = Accounts(store, now=time.time).create_key("guard", Role.OPERATOR)
        self.lines = LineFile(tmp_path / "lines")
        self.port = port
        self.settings = tmp_path / "kiosk.toml"
        self.door = f'[door]\nchip = "simulated:{tmp_path / "lines"}"\nrelay = 1\nexit = 2\npulse_s = {PULSE_S}\n'
        self.more = f'[camera]\nsource = "dir:{GOLDEN}?fps=5&loop=1"\n[api]\nport = {self.port}\n'
        self.write()
        self.process = None

    def write(self, more=""):
        self.settings.write_text(self.door + self.more + more)

    @property
    def environment(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KIOSK_")}
        return clean | {
            "KIOSK_STATE": str(self.state),
            "KIOSK_CONFIG": str(self.settings),
            "RUNTIME_DIRECTORY": str(self.runtime),
        }

    @contextlib.contextmanager
    def running(self, **more):
        arguments = [sys.executable, "-m", "kiosk", "run", "--existing"]
        with subprocess.Popen(
            arguments, env=self.environment | more, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            said: list[str] = []
            self.process, self.said = process, said
            assert process.stderr is not None
            reading = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
            reading.start()
            try:
                yield self
            finally:
                process.kill()
                reading.join(LIMIT_S)

    def says(self, words):
        until(
            lambda: (
                any(words in line for line in self.said)
                or (self.process is not None and self.process.poll() is not None)
            ),
            START_S,
        )
        assert any(words in line for line in self.said), self.said

    def failure_told(self):
        """Return what the status file says of a start that failed; None before it does."""
        with contextlib.suppress(FileNotFoundError):
            status = json.loads((self.runtime / "status.json").read_text())
            if "start failed" in status["states"][0]["sentence"]:
                return status
        return None

    # ---- the three ways out; each says whether a pulse was seen

    def pulse_seen(self, before):
        with contextlib.suppress(AssertionError):
            until(lambda: self.lines.pulses > before and Output.RELAY not in self.lines.lit, LIMIT_S)
        return self.lines.pulses == before + 1 and Output.RELAY not in self.lines.lit

    def runs(self):
        """Wait for the kiosk itself: until its own API serves, the one of the start does, or for a moment none."""
        self.says("self_test result=passed")
        self.says("api address=")

    def press(self):
        before = self.lines.pulses
        self.lines.turn(Input.EXIT, on=True)
        seen = self.pulse_seen(before)
        self.lines.turn(Input.EXIT, on=False)
        return seen

    def alarm(self, *, is_armed):
        body = json.dumps({"is_armed": is_armed}).encode()
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        return self.call("/device/door/alarm", body=body, **headers)[0]

    def call(self, path, method="POST", *, body=None, **headers):
        address = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(address, body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def by_key(self):
        before = self.lines.pulses
        until(lambda: self.call("/device/door/release")[0] != 0, START_S)  # somebody answers
        code, told = self.call("/device/door/release", **{"X-API-Key": self.key})
        return (code == 200 and self.pulse_seen(before)) or (code, told)

    def by_command(self):
        before = self.lines.pulses
        asked = subprocess.run(
            [sys.executable, "-m", "kiosk", "door", "release"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0 and self.pulse_seen(before):
            return True
        print(*self.said, sep="")  # the kiosk's own words, which a failed test shows
        return asked.stderr

    def ways_out(self):
        return {"key": self.by_key(), "button": self.press(), "command": self.by_command()}

    def conditions(self):
        """Return the states in the status file of this process; none while the file is of the one before it."""
        status = json.loads((self.runtime / "status.json").read_text())
        is_new = self.process is not None and status["pid"] == self.process.pid
        return {state["condition"] for state in status["states"]} if is_new else set()

    def records(self, *kinds):
        with open_store(self.state, read_keys(self.state), now=time.time) as store:
            page = store.decisions(DecisionFilter(kinds=kinds))
            return [one.entry for one in reversed(page.decisions)]


ALL = {"key": True, "button": True, "command": True}


@pytest.fixture
def port():
    with reserved_port() as port:
        yield port


@pytest.fixture
def site(tmp_path, port):
    return Site(tmp_path, port)


@pytest.fixture
def mounted(tmp_path, port):
    """A site whose state lies on a file system of its own, of 12 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system wants root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine mounts no file systems")
    try:
        yield Site(tmp_path, port, disk / "state"), disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(disk):
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_kiosk_that_runs_lets_out_by_button_key_and_command_and_records_each(site):
    with site.running():
        site.runs()
        assert site.ways_out() == ALL
        site.process.send_signal(signal.SIGTERM)
        site.process.wait(LIMIT_S)

    by_key, by_command = site.records(Kind.RELEASE)
    assert len(by_key.actor) == 12  # of the key
    assert by_command.actor == ("root" if os.geteuid() == 0 else f"uid {os.geteuid()}")
    assert [one.details["what"] for one in site.records(Kind.DOOR)].count("exit_pressed") == 1


def test_on_a_full_disk_the_ways_out_work_and_the_alarm_is_armed_and_all_is_recorded_in_order_later(mounted):
    site, disk = mounted
    site.write("[health]\ndisk_low_mb = 1\n")
    with site.running():
        site.runs()
        until((site.state / "unrecorded").exists)
        fill(disk)
        assert site.ways_out() == ALL
        assert site.alarm(is_armed=True) == 200  # what closes is taken, and what opens is not
        assert site.alarm(is_armed=False) == 503
        site.process.send_signal(signal.SIGKILL)  # no second chance to write
        site.process.wait(LIMIT_S)
    (disk / "ballast").unlink()
    with site.running():
        site.runs()
        until(lambda: len(site.records(Kind.RELEASE)) == 2)
        until(lambda: "alarm_armed" in site.conditions())
        assert site.alarm(is_armed=False) == 200

    armed = [one.details["is_alarm_armed"] for one in site.records(Kind.POLICY)]
    assert armed == [True, False]
    acts = [(one.kind, one.details.get("what")) for one in site.records(Kind.RELEASE, Kind.DOOR)]
    wanted = [(Kind.RELEASE, None), (Kind.DOOR, "exit_pressed"), (Kind.RELEASE, None)]
    assert [act for act in acts if act in wanted] == wanted


def test_on_a_card_that_is_read_only_the_ways_out_work_although_the_kiosk_cannot_start(mounted):
    site, disk = mounted
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with site.running():
        site.says("start failed")
        assert site.ways_out() == ALL
        until(site.failure_told)  # after the log has said so
        status = site.failure_told()
    assert "read-only" in status["states"][0]["sentence"].lower()
    assert not status["is_armed"]


def test_with_a_damaged_store_the_ways_out_work_and_the_kiosk_says_what_is_wrong(site):
    content = (site.state / "kiosk.db").read_bytes()
    (site.state / "kiosk.db").write_bytes(b"\xff" * 4096 + content[4096:])
    for beside in site.state.glob("kiosk.db-*"):
        beside.unlink()
    with site.running():
        site.says("start failed")
        assert site.ways_out() == ALL
        code, told = site.call("/device/health", "GET", **{"X-API-Key": site.key})
        assert code == 200
        assert "start failed" in told["states"][0]["sentence"]
        assert site.call("/device/people", "GET", **{"X-API-Key": site.key})[0] == 503


def test_without_its_key_the_button_and_the_command_let_out_and_nobody_is_recognised(site):
    (site.state / "kiosk.key").rename(site.state / "elsewhere")
    with site.running():
        site.says("start failed")
        ways = site.ways_out()
        assert (ways["button"], ways["command"]) == (True, True)
        code, told = ways["key"]
        assert code == 503
        assert "sudo kiosk door release" in told["detail"]
        pulses = site.lines.pulses
        (site.state / "elsewhere").rename(site.state / "kiosk.key")
        site.process.send_signal(signal.SIGHUP)  # do not wait for the next try
        site.runs()
        assert site.by_key() is True
        assert site.lines.pulses == pulses + 1
        until(lambda: len(site.records(Kind.RELEASE)) == 2)  # the command's of before has been recorded as well


def test_with_a_changed_model_the_ways_out_work(site, tmp_path):
    shutil.copytree(standard_pack(), tmp_path / "pack")
    with (tmp_path / "pack" / "sface.onnx").open("r+b") as file:
        file.write(b"\0\0\0\0")
    site.write(f'[models]\npack = "{tmp_path / "pack"}"\n')
    with site.running():
        site.says("start failed")
        assert site.ways_out() == ALL


def test_while_the_kiosk_starts_the_ways_out_work(site, tmp_path):
    (tmp_path / "pack").mkdir()
    os.mkfifo(tmp_path / "pack" / "manifest.toml")  # whoever reads it waits for a writer: a start that takes its time
    site.write(f'[models]\npack = "{tmp_path / "pack"}"\n')
    with site.running():
        until((site.runtime / "door.sock").exists, START_S)
        assert site.ways_out() == ALL


def test_after_a_failed_self_test_the_ways_out_work(site, tmp_path):
    pack = tmp_path / "pack"
    shutil.copytree(standard_pack(), pack)
    faces = sorted(path for path in (pack / "golden").iterdir() if path.suffix == ".jpg")
    shutil.copy(GOLDEN / "person_c_1.jpg", faces[0])
    shutil.copy(GOLDEN / "person_b_1.jpg", faces[-1])
    site.write(f'[models]\npack = "{pack}"\n')
    with site.running():
        site.says("self_test result=failed")
        site.says("api address=")
        assert site.ways_out() == ALL


def test_a_wrong_section_elsewhere_keeps_the_exit_button_and_the_command(site):
    site.write("[search]\nmax_matches = 0\n")
    with site.running():
        site.says("start failed")
        assert (site.press(), site.by_command()) == (True, True)


def test_an_operator_is_known_by_name_and_password_while_the_store_is_damaged_and_a_stranger_is_not(site):
    with open_store(site.state, read_keys(site.state), now=time.time) as store:
        Accounts(store, now=time.time).create_operator("Person A", Role.OPERATOR, "a long password")
    (site.state / "kiosk.db").write_bytes(b"\xff" * 8192)
    with site.running():
        site.says("start failed")
        until(lambda: site.call("/device/door/release")[0] == 401, START_S)
        pulses = site.lines.pulses
        wrong = site.call("/device/door/release", Authorization="Basic UGVyc29uIEE6d3Jvbmc=")
        assert (wrong[0], site.lines.pulses) == (401, pulses)
        right = site.call("/device/door/release", Authorization="Basic UGVyc29uIEE6YSBsb25nIHBhc3N3b3Jk")
        assert right == (200, {"is_released": True})
        assert site.pulse_seen(pulses)


def test_a_start_that_fails_is_never_told_ready_and_says_why_to_the_service_manager(site, tmp_path):
    (site.state / "kiosk.db").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.bind(str(tmp_path / "notify"))
        wire.settimeout(START_S)
        told: list[str] = []
        with site.running(NOTIFY_SOCKET=str(tmp_path / "notify")):
            while "start failed" not in "".join(told):
                told.append(wire.recv(4096).decode())
            site.process.send_signal(signal.SIGTERM)
            assert site.process.wait(LIMIT_S) == 1

    assert "EXTEND_TIMEOUT_USEC=30000000" in told[-1]
    assert "there is no store" in told[-1]
    assert not any("READY=1" in one for one in told)
    assert not (site.state / "kiosk.db").exists()


def test_nobody_but_root_and_the_kiosks_account_releases_by_the_socket(site):
    if os.geteuid() != 0:
        pytest.skip("becoming somebody else wants root")
    number = {"x86_64": 117, "aarch64": 147}.get(platform.machine())
    if number is None:
        pytest.skip("the number of setresuid is not known here")
    with site.running():
        until((site.runtime / "door.sock").exists, START_S)
        (site.runtime / "door.sock").chmod(0o666)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            place = os.open(site.runtime, os.O_RDONLY)
            reached = threading.Event()

            def ask():  # a thread of Linux has an identity of its own, which the kernel tells the other end
                import ctypes

                ctypes.CDLL(None).syscall(number, -1, 65534, -1)  # setresuid of this thread alone
                with contextlib.suppress(OSError):
                    asking.connect(f"/proc/self/fd/{place}/door.sock")
                    asking.sendall(b"release\n")
                    told.append(asking.recv(1000))
                reached.set()

            told: list[bytes] = []
            threading.Thread(target=ask).start()
            assert reached.wait(LIMIT_S)
            os.close(place)
        assert b"only root and the kiosk's own account" in b"".join(told)
        assert site.lines.pulses == 0


def test_a_kiosk_that_is_stopped_in_a_pulse_does_not_hold_the_door_open(site):
    site.door = site.door.replace(f"pulse_s = {PULSE_S}", "pulse_s = 3.0")
    site.write("[search]\nmax_matches = 0\n")  # the door alone: the guard is the door's, whatever else runs
    with site.running():
        until((site.runtime / "door.sock").exists, START_S)
        site.says("start failed")
        site.lines.turn(Input.EXIT, on=True)
        until(lambda: site.lines.pulses == 1)
        os.kill(site.process.pid, signal.SIGSTOP)
        until(lambda: Output.RELAY not in site.lines.lit)
        assert site.lines.pulses == 1
        site.lines.turn(Input.EXIT, on=False)
        os.kill(site.process.pid, signal.SIGCONT)
        assert site.by_command() is True  # a new pulse, and no extension of the one the guard ended


def test_a_kiosk_that_is_killed_in_a_pulse_leaves_the_relay_off(site):
    site.door = site.door.replace(f"pulse_s = {PULSE_S}", "pulse_s = 30.0\nlongest_pulse_s = 60.0")
    site.write("[search]\nmax_matches = 0\n")
    with site.running():
        site.says("start failed")
        site.lines.turn(Input.EXIT, on=True)
        until(lambda: site.lines.pulses == 1)
        site.process.kill()
        assert until(lambda: Output.RELAY not in site.lines.lit) < BUSY_S

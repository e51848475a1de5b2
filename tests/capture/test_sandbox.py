"""Facts about the walls around the process that captures, asked of that process from inside while frames flow."""

import errno
import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from kiosk.capture.process import BOOT, Camera, Child
from kiosk.capture.sandbox import (
    ARCHITECTURES,
    BYTES_PER_PIXEL,
    MOST_DATA_BYTES,
    call_filter,
    environment_for,
    landlock_version,
    readable_for,
)
from kiosk.capture.sources import parse_source
from kiosk.settings.sections import CameraSettings
from kiosk.store.keys import new_key
from tests.capture.frames import picture
from tests.patience import PROCESS_S, until

# Put before the child's own program: on a signal it tries what a decoder taken over would, in the thread that captures,
# and writes the answers into a file that was open before.
ASKING = """
import ctypes, json, os, signal, socket
wanted = json.loads(WANTED)
answers = os.open(wanted["answers"], os.O_WRONLY)
libc = ctypes.CDLL(None, use_errno=True)

def start_process():
    if not os.fork():
        os._exit(0)

def attach():
    if libc.ptrace(16, wanted["parent"], None, None):
        raise OSError(ctypes.get_errno(), "ptrace")

def ask(*_):
    said = {"environment": dict(os.environ)}
    for name, attempt in {
        "key": lambda: open(wanted["key"]).read(),
        "state": lambda: os.listdir(os.path.dirname(wanted["key"])),
        "key by the parent": lambda: open("/proc/%d/root%s" % (wanted["parent"], wanted["key"])).read(),
        "write beside": lambda: open(wanted["key"] + ".2", "w"),
        "memory": lambda: open("/proc/%d/mem" % wanted["parent"], "rb"),
        "environ": lambda: open("/proc/%d/environ" % wanted["parent"], "rb"),
        "descriptors": lambda: os.listdir("/proc/%d/fd" % wanted["parent"]),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "fork": start_process,
        "ptrace": attach,
        "signal": lambda: os.kill(wanted["parent"], 0),
        "network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    }.items():
        try:
            attempt()
            said[name] = 0
        except OSError as error:
            said[name] = error.errno
    os.write(answers, json.dumps(said).encode())

signal.signal(signal.SIGUSR1, ask)
"""
REFUSED = {errno.EACCES, errno.EPERM}


class Streaming(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Stream)
        self.is_over = threading.Event()


class Stream(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        assert isinstance(self.server, Streaming)
        while not self.server.is_over.is_set():
            data = cv2.imencode(".jpg", picture(number))[1].tobytes()
            number += 1
            try:
                self.wfile.write(b"--frame\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
            except OSError:
                return
            time.sleep(0.02)  # the frame rate

    def log_message(self, *_):
        pass


@pytest.fixture
def stream():
    with Streaming() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/stream"
        server.is_over.set()
        server.shutdown()
        thread.join()


def number_of(child):
    newest = child.slot.newest()
    return newest.number if newest is not None else 0


def asked(address, folder):
    """Capture, and ask the process that does; return its answers and how many frames came after them."""
    key = folder / "state" / "kiosk.key"
    key.parent.mkdir()
    new_key().write(key)
    assert key.read_bytes(), "this process may read it"
    answers = folder / "answers"
    answers.touch()
    wanted = json.dumps({"answers": str(answers), "key": str(key), "parent": os.getpid()})
    settings = CameraSettings(source=address)
    child = Child(parse_source(address), settings, 1, ASKING.replace("WANTED", repr(wanted)) + BOOT)
    try:
        until(lambda: child.slot.newest() or child.is_over)
        assert not child.is_over, child.why()
        os.kill(child.pid, signal.SIGUSR1)
        until(lambda: answers.read_bytes() or child.is_over)
        before = number_of(child)
        until(lambda: number_of(child) > before + 3 or child.is_over)
        assert not child.is_over, child.why()
        status = "".join(Path(f"/proc/{child.pid}/{name}").read_text() for name in ("status", "limits"))
        return json.loads(answers.read_bytes()), child.slot.walls(), status
    finally:
        child.end(1.0)


@pytest.fixture(params=["dir", "http"])
def source(request, folder, stream):
    return f"dir:{folder}?fps=50&loop=1" if request.param == "dir" else stream


def test_the_process_that_captures_cannot_read_the_key_while_frames_flow(source, tmp_path):
    if not landlock_version():
        pytest.skip("this kernel has no Landlock")

    said, walls, _ = asked(source, tmp_path)

    assert walls == f"landlock {landlock_version()}, seccomp"
    for attempt in ("key", "state", "key by the parent", "write beside", "memory", "environ", "descriptors"):
        assert said[attempt] in REFUSED, attempt
    if landlock_version() >= 6:
        assert said["signal"] in REFUSED


def test_it_starts_no_program_and_looks_into_no_process_while_frames_flow(source, tmp_path):
    said, walls, status = asked(source, tmp_path)

    assert "seccomp" in walls
    assert "\nNoNewPrivs:\t1\n" in status
    assert "\nSeccomp:\t2\n" in status
    for attempt in ("exec", "fork", "ptrace", "raw packets"):
        assert said[attempt] == errno.EPERM, attempt
    assert said["network"] == (0 if source.startswith("http") else errno.EPERM)


def test_its_own_memory_is_limited_below_what_the_unit_allows_the_whole_kiosk(folder, tmp_path):
    _, _, status = asked(f"dir:{folder}?fps=50&loop=1", tmp_path)

    most = next(int(line.split()[3]) for line in status.splitlines() if line.startswith("Max data size"))
    assert most == MOST_DATA_BYTES + BYTES_PER_PIXEL * CameraSettings().max_pixels
    assert most < 1 << 30
    assert [line.split()[4:6] for line in status.splitlines() if line.startswith("Max core file size")] == [["0", "0"]]


def test_a_stream_that_asks_for_too_much_memory_ends_its_own_process_alone(folder):
    greedy = BOOT.replace(
        "run(told)",
        "from kiosk.capture import child\nchild.look = lambda *_: bytearray(1 << 31)\nrun(told)",
    )
    address = f"dir:{folder}?fps=50&loop=1"
    child = Child(parse_source(address), CameraSettings(source=address), 1, greedy)
    try:
        until(lambda: child.is_over)
        assert "MemoryError" in child.why()
    finally:
        child.end(1.0)


def test_nothing_of_our_environment_reaches_it_but_what_it_needs(folder, tmp_path, monkeypatch):
    for name in ("CREDENTIALS_DIRECTORY", "KIOSK_STATE", "KIOSK_CLOUD_API_KEY", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "/secret")
    monkeypatch.setenv("LANG", "C.UTF-8")

    said, _, _ = asked(f"dir:{folder}?fps=50&loop=1", tmp_path)

    assert said["environment"]["LANG"] == "C.UTF-8"
    assert "/secret" not in said["environment"].values()
    assert "PATH" not in said["environment"]


def test_libcamera_s_own_settings_reach_a_camera_of_the_raspberry_pi_and_no_other():
    environment = {"LIBCAMERA_LOG_LEVELS": "*:ERROR", "HOME": "/root"}

    assert environment_for(parse_source("picamera2:0"), environment) == {"LIBCAMERA_LOG_LEVELS": "*:ERROR"}
    assert environment_for(parse_source("v4l2:/dev/video0"), environment) == {}


def test_a_camera_says_what_shuts_its_process_in(folder, caplog):
    caplog.set_level("INFO", "kiosk.capture")
    with Camera(CameraSettings(source=f"dir:{folder}?fps=50&loop=1")) as camera:
        camera.latest(0, PROCESS_S)
        until(lambda: camera.walls)

        assert "seccomp" in camera.walls
        until(lambda: f"camera sandbox='{camera.walls}'" in caplog.messages)  # another thread writes it


def test_on_a_kernel_without_landlock_frames_flow_behind_what_is_left_and_that_is_told(folder):
    without = BOOT.replace(
        "run(told)",
        "import ctypes, errno\n"
        "from kiosk.capture import sandbox\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "libc.prctl(38, 1, 0, 0, 0)\n"
        "sandbox.install_filter(libc, [\n"
        "    (0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)])\n"
        "run(told)",
    )
    address = f"dir:{folder}?fps=50&loop=1"
    child = Child(parse_source(address), CameraSettings(source=address), 1, without)
    try:
        until(lambda: child.slot.newest() or child.is_over)
        assert not child.is_over, child.why()
        assert child.slot.walls() == "no landlock, seccomp"
    finally:
        child.end(1.0)


def test_pictures_that_lie_elsewhere_and_are_linked_into_a_folder_are_shown(folder, tmp_path):
    other = tmp_path / "elsewhere.png"
    cv2.imwrite(str(other), picture(99))
    for path in folder.iterdir():
        path.unlink()
    (folder / "one.png").symlink_to(other)

    with Camera(CameraSettings(source=f"dir:{folder}?fps=50&loop=1", frozen_after_s=0.0)) as camera:
        frame = camera.latest(0, PROCESS_S)

    assert frame is not None
    np.testing.assert_array_equal(frame.image, picture(99)[:, :, ::-1])


def test_a_checkout_with_a_state_folder_in_it_is_not_readable_as_a_whole():
    checkout = Path(__file__).resolve().parents[2]

    allowed = {path.resolve() for path in readable_for(parse_source("v4l2:/dev/video0"))}

    assert checkout not in allowed
    assert not allowed & set(checkout.parents)


def test_on_a_processor_whose_calls_are_not_known_there_is_no_filter_and_that_is_told():
    assert call_filter(parse_source("v4l2:/dev/video0"), "riscv64") is None


# The filter, run here as the kernel would: what it says on both processors.


def judge(program, audit, number, argument=0):
    """Run a filter of classic BPF on a system call; return what it says."""
    words = {0: number, 4: audit, 16: argument}
    place, held = 0, 0
    while True:
        code, when_true, when_false, value = program[place]
        place += 1
        if code == 0x20:
            held = words[value]
        elif code == 0x06:
            return value
        else:
            is_true = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            place += when_true if is_true else when_false


ALLOWED, KILLED = 0x7FFF0000, 0x80000000
THREAD, PROCESS = 0x3D0F00, 0x1200011  # the flags glibc gives to clone for either


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
@pytest.mark.parametrize(
    ("address", "families", "may_start"),
    [
        ("v4l2:/dev/video0", set(), False),
        ("rtsp://camera/1", {1, 2, 10, 16}, False),
        ("picamera2:0", {1, 16}, True),
    ],
)
def test_the_filter_refuses_what_no_camera_needs_on_both_processors(machine, address, families, may_start):
    program = call_filter(parse_source(address), machine)
    audit, number_by_name = ARCHITECTURES[machine]
    refused = 0x00050000 | errno.EPERM

    for name, number in number_by_name.items():
        if name == "socket":
            allowed = {family for family in range(64) if judge(program, audit, number, family) == ALLOWED}
            assert allowed == families
        elif name == "clone":
            assert judge(program, audit, number, THREAD) == ALLOWED
            assert judge(program, audit, number, PROCESS) == (ALLOWED if may_start else refused)
        elif name == "clone3":
            assert judge(program, audit, number) == 0x00050000 | errno.ENOSYS
        elif name in ("execve", "execveat", "fork", "vfork"):
            assert judge(program, audit, number) == (ALLOWED if may_start else refused)
        else:
            assert judge(program, audit, number) == refused, name
    others = set(range(64)) - set(number_by_name.values())
    assert {judge(program, audit, number) for number in others} == {ALLOWED}
    assert judge(program, audit + 1, 0) == KILLED, "a call by another architecture's numbers"

"""Facts about what systemd and its journal hear: a real socket, real log lines."""

import logging
import os
import socket
import subprocess
import sys

import pytest

from kiosk.health.supervisor import Supervisor, log_to_stderr
from tests.patience import LIMIT_S


@pytest.fixture
def wire(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(LIMIT_S)
        yield listening


@pytest.fixture
def logging_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_facts_arrive_one_a_line_and_a_line_cannot_be_smuggled_in(wire, tmp_path):
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify")}).tell(READY=1, STATUS="armed\nWATCHDOG=trigger")

    assert wire.recv(1000) == b"READY=1\nSTATUS=armed"


def test_an_abstract_socket_is_one_too():
    name = f"@kiosk-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:])
        Supervisor({"NOTIFY_SOCKET": name}).tell(WATCHDOG=1)

        assert listening.recv(1000) == b"WATCHDOG=1"


def test_without_a_supervisor_nothing_is_sent_and_one_that_is_gone_is_survived(tmp_path, caplog):
    Supervisor({}).tell(READY=1)
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell(READY=1)

    assert "takes no messages" in caplog.text


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_the_watchdog_is_fed_only_where_it_is_meant_for_us(environment, seconds):
    assert Supervisor(environment).watchdog_s == seconds


@pytest.mark.usefixtures("logging_as_before")
def test_journal_lines_carry_their_weight_even_over_several_lines(capsys):
    log_to_stderr({"JOURNAL_STREAM": "8:1"})
    logging.getLogger("kiosk.x").warning("one\ntwo")
    logging.getLogger("kiosk.x").info("three")
    logging.getLogger("httpx").info("a library's chatter")

    assert capsys.readouterr().err == "<4>kiosk.x: one\n<4>two\n<6>kiosk.x: three\n"


@pytest.mark.usefixtures("logging_as_before")
def test_a_person_reads_the_time_instead(capsys):
    log_to_stderr({})
    logging.getLogger("kiosk.x").error("one")
    sys.stderr.flush()

    assert capsys.readouterr().err[8:] == " ERROR kiosk.x: one\n"


WAITING = """
import signal, sys
sys.path[:] = {path!r}
from kiosk.health.supervisor import Flag
heard = 0
word = Flag()
def handle(*_):
    global heard
    heard += 1
    word.set()
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
while heard < 5000:
    word.wait(0.0001)
    word.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
print("all heard")
"""


def test_a_word_said_by_a_signals_handler_never_waits_for_the_thread_it_interrupts():
    told = subprocess.run(
        [sys.executable, "-c", WAITING.format(path=sys.path)],
        capture_output=True,
        text=True,
        timeout=4 * LIMIT_S,
        check=False,
    )

    assert told.stdout == "all heard\n", told.stderr

"""MOSIP's queue through a real ActiveMQ, where one is installed (Debian: activemq)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from kiosk.integrations.abis.stomp_queue import AbisQueue, Broker
from tests.patience import until

stomp = pytest.importorskip("stomp", reason="stomp.py of the extra abis is not installed")

JARS = [Path(folder) for folder in (os.environ.get("KIOSK_TEST_ACTIVEMQ", ""), "/usr/share/java") if folder]
FOUND = [folder for folder in JARS if (folder / "activemq-stomp.jar").exists()]
pytestmark = pytest.mark.skipif(
    not FOUND or shutil.which("java") is None, reason="no ActiveMQ here: apt-get install activemq"
)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class ActiveMq:
    """A broker in memory."""

    def __init__(self, port):
        self.port = port
        self.start()

    def start(self):
        jars = ":".join(f"{folder}/*" for folder in (*FOUND, "/usr/share/java"))
        where = f"broker:(stomp://127.0.0.1:{self.port})?persistent=false&useJmx=false"
        command = ["java", "-cp", jars, "org.apache.activemq.console.command.ShellCommand", "start", where]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.is_open)

    def is_open(self):
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


class Mosip:
    """The other end: writes requests, keeps answers."""

    def __init__(self, port):
        self.answers = []
        self.connection = stomp.Connection12([("127.0.0.1", port)])
        self.connection.set_listener("mosip", self)
        self.connection.connect(wait=True)
        self.connection.subscribe("abis-to-mosip", id="1", ack="auto")

    def on_message(self, frame):
        self.answers.append(json.loads(frame.body))

    def __getattr__(self, name):
        if name.startswith("on_"):
            return lambda *_: None
        raise AttributeError(name)

    def ask(self, name):
        self.connection.send("mosip-to-abis", json.dumps({"requestId": name}))

    def close(self):
        self.connection.disconnect()


class Echo:
    """An ABIS that says what it was asked."""

    def __init__(self):
        self.asked = []
        self.fails = []

    def answer(self, raw):
        plain = json.loads(raw)
        self.asked.append(plain["requestId"])
        if self.fails:
            raise self.fails.pop()
        return plain


@pytest.fixture
def broker():
    made = ActiveMq(free_port())
    yield made
    made.kill()


@pytest.fixture
def running(broker):
    """Give what answers, in its thread, and what it answers with."""
    echo, stopping = Echo(), threading.Event()
    answers = AbisQueue(
        lambda _: echo.answer, Broker("127.0.0.1", broker.port, "mosip-to-abis", "abis-to-mosip", is_plain=True)
    )
    thread = threading.Thread(target=answers.run, args=(stopping.is_set, stopping.wait))
    thread.start()
    yield echo
    stopping.set()
    thread.join()


def test_every_message_is_answered_once_in_its_order_and_goes_on_when_the_broker_is_back(broker, running):
    mosip = Mosip(broker.port)
    names = [f"r-{number}" for number in range(20)]
    for name in names:
        mosip.ask(name)
    until(lambda: len(mosip.answers) == 20)
    assert [one["requestId"] for one in mosip.answers] == running.asked == names

    broker.kill()
    broker.start()
    again = Mosip(broker.port)
    again.ask("after")
    until(lambda: again.answers == [{"requestId": "after"}])
    again.close()


def test_a_message_whose_answer_could_not_be_made_is_asked_again(broker, running):
    running.fails.append(OSError("the plug was pulled"))
    mosip = Mosip(broker.port)
    mosip.ask("r-1")
    until(lambda: mosip.answers == [{"requestId": "r-1"}])

    assert running.asked == ["r-1", "r-1"]
    mosip.close()

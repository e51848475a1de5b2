"""A real socket hears each line whole; the kiosk never waits for it."""

import re
import socket
import threading

import pytest

from kiosk.entrance.news import Broadcast, PublishedDecision, Topic
from kiosk.errors import ConfigError
from kiosk.integrations.log_lines import Event, cef, event_of, rfc5424
from kiosk.integrations.syslog import QUEUE, Syslog
from kiosk.settings.neighbours import MqttSettings, SyslogSettings
from tests.patience import LIMIT_S, PROCESS_S, reserved_port, until

LINE = re.compile(rb"<(\d+)>1 (\S+)Z front kiosk - (decision|door|state) (\[.*\]|-) (.*)")
DECIDED = PublishedDecision("r1", "IDENTIFY", "Approved", 91.0, (), False, 5.0, 7, "Person A", is_opened=True)


@pytest.fixture
def news():
    return Broadcast(lambda: 1_800_000_000.0)


@pytest.fixture
def send(news):
    made = []

    def begin(port, **settings):
        made.append(Syslog(news, SyslogSettings(host="127.0.0.1", port=port, name="front", **settings)))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.close()


def counted(stream):
    """Yield the lines of a stream of counted octets (RFC 6587)."""
    while True:
        digits = b""
        while (sign := stream.read(1)) not in {b" ", b""}:
            digits += sign
        if not digits:
            return
        yield stream.read(int(digits))


@pytest.mark.parametrize("form", ["rfc5424", "cef"])
def test_a_decision_is_one_datagram_without_its_person(news, send, form):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(LIMIT_S)
        send(server.getsockname()[1], form=form)
        news.publish_decision(DECIDED)
        line = server.recv(65536)

    found = LINE.fullmatch(line)
    assert found
    assert int(found[1]) == 10 * 8 + 5
    assert b"r1" in line
    assert b"Person A" not in line
    assert b"7" not in found[5].split(b"|")[0]
    assert (b"CEF:0|face-kiosk|kiosk|" in line) == (form == "cef")


def test_lines_of_a_stream_are_counted_and_wait_while_the_server_is_away(news, send):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(LIMIT_S)
        syslog = send(port, protocol="tcp")
        news.publish_decision(DECIDED)
        first, _ = server.accept()
        with first, first.makefile("rb") as stream:
            assert LINE.fullmatch(next(counted(stream)))
            news.publish(Topic.DOOR, {"what": "forced_open", "state": "forced_open", "decision": "", "at": 6.0})
            line = next(counted(stream))
        assert line.startswith(b"<81>1 ")

        def is_noticed():
            if not syslog.figures()["waiting"]:  # one after the other: none has to be dropped
                news.publish_decision(DECIDED)
            return not syslog.figures()["is_connected"]

        until(is_noticed)
        second, _ = server.accept()
        with second, second.makefile("rb") as stream:
            assert LINE.fullmatch(next(counted(stream)))
    assert syslog.figures()["dropped"] == 0


def test_a_server_that_reads_nothing_costs_lines_and_never_the_door(news, send):
    with socket.create_server(("127.0.0.1", 0)) as server:
        syslog = send(server.getsockname()[1], protocol="tcp")

        def publish():
            while not syslog.figures()["dropped"]:
                for _ in range(QUEUE):
                    news.publish_decision(DECIDED)

        publishing = threading.Thread(target=publish, daemon=True)
        publishing.start()
        until(lambda: not publishing.is_alive(), PROCESS_S)  # however much it was, it waited for nobody
        assert syslog.figures()["waiting"] <= QUEUE


def test_nobody_there_is_told_in_health(news, send):
    with reserved_port() as port:
        syslog = send(port, protocol="tcp")
        news.publish_decision(DECIDED)

        until(lambda: f"127.0.0.1:{port}: " in syslog.figures()["reason"])


def test_a_silent_alarm_waits_for_its_server_and_no_figure_tells_of_it(news, send):
    with reserved_port() as port:
        syslog = send(port, protocol="tcp")
        news.publish_decision(DECIDED)
        before = syslog.figures()["waiting"]
        news.publish(Topic.DURESS, {"request_id": "r1", "session_number": 7, "at": 6.0})
        assert syslog.figures()["waiting"] == before == 1
        until(lambda: f"127.0.0.1:{port}: " in syslog.figures()["reason"])
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(LIMIT_S)
            came, _ = server.accept()
            with came, came.makefile("rb") as stream:
                assert {next(counted(stream)).split(b" ")[5] for _ in range(2)} == {b"duress", b"decision"}
        until(lambda: syslog.figures()["waiting"] == 0)


def test_nothing_that_somebody_chose_can_forge_a_line():
    event = Event(0.0, "door", 5, "a|b", {"what": 'x"]\n<81>1 forged', "state": "a=b\nc"})
    line = rfc5424(event, host="front door\n<0>", form="rfc5424")

    assert line.startswith(b"<85>1 1970-01-01T00:00:00.000Z frontdoor<0> kiosk - door [")
    assert b"\n" not in line
    assert "\n" not in cef(event)
    assert "state=a\\=b c" in cef(event)


def test_what_is_for_screens_alone_is_no_line(news):
    assert event_of(news.publish(Topic.SCREEN, {"state": "idle"})) is None
    state = news.publish(Topic.HEALTH, {"is_armed": False, "mode": "identify", "states": [{"condition": "disk_full"}]})
    told = event_of(state)
    assert told is not None
    assert told.sentence == "closed: disk_full"


def test_a_certificate_without_tls_is_a_mistake():
    with pytest.raises(ConfigError):
        SyslogSettings(host="h", ca_file="ca.pem")


@pytest.mark.parametrize("made", [SyslogSettings, MqttSettings])
@pytest.mark.parametrize("host", ["log..example", "x" * 64 + ".example", "log example", "tcp://log", "\udc80"])
def test_a_name_that_no_machine_has_is_a_mistake_of_the_settings(made, host):
    """The resolver's answer to it is no error of the network: it ended the thread that sends, and nobody was told."""
    with pytest.raises(ConfigError, match="host"):
        made(host=host)

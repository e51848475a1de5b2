"""A real broker: what it hears of the kiosk, what it may ask, and that the door never waits for it."""

import json
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from kiosk import integrations
from kiosk.entrance.news import PublishedDecision, Topic
from kiosk.errors import ConfigError
from kiosk.integrations.mqtt import QUEUE, RELEASE_EVERY_S, Mqtt, try_connection
from kiosk.rules.conditions import Degradation
from kiosk.settings.neighbours import MqttSettings
from kiosk.testing.scripted_kiosk import ScriptedKiosk
from tests.patience import LIMIT_S, reserved_port, until

BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or ""
PASSWORD = "a broker's password"
BASE = "face_kiosk/front"

pytestmark = pytest.mark.skipif(not BROKER, reason="no mosquitto here: apt install mosquitto")


class Broker:
    """A mosquitto on loopback that can be killed, stopped and started again at the same port."""

    def __init__(self, folder, port, rules=""):
        self.port = port
        words = folder / "passwords"
        words.write_text(f"kiosk:{PASSWORD}\nhouse:{PASSWORD}\nguard:{PASSWORD}\n")
        passwd = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
        subprocess.run([passwd, "-U", str(words)], check=True)
        words.chmod(0o644)
        self._words, self._everybody = words, words.read_text()
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {words}\n")
        if rules:
            (folder / "acl").write_text(rules)
            (folder / "acl").chmod(0o600)
            self._file.write_text(f"{self._file.read_text()}acl_file {folder / 'acl'}\n")
        self.start()

    def start(self):
        self.begin()
        until(self.answers)

    def begin(self, *, without=None):
        """Start; one user is not known until `know_everybody`."""
        lines = self._everybody.splitlines(keepends=True)
        self._words.write_text("".join(line for line in lines if not line.startswith(f"{without}:")))
        self._process = subprocess.Popen([BROKER, "-c", str(self._file)], stderr=subprocess.DEVNULL)

    def know_everybody(self):
        self._words.write_text(self._everybody)
        self.send(signal.SIGHUP)

    def answers(self):
        try:
            return try_connection(settings(self.port), password=PASSWORD, wait_s=LIMIT_S)
        except ConfigError:
            return None

    def send(self, sign):
        self._process.send_signal(sign)

    def kill(self):
        self._process.kill()
        self._process.wait()


class House:
    """Another client of the broker: what Home Assistant would hear."""

    def __init__(self, port, user="house"):
        self.heard, self._changed = [], threading.Condition()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.username_pw_set(user, PASSWORD)
        self._ready = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._hear
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(LIMIT_S)

    def connect_again(self):
        """Be there again, and listen, after the broker went."""
        self._ready.clear()
        until(self._reconnects)
        assert self._ready.wait(LIMIT_S)

    def _reconnects(self):
        try:
            self.client.reconnect()
        except OSError:
            return False
        return True

    def _hear(self, _client, _data, message):
        with self._changed:
            self.heard.append((message.topic, message.payload, bool(message.retain)))
            self._changed.notify_all()

    def wait_for(self, leaf, wanted=lambda _payload: True, *, is_new=True):
        """Wait for a message; what the broker kept of an earlier connection counts only where it is to."""

        def found():
            heard = [m for m in self.heard if m[0] == f"{BASE}/{leaf}" and wanted(m[1])]
            return [m for m in heard if not (is_new and m[2])]

        with self._changed:
            assert self._changed.wait_for(found, LIMIT_S), f"nothing of {leaf}: {self.heard[-5:]}"
            return found()[-1]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def settings(port, **more):
    return MqttSettings(host="127.0.0.1", port=port, device_id="front", user="kiosk", **more)


def decided(number, name="Person A"):
    return PublishedDecision(f"r{number}", "identification", "Approved", 90.0, (), False, 1.0, number, name, True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with reserved_port() as port:
        started = Broker(tmp_path_factory.mktemp("broker"), port)
        yield started
        started.kill()


@pytest.fixture
def house(broker):
    made = House(broker.port)
    yield made
    made.close()


@pytest.fixture
def kiosk():
    return ScriptedKiosk(lambda: 1_800_000_000.0)


@pytest.fixture
def connect(broker, kiosk):
    made = []

    def begin(password=PASSWORD, **more):
        made.append(Mqtt(kiosk, settings(broker.port, **more), password=password, level="active"))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.close()


def connected(mqtt):
    until(lambda: mqtt.figures()["is_connected"])
    return mqtt


def test_a_kiosk_is_announced_and_told_of(connect, house, kiosk):
    kiosk.figures["door"] = {"state": "closed", "is_unlocked": False}
    connect()
    house.wait_for("availability", lambda said: said == b"online")
    told = json.loads(house.wait_for("state")[1])

    assert told["lock"] == "LOCKED"
    assert any(place == "homeassistant/event/face_kiosk_front/decision/config" for place, *_ in house.heard)
    kiosk.figures["door"] = {"state": "open", "is_unlocked": True}
    kiosk.news.publish(Topic.DOOR, {"what": "opened"})
    house.wait_for("state", lambda said: json.loads(said)["is_open"] is True)


def test_a_decision_is_an_event_without_its_person(connect, house, kiosk):
    connected(connect())
    house.wait_for("state")
    kiosk.news.publish_decision(decided(7))
    _, said, is_retained = house.wait_for("decision")

    assert json.loads(said)["event_type"] == "granted"
    assert not is_retained
    assert not any(b"Person A" in payload for _, payload, _ in house.heard)


def test_no_picture_leaves_unless_the_settings_say_so(connect, house, kiosk):
    connected(connect())
    house.wait_for("state")
    assert not any(place == f"{BASE}/still" for place, *_ in house.heard)
    connected(connect(publish_still=True))  # the broker drops the first one: the same name

    assert house.wait_for("still")[1] == kiosk.still().jpeg


def test_the_last_will_says_that_a_killed_kiosk_is_gone(broker, house):
    code = (
        "import time\n"
        "from kiosk.testing.scripted_kiosk import ScriptedKiosk\n"
        "from kiosk.settings.neighbours import MqttSettings\n"
        "from kiosk.integrations.mqtt import Mqtt\n"
        f"s = MqttSettings(host='127.0.0.1', port={broker.port}, device_id='front', user='kiosk')\n"
        f"Mqtt(ScriptedKiosk(time.time), s, password={PASSWORD!r}, level='off').start()\n"
        "time.sleep(600)\n"
    )
    import sys

    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        house.wait_for("availability", lambda said: said == b"online")
        house.heard.clear()
    finally:
        process.kill()
        process.wait()
    house.wait_for("availability", lambda said: said == b"offline")


def test_an_orderly_end_says_so_too(connect, house):
    mqtt = connected(connect())
    house.wait_for("availability", lambda said: said == b"online")
    mqtt.close()

    house.wait_for("availability", lambda said: said == b"offline")


def test_a_release_is_obeyed_only_with_leave_and_under_its_name(connect, house, kiosk):
    connected(connect(may_release=True, release_account="hall"))
    house.wait_for("state")
    house.client.publish(f"{BASE}/lock/set", b"UNLOCK", qos=1)

    until(lambda: kiosk.asked)
    assert kiosk.asked == [("release", "mqtt:hall")]


def test_without_leave_a_release_is_not_even_heard(connect, house, kiosk):
    connected(connect())
    house.wait_for("state")
    house.client.publish(f"{BASE}/lock/set", b"UNLOCK", qos=1).wait_for_publish(LIMIT_S)
    kiosk.news.publish_decision(decided(1))
    house.wait_for("decision")

    assert kiosk.asked == []


def test_a_release_opens_nothing_during_a_lockdown_which_the_state_tells(connect, house, kiosk):
    connected(connect(may_release=True))
    house.wait_for("state", lambda said: not json.loads(said)["is_locked_down"])
    kiosk.lock_down(actor="guard")
    kiosk.states = (Degradation("lockdown", "The door is locked down.", "log_only", 1.0),)
    kiosk.news.publish(Topic.HEALTH, {})
    house.wait_for("state", lambda said: json.loads(said)["is_locked_down"])
    house.client.publish(f"{BASE}/lock/set", b"UNLOCK", qos=1).wait_for_publish(LIMIT_S)
    kiosk.news.publish_decision(decided(1))
    house.wait_for("decision")

    assert [one[0] for one in kiosk.asked] == ["lockdown"]


@pytest.mark.parametrize("payload", [b"LOCK", b"unlock", b"UNLOCK ", b"", b'{"release": true}', b"\xff" * 100_000])
def test_nothing_but_the_word_opens(connect, house, kiosk, payload):
    connected(connect(may_release=True))
    house.wait_for("state")
    house.client.publish(f"{BASE}/lock/set", payload, qos=1).wait_for_publish(LIMIT_S)
    house.client.publish(f"{BASE}/lock/set", b"UNLOCK", qos=1)
    until(lambda: kiosk.asked)

    assert len(kiosk.asked) == 1


def test_a_command_from_before_the_connection_opens_nothing(connect, house, kiosk):
    house.client.publish(f"{BASE}/lock/set", b"UNLOCK", qos=1, retain=True).wait_for_publish(LIMIT_S)
    try:
        connected(connect(may_release=True))
        house.wait_for("state")
        house.client.publish(f"{BASE}/lock/set", b"nothing", qos=1).wait_for_publish(LIMIT_S)
        kiosk.news.publish_decision(decided(2))
        house.wait_for("decision")

        assert kiosk.asked == []
    finally:
        house.client.publish(f"{BASE}/lock/set", b"", qos=1, retain=True).wait_for_publish(LIMIT_S)


def test_a_flood_of_commands_is_one_release(connect, house, kiosk):
    kiosk.refusal = "the door was not opened: door_fault"  # and a refused one costs no more
    mqtt = connected(connect(may_release=True))
    house.wait_for("state")
    kiosk.refusal = None
    began = time.monotonic()
    for _ in range(300):
        house.client.publish(f"{BASE}/lock/set", b"UNLOCK", qos=1)
    until(lambda: kiosk.asked)
    kiosk.news.publish_decision(decided(3))
    house.wait_for("decision")

    assert mqtt.figures()["is_connected"]
    assert len(kiosk.asked) <= 2 + (time.monotonic() - began) / RELEASE_EVERY_S


def test_the_kiosk_goes_on_without_a_broker_and_tells_of_itself_once_there_is_one(broker, connect, kiosk):
    mqtt = connected(connect())
    broker.kill()
    try:
        until(lambda: not mqtt.figures()["is_connected"])
        for number in range(20):
            kiosk.news.publish_decision(decided(number))
        assert mqtt.figures()["dropped"] >= 20  # and a state or two that were on their way
    finally:
        broker.start()
    house = House(broker.port)
    try:
        connected(mqtt)
        # a state that was on its way when the broker went may come first
        house.wait_for("state", lambda payload: json.loads(payload)["dropped"] >= 20, is_new=False)
        assert not any(place == f"{BASE}/decision" for place, *_ in house.heard)
    finally:
        house.close()


def flood(kiosk, mqtt):
    """Publish more than a broker that stands still can be told."""
    for number in range(20 * QUEUE):
        kiosk.news.publish_decision(decided(number))
    until(lambda: mqtt.figures()["dropped"] > 0)


def test_a_broker_that_stands_still_costs_messages_and_nothing_else(broker, connect, kiosk):
    mqtt = connected(connect())
    broker.send(signal.SIGSTOP)
    try:
        flood(kiosk, mqtt)
    finally:
        broker.send(signal.SIGCONT)
    connected(mqtt)


def test_a_wrong_password_is_told_in_words_that_mend(broker, connect):
    mqtt = connect(password="wrong")

    until(lambda: "uthor" in mqtt.figures()["reason"])
    with pytest.raises(ConfigError, match="kiosk mqtt password"):
        try_connection(settings(broker.port), password="wrong", wait_s=LIMIT_S)


def test_nobody_at_the_port_is_told_too(kiosk):
    with reserved_port() as port:
        with pytest.raises(ConfigError, match=f"no broker at 127.0.0.1:{port}"):
            try_connection(settings(port), password=None, wait_s=LIMIT_S)
        mqtt = Mqtt(kiosk, settings(port), password=None, level="off")
        mqtt.start()
        until(lambda: "no broker answers" in mqtt.figures()["reason"])
        mqtt.close()


def test_a_silent_alarm_names_nobody_and_waits_for_a_broker(broker, house, kiosk, connect):
    mqtt = connected(connect())
    broker.kill()
    try:
        until(lambda: not mqtt.figures()["is_connected"])
        kiosk.news.publish(Topic.DURESS, {"request_id": "r9", "session_number": 7, "at": 1.0})
        broker.begin(without="kiosk")  # so that the house listens before the kiosk may speak
        house.connect_again()
    finally:
        broker.know_everybody()

    assert json.loads(house.wait_for("duress")[1]) == {"request_id": "r9"}


def test_a_silent_alarm_waits_for_a_broker_that_takes_nothing(broker, house, kiosk, connect):
    mqtt = connected(connect())
    broker.send(signal.SIGSTOP)
    try:
        flood(kiosk, mqtt)
        kiosk.news.publish(Topic.DURESS, {"request_id": "r10", "session_number": 7, "at": 1.0})
        before = mqtt.figures()["dropped"]
        kiosk.news.publish_decision(decided(0))
        until(lambda: mqtt.figures()["dropped"] > before)  # and the alarm's turn was before
    finally:
        broker.send(signal.SIGCONT)

    house.wait_for("duress", lambda payload: json.loads(payload) == {"request_id": "r10"})


def test_the_rules_of_the_readme_keep_a_silent_alarm_from_the_house(tmp_path):
    text = (Path(integrations.__file__).parent / "README.md").read_text(encoding="utf-8")
    (rules,) = (one for one in text.split("```") if "user guard" in one)
    kiosk = ScriptedKiosk(time.time)
    with reserved_port() as port:
        broker = Broker(tmp_path, port, rules.strip() + "\n")
        house, guard = House(port), House(port, user="guard")
        mqtt = connected_to(kiosk, port)

        kiosk.news.publish(Topic.DURESS, {"request_id": "r1", "session_number": 1, "at": 1.0})
        kiosk.news.publish_decision(decided(2))

        assert json.loads(guard.wait_for("duress")[1])["request_id"] == "r1"
        house.wait_for("decision")  # which came after
        assert {topic for topic, *_ in guard.heard} == {f"{BASE}/duress"}
        assert f"{BASE}/duress" not in {topic for topic, *_ in house.heard}
        assert any(topic.startswith("homeassistant/") for topic, *_ in house.heard)
        for one in (mqtt, house, guard):
            one.close()
        broker.kill()


def connected_to(kiosk, port):
    made = Mqtt(kiosk, settings(port), password=PASSWORD, level="active")
    made.start()
    return connected(made)

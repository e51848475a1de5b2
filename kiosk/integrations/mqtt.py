"""The connection to an MQTT broker: what the kiosk publishes, and the one command it may take.

The door never waits for the broker. A listener puts what happened into a short queue and returns; a thread publishes
what is there while a broker is connected, and counts what it had to drop. paho's own thread reconnects indefinitely.
"""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections import deque
from typing import Any

from kiosk.entrance.news import News, RunningKiosk, Topic
from kiosk.errors import ConfigError, RefusedError, StoreError
from kiosk.integrations.home_assistant import (
    OFFLINE,
    ONLINE,
    RELEASE,
    decision_message,
    discovery,
    state_message,
    topic,
)
from kiosk.integrations.teller import Teller
from kiosk.settings.neighbours import MqttSettings

QUEUE = 100  # decisions that wait for the thread; people do not enter faster than a broker on the network reads
IN_FLIGHT = 20  # messages without the broker's word
STATE_EVERY_S = 30.0
AGAIN_S = 1.0  # until a silent alarm that a broker did not take is sent again
RELEASE_EVERY_S = 1.0  # a flood of commands must not fill the log, nor hold the door open
DURESS = "duress"  # the topic of a silent alarm
KEEPALIVE_S = 30
LONGEST_RETRY_S = 60
WAIT_S = 0.5  # for the last word before the end

log = logging.getLogger("kiosk.mqtt")


class Mqtt:
    """Publishes a running kiosk to a broker. Built stopped; `start`, then `close`. Safe in several threads."""

    def __init__(self, kiosk: RunningKiosk, settings: MqttSettings, *, password: str | None, level: str) -> None:
        """Take the parts; nothing is connected yet.

        Args:
            kiosk: what is published, and whose door is released.
            settings: section [mqtt], with a host.
            password: of the settings' user.
            level: of the detection of presentation attacks.

        Raises:
            ConfigError: paho-mqtt is not installed, or a certificate cannot be read.
        """
        self._kiosk, self._settings, self._level = kiosk, settings, level
        self._messages: deque[tuple[str, str]] = deque()  # topic and text
        self._is_connected = self._has_news = self._wants_release = self._must_announce = False
        self._dropped = 0
        self._refusal = "not connected yet"
        self._released_at = float("-inf")
        self._client = make_client(settings, password)
        self._full = _code_of_a_full_queue()
        self._connect_callbacks()
        self._teller = Teller("mqtt", kiosk.news, hear=self._hear, run=self._run)

    def __repr__(self) -> str:
        return "Mqtt()"

    def start(self) -> None:
        """Connect, now or whenever a broker answers, and publish from then on."""
        self._client.connect_async(self._settings.host, self._settings.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()
        self._teller.start()

    def close(self) -> None:
        """Say that the kiosk is gone, where a broker listens, and end; waits half a second at most."""
        self._teller.close()
        said = self._client.publish(topic(self._settings, "availability"), OFFLINE, qos=1, retain=True)
        try:
            said.wait_for_publish(WAIT_S if self._is_connected else 0.0)
        except (RuntimeError, ValueError):
            log.info("broker did not hear the end")  # its last will says it
        self._client.disconnect()
        # not loop_stop: its thread may stand in a connection that nobody answers, and is a daemon's thread

    def figures(self) -> dict[str, Any]:
        """Return how the connection is, for health: JSON."""
        with self._teller.changed:
            return {
                "is_connected": self._is_connected,
                "reason": "" if self._is_connected else self._refusal,
                "dropped": self._dropped,
            }

    # ---- called by the threads of the kiosk: returns at once

    def _hear(self, news: News) -> None:
        with self._teller.changed:
            if news.topic is Topic.DECISION:
                if not self._is_connected or len(self._messages) >= QUEUE:
                    self._dropped += 1  # told late it would be acted upon late
                    return
                text = decision_message(news.data, with_person=self._settings.publish_person)
                self._messages.append(("decision", text))
            elif news.topic is Topic.DURESS:
                self._messages.append((DURESS, json.dumps({"request_id": news.data["request_id"]})))
            elif news.topic not in {Topic.HEALTH, Topic.DOOR}:
                return
            self._has_news = True
            self._teller.changed.notify()

    # ---- called by paho's thread

    def _connect_callbacks(self) -> None:
        made = self._client
        made.will_set(topic(self._settings, "availability"), OFFLINE, qos=1, retain=True)
        made.max_inflight_messages_set(IN_FLIGHT)
        made.max_queued_messages_set(QUEUE)
        made.reconnect_delay_set(1, LONGEST_RETRY_S)
        made.on_connect, made.on_disconnect, made.on_message = self._connected, self._disconnected, self._message
        made.on_connect_fail = self._failed

    def _connected(self, client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if not reason.is_failure:  # before anything is said: whoever hears that the kiosk is there may ask it
            if self._settings.may_release:
                client.subscribe(topic(self._settings, "lock/set"), qos=1)
            if self._settings.discovery_topic:
                client.subscribe(f"{self._settings.discovery_topic}/status", qos=1)
        with self._teller.changed:
            self._is_connected = not reason.is_failure
            self._refusal = str(reason) if reason.is_failure else ""
            self._must_announce = self._has_news = True
            self._teller.changed.notify()
        log.log(logging.WARNING if reason.is_failure else logging.INFO, "broker said=%r", str(reason))

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        with self._teller.changed:
            if self._is_connected:
                log.warning("broker lost said=%r", str(reason))
            self._is_connected = False
            self._refusal = self._refusal or f"the broker is gone: {reason}"

    def _failed(self, _client: Any, _data: Any) -> None:
        with self._teller.changed:
            self._refusal = f"no broker answers at {self._settings.host}:{self._settings.port}"

    def _message(self, _client: Any, _data: Any, message: Any) -> None:
        with self._teller.changed:
            if message.topic == f"{self._settings.discovery_topic}/status":
                self._must_announce = self._must_announce or message.payload == ONLINE.encode()
            elif not message.retain and message.payload == RELEASE and self._settings.may_release:
                self._wants_release = True  # a retained one is older than this connection: nobody asks now
            else:
                log.warning("command refused topic=%s retained=%s", message.topic, bool(message.retain))
                return
            self._teller.changed.notify()

    # ---- this connection's own thread

    def _run(self) -> None:
        try:
            self._publish()
        except Exception:  # the door goes on; health says that nothing is published
            log.exception("mqtt ended")
            with self._teller.changed:
                self._is_connected, self._refusal = False, "publishing ended by a fault; see the log"
            self._client.disconnect()

    def _publish(self) -> None:
        state_at = still_at = float("-inf")
        while True:
            wait_s = min(STATE_EVERY_S, self._settings.still_every_s if self._settings.publish_still else STATE_EVERY_S)
            with self._teller.changed:
                wait_s = AGAIN_S if self._messages and self._is_connected else wait_s
                self._teller.changed.wait_for(self._is_wanted, timeout=wait_s)
                if self._teller.is_ending:
                    return
                messages = list(self._messages) if self._is_connected else []
                kept = [] if self._is_connected else [one for one in self._messages if one[0] == DURESS]
                self._messages = deque(kept, maxlen=QUEUE)  # late help is help; a late decision is acted upon late
                is_release, self._wants_release = self._wants_release, False
                is_connected, is_new, self._has_news = self._is_connected, self._has_news, False
                must_announce, self._must_announce = self._must_announce and is_connected, False
            if is_release:
                self._release()
            if not is_connected:
                continue
            if must_announce:
                self._announce()
            for leaf, text in messages:
                self._send(leaf, text)
            now = time.monotonic()
            if is_new or must_announce or now - state_at >= STATE_EVERY_S:
                state_at = now
                figures = state_message(self._kiosk.health(), level=self._level, dropped=self._dropped)
                self._send("state", figures, retain=True)
            if self._settings.publish_still and now - still_at >= self._settings.still_every_s:
                still_at = now
                still = self._kiosk.still()
                if still is not None:
                    self._send("still", still.jpeg)  # not retained: the broker keeps no photograph

    def _is_wanted(self) -> bool:
        is_due = self._must_announce and self._is_connected
        return self._teller.is_ending or self._has_news or self._wants_release or is_due

    def _announce(self) -> None:
        for place, announcement in discovery(self._settings):
            self._client.publish(place, announcement, qos=1, retain=True)
        self._send("availability", ONLINE, retain=True)

    def _send(self, leaf: str, payload: str | bytes, *, retain: bool = False) -> None:
        said = self._client.publish(topic(self._settings, leaf), payload, qos=1, retain=retain)
        if said.rc == 0:
            return
        with self._teller.changed:  # the broker takes nothing now, or too slowly
            if leaf != DURESS:
                self._dropped += 1
            elif said.rc == self._full:  # else paho has it, and sends it once it is connected
                self._messages.append((leaf, str(payload)))

    def _release(self) -> None:
        now = time.monotonic()
        if now - self._released_at < RELEASE_EVERY_S:
            log.warning("release ignored reason='one a second is enough'")
            return
        self._released_at = now
        try:
            self._kiosk.release(actor=f"mqtt:{self._settings.release_account}", is_by_hand=False)
        except (RefusedError, StoreError) as error:
            log.warning("release refused reason=%r", str(error))


def make_client(settings: MqttSettings, password: str | None, *, suffix: str = "") -> Any:
    """Return a client of the settings' broker, not connected; `suffix` tells it from the kiosk's own.

    Raises:
        ConfigError: paho-mqtt is not installed, or a certificate cannot be read.
    """
    try:
        from paho.mqtt import client as paho  # noqa: PLC0415  only where a broker is named
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415
    except ImportError:
        raise ConfigError("[mqtt] host is set and paho-mqtt is missing; pip install 'face-kiosk[mqtt]'") from None
    name = f"{settings.topic.replace('/', '_')}_{settings.device_id}{suffix}"
    # clean_session: a command given while the kiosk was away is not obeyed later
    made = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=True)
    if settings.user:
        made.username_pw_set(settings.user, password)
    if settings.tls:
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
            if settings.certificate:
                context.load_cert_chain(settings.certificate, settings.certificate_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"[mqtt] certificates cannot be used: {error}") from None
        made.tls_set_context(context)
    return made


def _code_of_a_full_queue() -> int:
    from paho.mqtt.enums import MQTTErrorCode  # noqa: PLC0415  see make_client

    return int(MQTTErrorCode.MQTT_ERR_QUEUE_SIZE)


def try_connection(settings: MqttSettings, *, password: str | None, wait_s: float) -> str:
    """Connect once and leave; return the broker's word.

    Raises:
        ConfigError: it refuses, or nobody answers within `wait_s`.
    """
    answered = threading.Event()
    said: list[Any] = []

    def take(_client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        said.append(reason)
        answered.set()

    client = make_client(settings, password, suffix="_check")
    client.on_connect = take
    try:
        client.connect(settings.host, settings.port, keepalive=KEEPALIVE_S)
        client.loop_start()
        answered.wait(wait_s)
    except OSError as error:  # a certificate that does not fit is one too
        raise ConfigError(f"no broker at {settings.host}:{settings.port}: {error}") from None
    finally:
        client.disconnect()
        client.loop_stop()
    if not said:
        raise ConfigError(f"{settings.host}:{settings.port} answers nothing that is MQTT; check port and tls")
    if said[0].is_failure:
        raise ConfigError(f"the broker refuses this kiosk: {said[0]}; see [mqtt] user and `kiosk mqtt password`")
    return str(said[0])

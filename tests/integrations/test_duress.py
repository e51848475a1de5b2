"""The silent alarm outward: a signed webhook until somebody takes it, and a panel's input; nothing here tells of it."""

import json
import logging
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kiosk.didit.webhooks import canonical
from kiosk.entrance.news import Broadcast, Topic
from kiosk.errors import ConfigError, StoreError
from kiosk.integrations.duress import DuressWebhook
from kiosk.integrations.panel_cards import alarm_of
from kiosk.settings.neighbours import FactorSettings, OsdpSettings
from tests.patience import LIMIT_S, until

SECRET = "a secret of the webhook"
ALARM = {"request_id": "r-1", "session_number": 7, "at": 1_800_000_000.0}


class Receiver:
    """An HTTP server that answers as a test says, and keeps what came."""

    def __init__(self):
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.refused: set[str] = set()
        self.has_no_end = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.came.append((dict(self.headers), body))
                refused = outer.refused.intersection([json.loads(body)["request_id"]])
                self.send_response(409 if refused else outer.statuses.pop(0) if outer.statuses else 200)
                self.send_header("connection", "close")
                self.end_headers()
                with suppress(OSError):  # whoever asked has gone
                    while outer.has_no_end:
                        self.wfile.write(bytes(1 << 16))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alarm"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def sending(news, url, secret=lambda: SECRET, **more):
    made = DuressWebhook(news, url, secret=secret, again_s=(0.01,), now=lambda: 1_800_000_000.0, **more)
    made.start()
    return made


def test_an_alarm_is_told_once_signed_and_with_its_decision(receiver):
    news = Broadcast(lambda: 1.0)
    webhook = sending(news, receiver.url)
    news.publish(Topic.DECISION, {"request_id": "r-0"})
    news.publish(Topic.DURESS, ALARM)
    until(lambda: receiver.came)
    webhook.close()

    ((headers, body),) = receiver.came
    told = json.loads(body)
    assert {name: told[name] for name in ALARM} == ALARM
    assert told["webhook_type"] == "duress"
    assert body == canonical(told)
    assert len(headers["x-signature-v2"]) == 64


def test_an_alarm_is_sent_until_it_is_taken_and_always_by_the_same_name(receiver, caplog):
    receiver.statuses = [500, 302, 404]
    news = Broadcast(lambda: 1.0)
    with caplog.at_level(logging.DEBUG):
        webhook = sending(news, receiver.url)
        news.publish(Topic.DURESS, ALARM)
        until(lambda: len(receiver.came) == 4)
        until(lambda: not webhook._waiting)
        webhook.close()

    assert len({json.loads(body)["event_id"] for _, body in receiver.came}) == 1
    assert caplog.records == []  # whoever reads the log learns of no alarm


def test_an_alarm_that_its_receiver_refuses_holds_up_no_other_one(receiver):
    """Such as one of before a start that it has already, and answers with 409."""
    receiver.refused = {"r-1"}
    news = Broadcast(lambda: 1.0)
    webhook = DuressWebhook(news, receiver.url, secret=lambda: SECRET, again_s=(LIMIT_S * 10,), now=lambda: 1.8e9)
    webhook.start()
    news.publish(Topic.DURESS, ALARM)
    until(lambda: receiver.came)
    for number in range(2, 5):
        news.publish(Topic.DURESS, {**ALARM, "request_id": f"r-{number}"})
        until(lambda: f"r-{number}" in {json.loads(body)["request_id"] for _, body in receiver.came})  # noqa: B023
    until(lambda: len(webhook._waiting) == 1)
    webhook.close()


def test_an_answer_without_an_end_is_not_read(receiver):
    receiver.has_no_end = True
    news = Broadcast(lambda: 1.0)
    webhook = sending(news, receiver.url)
    for name in ("r-1", "r-2"):
        news.publish(Topic.DURESS, {**ALARM, "request_id": name})
    until(lambda: not webhook._waiting)
    webhook.close()

    assert [json.loads(body)["request_id"] for _, body in receiver.came] == ["r-1", "r-2"]


def test_an_alarm_outlives_a_power_cut_and_keeps_its_name(receiver):
    receiver.statuses = [503] * 100_000
    news = Broadcast(lambda: 1.0)
    webhook = sending(news, receiver.url)
    news.publish(Topic.DURESS, ALARM)
    until(lambda: receiver.came)
    webhook.close()
    before = json.loads(receiver.came[0][1])["event_id"]
    asked = []

    def earlier(since):
        asked.append(since)
        news.publish(Topic.DURESS, {**ALARM, "request_id": "r-3"})  # raised as the kiosk starts, and in the store too
        return [ALARM, {**ALARM, "request_id": "r-2"}, {**ALARM, "request_id": "r-3"}]

    later = Receiver()  # another: a call that was under way as the first one ended may still arrive there
    webhook = sending(news, later.url, earlier=earlier)
    until(lambda: len(later.came) == 3)
    until(lambda: not webhook._waiting)
    webhook.close()
    later.close()

    told = [json.loads(body) for _, body in later.came]
    assert [one["request_id"] for one in told] == ["r-1", "r-2", "r-3"]
    assert told[0]["event_id"] == before
    assert asked == [1_800_000_000.0 - 3600.0]


def test_a_store_that_does_not_say_what_was_before_holds_up_no_alarm(receiver, caplog):
    def earlier(_since):
        raise StoreError("the store cannot be read")

    news = Broadcast(lambda: 1.0)
    with caplog.at_level(logging.DEBUG):
        webhook = sending(news, receiver.url, earlier=earlier)
        news.publish(Topic.DURESS, ALARM)
        until(lambda: receiver.came)
        webhook.close()

    assert caplog.records == []


def test_neither_figures_nor_log_tell_of_an_alarm_that_nobody_takes(caplog):
    news = Broadcast(lambda: 1.0)
    with caplog.at_level(logging.DEBUG):
        webhook = sending(news, "http://127.0.0.1:9/nobody")
        before = webhook.figures()
        news.publish(Topic.DURESS, ALARM)
        until(lambda: webhook._waiting)
        assert webhook.figures() == before
        webhook.close()

    assert caplog.records == []
    assert repr(webhook) == "DuressWebhook()"


def test_without_a_secret_nothing_is_sent_and_the_alarm_waits_for_one(receiver):
    news, kept = Broadcast(lambda: 1.0), list[str]()
    webhook = sending(news, receiver.url, secret=lambda: kept[0] if kept else None)
    news.publish(Topic.DURESS, ALARM)
    assert receiver.came == []
    kept.append(SECRET)
    until(lambda: receiver.came)
    webhook.close()


@pytest.mark.parametrize("url", ["http://example.org/x", "https://", "https://user:word@host/x", "ftp://host/x", "x"])
def test_an_address_where_others_could_read_it_is_refused(url):
    with pytest.raises(ConfigError, match="duress_url"):
        FactorSettings(duress_url=url)


def test_a_panel_hears_of_duress_by_an_input_and_no_figure_does():
    pytest.importorskip("osdp", reason="libosdp of the extra osdp is not installed")
    from kiosk.integrations.osdp_reader import OsdpReader
    from kiosk.testing.fake_osdp import FakePanel

    key = bytes(range(1, 17))
    panel = FakePanel(key)
    reader = OsdpReader(OsdpSettings(port=panel.line.path, baud=115200), key=key.hex())
    reader.start()
    try:
        until(lambda: reader.is_secure and panel.is_secure)
        before = reader.figures()
        news = Broadcast(lambda: 1.0)
        news.listen(alarm_of(reader))
        news.publish(Topic.DURESS, ALARM)
        until(panel.inputs)

        assert panel.inputs()[0] == b"\x01"
        until(lambda: {**reader.figures(), "secured_after_s": 0} == {**before, "secured_after_s": 0})
        panel.line.is_cut = True
        until(lambda: not reader.is_secure)
        news.publish(Topic.DURESS, ALARM)  # while the panel is away
        count = len(panel.inputs())
        panel.line.is_cut = False
        until(lambda: panel.inputs()[count:].count(b"\x01"))
    finally:
        reader.close()
        panel.close()

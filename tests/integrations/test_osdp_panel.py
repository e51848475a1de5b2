"""libosdp's own reader at the other end of a pseudo-terminal: cards, keys, light, buzzer and a timed relay."""

import math
import time

import pytest

from kiosk.entrance.news import PublishedDecision
from kiosk.integrations.osdp_panel import OsdpPanel
from kiosk.integrations.reader_desk import ReaderDesk, ReaderRelay, shower
from kiosk.rules.cards import decode, read_card
from kiosk.rules.conditions import POLICY
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.rules.lights import Colour
from kiosk.settings.neighbours import OsdpSettings
from kiosk.testing.fake_osdp import FakeReader
from kiosk.testing.scripted_kiosk import ScriptedKiosk
from tests.patience import again, until

KEY = bytes(range(1, 17))
CARD = read_card("171-48813")
LED, BUZZER, OUTPUT = "led_number", "rep_count", "output_no"


class Line:
    def __init__(self, reader_key=KEY):
        self.told: list[str | None] = []
        self.now, self.lets_out_until = 100.0, -math.inf
        self.kiosk = ScriptedKiosk(lambda: 1_800_000_000.0)
        self.reader = FakeReader(reader_key)
        desk = ReaderDesk(self.kiosk, clock=lambda: self.now)
        self.panel = OsdpPanel(
            OsdpSettings(port=self.reader.line.path, role="panel", readers=("1",), baud=115200),
            key=KEY.hex(),
            tell=self.told.append,
            hear_card=desk.take_card,
            hear_keys=desk.take_keys,
            lets_out_until=lambda: self.lets_out_until,
        )
        self.desk = desk
        self.kiosk.news.listen(shower(self.panel))
        self.panel.start()

    def commands(self, field):
        return [one for one in self.reader.commands if field in one]

    def close(self):
        self.panel.close()
        self.reader.close()


@pytest.fixture(scope="module")
def line():
    made = Line()
    until(lambda: made.panel.is_secure and made.reader.is_secure)
    yield made
    made.close()


def decided(kind="IDENTIFY", status="Approved", reasons=("matched",)):
    return PublishedDecision("r1", kind, status, 91.0, reasons, False, 5.0, 7, "Person A")


def test_a_card_is_handed_on_and_never_passes_the_line_in_clear(line):
    again(lambda: line.reader.hold(CARD.bits), lambda: ("card", CARD.text) in line.kiosk.asked)

    content = int("".join(map(str, CARD.bits)), 2) << 6
    assert content.to_bytes(4, "big")[:3] not in line.reader.line.wire
    assert line.panel.figures()["readers"] == {"1": True}


def test_keys_are_handed_on_as_one_entry(line):
    again(lambda: line.reader.press(b"99\x7f4711\r"), lambda: ("pin", 4) in line.kiosk.asked)


def test_a_card_with_a_wrong_parity_bit_is_nobodys(line):
    spoilt = (1 - CARD.bits[0], *CARD.bits[1:])

    again(lambda: line.reader.hold(spoilt), lambda: line.panel.figures()["spoilt"])

    with pytest.raises(ValueError, match="parity"):
        decode(spoilt)


def test_a_card_that_a_reader_tells_in_letters_is_nobodys(line):
    """Its length counts signs: read as bits, one sign would stand for the whole card."""
    library, spoilt = line.panel._library, line.panel.figures()["spoilt"]
    asked = list(line.kiosk.asked)
    told = {"event": library.Event.CardRead, "reader_no": 0, "direction": 0, "format": library.CardFormat.ASCII}
    line.panel._take(0, told | {"length": 10, "data": b"1234567890"})

    assert line.panel.figures()["spoilt"] == spoilt + 1
    assert line.kiosk.asked == asked


def test_a_decision_at_the_door_is_shown_and_a_calls_is_not(line):
    line.reader.commands.clear()

    line.kiosk.news.publish_decision(decided(kind="FACE_MATCH"))
    again(lambda: line.kiosk.news.publish_decision(decided()), lambda: line.commands(LED) and line.commands(BUZZER))
    assert {one["on_color"] for one in line.commands(LED)} == {2}
    line.reader.commands.clear()
    again(
        lambda: line.kiosk.news.publish_decision(decided(reasons=("matched", "withdrawn"))),
        lambda: line.commands(LED),
    )

    assert {one["on_color"] for one in line.commands(LED)} == {1}


def test_the_readers_relay_ends_its_pulse_by_itself_and_is_held_to_the_guard(line):
    states: list[str] = []
    relay = ReaderRelay(line.panel, pulse_s=3.0, clock=lambda: 10.0, states=lambda: states, table=lambda: POLICY)
    line.reader.commands.clear()

    assert relay.present(1, Grant("r1", 9.0)) == Refusal(RefusalReason.FRAME_TOO_OLD)
    states.append("disk_full")
    assert relay.present(1, Grant("r2", 10.0)) == Refusal(RefusalReason.CLOSED, ("disk_full",))
    states.clear()
    assert line.commands(OUTPUT) == []
    again(lambda: relay.present(1, Grant("r3", 10.0)), lambda: line.commands(OUTPUT))

    order = line.commands(OUTPUT)[0]
    assert (order["control_code"], order["timer_count"]) == (5, 30)


def test_the_readers_relay_is_on_while_people_are_let_out(line):
    until(lambda: line.panel.is_secure)
    line.reader.commands.clear()

    line.lets_out_until = time.monotonic() + 3600.0
    until(lambda: len(line.commands(OUTPUT)) >= 2)  # again and again: a reader may come back meanwhile
    line.lets_out_until = -math.inf

    assert {one["control_code"] for one in line.commands(OUTPUT)} == {5}


def test_an_opening_that_the_line_lost_never_comes_late(line):
    line.reader.commands.clear()
    again(lambda: line.panel.light(Colour.GREEN, 1.0), lambda: line.commands(LED))  # what was on its way has arrived
    line.reader.commands.clear()
    line.reader.line.is_cut = True

    assert line.panel.open(3.0)  # nobody has noticed yet
    until(lambda: not line.panel.has_openings)
    line.reader.line.is_cut = False
    again(lambda: line.panel.light(Colour.GREEN, 1.0), lambda: line.commands(LED))  # what comes after arrives

    assert line.commands(OUTPUT) == []


def test_a_reader_with_another_key_is_lost_and_opens_nothing():
    one = Line(reader_key=bytes(range(33, 49)))
    relay = ReaderRelay(one.panel, pulse_s=3.0, clock=lambda: 10.0, states=tuple, table=dict)

    until(lambda: len(one.reader.line.wire) > 60)  # the handshake was tried
    one.reader.hold(CARD.bits)

    assert relay.present(1, Grant("r1", 10.0)) == Refusal(RefusalReason.LOG_ONLY, ("reader_lost",))
    assert "Card reader 1 does not answer" in str(one.told[-1])
    assert one.kiosk.asked == []
    one.close()


def test_keys_that_nobody_ended_are_forgotten_after_a_pause(line):
    line.kiosk.asked.clear()

    line.desk.take_keys("47")
    line.now += 11.0
    line.desk.take_keys("123#")

    until(lambda: ("pin", 3) in line.kiosk.asked)
    assert ("pin", 5) not in line.kiosk.asked

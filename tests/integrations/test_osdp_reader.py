"""libosdp's own panel at the other end of a pseudo-terminal: what it hears, and what the line carries."""

from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace
from typing import Any

import pytest

from kiosk.errors import ConfigError
from kiosk.integrations.osdp import PUBLIC_KEY, load_library, read_key
from kiosk.integrations.osdp_reader import OsdpReader, install, try_line
from kiosk.integrations.panel_cards import PanelCards
from kiosk.integrations.serial_line import SerialLine
from kiosk.rules.cards import pack, read_card
from kiosk.rules.conditions import POLICY
from kiosk.rules.grant import Grant
from kiosk.rules.lights import Colour
from kiosk.settings.neighbours import OsdpSettings
from kiosk.store.factors.factors import Factors
from kiosk.testing.fake_osdp import FakePanel
from kiosk.testing.fakes import ManualClock
from tests.patience import PROCESS_S, again, until

KEY = bytes(range(1, 17))
OTHER = bytes(range(33, 49))
CARD = read_card("171-48813")


class Line:
    """A panel and a kiosk's reader, and what the kiosk was told."""

    def __init__(self, panel_key=KEY, reader_key=KEY):
        self.told: list[str | None] = []
        self.lights: list[Any] = []
        self.kept: list[str] = []
        self.panel = FakePanel(panel_key)
        self.reader = OsdpReader(
            OsdpSettings(port=self.panel.line.path, baud=115200),
            key=reader_key.hex(),
            tell=self.told.append,
            show=self.lights.append,
            keep_key=self.kept.append,
        )
        self.reader.start()

    def close(self):
        self.reader.close()
        self.panel.close()


@pytest.fixture
def line():
    made = []

    def make(**keys):
        made.append(Line(**keys))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def secure():
    made = Line()
    until(lambda: made.reader.is_secure and made.panel.is_secure)
    yield made
    made.close()


def test_a_card_reaches_the_panel_and_never_the_line_in_clear(secure):
    before = len(secure.panel.line.wire)

    again(lambda: secure.reader.send_card(CARD), secure.panel.cards)
    came = secure.panel.cards()[0]
    assert (came["length"], came["data"]) == (26, pack(CARD.bits))
    until(lambda: secure.reader.figures()["sent"])
    passed = bytes(secure.panel.line.wire)
    assert len(passed) > before + 20  # the tap is where the bytes are
    assert pack(CARD.bits) not in passed
    assert pack(CARD.bits)[:3] not in passed
    assert None in secure.told


def test_the_panel_drives_light_and_buzzer(secure):
    def is_seen():
        return any(one and one.tone_until > 0 and one.permanent.on is Colour.GREEN for one in secure.lights)

    again(lambda: (secure.panel.light(Colour.GREEN), secure.panel.sound(3)), is_seen)


def test_the_keypad_reaches_the_panel_and_never_the_line_in_clear(secure):
    again(lambda: secure.reader.send_keys("73915#"), lambda: b"73915\r" in secure.panel.pressed())
    assert b"73915" not in secure.panel.line.wire


def test_a_key_that_the_panel_sets_is_kept_and_a_public_one_is_not(line):
    one = line()
    until(lambda: one.reader.is_secure and one.panel.is_secure)

    again(lambda: one.panel.set_key(OTHER), lambda: one.kept)
    again(lambda: one.reader.send_card(CARD), one.panel.cards)
    # It is refused, which a panel takes for a reader that is not well.
    again(lambda: one.panel.set_key(PUBLIC_KEY), lambda: not one.panel.is_online)

    assert set(one.kept) == {OTHER.hex()}
    assert OTHER not in bytes(one.panel.line.wire)


def test_another_key_stays_offline_and_no_card_is_sent(line):
    one = line(panel_key=OTHER)

    until(lambda: len(one.panel.line.wire) > 60)  # the handshake was tried
    assert not one.reader.send_card(CARD)

    assert not one.panel.is_secure
    assert not one.panel.is_online
    assert not one.reader.is_secure
    assert one.reader.figures()["dropped"] == 1
    assert one.told[-1] is not None
    assert one.panel.events == []


def test_a_panel_that_falls_silent_is_lost_and_takes_no_old_card_later(line):
    one = line()
    until(lambda: one.reader.is_secure)

    one.panel.line.is_cut = True
    one.reader.send_card(CARD)  # nobody fetches it
    until(lambda: not one.reader.is_secure and "silent" in str(one.told[-1]))
    one.panel.line.is_cut = False
    until(lambda: one.reader.is_secure and one.panel.is_secure)

    again(lambda: one.reader.send_card(read_card("1-2")), one.panel.cards)
    assert {card["data"] for card in one.panel.cards()} == {pack(read_card("1-2").bits)}


def test_an_adapter_that_is_pulled_out_is_lost_without_an_end_of_the_thread(tmp_path):
    told: list[str | None] = []
    reader = OsdpReader(OsdpSettings(port=str(tmp_path / "ttyUSB9")), key=KEY.hex(), tell=told.append)
    reader.start()

    until(lambda: told and "No such file" in str(told[-1]))
    reader.close()
    assert not reader.figures()["is_connected"]


def test_a_check_says_whether_the_panel_asks():
    panel = FakePanel(KEY)
    settings = OsdpSettings(port=panel.line.path, baud=115200)

    assert try_line(settings, key=KEY.hex(), wait_s=PROCESS_S).figures()["secured_after_s"] > 0.0
    panel.close()


def test_two_processes_cannot_have_one_line():
    panel = FakePanel(KEY)
    held = SerialLine(panel.line.path, 9600)

    with pytest.raises(ConfigError, match="another process has it"):
        SerialLine(panel.line.path, 9600)

    held.close()
    panel.close()


def test_a_file_is_no_serial_port(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigError, match="is not a serial port"):
        SerialLine(str(tmp_path / "file"), 9600)


@pytest.mark.parametrize("text", ["", "00" * 15, "zz" * 16, PUBLIC_KEY.hex(), "ab" * 16])
def test_a_key_that_is_none_or_public_is_refused(text):
    with pytest.raises(ConfigError):
        read_key(text)


def test_pypis_other_package_is_refused_by_its_name():
    with pytest.raises(ConfigError, match="pip uninstall osdp"):
        load_library(lambda _name: "0.0.9")


def test_the_library_is_found_where_the_other_is_not():
    def missing(_name):
        raise PackageNotFoundError

    assert load_library(missing).PeripheralDevice


def test_a_panel_in_its_mode_of_installation_sets_a_key_that_is_kept_and_holds():
    panel = FakePanel(OTHER, installs=True)
    try:
        kept = install(OsdpSettings(port=panel.line.path, baud=115200), wait_s=PROCESS_S)

        assert kept == OTHER.hex()
        assert OTHER not in bytes(panel.line.wire)
        reader = OsdpReader(OsdpSettings(port=panel.line.path, baud=115200), key=kept)
        reader.start()
        until(lambda: reader.is_secure)
        reader.close()
    finally:
        panel.close()


def test_without_an_installation_no_key_is_taken():
    panel = FakePanel(OTHER)  # it has a key already, and speaks with no other
    try:
        with pytest.raises(ConfigError, match="has set no key"):
            install(OsdpSettings(port=panel.line.path, baud=115200), wait_s=1.0)
        assert not panel.is_secure
    finally:
        panel.close()


def test_a_pin_entered_at_the_kiosk_reaches_the_panel_that_asks_for_it(secure):
    clock = ManualClock()
    people: Any = SimpleNamespace(read=lambda _number: Factors(card=CARD))
    cards: Any = PanelCards(
        secure.reader,
        people,
        clock=clock,
        states=tuple,
        table=lambda: POLICY,
        asks_s=30.0,
    )
    assert not cards.is_asking

    def enter():
        until(lambda: cards.present(1, Grant("r", clock.now)) is None)  # a line under load is lost for a moment
        assert cards.is_asking
        cards.enter("4711")

    again(enter, lambda: b"4711\r" in secure.panel.pressed())
    assert b"4711" not in secure.panel.line.wire
    assert not cards.is_asking  # one entry for a card
    until(lambda: cards.present(1, Grant("s", clock.now)) is None)
    clock.advance(31.0)
    assert not cards.is_asking

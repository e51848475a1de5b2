"""A reader's thread over lines that a test pulls: nothing of this ran on real ones."""

from random import Random

import pytest

from kiosk.errors import ConfigError, DoorError
from kiosk.integrations.wiegand_reader import WiegandReader
from kiosk.rules.cards import read_card
from kiosk.settings.neighbours import WiegandSettings
from kiosk.testing.fake_wiegand import FakeWiegand, WiegandLine
from tests.patience import until

CARD = read_card("171-48813")


@pytest.fixture
def line():
    return WiegandLine()


@pytest.fixture
def heard(line):
    cards = []
    reader = WiegandReader(lambda: line, hear_card=lambda card: (cards.append(card), True)[1])
    reader.start()
    yield cards, reader
    reader.close()


def test_a_card_is_heard_and_a_spoilt_one_is_counted(line, heard):
    cards, reader = heard
    hand = FakeWiegand(Random(0))

    line.pull(hand.lose(CARD, 5))
    line.pull(hand.hold(CARD))

    until(lambda: cards == [CARD])
    until(lambda: reader.figures() == {"is_connected": True, "reason": "", "cards": 1, "spoilt": 1})


def test_lines_that_break_are_told_of(line, heard):
    _, reader = heard

    line.break_down()

    until(lambda: reader.figures()["reason"] == "the lines are broken")


def test_lines_that_are_not_there_are_told_of():
    def missing():
        raise DoorError("no chip")

    reader = WiegandReader(missing, hear_card=lambda _card: False)
    reader.start()

    until(lambda: reader.figures()["reason"] == "no chip")
    reader.close()


@pytest.mark.parametrize("more", [{"chip": "/dev/gpiochip0"}, {"d0": 1, "d1": 2}, {"chip": "c", "d0": 1, "d1": 1}])
def test_a_wiring_that_cannot_be_is_refused(more):
    with pytest.raises(ConfigError, match="wiegand"):
        WiegandSettings(**more)

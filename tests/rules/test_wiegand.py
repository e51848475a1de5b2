"""Pulses of two lines to cards: every trouble of the line drops the card, none makes another one of it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.rules.cards import LAYOUTS, Card, read_card
from kiosk.rules.wiegand import PAUSE_S, Pulse, WiegandDecoder, cards
from kiosk.testing.fake_wiegand import FakeWiegand

CARD = read_card("171-48813")


def reader(**more):
    return FakeWiegand(Random(0), **more)


@given(st.lists(st.builds(Card, st.sampled_from(sorted(LAYOUTS)), st.integers(0, 255), st.integers(0, 65535))))
def test_cards_come_out_as_they_went_in(held):
    line = reader()

    assert cards(pulse for card in held for pulse in line.hold(card)) == held


@pytest.mark.parametrize("every_s", [0.0003, 0.001, 0.002, 0.02])
def test_slow_and_fast_readers_are_read(every_s):
    assert cards(reader(every_s=every_s).hold(CARD)) == [CARD]


@pytest.mark.parametrize("length", sorted(LAYOUTS))
def test_no_lost_pulse_makes_another_card(length):
    card = Card(length, 171, 48813)

    assert [cards(reader().lose(card, place)) for place in range(length)] == [[]] * length


def test_a_bounce_drops_the_card_and_the_next_is_read():
    line, decoder = reader(), WiegandDecoder()
    found = [decoder.feed(pulse) for place in range(26) for pulse in line.bounce(CARD, place)]
    found += [decoder.feed(pulse) for pulse in line.hold(CARD)]
    found.append(decoder.rest(10_000.0))

    assert [card for card in found if card is not None] == [CARD]
    assert decoder.spoilt == 26


def test_short_noise_is_nobody_and_endless_noise_fills_no_memory():
    line, decoder = reader(), WiegandDecoder()

    assert cards(line.noise(7)) == []
    for pulse in line.noise(10_000):
        assert decoder.feed(pulse) is None
    assert decoder.rest(10_000.0) is None
    assert decoder.spoilt == 1


def test_a_card_is_there_once_its_pause_is_over_and_only_once():
    decoder = WiegandDecoder()
    pulses = reader().hold(CARD)
    for pulse in pulses:
        decoder.feed(pulse)

    assert decoder.rest(pulses[-1].at + PAUSE_S / 2) is None
    assert decoder.rest(pulses[-1].at + PAUSE_S * 1.01) == CARD
    assert decoder.rest(pulses[-1].at + 1.0) is None


def test_time_that_goes_back_spoils_the_card():
    pulses = reader().hold(CARD)
    turned = [*pulses[:10], Pulse(pulses[10].bit, pulses[10].at - 5.0), *pulses[11:]]

    assert cards(turned) == []

"""Card numbers and a panel's light, by tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.rules.cards import LAYOUTS, Card, decode, pack, read_card, unpack
from kiosk.rules.lights import Colour, Light

LED = {"on_count": 1, "off_count": 0, "on_color": 2, "off_color": 0, "timer_count": 20}


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(0, 255), st.integers(0, 65535))
def test_a_card_comes_back_from_its_bits_and_its_text(length, facility, number):
    card = Card(length, facility, number)

    assert decode(card.bits) == card
    assert read_card(card.text) == card
    assert unpack(pack(card.bits), length) == card.bits
    assert len(card.bits) == length


def test_the_bits_are_those_of_the_published_example():
    # facility 1, number 1: even parity over the first twelve data bits, odd over the last twelve
    assert "".join(map(str, read_card("1-1").bits)) == "1" + "00000001" + "0000000000000001" + "0"


@pytest.mark.parametrize("length", sorted(LAYOUTS))
def test_every_single_flipped_bit_is_found(length):
    bits = Card(length, 171, 48813).bits

    for place in range(length):
        spoilt = tuple(bit ^ (at == place) for at, bit in enumerate(bits))
        with pytest.raises(ValueError, match="parity"):
            decode(spoilt)


@pytest.mark.parametrize(
    "text", ["", "12", "256-1", "1-65536", "26:12", "56:1-2", "7:1", "129:1", "12-3456x", "²-1", "-1", "1--2"]
)
def test_what_is_no_card_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  each has its own sentence
        read_card(text)


def test_a_temporary_light_goes_before_the_permanent_one_until_its_timer_ends():
    red = Light().led({**LED, "temporary": False, "control_code": 1, "on_color": 1}, 0.0)
    green = red.led({**LED, "temporary": True, "control_code": 2}, 10.0)

    assert [green.colour_at(now) for now in (9.0, 10.0, 11.9, 12.1)] == [
        Colour.GREEN,
        Colour.GREEN,
        Colour.GREEN,
        Colour.RED,
    ]
    assert green.led({**LED, "temporary": True, "control_code": 1}, 10.5).colour_at(10.5) is Colour.RED


def test_a_blinking_light_and_a_buzzer_keep_their_times():
    blink = Light().led({**LED, "temporary": False, "control_code": 1, "on_count": 5, "off_count": 5}, 0.0)
    beeps = blink.buzzer({"control_code": 2, "on_count": 1, "off_count": 1, "rep_count": 2}, 0.0)

    assert [blink.colour_at(now).name for now in (0.1, 0.6, 1.1)] == ["GREEN", "BLACK", "GREEN"]
    assert [beeps.sounds_at(now) for now in (0.05, 0.15, 0.25, 0.45)] == [True, False, True, False]
    silent = beeps.buzzer({"control_code": 1, "on_count": 1, "off_count": 1, "rep_count": 1}, 0.05)
    assert not silent.sounds_at(0.06)

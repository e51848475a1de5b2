"""Facts about the wiring drawn from the settings: pins, levels, what would go wrong; and how lines are tried."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import count

import pytest

from kiosk.cli.door import try_lines, wiring_findings
from kiosk.door.boards import BOARDS, JETSON, PI, PINS, POWER
from kiosk.door.lines import Input, Output
from kiosk.door.wiring import LOCKS, as_text, connections, faults, remarks
from kiosk.door.wiring_svg import as_svg
from kiosk.errors import DoorError
from kiosk.settings.door import DoorSettings
from kiosk.testing.fakes import RecordedLines

CHIP = "/dev/gpiochip0"
WHOLE = DoorSettings(chip=CHIP, relay=17, green=22, red=23, buzzer=25, contact=24, exit=27)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_a_pin_is_power_or_one_line_and_no_line_is_on_two(board):
    assert board.lines.keys().isdisjoint(POWER)
    assert board.lines.keys() | POWER.keys() <= set(range(1, PINS + 1))
    assert len(set(board.lines.values())) == len(board.lines)


def test_lines_are_named_with_their_pin_and_the_nearest_ground():
    relay = connections(WHOLE, PI)[0]

    assert (relay.name, relay.pin, relay.ground) == (Output.RELAY, 11, 9)
    assert connections(DoorSettings(chip=CHIP, relay=144), JETSON)[0].pin == 7
    assert list(faults(WHOLE, PI)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"relay": 5}, "is high until the kiosk starts", id="pulled up at power-on, on at high"),
        pytest.param({"relay": 17, "active_low": ("relay",)}, "is low until", id="pulled down at power-on, on at low"),
        pytest.param({"relay": 5, "active_low": ("relay",)}, None, id="pulled up and on at low"),
        pytest.param({"relay": 14}, "serial console", id="a line that is taken"),
        pytest.param({"relay": 60}, "not on the header", id="no line of the header"),
        pytest.param({"exit": 27}, "no relay", id="no relay"),
    ],
)
def test_what_would_go_wrong_is_said(changes, expected):
    found = [one.sentence for one in faults(DoorSettings(chip=CHIP, **changes), PI)]

    assert [expected in one for one in found] == ([True] if expected else [])


def test_what_is_not_wired_is_said():
    assert len(list(remarks(DoorSettings(chip=CHIP, relay=17)))) == 3
    assert list(remarks(WHOLE)) == []


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_text_and_picture_name_every_line_of_the_settings(board, lock):
    picture = ET.fromstring(as_svg(WHOLE, board, lock))
    words = " ".join(picture.itertext())

    for one in connections(WHOLE, board):
        assert f"{one.title}: line {one.line}" in as_text(WHOLE, board, lock)
        assert one.pin is None or f"{one.title}: line {one.line}, pin {one.pin}" in words
    assert f"relay COM to {'NC' if lock == 'fail-safe' else 'NO'}" in words
    assert ("not on the header" in words) == (board is JETSON)


def test_without_a_door_there_is_an_example():
    assert "relay = 17" in as_text(DoorSettings(), PI, LOCKS[0])
    assert [one.sentence for one in wiring_findings(DoorSettings(), "")] == ["none is set up: nothing is driven"]


def test_a_machine_that_is_no_board_we_know_has_no_faults_of_its_header():
    wrong = DoorSettings(chip=CHIP, relay=60)

    assert all(one.is_good for one in wiring_findings(wrong, ""))
    assert not all(one.is_good for one in wiring_findings(wrong, "Raspberry Pi 5 Model B"))


class Pressed(RecordedLines):
    """Lines whose inputs somebody presses: each changes, and changes back."""

    def __init__(self, *, presses=True):
        super().__init__()
        self._looks = count()
        self._presses = presses

    def read(self):
        look = next(self._looks)
        return dict.fromkeys(Input, bool(self._presses and look % 3 == 1))


def tried(settings, answer, lines):
    questions = []

    def ask(question):
        questions.append(question)
        return answer

    times = count()
    found = list(
        try_lines(settings, ask=ask, take=lambda _: lines, sleep=lambda _: None, now=lambda: float(next(times)))
    )
    return found, questions


def test_a_line_is_switched_only_once_somebody_agreed():
    lines = Pressed()
    found, questions = tried(WHOLE, False, lines)

    assert len(questions) == len(WHOLE.offsets)
    assert "which opens the door" in questions[0]
    assert all(one.is_good and "not tried" in one.sentence for one in found)
    assert [on for _, on in lines.history if on] == []


def test_lines_that_work_are_said_to_and_left_off():
    lines = Pressed()
    found, _ = tried(WHOLE, True, lines)

    assert [one.is_good for one in found] == [True] * len(WHOLE.offsets)
    assert [name for name, on in lines.history if on] == [Output.RELAY, Output.GREEN, Output.RED, Output.BUZZER]
    assert lines.lit == frozenset()


def test_a_button_that_nothing_comes_from_is_a_fault_with_its_wires():
    (_, button), _ = tried(DoorSettings(chip=CHIP, relay=17, exit=27), True, Pressed(presses=False))

    assert not button.is_good
    assert "it stayed off" in button.sentence
    assert "pin 13" in button.cure


def test_lines_that_the_kiosk_holds_are_said_to_be_so():
    def taken(_):
        raise DoorError("cannot take lines: busy")

    (found,) = try_lines(WHOLE, ask=lambda _: True, take=taken)

    assert not found.is_good
    assert "systemctl stop kiosk" in found.cure

"""A card at a reader: a code in mode verify, nothing elsewhere unless somebody is asked for one."""

from types import SimpleNamespace
from typing import Any

import pytest

from kiosk.daemon.requests import Requests
from kiosk.errors import RefusedError
from kiosk.rules.cards import read_card
from tests.entrance.staged import Stage, config, template

A, B = template(1), template(2)
CARD = "171-48813"


def requests_of(stage):
    parts: Any = SimpleNamespace(news=None, judge=stage.judge, device=stage.device)
    report: Any = None
    return Requests(parts, report)


@pytest.fixture
def stage_in(tmp_path):
    made = []

    def make(mode):
        made.append(Stage(tmp_path, config(entrance={"mode": mode})))
        number = made[-1].enrol(A).session_number
        made[-1].enrol(B, name="Person B")
        made[-1].store.factors.give(number, card=read_card(CARD))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(("person", "pulses"), [(A, 1), (B, 0)], ids=["its own person", "another"])
def test_a_card_then_a_face_is_a_comparison_with_the_cards_person(stage_in, person, pulses):
    stage = stage_in("verify")

    assert requests_of(stage).show_card(CARD)
    stage.show(person, seconds=2.0)

    assert [one["kind"] for one in stage.decisions] == ["VERIFY"]
    assert stage.lines.pulses == pulses


def test_a_card_of_nobody_or_of_no_use_is_not_taken(stage_in):
    stage = stage_in("verify")
    assert not requests_of(stage).show_card("1-1")
    stage.show(A, seconds=2.0)
    assert stage.decisions == []
    with pytest.raises(RefusedError):
        requests_of(stage).show_card("no card")


def test_where_faces_are_searched_a_card_opens_nothing_by_itself(stage_in):
    stage = stage_in("identify")

    assert not requests_of(stage).show_card(CARD)
    stage.show(seconds=2.0)

    assert stage.lines.pulses == 0

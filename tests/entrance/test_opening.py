"""What is asked before anything opens, with an access control panel behind a kiosk on a stage."""

import pytest

from kiosk.integrations.osdp_reader import OsdpReader
from kiosk.integrations.panel_cards import PanelCards
from kiosk.rules.cards import pack, read_card
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Refusal, RefusalReason
from kiosk.settings.config import Config
from kiosk.settings.neighbours import OsdpSettings
from kiosk.settings.sections import PadSettings
from kiosk.testing.fake_osdp import FakePanel
from tests.entrance.staged import NOW, Stage, config, template
from tests.patience import until

KEY = bytes(range(1, 17))
CARD = read_card("171-48813")
A, B = template(1), template(2)


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path, Config(pad=PadSettings(level="off")), has_door=False)
    yield made
    made.close()


@pytest.fixture
def panel(stage):
    far = FakePanel(KEY)

    def tell(sentence):
        if sentence is None:
            stage.monitor.end(Condition.PANEL_LOST)
        else:
            stage.monitor.hold(Condition.PANEL_LOST, sentence)

    reader = OsdpReader(OsdpSettings(port=far.line.path, baud=115200), key=KEY.hex(), tell=tell)
    cards = PanelCards(
        reader,
        stage.store.factors,
        clock=stage.clock,
        states=stage.monitor.states,
        table=lambda: stage.monitor.table,
    )
    stage.judge.opening.connect(cards)
    reader.start()
    yield far
    reader.close()
    far.close()


def visit(stage, panel, person, wanted):
    """Have a person judged while the panel asks; a machine under load may lose it for a moment."""

    def is_judged():
        until(lambda: panel.is_secure and not stage.monitor.states())
        stage.show(seconds=2.0)
        stage.show(person, seconds=2.0)
        last = stage.decisions[-1]
        assert last["status"] == wanted
        return "panel_lost" not in last["reasons"]

    until(is_judged)


def test_the_panel_is_told_the_card_of_whoever_may_enter_and_of_nobody_else(stage, panel):
    ann = stage.enrol(A)
    stage.store.factors.give(ann.session_number, card=CARD)

    for person, wanted in ((B, "Declined"), (A, "Approved")):
        visit(stage, panel, person, wanted)

    until(panel.cards)
    assert {one["data"] for one in panel.cards()} == {pack(CARD.bits)}
    assert panel.cards()[0]["length"] == 26


def test_a_person_without_a_card_is_told_that_nothing_opens(stage, panel):
    stage.enrol(A)

    visit(stage, panel, A, "Approved")

    assert stage.decisions[-1]["reasons"] == ["matched", "no_card"]
    assert panel.cards() == []


class Strike:
    """A reader's relay, or an access control panel, that says what it is told to."""

    is_asking = False

    def __init__(self, *, is_ours, lacks=None, says=None):
        self.is_ours, self.lacks, self.says = is_ours, lacks, says

    def ready(self, _number):
        return self.lacks

    def present(self, _number, _grant):
        return self.says

    def enter(self, _digits):
        raise AssertionError("nobody is asked")


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_door_that_a_readers_relay_opened_is_said_to_be_open_and_a_panels_is_not_known(stage, is_ours):
    stage.enrol(A)
    stage.judge.opening.connect(Strike(is_ours=is_ours))

    stage.show(A, seconds=2.0)

    assert stage.decisions[-1]["opened"] is is_ours


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("asked", ["lacks", "says"])
def test_relay_and_panel_open_both_or_none_and_a_way_out_opens(tmp_path, asked, direction):
    stage = Stage(tmp_path, config(passage={"direction": direction}))
    stage.enrol(A)
    stage.judge.opening.connect(Strike(is_ours=False, **{asked: Refusal(RefusalReason.NO_CARD)}))

    stage.show(A, seconds=2.0)

    is_open = asked == "says" or direction == "out"  # too late to say it: they are through, and that is kept
    assert stage.lines.pulses == is_open
    assert stage.decisions[-1]["opened"] is is_open
    assert stage.decisions[-1]["reasons"] == (["matched"] if is_open else ["matched", "no_card"])
    assert len(stage.store.passages.between(0.0, NOW * 2)) == is_open
    stage.close()


def test_while_the_panel_is_lost_people_are_judged_and_nothing_is_sent(stage):
    far = FakePanel(bytes(16))  # another key: it never comes to a secure channel
    ann = stage.enrol(A)
    stage.store.factors.give(ann.session_number, card=CARD)
    reader = OsdpReader(OsdpSettings(port=far.line.path, baud=115200), key=KEY.hex())
    reader.start()
    cards = PanelCards(reader, stage.store.factors, clock=stage.clock, states=tuple, table=dict)
    stage.judge.opening.connect(cards)

    stage.show(A, seconds=2.0)

    assert stage.decisions[-1]["reasons"] == ["matched", "log_only", "panel_lost"]
    assert far.cards() == []
    reader.close()
    far.close()

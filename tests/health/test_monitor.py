"""Facts about the degraded states: when they hold, what they say, and who hears of it."""

import pytest

from kiosk.errors import StoreError
from kiosk.health.monitor import Monitor, throttled
from kiosk.rules.conditions import Condition, policy
from kiosk.testing.fakes import ManualClock


def monitor(probes=None, **choices):
    told = []
    made = Monitor(probes or {}, policy(choices), now=ManualClock(100.0), publish=lambda *what: told.append(what))
    return made, told


def test_a_state_holds_from_the_first_word_until_it_is_over_and_is_told_once():
    states, told = monitor()

    states.hold(Condition.DISK_FULL, "no room")
    states.hold(Condition.DISK_FULL, "still no room")
    held = states.states(), states.report()
    states.end(Condition.DISK_FULL)
    states.end(Condition.DISK_FULL)

    assert held[0] == ("disk_full",)
    (one,) = held[1]
    assert (one.condition, one.sentence, one.leaves, one.since) == ("disk_full", "still no room", "closed", 100.0)
    assert told == [(Condition.DISK_FULL, "no room"), (Condition.DISK_FULL, None)]
    assert states.states() == ()


def test_probes_are_asked_and_one_that_fails_holds_its_state():
    said = {"sentence": None}

    def failing():
        raise StoreError("cannot be read")

    states, _ = monitor({Condition.THROTTLED: lambda: said["sentence"], Condition.STORE_UNREADABLE: failing})

    states.look()
    first = states.states()
    said["sentence"] = "hot"
    states.look()

    assert first == ("store_unreadable",)
    assert states.states() == ("store_unreadable", "throttled")


def test_a_fault_met_while_a_probe_looked_is_not_ended_by_it():
    def looking():
        states.hold(Condition.STORE_UNREADABLE, "met by the judge meanwhile")

    states, told = monitor({Condition.STORE_UNREADABLE: looking})

    states.look()

    assert states.states() == ("store_unreadable",)
    assert told == [(Condition.STORE_UNREADABLE, "met by the judge meanwhile")]


def test_what_a_state_leaves_is_the_installers_choice():
    states, _ = monitor(clock_untrusted="open")
    states.hold(Condition.CLOCK_UNTRUSTED, "nobody knows")

    assert states.report()[0].leaves == "open"


@pytest.mark.parametrize(
    ("word", "celsius", "said"),
    [
        ("0x0", 50000, None),
        ("0x50000", 50000, None),  # it was throttled once, and is not now
        ("0x50005", 50000, "supply is too weak, it is throttled"),
        ("nonsense", 50000, None),
        (None, 85000, "85 °C"),
        (None, 50000, None),
        (None, None, None),
    ],
)
def test_a_processor_that_slows_down_is_told_with_its_cause(tmp_path, word, celsius, said):
    firmware = tmp_path / "get_throttled"
    if word is not None:
        firmware.write_text(word + "\n")
    if celsius is not None:
        zone = tmp_path / "thermal" / "thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(f"{celsius}\n")

    sentence = throttled(80.0, tmp_path / "thermal", firmware)

    assert (sentence is None) if said is None else (said in sentence)

"""Which kiosks know of a person is told from numbers alone, and never too early."""

import pytest

from kiosk.fleet.seen import Seen


def test_before_everything_was_read_nobody_is_said_to_know():
    passed = Seen()
    passed.begin("hub")
    passed.note("ann", 7)

    assert passed.needed("ann") is None
    passed.level(9)
    assert (passed.needed("ann"), passed.needed("somebody from before")) == (7, 9)


def test_the_newest_message_on_a_person_counts():
    passed = Seen()
    passed.level(3)
    passed.note("ann", 8)
    passed.note("ann", 5)

    assert passed.needed("ann") == 8


def test_whoever_is_dropped_from_the_list_is_still_not_known_too_early():
    passed = Seen(most=2)
    passed.level(1)
    for person, seq in (("ann", 10), ("ben", 11), ("eve", 12)):
        passed.note(person, seq)

    assert passed.needed("ann") == 10
    assert passed.needed("somebody from before") == 10


def test_a_hub_that_was_made_anew_numbers_from_the_beginning():
    passed = Seen()
    passed.begin("hub of May")
    passed.level(500)
    passed.note("ann", 501)
    assert passed.read_to == 500
    passed.begin("hub of June")

    assert (passed.needed("ann"), passed.read_to) == (None, 0)


def test_how_long_ago_a_kiosk_spoke_is_told_by_the_hubs_clock_and_not_by_ours():
    passed = Seen()
    began = 1_000.0  # monotonic
    ours = 1_700_000_000.0  # a week behind the hub's
    hubs = ours + 7 * 86_400
    passed.hear("me", hubs - 30, began, is_me=True)  # kept by the hub from before
    passed.hear("other", hubs - 20, began, is_me=False)
    passed.hear("me", hubs, began, is_me=True)

    assert passed.heard_s("other", began + 5) == pytest.approx(25)
    assert passed.heard_s("nobody", began) is None
    assert passed.ahead_s(began + 5, ours + 5) == pytest.approx(7 * 86_400)

"""A pass's text: one for each, read back exactly, and nothing else is a pass."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.rules.passes import (
    LONGEST_TEXT,
    MOST_DOORS,
    PREFIX,
    Known,
    PassRefusal,
    PassRule,
    VisitorPass,
    objection,
    read_pass,
)

HERE, THERE = bytes(10), bytes([1] * 10)
DAY = 86400
PASS = VisitorPass(HERE, bytes(8), 1000, 2000, 2000 + DAY, 2, None, (HERE,))
KNOWN = Known(3000.0, True, frozenset({HERE}), is_fleets=False, is_ours=True)
SECONDS = st.integers(0, 0xFFFFFFFF)
PASSES = st.builds(
    lambda issuer, number, issued, span, uses, person, doors: VisitorPass(
        issuer,
        number,
        issued,
        min(span),
        max(span) + (min(span) == max(span)),
        uses if len(doors) == 1 else 0,
        person,
        doors,
    ),
    st.binary(min_size=10, max_size=10),
    st.binary(min_size=8, max_size=8),
    SECONDS,
    st.tuples(st.integers(0, 0xFFFFFFFE), st.integers(0, 0xFFFFFFFE)),
    st.integers(0, 0xFFFF),
    st.one_of(st.none(), st.uuids().map(str)),
    st.lists(st.binary(min_size=10, max_size=10), max_size=MOST_DOORS, unique=True).map(tuple),
)
SIGNATURES = st.binary(min_size=64, max_size=64)


@given(PASSES, SIGNATURES)
def test_a_pass_is_read_back_as_it_was_written(made, signature):
    text = made.text(signature)

    assert read_pass(text) == (made, signature)
    assert len(text) <= LONGEST_TEXT
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:")  # the denser mode of a QR code


@given(st.one_of(st.text(max_size=500), st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567=", max_size=500).map(PREFIX.__add__)))
def test_whatever_a_code_says_is_a_pass_or_a_value_error(text):
    try:
        shown, signature = read_pass(text)
    except ValueError:
        return
    assert shown.text(signature) == text


@given(PASSES, SIGNATURES, st.data())
def test_bytes_that_were_changed_are_another_pass_or_none(made, signature, data):
    text = made.text(signature)
    place = data.draw(st.integers(len(PREFIX), len(text) - 1))
    other = data.draw(st.sampled_from(sorted(set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") - {text[place]})))

    try:
        found = read_pass(text[:place] + other + text[place + 1 :])
    except ValueError:
        return
    assert found != (made, signature)  # so the signature over it is another one's


@given(PASSES, SIGNATURES, st.integers(0, 400))
def test_a_pass_that_was_cut_is_none(made, signature, length):
    text = made.text(signature)
    with pytest.raises(ValueError, match="no pass"):
        read_pass(text[: min(length, len(text) - 1)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"doors": (HERE, HERE)},
        {"doors": (HERE, THERE)},  # uses are counted at one door
        {"doors": ()},
        {"doors": (b"x",)},
        {"uses": -1},
        {"uses": 1 << 16},
        {"valid_until": 2000},
        {"valid_until": 1 << 33},
        {"person": "Person A"},
        {"issuer": b""},
    ],
)
def test_a_pass_that_could_not_be_counted_is_not_made(wrong):
    with pytest.raises(ValueError):  # noqa: PT011  each has its own words
        replace(PASS, **wrong)


@pytest.mark.parametrize(
    ("shown", "known", "why"),
    [
        pytest.param({}, {}, None, id="good"),
        pytest.param({}, {"is_clock_trusted": False}, PassRefusal.CLOCK, id="clock"),
        pytest.param({"doors": (THERE,)}, {}, PassRefusal.WRONG_DOOR, id="another door"),
        pytest.param({"doors": (), "uses": 0}, {"is_ours": False}, PassRefusal.WRONG_DOOR, id="every door of no fleet"),
        pytest.param(
            {"doors": (), "uses": 0}, {"is_ours": False, "is_fleets": True}, None, id="every door of the fleet"
        ),
        pytest.param({}, {"is_revoked": True}, PassRefusal.REVOKED, id="revoked"),
        pytest.param({}, {"is_listed": False}, PassRefusal.REVOKED, id="ours, and not in our list"),
        pytest.param({}, {"is_listed": False, "now": 3000.0 + DAY}, PassRefusal.EXPIRED, id="ended and dropped"),
        pytest.param({}, {"is_listed": False, "is_ours": False}, None, id="another kiosk's has no list here"),
        pytest.param({}, {"now": 1999.9}, PassRefusal.NOT_YET, id="before"),
        pytest.param({}, {"now": 2000.0 + DAY}, PassRefusal.EXPIRED, id="after"),
        pytest.param({}, {"now": float("nan")}, PassRefusal.NOT_YET, id="no time at all"),
        pytest.param({"valid_until": 2001 + 31 * DAY}, {}, PassRefusal.TOO_LONG, id="too long"),
        pytest.param({}, {"restored_at": 1000.0}, PassRefusal.RESTORED, id="before a backup was put back"),
        pytest.param({}, {"restored_at": 999.0}, None, id="after a backup was put back"),
        pytest.param({}, {"used": 2}, PassRefusal.USED_UP, id="used up"),
        pytest.param({}, {"used": 1}, None, id="the last use"),
        pytest.param({"uses": 0}, {"used": 10**6}, None, id="any number of uses"),
    ],
)
def test_what_speaks_against_a_pass(shown, known, why):
    assert objection(replace(PASS, **shown), replace(KNOWN, **known), PassRule()) is why

"""Documents of people that several kiosks write: no order, repetition or loss changes what they say together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.store.fleet.document import (
    EMPTY,
    HIGHEST,
    LONGEST,
    Document,
    Register,
    SharedReference,
    contribute,
    digest,
    forgotten_document,
    join,
    join_all,
    pack,
    unpack,
    unpack_own,
)

KIOSKS = st.sampled_from(["a", "b", "c"])
IDS = st.sampled_from(["a1", "a2", "b1", "c1"])
REFERENCES = st.builds(
    SharedReference,
    st.sampled_from(["m1", "m2"]),
    st.binary(min_size=4, max_size=4),
    st.none() | st.floats(0, 100),
    st.floats(0, 2e9),
)
VALUES = st.none() | st.integers(-5, 5) | st.text(max_size=4) | st.lists(st.none() | st.floats(0, 9), max_size=3)
DOCUMENTS = st.builds(
    Document,
    st.dictionaries(
        st.sampled_from(["details", "status", "dates"]), st.builds(Register, st.integers(1, 4), KIOSKS, VALUES)
    ),
    st.lists(REFERENCES, max_size=3).map(lambda found: {one.id: one for one in found}),
    st.dictionaries(IDS, st.text(max_size=3)),
    st.frozensets(IDS),
) | st.builds(forgotten_document, st.integers(0, 3), st.frozensets(IDS))


def acts(document, kiosk, *, block=None, name="X"):
    """Give what a kiosk says after its operator's act, given what it has seen."""
    return contribute(EMPTY, document, kiosk=kiosk, values={"details": name}, references=(), block=block)


@given(DOCUMENTS, DOCUMENTS)
def test_join_does_not_ask_who_was_first(one, other):
    assert join(one, other) == join(other, one)


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_join_does_not_ask_in_which_order(one, two, three):
    assert join(join(one, two), three) == join(one, join(two, three))


@given(DOCUMENTS, DOCUMENTS)
def test_hearing_it_twice_changes_nothing(one, other):
    assert join(one, one) == one
    assert join(join(one, other), other) == join(one, other)


@given(st.lists(DOCUMENTS, max_size=5), st.randoms())
def test_any_order_and_repetition_gives_the_same_digest(documents, random):
    again = [*documents, *documents]
    random.shuffle(again)

    assert digest(join_all(again)) == digest(join_all(documents))


@given(DOCUMENTS)
def test_a_document_survives_the_way(document):
    assert unpack(pack(document)) == document
    assert len(pack(document)) % 128 == 0


@given(DOCUMENTS, st.integers(0, 9))
def test_forgetting_wins_and_leaves_nothing(document, roster):
    whole = join(document, forgotten_document(roster))

    assert whole.forgotten is not None
    assert (whole.registers, whole.references, whole.blocks, whole.lifted) == ({}, {}, {}, frozenset())


@given(DOCUMENTS.filter(lambda one: one.forgotten is None))
def test_a_block_made_while_another_kiosk_unblocks_holds(seen):
    blocked = join(seen, acts(seen, "a", block=("first", "why")))
    unblocked_at_b = acts(blocked, "b", block=None)
    blocked_at_c = join(seen, Document(blocks={"second": ""}))

    assert not join(blocked, unblocked_at_b).is_blocked
    assert join_all([blocked, unblocked_at_b, blocked_at_c]).is_blocked


def test_an_act_that_says_nothing_new_leaves_the_document_as_it_is():
    own = acts(EMPTY, "a", block=("a1", ""))

    assert contribute(own, own, kiosk="a", values={"details": "X"}, references=(), block=("a2", "")) == own


def test_a_later_change_goes_before_an_earlier_one_whatever_the_clocks_say():
    first = acts(EMPTY, "z", name="first")
    second = acts(first, "a", name="second")

    assert join(second, first).value("details") == "second"


def test_a_block_that_arrives_before_its_person_waits():
    assert not Document(blocks={"a1": ""}).is_person


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"forgotten": -1}',
        b'{"forgotten": true}',
        b'{"registers":{"a":[1,2,3]},"references":[],"blocks":{},"lifted":[]}',
        b'{"registers":{},"references":[["m","!",1,1]],"blocks":{},"lifted":[]}',
        b'{"registers":{},"references":[],"blocks":{},"lifted":[1]}',
        b'{"registers":{},"references":[],"blocks":{"a":NaN},"lifted":[]}',
        b'{"registers":{},"references":[["m","AAAAAA==",1,"nan"]],"blocks":{},"lifted":[]}',
        b'{"registers":{},"references":[["m","AAAAAA==",1,1e400]],"blocks":{},"lifted":[]}',
        b'{"registers":{"of a newer program":[1,"a",[1e400]]},"references":[],"blocks":{},"lifted":[]}',
        b'{"registers":{"details":[1,"a",["\\ud800"]]},"references":[],"blocks":{},"lifted":[]}',
        b'{"registers":{"plan":[1,"\\ud800",null]},"references":[],"blocks":{},"lifted":[]}',
        b'{"registers":{},"references":[],"blocks":{"\\ud800":""},"lifted":[]}',
        b'{"registers":{},"references":[],"blocks":{},"lifted":["\\ud800"]}',
        b'{"forgotten":1,"into":["\\ud800"]}',
        b'{"registers":{"plan":[1,"a",' + b"[" * 900 + b"]" * 900 + b']},"references":[],"blocks":{},"lifted":[]}',
    ],
)
def test_what_is_no_document_is_refused(content):
    with pytest.raises(ValueError, match=r".+"):
        unpack(content)


def test_what_was_joined_here_may_be_larger_than_what_travels():
    large = Document(blocks={"a": "x" * LONGEST})

    assert unpack_own(pack(large)) == large
    with pytest.raises(ValueError, match="larger"):
        unpack(pack(large))


def test_a_revision_that_cannot_be_counted_on_is_kept_and_read():
    highest = Document({"details": Register(HIGHEST - 1, "a", "one")})
    changed = acts(highest, "b", name="two")

    assert join(highest, unpack(pack(changed))).value("details") == "two"

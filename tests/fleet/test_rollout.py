"""Whose turn it is with an update: the first kiosk's, then the others', and nobody's once one went back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.fleet.updates.order import Bundle, Update, newest, rank
from kiosk.fleet.updates.rollout import BAD, Rollout, Stage, Word, word_of

BUNDLE = Bundle("kiosk-1.1-aarch64-python3.13.tar.gz", 1, "0" * 64, ("0" * 64,), "s")
UPDATE = Update(4, "1.1", "first", (BUNDLE,), within_s=60.0)
MEMBERS = {"first", "b", "c", "d"}


def words(revision=4, **stages):
    return {kiosk: Word(revision, stage) for kiosk, stage in stages.items()}


def turn(me, at, *, update=UPDATE, rollout=None, now=0.0, members=MEMBERS, fresh=MEMBERS, settle_s=0.0):
    rollout = rollout or Rollout(me)
    return rollout.turn(update, at, members=members, fresh=fresh, now=now, settle_s=settle_s)


def test_the_first_goes_first_and_nobody_before_it_runs_there():
    assert turn("first", {}).goes
    none: dict[str, Word] = {}
    for at in (none, words(first=Stage.STAGED), words(first=Stage.INSTALLING), words(3, first=Stage.RUNS)):
        assert turn("b", at).why == "first"
    assert turn("b", words(first=Stage.RUNS)).goes


@pytest.mark.parametrize("stage", sorted(BAD))
@pytest.mark.parametrize("culprit", ["first", "c"])
def test_one_that_went_back_failed_or_was_stopped_stops_every_other(stage, culprit):
    at = words(first=Stage.RUNS, c=Stage.STAGED) | words(**{culprit: stage})

    assert (turn("b", at).culprit, turn("b", at).why) == (culprit, stage.value)
    assert turn("b", words(3, **{culprit: stage}) | words(first=Stage.RUNS)).culprit is None  # of an order before
    gone = turn("b", at, members=MEMBERS - {culprit})
    assert gone.culprit == ("first" if culprit == "first" else None)


def test_as_many_install_at_once_as_were_ordered_in_one_order_that_all_agree_on():
    at = words(first=Stage.RUNS, b=Stage.STAGED, c=Stage.STAGED, d=Stage.STAGED)
    goes = {me for me in "bcd" if turn(me, {kiosk: word for kiosk, word in at.items() if kiosk != me}).goes}
    assert goes == {"b"}
    two = Update(4, "1.1", "first", (BUNDLE,), at_once=2)
    assert turn("c", at | words(b=Stage.INSTALLING), update=two).goes
    assert not turn("d", at | words(b=Stage.INSTALLING), update=two).goes
    assert turn("c", at, fresh={"d"}).goes  # b is away, and nobody waits for it
    assert turn("c", at | words(b=Stage.RUNS)).goes


def test_a_kiosk_waits_at_the_head_of_the_queue_for_others_with_as_much_right():
    rollout, at = Rollout("c"), words(first=Stage.RUNS)

    assert not turn("c", at, rollout=rollout, now=0.0, settle_s=5.0).goes
    assert not turn("c", at | words(b=Stage.STAGED), rollout=rollout, now=4.0, settle_s=5.0).goes
    assert not turn("c", at | words(b=Stage.RUNS), rollout=rollout, now=6.0, settle_s=5.0).goes
    assert turn("c", at | words(b=Stage.RUNS), rollout=rollout, now=11.0, settle_s=5.0).goes


@pytest.mark.parametrize("at", [{}, words(first=Stage.INSTALLING), words(first=Stage.RUNS, c=Stage.INSTALLING)])
def test_one_that_is_not_heard_of_in_time_stops_the_others(at):
    rollout = Rollout("b")
    assert turn("b", at, rollout=rollout, now=0.0).culprit is None
    assert turn("b", at, rollout=rollout, now=60.0).culprit is None
    late = turn("b", at, rollout=rollout, now=60.1)

    assert (late.culprit, late.why) == ("c" if "c" in at else "first", "silent")


def test_time_that_a_kiosk_did_not_listen_does_not_count():
    rollout = Rollout("b")
    turn("b", {}, rollout=rollout, now=0.0)
    rollout.pause()
    assert turn("b", {}, rollout=rollout, now=7 * 86400.0).culprit is None
    assert turn("b", {}, rollout=rollout, now=7 * 86400.0 + 61.0).why == "silent"


def test_a_first_that_was_taken_off_or_has_no_bundle_stops_the_others():
    assert turn("b", words(first=Stage.RUNS), members={"b", "c"}).why == "taken_off"
    assert turn("b", words(first=Stage.UNFIT)).why == "unfit"
    assert turn("b", words(first=Stage.RUNS, c=Stage.UNFIT)).goes


STAGES = st.sampled_from(list(Stage))


@given(at=st.dictionaries(st.sampled_from(["first", "a", "c", "d", "z"]), st.tuples(st.integers(3, 5), STAGES)))
def test_nobody_but_the_first_ever_begins_without_the_first_or_beside_a_failure(at):
    told = {kiosk: Word(revision, stage) for kiosk, (revision, stage) in at.items()}
    members = {"first", "a", "c", "d", "b"}  # z is a stranger
    found = turn("b", told, members=members, fresh=members)
    of_now = {kiosk: word.stage for kiosk, word in told.items() if word.revision == 4 and kiosk in members}

    if found.goes:
        assert of_now["first"] is Stage.RUNS
        assert not BAD & set(of_now.values())
        assert Stage.INSTALLING not in of_now.values()
        assert not any(kiosk < "b" and stage is Stage.STAGED for kiosk, stage in of_now.items())


def test_of_what_a_kiosk_made_up_nothing_counts():
    assert word_of({"revision": 4, "stage": "runs", "count": 2}) == Word(4, Stage.RUNS, 2)
    odd: list[Any] = [None, 7, [], {}, {"revision": "4", "stage": "runs"}, {"revision": 4, "stage": "well"}]
    odd += [{"revision": 4, "stage": ["runs"]}, {"revision": 4, "stage": "runs", "count": "2"}]
    assert [word_of(one) for one in odd] == [None] * len(odd)


@pytest.mark.parametrize("text", ["", "1.x", "v1", "1.0.dev1", "1..0", "1.0-1", "9" * 40])
def test_a_version_that_cannot_be_compared_is_none(text):
    with pytest.raises(ValueError, match="no version"):
        rank(text)


def test_versions_are_ordered_as_the_updater_orders_them():
    assert newest(["0.9.9", "0.10.0rc1", "0.10.0", "0.10.0a3"]) == "0.10.0"

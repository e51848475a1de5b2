"""Kiosks that agree who of them opens: one at a time, by words of now, whatever the way between them does."""

import itertools
import math
import threading

import pytest

from kiosk.fleet.doors.agreement import Agreement
from kiosk.rules.interlock import Leaf
from kiosk.testing.fakes import ManualClock
from tests.patience import LIMIT_S, stands_in, until


class Kiosk:
    """One side; what it says reaches the others at once, unless the way is cut."""

    def __init__(self, name, clock):
        self.name, self.leaf, self.others, self.is_cut = name, Leaf.SHUT, [], False
        self.agreement = Agreement(name, clock=clock, leaf=lambda: self.leaf)
        self.said = []

    def say(self, *, is_urgent=True):
        word = self.agreement.word({}, is_urgent=is_urgent)
        self.said.append(word)
        for other in self.others:
            other.take(self, word)

    def take(self, sender, word):
        if not (self.is_cut or sender.is_cut) and self.agreement.hear(sender.name, word):
            self.say(is_urgent=False)

    def claim(self, *others, wait_s=LIMIT_S):
        clock = self.agreement._clock
        return self.agreement.claim([one.name for one in others], clock() + wait_s, self.say)


@pytest.fixture
def site():
    clock = ManualClock()
    made = [Kiosk(name, clock) for name in ("a", "b", "c")]
    for one, other in itertools.permutations(made[:2], 2):
        one.others.append(other)
    made[0].say()
    return clock, *made


def test_a_neighbour_yields_and_says_how_its_door_is(site):
    _, a, b, _ = site

    assert a.claim(b)
    assert a.agreement.heard("b").leaf is Leaf.SHUT
    a.agreement.settle()
    b.leaf = Leaf.OPEN
    assert a.claim(b)
    assert a.agreement.heard("b").leaf is Leaf.OPEN  # the answer is of now


def test_of_two_claims_one_is_granted_and_the_other_waits_for_its_end(site):
    _, a, b, _ = site
    assert a.claim(b)
    granted = []
    waiting = threading.Thread(target=lambda: granted.append(b.claim(a)))
    waiting.start()
    until(lambda: stands_in(Agreement.claim))
    assert granted == []
    a.agreement.settle()
    a.say()
    waiting.join(LIMIT_S)

    assert granted == [True]


def test_of_two_claims_at_once_the_lower_id_has_it():
    clock = ManualClock()
    a, b = Kiosk("a", clock), Kiosk("b", clock)
    for one, other in ((a, b), (b, a)):
        one.agreement.hear(other.name, other.agreement.word({}, is_urgent=False))
        other.agreement.hear(one.name, one.agreement.word({}, is_urgent=False))
    results = {}

    def run(one, other):
        results[one.name] = one.agreement.claim([other.name], clock() + LIMIT_S, lambda: None)

    threads = [threading.Thread(target=run, args=pair) for pair in ((a, b), (b, a))]
    for thread in threads:
        thread.start()
    until(lambda: a.agreement._claim and b.agreement._claim)
    words = a.agreement.word({}, is_urgent=True), b.agreement.word({}, is_urgent=True)
    a.agreement.hear("b", words[1])  # both were said before either was heard
    b.agreement.hear("a", words[0])
    a.agreement.hear("b", b.agreement.word({}, is_urgent=False))
    until(lambda: "a" in results)
    assert results == {"a": True}
    a.agreement.settle()
    b.agreement.hear("a", a.agreement.word({}, is_urgent=True))
    until(lambda: b.agreement._claim)
    a.agreement.hear("b", b.agreement.word({}, is_urgent=True))
    b.agreement.hear("a", a.agreement.word({}, is_urgent=True))
    for thread in threads:
        thread.join(LIMIT_S)

    assert results == {"a": True, "b": True}


def test_silence_yields_nothing(site):
    clock, a, b, _ = site
    a.is_cut = True

    assert not a.claim(b, wait_s=0.0)
    waiting = threading.Thread(target=lambda: a.claim(b, wait_s=1.0))
    waiting.start()
    until(lambda: a.agreement._claim)
    clock.advance(2.0)
    with a.agreement.changed:
        a.agreement.changed.notify_all()
    waiting.join(LIMIT_S)
    assert a.agreement._claim == ""
    a.is_cut = False
    assert b.claim(a)  # nothing is left of it


def test_an_old_word_that_is_said_again_says_nothing(site):
    _, a, b, _ = site
    assert a.claim(b)
    a.agreement.settle()
    a.say()
    old = b.said[-1]
    b.leaf = Leaf.OPEN
    a.say()
    assert a.agreement.heard("b").leaf is Leaf.OPEN

    a.agreement.hear("b", old)  # a hub that plays back what it heard

    assert a.agreement.heard("b").leaf is Leaf.OPEN


def test_a_word_that_answers_nothing_of_this_kiosk_makes_nobody_heard(site):
    _, a, _, c = site

    a.agreement.hear("c", c.agreement.word({}, is_urgent=True))

    assert a.agreement.heard("c") is None
    assert a.agreement.since("c") is None


def test_what_is_known_is_as_old_as_the_question(site):
    clock, a, b, _ = site
    asked_at = clock()
    question = a.agreement.word({}, is_urgent=True)
    clock.advance(5.0)  # on its way
    b.agreement.hear("a", question)
    a.agreement.hear("b", b.agreement.word({}, is_urgent=False))

    assert a.agreement.since("b") == asked_at


@pytest.mark.parametrize(
    "change",
    [
        {"leaf": "ajar"},
        {"answer": []},
        {"sent": {"h": math.inf}},
        {"number": math.nan},
        {"sent": {"h": "x"}},
        {"ask": "x" * 100},
        {"yields": None},
        {"number": "x"},
    ],
    ids=str,
)
def test_what_is_no_word_is_refused(site, change):
    _, a, b, _ = site
    word = b.agreement.word({}, is_urgent=False) | change

    with pytest.raises(ValueError, match=r"word|Leaf|literal|NaN"):
        a.agreement.hear("b", word)


@pytest.mark.parametrize("answer", [[1], {"a": 1}, None, 7])
def test_an_answer_that_is_no_text_answers_nothing(site, answer):
    _, a, b, _ = site
    word = b.agreement.word({}, is_urgent=False) | {"answer": {"a": answer}}

    a.agreement.hear("c", word)

    assert a.agreement.heard("c") is None

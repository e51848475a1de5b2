"""The steps of an acceptance, and how many presentations a figure needs. Pure.

A rate is shown to be at most a goal when so few errors among so many presentations would be improbable otherwise. With
no error among n presentations the rate is at most 3/n with 95 % confidence: the rule of three. Here the same is said
with exact binomial probabilities, for few errors too: one error needs more presentations, and two still more.

Whoever looks after each presentation and stops as soon as the figure is good would be right less often than stated. So
looks are planned beforehand and share the 5 % between them: 4 % for the first, where no error may have been seen, and a
fifth of the one before for each further look. The sum stays below 5 %, however many looks were needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

CONFIDENCE = 0.95
FIRST_SHARE, NEXT_SHARE = 0.8, 0.2  # of what may go wrong: the first look's, and each next one's of the one before
MOST_ERRORS = 3  # a trial with more shows nothing by this plan: something is to be mended first
LOWEST_RATE, HIGHEST_RATE = 0.001, 0.5


class Step(str, Enum):
    """What an installer is led through, in this order."""

    CAMERA = "camera"
    LIGHT = "light"
    PEOPLE = "people"  # presentations of people enrolled here: mated
    STRANGERS = "strangers"  # presentations of people who are not: non-mated
    TIMING = "timing"
    ATTACKS = "attacks"
    WATCHDOG = "watchdog"
    POWER = "power"


PRESENTED = (Step.PEOPLE, Step.STRANGERS, Step.ATTACKS)  # steps that count presentations
ASKED = (Step.WATCHDOG, Step.POWER)  # steps of which the installer tells what happened


class Verdict(str, Enum):
    """What a look at a trial says."""

    MORE = "more"  # not enough yet
    ENOUGH = "enough"  # the rate is at most the goal, with 95 % confidence
    MISSED = "missed"  # too many errors for this plan


@dataclass(frozen=True, slots=True)
class Goal:
    """A rate that is to be shown, as an upper bound with 95 % confidence."""

    rate: float  # 0..1

    def __post_init__(self) -> None:
        """Refuse a goal that no trial on foot could reach, and one that says nothing."""
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:  # a NaN fails this too
            raise ValueError(f"want a rate of {LOWEST_RATE} to {HIGHEST_RATE}, got {self.rate}")


DEFAULT_GOALS = {Step.PEOPLE: Goal(0.05), Step.STRANGERS: Goal(0.05), Step.ATTACKS: Goal(0.15)}


@dataclass(frozen=True, slots=True)
class Look:
    """How far a trial is."""

    verdict: Verdict
    presented: int
    errors: int
    needed: int | None  # presentations in all at the next look if no further error is seen; None once it is over

    @property
    def missing(self) -> int:
        """How many presentations more the next look needs."""
        return 0 if self.needed is None else self.needed - self.presented


def rule_of_three(rate: float) -> int:
    """Return how many presentations without an error show a rate, as the rule of three says it: 3 over the rate.

    >>> rule_of_three(0.05), rule_of_three(0.01)
    (60, 300)
    """
    return math.ceil(3.0 / rate - 1e-9)


@lru_cache
def looks(goal: Goal) -> tuple[int, ...]:
    """Return when a trial is looked at: after so many presentations with at most 0, 1, 2 and so on errors.

    >>> looks(Goal(0.05)), looks(Goal(0.15))
    ((63, 135, 209, 284), (20, 43, 67, 91))
    """
    found, share = [], FIRST_SHARE
    for errors in range(MOST_ERRORS + 1):
        found.append(_least(errors, goal.rate, (1.0 - CONFIDENCE) * share))
        share *= NEXT_SHARE
    return tuple(found)


def look_at(errors: Sequence[bool], goal: Goal) -> Look:
    """Say whether a trial has enough presentations.

    Args:
        errors: of each presentation in order, whether it went wrong.
        goal: what is to be shown.
    """
    presented, seen = len(errors), sum(errors)
    plan = looks(goal)
    if any(presented >= needed and sum(errors[:needed]) <= allowed for allowed, needed in enumerate(plan)):
        return Look(Verdict.ENOUGH, presented, seen, None)
    ahead = [needed for allowed, needed in enumerate(plan) if allowed >= seen and needed > presented]
    if not ahead:
        return Look(Verdict.MISSED, presented, seen, None)
    return Look(Verdict.MORE, presented, seen, min(ahead))


def chance_of(count: int, of: int, rate: float) -> float:
    """Return the probability of `count` or fewer errors among `of` presentations at a rate between 0 and 1."""
    odds, against = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(of + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * odds + (of - k) * against)
        for k in range(min(count, of) + 1)
    )


def _least(errors: int, rate: float, chance: float) -> int:
    """Return the fewest presentations of which so few errors are that improbable; the probability falls with them."""
    low, high = errors, errors + 1
    while chance_of(errors, high, rate) > chance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if chance_of(errors, middle, rate) > chance else (low, middle)
    return high

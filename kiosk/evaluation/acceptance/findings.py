"""What an acceptance found: rates with their bounds, times, and the threshold recommended for this site. Pure.

Words of ISO/IEC 19795-1 and -2: a presentation is mated when the person is enrolled, non-mated when they are not; FRR
and FAR are of the whole door, with the people who were not seen at all in the denominator. Of ISO/IEC 30107-3: IAPAR is
the share of attacks let in; APCER the share not recognised as an attack, whoever was compared afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from kiosk.evaluation.acceptance.plan import Look, Step
from kiosk.evaluation.acceptance.trial import Presentation, Trial
from kiosk.evaluation.pad_rates import bootstrap, lower_bound, upper_bound
from kiosk.recognition.embed import DARK
from kiosk.recognition.quality import Floor, Quality, weakness

MOST_SCORE = 100.0
NARROW = 5.0  # score above the threshold below which a person is soon turned away
LEAST_FPS, LEAST_EDGE_PX = 5.0, 480
DARK_PICTURE, BRIGHT_PICTURE = 20.0, 245.0  # mean of all pixels: a covered lens, a lamp into it
LONG_S = 3.0  # somebody who waits longer takes the door for broken


@dataclass(frozen=True, slots=True)
class Fault:
    """What a camera lacks."""

    kind: str  # small, slow or light
    n: float  # px of the shorter edge, pictures a second, or mean brightness
    least: float  # that is needed


@dataclass(frozen=True, slots=True)
class Rate:
    """Errors among presentations, with exact bounds after Clopper and Pearson, each at 95 % confidence."""

    presented: int
    errors: int
    unseen: int  # presentations to which the kiosk decided nothing
    people: int  # or instruments
    lower: float
    upper: float
    interval: tuple[float, float] | None  # 95 %, over people drawn anew; None where all or none went wrong

    @property
    def rate(self) -> float | None:
        """The share of errors; None where nothing was presented."""
        return self.errors / self.presented if self.presented else None


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, s."""

    count: int
    median_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which threshold this site should have; never a lower one than it has."""

    in_force: float
    threshold: float
    highest_stranger: float | None  # best score of a stranger; None where none came near
    turned_away: int  # mated presentations of the trial that the recommended threshold would turn away
    mated: int
    narrow: tuple[int, ...]  # people whose scores lie close above the threshold: enrol them anew here

    @property
    def is_raised(self) -> bool:
        """Whether another threshold than today's is recommended."""
        return self.threshold > self.in_force

    @property
    def is_beyond(self) -> bool:
        """Whether a stranger scored so high that no threshold helps."""
        return self.highest_stranger is not None and self.highest_stranger >= MOST_SCORE


def camera_faults(size_wh: tuple[int, int], fps: float, brightness: float) -> list[Fault]:
    """Return what a camera lacks.

    Args:
        size_wh: of a picture, px.
        fps: pictures a second.
        brightness: mean of all pixels, 0..255.
    """
    found = (
        (min(size_wh) < LEAST_EDGE_PX, Fault("small", min(size_wh), LEAST_EDGE_PX)),
        (fps < LEAST_FPS, Fault("slow", round(fps, 1), LEAST_FPS)),
        (not DARK_PICTURE <= brightness <= BRIGHT_PICTURE, Fault("light", round(brightness), DARK_PICTURE)),
    )
    return [fault for is_lacking, fault in found if is_lacking]


def faults_of(camera: Mapping[str, Any]) -> list[Fault]:
    """Return what a camera lacks, by what was noted of it."""
    return camera_faults((camera["width"], camera["height"]), camera["fps"], camera["brightness"])


def weakness_of(reading: Mapping[str, Any]) -> str | None:
    """Return in a word what speaks against a reading of the light, by its figures; None where nothing does."""
    if not reading["objection"]:
        return None
    measured = ("eye_distance_px", "luminance", "contrast", "sharpness", "frontality")
    found = weakness(Quality(*(float(reading[name]) for name in measured)), Floor())
    if found is None and reading["luminance"] < DARK:
        return "dark"
    return found or "hard"


def rate_of(presentations: Sequence[Presentation]) -> Rate:
    """Count errors."""
    by_person: dict[str, tuple[int, int]] = {}
    for one in presentations:
        errors, of = by_person.get(one.who, (0, 0))
        by_person[one.who] = errors + one.is_error, of + 1
    errors, presented = sum(one.is_error for one in presentations), len(presentations)
    return Rate(
        presented,
        errors,
        sum(not one.seen for one in presentations),
        len(by_person),
        lower_bound(errors, presented),
        upper_bound(errors, presented),
        bootstrap(list(by_person.values())) if 0 < errors < presented else None,
    )


def undetected_of(presentations: Sequence[Presentation]) -> tuple[int, float]:
    """Return how many attacks were not recognised as such, with the upper bound of the rate (APCER)."""
    missed = sum(bool(one.seen) and not all(seen.is_suspected for seen in one.seen) for one in presentations)
    return missed, upper_bound(missed, len(presentations))


def times_of(seconds: Iterable[float | None]) -> Times | None:
    """Summarise times; None where there are none."""
    known = [one for one in seconds if one is not None]
    return Times(len(known), round(median(known), 3), round(max(known), 3)) if known else None


def door_times(trial: Trial) -> tuple[Times | None, Times | None]:
    """Return the times from the first sight to the decision, and from there to the door, of people let in."""
    granted = [one.seen[0] for one in trial.of(Step.PEOPLE) if one.is_right]
    return times_of(one.took_s for one in granted), times_of(one.relay_s for one in granted)


def recommend(trial: Trial, in_force: float) -> Recommendation:
    """Return the threshold recommended for this site.

    It is above every stranger seen here, and never below the one in force: a trial of some tens of people is too small
    to loosen what was measured on millions of pairs.
    """
    own: dict[int, list[float]] = {}
    for one in trial.of(Step.PEOPLE):
        first = one.seen[0] if one.seen else None
        if first is not None and first.score is not None and str(first.session_number) == one.who:
            own.setdefault(int(one.who), []).append(first.score)
    strangers = [seen.score for one in trial.of(Step.STRANGERS) for seen in one.seen if seen.score is not None]
    highest = max(strangers, default=None)
    threshold = in_force
    if highest is not None and highest >= in_force:
        threshold = min(MOST_SCORE, math.floor(highest) + 1.0)
    mated = [score for scores in own.values() for score in scores]
    return Recommendation(
        in_force,
        threshold,
        highest,
        sum(score < threshold for score in mated),
        len(mated),
        tuple(sorted(who for who, scores in own.items() if median(scores) < threshold + NARROW)),
    )


def as_dict(trial: Trial, in_force: float | None = None) -> dict[str, Any]:
    """Return a trial for JSON: where it stands, and what it found.

    Args:
        trial: the trial.
        in_force: the threshold of the door now; None for that of when the trial began.
    """
    found: dict[str, Any] = {
        "is_begun": trial.begun_at is not None,
        "begun_at": trial.begun_at,
        "newest_at": trial.newest_at,
        "next": trial.next.value if trial.begun_at is not None and trial.next is not None else None,
        "withdrawn": trial.withdrawn,
        "under_way": None if trial.under_way is None else _presented(trial.under_way),
        "steps": [_step(trial, step) for step in Step],
        "setup": dict(trial.setup),
    }
    threshold = in_force if in_force is not None else trial.setup.get("threshold")
    found["recommended"] = None
    if threshold is not None:
        recommended = recommend(trial, float(threshold))
        found["recommended"] = {**asdict(recommended), "narrow": list(recommended.narrow)}
    return found


def _step(trial: Trial, step: Step) -> dict[str, Any]:
    told: dict[str, Any] = {"step": step.value, "state": trial.state(step), "reason": trial.skipped.get(step)}
    if step in trial.goals:
        told["goal"] = trial.goals[step].rate
    match step:
        case Step.CAMERA:
            told["camera"] = trial.camera
            told["faults"] = [] if trial.camera is None else [asdict(one) for one in faults_of(trial.camera)]
        case Step.LIGHT:
            told["readings"] = [{**one, "weakness": weakness_of(one)} for one in trial.light]
        case Step.PEOPLE | Step.STRANGERS:
            told |= _counted(trial.look(step), trial.of(step))
        case Step.ATTACKS:
            told["species"] = [
                {"species": one, **_counted(trial.look(step, one), trial.of(step, one))} for one in trial.species
            ]
            told["first_look"] = look_needed(trial)
        case Step.TIMING:
            decision, relay = door_times(trial)
            watch = times_of(trial.stopwatch)
            named = {"decision": decision, "relay": relay, "stopwatch": watch}
            told |= {name: None if one is None else asdict(one) for name, one in named.items()}
        case Step.WATCHDOG | Step.POWER:
            word = trial.words.get(step)
            told["word"] = None if word is None else asdict(word)
            told["is_waiting"] = step in trial.waiting
    return told


def look_needed(trial: Trial) -> int:
    """Return how many attacks of one species the first look needs."""
    return trial.look(Step.ATTACKS, "").needed or 0


def _counted(look: Look, presentations: Sequence[Presentation]) -> dict[str, Any]:
    rate = rate_of(presentations)
    return {
        "verdict": look.verdict.value,
        "presented": look.presented,
        "errors": look.errors,
        "needed": look.needed,
        "unseen": rate.unseen,
        "people": rate.people,
        "rate": rate.rate,
        "lower_95": round(rate.lower, 4),
        "upper_95": round(rate.upper, 4),
        "interval_95": None if rate.interval is None else [round(one, 4) for one in rate.interval],
        "latest": [_presented(one) for one in presentations[-3:]],
    }


def _presented(one: Presentation) -> dict[str, Any]:
    return {
        "number": one.number,
        "step": one.step.value,
        "who": one.who,
        "species": one.species,
        "at": one.at,
        "is_error": one.is_error,
        "seen": [{**asdict(seen), "reasons": list(seen.reasons)} for seen in one.seen],
    }

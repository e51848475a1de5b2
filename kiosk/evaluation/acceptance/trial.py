"""How far an acceptance is: folded from what was noted, one note after the other. Pure.

A note is one JSON object. Whatever was noted stays; a mistake is taken back by a further note, and the report counts
it. So a trial that was cut off anywhere is the trial of the notes before the cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kiosk.errors import RefusedError
from kiosk.evaluation.acceptance.plan import ASKED, DEFAULT_GOALS, PRESENTED, Goal, Look, Step, Verdict, look_at

LEAST_READINGS = 3  # of the light: morning, noon and evening
SPAN_H = 6.0  # between the first reading and the last

Note = Mapping[str, Any]


class State:
    """How far a step is."""

    OPEN, UNDER_WAY, DONE, MISSED, SKIPPED = "open", "under_way", "done", "missed", "skipped"


@dataclass(frozen=True, slots=True)
class Seen:
    """A decision of the door while somebody presented, as the signed log has it."""

    seq: int  # of the log
    request_id: str
    status: str
    score: float | None
    session_number: int | None
    reasons: tuple[str, ...]
    took_s: float | None = None  # from the first sight of somebody to the decision; None where nobody measured
    relay_s: float | None = None  # from the decision to the unlocked door; None where there is none

    @property
    def is_granted(self) -> bool:
        """Whether somebody was let in."""
        return self.status == "Approved"

    @property
    def is_suspected(self) -> bool:
        """Whether it was not taken for a person who is there."""
        return bool({"attack_suspected", "liveness_undetermined"} & set(self.reasons))


@dataclass(frozen=True, slots=True)
class Presentation:
    """Somebody, or an instrument, in front of the kiosk."""

    step: Step
    who: str  # a session_number, the stranger's number, or the instrument's name
    species: str  # of an attack; else empty
    number: int  # of the note that began it
    at: float  # seconds UTC
    after: int  # newest record of the log before it
    seen: tuple[Seen, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether it went wrong. Of people the first decision counts; of strangers and attacks, any that lets in."""
        if self.step is Step.PEOPLE:
            return not self.is_right
        return any(one.is_granted for one in self.seen)

    @property
    def is_right(self) -> bool:
        """Whether the person was let in as themselves at the first decision."""
        first = self.seen[0] if self.seen else None
        return first is not None and first.is_granted and str(first.session_number) == self.who

    @property
    def is_other(self) -> bool:
        """Whether somebody enrolled was let in as somebody else."""
        return self.step is Step.PEOPLE and any(
            one.is_granted and str(one.session_number) != self.who for one in self.seen
        )


@dataclass(frozen=True, slots=True)
class Word:
    """What the installer told of a step that the kiosk cannot do by itself."""

    worked: bool
    text: str
    at: float
    is_new_process: bool | None  # whether the kiosk's process is another one; None where that was not looked at
    is_new_boot: bool | None  # whether the machine started anew
    is_log_intact: bool | None

    def holds_for(self, step: Step) -> bool:
        """Whether it went well by the word, and nothing that the kiosk sees speaks against it."""
        is_anew = self.is_new_boot if step is Step.POWER else self.is_new_process
        return self.worked and is_anew is not False and self.is_log_intact is not False


@dataclass(frozen=True, slots=True)
class Trial:
    """An acceptance as far as it came."""

    begun_at: float | None = None
    setup: Mapping[str, Any] = field(default_factory=dict)  # model, thresholds, level and so on when it began
    goals: Mapping[Step, Goal] = field(default_factory=lambda: dict(DEFAULT_GOALS))
    camera: Mapping[str, Any] | None = None
    light: tuple[Mapping[str, Any], ...] = ()
    presentations: tuple[Presentation, ...] = ()
    under_way: Presentation | None = None
    stopwatch: tuple[float, ...] = ()  # s, told by the installer
    words: Mapping[Step, Word] = field(default_factory=dict)
    waiting: Mapping[Step, Mapping[str, Any]] = field(default_factory=dict)  # what was so before an asked step
    skipped: Mapping[Step, str] = field(default_factory=dict)  # with the reason
    withdrawn: int = 0
    notes: int = 0
    newest_at: float | None = None

    def of(self, step: Step, species: str | None = None) -> tuple[Presentation, ...]:
        """Return the presentations of a step, in order."""
        return tuple(one for one in self.presentations if one.step is step and species in (None, one.species))

    @property
    def species(self) -> tuple[str, ...]:
        """The kinds of attack presented so far, in the order of their first."""
        return tuple(dict.fromkeys(one.species for one in self.of(Step.ATTACKS)))

    def look(self, step: Step, species: str | None = None) -> Look:
        """Say how far a step that counts presentations is; of attacks for one species."""
        return look_at([one.is_error for one in self.of(step, species)], self.goals[step])

    def state(self, step: Step) -> str:
        """Say how far a step is."""
        if step in self.skipped:
            return State.SKIPPED
        return _STATES[step](self, step)

    @property
    def next(self) -> Step | None:
        """The first step that is neither done, missed nor skipped; None where all are."""
        unfinished = (State.OPEN, State.UNDER_WAY)
        return next((step for step in Step if self.state(step) in unfinished), None)


def fold(notes: Iterable[Note]) -> Trial:
    """Return the trial that the notes tell.

    Raises:
        RefusedError: a note does not fit those before it; says why.
    """
    trial = Trial()
    for note in notes:
        trial = take(trial, note)
    return trial


def take(trial: Trial, note: Note) -> Trial:
    """Return a trial with one note more; see `fold`."""
    what = note["what"]
    if what == "begin":
        if trial.begun_at is not None:
            raise RefusedError("this acceptance has begun already; start over with --restart")
    elif trial.begun_at is None:
        raise RefusedError("no acceptance has begun here")
    taken = _TAKEN[what](trial, note)
    return replace(taken, notes=trial.notes + 1, newest_at=float(note["at"]))


# ---- notes, one function each


def _begin(trial: Trial, note: Note) -> Trial:
    goals = {Step(name): Goal(float(rate)) for name, rate in note["goals"].items()}
    return replace(trial, begun_at=float(note["at"]), setup=note["setup"], goals={**trial.goals, **goals})


def _camera(trial: Trial, note: Note) -> Trial:
    return replace(trial, camera=note["camera"], skipped=_without(trial.skipped, Step.CAMERA))


def _light(trial: Trial, note: Note) -> Trial:
    reading = {**note["light"], "at": float(note["at"])}
    return replace(trial, light=(*trial.light, reading), skipped=_without(trial.skipped, Step.LIGHT))


def _present(trial: Trial, note: Note) -> Trial:
    step = Step(note["step"])
    if step not in PRESENTED:
        raise RefusedError(f"nobody presents in step {step.value}")
    if trial.under_way is not None:
        raise RefusedError("a presentation is under way; end it or drop it first")
    began = Presentation(
        step, str(note["who"]), str(note.get("species", "")), trial.notes + 1, float(note["at"]), int(note["after"])
    )
    return replace(trial, under_way=began, skipped=_without(trial.skipped, step))


def _seen(trial: Trial, note: Note) -> Trial:
    if trial.under_way is None:
        raise RefusedError("no presentation is under way")
    decisions = tuple(Seen(**{**one, "reasons": tuple(one["reasons"])}) for one in note["seen"])
    return replace(
        trial, presentations=(*trial.presentations, replace(trial.under_way, seen=decisions)), under_way=None
    )


def _drop(trial: Trial, _: Note) -> Trial:
    if trial.under_way is None:
        raise RefusedError("no presentation is under way")
    return replace(trial, under_way=None, withdrawn=trial.withdrawn + 1)


def _withdraw(trial: Trial, note: Note) -> Trial:
    kept = tuple(one for one in trial.presentations if one.number != note["number"])
    if len(kept) == len(trial.presentations):
        raise RefusedError(f"there is no presentation {note['number']}")
    return replace(trial, presentations=kept, withdrawn=trial.withdrawn + 1)


def _stopwatch(trial: Trial, note: Note) -> Trial:
    times = (*trial.stopwatch, float(note["seconds"]))
    return replace(trial, stopwatch=times, skipped=_without(trial.skipped, Step.TIMING))


def _wait(trial: Trial, note: Note) -> Trial:
    step = _asked(note)
    return replace(trial, waiting={**trial.waiting, step: note["before"]}, skipped=_without(trial.skipped, step))


def _word(trial: Trial, note: Note) -> Trial:
    step = _asked(note)
    word = Word(
        bool(note["worked"]),
        str(note["text"]),
        float(note["at"]),
        note.get("is_new_process"),
        note.get("is_new_boot"),
        note.get("is_log_intact"),
    )
    return replace(
        trial,
        words={**trial.words, step: word},
        waiting=_without(trial.waiting, step),
        skipped=_without(trial.skipped, step),
    )


def _skip(trial: Trial, note: Note) -> Trial:
    step = Step(note["step"])
    if trial.under_way is not None and trial.under_way.step is step:
        raise RefusedError("a presentation is under way; end it or drop it first")
    return replace(trial, skipped={**trial.skipped, step: str(note["reason"])})


def _asked(note: Note) -> Step:
    step = Step(note["step"])
    if step not in ASKED:
        raise RefusedError(f"step {step.value} is measured; nobody can enter it")
    return step


def _without(held: Mapping[Step, Any], step: Step) -> dict[Step, Any]:
    return {one: value for one, value in held.items() if one is not step}


_TAKEN = {
    "begin": _begin,
    "camera": _camera,
    "light": _light,
    "present": _present,
    "seen": _seen,
    "drop": _drop,
    "withdraw": _withdraw,
    "stopwatch": _stopwatch,
    "wait": _wait,
    "word": _word,
    "skip": _skip,
}


# ---- how far each step is


def _state_of_camera(trial: Trial, _: Step) -> str:
    if trial.camera is None:
        return State.OPEN
    return State.DONE if trial.camera["is_good"] else State.MISSED


def _state_of_light(trial: Trial, _: Step) -> str:
    times = [one["at"] for one in trial.light]
    if not times:
        return State.OPEN
    if len(times) < LEAST_READINGS or max(times) - min(times) < SPAN_H * 3600.0:
        return State.UNDER_WAY
    return State.MISSED if any(one["objection"] for one in trial.light) else State.DONE


def _state_of_presented(trial: Trial, step: Step) -> str:
    if not trial.of(step):
        return State.UNDER_WAY if trial.under_way is not None and trial.under_way.step is step else State.OPEN
    verdicts = [trial.look(step, one).verdict for one in (trial.species if step is Step.ATTACKS else (None,))]
    if Verdict.MORE in verdicts:
        return State.UNDER_WAY
    return State.MISSED if Verdict.MISSED in verdicts else State.DONE


def _state_of_timing(trial: Trial, _: Step) -> str:
    is_timed = any(one.took_s is not None for whole in trial.of(Step.PEOPLE) for one in whole.seen)
    return State.DONE if is_timed or trial.stopwatch else State.OPEN


def _state_of_asked(trial: Trial, step: Step) -> str:
    if step in trial.waiting:
        return State.UNDER_WAY
    word = trial.words.get(step)
    if word is None:
        return State.OPEN
    return State.DONE if word.holds_for(step) else State.MISSED


_STATES = {
    Step.CAMERA: _state_of_camera,
    Step.LIGHT: _state_of_light,
    Step.PEOPLE: _state_of_presented,
    Step.STRANGERS: _state_of_presented,
    Step.TIMING: _state_of_timing,
    Step.ATTACKS: _state_of_presented,
    Step.WATCHDOG: _state_of_asked,
    Step.POWER: _state_of_asked,
}

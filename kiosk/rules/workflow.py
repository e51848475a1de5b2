"""Workflows of a session: which steps it has, what must come before what, and what the steps add up to.

A step that was not taken, or whose result nobody knows, never adds up to Approved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from kiosk.types import Status

ARROW = ">"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Step(str, Enum):
    """What a session may ask for, in the words of Didit's features."""

    LIVENESS = "liveness"
    AGE_ESTIMATION = "age_estimation"
    FACE_SEARCH = "face_search"
    ID_VERIFICATION = "id_verification"
    FACE_MATCH = "face_match"

    @property
    def feature(self) -> str:
        """Didit's name of it."""
        return self.value.upper()


class Picture(str, Enum):
    """What the person is asked to photograph."""

    SELFIE = "selfie"
    DOCUMENT = "document"


OF_SELFIE = (Step.LIVENESS, Step.AGE_ESTIMATION)  # the steps that a selfie is taken for
OF_FACE = (Step.FACE_SEARCH, Step.FACE_MATCH)  # the steps that use the selfie's face


class SessionStatus(str, Enum):
    """Didit's statuses that a session here can have before an operator's."""

    NOT_STARTED = "Not Started"
    IN_PROGRESS = "In Progress"
    APPROVED = "Approved"
    DECLINED = "Declined"
    IN_REVIEW = "In Review"
    EXPIRED = "Expired"

    @property
    def is_open(self) -> bool:
        """Whether the person may still do something."""
        return self in {SessionStatus.NOT_STARTED, SessionStatus.IN_PROGRESS}


@dataclass(frozen=True, slots=True)
class Workflow:
    """An id, by which a session is asked for, and its steps in order."""

    id: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        """Refuse steps that could never be taken, or that would decide about a face nobody looked at.

        Raises:
            ValueError: with a sentence for whoever wrote it.
        """
        if not _ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no id of a workflow; want letters, digits, - and _, such as a UUID")
        if not self.steps or len(set(self.steps)) != len(self.steps):
            raise ValueError(f"workflow {self.id}: want one or more steps, each once")
        seen: set[Step] = set()
        for step in self.steps:
            if step in OF_FACE and not seen & set(OF_SELFIE):
                raise ValueError(f"workflow {self.id}: {step.value} needs liveness or age_estimation before it")
            seen.add(step)
        if Step.FACE_MATCH in seen and Step.ID_VERIFICATION in self.steps[self.steps.index(Step.FACE_MATCH) :]:
            raise ValueError(f"workflow {self.id}: face_match needs id_verification before it")

    @property
    def needs_portrait(self) -> bool:
        """Whether the face is compared with a portrait that the caller must give: no document brings one."""
        return Step.FACE_MATCH in self.steps and Step.ID_VERIFICATION not in self.steps

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """What is photographed, in order."""
        wanted = []
        for step in self.steps:
            picture = Picture.SELFIE if step in OF_SELFIE else Picture.DOCUMENT
            if step not in OF_FACE and picture not in wanted:
                wanted.append(picture)
        return tuple(wanted)


def read_workflow(text: str) -> Workflow:
    """Read a workflow as settings have it.

    Raises:
        ValueError: with a sentence that says what would be right.

    >>> read_workflow("door: liveness > face_search").steps
    (<Step.LIVENESS: 'liveness'>, <Step.FACE_SEARCH: 'face_search'>)
    """
    name, colon, rest = text.partition(":")
    known = {step.value: step for step in Step}
    words = [word.strip() for word in rest.split(ARROW)]
    unknown = [word for word in words if word not in known]
    if not colon or unknown:
        raise ValueError(
            f'{text!r} is no workflow; want "ID: STEP {ARROW} STEP", the steps being {", ".join(sorted(known))}'
        )
    return Workflow(name.strip(), tuple(known[word] for word in words))


def read_workflows(texts: Sequence[str]) -> dict[str, Workflow]:
    """Read all workflows, by id.

    Raises:
        ValueError: one is none, or two have one id.
    """
    read = [read_workflow(text) for text in texts]
    by_id = {workflow.id: workflow for workflow in read}
    if len(by_id) != len(read):
        raise ValueError("two workflows have the same id; want another for one of them")
    return by_id


def outcome(steps: Sequence[Step], results: Mapping[Step, str]) -> SessionStatus | None:
    """Return what the results add up to: the worst of them; None while a step is missing and none is declined.

    >>> outcome([Step.LIVENESS], {}), outcome([Step.LIVENESS], {Step.LIVENESS: "Approved"}).value
    (None, 'Approved')
    """
    statuses = [results.get(step) for step in steps]
    if Status.DECLINED.value in statuses:
        return SessionStatus.DECLINED
    if not statuses or None in statuses:
        return None
    if all(status == Status.APPROVED.value for status in statuses):
        return SessionStatus.APPROVED
    return SessionStatus.IN_REVIEW
